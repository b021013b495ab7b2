//! One engine fed by hand: the tables of `docs/spec/serf-gossip.md` 4 to 7 row by row, and what the vectors say of behaviour.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod world;

use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::{
    Event, LamportTime, MemberEventKind, MemberStatus, NodeName, QueryRequest, RequestError, Serf, Tags, Text,
    memberlist,
};
use world::messages::{answers, failed_pair, intents, join, leave, memberlist_says, prune, query, user_event};
use world::{World, address, config, dead, name, quiet_pair};

use MemberEventKind::{Failed, Join, Leave, Reap, Update};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn leave_intent_of_an_unknown_node_is_buffered_and_passed_on_only_if_newer() {
    let mut world = quiet_pair();
    let before = intents(&world);
    world.inject(1, &leave("x", 10));
    assert_eq!(intents(&world), before + 1);
    let gossip = world.serf(1).stats();
    assert_eq!((gossip.member_time, gossip.members), (11, 2));
    world.inject(1, &leave("x", 9));
    world.inject(1, &join("x", 10));
    assert_eq!(intents(&world), before + 1);
    world.inject(1, &join("x", 12));
    assert_eq!(intents(&world), before + 2, "an intent about a stranger takes nobody's place");
    assert_eq!(world.serf(1).stats().member_time, 13);
}

#[test]
fn buffered_intents_decide_how_a_member_starts() {
    for (intent, status) in [(leave("n3", 40), MemberStatus::Leaving), (join("n3", 40), MemberStatus::Alive)] {
        let mut world = quiet_pair();
        world.inject(1, &intent);
        world.start(3, config("n3", 3));
        let target = vec![memberlist::JoinTarget { name: None, address: address(1) }];
        world.with(3, |serf, now| serf.join(now, target, folkmoot_serf::OldEvents::Replay)).unwrap();
        world.until("n1 has met n3", |world| world.status(1, "n3") != MemberStatus::None);
        assert_eq!(world.status(1, "n3"), status);
        assert_eq!(world.member_events(1, "n3"), [Join]);
    }
}

#[test]
fn buffered_intents_expire() {
    let mut world = quiet_pair();
    world.inject(1, &leave("n3", 40));
    world.run(SECOND * 330);
    world.start(3, config("n3", 3));
    world.join(3, 1);
    assert_eq!(world.status(1, "n3"), MemberStatus::Alive);
}

#[test]
fn leave_intent_of_a_living_member_makes_it_leaving() {
    let mut world = quiet_pair();
    let (before, revision) = (intents(&world), world.serf(1).members_revision());
    world.inject(1, &leave("n2", 50));
    assert_eq!(world.status(1, "n2"), MemberStatus::Leaving);
    assert_eq!(world.member_events(1, "n2"), [Join]);
    assert_eq!(intents(&world), before + 1);
    assert!(world.serf(1).members_revision() > revision);
    world.inject(1, &leave("n2", 49));
    world.inject(1, &join("n2", 50));
    assert_eq!(world.status(1, "n2"), MemberStatus::Leaving, "older and equal times change nothing");
    world.inject(1, &join("n2", 51));
    assert_eq!(world.status(1, "n2"), MemberStatus::Alive);
    assert_eq!(world.member_events(1, "n2"), [Join]);
    world.inject(1, &leave("n2", 52));
    memberlist_says(&mut world, &dead("n2", "n9"));
    assert_eq!(world.status(1, "n2"), MemberStatus::Left);
    assert_eq!(world.member_events(1, "n2"), [Join, Leave]);
}

#[test]
fn leave_intent_of_a_failed_member_makes_it_left() {
    let mut world = failed_pair();
    let before = intents(&world);
    world.inject(1, &leave("n2", 50));
    assert_eq!(world.status(1, "n2"), MemberStatus::Left);
    assert_eq!(world.member_events(1, "n2"), [Join, Failed, Leave]);
    assert_eq!(intents(&world), before + 1);
    let stats = world.serf(1).stats();
    assert_eq!((stats.failed, stats.left), (0, 1));
    world.inject(1, &leave("n2", 51));
    world.inject(1, &join("n2", 52));
    assert_eq!(world.status(1, "n2"), MemberStatus::Left, "a join intent does not bring it back");
    assert_eq!(world.member_events(1, "n2"), [Join, Failed, Leave]);
    world.inject(1, &prune("n2", 53));
    assert_eq!(world.status(1, "n2"), MemberStatus::None);
    assert_eq!(world.member_events(1, "n2"), [Join, Failed, Leave, Reap]);
}

