//! Locks, semaphores and read/write locks: requests translated to the line before them (`line.rs`), which does the work.

use serde::{Deserialize, Serialize};

use crate::command::{Cause, Reply};
use crate::error::{Argument, Refusal};
use crate::limits::PERMITS_MAX;
use crate::line::{Entrant, LineId, LineKind, Lines, Rank};
use crate::step::{Caller, Step};
use crate::types::{HoldId, Key, Patience, SessionId, Ttl};

/// What a client asks of locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Asks for a hold: [`Reply::Held`], [`Reply::Waiting`], or `Busy`. Asking again while holding is another request,
    /// which waits for the first hold: these locks are not reentrant, because a client may have many threads.
    Acquire(Acquire),
    /// Gives a hold back: [`Reply::Done`].
    Release {
        /// Of what.
        target: Target,
        /// Which hold.
        hold: HoldId,
    },
    /// Starts the hold's time to live again: [`Reply::Held`].
    Renew {
        /// Of what.
        target: Target,
        /// Which hold.
        hold: HoldId,
        /// Another time to live from here on.
        ttl: Option<Ttl>,
    },
}

/// A request for a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquire {
    /// Its name. Each kind of lock has its own names.
    pub name: Key,
    /// What is asked for.
    pub mode: Mode,
    /// The session with which the hold (and the waiting) ends; without one they end with the client.
    pub session: Option<SessionId>,
    /// Time after which the hold ends if it is not renewed, counted from the grant.
    pub ttl: Option<Ttl>,
    /// How long to stay in line.
    pub patience: Patience,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The lock.
    Lock,
    /// Permits of a semaphore, whose capacity its first user sets and all others have to name.
    Semaphore {
        /// How many.
        permits: u32,
        /// Of how many; at most [`crate::limits::PERMITS_MAX`].
        capacity: u32,
    },
    /// The read/write lock, with other readers.
    Read,
    /// The read/write lock, alone.
    Write,
}

/// Names a lock, semaphore or read/write lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A lock.
    Lock(Key),
    /// A semaphore.
    Semaphore(Key),
    /// A read/write lock.
    ReadWrite(Key),
}

impl Target {
    pub(crate) fn line(&self) -> LineId {
        let (kind, name) = match self {
            Self::Lock(name) => (LineKind::Lock, name),
            Self::Semaphore(name) => (LineKind::Semaphore, name),
            Self::ReadWrite(name) => (LineKind::ReadWrite, name),
        };
        LineId { kind, name: name.clone() }
    }
}

pub(crate) fn acquire(
    lines: &mut Lines,
    step: &mut Step<'_>,
    caller: &Caller,
    acquire: &Acquire,
) -> Result<Reply, Refusal> {
    let (kind, permits, capacity) = match acquire.mode {
        Mode::Lock => (LineKind::Lock, 1, 1),
        Mode::Semaphore { permits, capacity } => (LineKind::Semaphore, permits, capacity),
        Mode::Read => (LineKind::ReadWrite, 1, PERMITS_MAX),
        Mode::Write => (LineKind::ReadWrite, PERMITS_MAX, PERMITS_MAX),
    };
    if capacity > PERMITS_MAX {
        return Err(Refusal::Invalid(Argument::Permits));
    }
    let (ttl, patience) = (acquire.ttl, acquire.patience);
    let entrant =
        Entrant { caller, capacity, permits, ttl, value: bytes::Bytes::new(), rank: Rank::Ordinary, patience };
    lines.enter(step, &LineId { kind, name: acquire.name.clone() }, entrant)
}

pub(crate) fn release(lines: &mut Lines, step: &mut Step<'_>, target: &Target, hold: HoldId) -> Result<Reply, Refusal> {
    lines.release(step, &target.line(), hold, Cause::Removed)
}
