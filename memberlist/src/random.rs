//! Every random decision of the engine: phases, shuffles, samples, nonces. One ChaCha8 generator, seeded by the shell.
//!
//! Answers to spec 7.4: samples are exact, where Go's older form misses eligible nodes in tiny clusters.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The engine's generator: the same seed gives the same decisions on every machine.
pub(crate) struct Random {
    generator: ChaCha8Rng,
}

impl Random {
    /// Starts from `seed`, which the shell draws from the operating system.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { generator: ChaCha8Rng::from_seed(seed) }
    }

    /// A nonce for AES-GCM: 12 bytes.
    pub(crate) fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = [0; 12];
        self.generator.fill_bytes(&mut nonce);
        nonce
    }

    /// A number below `bound`, each equally likely; 0 where `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let Some(bound) = NonZeroU64::new(bound as u64) else { return 0 };
        // Values from here up would favour small remainders: draw again (less than one retry on average).
        let fair = u64::MAX.saturating_sub(u64::MAX % bound);
        loop {
            let drawn = self.generator.next_u64();
            if drawn < fair {
                return (drawn % bound) as usize;
            }
        }
    }

    /// A duration below `bound`; zero where `bound` is zero.
    pub(crate) fn duration_below(&mut self, bound: Duration) -> Duration {
        let nanoseconds = usize::try_from(bound.as_nanos()).unwrap_or(usize::MAX);
        Duration::from_nanos(self.below(nanoseconds) as u64)
    }

    /// Puts `items` into a random order, each order equally likely.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last.saturating_add(1)));
        }
    }

    /// Up to `count` distinct numbers below `bound` that pass `accept`: every eligible set of that size is equally
    /// likely, and fewer come back only when fewer are eligible.
    ///
    /// Walks a shuffled sequence that is never written out, so the usual cost is `count` draws. After [`DRAWS`] of them
    /// the eligible are rare, and the rest is looked through once instead.
    pub(crate) fn sample(&mut self, bound: usize, count: usize, mut accept: impl FnMut(usize) -> bool) -> Vec<usize> {
        let mut chosen = Vec::new();
        let mut moved: BTreeMap<usize, usize> = BTreeMap::new();
        let walked = bound.min(DRAWS);
        for position in 0..walked {
            if chosen.len() >= count {
                return chosen;
            }
            let other = position.saturating_add(self.below(bound.saturating_sub(position)));
            let candidate = moved.get(&other).copied().unwrap_or(other);
            let displaced = moved.remove(&position).unwrap_or(position);
            if other != position {
                moved.insert(other, displaced);
            }
            if accept(candidate) {
                chosen.push(candidate);
            }
        }
        if chosen.len() >= count {
            return chosen;
        }
        let unseen = (walked..bound).map(|position| moved.get(&position).copied().unwrap_or(position));
        let mut eligible: Vec<usize> = unseen.filter(|candidate| accept(*candidate)).collect();
        while chosen.len() < count && !eligible.is_empty() {
            let drawn = self.below(eligible.len());
            chosen.push(eligible.swap_remove(drawn));
        }
        chosen
    }
}

/// Draws of a sample before the rest is looked through in order.
const DRAWS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_the_same_numbers() {
        let (mut one, mut two) = (Random::new([7; 32]), Random::new([7; 32]));
        let draw = |random: &mut Random| (0..100).map(|bound| random.below(bound)).collect::<Vec<_>>();
        assert_eq!(draw(&mut one), draw(&mut two));
        assert_eq!(one.nonce(), two.nonce());
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new([1; 32]);
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
        let mut seen = [0; 3];
        for _ in 0..300 {
            seen[random.below(3)] += 1;
        }
        assert!(seen.iter().all(|count| (60..140).contains(count)), "{seen:?}");
        assert_eq!(random.duration_below(Duration::ZERO), Duration::ZERO);
        assert!(random.duration_below(Duration::from_millis(3)) < Duration::from_millis(3));
    }

    #[test]
    fn sample_finds_every_eligible_number_even_in_tiny_sets() {
        let mut random = Random::new([2; 32]);
        for _ in 0..500 {
            assert_eq!(random.sample(3, 3, |number| number == 2), vec![2]);
            let mut all = random.sample(10, 20, |_| true);
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sample_is_distinct_and_even() {
        let mut random = Random::new([3; 32]);
        let mut seen = [0; 6];
        for _ in 0..3000 {
            let chosen = random.sample(6, 2, |_| true);
            assert_ne!(chosen[0], chosen[1]);
            for number in chosen {
                seen[number] += 1;
            }
        }
        assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
    }

    #[test]
    fn sample_of_rare_numbers_is_distinct_and_even_too() {
        let mut random = Random::new([5; 32]);
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        for _ in 0..400 {
            let chosen = random.sample(10_000, 3, |number| number % 1000 == 7);
            assert!(chosen.len() == 3 && chosen[0] != chosen[1] && chosen[1] != chosen[2] && chosen[0] != chosen[2]);
            for number in chosen {
                *seen.entry(number).or_default() += 1;
            }
        }
        assert!(seen.len() == 10 && seen.values().all(|count| (80..160).contains(count)), "{seen:?}");
        let mut all = random.sample(10_000, 50, |number| number % 1000 == 7);
        all.sort_unstable();
        assert_eq!(all, (0..10).map(|thousand| thousand * 1000 + 7).collect::<Vec<_>>());
        assert!(random.sample(10_000, 3, |_| false).is_empty());
        assert!(random.sample(10_000, 0, |_| panic!("nobody is wanted")).is_empty());
    }

    #[test]
    fn shuffle_keeps_the_items() {
        let mut items: Vec<u32> = (0..50).collect();
        Random::new([4; 32]).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
