//! The end of the log in memory: what is not on disk yet, and the last of what is, so that followers and the state machine
//! read without the disk.

use std::collections::VecDeque;

use crate::limits::TAIL_BYTES;
use crate::types::{LogEntry, LogId, Payload, Vote};

/// The end of the log, and what is known of the whole.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    /// Consecutive; the last one is the last of the log.
    entries: VecDeque<LogEntry>,
    bytes: usize,
    /// Entries below this index are on disk.
    disk_end: u64,
}

/// Bytes that an entry is counted with.
pub(crate) fn weight(entry: &LogEntry) -> usize {
    let payload = match &entry.payload {
        Payload::Normal(proposal) => proposal.0.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    };
    payload.saturating_add(64)
}

impl Tail {
    /// What was found on disk: nothing of it is in memory yet.
    pub(crate) fn new(
        vote: Option<Vote>,
        committed: Option<LogId>,
        purged: Option<LogId>,
        last: Option<LogId>,
    ) -> Self {
        let disk_end = last.map_or(0, |last| last.index.saturating_add(1));
        Self { vote, committed, purged, last, entries: VecDeque::new(), bytes: 0, disk_end }
    }

    pub(crate) fn append(&mut self, entries: &[LogEntry]) {
        for entry in entries {
            self.last = Some(entry.log_id);
            self.bytes = self.bytes.saturating_add(weight(entry));
            self.entries.push_back(entry.clone());
        }
        self.shrink();
    }

    /// The writer has brought everything up to `index` to disk.
    pub(crate) fn on_disk(&mut self, index: u64) {
        self.disk_end = self.disk_end.max(index.saturating_add(1));
        self.shrink();
    }

    /// Entries behind `after` go; the writer is told by the caller, who waits for it before appending again.
    pub(crate) fn truncate_after(&mut self, after: Option<LogId>) {
        let end = after.map_or(0, |after| after.index.saturating_add(1));
        while let Some(entry) = self.entries.pop_back_if(|entry| entry.log_id.index >= end) {
            self.bytes = self.bytes.saturating_sub(weight(&entry));
        }
        self.last = after;
    }

    /// What was truncated is not on disk any more either.
    pub(crate) fn truncated_on_disk(&mut self) {
        self.disk_end = self.disk_end.min(self.end());
    }

    pub(crate) fn purge(&mut self, upto: LogId) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.log_id.index <= upto.index) {
            self.bytes = self.bytes.saturating_sub(weight(&entry));
        }
        self.purged = self.purged.max(Some(upto));
        if self.last < Some(upto) {
            self.last = Some(upto);
            self.disk_end = self.disk_end.max(self.end());
        }
    }

    /// The index behind the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.last.map_or(0, |last| last.index.saturating_add(1))
    }

    /// The index of the first entry in memory.
    pub(crate) fn first(&self) -> u64 {
        self.entries.front().map_or(self.end(), |entry| entry.log_id.index)
    }

    /// Entries in memory from `start` on, before `end`, about `bytes` of them.
    pub(crate) fn entries(&self, start: u64, end: u64, bytes: usize) -> Vec<LogEntry> {
        let skip = usize::try_from(start.saturating_sub(self.first())).unwrap_or(usize::MAX);
        let mut size = 0usize;
        let mut found = Vec::new();
        for entry in self.entries.iter().skip(skip).take_while(|entry| entry.log_id.index < end) {
            found.push(entry.clone());
            size = size.saturating_add(weight(entry));
            if size >= bytes {
                break;
            }
        }
        found
    }

    /// Forgets the oldest that are on disk.
    fn shrink(&mut self) {
        while self.bytes > TAIL_BYTES {
            let disk_end = self.disk_end;
            let Some(entry) = self.entries.pop_front_if(|entry| entry.log_id.index < disk_end) else { return };
            self.bytes = self.bytes.saturating_sub(weight(&entry));
        }
    }
}
