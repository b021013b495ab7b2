//! The line before something of which there is a limited amount: holders, and those who wait, served strictly in order.
//! A lock has one permit, a semaphore some, a read/write lock as many as can be counted (a writer takes all of them), an
//! election one and a value with each candidate. Strict order means that a large request at the front is not overtaken by
//! small ones, so writers and large requests do not starve.
//!
//! The fencing token of a hold is the revision of its grant. A lock or election grants at most once per step, so its
//! tokens strictly increase; holders of a semaphore or readers that are let in by one step share that token.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Cause, Reply, Scope, What};
use crate::error::{Argument, Refusal, Thing};
use crate::lease::Deadline;
use crate::limits::{LINES_MAX, WAITERS_PER_LINE};
use crate::step::{Bond, Caller, Index, Place, Step};
use crate::types::{HoldId, Key, Owner, Patience, Revision, Ticket, TimeMs, Ttl};

/// Which line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LineId {
    /// Of which kind: each kind has its own names.
    pub kind: LineKind,
    /// Its name.
    pub name: Key,
}

/// What is behind the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LineKind {
    /// One holder.
    Lock,
    /// Some permits.
    Semaphore,
    /// Readers together or one writer.
    ReadWrite,
    /// One leader, and candidates with values.
    Election,
}

impl LineKind {
    pub(crate) fn scope(self) -> Scope {
        match self {
            Self::Lock => Scope::Lock,
            Self::Semaphore => Scope::Semaphore,
            Self::ReadWrite => Scope::ReadWriteLock,
            Self::Election => Scope::Election,
        }
    }
}

/// A granted hold, as replies and queries show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Fences off earlier holders: the revision of the grant.
    pub token: Revision,
    /// Permits taken.
    pub permits: u32,
    /// With whose end it ends.
    pub owner: Owner,
    /// Its time to live, started again by a renewal.
    pub ttl: Option<Ttl>,
    /// Log time at which it ends.
    pub expires: Option<TimeMs>,
    /// What the candidate says; empty elsewhere.
    pub value: Bytes,
}

/// A line as queries show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Permits in all; 0 if the line is not in use.
    pub capacity: u32,
    /// Who holds, longest first. At most [`crate::limits::PERMITS_MAX`].
    pub holds: Vec<(HoldId, Hold)>,
    /// Who waits, next first. At most [`crate::limits::WAITERS_PER_LINE`].
    pub waiting: Vec<HoldId>,
}

/// A request to enter a line.
pub(crate) struct Entrant<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) capacity: u32,
    pub(crate) permits: u32,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) value: Bytes,
    pub(crate) rank: Rank,
    pub(crate) patience: Patience,
}

/// Who comes before whom among those who wait; then the order of arrival decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Rank {
    Preferred,
    Ordinary,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiter {
    ticket: Ticket,
    permits: u32,
    owner: Owner,
    ttl: Option<Ttl>,
    value: Bytes,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    capacity: u32,
    holds: BTreeMap<HoldId, Hold>,
    waiters: BTreeMap<(Rank, HoldId), Waiter>,
}

impl Line {
    fn free(&self) -> u32 {
        let taken = self.holds.values().map(|hold| hold.permits).fold(0, u32::saturating_add);
        self.capacity.saturating_sub(taken)
    }
}

/// All lines in use.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lines {
    lines: BTreeMap<LineId, Line>,
}

impl Lines {
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Grants at once or puts in line.
    pub(crate) fn enter(&mut self, step: &mut Step<'_>, id: &LineId, entrant: Entrant<'_>) -> Result<Reply, Refusal> {
        let Entrant { caller, capacity, permits, ttl, value, rank, patience } = entrant;
        if permits == 0 || permits > capacity {
            return Err(Refusal::Invalid(Argument::Permits));
        }
        if self.lines.len() >= LINES_MAX && !self.lines.contains_key(id) {
            return Err(Refusal::TooMany(Thing::Lines, LINES_MAX as u64));
        }
        let line = self.lines.get(id);
        if let Some(line) = line
            && line.capacity != capacity
        {
            return Err(Refusal::CapacityDiffers(line.capacity.into()));
        }
        let waiter = Waiter { ticket: caller.ticket, permits, owner: caller.owner.clone(), ttl, value };
        if line.is_none_or(|line| line.waiters.is_empty() && line.free() >= permits) {
            let hold = HoldId(step.draw().0);
            let line = self.lines.entry(id.clone()).or_insert_with(|| Line { capacity, ..Line::default() });
            return Ok(grant(step, id, line, hold, waiter));
        }
        if line.is_some_and(|line| line.waiters.len() >= WAITERS_PER_LINE) {
            return Err(Refusal::TooMany(Thing::Waiters, WAITERS_PER_LINE as u64));
        }
        let hold = step.wait(caller, patience, Place::Line(id.clone()), Refusal::Busy)?;
        if let Some(line) = self.lines.get_mut(id) {
            line.waiters.insert((rank, hold), waiter);
        }
        Ok(Reply::Waiting { ticket: caller.ticket, hold })
    }

