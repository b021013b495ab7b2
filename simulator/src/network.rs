//! The network between the nodes: packets that are lost, late or doubled, streams that keep their order, partitions.
//!
//! It knows nodes by number only and decides what arrives when; handing it over is done by `world.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::{Instant, StreamId};

use crate::options::Links;
use crate::random::Random;

/// A piece of what a stream delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The dial succeeded.
    Connected,
    /// Bytes.
    Bytes(Bytes),
    /// The other side is done.
    Finished,
    /// The stream is gone.
    Failed(String),
}

/// A connection, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// Which end of a connection: the one that dialled or the one that accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Dialled.
    Dialler,
    /// Accepted.
    Acceptor,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// One end of a connection, with what is on its way to it.
#[derive(Debug, Clone)]
struct End {
    node: usize,
    /// `None`: not accepted yet.
    stream: Option<StreamId>,
    open: bool,
    arriving: VecDeque<(Instant, Segment)>,
}

#[derive(Debug, Clone)]
struct Connection {
    dialler: End,
    acceptor: End,
}

impl Connection {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Acceptor => &mut self.acceptor,
        }
    }
}

/// What a pump finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pumped {
    /// Hand this over, then pump again.
    Deliver {
        /// To whom.
        node: usize,
        /// On which stream.
        stream: StreamId,
        /// What.
        segment: Segment,
    },
    /// Pump again then.
    Wait(Instant),
    /// Nothing is on its way.
    Idle,
}

/// All links and streams.
#[derive(Debug, Clone)]
pub struct Network {
    links: Links,
    /// The part of the network each node is in; nodes of different parts hear nothing of one another.
    parts: BTreeMap<usize, usize>,
    connections: BTreeMap<ConnectionId, Connection>,
    streams: BTreeMap<(usize, StreamId), (ConnectionId, Side)>,
    next: u64,
}

impl Network {
    /// A whole network without streams.
    pub fn new(links: Links) -> Self {
        Self { links, parts: BTreeMap::new(), connections: BTreeMap::new(), streams: BTreeMap::new(), next: 0 }
    }

    /// Changes the quality of all links.
    pub fn set_links(&mut self, links: Links) {
        self.links = links;
    }

    /// Cuts the network into parts; nodes that are in none make one more.
    pub fn partition(&mut self, parts: &[BTreeSet<usize>]) {
        self.parts.clear();
        for (part, nodes) in parts.iter().enumerate() {
            self.parts.extend(nodes.iter().map(|&node| (node, part)));
        }
    }

    /// Makes it whole again.
    pub fn heal(&mut self) {
        self.parts.clear();
    }

    /// Whether what one sends can reach the other.
    pub fn connected(&self, one: usize, other: usize) -> bool {
        self.parts.get(&one) == self.parts.get(&other)
    }

    /// When the copies of a packet arrive: usually one, none if it is lost.
    pub fn packet_arrivals(&self, now: Instant, from: usize, to: usize, random: &mut Random) -> Vec<Instant> {
        if !self.connected(from, to) || random.chance(self.links.loss_per_mille) {
            return Vec::new();
        }
        let copies = if random.chance(self.links.duplicates_per_mille) { 2 } else { 1 };
        (0..copies).map(|_| self.arrival(now, random)).collect()
    }

    /// One way from now.
    pub fn arrival(&self, now: Instant, random: &mut Random) -> Instant {
        now.after(random.between(self.links.delay_least, self.links.delay_most))
    }

    /// A node dials another.
    pub fn dial(&mut self, node: usize, stream: StreamId, to: usize) -> ConnectionId {
        let id = ConnectionId(self.next);
        self.next += 1;
        let end = |node, stream| End { node, stream, open: true, arriving: VecDeque::new() };
        self.connections.insert(id, Connection { dialler: end(node, Some(stream)), acceptor: end(to, None) });
        self.streams.insert((node, stream), (id, Side::Dialler));
        id
    }

    /// Who dials and who is dialled, while the dial is wanted.
    pub fn dialled(&self, id: ConnectionId) -> Option<(usize, usize)> {
        let connection = self.connections.get(&id)?;
        connection.dialler.open.then_some((connection.dialler.node, connection.acceptor.node))
    }

