//! The naive work queue.

use std::collections::BTreeSet;

use bytes::Bytes;
use folkmoot_coordination::work_queue::{
    Claim, Claimed, Command, Finished, Info, Pressure, Put, Query as WorkQuery, Reply as Work, StateName, Worker,
};
use folkmoot_coordination::{ItemId, Key, Owner, Query, Refusal, Reply, Revision, Thing, Ticket, TimeMs, Ttl, WallMs};

use super::naive::{Naive, Outcome, Waiting, after, missing};
use super::random::REASON;

#[derive(Clone)]
pub struct Lease {
    token: Revision,
    owner: Owner,
    node: Option<Key>,
    ttl: Ttl,
    expires: TimeMs,
}

pub struct Item {
    pub id: ItemId,
    put: Put,
    target_until: Option<TimeMs>,
    waits_for: BTreeSet<ItemId>,
    not_before: TimeMs,
    attempts: u32,
    last_error: &'static str,
    state: StateName,
    lease: Option<Lease>,
}

impl Item {
    pub fn deadline(&self) -> Option<TimeMs> {
        match self.state {
            StateName::Delayed => Some(self.not_before),
            StateName::Ready => self.target_until,
            StateName::Claimed => self.lease.as_ref().map(|lease| lease.expires),
            StateName::Blocked | StateName::Dead | StateName::Completed | StateName::Cancelled => None,
        }
    }

    fn suits(&self, worker: &Worker) -> bool {
        let target = self.put.target.as_ref().is_none_or(|target| Some(&target.node) == worker.node.as_ref());
        let excluded = worker.node.as_ref().is_some_and(|node| self.put.excluded.contains(node));
        let capable = self.put.requires.iter().all(|one| worker.capabilities.contains(one));
        self.state == StateName::Ready && target && !excluded && capable
    }

    fn admit(&mut self, now: TimeMs) {
        if self.target_until.is_some_and(|until| until <= now) {
            self.target_until = None;
            self.put.target = None;
        }
        self.lease = None;
        self.state = if !self.waits_for.is_empty() {
            StateName::Blocked
        } else if self.not_before > now {
            StateName::Delayed
        } else {
            StateName::Ready
        };
    }

    fn fail(&mut self, now: TimeMs, reason: &'static str, not_before: TimeMs) {
        self.attempts += 1;
        self.last_error = reason;
        self.not_before = not_before;
        if self.put.max_attempts > 0 && self.attempts >= self.put.max_attempts {
            self.state = StateName::Dead;
            self.lease = None;
        } else {
            self.admit(now);
        }
    }
}

pub struct WorkQueue {
    pub name: Key,
    pub items: Vec<Item>,
    finished: Vec<(ItemId, StateName)>,
    limits: Option<(u64, u64)>,
}

impl Naive {
    fn work_queue(&mut self, name: &Key) -> &mut WorkQueue {
        if !self.works.iter().any(|queue| queue.name == *name) {
            let (items, finished) = (Vec::new(), Vec::new());
            self.works.push(WorkQueue { name: name.clone(), items, finished, limits: None });
        }
        self.works.iter_mut().find(|queue| queue.name == *name).unwrap()
    }

    fn known(&mut self, name: &Key) -> Result<&mut WorkQueue, Refusal> {
        self.works.iter_mut().find(|queue| queue.name == *name).ok_or(missing(Thing::Queues))
    }

    fn claimed(&mut self, name: &Key, id: ItemId, token: Revision) -> Result<&mut Item, Refusal> {
        let queue = self.works.iter_mut().find(|queue| queue.name == *name).ok_or(Refusal::StaleLease)?;
        let held = |item: &&mut Item| item.id == id && item.lease.as_ref().is_some_and(|lease| lease.token == token);
        queue.items.iter_mut().find(held).ok_or(Refusal::StaleLease)
    }

    pub fn work(&mut self, ticket: Ticket, name: &Key, command: &Command) -> Outcome {
        let reply = self.work_command(ticket, name, command)?;
        self.serve_work(name);
        Ok(reply)
    }

