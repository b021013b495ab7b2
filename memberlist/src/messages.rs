//! The messages of the protocol and their bodies (spec 2.1, 4). Fields stand in wire order, which is the bytewise order
//! of their names; the struct's `rename` lists them in Go's declaration order, by which arrays are read.
//!
//! Not here: the layers around a message (`packet.rs` for datagrams, `stream_codec.rs` for streams).
//! Go: `net.go` (types and handlers), `util.go` (`encode`, `decode`).

use std::fmt;

use bytes::Bytes;
use folkmoot_wire::{Blob, DecodeError, Dialect, Text};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::MessageError;
use crate::{NodeName, Versions, WireAddress};

/// How often a node has refuted or changed itself; higher wins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u32);

/// Names a ping, so that its ack can be recognised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(pub u32);

/// The first byte of a message (Go `messageType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum MessageType {
    Ping = 0,
    IndirectPing = 1,
    Ack = 2,
    Suspect = 3,
    Alive = 4,
    Dead = 5,
    PushPull = 6,
    Compound = 7,
    User = 8,
    Compress = 9,
    Encrypt = 10,
    Nack = 11,
    HasCrc = 12,
    Error = 13,
    HasLabel = 244,
}

impl MessageType {
    /// The type with this number, if there is one.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Ping,
            1 => Self::IndirectPing,
            2 => Self::Ack,
            3 => Self::Suspect,
            4 => Self::Alive,
            5 => Self::Dead,
            6 => Self::PushPull,
            7 => Self::Compound,
            8 => Self::User,
            9 => Self::Compress,
            10 => Self::Encrypt,
            11 => Self::Nack,
            12 => Self::HasCrc,
            13 => Self::Error,
            244 => Self::HasLabel,
            _ => return None,
        })
    }

    /// Its number.
    pub(crate) fn byte(self) -> u8 {
        self as u8
    }
}

/// A message as it stands in a datagram, alone or as a part of a compound.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// Are you there?
    Ping(Ping),
    /// Ask somebody else for me.
    IndirectPing(IndirectPing),
    /// I am here.
    Ack(Ack),
    /// I asked, but got no answer in time.
    Nack(Nack),
    /// A node does not answer.
    Suspect(Suspect),
    /// A node is there.
    Alive(Alive),
    /// A node is gone.
    Dead(Dead),
    /// Bytes of the layer above.
    User(Bytes),
}

impl Message {
    /// Type byte and body.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Ping(body) => encode_body(MessageType::Ping, body),
            Self::IndirectPing(body) => encode_body(MessageType::IndirectPing, body),
            Self::Ack(body) => encode_body(MessageType::Ack, body),
            Self::Nack(body) => encode_body(MessageType::Nack, body),
            Self::Suspect(body) => encode_body(MessageType::Suspect, body),
            Self::Alive(body) => encode_body(MessageType::Alive, body),
            Self::Dead(body) => encode_body(MessageType::Dead, body),
            Self::User(payload) => {
                let mut out = Vec::with_capacity(payload.len().saturating_add(1));
                out.push(MessageType::User.byte());
                out.extend_from_slice(payload);
                Bytes::from(out)
            }
        }
    }

    /// Reads type byte and body; bytes behind the body are ignored, as Go ignores them.
    ///
    /// # Errors
    /// The type is none of the above, or the body is not what it should be.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        let (&number, body) = message.split_first().ok_or(MessageError::Empty)?;
        match MessageType::from_byte(number) {
            Some(MessageType::Ping) => decode_body("ping", body).map(Self::Ping),
            Some(MessageType::IndirectPing) => decode_body("indirect ping", body).map(Self::IndirectPing),
            Some(MessageType::Ack) => decode_body("ack", body).map(Self::Ack),
            Some(MessageType::Nack) => decode_body("nack", body).map(Self::Nack),
            Some(MessageType::Suspect) => decode_body("suspect", body).map(Self::Suspect),
            Some(MessageType::Alive) => decode_body("alive", body).map(Self::Alive),
            Some(MessageType::Dead) => decode_body("dead", body).map(Self::Dead),
            Some(MessageType::User) => Ok(Self::User(Bytes::copy_from_slice(body))),
            Some(
                MessageType::PushPull
                | MessageType::Compound
                | MessageType::Compress
                | MessageType::Encrypt
                | MessageType::HasCrc
                | MessageType::Error
                | MessageType::HasLabel,
            )
            | None => Err(MessageError::Unsupported { number }),
        }
    }
}

