use folkmoot_proto::coordination::{
    AsOf, Caller, Changed, Count, CounterGet, Done, Held, KvPage, KvWritten, LeaderRecord, WatchChange, WatchRecord,
    What, WorkClaimed, WorkItem,
};
use tokio::time::timeout;

use super::*;
use crate::coordination::{Changes, Claim, Life, WatchOptions};
use crate::fake_agent::{Act, FakeAgent, answer, encoded};
use crate::options::ConnectOptions;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Client, number and acknowledgement of a write.
fn caller(request: &CoordinationRequest) -> (u64, u64, u64) {
    let CoordinationRequest::Write(Caller { client, request, acknowledged_below, .. }, _) = request else {
        panic!("{request:?} is no write")
    };
    (*client, *request, *acknowledged_below)
}

fn written(revision: u64) -> Act {
    answer(&KvWritten { revision })
}

async fn put(client: &Client) -> Result<u64, Error> {
    timeout(PATIENCE, client.kv().put("a", "1", Life::Unlimited)).await.unwrap()
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_number() {
    let agent = FakeAgent::start([Act::Close, written(7), written(8)]).await;
    let client = agent.client().await;
    assert_eq!(put(&client).await.unwrap(), 7);
    assert_eq!(put(&client).await.unwrap(), 8);
    let callers: Vec<_> = agent.seen().iter().map(caller).collect();
    assert_eq!(callers, [(1, 1, 1), (1, 1, 1), (1, 2, 2)]);
    assert_eq!(agent.connections(), 2);
}

#[tokio::test]
async fn another_agent_takes_over_with_the_same_number() {
    let (first, second) = (FakeAgent::start([Act::Close]).await, FakeAgent::start([written(7)]).await);
    let options = first.options().or(&second.options().addresses[0]);
    let client = Client::connect(&options).await.unwrap();
    assert_eq!(put(&client).await.unwrap(), 7);
    assert_eq!(first.seen().iter().chain(&second.seen()).map(caller).collect::<Vec<_>>(), [(1, 1, 1), (1, 1, 1)]);
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_passed_over() {
    let agent = FakeAgent::start([written(7)]).await;
    let options = ConnectOptions::new("127.0.36.2:1").or(&agent.options().addresses[0]);
    assert_eq!(put(&Client::connect(&options).await.unwrap()).await.unwrap(), 7);
}

#[tokio::test]
async fn what_an_agent_cannot_serve_at_the_moment_is_asked_again() {
    let script = [
        Act::Refuse("overloaded: too much"),
        Act::Refuse("timeout: no answer"),
        Act::Refuse("too-many-unacknowledged: later"),
        Act::Refuse("stopping: it stops"),
        written(7),
    ];
    let agent = FakeAgent::start(script).await;
    assert_eq!(put(&agent.client().await).await.unwrap(), 7);
    assert!(agent.seen().iter().all(|request| caller(request) == (1, 1, 1)));
    assert_eq!(agent.connections(), 2, "an agent that stops is left");
}

#[tokio::test]
async fn each_fault_has_an_error_of_its_own() {
    for (text, expected) in [
        ("no-group: nobody offers coordination", "NoGroup"),
        ("no-quorum: missing a, b", "NoQuorum"),
        ("Unsupported command", "Unsupported"),
        ("Invalid authentication token", "Auth"),
        ("storage-full: 1 bytes", "Refused(Refusal { code: StorageFull"),
        ("gibberish", "Remote"),
    ] {
        let agent = FakeAgent::start([Act::Refuse(text)]).await;
        let error = put(&agent.client().await).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{text}: {error:?}");
        assert!(expected == "Unsupported" || error.to_string() == text, "{error}");
        assert_eq!(agent.seen().len(), 1, "{text} is final");
    }
}

#[tokio::test]
async fn a_forgotten_client_registers_again_if_nothing_can_have_been_applied() {
    let agent = FakeAgent::start([Act::Refuse("client-expired: unknown"), written(7)]).await;
    assert_eq!(put(&agent.client().await).await.unwrap(), 7);
    assert_eq!(agent.seen().iter().map(caller).collect::<Vec<_>>(), [(1, 1, 1), (2, 1, 1)]);

    let agent = FakeAgent::start([Act::Close, Act::Refuse("client-expired: unknown"), written(8)]).await;
    let client = agent.client().await;
    assert!(matches!(put(&client).await, Err(Error::ClientExpired)));
    assert_eq!(put(&client).await.unwrap(), 8);
    assert_eq!(caller(&agent.seen()[2]), (2, 1, 1));
}

#[tokio::test]
async fn a_call_that_waits_holds_back_the_acknowledgement() {
    let agent = FakeAgent::start([Act::Keep, written(1), written(2)]).await;
    let client = agent.client().await;
    let waiting = tokio::spawn({
        let lock = client.lock("x");
        async move { lock.acquire().await.map(|guard| guard.token()) }
    });
    agent.wait_for(1).await;
    put(&client).await.unwrap();
    put(&client).await.unwrap();
    assert_eq!(agent.seen().iter().map(caller).collect::<Vec<_>>(), [(1, 1, 1), (1, 2, 1), (1, 3, 1)]);
    waiting.abort();
}

#[tokio::test]
async fn giving_up_a_call_that_waits_cancels_it_and_gives_back_what_was_granted() {
    let held = encoded(&Held { hold: 5, token: 6, expires: 0 });
    let agent = FakeAgent::start([Act::Keep, Act::AnswerBoth(held, encoded(&Done {})), answer(&Done {})]).await;
    let client = agent.client().await;
    let waiting = tokio::spawn({
        let lock = client.lock("x");
        async move { lock.acquire().await.map(|guard| guard.token()) }
    });
    timeout(PATIENCE, agent.wait_for(1)).await.unwrap();
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    let seen = timeout(PATIENCE, agent.wait_for(3)).await.unwrap();
    let CoordinationRequest::Write(_, Write::ClientCancel(ClientCancel { call })) = &seen[1] else {
        panic!("{seen:?}")
    };
    assert_eq!(*call, 1);
    assert!(matches!(&seen[2], CoordinationRequest::Write(_, Write::LockRelease(release)) if release.hold == 5));
}

#[tokio::test]
async fn what_an_agent_cancelled_with_its_connection_is_made_anew() {
    let held = answer(&Held { hold: 5, token: 6, expires: 0 });
    let agent = FakeAgent::start([Act::Close, Act::Refuse("cancelled: the connection is gone"), held]).await;
    let guard = timeout(PATIENCE, agent.client().await.lock("x").acquire()).await.unwrap().unwrap();
    assert_eq!((guard.hold(), guard.token(), guard.is_held()), (5, 6, true));
    assert_eq!(agent.seen().iter().map(caller).collect::<Vec<_>>(), [(1, 1, 1), (1, 1, 1), (1, 2, 2)]);
}

#[tokio::test]
async fn a_lock_that_is_not_had_is_none_and_one_that_is_not_held_is_lost() {
    let held = answer(&Held { hold: 5, token: 6, expires: 0 });
    let script = [Act::Refuse("busy: held by another"), Act::Refuse("timed-out: timed out"), held];
    let agent = FakeAgent::start(script.into_iter().chain([Act::Refuse("not-held: not held")])).await;
    let lock = agent.client().await.lock("x");
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(lock.acquire_within(Wait::For(Duration::from_millis(1))).await.unwrap().is_none());
    let released = lock.acquire().await.unwrap().release().await;
    assert!(matches!(released, Err(Error::LeaseLost(_))), "{released:?}");
}

#[tokio::test]
async fn a_dropped_guard_is_given_back() {
    let held = answer(&Held { hold: 5, token: 6, expires: 0 });
    let agent = FakeAgent::start([held, answer(&Done {})]).await;
    let client = agent.client().await;
    drop(client.lock("x").acquire().await.unwrap());
    let seen = timeout(PATIENCE, agent.wait_for(2)).await.unwrap();
    assert!(matches!(&seen[1], CoordinationRequest::Write(_, Write::LockRelease(release)) if release.hold == 5));
}

#[tokio::test]
async fn an_item_is_renewed_and_completed_with_its_token() {
    let item = WorkItem { item: 3, token: 9, payload: b"x".as_slice().into(), ..WorkItem::default() };
    let script = [answer(&WorkClaimed { items: vec![item] }), answer(&Done {}), answer(&Done {})];
    let agent = FakeAgent::start(script).await;
    let work = agent.client().await.work_queue("q");
    let claim = Claim { lease: Duration::from_secs(9), ..Claim::default() };
    let mut items = work.claim(&claim, Wait::No).await.unwrap();
    timeout(PATIENCE, agent.wait_for(2)).await.unwrap();
    items.pop().unwrap().complete("done").await.unwrap();
    let seen = agent.seen();
    assert!(matches!(&seen[1], CoordinationRequest::Write(_, Write::WorkHeartbeat(beat)) if beat.token == 9));
    assert!(
        matches!(&seen[2], CoordinationRequest::Write(_, Write::WorkComplete(end)) if end.token == 9 && end.item == 3)
    );
}

#[tokio::test]
async fn questions_are_asked_again_over_the_next_connection() {
    let count = With { common: AsOf { revision: 3, ..AsOf::default() }, body: Count { value: 7 } };
    let agent = FakeAgent::start([Act::Close, answer(&count)]).await;
    assert_eq!(agent.client().await.counter("x").get().await.unwrap(), 7);
    assert!(
        matches!(&agent.seen()[1], CoordinationRequest::Read(_, Read::CounterGet(CounterGet { name })) if *name == "x")
    );
}

#[tokio::test]
async fn an_agent_that_is_silent_is_left() {
    let agent = FakeAgent::start([Act::Keep, answer(&Changed { changed: 1 })]).await;
    let mut options = agent.options();
    options.call_timeout = Some(ATTEMPT_GRACE * 3);
    let client = Client::connect(&options).await.unwrap();
    // The first attempt has all the time there is; a connection on which nothing at all came is then given up.
    let added = timeout(PATIENCE, client.set("s").add(["x"])).await.unwrap();
    assert!(matches!(added, Err(Error::Timeout { .. })), "{added:?}");
    assert!(client.is_closed());
}

fn change(revision: u64) -> WatchChange {
    WatchChange { revision, what: What::Put, key: "a".into(), ..WatchChange::default() }
}

fn record(revisions: &[u64], through: u64) -> Vec<u8> {
    let changes = revisions.iter().map(|revision| change(*revision)).collect();
    encoded(&WatchRecord { changes, compacted: false, through })
}

fn after(request: &CoordinationRequest) -> Option<u64> {
    let CoordinationRequest::Watch(watch) = request else { panic!("{request:?} is no watch") };
    watch.after
}

#[tokio::test]
async fn a_watch_goes_on_where_its_reader_was() {
    let page = With { common: AsOf { revision: 3, ..AsOf::default() }, body: KvPage::default() };
    let compacted = encoded(&WatchRecord { compacted: true, through: 40, ..WatchRecord::default() });
    let script = [
        answer(&page),
        Act::Open(vec![record(&[4, 5], 5), record(&[], 9), compacted]),
        Act::Open(vec![record(&[41], 41)]),
    ];
    let agent = FakeAgent::start(script).await;
    let mut watch = agent.client().await.watch(WatchOptions::keys()).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Changes::These(vec![change(4), change(5)]));
    assert_eq!(watch.next().await.unwrap(), Changes::Compacted { through: 40 });
    assert_eq!(watch.next().await.unwrap(), Changes::These(vec![change(41)]));
    assert_eq!(agent.seen()[1..].iter().map(after).collect::<Vec<_>>(), [Some(3), Some(40)]);
}

#[tokio::test]
async fn a_watch_survives_its_connection() {
    let agent = FakeAgent::start([Act::OpenAndClose(vec![record(&[4], 5)]), Act::Open(vec![record(&[6], 6)])]).await;
    let options = WatchOptions { after: Some(2), ..WatchOptions::keys() };
    let mut watch = agent.client().await.watch(options).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Changes::These(vec![change(4)]));
    assert_eq!(timeout(PATIENCE, watch.next()).await.unwrap().unwrap(), Changes::These(vec![change(6)]));
    assert_eq!(agent.seen().iter().map(after).collect::<Vec<_>>(), [Some(2), Some(5)]);
}

