//! Requests: the header with its persistent fields, and the body of every command (sections 5, 7 and 8).

use std::collections::BTreeMap;

use bytes::Bytes;
use folkmoot_wire::Text;
use serde::Serialize;
use serde::de::Deserializer;

use crate::coordination::CoordinationRequest;
use crate::fields::{self, Fields, body, read, read_bytes, skip, write, write_bytes};
use crate::{AgentCommand, Command, Decode, DecodeError, Encode};

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Agrees on the version.
    Handshake(HandshakeRequest),
    /// Shows the key.
    Auth(AuthRequest),
    /// What the agent does.
    Agent(AgentRequest),
    /// What the group does.
    Coordination(CoordinationRequest),
}

/// What a client the agent knows asks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the command of that name")]
pub enum AgentRequest {
    Event(EventRequest),
    ForceLeave(ForceLeaveRequest),
    Join(JoinRequest),
    Members,
    MembersFiltered(MembersFilteredRequest),
    Stream(StreamRequest),
    Stop(StopRequest),
    Monitor(MonitorRequest),
    Leave,
    InstallKey(KeyRequest),
    UseKey(KeyRequest),
    RemoveKey(KeyRequest),
    ListKeys,
    Tags(TagsRequest),
    Query(QueryRequest),
    Respond(RespondRequest),
    Stats,
    GetCoordinate(CoordinateRequest),
    HandlersAdd(HandlerRequest),
    HandlersList,
    HandlersRemove(HandlerRequest),
}

impl Request {
    /// The command it is a request for.
    pub fn command(&self) -> Command {
        match self {
            Self::Handshake(_) => Command::Handshake,
            Self::Auth(_) => Command::Auth,
            Self::Agent(request) => Command::Agent(request.command()),
            Self::Coordination(request) => Command::Coordination(request.command()),
        }
    }

    /// Header and body, ready for one write.
    pub fn to_bytes(&self, seq: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        write(&HeaderOut { command: self.command().name(), seq }, &mut out);
        match self {
            Self::Handshake(body) => body.encode(&mut out),
            Self::Auth(body) => body.encode(&mut out),
            Self::Agent(request) => request.encode_body(&mut out),
            Self::Coordination(request) => request.encode(&mut out),
        }
        out
    }
}

impl AgentRequest {
    /// The command it is a request for.
    pub fn command(&self) -> AgentCommand {
        match self {
            Self::Event(_) => AgentCommand::Event,
            Self::ForceLeave(_) => AgentCommand::ForceLeave,
            Self::Join(_) => AgentCommand::Join,
            Self::Members => AgentCommand::Members,
            Self::MembersFiltered(_) => AgentCommand::MembersFiltered,
            Self::Stream(_) => AgentCommand::Stream,
            Self::Stop(_) => AgentCommand::Stop,
            Self::Monitor(_) => AgentCommand::Monitor,
            Self::Leave => AgentCommand::Leave,
            Self::InstallKey(_) => AgentCommand::InstallKey,
            Self::UseKey(_) => AgentCommand::UseKey,
            Self::RemoveKey(_) => AgentCommand::RemoveKey,
            Self::ListKeys => AgentCommand::ListKeys,
            Self::Tags(_) => AgentCommand::Tags,
            Self::Query(_) => AgentCommand::Query,
            Self::Respond(_) => AgentCommand::Respond,
            Self::Stats => AgentCommand::Stats,
            Self::GetCoordinate(_) => AgentCommand::GetCoordinate,
            Self::HandlersAdd(_) => AgentCommand::HandlersAdd,
            Self::HandlersList => AgentCommand::HandlersList,
            Self::HandlersRemove(_) => AgentCommand::HandlersRemove,
        }
    }

