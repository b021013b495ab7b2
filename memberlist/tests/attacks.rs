//! A hostile peer against one engine: floods, numbers at their ends, names that are ours, streams that stall, bytes of
//! another kind, a clock that jumps. Nothing panics, nothing grows beyond its limit, and we stay who we are.
//!
//! Hostile bytes below the messages are in `refusals.rs`; random messages in `properties.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_memberlist::limits::{INBOUND_BYTES, MEMBERS, NAME_BYTES, PACKET_COMMANDS, RELAYS};
use folkmoot_memberlist::{
    Ack, Alive, Config, Crc, Dead, EncryptionVersion, Event, Incarnation, IndirectPing, Instant, Io, JoinTarget,
    Keyring, Layers, Memberlist, Message, Nack, NodeName, NodeState, Output, PeerState, Ping, PushPull, SequenceNumber,
    StreamDecoder, StreamId, StreamInput, StreamMessage, StreamRole, Suspect, Timer, Versions, WireAddress, seal,
    seal_stream,
};
use support::{Nobody, Vector};

const VERSIONS: Versions =
    Versions { protocol_min: 1, protocol_max: 5, protocol_cur: 2, delegate_min: 2, delegate_max: 5, delegate_cur: 5 };
const STRANGER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 41, 99)), 7946);

/// One engine, `own`, and the time it is.
struct Victim {
    engine: Memberlist,
    now: Instant,
    keyring: Keyring,
}

/// What came out since the last look.
#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    packets: Vec<(SocketAddr, Bytes)>,
    written: BTreeMap<StreamId, Vec<u8>>,
    dialled: Vec<StreamId>,
    closed: Vec<StreamId>,
}

impl Victim {
    fn new(configure: impl FnOnce(Config) -> Config) -> Self {
        let config = Config { delegate_versions: (2, 5, 5), ..Config::lan(name("own"), place(1)) };
        let config = configure(config);
        let keyring = config.keyring.clone();
        let engine = Memberlist::new(config, Instant::EPOCH, [41; 32], &mut Nobody).unwrap();
        let mut victim = Self { engine, now: Instant::EPOCH, keyring };
        victim.listen();
        victim
    }

    fn knowing(names: &[&str]) -> Self {
        let mut victim = Self::new(|config| config);
        for (number, node) in names.iter().enumerate() {
            let address = place(u8::try_from(number).unwrap() + 2);
            victim.hear(&[Message::Alive(alive(node, 1, address))]);
        }
        victim.listen();
        victim
    }

    fn layers(&self) -> Layers<'_> {
        layers(&self.keyring)
    }

    fn hear(&mut self, messages: &[Message]) {
        let parts: Vec<Bytes> = messages.iter().map(Message::encode).collect();
        let packet = seal(&self.layers(), &parts, Crc::With, [0; 12]);
        self.engine.handle_packet(self.now, STRANGER, &packet, &mut Nobody).unwrap();
    }

    fn accept(&mut self) -> StreamId {
        let stream = self.engine.accept_id();
        self.feed(stream, StreamInput::Accepted { from: STRANGER });
        stream
    }

    fn feed(&mut self, stream: StreamId, input: StreamInput<'_>) {
        self.engine.handle_stream(self.now, stream, input, &mut Nobody);
    }

    fn exchange(&mut self, nodes: Vec<NodeState>) {
        let state = PushPull { join: false, nodes, user_state: Bytes::new() };
        let bytes = seal_stream(&self.layers(), StreamRole::Initiator, &StreamMessage::PushPull(state), [0; 12]);
        let stream = self.accept();
        self.feed(stream, StreamInput::Bytes(&bytes));
    }

    /// Lets time pass, deadline by deadline.
    fn wait(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some((at, _)) = self.engine.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now, &mut Nobody);
        }
        self.now = end;
    }

    fn listen(&mut self) -> Heard {
        let mut heard = Heard::default();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Event(event) => heard.events.push(event),
                Output::Io(Io::Packet { to, bytes }) => heard.packets.push((to, bytes)),
                Output::Io(Io::Connect { stream, .. }) => heard.dialled.push(stream),
                Output::Io(Io::Write { stream, bytes }) => heard.written.entry(stream).or_default().extend(&bytes),
                Output::Io(Io::Close { stream }) => heard.closed.push(stream),
            }
        }
        heard
    }

    fn belief(&self, of: &str) -> Option<(u32, PeerState)> {
        let state = self.engine.states().find(|state| state.name == name(of));
        state.map(|state| (state.incarnation.0, state.state))
    }
}

