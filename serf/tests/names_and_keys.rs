//! Several engines under one virtual clock: contested names (`docs/spec/serf-gossip.md` 9) and keys (7.2).

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::{KeyOperation, KeyResponse, MemberStatus, OldEvents, SerfState, memberlist};
use world::told::keys;
use world::{World, address, config, name};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn of_two_nodes_with_one_name_the_one_that_was_there_first_stays() {
    let mut world = World::new();
    world.start(1, config("same", 1));
    world.run(SECOND * 90);
    world.start(2, config("same", 2));
    world.join(2, 1);
    world.run(SECOND * 20);
    assert_eq!(world.node(2).conflict_lost, Some((0, 0)));
    assert_eq!(world.serf(2).state(), SerfState::Shutdown);
    assert_eq!(world.node(1).conflict_lost, None);
    assert_eq!(world.serf(1).state(), SerfState::Alive);
}

#[test]
fn of_two_nodes_that_join_each_other_under_one_name_exactly_one_stays() {
    let mut world = World::new();
    world.start(1, config("same", 1));
    world.start(2, config("same", 2));
    for (at, to) in [(1, 2), (2, 1)] {
        let target = vec![memberlist::JoinTarget { name: None, address: address(to) }];
        world.with(at, |serf, now| serf.join(now, target, OldEvents::Replay)).unwrap();
    }
    world.run(SECOND * 60);
    let lost: Vec<bool> = [1, 2].iter().map(|at| world.node(*at).conflict_lost.is_some()).collect();
    assert_eq!(lost, [false, true]);
}

/// `ip_change` of vectors/serf/behaviour.json; Go refuses the new address for half a minute after a death (F5).
#[test]
fn name_comes_back_at_a_new_address_after_a_leave_and_after_a_death() {
    for graceful in [true, false] {
        let mut world = World::cluster(3);
        if graceful {
            world.with(3, |serf, now| serf.leave(now)).unwrap();
            world.until("the leave is seen", |world| world.status(1, "n3") == MemberStatus::Left);
        }
        world.kill(3);
        world.until("it is gone", |world| {
            [1, 2].iter().all(|at| matches!(world.status(*at, "n3"), MemberStatus::Left | MemberStatus::Failed))
        });
        world.run(SECOND * 2);
        world.start(4, config("n3", 4));
        world.join(4, 1);
        world.run(SECOND * 5);
        for at in [1, 2] {
            let member = world.serf(at).members().find(|member| member.name == name("n3")).unwrap();
            assert_eq!(
                (member.status, member.address.ip()),
                (MemberStatus::Alive, Some(address(4).ip())),
                "{graceful}"
            );
        }
        assert_eq!(world.node(4).conflict_lost, None);
    }
}

#[test]
fn newcomer_under_a_taken_name_loses_the_vote() {
    let mut world = World::cluster(3);
    world.start(4, config("n2", 4));
    world.join(4, 1);
    world.run(SECOND * 20);
    let (matching, responses) = world.node(4).conflict_lost.expect("the newcomer stops");
    assert_eq!(matching, 0);
    assert!(responses >= 1);
    for at in 1..=3 {
        assert_eq!(world.node(at).conflict_lost, None);
        assert_eq!(world.serf(at).state(), SerfState::Alive);
        assert_eq!(world.status(at, "n2"), MemberStatus::Alive);
    }
}

#[test]
fn conflict_resolution_can_be_switched_off() {
    let mut world = World::new();
    for number in [1, 2] {
        let mut config = config("same", number);
        config.enable_name_conflict_resolution = false;
        world.start(number, config);
    }
    world.join(2, 1);
    world.run(SECOND * 20);
    assert!([1, 2].iter().all(|at| world.serf(*at).state() == SerfState::Alive));
}

