//! A cluster of engines under one virtual clock: packets take a millisecond, streams are reliable, nodes can be cut off.

#![allow(dead_code, reason = "each test file uses its own part of the harness")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a harness that fails is a failed test")]

pub mod messages;
pub mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::{
    Completion, Config, Event, Instant, Io, JoinTarget, MemberEventKind, MemberStatus, NodeName, OldEvents,
    OperationId, Output, QueryAnswer, QueryKey, Record, Serf, StreamId, StreamInput, Text, memberlist,
};

/// One engine and everything it said.
pub struct Node {
    pub serf: Serf,
    pub address: SocketAddr,
    pub events: Vec<Event>,
    pub deliveries: Vec<Event>,
    pub answers: Vec<(QueryKey, QueryAnswer)>,
    pub completed: Vec<(OperationId, Completion)>,
    pub records: Vec<Record>,
    pub keyring_changes: usize,
    /// Key queries that wait until the keys are kept.
    pub unkept: Vec<QueryKey>,
    pub conflict_lost: Option<(usize, usize)>,
    pub sent: Vec<(SocketAddr, Bytes)>,
    up: bool,
}

enum Delivery {
    Packet { from: SocketAddr, to: SocketAddr, bytes: Bytes },
    Dial { from: SocketAddr, stream: StreamId, to: SocketAddr },
    Bytes { to: SocketAddr, stream: StreamId, bytes: Bytes },
    Finished { to: SocketAddr, stream: StreamId },
    Refused { to: SocketAddr, stream: StreamId, peer: SocketAddr },
}

pub struct World {
    pub now: Instant,
    pub nodes: BTreeMap<SocketAddr, Node>,
    on_the_way: BTreeMap<(Instant, u64), Delivery>,
    sequence: u64,
    peers: BTreeMap<(SocketAddr, StreamId), (SocketAddr, StreamId)>,
    /// Pairs that cannot reach one another.
    cut: BTreeSet<(SocketAddr, SocketAddr)>,
}

pub fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7946))
}

pub fn name(text: &str) -> NodeName {
    NodeName(Text::from(text))
}

/// The agent's settings over the local profile, without coalescing and compression.
pub fn config(node: &str, number: u8) -> Config {
    let mut gossip = memberlist::Config::local(name(node), address(number));
    gossip.enable_compression = false;
    let mut config = Config::agent(gossip);
    config.coalesce_period = Duration::ZERO;
    config.user_coalesce_period = Duration::ZERO;
    config
}

/// A user message as memberlist carries it.
pub fn packet(message: &[u8]) -> Vec<u8> {
    let mut packet = vec![8];
    packet.extend_from_slice(message);
    packet
}

impl World {
    pub fn new() -> Self {
        Self {
            now: Instant::EPOCH.after(Duration::from_secs(1)),
            nodes: BTreeMap::new(),
            on_the_way: BTreeMap::new(),
            sequence: 0,
            peers: BTreeMap::new(),
            cut: BTreeSet::new(),
        }
    }

    /// Nodes `n1`, `n2`, ... that have all joined the first, and have settled.
    pub fn cluster(size: u8) -> Self {
        Self::cluster_of(size, |_| {})
    }

    pub fn cluster_of(size: u8, adjust: impl Fn(&mut Config)) -> Self {
        let mut world = Self::new();
        for number in 1..=size {
            let mut config = config(&format!("n{number}"), number);
            adjust(&mut config);
            world.start(number, config);
            if number > 1 {
                world.join(number, 1);
            }
        }
        world.until("everybody knows everybody", |world| {
            world.nodes.values().all(|node| {
                node.serf.members().filter(|member| member.status == MemberStatus::Alive).count() == usize::from(size)
            })
        });
        world.run(Duration::from_secs(3));
        world
    }

    pub fn start(&mut self, number: u8, config: Config) {
        let serf = Serf::new(config, self.now, [number; 32]).unwrap();
        let node = Node {
            serf,
            address: address(number),
            events: Vec::new(),
            deliveries: Vec::new(),
            answers: Vec::new(),
            completed: Vec::new(),
            records: Vec::new(),
            keyring_changes: 0,
            unkept: Vec::new(),
            conflict_lost: None,
            sent: Vec::new(),
            up: true,
        };
        self.nodes.insert(address(number), node);
        self.collect(address(number));
    }

    pub fn node(&self, number: u8) -> &Node {
        &self.nodes[&address(number)]
    }

    pub fn serf(&self, number: u8) -> &Serf {
        &self.node(number).serf
    }

