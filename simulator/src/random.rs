//! The one generator of a run. Everything that is left to chance is drawn here, in one order.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Draws numbers from a seed: the same seed, the same numbers, on every machine.
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// A generator for a run.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`; zero if that is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let draw = self.0.next_u64();
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(draw.checked_rem(bound).unwrap_or(0)).unwrap_or(0)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < per_mille as usize
    }

    /// A duration between two others, both included, in steps of a microsecond.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros();
        let steps = usize::try_from(span).unwrap_or(usize::MAX).saturating_add(1);
        least + Duration::from_micros(self.below(steps) as u64)
    }

    /// A seed for an engine.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }
}
