//! How long proposals take from the leader's hand to their reply, summed up until somebody asks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long proposals took that were applied since the last question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CommitTimes {
    /// How many.
    pub count: u64,
    /// All of them together, in milliseconds.
    pub sum_ms: f64,
    /// Their squares together, in square milliseconds.
    pub sum_of_squares: f64,
    /// The quickest.
    pub least: Duration,
    /// The slowest.
    pub greatest: Duration,
}

#[derive(Default)]
pub(crate) struct Commits(Mutex<Option<CommitTimes>>);

impl Commits {
    /// A proposal was applied, so long after it was made.
    pub(crate) fn took(&self, time: Duration) {
        let ms = time.as_secs_f64() * 1000.0;
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = times.unwrap_or(CommitTimes {
            count: 0,
            sum_ms: 0.0,
            sum_of_squares: 0.0,
            least: Duration::MAX,
            greatest: Duration::ZERO,
        });
        *times = Some(CommitTimes {
            count: before.count.saturating_add(1),
            sum_ms: before.sum_ms + ms,
            sum_of_squares: before.sum_of_squares + ms * ms,
            least: before.least.min(time),
            greatest: before.greatest.max(time),
        });
    }

    /// Those since the last call; `None` if there were none.
    pub(crate) fn take(&self) -> Option<CommitTimes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up_once() {
        let commits = Commits::default();
        assert_eq!(commits.take(), None);
        commits.took(Duration::from_millis(1));
        commits.took(Duration::from_millis(3));
        let (least, greatest) = (Duration::from_millis(1), Duration::from_millis(3));
        let times = CommitTimes { count: 2, sum_ms: 4.0, sum_of_squares: 10.0, least, greatest };
        assert_eq!(commits.take(), Some(times));
        assert_eq!(commits.take(), None);
    }
}