    /// Does something with a node and carries out what it says.
    pub fn with<T>(&mut self, number: u8, act: impl FnOnce(&mut Serf, Instant) -> T) -> T {
        let now = self.now;
        let result = act(&mut self.nodes.get_mut(&address(number)).unwrap().serf, now);
        self.collect(address(number));
        result
    }

    /// A Serf message reaches a node by packet.
    pub fn inject(&mut self, number: u8, message: &[u8]) {
        let packet = packet(message);
        self.with(number, |serf, now| serf.handle_packet(now, address(250), &packet)).unwrap();
    }

    pub fn join(&mut self, number: u8, to: u8) -> OperationId {
        self.join_with(number, to, OldEvents::Replay)
    }

    pub fn join_with(&mut self, number: u8, to: u8, old_events: OldEvents) -> OperationId {
        let targets = vec![JoinTarget { name: None, address: address(to) }];
        let operation = self.with(number, |serf, now| serf.join(now, targets, old_events)).unwrap();
        self.until("the join ends", |world| world.completion(number, operation).is_some());
        operation
    }

    /// The process dies without a word.
    pub fn kill(&mut self, number: u8) {
        self.nodes.get_mut(&address(number)).unwrap().up = false;
    }

    pub fn cut(&mut self, one: u8, two: u8) {
        self.cut.insert((address(one), address(two)));
        self.cut.insert((address(two), address(one)));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn status(&self, at: u8, of: &str) -> MemberStatus {
        let wanted = name(of);
        let found = self.serf(at).members().find(|member| member.name == wanted).map(|member| member.status);
        found.unwrap_or(MemberStatus::None)
    }

    pub fn completion(&self, number: u8, operation: OperationId) -> Option<&Completion> {
        let mut completed = self.node(number).completed.iter();
        completed.find(|(id, _)| *id == operation).map(|(_, completion)| completion)
    }

    /// Kinds of member events about one name, in order.
    pub fn member_events(&self, at: u8, of: &str) -> Vec<MemberEventKind> {
        kinds(&self.node(at).events, of)
    }

    /// Names of user events that were told as facts, in order.
    pub fn user_events(&self, at: u8) -> Vec<String> {
        let events = self.node(at).events.iter();
        events
            .filter_map(|event| match event {
                Event::User(event) => Some(event.name.to_string()),
                Event::Members(_) | Event::Query(_) => None,
            })
            .collect()
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until a condition holds; fails after five virtual minutes.
    pub fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = self.now.after(Duration::from_secs(300));
        while !condition(self) {
            assert!(self.step(end), "never: {what}");
        }
    }

    /// Does the next thing that is due before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let timers = self
            .nodes
            .values()
            .filter(|node| node.up)
            .filter_map(|node| node.serf.poll_timeout().map(|(at, _)| (at, node.address)));
        let timer = timers.min();
        let delivery = self.on_the_way.keys().next().map(|(at, _)| *at);
        let (at, packet_first) = match (timer, delivery) {
            (Some((timer, _)), Some(delivery)) => (timer.min(delivery), delivery <= timer),
            (Some((timer, _)), None) => (timer, false),
            (None, Some(delivery)) => (delivery, true),
            (None, None) => return false,
        };
        if at > end {
            return false;
        }
        self.now = self.now.max(at);
        if packet_first {
            let (_, delivery) = self.on_the_way.pop_first().unwrap();
            self.deliver(delivery);
        } else if let Some((_, address)) = timer {
            let now = self.now;
            self.nodes.get_mut(&address).unwrap().serf.handle_timeout(now);
            self.collect(address);
        }
        true
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Packet { from, to, bytes } => {
                let now = self.now;
                if self.reachable(from, to) {
                    let _ = self.nodes.get_mut(&to).unwrap().serf.handle_packet(now, from, &bytes);
                    self.collect(to);
                }
            }
            Delivery::Dial { from, stream, to } => {
                if !self.reachable(from, to) {
                    self.send(Delivery::Refused { to: from, stream, peer: to });
                    return;
                }
                let accepted = self.nodes.get_mut(&to).unwrap().serf.accept_id();
                self.peers.insert((from, stream), (to, accepted));
                self.peers.insert((to, accepted), (from, stream));
                self.input(to, accepted, StreamInput::Accepted { from });
                self.input(from, stream, StreamInput::Connected);
            }
            Delivery::Bytes { to, stream, bytes } => self.input(to, stream, StreamInput::Bytes(&bytes)),
            Delivery::Finished { to, stream } => self.input(to, stream, StreamInput::Finished),
            Delivery::Refused { to, stream, peer } => {
                let reason = format!("dial tcp {peer}: connect: connection refused");
                self.input(to, stream, StreamInput::Failed { reason: &reason });
            }
        }
    }

    fn input(&mut self, to: SocketAddr, stream: StreamId, input: StreamInput<'_>) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(&to).filter(|node| node.up) {
            node.serf.handle_stream(now, stream, input);
            self.collect(to);
        }
    }

    fn reachable(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let up = |address| self.nodes.get(&address).is_some_and(|node| node.up);
        up(from) && up(to) && !self.cut.contains(&(from, to))
    }

    fn send(&mut self, delivery: Delivery) {
        self.sequence += 1;
        self.on_the_way.insert((self.now.after(Duration::from_millis(1)), self.sequence), delivery);
    }

    fn collect(&mut self, from: SocketAddr) {
        while let Some(output) = self.nodes.get_mut(&from).unwrap().serf.poll_output() {
            let node = self.nodes.get_mut(&from).unwrap();
            match output {
                Output::Io(io) => {
                    if node.up {
                        self.perform(from, io);
                    }
                }
                Output::Event(event) => node.events.push(event),
                Output::Delivery(event) => node.deliveries.push(event),
                Output::Answer { query, answer } => node.answers.push((query, answer)),
                Output::Completed { operation, completion } => node.completed.push((operation, completion)),
                Output::NameConflictLost { matching, responses } => {
                    node.conflict_lost = Some((matching, responses));
                    node.up = false;
                }
                Output::KeyringChanged { waiting } => {
                    node.keyring_changes += 1;
                    node.unkept.extend(waiting);
                }
                Output::Record(record) => node.records.push(record),
            }
        }
    }

    fn perform(&mut self, from: SocketAddr, io: Io) {
        match io {
            Io::Packet { to, bytes } => {
                self.nodes.get_mut(&from).unwrap().sent.push((to, bytes.clone()));
                self.send(Delivery::Packet { from, to, bytes });
            }
            Io::Connect { stream, to } => self.send(Delivery::Dial { from, stream, to }),
            Io::Write { stream, bytes } => {
                if let Some(&(to, stream)) = self.peers.get(&(from, stream)) {
                    self.send(Delivery::Bytes { to, stream, bytes });
                }
            }
            Io::Close { stream } => {
                if let Some((to, stream)) = self.peers.remove(&(from, stream)) {
                    self.send(Delivery::Finished { to, stream });
                }
            }
        }
    }
}

