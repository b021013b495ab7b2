//! A few engines in one thread, with a virtual clock and a network of one millisecond: what a cluster does as a whole.
//! The simulator of the workspace does the same with faults and thousands of nodes; this is the smallest that shows it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_memberlist::{
    BroadcastId, Config, Event, Host, Instant, Io, JoinTarget, Keyring, Member, Memberlist, NodeName, Output, Refusal,
    StreamId, StreamInput,
};

const LATENCY: Duration = Duration::from_millis(1);

/// A host with meta data, messages to gossip and a state to exchange.
#[derive(Default)]
struct Application {
    meta: Bytes,
    broadcasts: Vec<Bytes>,
    state: Bytes,
}

impl Host for Application {
    fn meta(&self, _limit: usize) -> Bytes {
        self.meta.clone()
    }

    fn broadcasts(&mut self, _now: Instant, overhead: usize, limit: usize) -> Vec<Bytes> {
        // One at a time, so that the peers of a gossip round get one each.
        let fits = self.broadcasts.last().is_some_and(|message| overhead + message.len() <= limit);
        if fits { self.broadcasts.pop().into_iter().collect() } else { Vec::new() }
    }

    fn local_state(&self, _join: bool) -> Bytes {
        self.state.clone()
    }

    fn ack_payload(&self) -> Bytes {
        Bytes::from_static(b"coordinate")
    }

    fn accept_member(&self, _member: &Member) -> Result<(), Refusal> {
        Ok(())
    }

    fn accept_merge(&self, _peers: &[Member]) -> Result<(), Refusal> {
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// Stopped: what arrives waits.
    Paused,
    Off,
}

struct Node {
    engine: Memberlist,
    application: Application,
    address: SocketAddr,
    power: Power,
    /// What it reported, in words.
    log: Vec<String>,
    finished: Vec<BroadcastId>,
    /// The other end of each open stream.
    peers: BTreeMap<StreamId, (usize, StreamId)>,
    packets_dropped: bool,
}

enum Arrival {
    Packet { from: SocketAddr, bytes: Bytes },
    Accepted { stream: StreamId, from: SocketAddr },
    Connected { stream: StreamId },
    Refused { stream: StreamId },
    Bytes { stream: StreamId, bytes: Bytes },
    Finished { stream: StreamId },
}

struct Cluster {
    nodes: Vec<Node>,
    now: Instant,
    arrivals: BTreeMap<(Instant, u64), (usize, Arrival)>,
    sent: u64,
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 22, u8::try_from(number + 1).unwrap()], 7946))
}

fn name(number: usize) -> NodeName {
    NodeName(format!("node-{number}").into())
}

fn lan(number: usize) -> Config {
    Config { delegate_versions: (2, 5, 5), ..Config::lan(name(number), address(number)) }
}

impl Cluster {
    /// Nodes that do not know one another yet.
    fn new(configs: impl IntoIterator<Item = Config>) -> Self {
        let mut cluster = Self { nodes: Vec::new(), now: Instant::EPOCH, arrivals: BTreeMap::new(), sent: 0 };
        for config in configs {
            cluster.start(config);
        }
        cluster
    }

    /// `count` nodes of the LAN profile, all joined to the first, and everybody known to everybody.
    fn joined(count: usize, configure: impl Fn(Config) -> Config) -> Self {
        let mut cluster = Self::new((0..count).map(|number| configure(lan(number))));
        for number in 1..count {
            cluster.join(number, 0);
        }
        cluster.run(Duration::from_secs(3));
        for node in &cluster.nodes {
            assert_eq!(node.engine.alive_count(), count, "at {}", node.address);
        }
        for node in &mut cluster.nodes {
            node.log.clear();
        }
        cluster
    }

    fn start(&mut self, config: Config) -> usize {
        let number = self.nodes.len();
        let ip = config.advertise_address.ip().expect("an address");
        let address = SocketAddr::new(ip, config.advertise_port);
        let mut application = Application { meta: Bytes::from(format!("meta-{number}")), ..Application::default() };
        let seed = [u8::try_from(number).unwrap() + 1; 32];
        let engine = Memberlist::new(config, self.now, seed, &mut application).expect("a sound configuration");
        self.nodes.push(Node {
            engine,
            application,
            address,
            power: Power::On,
            log: Vec::new(),
            finished: Vec::new(),
            peers: BTreeMap::new(),
            packets_dropped: false,
        });
        self.carry_out(number);
        number
    }

