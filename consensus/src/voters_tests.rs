//! Autopilot against a group that is only numbers: scenarios, then random ones.

use folkmoot_coordination::LogIndex;
use proptest::prelude::*;

use super::*;

/// A group that does at once what autopilot says.
struct Group {
    autopilot: Autopilot,
    now: Duration,
    voters: Vec<Peer>,
    learners: Vec<Peer>,
    /// Who answers the leader.
    up: BTreeSet<u64>,
    known: Vec<Known>,
    changes: Vec<Change>,
    quorum: bool,
}

const ME: u64 = 1;

fn peer(id: u64) -> Peer {
    let port = u16::try_from(4_000 + id).unwrap();
    Peer { id: NodeId(id), name: format!("n{id}"), address: std::net::SocketAddr::from(([127, 0, 33, 1], port)) }
}

fn ids(peers: &[Peer]) -> Vec<u64> {
    let mut ids: Vec<u64> = peers.iter().map(|peer| peer.id.0).collect();
    ids.sort_unstable();
    ids
}

impl Group {
    fn new(max_voters: usize, voters: &[u64], learners: &[u64]) -> Self {
        let peers = |ids: &[u64]| ids.iter().map(|id| peer(*id)).collect::<Vec<_>>();
        let all: Vec<u64> = voters.iter().chain(learners).copied().collect();
        let known = |id: &u64| Known { peer: peer(*id), alive: true, preference: Preference::Auto };
        Self {
            autopilot: Autopilot::new(max_voters),
            now: Duration::ZERO,
            voters: peers(voters),
            learners: peers(learners),
            known: all.iter().map(known).collect(),
            up: all.into_iter().collect(),
            changes: Vec::new(),
            quorum: true,
        }
    }

    fn prefer(mut self, id: u64, preference: Preference) -> Self {
        self.known.iter_mut().filter(|known| known.peer.id.0 == id).for_each(|known| known.preference = preference);
        self
    }

    fn set_up(&mut self, id: u64, up: bool) {
        if up {
            self.up.insert(id)
        } else {
            self.up.remove(&id)
        };
        self.known.iter_mut().filter(|known| known.peer.id.0 == id).for_each(|known| known.alive = up);
    }

    fn look(&mut self) -> Option<Change> {
        let up = &self.up;
        let progress: Vec<Progress> = self
            .voters
            .iter()
            .chain(&self.learners)
            .map(|peer| Progress {
                id: peer.id,
                matching: Some(LogIndex(100)),
                answered: Some(if up.contains(&peer.id.0) { Duration::ZERO } else { SILENT }),
            })
            .collect();
        let answering = self.voters.iter().filter(|peer| up.contains(&peer.id.0)).count();
        let picture = Picture {
            me: NodeId(ME),
            voters: &self.voters,
            learners: &self.learners,
            changing: false,
            quorum: self.quorum && answering >= majority(self.voters.len()),
            last_log: 100,
            progress: &progress,
            known: &self.known,
        };
        self.autopilot.decide(self.now, &picture)
    }

    fn obey(&mut self, change: &Change) {
        match change {
            Change::Admit(peer) => self.learners.push(peer.clone()),
            Change::Update(new) => {
                let members = self.voters.iter_mut().chain(&mut self.learners);
                members.filter(|peer| peer.id == new.id).for_each(|peer| *peer = new.clone());
            }
            Change::Voters { set, .. } => {
                let all = self.voters.drain(..).chain(self.learners.drain(..)).collect::<Vec<_>>();
                (self.voters, self.learners) = all.into_iter().partition(|peer| set.contains(&peer.id));
            }
            Change::Remove { peer, .. } => self.learners.retain(|learner| learner.id != peer.id),
        }
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.now += Duration::from_millis(250);
            if let Some(change) = self.look() {
                self.obey(&change);
                self.changes.push(change);
            }
        }
    }
}

#[test]
fn a_healthy_group_is_left_alone() {
    for voters in [vec![1], vec![1, 2, 3], vec![1, 2, 3, 4, 5]] {
        let mut group = Group::new(5, &voters, &[]);
        group.run(600);
        assert_eq!(group.changes, []);
    }
    let mut group = Group::new(3, &[1, 2, 3], &[4, 5]);
    group.run(600);
    assert_eq!(group.changes, []);
}

#[test]
fn it_grows_to_the_largest_odd_number_that_fits_once_the_newcomers_are_stable() {
    let mut group = Group::new(5, &[1], &[2]);
    group.run(60);
    assert_eq!(ids(&group.voters), [1]);
    group.learners.push(peer(3));
    group.set_up(3, true);
    group.known.push(Known { peer: peer(3), alive: true, preference: Preference::Auto });
    group.run(9);
    assert_eq!(ids(&group.voters), [1]);
    group.run(2);
    assert_eq!(ids(&group.voters), [1, 2, 3]);
    let mut large = Group::new(5, &[1], &[2, 3, 4, 5, 6, 7, 8]);
    large.run(60);
    assert_eq!((large.voters.len(), large.changes.len()), (5, 1));
}

#[test]
fn a_dead_voter_is_replaced_after_its_time_and_not_before() {
    let mut group = Group::new(3, &[1, 2, 3], &[4]);
    group.run(20);
    group.set_up(3, false);
    group.run(29);
    assert_eq!(ids(&group.voters), [1, 2, 3]);
    group.run(2);
    assert_eq!(ids(&group.voters), [1, 2, 4]);
    // It comes back, and has no reason to vote again.
    group.set_up(3, true);
    group.run(600);
    assert_eq!((ids(&group.voters), group.changes.len()), (vec![1, 2, 4], 1));
}