    /// The request for `command` with this body; `body` is not looked at where the command has none.
    pub fn decode(command: AgentCommand, body: &[u8]) -> Result<Self, DecodeError> {
        Ok(match command {
            AgentCommand::Event => Self::Event(EventRequest::decode(body)?),
            AgentCommand::ForceLeave => Self::ForceLeave(ForceLeaveRequest::decode(body)?),
            AgentCommand::Join => Self::Join(JoinRequest::decode(body)?),
            AgentCommand::Members => Self::Members,
            AgentCommand::MembersFiltered => Self::MembersFiltered(MembersFilteredRequest::decode(body)?),
            AgentCommand::Stream => Self::Stream(StreamRequest::decode(body)?),
            AgentCommand::Stop => Self::Stop(StopRequest::decode(body)?),
            AgentCommand::Monitor => Self::Monitor(MonitorRequest::decode(body)?),
            AgentCommand::Leave => Self::Leave,
            AgentCommand::InstallKey => Self::InstallKey(KeyRequest::decode(body)?),
            AgentCommand::UseKey => Self::UseKey(KeyRequest::decode(body)?),
            AgentCommand::RemoveKey => Self::RemoveKey(KeyRequest::decode(body)?),
            AgentCommand::ListKeys => Self::ListKeys,
            AgentCommand::Tags => Self::Tags(TagsRequest::decode(body)?),
            AgentCommand::Query => Self::Query(QueryRequest::decode(body)?),
            AgentCommand::Respond => Self::Respond(RespondRequest::decode(body)?),
            AgentCommand::Stats => Self::Stats,
            AgentCommand::GetCoordinate => Self::GetCoordinate(CoordinateRequest::decode(body)?),
            AgentCommand::HandlersAdd => Self::HandlersAdd(HandlerRequest::decode(body)?),
            AgentCommand::HandlersList => Self::HandlersList,
            AgentCommand::HandlersRemove => Self::HandlersRemove(HandlerRequest::decode(body)?),
        })
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Event(body) => body.encode(out),
            Self::ForceLeave(body) => body.encode(out),
            Self::Join(body) => body.encode(out),
            Self::MembersFiltered(body) => body.encode(out),
            Self::Stream(body) => body.encode(out),
            Self::Stop(body) => body.encode(out),
            Self::Monitor(body) => body.encode(out),
            Self::InstallKey(body) | Self::UseKey(body) | Self::RemoveKey(body) => body.encode(out),
            Self::Tags(body) => body.encode(out),
            Self::Query(body) => body.encode(out),
            Self::Respond(body) => body.encode(out),
            Self::GetCoordinate(body) => body.encode(out),
            Self::HandlersAdd(body) | Self::HandlersRemove(body) => body.encode(out),
            Self::Members | Self::Leave | Self::ListKeys | Self::Stats | Self::HandlersList => {}
        }
    }
}

impl From<AgentRequest> for Request {
    fn from(request: AgentRequest) -> Self {
        Self::Agent(request)
    }
}

impl From<CoordinationRequest> for Request {
    fn from(request: CoordinationRequest) -> Self {
        Self::Coordination(request)
    }
}

/// The request header of a connection: one for its whole life, because what a client leaves out keeps its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The command's name, as sent.
    pub command: Text,
    /// The client's number for this request; echoed.
    pub seq: u64,
}

impl Header {
    /// Takes over the fields that `object` has. Nil, whole or as a field, is zero. On an error nothing changes.
    pub fn update(&mut self, object: &[u8]) -> Result<(), DecodeError> {
        let partial: PartialHeader = fields::decode(object)?;
        if let Some(command) = partial.command {
            self.command = command;
        }
        if let Some(seq) = partial.seq {
            self.seq = seq;
        }
        Ok(())
    }
}

#[derive(Default)]
struct PartialHeader {
    command: Option<Text>,
    seq: Option<u64>,
}

impl Fields for PartialHeader {
    const ORDER: &'static [&'static str] = &["Command", "Seq"];

    fn set<'de, D: Deserializer<'de>>(&mut self, name: &[u8], value: D) -> Result<(), D::Error> {
        match name {
            b"Command" => self.command = Some(read(value)?),
            b"Seq" => self.seq = Some(read(value)?),
            _ => skip(value)?,
        }
        Ok(())
    }

    fn zero() -> Self {
        Self { command: Some(Text::default()), seq: Some(0) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HeaderOut {
    command: &'static str,
    seq: u64,
}

/// Body of `handshake`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    /// Only [`crate::VERSION`] exists.
    pub version: i32,
}

/// Body of `auth`. Its `Debug` form does not show the key.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct AuthRequest {
    /// What the agent was configured with.
    #[serde(rename = "AuthKey")]
    pub auth_key: Text,
}

impl std::fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthRequest { .. }")
    }
}

