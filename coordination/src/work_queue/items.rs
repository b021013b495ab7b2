//! The items of one work queue: what they are, which state they are in, and how they go from one to the next. Everything
//! that follows from a state (deadline, place among the ready, dependence on an owner) changes in [`Queue::enter`] only.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Finished, Info, StateName, Stats, Totals, Worker};
use crate::command::{Scope, What};
use crate::lease::Deadline;
use crate::limits::{FINISHED_MAX, ITEMS_MAX};
use crate::step::{Bond, Index, Step, cost};
use crate::types::{HoldId, ItemId, Key, Owner, Revision, Ticket, TimeMs, Ttl, Value, WallMs};

/// What a worker must be to get an item: items of equal requirements stand in one line.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Requirements {
    pub(super) requires: BTreeSet<Key>,
    pub(super) target: Option<Key>,
    pub(super) excluded: BTreeSet<Key>,
}

impl Requirements {
    fn admit(&self, worker: &Worker) -> bool {
        self.requires.is_subset(&worker.capabilities)
            && self.target.as_ref().is_none_or(|target| worker.node.as_ref() == Some(target))
            && worker.node.as_ref().is_none_or(|node| !self.excluded.contains(node))
    }

    fn size(&self) -> usize {
        let names = self.requires.iter().chain(&self.target).chain(&self.excluded);
        names.map(|name| cost(name, 0)).fold(0, usize::saturating_add)
    }
}

/// An item that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) payload: Value,
    pub(super) priority: u8,
    pub(super) requirements: Requirements,
    /// Log time at which the target loses its privilege.
    pub(super) target_until: Option<TimeMs>,
    pub(super) dedupe: Option<Key>,
    pub(super) waits_for: BTreeSet<ItemId>,
    pub(super) not_before: TimeMs,
    pub(super) max_attempts: u32,
    pub(super) attempts: u32,
    pub(super) last_error: Bytes,
    pub(super) put_at: WallMs,
    pub(super) state: State,
}

/// The state, with what only it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    Blocked,
    Delayed,
    Ready,
    Claimed(Lease),
    Dead,
}

/// A claim that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) token: Revision,
    pub(super) owner: Owner,
    pub(super) node: Option<Key>,
    pub(super) ttl: Ttl,
    pub(super) expires: TimeMs,
}

impl Item {
    fn deadline(&self) -> Option<TimeMs> {
        match &self.state {
            State::Delayed => Some(self.not_before),
            State::Ready => self.target_until,
            State::Claimed(lease) => Some(lease.expires),
            State::Blocked | State::Dead => None,
        }
    }

    pub(super) fn name(&self) -> StateName {
        match self.state {
            State::Blocked => StateName::Blocked,
            State::Delayed => StateName::Delayed,
            State::Ready => StateName::Ready,
            State::Claimed(_) => StateName::Claimed,
            State::Dead => StateName::Dead,
        }
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Claimed(lease) => Some(lease),
            State::Blocked | State::Delayed | State::Ready | State::Dead => None,
        }
    }

    /// Bytes that the item is counted with.
    pub(super) fn cost(&self, queue: &Key) -> usize {
        let parts = [
            self.payload.size(),
            self.requirements.size(),
            self.last_error.len(),
            self.dedupe.as_ref().map_or(0, |key| cost(key, 0)),
        ];
        cost(queue, parts.into_iter().fold(0, usize::saturating_add))
    }

    pub(super) fn info(&self, item: ItemId) -> Info {
        Info {
            item,
            state: self.name(),
            payload: self.payload.clone(),
            priority: self.priority,
            attempts: self.attempts,
            put_at: self.put_at,
            last_error: self.last_error.clone(),
            owner: self.lease().map(|lease| lease.owner.clone()),
            node: self.lease().and_then(|lease| lease.node.clone()),
            deadline: self.deadline(),
            waits_for: self.waits_for.clone(),
        }
    }

    fn order(&self, id: ItemId) -> (Reverse<u8>, ItemId) {
        (Reverse(self.priority), id)
    }
}

/// A call that waits for items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claimer {
    pub(super) ticket: Ticket,
    pub(super) owner: Owner,
    pub(super) worker: Worker,
    pub(super) lease: Ttl,
    pub(super) most: u32,
}

impl Claimer {
    /// What a call that waits counts as stored: the capabilities, which may be much; nothing without any, so that plain
    /// workers can wait where the storage is full.
    pub(super) fn cost(&self) -> usize {
        let names = self.worker.capabilities.iter().map(|name| cost(name, 0));
        names.fold(0, usize::saturating_add)
    }
}