#[tokio::test]
async fn a_slow_reader_of_a_watch_misses_nothing() {
    let many: Vec<Vec<u8>> =
        (1..=2 * crate::limits::WATCH_QUEUE as u64).map(|number| record(&[number], number)).collect();
    let rest: Vec<Vec<u8>> = (1..=8).map(|number| record(&[2000 + number], 2000 + number)).collect();
    let page = With { common: AsOf::default(), body: Count { value: 7 } };
    let agent = FakeAgent::start([Act::Open(many), answer(&page), Act::Open(rest)]).await;
    let client = agent.client().await;
    let mut watch = client.watch(WatchOptions { after: Some(0), ..WatchOptions::keys() }).await.unwrap();
    // Its answer comes behind all records.
    client.counter("x").get().await.unwrap();
    for number in 1..=crate::limits::WATCH_QUEUE as u64 {
        assert_eq!(watch.next().await.unwrap(), Changes::These(vec![change(number)]));
    }
    assert_eq!(watch.next().await.unwrap(), Changes::These(vec![change(2001)]));
    assert_eq!(after(&agent.seen()[2]), Some(crate::limits::WATCH_QUEUE as u64));
}

#[tokio::test]
async fn leaders_are_told_once_each() {
    let leader = |hold, revision| encoded(&LeaderRecord { hold, revision, token: hold, ..LeaderRecord::default() });
    let script = [Act::Open(vec![leader(0, 1), leader(5, 5), leader(5, 5), leader(0, 9)])];
    let agent = FakeAgent::start(script).await;
    let mut leaders = agent.client().await.election("e").observe().await.unwrap();
    for hold in [None, Some(5), None] {
        assert_eq!(leaders.next().await.unwrap().hold, hold);
    }
}

