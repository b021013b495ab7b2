//! Streams from both ends: requests, answers, refusals and time limits (spec 2.8, 12; Go `net_test.go`).

use std::net::SocketAddr;

use bytes::Bytes;

use crate::test_support::*;
use crate::{
    Ack, Config, Io, JoinTarget, Keyring, Memberlist, NodeState, Ping, PushPull, SequenceNumber, StreamDecoder,
    StreamId, StreamInput, StreamMessage, StreamRole, Timer, limits, seal_stream,
};

fn from() -> SocketAddr {
    SocketAddr::from(([127, 0, 22, 200], 50_000))
}

fn accepted(node: &mut Memberlist, host: &mut TestHost) -> StreamId {
    let stream = node.accept_id();
    node.handle_stream(at(0), stream, StreamInput::Accepted { from: from() }, host);
    stream
}

fn request(node: &Memberlist, message: &StreamMessage) -> Bytes {
    seal_stream(&node.layers(), StreamRole::Initiator, message, [0; 12])
}

/// What was written to a stream since the last look, read by the other side; and whether it was closed.
fn written(node: &mut Memberlist, role: StreamRole) -> (Option<StreamMessage>, bool) {
    let (_, rest) = outputs(node);
    let mut decoder = StreamDecoder::new(role);
    let (mut message, mut closed) = (None, false);
    for io in rest {
        match io {
            Io::Write { bytes, .. } => message = decoder.push(&node.layers(), &bytes).unwrap(),
            Io::Close { .. } => closed = true,
            Io::Packet { .. } | Io::Connect { .. } => {}
        }
    }
    (message, closed)
}

fn send(node: &mut Memberlist, host: &mut TestHost, message: &StreamMessage) -> (Option<StreamMessage>, bool) {
    let stream = accepted(node, host);
    let bytes = request(node, message);
    // In two pieces, as streams come.
    let (first, second) = bytes.split_at(bytes.len() / 2);
    node.handle_stream(at(1), stream, StreamInput::Bytes(first), host);
    node.handle_stream(at(1), stream, StreamInput::Bytes(second), host);
    let answer = written(node, StreamRole::Initiator);
    assert!(node.streams.is_empty(), "answered streams are forgotten");
    assert_eq!(node.timers.deadline(&Timer::Stream(stream)), None);
    answer
}

#[test]
fn tcp_ping_for_us_or_for_nobody_in_particular_is_acked() {
    let (mut node, mut host) = node();
    host.ack_payload = Bytes::from_static(b"only over UDP");
    for target in ["own", ""] {
        let ping = Ping { node: name(target), sequence: SequenceNumber(5), ..Ping::default() };
        let ack = Ack { payload: None, sequence: SequenceNumber(5) };
        assert_eq!(send(&mut node, &mut host, &StreamMessage::Ping(ping)), (Some(StreamMessage::Ack(ack)), true));
    }
    let ping = Ping { node: name("other"), ..Ping::default() };
    assert_eq!(send(&mut node, &mut host, &StreamMessage::Ping(ping)), (None, true));
}

#[test]
fn user_message_reaches_the_host_and_an_empty_one_does_not() {
    let (mut node, mut host) = node();
    for (payload, expected) in [("hello", vec!["user hello"]), ("", vec![])] {
        let stream = accepted(&mut node, &mut host);
        let bytes = request(&node, &StreamMessage::User(Bytes::from_static(payload.as_bytes())));
        node.handle_stream(at(0), stream, StreamInput::Bytes(&bytes), &mut host);
        assert_eq!(events(&mut node), expected);
    }
}

#[test]
fn acceptor_answers_with_its_state_from_before_the_merge() {
    let (mut node, mut host) = node_knowing(&["b"]);
    host.state = Bytes::from_static(b"ours");
    let joiner = NodeState { name: name("c"), ..state_of("c", 1) };
    let theirs = PushPull { join: true, nodes: vec![joiner], user_state: Bytes::from_static(b"theirs") };
    let stream = accepted(&mut node, &mut host);
    let bytes = request(&node, &StreamMessage::PushPull(theirs));
    let mut expected: Vec<NodeState> = node.states().collect();
    node.handle_stream(at(0), stream, StreamInput::Bytes(&bytes), &mut host);
    let (events, rest) = outputs(&mut node);
    let Io::Write { bytes, .. } = &rest[0] else { panic!("an answer first: {rest:?}") };
    let answer = StreamDecoder::new(StreamRole::Initiator).push(&node.layers(), bytes).unwrap();
    let Some(StreamMessage::PushPull(mut answer)) = answer else { panic!("{answer:?}") };
    expected.sort_by_key(|state| state.name.clone());
    answer.nodes.sort_by_key(|state| state.name.clone());
    assert_eq!(answer.nodes, expected);
    assert_eq!((answer.join, answer.user_state.as_ref()), (true, b"ours".as_slice()));
    assert_eq!(events, ["joined c", "state theirs true"]);
}

