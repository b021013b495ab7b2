//! Peers and callers that mean no good, or have odd timing: whatever they do, memory stays bounded and nothing panics.
//!
//! Bounds: `serf/src/limits.rs`. What single messages do is in `engine.rs`.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::limits::{
    NODE_NAME_BYTES_MAX, OPEN_QUERIES_MAX, PATTERNS_PER_SECOND_MAX, QUERY_FILTERS_MAX, RECENT_INTENTS_MAX,
};
use folkmoot_serf::messages::{
    FLAG_ACK, Filter, JoinIntent, LeaveIntent, PushPull, QueryMessage, QueryResponseMessage, TagFilter,
    UserEventMessage,
};
use folkmoot_serf::{
    Completion, KeyOperation, LamportTime, MemberEventKind, MemberStatus, OldEvents, Prune, QueryAnswer, QueryKey,
    QueryRequest, RequestError, SerfState, StreamInput, Tags, memberlist,
};
use world::{World, address, config, dead, name, quiet_pair};

const SECOND: Duration = Duration::from_secs(1);

fn leave(node: &str, ltime: u64, prune: bool) -> Bytes {
    LeaveIntent { ltime: LamportTime(ltime), node: name(node), prune }.encode()
}

fn query(ltime: u64, id: u32) -> QueryMessage {
    QueryMessage {
        ltime: LamportTime(ltime),
        id,
        address: Some(Bytes::from_static(&[10, 0, 0, 250])),
        port: 7946,
        source_node: name("stranger"),
        timeout_ns: 5_000_000_000,
        name: "q".into(),
        ..QueryMessage::default()
    }
}

fn target(number: u8) -> Vec<memberlist::JoinTarget> {
    vec![memberlist::JoinTarget { name: None, address: address(number) }]
}