#[test]
fn join_intent_of_a_failed_member_leaves_it_failed() {
    let mut world = failed_pair();
    world.inject(1, &join("n2", 50));
    assert_eq!(world.status(1, "n2"), MemberStatus::Failed);
    world.inject(1, &leave("n2", 50));
    assert_eq!(world.status(1, "n2"), MemberStatus::Failed, "its time was raised");
}

#[test]
fn second_death_is_ignored_and_a_return_within_a_minute_is_a_flap() {
    let mut world = failed_pair();
    memberlist_says(&mut world, &dead("n2", "n9"));
    assert_eq!(world.member_events(1, "n2"), [Join, Failed]);
    // The first exchange tells n2 of its death, the second one tells n1 that it is not true.
    world.join(2, 1);
    world.join(2, 1);
    assert_eq!(world.member_events(1, "n2"), [Join, Failed, Join]);
    assert_eq!(world.serf(1).counters().member_flap, 1);
}

#[test]
fn leave_intent_of_ourselves_is_refuted_and_not_passed_on() {
    let mut world = quiet_pair();
    world.inject(1, &leave("n1", 60));
    assert_eq!(world.status(1, "n1"), MemberStatus::Alive);
    assert_eq!(world.serf(1).stats().member_time, 62);
    assert_eq!(intents(&world), 1, "the refutation only");
    world.inject(1, &prune("n1", 70));
    world.run(SECOND * 20);
    assert_eq!(world.status(1, "n1"), MemberStatus::Alive);
}

#[test]
fn prune_of_a_member_that_is_still_here_is_refused_after_the_delay() {
    let mut world = quiet_pair();
    world.inject(1, &prune("n2", 50));
    assert_eq!(world.status(1, "n2"), MemberStatus::Leaving);
    world.run(SECOND * 7);
    assert_eq!(world.status(1, "n2"), MemberStatus::Leaving, "there is no push/pull, so the patience is 30 s");
    world.run(SECOND * 30);
    assert_eq!(world.status(1, "n2"), MemberStatus::Alive);
}

#[test]
fn times_far_ahead_are_refused_for_all_three_clocks() {
    let mut world = quiet_pair();
    let before = world.serf(1).stats();
    world.inject(1, &join("x", u64::MAX));
    world.inject(1, &leave("n2", u64::MAX));
    world.inject(1, &user_event(u64::MAX, "e", None).encode());
    world.inject(1, &query(u64::MAX, 1, "q").encode());
    let after = world.serf(1).stats();
    assert_eq!(
        (after.member_time, after.event_time, after.query_time),
        (before.member_time, before.event_time, before.query_time)
    );
    assert_eq!(world.status(1, "n2"), MemberStatus::Alive);
    assert_eq!(world.user_events(1), Vec::<String>::new());
    assert_eq!(world.serf(1).counters().times_refused, 4);
}

#[test]
fn clocks_of_a_peer_far_ahead_are_refused_in_push_pull() {
    let mut world = World::new();
    world.start(1, config("n1", 1));
    let mut ahead = config("n2", 2);
    ahead.restored.clock = LamportTime(1 << 50);
    ahead.restored.event_clock = LamportTime(1 << 50);
    ahead.restored.query_clock = LamportTime(1 << 50);
    world.start(2, ahead);
    world.join_with(2, 1, folkmoot_serf::OldEvents::Ignore);
    world.join_with(1, 2, folkmoot_serf::OldEvents::Ignore);
    world.run(SECOND * 5);
    let stats = world.serf(1).stats();
    assert!(stats.member_time < 20 && stats.event_time < 20 && stats.query_time < 20, "{stats:?}");
    world.with(1, |serf, now| serf.user_event(now, "own".into(), None, false)).unwrap();
    assert_eq!(world.user_events(1), ["own"], "the floor was not raised either");
}

