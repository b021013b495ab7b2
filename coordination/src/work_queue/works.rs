//! The commands of work queues, carried out on `items.rs`.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::items::{Claimer, Item, Lease, Queue, Requirements, State};
use super::{Claim, Claimed, Command, Pressure, Put, Query, Reply, StateName, Worker};
use crate::command::Reply as MachineReply;
use crate::error::{Argument, Refusal, Thing};
use crate::limits::{
    CLAIM_MAX, CLAIMERS_MAX, DEPENDENCIES_MAX, ITEMS_MAX, NAMES_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, PRIORITY_MAX,
    REDRIVE_MAX, REQUIREMENTS_MAX, RESULT_BYTES_MAX, WORK_QUEUES_MAX,
};
use crate::step::{Caller, Index, Place, Step};
use crate::types::{HoldId, ItemId, Key, Owner, Patience, Revision, TimeMs, Ttl};

/// All work queues.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Works {
    queues: BTreeMap<Key, Queue>,
}

impl Works {
    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }

    /// Items in all queues.
    pub(crate) fn items(&self) -> usize {
        self.queues.values().map(|queue| queue.items.len()).fold(0, usize::saturating_add)
    }

    pub(crate) fn apply(
        &mut self,
        step: &mut Step<'_>,
        caller: &Caller,
        name: &Key,
        command: &Command,
    ) -> Result<MachineReply, Refusal> {
        let reply = match command {
            Command::Put(put) => self.put(step, name, put).map(MachineReply::Work),
            Command::Claim(claim) => self.claim(step, caller, name, claim),
            Command::Heartbeat { item, token, lease } => {
                self.heartbeat(step, name, *item, *token, *lease).map(MachineReply::Work)
            }
            Command::Complete { item, token, result } => self.complete(step, name, *item, *token, result),
            Command::Fail { item, token, reason, retry_after } => {
                small(reason)?;
                let queue = self.claimed(name, *item, *token)?;
                queue.totals.failed = queue.totals.failed.saturating_add(1);
                put_back(queue, step, name, *item, reason.clone(), step.now.after(*retry_after));
                Ok(MachineReply::Done)
            }
            Command::Release { item, token, delay } => {
                let not_before = step.now.after(*delay);
                let queue = self.claimed(name, *item, *token)?;
                queue.totals.released = queue.totals.released.saturating_add(1);
                if let Some(item) = queue.items.get_mut(item) {
                    item.not_before = not_before;
                }
                queue.admit(step, name, *item);
                Ok(MachineReply::Done)
            }
            Command::Cancel { item } => self.cancel(step, name, *item),
            Command::Redrive { item } => self.redrive(step, name, *item).map(MachineReply::Work),
            Command::Configure { soft, hard } => self.configure(step, name, *soft, *hard),
            Command::Forget => self.forget(step, name),
        }?;
        self.serve(step, name);
        Ok(reply)
    }

    pub(crate) fn read(&self, name: &Key, query: &Query) -> Result<Reply, Refusal> {
        let queue = self.queues.get(name).ok_or(Refusal::Missing(Thing::Queues))?;
        match query {
            Query::Stats => Ok(Reply::Stats(queue.stats())),
            Query::Item(id) => {
                let item = queue.items.get(id).ok_or(Refusal::Missing(Thing::Items))?;
                Ok(Reply::Items(vec![item.info(*id)]))
            }
            Query::Items { after, state } => {
                let range = queue.items.range((Bound::Excluded(*after), Bound::Unbounded));
                let wanted = range.filter(|(_, item)| state.is_none_or(|state| item.name() == state));
                let mut bytes = 0usize;
                let page = wanted.take(PAGE_ENTRIES_MAX).take_while(|(_, item)| {
                    let fits = bytes < PAGE_BYTES_MAX;
                    bytes = bytes.saturating_add(item.cost(name));
                    fits
                });
                Ok(Reply::Items(page.map(|(id, item)| item.info(*id)).collect()))
            }
            Query::Finished => {
                let mut bytes = 0usize;
                let page = queue.finished.iter().take_while(|finished| {
                    let fits = bytes < PAGE_BYTES_MAX;
                    bytes = bytes.saturating_add(finished.result.len());
                    fits
                });
                Ok(Reply::Finished(page.cloned().collect()))
            }
        }
    }

    /// A waiting call goes.
    pub(crate) fn leave(&mut self, step: &mut Step<'_>, name: &Key, hold: HoldId) {
        if let Some(queue) = self.queues.get_mut(name) {
            let gone = queue.claimers.remove(&hold);
            step.stored(0, gone.as_ref().map_or(0, Claimer::cost));
            if *queue == Queue::default() {
                self.queues.remove(name);
            }
        }
    }

    /// The item's deadline has come: its delay is over, its target had its chance, or its lease has run out.
    pub(crate) fn on_deadline(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        match queue.items.get(&id).map(|item| &item.state) {
            Some(State::Claimed(_)) => lose(queue, step, name, id, "the lease ran out"),
            Some(State::Delayed | State::Ready) => queue.admit(step, name, id),
            Some(State::Blocked | State::Dead) | None => {}
        }
        self.serve(step, name);
    }

    /// The session, client or node of the claim has ended.
    pub(crate) fn on_owner_ended(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        if queue.items.get(&id).is_some_and(|item| item.lease().is_some()) {
            lose(queue, step, name, id, "the worker's session, client or node ended");
        }
        self.serve(step, name);
    }

    pub(crate) fn reindex(&mut self, index: &mut Index) {
        for (name, queue) in &mut self.queues {
            queue.reindex(name, index);
        }
    }

    fn may_create(&self, name: &Key) -> Result<(), Refusal> {
        if self.queues.len() >= WORK_QUEUES_MAX && !self.queues.contains_key(name) {
            return Err(Refusal::TooMany(Thing::Queues, WORK_QUEUES_MAX as u64));
        }
        Ok(())
    }

    /// The queue, if this is the item's current claim.
    fn claimed(&mut self, name: &Key, id: ItemId, token: Revision) -> Result<&mut Queue, Refusal> {
        let queue = self.queues.get_mut(name).ok_or(Refusal::StaleLease)?;
        let lease = queue.items.get(&id).and_then(Item::lease);
        if lease.is_some_and(|lease| lease.token == token) { Ok(queue) } else { Err(Refusal::StaleLease) }
    }

    fn put(&mut self, step: &mut Step<'_>, name: &Key, put: &Put) -> Result<Reply, Refusal> {
        check(put)?;
        self.may_create(name)?;
        let fresh = Queue::default();
        let queue = self.queues.get(name).unwrap_or(&fresh);
        if let Some(item) = put.dedupe.as_ref().and_then(|key| queue.deduped.get(key)) {
            return Ok(Reply::Duplicate { item: *item });
        }
        let length = queue.items.len() as u64;
        if length >= queue.hard {
            return Err(Refusal::Full(queue.hard));
        }
        let mut waits_for = put.depends_on.clone();
        for dependency in &put.depends_on {
            let completed =
                |finished: &super::Finished| finished.item == *dependency && finished.state == StateName::Completed;
            if queue.finished.iter().any(completed) {
                waits_for.remove(dependency);
            } else if !queue.items.contains_key(dependency) {
                return Err(Refusal::UnknownDependency(*dependency));
            }
        }
        let item = item(step, put, waits_for);
        if queue.requirements() >= REQUIREMENTS_MAX && !queue.is_known_requirement(&item.requirements) {
            return Err(Refusal::TooMany(Thing::Requirements, REQUIREMENTS_MAX as u64));
        }
        step.room(item.cost(name), 0)?;
        let pressure = if length.saturating_add(1) >= queue.soft { Pressure::Soft } else { Pressure::None };
        let id = ItemId(step.draw().0);
        let queue = self.queues.entry(name.clone()).or_default();
        queue.totals.put = queue.totals.put.saturating_add(1);
        queue.insert(step, name, id, item);
        queue.admit(step, name, id);
        Ok(Reply::Put { item: id, pressure })
    }

    fn claim(
        &mut self,
        step: &mut Step<'_>,
        caller: &Caller,
        name: &Key,
        claim: &Claim,
    ) -> Result<MachineReply, Refusal> {
        if claim.most == 0 {
            return Err(Refusal::Invalid(Argument::Batch));
        }
        few(claim.worker.capabilities.len(), NAMES_MAX, Argument::Capabilities)?;
        let claimer = Claimer {
            ticket: caller.ticket,
            owner: caller.owner.clone(),
            worker: claim.worker.clone(),
            lease: claim.lease,
            most: claim.most.min(CLAIM_MAX),
        };
        if let Some(queue) = self.queues.get_mut(name) {
            let items = take(queue, step, name, &claimer);
            if !items.is_empty() {
                return Ok(MachineReply::Work(Reply::Claimed(items)));
            }
            if queue.claimers.len() >= CLAIMERS_MAX {
                return Err(Refusal::TooMany(Thing::Waiters, CLAIMERS_MAX as u64));
            }
        }
        self.may_create(name)?;
        let cost = claimer.cost();
        if claim.patience != Patience::None {
            step.room(cost, 0)?;
        }
        let hold = step.wait(caller, claim.patience, Place::Work(name.clone()), Refusal::Empty)?;
        step.stored(cost, 0);
        self.queues.entry(name.clone()).or_default().claimers.insert(hold, claimer);
        Ok(MachineReply::Waiting { ticket: caller.ticket, hold })
    }

    fn heartbeat(
        &mut self,
        step: &mut Step<'_>,
        name: &Key,
        id: ItemId,
        token: Revision,
        lease: Option<Ttl>,
    ) -> Result<Reply, Refusal> {
        let queue = self.claimed(name, id, token)?;
        let current = queue.items.get(&id).and_then(Item::lease).ok_or(Refusal::StaleLease)?.clone();
        let ttl = lease.unwrap_or(current.ttl);
        let expires = step.now.after(ttl.span());
        queue.extend(step, name, id, Lease { ttl, expires, ..current });
        Ok(Reply::Extended { expires })
    }

    fn complete(
        &mut self,
        step: &mut Step<'_>,
        name: &Key,
        id: ItemId,
        token: Revision,
        result: &Bytes,
    ) -> Result<MachineReply, Refusal> {
        small(result)?;
        let queue = self.claimed(name, id, token)?;
        queue.totals.completed = queue.totals.completed.saturating_add(1);
        queue.finish(step, name, id, StateName::Completed, result.clone());
        for dependent in queue.dependents(id) {
            queue.satisfy(step, name, dependent, id);
        }
        Ok(MachineReply::Done)
    }

    fn cancel(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId) -> Result<MachineReply, Refusal> {
        let queue = self.queues.get_mut(name).ok_or(Refusal::Missing(Thing::Queues))?;
        if !queue.items.contains_key(&id) {
            return Err(Refusal::Missing(Thing::Items));
        }
        let mut doomed = vec![id];
        while let Some(id) = doomed.pop() {
            doomed.extend(queue.dependents(id));
            step.turn();
            if queue.items.contains_key(&id) {
                queue.totals.cancelled = queue.totals.cancelled.saturating_add(1);
                queue.finish(step, name, id, StateName::Cancelled, Bytes::new());
            }
        }
        Ok(MachineReply::Done)
    }

    fn redrive(&mut self, step: &mut Step<'_>, name: &Key, id: Option<ItemId>) -> Result<Reply, Refusal> {
        let queue = self.queues.get_mut(name).ok_or(Refusal::Missing(Thing::Queues))?;
        let dead = queue.items.iter().filter(|(_, item)| item.state == State::Dead).map(|(id, _)| *id);
        let chosen: Vec<ItemId> = dead.filter(|dead| id.is_none_or(|id| id == *dead)).take(REDRIVE_MAX).collect();
        if id.is_some() && chosen.is_empty() {
            return Err(Refusal::Missing(Thing::Items));
        }
        for id in &chosen {
            if let Some(item) = queue.items.get_mut(id) {
                item.attempts = 0;
                item.not_before = TimeMs(0);
            }
            queue.totals.redriven = queue.totals.redriven.saturating_add(1);
            step.turn();
            queue.admit(step, name, *id);
        }
        Ok(Reply::Redriven(chosen.len() as u64))
    }

    fn configure(&mut self, step: &mut Step<'_>, name: &Key, soft: u64, hard: u64) -> Result<MachineReply, Refusal> {
        if soft > hard || hard > ITEMS_MAX {
            return Err(Refusal::Invalid(Argument::Bounds));
        }
        self.may_create(name)?;
        let queue = self.queues.entry(name.clone()).or_default();
        (queue.soft, queue.hard) = (soft, hard);
        step.draw();
        Ok(MachineReply::Done)
    }

    fn forget(&mut self, step: &mut Step<'_>, name: &Key) -> Result<MachineReply, Refusal> {
        let queue = self.queues.get(name).ok_or(Refusal::Missing(Thing::Queues))?;
        if !queue.items.is_empty() || !queue.claimers.is_empty() {
            return Err(Refusal::Busy);
        }
        let finished = queue.finished.iter().map(|finished| crate::step::cost(name, finished.result.len()));
        let freed = finished.fold(0, usize::saturating_add);
        step.stored(0, freed);
        step.draw();
        self.queues.remove(name);
        Ok(MachineReply::Done)
    }

    /// Gives ready items to the calls that wait for them, in the order of the calls.
    fn serve(&mut self, step: &mut Step<'_>, name: &Key) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        if queue.claimers.is_empty() || !queue.has_ready() {
            return;
        }
        let holds: Vec<HoldId> = queue.claimers.keys().copied().collect();
        for hold in holds {
            let Some(claimer) = queue.claimers.get(&hold).cloned() else { continue };
            let items = take(queue, step, name, &claimer);
            if !items.is_empty() {
                queue.claimers.remove(&hold);
                step.stored(0, claimer.cost());
                step.answer(claimer.ticket, MachineReply::Work(Reply::Claimed(items)));
            }
        }
    }
}