fn layers(keyring: &Keyring) -> Layers<'_> {
    Layers {
        label: b"",
        skip_inbound_label_check: false,
        keyring,
        verify_incoming: true,
        verify_outgoing: true,
        encryption_version: EncryptionVersion::Plain,
        compression: true,
    }
}

fn name(text: &str) -> NodeName {
    NodeName(text.into())
}

fn place(last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 41, last], 7946))
}

fn alive(node: &str, incarnation: u32, at: SocketAddr) -> Alive {
    Alive {
        address: WireAddress::from_ip(at.ip()),
        incarnation: Incarnation(incarnation),
        meta: None,
        node: name(node),
        port: at.port(),
        versions: Some(VERSIONS),
    }
}

fn suspect(node: &str, incarnation: u32, from: &str) -> Message {
    Message::Suspect(Suspect { from: name(from), incarnation: Incarnation(incarnation), node: name(node) })
}

fn dead(node: &str, incarnation: u32, from: &str) -> Message {
    Message::Dead(Dead { from: name(from), incarnation: Incarnation(incarnation), node: name(node) })
}

/// Entry `number` of a huge cluster.
fn entry(number: usize) -> NodeState {
    let [.., a, b, c] = number.to_be_bytes();
    NodeState {
        address: WireAddress::from_bytes(Bytes::copy_from_slice(&[10, a, b, c])),
        incarnation: Incarnation(1),
        name: name(&format!("node-{number}")),
        port: 7946,
        versions: Some(VERSIONS),
        ..NodeState::default()
    }
}

/// Every message with every combination of numbers and names at their ends.
fn extremes() -> Vec<Message> {
    let names = ["", "own", "b", "stranger", &"n".repeat(NAME_BYTES), &"n".repeat(NAME_BYTES + 1)].map(name);
    let numbers = [0, 1, u32::MAX - 1, u32::MAX];
    let addresses = [&b""[..], &[127, 0, 41, 1], &[0; 4], &[255; 4], &[0; 16], &[1; 5]]
        .map(|address| WireAddress::from_bytes(Bytes::copy_from_slice(address)));
    let bytes = [0, 1, 2, 5, 255];
    let odd = |at: usize| bytes[at % bytes.len()];
    let versions: Vec<Option<Versions>> = (0..20)
        .map(|at| {
            (at % 4 > 0).then(|| Versions {
                protocol_min: odd(at),
                protocol_max: odd(at / 2 + 1),
                protocol_cur: odd(at / 3 + 2),
                delegate_min: odd(at + 3),
                delegate_max: odd(at / 2),
                delegate_cur: odd(at / 3),
            })
        })
        .chain([Some(VERSIONS)])
        .collect();
    let mut messages = Vec::new();
    for node in &names {
        for number in numbers {
            let (incarnation, sequence) = (Incarnation(number), SequenceNumber(number));
            messages.push(Message::Ack(Ack { payload: None, sequence }));
            messages.push(Message::Nack(Nack { sequence }));
            for from in &names {
                let (from, node) = (from.clone(), node.clone());
                messages.push(Message::Suspect(Suspect { from: from.clone(), incarnation, node: node.clone() }));
                messages.push(Message::Dead(Dead { from, incarnation, node }));
            }
            for (address, port) in addresses.iter().flat_map(|address| [(address, 0), (address, u16::MAX)]) {
                let source = Ping {
                    node: node.clone(),
                    sequence,
                    source_address: address.clone(),
                    source_node: node.clone(),
                    source_port: port,
                };
                messages.push(Message::IndirectPing(IndirectPing {
                    nack: port == 0,
                    node: node.clone(),
                    port,
                    sequence,
                    source_address: address.clone(),
                    source_node: node.clone(),
                    source_port: port,
                    target: address.clone(),
                }));
                messages.push(Message::Ping(source));
                messages.extend(versions.iter().map(|versions| {
                    let (address, node, versions) = (address.clone(), node.clone(), *versions);
                    Message::Alive(Alive { address, incarnation, meta: None, node, port, versions })
                }));
            }
        }
    }
    messages
}

