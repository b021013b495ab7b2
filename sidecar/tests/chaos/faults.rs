//! What happens to a group, by seed.

use std::time::Duration;

use super::group::{Group, Means, RECOVERY};
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
    /// Everybody is alone.
    PartitionAll,
    /// What the first of each pair sends to the second is lost.
    Lose(Vec<(usize, usize)>),
    /// The disk of this node is full.
    FillDisk(usize),
    /// The wall clocks of these nodes are so many seconds before or after the right time from now on.
    SetClocks(Vec<(usize, i64)>),
}

/// How far wall clocks are moved, in seconds: from what a time server corrects to what a dead battery does.
const CLOCK_STEPS: [i64; 9] = [0, 2, 61, 600, 7_200, 90_000, 40 * 86_400, 900 * 86_400, 20_000 * 86_400];

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
        if means.clocks && random.below(2) == 0 {
            let nodes = some(random);
            return Self::SetClocks(nodes.into_iter().map(|node| (node, Self::draw_clock(random))).collect());
        }
        if means.links && random.below(2) == 0 {
            return Self::draw_cut(random, size);
        }
        match random.below(5) {
            0 => Self::Kill(some(random)),
            1 => Self::KillLeader,
            2 => Self::Kill((0..size).collect()),
            3 => Self::Stop(some(random)),
            _ => Self::StopLeader,
        }
    }

    fn draw_cut(random: &mut Random, size: usize) -> Self {
        match random.below(5) {
            0 => Self::PartitionLeader,
            1 => Self::PartitionAll,
            2 => Self::Partition((0..size).map(|_| random.place(2)).collect()),
            // Cables that are broken in one direction, and cables that are broken.
            cables => {
                let pairs = (0..size).flat_map(|one| (0..one).map(move |other| (one, other)));
                let mut lost = Vec::new();
                for (one, other) in pairs.filter(|_| random.below(2) == 0).collect::<Vec<_>>() {
                    let forth = random.below(2) == 0;
                    lost.extend((forth || cables == 3).then_some((one, other)));
                    lost.extend((!forth || cables == 3).then_some((other, one)));
                }
                Self::Lose(lost)
            }
        }
    }

    /// Nobody has lived before 1970: back goes no further than some decades.
    fn draw_clock(random: &mut Random) -> i64 {
        let step = CLOCK_STEPS[random.place(CLOCK_STEPS.len())];
        if random.below(2) == 0 { step } else { -step }
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
            Self::PartitionAll => group.partition(&(0..group.nodes.len()).collect::<Vec<_>>()),
            Self::Lose(pairs) => group.lose(pairs),
            Self::SetClocks(clocks) => clocks.iter().for_each(|(node, seconds)| group.nodes[*node].set_clock(*seconds)),
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