#[test]
fn keys_are_installed_used_listed_and_removed_everywhere() {
    let (first, second) = (Bytes::from_static(&[1; 16]), Bytes::from_static(&[2; 32]));
    let ring = memberlist::Keyring::new(std::slice::from_ref(&first), &first).unwrap();
    let mut world = World::cluster_of(3, |config| config.memberlist.keyring = ring.clone());
    let mut change = |operation| {
        let id = world.with(1, |serf, now| serf.change_keys(now, operation, 0));
        world.until("the keys are changed", |world| world.completion(1, id).is_some());
        keys(&world, 1, id)
    };
    let ok = |response: &KeyResponse| {
        assert_eq!((response.num_nodes, response.num_resp, response.num_err), (3, 3, 0), "{response:?}");
        assert_eq!(response.error, None);
    };
    ok(&change(KeyOperation::Install(second.clone())));
    ok(&change(KeyOperation::Use(second.clone())));
    let listed = change(KeyOperation::List);
    ok(&listed);
    assert_eq!(listed.keys.values().copied().collect::<Vec<_>>(), [3, 3]);
    assert_eq!(listed.primary_keys.values().copied().collect::<Vec<_>>(), [3]);
    let refused = change(KeyOperation::Remove(second.clone()));
    assert_eq!(refused.error.as_deref(), Some("3/3 nodes reported failure"));
    assert_eq!(refused.messages[&name("n2")], "removing the primary key is not allowed");
    ok(&change(KeyOperation::Remove(first)));
    let refused = change(KeyOperation::Install(Bytes::from_static(b"short")));
    assert_eq!(refused.messages[&name("n1")], "key size must be 16, 24 or 32 bytes");
    let refused = change(KeyOperation::Use(Bytes::from_static(&[9; 16])));
    assert_eq!(refused.messages[&name("n3")], "requested key is not in the keyring");
    for at in 1..=3 {
        assert_eq!(world.serf(at).keyring().keys(), std::slice::from_ref(&second));
        assert_eq!(world.node(at).keyring_changes, 3);
    }
}

#[test]
fn key_queries_are_answered_once_the_keys_are_kept() {
    let (first, second) = (Bytes::from_static(&[1; 16]), Bytes::from_static(&[2; 32]));
    let ring = memberlist::Keyring::new(std::slice::from_ref(&first), &first).unwrap();
    let mut world = World::cluster_of(2, |config| {
        config.memberlist.keyring = ring.clone();
        config.keyring_is_kept = true;
    });
    let id = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::Install(second.clone()), 0));
    world.until("both have the key", |world| (1..=2).all(|at| !world.node(at).unkept.is_empty()));
    assert!(world.completion(1, id).is_none(), "nobody has answered");
    for at in 1..=2 {
        assert_eq!(world.serf(at).keyring().keys(), [first.clone(), second.clone()], "changed at once");
    }
    let waiting = |world: &World, at| world.node(at).unkept[0];
    let (own, other) = (waiting(&world, 1), waiting(&world, 2));
    world.with(1, |serf, now| serf.keyring_kept(now, own, Ok(())));
    let reason = "Failed to write keyring file: open k: no space left on device";
    world.with(2, |serf, now| serf.keyring_kept(now, other, Err(reason.to_string())));
    world.with(2, |serf, now| serf.keyring_kept(now, other, Ok(())));
    world.until("the operation has ended", |world| world.completion(1, id).is_some());
    let response = keys(&world, 1, id);
    assert_eq!((response.num_nodes, response.num_resp, response.num_err), (2, 2, 1), "{response:?}");
    assert_eq!(response.error.as_deref(), Some("1/2 nodes reported failure"));
    assert_eq!(response.messages.into_iter().collect::<Vec<_>>(), [(name("n2"), reason.to_string())]);
    assert_eq!(world.serf(2).keyring().keys(), [first, second], "the change stays");
}

#[test]
fn key_changes_beyond_what_can_wait_are_refused_and_not_done() {
    let first = Bytes::from_static(&[1; 16]);
    let ring = memberlist::Keyring::new(std::slice::from_ref(&first), &first).unwrap();
    let mut world = World::cluster_of(1, |config| {
        config.memberlist.keyring = ring.clone();
        config.keyring_is_kept = true;
    });
    let limit = folkmoot_serf::limits::UNKEPT_KEY_CHANGES_MAX;
    let mut last = None;
    for number in 0..=limit {
        let key = Bytes::from(vec![u8::try_from(number).unwrap() + 2; 16]);
        let id = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::Install(key), 0));
        world.until("it has ended", |world| world.completion(1, id).is_some());
        last = Some(id);
    }
    assert_eq!(world.serf(1).keyring().keys().len(), limit + 1);
    let refused = keys(&world, 1, last.unwrap());
    assert_eq!(refused.messages[&name("n1")], "too-many-key-changes: 64 wait for the keyring file");
}