#[test]
fn event_window_is_as_measured_on_go_agents() {
    let text = include_str!("../../vectors/serf/behaviour.json");
    let behaviour: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut world = World::new();
    world.start(1, config("n1", 1));
    for step in behaviour["event_window"]["steps"].as_array().unwrap() {
        let (ltime, event) = (step["ltime"].as_u64().unwrap(), step["name"].as_str().unwrap());
        let mut message = user_event(ltime, event, step["payload"].as_str());
        message.coalesce = step["cc"].as_bool().unwrap_or_default();
        let (told, clock) = (world.user_events(1).len(), world.serf(1).stats().event_time);
        world.inject(1, &message.encode());
        let delivered = world.user_events(1).len() > told;
        if ltime == u64::MAX {
            assert!(!delivered, "Go wraps its clock; here the message is refused (F2)");
            assert_eq!(world.serf(1).stats().event_time, clock);
            continue;
        }
        assert_eq!(delivered, step["delivered"].as_bool().unwrap(), "{step}");
        if let Some(after) = step["event_clock_after"].as_u64() {
            assert_eq!(world.serf(1).stats().event_time, after);
        }
    }
}

#[test]
fn nil_and_empty_payloads_are_one_event() {
    let mut world = World::new();
    world.start(1, config("n1", 1));
    world.inject(1, &user_event(5, "e", None).encode());
    world.inject(1, &user_event(5, "e", Some("")).encode());
    assert_eq!(world.user_events(1), ["e"]);
    let Some(Event::User(event)) = world.node(1).events.last() else { panic!("no event") };
    assert_eq!(event.payload, None, "told as it came");
}

#[test]
fn our_events_never_share_a_time() {
    let mut world = World::new();
    world.start(1, config("n1", 1));
    for _ in 0..3 {
        world.with(1, |serf, now| serf.user_event(now, "same".into(), None, false)).unwrap();
    }
    let first = world.with(1, |serf, now| serf.query(now, QueryRequest::default())).unwrap();
    let second = world.with(1, |serf, now| serf.query(now, QueryRequest::default())).unwrap();
    assert_eq!(world.user_events(1).len(), 3);
    assert_eq!((first.ltime, second.ltime), (LamportTime(1), LamportTime(2)));
    assert_eq!(world.serf(1).stats().event_time, 4);
    assert_eq!(world.serf(1).stats().event_queue, 3, "they wait for somebody to hear them");
}

#[test]
fn event_limits_are_told_in_gos_words() {
    let mut world = World::new();
    world.start(1, config("n1", 1));
    let mut fire = |length: usize| {
        let payload = Bytes::from(vec![b'x'; length]);
        world.with(1, |serf, now| serf.user_event(now, "name".into(), Some(payload), false)).map_err(|e| e.to_string())
    };
    assert_eq!(fire(509).unwrap_err(), "user event exceeds configured limit of 512 bytes before encoding");
    assert_eq!(fire(500).unwrap_err(), "encoded user event exceeds configured limit of 512 bytes after encoding");
    assert_eq!(fire(400), Ok(()));
}

#[test]
fn what_gossip_can_never_carry_is_refused() {
    let key = Bytes::from_static(&[1; 16]);
    let ring = memberlist::Keyring::new(std::slice::from_ref(&key), &key).unwrap();
    for (ring, ceiling) in [(memberlist::Keyring::default(), 1_395), (ring, 1_366)] {
        let mut config = config("n1", 1);
        config.user_event_size_limit = 9_216;
        config.query_size_limit = 4_096;
        config.memberlist.keyring = ring;
        let mut world = World::new();
        world.start(1, config);
        // Type byte, map header, the keys, values of one byte and a raw16 header.
        let overhead = user_event(1, "e", Some(&"x".repeat(300))).encode().len() - 300;
        let mut fire = |length: usize| {
            let payload = Bytes::from(vec![b'x'; length]);
            world.with(1, |serf, now| serf.user_event(now, "e".into(), Some(payload), false))
        };
        assert_eq!(fire(ceiling - overhead), Ok(()));
        let error = fire(ceiling - overhead + 1).unwrap_err();
        assert_eq!(error, RequestError::NeverGossiped { length: ceiling + 1, ceiling });
        let request = QueryRequest { payload: Some(Bytes::from(vec![0; 2_000])), ..QueryRequest::default() };
        let error = world.with(1, |serf, now| serf.query(now, request)).unwrap_err();
        assert!(matches!(error, RequestError::NeverGossiped { .. }), "{error}");
    }
}

