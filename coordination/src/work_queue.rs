//! Work queues: items with requirements, claimed under a lease by workers that meet them. This file holds what is said;
//! `work_queue/items.rs` holds one queue's items and their states, `work_queue/works.rs` carries out the commands.
//!
//! An item is blocked (by items it depends on), delayed, ready, claimed or dead. Claims go by priority, then by age. A claim
//! ends by completion, failure or release, when its lease runs out, when its session or client ends, or when its node is
//! gone; in all but the first and the third case the attempt counts, and after the last one the item is dead until it is
//! redriven or cancelled. Whatever ends a claim makes its token stale.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::types::{ItemId, Key, Millis, Owner, Patience, Revision, SessionId, TimeMs, Ttl, Value, WallMs};

mod items;
mod works;

pub(crate) use works::Works;

/// What a client asks of a work queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Adds an item: [`Reply::Put`] or [`Reply::Duplicate`], or `Full` at the hard limit.
    Put(Box<Put>),
    /// Takes items under a lease: [`Reply::Claimed`], `Waiting`, or `Empty`.
    Claim(Claim),
    /// Starts the lease again: [`Reply::Extended`].
    Heartbeat {
        /// The claimed item.
        item: ItemId,
        /// The claim's token.
        token: Revision,
        /// Another lease from here on.
        lease: Option<Ttl>,
    },
    /// The item is done, and what depends on it may go on: `Done`.
    Complete {
        /// The claimed item.
        item: ItemId,
        /// The claim's token.
        token: Revision,
        /// At most [`crate::limits::RESULT_BYTES_MAX`], kept in the history (unless the storage is full).
        result: Bytes,
    },
    /// The attempt failed and counts: `Done`.
    Fail {
        /// The claimed item.
        item: ItemId,
        /// The claim's token.
        token: Revision,
        /// At most [`crate::limits::RESULT_BYTES_MAX`]; kept unless the storage is full.
        reason: Bytes,
        /// Time before the next attempt.
        retry_after: Millis,
    },
    /// The item goes back as if it had not been claimed: `Done`.
    Release {
        /// The claimed item.
        item: ItemId,
        /// The claim's token.
        token: Revision,
        /// Time before the next claim.
        delay: Millis,
    },
    /// Removes an item in whatever state, and the items that depend on it: `Done`.
    Cancel {
        /// Which.
        item: ItemId,
    },
    /// Brings a dead item back with no attempts counted, or up to [`crate::limits::REDRIVE_MAX`] of them: [`Reply::Redriven`].
    Redrive {
        /// Which; `None` is all.
        item: Option<ItemId>,
    },
    /// Sets the limits: `Done`.
    Configure {
        /// Items from which on a put is answered with [`Pressure::Soft`].
        soft: u64,
        /// Items from which on a put is refused.
        hard: u64,
    },
    /// Forgets a queue without items and waiting calls: `Done`, or `Busy`.
    Forget,
}

impl Command {
    /// The session that the command names.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self {
            Self::Claim(claim) => claim.session,
            Self::Put(_)
            | Self::Heartbeat { .. }
            | Self::Complete { .. }
            | Self::Fail { .. }
            | Self::Release { .. }
            | Self::Cancel { .. }
            | Self::Redrive { .. }
            | Self::Configure { .. }
            | Self::Forget => None,
        }
    }
}

/// An item to add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// What the worker gets.
    pub payload: Value,
    /// 0 to [`crate::limits::PRIORITY_MAX`], highest first.
    pub priority: u8,
    /// Time before it can be claimed.
    pub delay: Millis,
    /// While an item with this key is in the queue (dead ones too), another put of it makes none.
    pub dedupe: Option<Key>,
    /// Items of this queue that have to be completed before; cancelling one of them cancels this.
    pub depends_on: BTreeSet<ItemId>,
    /// Attempts after which it is dead; 0 is no limit.
    pub max_attempts: u32,
    /// What its worker has to be capable of.
    pub requires: BTreeSet<Key>,
    /// The node whose workers get it.
    pub target: Option<Target>,
    /// Nodes whose workers do not get it.
    pub excluded: BTreeSet<Key>,
}

/// The node that an item is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub node: Key,
    /// Time after which others may have it; `None` is never.
    pub within: Option<Millis>,
}

/// A worker that wants items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What it can do and where it runs.
    pub worker: Worker,
    /// Silence after which the claim ends.
    pub lease: Ttl,
    /// How many items; at most [`crate::limits::CLAIM_MAX`] come.
    pub most: u32,
    /// The session with which the claim ends; without one it ends with the client.
    pub session: Option<SessionId>,
    /// How long to wait for the first item.
    pub patience: Patience,
}

