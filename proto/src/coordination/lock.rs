//! Locks, semaphores and read/write locks. Each kind has names of its own.

use folkmoot_wire::{Blob, Text};

use super::Owner;
use crate::objects::{objects, words};

words! {
    /// What is asked for, or given back.
    LockKind {
        /// A lock.
        Lock = "lock",
        /// Permits of a semaphore.
        Semaphore = "semaphore",
        /// A read/write lock, with other readers.
        Read = "read",
        /// A read/write lock, alone.
        Write = "write",
    }
}

objects! {
    /// Body of `lock-acquire`.
    LockAcquire {
        /// Of a semaphore: permits in all. Its first user sets it, all others have to name it.
        "Capacity" capacity: u32,
        /// Of which kind.
        "Kind" kind: LockKind,
        /// Its name.
        "Name" name: Text,
        /// Of a semaphore: permits wanted; 0 is 1.
        "Permits" permits: u32,
        /// The session with which the hold ends, and the waiting; 0: they end with the client.
        "Session" session: u64,
        /// Milliseconds after the grant at which the hold ends if it is not renewed; 0: never.
        "TTL" ttl: u64,
        /// How long to wait.
        "Wait" wait: i64,
    }

    /// A hold: of a lock, of permits, of an office.
    Held {
        /// Log time at which it ends if it is not renewed; 0: never.
        "Expires" expires: u64,
        /// By which it is given back.
        "Hold" hold: u64,
        /// The fencing token: higher than that of every hold before.
        "Token" token: u64,
    }

    /// Body of `lock-release`.
    LockRelease {
        /// Which hold.
        "Hold" hold: u64,
        /// Of which kind; `read` and `write` name the same lock.
        "Kind" kind: LockKind,
        /// Of which lock.
        "Name" name: Text,
    }

    /// Body of `lock-renew`: the hold's time to live starts again.
    LockRenew {
        /// Which hold.
        "Hold" hold: u64,
        /// As in [`LockRelease`].
        "Kind" kind: LockKind,
        /// Of which lock.
        "Name" name: Text,
        /// Another time to live from here on, milliseconds; 0: the same.
        "TTL" ttl: u64,
    }

    /// Body of `lock-info`.
    LockInfo {
        /// As in [`LockRelease`].
        "Kind" kind: LockKind,
        /// Which lock.
        "Name" name: Text,
    }

    /// Who holds and who waits; answer to `lock-info` and `election-info`.
    Line {
        /// Permits in all; 0 if nobody holds or waits.
        "Capacity" capacity: u32,
        /// Who holds, longest first.
        "Holds" holds: Vec<LineHold>,
        /// Who waits, next first.
        "Waiting" waiting: Vec<u64>,
    }

    /// A granted hold.
    LineHold {
        /// As in [`Held`].
        "Expires" expires: u64,
        /// As in [`Held`].
        "Hold" hold: u64,
        /// With whose end it ends.
        "Owner" owner: Owner,
        /// Permits taken.
        "Permits" permits: u32,
        /// Milliseconds; 0: none.
        "TTL" ttl: u64,
        /// As in [`Held`].
        "Token" token: u64,
        /// Of an office: what the leader says.
        "Value" value: Blob,
    }
}