    fn join(&mut self, number: usize, to: usize) {
        let target = JoinTarget { name: None, address: self.nodes[to].address };
        let node = &mut self.nodes[number];
        node.engine.join(self.now, &target, &mut node.application);
        self.carry_out(number);
    }

    fn send(&mut self, to: usize, arrival: Arrival) {
        self.sent += 1;
        self.arrivals.insert((self.now.after(LATENCY), self.sent), (to, arrival));
    }

    /// The node that listens at an address; the last one started there.
    fn listener(&self, at: SocketAddr) -> Option<usize> {
        self.nodes.iter().rposition(|node| node.address == at && node.power != Power::Off)
    }

    fn carry_out(&mut self, number: usize) {
        while let Some(output) = self.nodes[number].engine.poll_output() {
            match output {
                Output::Event(event) => self.nodes[number].note(event),
                Output::Io(Io::Packet { to, bytes }) => {
                    let from = self.nodes[number].address;
                    if let Some(to) = self.listener(to).filter(|to| !self.nodes[*to].packets_dropped) {
                        self.send(to, Arrival::Packet { from, bytes });
                    }
                }
                Output::Io(Io::Connect { stream, to }) => self.connect(number, stream, to),
                Output::Io(Io::Write { stream, bytes }) => {
                    if let Some((to, stream)) = self.nodes[number].peers.get(&stream).copied() {
                        let middle = bytes.len() / 2;
                        self.send(to, Arrival::Bytes { stream, bytes: bytes.slice(..middle) });
                        self.send(to, Arrival::Bytes { stream, bytes: bytes.slice(middle..) });
                    }
                }
                Output::Io(Io::Close { stream }) => {
                    if let Some((to, stream)) = self.nodes[number].peers.remove(&stream) {
                        self.send(to, Arrival::Finished { stream });
                    }
                }
            }
        }
    }

    fn connect(&mut self, number: usize, stream: StreamId, to: SocketAddr) {
        let Some(to) = self.listener(to) else {
            self.send(number, Arrival::Refused { stream });
            return;
        };
        let accepted = self.nodes[to].engine.accept_id();
        self.nodes[to].peers.insert(accepted, (number, stream));
        self.nodes[number].peers.insert(stream, (to, accepted));
        let from = SocketAddr::new(self.nodes[number].address.ip(), 50_000);
        self.send(to, Arrival::Accepted { stream: accepted, from });
        self.send(number, Arrival::Connected { stream });
    }

    /// Lets time pass.
    fn run(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        loop {
            let running = self.nodes.iter().filter(|node| node.power == Power::On);
            let timeout = running.filter_map(|node| node.engine.poll_timeout()).map(|(at, _)| at).min();
            let arrival = self.arrivals.keys().next().map(|(at, _)| *at);
            let Some(next) = timeout.into_iter().chain(arrival).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Some((_, (to, arrival))) = self.arrivals.pop_first() else { break };
                self.deliver(to, arrival);
            } else {
                self.fire();
            }
        }
        self.now = end;
    }

    fn fire(&mut self) {
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            if node.power == Power::On && node.engine.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                node.engine.handle_timeout(self.now, &mut node.application);
                self.carry_out(number);
            }
        }
    }

    fn deliver(&mut self, to: usize, arrival: Arrival) {
        let node = &mut self.nodes[to];
        match node.power {
            Power::Off => return,
            Power::Paused => {
                // It waits in the kernel: look again in a while.
                self.sent += 1;
                let later = self.now.after(Duration::from_millis(100));
                self.arrivals.insert((later, self.sent), (to, arrival));
                return;
            }
            Power::On => {}
        }
        let host = &mut node.application;
        let mut stream_input = |stream, input| node.engine.handle_stream(self.now, stream, input, host);
        match arrival {
            Arrival::Packet { from, bytes } => {
                // A packet of another cluster is refused; that is what some tests are about.
                let _refused = node.engine.handle_packet(self.now, from, &bytes, host);
            }
            Arrival::Accepted { stream, from } => stream_input(stream, StreamInput::Accepted { from }),
            Arrival::Connected { stream } => stream_input(stream, StreamInput::Connected),
            Arrival::Refused { stream } => {
                stream_input(stream, StreamInput::Failed { reason: "connect: connection refused" });
            }
            Arrival::Bytes { stream, bytes } => stream_input(stream, StreamInput::Bytes(&bytes)),
            Arrival::Finished { stream } => {
                node.peers.remove(&stream);
                stream_input(stream, StreamInput::Finished);
            }
        }
        self.carry_out(to);
    }

    fn logs(&self, of: usize) -> &[String] {
        &self.nodes[of].log
    }

    /// Whether every other running node reported this.
    fn all_but(&self, but: usize, line: &str) -> bool {
        let others = self.nodes.iter().enumerate().filter(|(number, node)| *number != but && node.power == Power::On);
        others.map(|(_, node)| node).all(|node| node.log.iter().any(|seen| seen == line))
    }
}