#[test]
fn numbers_and_names_at_their_ends_harm_nobody() {
    let mut victim = Victim::knowing(&["b", "c"]);
    for (at, message) in extremes().iter().enumerate() {
        victim.hear(std::slice::from_ref(message));
        if at % 50 == 0 {
            victim.wait(Duration::from_millis(700));
        }
        for (_, packet) in victim.listen().packets {
            assert!(packet.len() <= 1407, "{} bytes after {message:?}", packet.len());
        }
        assert_eq!(victim.belief("own").unwrap().1, PeerState::Alive, "after {message:?}");
    }
    for state in victim.engine.states() {
        assert!((1..=NAME_BYTES).contains(&state.name.0.len()), "{state:?}");
        assert!(state.address.ip().is_some() && state.port > 0 && state.versions.unwrap().is_sane(), "{state:?}");
    }
    assert!(victim.engine.node_count() <= 5 && victim.engine.queued_broadcasts() <= 5);
    victim.wait(Duration::from_secs(3600));
    assert_eq!(victim.engine.node_count(), 1, "nobody of them answered");
}

#[test]
fn accusations_while_leaving_bring_nobody_back() {
    let mut victim = Victim::knowing(&["b"]);
    victim.engine.leave(victim.now);
    victim.listen();
    for incarnation in [1, 2, u32::MAX] {
        let own = alive("own", incarnation, place(1));
        let moved = alive("own", incarnation, place(77));
        victim.hear(&[suspect("own", incarnation, "b"), dead("own", incarnation, "b"), Message::Alive(own)]);
        victim.hear(&[dead("own", incarnation, "own"), Message::Alive(moved)]);
    }
    victim.wait(Duration::from_secs(600));
    assert_eq!(victim.belief("own").unwrap().1, PeerState::Left);
    assert!(victim.listen().events.iter().all(|event| !matches!(event, Event::Joined(_))));
}

#[test]
fn farewell_in_our_name_is_refuted() {
    let mut victim = Victim::knowing(&["b"]);
    victim.hear(&[dead("own", 1, "own")]);
    assert_eq!(victim.belief("own"), Some((2, PeerState::Alive)));
    assert!(victim.listen().events.is_empty());
}

#[test]
fn two_nodes_of_one_name_leave_the_first_in_place_and_say_so_each_time() {
    let mut victim = Victim::knowing(&["b"]);
    for incarnation in 1..=100 {
        victim.hear(&[Message::Alive(alive("b", incarnation, place(88)))]);
        victim.hear(&[Message::Alive(alive("own", incarnation, place(88)))]);
    }
    let heard = victim.listen();
    assert_eq!(heard.events.len(), 200);
    assert!(heard.events.iter().all(|event| matches!(event, Event::NameConflict { .. })));
    let kept = victim.engine.member(&name("b")).unwrap().socket_address();
    assert_eq!((kept, victim.belief("b")), (Some(place(2)), Some((1, PeerState::Alive))));
    assert_eq!(victim.belief("own"), Some((1, PeerState::Alive)));
}

#[test]
fn many_accusers_take_no_more_room_than_one() {
    let mut victim = Victim::knowing(&["b", "c", "d", "e", "f", "g"]);
    for accuser in 0..10_000 {
        victim.hear(&[suspect("b", 1, &format!("accuser-{accuser}"))]);
    }
    assert_eq!(victim.engine.counters().suspect_messages, 3, "the first, and the two who may confirm");
    assert!(victim.engine.queued_broadcasts() <= victim.engine.node_count());
}

#[test]
fn pings_by_the_thousand_are_answered_and_forgotten() {
    let mut victim = Victim::knowing(&["b"]);
    let ping = Message::Ping(Ping { node: name("own"), sequence: SequenceNumber(u32::MAX), ..Ping::default() });
    let timers = victim.engine.poll_timeout().map(|(at, timer)| (at, timer.clone()));
    for _ in 0..100 {
        victim.hear(&vec![ping.clone(); 127]);
        assert_eq!(victim.listen().packets.len(), 127);
    }
    assert_eq!(victim.engine.poll_timeout().map(|(at, timer)| (at, timer.clone())), timers);
    assert_eq!(victim.engine.node_count(), 2);
}

