//! Behaviours of work queues, one by one.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one variant and fails on the others")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;

use bytes::Bytes;
use folkmoot_coordination::work_queue::{
    Claim, Claimed, Command as Work, Pressure, Put, Query as WorkQuery, Reply as Worked, StateName, Stats, Target,
    Worker,
};
use folkmoot_coordination::{
    ClientId, Command, ItemId, Key, Machine, Millis, Operation, Patience, Query, Refusal, Reply, Revision, Thing,
    limits,
};
use support::{Fixture, key, refusal, ttl, value, waiting};

/// A fixture with a producer and a worker on node `n1` that can do `gpu`.
struct World {
    fixture: Fixture,
    client: ClientId,
}

impl World {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let client = fixture.client();
        Self { fixture, client }
    }

    fn ask(&mut self, command: Work) -> Reply {
        self.fixture.ask(self.client, Operation::Work(key("w"), command))
    }

    fn put(&mut self, put: Put) -> ItemId {
        match self.ask(Work::Put(Box::new(put))) {
            Reply::Work(Worked::Put { item, .. }) => item,
            other => panic!("{other:?}"),
        }
    }

    fn claim(&mut self, most: u32) -> Vec<Claimed> {
        match self.ask(Work::Claim(worker("n1", most, Patience::None))) {
            Reply::Work(Worked::Claimed(items)) => items,
            other => panic!("{other:?}"),
        }
    }

    /// Claims the one item there must be.
    fn one(&mut self) -> (ItemId, Revision) {
        let items = self.claim(1);
        (items[0].item, items[0].token)
    }

    fn nothing(&mut self) {
        let reply = self.ask(Work::Claim(worker("n1", 1, Patience::None)));
        assert_eq!(refusal(&reply), &Refusal::Empty);
    }

    fn stats(&self) -> Stats {
        match self.fixture.machine.read(&Query::Work(key("w"), WorkQuery::Stats)) {
            Reply::Work(Worked::Stats(stats)) => stats,
            other => panic!("{other:?}"),
        }
    }
}

fn worker(node: &str, most: u32, patience: Patience) -> Claim {
    let worker = Worker { capabilities: keys(&["gpu"]), node: Some(key(node)) };
    Claim { worker, lease: ttl(100), most, session: None, patience }
}

fn keys(names: &[&str]) -> BTreeSet<Key> {
    names.iter().map(|name| key(name)).collect()
}

fn payload(text: &str) -> Put {
    Put { payload: value(text), ..Put::default() }
}

#[test]
fn items_come_by_priority_then_by_age_and_not_before_their_delay() {
    let mut world = World::new();
    world.put(payload("first"));
    world.put(payload("second"));
    world.put(Put { priority: 100, ..payload("urgent") });
    world.put(Put { priority: 100, delay: Millis(10), ..payload("delayed") });
    let order = |items: Vec<Claimed>| items.iter().map(|item| item.payload.clone()).collect::<Vec<_>>();
    assert_eq!(order(world.claim(2)), [value("urgent"), value("first")]);
    world.fixture.tick(10);
    assert_eq!(order(world.claim(9)), [value("delayed"), value("second")]);
}

#[test]
fn a_dedupe_key_makes_one_item_while_it_is_there() {
    let mut world = World::new();
    let put = Put { dedupe: Some(key("k")), ..payload("") };
    let item = world.put(put.clone());
    let again = world.ask(Work::Put(Box::new(put.clone())));
    assert_eq!(again, Reply::Work(Worked::Duplicate { item }));
    let (item, token) = world.one();
    world.ask(Work::Complete { item, token, result: Bytes::new() });
    assert_ne!(world.put(put), item);
}