impl Node {
    fn note(&mut self, event: Event) {
        let line = match event {
            Event::Joined(member) => format!("joined {}", member.name),
            Event::Updated(member) => format!("updated {} {}", member.name, String::from_utf8_lossy(&member.meta)),
            Event::Failed(member) => format!("failed {}", member.name),
            Event::Left(member) => format!("left {}", member.name),
            Event::NameConflict { known, claimed } => {
                format!("conflict {} {:?}", known.name, claimed.socket_address())
            }
            Event::UserMessage(payload) => format!("user {}", String::from_utf8_lossy(&payload)),
            Event::RemoteState { state, join } => format!("state {} {join}", String::from_utf8_lossy(&state)),
            Event::JoinFinished { result: Ok(()), .. } => "join ok".to_owned(),
            Event::JoinFinished { result: Err(error), .. } => error.to_string(),
            Event::BroadcastFinished { id } => {
                self.finished.push(id);
                return;
            }
            Event::PingCompleted { round_trip, payload, .. } => {
                assert_eq!((round_trip, payload.as_ref()), (LATENCY * 2, b"coordinate".as_slice()));
                return;
            }
        };
        self.log.push(line);
    }
}

#[test]
fn nodes_that_join_one_all_know_each_other() {
    let cluster = Cluster::joined(5, |config| config);
    for node in &cluster.nodes {
        let names: Vec<String> = node.engine.members().map(|member| member.name.to_string()).collect();
        assert_eq!(names, ["node-0", "node-1", "node-2", "node-3", "node-4"]);
        let metas: Vec<&[u8]> = node.engine.members().map(|member| member.meta.as_ref()).collect();
        assert_eq!(metas[3], b"meta-3");
    }
}

#[test]
fn sixteen_encrypted_nodes_joined_in_a_chain_all_know_each_other() {
    let keyring = Keyring::new(&[], &[5; 16]).unwrap();
    let mut cluster = Cluster::new((0..16).map(|number| Config { keyring: keyring.clone(), ..lan(number) }));
    for number in 1..16 {
        cluster.join(number, number - 1);
    }
    cluster.run(Duration::from_secs(5));
    let counts: Vec<usize> = cluster.nodes.iter().map(|node| node.engine.alive_count()).collect();
    assert_eq!(counts, [16; 16]);
}

#[test]
fn healthy_cluster_stays_quiet() {
    let mut cluster = Cluster::joined(4, |config| config);
    cluster.run(Duration::from_secs(300));
    for node in &cluster.nodes {
        assert_eq!((node.log.as_slice(), node.engine.health_score()), ([].as_slice(), 0));
        assert_eq!(node.engine.counters().probes_failed, 0);
    }
}