#[test]
fn largest_gossip_message_reaches_the_peer_by_gossip() {
    let mut world = World::cluster_of(2, |config| {
        config.user_event_size_limit = 9_216;
        config.memberlist.push_pull_interval = Duration::ZERO;
    });
    world.with(1, |serf, now| serf.user_event(now, "e".into(), Some(Bytes::from(vec![7; 1_350])), false)).unwrap();
    world.run(SECOND);
    assert_eq!(world.user_events(2), ["e"]);
    assert_eq!(world.serf(1).stats().event_queue, 0);
}

#[test]
fn fresh_node_has_gos_numbers() {
    let serf = Serf::new(config("n1", 1), folkmoot_serf::Instant::EPOCH, [0; 32]).unwrap();
    let stats = serf.stats();
    assert_eq!((stats.members, stats.failed, stats.left, stats.health_score), (1, 0, 0, 0));
    assert_eq!((stats.member_time, stats.event_time, stats.query_time), (1, 1, 1));
    assert_eq!((stats.intent_queue, stats.event_queue, stats.query_queue), (0, 0, 0));
    assert_eq!((stats.encrypted, stats.coordinate_resets), (false, Some(0)));
    assert_eq!(serf.local_member().status, MemberStatus::Alive);
    let coordinate = serf.coordinate(&name("n1")).unwrap();
    assert_eq!((coordinate.vec, coordinate.error), (vec![0.0; 8], 1.5));
}

#[test]
fn settings_that_cannot_work_are_refused_in_gos_words() {
    let refused = |adjust: fn(&mut folkmoot_serf::Config)| {
        let mut config = config("n1", 1);
        adjust(&mut config);
        let now = folkmoot_serf::Instant::EPOCH;
        Serf::new(config, now, [0; 32]).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(|c| c.protocol_version = 1), "Protocol version '1' too low. Must be in range: [2, 5]");
    assert_eq!(refused(|c| c.protocol_version = 6), "Protocol version '6' too high. Must be in range: [2, 5]");
    assert_eq!(refused(|c| c.user_event_size_limit = 9_217), "user event size limit exceeds limit of 9216 bytes");
    assert_eq!(
        refused(|c| c.tags = Tags([(Text::from("k"), Text::from("v".repeat(600)))].into())),
        "Encoded length of tags exceeds limit of 512 bytes"
    );
    assert!(refused(|c| c.memberlist.name = name("a/b")).starts_with("invalid-name"));
    assert!(refused(|c| c.memberlist.name = name("a\nb")).starts_with("invalid-name"));
    assert_eq!(refused(|c| c.memberlist.name = name("a b")), "");
    for version in 2..=5 {
        let mut config = config("n1", 1);
        config.protocol_version = version;
        let serf = Serf::new(config, folkmoot_serf::Instant::EPOCH, [0; 32]).unwrap();
        let versions = serf.local_member().versions;
        assert_eq!((versions.delegate_min, versions.delegate_max, versions.delegate_cur), (2, 5, version));
        assert_eq!((versions.protocol_min, versions.protocol_max, versions.protocol_cur), (1, 5, 2));
    }
}

/// Names and kinds of what clients were told, one entry per record.
fn told(world: &World, at: u8) -> Vec<String> {
    let deliveries = world.node(at).deliveries.iter();
    deliveries
        .map(|event| match event {
            Event::Members(event) => {
                let names: Vec<String> = event.members.iter().map(|member| member.name.0.to_string()).collect();
                format!("{} {}", event.kind.as_str(), names.join(" "))
            }
            Event::User(event) => format!("user {}", event.name),
            Event::Query(event) => format!("query {}", event.name),
        })
        .collect()
}

