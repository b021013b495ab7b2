//! Barriers as etcd's recipes have them. A *barrier* is held or not; waiting lasts until it is lifted. A *gate* (etcd's
//! double barrier) lets a number of members through together: each enters and waits until all have, then each leaves and
//! waits until all have. A member whose session or client ends has left.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::{Cause, Reply, Scope, What};
use crate::error::{Argument, Refusal, Thing};
use crate::limits::{BARRIER_MEMBERS_MAX, BARRIERS_MAX};
use crate::step::{Bond, Caller, Index, Place, Step};
use crate::types::{HoldId, Key, Owner, Patience, SessionId, Ticket};

/// What a client asks of barriers and gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Puts the barrier up: [`Reply::Done`], or `Exists`. It stays until lifted.
    Raise {
        /// Which barrier.
        name: Key,
    },
    /// Takes the barrier away and lets all through: [`Reply::Done`], or `Missing`.
    Lift {
        /// Which barrier.
        name: Key,
    },
    /// Waits until the barrier is away: [`Reply::Done`] (at once if there is none), [`Reply::Waiting`], or `Busy`.
    Wait {
        /// Which barrier.
        name: Key,
        /// How long.
        patience: Patience,
    },
    /// Enters a gate: [`Reply::Entered`] when all are there, [`Reply::Waiting`], `Busy`, or `Full` when all are there
    /// already. Who stops waiting before has not entered.
    Enter {
        /// Which gate.
        name: Key,
        /// How many enter together: its first member sets it, all others have to name the same.
        count: u32,
        /// The session with which the membership ends; without one it ends with the client.
        session: Option<SessionId>,
        /// How long to wait for the others.
        patience: Patience,
    },
    /// Leaves a gate: [`Reply::Done`] when all have left (or the gate never opened), [`Reply::Waiting`], or
    /// [`Reply::Left`] when the caller does not wait, or cannot because too many do.
    Leave {
        /// Which gate.
        name: Key,
        /// The membership, from `Entered` or `Waiting`.
        hold: HoldId,
        /// How long to wait for the others.
        patience: Patience,
    },
}

impl Command {
    /// The session that the command names.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self {
            Self::Enter { session, .. } => *session,
            Self::Raise { .. } | Self::Lift { .. } | Self::Wait { .. } | Self::Leave { .. } => None,
        }
    }
}

/// A barrier and the gate of the same name, as a query shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The barrier is up.
    pub raised: bool,
    /// Calls that wait at the barrier.
    pub waiting: u32,
    /// Members the gate waits for; 0 if it is not in use.
    pub count: u32,
    /// Members inside.
    pub members: u32,
    /// All have entered, and not all have left.
    pub open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    owner: Owner,
    /// The call that waits for the others to enter.
    entering: Option<Ticket>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Gate {
    count: u32,
    open: bool,
    members: BTreeMap<HoldId, Member>,
    leaving: BTreeMap<HoldId, Ticket>,
}

/// All barriers and gates in use.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Barriers {
    raised: BTreeMap<Key, BTreeMap<HoldId, Ticket>>,
    gates: BTreeMap<Key, Gate>,
}

impl Barriers {
    pub(crate) fn len(&self) -> usize {
        self.raised.len().saturating_add(self.gates.len())
    }

    pub(crate) fn apply(&mut self, step: &mut Step<'_>, caller: &Caller, command: &Command) -> Result<Reply, Refusal> {
        match command {
            Command::Raise { name } => self.raise(step, name),
            Command::Lift { name } => self.lift(step, name),
            Command::Wait { name, patience } => self.wait(step, caller, name, *patience),
            Command::Enter { name, count, patience, session: _ } => self.enter(step, caller, name, *count, *patience),
            Command::Leave { name, hold, patience } => self.leave(step, caller, name, *hold, *patience),
        }
    }

    pub(crate) fn state(&self, name: &Key) -> State {
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let mut state = State { raised: self.raised.contains_key(name), ..State::default() };
        state.waiting = self.raised.get(name).map_or(0, |waiting| size(waiting.len()));
        if let Some(gate) = self.gates.get(name) {
            (state.count, state.members, state.open) = (gate.count, size(gate.members.len()), gate.open);
        }
        state
    }

    /// A waiting call goes from the barrier.
    pub(crate) fn stop_waiting(&mut self, name: &Key, hold: HoldId) {
        if let Some(waiting) = self.raised.get_mut(name) {
            waiting.remove(&hold);
        }
    }

    /// A leaver does not wait any more for the others.
    pub(crate) fn stop_leaving(&mut self, name: &Key, hold: HoldId) {
        if let Some(gate) = self.gates.get_mut(name) {
            gate.leaving.remove(&hold);
        }
    }

    /// A member goes without a word: it stopped waiting for the others, or its owner ended.
    pub(crate) fn drop_member(&mut self, step: &mut Step<'_>, name: &Key, hold: HoldId, cause: Cause) {
        let Some(gate) = self.gates.get_mut(name) else { return };
        let Some(member) = gate.members.remove(&hold) else { return };
        step.unbind(&member.owner, Bond::Gate(name.clone(), hold));
        step.event(Scope::Barrier, name, What::Released { hold, token: crate::types::Revision(hold.0), cause });
        self.close_if_empty(step, name);
    }