/// Claims the best items for a worker, up to its batch or a page of bytes.
fn take(queue: &mut Queue, step: &mut Step<'_>, name: &Key, claimer: &Claimer) -> Vec<Claimed> {
    let Claimer { owner, worker, lease, most, .. } = claimer;
    let Worker { node, .. } = worker;
    let mut items = Vec::new();
    let mut bytes = 0usize;
    while items.len() < *most as usize
        && bytes < PAGE_BYTES_MAX
        && let Some(id) = queue.best(worker)
        && let Some(item) = queue.items.get(&id)
    {
        let token = step.draw();
        let expires = step.now.after(lease.span());
        bytes = bytes.saturating_add(item.cost(name));
        items.push(Claimed {
            item: id,
            token,
            payload: item.payload.clone(),
            priority: item.priority,
            attempts: item.attempts,
            expires,
        });
        let (owner, node): (Owner, _) = (owner.clone(), node.clone());
        queue.totals.claimed = queue.totals.claimed.saturating_add(1);
        queue.enter(step, name, id, State::Claimed(Lease { token, owner, node, ttl: *lease, expires }));
    }
    items
}

/// A claim ended by itself.
fn lose(queue: &mut Queue, step: &mut Step<'_>, name: &Key, id: ItemId, reason: &'static str) {
    queue.totals.lost = queue.totals.lost.saturating_add(1);
    put_back(queue, step, name, id, Bytes::from_static(reason.as_bytes()), TimeMs(0));
}