#[test]
fn join_of_nobody_fails_in_gos_words() {
    let mut cluster = Cluster::new([lan(0), lan(1)]);
    cluster.nodes[1].power = Power::Off;
    let target = JoinTarget { name: None, address: address(1) };
    let node = &mut cluster.nodes[0];
    node.engine.join(cluster.now, &target, &mut node.application);
    cluster.carry_out(0);
    cluster.run(Duration::from_secs(1));
    assert_eq!(cluster.logs(0)[1], "failed to join 127.0.22.2:7946: connect: connection refused");
}

#[test]
fn killed_node_is_failed_for_everybody_and_forgotten_later() {
    let mut cluster = Cluster::joined(3, |config| config);
    cluster.nodes[2].power = Power::Off;
    // Three members: no confirmations, 4 s of suspicion after at most 5 probe intervals.
    cluster.run(Duration::from_secs(11));
    assert!(cluster.all_but(2, "failed node-2"), "{:?} {:?}", cluster.logs(0), cluster.logs(1));
    assert_eq!((cluster.nodes[0].engine.alive_count(), cluster.nodes[0].engine.node_count()), (2, 3));
    cluster.run(Duration::from_secs(40));
    assert_eq!((cluster.nodes[0].engine.node_count(), cluster.nodes[1].engine.node_count()), (2, 2));
    assert_eq!(cluster.logs(0), ["failed node-2"]);
}

#[test]
fn paused_node_refutes_when_it_wakes_before_its_time() {
    let mut cluster = Cluster::joined(5, |config| config);
    cluster.nodes[4].power = Power::Paused;
    cluster.run(Duration::from_millis(4_500));
    let accused = cluster.nodes.iter().map(|node| node.engine.counters().suspect_messages).sum::<u64>();
    assert!(accused > 0, "somebody noticed");
    cluster.nodes[4].power = Power::On;
    cluster.run(Duration::from_secs(60));
    for (number, node) in cluster.nodes.iter().enumerate() {
        assert_eq!((node.log.as_slice(), node.engine.alive_count()), ([].as_slice(), 5), "node {number}");
    }
    assert!(cluster.nodes[4].engine.counters().refutations > 0);
}

#[test]
fn node_without_udp_is_kept_alive_over_tcp() {
    let mut cluster = Cluster::joined(3, |config| config);
    cluster.nodes[2].packets_dropped = true;
    cluster.run(Duration::from_secs(120));
    assert_eq!((cluster.logs(0).len(), cluster.logs(1).len()), (0, 0));
    assert!(cluster.nodes[0].engine.counters().streams_dialled > 10);
}

#[test]
fn leaving_node_is_left_for_everybody_and_its_farewell_ends() {
    let mut cluster = Cluster::joined(3, |config| config);
    let id = cluster.nodes[1].engine.leave(cluster.now).expect("others listen");
    cluster.carry_out(1);
    cluster.run(Duration::from_secs(2));
    assert!(cluster.all_but(1, "left node-1"));
    assert_eq!(cluster.nodes[1].finished, [id]);
    assert_eq!(cluster.nodes[1].engine.alive_count(), 2);
    cluster.nodes[1].power = Power::Off;
    cluster.run(Duration::from_secs(60));
    assert_eq!(cluster.logs(0), ["left node-1"], "left, never failed");
}

#[test]
fn changed_meta_and_user_messages_reach_everybody() {
    let mut cluster = Cluster::joined(4, |config| config);
    let node = &mut cluster.nodes[1];
    node.application.meta = Bytes::from_static(b"changed");
    let id = node.engine.update_meta(cluster.now, &mut node.application);
    node.application.broadcasts = vec![Bytes::from_static(b"hello"); 12];
    cluster.carry_out(1);
    cluster.run(Duration::from_secs(3));
    assert!(cluster.all_but(1, "updated node-1 changed"));
    assert!(cluster.all_but(1, "user hello"));
    assert_eq!(cluster.nodes[1].finished, id.into_iter().collect::<Vec<_>>());
}

#[test]
fn user_messages_arrive_directly_by_packet_and_by_stream() {
    let mut cluster = Cluster::joined(2, |config| config);
    let engine = &mut cluster.nodes[0].engine;
    engine.send_best_effort(cluster.now, address(1), Some(&name(1)), b"by packet");
    engine.send_reliable(cluster.now, address(1), b"by stream");
    cluster.carry_out(0);
    cluster.run(Duration::from_secs(1));
    assert_eq!(cluster.logs(1), ["user by packet", "user by stream"]);
}

