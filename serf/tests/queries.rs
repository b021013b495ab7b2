//! One engine fed by hand: queries, their filters, answers and relays (`docs/spec/serf-gossip.md` 6 and 7).

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod world;

use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::messages::{FLAG_ACK, FLAG_NO_BROADCAST, QueryResponseMessage, Relay, RelayHeader, UdpAddress};
use folkmoot_serf::{Event, LamportTime, QueryAnswer, QueryKey, QueryRequest, RespondError};
use world::messages::{answers, query, user_event};
use world::{World, address, config, name, quiet_pair};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn query_filters_are_as_measured_on_go_agents() {
    let text = include_str!("../../vectors/serf/behaviour.json");
    let behaviour: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut world = World::new();
    world.start(1, config("n1", 1));
    for (id, step) in (77..).zip(behaviour["query_filters"]["steps"].as_array().unwrap()) {
        let mut message = query(3, id, step["name"].as_str().unwrap_or("q"));
        if step["note"].as_str() == Some("same (LTime, ID) again") {
            message.id = id - 1;
        }
        message.flags = step["flags"].as_u64().map_or(FLAG_ACK, |flags| u32::try_from(flags).unwrap());
        message.payload = step["payload"].as_str().map(|text| Bytes::copy_from_slice(text.as_bytes()));
        for filter in step["filters_hex"].as_array().into_iter().flatten() {
            message.filters.push(Bytes::from(unhex(filter.as_str().unwrap())));
        }
        let before = answers(&world).len();
        world.inject(1, &message.encode());
        let sent = answers(&world).split_off(before);
        if let Some(ack) = step["ack"].as_bool() {
            assert_eq!(sent.len(), usize::from(ack), "{step}");
            assert!(sent.iter().all(|answer| answer.is_ack() && answer.from == name("n1")));
        }
        if let Some(payload) = step["response_payload_hex"].as_str() {
            assert_eq!(sent.len(), 1, "{step}");
            assert_eq!(sent[0].payload.as_deref(), Some(unhex(payload).as_slice()));
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn inputs_that_crash_go_agents_match_nothing_or_fail() {
    let mut world = quiet_pair();
    let mut empty_filter = query(3, 1, "q");
    empty_filter.filters = vec![Bytes::new()];
    world.inject(1, &empty_filter.encode());
    assert_eq!(answers(&world), []);
    for (id, key_query) in [(2, "_serf_install-key"), (3, "_serf_use-key"), (4, "_serf_remove-key")] {
        let mut message = query(4, id, key_query);
        message.flags = 0;
        world.inject(1, &message.encode());
    }
    let sent = answers(&world);
    assert_eq!(sent.len(), 3);
    for answer in sent {
        let result = folkmoot_serf::messages::KeyResult::decode(&answer.payload.unwrap()).unwrap();
        assert!(!result.result && result.message.is_empty());
    }
}

#[test]
fn messages_of_unknown_types_and_damaged_ones_change_nothing() {
    let mut world = quiet_pair();
    let before = world.serf(1).stats();
    for message in
        [&b""[..], b"\x02\x80", b"\x06\xc0", b"\x07\x80", b"\x08\x80", b"\x0a\x80", b"\xff", b"\x00", b"\x04\x81"]
    {
        let packet = world::packet(message);
        let _ = world.with(1, |serf, now| serf.handle_packet(now, address(9), &packet));
    }
    assert_eq!(world.serf(1).stats(), before);
    assert_eq!(answers(&world), []);
}

#[test]
fn query_is_passed_on_unless_it_says_otherwise_and_even_if_it_is_not_for_us() {
    let mut world = quiet_pair();
    world.inject(1, &query(3, 1, "q").encode());
    assert_eq!(world.serf(1).stats().query_queue, 1);
    let mut quiet = query(3, 2, "q");
    quiet.flags |= FLAG_NO_BROADCAST;
    world.inject(1, &quiet.encode());
    assert_eq!(world.serf(1).stats().query_queue, 1);
    let mut other = query(3, 3, "q");
    other.filters = vec![folkmoot_serf::messages::Filter::Nodes(vec![name("zz")]).encode()];
    world.inject(1, &other.encode());
    assert_eq!(world.serf(1).stats().query_queue, 2);
    assert_eq!(answers(&world).len(), 2);
}

#[test]
fn internal_queries_reach_no_client() {
    let mut world = quiet_pair();
    world.inject(1, &query(3, 1, "_serf_ping").encode());
    world.inject(1, &query(3, 2, "_serf_anything").encode());
    assert_eq!(answers(&world).len(), 2);
    assert!(!world.node(1).events.iter().any(|event| matches!(event, Event::Query(_))));
    let mut own_name = query(3, 3, "_serf_conflict");
    own_name.flags = 0;
    own_name.payload = Some(Bytes::from("n1"));
    world.inject(1, &own_name.encode());
    assert_eq!(answers(&world).len(), 2, "about our own name we do not vote");
    let mut other = query(3, 4, "_serf_conflict");
    other.flags = 0;
    other.payload = Some(Bytes::from("n2"));
    world.inject(1, &other.encode());
    let payload = answers(&world).pop().unwrap().payload.unwrap();
    let record = folkmoot_serf::messages::ConflictResponse::decode(&payload).unwrap().0.unwrap();
    assert_eq!((record.name, record.port, record.status), (name("n2"), 7946, 1));
    assert_eq!(record.address.as_deref(), Some(&[10, 0, 0, 2][..]));
}

#[test]
fn answer_goes_out_once_in_time_and_within_its_size() {
    let mut world = quiet_pair();
    let key = QueryKey { ltime: LamportTime(3), id: 1 };
    let respond = |world: &mut World, payload: &'static [u8]| {
        world.with(1, |serf, now| serf.respond(now, key, Some(Bytes::from_static(payload))))
    };
    assert_eq!(respond(&mut world, b"x"), Err(RespondError::PastDeadline.into()), "nobody asked");
    let mut message = query(3, 1, "q");
    message.flags = 0;
    world.inject(1, &message.encode());
    let error = respond(&mut world, &[0; 1_024]).unwrap_err();
    assert_eq!(error.to_string(), "failed to respond to key query: response exceeds limit of 1024 bytes");
    assert_eq!(respond(&mut world, b"x"), Ok(()));
    let error = respond(&mut world, b"y").unwrap_err();
    assert_eq!(error.to_string(), "failed to respond to key query: response already sent");
    assert_eq!(answers(&world).len(), 1);
    world.run(SECOND * 6);
    let error = respond(&mut world, b"z").unwrap_err();
    assert_eq!(error.to_string(), "failed to respond to key query: response is past the deadline");
}

#[test]
fn answers_to_other_queries_and_repeated_ones_are_dropped() {
    let mut world = quiet_pair();
    let request = QueryRequest { name: "q".into(), timeout: Some(SECOND * 10), ..QueryRequest::default() };
    let key = world.with(1, |serf, now| serf.query(now, request)).unwrap();
    let response = |id, from: &str, flags| {
        QueryResponseMessage { ltime: key.ltime, id, from: name(from), flags, payload: None }.encode()
    };
    world.inject(1, &response(key.id, "n2", 0));
    world.inject(1, &response(key.id, "n2", 0));
    world.inject(1, &response(key.id, "n2", FLAG_ACK));
    world.inject(1, &response(key.id ^ 1, "n3", 0));
    assert_eq!(world.node(1).answers.len(), 1, "no ack was asked for, the others are known or strange");
    assert_eq!(world.serf(1).counters().query_duplicate_responses, 1);
    assert_eq!(world.serf(1).counters().answers_stray, 1);
    world.run(SECOND * 11);
    world.inject(1, &response(key.id, "n4", 0));
    assert_eq!(world.node(1).answers.last(), Some(&(key, QueryAnswer::Done)));
    assert_eq!(world.node(1).answers.len(), 2);
}

#[test]
fn query_of_no_time_is_over_at_once() {
    let mut world = quiet_pair();
    let request = QueryRequest { timeout: Some(Duration::ZERO), request_ack: true, ..QueryRequest::default() };
    let key = world.with(1, |serf, now| serf.query(now, request)).unwrap();
    world.run(Duration::from_millis(1));
    assert_eq!(world.node(1).answers, [(key, QueryAnswer::Done)]);
}

#[test]
fn old_protocols_cannot_ask_but_answer() {
    let mut config = config("n1", 1);
    config.protocol_version = 3;
    let mut world = World::new();
    world.start(1, config);
    let error = world.with(1, |serf, now| serf.query(now, QueryRequest::default())).unwrap_err();
    assert_eq!(error.to_string(), "Feature not supported");
    world.inject(1, &query(3, 1, "q").encode());
    assert_eq!(answers(&world).len(), 1);
}

#[test]
fn long_query_is_refused_in_gos_words() {
    let mut world = quiet_pair();
    let request = QueryRequest { payload: Some(Bytes::from(vec![0; 1_024])), ..QueryRequest::default() };
    let error = world.with(1, |serf, now| serf.query(now, request)).unwrap_err();
    assert_eq!(error.to_string(), "query exceeds limit of 1024 bytes");
    assert_eq!(world.serf(1).stats().query_time, 1, "nothing changed");
}

fn relay_to_stranger(inner: &[u8]) -> Bytes {
    let header = RelayHeader { destination: UdpAddress::new(address(250)), destination_name: name("stranger") };
    Relay::encode(&header, inner)
}

#[test]
fn only_answers_are_relayed_within_size_and_rate() {
    let mut world = quiet_pair();
    let answer = QueryResponseMessage { from: name("n2"), payload: Some(Bytes::from("x")), ..Default::default() };
    world.inject(1, &relay_to_stranger(&answer.encode()));
    assert_eq!(answers(&world), std::slice::from_ref(&answer));
    world.inject(1, &relay_to_stranger(&user_event(1, "e", None).encode()));
    world.inject(1, &relay_to_stranger(&[]));
    let long = QueryResponseMessage { payload: Some(Bytes::from(vec![0; 10_000])), ..answer.clone() };
    world.inject(1, &relay_to_stranger(&long.encode()));
    assert_eq!(answers(&world).len(), 1);
    for _ in 0..2_000 {
        world.inject(1, &relay_to_stranger(&answer.encode()));
    }
    assert_eq!(answers(&world).len(), 512);
    world.run(SECOND);
    world.inject(1, &relay_to_stranger(&answer.encode()));
    assert_eq!(answers(&world).len(), 513);
}

#[test]
fn one_time_takes_a_limited_number_of_events_and_queries() {
    let mut world = World::new();
    world.start(1, config("n1", 1));
    for number in 0..5_000 {
        world.inject(1, &user_event(5, &number.to_string(), None).encode());
        let mut message = query(5, number, "q");
        message.flags = 0;
        world.inject(1, &message.encode());
    }
    assert_eq!(world.user_events(1).len(), 4_096);
    let counters = world.serf(1).counters();
    assert_eq!((counters.events_refused, counters.queries_refused), (904, 904));
    assert_eq!(world.serf(1).stats().event_queue, 4_096);
}
