//! The capability trailer: what a Folkmoot node can do beyond Serf, behind the tag map in its node meta.
//!
//! Go decodes the map, ignores what follows it and passes the whole meta on untouched, so every Folkmoot node learns it
//! also across Go relays, and Go shows nothing of it. Whoever needs something of it must work with a late or a missing
//! trailer: such a node is a plain Serf peer.
//!
//! ```text
//! fc 4d | version 1 | flags 1 | length of the fields 1 | fields | check 2
//! field: kind 1 | length 1 | value          kinds ascending, each at most once
//! flags: bits 0 and 1 voter preference (0 auto, 1 never, 2 prefer), others reserved: written 0, ignored when read
//! check: the low 16 bits of the CRC-32 (IEEE) of everything before; numbers are big-endian
//! ```
//!
//! Not here: where the tag map ends (the Serf layer knows), and what is done with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::CAPABILITY_BYTES;

/// What a node says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capability {
    /// The cluster it was told to keep to (`-cluster`), if it was.
    pub cluster_name: Option<ClusterNameHash>,
    /// How it takes part in coordination, if it does (`-raft`).
    pub raft: Option<RaftCapability>,
}

/// How a node takes part in the Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftCapability {
    /// Its id there.
    pub node: u64,
    /// Its Raft port, never 0.
    pub port: u16,
    /// Where that port is; `None`: at the node's gossip address.
    pub address: Option<IpAddr>,
    /// The group it is in; `None`: in none yet, or there was no room to say so.
    pub cluster: Option<u64>,
    /// How many members it waits for to found a group (`-raft-bootstrap-expect`), never 0; `None`: for none, or there
    /// was no room to say so.
    pub expect: Option<u8>,
    /// Whether it wants a vote.
    pub preference: VoterPreference,
}

/// Whether a node wants to vote in the Raft group (`-raft-voter`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum VoterPreference {
    /// As the group sees fit.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Before others.
    Prefer,
}

/// A cluster's name in four bytes: enough to tell clusters of one network apart, no proof of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterNameHash(pub u32);

impl ClusterNameHash {
    /// Of a name as configured.
    pub fn of(name: &str) -> Self {
        Self(crc32fast::hash(name.as_bytes()))
    }
}

/// What of a capability found room. Ordered: what comes later says less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Everything.
    All,
    /// Everything but the group it is in and the members it waits for.
    WithoutDetails,
    /// Nothing of coordination.
    WithoutRaft,
    /// Not even that this is a Folkmoot node.
    Nothing,
}

