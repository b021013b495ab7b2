//! [`NodeHandle`]: what other tasks may ask the task that owns the engine.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use folkmoot_serf::{
    Capability, Completion, Coordinate, Event, KeyOperation, KeyResponse, Member, NodeName, OldEvents, Prune,
    QueryAnswer, QueryKey, QueryRequest, RequestError, Stats, Tags, Text,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::event_filter::EventFilters;
use crate::handlers::Losses;

/// One request to the node task; the answer goes into `reply`. A dropped reply means the node has stopped.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the RPC command of that name")]
pub enum Question {
    Members {
        reply: oneshot::Sender<MembersView>,
    },
    Stats {
        reply: oneshot::Sender<NodeStats>,
    },
    /// Others shall reach us at another address.
    MoveTo {
        address: SocketAddr,
        reply: oneshot::Sender<()>,
    },
    /// Folkmoot peers are told anew what we can do beyond Serf.
    SetCapability {
        capability: Option<Capability>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Changes of the list of members, by its revision.
    WatchMembers {
        reply: oneshot::Sender<watch::Receiver<u64>>,
    },
    /// Counters are reported to the telemetry up to this moment.
    ReportMetrics {
        reply: oneshot::Sender<()>,
    },
    Coordinate {
        node: NodeName,
        reply: oneshot::Sender<Option<Coordinate>>,
    },
    /// Addresses as the user wrote them; resolving is the node's (shell's) business.
    Join {
        addresses: Vec<String>,
        old_events: OldEvents,
        reply: oneshot::Sender<Result<Completion, RequestError>>,
    },
    Leave {
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    ForceLeave {
        node: NodeName,
        prune: Prune,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    SetTags {
        set: Tags,
        delete: Vec<Text>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    UserEvent {
        name: Text,
        payload: Option<Bytes>,
        coalesce: bool,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Answers go to `answers` until `Done`; a full or closed channel loses answers for this asker only.
    Query {
        request: QueryRequest,
        answers: mpsc::Sender<QueryAnswer>,
        reply: oneshot::Sender<Result<QueryKey, RequestError>>,
    },
    Respond {
        query: QueryKey,
        payload: Option<Bytes>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Coalesced events from now on; see `watch.rs` for what happens when the subscriber is slow.
    Subscribe {
        subscriber: Subscriber,
        reply: oneshot::Sender<SubscriptionId>,
    },
    Unsubscribe {
        id: SubscriptionId,
    },
    /// A key operation over the whole cluster; one at a time, the others wait (`docs/spec/rpc.md` 7.11).
    ChangeKeys {
        operation: KeyOperation,
        reply: oneshot::Sender<KeyResponse>,
    },
}

/// All members at one revision, shared by everybody who asks meanwhile. `encoded` is the RPC body of `members`.
#[derive(Debug, Clone)]
pub struct MembersView {
    /// From [`folkmoot_serf::Serf::members_revision`].
    pub revision: u64,
    /// In name order.
    pub members: Arc<[Arc<Member>]>,
    /// The `{Members: [...]}` body as RPC sends it, encoded once per revision.
    pub encoded: Bytes,
}

/// Numbers only the node knows.
#[derive(Debug, Clone)]
pub struct NodeStats {
    /// Our name.
    pub name: NodeName,
    /// Our tags.
    pub tags: Tags,
    /// The engine's numbers.
    pub serf: Stats,
}

/// Where events go: a bounded queue, and whose it is.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// What it wants: events that do not match never reach the queue.
    pub filter: EventFilters,
    /// Bounded at 512 (`docs/spec/rpc.md` 8.1); a full queue drops the new event.
    pub queue: mpsc::Sender<Delivered>,
    /// Who is told of drops.
    pub owner: Owner,
}

/// Whose queue it is, and so how its losses are told.
#[derive(Debug, Clone)]
pub enum Owner {
    /// Of an RPC client at this address: `[WARN] agent.ipc: Dropping event to ipc.client: ADDR`.
    RpcClient(String),
    /// Of the event handlers, who count.
    EventHandlers(Arc<Losses>),
}

impl Owner {
    fn lost(&self) {
        match self {
            Self::RpcClient(address) => {
                tracing::warn!(target: "agent.ipc", "Dropping event to ipc.client: {address}");
            }
            Self::EventHandlers(losses) => losses.lost("the event handlers"),
        }
    }

    fn took(&self) {
        match self {
            Self::RpcClient(_) => {}
            Self::EventHandlers(losses) => losses.took("the event handlers"),
        }
    }
}

impl Subscriber {
    /// Hands over an event it wants, without waiting: where the queue is full the event is lost for this subscriber,
    /// and the log says so. False once nobody listens any more.
    pub fn deliver(&self, delivered: &Delivered) -> bool {
        if !self.filter.matches(&delivered.event) {
            return !self.queue.is_closed();
        }
        match self.queue.try_send(delivered.clone()) {
            Ok(()) => {
                self.owner.took();
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.owner.lost();
                true
            }
        }
    }
}

/// An event on its way to a subscriber.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The event, shared.
    pub event: Arc<Event>,
    /// Answers after this are refused, if it is a query.
    pub answer_by: Option<tokio::time::Instant>,
}

/// Names a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionId(pub u64);

/// The way to the node task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    mailbox: mpsc::Sender<Question>,
}

/// The node task has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent is shutting down")]
pub struct NodeStopped;

impl NodeHandle {
    /// A handle and the mailbox it fills (bounded at `capacity`; askers wait when it is full).
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<Question>) {
        let (mailbox, questions) = mpsc::channel(capacity);
        (Self { mailbox }, questions)
    }

    /// Asks and waits for the answer: `handle.ask(|reply| Question::Stats { reply }).await?`.
    pub async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, NodeStopped> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(question(reply)).await.map_err(|_| NodeStopped)?;
        answer.await.map_err(|_| NodeStopped)
    }

    /// Sends a question nobody waits for; dropped if the mailbox is full or the node has stopped.
    pub fn tell(&self, question: Question) {
        let _ = self.mailbox.try_send(question);
    }
}
