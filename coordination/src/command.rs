//! What goes in and comes out: entries of the log, queries, replies, changes.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::types::{
    ClientId, HoldId, ItemId, Key, Owner, RequestId, Revision, SessionId, Ticket, TimeMs, Ttl, Value, WallMs,
};
use crate::{barrier, collections, election, kv, line, lock, queue, session, watch, work_queue};

/// One entry of the replicated log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Log time. One before that of the entry before counts as equal to it.
    pub time: TimeMs,
    /// The leader's wall clock, for people.
    pub wall: WallMs,
    /// What to do.
    pub command: Command,
}

/// What an entry does. All but [`Command::Client`] come from the group itself and are harmless when applied twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Lets time pass: the leader proposes it when [`crate::Machine::next_expiry`] is reached and nothing else comes.
    Tick,
    /// Makes a client: [`Reply::Registered`]. One that is registered stays as it is, and has given a sign of life.
    RegisterClient {
        /// A number that no other client ever had, here or in another group: drawn at random, because a client may outlive
        /// its group and find another one where it was.
        client: ClientId,
        /// Silence after which it is forgotten; each of its requests is a sign of life.
        ttl: Ttl,
    },
    /// Gossip reports the node failed or left: what depends on it ends.
    NodeGone {
        /// Its name.
        node: Key,
    },
    /// The agent that had the call says that its caller is gone or gave up: as [`Operation::Cancel`], but without a number
    /// of the client's.
    CallerGone {
        /// Which call.
        ticket: Ticket,
    },
    /// The agent that had the connection says that it closed: ends a session that depends on it, if it still lives.
    ConnectionGone {
        /// Which session.
        session: SessionId,
    },
    /// After a restore from a backup: continue above this revision, and let watchers read everything again.
    RaiseRevision {
        /// At most [`crate::limits::REVISION_RAISE_MAX`].
        revision: Revision,
    },
    /// Forgets changes up to this revision before the limits do.
    Compact {
        /// The last one to forget.
        revision: Revision,
    },
    /// A client's request, applied once.
    Client(Request),
}

/// A request of a registered client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who.
    pub client: ClientId,
    /// Its number of the request.
    pub request: RequestId,
    /// Which of its requests the client is done with.
    pub acknowledged: Acknowledged,
    /// What it wants.
    pub operation: Operation,
}

/// Requests that a client is done with: it has their final replies, or has given them up, and will not send them again. All
/// below a number but those that are open still, so that a call that waits for long holds back nothing but itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The number.
    pub below: RequestId,
    /// Requests below it that are not acknowledged; at most [`crate::limits::OPEN_PER_CLIENT`].
    pub open: BTreeSet<RequestId>,
}

impl Acknowledged {
    /// All below this number.
    #[must_use]
    pub fn below(below: RequestId) -> Self {
        Self { below, open: BTreeSet::new() }
    }

    /// Whether it says so of this request.
    #[must_use]
    pub fn covers(&self, request: RequestId) -> bool {
        request < self.below && !self.open.contains(&request)
    }

    /// Adds what another request of the client has said, before or after this: in whatever order they are added, it comes to
    /// the same. Whether that was anything new.
    pub(crate) fn add(&mut self, said: &Self) -> bool {
        let (mut both, other) = if said.below > self.below { (said.clone(), &*self) } else { (self.clone(), said) };
        both.open.retain(|request| !other.covers(*request));
        let new = both != *self;
        *self = both;
        new
    }
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Nothing but a sign of life and an acknowledgement: [`Reply::Done`].
    KeepAlive,
    /// Ends a waiting call of this client: [`Reply::Done`]; the call is answered with `Cancelled`. If it does not wait (any
    /// more), nothing happens, and its kept reply says how it ended.
    Cancel {
        /// The number of the call.
        request: RequestId,
    },
    /// Keys.
    Kv(kv::Command),
    /// Sessions.
    Session(session::Command),
    /// Locks, semaphores, read/write locks.
    Lock(lock::Command),
    /// Elections.
    Election(election::Command),
    /// Barriers and gates.
    Barrier(barrier::Command),
    /// A counter, by name.
    Counter(Key, collections::CounterCommand),
    /// A set, by name.
    Set(Key, collections::SetCommand),
    /// A list, by name.
    List(Key, collections::ListCommand),
    /// Queues and priority queues.
    Queue(queue::Command),
    /// A work queue, by name.
    Work(Key, work_queue::Command),
}

/// A question that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Keys: [`Reply::Kv`].
    Kv(kv::Query),
    /// Sessions: [`Reply::Session`].
    Session(session::Query),
    /// Who holds and waits for a lock, semaphore or read/write lock: [`Reply::Line`].
    Lock(lock::Target),
    /// Who leads and stands for election: [`Reply::Line`].
    Election(Key),
    /// A barrier and gate: [`Reply::Barrier`].
    Barrier(Key),
    /// Counters, sets, lists: [`Reply::Collection`].
    Collection(collections::Query),
    /// Queues: [`Reply::Queue`].
    Queue(queue::QueueId),
    /// Work queues: [`Reply::Work`].
    Work(Key, work_queue::Query),
    /// Changes after a revision: [`Reply::Changes`], or `Compacted`.
    Watch(watch::Query),
}

