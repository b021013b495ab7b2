//! Every command once, by its answer, against a real state machine: what is asked has to arrive as it was meant.

use folkmoot_proto::Blob;
use folkmoot_proto::coordination::*;

use super::coordination_calls::{lock, put, release};
use super::*;

fn blob(text: &str) -> Blob {
    Blob::from(text.as_bytes())
}

fn entry(value: &str, created: u64, modified: u64, version: u64) -> KvEntry {
    KvEntry { created, modified, value: blob(value), version, ..KvEntry::default() }
}

#[tokio::test]
async fn keys() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let get = |key: &str| KvGet { key: key.into() };
    assert_eq!(member.write(put("a", "1")).await, KvWritten { revision: 2 });
    let lived = KvPut { ttl: 60_000, ..put("b", "2") };
    member.write(lived).await;
    let found = member.read(get("b")).await.body.entry.unwrap();
    assert!(found.expires >= 60_000, "{found:?}");
    assert_eq!(member.read(get("a")).await.body.entry, Some(entry("1", 2, 2, 1)));
    assert_eq!(member.read(get("z")).await.body.entry, None);
    let cas = |expected, value: &str| KvCompareAndSet {
        expected,
        key: "a".into(),
        value: blob(value),
        ..KvCompareAndSet::default()
    };
    let refused = member.write(cas(9, "x")).await;
    assert_eq!(refused, KvCompared { entry: Some(entry("1", 2, 2, 1)), revision: 0, written: false });
    assert!(!member.write(cas(0, "x")).await.written);
    assert_eq!(member.write(cas(2, "one")).await, KvCompared { entry: None, revision: 4, written: true });
    let page = member.read(KvList { after: "a".into(), limit: 1, prefix: Text::default() }).await.body;
    assert_eq!((page.entries.len(), page.entries[0].key.to_string(), page.more), (1, "b".into(), false));
    let page = member.read(KvList { limit: 1, ..KvList::default() }).await.body;
    assert_eq!((page.entries[0].key.to_string(), page.more), ("a".into(), true));
    let gone = member.write(KvDelete { key: "b".into() }).await;
    assert_eq!(gone, KvDeleted { keys: 1, more: false });
    assert_eq!(member.write(KvDeletePrefix { prefix: "a".into() }).await, KvDeleted { keys: 1, more: false });
    let both = KvPut { session: 1, ttl: 1, ..put("b", "2") };
    let seq = member.send(both).await;
    member.refused(seq, Code::InvalidRequest).await;
    let seq = member.send(KvPut { session: 77, ..put("b", "2") }).await;
    member.refused(seq, Code::NoSession).await;
}

#[tokio::test]
async fn transactions() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    member.write(put("a", "1")).await;
    let operation = |verb, key: &str, value: &str| KvOperation {
        verb,
        key: key.into(),
        value: blob(value),
        ..KvOperation::default()
    };
    let compare = |test, number, value: &str| KvCompare { key: "a".into(), number, test, value: blob(value) };
    let hold = [
        compare(KvTest::Exists, 0, ""),
        compare(KvTest::Modified, 2, ""),
        compare(KvTest::ModifiedAfter, 1, ""),
        compare(KvTest::Created, 2, ""),
        compare(KvTest::Version, 1, ""),
        compare(KvTest::Value, 0, "1"),
        KvCompare { key: "z".into(), test: KvTest::Absent, ..KvCompare::default() },
    ];
    let transaction = KvTransaction {
        compares: hold.to_vec(),
        then: vec![
            operation(KvVerb::Put, "a", "2"),
            operation(KvVerb::Get, "a", ""),
            operation(KvVerb::Delete, "z", ""),
        ],
        otherwise: vec![operation(KvVerb::Delete, "a", "")],
    };
    let none = KvOutcome::default();
    let done = member.write(transaction.clone()).await;
    assert!(done.succeeded);
    assert_eq!(
        done.outcomes,
        [
            KvOutcome { verb: KvVerb::Put, ..none.clone() },
            KvOutcome { verb: KvVerb::Get, entry: Some(entry("2", 2, 3, 2)), ..none.clone() },
            KvOutcome { verb: KvVerb::Delete, ..none.clone() },
        ]
    );
    let other = member.write(transaction).await;
    assert!(!other.succeeded);
    assert_eq!(other.outcomes, [KvOutcome { verb: KvVerb::Delete, deleted: true, ..none }]);
}