    pub(crate) fn reindex(&self, index: &mut Index) {
        for (name, gate) in &self.gates {
            for (hold, member) in &gate.members {
                index.bonds.insert((member.owner.clone(), Bond::Gate(name.clone(), *hold)));
            }
        }
    }

    fn room(&self) -> Result<(), Refusal> {
        if self.len() >= BARRIERS_MAX {
            return Err(Refusal::TooMany(Thing::Barriers, BARRIERS_MAX as u64));
        }
        Ok(())
    }

    fn raise(&mut self, step: &mut Step<'_>, name: &Key) -> Result<Reply, Refusal> {
        if self.raised.contains_key(name) {
            return Err(Refusal::Exists(Thing::Barriers));
        }
        self.room()?;
        self.raised.insert(name.clone(), BTreeMap::new());
        step.event(Scope::Barrier, name, What::Started);
        Ok(Reply::Done)
    }

    fn lift(&mut self, step: &mut Step<'_>, name: &Key) -> Result<Reply, Refusal> {
        let waiting = self.raised.remove(name).ok_or(Refusal::Missing(Thing::Barriers))?;
        step.event(Scope::Barrier, name, What::Ended(Cause::Removed));
        for ticket in waiting.into_values() {
            step.answer(ticket, Reply::Done);
        }
        Ok(Reply::Done)
    }

    fn wait(&mut self, step: &mut Step<'_>, caller: &Caller, name: &Key, patience: Patience) -> Result<Reply, Refusal> {
        let Some(waiting) = self.raised.get_mut(name) else { return Ok(Reply::Done) };
        if waiting.len() >= BARRIER_MEMBERS_MAX {
            return Err(Refusal::TooMany(Thing::Waiters, BARRIER_MEMBERS_MAX as u64));
        }
        let hold = step.wait(caller, patience, Place::Barrier(name.clone()), Refusal::Busy)?;
        waiting.insert(hold, caller.ticket);
        Ok(Reply::Waiting { ticket: caller.ticket, hold })
    }

    fn enter(
        &mut self,
        step: &mut Step<'_>,
        caller: &Caller,
        name: &Key,
        count: u32,
        patience: Patience,
    ) -> Result<Reply, Refusal> {
        if count == 0 || count as usize > BARRIER_MEMBERS_MAX {
            return Err(Refusal::Invalid(Argument::Count));
        }
        let inside = match self.gates.get(name) {
            None => self.room().map(|()| 0)?,
            Some(gate) if gate.count != count => return Err(Refusal::CapacityDiffers(gate.count.into())),
            Some(gate) if gate.open => return Err(Refusal::Full(count.into())),
            Some(gate) => gate.members.len(),
        };
        let last = inside.saturating_add(1) >= count as usize;
        let (hold, entering) = if last {
            (HoldId(step.draw().0), None)
        } else {
            (step.wait(caller, patience, Place::Enter(name.clone()), Refusal::Busy)?, Some(caller.ticket))
        };
        let owner = caller.owner.clone();
        step.bind(&owner, Bond::Gate(name.clone(), hold));
        let gate = self.gates.entry(name.clone()).or_insert_with(|| Gate { count, ..Gate::default() });
        gate.members.insert(hold, Member { owner, entering });
        if !last {
            return Ok(Reply::Waiting { ticket: caller.ticket, hold });
        }
        gate.open = true;
        step.event(Scope::Barrier, name, What::Opened);
        for (hold, member) in &mut gate.members {
            if let Some(ticket) = member.entering.take() {
                step.answer(ticket, Reply::Entered { hold: *hold });
            }
        }
        Ok(Reply::Entered { hold })
    }

    fn leave(
        &mut self,
        step: &mut Step<'_>,
        caller: &Caller,
        name: &Key,
        hold: HoldId,
        patience: Patience,
    ) -> Result<Reply, Refusal> {
        let gate = self.gates.get_mut(name).ok_or(Refusal::NotHeld)?;
        let member = gate.members.get(&hold).ok_or(Refusal::NotHeld)?;
        if let Some(ticket) = member.entering {
            step.answer(ticket, Reply::Refused(Refusal::Cancelled));
        }
        let open = gate.open;
        self.drop_member(step, name, hold, Cause::Removed);
        let Some(gate) = self.gates.get_mut(name).filter(|_| open) else { return Ok(Reply::Done) };
        if let Ok(place) = step.wait(caller, patience, Place::Leave(name.clone()), Refusal::Busy) {
            gate.leaving.insert(place, caller.ticket);
            return Ok(Reply::Waiting { ticket: caller.ticket, hold: place });
        }
        Ok(Reply::Left)
    }

    fn close_if_empty(&mut self, step: &mut Step<'_>, name: &Key) {
        if self.gates.get(name).is_some_and(|gate| gate.members.is_empty())
            && let Some(gate) = self.gates.remove(name)
        {
            if gate.open {
                step.event(Scope::Barrier, name, What::Closed);
            }
            for ticket in gate.leaving.into_values() {
                step.answer(ticket, Reply::Done);
            }
        }
    }
}
