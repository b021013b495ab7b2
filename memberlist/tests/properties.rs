//! What holds whatever happens (spec 16): random messages in random order against one engine, and the queue, the timers
//! and the suspicion times against naive models.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_memberlist::{
    Alive, BroadcastId, Config, Crc, Dead, EncryptionVersion, Event, Incarnation, Instant, Io, Keyring, Layers,
    Memberlist, Message, NodeName, NodeState, Output, PeerState, PushPull, StreamInput, StreamMessage, StreamRole,
    Suspect, Timer, Timers, TransmitLimitedQueue, Versions, WireAddress, retransmit_limit, seal, seal_stream,
    suspicion_total,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::Nobody;

const VERSIONS: Versions =
    Versions { protocol_min: 1, protocol_max: 5, protocol_cur: 2, delegate_min: 0, delegate_max: 0, delegate_cur: 0 };

/// 0 is the engine itself.
fn name(number: u8) -> NodeName {
    NodeName(format!("node-{number}").into())
}

fn place(number: u8, moved: bool) -> SocketAddr {
    SocketAddr::from(([127, 0, if moved { 23 } else { 22 }, number + 1], 7946))
}

/// One thing that happens to the engine.
#[derive(Debug, Clone)]
enum Step {
    Alive { node: u8, incarnation: u32, moved: bool, mapped: bool, meta: u8 },
    Suspect { node: u8, incarnation: u32, from: u8 },
    Dead { node: u8, incarnation: u32, from: u8 },
    State { nodes: Vec<(u8, u32, u8)> },
    Wait { milliseconds: u64 },
    Paused,
    Leave,
}

fn any_incarnation() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 0..8_u32, 1 => Just(u32::MAX), 1 => Just(u32::MAX - 1)]
}

fn any_step() -> impl Strategy<Value = Step> {
    let node = 0..5_u8;
    prop_oneof![
        6 => (node.clone(), any_incarnation(), prop::bool::weighted(0.2), any::<bool>(), 0..2_u8).prop_map(
            |(node, incarnation, moved, mapped, meta)| Step::Alive { node, incarnation, moved, mapped, meta }
        ),
        4 => (node.clone(), any_incarnation(), 1..5_u8)
            .prop_map(|(node, incarnation, from)| Step::Suspect { node, incarnation, from }),
        3 => (node.clone(), any_incarnation(), 1..5_u8)
            .prop_map(|(node, incarnation, from)| Step::Dead { node, incarnation, from }),
        2 => vec((node, any_incarnation(), 0..5_u8), 0..5).prop_map(|nodes| Step::State { nodes }),
        4 => prop_oneof![0..300_u64, 300..20_000_u64].prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => Just(Step::Paused),
        1 => prop::bool::weighted(0.1).prop_map(|leaves| if leaves { Step::Leave } else { Step::Paused }),
    ]
}

/// The engine, and what an observer knows of it.
struct Observed {
    engine: Memberlist,
    now: Instant,
    leaving: bool,
    up: BTreeSet<NodeName>,
    keyring: Keyring,
}

impl Observed {
    fn new(seed: u8) -> Self {
        let config = Config { dead_node_reclaim_time: Duration::from_secs(1), ..Config::lan(name(0), place(0, false)) };
        let engine = Memberlist::new(config, Instant::EPOCH, [seed; 32], &mut Nobody).unwrap();
        let keyring = Keyring::default();
        let mut observed = Self { engine, now: Instant::EPOCH, leaving: false, up: BTreeSet::new(), keyring };
        observed.drain();
        observed
    }