#[tokio::test]
async fn clients_and_sessions() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    assert_eq!(member.write(ClientKeepAlive {}).await, Done {});
    let create = SessionCreate { ttl: 50_000, with_client: true, with_node: "n".into(), with_connection: false };
    let session = member.write(create).await.session;
    let info = member.read(SessionGet { session }).await.body;
    let expected = SessionInfo {
        client: member.caller.client,
        expires: info.expires,
        session,
        ttl: 50_000,
        with_client: true,
        with_node: "n".into(),
    };
    assert_eq!(info, expected);
    assert!(member.write(SessionRenew { session }).await.expires >= info.expires);
    assert_eq!(member.read(SessionList { after: 0 }).await.body.sessions.len(), 1);
    assert_eq!(member.read(SessionList { after: session }).await.body.sessions, []);
    assert_eq!(member.write(SessionDestroy { session }).await, Done {});
    let seq = member.send(SessionRenew { session }).await;
    member.refused(seq, Code::NoSession).await;
    let seq = member.send(SessionCreate::default()).await;
    member.refused(seq, Code::InvalidRequest).await;
    member.write(lock("l", 0)).await;
    let waiting = member.send(lock("l", -1)).await;
    let call = member.caller.request;
    let seq = member.send(ClientCancel { call }).await;
    let mut answers = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let header = member.client.header().await;
        if header.error.is_empty() {
            member.client.object().await.unwrap();
        }
        answers.insert(header.seq, Code::of(&header.error));
    }
    assert_eq!(answers, std::collections::BTreeMap::from([(waiting, Code::Cancelled), (seq, Code::Unknown)]));
}

#[tokio::test]
async fn locks() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let held = member.write(LockAcquire { ttl: 60_000, ..lock("l", 0) }).await;
    assert!(held.expires >= 60_000);
    let renew = LockRenew { hold: held.hold, kind: LockKind::Lock, name: "l".into(), ttl: 90_000 };
    assert!(member.write(renew).await.expires >= 90_000);
    let info = |kind, name: &str| LockInfo { kind, name: name.into() };
    let line = member.read(info(LockKind::Lock, "l")).await.body;
    let owner = Owner { client: member.caller.client, ..Owner::default() };
    assert_eq!((line.capacity, line.holds.len(), line.waiting.len()), (1, 1, 0));
    assert_eq!((&line.holds[0].owner, line.holds[0].ttl, line.holds[0].token), (&owner, 90_000, held.token));
    member.write(release("l", held.hold)).await;
    let seq = member.send(release("l", held.hold)).await;
    member.refused(seq, Code::NotHeld).await;

    let permits = |permits, capacity| LockAcquire { kind: LockKind::Semaphore, permits, capacity, ..lock("s", 0) };
    member.write(permits(2, 3)).await;
    member.write(permits(0, 3)).await;
    assert_eq!(member.read(info(LockKind::Semaphore, "s")).await.body.capacity, 3);
    let seq = member.send(permits(1, 3)).await;
    member.refused(seq, Code::Busy).await;
    let seq = member.send(permits(1, 4)).await;
    member.refused(seq, Code::CapacityDiffers).await;

    let rw = |kind| LockAcquire { kind, ..lock("rw", 0) };
    let first = member.write(rw(LockKind::Read)).await;
    let second = member.write(rw(LockKind::Read)).await;
    let seq = member.send(rw(LockKind::Write)).await;
    member.refused(seq, Code::Busy).await;
    for (hold, kind) in [(first.hold, LockKind::Read), (second.hold, LockKind::Write)] {
        member.write(LockRelease { hold, kind, name: "rw".into() }).await;
    }
    member.write(rw(LockKind::Write)).await;
}

