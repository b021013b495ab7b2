//! Serf's messages on the wire: one type byte, then one MessagePack map.
//!
//! Answers to Go's `serf/messages.go` and `docs/spec/serf-gossip.md` section 1. What a message *does* is decided in the
//! files that handle it. Push/pull state is in `push_pull`, key messages in `keys`, what several share in `fields`.
//! Fields stand in wire order, the bytewise order of their names; each struct's `rename` lists them in Go's order of
//! declaration, by which arrays are read.

mod fields;
mod keys;
mod push_pull;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use folkmoot_wire as wire;
use serde::{Deserialize, Serialize};

use crate::{LamportTime, NodeName, Text};

pub(crate) use fields::bounded_list;
pub use keys::{ConflictResponse, KeyRequest, KeyResult, MemberRecord};
pub use push_pull::{EventSlot, PushPull, SlotEvent};

/// First byte of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum MessageType {
    /// [`LeaveIntent`]
    Leave = 0,
    /// [`JoinIntent`]
    Join = 1,
    /// [`PushPull`]: the user state of a push/pull, never a message.
    PushPull = 2,
    /// [`UserEventMessage`]
    UserEvent = 3,
    /// [`QueryMessage`]
    Query = 4,
    /// [`QueryResponseMessage`]
    QueryResponse = 5,
    /// [`ConflictResponse`]: inside a query response only.
    ConflictResponse = 6,
    /// [`KeyRequest`]: inside a query only.
    KeyRequest = 7,
    /// [`KeyResult`]: inside a query response only.
    KeyResponse = 8,
    /// [`Relay`]
    Relay = 9,
}

/// Why a message, or something inside one, was dropped. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// There is not even a type byte.
    #[error("empty message")]
    Empty,
    /// No message of this type travels here.
    #[error("Received message of unknown type: {0}")]
    UnknownType(u8),
    /// The body is not what the type promises.
    #[error("Error decoding {what}: {reason}")]
    Body {
        /// Which message.
        what: &'static str,
        /// The decoder's words.
        reason: wire::DecodeError,
    },
    /// A relay that would carry something else than a query response (F1: Go forwards anything).
    #[error("relay of a message of type {0:?} refused")]
    RelayedType(Option<u8>),
}

/// A message that arrives by gossip or as a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Type 0.
    Leave(LeaveIntent),
    /// Type 1.
    Join(JoinIntent),
    /// Type 3.
    UserEvent(UserEventMessage),
    /// Type 4.
    Query(QueryMessage),
    /// Type 5.
    QueryResponse(QueryResponseMessage),
    /// Type 9.
    Relay(Relay),
}

impl Message {
    /// Reads a user message of memberlist.
    ///
    /// # Errors
    /// The message is to be dropped: it is empty, of a type that does not travel alone (2, 6, 7, 8, 10 and above), or
    /// undecodable.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (&kind, body) = bytes.split_first().ok_or(MessageError::Empty)?;
        match kind {
            0 => fields::decode_body("leave intent", body).map(Self::Leave),
            1 => fields::decode_body("join intent", body).map(Self::Join),
            3 => fields::decode_body("user event", body).map(Self::UserEvent),
            4 => fields::decode_body("query", body).map(Self::Query),
            5 => fields::decode_body("query response", body).map(Self::QueryResponse),
            9 => Relay::decode_body(body).map(Self::Relay),
            other => Err(MessageError::UnknownType(other)),
        }
    }
}

/// Type 0: a node leaves, or is declared gone by an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "LTime,Node,Prune"))]
pub struct LeaveIntent {
    /// Member time of the decision.
    #[serde(rename = "LTime")]
    pub ltime: LamportTime,
    /// Who goes.
    pub node: NodeName,
    /// Whether receivers shall erase the member. Peers before 0.8.4 do not send it.
    pub prune: bool,
}

impl LeaveIntent {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::Leave, self)
    }
}

/// Type 1: a node has joined, or refutes its leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "LTime,Node"))]
pub struct JoinIntent {
    /// Member time of the join.
    #[serde(rename = "LTime")]
    pub ltime: LamportTime,
    /// Who is here.
    pub node: NodeName,
}

impl JoinIntent {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::Join, self)
    }
}

/// Type 3: a user event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "LTime,Name,Payload,CC"))]
pub struct UserEventMessage {
    /// Whether clients may see only the newest event of this name.
    #[serde(rename = "CC")]
    pub coalesce: bool,
    /// Event time.
    #[serde(rename = "LTime")]
    pub ltime: LamportTime,
    /// Event name.
    pub name: Text,
    /// Payload, nil and empty apart.
    #[serde(with = "fields::optional_bytes")]
    pub payload: Option<Bytes>,
}

impl UserEventMessage {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::UserEvent, self)
    }
}

/// Flag of a query that wants acks, and of a response that is one (Go `queryFlagAck`).
pub const FLAG_ACK: u32 = 1;
/// Flag of a query that receivers must not pass on (Go `queryFlagNoBroadcast`; Go itself never sets it).
pub const FLAG_NO_BROADCAST: u32 = 2;