/// Items of equal requirements.
#[derive(Debug, Default, PartialEq, Eq)]
struct Group {
    items: usize,
    ready: BTreeSet<(Reverse<u8>, ItemId)>,
}

/// One work queue.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queue {
    pub(super) items: BTreeMap<ItemId, Item>,
    pub(super) claimers: BTreeMap<HoldId, Claimer>,
    pub(super) finished: VecDeque<Finished>,
    pub(super) totals: Totals,
    pub(super) soft: u64,
    pub(super) hard: u64,
    // What follows is rebuilt from the items.
    #[serde(skip)]
    groups: BTreeMap<Requirements, Group>,
    #[serde(skip)]
    pub(super) deduped: BTreeMap<Key, ItemId>,
    /// (the item waited for, the item that waits).
    #[serde(skip)]
    dependents: BTreeSet<(ItemId, ItemId)>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            claimers: BTreeMap::new(),
            finished: VecDeque::new(),
            totals: Totals::default(),
            soft: ITEMS_MAX / 2,
            hard: ITEMS_MAX,
            groups: BTreeMap::new(),
            deduped: BTreeMap::new(),
            dependents: BTreeSet::new(),
        }
    }
}

impl Queue {
    pub(super) fn is_known_requirement(&self, requirements: &Requirements) -> bool {
        self.groups.contains_key(requirements)
    }

