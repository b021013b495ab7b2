//! Operations that wait for a broadcast: leave, force-leave, set-tags.
//!
//! Answers to `docs/spec/serf-gossip.md` 2.1 and section 12 (Go `serf.go` Leave, RemoveFailedNode, SetTags). Deadlines where
//! Go blocks. With F6 (whoever is declared gone hears of it directly and can object) and F12.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Timer;
use crate::limits::OPERATIONS_MAX;
use crate::memberlist::BroadcastId;
use crate::membership::socket_address;
use crate::messages::LeaveIntent;
use crate::records::AfterLeave;
use crate::{
    Completion, Instant, NodeName, OperationError, OperationId, Output, Prune, RequestError, Serf, SerfState, Tags,
    names,
};

/// Operations under way.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    drawn: u64,
    active: BTreeMap<OperationId, Active>,
    /// Who waits for what; an id is waited for by one operation only.
    waiting: BTreeMap<Awaited, OperationId>,
}

/// A broadcast somebody waits for. The two layers number theirs independently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    /// In our queues.
    Intent(BroadcastId),
    /// In memberlist's queue.
    Gossip(BroadcastId),
}

/// What an operation is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Active {
    /// The leave intent goes round.
    LeaveIntent,
    /// Memberlist's farewell goes round.
    LeaveFarewell,
    /// The news gets time to spread.
    LeaveLinger,
    /// The removal goes round, and whoever is to be pruned gets time to object.
    ForceLeave { announced: bool, pruned: Option<NodeName> },
    /// The new tags go round.
    SetTags,
}

impl Operations {
    /// The next id.
    pub(crate) fn draw(&mut self) -> OperationId {
        self.drawn = self.drawn.saturating_add(1);
        OperationId(self.drawn)
    }

    fn wait(&mut self, operation: OperationId, awaited: Option<Awaited>, active: Active) {
        self.waiting.retain(|_, waiting| *waiting != operation);
        if let Some(awaited) = awaited {
            self.waiting.insert(awaited, operation);
        }
        self.active.insert(operation, active);
    }

    fn end(&mut self, operation: OperationId) -> Option<Active> {
        self.waiting.retain(|_, waiting| *waiting != operation);
        self.active.remove(&operation)
    }
}

impl Serf {
    /// Leaves; ends with [`Completion::Leave`]. `Ok(None)`: has left already.
    ///
    /// # Errors
    /// A leave is under way, or it is too late for one.
    pub fn leave(&mut self, now: Instant) -> Result<Option<OperationId>, RequestError> {
        match self.core.state {
            SerfState::Alive => {}
            SerfState::Leaving => return Err(RequestError::LeaveInProgress),
            SerfState::Left => return Ok(None),
            SerfState::Shutdown => return Err(RequestError::LeaveAfterShutdown),
        }
        self.core.state = SerfState::Leaving;
        let after = if self.config.rejoin_after_leave { AfterLeave::Rejoin } else { AfterLeave::Forget };
        let record = self.recorder.on_leave(after);
        self.outputs.push_back(Output::Record(record));
        let intent = LeaveIntent { ltime: self.core.clock.take(), node: self.core.name.clone(), prune: false };
        self.on_leave_intent(now, &intent);
        let operation = self.operations.draw();
        if self.has_company() {
            let id = self.core.broadcasts.queue_farewell(intent.encode());
            self.operations.wait(operation, Some(Awaited::Intent(id)), Active::LeaveIntent);
            self.set_operation_deadline(now, operation);
        } else {
            self.say_farewell(now, operation);
        }
        self.absorb(now);
        Ok(Some(operation))
    }

    /// Announces that `name` is gone for good; ends with [`Completion::ForceLeave`]. Nobody has to know the name.
    pub fn force_leave(&mut self, now: Instant, name: &NodeName, prune: Prune) -> OperationId {
        let operation = self.operations.draw();
        if self.core.table.get(name).is_none() && !names::is_usable(name) {
            self.complete(operation, Completion::ForceLeave(Err(OperationError::InvalidName)));
            return operation;
        }
        if self.is_shut_down() {
            self.complete(operation, Completion::ForceLeave(Ok(())));
            return operation;
        }
        let prune = prune == Prune::Erase;
        let intent = LeaveIntent { ltime: self.core.clock.take(), node: name.clone(), prune };
        self.on_leave_intent(now, &intent);
        if *name == self.core.name {
            // Refuted by that already: the refutation is what has to go round.
            self.complete(operation, Completion::ForceLeave(Ok(())));
            self.absorb(now);
            return operation;
        }
        let encoded = intent.encode();
        if self.memberlist.is_alive(name)
            && let Some(to) = self.core.table.get(name).and_then(|entry| socket_address(&entry.member))
        {
            self.memberlist.send_best_effort(now, to, None, &encoded);
        }
        let announcement = self.has_company().then(|| self.core.broadcasts.queue_intent(name, encoded));
        let deadline = Timer::Prune(name.clone());
        let pruned = self.timers.deadline(&deadline).filter(|_| prune).map(|_| name.clone());
        if self.operations.active.len() >= OPERATIONS_MAX {
            self.complete(operation, Completion::ForceLeave(Ok(())));
        } else {
            let active = Active::ForceLeave { announced: announcement.is_none(), pruned };
            self.operations.wait(operation, announcement.map(Awaited::Intent), active);
            self.set_operation_deadline(now, operation);
            self.settle_force_leave(operation);
        }
        self.absorb(now);
        operation
    }