impl Capability {
    /// The trailer, whole: at most [`CAPABILITY_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let raft = self.raft.as_ref();
        let mut fields = Vec::with_capacity(CAPABILITY_BYTES);
        if let Some(raft) = raft {
            let mut value = raft.node.to_be_bytes().to_vec();
            value.extend_from_slice(&raft.port.to_be_bytes());
            push(&mut fields, RAFT, &value);
        }
        match raft.and_then(|raft| raft.address) {
            Some(IpAddr::V4(address)) => push(&mut fields, ADDRESS, &address.octets()),
            Some(IpAddr::V6(address)) => push(&mut fields, ADDRESS, &address.octets()),
            None => {}
        }
        if let Some(cluster) = raft.and_then(|raft| raft.cluster) {
            push(&mut fields, CLUSTER, &cluster.to_be_bytes());
        }
        if let Some(expect) = raft.and_then(|raft| raft.expect) {
            push(&mut fields, EXPECT, &[expect]);
        }
        if let Some(ClusterNameHash(hash)) = self.cluster_name {
            push(&mut fields, CLUSTER_NAME, &hash.to_be_bytes());
        }
        let flags = raft.map_or(0, |raft| raft.preference.bits());
        let length = u8::try_from(fields.len()).unwrap_or(u8::MAX);
        let mut out = vec![MAGIC[0], MAGIC[1], VERSION, flags, length];
        out.append(&mut fields);
        let check = check(&out);
        out.extend_from_slice(&check);
        out
    }

    /// As much of it as `room` bytes take.
    pub fn encode_within(&self, room: usize) -> (Vec<u8>, Kept) {
        let without_details = self.raft.map(|raft| RaftCapability { cluster: None, expect: None, ..raft });
        let tries = [
            (*self, Kept::All),
            (Self { raft: without_details, ..*self }, Kept::WithoutDetails),
            (Self { raft: None, ..*self }, Kept::WithoutRaft),
        ];
        let encoded = tries.into_iter().map(|(capability, kept)| (capability.encode(), kept));
        encoded.into_iter().find(|(bytes, _)| bytes.len() <= room).unwrap_or((Vec::new(), Kept::Nothing))
    }

    /// Reads the trailer at the front of `bytes`; what follows it is ignored, and so are fields and flags that this
    /// version does not know. `None`: there is no trailer, it is damaged, or its version is another one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<5>()?;
        let [first, second, version, flags, length] = *head;
        if [first, second] != MAGIC || version != VERSION {
            return None;
        }
        let (fields, rest) = rest.split_at_checked(usize::from(length))?;
        let covered = bytes.get(..head.len().saturating_add(fields.len()))?;
        if rest.first_chunk::<2>()? != &check(covered) {
            return None;
        }
        Self::from_fields(flags, fields)
    }

    fn from_fields(flags: u8, mut fields: &[u8]) -> Option<Self> {
        let (mut raft, mut address, mut cluster, mut expect, mut cluster_name) = (None, None, None, None, None);
        let mut last = 0;
        while let Some((&[kind, length], rest)) = fields.split_first_chunk::<2>() {
            let (value, rest) = rest.split_at_checked(usize::from(length))?;
            if kind <= last {
                return None;
            }
            (last, fields) = (kind, rest);
            match kind {
                RAFT => raft = Some(value.split_first_chunk::<8>()?),
                ADDRESS => address = Some(read_address(value)?),
                CLUSTER => cluster = Some(u64::from_be_bytes(value.try_into().ok()?)),
                EXPECT => expect = Some(u8::from_be_bytes(value.try_into().ok()?)).filter(|expect| *expect > 0),
                CLUSTER_NAME => cluster_name = Some(ClusterNameHash(u32::from_be_bytes(value.try_into().ok()?))),
                _ => {}
            }
        }
        if !fields.is_empty() {
            return None;
        }
        let preference = VoterPreference::from_bits(flags);
        let raft = match raft {
            None => None,
            Some((node, port)) => {
                let port = u16::from_be_bytes(port.try_into().ok()?);
                let node = u64::from_be_bytes(*node);
                (port > 0).then_some(RaftCapability { node, port, address, cluster, expect, preference })
            }
        };
        Some(Self { cluster_name, raft })
    }
}

impl VoterPreference {
    fn bits(self) -> u8 {
        match self {
            Self::Auto => 0,
            Self::Never => 1,
            Self::Prefer => 2,
        }
    }

    /// The value that has no meaning yet is read as no preference.
    fn from_bits(flags: u8) -> Self {
        match flags & 0b11 {
            1 => Self::Never,
            2 => Self::Prefer,
            _ => Self::Auto,
        }
    }
}

/// No MessagePack value of a tag map ends so that this could be taken for a part of it, and Serf writes nothing there.
const MAGIC: [u8; 2] = [0xfc, b'M'];
/// Raised only for what older nodes must not read at all; a new field does not need it.
const VERSION: u8 = 1;

const RAFT: u8 = 1;
const ADDRESS: u8 = 2;
const CLUSTER: u8 = 3;
const EXPECT: u8 = 4;
const CLUSTER_NAME: u8 = 5;

fn push(fields: &mut Vec<u8>, kind: u8, value: &[u8]) {
    fields.extend_from_slice(&[kind, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
    fields.extend_from_slice(value);
}

fn check(covered: &[u8]) -> [u8; 2] {
    let [_, _, high, low] = crc32fast::hash(covered).to_be_bytes();
    [high, low]
}

fn read_address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(value).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

#[cfg(test)]
#[path = "capability_tests.rs"]
mod tests;
