//! Behaviours of keys, sessions, locks, elections, barriers, collections and queues, one by one.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one variant and fails on the others")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use folkmoot_coordination::barrier::Command as Barrier;
use folkmoot_coordination::collections::{self, CounterCommand, ListCommand, Reply as Collected, SetCommand};
use folkmoot_coordination::election::Command as Election;
use folkmoot_coordination::kv::{self, Compare, Life, Operation as KvOperation, Outcome, Put, Test};
use folkmoot_coordination::lock::{Command as Lock, Mode, Target};
use folkmoot_coordination::queue::{Command as Queue, QueueId, QueueKind};
use folkmoot_coordination::{
    Cause, Change, Command, HoldId, Millis, Operation, Patience, Query, Refusal, Reply, Revision, Scope, Thing, What,
    session, watch,
};
use support::{Fixture, acquire, held, key, put, refusal, ttl, value, waiting};

#[test]
fn a_key_counts_its_writes_and_keeps_its_creation() {
    let mut world = Fixture::new();
    let client = world.client();
    let first = world.put(client, "a", "1", Life::Unlimited);
    let second = world.put(client, "a", "2", Life::Unlimited);
    assert_eq!(first, Reply::Kv(kv::Reply::Written(Revision(2))));
    assert_eq!(second, Reply::Kv(kv::Reply::Written(Revision(3))));
    let entry = world.get("a").unwrap();
    assert_eq!((entry.created, entry.modified, entry.version), (Revision(2), Revision(3), 2));
    assert_eq!(entry.value.as_bytes(), b"2");
}

#[test]
fn compare_and_set_answers_with_what_is_there() {
    let mut world = Fixture::new();
    let client = world.client();
    world.put(client, "a", "1", Life::Unlimited);
    let write = Put { key: key("a"), value: value("2"), life: Life::Unlimited };
    let attempt = |expected| Operation::Kv(kv::Command::CompareAndSet { expected, put: write.clone() });
    let unchanged = Reply::Kv(kv::Reply::Unchanged(world.get("a")));
    assert_eq!(world.ask(client, attempt(None)), unchanged);
    assert_eq!(world.ask(client, attempt(Some(Revision(1)))), unchanged);
    assert_eq!(world.ask(client, attempt(Some(Revision(2)))), Reply::Kv(kv::Reply::Written(Revision(3))));
}

#[test]
fn a_transaction_has_one_revision_and_sees_its_own_writes() {
    let mut world = Fixture::new();
    let client = world.client();
    world.put(client, "a", "1", Life::Unlimited);
    let write = Put { key: key("b"), value: value("2"), life: Life::Unlimited };
    let transaction = kv::Command::Transaction {
        compares: vec![Compare { key: key("a"), test: Test::Value(value("1")) }],
        then: vec![KvOperation::Put(write), KvOperation::Delete(key("a")), KvOperation::Get(key("b"))],
        otherwise: vec![],
    };
    let reply = world.ask(client, Operation::Kv(transaction));
    let outcomes = vec![Outcome::Written, Outcome::Deleted(true), Outcome::Found(world.get("b"))];
    assert_eq!(reply, Reply::Kv(kv::Reply::Transaction { succeeded: true, outcomes }));
    let revisions: Vec<_> = world.events().iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [Revision(3), Revision(3)]);
}