#[test]
fn one_packet_has_no_more_answers_than_commands_are_read() {
    let mut victim = Victim::new(|config| config);
    // A compound of two bytes per ping: nil is a ping to nobody in particular.
    let pings = [&[7, 255][..], &[0, 2].repeat(255), &[0, 0xc0].repeat(255)].concat();
    let mut nested = vec![7, 120];
    nested.extend(u16::try_from(pings.len()).unwrap().to_be_bytes().repeat(120));
    nested.extend(pings.repeat(120));
    victim.engine.handle_packet(victim.now, STRANGER, &nested, &mut Nobody).unwrap();
    let answers = victim.listen().packets.len();
    assert!((256..=PACKET_COMMANDS).contains(&answers), "{answers}");
    assert!(victim.engine.counters().messages_skipped > 0);
}

#[test]
fn requests_to_ping_others_are_bounded_and_end_with_their_time() {
    let mut victim = Victim::new(|config| config);
    for sequence in 0..6_000 {
        victim.hear(&[Message::IndirectPing(IndirectPing {
            nack: true,
            node: name("x"),
            sequence: SequenceNumber(sequence),
            target: WireAddress::from_ip(place(7).ip()),
            ..IndirectPing::default()
        })]);
    }
    let relayed = victim.listen().packets.len();
    assert_eq!((relayed, victim.engine.counters().relays_refused), (RELAYS, 6_000 - RELAYS as u64));
    victim.wait(Duration::from_secs(2));
    let nacks = victim.listen().packets.iter().filter(|(to, _)| *to == STRANGER).count();
    assert_eq!(nacks, RELAYS);
    let (_, timer) = victim.engine.poll_timeout().unwrap();
    assert!(matches!(timer, Timer::Probe | Timer::Gossip | Timer::PushPull), "{timer:?}");
}

#[test]
fn names_beyond_the_limit_are_not_passed_on_in_a_ping() {
    let mut victim = Victim::new(|config| config);
    for (length, passed_on) in [(NAME_BYTES, 1), (NAME_BYTES + 1, 0), (200_000, 0)] {
        victim.hear(&[Message::IndirectPing(IndirectPing {
            node: name(&"n".repeat(length)),
            target: WireAddress::from_ip(place(7).ip()),
            ..IndirectPing::default()
        })]);
        assert_eq!(victim.listen().packets.len(), passed_on, "{length}");
    }
    assert_eq!(victim.engine.counters().messages_skipped, 2);
}

#[test]
fn a_hundred_thousand_nodes_in_one_exchange_are_known_up_to_the_limit() {
    let mut victim = Victim::new(|config| config);
    victim.exchange((0..100_000).map(entry).collect());
    assert_eq!(victim.engine.node_count(), MEMBERS);
    assert_eq!(victim.engine.counters().members_refused, 100_000 - (MEMBERS as u64 - 1));
    assert_eq!(victim.engine.queued_broadcasts(), MEMBERS);
    victim.listen();
    // All of them are accused at once: one timer each, and the table stays as it is.
    victim.exchange((0..100_000).map(|number| NodeState { state: PeerState::Dead, ..entry(number) }).collect());
    assert_eq!((victim.engine.node_count(), victim.engine.queued_broadcasts()), (MEMBERS, MEMBERS));
    victim.wait(Duration::from_secs(120));
    assert_eq!(victim.engine.alive_count(), 1, "nobody refuted");
}

#[test]
fn streams_that_stall_at_any_byte_are_closed_in_time() {
    let vectors = Vector::all();
    for vector in vectors.iter().filter(|vector| !vector.is_packet() && vector.reader() == StreamRole::Acceptor) {
        let (keyring, label) = (vector.keyring.clone(), Bytes::from(vector.label.clone()));
        let mut victim = Victim::new(|config| Config { keyring, label, push_pull_interval: Duration::ZERO, ..config });
        let cuts: Vec<usize> = (0..vector.bytes.len()).step_by(1 + vector.bytes.len() / 60).collect();
        for cuts in cuts.chunks(50) {
            let streams: Vec<StreamId> = cuts
                .iter()
                .map(|cut| {
                    let stream = victim.accept();
                    victim.feed(stream, StreamInput::Bytes(&vector.bytes[..*cut]));
                    stream
                })
                .collect();
            let early = victim.listen();
            assert!(early.closed.is_empty() && early.written.is_empty(), "{}", vector.name);
            victim.wait(Duration::from_secs(10));
            assert_eq!(victim.listen().closed, streams, "{}", vector.name);
        }
    }
}

