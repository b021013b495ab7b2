//! Deadlines on log time, written once for everything that ends by itself: clients, sessions, keys, holds, waiting calls
//! and work items. The things keep their own deadline; this is the order in which they come, and is rebuilt from the things
//! after a restore. Deadlines of the same moment come in the order of [`Deadline`].

use std::collections::BTreeSet;

use crate::line::LineId;
use crate::types::{ClientId, HoldId, ItemId, Key, SessionId, Ticket, TimeMs};

/// Whose deadline it is, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// The client is forgotten, with everything that depends on it.
    Client(ClientId),
    /// The session ends, with everything bound to it.
    Session(SessionId),
    /// The key is deleted.
    Key(Key),
    /// The hold is released.
    Hold(LineId, HoldId),
    /// The call is answered with `TimedOut`.
    Wait(Ticket),
    /// What the item's state says: its delay is over, its lease has run out, its target node had its chance.
    Item(Key, ItemId),
}

/// All deadlines, earliest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Leases {
    due: BTreeSet<(TimeMs, Deadline)>,
}

impl Leases {
    /// Replaces the deadline `old` of a thing by `new`; `None` is "never".
    pub(crate) fn reset(&mut self, old: Option<TimeMs>, new: Option<TimeMs>, deadline: Deadline) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.due.remove(&(old, deadline.clone()));
        }
        if let Some(new) = new {
            self.due.insert((new, deadline));
        }
    }

    /// When the next deadline comes.
    pub(crate) fn next(&self) -> Option<TimeMs> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Takes the earliest deadline that `now` has reached. Its thing still remembers it and may `reset` it, which is harmless..
    pub(crate) fn pop_due(&mut self, now: TimeMs) -> Option<Deadline> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, deadline)| deadline)
    }
}
