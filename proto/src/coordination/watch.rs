//! Watches: every change after a revision, once and in order, or a record that says that they are forgotten.

use folkmoot_wire::{Blob, Text};

use super::{Owner, WorkState};
use crate::objects::{objects, words};

words! {
    /// Kinds of objects, each with names of its own.
    Scope {
        /// In a question: all of them.
        Any = "",
        /// A key.
        Key = "key",
        /// A session; its name is its number in digits.
        Session = "session",
        /// A lock.
        Lock = "lock",
        /// A semaphore.
        Semaphore = "semaphore",
        /// A read/write lock.
        ReadWriteLock = "read-write-lock",
        /// An election.
        Election = "election",
        /// A barrier or gate.
        Barrier = "barrier",
        /// A counter.
        Counter = "counter",
        /// A set.
        Set = "set",
        /// A list.
        List = "list",
        /// A queue.
        Queue = "queue",
        /// A priority queue.
        PriorityQueue = "priority-queue",
        /// A work queue.
        WorkQueue = "work-queue",
    }

    /// What happened, and with which of [`WatchChange`]'s fields.
    What {
        /// A key was written: `Value`, `Version`.
        Put = "put",
        /// A session began; a barrier was raised.
        Started = "started",
        /// A key, counter or session is gone; a barrier was lifted: `Cause`.
        Ended = "ended",
        /// A hold was granted: `Hold`, `Token`, `Owner`, and of an election `Value`.
        Granted = "granted",
        /// A leader says something else: `Hold`, `Token`, `Value`.
        Proclaimed = "proclaimed",
        /// A hold has ended; a member is gone from a gate: `Hold`, `Token`, `Cause`.
        Released = "released",
        /// All have entered a gate.
        Opened = "opened",
        /// All have left a gate.
        Closed = "closed",
        /// A counter has another value: `Count`.
        Count = "count",
        /// A set, list or queue was changed: `Length`.
        Length = "length",
        /// A work item came into another state: `Item`, `State`.
        Item = "item",
    }

    /// Why something ended.
    Cause {
        /// It has not ended.
        None = "",
        /// Somebody asked for it.
        Removed = "removed",
        /// Its time to live ran out.
        Expired = "expired",
        /// What it depended on ended: its session, client or node.
        OwnerEnded = "owner-ended",
    }
}

objects! {
    /// Body of `watch`.
    Watch {
        /// Changes after this revision; nil: from here on. To go on after a lost connection: the last `Through`.
        "After" after: Option<u64>,
        /// Of keys or names that start so; empty: all.
        "Prefix" prefix: Text,
        /// Of this kind.
        "Scope" scope: Scope,
    }

    /// Record of `watch`.
    WatchRecord {
        /// In order; all changes of a revision are in one record. None: only `Through` is news.
        "Changes" changes: Vec<WatchChange>,
        /// Changes between `After` and `Through` are forgotten: read the state again. The last record.
        "Compacted" compacted: bool,
        /// Everything up to this revision has been looked at.
        "Through" through: u64,
    }

    /// One change. Fields that `What` does not name are zero.
    WatchChange {
        /// Why something ended.
        "Cause" cause: Cause,
        /// A counter's value.
        "Count" count: i64,
        /// Which hold.
        "Hold" hold: u64,
        /// Which item.
        "Item" item: u64,
        /// The key or name.
        "Key" key: Text,
        /// How many elements are there.
        "Length" length: u64,
        /// With whose end a hold ends.
        "Owner" owner: Option<Owner>,
        /// When, in the order of everything. Changes of one step share it.
        "Revision" revision: u64,
        /// On which kind of object.
        "Scope" scope: Scope,
        /// An item's state.
        "State" state: WorkState,
        /// A hold's fencing token.
        "Token" token: u64,
        /// A key's or leader's value.
        "Value" value: Blob,
        /// Writes of a key since its creation.
        "Version" version: u64,
        /// When, for people: wall time in milliseconds since 1970.
        "Wall" wall: u64,
        /// What happened.
        "What" what: What,
    }
}