/// Counts an attempt and puts the item back, or among the dead.
fn put_back(queue: &mut Queue, step: &mut Step<'_>, name: &Key, id: ItemId, reason: Bytes, not_before: TimeMs) {
    let Some(item) = queue.items.get_mut(&id) else { return };
    let old_cost = item.cost(name);
    item.attempts = item.attempts.saturating_add(1);
    item.last_error = reason;
    if step.room(item.cost(name), old_cost).is_err() {
        item.last_error = Bytes::new();
    }
    item.not_before = not_before;
    step.stored(item.cost(name), old_cost);
    if item.max_attempts > 0 && item.attempts >= item.max_attempts {
        queue.totals.died = queue.totals.died.saturating_add(1);
        queue.enter(step, name, id, State::Dead);
    } else {
        queue.admit(step, name, id);
    }
}

fn item(step: &Step<'_>, put: &Put, waits_for: std::collections::BTreeSet<ItemId>) -> Item {
    let target_until = put.target.as_ref().and_then(|target| target.within).map(|within| step.now.after(within));
    let requirements = Requirements {
        requires: put.requires.clone(),
        target: put.target.as_ref().map(|target| target.node.clone()),
        excluded: put.excluded.clone(),
    };
    Item {
        payload: put.payload.clone(),
        priority: put.priority,
        requirements,
        target_until,
        dedupe: put.dedupe.clone(),
        waits_for,
        not_before: step.now.after(put.delay),
        max_attempts: put.max_attempts,
        attempts: 0,
        last_error: Bytes::new(),
        put_at: step.wall,
        state: State::Blocked,
    }
}

fn check(put: &Put) -> Result<(), Refusal> {
    if put.priority > PRIORITY_MAX {
        return Err(Refusal::Invalid(Argument::Priority));
    }
    few(put.requires.len(), NAMES_MAX, Argument::Capabilities)?;
    few(put.excluded.len(), NAMES_MAX, Argument::Exclusions)?;
    few(put.depends_on.len(), DEPENDENCIES_MAX, Argument::Dependencies)
}

fn few(count: usize, most: usize, what: Argument) -> Result<(), Refusal> {
    if count > most { Err(Refusal::TooLarge(what, most as u64)) } else { Ok(()) }
}

fn small(result: &Bytes) -> Result<(), Refusal> {
    few(result.len(), RESULT_BYTES_MAX, Argument::Result)
}