    fn work_command(&mut self, ticket: Ticket, name: &Key, command: &Command) -> Outcome {
        let now = self.now;
        match command {
            Command::Put(put) => return self.put_item(name, put),
            Command::Claim(claim) => return self.claim(ticket, name, claim),
            Command::Heartbeat { item, token, lease } => {
                let item = self.claimed(name, *item, *token)?;
                let lease_ = item.lease.as_mut().unwrap();
                lease_.ttl = lease.unwrap_or(lease_.ttl);
                lease_.expires = after(now, lease_.ttl.into());
                return Ok(Reply::Work(Work::Extended { expires: lease_.expires }));
            }
            Command::Complete { item, token, .. } => {
                self.claimed(name, *item, *token)?;
                self.finish(name, *item, StateName::Completed);
                for other in &mut self.work_queue(name).items {
                    if other.waits_for.remove(item) && other.waits_for.is_empty() {
                        other.admit(now);
                    }
                }
            }
            Command::Fail { item, token, retry_after, .. } => {
                self.claimed(name, *item, *token)?.fail(now, REASON, after(now, retry_after.0));
            }
            Command::Release { item, token, delay } => {
                let item = self.claimed(name, *item, *token)?;
                item.not_before = after(now, delay.0);
                item.admit(now);
            }
            Command::Cancel { item } => {
                self.known(name)?.items.iter().find(|one| one.id == *item).ok_or(missing(Thing::Items))?;
                self.cancel(name, *item);
            }
            Command::Redrive { item } => {
                let queue = self.known(name)?;
                let dead = queue.items.iter_mut().filter(|one| one.state == StateName::Dead);
                let mut count = 0;
                for one in dead.filter(|one| item.is_none_or(|item| item == one.id)) {
                    (one.attempts, one.not_before) = (0, TimeMs(0));
                    one.admit(now);
                    count += 1;
                }
                if item.is_some() && count == 0 {
                    return Err(missing(Thing::Items));
                }
                self.changed |= count > 0;
                return Ok(Reply::Work(Work::Redriven(count)));
            }
            Command::Configure { soft, hard } => self.work_queue(name).limits = Some((*soft, *hard)),
            Command::Forget => {
                let queue = self.known(name)?;
                let waits = !queue.items.is_empty() || self.claimers(name) > 0;
                if waits {
                    return Err(Refusal::Busy);
                }
                self.works.retain(|queue| queue.name != *name);
            }
        }
        self.draw();
        Ok(Reply::Done)
    }

    fn put_item(&mut self, name: &Key, put: &Put) -> Outcome {
        let now = self.now;
        let id = ItemId(self.revision.0 + 1);
        let (soft, hard, length);
        let mut waits_for = put.depends_on.clone();
        {
            let empty = WorkQueue { name: name.clone(), items: Vec::new(), finished: Vec::new(), limits: None };
            let queue = self.works.iter().find(|queue| queue.name == *name).unwrap_or(&empty);
            let same = |item: &&Item| put.dedupe.is_some() && item.put.dedupe == put.dedupe;
            if let Some(item) = queue.items.iter().find(same) {
                return Ok(Reply::Work(Work::Duplicate { item: item.id }));
            }
            (soft, hard) = queue.limits.unwrap_or((131_072, 262_144));
            length = queue.items.len() as u64;
            if length >= hard {
                return Err(Refusal::Full(hard));
            }
            for dependency in &put.depends_on {
                if queue.finished.contains(&(*dependency, StateName::Completed)) {
                    waits_for.remove(dependency);
                } else if !queue.items.iter().any(|item| item.id == *dependency) {
                    return Err(Refusal::UnknownDependency(*dependency));
                }
            }
        }
        self.draw();
        let within = put.target.as_ref().and_then(|target| target.within);
        let mut item = Item {
            id,
            put: put.clone(),
            target_until: within.map(|within| after(now, within.0)),
            waits_for,
            not_before: after(now, put.delay.0),
            attempts: 0,
            last_error: "",
            state: StateName::Blocked,
            lease: None,
        };
        item.admit(now);
        self.work_queue(name).items.push(item);
        let pressure = if length + 1 >= soft { Pressure::Soft } else { Pressure::None };
        Ok(Reply::Work(Work::Put { item: id, pressure }))
    }

    fn claim(&mut self, ticket: Ticket, name: &Key, claim: &Claim) -> Outcome {
        let owner = self.owner(ticket, claim.session)?;
        let items = self.take(name, &owner, claim);
        if !items.is_empty() {
            return Ok(Reply::Work(Work::Claimed(items)));
        }
        let what = Waiting::Work(name.clone(), claim.clone());
        let waiting = self.wait(ticket, owner, claim.worker.node.clone(), claim.patience, Refusal::Empty, what)?;
        self.work_queue(name);
        Ok(waiting)
    }

    fn take(&mut self, name: &Key, owner: &Owner, claim: &Claim) -> Vec<Claimed> {
        let (now, token) = (self.now, Revision(self.revision.0 + 1));
        let expires = after(now, claim.lease.into());
        let mut taken = Vec::new();
        let Some(queue) = self.works.iter_mut().find(|queue| queue.name == *name) else { return taken };
        while taken.len() < claim.most as usize {
            let suitable = queue.items.iter_mut().filter(|item| item.suits(&claim.worker));
            let Some(item) = suitable.min_by_key(|item| (100 - item.put.priority, item.id)) else { break };
            item.state = StateName::Claimed;
            let (owner, node) = (owner.clone(), claim.worker.node.clone());
            item.lease = Some(Lease { token, owner, node, ttl: claim.lease, expires });
            let (payload, priority, attempts) = (item.put.payload.clone(), item.put.priority, item.attempts);
            taken.push(Claimed { item: item.id, token, payload, priority, attempts, expires });
        }
        self.changed |= !taken.is_empty();
        taken
    }

