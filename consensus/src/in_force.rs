//! What the log says of a member at one of its places: each segment begins with it, every change moves it on.

use serde::{Deserialize, Serialize};

use crate::peer::{ClusterId, NodeId};
use crate::types::{ImageMeta, LogId, Vote};

/// The form of the files. A program refuses another one than its own.
pub(crate) const FORMAT: u32 = 2;

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) format: u32,
    pub(crate) node: NodeId,
    pub(crate) cluster: Option<ClusterId>,
}

/// A snapshot that is whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: u64,
    pub(crate) meta: ImageMeta,
    pub(crate) chunks: u32,
    pub(crate) bytes: u64,
}

/// What holds until another one says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Change {
    Owner(Owner),
    /// The level of the timing that was measured to be right, for the next start.
    Timing(u32),
    Vote(Vote),
    /// Entries up to here are decided.
    Committed(LogId),
    /// Entries behind this one go.
    TruncateAfter(Option<LogId>),
    /// Entries up to this one may go.
    Purge(LogId),
    /// A snapshot's file is whole: it takes the place of the one before.
    Snapshot(Stored),
}

/// A record of the log, as far as it changes what holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Entry(LogId),
    Change(Change),
}

/// All that holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InForce {
    /// Number of the last write.
    pub(crate) sequence: u64,
    pub(crate) owner: Owner,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    /// The last entry.
    pub(crate) last: Option<LogId>,
    pub(crate) snapshot: Option<Stored>,
    /// The level of the timing that was measured to be right.
    pub(crate) timing: Option<u32>,
}

impl InForce {
    /// Before anything is written.
    pub(crate) fn new(owner: Owner) -> Self {
        let (vote, committed, purged, last, snapshot, timing) = (None, None, None, None, None, None);
        Self { sequence: 0, owner, vote, committed, purged, last, snapshot, timing }
    }

    /// The index of the next entry.
    pub(crate) fn end(&self) -> u64 {
        behind(self.last)
    }

    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Entry(log_id) => self.last = Some(log_id),
            Step::Change(Change::Owner(owner)) => self.owner = owner,
            Step::Change(Change::Timing(level)) => self.timing = Some(level),
            Step::Change(Change::Vote(vote)) => self.vote = Some(vote),
            Step::Change(Change::Committed(committed)) => self.committed = Some(committed),
            Step::Change(Change::TruncateAfter(last)) => self.last = last,
            Step::Change(Change::Purge(upto)) => {
                self.purged = self.purged.max(Some(upto));
                self.last = self.last.max(Some(upto));
            }
            Step::Change(Change::Snapshot(stored)) => self.snapshot = Some(stored),
        }
    }
}

impl Step {
    /// The index of the next entry after this, if it was `end` before.
    pub(crate) fn end(&self, end: u64) -> u64 {
        match self {
            Self::Entry(log_id) => behind(Some(*log_id)),
            Self::Change(Change::TruncateAfter(last)) => behind(*last),
            Self::Change(Change::Purge(upto)) => end.max(behind(Some(*upto))),
            Self::Change(
                Change::Owner(_) | Change::Timing(_) | Change::Vote(_) | Change::Committed(_) | Change::Snapshot(_),
            ) => end,
        }
    }
}

/// The index behind an entry.
pub(crate) fn behind(log_id: Option<LogId>) -> u64 {
    log_id.map_or(0, |log_id| log_id.index.saturating_add(1))
}
