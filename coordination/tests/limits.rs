//! What happens at the limits, and that requests are applied once.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one variant and fails on the others")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use folkmoot_coordination::collections::{CounterCommand, ListCommand};
use folkmoot_coordination::kv::{self, Life, Operation as KvOperation, Put};
use folkmoot_coordination::lock::Mode;
use folkmoot_coordination::queue::{Command as Queue, QueueId, QueueKind};
use folkmoot_coordination::work_queue::{Command as Work, Put as PutItem};
use folkmoot_coordination::{
    Change, ClientId, Command, Key, Operation, Patience, Query, Refusal, Reply, RequestId, Revision, Scope, Ttl, Value,
    limits,
};
use support::{Fixture, acquire, key, put, refusal, ttl, value};

#[test]
fn names_values_and_times_outside_their_limits_do_not_parse() {
    let bytes = |length| Bytes::from(vec![0; length]);
    assert!(Key::try_from(bytes(limits::KEY_BYTES_MAX)).is_ok());
    assert!(Key::try_from(bytes(limits::KEY_BYTES_MAX + 1)).is_err());
    assert!(Key::try_from(bytes(0)).is_err());
    assert!(Value::try_from(bytes(limits::VALUE_BYTES_MAX)).is_ok());
    let error = Value::try_from(bytes(limits::VALUE_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(error.to_string(), "1048577 given, between 0 and 1048576 allowed");
    assert!(Ttl::try_from(0).is_err() && Ttl::try_from(limits::TTL_MS_MAX + 1).is_err());
}

#[test]
fn a_retry_gets_the_first_reply_and_changes_nothing() {
    let mut world = Fixture::new();
    let client = world.client();
    let request = world.request(client, Operation::Counter(key("c"), CounterCommand::Add(1)));
    let first = world.apply(Command::Client(request.clone()));
    let revision = world.machine.revision();
    assert_eq!(world.apply(Command::Client(request.clone())), first);
    assert_eq!((world.machine.revision(), world.changes.len()), (revision, 0));
    let mut next = world.request(client, Operation::KeepAlive);
    next.acknowledged_below = RequestId(request.request.0 + 1);
    world.apply(Command::Client(next));
    assert_eq!(world.apply(Command::Client(request)), Reply::Refused(Refusal::Stale));
}

#[test]
fn a_waiting_call_asked_again_gets_its_outcome() {
    let mut world = Fixture::new();
    let client = world.client();
    let queue = QueueId { kind: QueueKind::Fifo, name: key("q") };
    let get = Operation::Queue(Queue::Get { queue: queue.clone(), patience: Patience::Unlimited });
    let request = world.request(client, get);
    let waiting = world.apply(Command::Client(request.clone()));
    assert_eq!(world.apply(Command::Client(request.clone())), waiting, "and does not wait twice");
    world.ask(client, Operation::Queue(Queue::Put { queue, priority: 0, value: value("x"), bound: 0 }));
    assert_eq!(world.apply(Command::Client(request)), Reply::Element(value("x")));
}

#[test]
fn a_client_that_was_silent_too_long_is_not_served() {
    let mut world = Fixture::new();
    assert_eq!(refusal(&world.ask(ClientId(7), Operation::KeepAlive)), &Refusal::ClientExpired);
    let Reply::Registered(client) = world.apply(Command::RegisterClient { ttl: ttl(100) }) else { panic!() };
    world.ask(client, acquire("l", Mode::Lock, None, None, Patience::None));
    world.time = 99;
    assert_eq!(world.ask(client, Operation::KeepAlive), Reply::Done);
    world.time = 199;
    assert_eq!(refusal(&world.put(client, "a", "", Life::Unlimited)), &Refusal::ClientExpired);
    assert_eq!((world.get("a"), world.machine.usage().lines), (None, 0));
}

#[test]
fn replies_are_kept_up_to_a_number_and_the_refusal_itself_is_not() {
    let mut world = Fixture::new();
    let client = world.client();
    for _ in 0..limits::REPLIES_PER_CLIENT {
        assert_eq!(world.ask(client, Operation::KeepAlive), Reply::Done);
    }
    let mut request = world.request(client, Operation::KeepAlive);
    let refused = world.apply(Command::Client(request.clone()));
    assert_eq!(refusal(&refused), &Refusal::TooManyUnacknowledged);
    request.acknowledged_below = request.request;
    assert_eq!(world.apply(Command::Client(request)), Reply::Done);
    assert_eq!(world.machine.usage().reply_bytes, 64);
}

#[test]
fn replies_are_kept_up_to_a_number_of_bytes() {
    let mut world = Fixture::new();
    let client = world.client();
    let large = Value::try_from(Bytes::from(vec![0; limits::VALUE_BYTES_MAX])).unwrap();
    let queue = QueueId { kind: QueueKind::Fifo, name: key("q") };
    let get = Operation::Queue(Queue::Get { queue: queue.clone(), patience: Patience::None });
    for round in 0.. {
        world.ask(
            client,
            Operation::Queue(Queue::Put { queue: queue.clone(), priority: 0, value: large.clone(), bound: 0 }),
        );
        match world.ask(client, get.clone()) {
            Reply::Element(_) => assert!(round < 16),
            other => {
                assert_eq!(refusal(&other), &Refusal::TooManyUnacknowledged);
                break;
            }
        }
    }
}

#[test]
fn waiting_calls_of_one_client_are_counted() {
    let mut world = Fixture::new();
    let client = world.client();
    let ask = |world: &mut Fixture| world.ask(client, acquire("l", Mode::Lock, None, None, Patience::Unlimited));
    ask(&mut world);
    for _ in 0..limits::WAITS_PER_CLIENT {
        support::waiting(&ask(&mut world));
    }
    assert_eq!(refusal(&ask(&mut world)).code(), "too-many");
    assert_eq!(world.machine.usage().waits, limits::WAITS_PER_CLIENT);
}

#[test]
fn storage_is_full_for_everything_until_something_goes() {
    let mut world = Fixture::new();
    let client = world.client();
    let large = Value::try_from(Bytes::from(vec![0; limits::VALUE_BYTES_MAX])).unwrap();
    let write = |number: usize| Put { key: key(&number.to_string()), value: large.clone(), life: Life::Unlimited };
    let put_large = |number| Operation::Kv(kv::Command::Put(write(number)));
    let fitting = limits::STORED_BYTES_MAX / (limits::VALUE_BYTES_MAX + limits::ENTRY_OVERHEAD + 4);
    let mut client = client;
    for number in 0..fitting {
        if number % 1000 == 999 {
            client = world.client();
        }
        assert!(matches!(world.ask(client, put_large(number)), Reply::Kv(kv::Reply::Written(_))), "{number}");
    }
    let full = Refusal::StorageFull(limits::STORED_BYTES_MAX as u64);
    let item = PutItem { payload: large.clone(), ..PutItem::default() };
    let queue = QueueId { kind: QueueKind::Fifo, name: key("q") };
    let transaction =
        kv::Command::Transaction { compares: vec![], then: vec![KvOperation::Put(write(9999))], otherwise: vec![] };
    for operation in [
        put_large(9999),
        Operation::Kv(transaction),
        Operation::List(key("l"), ListCommand::Extend(vec![large.clone()])),
        Operation::Queue(Queue::Put { queue, priority: 0, value: large.clone(), bound: 0 }),
        Operation::Work(key("w"), Work::Put(Box::new(item))),
    ] {
        let revision = world.machine.revision();
        assert_eq!(refusal(&world.ask(client, operation)), &full);
        assert_eq!(world.machine.revision(), revision, "a refusal changes nothing");
    }
    assert!(matches!(world.ask(client, put_large(0)), Reply::Kv(_)), "what is there can be replaced");
    world.ask(client, Operation::Kv(kv::Command::Delete { key: key("0") }));
    assert!(matches!(world.ask(client, put_large(9999)), Reply::Kv(_)));
    assert!(world.machine.usage().history_bytes <= limits::HISTORY_BYTES_MAX);
}

#[test]
fn large_commands_are_refused_whole() {
    let mut world = Fixture::new();
    let client = world.client();
    let get = KvOperation::Get(key("a"));
    let then = vec![get; limits::TRANSACTION_OPERATIONS_MAX + 1];
    let transaction = kv::Command::Transaction { compares: vec![], then, otherwise: vec![] };
    assert_eq!(refusal(&world.ask(client, Operation::Kv(transaction))).code(), "too-large");
    let elements = vec![value(""); limits::ELEMENTS_PER_COMMAND + 1];
    let extend = Operation::List(key("l"), ListCommand::Extend(elements));
    assert_eq!(refusal(&world.ask(client, extend)).code(), "too-large");
    let priority = limits::PRIORITY_MAX + 1;
    let put = Work::Put(Box::new(PutItem { priority, ..PutItem::default() }));
    assert_eq!(refusal(&world.ask(client, Operation::Work(key("w"), put))).code(), "invalid");
    assert_eq!(world.machine.usage().work_queues, 0, "a refused put founds no queue");
    let raise = Command::RaiseRevision { revision: Revision(u64::MAX) };
    assert_eq!(refusal(&world.apply(raise)).code(), "invalid");
}

#[test]
fn a_delete_by_prefix_says_that_there_is_more() {
    let mut world = Fixture::new();
    let mut client = world.client();
    for number in 0..=limits::DELETE_PREFIX_MAX {
        if number % 1000 == 999 {
            client = world.client();
        }
        world.ask(client, put(&format!("k{number}"), "", Life::Unlimited));
    }
    let client = world.client();
    let delete = || Operation::Kv(kv::Command::DeletePrefix { prefix: Bytes::from_static(b"k") });
    let first = kv::Reply::Deleted { keys: limits::DELETE_PREFIX_MAX as u64, more: true };
    assert_eq!(world.ask(client, delete()), Reply::Kv(first));
    assert_eq!(world.ask(client, delete()), Reply::Kv(kv::Reply::Deleted { keys: 1, more: false }));
}

#[test]
fn one_entry_reaches_a_bounded_number_of_deadlines() {
    let mut world = Fixture::new();
    let keys = limits::EXPIRIES_PER_ENTRY + 10;
    let mut client = world.client();
    for number in 0..keys {
        if number % 1000 == 999 {
            client = world.client();
        }
        world.ask(client, put(&format!("k{number}"), "", Life::Ttl(ttl(100))));
    }
    world.tick(100);
    assert_eq!(world.machine.usage().keys, 10);
    assert!(world.machine.next_expiry().unwrap().0 <= 100, "the leader proposes again at once");
    world.tick(100);
    assert_eq!(world.machine.usage().keys, 0);
}

#[test]
fn history_forgets_whole_revisions_and_says_so() {
    let mut world = Fixture::new();
    let mut client = world.client();
    for number in 0..limits::HISTORY_EVENTS_MAX + 100 {
        if number % 1000 == 999 {
            client = world.client();
        }
        world.ask(client, Operation::Counter(key("c"), CounterCommand::Add(1)));
    }
    assert_eq!(world.machine.usage().history_events, limits::HISTORY_EVENTS_MAX);
    let compacted = world.machine.compacted();
    let ask = |after| {
        let query = folkmoot_coordination::watch::Query { scope: Some(Scope::Counter), prefix: Bytes::new(), after };
        world.machine.read(&Query::Watch(query))
    };
    assert_eq!(ask(Revision(compacted.0 - 1)), Reply::Refused(Refusal::Compacted(compacted)));
    let (mut after, mut seen) = (compacted, 0);
    while after < world.machine.revision() {
        let Reply::Changes(page) = ask(after) else { panic!() };
        assert!(page.events.len() <= limits::PAGE_ENTRIES_MAX && page.through > after);
        assert!(page.events.iter().all(|event| event.revision > after));
        (after, seen) = (page.through, seen + page.events.len());
    }
    assert_eq!(seen, limits::HISTORY_EVENTS_MAX);
}

#[test]
fn changes_of_a_refused_command_do_not_exist() {
    let mut world = Fixture::new();
    let client = world.client();
    let (reply, revision) = (
        world.ask(client, Operation::Work(key("w"), Work::Cancel { item: Default::default() })),
        world.machine.revision(),
    );
    assert_eq!(refusal(&reply).code(), "missing");
    assert_eq!((revision, world.changes.clone()), (Revision(1), Vec::<Change>::new()));
}