#[test]
fn what_depends_on_an_item_waits_for_its_completion_and_goes_with_its_cancellation() {
    let mut world = World::new();
    let first = world.put(payload("first"));
    let after = |item| Put { depends_on: BTreeSet::from([item]), ..payload("after") };
    let second = world.put(after(first));
    world.put(after(second));
    assert_eq!(world.stats().blocked, 2);
    let (item, token) = world.one();
    world.nothing();
    world.ask(Work::Complete { item, token, result: Bytes::from_static(b"done") });
    assert_eq!((world.stats().ready, world.stats().blocked), (1, 1));
    world.put(after(first));
    assert_eq!(world.stats().ready, 2, "a completed dependency is remembered");
    world.ask(Work::Cancel { item: second });
    assert_eq!((world.stats().ready, world.stats().blocked, world.stats().totals.cancelled), (1, 0, 2));
    let unknown = world.ask(Work::Put(Box::new(after(second))));
    assert_eq!(refusal(&unknown), &Refusal::UnknownDependency(second));
}

#[test]
fn an_item_without_attempts_left_is_dead_until_redriven() {
    let mut world = World::new();
    let item = world.put(Put { max_attempts: 2, ..payload("") });
    let (_, token) = world.one();
    let reason = Bytes::from_static(b"broken");
    world.ask(Work::Fail { item, token, reason, retry_after: Millis(5) });
    world.nothing();
    world.fixture.tick(5);
    assert_eq!(world.claim(1)[0].attempts, 1);
    world.fixture.tick(105);
    assert_eq!((world.stats().dead, world.stats().totals.died), (1, 1));
    let items = world.fixture.machine.read(&Query::Work(key("w"), WorkQuery::Item(item)));
    let Reply::Work(Worked::Items(items)) = items else { panic!() };
    assert_eq!((items[0].state, &items[0].last_error[..]), (StateName::Dead, &b"the lease ran out"[..]));
    assert_eq!(world.ask(Work::Redrive { item: None }), Reply::Work(Worked::Redriven(1)));
    assert_eq!(world.claim(1)[0].attempts, 0);
}

#[test]
fn a_lease_that_has_ended_is_refused_for_everything() {
    let mut world = World::new();
    world.put(payload(""));
    let (item, token) = world.one();
    world.fixture.tick(99);
    world.ask(Work::Heartbeat { item, token, lease: None });
    world.fixture.tick(198);
    assert_eq!(world.stats().claimed, 1);
    world.fixture.tick(199);
    let (_, current) = world.one();
    let (result, reason, none) = (Bytes::new(), Bytes::new(), Millis(0));
    for command in [
        Work::Heartbeat { item, token, lease: None },
        Work::Complete { item, token, result },
        Work::Fail { item, token, reason, retry_after: none },
        Work::Release { item, token, delay: none },
    ] {
        assert_eq!(refusal(&world.ask(command)), &Refusal::StaleLease);
    }
    assert_eq!(world.ask(Work::Complete { item, token: current, result: Bytes::new() }), Reply::Done);
    assert_eq!(world.stats().totals.completed, 1);
}

#[test]
fn a_release_costs_no_attempt_and_a_lost_node_does() {
    let mut world = World::new();
    world.put(payload(""));
    let (item, token) = world.one();
    world.ask(Work::Release { item, token, delay: Millis(0) });
    assert_eq!(world.claim(1)[0].attempts, 0);
    world.fixture.apply(Command::NodeGone { node: key("n2") });
    assert_eq!(world.stats().claimed, 1);
    let waiter = world.ask(Work::Claim(worker("n1", 1, Patience::Unlimited)));
    world.fixture.apply(Command::NodeGone { node: key("n1") });
    let gone = world.fixture.answer(waiting(&waiter));
    assert_eq!(gone, Some(Reply::Refused(Refusal::OwnerEnded)), "a worker on the lost node gets nothing");
    assert_eq!(world.claim(1)[0].attempts, 1);
}

