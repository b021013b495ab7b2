//! Several engines under one virtual clock: leaves, crashes, force-leaves and prunes (`docs/spec/serf-gossip.md` 4 and 12).

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use std::time::Duration;

use folkmoot_serf::{
    Completion, Event, MemberEventKind, MemberStatus, OldEvents, Prune, Record, RequestError, SerfState,
};
use world::told::all_agree_on;
use world::{World, address, name};

use MemberEventKind::{Failed, Join, Leave, Reap};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn leave_is_seen_as_left_and_never_as_failed() {
    let mut world = World::cluster(3);
    let started = world.now;
    let operation = world.with(3, |serf, now| serf.leave(now)).unwrap().unwrap();
    assert_eq!(world.serf(3).state(), SerfState::Leaving);
    let again = world.with(3, |serf, now| serf.leave(now)).unwrap_err();
    assert_eq!(again, RequestError::LeaveInProgress);
    assert_eq!(again.to_string(), "Leave already in progress");
    let error = world.with(3, |serf, now| serf.join(now, Vec::new(), OldEvents::Ignore)).unwrap_err();
    assert_eq!(error.to_string(), "Serf can't Join after Leave or Shutdown");
    world.until("the leave is complete", |world| world.completion(3, operation).is_some());
    assert!(world.now.since(started) >= SECOND, "the news gets time to spread");
    assert!(world.now.since(started) < SECOND * 3);
    assert_eq!(world.serf(3).state(), SerfState::Left);
    assert_eq!(world.with(3, |serf, now| serf.leave(now)), Ok(None));
    for at in 1..=3 {
        assert_eq!(world.member_events(at, "n3"), [Join, Leave], "at {at}");
        assert_eq!(world.status(at, "n3"), MemberStatus::Left);
    }
    assert!(world.node(3).records.contains(&Record::Leave));
    world.with(3, |serf, _| serf.shutdown());
    assert_eq!(world.with(3, |serf, now| serf.leave(now)), Err(RequestError::LeaveAfterShutdown));
    assert_eq!(world.serf(3).poll_timeout(), None);
}

#[test]
fn lone_node_leaves_after_the_propagation_delay() {
    let mut world = World::cluster(1);
    let started = world.now;
    let operation = world.with(1, |serf, now| serf.leave(now)).unwrap().unwrap();
    world.until("the leave is complete", |world| world.completion(1, operation).is_some());
    assert_eq!(world.now.since(started), SECOND);
}

#[test]
fn leave_nobody_hears_goes_on_after_its_timeouts() {
    let mut world = World::cluster_of(2, |config| {
        config.memberlist.gossip_interval = Duration::ZERO;
        config.memberlist.probe_interval = Duration::ZERO;
    });
    let started = world.now;
    let operation = world.with(1, |serf, now| serf.leave(now)).unwrap().unwrap();
    world.until("the leave is complete", |world| world.completion(1, operation).is_some());
    assert_eq!(world.now.since(started), SECOND * 11, "5 s for the intent, 5 s for the farewell, 1 s to spread");
    assert_eq!(world.serf(1).state(), SerfState::Left);
}

#[test]
fn farewell_without_an_intent_is_a_leave() {
    let mut world = World::cluster(2);
    world.cut(1, 2);
    let dead = world::dead("n2", "n2");
    world.with(1, |serf, now| serf.handle_packet(now, address(2), &dead)).unwrap();
    assert_eq!(world.status(1, "n2"), MemberStatus::Left);
    assert_eq!(world.member_events(1, "n2"), [Join, Leave]);
}

#[test]
fn crash_is_a_failure_and_the_reconnector_brings_the_node_back() {
    let mut world = World::cluster(3);
    let time = world.serf(3).stats().member_time;
    world.cut(1, 3);
    world.cut(2, 3);
    world.until("both sides see a failure", |world| {
        world.status(1, "n3") == MemberStatus::Failed && world.status(3, "n1") == MemberStatus::Failed
    });
    assert_eq!(world.member_events(1, "n3"), [Join, Failed]);
    assert!(world.serf(1).failed().contains(&name("n3")));
    // Longer than memberlist gossips to the dead: only the reconnector can mend this.
    world.run(SECOND * 60);
    world.heal();
    world.until("n3 is back", |world| all_agree_on(world, "n3", MemberStatus::Alive));
    assert_eq!(world.member_events(1, "n3"), [Join, Failed, Join]);
    world.run(SECOND * 5);
    assert!(world.serf(3).stats().member_time > time, "the reconnection is announced");
}