fn state_of(node: &str, incarnation: u32) -> NodeState {
    let alive = alive(node, incarnation);
    NodeState {
        address: alive.address,
        incarnation: alive.incarnation,
        name: alive.node,
        port: alive.port,
        versions: alive.versions,
        ..NodeState::default()
    }
}

#[test]
fn request_that_cannot_be_read_is_answered_with_the_reason_and_closed() {
    let keyring = Keyring::new(&[], &[1; 16]).unwrap();
    let (mut node, mut host) = node_with(Config { keyring, ..config() });
    let (other, _) = crate::test_support::node();
    let plaintext = request(&other, &StreamMessage::User(Bytes::from_static(b"hello")));
    let stream = accepted(&mut node, &mut host);
    node.handle_stream(at(0), stream, StreamInput::Bytes(&plaintext), &mut host);
    let (answer, closed) = written(&mut node, StreamRole::Initiator);
    let Some(StreamMessage::Error(reason)) = answer else { panic!("{answer:?}") };
    assert_eq!(reason, "encryption is configured but remote state is not encrypted");
    assert!(closed && node.streams.is_empty());
    assert_eq!((node.counters().streams_failed, events(&mut node).len()), (1, 0));
}

#[test]
fn answers_nobody_asked_for_close_the_stream() {
    let (mut node, mut host) = node();
    assert_eq!(send(&mut node, &mut host, &StreamMessage::Ack(Ack::default())), (None, true));
    assert_eq!(send(&mut node, &mut host, &StreamMessage::Error("no".into())), (None, true));
}

#[test]
fn stream_closed_before_it_said_anything_is_closed_in_silence() {
    let (mut node, mut host) = node();
    let stream = accepted(&mut node, &mut host);
    node.handle_stream(at(0), stream, StreamInput::Finished, &mut host);
    assert_eq!(outputs(&mut node).1, [Io::Close { stream }]);
    node.handle_stream(at(0), stream, StreamInput::Bytes(b"late"), &mut host);
    assert_eq!(outputs(&mut node).1, []);
}

#[test]
fn silent_stream_is_closed_when_its_time_is_up() {
    let (mut node, mut host) = node_with(Config {
        probe_interval: std::time::Duration::ZERO,
        gossip_interval: std::time::Duration::ZERO,
        ..config()
    });
    let stream = accepted(&mut node, &mut host);
    node.handle_timeout(at(9_999), &mut host);
    assert_eq!(outputs(&mut node).1, []);
    node.handle_timeout(at(10_000), &mut host);
    assert_eq!(outputs(&mut node).1, [Io::Close { stream }]);
    assert!(node.streams.is_empty());
}

#[test]
fn inbound_streams_are_bounded_per_source_and_in_all() {
    let (mut node, mut host) = node();
    for source in 0..3 {
        for _ in 0..=limits::INBOUND_STREAMS_PER_SOURCE {
            let stream = node.accept_id();
            let from = SocketAddr::from(([127, 0, 22, source], 50_000));
            node.handle_stream(at(0), stream, StreamInput::Accepted { from }, &mut host);
        }
    }
    assert_eq!(node.streams.len(), limits::INBOUND_STREAMS);
    let total = 3 * (limits::INBOUND_STREAMS_PER_SOURCE + 1);
    assert_eq!(node.counters().streams_refused, (total - limits::INBOUND_STREAMS) as u64);
}

// ---- joining ----

fn joining() -> (Memberlist, TestHost, StreamId) {
    let (mut node, mut host) = node();
    let target = JoinTarget { name: None, address: address("b") };
    let stream = node.join(at(0), &target, &mut host);
    assert_eq!(outputs(&mut node).1, [Io::Connect { stream, to: address("b") }]);
    (node, host, stream)
}

