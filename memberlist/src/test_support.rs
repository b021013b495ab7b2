//! For the unit tests of the engine's parts: a host, messages, and what came out.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    Alive, Config, Dead, Event, Host, Incarnation, Instant, Io, Member, Memberlist, Message, NodeName, NodeState,
    Output, PeerState, Refusal, Suspect, Versions, WireAddress, open,
};

/// A host that wants nothing unless told.
#[derive(Default)]
pub(crate) struct TestHost {
    pub(crate) meta: Bytes,
    pub(crate) broadcasts: Vec<Bytes>,
    pub(crate) state: Bytes,
    pub(crate) ack_payload: Bytes,
    pub(crate) refuse: Option<Refusal>,
}

impl Host for TestHost {
    fn meta(&self, _limit: usize) -> Bytes {
        self.meta.clone()
    }

    fn broadcasts(&mut self, _now: Instant, overhead: usize, limit: usize) -> Vec<Bytes> {
        let mut used = 0;
        let fitting = self.broadcasts.iter().take_while(|message| {
            used += overhead + message.len();
            used <= limit
        });
        let count = fitting.count();
        self.broadcasts.drain(..count).collect()
    }

    fn local_state(&self, _join: bool) -> Bytes {
        self.state.clone()
    }

    fn ack_payload(&self) -> Bytes {
        self.ack_payload.clone()
    }

    fn accept_member(&self, _member: &Member) -> Result<(), Refusal> {
        self.refuse.clone().map_or(Ok(()), Err)
    }

    fn accept_merge(&self, _peers: &[Member]) -> Result<(), Refusal> {
        self.refuse.clone().map_or(Ok(()), Err)
    }
}

pub(crate) fn at(milliseconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(milliseconds))
}

pub(crate) fn name(text: &str) -> NodeName {
    NodeName(text.into())
}

/// Address of the node with this name: `own` is 127.0.22.1, the others follow from their first letter.
pub(crate) fn address(name: &str) -> SocketAddr {
    let last = if name == "own" { 1 } else { name.as_bytes()[0] };
    SocketAddr::from(([127, 0, 22, last], 7946))
}

pub(crate) fn config() -> Config {
    Config { delegate_versions: (2, 5, 5), enable_compression: false, ..Config::lan(name("own"), address("own")) }
}

/// A node called `own` that has said its first alive.
pub(crate) fn node_with(config: Config) -> (Memberlist, TestHost) {
    let mut host = TestHost::default();
    let mut node = Memberlist::new(config, at(0), [9; 32], &mut host).expect("the configuration is sound");
    queued(&mut node);
    events(&mut node);
    (node, host)
}

pub(crate) fn node() -> (Memberlist, TestHost) {
    node_with(config())
}

/// As [`node`], and knows these as alive at incarnation 1, without broadcasts or outputs left.
pub(crate) fn node_knowing(names: &[&str]) -> (Memberlist, TestHost) {
    let (mut node, host) = node();
    for name in names {
        node.on_alive(at(0), alive(name, 1), &host);
    }
    queued(&mut node);
    events(&mut node);
    (node, host)
}

pub(crate) fn versions() -> Versions {
    config().versions()
}

pub(crate) fn alive(node: &str, incarnation: u32) -> Alive {
    Alive {
        address: WireAddress::from_ip(address(node).ip()),
        incarnation: Incarnation(incarnation),
        meta: None,
        node: name(node),
        port: 7946,
        versions: Some(versions()),
    }
}

pub(crate) fn suspect(node: &str, incarnation: u32, from: &str) -> Suspect {
    Suspect { from: name(from), incarnation: Incarnation(incarnation), node: name(node) }
}

pub(crate) fn dead(node: &str, incarnation: u32, from: &str) -> Dead {
    Dead { from: name(from), incarnation: Incarnation(incarnation), node: name(node) }
}

/// Everything that waits to be gossiped; the queue is empty afterwards.
pub(crate) fn queued(node: &mut Memberlist) -> Vec<Message> {
    let messages = node.queue.take(0, 1 << 24, 0);
    messages.iter().map(|message| Message::decode(message).expect("our own message")).collect()
}

/// The outputs so far, split into events (in words) and the rest.
pub(crate) fn outputs(node: &mut Memberlist) -> (Vec<String>, Vec<Io>) {
    let (mut events, mut rest) = (Vec::new(), Vec::new());
    while let Some(output) = node.poll_output() {
        match output {
            Output::Event(event) => events.push(in_words(&event)),
            Output::Io(io) => rest.push(io),
        }
    }
    (events, rest)
}

pub(crate) fn events(node: &mut Memberlist) -> Vec<String> {
    outputs(node).0
}

/// The datagrams sent so far, opened with our own keys.
pub(crate) fn packets(node: &mut Memberlist) -> Vec<(SocketAddr, Vec<Message>)> {
    let (_, rest) = outputs(node);
    let packets = rest.into_iter().filter_map(|io| match io {
        Io::Packet { to, bytes } => Some((to, bytes)),
        Io::Connect { .. } | Io::Write { .. } | Io::Close { .. } => None,
    });
    packets.map(|(to, bytes)| (to, open(&node.layers(), &bytes).expect("our own packet").messages)).collect()
}

fn in_words(event: &Event) -> String {
    match event {
        Event::Joined(member) => format!("joined {}", member.name),
        Event::Updated(member) => format!("updated {}", member.name),
        Event::Failed(member) => format!("failed {}", member.name),
        Event::Left(member) => format!("left {}", member.name),
        Event::NameConflict { known, claimed } => {
            let place =
                |member: &Member| member.socket_address().map(|address| address.to_string()).unwrap_or_default();
            format!("conflict {} {} {}", known.name, place(known), place(claimed))
        }
        Event::UserMessage(payload) => format!("user {}", String::from_utf8_lossy(payload)),
        Event::RemoteState { state, join } => format!("state {} {join}", String::from_utf8_lossy(state)),
        Event::PingCompleted { member, round_trip, payload } => {
            format!("ping {} {round_trip:?} {}", member.name, String::from_utf8_lossy(payload))
        }
        Event::JoinFinished { result: Ok(()), .. } => "join ok".to_owned(),
        Event::JoinFinished { result: Err(error), .. } => error.to_string(),
        Event::BroadcastFinished { id } => format!("finished {}", id.0),
    }
}

/// What is believed of a member: its incarnation and state.
pub(crate) fn belief(node: &Memberlist, of: &str) -> Option<(u32, PeerState)> {
    let state: Option<NodeState> = node.states().find(|state| state.name == name(of));
    state.map(|state| (state.incarnation.0, state.state))
}