#[tokio::test]
async fn elections() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let campaign = ElectionCampaign {
        name: "e".into(),
        preferred: true,
        ttl: 60_000,
        value: blob("a"),
        wait: -1,
        ..ElectionCampaign::default()
    };
    let held = member.write(campaign.clone()).await;
    let (hold, name) = (held.hold, Text::from("e"));
    member.write(ElectionProclaim { hold, name: name.clone(), value: blob("b") }).await;
    let renewed = member.write(ElectionRenew { hold, name: name.clone(), ttl: 90_000 }).await;
    assert!(renewed.expires > held.expires && renewed.token == held.token);
    let line = member.read(ElectionInfo { name: name.clone() }).await.body;
    assert_eq!((line.holds[0].hold, line.holds[0].value.clone()), (hold, blob("b")));
    member.write(ElectionResign { hold, name: name.clone() }).await;
    assert_eq!(member.read(ElectionInfo { name }).await.body, Line::default());
    let seq = member.send(ElectionCampaign { value: blob(&"x".repeat(1025)), ..campaign }).await;
    member.refused(seq, Code::TooLarge).await;
}

#[tokio::test]
async fn barriers_and_gates() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let name = || Text::from("b");
    member.write(BarrierRaise { name: name() }).await;
    let seq = member.send(BarrierRaise { name: name() }).await;
    member.refused(seq, Code::Exists).await;
    let waiting = member.send(BarrierWait { name: name(), wait: -1 }).await;
    let seq = member.send(BarrierWait { name: name(), wait: 0 }).await;
    member.refused(seq, Code::Busy).await;
    let lifting = member.send(BarrierLift { name: name() }).await;
    let mut lifted = std::collections::BTreeSet::new();
    for _ in 0..2 {
        lifted.insert(member.client.header().await.seq);
        member.client.object().await.unwrap();
    }
    assert_eq!(lifted, std::collections::BTreeSet::from([waiting, lifting]));

    let enter = BarrierEnter { count: 1, name: name(), session: 0, wait: 0 };
    let hold = member.write(enter.clone()).await.hold;
    let state = member.read(BarrierInfo { name: name() }).await.body;
    assert_eq!(state, BarrierState { count: 1, members: 1, open: true, raised: false, waiting: 0 });
    assert_eq!(member.write(BarrierLeave { hold, name: name(), wait: -1 }).await, BarrierLeft { all: true });
    let enter = BarrierEnter { count: 2, ..enter };
    let first = member.send(BarrierEnter { wait: -1, ..enter.clone() }).await;
    let second = member.send(enter).await;
    let mut holds = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let seq = member.client.header().await.seq;
        holds.insert(seq, member.client.body::<BarrierEntered>().await.hold);
    }
    let left = member.write(BarrierLeave { hold: holds[&first], name: name(), wait: 0 }).await;
    assert_eq!(left, BarrierLeft { all: false });
    let left = member.write(BarrierLeave { hold: holds[&second], name: name(), wait: 0 }).await;
    assert_eq!(left, BarrierLeft { all: true });
}