    fn layers(&self) -> Layers<'_> {
        Layers {
            label: b"",
            skip_inbound_label_check: false,
            keyring: &self.keyring,
            verify_incoming: true,
            verify_outgoing: true,
            encryption_version: EncryptionVersion::Plain,
            compression: true,
        }
    }

    fn packet(&mut self, message: &Message) {
        let packet = seal(&self.layers(), &[message.encode()], Crc::With, [0; 12]);
        self.engine.handle_packet(self.now, place(4, false), &packet, &mut Nobody).unwrap();
    }

    fn states(&self) -> BTreeMap<NodeName, NodeState> {
        self.engine.states().map(|state| (state.name.clone(), state)).collect()
    }

    /// Takes all outputs and checks that joins and leaves alternate.
    fn drain(&mut self) -> usize {
        let mut events = 0;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Event(Event::Joined(member)) => {
                    assert!(self.up.insert(member.name.clone()), "{} joined twice", member.name);
                }
                Output::Event(Event::Failed(member) | Event::Left(member)) => {
                    assert!(self.up.remove(&member.name), "{} left twice", member.name);
                }
                Output::Event(Event::Updated(member)) => assert!(self.up.contains(&member.name)),
                Output::Event(_) => {}
                Output::Io(Io::Packet { bytes, .. }) => {
                    assert!(bytes.len() <= 1407, "{} bytes", bytes.len());
                    continue;
                }
                Output::Io(_) => continue,
            }
            events += 1;
        }
        let members: BTreeSet<NodeName> = self.engine.members().map(|member| member.name.clone()).collect();
        assert_eq!(members, self.up, "events and members tell the same");
        assert_eq!(self.engine.alive_count(), members.len());
        events
    }

    fn exchange(&mut self, nodes: &[(u8, u32, u8)]) {
        let nodes = nodes.iter().map(|(node, incarnation, state)| NodeState {
            address: WireAddress::from_ip(place(*node, false).ip()),
            incarnation: Incarnation(*incarnation),
            meta: None,
            name: name(*node),
            port: 7946,
            state: [PeerState::Alive, PeerState::Suspect, PeerState::Dead, PeerState::Left, PeerState::Unknown(4)]
                [usize::from(*state)],
            versions: Some(VERSIONS),
        });
        let state = PushPull { join: false, nodes: nodes.collect(), user_state: Bytes::new() };
        let bytes = seal_stream(&self.layers(), StreamRole::Initiator, &StreamMessage::PushPull(state), [0; 12]);
        let stream = self.engine.accept_id();
        let inputs = [StreamInput::Accepted { from: place(4, false) }, StreamInput::Bytes(&bytes)];
        for input in inputs {
            self.engine.handle_stream(self.now, stream, input, &mut Nobody);
        }
    }

    fn wait(&mut self, milliseconds: u64) {
        let end = self.now.after(Duration::from_millis(milliseconds));
        while let Some((at, _)) = self.engine.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now, &mut Nobody);
            assert!(self.engine.poll_timeout().is_none_or(|(at, _)| at > self.now), "what was due is done");
        }
        self.now = end;
    }

    /// Does one step; returns an accusation of the engine itself that it must outbid.
    fn step(&mut self, step: &Step) -> Option<u32> {
        match step {
            Step::Alive { node, incarnation, moved, mapped, meta } => {
                let ip = place(*node, *moved).ip();
                let address = if *mapped { WireAddress::from_ip_mapped(ip) } else { WireAddress::from_ip(ip) };
                self.packet(&Message::Alive(Alive {
                    address,
                    incarnation: Incarnation(*incarnation),
                    meta: (*meta > 0).then(|| vec![*meta].into()),
                    node: name(*node),
                    port: 7946,
                    versions: Some(VERSIONS),
                }));
            }
            Step::Suspect { node, incarnation, from } => {
                let (from, incarnation_of) = (name(*from), Incarnation(*incarnation));
                self.packet(&Message::Suspect(Suspect { from, incarnation: incarnation_of, node: name(*node) }));
                return (*node == 0).then_some(*incarnation);
            }
            Step::Dead { node, incarnation, from } => {
                let (from, incarnation_of) = (name(*from), Incarnation(*incarnation));
                self.packet(&Message::Dead(Dead { from, incarnation: incarnation_of, node: name(*node) }));
                return (*node == 0).then_some(*incarnation);
            }
            Step::State { nodes } => self.exchange(nodes),
            Step::Wait { milliseconds } => self.wait(*milliseconds),
            Step::Paused => self.engine.paused(self.now),
            Step::Leave => {
                self.engine.leave(self.now);
                self.leaving = true;
            }
        }
        None
    }
}