#[test]
fn force_leave_of_a_failed_node_makes_it_left_everywhere() {
    let mut world = World::cluster(3);
    world.kill(3);
    world.until("n3 has failed", |world| {
        world.status(1, "n3") == MemberStatus::Failed && world.status(2, "n3") == MemberStatus::Failed
    });
    let operation = world.with(1, |serf, now| serf.force_leave(now, &name("n3"), Prune::Keep));
    world.run(SECOND * 5);
    assert_eq!(world.completion(1, operation), Some(&Completion::ForceLeave(Ok(()))));
    for at in [1, 2] {
        assert_eq!(world.status(at, "n3"), MemberStatus::Left);
        assert_eq!(world.member_events(at, "n3"), [Join, Failed, Leave]);
    }
    let forced = world.node(2).events.iter().any(|event| matches!(event, Event::Members(e) if e.forced));
    assert!(forced, "the log line says so");
}

#[test]
fn pruning_a_failed_node_erases_it_everywhere_at_once() {
    let mut world = World::cluster(3);
    world.kill(3);
    world.until("n3 has failed", |world| {
        world.status(1, "n3") == MemberStatus::Failed && world.status(2, "n3") == MemberStatus::Failed
    });
    let operation = world.with(1, |serf, now| serf.force_leave(now, &name("n3"), Prune::Erase));
    assert_eq!(world.status(1, "n3"), MemberStatus::None);
    world.run(SECOND * 5);
    assert_eq!(world.completion(1, operation), Some(&Completion::ForceLeave(Ok(()))));
    for at in [1, 2] {
        assert_eq!(world.status(at, "n3"), MemberStatus::None);
        assert_eq!(world.member_events(at, "n3"), [Join, Failed, Leave, Reap]);
    }
}

#[test]
fn force_leave_of_a_living_node_is_refuted_even_with_two_nodes() {
    for size in [2, 4] {
        let mut world = World::cluster(size);
        let operation = world.with(1, |serf, now| serf.force_leave(now, &name("n2"), Prune::Keep));
        assert_eq!(world.status(1, "n2"), MemberStatus::Leaving);
        world.run(SECOND * 15);
        assert_eq!(world.completion(1, operation), Some(&Completion::ForceLeave(Ok(()))));
        assert!(all_agree_on(&world, "n2", MemberStatus::Alive), "of {size}");
        assert_eq!(world.member_events(1, "n2"), [Join]);
        world.kill(2);
        world.until("the crash is seen", |world| world.status(1, "n2") != MemberStatus::Alive);
        assert_eq!(world.status(1, "n2"), MemberStatus::Failed, "a later crash is a failure");
    }
}

#[test]
fn whoever_is_declared_gone_hears_of_it_directly() {
    let mut world = world::quiet_pair();
    let intent = folkmoot_serf::messages::JoinIntent { ltime: folkmoot_serf::LamportTime(49), node: name("x") };
    world.inject(1, &intent.encode());
    world.with(1, |serf, now| serf.force_leave(now, &name("n2"), Prune::Keep));
    world.run(Duration::from_millis(10));
    assert_eq!(world.serf(2).stats().member_time, 52, "leave intent 50, refuted with 51, although nothing is gossiped");
    assert_eq!(world.status(2, "n2"), MemberStatus::Alive);
}

#[test]
fn leave_that_is_never_confirmed_is_taken_back_after_a_push_pull_interval() {
    let mut world = World::cluster(2);
    let interval = Duration::from_secs(15);
    // A third party's leave intent for n2 that n2 itself never hears.
    let intent =
        folkmoot_serf::messages::LeaveIntent { ltime: folkmoot_serf::LamportTime(50), node: name("n2"), prune: false };
    world.inject(1, &intent.encode());
    assert_eq!(world.status(1, "n2"), MemberStatus::Leaving);
    let heard = world.now;
    world.until("n2 is alive again", |world| world.status(1, "n2") == MemberStatus::Alive);
    assert!(world.now.since(heard) <= interval);
}

