//! Members that live and answer late, as busy machines and disks do: nobody is elected in the place of a leader that lives.

use std::sync::Arc;
use std::time::Duration;

use openraft::raft::VoteRequest;
use openraft::{AsyncRuntime, Instant};

use super::world::{Sim, World, add, now, simulate, sleep};
use crate::contacts::Contacts;
use crate::types::{Leader, LogId, Types, Vote};
use crate::{NodeId, Timing};

/// Answers of followers wait for their disks; meanwhile they hear their leader.
#[test]
pub(crate) fn a_leader_that_is_answered_late_keeps_its_office() {
    for stall in [50, 120, 400, 900] {
        simulate(
            40 + stall,
            async move |mut world| {
                world.found(3).await;
                let client = world.client().await;
                let (leader, term) = office(&world).await;
                for request in 1..=5 {
                    world.net.stall(Duration::from_millis(stall));
                    sleep(stall).await;
                    world.net.stall(Duration::ZERO);
                    world.propose(add(client, request)).await;
                    assert_eq!(office(&world).await, (leader, term), "after {stall} ms");
                }
                world.settle().await;
            },
            3,
        );
    }
}

/// For as long as it lasts, if they give signs of life.
#[test]
fn a_leader_whose_followers_live_waits_for_their_disks() {
    simulate(
        41,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            let (leader, term) = office(&world).await;
            let contacts: Arc<Contacts<Sim>> = Arc::default();
            drop(world.member(leader).contacts.set(Arc::clone(&contacts)));
            world.net.stall(Duration::from_secs(20));
            for _ in 0..200 {
                world.numbers().into_iter().for_each(|number| contacts.answered(NodeId(number)));
                sleep(100).await;
            }
            world.net.stall(Duration::ZERO);
            world.propose(add(client, 1)).await;
            assert_eq!(office(&world).await, (leader, term));
        },
        3,
    );
}

/// Who asks it for a vote lives, too, and has only not heard of it for a moment.
#[test]
pub(crate) fn a_leader_votes_for_nobody_before_it_has_been_alone_for_long() {
    simulate(
        42,
        async |mut world| {
            world.found(3).await;
            let (leader, _) = office(&world).await;
            let member = world.member(leader);
            world.part(&[leader].into());
            let ask = || {
                let vote = Vote { leader_id: Leader { term: 1_000, node_id: NodeId(9) }, committed: false };
                let last = LogId { leader_id: Leader { term: 999, node_id: NodeId(9) }, index: 1_000 };
                VoteRequest::<Types<Sim>>::new(vote, Some(last))
            };
            Sim::sleep(2 * Timing::FLOOR.election_max).await;
            assert!(!member.pre_vote(ask()).await.unwrap().vote_granted);
            sleep(1_000).await;
            assert!(member.pre_vote(ask()).await.unwrap().vote_granted);
        },
        3,
    );
}

/// What was borne makes nobody slower to replace a leader that is gone.
#[test]
fn a_leader_that_ends_after_stalls_is_replaced_as_soon_as_any() {
    simulate(
        43,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            let (leader, _) = office(&world).await;
            world.net.stall(Duration::from_millis(400));
            sleep(400).await;
            world.net.stall(Duration::ZERO);
            world.propose(add(client, 1)).await;
            let started = now();
            world.crash(leader).await;
            world.propose(add(client, 2)).await;
            assert!(started.elapsed() < Duration::from_millis(210), "{:?}", started.elapsed());
        },
        3,
    );
}

/// Who leads, and in which term.
async fn office(world: &World) -> (u64, u64) {
    let leader = world.leader().await;
    (leader, world.status(leader).term)
}