/// What must hold between the states before and after a step.
fn check(before: &BTreeMap<NodeName, NodeState>, observed: &Observed, accused: Option<u32>) {
    let after = observed.states();
    for (name, old) in before {
        let Some(new) = after.get(name) else {
            // No step is as long as the dead are kept (30 s).
            assert!(matches!(old.state, PeerState::Dead | PeerState::Left), "{name} was forgotten alive");
            continue;
        };
        let moved = old.address.ip() != new.address.ip();
        assert!(moved || new.incarnation >= old.incarnation, "{name} went back from {old:?} to {new:?}");
        let revived = matches!(old.state, PeerState::Dead | PeerState::Left) && new.state == PeerState::Alive;
        assert!(!revived || moved || new.incarnation > old.incarnation, "{name} rose from {old:?} to {new:?}");
        let replaced = old.address != new.address;
        assert!(!replaced || moved || new.incarnation > old.incarnation, "{name} changed the form of its address");
    }
    let own = &after[&name(0)];
    let expected = if observed.leaving { PeerState::Left } else { PeerState::Alive };
    assert_eq!(own.state, expected);
    if let Some(accused) = accused.filter(|accused| *accused < u32::MAX && !observed.leaving) {
        assert!(own.incarnation.0 > accused, "accused with {accused}, we say {}", own.incarnation.0);
    }
    assert!(observed.engine.health_score() < 8);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn state_keeps_its_promises_whatever_arrives(seed in any::<u8>(), steps in vec(any_step(), 1..60)) {
        let mut observed = Observed::new(seed);
        for step in &steps {
            let before = observed.states();
            let accused = observed.step(step);
            observed.drain();
            check(&before, &observed, accused);
        }
    }

    #[test]
    fn exchange_of_the_same_state_changes_nothing_the_second_time(
        steps in vec(any_step(), 0..20),
        nodes in vec((1..5_u8, any_incarnation(), 0..5_u8), 0..4),
    ) {
        // One entry per name, as in every list of a peer.
        let nodes: BTreeMap<u8, (u8, u32, u8)> = nodes.into_iter().map(|node| (node.0, node)).collect();
        let nodes: Vec<_> = nodes.into_values().collect();
        let mut observed = Observed::new(1);
        for step in &steps {
            observed.step(step);
        }
        observed.exchange(&nodes);
        observed.drain();
        let first = observed.states();
        observed.exchange(&nodes);
        // A claim to a taken name is reported each time; nothing else may be.
        let conflicts = observed.engine.counters().name_conflicts;
        observed.exchange(&nodes);
        let repeated = observed.engine.counters().name_conflicts - conflicts;
        prop_assert_eq!(observed.drain() as u64, 2 * repeated);
        prop_assert_eq!(observed.states(), first);
    }

    #[test]
    fn forgotten_nodes_leave_no_timer(steps in vec(any_step(), 0..40)) {
        let mut observed = Observed::new(2);
        for step in &steps {
            observed.step(step);
        }
        // Nobody answers: in time all others are suspected, dead and forgotten.
        observed.wait(3_600_000);
        observed.drain();
        prop_assert_eq!(observed.engine.node_count(), 1);
        let (_, timer) = observed.engine.poll_timeout().unwrap();
        prop_assert!(matches!(timer, Timer::Probe | Timer::Gossip | Timer::PushPull));
    }

    #[test]
    fn unrefuted_suspect_dies_once_within_its_bounds(confirmations in vec((1..20_u8, 0..30_000_u64), 0..6)) {
        let mut observed = Observed::new(3);
        for node in 1..20 {
            observed.step(&Step::Alive { node, incarnation: 1, moved: false, mapped: false, meta: 0 });
        }
        observed.drain();
        observed.step(&Step::Suspect { node: 1, incarnation: 1, from: 2 });
        let begin = observed.now;
        for (from, wait) in confirmations {
            observed.step(&Step::Suspect { node: 1, incarnation: 1, from });
            observed.wait(wait % 3000);
            if !observed.engine.is_alive(&name(1)) {
                break;
            }
        }
        while observed.engine.is_alive(&name(1)) {
            observed.wait(1);
        }
        // 20 members: at least 5.2 s, at most six times as long.
        let lasted = observed.now.since(begin);
        prop_assert!(lasted >= Duration::from_millis(5_204) && lasted <= Duration::from_millis(31_300), "{lasted:?}");
    }

    #[test]
    fn confirmations_only_shorten_a_suspicion(shortest in 1..10_000_u64, mult in 1..10_u32, expected in 0..8_usize) {
        let shortest = Duration::from_millis(shortest);
        let longest = shortest * mult;
        let mut last = longest;
        for confirmations in 0..=expected {
            let total = suspicion_total(shortest, longest, expected, confirmations);
            prop_assert!(total >= shortest && total <= last);
            last = total;
        }
        prop_assert_eq!(last, shortest);
    }
}

/// Something done to a queue.
#[derive(Debug, Clone)]
enum QueueStep {
    Enqueue { key: Option<u8>, length: usize },
    Take { overhead: usize, limit: usize },
    Prune { keep: usize },
}

