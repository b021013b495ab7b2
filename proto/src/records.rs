//! Records of monitors, streams and queries (section 8).

use bytes::Bytes;
use folkmoot_wire::Text;
use serde::Serialize;
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;

use crate::fields::{self, body, fields, read, read_bytes, read_objects, write, write_bytes};
use crate::{Decode, DecodeError, Encode, Member};

/// Record of a monitor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogRecord {
    /// One log call, without its final newline.
    pub log: Text,
}

/// Record of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryRecord {
    /// The node; empty in `done` (and, from Go agents, in the zero records section 8.4 tells of).
    pub from: Text,
    /// Of a response.
    #[serde(serialize_with = "write_bytes")]
    pub payload: Option<Bytes>,
    /// What it is.
    #[serde(serialize_with = "write_query_record_type")]
    pub r#type: QueryRecordType,
}

/// The kinds of query record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueryRecordType {
    /// A node has the query.
    Ack,
    /// A node answered.
    Response,
    /// Over; the last record.
    #[default]
    Done,
}

impl QueryRecordType {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Response => "response",
            Self::Done => "done",
        }
    }
}

/// Record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventRecord {
    /// `member-join` and the like.
    Members(MemberEventRecord),
    /// `user`
    User(UserEventRecord),
    /// `query`
    Query(QueryEventRecord),
}

/// Members that changed in the same way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MemberEventRecord {
    /// `member-join`, `member-leave`, `member-failed`, `member-update` or `member-reap`.
    pub event: Text,
    /// As they were after the change.
    pub members: Vec<Member>,
}

/// A user event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserEventRecord {
    /// As it was fired.
    pub coalesce: bool,
    /// When it was fired.
    pub ltime: u64,
    /// Its name.
    pub name: Text,
    /// Its payload.
    pub payload: Option<Bytes>,
}

/// A query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryEventRecord {
    /// For `respond` on the same connection.
    pub id: u64,
    /// When it was asked.
    pub ltime: u64,
    /// Its name.
    pub name: Text,
    /// Its payload.
    pub payload: Option<Bytes>,
}

fn write_query_record_type<S: Serializer>(kind: &QueryRecordType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

fn read_query_record_type<'de, D: Deserializer<'de>>(value: D) -> Result<QueryRecordType, D::Error> {
    let name: Text = read(value)?;
    match name.as_bytes() {
        b"ack" => Ok(QueryRecordType::Ack),
        b"response" => Ok(QueryRecordType::Response),
        b"done" => Ok(QueryRecordType::Done),
        _ => Err(D::Error::custom(format_args!("unknown record type {name:?}"))),
    }
}

body!(LogRecord { "Log" => log: read });
body!(QueryRecord {
    "Type" => r#type: read_query_record_type,
    "From" => from: read,
    "Payload" => payload: read_bytes,
});

/// All fields any stream record has. `Event` says which of them count.
#[derive(Default)]
struct AnyEventRecord {
    event: Text,
    members: Vec<Member>,
    coalesce: bool,
    id: u64,
    ltime: u64,
    name: Text,
    payload: Option<Bytes>,
}

fields!(AnyEventRecord {
    "Event" => event: read,
    "Members" => members: read_objects,
    "LTime" => ltime: read,
    "Name" => name: read,
    "Payload" => payload: read_bytes,
    "Coalesce" => coalesce: read,
    "ID" => id: read,
});

impl Decode for EventRecord {
    fn decode(object: &[u8]) -> Result<Self, DecodeError> {
        let AnyEventRecord { event, members, coalesce, id, ltime, name, payload } = fields::decode(object)?;
        Ok(match event.as_bytes() {
            b"user" => Self::User(UserEventRecord { coalesce, ltime, name, payload }),
            b"query" => Self::Query(QueryEventRecord { id, ltime, name, payload }),
            _ => Self::Members(MemberEventRecord { event, members }),
        })
    }
}

impl Encode for EventRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Members(record) => write(record, out),
            Self::User(record) => write(&UserOut::from(record), out),
            Self::Query(record) => write(&QueryOut::from(record), out),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UserOut<'a> {
    coalesce: bool,
    event: &'static str,
    #[serde(rename = "LTime")]
    ltime: u64,
    name: &'a Text,
    #[serde(serialize_with = "write_bytes")]
    payload: &'a Option<Bytes>,
}

impl<'a> From<&'a UserEventRecord> for UserOut<'a> {
    fn from(record: &'a UserEventRecord) -> Self {
        Self {
            coalesce: record.coalesce,
            event: "user",
            ltime: record.ltime,
            name: &record.name,
            payload: &record.payload,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueryOut<'a> {
    event: &'static str,
    #[serde(rename = "ID")]
    id: u64,
    #[serde(rename = "LTime")]
    ltime: u64,
    name: &'a Text,
    #[serde(serialize_with = "write_bytes")]
    payload: &'a Option<Bytes>,
}

impl<'a> From<&'a QueryEventRecord> for QueryOut<'a> {
    fn from(record: &'a QueryEventRecord) -> Self {
        Self { event: "query", id: record.id, ltime: record.ltime, name: &record.name, payload: &record.payload }
    }
}