#[test]
fn a_voter_that_comes_and_goes_causes_nothing() {
    let mut group = Group::new(3, &[1, 2, 3], &[4]);
    for round in 0..20 {
        group.set_up(3, round % 2 == 0);
        group.run(20);
    }
    assert_eq!(group.changes, []);
}

#[test]
fn without_a_spare_nothing_is_given_up_that_is_of_use() {
    let mut three = Group::new(5, &[1, 2, 3], &[]);
    three.set_up(3, false);
    three.run(600);
    assert_eq!(three.changes, []);
    let mut five = Group::new(5, &[1, 2, 3, 4, 5], &[]);
    five.set_up(5, false);
    five.run(600);
    assert_eq!(five.changes, [], "four of five lose one as three of three do");
    five.set_up(4, false);
    five.run(60);
    assert_eq!(ids(&five.voters), [1, 2, 3], "three of five could lose none");
}

#[test]
fn without_a_quorum_nothing_is_done() {
    let mut group = Group::new(3, &[1, 2, 3], &[4, 5]);
    group.run(20);
    group.set_up(2, false);
    group.set_up(3, false);
    group.run(600);
    assert_eq!(group.changes, []);
}

#[test]
fn even_sets_become_odd() {
    let mut group = Group::new(5, &[1, 2, 3, 4], &[]);
    group.run(60);
    assert_eq!(ids(&group.voters), [1, 2, 3]);
    let mut two = Group::new(5, &[1, 2], &[3]);
    two.run(60);
    assert_eq!(ids(&two.voters), [1, 2, 3]);
}

#[test]
fn preferences_are_heard() {
    let mut group = Group::new(3, &[1, 2, 3], &[4]).prefer(4, Preference::Prefer);
    group.run(60);
    assert_eq!(ids(&group.voters), [1, 2, 4]);
    let mut group = Group::new(3, &[1, 2, 3], &[4]).prefer(4, Preference::Never);
    group.set_up(3, false);
    group.run(60);
    assert_eq!(ids(&group.voters), [1, 2, 3]);
    let mut group = Group::new(3, &[1, 2, 3], &[4]).prefer(2, Preference::Never);
    group.run(60);
    assert_eq!(ids(&group.voters), [1, 3, 4]);
}

#[test]
fn a_node_whose_disk_was_lost_takes_the_place_of_its_former_self() {
    let mut group = Group::new(3, &[1, 2, 3], &[]);
    group.run(20);
    group.up.remove(&3);
    let reborn = Peer { id: NodeId(33), ..peer(3) };
    group.known.retain(|known| known.peer.id.0 != 3);
    group.known.push(Known { peer: reborn.clone(), alive: true, preference: Preference::Auto });
    group.up.insert(33);
    group.run(40);
    assert_eq!((ids(&group.voters), ids(&group.learners)), (vec![1, 2, 33], vec![]));
    assert_eq!(group.changes.first(), Some(&Change::Admit(reborn)));
}

#[test]
fn a_member_that_moved_is_found_again() {
    let mut group = Group::new(3, &[1, 2, 3], &[]);
    let moved = Peer { address: "127.0.33.9:4321".parse().unwrap(), ..peer(2) };
    group.known[1].peer = moved.clone();
    group.run(5);
    assert_eq!(group.changes, [Change::Update(moved)]);
}

/// Who of a group of eight changes, and for how many seconds it stays so.
fn any_history() -> impl Strategy<Value = (usize, Vec<u64>, Vec<(u64, bool, u64)>)> {
    let voters = prop::sample::subsequence((2..=8_u64).collect::<Vec<_>>(), 0..=6);
    let steps = proptest::collection::vec((2..=8_u64, any::<bool>(), 1..50_u64), 1..30);
    (1..=9_usize, voters, steps)
}

proptest! {
    // Each case is some thousand looks.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_change_loses_a_quorum_and_every_change_is_odd_and_rare((max, voters, steps) in any_history()) {
        let voters: Vec<u64> = [vec![ME], voters].concat();
        let learners: Vec<u64> = (2..=8).filter(|id| !voters.contains(id)).collect();
        let mut group = Group::new(max, &voters, &learners);
        let mut last_change = None;
        for (id, up, seconds) in steps {
            group.set_up(id, up);
            for _ in 0..seconds * 2 {
                group.now += Duration::from_millis(500);
                let before = group.voters.clone();
                let Some(change) = group.look() else { continue };
                group.obey(&change);
                if let Change::Voters { set, .. } = &change {
                    let answering = |peers: &[Peer]| peers.iter().filter(|peer| group.up.contains(&peer.id.0)).count();
                    prop_assert!(answering(&before) >= majority(before.len()), "there was a quorum");
                    prop_assert!(answering(&group.voters) >= majority(group.voters.len()), "there is one");
                    prop_assert!(set.len() % 2 == 1 && set.len() <= max.max(1));
                    prop_assert!(set.contains(&NodeId(ME)));
                    prop_assert!(last_change.is_none_or(|last| group.now - last >= STABLE), "there was a rest");
                    last_change = Some(group.now);
                }
            }
        }
        (2..=8).for_each(|id| group.set_up(id, true));
        group.run(60);
        let settled = group.changes.len();
        group.run(600);
        prop_assert_eq!(group.changes.len(), settled, "a healthy group is left alone");
        prop_assert!(group.voters.len() == odd(max.min(8)).max(1), "as many as may vote do");
    }
}
