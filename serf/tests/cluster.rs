//! Several engines under one virtual clock: what a cluster shows from outside (`docs/spec/serf-gossip.md` 19).

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::{
    Completion, Event, MemberEventKind, MemberStatus, OldEvents, QueryAnswer, QueryRequest, Record, RespondError, Text,
    memberlist,
};
use world::told::{ackers, all_agree_on, answer_everywhere, answers, query_events, responders, tags};
use world::{World, address, config, name};

use MemberEventKind::{Join, Update};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn everybody_sees_everybody_join_exactly_once() {
    let world = World::cluster(4);
    for at in 1..=4 {
        for of in ["n1", "n2", "n3", "n4"] {
            assert_eq!(world.member_events(at, of), [Join], "{of} at {at}");
            assert_eq!(world.status(at, of), MemberStatus::Alive);
        }
    }
    let own: Vec<_> = world.node(2).records.iter().filter(|record| matches!(record, Record::Alive { .. })).collect();
    assert_eq!(own.len(), 4);
}

#[test]
fn join_reports_unreachable_targets_in_gos_words() {
    let mut world = World::new();
    world.start(1, config("n1", 1));
    let operation = world.join(1, 99);
    let Some(Completion::Join { contacted, errors }) = world.completion(1, operation) else { panic!("no join") };
    assert_eq!(*contacted, 0);
    assert_eq!(errors, &["failed to join 10.0.0.99:7946: dial tcp 10.0.0.99:7946: connect: connection refused"]);
    assert_eq!(world.serf(1).stats().member_time, 1, "nothing is announced without a success");
}

#[test]
fn joins_run_one_after_the_other() {
    let mut world = World::new();
    for number in 1..=3 {
        world.start(number, config(&format!("n{number}"), number));
    }
    let target = |number| vec![memberlist::JoinTarget { name: None, address: address(number) }];
    let first = world.with(1, |serf, now| serf.join(now, target(2), OldEvents::Replay)).unwrap();
    let second = world.with(1, |serf, now| serf.join(now, target(3), OldEvents::Replay)).unwrap();
    world.run(SECOND * 3);
    let order: Vec<_> = world.node(1).completed.iter().map(|(id, _)| *id).collect();
    assert_eq!(order, [first, second]);
    assert!(all_agree_on(&world, "n3", MemberStatus::Alive));
}

#[test]
fn user_event_reaches_everybody_exactly_once() {
    let mut world = World::cluster(5);
    world.with(2, |serf, now| serf.user_event(now, "deploy".into(), Some(Bytes::from("v1")), false)).unwrap();
    world.run(SECOND * 40);
    for at in 1..=5 {
        assert_eq!(world.user_events(at), ["deploy"], "at {at}");
    }
}

#[test]
fn events_before_a_join_are_replayed_in_order_or_ignored_for_good() {
    let mut world = World::cluster(2);
    for number in 0..20 {
        world.with(1, |serf, now| serf.user_event(now, format!("e{number}").into(), None, true)).unwrap();
    }
    world.run(SECOND * 5);
    world.start(3, config("n3", 3));
    world.join_with(3, 1, OldEvents::Replay);
    let expected: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
    assert_eq!(world.user_events(3), expected);
    world.start(4, config("n4", 4));
    world.join_with(4, 1, OldEvents::Ignore);
    world.run(SECOND * 40);
    assert_eq!(world.user_events(4), Vec::<String>::new());
    world.with(1, |serf, now| serf.user_event(now, "new".into(), None, false)).unwrap();
    world.run(SECOND * 3);
    assert_eq!(world.user_events(4), ["new"]);
}

#[test]
fn replay_follows_the_times_where_the_ring_wraps() {
    let mut world = World::new();
    let mut old = config("n1", 1);
    old.restored.event_clock = folkmoot_serf::LamportTime(506);
    world.start(1, old);
    let expected: Vec<String> = (0..12).map(|number| format!("e{number}")).collect();
    for event in &expected {
        world.with(1, |serf, now| serf.user_event(now, event.as_str().into(), None, false)).unwrap();
    }
    world.start(2, config("n2", 2));
    world.join(2, 1);
    assert_eq!(world.user_events(2), expected);
}

