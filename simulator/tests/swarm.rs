//! Many worlds from many seeds, and the same seed twice.

use folkmoot_simulator::options::{Layer, Options};
use folkmoot_simulator::swarm;

/// Few enough for a debug build; `simulate --runs 1000` does the rest.
const SEEDS: std::ops::Range<u64> = 1..31;

#[test]
fn every_seed_ends_in_agreement() {
    let failures: Vec<String> = SEEDS.filter_map(|seed| swarm::run(&Options::from_seed(seed)).err()).collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn same_seed_does_the_same() {
    for seed in [3, 8, 21] {
        let options = Options::from_seed(seed);
        assert_eq!(swarm::run(&options), swarm::run(&options), "{options}");
    }
}

#[test]
fn other_seeds_do_something_else() {
    let hash = |seed| {
        let options = Options { nodes: 4, layer: Layer::Serf, seconds: 5, ..Options::from_seed(seed) };
        swarm::run(&options).map(|outcome| outcome.hash)
    };
    assert_ne!(hash(1), hash(2));
}