/// A push/pull of a stranger that knows no members, with this user state, as it comes on a stream.
fn push_pull(world: &mut World, number: u8, state: &[u8]) {
    let mut bytes = b"\x06\x83\xa4Join\xc3\xa5Nodes\x00\xacUserStateLen\xce".to_vec();
    bytes.extend_from_slice(&u32::try_from(state.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(state);
    world.with(number, |serf, now| {
        let stream = serf.accept_id();
        serf.handle_stream(now, stream, StreamInput::Accepted { from: address(250) });
        for chunk in bytes.chunks(60_000) {
            serf.handle_stream(now, stream, StreamInput::Bytes(chunk));
        }
        serf.handle_stream(now, stream, StreamInput::Finished);
    });
}

#[test]
fn prune_waits_for_a_leave_that_takes_longer_than_usual() {
    let mut world = quiet_pair();
    world.inject(1, &leave("n2", 50, true));
    world.run(SECOND * 7);
    assert_eq!(world.status(1, "n2"), MemberStatus::Leaving);
    world.with(1, |serf, now| serf.handle_packet(now, address(9), &dead("n2", "n2"))).unwrap();
    assert_eq!(world.status(1, "n2"), MemberStatus::Left);
    world.run(SECOND * 6);
    assert_eq!(world.status(1, "n2"), MemberStatus::None);
    let told = [MemberEventKind::Join, MemberEventKind::Leave, MemberEventKind::Reap];
    assert_eq!(world.member_events(1, "n2"), told);
}

#[test]
fn repeated_prunes_do_not_put_the_first_one_off() {
    let mut world = quiet_pair();
    world.with(1, |serf, now| serf.handle_packet(now, address(9), b"")).unwrap_err();
    world.inject(1, &leave("n2", 50, true));
    world.run(SECOND * 4);
    world.inject(1, &leave("n2", 51, true));
    world.with(1, |serf, now| serf.handle_packet(now, address(9), &dead("n2", "n2"))).unwrap();
    world.run(SECOND * 3);
    assert_eq!(world.status(1, "n2"), MemberStatus::None);
}

#[test]
fn intents_about_endless_names_fill_neither_memory_nor_queue() {
    let mut world = quiet_pair();
    let surplus = 1_000;
    for number in 0..RECENT_INTENTS_MAX + surplus {
        world.inject(1, &leave(&number.to_string(), 50, number % 2 == 0));
    }
    assert_eq!(world.serf(1).intents_refused(), surplus as u64);
    assert_eq!(world.serf(1).stats().intent_queue, 4_096);
    assert_eq!(world.serf(1).members().count(), 2);
}

#[test]
fn names_nobody_can_have_are_not_kept() {
    let mut world = quiet_pair();
    let before = world.serf(1).stats().intent_queue;
    world.inject(1, &leave(&"x".repeat(NODE_NAME_BYTES_MAX + 1), 50, false));
    let join = JoinIntent { ltime: LamportTime(51), node: name(&"y".repeat(60_000)) };
    world.inject(1, &join.encode());
    assert_eq!((world.serf(1).stats().intent_queue, world.serf(1).intents_refused()), (before, 2));
    world.inject(1, &leave(&"x".repeat(NODE_NAME_BYTES_MAX), 50, false));
    assert_eq!(world.serf(1).stats().intent_queue, before + 1);

    let request = QueryRequest { name: "q".into(), timeout: Some(SECOND), ..QueryRequest::default() };
    let key = world.with(1, |serf, now| serf.query(now, request)).unwrap();
    let from = name(&"z".repeat(NODE_NAME_BYTES_MAX + 1));
    let answer = QueryResponseMessage { ltime: key.ltime, id: key.id, from, ..QueryResponseMessage::default() };
    world.inject(1, &answer.encode());
    assert_eq!(world.serf(1).counters().answers_refused, 1);
    assert!(world.node(1).answers.is_empty());
}

#[test]
fn queries_that_never_end_push_out_the_oldest() {
    let mut world = quiet_pair();
    for id in 0..u32::try_from(OPEN_QUERIES_MAX).unwrap() + 100 {
        let mut message = query(u64::from(id / 1_000) + 1, id);
        message.timeout_ns = i64::MAX;
        message.source_node = name(&"s".repeat(1_000));
        world.inject(1, &message.encode());
    }
    assert_eq!(world.serf(1).counters().queries_forgotten, 100);
    let respond = |world: &mut World, ltime, id| {
        let key = QueryKey { ltime: LamportTime(ltime), id };
        world.with(1, |serf, now| serf.respond(now, key, None))
    };
    assert!(respond(&mut world, 1, 0).is_err());
    assert_eq!(respond(&mut world, 1, 100), Ok(()));
}

#[test]
fn expressions_of_strangers_cost_a_bounded_time_per_second() {
    let mut world = quiet_pair();
    let with_filters = |id: u32, count: usize| {
        let expression = |number: usize| format!("^(x{id}y{number})?").as_str().into();
        let filter = |number| Filter::Tag(TagFilter { tag: "role".into(), expression: expression(number) }).encode();
        let mut message = query(5, id);
        message.flags = FLAG_ACK;
        message.filters = (0..count).map(filter).collect();
        message.encode()
    };
    world.inject(1, &with_filters(1, QUERY_FILTERS_MAX + 1));
    assert_eq!((world.serf(1).counters().queries, world.serf(1).counters().messages_refused), (0, 1));
    let acks = |world: &World| world.node(1).sent.iter().filter(|(to, _)| *to == address(250)).count();
    let affordable = PATTERNS_PER_SECOND_MAX / u32::try_from(QUERY_FILTERS_MAX).unwrap();
    for id in 2..12 {
        world.inject(1, &with_filters(id, QUERY_FILTERS_MAX));
    }
    assert_eq!(acks(&world), affordable as usize);
    assert_eq!(world.serf(1).patterns_refused(), u64::from(10 - affordable));
    world.run(SECOND);
    world.inject(1, &with_filters(20, QUERY_FILTERS_MAX));
    assert_eq!(acks(&world), affordable as usize + 1, "a new second, a new budget");
}

#[test]
fn hostile_states_are_refused_or_bounded() {
    let mut world = quiet_pair();
    let before = world.serf(1).stats();
    for nested in [b'\x91', b'\x81', b'\xdd'] {
        let mut state = vec![2];
        state.extend(std::iter::repeat_n(nested, 200_000));
        push_pull(&mut world, 1, &state);
    }
    push_pull(&mut world, 1, &[]);
    push_pull(&mut world, 1, &[7]);
    assert_eq!(world.serf(1).stats(), before);

    let many: BTreeMap<_, _> = (0..100_000).map(|number| (name(&number.to_string()), LamportTime(u64::MAX))).collect();
    let left_members = vec![name("n2"), name("n1"), name("nobody")];
    let state = PushPull { status_ltimes: many.clone(), left_members, ..PushPull::default() };
    push_pull(&mut world, 1, &state.encode());
    assert_eq!(world.serf(1).counters().times_refused, 100_000);
    assert_eq!(world.status(1, "n1"), MemberStatus::Alive);

    let status_ltimes = many.into_keys().map(|node| (node, LamportTime(7))).collect();
    let state = PushPull { status_ltimes, ..PushPull::default() };
    push_pull(&mut world, 1, &state.encode());
    assert_eq!(world.serf(1).members().count(), 2);
    assert!(world.serf(1).intents_refused() >= 30_000);
    assert!(world.serf(1).stats().intent_queue <= before.intent_queue + 2, "nothing of a state is passed on");
}

#[test]
fn clock_walked_to_its_end_stays_there_and_everything_goes_on() {
    let mut world = quiet_pair();
    let steps = 24;
    for step in 0..=steps {
        let ltime = (1_u64 << 40).saturating_mul((1 << step) - 1).max(1);
        let event = UserEventMessage { ltime: LamportTime(ltime), name: "e".into(), ..UserEventMessage::default() };
        world.inject(1, &event.encode());
    }
    assert!(world.serf(1).counters().times_refused > 0, "no step may be larger than the limit");
    let mut ahead = config("n3", 3);
    ahead.restored.clock = LamportTime(u64::MAX);
    ahead.restored.event_clock = LamportTime(u64::MAX);
    ahead.restored.query_clock = LamportTime(u64::MAX);
    world.start(3, ahead);
    world.with(3, |serf, now| {
        serf.user_event(now, "last".into(), None, false).unwrap();
        serf.query(now, QueryRequest { name: "q".into(), ..QueryRequest::default() }).unwrap();
        serf.force_leave(now, &name("x"), Prune::Erase);
    });
    assert_eq!(world.serf(3).stats().event_time, u64::MAX);
    world.run(SECOND * 10);
}

#[test]
fn answers_to_our_own_query_come_once_however_often_they_are_forged() {
    let mut world = quiet_pair();
    let request = QueryRequest { name: "q".into(), timeout: Some(SECOND), ..QueryRequest::default() };
    let key = world.with(1, |serf, now| serf.query(now, request)).unwrap();
    for _ in 0..10_000 {
        let from = name("n2");
        let answer = QueryResponseMessage { ltime: key.ltime, id: key.id, from, ..QueryResponseMessage::default() };
        world.inject(1, &answer.encode());
    }
    world.run(SECOND * 2);
    let told: Vec<_> = world.node(1).answers.iter().map(|(_, answer)| answer.clone()).collect();
    assert_eq!(told, [QueryAnswer::Response { from: name("n2"), payload: None }, QueryAnswer::Done]);
    assert_eq!(world.serf(1).counters().query_duplicate_responses, 9_999);
}

#[test]
fn requests_after_shutdown_end_at_once() {
    let mut world = World::cluster(2);
    world.inject(1, &query(500, 7).encode());
    world.with(1, |serf, _| serf.shutdown());
    let key = QueryKey { ltime: LamportTime(500), id: 7 };
    world.with(1, |serf, now| {
        assert_eq!(serf.user_event(now, "e".into(), None, false), Err(RequestError::Shutdown));
        assert_eq!(serf.query(now, QueryRequest::default()), Err(RequestError::Shutdown));
        assert!(serf.respond(now, key, None).is_err());
        assert!(serf.set_tags(now, Tags::default()).is_err());
        assert_eq!(serf.leave(now), Err(RequestError::LeaveAfterShutdown));
        assert_eq!(serf.join(now, target(2), OldEvents::Replay), Err(RequestError::NotAlive));
    });
    let forced = world.with(1, |serf, now| serf.force_leave(now, &name("n2"), Prune::Keep));
    let keys = world.with(1, |serf, now| serf.change_keys(now, KeyOperation::List, 0));
    assert_eq!(world.completion(1, forced), Some(&Completion::ForceLeave(Ok(()))));
    let Some(Completion::Keys(response)) = world.completion(1, keys) else { panic!("no end") };
    assert!(response.error.is_some());
    assert_eq!(world.serf(1).poll_timeout(), None);
}

#[test]
fn leaving_node_refuses_joins_ends_the_running_one_and_never_comes_back() {
    let mut world = World::cluster(2);
    world.start(3, config("n3", 3));
    let join = world.with(3, |serf, now| serf.join(now, target(1), OldEvents::Replay)).unwrap();
    let leave = world.with(3, |serf, now| serf.leave(now)).unwrap().unwrap();
    let second = world.with(3, |serf, now| serf.join(now, target(2), OldEvents::Replay));
    assert_eq!(second, Err(RequestError::NotAlive));
    assert_eq!(world.with(3, |serf, now| serf.leave(now)), Err(RequestError::LeaveInProgress));
    world.until("both end", |world| world.completion(3, join).is_some() && world.completion(3, leave).is_some());
    assert_eq!(world.serf(3).state(), SerfState::Left);
    assert_eq!(world.with(3, |serf, now| serf.leave(now)), Ok(None));
    world.with(3, |serf, now| serf.set_tags(now, Tags::default())).unwrap();
    world.run(SECOND * 60);
    assert!(!matches!(world.status(1, "n3"), MemberStatus::Alive | MemberStatus::Failed), "tags revive nobody");
}

#[test]
fn sleep_of_hours_leaves_a_working_cluster() {
    let mut world = World::cluster(3);
    world.now = world.now.after(SECOND * 5 * 3_600);
    for number in 1..=3 {
        world.with(number, |serf, now| {
            serf.paused(now);
            serf.handle_timeout(now);
        });
    }
    world.run(SECOND * 60);
    for at in 1..=3 {
        for of in ["n1", "n2", "n3"] {
            assert_eq!(world.status(at, of), MemberStatus::Alive, "{of} at {at}");
        }
    }
    world.with(1, |serf, now| serf.user_event(now, "later".into(), None, false)).unwrap();
    world.until("it arrives", |world| world.user_events(3) == ["later"]);
}