#[test]
fn replayed_events_keep_their_coalesce_flag_between_our_nodes() {
    let mut world = World::cluster(1);
    world.with(1, |serf, now| serf.user_event(now, "yes".into(), None, true)).unwrap();
    world.with(1, |serf, now| serf.user_event(now, "no".into(), None, false)).unwrap();
    world.start(2, config("n2", 2));
    world.join(2, 1);
    let flags: Vec<bool> = world
        .node(2)
        .events
        .iter()
        .filter_map(|event| match event {
            Event::User(event) => Some(event.coalesce),
            Event::Members(_) | Event::Query(_) => None,
        })
        .collect();
    assert_eq!(flags, [true, false]);
}

#[test]
fn query_is_confirmed_and_answered_once_per_node_and_ends_once_at_its_deadline() {
    let mut world = World::cluster(4);
    let request = QueryRequest { name: "load".into(), request_ack: true, ..QueryRequest::default() };
    let asked = world.now;
    let query = world.with(1, |serf, now| serf.query(now, request)).unwrap();
    world.run(SECOND);
    for at in 1..=4 {
        assert_eq!(query_events(&world, at, query), 1, "at {at}");
    }
    answer_everywhere(&mut world, &[1, 2, 3, 4], query);
    world.until("the query is over", |world| answers(world, 1, query).contains(&QueryAnswer::Done));
    // Local profile: 100 ms * 16 * ceil(log10(4 + 1)).
    assert_eq!(world.now.since(asked), Duration::from_millis(1_600));
    world.run(SECOND * 5);
    let all = answers(&world, 1, query);
    assert_eq!(ackers(&world, 1, query), ["n1", "n2", "n3", "n4"]);
    assert_eq!(responders(&world, 1, query), ["n1", "n2", "n3", "n4"]);
    assert_eq!(all.iter().filter(|answer| **answer == QueryAnswer::Done).count(), 1);
    assert_eq!(all.last(), Some(&QueryAnswer::Done));
    assert_eq!(all.len(), 9);
}

#[test]
fn query_may_end_as_soon_as_everybody_has_answered() {
    let mut world = World::cluster(3);
    let mut request = QueryRequest { name: "load".into(), request_ack: true, finish_early: true, ..Default::default() };
    request.filter_nodes = vec![name("n2"), name("n3"), name("gone")];
    request.timeout = Some(SECOND * 60);
    let query = world.with(1, |serf, now| serf.query(now, request)).unwrap();
    world.run(SECOND);
    assert!(!answers(&world, 1, query).contains(&QueryAnswer::Done));
    answer_everywhere(&mut world, &[2, 3], query);
    world.run(SECOND);
    assert_eq!(answers(&world, 1, query).last(), Some(&QueryAnswer::Done));
    world.run(SECOND * 70);
    assert_eq!(answers(&world, 1, query).iter().filter(|answer| **answer == QueryAnswer::Done).count(), 1);
}