/// Kinds of member events about one name, in order.
pub fn kinds(events: &[Event], of: &str) -> Vec<MemberEventKind> {
    let wanted = name(of);
    let mut kinds = Vec::new();
    for event in events {
        if let Event::Members(event) = event
            && event.members.iter().any(|member| member.name == wanted)
        {
            kinds.push(event.kind);
        }
    }
    kinds
}

/// Two nodes that have met, and say nothing more by themselves.
pub fn quiet_pair() -> World {
    World::cluster_of(2, |config| {
        config.memberlist.gossip_interval = Duration::ZERO;
        config.memberlist.probe_interval = Duration::ZERO;
        config.memberlist.push_pull_interval = Duration::ZERO;
    })
}

/// Memberlist's word that `node` is dead, said by `from`; by the node itself it is a farewell.
pub fn dead(node: &str, from: &str) -> Vec<u8> {
    let mut message = b"\x05\x83\xa4From".to_vec();
    push_text(&mut message, from);
    message.extend_from_slice(b"\xabIncarnation\x7f\xa4Node");
    push_text(&mut message, node);
    message
}

/// Memberlist's word that `node` is alive at the address of `number`.
pub fn alive(node: &str, number: u8) -> Vec<u8> {
    let SocketAddr::V4(address) = address(number) else { unreachable!("nodes have IPv4 addresses") };
    let mut message = b"\x04\x86\xa4Addr\xa4".to_vec();
    message.extend_from_slice(&address.ip().octets());
    message.extend_from_slice(b"\xabIncarnation\x01\xa4Meta\xa2\xff\x80\xa4Node");
    push_text(&mut message, node);
    message.extend_from_slice(b"\xa4Port\xcd");
    message.extend_from_slice(&address.port().to_be_bytes());
    message.extend_from_slice(b"\xa3Vsn\xa6\x01\x05\x02\x02\x05\x05");
    message
}

fn push_text(message: &mut Vec<u8>, text: &str) {
    message.push(0xa0 | u8::try_from(text.len()).unwrap());
    message.extend_from_slice(text.as_bytes());
}
