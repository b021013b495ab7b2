use std::task::Poll;

use folkmoot_proto::coordination::{
    AsOf, BackupRecord, BarrierEntered, Caller, Changed, Count, CounterGet, Done, Held, KvPage, KvWritten,
    LeaderRecord, SessionCreated, SessionRenewed, WatchChange, WatchRecord, What, WorkClaimed, WorkItem,
};
use tokio::time::timeout;

use super::*;
use crate::coordination::{Changes, Claim, Life, WatchOptions};
use crate::fake_agent::{Act, FakeAgent, answer, encoded};
use crate::options::{ConnectOptions, Notice, Observer};

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
async fn a_call_that_waits_for_long_is_named_and_all_others_are_acknowledged() {
    let answers = (0..400).map(written);
    let agent = FakeAgent::start([Act::Keep].into_iter().chain(answers)).await;
    let client = agent.client().await;
    let waiting = tokio::spawn({
        let lock = client.lock("x");
        async move { lock.acquire().await.map(|guard| guard.token()) }
    });
    agent.wait_for(1).await;
    for _ in 0..400 {
        put(&client).await.unwrap();
    }
    let seen = agent.seen();
    assert!(seen.iter().all(|request| caller(request).0 == 1), "in one name");
    let last = seen.iter().rev().find_map(|request| {
        let CoordinationRequest::Write(caller, _) = request else { return None };
        (!caller.open.is_empty()).then(|| caller.clone())
    });
    let last = last.unwrap();
    assert_eq!((last.request, last.acknowledged_below, last.open), (384, 384, vec![1]));
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
async fn an_item_is_renewed_as_long_as_its_end_is_not_answered() {
    let item = WorkItem { item: 3, token: 9, ..WorkItem::default() };
    let script = [answer(&WorkClaimed { items: vec![item] })].into_iter().chain((0..100).map(|_| Act::Keep));
    let agent = FakeAgent::start(script).await;
    let work = agent.client().await.work_queue("q");
    let claim = Claim { lease: Duration::from_secs(9), ..Claim::default() };
    let item = work.claim(&claim, Wait::No).await.unwrap().pop().unwrap();
    let completing = tokio::spawn(item.complete("done"));
    let seen = timeout(PATIENCE, agent.wait_for(3)).await.unwrap();
    let saw = |what: fn(&Write) -> bool| {
        seen.iter().any(|request| matches!(request, CoordinationRequest::Write(_, write) if what(write)))
    };
    assert!(
        saw(|write| matches!(write, Write::WorkComplete(_))) && saw(|write| matches!(write, Write::WorkHeartbeat(_)))
    );
    completing.abort();
}

#[tokio::test]
async fn a_session_whose_creation_took_long_is_renewed_before_it_counts_as_held() {
    // The pauses between these are longer than the session lives.
    let refusals = (0..6).map(|_| Act::Refuse("overloaded: too much"));
    let script = refusals.chain([answer(&SessionCreated { session: 7 }), answer(&SessionRenewed::default())]);
    let agent = FakeAgent::start(script).await;
    let options = crate::SessionOptions { ttl: crate::limits::LEASE_TTL_SHORTEST, ..Default::default() };
    let session = agent.client().await.session(options).await.unwrap();
    let seen = agent.seen();
    assert!(
        matches!(&seen[7], CoordinationRequest::Write(_, Write::SessionRenew(renew)) if renew.session == session.id())
    );
}

#[tokio::test]
async fn a_passage_whose_leaving_was_not_answered_leaves_in_the_background() {
    let entered = answer(&BarrierEntered { hold: 5 });
    let agent = FakeAgent::start([entered, Act::Refuse("no-quorum: missing a, b"), answer(&Done {})]).await;
    let passage = agent.client().await.gate("g", 1).enter(Wait::Always).await.unwrap().unwrap();
    let left = timeout(PATIENCE, passage.leave(Wait::Always)).await.unwrap();
    assert!(matches!(left, Err(Error::NoQuorum { .. })), "{left:?}");
    let seen = timeout(PATIENCE, agent.wait_for(3)).await.unwrap();
    assert!(matches!(&seen[2], CoordinationRequest::Write(_, Write::BarrierLeave(leave)) if leave.hold == 5));
}

#[tokio::test]
async fn an_agent_may_be_looked_for_without_end() {
    let agent = FakeAgent::start([Act::Close, written(7)]).await;
    let client = Client::connect(&agent.options().reconnect(Reconnect::Within(Duration::MAX))).await.unwrap();
    assert_eq!(put(&client).await.unwrap(), 7);
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

#[tokio::test]
async fn a_handle_may_have_another_time_for_its_calls() {
    let agent = FakeAgent::start([Act::Keep, answer(&Changed { changed: 1 })]).await;
    let client = agent.client().await;
    let hasty = client.with_call_timeout(Some(Duration::from_millis(200)));
    let added = timeout(PATIENCE, hasty.set("s").add(["x"])).await.unwrap();
    assert!(matches!(added, Err(Error::Timeout { .. })), "{added:?}");
    // The other handle has its own, and the same registration.
    assert_eq!(client.set("s").add(["x"]).await.unwrap(), 1);
    assert_eq!(agent.seen().iter().map(|request| caller(request).0).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn a_lost_connection_is_told() {
    let agent = FakeAgent::start([Act::Close, answer(&Changed { changed: 1 })]).await;
    let (told, mut notices) = tokio::sync::mpsc::unbounded_channel();
    let observer = Observer::new(move |notice| told.send(notice).unwrap());
    let client = Client::connect(&agent.options().observer(observer)).await.unwrap();
    assert_eq!(client.set("s").add(["x"]).await.unwrap(), 1);
    let address = agent.options().addresses[0].clone();
    let lost = Notice::Disconnected { address: address.clone(), reason: "client closed".into() };
    assert_eq!(notices.recv().await.unwrap(), lost);
    assert_eq!(notices.recv().await.unwrap(), Notice::Reconnected { address });
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
    for text in ["Invalid authentication token", "Unsupported command", "gibberish", "refused: two groups"] {
        let agent = FakeAgent::start([Act::Close, Act::Refuse(text)]).await;
        let outcome = put(&agent.client().await).await;
        assert!(matches!(outcome, Err(Error::Timeout { .. })), "{text}: {outcome:?}");
    }
    let agent = FakeAgent::start([Act::Close, Act::Refuse("no-quorum: missing a, b"), written(7)]).await;
    assert_eq!(put(&agent.client().await).await.unwrap(), 7);
}

#[tokio::test]
async fn what_was_sent_to_an_agent_that_is_gone_for_good_is_unknown() {
    let agent = FakeAgent::start([Act::Leave]).await;
    let patience = Reconnect::Within(Duration::from_millis(100));
    let client = Client::connect(&agent.options().reconnect(patience)).await.unwrap();
    let outcome = put(&client).await;
    assert!(matches!(outcome, Err(Error::Timeout { .. })), "{outcome:?}");
}

/// A client that lives for a second, and whose agent answers its first request only.
async fn short_lived(first: Act) -> (FakeAgent, Client) {
    let agent = FakeAgent::start([first].into_iter().chain((0..100).map(|_| Act::Keep))).await;
    let mut options = agent.options();
    options.client_ttl = Duration::from_secs(1);
    let client = Client::connect(&options).await.unwrap();
    (agent, client)
}

#[tokio::test]
async fn what_depends_on_the_client_is_held_no_longer_than_it() {
    let held = || answer(&Held { hold: 5, token: 6, expires: 0 });
    let (long, lost) = (Duration::from_secs(600), crate::Lost::NotRenewed);
    let (agent, client) = short_lived(held()).await;
    let guard = client.lock("x").ttl(long).acquire().await.unwrap();
    assert_eq!(timeout(PATIENCE, guard.lost()).await.unwrap(), lost);
    let CoordinationRequest::Write(_, Write::LockAcquire(asked)) = &agent.seen()[0] else { panic!("no lock") };
    assert_eq!(asked.ttl, 600_000);

    let (agent, client) = short_lived(held()).await;
    let term = client.election("x").ttl(long).campaign("").await.unwrap();
    assert_eq!(timeout(PATIENCE, term.lost()).await.unwrap(), lost);
    let CoordinationRequest::Write(_, Write::ElectionCampaign(asked)) = &agent.seen()[0] else { panic!("no election") };
    assert_eq!(asked.ttl, 600_000);

    let item = WorkItem { item: 3, token: 9, ..WorkItem::default() };
    let (agent, client) = short_lived(answer(&WorkClaimed { items: vec![item] })).await;
    let claim = Claim { lease: long, ..Claim::default() };
    let items = client.work_queue("x").claim(&claim, Wait::No).await.unwrap();
    assert_eq!(timeout(PATIENCE, items[0].lost()).await.unwrap(), lost);
    let CoordinationRequest::Write(_, Write::WorkClaim(asked)) = &agent.seen()[0] else { panic!("no claim") };
    assert_eq!(asked.lease, 600_000);
}

#[tokio::test]
async fn a_grant_that_arrives_for_somebody_who_is_gone_is_given_back() {
    let held = answer(&Held { hold: 5, token: 6, expires: 0 });
    let count = With { common: AsOf::default(), body: Count { value: 7 } };
    let agent = FakeAgent::start([written(1), held, answer(&count), answer(&Done {})]).await;
    let client = agent.client().await;
    put(&client).await.unwrap();
    let lock = client.lock("x");
    let mut acquiring = Box::pin(lock.acquire());
    // It is asked for, and nobody looks for the answer.
    let begun = std::future::poll_fn(|context| Poll::Ready(acquiring.as_mut().poll(context).is_pending()));
    assert!(begun.await);
    timeout(PATIENCE, agent.wait_for(2)).await.unwrap();
    // This is answered after it.
    client.counter("y").get().await.unwrap();
    drop(acquiring);
    let seen = timeout(PATIENCE, agent.wait_for(4)).await.unwrap();
    let released = |request: &CoordinationRequest| matches!(request, CoordinationRequest::Write(_, Write::LockRelease(release)) if release.hold == 5);
    assert!(seen.iter().any(released), "{seen:?}");
}

#[tokio::test]
async fn a_guard_that_is_dropped_outside_the_runtime_is_given_back() {
    let held = answer(&Held { hold: 5, token: 6, expires: 0 });
    let agent = FakeAgent::start([held, answer(&Done {})]).await;
    let guard = agent.client().await.lock("x").acquire().await.unwrap();
    std::thread::spawn(move || drop(guard)).join().unwrap();
    let seen = timeout(PATIENCE, agent.wait_for(2)).await.unwrap();
    assert!(matches!(&seen[1], CoordinationRequest::Write(_, Write::LockRelease(release)) if release.hold == 5));
}

#[tokio::test]
async fn a_release_that_is_given_up_goes_on_in_the_background() {
    let held = answer(&Held { hold: 5, token: 6, expires: 0 });
    let agent = FakeAgent::start([held, Act::Keep, answer(&Done {})]).await;
    let guard = agent.client().await.lock("x").acquire().await.unwrap();
    let releasing = tokio::spawn(guard.release());
    timeout(PATIENCE, agent.wait_for(2)).await.unwrap();
    releasing.abort();
    let seen = timeout(PATIENCE, agent.wait_for(3)).await.unwrap();
    assert!(matches!(&seen[2], CoordinationRequest::Write(_, Write::LockRelease(release)) if release.hold == 5));
}

#[tokio::test]
async fn what_is_held_under_a_session_is_lost_with_it_at_once() {
    let held = |hold| answer(&Held { hold, token: hold, expires: 0 });
    let script = [answer(&SessionCreated { session: 7 }), held(8), held(9), answer(&Done {})];
    let agent = FakeAgent::start(script).await;
    let client = agent.client().await;
    let session = client.session(crate::SessionOptions::default()).await.unwrap();
    let guard = client.lock("x").with_session(&session).acquire().await.unwrap();
    let term = client.election("x").with_session(&session).campaign("").await.unwrap();
    assert!(guard.is_held() && term.is_held());
    session.destroy().await.unwrap();
    assert!(!guard.is_held() && !term.is_held());
    assert_eq!(timeout(PATIENCE, guard.lost()).await.unwrap(), crate::Lost::Ended);
    assert_eq!(timeout(PATIENCE, term.lost()).await.unwrap(), crate::Lost::Ended);
}

#[tokio::test]
async fn a_watch_and_leaders_may_be_asked_again_after_an_error() {
    let leader = |hold| encoded(&LeaderRecord { hold, revision: hold, token: hold, ..LeaderRecord::default() });
    let script = [
        Act::OpenAndClose(vec![record(&[4], 5)]),
        Act::Refuse("too-large: a prefix"),
        Act::Open(vec![record(&[6], 6)]),
        Act::OpenAndClose(vec![leader(1)]),
        Act::Refuse("invalid-request: a name"),
        Act::Open(vec![leader(2)]),
    ];
    let agent = FakeAgent::start(script).await;
    let client = agent.client().await;
    let options = WatchOptions { after: Some(2), ..WatchOptions::keys() };
    let mut watch = client.watch(options).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Changes::These(vec![change(4)]));
    let refused = timeout(PATIENCE, watch.next()).await.unwrap();
    assert_eq!(refused.unwrap_err().code(), Some(Code::TooLarge));
    assert_eq!(timeout(PATIENCE, watch.next()).await.unwrap().unwrap(), Changes::These(vec![change(6)]));
    let mut leaders = client.election("e").observe().await.unwrap();
    assert_eq!(leaders.next().await.unwrap().hold, Some(1));
    let refused = timeout(PATIENCE, leaders.next()).await.unwrap();
    assert_eq!(refused.unwrap_err().code(), Some(Code::InvalidRequest));
    assert_eq!(timeout(PATIENCE, leaders.next()).await.unwrap().unwrap().hold, Some(2));
}

#[tokio::test]
async fn a_watch_is_a_stream_and_so_is_a_backup_that_ends() {
    let piece = |data: &[u8], last| encoded(&BackupRecord { data: data.into(), last });
    let script = [
        Act::Open(vec![record(&[4], 4), record(&[5], 5)]),
        Act::Open(vec![piece(b"a", false), piece(b"b", true)]),
        Act::OpenAndClose(vec![piece(b"a", false)]),
    ];
    let agent = FakeAgent::start(script).await;
    let client = agent.client().await;
    let mut watch = client.watch(WatchOptions { after: Some(2), ..WatchOptions::keys() }).await.unwrap();
    for revision in [4, 5] {
        assert_eq!(streamed(&mut watch).await.unwrap().unwrap(), Changes::These(vec![change(revision)]));
    }
    let mut backup = client.group().backup().await.unwrap();
    for data in ["a", "b"] {
        assert_eq!(streamed(&mut backup).await.unwrap().unwrap(), data);
    }
    assert!(streamed(&mut backup).await.is_none());
    let mut cut = client.group().backup().await.unwrap();
    assert_eq!(streamed(&mut cut).await.unwrap().unwrap(), "a");
    assert!(matches!(streamed(&mut cut).await, Some(Err(Error::Closed))));
    assert!(streamed(&mut cut).await.is_none());
}

async fn streamed<S: futures_core::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    let next = std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context));
    timeout(PATIENCE, next).await.unwrap()
}

#[tokio::test]
async fn a_stream_whose_agent_says_nothing_any_more_is_given_up() {
    let agent = FakeAgent::start([Act::Open(vec![record(&[4], 5)]), Act::Open(vec![record(&[6], 6)])]).await;
    let client = agent.client().await;
    let mut watch = client.watch(WatchOptions { after: Some(2), ..WatchOptions::keys() }).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Changes::These(vec![change(4)]));
    agent.fall_silent();
    let (silence, begun) = (crate::limits::SILENCE, Instant::now());
    tokio::time::pause();
    let mut next = Box::pin(watch.next());
    while !client.is_closed() {
        assert!(begun.elapsed() < 10 * silence, "nobody has noticed");
        let pause = tokio::time::timeout(silence / 15, &mut next).await;
        assert!(pause.is_err() || client.is_closed(), "{pause:?}");
    }
    tokio::time::resume();
    agent.speak_again();
    assert_eq!(timeout(PATIENCE, next).await.unwrap().unwrap(), Changes::These(vec![change(6)]));
}
