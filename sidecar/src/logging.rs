//! The agent's log: level filter at run time, lines on stdout, and the backlog and live lines of RPC's `monitor`.
//!
//! Lines look as Go's do, because tools grep for them: `YYYY/MM/DD HH:MM:SS [LEVEL] component: text`, local time
//! (`docs/spec/agent-cli.md` 3.5, `docs/spec/rpc.md` 8.2). Answers to Go's `log_writer.go`, `gated_writer.go`,
//! `log_levels.go` and `ipc_log_stream.go`. `layer.rs` turns `tracing` events into lines, `writer.rs` owns stdout, `syslog.rs` the way to syslog.
//! Nobody who logs ever waits: every queue here is bounded and drops its newest line.

mod layer;
pub mod syslog;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Local;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

pub use layer::LogLayer;
use syslog::Syslog;
use writer::Writer;

/// Lines kept for `monitor`, of any level. Go: `NewLogWriter(512)`; the oldest goes.
pub const BACKLOG_LINES: usize = 512;
/// Lines held back until the banner is out. Ours (Go has no limit); the newest goes.
pub const HELD_LINES: usize = 4096;

/// How important a line is, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every packet.
    Trace,
    /// A turn off the usual path.
    Debug,
    /// A change an operator cares about.
    Info,
    /// Unusual, but working.
    Warn,
    /// Broken.
    Err,
}

impl Level {
    /// Reads Serf's names in any case: `TRACE DEBUG INFO WARN ERR`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Err]
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text))
    }

    /// Serf's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Err => "ERR",
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Trace => 0,
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warn => 3,
            Self::Err => 4,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One log call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its level; lines without one pass every filter.
    pub level: Option<Level>,
    /// The whole line, without its final newline. Error texts may bring newlines inside.
    pub text: String,
}

impl LogLine {
    fn passes(&self, minimum: Level) -> bool {
        self.level.is_none_or(|level| level >= minimum)
    }
}

/// The one place all log lines go through. Cheap to clone.
#[derive(Clone)]
pub struct LogHub {
    shared: Arc<Shared>,
}

impl fmt::Debug for LogHub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogHub").field("minimum", &self.minimum()).finish_non_exhaustive()
    }
}

struct Shared {
    /// Lowest rank anybody wants: lines below it are not even formatted. Never above DEBUG, because the backlog keeps
    /// what Go's would; TRACE lines (one per packet) would push everything else out of it within seconds.
    wanted: AtomicU8,
    state: Mutex<State>,
}

struct State {
    minimum: Level,
    backlog: VecDeque<Arc<LogLine>>,
    /// `Some` until the banner is out.
    held: Option<Vec<Arc<LogLine>>>,
    held_dropped: usize,
    subscribers: BTreeMap<u64, Subscriber>,
    next_subscriber: u64,
    writer: Writer,
    syslog: Option<Syslog>,
}

struct Subscriber {
    minimum: Level,
    queue: mpsc::Sender<Arc<LogLine>>,
    label: String,
    /// Set from the first dropped line until one fits again: one WARN for each such spell.
    dropping: bool,
}

impl LogHub {
    /// A hub that writes to stdout lines of at least `minimum`, holding them back until [`LogHub::release`].
    pub fn stdout(minimum: Level) -> Self {
        Self::with_writer(minimum, Box::new(std::io::stdout()))
    }

    /// A hub that writes nowhere; `monitor` works. For tests.
    pub fn silent(minimum: Level) -> Self {
        let hub = Self::with_writer(minimum, Box::new(std::io::sink()));
        hub.release();
        hub
    }

    /// A hub that writes to `output`, holding lines back until [`LogHub::release`].
    pub fn with_writer(minimum: Level, output: Box<dyn Write + Send>) -> Self {
        let state = State {
            minimum,
            backlog: VecDeque::with_capacity(BACKLOG_LINES),
            held: Some(Vec::new()),
            held_dropped: 0,
            subscribers: BTreeMap::new(),
            next_subscriber: 0,
            writer: Writer::start(output),
            syslog: None,
        };
        let wanted = AtomicU8::new(state.wanted());
        Self { shared: Arc::new(Shared { wanted, state: Mutex::new(state) }) }
    }

    /// A layer that feeds this hub, for a `tracing` registry.
    pub fn layer(&self) -> LogLayer {
        LogLayer::new(self.clone())
    }

    /// Lowest level written to stdout.
    pub fn minimum(&self) -> Level {
        self.lock().minimum
    }

    /// Changes the lowest level written to stdout, from the next line on.
    pub fn set_minimum(&self, minimum: Level) {
        let mut state = self.lock();
        state.minimum = minimum;
        self.shared.wanted.store(state.wanted(), Ordering::Relaxed);
    }

    /// Every line that goes to stdout from here on goes to `syslog` too, at once even while stdout is held back.
    pub fn set_syslog(&self, syslog: Syslog) {
        self.lock().syslog = Some(syslog);
    }