/// The answer to a command or query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done, or there was nothing to do.
    Done,
    /// The client's id.
    Registered(ClientId),
    /// It was refused and nothing changed, or a waiting call ended without success.
    Refused(Refusal),
    /// The call waits. A [`Change::Answered`] with this ticket follows, and the same request sent again is answered with
    /// the outcome then.
    Waiting {
        /// By which the answer is found.
        ticket: Ticket,
        /// The position in line, and later the hold.
        hold: HoldId,
    },
    /// Held (a lock, permits, an office) from here on.
    Held {
        /// By which it is given back.
        hold: HoldId,
        /// The fencing token.
        token: Revision,
        /// Log time at which it ends if it is not renewed.
        expires: Option<TimeMs>,
    },
    /// Through the gate, with all others.
    Entered {
        /// By which the gate is left.
        hold: HoldId,
    },
    /// Left the gate before others.
    Left,
    /// The element taken from a queue.
    Element(Value),
    /// About keys.
    Kv(kv::Reply),
    /// About sessions.
    Session(session::Reply),
    /// A lock's or an election's state.
    Line(line::State),
    /// A barrier's state.
    Barrier(barrier::State),
    /// About counters, sets and lists.
    Collection(collections::Reply),
    /// A queue's state.
    Queue(queue::State),
    /// About work queues.
    Work(work_queue::Reply),
    /// A page of changes.
    Changes(watch::Page),
}

impl Reply {
    /// Bytes that a kept reply is counted with.
    pub(crate) fn weight(&self) -> usize {
        let payload = match self {
            Self::Element(value) => value.size(),
            Self::Kv(reply) => reply.payload(),
            Self::Collection(reply) => reply.payload(),
            Self::Work(reply) => reply.payload(),
            Self::Done
            | Self::Registered(_)
            | Self::Refused(_)
            | Self::Waiting { .. }
            | Self::Held { .. }
            | Self::Entered { .. }
            | Self::Left
            | Self::Session(_)
            | Self::Line(_)
            | Self::Barrier(_)
            | Self::Queue(_)
            | Self::Changes(_) => 0,
        };
        payload.saturating_add(64)
    }
}

/// What an entry caused, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// For watchers; remembered for a while.
    Event(Event),
    /// A waiting call has ended; only its caller is to be told.
    Answered {
        /// Which call.
        ticket: Ticket,
        /// Its outcome.
        reply: Reply,
    },
}

/// A change that watchers see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in the order of everything. Events of one step share it.
    pub revision: Revision,
    /// When, for people.
    pub wall: WallMs,
    /// On which kind of object.
    pub scope: Scope,
    /// Its key or name. A session's is its number in digits.
    pub key: Key,
    /// What happened.
    pub what: What,
}

impl Event {
    /// Bytes that a remembered event is counted with.
    pub(crate) fn weight(&self) -> usize {
        let payload = match &self.what {
            What::Put { value, .. } => value.size(),
            What::Granted { value, .. } | What::Proclaimed { value, .. } => value.len(),
            What::Started
            | What::Ended(_)
            | What::Released { .. }
            | What::Opened
            | What::Closed
            | What::Count(_)
            | What::Length(_)
            | What::Item { .. } => 0,
        };
        crate::step::cost(&self.key, payload)
    }
}

/// Kinds of objects, each with its own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Scope {
    Key,
    Session,
    Lock,
    Semaphore,
    ReadWriteLock,
    Election,
    Barrier,
    Counter,
    Set,
    List,
    Queue,
    PriorityQueue,
    WorkQueue,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A key was written.
    Put {
        /// Its value.
        value: Value,
        /// Writes since its creation.
        version: u64,
    },
    /// A session began; a barrier was raised.
    Started,
    /// A key, counter or session is gone; a barrier was lifted.
    Ended(Cause),
    /// A hold was granted: of a lock, semaphore, read/write lock, or an office.
    Granted {
        /// The hold.
        hold: HoldId,
        /// Its token: this revision.
        token: Revision,
        /// Whose it is.
        owner: Owner,
        /// What the elected says.
        value: Bytes,
    },
    /// A leader says something else.
    Proclaimed {
        /// The leader's hold.
        hold: HoldId,
        /// The term.
        token: Revision,
        /// The value.
        value: Bytes,
    },
    /// A hold has ended; a member is gone from a gate (the token then means nothing).
    Released {
        /// The hold.
        hold: HoldId,
        /// Its token.
        token: Revision,
        /// Why.
        cause: Cause,
    },
    /// All members have entered a gate.
    Opened,
    /// All members have left a gate.
    Closed,
    /// A counter has this value.
    Count(i64),
    /// A set, list or queue was changed and has this many elements.
    Length(u64),
    /// A work item came into this state.
    Item {
        /// Which.
        item: ItemId,
        /// The state.
        state: work_queue::StateName,
    },
}

/// Why something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Somebody asked for it.
    Removed,
    /// Its time to live ran out.
    Expired,
    /// What it depended on ended: its session, client or node.
    OwnerEnded,
}

impl Operation {
    /// The node of the worker that the operation names.
    pub(crate) fn node(&self) -> Option<Key> {
        match self {
            Self::Work(_, work_queue::Command::Claim(claim)) => claim.worker.node.clone(),
            Self::Work(..)
            | Self::Lock(_)
            | Self::Election(_)
            | Self::Barrier(_)
            | Self::KeepAlive
            | Self::Cancel { .. }
            | Self::Kv(_)
            | Self::Session(_)
            | Self::Counter(..)
            | Self::Set(..)
            | Self::List(..)
            | Self::Queue(_) => None,
        }
    }

    /// The session that the operation names: what it makes depends on it instead of the client.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self {
            Self::Lock(lock::Command::Acquire(acquire)) => acquire.session,
            Self::Election(command) => command.session(),
            Self::Barrier(command) => command.session(),
            Self::Work(_, command) => command.session(),
            Self::KeepAlive
            | Self::Cancel { .. }
            | Self::Kv(_)
            | Self::Session(_)
            | Self::Lock(lock::Command::Release { .. } | lock::Command::Renew { .. })
            | Self::Counter(..)
            | Self::Set(..)
            | Self::List(..)
            | Self::Queue(_) => None,
        }
    }
}