#[test]
fn captured_traffic_with_any_byte_changed_leaves_us_who_we_are() {
    for vector in Vector::all().iter().filter(|vector| vector.keyring.is_empty()) {
        let label = Bytes::from(vector.label.clone());
        let mut victim = Victim::new(|config| Config { label, push_pull_interval: Duration::ZERO, ..config });
        for at in 0..vector.bytes.len().min(400) {
            for byte in [0, 0x7f, 0x80, 0xc0, 0xff] {
                let mut bytes = vector.bytes.clone();
                bytes[at] = byte;
                if vector.is_packet() {
                    // Refused or not: what it does to the state is what counts.
                    let _ = victim.engine.handle_packet(victim.now, STRANGER, &bytes, &mut Nobody);
                } else {
                    let stream = victim.accept();
                    victim.feed(stream, StreamInput::Bytes(&bytes));
                    victim.feed(stream, StreamInput::Finished);
                }
            }
            victim.wait(Duration::from_millis(50));
            victim.listen();
            assert_eq!(victim.belief("own").unwrap().1, PeerState::Alive, "{} byte {at}", vector.name);
        }
        assert!(victim.engine.queued_broadcasts() <= victim.engine.node_count());
        victim.wait(Duration::from_secs(7200));
        assert_eq!(victim.engine.node_count(), 1, "{}: nobody of them lives", vector.name);
        assert!(!matches!(victim.engine.poll_timeout(), None | Some((_, Timer::Stream(_)))), "{}", vector.name);
    }
}

#[test]
fn unfinished_streams_share_a_bounded_memory() {
    let mut victim = Victim::new(|config| config);
    let state = vec![0; 15 << 20];
    let header = b"\x06\x83\xa4Join\xc2\xa5Nodes\x00\xacUserStateLen\xce\x01\x00\x00\x00";
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let stream = victim.accept();
        victim.feed(stream, StreamInput::Bytes(header));
        victim.feed(stream, StreamInput::Bytes(&state));
        let heard = victim.listen();
        if heard.closed.is_empty() {
            waiting.push(stream);
            continue;
        }
        let answer = StreamDecoder::new(StreamRole::Initiator).push(&victim.layers(), &heard.written[&stream]);
        let Ok(Some(StreamMessage::Error(reason))) = answer else { panic!("{answer:?}") };
        assert!(reason.to_string().starts_with("too many unfinished streams"), "{reason}");
    }
    assert!((4..=INBOUND_BYTES / state.len()).contains(&waiting.len()), "{} wait", waiting.len());
    assert_eq!(victim.engine.counters().streams_failed, 20 - waiting.len() as u64);
    // When they have gone there is room again.
    for stream in waiting {
        victim.feed(stream, StreamInput::Failed { reason: "reset" });
    }
    let stream = victim.accept();
    victim.feed(stream, StreamInput::Bytes(header));
    victim.feed(stream, StreamInput::Bytes(&state));
    assert!(victim.listen().closed.is_empty());
}

#[test]
fn answers_of_another_kind_end_a_join_and_change_nothing() {
    let wrong = [
        StreamMessage::Ping(Ping::default()),
        StreamMessage::Ack(Ack::default()),
        StreamMessage::User(Bytes::from_static(b"hello")),
        StreamMessage::Error("no".into()),
    ];
    let raw: [&[u8]; 5] = [b"\x06\xc1", b"\xf4\x00", b"\x0a\x00\x00\x00\x00", b"\xff", b"HTTP/1.1 400 Bad Request\r\n"];
    let mut victim = Victim::new(|config| config);
    let messages = wrong.map(|message| seal_stream(&victim.layers(), StreamRole::Acceptor, &message, [0; 12]));
    for answer in messages.into_iter().chain(raw.map(Bytes::from_static)) {
        let stream = victim.engine.join(victim.now, &JoinTarget { name: None, address: place(9) }, &mut Nobody);
        victim.feed(stream, StreamInput::Connected);
        victim.feed(stream, StreamInput::Bytes(&answer));
        let heard = victim.listen();
        assert_eq!(heard.closed, [stream]);
        assert!(matches!(heard.events[..], [Event::JoinFinished { result: Err(_), .. }]), "{answer:02x?}");
    }
    assert_eq!(victim.engine.node_count(), 1);
}