#[test]
fn filters_choose_nodes_and_tags() {
    let mut world = World::cluster(4);
    for (number, role) in [(1, "web"), (2, "web-eu"), (3, "db")] {
        world.with(number, |serf, now| serf.set_tags(now, tags(&[("role", role)]))).unwrap();
    }
    world.run(SECOND * 2);
    let mut ask = |request: QueryRequest| {
        let query = world.with(4, |serf, now| serf.query(now, request)).unwrap();
        world.run(SECOND * 2);
        ackers(&world, 4, query)
    };
    let base = || QueryRequest { name: "q".into(), request_ack: true, ..QueryRequest::default() };
    let tag = |tag: &str, expression: &str| BTreeMap::from([(Text::from(tag), Text::from(expression))]);
    assert_eq!(ask(QueryRequest { filter_tags: tag("role", "web"), ..base() }), ["n1", "n2"]);
    assert_eq!(ask(QueryRequest { filter_tags: tag("role", "^web$"), ..base() }), ["n1"]);
    assert_eq!(ask(QueryRequest { filter_tags: tag("role", "^$"), ..base() }), ["n4"], "an absent tag is empty");
    assert_eq!(ask(QueryRequest { filter_tags: tag("role", "("), ..base() }), Vec::<String>::new());
    assert_eq!(ask(QueryRequest { filter_nodes: vec![name("n3"), name("nobody")], ..base() }), ["n3"]);
    let both = QueryRequest { filter_nodes: vec![name("n3")], filter_tags: tag("role", "web"), ..base() };
    assert_eq!(ask(both), Vec::<String>::new());
}

#[test]
fn relays_carry_answers_around_a_broken_path() {
    let mut world = World::cluster_of(4, |config| config.memberlist.retransmit_mult = 6);
    let request = |relay_factor| QueryRequest {
        name: "q".into(),
        request_ack: true,
        relay_factor,
        filter_nodes: vec![name("n2")],
        ..QueryRequest::default()
    };
    world.cut(1, 2);
    let direct = world.with(1, |serf, now| serf.query(now, request(0))).unwrap();
    world.run(SECOND);
    assert_eq!(ackers(&world, 1, direct), Vec::<String>::new());
    let relayed = world.with(1, |serf, now| serf.query(now, request(2))).unwrap();
    world.run(SECOND);
    assert_eq!(ackers(&world, 1, relayed), ["n2"]);
    assert!(world.serf(3).counters().relays + world.serf(4).counters().relays >= 2);
    assert_eq!(world.serf(1).counters().relays, 0, "the asker is no relay");
}

#[test]
fn relayed_copies_are_counted_as_duplicates() {
    let mut world = World::cluster(4);
    let request = QueryRequest { name: "q".into(), request_ack: true, relay_factor: 3, ..QueryRequest::default() };
    let query = world.with(1, |serf, now| serf.query(now, request)).unwrap();
    world.run(SECOND * 2);
    assert_eq!(ackers(&world, 1, query), ["n1", "n2", "n3", "n4"]);
    assert_eq!(world.serf(1).counters().query_duplicate_acks, 6, "two relays for each of three others");
}

#[test]
fn answer_too_long_to_be_relayed_goes_out_directly_and_counts() {
    let mut world = World::cluster(4);
    let request = |relay_factor| QueryRequest { name: "q".into(), relay_factor, ..QueryRequest::default() };
    for (relay_factor, relays) in [(0, 0), (2, 0)] {
        let query = world.with(1, |serf, now| serf.query(now, request(relay_factor))).unwrap();
        world.until("it is heard", |world| query_events(world, 2, query) == 1);
        let payload = Some(Bytes::from(vec![7; 960]));
        assert_eq!(world.with(2, |serf, now| serf.respond(now, query, payload.clone())), Ok(()));
        let again = world.with(2, |serf, now| serf.respond(now, query, None)).unwrap_err();
        assert_eq!(again, RespondError::AlreadySent.into(), "Go leaves it open although the answer has gone out");
        world.run(SECOND);
        assert_eq!(responders(&world, 1, query), ["n2"]);
        assert_eq!(world.serf(3).counters().relays + world.serf(4).counters().relays, relays);
    }
}

