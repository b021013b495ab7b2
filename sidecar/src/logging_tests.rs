use std::sync::mpsc as std_mpsc;

use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// Collects what a hub writes.
struct Collect(std_mpsc::Sender<String>);

impl Write for Collect {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn collecting(minimum: Level) -> (LogHub, impl Fn(&LogHub) -> Vec<String>) {
    let (sender, receiver) = std_mpsc::channel();
    let hub = LogHub::with_writer(minimum, Box::new(Collect(sender)));
    (hub, move |hub: &LogHub| {
        hub.flush(Duration::from_secs(5));
        receiver.try_iter().collect()
    })
}

/// The line without its time stamp.
fn tail(line: &LogLine) -> &str {
    &line.text["2026/11/20 18:58:02 ".len()..]
}

#[test]
fn levels_are_read_in_any_case() {
    assert_eq!(Level::parse("info"), Some(Level::Info));
    assert_eq!(Level::parse("ERR"), Some(Level::Err));
    assert_eq!(Level::parse("ERROR"), None);
    assert_eq!(Level::parse(""), None);
}

#[test]
fn lines_are_held_back_until_release_and_filtered() {
    let (hub, written) = collecting(Level::Info);
    hub.print("==> Starting Serf agent...");
    hub.log(Level::Info, "agent", "Serf agent starting");
    hub.log(Level::Debug, "serf", "not shown");
    assert_eq!(written(&hub), ["==> Starting Serf agent...\n"]);
    hub.release();
    let lines = written(&hub);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("    20"), "{lines:?}");
    assert!(lines[0].ends_with(" [INFO] agent: Serf agent starting\n"), "{lines:?}");
}

#[test]
fn the_level_can_change_while_running() {
    let (hub, written) = collecting(Level::Info);
    hub.release();
    hub.set_minimum(Level::Err);
    hub.log(Level::Warn, "serf", "hidden");
    assert!(written(&hub).is_empty());
    hub.set_minimum(Level::Trace);
    hub.log(Level::Trace, "serf", "shown");
    assert_eq!(written(&hub).len(), 1);
}

#[test]
fn a_final_newline_is_dropped_once_and_inner_ones_stay() {
    let hub = LogHub::silent(Level::Info);
    hub.log(Level::Warn, "agent", "error joining: 1 error occurred:\n\t* x\n\n");
    let (backlog, _subscription) = hub.subscribe(Level::Info, mpsc::channel(1).0, "a".into());
    assert_eq!(tail(&backlog[0]), "[WARN] agent: error joining: 1 error occurred:\n\t* x\n");
}

#[test]
fn the_backlog_keeps_the_newest_512_of_any_level_above_trace() {
    let hub = LogHub::silent(Level::Err);
    for number in 0..BACKLOG_LINES + 3 {
        hub.log(Level::Debug, "agent", &number.to_string());
        hub.log(Level::Trace, "agent", "packet");
    }
    let (backlog, _subscription) = hub.subscribe(Level::Debug, mpsc::channel(1).0, "a".into());
    assert_eq!(backlog.len(), BACKLOG_LINES);
    assert_eq!(tail(&backlog[0]), "[DEBUG] agent: 3");
    let (none, _subscription) = hub.subscribe(Level::Warn, mpsc::channel(1).0, "a".into());
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_slow_monitor_loses_the_newest_lines_and_is_reported_once_to_the_others() {
    let hub = LogHub::silent(Level::Info);
    let (slow, mut slow_lines) = mpsc::channel(1);
    let (good, mut good_lines) = mpsc::channel(100);
    let (_, _slow) = hub.subscribe(Level::Info, slow, "127.0.0.1:1".into());
    let (_, good_subscription) = hub.subscribe(Level::Info, good, "127.0.0.1:2".into());
    for text in ["one", "two", "three"] {
        hub.log(Level::Info, "agent", text);
    }
    assert_eq!(tail(&slow_lines.recv().await.unwrap()), "[INFO] agent: one");
    assert!(slow_lines.try_recv().is_err());
    let (backlog, _subscription) = hub.subscribe(Level::Info, mpsc::channel(1).0, "a".into());
    let warnings: Vec<_> = backlog.iter().filter(|line| line.level == Some(Level::Warn)).collect();
    assert_eq!(warnings.len(), 1);
    assert_eq!(tail(warnings[0]), "[WARN] agent.ipc: Dropping logs to ipc.client: 127.0.0.1:1");
    assert_eq!(tail(&good_lines.recv().await.unwrap()), "[INFO] agent: one");
    drop(good_subscription);
    hub.log(Level::Info, "agent", "four");
    while let Ok(line) = good_lines.try_recv() {
        assert_ne!(tail(&line), "[INFO] agent: four");
    }
}

#[test]
fn tracing_targets_become_components_and_libraries_stay_out() {
    let hub = LogHub::silent(Level::Info);
    let registry = tracing_subscriber::registry().with(hub.layer());
    tracing::subscriber::with_default(registry, || {
        tracing::info!(target: "agent.ipc", "Accepted client: 127.0.0.1:9");
        tracing::debug!(target: "folkmoot_serf::intents", member = "alpha", "refuting");
        tracing::warn!(target: "raft", "the Raft port is open");
        tracing::info!(target: "mio::poll", "noise");
        tracing::info!(target: "openraft::core", "noise");
    });
    let (backlog, _subscription) = hub.subscribe(Level::Trace, mpsc::channel(1).0, "a".into());
    let lines: Vec<_> = backlog.iter().map(|line| tail(line)).collect();
    let expected = [
        "[INFO] agent.ipc: Accepted client: 127.0.0.1:9",
        "[DEBUG] serf: refuting member=\"alpha\"",
        "[WARN] raft: the Raft port is open",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_closed_stdout_does_not_stop_anybody() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let hub = LogHub::with_writer(Level::Info, Box::new(Closed));
    hub.release();
    for _ in 0..3 {
        hub.log(Level::Info, "agent", "still here");
    }
    hub.flush(Duration::from_secs(5));
    let (backlog, _subscription) = hub.subscribe(Level::Info, mpsc::channel(1).0, "a".into());
    assert_eq!(backlog.len(), 3);
}