fn any_queue_step() -> impl Strategy<Value = QueueStep> {
    prop_oneof![
        4 => (proptest::option::of(0..4_u8), 2..60_usize).prop_map(|(key, length)| QueueStep::Enqueue { key, length }),
        4 => (0..4_usize, 0..200_usize).prop_map(|(overhead, limit)| QueueStep::Take { overhead, limit }),
        1 => (0..6_usize).prop_map(|keep| QueueStep::Prune { keep }),
    ]
}

/// The naive queue: message number, key, length, transmissions.
type Entry = (u16, Option<u8>, usize, usize);

fn message(number: u16, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Bytes::from(bytes)
}

/// Takes from the naive queue as the rule says: tier by tier, the longest that fits, the newest of those.
fn take_naively(entries: &mut Vec<Entry>, overhead: usize, limit: usize, most: usize) -> Vec<u16> {
    let (mut used, mut taken) = (0, Vec::new());
    let mut held = Vec::new();
    loop {
        let fits = |entry: &&Entry| used + overhead + entry.2 <= limit;
        let best = entries.iter().filter(fits).max_by_key(|entry| (usize::MAX - entry.3, entry.2, entry.0)).copied();
        let Some(best) = best else { break };
        entries.retain(|entry| entry.0 != best.0);
        used += overhead + best.2;
        taken.push(best.0);
        if best.3 + 1 < most {
            held.push((best.0, best.1, best.2, best.3 + 1));
        }
    }
    entries.extend(held);
    taken
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queue_does_what_the_naive_queue_does(nodes in 0..30_usize, steps in vec(any_queue_step(), 1..60)) {
        let mut queue = TransmitLimitedQueue::new(2);
        let most = retransmit_limit(2, nodes);
        let mut entries: Vec<Entry> = Vec::new();
        let (mut queued, mut finished) = (0_u16, BTreeSet::new());
        for step in steps {
            match step {
                QueueStep::Enqueue { key, length } => {
                    queued += 1;
                    let text = key.map(|key| format!("key-{key}").into());
                    queue.enqueue(text, message(queued, length), Some(BroadcastId(u64::from(queued))));
                    entries.retain(|entry| key.is_none() || entry.1 != key);
                    entries.push((queued, key, length, 0));
                }
                QueueStep::Take { overhead, limit } => {
                    let taken = queue.take(overhead, limit, nodes);
                    prop_assert!(taken.iter().map(|message| message.len() + overhead).sum::<usize>() <= limit);
                    let numbers: Vec<u16> =
                        taken.iter().map(|message| u16::from_be_bytes([message[0], message[1]])).collect();
                    prop_assert_eq!(numbers, take_naively(&mut entries, overhead, limit, most));
                }
                QueueStep::Prune { keep } => {
                    entries.sort_by_key(|entry| (entry.3, usize::MAX - entry.2, u16::MAX - entry.0));
                    let dropped = entries.len().saturating_sub(keep);
                    entries.truncate(keep);
                    prop_assert_eq!(queue.prune(keep), dropped);
                }
            }
            for id in queue.drain_finished() {
                prop_assert!(finished.insert(id), "an end is told once");
            }
            prop_assert_eq!(queue.len(), entries.len());
            prop_assert_eq!(finished.len() + queue.len(), usize::from(queued), "everything waits or has ended");
        }
    }

    #[test]
    fn timers_do_what_a_naive_table_does(steps in vec((0..6_u8, 0..50_u64, 0..3_u8), 1..80)) {
        let at = |millisecond: u64| Instant::from_epoch(Duration::from_millis(millisecond));
        let mut timers = Timers::new();
        let mut naive: BTreeMap<u8, u64> = BTreeMap::new();
        for (key, millisecond, action) in steps {
            match action {
                0 => {
                    timers.set(key, at(millisecond));
                    naive.insert(key, millisecond);
                }
                1 => {
                    timers.cancel(&key);
                    naive.remove(&key);
                }
                _ => {
                    let due = naive.iter().map(|(key, at)| (*at, *key)).min().filter(|(at, _)| *at <= millisecond);
                    prop_assert_eq!(timers.pop_due(at(millisecond)), due.map(|(_, key)| key));
                    due.map(|(_, key)| naive.remove(&key));
                }
            }
            let first = naive.iter().map(|(key, at)| (*at, *key)).min();
            prop_assert_eq!(timers.next().map(|(at, key)| (at, *key)), first.map(|(time, key)| (at(time), key)));
            prop_assert_eq!(timers.len(), naive.len());
        }
    }
}
