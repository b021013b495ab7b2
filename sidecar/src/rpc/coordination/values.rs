//! Single values between the client's protocol and the state machine: names, payloads, spans, numbers that may be absent.

use bytes::Bytes;
use folkmoot_coordination::limits::{KEY_BYTES_MAX, TTL_MS_MAX, VALUE_BYTES_MAX};
use folkmoot_coordination::{Key, Millis, Owner, Patience, SessionId, TimeMs, Ttl, Value};
use folkmoot_proto::coordination::{self as wire, Code};
use folkmoot_proto::{Blob, Text};

/// Why a command failed: a stable word, and prose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Failure {
    /// The word.
    pub code: Code,
    /// The prose.
    pub reason: String,
}

impl Failure {
    /// Of that word.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The client sent something that the command does not take.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, reason)
    }
}

/// A key or name, called `what`.
pub(super) fn key(text: &Text, what: &str) -> Result<Key, Failure> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err(Failure::invalid(format!("{what} is empty")));
    }
    Key::try_from(Bytes::copy_from_slice(bytes)).map_err(|_| too_large(what, bytes.len(), KEY_BYTES_MAX))
}

/// The name of an object.
pub(super) fn name(text: &Text) -> Result<Key, Failure> {
    key(text, "the name")
}

/// A name that may be left out.
pub(super) fn optional_key(text: &Text, what: &str) -> Result<Option<Key>, Failure> {
    if text.is_empty() { Ok(None) } else { key(text, what).map(Some) }
}

/// A set of names, each called `what`.
pub(super) fn keys<C: FromIterator<Key>>(texts: &[Text], what: &str) -> Result<C, Failure> {
    texts.iter().map(|text| key(text, what)).collect()
}

/// What keys start with.
pub(super) fn prefix(text: &Text) -> Result<Bytes, Failure> {
    let bytes = text.as_bytes();
    if bytes.len() > KEY_BYTES_MAX {
        return Err(too_large("the prefix", bytes.len(), KEY_BYTES_MAX));
    }
    Ok(Bytes::copy_from_slice(bytes))
}

/// A value or payload.
pub(super) fn value(blob: Blob) -> Result<Value, Failure> {
    let length = blob.len();
    Value::try_from(Bytes::from(blob)).map_err(|_| too_large("the value", length, VALUE_BYTES_MAX))
}

/// Several of them.
pub(super) fn values(blobs: Vec<Blob>) -> Result<Vec<Value>, Failure> {
    blobs.into_iter().map(value).collect()
}

fn too_large(what: &str, length: usize, most: usize) -> Failure {
    Failure::new(Code::TooLarge, format!("{what} has {length} bytes, at most {most} are allowed"))
}

/// A time to live that has to be there.
pub(super) fn ttl(millis: u64) -> Result<Ttl, Failure> {
    Ttl::try_from(millis)
        .map_err(|_| Failure::invalid(format!("a time of {millis} ms where 1 to {TTL_MS_MAX} ms are allowed")))
}

/// A time to live; 0 is none.
pub(super) fn optional_ttl(millis: u64) -> Result<Option<Ttl>, Failure> {
    if millis == 0 { Ok(None) } else { ttl(millis).map(Some) }
}

/// A session; 0 is none.
pub(super) fn optional_session(session: u64) -> Option<SessionId> {
    (session != 0).then_some(SessionId(session))
}

/// How long a call may wait.
pub(super) fn patience(wait: i64) -> Patience {
    match u64::try_from(wait) {
        Err(_) => Patience::Unlimited,
        Ok(0) => Patience::None,
        Ok(millis) => Patience::Within(Millis(millis)),
    }
}

/// The text of a key.
pub(super) fn text(key: Key) -> Text {
    Text::from_bytes(Bytes::from(key))
}

/// The text of a key; empty is none.
pub(super) fn optional_text(key: Option<Key>) -> Text {
    key.map(text).unwrap_or_default()
}

pub(super) fn blob(value: Value) -> Blob {
    Blob(Bytes::from(value))
}

/// A moment of log time; 0 is never.
pub(super) fn moment(time: Option<TimeMs>) -> u64 {
    time.map_or(0, |time| time.0)
}

pub(super) fn owner(owner: Owner) -> wire::Owner {
    let none = wire::Owner::default();
    match owner {
        Owner::Client(client) => wire::Owner { client: client.0, ..none },
        Owner::Session(session) => wire::Owner { session: session.0, ..none },
        Owner::Node(node) => wire::Owner { node: text(node), ..none },
    }
}
