//! The member table: names, addresses, what we believe of whom, and the order in which members are probed.
//! Answers to Go's `nodeState`, `nodes` and `nodeMap` (`state.go`, `util.go`), spec 6 and 8.1.
//!
//! Not here: the rules that change a belief (`state.rs`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_wire::Text;

use crate::Instant;
use crate::messages::Incarnation;
use crate::random::Random;
use crate::suspicion::Suspicion;

/// A node's name: unique in its cluster, any bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NodeName(pub Text);

impl std::fmt::Display for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An IP address in the form a peer sent it: usually 4 or 16 bytes, kept and sent on byte for byte (spec 4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireAddress(Bytes);

impl WireAddress {
    /// Keeps `bytes` as they are.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// IPv4 in 4 bytes, IPv6 in 16.
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self(Bytes::copy_from_slice(&ip.octets())),
            IpAddr::V6(ip) => Self(Bytes::copy_from_slice(&ip.octets())),
        }
    }

    /// IPv4 in the 16-byte mapped form (what Go holds when bound to 0.0.0.0), IPv6 in 16.
    pub fn from_ip_mapped(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self(Bytes::copy_from_slice(&ip.to_ipv6_mapped().octets())),
            IpAddr::V6(ip) => Self(Bytes::copy_from_slice(&ip.octets())),
        }
    }

    /// As on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The address, with mapped IPv4 shortened; `None` unless it has 4 or 16 bytes.
    pub fn ip(&self) -> Option<IpAddr> {
        if let Ok(octets) = <[u8; 4]>::try_from(self.as_bytes()) {
            return Some(IpAddr::from(octets));
        }
        let octets = <[u8; 16]>::try_from(self.as_bytes()).ok()?;
        Some(Ipv6Addr::from(octets).to_canonical())
    }

    /// Whether both name the same place, whatever their forms.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self.ip(), other.ip()) {
            (Some(one), Some(two)) => one == two,
            (Some(_), None) | (None, Some(_)) => false,
            (None, None) => self == other,
        }
    }
}

/// The six version bytes of an alive message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Lowest memberlist protocol understood.
    pub protocol_min: u8,
    /// Highest memberlist protocol understood.
    pub protocol_max: u8,
    /// Memberlist protocol spoken.
    pub protocol_cur: u8,
    /// Lowest delegate (Serf) protocol understood.
    pub delegate_min: u8,
    /// Highest delegate (Serf) protocol understood.
    pub delegate_max: u8,
    /// Delegate (Serf) protocol spoken.
    pub delegate_cur: u8,
}

impl Versions {
    /// Whether such a node can be talked to: a protocol range that begins above 0, and both spoken versions inside
    /// their ranges. No Go node sends anything else, and one that is let in makes every later push/pull of its peers
    /// fail (spec 6.1 step 2, 6.7).
    pub fn is_sane(&self) -> bool {
        self.protocol_min > 0
            && (self.protocol_min..=self.protocol_max).contains(&self.protocol_cur)
            && (self.delegate_min..=self.delegate_max).contains(&self.delegate_cur)
    }
}

/// One member as others see it: immutable, shared.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// Unique name.
    pub name: NodeName,
    /// Address as received.
    pub address: WireAddress,
    /// Gossip port.
    pub port: u16,
    /// Meta data as received (Serf's encoded tags).
    pub meta: Bytes,
    /// Version bytes.
    pub versions: Versions,
}

impl Member {
    /// Where it listens, if its address is one.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        self.address.ip().map(|ip| SocketAddr::new(ip, self.port))
    }
}

/// Prints the length of the meta data: tags may hold what belongs into no log.
impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .field("address", &self.address)
            .field("port", &self.port)
            .field("meta", &format_args!("{} bytes", self.meta.len()))
            .field("versions", &self.versions)
            .finish()
    }
}

/// What we believe of a member. A suspicion exists only while it is suspected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Liveness {
    Alive,
    Suspect { suspicion: Suspicion },
    Dead { since: Instant },
    Left { since: Instant },
}

impl Liveness {
    /// Alive or suspected: taking part until proved otherwise.
    pub(crate) fn is_living(&self) -> bool {
        match self {
            Self::Alive | Self::Suspect { .. } => true,
            Self::Dead { .. } | Self::Left { .. } => false,
        }
    }

    /// When it ended, if it has.
    fn ended(&self) -> Option<Instant> {
        match self {
            Self::Alive | Self::Suspect { .. } => None,
            Self::Dead { since } | Self::Left { since } => Some(*since),
        }
    }
}

/// A member and what we believe of it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) member: Arc<Member>,
    pub(crate) incarnation: Incarnation,
    /// When we last told it, as an ended member that speaks, how it ended (`state.rs`).
    pub(crate) reminded: Option<Instant>,
    /// The log has told that only one of UDP and TCP reaches it.
    pub(crate) one_way_told: bool,
    /// Exchanges of state with it that could not be begun, since the last that was.
    pub(crate) exchanges_failed: u8,
    liveness: Liveness,
}

impl Record {
    pub(crate) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    pub(crate) fn suspicion_mut(&mut self) -> Option<&mut Suspicion> {
        match &mut self.liveness {
            Liveness::Suspect { suspicion } => Some(suspicion),
            Liveness::Alive | Liveness::Dead { .. } | Liveness::Left { .. } => None,
        }
    }
}