#[test]
fn pages_of_a_prefix_follow_one_another() {
    let mut world = Fixture::new();
    let client = world.client();
    for name in ["a", "b1", "b2", "b3", "c"] {
        world.put(client, name, "", Life::Unlimited);
    }
    let page = |after: Option<&str>| {
        let query = kv::Query::List { prefix: Bytes::from_static(b"b"), after: after.map(key), limit: 2 };
        match world.machine.read(&Query::Kv(query)) {
            Reply::Kv(kv::Reply::Page { entries, more }) => {
                (entries.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), more)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(page(None), (vec![key("b1"), key("b2")], true));
    assert_eq!(page(Some("b2")), (vec![key("b3")], false));
}

#[test]
fn a_key_goes_when_its_time_is_up_and_not_before() {
    let mut world = Fixture::new();
    let client = world.client();
    world.put(client, "a", "1", Life::Ttl(ttl(100)));
    assert_eq!(world.machine.next_expiry().unwrap().0, 100);
    world.tick(99);
    assert!(world.get("a").is_some());
    world.put(client, "a", "2", Life::Ttl(ttl(100)));
    world.tick(198);
    assert!(world.get("a").is_some(), "a write starts the time again");
    world.tick(199);
    assert_eq!(world.get("a"), None);
    assert_eq!(world.events()[0].what, What::Ended(Cause::Expired));
}

#[test]
fn what_is_bound_to_a_session_ends_with_it() {
    let mut world = Fixture::new();
    let client = world.client();
    let session = world.session(client, 100, Some("n1"));
    world.put(client, "a", "1", Life::Session(session));
    let lock = world.ask(client, acquire("l", Mode::Lock, Some(session), None, Patience::None));
    held(&lock);
    let other = world.ask(client, acquire("l", Mode::Lock, None, None, Patience::Unlimited));
    world.apply(Command::NodeGone { node: key("n2") });
    assert!(world.get("a").is_some());
    world.apply(Command::NodeGone { node: key("n1") });
    assert_eq!(world.get("a"), None);
    let (_, token) = held(&world.answer(waiting(&other)).unwrap());
    assert!(token > held(&lock).1);
    let late = world.put(client, "a", "1", Life::Session(session));
    assert_eq!(late, Reply::Refused(Refusal::NoSession));
}

#[test]
fn a_renewed_session_lives_on_and_ends_with_its_client() {
    let mut world = Fixture::new();
    let client = world.client_for(500);
    let create = session::Command::Create { ttl: ttl(600), with_client: true, with_node: None };
    let Reply::Session(session::Reply::Created(session)) = world.ask(client, Operation::Session(create)) else {
        panic!()
    };
    world.time = 400;
    let renewed = world.ask(client, Operation::Session(session::Command::Renew { session }));
    assert_eq!(renewed, Reply::Session(session::Reply::Renewed { expires: folkmoot_coordination::TimeMs(1000) }));
    world.tick(899);
    assert_eq!(world.machine.usage().sessions, 1);
    world.tick(900);
    assert_eq!((world.machine.usage().sessions, world.machine.usage().clients), (0, 0));
}

#[test]
fn a_lock_is_passed_on_in_order_with_rising_tokens() {
    let mut world = Fixture::new();
    let client = world.client();
    let (first, token) = held(&world.ask(client, acquire("l", Mode::Lock, None, None, Patience::None)));
    let busy = world.ask(client, acquire("l", Mode::Lock, None, None, Patience::None));
    assert_eq!(refusal(&busy), &Refusal::Busy, "not reentrant");
    let lock = |patience| acquire("l", Mode::Lock, None, None, patience);
    let second = waiting(&world.ask(client, lock(Patience::Unlimited)));
    let third = waiting(&world.ask(client, lock(Patience::Within(Millis(50)))));
    world.tick(50);
    assert_eq!(world.answer(third), Some(Reply::Refused(Refusal::TimedOut)));
    let release = |hold| Operation::Lock(Lock::Release { target: Target::Lock(key("l")), hold });
    assert_eq!(world.ask(client, release(first)), Reply::Done);
    assert!(held(&world.answer(second).unwrap()).1 > token);
    assert_eq!(refusal(&world.ask(client, release(first))), &Refusal::NotHeld);
}

#[test]
fn a_hold_that_is_not_renewed_expires_on_log_time() {
    let mut world = Fixture::new();
    let client = world.client();
    let (hold, _) = held(&world.ask(client, acquire("l", Mode::Lock, None, Some(ttl(100)), Patience::None)));
    let renew = |ttl| Operation::Lock(Lock::Renew { target: Target::Lock(key("l")), hold, ttl });
    world.time = 90;
    held(&world.ask(client, renew(None)));
    world.tick(189);
    held(&world.ask(client, renew(Some(ttl(10)))));
    world.time = 0;
    held(&world.ask(client, renew(None)));
    world.tick(199);
    assert_eq!(refusal(&world.ask(client, renew(None))), &Refusal::NotHeld);
}

#[test]
fn readers_do_not_overtake_a_waiting_writer() {
    let mut world = Fixture::new();
    let client = world.client();
    let mut ask = |mode| world.ask(client, acquire("l", mode, None, None, Patience::Unlimited));
    let (first, _) = held(&ask(Mode::Read));
    let (second, _) = held(&ask(Mode::Read));
    let writer = waiting(&ask(Mode::Write));
    let reader = waiting(&ask(Mode::Read));
    let release = |hold| Operation::Lock(Lock::Release { target: Target::ReadWrite(key("l")), hold });
    world.ask(client, release(first));
    assert_eq!(world.answer(writer), None);
    world.ask(client, release(second));
    let (writer, _) = held(&world.answer(writer).unwrap());
    assert_eq!(world.answer(reader), None);
    world.ask(client, release(writer));
    held(&world.answer(reader).unwrap());
}

#[test]
fn a_semaphore_has_the_capacity_of_its_first_user() {
    let mut world = Fixture::new();
    let client = world.client();
    let mut ask = |permits, capacity| {
        let mode = Mode::Semaphore { permits, capacity };
        world.ask(client, acquire("s", mode, None, None, Patience::Unlimited))
    };
    held(&ask(2, 3));
    assert_eq!(refusal(&ask(1, 4)), &Refusal::CapacityDiffers(3));
    assert_eq!(refusal(&ask(4, 3)).code(), "invalid");
    let large = waiting(&ask(2, 3));
    waiting(&ask(1, 3));
    let cancel = world.ask(client, Operation::Cancel { request: large.request });
    assert_eq!(cancel, Reply::Done);
    assert_eq!(world.answer(large), Some(Reply::Refused(Refusal::Cancelled)));
    assert_eq!(world.changes.len(), 3, "and who stood behind is served: {:?}", world.changes);
}

#[test]
fn a_caller_that_is_gone_leaves_the_line_and_what_it_holds_stays() {
    let mut world = Fixture::new();
    let client = world.client();
    let ask = |world: &mut Fixture| world.ask(client, acquire("l", Mode::Lock, None, None, Patience::Unlimited));
    let (holder, _) = held(&ask(&mut world));
    let (gone, next) = (waiting(&ask(&mut world)), waiting(&ask(&mut world)));
    assert_eq!(world.apply(Command::CallerGone { ticket: gone }), Reply::Done);
    assert_eq!(world.answer(gone), Some(Reply::Refused(Refusal::Cancelled)));
    assert_eq!(world.answer(next), None);
    world.ask(client, Operation::Lock(Lock::Release { target: Target::Lock(key("l")), hold: holder }));
    held(&world.answer(next).unwrap());
    for ticket in [gone, next] {
        assert_eq!(world.apply(Command::CallerGone { ticket }), Reply::Done);
        assert_eq!(world.changes, []);
    }
    assert_eq!(refusal(&world.ask(client, acquire("l", Mode::Lock, None, None, Patience::None))), &Refusal::Busy);
}

#[test]
fn a_connection_that_is_gone_ends_its_session_and_what_is_bound_to_it() {
    let mut world = Fixture::new();
    let client = world.client();
    let session = world.session(client, 60_000, None);
    held(&world.ask(client, acquire("l", Mode::Lock, Some(session), None, Patience::None)));
    for _ in 0..2 {
        assert_eq!(world.apply(Command::ConnectionGone { session }), Reply::Done);
    }
    held(&world.ask(client, acquire("l", Mode::Lock, None, None, Patience::None)));
}

#[test]
fn a_preferred_candidate_comes_first_and_the_leader_speaks() {
    let mut world = Fixture::new();
    let client = world.client();
    let mut campaign = |text: &'static [u8], preferred| {
        let (value, ttl, session) = (Bytes::from_static(text), None, None);
        let patience = Patience::Unlimited;
        world.ask(
            client,
            Operation::Election(Election::Campaign { name: key("e"), value, preferred, session, ttl, patience }),
        )
    };
    let (leader, term) = held(&campaign(b"one", false));
    let ordinary = waiting(&campaign(b"two", false));
    let preferred = waiting(&campaign(b"three", true));
    let proclaim = |hold, value| Operation::Election(Election::Proclaim { name: key("e"), hold, value });
    world.ask(client, proclaim(leader, Bytes::from_static(b"more")));
    let proclaimed = What::Proclaimed { hold: leader, token: term, value: Bytes::from_static(b"more") };
    assert_eq!(world.events()[0].what, proclaimed);
    world.ask(client, Operation::Election(Election::Resign { name: key("e"), hold: leader }));
    assert!(held(&world.answer(preferred).unwrap()).1 > term);
    assert_eq!(world.answer(ordinary), None);
    let Reply::Line(state) = world.machine.read(&Query::Election(key("e"))) else { panic!() };
    assert_eq!((&state.holds[0].1.value[..], state.waiting.len()), (&b"three"[..], 1));
    let late = world.ask(client, proclaim(leader, Bytes::new()));
    assert_eq!(refusal(&late), &Refusal::NotHeld);
}

#[test]
fn a_barrier_holds_until_it_is_lifted() {
    let mut world = Fixture::new();
    let client = world.client();
    let name = key("b");
    let wait = Operation::Barrier(Barrier::Wait { name: name.clone(), patience: Patience::Unlimited });
    assert_eq!(world.ask(client, wait.clone()), Reply::Done);
    world.ask(client, Operation::Barrier(Barrier::Raise { name: name.clone() }));
    let again = world.ask(client, Operation::Barrier(Barrier::Raise { name: name.clone() }));
    assert_eq!(refusal(&again), &Refusal::Exists(Thing::Barriers));
    let waiter = waiting(&world.ask(client, wait));
    world.ask(client, Operation::Barrier(Barrier::Lift { name }));
    assert_eq!(world.answer(waiter), Some(Reply::Done));
}

#[test]
fn a_gate_opens_for_all_and_closes_behind_the_last() {
    let mut world = Fixture::new();
    let client = world.client();
    let session = world.session(client, 1000, None);
    let (name, patience) = (key("g"), Patience::Unlimited);
    let enter = |session| Operation::Barrier(Barrier::Enter { name: name.clone(), count: 2, session, patience });
    let leave = |hold| Operation::Barrier(Barrier::Leave { name: name.clone(), hold, patience });
    let first = waiting(&world.ask(client, enter(None)));
    let Reply::Entered { .. } = world.ask(client, enter(Some(session))) else { panic!() };
    let Some(Reply::Entered { hold }) = world.answer(first) else { panic!() };
    assert_eq!(refusal(&world.ask(client, enter(None))), &Refusal::Full(2));
    let leaver = waiting(&world.ask(client, leave(hold)));
    world.ask(client, Operation::Session(session::Command::Destroy { session }));
    assert_eq!(world.answer(leaver), Some(Reply::Done), "a member whose session ended has left");
    assert_eq!(refusal(&world.ask(client, leave(HoldId(1)))), &Refusal::NotHeld);
    waiting(&world.ask(client, enter(None)));
}

#[test]
fn a_counter_never_leaves_its_range() {
    let mut world = Fixture::new();
    let client = world.client();
    let mut count = |command| world.ask(client, Operation::Counter(key("c"), command));
    assert_eq!(count(CounterCommand::Add(i64::MAX)), Reply::Collection(Collected::Count(i64::MAX)));
    assert_eq!(refusal(&count(CounterCommand::Add(1))), &Refusal::Overflow);
    assert_eq!(count(CounterCommand::Set(-3)), Reply::Collection(Collected::Count(-3)));
}

#[test]
fn lists_have_pythons_positions_and_failures() {
    let mut world = Fixture::new();
    let client = world.client();
    let mut list = |command| world.ask(client, Operation::List(key("l"), command));
    list(ListCommand::Extend(vec![value("a"), value("b"), value("c")]));
    list(ListCommand::Insert(-1, value("x")));
    list(ListCommand::Insert(100, value("y")));
    list(ListCommand::Insert(-100, value("z")));
    list(ListCommand::Set(-1, value("w")));
    assert_eq!(list(ListCommand::Pop(Some(1))), Reply::Collection(Collected::Element(Some(value("a")))));
    assert_eq!(refusal(&list(ListCommand::Pop(Some(5)))), &Refusal::OutOfRange(5));
    assert_eq!(refusal(&list(ListCommand::Remove(value("a")))), &Refusal::Missing(Thing::Elements));
    let query = Query::Collection(collections::Query::ListElements(key("l"), 0));
    let elements = ["z", "b", "x", "c", "w"].map(value).to_vec();
    assert_eq!(world.machine.read(&query), Reply::Collection(Collected::Elements { elements, length: 5 }));
}

#[test]
fn sets_tell_what_was_there() {
    let mut world = Fixture::new();
    let client = world.client();
    let mut set = |command| world.ask(client, Operation::Set(key("s"), command));
    let changed = |count| Reply::Collection(Collected::Changed(count));
    assert_eq!(set(SetCommand::Add(vec![value("b"), value("a"), value("b")])), changed(2));
    assert_eq!(set(SetCommand::Add(vec![value("a")])), changed(0));
    assert_eq!(set(SetCommand::Discard(value("c"))), changed(0));
    assert_eq!(refusal(&set(SetCommand::Remove(value("c")))), &Refusal::Missing(Thing::Elements));
    assert_eq!(set(SetCommand::Pop), Reply::Collection(Collected::Element(Some(value("a")))));
    assert_eq!(set(SetCommand::Reset(vec![])), changed(0));
    assert_eq!(refusal(&set(SetCommand::Pop)), &Refusal::Missing(Thing::Elements));
    assert_eq!(world.machine.usage().stored_bytes, 0);
}

#[test]
fn queues_are_bounded_and_serve_those_who_wait_in_order() {
    let mut world = Fixture::new();
    let client = world.client();
    let queue = |kind| QueueId { kind, name: key("q") };
    let put = |kind, priority, text| {
        Operation::Queue(Queue::Put { queue: queue(kind), priority, value: value(text), bound: 2 })
    };
    let get = |kind, patience| Operation::Queue(Queue::Get { queue: queue(kind), patience });
    let element = |text| Reply::Element(value(text));
    for text in ["one", "two"] {
        assert_eq!(world.ask(client, put(QueueKind::Fifo, 0, text)), Reply::Done);
    }
    assert_eq!(refusal(&world.ask(client, put(QueueKind::Fifo, 0, "three"))), &Refusal::Full(2));
    world.ask(client, put(QueueKind::Priority, 5, "late"));
    world.ask(client, put(QueueKind::Priority, -5, "soon"));
    assert_eq!(world.ask(client, get(QueueKind::Priority, Patience::None)), element("soon"));
    assert_eq!(world.ask(client, get(QueueKind::Fifo, Patience::None)), element("one"));
    assert_eq!(world.ask(client, get(QueueKind::Fifo, Patience::None)), element("two"));
    assert_eq!(refusal(&world.ask(client, get(QueueKind::Fifo, Patience::None))), &Refusal::Empty);
    let first = waiting(&world.ask(client, get(QueueKind::Fifo, Patience::Unlimited)));
    waiting(&world.ask(client, get(QueueKind::Fifo, Patience::Unlimited)));
    world.ask(client, put(QueueKind::Fifo, 0, "four"));
    assert_eq!(world.changes, [Change::Answered { ticket: first, reply: element("four") }]);
}

#[test]
fn a_watcher_resumes_where_it_was_or_is_told_that_it_cannot() {
    let mut world = Fixture::new();
    let client = world.client();
    for name in ["a", "b", "a"] {
        world.put(client, name, "", Life::Unlimited);
    }
    let since = |world: &Fixture, after| {
        let query = watch::Query { scope: Some(Scope::Key), prefix: Bytes::from_static(b"a"), after: Revision(after) };
        world.machine.read(&Query::Watch(query))
    };
    let Reply::Changes(page) = since(&world, 2) else { panic!() };
    assert_eq!((page.events.len(), page.events[0].revision, page.through), (1, Revision(4), Revision(4)));
    world.apply(Command::Compact { revision: Revision(3) });
    assert_eq!(since(&world, 2), Reply::Refused(Refusal::Compacted(Revision(3))));
    let Reply::Changes(page) = since(&world, 3) else { panic!() };
    assert_eq!(page.events.len(), 1);
    world.apply(Command::RaiseRevision { revision: Revision(100) });
    assert_eq!(since(&world, 4), Reply::Refused(Refusal::Compacted(Revision(100))));
    assert_eq!(world.ask(client, put("a", "", Life::Unlimited)), Reply::Kv(kv::Reply::Written(Revision(101))));
}