#[test]
fn tags_travel_and_are_announced_once() {
    let mut world = World::cluster(3);
    let operation = world.with(1, |serf, now| serf.set_tags(now, tags(&[("dc", "eu")]))).unwrap();
    world.run(SECOND * 2);
    assert_eq!(world.completion(1, operation), Some(&Completion::SetTags(Ok(()))));
    for at in 1..=3 {
        assert_eq!(world.member_events(at, "n1"), [Join, Update]);
        let member = world.serf(at).members().find(|member| member.name == name("n1")).unwrap();
        assert_eq!(member.tags, tags(&[("dc", "eu")]));
    }
    let huge = tags(&[("x", &"y".repeat(600))]);
    let error = world.with(1, |serf, now| serf.set_tags(now, huge)).unwrap_err();
    assert_eq!(error.to_string(), "Encoded length of tags exceeds limit of 512 bytes");
    assert_eq!(world.serf(1).tags(), &tags(&[("dc", "eu")]));
}

#[test]
fn unheard_tag_update_times_out_but_stands() {
    let mut world = World::cluster_of(2, |config| config.memberlist.gossip_interval = Duration::ZERO);
    let operation = world.with(1, |serf, now| serf.set_tags(now, tags(&[("dc", "eu")]))).unwrap();
    world.cut(1, 2);
    world.until("the update ends", |world| world.completion(1, operation).is_some());
    let Some(Completion::SetTags(Err(error))) = world.completion(1, operation) else { panic!("it worked") };
    assert_eq!(error.to_string(), "timeout waiting for update broadcast");
    assert_eq!(world.serf(1).tags(), &tags(&[("dc", "eu")]));
}

#[test]
fn restored_node_rejoins_by_itself_keeps_its_clocks_and_misses_only_old_events() {
    let mut world = World::cluster(2);
    for event in ["seen", "missed"] {
        world.with(1, |serf, now| serf.user_event(now, event.into(), None, false)).unwrap();
    }
    world.run(SECOND * 2);
    let mut config = config("n3", 3);
    config.restored.members =
        BTreeMap::from([(name("n9"), address(9)), (name("n1"), address(1)), (name("n3"), address(3))]);
    config.restored.clock = folkmoot_serf::LamportTime(40);
    config.restored.event_clock = folkmoot_serf::LamportTime(1);
    config.restored.query_clock = folkmoot_serf::LamportTime(7);
    world.start(3, config);
    assert_eq!(world.serf(3).stats().member_time, 41);
    assert_eq!(world.serf(3).stats().event_time, 2);
    assert_eq!(world.serf(3).stats().query_time, 8);
    world.run(SECOND * 5);
    assert!(all_agree_on(&world, "n3", MemberStatus::Alive));
    assert_eq!(world.user_events(3), ["missed"]);
    assert!(world.serf(1).stats().member_time > 41, "the rejoin is announced");
}

#[test]
fn restored_node_rejoins_even_if_a_previous_member_speaks_first() {
    let mut world = World::cluster_of(2, |config| config.memberlist.push_pull_interval = std::time::Duration::ZERO);
    for event in ["seen", "missed"] {
        world.with(1, |serf, now| serf.user_event(now, event.into(), None, false)).unwrap();
    }
    world.run(SECOND * 2);
    let mut restored = config("n3", 3);
    restored.memberlist.push_pull_interval = std::time::Duration::ZERO;
    restored.restored.members = BTreeMap::from([(name("n1"), address(1))]);
    restored.restored.clock = folkmoot_serf::LamportTime(4);
    restored.restored.event_clock = folkmoot_serf::LamportTime(1);
    world.start(3, restored);
    let alive = world::alive("n1", 1);
    world.with(3, |serf, now| serf.handle_packet(now, address(1), &alive)).unwrap();
    assert_eq!(world.status(3, "n1"), MemberStatus::Alive);
    world.until("what was missed arrives", |world| world.user_events(3) == ["missed"]);
}

#[test]
fn rejoining_goes_on_until_somebody_answers() {
    let mut world = World::new();
    let mut config = config("n2", 2);
    config.restored.members = BTreeMap::from([(name("n1"), address(1))]);
    world.start(2, config);
    world.run(SECOND * 40);
    assert_eq!(world.serf(2).members().count(), 1);
    world.start(1, world::config("n1", 1));
    world.with(1, |serf, now| serf.user_event(now, "old".into(), None, false)).unwrap();
    world.until("n2 has rejoined", |world| world.status(1, "n2") == MemberStatus::Alive);
    world.run(SECOND * 20);
    assert_eq!(world.user_events(2), Vec::<String>::new(), "without an event clock old events are ignored");
}

