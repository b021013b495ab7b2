//! Errors, by who is at fault. `Display` is Go's text where Go has one (`docs/spec/rpc.md` 6); texts of ours start with a
//! stable code. Nothing changed wherever a request is refused.

use crate::TagsTooLong;

/// An announcement that did not go as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Of set-tags: nobody took the update in time. The tags are changed here.
    #[error("timeout waiting for update broadcast")]
    UpdateBroadcast,
    /// Of force-leave: nobody took it in time. It is applied here.
    #[error("timed out broadcasting node removal")]
    RemovalBroadcast,
    /// Of force-leave: the name has control characters or a `/` and nobody is called so. Nothing changed.
    #[error("invalid-name: a node name has no control characters and no '/'")]
    InvalidName,
}

/// The start was refused; `Display` is Go's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// A request was refused and nothing changed; `Display` is Go's text (spec/rpc.md 6).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Join while leaving.
    #[error("Serf can't Join after Leave or Shutdown")]
    NotAlive,
    /// Leave twice.
    #[error("Leave already in progress")]
    LeaveInProgress,
    /// Leave too late.
    #[error("Leave called after Shutdown")]
    LeaveAfterShutdown,
    /// Set-tags with more than fits into 512 bytes.
    #[error(transparent)]
    Tags(#[from] TagsTooLong),
    /// Event whose name and payload are too long.
    #[error("user event exceeds configured limit of {0} bytes before encoding")]
    EventTooLong(usize),
    /// Event that is too long once encoded.
    #[error("encoded user event exceeds configured limit of {0} bytes after encoding")]
    EncodedEventTooLong(usize),
    /// Query that is too long once encoded.
    #[error("query exceeds limit of {0} bytes")]
    QueryTooLong(usize),
    /// Query with a protocol version below 4.
    #[error("Feature not supported")]
    FeatureNotSupported,
    /// Message within its own limit that no gossip packet can ever carry (F7: Go queues it for ever).
    #[error("never-gossiped: message of {length} bytes, one gossip packet carries {ceiling}")]
    NeverGossiped {
        /// Bytes it has.
        length: usize,
        /// Bytes it may have.
        ceiling: usize,
    },
    /// Answer to a query.
    #[error("failed to respond to key query: {0}")]
    Respond(#[from] RespondError),
    /// More requests wait than we keep.
    #[error("too-many-requests: {0} are waiting already")]
    TooMany(usize),
    /// Too late for anything.
    #[error("shut-down: the agent has stopped")]
    Shutdown,
    /// A refusal of the shell's own, in its words; the engine never says it.
    #[error("{0}")]
    Other(String),
}

/// Why an answer was not sent. ("Key query" in the text around it is a slip of Go's that clients know.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// Too long. A shorter one may follow.
    #[error("response exceeds limit of {0} bytes")]
    TooLong(usize),
    /// Only one answer per node.
    #[error("response already sent")]
    AlreadySent,
    /// Too late, or the query is not known.
    #[error("response is past the deadline")]
    PastDeadline,
    /// The query names no address to answer to.
    #[error("no-address: the query says not where to answer")]
    NoAddress,
}