/// As [`joining`], connected, the request written.
fn asked() -> (Memberlist, TestHost, StreamId) {
    let (mut node, mut host, stream) = joining();
    node.handle_stream(at(5), stream, StreamInput::Connected, &mut host);
    let (request, closed) = written(&mut node, StreamRole::Acceptor);
    let Some(StreamMessage::PushPull(state)) = request else { panic!("{request:?}") };
    assert!(state.join && !closed);
    assert_eq!(state.nodes, [state_of("own", 1)]);
    (node, host, stream)
}

fn answer(node: &mut Memberlist, host: &mut TestHost, stream: StreamId, message: &StreamMessage) -> Vec<String> {
    let bytes = seal_stream(&node.layers(), StreamRole::Acceptor, message, [0; 12]);
    node.handle_stream(at(10), stream, StreamInput::Bytes(&bytes), host);
    assert!(node.streams.is_empty());
    let (events, rest) = outputs(node);
    assert_eq!(rest, [Io::Close { stream }]);
    events
}

#[test]
fn join_merges_the_answer_with_our_own_flag() {
    let (mut node, mut host, stream) = asked();
    let nodes = vec![state_of("b", 1), state_of("c", 4)];
    let theirs = PushPull { join: false, nodes, user_state: Bytes::from_static(b"state") };
    let events = answer(&mut node, &mut host, stream, &StreamMessage::PushPull(theirs));
    assert_eq!(events, ["joined b", "joined c", "state state true", "join ok"]);
}

#[test]
fn failed_joins_say_why_in_gos_words() {
    let (mut node, mut host, stream) = joining();
    let reason = "dial tcp 127.0.22.98:7946: connect: connection refused";
    node.handle_stream(at(5), stream, StreamInput::Failed { reason }, &mut host);
    assert_eq!(
        events(&mut node),
        ["failed to join 127.0.22.98:7946: dial tcp 127.0.22.98:7946: connect: connection refused"]
    );

    let (mut node, _, stream) = joining();
    node.on_stream_timeout(stream);
    assert_eq!(events(&mut node), ["failed to join 127.0.22.98:7946: dial tcp 127.0.22.98:7946: i/o timeout"]);

    let (mut node, mut host, stream) = asked();
    let events_of = answer(&mut node, &mut host, stream, &StreamMessage::Error("it is secret".into()));
    assert_eq!(events_of, ["failed to join 127.0.22.98:7946: remote error: it is secret"]);

    let (mut node, mut host, stream) = asked();
    let events_of = answer(&mut node, &mut host, stream, &StreamMessage::Ack(Ack::default()));
    let expected = "failed to join 127.0.22.98:7946: received invalid msgType (2), expected pushPullMsg (6) \
                    from=127.0.22.98:7946";
    assert_eq!(events_of, [expected]);

    let (mut node, mut host, stream) = asked();
    node.handle_stream(at(6), stream, StreamInput::Finished, &mut host);
    assert_eq!(events(&mut node), ["failed to join 127.0.22.98:7946: EOF"]);
}

#[test]
fn peer_that_accepts_and_never_answers_is_given_up() {
    let (mut node, _, stream) = asked();
    assert_eq!(node.timers.deadline(&Timer::Stream(stream)), Some(at(10_005)));
    node.on_stream_timeout(stream);
    assert_eq!(events(&mut node), ["failed to join 127.0.22.98:7946: read tcp 127.0.22.98:7946: i/o timeout"]);
}

#[test]
fn reliable_user_message_is_written_and_the_stream_closed() {
    let (mut node, mut host) = node();
    let stream = node.send_reliable(at(0), address("b"), b"hello");
    outputs(&mut node);
    node.handle_stream(at(1), stream, StreamInput::Connected, &mut host);
    let expected = StreamMessage::User(Bytes::from_static(b"hello"));
    assert_eq!(written(&mut node, StreamRole::Acceptor), (Some(expected), true));
}

#[test]
fn reliable_user_message_that_cannot_be_delivered_is_counted() {
    let (mut node, mut host) = node();
    let stream = node.send_reliable(at(0), address("b"), b"hello");
    node.handle_stream(at(1), stream, StreamInput::Failed { reason: "connection refused" }, &mut host);
    assert_eq!((node.counters().streams_failed, node.streams.len()), (1, 0));
    assert_eq!(events(&mut node).len(), 0);
}