#[tokio::test]
async fn counters_and_sets() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let name = || Text::from("c");
    assert_eq!(member.write(CounterSet { name: name(), value: i64::MAX }).await, Count { value: i64::MAX });
    let seq = member.send(CounterAdd { by: 1, name: name() }).await;
    member.refused(seq, Code::Overflow).await;
    assert_eq!(member.write(CounterAdd { by: -1, name: name() }).await.value, i64::MAX - 1);
    assert_eq!(member.read(CounterGet { name: name() }).await.body.value, i64::MAX - 1);
    assert_eq!(member.write(CounterDelete { name: name() }).await, Changed { changed: 1 });

    let all = |texts: &[&str]| texts.iter().map(|text| blob(text)).collect::<Vec<_>>();
    assert_eq!(member.write(SetReset { elements: all(&["b", "a", ""]), name: name() }).await.changed, 3);
    assert_eq!(member.write(SetAdd { elements: all(&["b", "c"]), name: name() }).await.changed, 1);
    assert_eq!(member.write(SetRemove { element: blob("a"), name: name() }).await.changed, 1);
    let seq = member.send(SetRemove { element: blob("a"), name: name() }).await;
    member.refused(seq, Code::Missing).await;
    assert_eq!(member.write(SetDiscard { element: blob("a"), name: name() }).await.changed, 0);
    assert_eq!(member.write(SetPop { name: name() }).await.element, Some(blob("")));
    assert!(member.read(SetContains { element: blob("b"), name: name() }).await.body.contains);
    let page = member.read(SetElements { after: None, name: name() }).await.body;
    assert_eq!(page, Elements { elements: all(&["b", "c"]), length: 2 });
    let page = member.read(SetElements { after: Some(blob("b")), name: name() }).await.body;
    assert_eq!(page.elements, all(&["c"]));
}

#[tokio::test]
async fn lists() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let name = || Text::from("l");
    let all = |texts: &[&str]| texts.iter().map(|text| blob(text)).collect::<Vec<_>>();
    member.write(ListReset { elements: all(&["a", "b"]), name: name() }).await;
    member.write(ListExtend { elements: all(&["c", "d"]), name: name() }).await;
    member.write(ListSet { element: blob("B"), name: name(), position: 1 }).await;
    member.write(ListInsert { element: blob("x"), name: name(), position: 0 }).await;
    let page = member.read(ListElements { from: 1, name: name() }).await.body;
    assert_eq!(page, Elements { elements: all(&["a", "B", "c", "d"]), length: 5 });
    assert_eq!(member.write(ListRemove { element: blob("c"), name: name() }).await.changed, 1);
    assert_eq!(member.write(ListPop { name: name(), position: None }).await.element, Some(blob("d")));
    assert_eq!(member.write(ListPop { name: name(), position: Some(0) }).await.element, Some(blob("x")));
    let seq = member.send(ListPop { name: name(), position: Some(9) }).await;
    member.refused(seq, Code::OutOfRange).await;
    member.write(ListSort { descending: false, name: name() }).await;
    assert_eq!(member.read(ListGet { name: name(), position: 0 }).await.body.element, Some(blob("B")));
    member.write(ListSort { descending: true, name: name() }).await;
    assert_eq!(member.read(ListGet { name: name(), position: 0 }).await.body.element, Some(blob("a")));
    assert_eq!(member.read(ListGet { name: name(), position: 7 }).await.body.element, None);
    let find = |text: &str| ListFind { element: blob(text), name: name() };
    assert_eq!(member.read(find("B")).await.body.position, Some(1));
    assert_eq!(member.read(find("z")).await.body.position, None);
}

#[tokio::test]
async fn queues() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let item =
        |kind, value: &str, priority| QueuePut { bound: 2, kind, name: "q".into(), priority, value: blob(value) };
    let get = |kind, wait| QueueGet { kind, name: "q".into(), wait };
    for kind in [QueueKind::Fifo, QueueKind::Priority] {
        member.write(item(kind, "first", 2)).await;
        member.write(item(kind, "second", -1)).await;
        let seq = member.send(item(kind, "third", 0)).await;
        member.refused(seq, Code::Full).await;
        let next = if kind == QueueKind::Fifo { "first" } else { "second" };
        let state = member.read(QueueInfo { kind, name: "q".into() }).await.body;
        assert_eq!(state, QueueState { length: 2, next: Some(blob(next)), waiting: 0 });
        assert_eq!(member.write(get(kind, 0)).await.element, Some(blob(next)));
        member.write(get(kind, 0)).await;
        let seq = member.send(get(kind, 0)).await;
        member.refused(seq, Code::Empty).await;
    }
}