/// All members we know, ourselves included, in probe order and by name. At most [`crate::limits::MEMBERS`].
#[derive(Debug)]
pub(crate) struct Members {
    own_name: NodeName,
    order: Vec<Record>,
    position: BTreeMap<NodeName, usize>,
    next_probe: usize,
    living: usize,
}

impl Members {
    pub(crate) fn new(own_name: NodeName) -> Self {
        Self { own_name, order: Vec::new(), position: BTreeMap::new(), next_probe: 0, living: 0 }
    }

    /// Go's `estNumNodes`: everyone in the list, the dead and ourselves included.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Alive and suspected ones, ourselves included.
    pub(crate) fn living(&self) -> usize {
        self.living
    }

    /// Whether anybody but us is alive or suspected.
    pub(crate) fn has_living_peers(&self) -> bool {
        let own = usize::from(self.get(&self.own_name).is_some_and(|record| record.liveness.is_living()));
        self.living > own
    }

    pub(crate) fn is_own(&self, name: &NodeName) -> bool {
        *name == self.own_name
    }

    pub(crate) fn get(&self, name: &NodeName) -> Option<&Record> {
        self.order.get(*self.position.get(name)?)
    }

    pub(crate) fn get_mut(&mut self, name: &NodeName) -> Option<&mut Record> {
        self.order.get_mut(*self.position.get(name)?)
    }

    /// Everyone, in list order (that of a push/pull).
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.order.iter()
    }

    /// Alive and suspected ones, in name order.
    pub(crate) fn living_by_name(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.position
            .values()
            .filter_map(|position| self.order.get(*position))
            .filter(|record| record.liveness.is_living())
            .map(|record| &record.member)
    }

    /// Adds a member at a random place of the probe order, dead at incarnation 0 until its first alive message has
    /// been taken (spec 6.1 step 4). The name must be unknown.
    pub(crate) fn insert(&mut self, now: Instant, member: Arc<Member>, random: &mut Random) {
        let last = self.order.len();
        let name = member.name.clone();
        debug_assert!(!self.position.contains_key(&name), "a name is inserted once");
        let liveness = Liveness::Dead { since: now };
        self.order.push(Record {
            member,
            incarnation: Incarnation(0),
            reminded: None,
            one_way_told: false,
            exchanges_failed: 0,
            liveness,
        });
        self.position.insert(name, last);
        let place = random.below(last);
        self.order.swap(place, last);
        self.note_position(place);
        self.note_position(last);
    }

    /// Changes what we believe of `name` and returns what we believed before.
    pub(crate) fn set_liveness(&mut self, name: &NodeName, liveness: Liveness) -> Option<Liveness> {
        let is_living = liveness.is_living();
        let before = std::mem::replace(&mut self.get_mut(name)?.liveness, liveness);
        match (before.is_living(), is_living) {
            (false, true) => self.living = self.living.saturating_add(1),
            (true, false) => self.living = self.living.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        Some(before)
    }

    /// The next member to probe: every living peer once per pass. At the end of a pass those who ended more than
    /// `keep_ended` ago are forgotten and the order is shuffled (spec 6.6, 8.1). `None`: nobody to probe.
    pub(crate) fn next_probe(&mut self, now: Instant, keep_ended: Duration, random: &mut Random) -> Option<NodeName> {
        let mut checks: usize = 0;
        while checks < self.order.len() {
            checks = checks.saturating_add(1);
            let Some(record) = self.order.get(self.next_probe) else {
                self.forget_ended(now, keep_ended);
                random.shuffle(&mut self.order);
                (0..self.order.len()).for_each(|place| self.note_position(place));
                self.next_probe = 0;
                continue;
            };
            self.next_probe = self.next_probe.saturating_add(1);
            if record.liveness.is_living() && record.member.name != self.own_name {
                return Some(record.member.name.clone());
            }
        }
        None
    }

    /// Up to `count` random members that pass `accept`, never ourselves.
    pub(crate) fn sample(
        &self,
        count: usize,
        random: &mut Random,
        mut accept: impl FnMut(&Record) -> bool,
    ) -> Vec<Arc<Member>> {
        let eligible = |position: usize| {
            self.order.get(position).is_some_and(|record| record.member.name != self.own_name && accept(record))
        };
        let chosen = random.sample(self.order.len(), count, eligible);
        chosen.iter().filter_map(|position| self.order.get(*position)).map(|record| record.member.clone()).collect()
    }

    fn forget_ended(&mut self, now: Instant, keep_ended: Duration) {
        let position = &mut self.position;
        let own_name = &self.own_name;
        self.order.retain(|record| {
            let over = record.liveness.ended().is_some_and(|ended| now.since(ended) > keep_ended);
            let keep = !over || record.member.name == *own_name;
            if !keep {
                position.remove(&record.member.name);
            }
            keep
        });
    }

    fn note_position(&mut self, place: usize) {
        if let Some(record) = self.order.get(place)
            && let Some(position) = self.position.get_mut(&record.member.name)
        {
            *position = place;
        }
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