    /// Prints `text` and a newline on stdout at once, unfiltered: banner and messages to the operator.
    pub fn print(&self, text: &str) {
        self.lock().writer.write(format!("{text}\n"));
    }

    /// Writes what was held back and holds nothing back any more: the banner is out.
    pub fn release(&self) {
        let mut state = self.lock();
        for line in state.held.take().unwrap_or_default() {
            state.write(&line);
        }
        let dropped = std::mem::take(&mut state.held_dropped);
        if dropped > 0 {
            state.writer.write(format!("    {dropped} log lines from the start were dropped\n"));
        }
    }

    /// Waits until stdout has taken everything written so far, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let done = self.lock().writer.flush();
        if let Some(done) = done {
            let _ = done.recv_timeout(limit);
        }
    }

    /// Logs one line. `component` as in `agent.ipc`; `text` must not contain keys.
    pub fn log(&self, level: Level, component: &str, text: &str) {
        if !self.wants(level) {
            return;
        }
        let line = Arc::new(self.format(level, component, text));
        let mut state = self.lock();
        for label in state.accept(&line) {
            // Not shown to the client that is behind: it would only fall further behind.
            let notice = self.format(Level::Warn, "agent.ipc", &format!("Dropping logs to ipc.client: {label}"));
            let notice = Arc::new(notice);
            state.write(&notice);
            state.keep(notice);
        }
    }

    /// The backlog of at least `minimum`, and every later line of at least `minimum` into `queue`, without a gap.
    ///
    /// A full queue loses the newest line and is reported once per spell as dropping logs to `label` (the peer's
    /// address). Dropping the [`LogSubscription`] ends it.
    pub fn subscribe(
        &self,
        minimum: Level,
        queue: mpsc::Sender<Arc<LogLine>>,
        label: String,
    ) -> (Vec<Arc<LogLine>>, LogSubscription) {
        let mut state = self.lock();
        let backlog = state.backlog.iter().filter(|line| line.passes(minimum)).cloned().collect();
        let id = state.next_subscriber;
        state.next_subscriber = id.wrapping_add(1);
        state.subscribers.insert(id, Subscriber { minimum, queue, label, dropping: false });
        self.shared.wanted.store(state.wanted(), Ordering::Relaxed);
        (backlog, LogSubscription { hub: self.clone(), id })
    }

    fn wants(&self, level: Level) -> bool {
        level.rank() >= self.shared.wanted.load(Ordering::Relaxed)
    }

    fn format(&self, level: Level, component: &str, text: &str) -> LogLine {
        // The time zone's file is looked at again as time goes by: summer time and a changed zone are followed.
        let time = Local::now().format("%Y/%m/%d %H:%M:%S");
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = format!("{time} [{level}] {component}: {text}");
        LogLine { level: Some(level), text }
    }

    /// A thread that panicked while logging leaves nothing half done that matters: go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hands `line` to everybody; returns the labels of subscribers that started to lose lines.
    fn accept(&mut self, line: &Arc<LogLine>) -> Vec<String> {
        let mut fell_behind = Vec::new();
        for subscriber in self.subscribers.values_mut().filter(|subscriber| line.passes(subscriber.minimum)) {
            match subscriber.queue.try_send(Arc::clone(line)) {
                Ok(()) => subscriber.dropping = false,
                Err(TrySendError::Full(_)) if !subscriber.dropping => {
                    subscriber.dropping = true;
                    fell_behind.push(subscriber.label.clone());
                }
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {}
            }
        }
        self.write(line);
        self.keep(Arc::clone(line));
        fell_behind
    }

    fn keep(&mut self, line: Arc<LogLine>) {
        if line.level == Some(Level::Trace) {
            return;
        }
        if self.backlog.len() >= BACKLOG_LINES {
            self.backlog.pop_front();
        }
        self.backlog.push_back(line);
    }

    fn write(&mut self, line: &Arc<LogLine>) {
        if !line.passes(self.minimum) {
            return;
        }
        // Every line begins `date [LEVEL] `, and syslog has its own ways to say both.
        if let Some(syslog) = &self.syslog
            && let Some((_, text)) = line.text.split_once("] ")
        {
            syslog.write(line.level, text);
        }
        match &mut self.held {
            Some(held) if held.len() < HELD_LINES => held.push(Arc::clone(line)),
            Some(_) => self.held_dropped = self.held_dropped.saturating_add(1),
            None => self.writer.write(format!("    {}\n", line.text)),
        }
    }

    fn wanted(&self) -> u8 {
        let monitors = self.subscribers.values().map(|subscriber| subscriber.minimum);
        monitors.chain([self.minimum, Level::Debug]).map(Level::rank).min().unwrap_or(0)
    }
}

/// Ends the subscription when dropped.
#[derive(Debug)]
pub struct LogSubscription {
    hub: LogHub,
    id: u64,
}

impl Drop for LogSubscription {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.subscribers.remove(&self.id);
        self.hub.shared.wanted.store(state.wanted(), Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "logging_tests.rs"]
mod tests;
