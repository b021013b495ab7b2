//! What internal queries carry inside their payloads: keys, and members in dispute.
//!
//! Answers to Go's `serf/internal_query.go` and `docs/spec/serf-gossip.md` sections 7 and 9.2.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::fields::{self, bounded_list};
use super::{MessageError, MessageType};
use crate::limits::KEY_RESPONSE_KEYS_MAX;
use crate::{NodeName, Text};

/// Type 7: payload of the key queries.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "Key"))]
pub struct KeyRequest {
    /// Raw key; empty in a list request.
    #[serde(with = "fields::optional_bytes")]
    pub key: Option<Bytes>,
}

impl KeyRequest {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::KeyRequest, self)
    }

    /// Reads a query's payload. The type byte may be anything, as in Go.
    ///
    /// # Errors
    /// Empty (F1: crashes Go) or undecodable: answer with a failed [`KeyResult`].
    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        let (_, body) = payload.split_first().ok_or(MessageError::Empty)?;
        fields::decode_body("key request", body)
    }
}

/// Keys are never printed.
impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRequest({:?} bytes)", self.key.as_ref().map(Bytes::len))
    }
}

/// Type 8: payload of the answers to key queries (Go `nodeKeyResponse`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "Result,Message,Keys,PrimaryKey"))]
pub struct KeyResult {
    /// Base64 keys, primary first; only in the answer to a list request.
    #[serde(deserialize_with = "deserialize_keys")]
    pub keys: Option<Vec<Text>>,
    /// Why not, or what is to be known although it worked.
    pub message: Text,
    /// Base64 primary key; only in the answer to a list request.
    pub primary_key: Text,
    /// Whether it worked.
    pub result: bool,
}

impl KeyResult {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::KeyResponse, self)
    }

    /// Reads the payload of an answer.
    ///
    /// # Errors
    /// Empty, of another type, or undecodable; the key manager counts each as a failure with its own text.
    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        decode_typed(MessageType::KeyResponse, "key response", payload)
    }
}

fn deserialize_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Text>>, D::Error> {
    bounded_list(deserializer, KEY_RESPONSE_KEYS_MAX)
}

/// Type 6: the member a node has under a disputed name, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictResponse(pub Option<MemberRecord>);

impl ConflictResponse {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::ConflictResponse, &self.0)
    }

    /// Reads the payload of an answer.
    ///
    /// # Errors
    /// Empty, of another type, or undecodable: the answer does not count.
    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        decode_typed(MessageType::ConflictResponse, "conflict response", payload).map(Self)
    }
}

/// Go's `Member`, as it travels in a conflict response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    default,
    rename_all = "PascalCase",
    rename(
        deserialize = "Name,Addr,Port,Tags,Status,ProtocolMin,ProtocolMax,ProtocolCur,DelegateMin,DelegateMax,DelegateCur"
    )
)]
pub struct MemberRecord {
    /// IP address, 4 or 16 bytes.
    #[serde(rename = "Addr", with = "fields::optional_bytes")]
    pub address: Option<Bytes>,
    /// Current Serf protocol.
    pub delegate_cur: u8,
    /// Highest Serf protocol.
    pub delegate_max: u8,
    /// Lowest Serf protocol.
    pub delegate_min: u8,
    /// Name.
    pub name: NodeName,
    /// Gossip port.
    pub port: u16,
    /// Current memberlist protocol.
    pub protocol_cur: u8,
    /// Highest memberlist protocol.
    pub protocol_max: u8,
    /// Version bytes, as in [`crate::Versions`].
    pub protocol_min: u8,
    /// 0 none, 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: i64,
    /// Tags.
    pub tags: BTreeMap<Text, Text>,
}

fn decode_typed<T: serde::de::DeserializeOwned>(
    expected: MessageType,
    what: &'static str,
    payload: &[u8],
) -> Result<T, MessageError> {
    let (&kind, body) = payload.split_first().ok_or(MessageError::Empty)?;
    if kind != expected as u8 {
        return Err(MessageError::UnknownType(kind));
    }
    fields::decode_body(what, body)
}