#[tokio::test]
async fn what_was_sent_before_is_unknown_and_not_undone() {
    for text in ["no-quorum: missing a, b", "no-group: nobody", "overloaded: too much", "stopping: it stops"] {
        let script = [Act::Close].into_iter().chain((0..100).map(|_| Act::Refuse(text)));
        let agent = FakeAgent::start(script).await;
        let mut options = agent.options();
        options.call_timeout = Some(Duration::from_millis(500));
        let client = Client::connect(&options).await.unwrap();
        assert!(matches!(put(&client).await, Err(Error::Timeout { .. })), "{text}");
        assert!(agent.seen().iter().all(|request| caller(request) == (1, 1, 1)), "{text}");
    }
    let agent = FakeAgent::start([Act::Close, Act::Refuse("no-quorum: missing a, b"), written(7)]).await;
    assert_eq!(put(&agent.client().await).await.unwrap(), 7);
}

#[tokio::test]
async fn what_depends_on_the_client_is_held_no_longer_than_it() {
    let held = answer(&Held { hold: 5, token: 6, expires: 0 });
    let agent = FakeAgent::start([held].into_iter().chain((0..100).map(|_| Act::Keep))).await;
    let mut options = agent.options();
    options.client_ttl = Duration::from_secs(1);
    let lock = Client::connect(&options).await.unwrap().lock("x").ttl(Duration::from_secs(600));
    let guard = lock.acquire().await.unwrap();
    assert_eq!(timeout(PATIENCE, guard.lost()).await.unwrap(), crate::Lost::NotRenewed);
    let CoordinationRequest::Write(_, Write::LockAcquire(asked)) = &agent.seen()[0] else { panic!("no lock") };
    assert_eq!(asked.ttl, 600_000);
}