#[test]
fn user_state_is_exchanged_both_ways_when_joining_and_at_times() {
    let mut cluster = Cluster::new([lan(0), lan(1)]);
    cluster.nodes[0].application.state = Bytes::from_static(b"zero");
    cluster.nodes[1].application.state = Bytes::from_static(b"one");
    cluster.join(1, 0);
    cluster.run(Duration::from_secs(1));
    assert_eq!(cluster.logs(1), ["joined node-1", "joined node-0", "state zero true", "join ok"]);
    assert_eq!(cluster.logs(0), ["joined node-0", "joined node-1", "state one true"]);
    cluster.run(Duration::from_secs(70));
    assert!(cluster.logs(0).iter().any(|line| line == "state one false"));
}

#[test]
fn encrypted_labelled_and_old_protocol_clusters_work() {
    let keyring = Keyring::new(&[], &[3; 32]).unwrap();
    let encrypted = |config| Config { keyring: keyring.clone(), ..config };
    let labelled = |config| Config { label: Bytes::from_static(b"blue"), ..encrypted(config) };
    let old = |config| Config { protocol_version: 1, ..encrypted(config) };
    let plain = |config| Config { enable_compression: false, ..config };
    for configure in [&encrypted as &dyn Fn(Config) -> Config, &labelled, &old, &plain] {
        let mut cluster = Cluster::joined(3, configure);
        cluster.nodes[0].power = Power::Off;
        cluster.run(Duration::from_secs(12));
        assert!(cluster.all_but(0, "failed node-0"));
        assert!(cluster.nodes.iter().all(|node| node.engine.counters().packets_refused == 0));
    }
}

#[test]
fn every_pair_of_protocol_versions_joins() {
    for (one, two) in [(1, 2), (2, 1), (2, 3), (3, 2), (2, 5), (5, 4)] {
        let configs = [Config { protocol_version: one, ..lan(0) }, Config { protocol_version: two, ..lan(1) }];
        let mut cluster = Cluster::new(configs);
        cluster.join(1, 0);
        cluster.run(Duration::from_secs(1));
        assert!(cluster.nodes.iter().all(|node| node.engine.alive_count() == 2), "{one} and {two}");
    }
}

#[test]
fn other_keys_and_other_labels_stay_outside() {
    let key = |byte| Keyring::new(&[], &[byte; 16]).unwrap();
    let outsiders = [
        (Config { keyring: key(2), ..lan(1) }, "no installed keys could decrypt the message"),
        (lan(1), "remote state is encrypted and encryption is not configured"),
        (Config { keyring: key(1), label: Bytes::from_static(b"red"), ..lan(1) }, "EOF"),
    ];
    for (outsider, reason) in outsiders {
        let mut cluster = Cluster::new([Config { keyring: key(1), ..lan(0) }, outsider]);
        cluster.join(1, 0);
        cluster.run(Duration::from_secs(30));
        assert!(cluster.nodes.iter().all(|node| node.engine.alive_count() == 1));
        let failure = &cluster.logs(1)[1];
        assert!(failure.starts_with("failed to join 127.0.22.1:7946: "), "{failure}");
        assert!(failure.contains(reason), "{failure}");
    }
}

#[test]
fn nodes_on_ipv6_join_and_probe_one_another() {
    let at = |last: u16| SocketAddr::from(([0xfd41, 0, 0, 0, 0, 0, 0, last], 7946));
    let mut cluster = Cluster::new([Config::lan(name(0), at(1)), Config::lan(name(1), at(2))]);
    cluster.join(1, 0);
    cluster.run(Duration::from_secs(60));
    for node in &cluster.nodes {
        assert_eq!((node.engine.alive_count(), node.engine.counters().probes_failed), (2, 0));
    }
    let known = cluster.nodes[0].engine.member(&name(1)).and_then(|member| member.socket_address());
    assert_eq!(known, Some(at(2)));
}

