//! The failure detector, stage by stage (spec 8; Go `TestMemberList_ProbeNode*`, `TestHandle*Ping`).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::test_support::*;
use crate::{
    Ack, Alive, BroadcastId, Config, IndirectPing, Io, Memberlist, Message, Nack, PeerState, Ping, SequenceNumber,
    StreamInput, StreamMessage, Timer, Versions, WireAddress,
};

fn ping_from_own(node: &str, sequence: u32) -> Ping {
    Ping {
        node: name(node),
        sequence: SequenceNumber(sequence),
        source_address: WireAddress::from_ip(address("own").ip()),
        source_node: name("own"),
        source_port: 7946,
    }
}

fn ack(sequence: u32) -> Ack {
    Ack { payload: None, sequence: SequenceNumber(sequence) }
}

/// Knows these, and has just begun to probe the one that the order gives, which is returned.
fn probing(names: &[&str]) -> (Memberlist, TestHost, String) {
    let (mut node, mut host) = node_knowing(names);
    node.on_probe_tick(at(0), &mut host);
    let sent = packets(&mut node);
    let [(_, messages)] = sent.as_slice() else { panic!("one packet, not {sent:?}") };
    let [Message::Ping(ping)] = messages.as_slice() else { panic!("one ping, not {messages:?}") };
    let target = ping.node.to_string();
    assert_eq!(*ping, ping_from_own(&target, 1));
    (node, host, target)
}

fn time_out(node: &mut Memberlist, host: &mut TestHost) {
    node.on_probe_timeout(at(500), SequenceNumber(1), host);
}

fn end(node: &mut Memberlist, host: &mut TestHost) {
    node.on_probe_deadline(at(1000), SequenceNumber(1), host);
}

fn state_of(node: &Memberlist, of: &str) -> PeerState {
    belief(node, of).expect("known").1
}

// ---- asking ----

#[test]
fn answered_probe_reports_the_round_trip_and_improves_our_health() {
    let (mut node, mut host, target) = probing(&["b"]);
    node.awareness.apply(1);
    let answer = Ack { payload: Some(Bytes::from_static(b"coordinate").into()), sequence: SequenceNumber(1) };
    node.on_ack(at(30), answer.clone(), &mut host);
    assert_eq!(events(&mut node), [format!("ping {target} 30ms coordinate")]);
    assert_eq!(node.health_score(), 0);
    assert_eq!(node.timers.deadline(&Timer::ProbeDeadline(SequenceNumber(1))), None);
    node.on_ack(at(40), answer, &mut host);
    assert_eq!(events(&mut node).len(), 0, "an ack counts once");
}

#[test]
fn acks_nobody_waits_for_are_ignored() {
    let (mut node, mut host, _) = probing(&["b"]);
    node.on_ack(at(10), ack(7), &mut host);
    assert!(node.probe.is_some());
    assert_eq!(outputs(&mut node).0.len(), 0);
}

#[test]
fn suspect_is_probed_with_the_accusation_and_nothing_else() {
    let (mut node, mut host) = node_knowing(&["b"]);
    node.on_suspect(at(0), suspect("b", 1, "c"));
    host.broadcasts.push(Bytes::from_static(b"user"));
    node.on_probe_tick(at(0), &mut host);
    let accusation = Message::Suspect(suspect("b", 1, "own"));
    assert_eq!(packets(&mut node), [(address("b"), vec![Message::Ping(ping_from_own("b", 1)), accusation])]);
}

#[test]
fn silent_target_is_asked_through_others_and_over_tcp() {
    let (mut node, mut host, target) = probing(&["b", "c", "d", "e", "f"]);
    time_out(&mut node, &mut host);
    let (_, rest) = outputs(&mut node);
    let mut relays = 0;
    for io in &rest {
        if let Io::Packet { to, bytes } = io {
            let opened = crate::open(&node.layers(), bytes).unwrap();
            let own = ping_from_own(&target, 1);
            let expected = IndirectPing {
                nack: true,
                node: name(&target),
                port: 7946,
                sequence: SequenceNumber(1),
                source_address: own.source_address,
                source_node: own.source_node,
                source_port: own.source_port,
                target: WireAddress::from_ip(address(&target).ip()),
            };
            assert_eq!(opened.messages, [Message::IndirectPing(expected)]);
            assert_ne!(*to, address(&target));
            relays += 1;
        }
    }
    assert_eq!(relays, 3);
    assert!(matches!(rest.last(), Some(Io::Connect { to, .. }) if *to == address(&target)));
}

