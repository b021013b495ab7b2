//! Work queues: items with requirements, claimed under a lease by workers that meet them.

use folkmoot_wire::{Blob, Text};

use super::Owner;
use crate::objects::{objects, words};

words! {
    /// States of an item.
    WorkState {
        /// In a question: of every state.
        Any = "",
        /// Depends on items that are not completed.
        Blocked = "blocked",
        /// Its delay has not run out.
        Delayed = "delayed",
        /// Waits for a worker.
        Ready = "ready",
        /// A worker has it.
        Claimed = "claimed",
        /// All its attempts have failed.
        Dead = "dead",
        /// A worker has completed it.
        Completed = "completed",
        /// It was cancelled.
        Cancelled = "cancelled",
    }

    /// Whether a producer should go slower.
    WorkPressure {
        /// No.
        None = "none",
        /// The soft limit is reached.
        Soft = "soft",
    }
}

objects! {
    /// Body of `work-put`; fails at the hard limit.
    WorkPut {
        /// While an item with this key is in the queue, another put of it makes none; empty: no such key.
        "Dedupe" dedupe: Text,
        /// Milliseconds before it can be claimed.
        "Delay" delay: u64,
        /// Items of this queue that have to be completed before; cancelling one of them cancels this.
        "DependsOn" depends_on: Vec<u64>,
        /// Nodes whose workers do not get it.
        "Excluded" excluded: Vec<Text>,
        /// Attempts after which it is dead; 0: never.
        "MaxAttempts" max_attempts: u32,
        /// Of which queue.
        "Name" name: Text,
        /// What the worker gets.
        "Payload" payload: Blob,
        /// 0 to 100, highest first.
        "Priority" priority: u32,
        /// What its worker has to be capable of.
        "Requires" requires: Vec<Text>,
        /// The node whose workers get it; empty: any.
        "Target" target: Text,
        /// Milliseconds after which others may have it; nil: never.
        "TargetWithin" target_within: Option<u64>,
    }

    /// Answer to `work-put`.
    WorkQueued {
        /// An item with this dedupe key was there already.
        "Duplicate" duplicate: bool,
        /// The item, or the one that was there.
        "Item" item: u64,
        /// Whether to go slower.
        "Pressure" pressure: WorkPressure,
    }

    /// Body of `work-claim`: takes items under a lease.
    WorkClaim {
        /// What the worker is capable of.
        "Capabilities" capabilities: Vec<Text>,
        /// Milliseconds without a heartbeat after which the claim ends.
        "Lease" lease: u64,
        /// Items wanted; 0 is 1.
        "Most" most: u32,
        /// From which queue.
        "Name" name: Text,
        /// Where the worker runs: when gossip says that this node is gone, the claim ends; empty: nowhere.
        "Node" node: Text,
        /// The session with which the claim ends; 0: it ends with the client.
        "Session" session: u64,
        /// How long to wait for the first item.
        "Wait" wait: i64,
    }

    /// Answer to `work-claim`.
    WorkClaimed {
        /// At least one.
        "Items" items: Vec<WorkItem>,
    }

    /// An item for a worker.
    WorkItem {
        /// Attempts that failed before.
        "Attempts" attempts: u32,
        /// Log time at which the lease ends.
        "Expires" expires: u64,
        /// Its number.
        "Item" item: u64,
        /// What to do.
        "Payload" payload: Blob,
        /// Its priority.
        "Priority" priority: u32,
        /// The claim's token: heartbeat, complete, fail and release need it.
        "Token" token: u64,
    }

    /// Body of `work-heartbeat`: the lease starts again.
    WorkHeartbeat {
        /// The claimed item.
        "Item" item: u64,
        /// Another lease from here on, milliseconds; 0: the same.
        "Lease" lease: u64,
        /// Of which queue.
        "Name" name: Text,
        /// The claim's.
        "Token" token: u64,
    }

    /// Answer to `work-heartbeat`.
    WorkExtended {
        /// Log time at which the lease ends.
        "Expires" expires: u64,
    }

    /// Body of `work-complete`: the item is done.
    WorkComplete {
        /// The claimed item.
        "Item" item: u64,
        /// Of which queue.
        "Name" name: Text,
        /// Kept in the history.
        "Result" result: Blob,
        /// The claim's.
        "Token" token: u64,
    }

    /// Body of `work-fail`: the attempt failed and counts.
    WorkFail {
        /// The claimed item.
        "Item" item: u64,
        /// Of which queue.
        "Name" name: Text,
        /// Why.
        "Reason" reason: Blob,
        /// Milliseconds before the next attempt.
        "RetryAfter" retry_after: u64,
        /// The claim's.
        "Token" token: u64,
    }

    /// Body of `work-release`: the item goes back as if it had not been claimed.
    WorkRelease {
        /// Milliseconds before the next claim.
        "Delay" delay: u64,
        /// The claimed item.
        "Item" item: u64,
        /// Of which queue.
        "Name" name: Text,
        /// The claim's.
        "Token" token: u64,
    }

    /// Body of `work-cancel`: removes an item, whatever its state, and those that depend on it.
    WorkCancel {
        /// Which.
        "Item" item: u64,
        /// Of which queue.
        "Name" name: Text,
    }

    /// Body of `work-redrive`: brings dead items back, with no attempts counted.
    WorkRedrive {
        /// Which; 0: all, as many as one command may.
        "Item" item: u64,
        /// Of which queue.
        "Name" name: Text,
    }

    /// Answer to `work-redrive`.
    WorkRedriven {
        /// How many are back.
        "Items" items: u64,
    }

    /// Body of `work-configure`: sets the limits.
    WorkConfigure {
        /// Items from which on a put is refused.
        "Hard" hard: u64,
        /// Of which queue.
        "Name" name: Text,
        /// Items from which on a put is answered with pressure.
        "Soft" soft: u64,
    }

    /// Body of `work-forget`: forgets a queue without items and waiting calls.
    WorkForget {
        /// Which.
        "Name" name: Text,
    }

    /// Body of `work-stats`.
    WorkStats {
        /// Of which queue.
        "Name" name: Text,
    }

    /// Numbers of a queue; answer to `work-stats`.
    WorkNumbers {
        /// Items in this state, as the next five.
        "Blocked" blocked: u64,
        /// As above.
        "Claimed" claimed: u64,
        /// As above.
        "Dead" dead: u64,
        /// As above.
        "Delayed" delayed: u64,
        /// As configured.
        "Hard" hard: u64,
        /// Items in this state.
        "Ready" ready: u64,
        /// As configured.
        "Soft" soft: u64,
        /// What ever happened.
        "Totals" totals: WorkTotals,
        /// Calls that wait for an item.
        "Waiting" waiting: u64,
    }

    /// How often what happened in a queue.
    WorkTotals {
        /// Items cancelled.
        "Cancelled" cancelled: u64,
        /// Claims.
        "Claimed" claimed: u64,
        /// Items completed.
        "Completed" completed: u64,
        /// Items that died.
        "Died" died: u64,
        /// Attempts that failed.
        "Failed" failed: u64,
        /// Claims that ended by lease, session, client or node.
        "Lost" lost: u64,
        /// Items put.
        "Put" put: u64,
        /// Items redriven.
        "Redriven" redriven: u64,
        /// Claims released.
        "Released" released: u64,
    }

    /// Body of `work-get`.
    WorkGet {
        /// Which.
        "Item" item: u64,
        /// Of which queue.
        "Name" name: Text,
    }

    /// Body of `work-list`.
    WorkList {
        /// The last item of the page before.
        "After" after: u64,
        /// Of which queue.
        "Name" name: Text,
        /// Only those in this state.
        "State" state: WorkState,
    }

    /// Answer to `work-list`.
    WorkPage {
        /// In the order of their numbers. Only a page without any is the last.
        "Items" items: Vec<WorkInfo>,
    }

    /// An item as it is; answer to `work-get`.
    WorkInfo {
        /// Attempts that failed.
        "Attempts" attempts: u32,
        /// Log time at which its state changes by itself; 0: never.
        "Deadline" deadline: u64,
        /// Its number.
        "Item" item: u64,
        /// Why the last attempt failed.
        "LastError" last_error: Blob,
        /// The node of the worker that has it.
        "Node" node: Text,
        /// Who has it; nil if nobody.
        "Owner" owner: Option<Owner>,
        /// What the worker gets.
        "Payload" payload: Blob,
        /// Its priority.
        "Priority" priority: u32,
        /// When it was put: wall time in milliseconds since 1970.
        "PutAt" put_at: u64,
        /// Its state.
        "State" state: WorkState,
        /// What it still depends on.
        "WaitsFor" waits_for: Vec<u64>,
    }

    /// Body of `work-history`.
    WorkHistory {
        /// Of which queue.
        "Name" name: Text,
    }

    /// Answer to `work-history`.
    WorkFinished {
        /// The latest first.
        "Items" items: Vec<WorkEnd>,
    }

    /// An item that is not in the queue any more.
    WorkEnd {
        /// When: wall time in milliseconds since 1970.
        "At" at: u64,
        /// Attempts that failed.
        "Attempts" attempts: u32,
        /// Its number.
        "Item" item: u64,
        /// The node of the worker that completed it.
        "Node" node: Text,
        /// Of the completion.
        "Result" result: Blob,
        /// `completed` or `cancelled`.
        "State" state: WorkState,
    }
}
