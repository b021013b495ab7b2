//! What is written when, and what happens when the disk fails.
//!
//! Lines are appended; when the file has grown far beyond what it says, a short one takes its place. A failing disk
//! never ends the agent: what could not be written is kept (bounded, `backlog.rs`), and tried again, first as a new
//! short file (at most every [`SNAPSHOT_COMPACTION_RETRY`], as in Go), then as lines at the end of the old one.

use std::time::Instant;

use folkmoot_serf::records::{AfterLeave, compaction_threshold};
use folkmoot_serf::{Record, Restored};

use super::backlog::Backlog;
use super::disk::{Disk, DiskError};
use crate::duration::GoDuration;
use crate::limits::{SNAPSHOT_APPEND_RETRY, SNAPSHOT_COMPACTION_RETRY};

/// The writer's side of the file.
#[derive(Debug)]
pub(super) struct Journal<D> {
    disk: D,
    /// What the file will say once `unwritten` is in it.
    state: Restored,
    after_leave: AfterLeave,
    unwritten: Backlog,
    /// Bytes of whole lines in the file.
    size: u64,
    /// Part of a line could not be taken away again: the next line has to end it first.
    torn: bool,
    /// After a farewell no compaction may take it away.
    left: bool,
    failing: Option<Failing>,
    compaction_failed: Option<Instant>,
    compactions: u64,
}

/// The last attempt to append failed.
#[derive(Debug)]
struct Failing {
    retry_at: Instant,
    attempts: u64,
}

impl<D: Disk> Journal<D> {
    /// Goes on behind `size` bytes of whole lines that say `state`.
    pub fn new(disk: D, state: Restored, size: u64, after_leave: AfterLeave) -> Self {
        Self {
            disk,
            state,
            after_leave,
            unwritten: Backlog::default(),
            size,
            torn: false,
            left: false,
            failing: None,
            compaction_failed: None,
            compactions: 0,
        }
    }

    /// Takes away what is behind the whole lines. On failure the next line ends it instead.
    pub fn cut(&mut self) -> Result<(), DiskError> {
        let result = self.disk.cut(self.size);
        self.torn = result.is_err();
        result
    }

    /// When to call [`Journal::write`] even if there is nothing new.
    pub fn retry_at(&self) -> Option<Instant> {
        self.failing.as_ref().map(|failing| failing.retry_at)
    }

    /// Writes `batch` and what could not be written before.
    pub fn write(&mut self, now: Instant, batch: Backlog) {
        let leaves = batch.holds_leave();
        tell_lost(&batch);
        for record in batch.into_records() {
            self.note(record);
        }
        let waits = self.failing.as_ref().is_some_and(|failing| now < failing.retry_at);
        if self.unwritten.is_empty() || (waits && !leaves) {
            return;
        }
        match self.append() {
            Ok(()) => self.recovered(),
            Err(error) => self.failed(now, &error),
        }
        if leaves {
            self.sync("leave");
        }
        let members = self.state.members.len().saturating_add(self.state.failed.len());
        if self.size > compaction_threshold(members) && self.may_compact(now) {
            self.compact(now);
        }
    }

    /// The last attempt, whatever time it is; then everything is on the disk, or the log says what is not.
    pub fn close(&mut self) {
        if !self.unwritten.is_empty()
            && let Err(error) = self.append()
        {
            if !self.left {
                self.compact(Instant::now());
            }
            let lines = self.unwritten.len();
            if lines > 0 {
                tracing::error!(target: "serf", "Failed to update snapshot: {error}; {lines} lines are lost");
            }
        }
        self.sync("shutdown");
    }

    fn note(&mut self, record: Record) {
        if record == Record::Leave {
            self.left = true;
        }
        // What a name that cannot be written stands for is not in the file either.
        let mut line = Vec::new();
        record.write(&mut line);
        if line.is_empty() {
            return;
        }
        self.state.apply(record.clone(), self.after_leave);
        self.unwritten.push(record);
    }

    fn append(&mut self) -> Result<(), DiskError> {
        let mut lines = Vec::new();
        if self.torn {
            lines.push(b'\n');
        }
        lines.extend(self.unwritten.lines());
        match self.disk.append(&lines) {
            Ok(()) => {
                self.size = self.size.saturating_add(lines.len() as u64);
                self.torn = false;
                tell_lost(&std::mem::take(&mut self.unwritten));
                Ok(())
            }
            Err(error) => {
                // What went wrong is told already; the line that comes next knows what to do.
                let _ = self.cut();
                Err(error)
            }
        }
    }

    fn recovered(&mut self) {
        if let Some(failing) = self.failing.take() {
            let attempts = failing.attempts;
            tracing::info!(target: "serf", "The snapshot is written again, after {attempts} failed attempts");
        }
    }

    /// One line when it begins, not one per attempt.
    fn failed(&mut self, now: Instant, error: &DiskError) {
        let attempts = self.failing.as_ref().map_or(0, |failing| failing.attempts).saturating_add(1);
        self.failing = Some(Failing { retry_at: now + SNAPSHOT_APPEND_RETRY, attempts });
        if attempts == 1 {
            let pause = GoDuration::from(SNAPSHOT_APPEND_RETRY);
            tracing::error!(
                target: "serf",
                "Failed to update snapshot: {error}; the agent goes on, and tries again every {pause}"
            );
        } else {
            tracing::debug!(target: "serf", "Failed to update snapshot: {error} (attempt {attempts})");
        }
        if self.may_compact(now) {
            tracing::info!(target: "serf", "Attempting compaction to recover from error...");
            self.compact(now);
            if self.unwritten.is_empty() {
                self.failing = None;
                tracing::info!(target: "serf", "Finished compaction, successfully recovered from error state");
            }
        }
    }

    fn may_compact(&self, now: Instant) -> bool {
        let failed = self.compaction_failed;
        !self.left && failed.is_none_or(|failed| now.duration_since(failed) >= SNAPSHOT_COMPACTION_RETRY)
    }

    /// Replaces the file by the shortest one that says the same. On failure the file is as it was.
    fn compact(&mut self, now: Instant) {
        let contents = self.state.compact();
        let replaced = self.disk.prepare(&contents).and_then(|()| self.disk.swap());
        match replaced {
            Ok(()) => {
                let (before, after) = (self.size, contents.len());
                self.compactions = self.compactions.saturating_add(1);
                let compactions = self.compactions;
                tracing::debug!(
                    target: "serf",
                    "Compacted the snapshot from {before} to {after} bytes ({compactions} times so far)"
                );
                self.size = contents.len() as u64;
                self.torn = false;
                // Whatever was lost from it is in the new file.
                self.unwritten = Backlog::default();
                self.compaction_failed = None;
            }
            Err(error) => {
                let pause = GoDuration::from(SNAPSHOT_COMPACTION_RETRY);
                tracing::error!(target: "serf", "Compaction failed, will reattempt after {pause}: {error}");
                self.compaction_failed = Some(now);
            }
        }
    }

    fn sync(&mut self, occasion: &str) {
        if let Err(error) = self.disk.sync() {
            tracing::error!(target: "serf", "failed to sync {occasion} to snapshot: {error}");
        }
    }
}

fn tell_lost(backlog: &Backlog) {
    let lost = backlog.lost();
    if lost > 0 {
        tracing::warn!(target: "serf", "{lost} lines of the snapshot were lost while the disk did not take them");
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