#[test]
fn late_or_relayed_ack_saves_the_target_without_a_round_trip() {
    let (mut node, mut host, target) = probing(&["b", "c"]);
    time_out(&mut node, &mut host);
    outputs(&mut node);
    node.on_ack(at(800), ack(1), &mut host);
    let (events, rest) = outputs(&mut node);
    assert_eq!(events.len(), 0);
    assert!(matches!(rest.as_slice(), [Io::Close { .. }]), "the TCP attempt is given up: {rest:?}");
    end(&mut node, &mut host);
    assert_eq!(state_of(&node, &target), PeerState::Alive);
}

#[test]
fn silence_makes_a_suspect_and_costs_health_by_missed_nacks() {
    for (nacks, health) in [(0, 3), (1, 2), (3, 0), (9, 0)] {
        let (mut node, mut host, target) = probing(&["b", "c", "d", "e"]);
        time_out(&mut node, &mut host);
        for _ in 0..nacks {
            node.on_nack(&Nack { sequence: SequenceNumber(1) });
        }
        end(&mut node, &mut host);
        assert_eq!(state_of(&node, &target), PeerState::Suspect);
        assert_eq!(node.health_score(), health, "{nacks} nacks");
        assert_eq!(node.counters().probes_failed, 1);
    }
}

#[test]
fn without_relays_that_know_nacks_a_failure_costs_one() {
    let (mut node, mut host) = node();
    let old = Versions { protocol_max: 3, ..versions() };
    for peer in ["b", "c"] {
        node.on_alive(at(0), Alive { versions: Some(old), ..alive(peer, 1) }, &host);
    }
    node.on_probe_tick(at(0), &mut host);
    time_out(&mut node, &mut host);
    node.on_nack(&Nack { sequence: SequenceNumber(1) });
    end(&mut node, &mut host);
    assert_eq!(node.health_score(), 1);
}

#[test]
fn verdict_uses_the_incarnation_from_before_so_a_refutation_wins() {
    let (mut node, mut host, target) = probing(&["b", "c"]);
    time_out(&mut node, &mut host);
    node.on_alive(at(700), alive(&target, 2), &host);
    end(&mut node, &mut host);
    assert_eq!(belief(&node, &target), Some((2, PeerState::Alive)));
}

#[test]
fn poor_health_lengthens_the_probe_but_not_the_first_wait() {
    let (mut node, mut host) = node_knowing(&["b"]);
    node.awareness.apply(2);
    node.on_probe_tick(at(0), &mut host);
    assert_eq!(node.timers.deadline(&Timer::ProbeTimeout(SequenceNumber(1))), Some(at(500)));
    assert_eq!(node.timers.deadline(&Timer::ProbeDeadline(SequenceNumber(1))), Some(at(3000)));
    assert_eq!(node.counters().degraded_probes, 1);
}

#[test]
fn one_probe_at_a_time_and_one_missed_tick_is_made_up_for() {
    let (mut node, mut host) = node_knowing(&["b", "c"]);
    node.awareness.apply(2);
    for tick in [0, 1000, 2000] {
        node.on_probe_tick(at(tick), &mut host);
    }
    assert_eq!(packets(&mut node).len(), 1);
    node.on_probe_deadline(at(3000), SequenceNumber(1), &mut host);
    assert!(node.probe.is_some(), "the next begins at once");
    node.on_ack(at(3001), ack(2), &mut host);
    assert!(node.probe.is_none(), "and only one");
}

#[test]
fn ping_that_could_not_be_sent_goes_to_the_others_at_once_and_earns_no_health() {
    let (mut node, mut host, target) = probing(&["b", "c"]);
    node.awareness.apply(3);
    node.packet_failed(at(5), address("somebody else"));
    assert_eq!(node.timers.deadline(&Timer::ProbeTimeout(SequenceNumber(1))), Some(at(500)));
    node.packet_failed(at(5), address(&target));
    node.handle_timeout(at(5), &mut host);
    assert!(packets(&mut node).iter().any(|(_, messages)| matches!(messages[0], Message::IndirectPing(_))));
    node.on_ack(at(50), ack(1), &mut host);
    assert_eq!((node.health_score(), state_of(&node, &target)), (3, PeerState::Alive));
}

/// Up to the point where the TCP ping has been written.
fn probing_over_tcp() -> (Memberlist, TestHost, String, crate::StreamId) {
    let (mut node, mut host, target) = probing(&["b", "c"]);
    time_out(&mut node, &mut host);
    let (_, rest) = outputs(&mut node);
    let Some(Io::Connect { stream, .. }) = rest.last() else { panic!("a dial") };
    let stream = *stream;
    node.handle_stream(at(600), stream, StreamInput::Connected, &mut host);
    let (_, rest) = outputs(&mut node);
    assert!(matches!(rest.as_slice(), [Io::Write { .. }]), "{rest:?}");
    (node, host, target, stream)
}

