//! What a run is made of: nodes, engine, quality of the network. A seed decides it all, or a test says it.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// Which engine the nodes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Gossip membership alone.
    Memberlist,
    /// Serf on top of it.
    Serf,
}

/// How links behave. Every packet draws for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// Shortest way.
    pub delay_least: Duration,
    /// Longest way; packets overtake one another between the two.
    pub delay_most: Duration,
    /// Packets lost in a thousand.
    pub loss_per_mille: u32,
    /// Packets that arrive twice in a thousand.
    pub duplicates_per_mille: u32,
}

impl Links {
    /// A quiet local network: 0.1 to 1 ms, nothing lost.
    pub fn quiet() -> Self {
        Self {
            delay_least: Duration::from_micros(100),
            delay_most: Duration::from_millis(1),
            loss_per_mille: 0,
            duplicates_per_mille: 0,
        }
    }
}

/// Everything a run depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Of all that is drawn.
    pub seed: u64,
    /// How many there are.
    pub nodes: usize,
    /// What they run.
    pub layer: Layer,
    /// How they are connected.
    pub links: Links,
    /// How long faults are injected, one every few seconds of virtual time (swarm runs only).
    pub seconds: u64,
}

impl Options {
    /// A quiet world.
    pub fn quiet(seed: u64, layer: Layer, nodes: usize) -> Self {
        Self { seed, nodes, layer, links: Links::quiet(), seconds: 0 }
    }

    /// Every seed another mix.
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let delay_least = random.between(Duration::from_micros(50), Duration::from_millis(5));
        let jitter = random.between(Duration::ZERO, Duration::from_millis(40));
        Self {
            seed,
            nodes: 2 + random.below(7),
            layer: if random.chance(300) { Layer::Memberlist } else { Layer::Serf },
            links: Links {
                delay_least,
                delay_most: delay_least + jitter,
                loss_per_mille: if random.chance(500) { 0 } else { random.below(80) as u32 },
                duplicates_per_mille: if random.chance(500) { 0 } else { random.below(100) as u32 },
            },
            seconds: random.below(40) as u64,
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, layer, links, seconds } = self;
        write!(
            f,
            "seed={seed} nodes={nodes} layer={layer:?} delay={:?}..{:?} loss={}‰ duplicates={}‰ seconds={seconds}",
            links.delay_least, links.delay_most, links.loss_per_mille, links.duplicates_per_mille
        )
    }
}