#[test]
fn pruning_a_living_node_leaves_it_in_the_table() {
    let mut world = World::cluster(2);
    let started = world.now;
    let operation = world.with(1, |serf, now| serf.force_leave(now, &name("n2"), Prune::Erase));
    world.until("the prune is settled", |world| world.completion(1, operation).is_some());
    assert_eq!(world.now.since(started), SECOND * 6, "the request ends after the time a leave takes");
    world.run(SECOND * 30);
    assert_eq!(world.status(1, "n2"), MemberStatus::Alive);
    assert_eq!(world.status(2, "n1"), MemberStatus::Alive);
    assert_eq!(world.member_events(1, "n2"), [Join]);
}

#[test]
fn prune_during_a_real_leave_erases_after_the_leave() {
    let mut world = World::cluster(3);
    world.with(3, |serf, now| serf.leave(now)).unwrap();
    world.until("the leave is heard", |world| world.status(1, "n3") == MemberStatus::Leaving);
    world.with(1, |serf, now| serf.force_leave(now, &name("n3"), Prune::Erase));
    world.run(SECOND * 10);
    assert_eq!(world.status(1, "n3"), MemberStatus::None);
    assert_eq!(world.member_events(1, "n3"), [Join, Leave, Reap]);
}

#[test]
fn force_leave_of_ourselves_and_of_strangers_succeeds_and_changes_nothing() {
    let mut world = World::cluster(2);
    let own = world.with(1, |serf, now| serf.force_leave(now, &name("n1"), Prune::Erase));
    let stranger = world.with(1, |serf, now| serf.force_leave(now, &name("nobody"), Prune::Keep));
    let junk = world.with(1, |serf, now| serf.force_leave(now, &name("no\nbody"), Prune::Keep));
    world.run(SECOND * 10);
    assert_eq!(world.completion(1, own), Some(&Completion::ForceLeave(Ok(()))));
    assert_eq!(world.completion(1, stranger), Some(&Completion::ForceLeave(Ok(()))));
    assert!(matches!(world.completion(1, junk), Some(Completion::ForceLeave(Err(_)))));
    for at in [1, 2] {
        assert_eq!(world.status(at, "n1"), MemberStatus::Alive);
        assert_eq!(world.serf(at).members().count(), 2);
    }
}

#[test]
fn intents_stop_going_round_after_two_leaves_in_odd_order() {
    let mut world = World::cluster(3);
    world.kill(3);
    world.until("n3 has failed", |world| all_agree_on(world, "n3", MemberStatus::Failed));
    for at in [1, 2] {
        world.with(at, |serf, now| serf.force_leave(now, &name("n3"), Prune::Keep));
    }
    world.run(SECOND * 30);
    for at in [1, 2] {
        assert_eq!(world.serf(at).stats().intent_queue, 0);
        assert_eq!(world.status(at, "n3"), MemberStatus::Left);
    }
}

#[test]
fn members_gone_for_long_are_reaped() {
    let mut world = World::cluster_of(3, |config| {
        config.reconnect_timeout = SECOND * 60;
        config.tombstone_timeout = SECOND * 120;
    });
    world.with(2, |serf, now| serf.leave(now)).unwrap();
    world.run(SECOND * 5);
    world.kill(2);
    world.kill(3);
    world.until("n3 is reaped", |world| world.status(1, "n3") == MemberStatus::None);
    assert_eq!(world.member_events(1, "n3"), [Join, Failed, Reap]);
    assert_eq!(world.status(1, "n2"), MemberStatus::Left);
    world.until("n2 is reaped", |world| world.status(1, "n2") == MemberStatus::None);
    assert_eq!(world.member_events(1, "n2"), [Join, Leave, Reap]);
    assert_eq!(world.status(1, "n1"), MemberStatus::Alive);
}
