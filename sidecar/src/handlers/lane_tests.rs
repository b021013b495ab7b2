//! What holds a script back: its own queue, and the scripts that run already.

use bytes::Bytes;
use folkmoot_serf::{Event, LamportTime, UserEvent};
use tokio::time::timeout;

use super::super::registry::Source;
use super::super::spec::HandlerSpec;
use super::super::{Local, limits};
use super::*;

/// A file that scripts wait for to go.
struct Held(std::path::PathBuf);

impl Held {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("folkmoot-lane-{}-{name}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        Self(path)
    }

    fn handler(&self) -> Arc<Handler> {
        handler(&format!("while [ -e {} ]; do sleep 0.02; done", self.0.display()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn handler(script: &str) -> Arc<Handler> {
    Handler::new(HandlerSpec::parse(&format!("user={script}")).unwrap(), Source::Rpc)
}

fn workshop(scripts_at_once: usize) -> Workshop {
    let (node, _) = NodeHandle::new(1);
    let workshop = Workshop::new(node, Telemetry::in_memory(), limits::SCRIPT_TIME_LIMIT);
    Workshop { processes: Arc::new(Semaphore::new(scripts_at_once)), ..workshop }
}

fn invocation() -> Arc<Invocation> {
    let payload = Some(Bytes::from_static(b"x"));
    let event = Event::User(UserEvent { ltime: LamportTime(1), name: "x".into(), payload, coalesce: false });
    Arc::new(Invocation { event: Arc::new(event), answer_by: None, local: Local::default() })
}

/// Long enough for anything but a script that is held.
const PATIENCE: Duration = Duration::from_secs(30);

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it comes true");
}

#[tokio::test]
async fn no_more_scripts_run_at_once_than_there_are_permits() {
    let workshop = workshop(1);
    let (held, quick) = (Held::new("permits"), handler("true"));
    let (first, second) = (Lane::start(workshop.clone(), 4), Lane::start(workshop.clone(), 4));
    let _held = first.take(&held.handler(), &invocation()).unwrap();
    until(|| workshop.processes.available_permits() == 0).await;
    let mut ended = second.take(&quick, &invocation()).unwrap();
    tokio::task::yield_now().await;
    assert!(!second.is_idle(), "it waits for its turn");
    assert!(timeout(Duration::from_millis(1), &mut ended).await.is_err());
    drop(held);
    assert!(timeout(PATIENCE, ended).await.is_ok());
    assert!(first.is_idle() && second.is_idle());
    assert_eq!(quick.counters.runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_full_lane_loses_the_newest_and_says_how_many() {
    let (held, lane) = (Held::new("full"), Lane::start(workshop(1), 2));
    let handler = held.handler();
    let mut last = lane.take(&handler, &invocation()).unwrap();
    // The first is taken out of the queue before the others come.
    until(|| lane.jobs.capacity() == 2).await;
    for _ in 0..2 {
        last = lane.take(&handler, &invocation()).unwrap();
    }
    assert!(lane.take(&handler, &invocation()).is_none());
    assert!(lane.take(&handler, &invocation()).is_none());
    assert_eq!(handler.counters.losses.total(), 2);
    assert_eq!(handler.counters.waiting.load(Ordering::Relaxed), 3);
    drop(held);
    assert!(timeout(PATIENCE, last).await.is_ok());
    assert!(lane.take(&handler, &invocation()).is_some(), "there is room again");
    lane.finish().await;
    assert_eq!(handler.counters.runs.load(Ordering::Relaxed), 4);
    assert_eq!(handler.counters.waiting.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_a_script_cannot_be_told_fails_the_run() {
    let lane = Lane::start(workshop(1), 2);
    let handler = handler("true");
    let event = Event::User(UserEvent { ltime: LamportTime(1), name: "a\0b".into(), payload: None, coalesce: false });
    let invocation = Arc::new(Invocation { event: Arc::new(event), answer_by: None, local: Local::default() });
    let ended = lane.take(&handler, &invocation).unwrap();
    assert!(timeout(PATIENCE, ended).await.is_ok());
    assert_eq!(handler.counters.failures.load(Ordering::Relaxed), 1);
}
