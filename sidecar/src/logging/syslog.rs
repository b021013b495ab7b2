//! Log lines to the system's syslog (`docs/spec/agent-cli.md` 3.5), in the form Go's agent sends them (measured):
//! `<PRIORITY>Nov 20 22:24:53 serf[PID]: agent: Serf agent starting`, one datagram per line, without date and level.
//!
//! A thread of its own writes. A syslog that does not keep up, or goes away, costs lines and never stops the node; one
//! that comes back is found again. Answers to Go's `syslog.go` and to go-syslog.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chrono::Local;

use super::Level;

/// Where syslog listens. Go: `unixSyslog` in `log/syslog`.
pub const SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// Lines waiting for syslog. Ours; the newest is dropped, stdout has it.
const WAITING_LINES: usize = 1024;

/// Time syslog gets to take one line. Ours; then the line is lost.
const WRITE_LIMIT: Duration = Duration::from_secs(1);

/// Bytes of a line's text. Ours: below what the kernel takes for one datagram; the rest of the line is cut.
const LINE_BYTES: usize = 64 * 1024;

/// Time between two attempts to find a syslog that went away. Ours; lines in between are lost.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The facility where none is configured.
pub const DEFAULT_FACILITY: &str = "LOCAL0";

/// The facilities by name and number (RFC 3164), as go-syslog knows them.
const FACILITIES: [(&str, u8); 20] = [
    ("KERN", 0),
    ("USER", 1),
    ("MAIL", 2),
    ("DAEMON", 3),
    ("AUTH", 4),
    ("SYSLOG", 5),
    ("LPR", 6),
    ("NEWS", 7),
    ("UUCP", 8),
    ("CRON", 9),
    ("AUTHPRIV", 10),
    ("FTP", 11),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];

/// Why lines cannot go to syslog. The texts are Go's, after `Syslog setup failed: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyslogError {
    /// The configuration names no facility there is.
    #[error("invalid syslog facility: {0}")]
    Facility(String),
    /// Nobody listens.
    #[error("Unix syslog delivery error")]
    NoDaemon,
}

/// The way to syslog. Dropping it ends the thread once it has written what waits.
#[derive(Debug)]
pub struct Syslog {
    facility: u8,
    queue: mpsc::SyncSender<String>,
}

impl Syslog {
    /// Connects to the first of `sockets` that somebody listens on.
    ///
    /// # Errors
    /// [`SyslogError`].
    pub fn open(facility: &str, sockets: &[PathBuf]) -> Result<Self, SyslogError> {
        let known = FACILITIES.iter().find(|(name, _)| *name == facility.to_uppercase());
        let (_, facility) = known.ok_or_else(|| SyslogError::Facility(facility.to_owned()))?;
        let socket = connect(sockets).ok_or(SyslogError::NoDaemon)?;
        let (queue, lines) = mpsc::sync_channel(WAITING_LINES);
        let sockets = sockets.to_vec();
        std::thread::Builder::new()
            .name("syslog".into())
            .spawn(move || write_all(&lines, socket, &sockets))
            .map_err(|_| SyslogError::NoDaemon)?;
        Ok(Self { facility: *facility, queue })
    }

    /// Hands on one line: `component: text`. A full queue drops it.
    pub(super) fn write(&self, level: Option<Level>, text: &str) {
        let priority = u16::from(self.facility) << 3 | u16::from(severity(level));
        let time = Local::now().format("%b %e %H:%M:%S");
        let cut = text.floor_char_boundary(LINE_BYTES);
        let text = text.get(..cut).unwrap_or_default();
        let _ = self.queue.try_send(format!("<{priority}>{time} serf[{}]: {text}\n", std::process::id()));
    }
}

/// Go's `levelPriority`.
fn severity(level: Option<Level>) -> u8 {
    match level {
        Some(Level::Err) => 3,
        Some(Level::Warn) => 4,
        Some(Level::Info) | None => 5,
        Some(Level::Debug) => 6,
        Some(Level::Trace) => 7,
    }
}