/// Prints the length of a payload, never the payload.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping(body) => body.fmt(f),
            Self::IndirectPing(body) => body.fmt(f),
            Self::Ack(body) => body.fmt(f),
            Self::Nack(body) => body.fmt(f),
            Self::Suspect(body) => body.fmt(f),
            Self::Alive(body) => body.fmt(f),
            Self::Dead(body) => body.fmt(f),
            Self::User(payload) => write!(f, "User({} bytes)", payload.len()),
        }
    }
}

/// A message as it stands on a stream.
#[derive(Clone, PartialEq, Eq)]
pub enum StreamMessage {
    /// A probe over TCP.
    Ping(Ping),
    /// Its answer.
    Ack(Ack),
    /// Half of an exchange of full state.
    PushPull(PushPull),
    /// Bytes of the layer above.
    User(Bytes),
    /// The other side could not read our request.
    Error(Text),
}

impl StreamMessage {
    /// Type byte, body and trailing data.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Ping(body) => encode_body(MessageType::Ping, body),
            Self::Ack(body) => encode_body(MessageType::Ack, body),
            Self::Error(error) => encode_body(MessageType::Error, &ErrorBody { error: error.clone() }),
            Self::User(payload) => {
                let mut out = vec![MessageType::User.byte()];
                append(&mut out, &UserHeader { length: wire_length(payload.len()) });
                out.extend_from_slice(payload);
                Bytes::from(out)
            }
            Self::PushPull(push_pull) => {
                let mut out = vec![MessageType::PushPull.byte()];
                let header = PushPullHeader {
                    join: push_pull.join,
                    nodes: wire_length(push_pull.nodes.len()),
                    user_state_length: wire_length(push_pull.user_state.len()),
                };
                append(&mut out, &header);
                for node in &push_pull.nodes {
                    append(&mut out, node);
                }
                out.extend_from_slice(&push_pull.user_state);
                Bytes::from(out)
            }
        }
    }
}

/// Prints the length of a payload, never the payload.
impl fmt::Debug for StreamMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping(body) => body.fmt(f),
            Self::Ack(body) => body.fmt(f),
            Self::PushPull(body) => body.fmt(f),
            Self::User(payload) => write!(f, "User({} bytes)", payload.len()),
            Self::Error(text) => write!(f, "Error({text:?})"),
        }
    }
}

/// Type 0: the receiver answers with an [`Ack`] if `node` is its name or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "SeqNo,Node,SourceAddr,SourcePort,SourceNode"))]
pub struct Ping {
    /// Who is meant.
    #[serde(rename = "Node")]
    pub node: NodeName,
    /// Comes back in the ack.
    #[serde(rename = "SeqNo")]
    pub sequence: SequenceNumber,
    /// Who asks: its address, empty in old versions.
    #[serde(rename = "SourceAddr", skip_serializing_if = "address_is_empty")]
    pub source_address: WireAddress,
    /// Who asks: its name, empty in old versions.
    #[serde(rename = "SourceNode", skip_serializing_if = "name_is_empty")]
    pub source_node: NodeName,
    /// Who asks: its gossip port, 0 in old versions.
    #[serde(rename = "SourcePort", skip_serializing_if = "port_is_zero")]
    pub source_port: u16,
}

/// Type 1: please ping `node` for me.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "SeqNo,Target,Port,Node,Nack,SourceAddr,SourcePort,SourceNode"))]
pub struct IndirectPing {
    /// Whether the asker wants to hear of a probe that failed.
    #[serde(rename = "Nack")]
    pub nack: bool,
    /// Who is meant.
    #[serde(rename = "Node")]
    pub node: NodeName,
    /// Gossip port of `node`; 0 from protocol 1, which means the receiver's own.
    #[serde(rename = "Port")]
    pub port: u16,
    /// Comes back in the relayed ack or in the nack.
    #[serde(rename = "SeqNo")]
    pub sequence: SequenceNumber,
    /// Who asks: its address, empty in old versions.
    #[serde(rename = "SourceAddr", skip_serializing_if = "address_is_empty")]
    pub source_address: WireAddress,
    /// Who asks: its name, empty in old versions.
    #[serde(rename = "SourceNode", skip_serializing_if = "name_is_empty")]
    pub source_node: NodeName,
    /// Who asks: its gossip port, 0 in old versions.
    #[serde(rename = "SourcePort", skip_serializing_if = "port_is_zero")]
    pub source_port: u16,
    /// Address of `node`.
    #[serde(rename = "Target")]
    pub target: WireAddress,
}