/// What a worker can do and where it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// What it is capable of.
    pub capabilities: BTreeSet<Key>,
    /// Its node: when it is gone, the claim ends.
    pub node: Option<Key>,
}

/// Answers to [`Command`] and [`Query`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The item is in the queue.
    Put {
        /// Its id.
        item: ItemId,
        /// Whether to go slower.
        pressure: Pressure,
    },
    /// An item with this dedupe key is in the queue.
    Duplicate {
        /// Which.
        item: ItemId,
    },
    /// Items for the worker.
    Claimed(Vec<Claimed>),
    /// When the lease ends if it is not extended again.
    Extended {
        /// Log time.
        expires: TimeMs,
    },
    /// How many dead items are back.
    Redriven(u64),
    /// Numbers of the queue.
    Stats(Stats),
    /// Items as they are.
    Items(Vec<Info>),
    /// Finished items, the latest first.
    Finished(Vec<Finished>),
}

impl Reply {
    /// Bytes of payload inside.
    pub(crate) fn payload(&self) -> usize {
        match self {
            Self::Claimed(items) => {
                items.iter().map(|item| item.payload.size().saturating_add(64)).fold(0, usize::saturating_add)
            }
            Self::Put { .. }
            | Self::Duplicate { .. }
            | Self::Extended { .. }
            | Self::Redriven(_)
            | Self::Stats(_)
            | Self::Items(_)
            | Self::Finished(_) => 0,
        }
    }
}

/// Whether a producer should go slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pressure {
    /// Below the soft limit.
    None,
    /// The soft limit is reached.
    Soft,
}

/// An item for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// Its id.
    pub item: ItemId,
    /// The claim's token: heartbeat, complete, fail and release need it.
    pub token: Revision,
    /// What to do.
    pub payload: Value,
    /// Its priority.
    pub priority: u8,
    /// Attempts that failed before.
    pub attempts: u32,
    /// Log time at which the lease ends.
    pub expires: TimeMs,
}

/// Questions about a work queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// [`Reply::Stats`].
    Stats,
    /// One item: [`Reply::Items`], or `Missing`.
    Item(ItemId),
    /// A page of items after this id, of all states or one: [`Reply::Items`].
    Items {
        /// The last item of the page before; 0 for the first.
        after: ItemId,
        /// Only those in this state.
        state: Option<StateName>,
    },
    /// [`Reply::Finished`].
    Finished,
}

/// Numbers of a queue. Those of states count what is there, those of [`Totals`] what ever happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of states say it all")]
pub struct Stats {
    pub blocked: u64,
    pub delayed: u64,
    pub ready: u64,
    pub claimed: u64,
    pub dead: u64,
    /// Calls that wait for an item.
    pub waiting: u64,
    /// Items from which on puts are answered with pressure.
    pub soft: u64,
    /// Items from which on puts are refused.
    pub hard: u64,
    /// What ever happened.
    pub totals: Totals,
}

/// What ever happened in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct Totals {
    pub put: u64,
    pub claimed: u64,
    pub completed: u64,
    pub failed: u64,
    /// Claims that ended by lease, session, client or node.
    pub lost: u64,
    pub released: u64,
    pub died: u64,
    pub redriven: u64,
    pub cancelled: u64,
}

/// An item as queries show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its id.
    pub item: ItemId,
    /// Its state.
    pub state: StateName,
    /// What it asks for.
    pub payload: Value,
    /// Its priority.
    pub priority: u8,
    /// Attempts that failed.
    pub attempts: u32,
    /// When it was put, for people.
    pub put_at: WallMs,
    /// Why the last attempt failed.
    pub last_error: Bytes,
    /// Who has it.
    pub owner: Option<Owner>,
    /// On which node.
    pub node: Option<Key>,
    /// When its state changes by itself.
    pub deadline: Option<TimeMs>,
    /// What it still depends on.
    pub waits_for: BTreeSet<ItemId>,
}

/// An item that is not in the queue any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its id.
    pub item: ItemId,
    /// `Completed` or `Cancelled`.
    pub state: StateName,
    /// Of the completion.
    pub result: Bytes,
    /// Attempts that failed.
    pub attempts: u32,
    /// The node of the worker that completed it.
    pub node: Option<Key>,
    /// When, for people.
    pub at: WallMs,
}

/// States of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum StateName {
    Blocked,
    Delayed,
    Ready,
    Claimed,
    Dead,
    Completed,
    Cancelled,
}
