//! The snapshot file: what the agent remembers over a restart, in Go's format.
//!
//! Answers to Go's `serf/snapshot.go` and `docs/spec/serf-gossip.md` section 15. What the lines are and mean is the
//! engine's (`folkmoot_serf::records`); here is the file: opening and repairing it in `open.rs`, what waits to be written
//! in `backlog.rs`, when what is written and what follows from a failing disk in `journal.rs`, the disk in `disk.rs`.
//!
//! A thread of its own writes, so that a slow disk holds nobody up: the node task only puts records into a backlog, which
//! keeps the newest one per member and clock and so stays small however long the disk stalls. Lines reach the file at
//! most [`SNAPSHOT_FLUSH_INTERVAL`] after their event (Go: only when another line follows, F11).

mod backlog;
mod disk;
mod journal;
mod open;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use folkmoot_serf::records::AfterLeave;
use folkmoot_serf::{Record, Restored};
use tokio::sync::oneshot;

use crate::limits::{
    REFUSAL_WARNING_INTERVAL, SNAPSHOT_CLOSE_LIMIT, SNAPSHOT_FLUSH_INTERVAL, SNAPSHOT_STALL_TOLERANCE,
};
use backlog::Backlog;
use disk::{Disk, RealDisk};
use journal::Journal;
pub use open::OpenError;

/// A snapshot file that was read and can be written; nobody writes yet.
#[derive(Debug)]
pub struct Opened {
    restored: Restored,
    journal: Journal<RealDisk>,
    path: PathBuf,
}

impl Opened {
    /// Opens or creates the file, reads it, and repairs what a crash left behind.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be read or written, or another process has it. It is as it was.
    pub fn open(path: &Path, after_leave: AfterLeave) -> Result<Self, OpenError> {
        open::open(path, after_leave)
    }

    /// What the file brought back: for the engine's configuration.
    pub fn restored(&self) -> &Restored {
        &self.restored
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(self) -> std::io::Result<Snapshot> {
        Snapshot::start(self.path, self.journal)
    }
}

/// The way to the thread that writes.
#[derive(Debug)]
pub struct Snapshot {
    queue: Arc<Queue>,
    done: oneshot::Receiver<()>,
    path: PathBuf,
}

impl Snapshot {
    fn start<D: Disk + Send + 'static>(path: PathBuf, mut journal: Journal<D>) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let (closed, done) = oneshot::channel();
        let shared = Arc::clone(&queue);
        std::thread::Builder::new().name("snapshot".to_owned()).spawn(move || {
            write_until_closed(&shared, &mut journal);
            // The lock on the file ends with it, so that whoever waits for the end may open it again.
            drop(journal);
            let _ = closed.send(());
        })?;
        Ok(Self { queue, done, path })
    }

    /// Has a record written. Never waits for the disk; says so when the disk is stuck.
    pub fn record(&self, record: Record) {
        let mut waiting = self.queue.lock();
        let urgent = record == Record::Leave;
        let wake = urgent || waiting.backlog.is_empty();
        waiting.backlog.push(record);
        let stalled = waiting.stalled(Instant::now());
        let (lines, lost) = (waiting.backlog.len(), waiting.backlog.lost());
        drop(waiting);
        if let Some(stalled) = stalled {
            let (path, seconds) = (self.path.display(), stalled.as_secs());
            tracing::warn!(
                target: "serf",
                "Snapshot {path}: the disk has not answered for {seconds} s; {lines} lines wait, {lost} are lost"
            );
        }
        if wake {
            self.queue.changed.notify_one();
        }
    }

    /// Writes and syncs what waits, and ends the thread. A disk that does not answer is given up after
    /// [`SNAPSHOT_CLOSE_LIMIT`], with a warning.
    pub async fn close(mut self) {
        self.queue.close();
        if tokio::time::timeout(SNAPSHOT_CLOSE_LIMIT, &mut self.done).await.is_err() {
            let (path, lines) = (self.path.display(), self.queue.lock().backlog.len());
            tracing::error!(
                target: "serf",
                "Snapshot {path}: the disk does not answer; stopping without it, {lines} lines or more are not written"
            );
        }
    }
}

/// Whoever gives it up without waiting (a start that failed) still ends the thread.
impl Drop for Snapshot {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// What the node task and the writing thread share. The lock is never held while the disk works.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    backlog: Backlog,
    closing: bool,
    /// When the thread turned to the disk.
    busy_since: Option<Instant>,
    warned: Option<Instant>,
}

impl Waiting {
    /// For how long the disk has not answered, if that is to be told.
    fn stalled(&mut self, now: Instant) -> Option<Duration> {
        let stalled = now.duration_since(self.busy_since?);
        let told = self.warned.is_some_and(|warned| now.duration_since(warned) < REFUSAL_WARNING_INTERVAL);
        if stalled < SNAPSHOT_STALL_TOLERANCE || told {
            return None;
        }
        self.warned = Some(now);
        Some(stalled)
    }
}

impl Queue {
    /// A thread that panicked while it held the lock has ended the process; where panics unwind, its data is whole.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_one();
    }

    /// Waits until there is something to write and `flush_at` has come, or `retry_at` has come, or it is urgent. Returns
    /// what waits, and whether it is the last.
    fn next(&self, flush_at: Instant, retry_at: Option<Instant>) -> (Backlog, bool) {
        let mut waiting = self.lock();
        waiting.busy_since = None;
        loop {
            let now = Instant::now();
            let flush = (!waiting.backlog.is_empty()).then_some(flush_at);
            let due = [flush, retry_at].into_iter().flatten().min();
            let urgent = waiting.closing || waiting.backlog.holds_leave();
            let left = due.map(|due| due.saturating_duration_since(now));
            if urgent || left.is_some_and(|left| left.is_zero()) {
                waiting.busy_since = Some(now);
                return (std::mem::take(&mut waiting.backlog), waiting.closing);
            }
            waiting = match left {
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

fn write_until_closed<D: Disk>(queue: &Queue, journal: &mut Journal<D>) {
    let mut flush_at = Instant::now();
    loop {
        let (batch, last) = queue.next(flush_at, journal.retry_at());
        let now = Instant::now();
        journal.write(now, batch);
        flush_at = now + SNAPSHOT_FLUSH_INTERVAL;
        if last {
            journal.close();
            return;
        }
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