fn tcp_answer(node: &Memberlist, message: &StreamMessage) -> Bytes {
    crate::seal_stream(&node.layers(), crate::StreamRole::Acceptor, message, [0; 12])
}

#[test]
fn tcp_contact_saves_a_node_without_udp_when_the_time_is_over() {
    let (mut node, mut host, target, stream) = probing_over_tcp();
    let answer = tcp_answer(&node, &StreamMessage::Ack(ack(1)));
    node.handle_stream(at(610), stream, StreamInput::Bytes(&answer), &mut host);
    assert!(node.probe.is_some(), "acks by UDP go first");
    node.awareness.apply(2);
    end(&mut node, &mut host);
    assert_eq!((state_of(&node, &target), node.health_score()), (PeerState::Alive, 1));
    let told = |name: &str| node.members.get(&crate::NodeName(name.into())).is_some_and(|record| record.one_way_told);
    let others = ["b", "c"].into_iter().filter(|name| *name != target);
    assert!(told(&target) && !others.into_iter().any(told), "the log says once what to open, for this one only");
}

#[test]
fn wrong_tcp_answers_save_nobody() {
    for answer in [StreamMessage::Ack(ack(2)), StreamMessage::Ping(ping_from_own("own", 1))] {
        let (mut node, mut host, target, stream) = probing_over_tcp();
        let answer = tcp_answer(&node, &answer);
        node.handle_stream(at(610), stream, StreamInput::Bytes(&answer), &mut host);
        end(&mut node, &mut host);
        assert_eq!(state_of(&node, &target), PeerState::Suspect);
        let (_, rest) = outputs(&mut node);
        let closed = rest.iter().filter(|io| **io == Io::Close { stream }).count();
        assert_eq!(closed, 1, "a stream is closed once");
    }
}

#[test]
fn failed_tcp_dial_is_no_contact_and_the_attempt_never_outlives_the_probe() {
    let (mut node, mut host, target) = probing(&["b", "c"]);
    time_out(&mut node, &mut host);
    let (_, rest) = outputs(&mut node);
    let Some(Io::Connect { stream, .. }) = rest.last() else { panic!("a dial") };
    assert_eq!(node.timers.deadline(&Timer::Stream(*stream)), Some(at(1000)));
    node.handle_stream(at(600), *stream, StreamInput::Failed { reason: "connection refused" }, &mut host);
    end(&mut node, &mut host);
    assert_eq!(state_of(&node, &target), PeerState::Suspect);
    assert!(node.streams.is_empty());
}

#[test]
fn tcp_is_not_tried_where_switched_off_or_not_understood() {
    let old = Versions { protocol_max: 2, ..versions() };
    for (tcp_pings, versions) in [(false, versions()), (true, old)] {
        let (mut node, mut host) = node_with(Config { tcp_pings, ..config() });
        node.on_alive(at(0), Alive { versions: Some(versions), ..alive("b", 1) }, &host);
        node.on_probe_tick(at(0), &mut host);
        outputs(&mut node);
        time_out(&mut node, &mut host);
        assert_eq!(outputs(&mut node).1, []);
    }
}

#[test]
fn probe_interrupted_by_a_pause_accuses_nobody() {
    let (mut node, mut host, target) = probing(&["b", "c"]);
    node.paused(at(400));
    end(&mut node, &mut host);
    node.on_ack(at(500), ack(1), &mut host);
    assert_eq!((state_of(&node, &target), node.health_score()), (PeerState::Alive, 1));
    node.handle_timeout(at(500), &mut host);
    assert!(node.probe.is_some(), "a fresh one begins at once");
}

#[test]
fn stall_through_the_time_of_the_relays_accuses_nobody() {
    let (mut node, mut host, target) = probing(&["b", "c"]);
    // Half a second late: nobody was asked in time, and the probe is over.
    node.handle_timeout(at(1000), &mut host);
    assert_eq!((state_of(&node, &target), node.health_score()), (PeerState::Alive, 1));
    assert_eq!(node.counters().probes_failed, 0);
    // A moment earlier they are still asked.
    let (mut node, mut host, target) = probing(&["b", "c"]);
    node.handle_timeout(at(999), &mut host);
    let asked = packets(&mut node).into_iter().flat_map(|(_, messages)| messages);
    assert_eq!(asked.filter(|message| matches!(message, Message::IndirectPing(_))).count(), 1);
    node.handle_timeout(at(1000), &mut host);
    assert_eq!(state_of(&node, &target), PeerState::Suspect);
}

#[test]
fn probe_timeout_longer_than_the_interval_still_ends_with_the_interval() {
    let (mut node, mut host) = node_with(Config { probe_timeout: Duration::from_secs(9), ..config() });
    node.on_alive(at(0), alive("b", 1), &host);
    node.on_probe_tick(at(0), &mut host);
    end(&mut node, &mut host);
    assert_eq!((state_of(&node, "b"), node.health_score()), (PeerState::Suspect, 1));
}