    /// Ends a hold and serves those who wait.
    pub(crate) fn release(
        &mut self,
        step: &mut Step<'_>,
        id: &LineId,
        hold: HoldId,
        cause: Cause,
    ) -> Result<Reply, Refusal> {
        let line = self.lines.get_mut(id).ok_or(Refusal::NotHeld)?;
        let held = line.holds.remove(&hold).ok_or(Refusal::NotHeld)?;
        step.index.leases.reset(held.expires, None, Deadline::Hold(id.clone(), hold));
        step.unbind(&held.owner, Bond::Hold(id.clone(), hold));
        step.event(id.kind.scope(), &id.name, What::Released { hold, token: held.token, cause });
        self.serve(step, id);
        Ok(Reply::Done)
    }

    /// Starts a hold's time to live again, with another one if given.
    pub(crate) fn renew(
        &mut self,
        step: &mut Step<'_>,
        id: &LineId,
        hold: HoldId,
        ttl: Option<Ttl>,
    ) -> Result<Reply, Refusal> {
        let held = self.hold_mut(id, hold)?;
        held.ttl = ttl.or(held.ttl);
        let expires = held.ttl.map(|ttl| step.now.after(ttl.span()));
        step.index.leases.reset(held.expires, expires, Deadline::Hold(id.clone(), hold));
        held.expires = expires;
        Ok(Reply::Held { hold, token: held.token, expires })
    }

    /// Changes the value of a hold.
    pub(crate) fn proclaim(
        &mut self,
        step: &mut Step<'_>,
        id: &LineId,
        hold: HoldId,
        value: Bytes,
    ) -> Result<Reply, Refusal> {
        let held = self.hold_mut(id, hold)?;
        held.value = value.clone();
        let token = held.token;
        step.event(id.kind.scope(), &id.name, What::Proclaimed { hold, token, value });
        Ok(Reply::Done)
    }

    /// Takes a call out of its line; those behind it may be served by that.
    pub(crate) fn leave(&mut self, step: &mut Step<'_>, id: &LineId, hold: HoldId) {
        if let Some(line) = self.lines.get_mut(id) {
            line.waiters.remove(&(Rank::Preferred, hold));
            line.waiters.remove(&(Rank::Ordinary, hold));
            self.serve(step, id);
        }
    }

    pub(crate) fn state(&self, id: &LineId) -> State {
        self.lines.get(id).map_or_else(State::default, |line| State {
            capacity: line.capacity,
            holds: line.holds.iter().map(|(id, hold)| (*id, hold.clone())).collect(),
            waiting: line.waiters.keys().map(|(_, hold)| *hold).collect(),
        })
    }

    pub(crate) fn reindex(&self, index: &mut Index) {
        for (id, line) in &self.lines {
            for (hold, held) in &line.holds {
                index.leases.reset(None, held.expires, Deadline::Hold(id.clone(), *hold));
                index.bonds.insert((held.owner.clone(), Bond::Hold(id.clone(), *hold)));
            }
        }
    }

    fn hold_mut(&mut self, id: &LineId, hold: HoldId) -> Result<&mut Hold, Refusal> {
        self.lines.get_mut(id).and_then(|line| line.holds.get_mut(&hold)).ok_or(Refusal::NotHeld)
    }

    /// Grants from the front while there is room, and forgets a line without use.
    fn serve(&mut self, step: &mut Step<'_>, id: &LineId) {
        let Some(line) = self.lines.get_mut(id) else { return };
        while let Some(first) = line.waiters.first_entry()
            && first.get().permits <= {
                let taken = line.holds.values().map(|hold| hold.permits).fold(0, u32::saturating_add);
                line.capacity.saturating_sub(taken)
            }
        {
            let ((_, hold), waiter) = first.remove_entry();
            let ticket = waiter.ticket;
            step.turn();
            let reply = grant(step, id, line, hold, waiter);
            step.answer(ticket, reply);
        }
        if line.holds.is_empty() && line.waiters.is_empty() {
            self.lines.remove(id);
        }
    }
}

fn grant(step: &mut Step<'_>, id: &LineId, line: &mut Line, hold: HoldId, waiter: Waiter) -> Reply {
    let Waiter { permits, owner, ttl, value, .. } = waiter;
    let token = step.draw();
    let expires = ttl.map(|ttl| step.now.after(ttl.span()));
    step.index.leases.reset(None, expires, Deadline::Hold(id.clone(), hold));
    step.bind(&owner, Bond::Hold(id.clone(), hold));
    let what = What::Granted { hold, token, owner: owner.clone(), value: value.clone() };
    step.event(id.kind.scope(), &id.name, what);
    line.holds.insert(hold, Hold { token, permits, owner, ttl, expires, value });
    Reply::Held { hold, token, expires }
}
