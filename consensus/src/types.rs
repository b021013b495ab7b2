//! The Raft library's type configuration, in one place. No type of the library leaves this crate.
//!
//! The asynchronous runtime is a parameter, because the same code runs under tokio and under the library's simulated
//! runtime, where one seed decides everything.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use folkmoot_coordination::Reply;
use openraft::raft::responder::Responder;
use openraft::{AsyncRuntime, OptionalSend, RaftTypeConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::image::Image;
use crate::peer::{NodeId, Peer};
use crate::store::Store;

/// An entry of `coordination` as the log holds it: encoded once by the leader that stamped it, then only copied.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal(pub(crate) Bytes);

/// The runtime of the agent.
pub(crate) type Tokio = openraft::TokioRuntime;

/// The type configuration on the runtime `A`.
pub(crate) struct Types<A>(PhantomData<fn() -> A>);

impl<A: AsyncRuntime> RaftTypeConfig for Types<A> {
    type D = Proposal;
    type R = Reply;
    type NodeId = NodeId;
    type Node = Peer;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, NodeId>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Proposal, NodeId, Peer>;
    type Entry = openraft::Entry<Self::LeaderId, Self::Payload>;
    type AsyncRuntime = A;
    type Responder<T>
        = Answer<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Where the outcome of a proposal goes. Who asked may have gone; that is nobody's fault.
pub(crate) struct Answer<T>(pub(crate) oneshot::Sender<T>);

impl<A: AsyncRuntime, T: OptionalSend + 'static> Responder<Types<A>, T> for Answer<T> {
    fn on_complete(self, outcome: T) {
        drop(self.0.send(outcome));
    }
}

/// The position of an entry in the log, with the leader that wrote it.
pub(crate) type LogId = openraft::LogId<Leader>;
/// A leader: its term and its node.
pub(crate) type Leader = openraft::impls::leader_id_adv::LeaderId<u64, NodeId>;
/// The vote of a node, or the leader it follows.
pub(crate) type Vote = openraft::impls::Vote<Leader>;
/// What an entry of the log holds.
pub(crate) type Payload = openraft::EntryPayload<Proposal, NodeId, Peer>;
/// An entry of the log.
pub(crate) type LogEntry = openraft::Entry<Leader, Payload>;
/// The members, and the entry that made them so.
pub(crate) type Members = openraft::StoredMembership<Leader, NodeId, Peer>;
/// What a snapshot contains.
pub(crate) type ImageMeta = openraft::SnapshotMeta<Leader, NodeId, Peer>;
/// The running Raft library.
pub(crate) type Raft<A> = openraft::Raft<Types<A>, Store<A>>;
/// A snapshot with its description.
pub(crate) type Snapshot = openraft::Snapshot<Leader, NodeId, Peer, Image>;

/// Payloads are never printed: they may be secrets.
impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

// A derive would ask the runtime for all of these.
impl<A> fmt::Debug for Types<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

impl<A> Clone for Types<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Types<A> {}

impl<A> Default for Types<A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A> PartialEq for Types<A> {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl<A> Eq for Types<A> {}

impl<A> PartialOrd for Types<A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<A> Ord for Types<A> {
    fn cmp(&self, _other: &Self) -> Ordering {
        Ordering::Equal
    }
}