#[test]
fn encryption_is_switched_on_node_by_node_without_a_failure() {
    let keyring = Keyring::new(&[], &[6; 16]).unwrap();
    let encrypted = |number, gossip_verify_incoming, gossip_verify_outgoing| Config {
        keyring: keyring.clone(),
        gossip_verify_incoming,
        gossip_verify_outgoing,
        ..lan(number)
    };
    // Each stage of a roll-out beside the next one, and who joins whom both ways round.
    let stages = [
        |_: &dyn Fn(usize, bool, bool) -> Config, number| lan(number),
        |encrypted: &dyn Fn(usize, bool, bool) -> Config, number| encrypted(number, false, false),
        |encrypted: &dyn Fn(usize, bool, bool) -> Config, number| encrypted(number, false, true),
        |encrypted: &dyn Fn(usize, bool, bool) -> Config, number| encrypted(number, true, true),
    ];
    for pair in stages.windows(2) {
        for joiner in [0, 1] {
            let mut cluster = Cluster::new([pair[0](&encrypted, 0), pair[1](&encrypted, 1)]);
            cluster.join(joiner, 1 - joiner);
            cluster.run(Duration::from_secs(30));
            for node in &cluster.nodes {
                assert_eq!(node.engine.alive_count(), 2);
                assert!(!node.log.iter().any(|line| line.starts_with("failed")), "{:?}", node.log);
            }
        }
    }
}

#[test]
fn keys_rotate_without_a_failure() {
    let (old, new) = ([1; 16], [2; 16]);
    let keyring = Keyring::new(&[], &old).unwrap();
    let mut cluster = Cluster::joined(3, |config| Config { keyring: keyring.clone(), ..config });
    for step in ["install", "use", "remove"] {
        for number in 0..3 {
            let ring = cluster.nodes[number].engine.keyring_mut();
            match step {
                "install" => ring.install(&new).unwrap(),
                "use" => ring.use_key(&new).unwrap(),
                _ => ring.remove(&old).unwrap(),
            }
            cluster.run(Duration::from_secs(3));
        }
    }
    for node in &cluster.nodes {
        assert_eq!((node.log.len(), node.engine.counters().packets_refused), (0, 0));
    }
}

#[test]
fn crashed_node_returns_at_once_under_its_name() {
    let mut cluster = Cluster::joined(3, |config| config);
    cluster.nodes[2].power = Power::Off;
    let again = cluster.start(lan(2));
    cluster.join(again, 0);
    cluster.run(Duration::from_secs(5));
    assert!(cluster.nodes[again].engine.counters().refutations > 0, "it outbids its former life");
    assert_eq!(cluster.logs(0), ["updated node-2 meta-3"]);
    assert_eq!(cluster.logs(1), cluster.logs(0));
}

#[test]
fn crashed_node_returns_from_another_address_once_it_is_dead() {
    let mut cluster = Cluster::joined(3, |config| config);
    cluster.nodes[2].power = Power::Off;
    let moved = Config { name: name(2), ..lan(9) };
    let again = cluster.start(moved);
    cluster.join(again, 0);
    cluster.run(Duration::from_secs(1));
    assert!(cluster.logs(0).contains(&"conflict node-2 Some(127.0.22.10:7946)".to_owned()));
    cluster.run(Duration::from_secs(12));
    cluster.join(again, 0);
    cluster.run(Duration::from_secs(3));
    for number in [0, 1] {
        let log = cluster.logs(number);
        assert_eq!(log.last().unwrap(), "joined node-2", "{log:?}");
        assert!(log.contains(&"failed node-2".to_owned()), "{log:?}");
    }
}

#[test]
fn same_seeds_give_the_same_history() {
    let history = || {
        let mut cluster = Cluster::joined(4, |config| config);
        cluster.nodes[3].power = Power::Off;
        cluster.run(Duration::from_secs(40));
        let logs: Vec<Vec<String>> = cluster.nodes.iter().map(|node| node.log.clone()).collect();
        let counters: Vec<_> = cluster.nodes.iter().map(|node| node.engine.counters().clone()).collect();
        (logs, counters, cluster.sent)
    };
    assert_eq!(history(), history());
}
