//! [`Losses`]: events that were dropped because a queue was full; told once per spell, not once per event.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts what one queue lost.
#[derive(Debug, Default)]
pub struct Losses {
    total: AtomicU64,
    losing: AtomicBool,
}

impl Losses {
    /// How many so far.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Notes one; the first of a spell is logged. `whose`: for the log line.
    pub fn lost(&self, whose: &str) {
        let total = self.total.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !self.losing.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "agent", "Dropping events for {whose}: too many wait already ({total} dropped so far)");
        }
    }

    /// Notes that one found room: the spell is over.
    pub fn took(&self, whose: &str) {
        if self.losing.load(Ordering::Relaxed) && self.losing.swap(false, Ordering::Relaxed) {
            let total = self.total();
            tracing::warn!(target: "agent", "Events for {whose} find room again ({total} dropped so far)");
        }
    }
}