fn connect(sockets: &[PathBuf]) -> Option<UnixDatagram> {
    let open = |path: &Path| {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(WRITE_LIMIT))?;
        std::io::Result::Ok(socket)
    };
    sockets.iter().find_map(|path| open(path).ok())
}

fn write_all(lines: &mpsc::Receiver<String>, socket: UnixDatagram, sockets: &[PathBuf]) {
    let mut socket = Some(socket);
    let mut tried: Option<Instant> = None;
    while let Ok(line) = lines.recv() {
        if send(socket.as_ref(), &line) {
            continue;
        }
        socket = None;
        if tried.is_none_or(|tried| tried.elapsed() >= RECONNECT_PAUSE) {
            tried = Some(Instant::now());
            socket = connect(sockets);
            send(socket.as_ref(), &line);
        }
    }
}

/// False: this way is closed. A line that syslog does not take in time is lost, and the way stays.
fn send(socket: Option<&UnixDatagram>, line: &str) -> bool {
    match socket.map(|socket| socket.send(line.as_bytes())) {
        Some(Ok(_)) => true,
        Some(Err(error)) => matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::LogHub;

    /// A syslog of the test's own.
    struct Daemon {
        path: PathBuf,
        socket: UnixDatagram,
    }

    impl Daemon {
        fn start(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("folkmoot-syslog-{name}-{}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Self { path, socket }
        }

        fn receive(&self) -> String {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        }
    }

    impl Drop for Daemon {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn stamp_is_gos(line: &str) -> bool {
        let stamp = line.split_once('>').unwrap().1.get(..15).unwrap_or_default();
        chrono::NaiveDateTime::parse_from_str(&format!("2026 {stamp}"), "%Y %b %e %H:%M:%S").is_ok()
    }

    #[test]
    fn lines_go_out_in_gos_form_without_their_level_and_before_the_banner() {
        let daemon = Daemon::start("form");
        let hub = LogHub::with_writer(Level::Debug, Box::new(std::io::sink()));
        hub.set_syslog(Syslog::open("local0", std::slice::from_ref(&daemon.path)).unwrap());
        let pid = std::process::id();
        for (level, priority) in [(Level::Debug, 134), (Level::Info, 133), (Level::Warn, 132), (Level::Err, 131)] {
            hub.log(level, "serf", "EventMemberJoin: [x] 10.0.0.1");
            let line = daemon.receive();
            assert!(line.starts_with(&format!("<{priority}>")), "{line}");
            assert!(line.ends_with(&format!(" serf[{pid}]: serf: EventMemberJoin: [x] 10.0.0.1\n")), "{line}");
            assert!(stamp_is_gos(&line), "{line}");
        }
    }

    #[test]
    fn the_level_of_the_agent_holds_for_syslog_too() {
        let daemon = Daemon::start("level");
        let hub = LogHub::silent(Level::Warn);
        hub.set_syslog(Syslog::open("DAEMON", std::slice::from_ref(&daemon.path)).unwrap());
        hub.log(Level::Info, "agent", "not shown");
        hub.log(Level::Err, "agent", "shown");
        let line = daemon.receive();
        assert!(line.starts_with("<27>") && line.ends_with(": agent: shown\n"), "{line}");
    }

    #[test]
    fn a_syslog_that_was_restarted_is_found_again() {
        let first = Daemon::start("again");
        let hub = LogHub::silent(Level::Info);
        hub.set_syslog(Syslog::open("USER", std::slice::from_ref(&first.path)).unwrap());
        hub.log(Level::Info, "agent", "one");
        assert!(first.receive().ends_with("agent: one\n"));
        drop(first);
        let second = Daemon::start("again");
        hub.log(Level::Info, "agent", "two");
        assert!(second.receive().ends_with("agent: two\n"));
    }

    #[test]
    fn faults_have_gos_texts() {
        let text = |facility, path: &str| Syslog::open(facility, &[path.into()]).unwrap_err().to_string();
        assert_eq!(text("NOPE", "/"), "invalid syslog facility: NOPE");
        assert_eq!(text("LOCAL7", "/nonexistent/log"), "Unix syslog delivery error");
    }
}
