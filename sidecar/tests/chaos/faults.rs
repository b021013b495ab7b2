//! What happens to a group, by seed.

use std::time::Duration;

use super::group::{Group, RECOVERY};
use super::load::Load;
use super::random::Random;
use crate::support::{Signal, rest};

/// A disturbance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// These processes are killed, and started again after a while.
    Kill(Vec<usize>),
    /// Whoever leads is killed.
    KillLeader,
    /// These processes are stopped for a while.
    Stop(Vec<usize>),
    /// Whoever leads is stopped, and does not know that time has passed.
    StopLeader,
    /// Each node is in the part of its number.
    Partition(Vec<usize>),
    /// Whoever leads is alone.
    PartitionLeader,
    /// The disk of this node is full.
    FillDisk(usize),
}

/// Which faults a group can suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    pub links: bool,
    pub disks: bool,
}

impl Fault {
    /// The next fault of a plan.
    pub fn draw(random: &mut Random, size: usize, means: Means) -> Self {
        let some = |random: &mut Random| {
            let first = random.place(size);
            let mut chosen = vec![first];
            chosen.extend((0..size).filter(|other| *other != first && random.below(4) == 0));
            chosen
        };
        if means.disks && random.below(2) == 0 {
            return Self::FillDisk(random.place(size));
        }
        if means.links && random.below(3) == 0 {
            let parts = (0..size).map(|_| random.place(2)).collect();
            return if random.below(2) == 0 { Self::PartitionLeader } else { Self::Partition(parts) };
        }
        match random.below(5) {
            0 => Self::Kill(some(random)),
            1 => Self::KillLeader,
            2 => Self::Kill((0..size).collect()),
            3 => Self::Stop(some(random)),
            _ => Self::StopLeader,
        }
    }

    fn strike(&self, group: &mut Group) {
        let leader = group.leader();
        match self {
            Self::Kill(nodes) => nodes.iter().for_each(|node| group.nodes[*node].kill()),
            Self::KillLeader => leader.into_iter().for_each(|node| group.nodes[node].kill()),
            Self::Stop(nodes) => nodes.iter().for_each(|node| group.nodes[*node].signal(Signal::Stop)),
            Self::StopLeader => leader.into_iter().for_each(|node| group.nodes[node].signal(Signal::Stop)),
            Self::Partition(parts) => group.partition(parts),
            Self::PartitionLeader => {
                group.partition(
                    &(0..group.nodes.len()).map(|node| usize::from(Some(node) == leader)).collect::<Vec<_>>(),
                );
            }
            Self::FillDisk(node) => group.nodes[*node].fill_disk(),
        }
    }
}

/// Strikes, waits, heals, waits until the group works again; `count` times.
pub fn disturb(group: &mut Group, load: &Load, seed: u64, count: usize, means: Means) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let mut plan = Vec::new();
    for _ in 0..count {
        let fault = Fault::draw(&mut random, group.nodes.len(), means);
        fault.strike(group);
        plan.push(fault);
        rest(Duration::from_millis(200 + random.below(1_800)), || false);
        // Now and then the next fault strikes while this one lasts.
        if random.below(4) != 0 {
            group.heal();
            recovers(group, load, &plan);
        }
    }
    group.heal();
    recovers(group, load, &plan);
    plan
}

/// Fails if clients are not served again in time.
fn recovers(group: &mut Group, load: &Load, plan: &[Fault]) {
    let goal = load.answered() + 50;
    let served = rest(RECOVERY, || {
        group.start_ended();
        load.answered() >= goal
    });
    assert!(served, "no progress after {plan:?}\n{}", group.logs());
}