/// Type 2: the answer to a ping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "SeqNo,Payload"))]
pub struct Ack {
    /// What the layer above adds (Serf: its coordinate). `None` is nil, as in relayed and TCP acks.
    #[serde(rename = "Payload")]
    pub payload: Option<Blob>,
    /// Of the ping.
    #[serde(rename = "SeqNo")]
    pub sequence: SequenceNumber,
}

/// Type 11: the relay got no ack in time, but is well itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Nack {
    /// Of the indirect ping.
    #[serde(rename = "SeqNo")]
    pub sequence: SequenceNumber,
}

/// Type 3: `from` could not reach `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "Incarnation,Node,From"))]
pub struct Suspect {
    /// Who says so.
    #[serde(rename = "From")]
    pub from: NodeName,
    /// Of `node`, as the accuser knew it.
    #[serde(rename = "Incarnation")]
    pub incarnation: Incarnation,
    /// Who is meant.
    #[serde(rename = "Node")]
    pub node: NodeName,
}

/// Type 5: `node` is dead, or, if `from` is `node` itself, has left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "Incarnation,Node,From"))]
pub struct Dead {
    /// Who says so.
    #[serde(rename = "From")]
    pub from: NodeName,
    /// Of `node`, as the speaker knew it.
    #[serde(rename = "Incarnation")]
    pub incarnation: Incarnation,
    /// Who is meant.
    #[serde(rename = "Node")]
    pub node: NodeName,
}

/// Type 4: `node` is alive and looks like this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "Incarnation,Node,Addr,Port,Meta,Vsn"))]
pub struct Alive {
    /// Where it listens, in the bytes it chose (spec 4.2).
    #[serde(rename = "Addr")]
    pub address: WireAddress,
    /// Its own count.
    #[serde(rename = "Incarnation")]
    pub incarnation: Incarnation,
    /// Data of the layer above. `None` is nil.
    #[serde(rename = "Meta")]
    pub meta: Option<Blob>,
    /// Its name.
    #[serde(rename = "Node")]
    pub node: NodeName,
    /// Its gossip port.
    #[serde(rename = "Port")]
    pub port: u16,
    /// `None`: fewer than six version bytes came, which no Go node sends; such a message is to be ignored (spec 6.7).
    #[serde(rename = "Vsn", with = "version_bytes")]
    pub versions: Option<Versions>,
}

/// One node of a [`PushPull`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "Name,Addr,Port,Meta,Incarnation,State,Vsn"))]
pub struct NodeState {
    /// Where it listens, in the bytes it chose (spec 4.2).
    #[serde(rename = "Addr")]
    pub address: WireAddress,
    /// Its own count.
    #[serde(rename = "Incarnation")]
    pub incarnation: Incarnation,
    /// Data of the layer above. `None` is nil.
    #[serde(rename = "Meta")]
    pub meta: Option<Blob>,
    /// Its name.
    #[serde(rename = "Name")]
    pub name: NodeName,
    /// Its gossip port.
    #[serde(rename = "Port")]
    pub port: u16,
    /// What the sender believes of it.
    #[serde(rename = "State")]
    pub state: PeerState,
    /// `None`: fewer than six version bytes came, which no Go node sends.
    #[serde(rename = "Vsn", with = "version_bytes")]
    pub versions: Option<Versions>,
}

/// What a push/pull says of a node (Go `NodeStateType`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PeerState {
    /// 0
    #[default]
    Alive,
    /// 1
    Suspect,
    /// 2
    Dead,
    /// 3
    Left,
    /// Any other number: to be ignored in the merge.
    Unknown(i64),
}