#[test]
fn members_that_had_failed_are_tried_when_no_other_answers() {
    let mut world = World::new();
    world.start(1, config("n1", 1));
    let mut restored = config("n2", 2);
    restored.restored.members = BTreeMap::from([(name("n9"), address(9)), (name("n2"), address(2))]);
    restored.restored.failed =
        BTreeMap::from([(name("n1"), address(1)), (name("n2"), address(2)), (name("n8"), address(8))]);
    world.start(2, restored);
    world.until("n2 has rejoined", |world| world.status(1, "n2") == MemberStatus::Alive);
    // The cluster is found, and n8 is not in it.
    let forgotten = |text: &str| Record::NotAlive { name: name(text) };
    world.until("n8 is forgotten", |world| world.node(2).records.contains(&forgotten("n8")));
    assert!(!world.node(2).records.contains(&forgotten("n1")));
}

#[test]
fn company_of_strangers_does_not_end_the_search_for_previous_members() {
    let mut world = World::new();
    let mut restored = config("n2", 2);
    restored.restored.members = BTreeMap::from([(name("n1"), address(1))]);
    world.start(2, restored);
    world.start(3, config("n3", 3));
    world.join(3, 2);
    world.run(SECOND * 5);
    world.start(1, config("n1", 1));
    world.until("n1 is found", |world| world.status(3, "n1") == MemberStatus::Alive);
}

#[test]
fn old_intents_about_ourselves_are_refuted_everywhere() {
    let mut world = World::cluster(3);
    let intent =
        folkmoot_serf::messages::LeaveIntent { ltime: folkmoot_serf::LamportTime(60), node: name("n1"), prune: false };
    world.inject(1, &intent.encode());
    assert_eq!(world.serf(1).stats().member_time, 62, "join intent 61, as measured");
    world.inject(2, &intent.encode());
    world.run(SECOND * 5);
    assert!(all_agree_on(&world, "n1", MemberStatus::Alive));
}

#[test]
fn same_seed_gives_the_same_trace() {
    let run = || {
        let mut world = World::cluster(4);
        world.with(1, |serf, now| serf.user_event(now, "e".into(), None, false)).unwrap();
        world.kill(3);
        world.run(SECOND * 20);
        world.nodes.values().map(|node| format!("{:?}", node.sent)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn coordinates_of_peers_become_known_unless_switched_off() {
    let mut world = World::cluster_of(2, |config| config.coordinates = config.memberlist.name == name("n1"));
    world.run(SECOND * 5);
    assert!(world.serf(1).coordinate(&name("n1")).is_some());
    assert!(world.serf(1).coordinate(&name("n2")).is_none(), "n2 sends none");
    assert!(world.serf(2).coordinate(&name("n1")).is_none(), "n2 keeps none");
    assert_eq!(world.serf(2).stats().coordinate_resets, None);
    let mut world = World::cluster(2);
    world.run(SECOND * 5);
    assert!(world.serf(1).coordinate(&name("n2")).is_some());
}

#[test]
fn strict_names_keep_odd_nodes_out() {
    let mut world = World::new();
    let mut strict = config("n1", 1);
    strict.validate_node_names = true;
    world.start(1, strict);
    world.start(2, config("odd name", 2));
    world.join(2, 1);
    world.run(SECOND * 5);
    assert_eq!(world.status(1, "odd name"), MemberStatus::None);
    let mut odd = config("odd name", 3);
    odd.validate_node_names = true;
    assert!(folkmoot_serf::Serf::new(odd, world.now, [0; 32]).is_err());
}
