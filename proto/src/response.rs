//! What the agent answers: the header and the bodies of its responses (sections 5 and 7). Members have a file of their
//! own, and so have the records of streams, monitors and queries.

use std::collections::BTreeMap;

use folkmoot_wire::Text;
use serde::Serialize;

use crate::fields::{body, fields, read, read_object, read_objects, write};
use crate::{Decode, DecodeError, Encode};

/// Header of every response and record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResponseHeader {
    /// Empty on success.
    pub error: Text,
    /// Of the request this belongs to.
    pub seq: u64,
}

impl ResponseHeader {
    /// Success.
    pub fn ok(seq: u64) -> Self {
        Self { error: Text::default(), seq }
    }

    /// Refusal.
    pub fn refused(seq: u64, error: impl Into<Text>) -> Self {
        Self { error: error.into(), seq }
    }

    /// Header alone, ready for one write.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32usize.saturating_add(self.error.len()));
        self.encode(&mut out);
        out
    }

    /// Header and body, ready for one write.
    pub fn with_body(&self, body: &impl Encode) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode(&mut out);
        body.encode(&mut out);
        out
    }
}

/// Body of `join`, sent with an error too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinResponse {
    /// Addresses contacted.
    pub num: i32,
}

/// Body of `stats`: section, key, value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StatsResponse(pub BTreeMap<Text, BTreeMap<Text, Text>>);

/// Body of `get-coordinate`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CoordinateResponse {
    /// All zero if unknown.
    pub coord: Coordinate,
    /// Whether it is known.
    pub ok: bool,
}

/// A network coordinate, seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Coordinate {
    /// Offset learned from probes.
    pub adjustment: f64,
    /// Confidence, no unit.
    pub error: f64,
    /// Access link.
    pub height: f64,
    /// Euclidean part, 8 elements; nil if unknown.
    pub vec: Option<Vec<f64>>,
}

/// Body of the key commands, sent with an error too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyResponse {
    /// `list-keys`: base64 key to how many nodes have it. Nil for the others.
    pub keys: Option<BTreeMap<Text, i64>>,
    /// Node to message, where there is one.
    pub messages: BTreeMap<Text, Text>,
    /// Nodes that failed.
    pub num_err: i64,
    /// Nodes asked.
    pub num_nodes: i64,
    /// Nodes that answered.
    pub num_resp: i64,
}

/// Body of `handlers-list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandlersResponse {
    /// Events dropped for all of them, because too many waited for their turn.
    pub dropped: u64,
    /// In the order in which they are run.
    pub handlers: Vec<HandlerInfo>,
}

/// An event handler. Numbers count since it is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandlerInfo {
    /// Events that were not taken because too many waited.
    pub dropped: u64,
    /// Runs that failed.
    pub failures: u64,
    /// As it was written.
    pub handler: Text,
    /// Runs that have ended, failed ones included.
    pub runs: u64,
    /// `config` or `rpc`.
    pub source: Text,
    /// Events taken whose run has not ended.
    pub waiting: u64,
}

fields!(HandlerInfo {
    "Handler" => handler: read,
    "Source" => source: read,
    "Runs" => runs: read,
    "Failures" => failures: read,
    "Dropped" => dropped: read,
    "Waiting" => waiting: read,
});
body!(HandlersResponse { "Handlers" => handlers: read_objects, "Dropped" => dropped: read });
body!(ResponseHeader { "Seq" => seq: read, "Error" => error: read });
body!(JoinResponse { "Num" => num: read });
body!(CoordinateResponse { "Coord" => coord: read_object, "Ok" => ok: read });
body!(Coordinate {
    "Vec" => vec: read,
    "Error" => error: read,
    "Adjustment" => adjustment: read,
    "Height" => height: read,
});
body!(KeyResponse {
    "Messages" => messages: read,
    "Keys" => keys: read,
    "NumNodes" => num_nodes: read,
    "NumErr" => num_err: read,
    "NumResp" => num_resp: read,
});

impl Decode for StatsResponse {
    fn decode(object: &[u8]) -> Result<Self, DecodeError> {
        folkmoot_wire::decode::<Option<BTreeMap<Text, BTreeMap<Text, Text>>>>(object)
            .map(|stats| Self(stats.unwrap_or_default()))
    }
}

impl Encode for StatsResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        write(self, out);
    }
}
