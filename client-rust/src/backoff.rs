//! [`Backoff`]: pauses between attempts, doubled each time, each a random half to whole of it, so that clients who lost the
//! same agent do not return in step.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::limits::{BACKOFF_FIRST, BACKOFF_LONGEST};

/// The next pause.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    random: RandomState,
    count: u64,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: BACKOFF_FIRST, random: RandomState::new(), count: 0 }
    }

    /// How long to wait before the next attempt.
    pub(crate) fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(BACKOFF_LONGEST);
        self.count = self.count.saturating_add(1);
        // Keyed by the process's randomness; good enough to spread clients.
        let draw = u32::try_from(self.random.hash_one(self.count) % 1024).unwrap_or_default();
        let half = whole / 2;
        half.saturating_add(half.saturating_mul(draw) / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_stay_within_half_of_it() {
        let mut backoff = Backoff::new();
        let mut whole = BACKOFF_FIRST;
        for _ in 0..20 {
            let pause = backoff.pause();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(BACKOFF_LONGEST);
        }
        assert_eq!(whole, BACKOFF_LONGEST);
    }
}
