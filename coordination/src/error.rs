//! What commands are refused with, and why bytes are not a snapshot or an entry. All refusals leave the machine as it was.

use serde::{Deserialize, Serialize};

pub use crate::codec::CodecError;
use crate::types::{ItemId, Revision};

/// Why a command was not applied, or a waiting call not served. [`Refusal::code`] is stable; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    // The caller's identity.
    /// The client id was never registered or has expired: register again. Whether the request had been applied before the
    /// client expired is unknown.
    #[error("this client is not registered, or has expired")]
    ClientExpired,
    /// The client has acknowledged this request: its reply is forgotten, and it is not applied again.
    #[error("the client has acknowledged this request number already")]
    Stale,
    /// No session with this id, or it has ended.
    #[error("no such session, or it has ended")]
    NoSession,

    // The state of the object.
    /// Held by another, and the caller does not wait.
    #[error("held by another")]
    Busy,
    /// Nothing to take, and the caller does not wait.
    #[error("empty")]
    Empty,
    /// The object is at the bound that its users gave it.
    #[error("full: bounded at {0}")]
    Full(u64),
    /// The caller does not hold this (or does so no longer).
    #[error("not held by this hold id")]
    NotHeld,
    /// The lease token is not that of the item's current claim: it was put back, given to another, or finished.
    #[error("this lease of the item has ended")]
    StaleLease,
    /// No such key, element, item, barrier or queue.
    #[error("no such {}", .0.one())]
    Missing(Thing),
    /// It exists already.
    #[error("the {} exists already", .0.one())]
    Exists(Thing),
    /// Position outside the list.
    #[error("position outside a list of {0}")]
    OutOfRange(u64),
    /// A counter would leave 64 bits.
    #[error("the counter would leave its 64 bits")]
    Overflow,
    /// The name is in use with another capacity or count.
    #[error("in use with a capacity of {0}")]
    CapacityDiffers(u64),
    /// More permits than the capacity, or none; a count of zero; a priority above 100; a bound below another.
    #[error("{0} is out of range")]
    Invalid(Argument),
    /// The item depends on one that is neither waiting nor remembered as completed.
    #[error("item {} is not known, so nothing can depend on it", .0.0)]
    UnknownDependency(ItemId),

    // The end of waiting.
    /// The patience of a waiting call has run out.
    #[error("timed out")]
    TimedOut,
    /// The waiting call was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The session or client on which a waiting call depended has ended.
    #[error("the session ended while waiting")]
    OwnerEnded,
    /// What was waited for was removed.
    #[error("removed while waiting")]
    Removed,

    // Limits of `limits.rs`.
    /// Too many of a thing.
    #[error("{0} are limited to {1}")]
    TooMany(Thing, u64),
    /// A command is larger than allowed.
    #[error("{0} is limited to {1}")]
    TooLarge(Argument, u64),
    /// All memory for stored data is used.
    #[error("storage is full: {0} bytes")]
    StorageFull(u64),
    /// The client must acknowledge replies first. This refusal alone is not kept: the same request may be sent again.
    #[error("too many unacknowledged replies")]
    TooManyUnacknowledged,

    // Reading.
    /// The changes asked for are forgotten: read the state again, then watch from its revision.
    #[error("changes up to revision {} are compacted", .0.0)]
    Compacted(Revision),
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Thing {
    Clients,
    Sessions,
    Keys,
    Lines,
    Waiters,
    Barriers,
    Collections,
    Elements,
    Queues,
    Items,
    Requirements,
    OpenRequests,
}

/// Which argument a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Argument {
    Revision,
    Permits,
    Count,
    Priority,
    Bounds,
    Transaction,
    ElectionValue,
    Elements,
    Capabilities,
    Exclusions,
    Dependencies,
    Batch,
    Result,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Clients => "clients",
            Self::Sessions => "sessions",
            Self::Keys => "keys",
            Self::Lines => "locks, semaphores and elections in use",
            Self::Waiters => "waiting calls",
            Self::Barriers => "barriers",
            Self::Collections => "counters, sets and lists",
            Self::Elements => "elements",
            Self::Queues => "queues",
            Self::Items => "items",
            Self::Requirements => "different requirements of items in one queue",
            Self::OpenRequests => "open requests below those that are acknowledged",
        })
    }
}

impl Thing {
    /// One of them.
    fn one(self) -> &'static str {
        match self {
            Self::Clients => "client",
            Self::Sessions => "session",
            Self::Keys => "key",
            Self::Lines => "lock, semaphore or election",
            Self::Waiters => "waiting call",
            Self::Barriers => "barrier",
            Self::Collections => "counter, set or list",
            Self::Elements => "element",
            Self::Queues => "queue",
            Self::Items => "item",
            Self::Requirements => "requirement",
            Self::OpenRequests => "open request",
        }
    }
}

impl std::fmt::Display for Argument {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Revision => "the revision",
            Self::Permits => "the number of permits",
            Self::Count => "the count",
            Self::Priority => "the priority",
            Self::Bounds => "the pair of limits",
            Self::Transaction => "a transaction",
            Self::ElectionValue => "the value of a candidate",
            Self::Elements => "the number of elements in one command",
            Self::Capabilities => "the number of capabilities",
            Self::Exclusions => "the number of excluded nodes",
            Self::Dependencies => "the number of dependencies",
            Self::Batch => "the batch",
            Self::Result => "the result of an item",
        })
    }
}

impl Refusal {
    /// The stable name of the refusal, for clients to branch on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ClientExpired => "client-expired",
            Self::Stale => "stale-request",
            Self::NoSession => "no-session",
            Self::Busy => "busy",
            Self::Empty => "empty",
            Self::Full(_) => "full",
            Self::NotHeld => "not-held",
            Self::StaleLease => "stale-lease",
            Self::Missing(_) => "missing",
            Self::Exists(_) => "exists",
            Self::OutOfRange(_) => "out-of-range",
            Self::Overflow => "overflow",
            Self::CapacityDiffers(_) => "capacity-differs",
            Self::Invalid(_) => "invalid",
            Self::UnknownDependency(_) => "unknown-dependency",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::OwnerEnded => "owner-ended",
            Self::Removed => "removed",
            Self::TooMany(..) => "too-many",
            Self::TooLarge(..) => "too-large",
            Self::StorageFull(_) => "storage-full",
            Self::TooManyUnacknowledged => "too-many-unacknowledged",
            Self::Compacted(_) => "compacted",
        }
    }
}

/// Why bytes are not a snapshot or an entry. Nothing was built from them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The version in front is not one that this program reads.
    #[error("version {found} of the encoding, this program reads {known}")]
    Version {
        /// The first byte.
        found: u8,
        /// The version that this program writes and reads.
        known: u8,
    },
    /// There are no bytes at all.
    #[error("empty")]
    Empty,
    /// Damaged, or written by another type.
    #[error(transparent)]
    Codec(#[from] CodecError),
}
