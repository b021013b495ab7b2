//! The naive keys, locks, barriers, collections and queues.

use bytes::Bytes;
use folkmoot_coordination::barrier::Command as Barrier;
use folkmoot_coordination::collections::{CounterCommand, ListCommand, Order, Reply as Collected, SetCommand};
use folkmoot_coordination::election::Command as Election;
use folkmoot_coordination::kv::{self, Command as Kv, Life, Operation, Outcome as Done, Put, Test};
use folkmoot_coordination::line::{LineId, LineKind};
use folkmoot_coordination::lock::{Command as Lock, Mode, Target};
use folkmoot_coordination::queue::{Command as Queue, QueueKind};
use folkmoot_coordination::{HoldId, Key, Owner, Refusal, Reply, Revision, Thing, Ticket, Value};

use super::naive::{Gate, Naive, Outcome, Waiting, after, missing};

impl Naive {
    fn entry(&self, key: &Key) -> Option<&kv::Entry> {
        self.keys.iter().find(|(one, _)| one == key).map(|(_, entry)| entry)
    }

    pub fn delete(&mut self, key: &Key) -> bool {
        let before = self.keys.len();
        self.keys.retain(|(one, _)| one != key);
        let gone = self.keys.len() < before;
        self.changed |= gone;
        gone
    }

    fn put(&mut self, put: &Put) {
        let modified = self.draw();
        let old = self.entry(&put.key).cloned();
        let entry = kv::Entry {
            value: put.value.clone(),
            created: old.as_ref().map_or(modified, |old| old.created),
            modified,
            version: old.map_or(0, |old| old.version) + 1,
            expires: if let Life::Ttl(ttl) = put.life { Some(after(self.now, ttl.into())) } else { None },
            session: if let Life::Session(session) = put.life { Some(session) } else { None },
        };
        self.keys.retain(|(one, _)| *one != put.key);
        self.keys.push((put.key.clone(), entry));
    }

