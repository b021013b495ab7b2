//! Coordination: keys, locks, elections, queues and the like, which a group of agents keeps (`docs/rpc.md`).
//!
//! `call.rs` makes a call: with its number, as often as it takes, applied once. `lease.rs` keeps alive what is held,
//! `hold.rs` gives it back, `stream.rs` opens streams again. The other files are the objects, one each, and hold nothing of their own: handles are cheap to make and to clone.

use std::time::Duration;

mod barrier;
mod call;
mod collections;
mod election;
mod group;
mod hold;
pub(crate) mod identity;
mod kv;
pub(crate) mod lease;
mod lock;
mod queue;
mod session;
mod stream;
mod watch;
mod work;

pub use barrier::{Barrier, Gate, Passage};
pub use collections::{Counter, List, Set};
pub use election::{Election, Leader, Leaders, Term};
pub use group::{Backup, Group};
pub(crate) use identity::Identities;
pub use kv::{Compare, Entry, Kv, Life, Operation, Outcome, Page, Swap, Transacted, Transaction};
pub use lease::Lost;
pub use lock::{Guard, Line, Lock, ReadWriteLock, Semaphore};
pub use queue::{Queue, Taken};
pub use session::{Bond, Session, SessionOptions};
pub use watch::{Change, Changes, Watch, WatchOptions};
pub use work::{Claim, Item, NewItem, Put, WorkQueue};

/// Milliseconds of a span, as bodies have them; a beginning one counts as whole, so that nothing becomes "none".
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// How long a call may wait for what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// This long.
    For(Duration),
    /// Until it has it.
    Always,
}

impl Wait {
    /// As bodies have it.
    pub(crate) fn to_body(self) -> i64 {
        match self {
            Self::No => 0,
            Self::For(span) => i64::try_from(millis(span)).unwrap_or(i64::MAX),
            Self::Always => -1,
        }
    }

    /// The longest time an answer may take because of it.
    pub(crate) fn span(self) -> Option<Duration> {
        match self {
            Self::No => Some(Duration::ZERO),
            Self::For(span) => Some(span),
            Self::Always => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_milliseconds_that_are_never_none_by_rounding() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(1500)), 1500);
        assert_eq!(millis(Duration::MAX), u64::MAX);
        assert_eq!(Wait::For(Duration::MAX).to_body(), i64::MAX);
        assert_eq!((Wait::No.to_body(), Wait::Always.to_body()), (0, -1));
    }
}