    pub(super) fn requirements(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn stats(&self) -> Stats {
        let count = |name| self.items.values().filter(|item| item.name() == name).count() as u64;
        Stats {
            blocked: count(StateName::Blocked),
            delayed: count(StateName::Delayed),
            ready: count(StateName::Ready),
            claimed: count(StateName::Claimed),
            dead: count(StateName::Dead),
            waiting: self.claimers.len() as u64,
            soft: self.soft,
            hard: self.hard,
            totals: self.totals,
        }
    }

    /// The best ready item for a worker.
    pub(super) fn best(&self, worker: &Worker) -> Option<ItemId> {
        let groups = self.groups.iter().filter(|(_, group)| !group.ready.is_empty());
        let suitable = groups.filter(|(requirements, _)| requirements.admit(worker));
        suitable.filter_map(|(_, group)| group.ready.first()).min().map(|(_, item)| *item)
    }

    pub(super) fn has_ready(&self) -> bool {
        self.groups.values().any(|group| !group.ready.is_empty())
    }

    /// Adds an item, which is blocked until [`Queue::admit`] looks at it.
    pub(super) fn insert(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId, item: Item) {
        step.stored(item.cost(name), 0);
        self.index_item(id, &item);
        self.items.insert(id, item);
    }

    /// Puts an unclaimed item into the state that its dependencies and times ask for.
    pub(super) fn admit(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId) {
        self.drop_late_target(step, name, id);
        let Some(item) = self.items.get(&id) else { return };
        let state = if !item.waits_for.is_empty() {
            State::Blocked
        } else if item.not_before > step.now {
            State::Delayed
        } else {
            State::Ready
        };
        self.enter(step, name, id, state);
    }

    /// Changes the state and everything that follows from it.
    pub(super) fn enter(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId, state: State) {
        let Some(mut item) = self.items.remove(&id) else { return };
        let old = item.deadline();
        self.unindex_state(step, name, id, &item);
        item.state = state;
        step.index.leases.reset(old, item.deadline(), Deadline::Item(name.clone(), id));
        self.index_state(step.index, name, id, &item);
        step.event(Scope::WorkQueue, name, What::Item { item: id, state: item.name() });
        self.items.insert(id, item);
    }

    /// Replaces the lease of a claimed item by a longer or shorter one of the same claim: nothing for watchers.
    pub(super) fn extend(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId, lease: Lease) {
        let Some(item) = self.items.get_mut(&id) else { return };
        let old = item.deadline();
        item.state = State::Claimed(lease);
        step.index.leases.reset(old, item.deadline(), Deadline::Item(name.clone(), id));
    }

    /// Removes an item for good and remembers it.
    pub(super) fn finish(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId, state: StateName, result: Bytes) {
        let Some(item) = self.items.remove(&id) else { return };
        step.stored(0, item.cost(name));
        step.index.leases.reset(item.deadline(), None, Deadline::Item(name.clone(), id));
        self.unindex_state(step, name, id, &item);
        if let Some(key) = &item.dedupe {
            self.deduped.remove(key);
        }
        for dependency in &item.waits_for {
            self.dependents.remove(&(*dependency, id));
        }
        self.ungroup(&item.requirements);
        step.event(Scope::WorkQueue, name, What::Item { item: id, state });
        let node = item.lease().and_then(|lease| lease.node.clone());
        let fits = step.room(cost(name, result.len()), 0).is_ok();
        let result = if fits { result } else { Bytes::new() };
        step.stored(cost(name, result.len()), 0);
        self.finished.push_front(Finished { item: id, state, result, attempts: item.attempts, node, at: step.wall });
        if self.finished.len() > FINISHED_MAX
            && let Some(forgotten) = self.finished.pop_back()
        {
            step.stored(0, cost(name, forgotten.result.len()));
        }
    }

    /// The items that wait for this one.
    pub(super) fn dependents(&self, id: ItemId) -> Vec<ItemId> {
        let range = self.dependents.range((id, ItemId(0))..=(id, ItemId(u64::MAX)));
        range.map(|(_, dependent)| *dependent).collect()
    }

    /// One item less to wait for.
    pub(super) fn satisfy(&mut self, step: &mut Step<'_>, name: &Key, dependent: ItemId, dependency: ItemId) {
        self.dependents.remove(&(dependency, dependent));
        let Some(item) = self.items.get_mut(&dependent) else { return };
        item.waits_for.remove(&dependency);
        if item.waits_for.is_empty() && item.state == State::Blocked {
            self.admit(step, name, dependent);
        }
    }

    pub(super) fn reindex(&mut self, name: &Key, index: &mut Index) {
        let items = std::mem::take(&mut self.items);
        for (id, item) in &items {
            index.stored_bytes = index.stored_bytes.saturating_add(item.cost(name));
            index.leases.reset(None, item.deadline(), Deadline::Item(name.clone(), *id));
            self.index_item(*id, item);
            self.index_state(index, name, *id, item);
        }
        self.items = items;
        let waiting = self.claimers.values().map(Claimer::cost);
        let finished = self.finished.iter().map(|finished| cost(name, finished.result.len())).chain(waiting);
        index.stored_bytes = finished.fold(index.stored_bytes, usize::saturating_add);
    }

    /// Others may have the item when its target had its chance.
    fn drop_late_target(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId) {
        let Some(item) = self.items.get_mut(&id) else { return };
        if item.target_until.is_none_or(|until| until > step.now) {
            return;
        }
        let (old_cost, old_deadline) = (item.cost(name), item.deadline());
        item.target_until = None;
        let old = item.requirements.clone();
        item.requirements.target = None;
        let new = item.requirements.clone();
        let order = item.order(id);
        step.stored(item.cost(name), old_cost);
        step.index.leases.reset(old_deadline, item.deadline(), Deadline::Item(name.clone(), id));
        let ready = self.groups.get_mut(&old).is_some_and(|group| group.ready.remove(&order));
        self.ungroup(&old);
        let group = self.groups.entry(new).or_default();
        group.items = group.items.saturating_add(1);
        if ready {
            group.ready.insert(order);
        }
    }

    fn index_item(&mut self, id: ItemId, item: &Item) {
        if let Some(key) = &item.dedupe {
            self.deduped.insert(key.clone(), id);
        }
        for dependency in &item.waits_for {
            self.dependents.insert((*dependency, id));
        }
        let group = self.groups.entry(item.requirements.clone()).or_default();
        group.items = group.items.saturating_add(1);
    }

    fn ungroup(&mut self, requirements: &Requirements) {
        if let Some(group) = self.groups.get_mut(requirements) {
            group.items = group.items.saturating_sub(1);
            if group.items == 0 {
                self.groups.remove(requirements);
            }
        }
    }

    fn index_state(&mut self, index: &mut Index, name: &Key, id: ItemId, item: &Item) {
        match &item.state {
            State::Ready => {
                if let Some(group) = self.groups.get_mut(&item.requirements) {
                    group.ready.insert(item.order(id));
                }
            }
            State::Claimed(lease) => {
                for owner in owners(lease) {
                    index.bonds.insert((owner, Bond::Item(name.clone(), id)));
                }
            }
            State::Blocked | State::Delayed | State::Dead => {}
        }
    }

    fn unindex_state(&mut self, step: &mut Step<'_>, name: &Key, id: ItemId, item: &Item) {
        if let Some(group) = self.groups.get_mut(&item.requirements) {
            group.ready.remove(&item.order(id));
        }
        for owner in item.lease().into_iter().flat_map(owners) {
            step.unbind(&owner, Bond::Item(name.clone(), id));
        }
    }
}

fn owners(lease: &Lease) -> impl Iterator<Item = Owner> {
    std::iter::once(lease.owner.clone()).chain(lease.node.clone().map(Owner::Node))
}