#[tokio::test]
async fn work() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let name = || Text::from("w");
    let put = WorkPut {
        dedupe: "once".into(),
        max_attempts: 1,
        name: name(),
        payload: blob("do"),
        priority: 7,
        requires: vec!["gpu".into()],
        target: "n1".into(),
        target_within: Some(3_600_000),
        excluded: vec!["n2".into()],
        ..WorkPut::default()
    };
    let first = member.write(put.clone()).await;
    assert_eq!((first.duplicate, first.pressure), (false, WorkPressure::None));
    let again = member.write(put.clone()).await;
    assert_eq!((again.duplicate, again.item), (true, first.item));
    let dependent = WorkPut { name: name(), depends_on: vec![first.item], ..WorkPut::default() };
    let second = member.write(dependent).await.item;
    let seq = member.send(WorkPut { priority: 101, dedupe: Text::default(), ..put }).await;
    member.refused(seq, Code::Invalid).await;
    let claim = |node: &str| WorkClaim {
        capabilities: vec!["gpu".into()],
        lease: 60_000,
        name: name(),
        node: node.into(),
        ..WorkClaim::default()
    };
    let seq = member.send(claim("n2")).await;
    member.refused(seq, Code::Empty).await;
    let claimed = member.write(claim("n1")).await.items;
    assert_eq!((claimed.len(), claimed[0].item, claimed[0].payload.clone()), (1, first.item, blob("do")));
    assert_eq!((claimed[0].priority, claimed[0].attempts), (7, 0));
    let (item, token) = (claimed[0].item, claimed[0].token);
    assert!(
        member.write(WorkHeartbeat { item, lease: 90_000, name: name(), token }).await.expires > claimed[0].expires
    );
    let info = member.read(WorkGet { item, name: name() }).await.body;
    assert_eq!((info.state, info.node.to_string(), info.put_at), (WorkState::Claimed, "n1".into(), 1_000));
    member.write(WorkFail { item, name: name(), reason: blob("broken"), retry_after: 0, token }).await;
    let seq = member.send(WorkComplete { item, name: name(), result: blob(""), token }).await;
    member.refused(seq, Code::StaleLease).await;
    let dead = member.read(WorkList { name: name(), state: WorkState::Dead, after: 0 }).await.body.items;
    assert_eq!((dead.len(), dead[0].last_error.clone(), dead[0].attempts), (1, blob("broken"), 1));
    let blocked = member.read(WorkGet { item: second, name: name() }).await.body;
    assert_eq!((blocked.state, blocked.waits_for), (WorkState::Blocked, vec![item]));
    assert_eq!(member.write(WorkRedrive { item: 0, name: name() }).await.items, 1);
    let token = member.write(claim("n1")).await.items[0].token;
    member.write(WorkRelease { delay: 0, item, name: name(), token }).await;
    let token = member.write(claim("n1")).await.items[0].token;
    member.write(WorkComplete { item, name: name(), result: blob("done"), token }).await;
    member.write(WorkCancel { item: second, name: name() }).await;
    let history = member.read(WorkHistory { name: name() }).await.body.items;
    assert_eq!((history[0].item, history[0].state), (second, WorkState::Cancelled));
    assert_eq!(
        (history[1].item, history[1].state, history[1].result.clone()),
        (item, WorkState::Completed, blob("done"))
    );
    member.write(WorkConfigure { hard: 10, name: name(), soft: 5 }).await;
    let numbers = member.read(WorkStats { name: name() }).await.body;
    assert_eq!((numbers.hard, numbers.soft, numbers.totals.completed, numbers.totals.claimed), (10, 5, 1, 3));
    member.write(WorkForget { name: name() }).await;
    let seq = member.request(CoordinationRequest::Read(Reading::default(), WorkStats { name: name() }.into())).await;
    member.refused(seq, Code::Missing).await;
}
