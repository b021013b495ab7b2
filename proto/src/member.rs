//! Members: the bodies of `members` and `members-filtered` (section 7.4), and the record of a member event, which has
//! the same members in it (section 8.1).

use std::collections::BTreeMap;

use bytes::Bytes;
use folkmoot_wire::Text;
use serde::Serialize;
use serde::de::Deserializer;
use serde::ser::Serializer;

use crate::fields::{body, read, read_bytes, read_objects, write};

/// Body of `members` and `members-filtered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MembersResponse {
    /// In no particular order.
    pub members: Vec<Member>,
}

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Text,
    /// 4 or 16 bytes.
    pub addr: Bytes,
    /// Gossip port.
    pub port: u16,
    /// Its tags.
    pub tags: BTreeMap<Text, Text>,
    /// `alive`, `leaving`, `left`, `failed` or `none`.
    pub status: Text,
    /// Lowest memberlist protocol understood.
    pub protocol_min: u8,
    /// Highest memberlist protocol understood.
    pub protocol_max: u8,
    /// Memberlist protocol spoken.
    pub protocol_cur: u8,
    /// Lowest Serf protocol understood.
    pub delegate_min: u8,
    /// Highest Serf protocol understood.
    pub delegate_max: u8,
    /// Serf protocol spoken.
    pub delegate_cur: u8,
}

/// A [`Member`] whose parts are somebody else's: how the agent writes its members without copying them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields of `Member`")]
pub struct MemberRef<'a> {
    #[serde(serialize_with = "write_slice")]
    pub addr: &'a [u8],
    pub delegate_cur: u8,
    pub delegate_max: u8,
    pub delegate_min: u8,
    pub name: &'a Text,
    pub port: u16,
    pub protocol_cur: u8,
    pub protocol_max: u8,
    pub protocol_min: u8,
    pub status: Status<'a>,
    pub tags: &'a BTreeMap<Text, Text>,
}

/// A member's status: one of Serf's words, or whatever an agent sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the type says it")]
pub enum Status<'a> {
    Word(&'static str),
    Text(&'a Text),
}

/// Appends the body of `members`, straight from `members`.
pub fn encode_members<'a>(members: impl ExactSizeIterator<Item = MemberRef<'a>> + Clone, out: &mut Vec<u8>) {
    write(&MembersOut { members: Listed(members) }, out);
}

/// Appends the record of a member event, straight from `members`.
pub fn encode_member_event<'a>(
    event: &str,
    members: impl ExactSizeIterator<Item = MemberRef<'a>> + Clone,
    out: &mut Vec<u8>,
) {
    write(&MemberEventOut { event, members: Listed(members) }, out);
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MembersOut<T: Serialize> {
    members: T,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MemberEventOut<'a, T: Serialize> {
    event: &'a str,
    members: T,
}

/// A list that is written while it is walked.
struct Listed<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Listed<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MemberRef {
            addr: &self.addr,
            delegate_cur: self.delegate_cur,
            delegate_max: self.delegate_max,
            delegate_min: self.delegate_min,
            name: &self.name,
            port: self.port,
            protocol_cur: self.protocol_cur,
            protocol_max: self.protocol_max,
            protocol_min: self.protocol_min,
            status: Status::Text(&self.status),
            tags: &self.tags,
        }
        .serialize(serializer)
    }
}

fn write_slice<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

fn read_address<'de, D: Deserializer<'de>>(value: D) -> Result<Bytes, D::Error> {
    read_bytes(value).map(Option::unwrap_or_default)
}

body!(MembersResponse { "Members" => members: read_objects });
body!(Member {
    "Name" => name: read,
    "Addr" => addr: read_address,
    "Port" => port: read,
    "Tags" => tags: read,
    "Status" => status: read,
    "ProtocolMin" => protocol_min: read,
    "ProtocolMax" => protocol_max: read,
    "ProtocolCur" => protocol_cur: read,
    "DelegateMin" => delegate_min: read,
    "DelegateMax" => delegate_max: read,
    "DelegateCur" => delegate_cur: read,
});