#[test]
fn requirements_decide_who_gets_an_item() {
    let mut world = World::new();
    world.put(Put { requires: keys(&["gpu", "disk"]), ..payload("") });
    world.put(Put { excluded: keys(&["n1"]), ..payload("") });
    world.nothing();
    let target = Some(Target { node: key("n2"), within: Some(Millis(50)) });
    let targeted = world.put(Put { target, ..payload("") });
    world.nothing();
    world.fixture.tick(50);
    assert_eq!(world.one().0, targeted, "the target had its chance");
}

#[test]
fn waiting_workers_are_served_in_order_with_what_suits_them() {
    let mut world = World::new();
    let mut wait = |node| waiting(&world.ask(Work::Claim(worker(node, 2, Patience::Unlimited))));
    let (first, second) = (wait("n1"), wait("n2"));
    world.put(Put { excluded: keys(&["n1"]), ..payload("") });
    assert!(world.fixture.answer(first).is_none());
    assert!(world.fixture.answer(second).is_some());
    world.put(payload(""));
    let Some(Reply::Work(Worked::Claimed(items))) = world.fixture.answer(first) else { panic!() };
    assert_eq!(items.len(), 1);
}

#[test]
fn what_waiting_workers_are_capable_of_counts_as_stored_while_they_wait() {
    let mut world = World::new();
    let stored = |world: &World| world.fixture.machine.usage().stored_bytes;
    world.ask(Work::Claim(worker("n1", 1, Patience::Unlimited)));
    world.ask(Work::Claim(worker("n2", 1, Patience::Within(Millis(5)))));
    let each = limits::ENTRY_OVERHEAD + "gpu".len();
    assert_eq!(stored(&world), 2 * each);
    let mut bytes = Vec::new();
    world.fixture.machine.snapshot(&mut bytes);
    assert_eq!(Machine::restore(&bytes).unwrap().usage().stored_bytes, 2 * each);
    world.fixture.tick(5);
    assert_eq!(stored(&world), each, "one has waited long enough");
    let item = world.put(payload(""));
    world.ask(Work::Cancel { item });
    world.ask(Work::Forget);
    assert_eq!(stored(&world), 0, "the other was served");
}

#[test]
fn producers_feel_pressure_and_then_refusal() {
    let mut world = World::new();
    assert_eq!(world.ask(Work::Configure { soft: 2, hard: 3 }), Reply::Done);
    let mut put = || match world.ask(Work::Put(Box::new(payload("")))) {
        Reply::Work(Worked::Put { pressure, .. }) => Ok(pressure),
        other => Err(refusal(&other).clone()),
    };
    let outcomes = [put(), put(), put(), put()];
    assert_eq!(outcomes, [Ok(Pressure::None), Ok(Pressure::Soft), Ok(Pressure::Soft), Err(Refusal::Full(3))]);
    assert_eq!(refusal(&world.ask(Work::Configure { soft: 4, hard: 3 })).code(), "invalid");
    assert_eq!(refusal(&world.ask(Work::Forget)), &Refusal::Busy);
}

#[test]
fn the_history_tells_how_items_ended() {
    let mut world = World::new();
    world.put(payload(""));
    let doomed = world.put(payload(""));
    let (item, token) = world.one();
    world.ask(Work::Complete { item, token, result: Bytes::from_static(b"42") });
    world.ask(Work::Cancel { item: doomed });
    let finished = world.fixture.machine.read(&Query::Work(key("w"), WorkQuery::Finished));
    let Reply::Work(Worked::Finished(finished)) = finished else { panic!() };
    let ends: Vec<_> = finished.iter().map(|one| (one.item, one.state, one.node.clone())).collect();
    assert_eq!(ends, [(doomed, StateName::Cancelled, None), (item, StateName::Completed, Some(key("n1")))]);
    assert_eq!(world.ask(Work::Forget), Reply::Done);
    assert_eq!(world.fixture.machine.usage().stored_bytes, 0);
    let stats = world.fixture.machine.read(&Query::Work(key("w"), WorkQuery::Stats));
    assert_eq!(stats, Reply::Refused(Refusal::Missing(Thing::Queues)));
}