/// Body of `event`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventRequest {
    /// Whether receivers may see only the newest of this name.
    pub coalesce: bool,
    /// Any bytes, empty too.
    pub name: Text,
    /// Nil and empty are delivered as such.
    #[serde(serialize_with = "write_bytes")]
    pub payload: Option<Bytes>,
}

/// Body of `force-leave`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ForceLeaveRequest {
    /// Whom.
    pub node: Text,
    /// Whether to erase it as well.
    pub prune: bool,
}

/// Body of `join`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinRequest {
    /// Addresses in any form of section 7.7.
    pub existing: Vec<Text>,
    /// Whether user events from before the join are wanted.
    pub replay: bool,
}

/// Body of `members-filtered`. Empty means: no such filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MembersFilteredRequest {
    /// Expression over the name.
    pub name: Text,
    /// Expression over the status.
    pub status: Text,
    /// Tag to expression; all have to match.
    pub tags: BTreeMap<Text, Text>,
}

/// Body of `stream`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamRequest {
    /// Comma-separated event filters; empty means all.
    pub r#type: Text,
}

/// Body of `stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopRequest {
    /// Sequence number of the stream or monitor to end.
    pub stop: u64,
}

/// Body of `monitor`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MonitorRequest {
    /// `TRACE DEBUG INFO WARN ERR`, any case.
    pub log_level: Text,
}

/// Body of `install-key`, `use-key`, `remove-key`. Its `Debug` form does not show the key.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyRequest {
    /// Standard base64 with padding.
    pub key: Text,
}

impl std::fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRequest { .. }")
    }
}

/// Body of `tags`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagsRequest {
    /// Removed first.
    pub delete_tags: Vec<Text>,
    /// Set then.
    pub tags: BTreeMap<Text, Text>,
}

/// Body of `query`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueryRequest {
    /// Exact names of those asked; empty means all.
    pub filter_nodes: Vec<Text>,
    /// Tag to expression (not anchored); empty means all.
    pub filter_tags: BTreeMap<Text, Text>,
    /// Its name.
    pub name: Text,
    /// Its payload.
    #[serde(serialize_with = "write_bytes")]
    pub payload: Option<Bytes>,
    /// How many other nodes pass each answer on as well.
    pub relay_factor: u8,
    /// Whether receivers confirm.
    pub request_ack: bool,
    /// Nanoseconds; 0: the default for the cluster's size; negative: over at once.
    pub timeout: i64,
}

/// Body of `respond`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RespondRequest {
    /// From a query record of the same connection.
    #[serde(rename = "ID")]
    pub id: u64,
    /// The answer.
    #[serde(rename = "Payload", serialize_with = "write_bytes")]
    pub payload: Option<Bytes>,
}

/// Body of `get-coordinate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CoordinateRequest {
    /// Whose.
    pub node: Text,
}

/// Body of `handlers-add` and `handlers-remove`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandlerRequest {
    /// `[FILTER=]SCRIPT`, as the flag `-event-handler` has it.
    pub handler: Text,
}

body!(HandlerRequest { "Handler" => handler: read });
body!(HandshakeRequest { "Version" => version: read });
body!(AuthRequest { "AuthKey" => auth_key: read });
body!(EventRequest { "Name" => name: read, "Payload" => payload: read_bytes, "Coalesce" => coalesce: read });
body!(ForceLeaveRequest { "Node" => node: read, "Prune" => prune: read });
body!(JoinRequest { "Existing" => existing: read, "Replay" => replay: read });
body!(MembersFilteredRequest { "Tags" => tags: read, "Status" => status: read, "Name" => name: read });
body!(StreamRequest { "Type" => r#type: read });
body!(StopRequest { "Stop" => stop: read });
body!(MonitorRequest { "LogLevel" => log_level: read });
body!(KeyRequest { "Key" => key: read });
body!(TagsRequest { "Tags" => tags: read, "DeleteTags" => delete_tags: read });
body!(QueryRequest {
    "FilterNodes" => filter_nodes: read,
    "FilterTags" => filter_tags: read,
    "RequestAck" => request_ack: read,
    "RelayFactor" => relay_factor: read,
    "Timeout" => timeout: read,
    "Name" => name: read,
    "Payload" => payload: read_bytes,
});
body!(RespondRequest { "ID" => id: read, "Payload" => payload: read_bytes });
body!(CoordinateRequest { "Node" => node: read });
