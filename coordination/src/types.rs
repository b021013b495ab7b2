//! The small types: numbers that must not be mixed up, keys and values within their limits.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::{KEY_BYTES_MAX, TTL_MS_MAX, VALUE_BYTES_MAX};

/// Declares a number that is not any other number.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);
    };
}

number!(
    /// Log time in milliseconds: the leader's monotonic time carried from leader to leader, never a wall clock.
    TimeMs
);
number!(
    /// Wall time in milliseconds since 1970, for people only: nothing is decided by it.
    WallMs
);
number!(
    /// A span in milliseconds of log time; zero and beyond any use are allowed (additions saturate).
    Millis
);
number!(
    /// Position of an entry in the replicated log.
    LogIndex
);
number!(
    /// Counts steps that changed something, over the whole cluster. The revision of a grant is its fencing token.
    Revision
);
number!(
    /// A registered client: a number that is drawn for it, see [`crate::Command::RegisterClient`].
    ClientId
);
number!(
    /// A client's own number for a request. It uses each once, in any order, and starts at 0 or 1.
    RequestId
);
number!(
    /// A session: the revision of its creation.
    SessionId
);
number!(
    /// A place in a line and, once granted, the hold: the revision at which the request entered. Lower came first. Whoever
    /// knows it may give the hold back.
    HoldId
);
number!(
    /// A work item: the revision at which it was put.
    ItemId
);

impl Revision {
    /// The one after. The last one stays: it is out of reach (see [`crate::limits::REVISION_RAISE_MAX`]).
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl TimeMs {
    /// The moment `span` later; the end of time if there is none.
    #[must_use]
    pub fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// A call that waits, and where its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket {
    /// Who called.
    pub client: ClientId,
    /// With which request.
    pub request: RequestId,
}

/// On whose existence a thing depends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owner {
    /// A client, until it expires.
    Client(ClientId),
    /// A session, until it ends.
    Session(SessionId),
    /// A node of the gossip cluster, until the leader says that it is gone.
    Node(Key),
}

/// How long a call that cannot be served at once stays in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Patience {
    /// Not at all: it is refused with `Busy` or `Empty`.
    None,
    /// This long, then it is answered with `TimedOut`.
    Within(Millis),
    /// Until served, cancelled, or its owner ends.
    Unlimited,
}

/// Bytes outside their limits: what was offered, and what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} given, between {least} and {most} allowed")]
pub struct TooLong {
    /// Bytes (or milliseconds) offered.
    pub length: u64,
    /// The least allowed.
    pub least: u64,
    /// The most allowed.
    pub most: u64,
}

fn within(length: u64, least: u64, most: u64) -> Result<(), TooLong> {
    if (least..=most).contains(&length) { Ok(()) } else { Err(TooLong { length, least, most }) }
}

/// A key or name: 1 to [`KEY_BYTES_MAX`] bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct Key(Bytes);

/// A value or payload: at most [`VALUE_BYTES_MAX`] bytes. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct Value(Bytes);

/// A time to live: 1 ms to [`TTL_MS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Ttl(u64);

impl Key {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key that a numbered thing has in events: its decimal digits.
    pub(crate) fn of_number(number: u64) -> Self {
        Self(Bytes::from(number.to_string()))
    }
}

impl Value {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// How many bytes.
    pub(crate) fn size(&self) -> usize {
        self.0.len()
    }
}

impl Ttl {
    /// The same as a span.
    #[must_use]
    pub fn span(self) -> Millis {
        Millis(self.0)
    }
}

impl TryFrom<Bytes> for Key {
    type Error = TooLong;
    fn try_from(bytes: Bytes) -> Result<Self, TooLong> {
        within(bytes.len() as u64, 1, KEY_BYTES_MAX as u64).map(|()| Self(bytes))
    }
}

impl TryFrom<&str> for Key {
    type Error = TooLong;
    fn try_from(text: &str) -> Result<Self, TooLong> {
        Self::try_from(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Key> for Bytes {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl TryFrom<Bytes> for Value {
    type Error = TooLong;
    fn try_from(bytes: Bytes) -> Result<Self, TooLong> {
        within(bytes.len() as u64, 0, VALUE_BYTES_MAX as u64).map(|()| Self(bytes))
    }
}

impl TryFrom<&str> for Value {
    type Error = TooLong;
    fn try_from(text: &str) -> Result<Self, TooLong> {
        Self::try_from(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Value> for Bytes {
    fn from(value: Value) -> Self {
        value.0
    }
}

impl TryFrom<u64> for Ttl {
    type Error = TooLong;
    fn try_from(millis: u64) -> Result<Self, TooLong> {
        within(millis, 1, TTL_MS_MAX).map(|()| Self(millis))
    }
}

impl From<Ttl> for u64 {
    fn from(ttl: Ttl) -> Self {
        ttl.0
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.0, formatter)
    }
}

/// Payloads are never printed: they may be secrets.
impl std::fmt::Debug for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}
