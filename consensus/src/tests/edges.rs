//! The sharp edges of the Raft library, each off or made safe, and each with a test that fails when it is turned on. Its
//! number is that of the list in `docs/dependencies.md`, which says why some cannot be turned on.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::Instant;

use std::cell::Cell;

use openraft::Config;

use openraft::raft::VoteRequest;

use super::world::{Sim, World, add, count, count_query, now, peer, settings, simulate, sleep};
use crate::config::config;
use crate::types::{Leader, LogId, Types, Vote};
use crate::{ChangeError, NodeId, ProposeError, Quorum, Role, Timing};

/// An edge that a test may turn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    LeaseReads,
    LongSilence,
    NoPreVote,
    RefusedAtOnce,
    NoHush,
    EarlyHush,
    EasyGrants,
    OneInFlight,
    ShortSnapshots,
    LongBackoff,
    LeaderRestore,
    LogReversion,
    UnknownIsFailed,
    EarlyVotes,
}

thread_local! {
    /// A simulation runs on one thread.
    static ON: Cell<Option<Edge>> = const { Cell::new(None) };
}

pub(crate) fn is_on(edge: Edge) -> bool {
    ON.get() == Some(edge)
}

/// Gives the Raft library the setting back that `config.rs` takes from it.
pub(crate) fn sharpen(config: &mut Config) {
    let plain = Config::default();
    match ON.get() {
        // The others are ours: they are asked for with [`is_on`] where they are.
        None
        | Some(
            Edge::LeaseReads
            | Edge::RefusedAtOnce
            | Edge::OneInFlight
            | Edge::NoHush
            | Edge::EasyGrants
            | Edge::LogReversion
            | Edge::UnknownIsFailed
            | Edge::EarlyVotes,
        ) => {}
        Some(Edge::LongSilence) => {
            config.election_timeout_min = plain.election_timeout_min;
            config.election_timeout_max = plain.election_timeout_max;
            config.heartbeat_interval = plain.heartbeat_interval;
        }
        Some(Edge::NoPreVote) => config.enable_pre_vote = plain.enable_pre_vote,
        Some(Edge::EarlyHush) => config.quorum_loss_probe_interval = Some(config.election_timeout_max * 2),
        Some(Edge::ShortSnapshots) => config.install_snapshot_timeout = plain.install_snapshot_timeout,
        Some(Edge::LongBackoff) => config.backoff = plain.backoff,
        Some(Edge::LeaderRestore) => config.enable_leader_restore = plain.enable_leader_restore,
    }
}

/// The tests below are worth something: each fails when its edge is turned on.
#[test]
fn every_edge_cuts_when_it_is_turned_on() {
    let edges: [(Edge, fn()); 14] = [
        (Edge::LeaseReads, reads_are_confirmed_by_a_majority_and_not_by_a_lease),
        (Edge::LongSilence, leadership_moves_at_once_on_a_stop_and_within_200_ms_after_a_crash),
        (Edge::NoPreVote, a_member_that_was_alone_does_not_raise_the_term),
        (Edge::RefusedAtOnce, a_cut_off_leader_names_who_is_missing),
        (Edge::NoHush, a_leader_that_reaches_one_voter_does_not_hold_it_back),
        (Edge::EarlyHush, super::stalls::a_leader_that_is_answered_late_keeps_its_office),
        (Edge::EasyGrants, super::stalls::a_leader_votes_for_nobody_before_it_has_been_alone_for_long),
        (Edge::OneInFlight, crate::network::tests::appends_are_sent_while_others_are_under_way),
        (Edge::ShortSnapshots, a_slow_snapshot_arrives),
        (Edge::LongBackoff, a_member_that_comes_back_is_caught_up_at_once),
        (Edge::LeaderRestore, a_restarted_leader_is_elected_again),
        (Edge::LogReversion, crate::network::tests::a_member_that_lacks_what_it_had_is_not_believed_until_another_term),
        (Edge::UnknownIsFailed, a_proposal_that_may_have_happened_is_unknown_and_happens_once),
        (Edge::EarlyVotes, a_vote_outlives_a_crash),
    ];
    for (edge, test) in edges {
        ON.set(Some(edge));
        let result = std::panic::catch_unwind(test);
        ON.set(None);
        assert!(result.is_err(), "{edge:?} makes no difference");
    }
}