// ---- answering ----

#[test]
fn ping_is_answered_where_it_says_it_comes_from() {
    let (mut node, mut host) = node_knowing(&["b"]);
    host.ack_payload = Bytes::from_static(b"coordinate");
    let elsewhere = SocketAddr::from(([127, 0, 22, 200], 1234));
    let source = Ping { node: name("own"), ..ping_from_own("own", 42) };
    let source = Ping { source_address: WireAddress::from_ip(address("b").ip()), ..source };
    let answer = Ack { payload: Some(Bytes::from_static(b"coordinate").into()), sequence: SequenceNumber(42) };
    for (ping, to) in [
        (source.clone(), address("b")),
        (Ping { node: name(""), ..source.clone() }, address("b")),
        (Ping { source_port: 0, ..source.clone() }, elsewhere),
        (Ping { source_address: WireAddress::default(), ..source.clone() }, elsewhere),
    ] {
        node.on_ping(at(0), elsewhere, &ping, &mut host);
        assert_eq!(packets(&mut node), [(to, vec![Message::Ack(answer.clone())])]);
    }
    node.on_ping(at(0), elsewhere, &Ping { node: name("other"), ..source }, &mut host);
    assert_eq!(packets(&mut node), []);
}

#[test]
fn ack_without_a_payload_is_nil() {
    let (mut node, mut host) = node();
    node.on_ping(at(0), address("b"), &Ping { node: name("own"), ..Ping::default() }, &mut host);
    assert_eq!(packets(&mut node), [(address("b"), vec![Message::Ack(ack(0))])]);
}

fn request(nack: bool) -> IndirectPing {
    IndirectPing {
        nack,
        node: name("b"),
        port: 7946,
        sequence: SequenceNumber(77),
        source_address: WireAddress::from_ip(address("c").ip()),
        source_node: name("c"),
        source_port: 7946,
        target: WireAddress::from_ip(address("b").ip()),
    }
}

#[test]
fn indirect_ping_is_passed_on_under_our_name_and_the_ack_passed_back_bare() {
    let (mut node, mut host) = node();
    node.on_indirect_ping(at(0), address("x"), request(true), &mut host);
    assert_eq!(packets(&mut node), [(address("b"), vec![Message::Ping(ping_from_own("b", 1))])]);
    let answer = Ack { payload: Some(Bytes::from_static(b"coordinate").into()), sequence: SequenceNumber(1) };
    node.on_ack(at(100), answer, &mut host);
    assert_eq!(packets(&mut node), [(address("c"), vec![Message::Ack(ack(77))])]);
    node.handle_timeout(at(501), &mut host);
    assert!(!packets(&mut node).iter().any(|(_, messages)| matches!(messages[0], Message::Nack(_))));
}

#[test]
fn relay_without_an_answer_says_so_if_asked_to_and_passes_nothing_on_later() {
    for wants_nack in [true, false] {
        let (mut node, mut host) = node();
        node.on_indirect_ping(at(0), address("c"), request(wants_nack), &mut host);
        packets(&mut node);
        assert_eq!(node.timers.deadline(&Timer::Relay(SequenceNumber(1))), Some(at(500)));
        node.on_relay_timeout(at(500), SequenceNumber(1), &mut host);
        let nack = Message::Nack(Nack { sequence: SequenceNumber(77) });
        let expected = if wants_nack { vec![(address("c"), vec![nack])] } else { vec![] };
        assert_eq!(packets(&mut node), expected);
        node.on_ack(at(600), ack(1), &mut host);
        assert_eq!(packets(&mut node), []);
    }
}

#[test]
fn indirect_ping_to_port_zero_goes_to_our_bind_port_and_to_no_address_nowhere() {
    let (mut node, mut host) = node();
    node.on_indirect_ping(at(0), address("c"), IndirectPing { port: 0, ..request(true) }, &mut host);
    assert_eq!(packets(&mut node)[0].0, address("b"));
    let nowhere = IndirectPing { target: WireAddress::default(), ..request(true) };
    node.on_indirect_ping(at(0), address("c"), nowhere, &mut host);
    assert_eq!(packets(&mut node), []);
    assert_eq!(node.counters().messages_skipped, 1);
}

#[test]
fn relays_are_bounded() {
    let (mut node, mut host) = node();
    for _ in 0..=crate::limits::RELAYS {
        node.on_indirect_ping(at(0), address("c"), request(false), &mut host);
    }
    assert_eq!((node.relays.len(), node.counters().relays_refused), (crate::limits::RELAYS, 1));
    assert_eq!(node.last_broadcast, BroadcastId(0).0);
}