    fn sessions_exist<'a>(&self, puts: impl IntoIterator<Item = &'a Put>) -> Result<(), Refusal> {
        puts.into_iter().try_for_each(|put| match put.life {
            Life::Session(session) => self.session(session),
            Life::Unlimited | Life::Ttl(_) => Ok(()),
        })
    }

    pub fn kv(&mut self, command: &Kv) -> Result<kv::Reply, Refusal> {
        Ok(match command {
            Kv::Put(put) => {
                self.sessions_exist([put])?;
                self.put(put);
                kv::Reply::Written(Revision(self.revision.0 + 1))
            }
            Kv::CompareAndSet { expected, put } => {
                let current = self.entry(&put.key).cloned();
                if current.as_ref().map(|entry| entry.modified) != *expected {
                    return Ok(kv::Reply::Unchanged(current));
                }
                self.sessions_exist([put])?;
                self.put(put);
                kv::Reply::Written(Revision(self.revision.0 + 1))
            }
            Kv::Delete { key } => kv::Reply::Deleted { keys: self.delete(key).into(), more: false },
            Kv::DeletePrefix { prefix } => {
                let doomed: Vec<Key> = self.keys.iter().map(|(key, _)| key.clone()).collect();
                let doomed = doomed.iter().filter(|key| key.as_bytes().starts_with(prefix));
                kv::Reply::Deleted { keys: doomed.map(|key| u64::from(self.delete(key))).sum(), more: false }
            }
            Kv::Transaction { compares, then, otherwise } => {
                let succeeded = compares.iter().all(|compare| self.test(&compare.key, &compare.test));
                let operations = if succeeded { then } else { otherwise };
                for operation in operations {
                    if let Operation::Put(put) = operation {
                        self.sessions_exist([put])?;
                    }
                }
                let outcomes = operations.iter().map(|operation| match operation {
                    Operation::Get(key) => Done::Found(self.entry(key).cloned()),
                    Operation::Put(put) => {
                        self.put(put);
                        Done::Written
                    }
                    Operation::Delete(key) => Done::Deleted(self.delete(key)),
                });
                kv::Reply::Transaction { succeeded, outcomes: outcomes.collect() }
            }
        })
    }

    fn test(&self, key: &Key, test: &Test) -> bool {
        let entry = self.entry(key);
        match test {
            Test::Exists => entry.is_some(),
            Test::Absent => entry.is_none(),
            Test::Modified(revision) => entry.map_or(0, |entry| entry.modified.0) == revision.0,
            Test::ModifiedAfter(revision) => entry.map_or(0, |entry| entry.modified.0) > revision.0,
            Test::Created(revision) => entry.map_or(0, |entry| entry.created.0) == revision.0,
            Test::Version(version) => entry.map_or(0, |entry| entry.version) == *version,
            Test::Value(value) => entry.map(|entry| &entry.value) == Some(value),
        }
    }

    pub fn lock(&mut self, ticket: Ticket, command: &Lock) -> Outcome {
        let line = |target: &Target| match target.clone() {
            Target::Lock(name) => LineId { kind: LineKind::Lock, name },
            Target::Semaphore(name) => LineId { kind: LineKind::Semaphore, name },
            Target::ReadWrite(name) => LineId { kind: LineKind::ReadWrite, name },
        };
        match command {
            Lock::Acquire(acquire) => {
                let owner = self.owner(ticket, acquire.session)?;
                let (kind, permits, capacity) = match acquire.mode {
                    Mode::Lock => (LineKind::Lock, 1, 1),
                    Mode::Semaphore { permits, capacity } => (LineKind::Semaphore, permits, capacity),
                    Mode::Read => (LineKind::ReadWrite, 1, 4096),
                    Mode::Write => (LineKind::ReadWrite, 4096, 4096),
                };
                let id = LineId { kind, name: acquire.name.clone() };
                let what = Waiting::Line { id, permits, ttl: acquire.ttl, value: Bytes::new(), preferred: false };
                self.acquire(ticket, owner, capacity, acquire.patience, what)
            }
            Lock::Release { target, hold } => self.release(&line(target), *hold),
            Lock::Renew { target, hold, ttl } => self.renew(&line(target), *hold, *ttl),
        }
    }

    pub fn election(&mut self, ticket: Ticket, command: &Election) -> Outcome {
        let line = |name: &Key| LineId { kind: LineKind::Election, name: name.clone() };
        match command {
            Election::Campaign { name, value, preferred, session, ttl, patience } => {
                let owner = self.owner(ticket, *session)?;
                let (value, preferred) = (value.clone(), *preferred);
                let what = Waiting::Line { id: line(name), permits: 1, ttl: *ttl, value, preferred };
                self.acquire(ticket, owner, 1, *patience, what)
            }
            Election::Proclaim { name, hold, value } => {
                self.hold(&line(name), *hold)?.value = value.clone();
                self.draw();
                Ok(Reply::Done)
            }
            Election::Resign { name, hold } => self.release(&line(name), *hold),
            Election::Renew { name, hold, ttl } => self.renew(&line(name), *hold, *ttl),
        }
    }

    pub fn barrier(&mut self, ticket: Ticket, command: &Barrier) -> Outcome {
        let client = Owner::Client(ticket.client);
        match command {
            Barrier::Raise { name } if self.raised.contains(name) => Err(Refusal::Exists(Thing::Barriers)),
            Barrier::Raise { name } => {
                self.draw();
                self.raised.push(name.clone());
                Ok(Reply::Done)
            }
            Barrier::Lift { name } if !self.raised.contains(name) => Err(missing(Thing::Barriers)),
            Barrier::Lift { name } => {
                self.draw();
                self.raised.retain(|one| one != name);
                self.answer_all(&Waiting::Barrier(name.clone()));
                Ok(Reply::Done)
            }
            Barrier::Wait { name, .. } if !self.raised.contains(name) => Ok(Reply::Done),
            Barrier::Wait { name, patience } => {
                self.wait(ticket, client, None, *patience, Refusal::Busy, Waiting::Barrier(name.clone()))
            }
            Barrier::Enter { name, count, session, patience } => {
                let owner = self.owner(ticket, *session)?;
                let gate = self.gates.iter().position(|gate| gate.name == *name);
                let inside = match gate.map(|place| &self.gates[place]) {
                    Some(gate) if gate.count != *count => return Err(Refusal::CapacityDiffers(gate.count.into())),
                    Some(gate) if gate.open => return Err(Refusal::Full((*count).into())),
                    Some(gate) => gate.members.len(),
                    None => 0,
                };
                let last = inside as u32 + 1 == *count;
                let mut reply = Reply::Entered { hold: HoldId(self.revision.0 + 1) };
                if !last {
                    let what = Waiting::Enter(name.clone());
                    reply = self.wait(ticket, owner.clone(), None, *patience, Refusal::Busy, what)?;
                }
                let hold = HoldId(self.draw().0);
                if gate.is_none() {
                    self.gates.push(Gate { name: name.clone(), count: *count, open: false, members: Vec::new() });
                }
                let gate = self.gates.iter_mut().find(|gate| gate.name == *name).unwrap();
                gate.members.push((hold, owner));
                if last {
                    gate.open = true;
                    for wait in self.waits.clone().iter().filter(|wait| wait.what == Waiting::Enter(name.clone())) {
                        self.answer(wait.ticket, Reply::Entered { hold: wait.hold });
                    }
                }
                Ok(reply)
            }
            Barrier::Leave { name, hold, patience } => {
                let gate = self.gates.iter().find(|gate| gate.name == *name).ok_or(Refusal::NotHeld)?;
                if !gate.members.iter().any(|(member, _)| member == hold) {
                    return Err(Refusal::NotHeld);
                }
                let open = gate.open;
                let entering =
                    |wait: &super::naive::Wait| wait.hold == *hold && wait.what == Waiting::Enter(name.clone());
                if let Some(wait) = self.waits.iter().find(|wait| entering(wait)).cloned() {
                    self.answer(wait.ticket, Reply::Refused(Refusal::Cancelled));
                }
                self.drop_member(name, *hold);
                if !open || !self.gates.iter().any(|gate| gate.name == *name) {
                    return Ok(Reply::Done);
                }
                let waiting = self.wait(ticket, client, None, *patience, Refusal::Busy, Waiting::Leave(name.clone()));
                Ok(waiting.unwrap_or(Reply::Left))
            }
        }
    }

    fn answer_all(&mut self, what: &Waiting) {
        for wait in self.waits.clone().iter().filter(|wait| wait.what == *what) {
            self.answer(wait.ticket, Reply::Done);
        }
    }

    pub fn drop_member(&mut self, name: &Key, hold: HoldId) {
        let Some(gate) = self.gates.iter_mut().find(|gate| gate.name == *name) else { return };
        let before = gate.members.len();
        gate.members.retain(|(member, _)| *member != hold);
        self.changed |= gate.members.len() < before;
        if gate.members.is_empty() {
            self.gates.retain(|gate| gate.name != *name);
            self.answer_all(&Waiting::Leave(name.clone()));
        }
    }

    pub fn counter(&mut self, name: &Key, command: CounterCommand) -> Result<Collected, Refusal> {
        let old = self.counters.iter().find(|(one, _)| one == name).map_or(0, |(_, value)| *value);
        let value = match command {
            CounterCommand::Delete => {
                let before = self.counters.len();
                self.counters.retain(|(one, _)| one != name);
                let gone = before > self.counters.len();
                self.changed |= gone;
                return Ok(Collected::Changed(gone.into()));
            }
            CounterCommand::Set(value) => value,
            CounterCommand::Add(by) => old.checked_add(by).ok_or(Refusal::Overflow)?,
        };
        self.draw();
        self.counters.retain(|(one, _)| one != name);
        self.counters.push((name.clone(), value));
        Ok(Collected::Count(value))
    }

    pub fn set(&mut self, name: &Key, command: &SetCommand) -> Result<Collected, Refusal> {
        let mut set = self.sets.iter().find(|(one, _)| one == name).map(|(_, set)| set.clone()).unwrap_or_default();
        set.sort();
        let before = set.clone();
        let reply = match command {
            SetCommand::Reset(elements) => {
                set = elements.clone();
                set.sort();
                set.dedup();
                Collected::Changed(set.len() as u64)
            }
            SetCommand::Add(elements) => {
                set.extend(elements.iter().cloned());
                set.sort();
                set.dedup();
                Collected::Changed((set.len() - before.len()) as u64)
            }
            SetCommand::Remove(element) | SetCommand::Discard(element) => {
                set.retain(|one| one != element);
                if set.len() == before.len() && matches!(command, SetCommand::Remove(_)) {
                    return Err(missing(Thing::Elements));
                }
                Collected::Changed((before.len() - set.len()) as u64)
            }
            SetCommand::Pop if set.is_empty() => return Err(missing(Thing::Elements)),
            SetCommand::Pop => Collected::Element(Some(set.remove(0))),
        };
        self.changed |= set != before;
        self.sets.retain(|(one, _)| one != name);
        self.sets.push((name.clone(), set));
        Ok(reply)
    }

    pub fn list(&mut self, name: &Key, command: &ListCommand) -> Result<Collected, Refusal> {
        let old = self.lists.iter().find(|(one, _)| one == name);
        let mut list: Vec<Value> = old.map(|(_, list)| list.clone()).unwrap_or_default();
        let length = list.len() as i64;
        let place = |position: i64| {
            let place = if position < 0 { position + length } else { position };
            if (0..length).contains(&place) { Ok(place as usize) } else { Err(Refusal::OutOfRange(length as u64)) }
        };
        let mut changed = true;
        let reply = match command {
            ListCommand::Reset(elements) => {
                changed = !list.is_empty() || !elements.is_empty();
                list = elements.clone();
                Collected::Changed(list.len() as u64)
            }
            ListCommand::Set(position, element) => {
                list[place(*position)?] = element.clone();
                Collected::Changed(1)
            }
            ListCommand::Extend(elements) => {
                changed = !elements.is_empty();
                list.extend(elements.clone());
                Collected::Changed(elements.len() as u64)
            }
            ListCommand::Insert(position, element) => {
                let at = if *position < 0 { position + length } else { *position }.clamp(0, length);
                list.insert(at as usize, element.clone());
                Collected::Changed(1)
            }
            ListCommand::Remove(element) => {
                let at = list.iter().position(|one| one == element).ok_or(missing(Thing::Elements))?;
                list.remove(at);
                Collected::Changed(1)
            }
            ListCommand::Pop(position) => Collected::Element(Some(list.remove(place(position.unwrap_or(-1))?))),
            ListCommand::Sort(order) => {
                changed = !list.is_empty();
                list.sort();
                if *order == Order::Descending {
                    list.reverse();
                }
                Collected::Changed(0)
            }
        };
        self.changed |= changed;
        self.lists.retain(|(one, _)| one != name);
        self.lists.push((name.clone(), list));
        Ok(reply)
    }

    pub fn queue(&mut self, ticket: Ticket, command: &Queue) -> Outcome {
        let (Queue::Put { queue: id, .. } | Queue::Get { queue: id, .. }) = command;
        let old = self.queues.iter().find(|(one, _)| one == id);
        let mut elements = old.map(|(_, elements)| elements.clone()).unwrap_or_default();
        let reply = match command {
            Queue::Put { queue, priority, value, bound } => {
                if *bound > 0 && elements.len() >= *bound as usize {
                    return Err(Refusal::Full((*bound).into()));
                }
                let waiting = self.waits.iter().find(|wait| wait.what == Waiting::Queue(queue.clone())).cloned();
                let revision = self.draw();
                if let Some(wait) = waiting {
                    self.answer(wait.ticket, Reply::Element(value.clone()));
                } else {
                    let priority = if queue.kind == QueueKind::Priority { *priority } else { 0 };
                    elements.push((priority, revision, value.clone()));
                }
                Reply::Done
            }
            Queue::Get { queue, patience } => {
                let best = elements.iter().map(|(priority, revision, _)| (*priority, *revision)).min();
                let Some(best) = best else {
                    let what = Waiting::Queue(queue.clone());
                    return self.wait(ticket, Owner::Client(ticket.client), None, *patience, Refusal::Empty, what);
                };
                self.draw();
                let at = elements.iter().position(|(priority, revision, _)| (*priority, *revision) == best).unwrap();
                Reply::Element(elements.remove(at).2)
            }
        };
        self.queues.retain(|(one, _)| one != id);
        self.queues.push((id.clone(), elements));
        Ok(reply)
    }
}