/// 1: a leader that was cut off a moment ago does not answer a read, although its lease still runs.
#[test]
fn reads_are_confirmed_by_a_majority_and_not_by_a_lease() {
    simulate(
        1,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            world.propose(add(client, 1)).await;
            let leader = world.leader().await;
            world.part(&BTreeSet::from([leader]));
            let started = now();
            let member = world.member(leader);
            let result = member.read(&count_query()).await;
            assert!(
                matches!(result, Err(ProposeError::NoQuorum { .. } | ProposeError::NotLeader { .. })),
                "{result:?}"
            );
            assert!(started.elapsed() < Timing::FLOOR.election_max * 4);
        },
        3,
    );
}

/// 2: after a stop somebody else leads at once, without waiting for the lease; after a crash within the lease, a draw, and
/// some round trips.
#[test]
fn leadership_moves_at_once_on_a_stop_and_within_200_ms_after_a_crash() {
    simulate(
        2,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            let leader = world.leader().await;
            let started = now();
            world.stop(leader).await;
            world.propose(add(client, 1)).await;
            assert!(started.elapsed() < Timing::FLOOR.election_min, "{:?}", started.elapsed());
            world.open(leader).await;
            world.settle().await;

            let leader = world.leader().await;
            let started = now();
            world.crash(leader).await;
            world.propose(add(client, 2)).await;
            assert!(started.elapsed() < Duration::from_millis(210), "{:?}", started.elapsed());
        },
        3,
    );
}

/// 3: a member that is alone for long comes back without disturbing the leader: it asked before it raised the term.
#[test]
fn a_member_that_was_alone_does_not_raise_the_term() {
    simulate(
        3,
        async |mut world| {
            world.found(3).await;
            let leader = world.leader().await;
            let term = world.status(leader).term;
            let alone = world.numbers().into_iter().find(|number| *number != leader).unwrap();
            assert_eq!(world.status(alone).quorum, Quorum::Ok);
            world.part(&BTreeSet::from([alone]));
            sleep(5_000).await;
            assert!(matches!(world.status(alone).quorum, Quorum::Lost { .. }));
            world.net.heal();
            sleep(2_000).await;
            assert_eq!((world.leader().await, world.status(leader).term), (leader, term));
        },
        3,
    );
}

/// 4: a leader without a majority says so and names who is missing, instead of keeping callers waiting; and right after an
/// election nobody is refused.
#[test]
fn a_cut_off_leader_names_who_is_missing() {
    simulate(
        4,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            let leader = world.leader().await;
            world.part(&BTreeSet::from([leader]));
            sleep(300).await;
            let result = world.member(leader).propose(add(client, 1)).await;
            let others: Vec<_> = world.numbers().into_iter().filter(|number| *number != leader).map(peer).collect();
            assert_eq!(result, Err(ProposeError::NoQuorum { missing: others.clone() }));
            assert_eq!(world.status(leader).quorum, Quorum::Lost { missing: others });

            for number in world.numbers() {
                if number != leader && world.status(number).role == Role::Leader {
                    world.crash(number).await;
                    world.net.heal();
                    break;
                }
            }
            let started = now();
            loop {
                let leaders = world.numbers().into_iter().filter(|number| {
                    world.runs(*number) && world.status(*number).role == Role::Leader && *number != leader
                });
                if let Some(next) = leaders.max() {
                    assert!(world.member(next).propose(add(client, 2)).await.is_ok());
                    break;
                }
                if world.status(leader).quorum == Quorum::Ok && world.status(leader).role == Role::Leader {
                    assert!(world.member(leader).propose(add(client, 2)).await.is_ok());
                    break;
                }
                sleep(1).await;
                assert!(started.elapsed() < Duration::from_secs(5));
            }
        },
        3,
    );
}

/// 5: a leader that reaches only one voter does not keep that one from electing another with those it reaches.
#[test]
fn a_leader_that_reaches_one_voter_does_not_hold_it_back() {
    simulate(
        5,
        async |mut world| {
            world.found(5).await;
            let leader = world.leader().await;
            let others: Vec<u64> = world.numbers().into_iter().filter(|number| *number != leader).collect();
            // One is down; the leader reaches only the first of the three that are left, who reach each other.
            world.crash(others[3]).await;
            world.net.part(&[NodeId(leader)], &[NodeId(others[1]), NodeId(others[2])]);
            let started = now();
            loop {
                let elected = others[..3].iter().any(|number| {
                    let status = world.status(*number);
                    status.role == Role::Leader && status.quorum == Quorum::Ok
                });
                if elected {
                    break;
                }
                sleep(10).await;
                assert!(started.elapsed() < Duration::from_secs(10), "the old leader keeps them from electing");
            }
        },
        5,
    );
}