    /// Whether `tags` could be ours.
    ///
    /// # Errors
    /// They do not fit into our meta data.
    pub fn check_tags(&self, tags: &Tags) -> Result<(), RequestError> {
        tags.encode(self.config.protocol_version)?;
        Ok(())
    }

    /// Replaces our tags, also for query filters at once; ends with [`Completion::SetTags`].
    ///
    /// # Errors
    /// They do not fit into our meta data, or we have stopped.
    pub fn set_tags(&mut self, now: Instant, tags: Tags) -> Result<OperationId, RequestError> {
        if self.is_shut_down() {
            return Err(RequestError::NotAlive);
        }
        if self.operations.active.len() >= OPERATIONS_MAX {
            return Err(RequestError::TooMany(OPERATIONS_MAX));
        }
        let capability = self.config.capability.as_ref();
        let (meta, kept) = tags.encode_with(self.config.protocol_version, capability)?;
        self.core.meta = meta;
        self.core.tags = tags;
        self.tell_what_was_kept(kept);
        let operation = self.operations.draw();
        match self.memberlist.update_meta(now, &mut self.core) {
            Some(id) => {
                self.operations.wait(operation, Some(Awaited::Gossip(id)), Active::SetTags);
                self.set_operation_deadline(now, operation);
                self.absorb(now);
            }
            None => {
                self.absorb(now);
                self.complete(operation, Completion::SetTags(Ok(())));
            }
        }
        Ok(operation)
    }

    /// A broadcast of ours has gone round.
    pub(crate) fn on_intent_sent(&mut self, now: Instant, id: BroadcastId) {
        self.on_sent(now, Awaited::Intent(id));
    }

    /// A broadcast of memberlist has gone round.
    pub(crate) fn on_gossip_sent(&mut self, now: Instant, id: BroadcastId) {
        self.on_sent(now, Awaited::Gossip(id));
    }

    fn on_sent(&mut self, now: Instant, awaited: Awaited) {
        let Some(operation) = self.operations.waiting.remove(&awaited) else { return };
        match self.operations.active.get_mut(&operation) {
            Some(Active::LeaveIntent) => self.say_farewell(now, operation),
            Some(Active::LeaveFarewell) => self.linger(now, operation),
            Some(Active::ForceLeave { announced, .. }) => {
                *announced = true;
                self.settle_force_leave(operation);
            }
            Some(Active::SetTags) => self.end_operation(operation, Completion::SetTags(Ok(()))),
            Some(Active::LeaveLinger) | None => {}
        }
    }

    /// An operation has waited long enough.
    pub(crate) fn operation_due(&mut self, now: Instant, operation: OperationId) {
        match self.operations.active.get_mut(&operation) {
            Some(Active::LeaveIntent) => {
                tracing::warn!(target: "serf", "timeout while waiting for graceful leave");
                self.say_farewell(now, operation);
            }
            Some(Active::LeaveFarewell) => {
                tracing::warn!(target: "serf", "timeout waiting for leave broadcast");
                self.linger(now, operation);
            }
            Some(Active::LeaveLinger) => {
                self.core.state = SerfState::Left;
                self.end_operation(operation, Completion::Leave);
            }
            Some(Active::ForceLeave { announced: false, .. }) => {
                let error = OperationError::RemovalBroadcast;
                self.end_operation(operation, Completion::ForceLeave(Err(error)));
            }
            Some(Active::SetTags) => {
                self.end_operation(operation, Completion::SetTags(Err(OperationError::UpdateBroadcast)));
            }
            // Announced in time: the prune settles it.
            Some(Active::ForceLeave { announced: true, .. }) | None => {}
        }
    }

    /// Somebody was pruned, or not after all: whoever waited for that is answered.
    pub(crate) fn on_prune_settled(&mut self, _now: Instant, name: &NodeName) {
        let mut waiting = BTreeSet::new();
        for (operation, active) in &mut self.operations.active {
            if let Active::ForceLeave { pruned, .. } = active
                && pruned.as_ref() == Some(name)
            {
                *pruned = None;
                waiting.insert(*operation);
            }
        }
        for operation in waiting {
            self.settle_force_leave(operation);
        }
    }

    fn settle_force_leave(&mut self, operation: OperationId) {
        let settled = Active::ForceLeave { announced: true, pruned: None };
        if self.operations.active.get(&operation) == Some(&settled) {
            self.end_operation(operation, Completion::ForceLeave(Ok(())));
        }
    }

    fn say_farewell(&mut self, now: Instant, operation: OperationId) {
        match self.memberlist.leave(now) {
            Some(id) => {
                self.operations.wait(operation, Some(Awaited::Gossip(id)), Active::LeaveFarewell);
                self.set_operation_deadline(now, operation);
            }
            None => self.linger(now, operation),
        }
    }

    fn linger(&mut self, now: Instant, operation: OperationId) {
        self.operations.wait(operation, None, Active::LeaveLinger);
        self.timers.set(Timer::Operation(operation), now.after(self.config.leave_propagate_delay));
    }

    fn end_operation(&mut self, operation: OperationId, completion: Completion) {
        self.timers.cancel(&Timer::Operation(operation));
        self.operations.end(operation);
        self.complete(operation, completion);
    }

    fn set_operation_deadline(&mut self, now: Instant, operation: OperationId) {
        self.timers.set(Timer::Operation(operation), now.after(self.config.broadcast_timeout));
    }

    /// Whether anybody else is there to hear us: as memberlist sees it, so that whoever only we hold for leaving counts
    /// (Go does not count it, and then nobody can object to a removal).
    fn has_company(&self) -> bool {
        self.memberlist.alive_count() > 1
    }
}
