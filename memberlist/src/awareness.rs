//! Lifeguard's local health score: how much we doubt ourselves. Answers to Go `awareness.go`, spec 8.4.

use std::time::Duration;

/// A score in `0..multiplier`: 0 is healthy. It lengthens our own probe interval and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Awareness {
    score: u32,
    multiplier: u32,
}

impl Awareness {
    /// Healthy; the score stays below `multiplier` (at least 1).
    pub(crate) fn new(multiplier: u32) -> Self {
        Self { score: 0, multiplier: multiplier.max(1) }
    }

    /// Worse (positive) or better (negative), kept inside the bounds.
    pub(crate) fn apply(&mut self, delta: i32) {
        self.score = self.score.saturating_add_signed(delta).min(self.multiplier.saturating_sub(1));
    }

    /// The score.
    pub(crate) fn score(&self) -> u32 {
        self.score
    }

    /// `interval` as a node of this health should take it: times score + 1.
    pub(crate) fn scale(&self, interval: Duration) -> Duration {
        interval.saturating_mul(self.score.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_and_scale_follow_gos_test_sequence() {
        let mut awareness = Awareness::new(8);
        let steps = [
            (0, 0),
            (-1, 0),
            (-10, 0),
            (1, 1),
            (-1, 0),
            (10, 7),
            (-1, 6),
            (-1, 5),
            (-1, 4),
            (-1, 3),
            (-1, 2),
            (-1, 1),
            (-1, 0),
            (-1, 0),
        ];
        for (delta, score) in steps {
            awareness.apply(delta);
            assert_eq!(awareness.score(), score);
            assert_eq!(awareness.scale(Duration::from_secs(1)), Duration::from_secs(u64::from(score) + 1));
        }
    }

    #[test]
    fn multiplier_of_zero_means_always_healthy() {
        let mut awareness = Awareness::new(0);
        awareness.apply(5);
        assert_eq!(awareness.score(), 0);
    }
}
