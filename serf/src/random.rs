//! Every random choice of the Serf layer: query ids, relays, the order of re-joins. One ChaCha8 generator, seeded by the
//! shell.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The engine's generator: the same seed gives the same choices on every machine.
pub(crate) struct Random {
    generator: ChaCha8Rng,
}

impl Random {
    /// Starts from `seed`.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { generator: ChaCha8Rng::from_seed(seed) }
    }

    /// A seed for another generator, so that the layers do not draw the same numbers.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.generator.fill_bytes(&mut seed);
        seed
    }

    /// The generator itself, for those who draw more than one number.
    pub(crate) fn generator(&mut self) -> &mut ChaCha8Rng {
        &mut self.generator
    }

    /// A query id: 31 random bits, as Go draws them.
    pub(crate) fn query_id(&mut self) -> u32 {
        self.generator.next_u32() >> 1
    }

    /// A number below `bound`; 0 where `bound` is 0. The bias is below `bound / 2^64`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let drawn = u128::from(self.generator.next_u64());
        (drawn.saturating_mul(bound as u128) >> 64) as usize
    }

    /// Whether something of probability `part / whole` happens; a `whole` of 0 counts as 1.
    pub(crate) fn happens(&mut self, part: usize, whole: usize) -> bool {
        self.below(whole.max(1)) < part
    }

    /// Moves `count` random items to the front and drops the rest, each choice equally likely.
    pub(crate) fn choose<T>(&mut self, items: &mut Vec<T>, count: usize) {
        let count = count.min(items.len());
        for place in 0..count {
            let rest = items.len().saturating_sub(place);
            let other = place.saturating_add(self.below(rest));
            items.swap(place, other);
        }
        items.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_distinct_and_even() {
        let mut random = Random::new([3; 32]);
        let mut seen = [0; 6];
        for _ in 0..3_000 {
            let mut items: Vec<usize> = (0..6).collect();
            random.choose(&mut items, 2);
            assert_ne!(items[0], items[1]);
            for item in items {
                seen[item] += 1;
            }
        }
        assert!(seen.iter().all(|count| (850..1_150).contains(count)), "{seen:?}");
    }

    #[test]
    fn certain_and_impossible_things_are_so() {
        let mut random = Random::new([1; 32]);
        assert!((0..100).all(|_| random.happens(3, 3) && random.happens(5, 0) && !random.happens(0, 4)));
    }
}