#[test]
fn clients_are_told_coalesced_and_nothing_twice() {
    let text = include_str!("../../vectors/serf/behaviour.json");
    let behaviour: serde_json::Value = serde_json::from_str(text).unwrap();
    let expected: Vec<String> = behaviour["member_update_replay"]["expected_of_a_correct_implementation"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|records| records.as_array().unwrap())
        .map(|record| record.as_str().unwrap().to_string())
        .collect();
    let coalescing = |node: &str, number| {
        let mut config = config(node, number);
        config.coalesce_period = SECOND * 3;
        config.quiescent_period = SECOND;
        config
    };
    let tag = |value: &str| Tags([(Text::from("v"), Text::from(value))].into());
    let mut world = World::new();
    world.start(1, coalescing("n1", 1));
    world.start(2, coalescing("n2", 2));
    world.join(2, 1);
    world.run(SECOND * 4);
    world.with(2, |serf, now| serf.set_tags(now, tag("1"))).unwrap();
    world.run(SECOND * 4);
    world.start(3, coalescing("n3", 3));
    world.join(3, 1);
    world.run(SECOND * 4);
    world.with(3, |serf, now| serf.set_tags(now, tag("2"))).unwrap();
    world.run(SECOND * 4);
    world.with(3, |serf, now| serf.leave(now)).unwrap();
    world.run(SECOND * 6);
    assert_eq!(told(&world, 1), expected);
    assert_eq!(world.member_events(1, "n3"), [Join, Update, Leave], "facts are told at once");
}

#[test]
fn without_periods_clients_are_told_at_once() {
    let mut world = quiet_pair();
    world.with(1, |serf, now| serf.user_event(now, "e".into(), None, true)).unwrap();
    world.inject(1, &query(3, 1, "q").encode());
    assert_eq!(told(&world, 1), ["member-join n1", "member-join n2", "user e", "query q"]);
}

#[test]
fn shutdown_hands_over_what_was_held_back_and_ends_everything() {
    let mut slow = config("n1", 1);
    slow.coalesce_period = SECOND * 3;
    slow.quiescent_period = SECOND;
    let mut world = World::new();
    world.start(1, slow);
    assert_eq!(told(&world, 1), Vec::<String>::new());
    world.with(1, |serf, _| serf.shutdown());
    assert_eq!(told(&world, 1), ["member-join n1"]);
    world.inject(1, &user_event(5, "late", None).encode());
    assert_eq!(world.user_events(1), Vec::<String>::new());
    assert_eq!(world.serf(1).poll_timeout(), None);
}

#[test]
fn snapshot_lines_follow_the_facts() {
    use folkmoot_serf::Record;
    let mut world = quiet_pair();
    world.with(1, |serf, now| serf.user_event(now, "e".into(), None, false)).unwrap();
    world.inject(1, &query(9, 1, "_serf_ping").encode());
    memberlist_says(&mut world, &dead("n2", "n9"));
    world.inject(1, &join("x", 70));
    world.run(SECOND);
    let records = &world.node(1).records;
    let alive = |text: &str, number| Record::Alive { name: name(text), address: address(number) };
    for record in [
        alive("n1", 1),
        alive("n2", 2),
        Record::EventClock(LamportTime(1)),
        Record::QueryClock(LamportTime(9)),
        Record::NotAlive { name: name("n2") },
        Record::Failed { name: name("n2"), address: address(2) },
        Record::Clock(LamportTime(70)),
    ] {
        assert!(records.contains(&record), "{record:?} in {records:?}");
    }
    let names: Vec<&NodeName> = records
        .iter()
        .filter_map(|record| match record {
            Record::Alive { name, .. } => Some(name),
            Record::NotAlive { .. }
            | Record::Failed { .. }
            | Record::Clock(_)
            | Record::EventClock(_)
            | Record::QueryClock(_)
            | Record::Leave => None,
        })
        .collect();
    assert_eq!(names, [&name("n1"), &name("n2")]);
}

#[test]
fn restored_clocks_hold_back_what_was_seen_before() {
    let mut restored = config("n1", 1);
    restored.restored.event_clock = LamportTime(10);
    restored.restored.query_clock = LamportTime(20);
    let mut world = World::new();
    world.start(1, restored);
    world.inject(1, &user_event(10, "old", None).encode());
    world.inject(1, &user_event(11, "new", None).encode());
    world.inject(1, &query(20, 1, "q").encode());
    assert_eq!(world.user_events(1), ["new"]);
    assert_eq!(answers(&world), []);
    world.inject(1, &query(21, 2, "q").encode());
    assert_eq!(answers(&world).len(), 1);
}