/// Type 4: a query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    default,
    rename_all = "PascalCase",
    rename(deserialize = "LTime,ID,Addr,Port,SourceNode,Filters,Flags,RelayFactor,Timeout,Name,Payload")
)]
pub struct QueryMessage {
    /// IP address of the node that asks: 4 or 16 bytes.
    #[serde(rename = "Addr", with = "fields::optional_bytes")]
    pub address: Option<Bytes>,
    /// Encoded filters: see [`Filter::decode`]. None at all is sent as nil.
    #[serde(with = "fields::filter_list")]
    pub filters: Vec<Bytes>,
    /// [`FLAG_ACK`] and [`FLAG_NO_BROADCAST`].
    pub flags: u32,
    /// Random id.
    #[serde(rename = "ID")]
    pub id: u32,
    /// Query time.
    #[serde(rename = "LTime")]
    pub ltime: LamportTime,
    /// Query name.
    pub name: Text,
    /// Payload, nil and empty apart.
    #[serde(with = "fields::optional_bytes")]
    pub payload: Option<Bytes>,
    /// Its gossip port.
    pub port: u16,
    /// How many other nodes shall pass on each answer.
    pub relay_factor: u8,
    /// Its name; older agents send none.
    pub source_node: NodeName,
    /// Time for answers, nanoseconds; zero and below: over at once.
    #[serde(rename = "Timeout")]
    pub timeout_ns: i64,
}

impl QueryMessage {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::Query, self)
    }

    /// Where answers go, if the address has 4 or 16 bytes (mapped IPv4 is shortened).
    pub fn source_address(&self) -> Option<SocketAddr> {
        fields::socket_address(self.address.as_ref(), self.port)
    }

    /// Whether receivers shall confirm.
    pub fn wants_ack(&self) -> bool {
        self.flags & FLAG_ACK != 0
    }

    /// Whether receivers pass it on.
    pub fn is_broadcast(&self) -> bool {
        self.flags & FLAG_NO_BROADCAST == 0
    }
}

/// Type 5: an ack or an answer to a query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "LTime,ID,From,Flags,Payload"))]
pub struct QueryResponseMessage {
    /// [`FLAG_ACK`]: this only confirms.
    pub flags: u32,
    /// Who answers.
    pub from: NodeName,
    /// Id of the query.
    #[serde(rename = "ID")]
    pub id: u32,
    /// Time of the query.
    #[serde(rename = "LTime")]
    pub ltime: LamportTime,
    /// Payload, nil and empty apart.
    #[serde(with = "fields::optional_bytes")]
    pub payload: Option<Bytes>,
}

impl QueryResponseMessage {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::QueryResponse, self)
    }

    /// Whether this only confirms.
    pub fn is_ack(&self) -> bool {
        self.flags & FLAG_ACK != 0
    }
}

/// Type 9: please pass `inner` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// To whom.
    pub header: RelayHeader,
    /// The whole inner message, type byte first: always a query response, passed on unchanged.
    pub inner: Bytes,
}

impl Relay {
    /// Wraps an encoded query response for its destination.
    pub fn encode(header: &RelayHeader, inner: &[u8]) -> Bytes {
        let mut out = Vec::from(fields::encode(MessageType::Relay, header));
        out.extend_from_slice(inner);
        Bytes::from(out)
    }

    fn decode_body(body: &[u8]) -> Result<Self, MessageError> {
        let (header, length) = wire::decode_prefix::<RelayHeader>(body)
            .map_err(|reason| MessageError::Body { what: "relay header", reason })?;
        let inner = body.get(length..).unwrap_or_default();
        match inner.first() {
            Some(&kind) if kind == MessageType::QueryResponse as u8 => {
                Ok(Self { header, inner: Bytes::copy_from_slice(inner) })
            }
            other => Err(MessageError::RelayedType(other.copied())),
        }
    }
}

/// Where a relayed message goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "DestAddr,DestName"))]
pub struct RelayHeader {
    /// Address of the node that asked.
    #[serde(rename = "DestAddr")]
    pub destination: UdpAddress,
    /// Its name.
    #[serde(rename = "DestName")]
    pub destination_name: NodeName,
}

/// Go's `net.UDPAddr`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "IP,Port,Zone"))]
pub struct UdpAddress {
    /// 4 or 16 bytes.
    #[serde(rename = "IP", with = "fields::optional_bytes")]
    pub ip: Option<Bytes>,
    /// Port; a signed number in Go.
    pub port: i64,
    /// IPv6 zone, empty in practice.
    pub zone: Text,
}

impl UdpAddress {
    /// As Go writes it: 4 bytes for IPv4, 16 for IPv6.
    pub fn new(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
        };
        Self { ip: Some(ip), port: i64::from(address.port()), zone: Text::default() }
    }

    /// The address, if it is one (mapped IPv4 is shortened).
    pub fn socket_address(&self) -> Option<SocketAddr> {
        let port = u16::try_from(self.port).ok()?;
        fields::socket_address(self.ip.as_ref(), port)
    }
}

/// Who shall take part in a query; all filters of a query have to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Only these nodes.
    Nodes(Vec<NodeName>),
    /// Only nodes whose tag matches.
    Tag(TagFilter),
}

impl Filter {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Nodes(names) => fields::encode_tagged(FILTER_NODES, names),
            Self::Tag(filter) => fields::encode_tagged(FILTER_TAG, filter),
        }
    }

    /// Reads one entry of [`QueryMessage::filters`].
    ///
    /// # Errors
    /// Empty, unknown or undecodable: the query then does not match (F1: an empty entry crashes Go).
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (&kind, body) = bytes.split_first().ok_or(MessageError::Empty)?;
        match kind {
            FILTER_NODES => {
                fields::decode_body::<fields::NodeList>("node filter", body).map(|list| Self::Nodes(list.0))
            }
            FILTER_TAG => fields::decode_body("tag filter", body).map(Self::Tag),
            other => Err(MessageError::UnknownType(other)),
        }
    }
}

/// Body of a tag filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "Tag,Expr"))]
pub struct TagFilter {
    /// Regular expression: see [`crate::pattern`].
    #[serde(rename = "Expr")]
    pub expression: Text,
    /// Tag name; a node without it has it empty.
    pub tag: Text,
}

/// Type byte of a node filter.
const FILTER_NODES: u8 = 0;
/// Type byte of a tag filter.
const FILTER_TAG: u8 = 1;

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