/// 6 and 7: numbers that are not the library's defaults. The other tests here show what most of them prevent; fewer entries
/// in a message and purging one entry at a time would be slow, and nothing else.
#[test]
fn numbers_that_the_defaults_get_wrong_are_set() {
    let config = config(&settings(1)).unwrap();
    assert_eq!(config.max_payload_entries, 4096);
    assert!(config.install_snapshot_timeout >= 60_000);
    assert!(config.purge_batch_size >= 1000);
    assert_eq!(config.build_backoff().next(), Some(Duration::from_millis(10)));
    assert!(config.build_backoff().take(100).all(|wait| wait <= Duration::from_millis(200)));
    assert_eq!(config.allow_log_reversion, Some(false));
}

/// 7: a snapshot that takes longer than the library's 200 ms arrives.
#[test]
fn a_slow_snapshot_arrives() {
    simulate(
        7,
        async |mut world| {
            world.adjust = |settings| {
                settings.timing = Timing {
                    election_min: Duration::from_secs(3),
                    election_max: Duration::from_secs(6),
                    heartbeat: Duration::from_millis(900),
                };
                settings.snapshot_every = 20;
                settings.log_kept = 5;
            };
            world.net.delay(Duration::from_millis(150));
            world.found(3).await;
            let client = world.client().await;
            world.kill(3).await;
            for request in 1..=60 {
                world.propose(add(client, request)).await;
            }
            world.open(3).await;
            world.settle().await;
        },
        3,
    );
}

/// 7: a member that was away is reached within the pauses that are ours, not after a second.
#[test]
fn a_member_that_comes_back_is_caught_up_at_once() {
    simulate(
        71,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            let mut waited = Duration::ZERO;
            for request in 1..=8 {
                let leader = world.leader().await;
                let away = world.numbers().into_iter().find(|number| *number != leader).unwrap();
                world.part(&BTreeSet::from([away]));
                world.propose(add(client, request)).await;
                sleep(3_000 + request * 130).await;
                world.net.heal();
                let started = now();
                let applied = world.status(leader).applied;
                while world.status(away).applied < applied {
                    assert!(started.elapsed() < Duration::from_secs(10));
                    sleep(1).await;
                }
                waited += started.elapsed();
            }
            assert!(waited < Duration::from_millis(8 * 150), "{waited:?}");
        },
        3,
    );
}

/// 8: a restarted leader leads again only when it has been elected again: it does not know what was committed.
#[test]
fn a_restarted_leader_is_elected_again() {
    simulate(
        8,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            world.propose(add(client, 1)).await;
            let term = world.status(1).term;
            world.kill(1).await;
            world.open(1).await;
            assert_ne!(world.status(1).role, Role::Leader);
            world.leader().await;
            assert!(world.status(1).term > term);
            assert_eq!(count(&world.member(1).read(&count_query()).await.unwrap()), 1);
        },
        1,
    );
}

/// 10: a proposal whose leader falls is answered as unknown, and sent again under its number happens once.
#[test]
fn a_proposal_that_may_have_happened_is_unknown_and_happens_once() {
    simulate(
        10,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            let leader = world.leader().await;
            let member = world.member(leader);
            world.part(&BTreeSet::from([leader]));
            // Its lease runs still, so it accepts what it can not finish.
            let result = member.propose(add(client, 1)).await;
            assert_eq!(result, Err(ProposeError::Unknown));
            sleep(500).await;
            world.net.heal();
            for _ in 0..3 {
                world.propose(add(client, 1)).await;
            }
            let leader = world.leader().await;
            assert_eq!(count(&world.member(leader).read(&count_query()).await.unwrap()), 1);
        },
        3,
    );
}