    /// The dialled node has accepted under this name.
    pub fn accept(&mut self, id: ConnectionId, stream: StreamId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.acceptor.stream = Some(stream);
            self.streams.insert((connection.acceptor.node, stream), (id, Side::Acceptor));
        }
    }

    /// Puts a segment on its way to one end. It overtakes nothing. Returns when to pump.
    pub fn push(&mut self, id: ConnectionId, side: Side, at: Instant, segment: Segment) -> Option<Instant> {
        let end = self.connections.get_mut(&id)?.end(side);
        if !end.open {
            return None;
        }
        let at = end.arriving.back().map_or(at, |&(last, _)| last.max(at));
        end.arriving.push_back((at, segment));
        Some(at)
    }

    /// A node writes. Returns which end to pump when.
    pub fn write(
        &mut self,
        now: Instant,
        node: usize,
        stream: StreamId,
        bytes: Bytes,
        random: &mut Random,
    ) -> Option<(ConnectionId, Side, Instant)> {
        let &(id, side) = self.streams.get(&(node, stream))?;
        let at = self.arrival(now, random);
        let peer_open = self.connections.get_mut(&id).is_some_and(|connection| connection.end(side.other()).open);
        if peer_open {
            self.push(id, side.other(), at, Segment::Bytes(bytes)).map(|at| (id, side.other(), at))
        } else {
            let segment = Segment::Failed("write tcp: broken pipe".to_string());
            self.push(id, side, at, segment).map(|at| (id, side, at))
        }
    }

    /// A node closes, or crashes (`reset`). Returns which end to pump when.
    pub fn close(
        &mut self,
        now: Instant,
        node: usize,
        stream: StreamId,
        reset: bool,
        random: &mut Random,
    ) -> Option<(ConnectionId, Side, Instant)> {
        let (id, side) = self.streams.remove(&(node, stream))?;
        let at = self.arrival(now, random);
        let connection = self.connections.get_mut(&id)?;
        let end = connection.end(side);
        end.open = false;
        end.arriving.clear();
        let peer = connection.end(side.other());
        if !peer.open || peer.stream.is_none() {
            self.connections.remove(&id);
            return None;
        }
        let segment =
            if reset { Segment::Failed("read tcp: connection reset by peer".to_string()) } else { Segment::Finished };
        self.push(id, side.other(), at, segment).map(|at| (id, side.other(), at))
    }

    /// The streams of a node.
    pub fn streams_of(&self, node: usize) -> Vec<StreamId> {
        self.streams.keys().filter(|&&(owner, _)| owner == node).map(|&(_, stream)| stream).collect()
    }

    /// What is next for one end. Lost pieces are sent again until they arrive: a partition only holds them up.
    pub fn pump(&mut self, now: Instant, id: ConnectionId, side: Side) -> Pumped {
        let Some(connection) = self.connections.get_mut(&id) else { return Pumped::Idle };
        let (dialler, acceptor) = (connection.dialler.node, connection.acceptor.node);
        let whole = self.parts.get(&dialler) == self.parts.get(&acceptor);
        let end = connection.end(side);
        let (Some(stream), Some(&(at, _))) = (end.stream, end.arriving.front()) else { return Pumped::Idle };
        if at > now {
            return Pumped::Wait(at);
        }
        if !whole {
            return Pumped::Wait(now.after(RETRANSMISSION));
        }
        let node = end.node;
        let Some((_, segment)) = end.arriving.pop_front() else { return Pumped::Idle };
        if matches!(segment, Segment::Failed(_)) {
            // The stream is gone: nothing more arrives, and nobody will close it.
            end.open = false;
            self.streams.remove(&(node, stream));
            let accepted = connection.acceptor.open && connection.acceptor.stream.is_some();
            if !connection.dialler.open && !accepted {
                self.connections.remove(&id);
            }
        }
        Pumped::Deliver { node, stream, segment }
    }
}

/// Time until TCP tries again what did not arrive (Linux starts with about this).
pub const RETRANSMISSION: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn open_stream(network: &mut Network) -> ConnectionId {
        let id = network.dial(0, StreamId(1), 1);
        network.accept(id, StreamId(7));
        id
    }

    #[test]
    fn stream_keeps_its_order_whatever_the_delays() {
        let mut network = Network::new(Links { delay_most: Duration::from_millis(50), ..Links::quiet() });
        let mut random = Random::new(1);
        let id = open_stream(&mut network);
        for number in 0..20_u8 {
            network.write(at(0), 0, StreamId(1), Bytes::from(vec![number]), &mut random);
        }
        for number in 0..20_u8 {
            let expected = Segment::Bytes(Bytes::from(vec![number]));
            let pumped = network.pump(at(60), id, Side::Acceptor);
            assert_eq!(pumped, Pumped::Deliver { node: 1, stream: StreamId(7), segment: expected });
        }
    }

    #[test]
    fn partition_loses_packets_and_holds_streams_up() {
        let mut network = Network::new(Links::quiet());
        let mut random = Random::new(1);
        let id = open_stream(&mut network);
        network.write(at(0), 0, StreamId(1), Bytes::from_static(b"x"), &mut random);
        network.partition(&[BTreeSet::from([0])]);
        assert!(network.packet_arrivals(at(0), 0, 1, &mut random).is_empty());
        assert_eq!(network.pump(at(10), id, Side::Acceptor), Pumped::Wait(at(210)));
        network.heal();
        assert_eq!(network.packet_arrivals(at(0), 0, 1, &mut random).len(), 1);
        assert!(matches!(network.pump(at(210), id, Side::Acceptor), Pumped::Deliver { node: 1, .. }));
    }

    #[test]
    fn loss_and_duplication_follow_their_rates() {
        let links = Links { loss_per_mille: 200, duplicates_per_mille: 100, ..Links::quiet() };
        let network = Network::new(links);
        let mut random = Random::new(3);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[network.packet_arrivals(at(0), 0, 1, &mut random).len()] += 1;
        }
        assert!((1_800..2_200).contains(&counts[0]) && (700..900).contains(&counts[2]), "{counts:?}");
    }

    #[test]
    fn writing_to_a_closed_stream_fails() {
        let mut network = Network::new(Links::quiet());
        let mut random = Random::new(1);
        let id = open_stream(&mut network);
        network.close(at(0), 1, StreamId(7), false, &mut random);
        network.write(at(0), 0, StreamId(1), Bytes::from_static(b"x"), &mut random);
        let mut seen = Vec::new();
        while let Pumped::Deliver { segment, .. } = network.pump(at(60), id, Side::Dialler) {
            seen.push(segment);
        }
        assert_eq!(seen, [Segment::Finished, Segment::Failed("write tcp: broken pipe".to_string())]);
    }

    #[test]
    fn crash_resets_the_other_end() {
        let mut network = Network::new(Links::quiet());
        let mut random = Random::new(1);
        let id = open_stream(&mut network);
        network.close(at(0), 1, StreamId(7), true, &mut random);
        let pumped = network.pump(at(60), id, Side::Dialler);
        assert!(matches!(pumped, Pumped::Deliver { node: 0, segment: Segment::Failed(_), .. }), "{pumped:?}");
    }
}
