//! Another timing: Raft starts again in its place, and nobody else notices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::{AsyncRuntime, Instant};

use super::world::{Sim, World, add, count, count_query, now, simulate, sleep};
use crate::Timing;

async fn retime_all(world: &World, timing: Timing) {
    for number in world.numbers() {
        world.member(number).retime(timing).await.unwrap();
    }
}

#[test]
fn elections_follow_the_timing() {
    simulate(
        21,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            retime_all(&world, Timing::at(3)).await;
            world.propose(add(client, 1)).await;
            assert!(world.numbers().into_iter().all(|number| world.status(number).timing == Timing::at(3)));
            let leader = world.leader().await;
            let started = now();
            world.crash(leader).await;
            world.propose(add(client, 2)).await;
            let Timing { election_min, election_max, .. } = Timing::at(3);
            assert!(started.elapsed() > election_max, "{:?}", started.elapsed());
            assert!(started.elapsed() < election_max * 3, "{:?}", started.elapsed());

            world.open(leader).await;
            retime_all(&world, Timing::FLOOR).await;
            let leader = world.leader().await;
            let started = now();
            world.crash(leader).await;
            world.propose(add(client, 3)).await;
            assert!(started.elapsed() < election_min, "{:?}", started.elapsed());
        },
        3,
    );
}

/// Counted on from all sides while one member after another starts again; also under a leader that holds on to its office.
#[test]
fn nothing_is_lost_or_done_twice() {
    simulate(
        22,
        async |mut world| {
            world.adjust = |settings| {
                settings.snapshot_every = 50;
                settings.log_kept = 10;
            };
            world.found(3).await;
            let client = world.client().await;
            let mut request = 0;
            for round in 0..12 {
                let number = 1 + round % 3;
                let member = world.member(number);
                let level = u32::try_from(1 + round % 4).unwrap();
                let changing = Sim::spawn(async move { member.retime(Timing::at(level)).await.is_ok() });
                for _ in 0..20 {
                    request += 1;
                    world.propose(add(client, request)).await;
                }
                assert!(changing.await.unwrap());
                assert_eq!(world.status(number).timing, Timing::at(level));
            }
            world.settle().await;
            let leader = world.leader().await;
            let counted = count(&world.member(leader).read(&count_query()).await.unwrap());
            assert_eq!(counted, i64::try_from(request).unwrap());
        },
        3,
    );
}

/// The only voter has nobody to hand over to.
#[test]
fn a_group_of_one_leads_again_at_once() {
    simulate(
        23,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            world.propose(add(client, 1)).await;
            let started = now();
            world.member(1).retime(Timing::at(1)).await.unwrap();
            world.propose(add(client, 2)).await;
            assert!(started.elapsed() < Timing::at(2).election_max, "{:?}", started.elapsed());
            assert!(world.status(1).stopped.is_none());
            world.stop(1).await;
        },
        1,
    );
}

/// What distance does to a timing that is too short for it, and what the right one does.
#[test]
fn voters_that_are_far_from_one_another_elect_once_they_bear_longer_silence() {
    simulate(
        24,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            let one_way = Duration::from_millis(100);
            world.net.delay(one_way);
            sleep(3_000).await;
            let member = world.member(world.numbers()[0]);
            let far = Arc::clone(&member);
            let refused = far.propose(add(client, 1)).await;
            assert!(refused.is_err(), "the floor does without the distance: {refused:?}");

            let timing = Timing::for_round_trip(one_way * 2);
            retime_all(&world, timing).await;
            world.propose(add(client, 1)).await;
            let term = world.status(world.leader().await).term;
            sleep(60_000).await;
            let terms: BTreeSet<u64> = world.numbers().into_iter().map(|number| world.status(number).term).collect();
            assert_eq!(terms, [term].into(), "nobody was elected for nothing");
        },
        3,
    );
}

/// Power may go at any moment of it.
#[test]
fn a_member_that_is_crashed_while_it_starts_again_comes_back() {
    for moment in 0..20 {
        simulate(
            100 + moment,
            async move |mut world| {
                world.found(3).await;
                let client = world.client().await;
                world.propose(add(client, 1)).await;
                let leader = world.leader().await;
                let member = world.member(leader);
                drop(Sim::spawn(async move { drop(member.retime(Timing::at(1)).await) }));
                Sim::sleep(Duration::from_micros(moment * 150)).await;
                world.crash(leader).await;
                world.propose(add(client, 2)).await;
                world.open(leader).await;
                world.settle().await;
            },
            3,
        );
    }
}

/// What members do by themselves: whoever does not lead changes, as often as it likes, and the leader stays in office.
#[test]
fn the_leader_and_its_term_outlast_all_changes_of_the_others() {
    for leads_at in [0, 2] {
        simulate(
            30 + u64::from(leads_at),
            async move |mut world| {
                world.adjust = |settings| settings.timing = Timing::FLOOR;
                world.found(3).await;
                let client = world.client().await;
                let leader = world.leader().await;
                world.member(leader).seat.exchange(Timing::at(leads_at)).await.unwrap();
                world.propose(add(client, 1)).await;
                let leader = world.leader().await;
                let term = world.status(leader).term;
                let mut request = 1;
                for level in [0, 1, 2, 3, 4, 2, 0, 4, 0] {
                    for number in world.numbers().into_iter().filter(|number| *number != leader) {
                        world.member(number).retime(Timing::at(level)).await.unwrap();
                        request += 1;
                        world.propose(add(client, request)).await;
                    }
                    sleep(2_000).await;
                    assert_eq!((world.leader().await, world.status(leader).term), (leader, term), "level {level}");
                }
                world.settle().await;
                let counted = count(&world.member(leader).read(&count_query()).await.unwrap());
                assert_eq!(counted, i64::try_from(request).unwrap());
            },
            3,
        );
    }
}