/// 11: a vote that was given is on disk before anybody hears of it: power that goes right after does not take it back. (Of
/// two candidates in one term the one with the higher id may come second: votes have one order.)
#[test]
fn a_vote_outlives_a_crash() {
    simulate(
        111,
        async |mut world| {
            world.found(3).await;
            world.crash(1).await;
            world.crash(2).await;
            sleep(2_000).await;
            let ask = |candidate| {
                let vote = Vote { leader_id: Leader { term: 1_000, node_id: NodeId(candidate) }, committed: false };
                let last = LogId { leader_id: Leader { term: 999, node_id: NodeId(candidate) }, index: 1_000 };
                VoteRequest::<Types<Sim>>::new(vote, Some(last))
            };
            let first = world.member(3).raft().vote(ask(9)).await.unwrap();
            assert!(first.vote_granted, "{first}");
            world.crash(3).await;
            world.open(3).await;
            sleep(5).await;
            let second = world.member(3).raft().vote(ask(8)).await.unwrap();
            assert!(!second.vote_granted, "two candidates have its vote in one term: {second}");
        },
        3,
    );
}

/// 11: votes and entries reach the disk in the order of the calls, whatever waits in line.
#[test]
fn a_vote_waits_for_the_entries_before_it() {
    simulate(
        11,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            for request in 1..=20 {
                world.propose(add(client, request)).await;
                let leader = world.leader().await;
                // The vote that follows must not overtake the addition on the disk.
                world.member(leader).transfer_leader(None).await.ok();
                let now_leads = world.leader().await;
                world.crash(now_leads).await;
                world.open(now_leads).await;
            }
            world.settle().await;
            let leader = world.leader().await;
            assert_eq!(count(&world.member(leader).read(&count_query()).await.unwrap()), 20);
        },
        3,
    );
}

/// A change of members that would leave no majority is not begun.
#[test]
fn changes_that_would_lose_the_majority_are_refused() {
    simulate(
        12,
        async |mut world: World| {
            world.found(3).await;
            let leader = world.leader().await;
            let member = world.member(leader);
            member.add_learner(peer(4)).await.unwrap();
            member.add_learner(peer(5)).await.unwrap();
            // They run, but were never in the group's reach: member 4 is one that does not answer.
            world.crash(4).await;
            world.crash(5).await;
            sleep(500).await;
            let others =
                world.numbers().into_iter().filter(|number| *number != leader && *number <= 3).collect::<Vec<_>>();
            world.crash(others[0]).await;
            sleep(500).await;
            let all: BTreeSet<NodeId> = (1..=5).map(NodeId).collect();
            let refused = member.set_voters(all).await;
            assert_eq!(refused, Err(ChangeError::WouldLoseQuorum { answering: 2, voters: 5 }));
            let refused = member.remove(NodeId(others[1])).await;
            assert_eq!(refused, Err(ChangeError::WouldLoseQuorum { answering: 1, voters: 2 }));
            // The dead one may go.
            member.remove(NodeId(others[0])).await.unwrap();
            assert_eq!(world.status(leader).voters.len(), 2);
        },
        5,
    );
}

/// A lease ends by log time alone: when its time has come somebody lets it pass, also after another member leads.
#[test]
fn time_passes_while_nobody_proposes() {
    simulate(
        13,
        async |mut world| {
            world.found(3).await;
            let client = world.short_client(2_000).await;
            world.propose(add(client, 1)).await;
            assert_eq!(world.status(1).usage.clients, 1);
            sleep(1_000).await;
            let leader = world.leader().await;
            world.crash(leader).await;
            sleep(800).await;
            let leader = world.leader().await;
            assert_eq!(world.status(leader).usage.clients, 1, "it ended early");
            sleep(1_500).await;
            assert_eq!(world.status(leader).usage.clients, 0, "it did not end");
        },
        3,
    );
}

/// A voter that is alone needs nobody's answer, however long nothing happens.
#[test]
fn a_group_of_one_keeps_its_quorum_while_nothing_happens() {
    simulate(
        14,
        async |mut world| {
            world.found(1).await;
            sleep(10_000).await;
            let status = world.status(1);
            assert_eq!((status.role, status.quorum), (Role::Leader, Quorum::Ok));
            assert!(status.progress.iter().all(|progress| progress.answered == Some(Duration::ZERO)));
            let (_, age) = world.member(1).read_stale(&count_query());
            assert_eq!(age.since_leader, Some(Duration::ZERO));
            let client = world.client().await;
            assert!(world.member(1).propose(add(client, 1)).await.is_ok());
            assert!(world.member(1).read(&count_query()).await.is_ok());
        },
        1,
    );
}
