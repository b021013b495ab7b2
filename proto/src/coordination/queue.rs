//! Bounded queues and priority queues. Each kind has names of its own.

use folkmoot_wire::{Blob, Text};

use crate::objects::{objects, words};

words! {
    /// In which order elements come out.
    QueueKind {
        /// As they were put.
        Fifo = "fifo",
        /// Lowest priority number first, then as they were put.
        Priority = "priority",
    }
}

objects! {
    /// Body of `queue-put`; fails if the queue is full.
    QueuePut {
        /// Elements that the queue may hold with this one; 0: as many as any.
        "Bound" bound: u32,
        /// Of which kind.
        "Kind" kind: QueueKind,
        /// To which queue.
        "Name" name: Text,
        /// Its number in a priority queue.
        "Priority" priority: i64,
        /// The element.
        "Value" value: Blob,
    }

    /// Body of `queue-get`: takes the next element.
    QueueGet {
        /// Of which kind.
        "Kind" kind: QueueKind,
        /// From which queue.
        "Name" name: Text,
        /// How long to wait for one.
        "Wait" wait: i64,
    }

    /// Body of `queue-info`.
    QueueInfo {
        /// Of which kind.
        "Kind" kind: QueueKind,
        /// Which queue.
        "Name" name: Text,
    }

    /// Answer to `queue-info`.
    QueueState {
        /// Elements in it.
        "Length" length: u64,
        /// The next element, which stays; nil if there is none.
        "Next" next: Option<Blob>,
        /// Calls that wait.
        "Waiting" waiting: u64,
    }
}