#[test]
fn joining_ourselves_succeeds_and_changes_nothing() {
    let mut victim = Victim::new(|config| config);
    let dialled = victim.engine.join(victim.now, &JoinTarget { name: None, address: place(1) }, &mut Nobody);
    let accepted = victim.accept();
    victim.feed(dialled, StreamInput::Connected);
    let request = victim.listen().written.remove(&dialled).unwrap();
    victim.feed(accepted, StreamInput::Bytes(&request));
    let answer = victim.listen().written.remove(&accepted).unwrap();
    victim.feed(dialled, StreamInput::Bytes(&answer));
    assert!(matches!(victim.listen().events[..], [Event::JoinFinished { result: Ok(()), .. }]));
    assert_eq!((victim.engine.node_count(), victim.belief("own")), (1, Some((1, PeerState::Alive))));
    assert_eq!((victim.engine.health_score(), victim.engine.counters().refutations), (0, 0));
}

#[test]
fn key_taken_away_while_a_stream_arrives_refuses_it() {
    let old = Keyring::new(&[], &[1; 16]).unwrap();
    for keep in [true, false] {
        let mut victim = Victim::new(|config| Config { keyring: old.clone(), ..config });
        let state = PushPull { join: true, nodes: vec![entry(1)], user_state: Bytes::new() };
        let message = StreamMessage::PushPull(state);
        let bytes = seal_stream(&layers(&old), StreamRole::Initiator, &message, [0; 12]);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let stream = victim.accept();
        victim.feed(stream, StreamInput::Bytes(first));
        let ring = victim.engine.keyring_mut();
        ring.install(&[2; 32]).unwrap();
        ring.use_key(&[2; 32]).unwrap();
        if !keep {
            ring.remove(&[1; 16]).unwrap();
        }
        victim.feed(stream, StreamInput::Bytes(second));
        assert_eq!(victim.engine.node_count(), 1 + usize::from(keep));
        assert_eq!(victim.listen().closed, [stream]);
    }
}

#[test]
fn clock_that_jumps_hours_accuses_nobody_and_work_goes_on() {
    let mut victim = Victim::knowing(&["b", "c", "d"]);
    victim.hear(&[suspect("b", 1, "c")]);
    victim.wait(Duration::from_millis(1300));
    let stream = victim.accept();
    victim.listen();
    for _ in 0..3 {
        victim.now = victim.now.after(Duration::from_secs(7 * 3600));
        victim.engine.handle_timeout(victim.now, &mut Nobody);
        assert_eq!(victim.engine.alive_count(), 4);
    }
    assert!(victim.listen().closed.contains(&stream), "its time was over");
    assert!(victim.engine.poll_timeout().is_some_and(|(at, _)| at > victim.now));
    victim.wait(Duration::from_secs(200));
    assert_eq!(victim.engine.alive_count(), 1, "they really are gone");
}

#[test]
fn debug_output_shows_no_payload() {
    let secret = Bytes::from_static(b"hunter2");
    let member = Alive { meta: Some(secret.clone().into()), ..alive("b", 1, place(2)) };
    let mut victim = Victim::new(|config| config);
    victim.hear(&[Message::Alive(member.clone()), Message::User(secret.clone())]);
    let state = PushPull { join: true, nodes: Vec::new(), user_state: secret.clone() };
    victim.engine.send_best_effort(victim.now, place(2), None, &secret);
    let mut texts = vec![
        format!("{:?}", Message::User(secret.clone())),
        format!("{:?}", Message::Alive(member)),
        format!("{:?}", Message::Ack(Ack { payload: Some(secret.clone().into()), sequence: SequenceNumber(1) })),
        format!("{:?}", StreamMessage::User(secret.clone())),
        format!("{:?}", StreamMessage::PushPull(state)),
        format!("{:?}", StreamInput::Bytes(&secret)),
        format!("{:?}", Event::RemoteState { state: secret.clone(), join: true }),
        format!("{:?}", Io::Write { stream: StreamId(1), bytes: secret.clone() }),
    ];
    while let Some(output) = victim.engine.poll_output() {
        texts.push(format!("{output:?}"));
    }
    let bytes = format!("{:?}", &secret[..]);
    for text in &texts {
        assert!(!text.contains("hunter2") && !text.contains(&bytes), "{text}");
    }
    assert!(texts.iter().any(|text| text.contains("7 bytes")) && texts.len() >= 11, "{texts:#?}");
}
