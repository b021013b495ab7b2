//! What was refused at a bound, counted bound by bound since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub(crate) calls: AtomicU64,
    pub(crate) long_calls: AtomicU64,
    pub(crate) proposals: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) watches: AtomicU64,
}

/// How much was refused at the bounds of this member since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// Calls of other agents beyond [`crate::limits::CALLS_PER_STREAM`] or [`crate::limits::CALL_BYTES_PER_STREAM`].
    pub calls: u64,
    /// Calls longer than a frame while another one was on its way.
    pub long_calls: u64,
    /// Proposals beyond [`crate::limits::PROPOSALS_MAX`].
    pub proposals: u64,
    /// Callers that waited for a reply beyond [`crate::limits::ANSWERS_MAX`].
    pub waits: u64,
    /// Watches beyond [`crate::limits::WATCHES_MAX`].
    pub watches: u64,
}

impl Refused {
    /// One more.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them.
    pub(crate) fn so_far(&self) -> Refusals {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Refusals {
            calls: of(&self.calls),
            long_calls: of(&self.long_calls),
            proposals: of(&self.proposals),
            waits: of(&self.waits),
            watches: of(&self.watches),
        }
    }
}