    fn claimers(&self, name: &Key) -> usize {
        self.waits.iter().filter(|wait| matches!(&wait.what, Waiting::Work(one, _) if one == name)).count()
    }

    fn serve_work(&mut self, name: &Key) {
        for wait in self.waits.clone() {
            let Waiting::Work(queue, claim) = &wait.what else { continue };
            if queue != name {
                continue;
            }
            let items = self.take(name, &wait.owner, claim);
            if !items.is_empty() {
                self.answer(wait.ticket, Reply::Work(Work::Claimed(items)));
            }
        }
    }

    fn finish(&mut self, name: &Key, id: ItemId, state: StateName) {
        let queue = self.work_queue(name);
        queue.items.retain(|item| item.id != id);
        queue.finished.push((id, state));
    }

    fn cancel(&mut self, name: &Key, id: ItemId) {
        self.finish(name, id, StateName::Cancelled);
        let waiting = self.work_queue(name).items.iter().find(|item| item.waits_for.contains(&id)).map(|item| item.id);
        let mut next = waiting;
        while let Some(other) = next {
            self.cancel(name, other);
            let queue = self.work_queue(name);
            next = queue.items.iter().find(|item| item.waits_for.contains(&id)).map(|item| item.id);
        }
    }

    pub fn item_due(&mut self, name: &Key, id: ItemId) {
        let now = self.now;
        let item = self.work_queue(name).items.iter_mut().find(|item| item.id == id).unwrap();
        if item.state == StateName::Claimed {
            item.fail(now, "the lease ran out", TimeMs(0));
        } else {
            item.admit(now);
        }
        self.draw();
        self.serve_work(name);
    }

    pub fn lose_items(&mut self, owner: &Owner) {
        let now = self.now;
        let mut lost = Vec::new();
        for queue in &self.works {
            for item in &queue.items {
                let of = |lease: &Lease| {
                    lease.owner == *owner || lease.node.clone().map(Owner::Node).as_ref() == Some(owner)
                };
                if item.lease.as_ref().is_some_and(of) {
                    lost.push((queue.name.clone(), item.id));
                }
            }
        }
        lost.sort();
        for (name, id) in lost {
            let item = self.work_queue(&name).items.iter_mut().find(|item| item.id == id).unwrap();
            item.fail(now, "the worker's session, client or node ended", TimeMs(0));
            self.draw();
            self.serve_work(&name);
        }
    }

    pub fn forget_unused(&mut self, name: &Key) {
        let waiting = self.claimers(name) > 0;
        let unused = |queue: &WorkQueue| queue.items.is_empty() && queue.finished.is_empty() && queue.limits.is_none();
        self.works.retain(|queue| queue.name != *name || waiting || !unused(queue));
    }

    pub fn compare_works(&self, read: impl Fn(&Query) -> Reply) {
        for queue in &self.works {
            let all = Query::Work(queue.name.clone(), WorkQuery::Items { after: ItemId(0), state: None });
            let Reply::Work(Work::Items(mut items)) = read(&all) else { panic!("{:?}", read(&all)) };
            items.iter_mut().for_each(|info| info.put_at = WallMs(0));
            let expected: Vec<Info> = queue.items.iter().map(info).collect();
            assert_eq!(items, expected);
            let finished = read(&Query::Work(queue.name.clone(), WorkQuery::Finished));
            let Reply::Work(Work::Finished(finished)) = finished else { panic!() };
            let finished: Vec<_> = finished.iter().map(|one: &Finished| (one.item, one.state)).collect();
            let mut expected = queue.finished.clone();
            expected.sort();
            let mut known: Vec<_> = expected.iter().filter(|one| finished.contains(one)).copied().collect();
            known.sort();
            let mut sorted = finished.clone();
            sorted.sort();
            assert_eq!(sorted, known);
            assert!(finished.len() == expected.len() || finished.len() >= 512);
        }
    }
}

fn info(item: &Item) -> Info {
    Info {
        item: item.id,
        state: item.state,
        payload: item.put.payload.clone(),
        priority: item.put.priority,
        attempts: item.attempts,
        put_at: WallMs(0),
        last_error: Bytes::from(item.last_error),
        owner: item.lease.as_ref().map(|lease| lease.owner.clone()),
        node: item.lease.as_ref().and_then(|lease| lease.node.clone()),
        deadline: item.deadline(),
        waits_for: item.waits_for.clone(),
    }
}