impl PeerState {
    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Alive => 0,
            Self::Suspect => 1,
            Self::Dead => 2,
            Self::Left => 3,
            Self::Unknown(number) => number,
        }
    }

    fn from_number(number: i64) -> Self {
        match number {
            0 => Self::Alive,
            1 => Self::Suspect,
            2 => Self::Dead,
            3 => Self::Left,
            other => Self::Unknown(other),
        }
    }
}

/// Type 6: everything a node knows. Travels in both directions of an exchange.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PushPull {
    /// Whether the exchange is a join.
    pub join: bool,
    /// In the sender's own order.
    pub nodes: Vec<NodeState>,
    /// Data of the layer above.
    pub user_state: Bytes,
}

/// Prints the length of the user state, never the state.
impl fmt::Debug for PushPull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushPull")
            .field("join", &self.join)
            .field("nodes", &self.nodes)
            .field("user_state", &format_args!("{} bytes", self.user_state.len()))
            .finish()
    }
}

/// What stands in front of the nodes of a [`PushPull`]. The numbers are signed because Go's are; they are checked
/// before anything is made of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "Nodes,UserStateLen,Join"))]
pub(crate) struct PushPullHeader {
    #[serde(rename = "Join")]
    pub(crate) join: bool,
    #[serde(rename = "Nodes")]
    pub(crate) nodes: i64,
    #[serde(rename = "UserStateLen")]
    pub(crate) user_state_length: i64,
}

/// What stands in front of the payload of a user message on a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct UserHeader {
    #[serde(rename = "UserMsgLen")]
    pub(crate) length: i64,
}

/// Type 13.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorBody {
    #[serde(rename = "Error")]
    pub(crate) error: Text,
}

/// Type 9.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CompressBody {
    #[serde(rename = "Algo")]
    pub(crate) algorithm: u8,
    #[serde(rename = "Buf")]
    pub(crate) data: Blob,
}

/// Type byte and body of a message made by us.
pub(crate) fn encode_body<T: Serialize>(kind: MessageType, body: &T) -> Bytes {
    let mut out = vec![kind.byte()];
    append(&mut out, body);
    Bytes::from(out)
}

/// Reads a body; `what` names it in the error.
pub(crate) fn decode_body<'de, T: Deserialize<'de>>(what: &'static str, body: &'de [u8]) -> Result<T, MessageError> {
    folkmoot_wire::decode(body).map_err(|source: DecodeError| MessageError::Body { what, source })
}

#[expect(
    clippy::expect_used,
    reason = "only a wrong order of fields in this file can fail, and the vectors cover them all"
)]
fn append<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    folkmoot_wire::encode(Dialect::Gossip, value, out).expect("the fields stand in wire order");
}

/// A length as Go's signed header fields hold it.
fn wire_length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn address_is_empty(address: &WireAddress) -> bool {
    address.as_bytes().is_empty()
}

fn name_is_empty(name: &NodeName) -> bool {
    name.0.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn port_is_zero(port: &u16) -> bool {
    *port == 0
}

impl Serialize for WireAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for WireAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Blob::deserialize(deserializer).map(|blob| Self::from_bytes(blob.0))
    }
}

impl Serialize for PeerState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

impl<'de> Deserialize<'de> for PeerState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self::from_number)
    }
}

/// `Vsn`: six bytes in one raw string. More than six: the rest is ignored.
mod version_bytes {
    use super::{Blob, Deserialize, Deserializer, Serializer, Versions};

    pub(super) fn serialize<S: Serializer>(versions: &Option<Versions>, serializer: S) -> Result<S::Ok, S::Error> {
        match versions {
            None => serializer.serialize_none(),
            Some(v) => serializer.serialize_bytes(&[
                v.protocol_min,
                v.protocol_max,
                v.protocol_cur,
                v.delegate_min,
                v.delegate_max,
                v.delegate_cur,
            ]),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Versions>, D::Error> {
        let bytes = Blob::deserialize(deserializer)?;
        let Some(&[protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur]) =
            bytes.as_bytes().first_chunk()
        else {
            return Ok(None);
        };
        Ok(Some(Versions { protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur }))
    }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
