//! Who answers coordination commands: the group, wherever its leader is. What stands behind it is not this module's
//! business; in tests it is a state machine alone.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use folkmoot_consensus::Status;
use folkmoot_coordination::{Command, Query, Reply, Revision, watch};
use tokio::time::Instant;

use super::values::Failure;

/// An answer on its way.
pub type Answering<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// The group, as one agent reaches it.
pub trait Coordinator: Send + Sync {
    /// Has a command applied once, and follows a call that waits to its outcome. Dropping the answer does not undo it.
    fn call(&self, command: Command, deadline: Instant) -> Answering<Reply>;

    /// The same, but [`Reply::Waiting`] is an answer.
    fn call_once(&self, command: Command, deadline: Instant) -> Answering<Reply>;

    /// Answers a question, and of which state.
    fn query(&self, query: Query, freshness: Freshness, deadline: Instant) -> Answering<(Reply, Seen)>;

    /// All changes after a revision.
    fn watch(&self, query: watch::Query, deadline: Instant) -> Answering<Box<dyn Changes>>;

    /// What the member of this agent knows; where it has none, the leader.
    fn status(&self, deadline: Instant) -> Answering<Status>;

    /// What the leader knows.
    fn leader_status(&self, deadline: Instant) -> Answering<Status>;

    /// Changes who belongs to the group, votes, or leads.
    fn change(&self, change: MemberChange, deadline: Instant) -> Answering<()>;

    /// The whole state, with a checksum.
    fn backup(&self, deadline: Instant) -> Answering<Bytes>;

    /// Puts a backup in place of the state: the revision that the group goes on from.
    fn restore(&self, backup: Bytes, other_group: bool, deadline: Instant) -> Answering<Revision>;
}

/// A change of the members. They are named as gossip names them, or by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// Takes a node in, without a vote.
    Add(String),
    /// Takes a member out for good.
    Remove(String),
    /// Gives a member a vote.
    Promote(String),
    /// Takes its vote.
    Demote(String),
    /// Lets it lead; `None`: whoever is most up to date.
    Transfer(Option<String>),
}

/// How fresh an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As the group is.
    Current,
    /// As this agent, or a member it reaches, knows it.
    Stale,
}

/// Of which state an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its revision.
    pub revision: Revision,
    /// Of a stale one: milliseconds since a leader was heard of, if ever.
    pub age_ms: Option<u64>,
}

/// Changes, as they come.
pub trait Changes: Send {
    /// The next of them; `None` when there is no group to ask any more.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Noticed>> + Send + '_>>;
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// Changes, or only how far everything was looked at.
    Page(watch::Page),
    /// Changes up to this revision are forgotten. Nothing follows.
    Compacted(Revision),
}
