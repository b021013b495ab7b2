//! What goes into the engine and what comes out of it, apart from packets and time.
//!
//! Types only: how they come about stands in the module of each (`members`, `events`, `queries`, `keys`, `operations`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Instant, Io, LamportTime, Member, MemberEventKind, NodeName, OperationError, Record, Text};

/// Something for Serf's users.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Members changed.
    Members(MemberEvent),
    /// A user event.
    User(UserEvent),
    /// A query that wants answers. Internal queries never appear here.
    Query(QueryEvent),
}

/// Members that changed in the same way.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberEvent {
    /// How.
    pub kind: MemberEventKind,
    /// Who, as they were right after the change.
    pub members: Vec<Arc<Member>>,
    /// Set where the change was made by an operator (`force-leave`, `prune`): Serf's log lines say `(forced)`.
    pub forced: bool,
}

/// A user event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEvent {
    /// When it was fired.
    pub ltime: LamportTime,
    /// Its name.
    pub name: Text,
    /// Its payload; nil and empty are told apart because RPC shows it.
    pub payload: Option<Bytes>,
    /// Whether clients may see only the newest of a name.
    pub coalesce: bool,
}

/// Identifies a query towards its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryKey {
    /// Logical time.
    pub ltime: LamportTime,
    /// Random id.
    pub id: u32,
}

/// A query as received (also our own).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryEvent {
    /// For [`crate::Serf::respond`].
    pub key: QueryKey,
    /// Name.
    pub name: Text,
    /// Payload.
    pub payload: Option<Bytes>,
    /// Who asks; empty from old agents.
    pub source: NodeName,
    /// Answers after this are refused.
    pub deadline: Instant,
}

/// A query to ask.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// Name.
    pub name: Text,
    /// Payload.
    pub payload: Option<Bytes>,
    /// Only these nodes (empty: all).
    pub filter_nodes: Vec<NodeName>,
    /// Only nodes whose tags match these expressions.
    pub filter_tags: BTreeMap<Text, Text>,
    /// Whether receivers shall confirm.
    pub request_ack: bool,
    /// How many other nodes shall pass each answer on as well.
    pub relay_factor: u8,
    /// `None`: Serf's default for the cluster size. Negative in Go means "over at once": pass `Some(ZERO)`.
    pub timeout: Option<Duration>,
    /// End as soon as every living member the filters match has answered (and confirmed, if asked to) instead of at
    /// the deadline. Off in Go, which knows only the deadline.
    pub finish_early: bool,
}

/// What comes back for a query of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryAnswer {
    /// A node has the query.
    Ack {
        /// Who.
        from: NodeName,
    },
    /// A node answered.
    Response {
        /// Who.
        from: NodeName,
        /// What.
        payload: Option<Bytes>,
    },
    /// The deadline has passed; nothing follows.
    Done,
}

/// An operation that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

/// How an operation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Completion {
    /// A join: how many targets answered, and why the others did not (Go's text of each).
    Join {
        /// Contacted.
        contacted: usize,
        /// One text per target that failed, e.g. `failed to join 127.0.0.1:7946: dial tcp ...`.
        errors: Vec<String>,
    },
    /// A leave, complete (timeouts on the way are logged, not failures).
    Leave,
    /// A removal was announced, or nobody was there to hear it.
    ForceLeave(Result<(), OperationError>),
    /// New tags were announced, or nobody was there to hear it.
    SetTags(Result<(), OperationError>),
    /// A key operation over the whole cluster.
    Keys(KeyResponse),
}

/// A key operation for the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOperation {
    /// Add a key (raw bytes).
    Install(Bytes),
    /// Make it primary.
    Use(Bytes),
    /// Remove it.
    Remove(Bytes),
    /// Who has what?
    List,
}

/// What the cluster answered to a key operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyResponse {
    /// Node → message, where there is one. Members that a change has not reached are named here.
    pub messages: BTreeMap<NodeName, String>,
    /// Alive nodes asked.
    pub num_nodes: usize,
    /// Answers.
    pub num_resp: usize,
    /// Failures among them.
    pub num_err: usize,
    /// Base64 key → nodes that have it (list).
    pub keys: BTreeMap<Text, usize>,
    /// Base64 key → nodes whose primary it is (list).
    pub primary_keys: BTreeMap<Text, usize>,
    /// `E/N nodes reported failure`, `R/N nodes reported success`, or `None` when all is well.
    pub error: Option<String>,
}

/// Who is told of a join's old events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldEvents {
    /// Events from before the join are not delivered.
    Ignore,
    /// They are.
    Replay,
}

/// Whether force-leave also erases the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// It stays listed as left.
    Keep,
    /// It is erased everywhere.
    Erase,
}

/// One output, in order.
#[derive(Debug, Clone)]
pub enum Output {
    /// Something for the shell to do.
    Io(Io),
    /// A fact, at once: for logs and our own consumers (not coalesced).
    Event(Event),
    /// The same for Serf's clients and handlers: coalesced as the agent's settings say.
    Delivery(Event),
    /// An answer to a query of ours.
    Answer {
        /// As returned by [`crate::Serf::query`].
        query: QueryKey,
        /// The answer.
        answer: QueryAnswer,
    },
    /// An operation ended.
    Completed {
        /// Which.
        operation: OperationId,
        /// How.
        completion: Completion,
    },
    /// The vote about our name was lost: the process has to stop, without a leave.
    NameConflictLost {
        /// Answers that support us.
        matching: usize,
        /// Answers.
        responses: usize,
    },
    /// The keys in use were changed by a query of the cluster: [`crate::Serf::keyring`] has them, the key file has to
    /// follow.
    KeyringChanged {
        /// The query that waits for [`crate::Serf::keyring_kept`]; `None` where nobody keeps keys.
        waiting: Option<QueryKey>,
    },
    /// One snapshot line to append.
    Record(Record),
}

/// The local agent's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerfState {
    /// Taking part.
    Alive,
    /// Announcing its leave.
    Leaving,
    /// Gone, still answering.
    Left,
    /// Stopped.
    Shutdown,
}

/// Numbers of `stats`, group `serf`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stats {
    pub members: usize,
    pub failed: usize,
    pub left: usize,
    pub health_score: u32,
    pub member_time: u64,
    pub event_time: u64,
    pub query_time: u64,
    pub intent_queue: usize,
    pub event_queue: usize,
    pub query_queue: usize,
    pub encrypted: bool,
    pub coordinate_resets: Option<u64>,
}