#[test]
fn keys_need_encryption() {
    let mut world = World::cluster(2);
    let list = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::List, 0));
    let install = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::Install(Bytes::new()), 0));
    world.run(SECOND * 5);
    let listed = keys(&world, 1, list);
    assert_eq!(listed.error.as_deref(), Some("2/2 nodes reported failure"));
    assert_eq!(listed.messages[&name("n1")], "Keyring is empty (encryption not enabled)");
    let installed = keys(&world, 1, install);
    assert_eq!(installed.messages[&name("n2")], "No keyring to modify (encryption not enabled)");
    let order: Vec<_> =
        world.node(1).completed.iter().map(|(id, _)| *id).filter(|id| [list, install].contains(id)).collect();
    assert_eq!(order, [list, install], "one after the other");
}

#[test]
fn missing_answers_to_a_key_operation_are_told_at_the_deadline() {
    let first = Bytes::from_static(&[1; 16]);
    let ring = memberlist::Keyring::new(std::slice::from_ref(&first), &first).unwrap();
    let mut world = World::cluster_of(3, |config| {
        config.memberlist.keyring = ring.clone();
        config.memberlist.probe_interval = Duration::ZERO;
    });
    world.kill(3);
    let list = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::List, 0));
    world.run(SECOND * 3);
    let listed = keys(&world, 1, list);
    assert_eq!(listed.error.as_deref(), Some("2/3 nodes reported success"));
    assert!(listed.messages.is_empty(), "a list changes nothing: {listed:?}");
    let second = Bytes::from_static(&[2; 16]);
    let install = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::Install(second), 0));
    world.run(SECOND * 3);
    let installed = keys(&world, 1, install);
    assert_eq!((installed.num_resp, installed.num_err), (2, 0));
    assert_eq!(installed.error.as_deref(), Some("2/3 nodes reported success"));
    let named: Vec<_> = installed.messages.into_iter().collect();
    assert_eq!(named, [(name("n3"), "no-answer: it may lack this change".to_string())]);
}

#[test]
fn members_that_were_down_during_a_key_change_are_named() {
    let first = Bytes::from_static(&[1; 16]);
    let ring = memberlist::Keyring::new(std::slice::from_ref(&first), &first).unwrap();
    let mut world = World::cluster_of(3, |config| config.memberlist.keyring = ring.clone());
    world.kill(3);
    world.until("n3 has failed", |world| world.status(1, "n3") == MemberStatus::Failed);
    let second = Bytes::from_static(&[2; 16]);
    let install = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::Install(second), 0));
    world.until("it has ended", |world| world.completion(1, install).is_some());
    let installed = keys(&world, 1, install);
    assert_eq!((installed.num_nodes, installed.num_resp, installed.num_err), (2, 2, 0));
    assert_eq!(installed.error, None);
    let named: Vec<_> = installed.messages.into_iter().collect();
    assert_eq!(named, [(name("n3"), "not-asked: it is down and comes back without this change".to_string())]);
}

#[test]
fn long_key_lists_are_cut_to_the_size_of_an_answer() {
    for (length, shown) in [(32, 18), (16, 34)] {
        // As the agents of the vectors: a primary of 16 bytes and 60 more keys.
        let mut all = vec![Bytes::from_static(&[255; 16])];
        all.extend((0..60).map(|number| Bytes::from(vec![number; length])));
        let mut config = config("n1", 1);
        config.memberlist.keyring = memberlist::Keyring::new(&all, &all[0]).unwrap();
        let mut world = World::new();
        world.start(1, config);
        let list = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::List, 0));
        let listed = keys(&world, 1, list);
        let message = format!("truncated key list response, showing first {shown} of 61 keys");
        assert_eq!(listed.messages[&name("n1")], message);
        assert_eq!(listed.keys.len(), shown);
        assert_eq!(listed.error, None);
    }
}
