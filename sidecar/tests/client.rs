//! `folkmoot-client` against a Go agent: concurrent calls, subscriptions, and what happens when the agent goes away.
//!
//! It lives here because the helpers that start agents do. Single commands are covered by the command line's tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::time::{Duration, Instant};

use folkmoot_client::{
    Client, Coalesce, ConnectError, ConnectOptions, Error, EventRecord, Prune, QueryAnswer, QueryRequest, Reconnect,
    Subscription, TagsRequest,
};
use support::{Agent, Kind, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn agent(arguments: &[&str]) -> Agent {
    Agent::start(Kind::Go, "alpha", &[&["-profile=local"], arguments].concat())
}

async fn connect(agent: &Agent) -> Client {
    Client::connect(&ConnectOptions::new(agent.rpc_address().to_string())).await.unwrap()
}

/// The next record; a test that waits in vain fails.
async fn next<T>(subscription: &mut Subscription<T>) -> T {
    timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap()
}

async fn next_user_event(events: &mut Subscription<EventRecord>) -> (String, Option<Vec<u8>>) {
    loop {
        if let EventRecord::User(event) = next(events).await {
            return (event.name.to_string(), event.payload.map(Vec::from));
        }
    }
}

#[tokio::test]
async fn concurrent_calls_on_one_connection_get_their_own_answers() {
    let agent = agent(&["-tag", "role=web"]);
    let client = connect(&agent).await;
    let calls: Vec<_> = (0..300)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                match number % 4 {
                    0 => assert_eq!(client.members().await.unwrap()[0].name, "alpha"),
                    1 => assert!(client.coordinate("nosuch").await.unwrap().is_none()),
                    2 => assert!(client.coordinate("alpha").await.unwrap().is_some()),
                    _ => assert_eq!(client.stats().await.unwrap().0[&"agent".into()][&"name".into()], "alpha"),
                }
            })
        })
        .collect();
    for call in calls {
        timeout(PATIENCE, call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_stream_brings_events_and_lets_queries_be_answered() {
    let agent = agent(&[]);
    let client = connect(&agent).await;
    let mut events = client.stream("user:deploy,query").await.unwrap();
    client.event("other", None, Coalesce::Every).await.unwrap();
    client.event("deploy", Some("v1".into()), Coalesce::Every).await.unwrap();
    assert_eq!(next_user_event(&mut events).await, ("deploy".into(), Some(b"v1".to_vec())));

    let mut request = QueryRequest { name: "load".into(), request_ack: true, ..Default::default() };
    // Long enough to be answered by a machine that stands still for some seconds.
    request.timeout = 5_000_000_000;
    let mut answers = client.query(request).await.unwrap();
    let EventRecord::Query(query) = next(&mut events).await else { panic!("a query is due") };
    client.respond(query.id, Some("0.5".into())).await.unwrap();
    let again = client.respond(query.id, Some("0.6".into())).await;
    assert!(matches!(again, Err(Error::Remote { command: "respond", .. })), "{again:?}");
    let mut seen = Vec::new();
    while let Some(answer) = timeout(PATIENCE, answers.next()).await.unwrap().unwrap() {
        seen.push(answer);
    }
    let response = QueryAnswer::Response { from: "alpha".into(), payload: "0.5".into() };
    let ack = QueryAnswer::Ack { from: "alpha".into() };
    assert!(seen.len() == 2 && seen.contains(&ack) && seen.contains(&response), "{seen:?}");
    assert!(answers.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_stopped_stream_is_silent_and_the_connection_goes_on() {
    let agent = agent(&[]);
    let client = connect(&agent).await;
    let (mut kept, stopped) = (client.stream("user").await.unwrap(), client.stream("user").await.unwrap());
    let dropped = client.stream("user").await.unwrap();
    let logs = client.monitor("info").await.unwrap();
    stopped.stop().await.unwrap();
    drop(dropped);
    drop(logs);
    // The request that ends the dropped monitor is on its way before any later one: a second monitor may start.
    let mut logs = client.monitor("info").await.unwrap();
    for number in 0..50 {
        client.event(format!("n{number}"), None, Coalesce::Every).await.unwrap();
    }
    for number in 0..50 {
        assert_eq!(next_user_event(&mut kept).await.0, format!("n{number}"));
    }
    assert_eq!(kept.dropped(), 0);
    while !next(&mut logs).await.to_string().contains("Serf agent starting") {}
    assert_eq!(client.members().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reader_that_is_slow_loses_records_and_nobody_else_waits() {
    let agent = agent(&[]);
    let client = connect(&agent).await;
    let mut slow = client.stream("user").await.unwrap();
    let other = connect(&agent).await;
    let mut watcher = other.stream("user").await.unwrap();
    // Go's agent starts a stream behind its reply, and serves the connection's next request only then.
    other.members().await.unwrap();
    for _ in 0..folkmoot_client::limits::RECORD_QUEUE + 100 {
        client.event("flood", None, Coalesce::Every).await.unwrap();
        next(&mut watcher).await;
    }
    // A reply comes behind the records that were written before it.
    assert_eq!(client.members().await.unwrap().len(), 1);
    for _ in 0..folkmoot_client::limits::RECORD_QUEUE {
        next(&mut slow).await;
    }
    assert!(slow.dropped() > 0);
}

#[tokio::test]
async fn faults_are_told_apart() {
    let agent = agent(&[]);
    let options = ConnectOptions::new(agent.rpc_address().to_string());
    let wrong_key = Client::connect(&options.clone().auth_key("wrong")).await;
    assert!(matches!(wrong_key, Err(Error::Auth { .. })), "{wrong_key:?}");
    let nobody = Client::connect(&ConnectOptions::new("127.0.27.88:1")).await;
    assert!(matches!(nobody, Err(Error::Connect(_))), "{nobody:?}");
    let client = Client::connect(&options).await.unwrap();
    let filter = client.stream("bogus").await;
    assert!(matches!(&filter, Err(Error::Remote { command: "stream", text }) if text == "Invalid event filter"));
    let keys = client.list_keys().await;
    let Err(Error::Keys { text, response, .. }) = keys else { panic!("{keys:?}") };
    assert_eq!((text.as_str(), response.num_nodes), ("1/1 nodes reported failure", 1));
    let joined = client.join(["127.0.27.88"], false).await;
    assert!(matches!(joined, Err(Error::Remote { command: "join", .. })), "{joined:?}");
    client.tags(TagsRequest { tags: [("a".into(), "1".into())].into(), ..Default::default() }).await.unwrap();
    client.force_leave("nosuch", Prune::Keep).await.unwrap();
    assert_eq!(client.members().await.unwrap()[0].tags[&"a".into()], "1");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_given_up_and_the_connection_goes_on() {
    let agent = agent(&[]);
    let mut options = ConnectOptions::new(agent.rpc_address().to_string());
    options.call_timeout = Some(PATIENCE);
    let patient = Client::connect(&options).await.unwrap();
    options.call_timeout = Some(Duration::from_secs(1));
    let client = Client::connect(&options).await.unwrap();
    agent.signal(support::Signal::Stop);
    let given_up = client.members().await;
    assert!(matches!(given_up, Err(Error::Timeout { command: "members" })), "{given_up:?}");
    agent.signal(support::Signal::Continue);
    assert_eq!(patient.members().await.unwrap().len(), 1);
    // The next calls have one second too, which a busy machine may let pass.
    let deadline = Instant::now() + PATIENCE;
    let mut stats = client.stats().await;
    while matches!(stats, Err(Error::Timeout { .. })) && Instant::now() < deadline {
        stats = client.stats().await;
    }
    assert!(stats.is_ok() && !client.is_closed(), "{stats:?}");
}

#[tokio::test]
async fn everybody_learns_that_the_agent_is_gone() {
    let mut agent = agent(&[]);
    let options = ConnectOptions::new(agent.rpc_address().to_string()).reconnect(Reconnect::Never);
    let client = Client::connect(&options).await.unwrap();
    let mut events = client.stream("user").await.unwrap();
    let request = QueryRequest { name: "x".into(), timeout: 60_000_000_000, ..Default::default() };
    let mut answers = client.query(request).await.unwrap();
    agent.kill();
    assert!(matches!(timeout(PATIENCE, events.next()).await.unwrap(), Err(Error::Closed)));
    assert!(matches!(timeout(PATIENCE, answers.next()).await.unwrap(), Err(Error::Closed)));
    assert!(client.is_closed());
    assert!(matches!(client.members().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_client_finds_an_agent_that_was_restarted_or_another_one() {
    let (mut first, mut second) = (agent(&[]), agent(&[]));
    let options = ConnectOptions::new(first.rpc_address().to_string()).or(second.rpc_address().to_string());
    let client = Client::connect(&options).await.unwrap();
    let mut events = client.stream("user").await.unwrap();
    first.kill();
    assert!(matches!(timeout(PATIENCE, events.next()).await.unwrap(), Err(Error::Closed)));
    client.event("over-there", None, Coalesce::Every).await.unwrap();
    second.kill();
    first.restart();
    assert_eq!(timeout(PATIENCE, client.members()).await.unwrap().unwrap().len(), 1);
    let mut events = client.stream("user").await.unwrap();
    client.event("back", None, Coalesce::Every).await.unwrap();
    assert_eq!(next_user_event(&mut events).await.0, "back");
}

#[tokio::test]
async fn a_leave_is_answered_before_the_connection_closes() {
    let mut agent = agent(&[]);
    let client = connect(&agent).await;
    client.leave().await.unwrap();
    assert!(agent.wait_for_exit().success());
}

#[tokio::test]
async fn who_answers_and_is_no_agent_is_named() {
    for (said, why) in [(&b""[..], "connection closed"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "msgpack")] {
        let listener = tokio::net::TcpListener::bind("127.0.48.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The whole request, so that the close is no reset.
            let _ = stream.read(&mut [0; 512]).await;
            let _ = stream.write_all(said).await;
        });
        let connected = timeout(PATIENCE, Client::connect(&ConnectOptions::new(&address))).await.unwrap();
        let error = connected.unwrap_err();
        assert!(matches!(error, Error::Connect(ConnectError::Handshake { .. })), "{error:?}");
        assert!(error.to_string().contains(&address) && error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn an_agent_that_says_nothing_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.48.1:0").await.unwrap();
    let mut options = ConnectOptions::new(silent.local_addr().unwrap().to_string());
    options.dial_timeout = Duration::from_millis(100);
    let connected = timeout(PATIENCE, Client::connect(&options)).await.unwrap();
    assert!(matches!(connected, Err(Error::Connect(ConnectError::TimedOut { .. }))), "{connected:?}");
}
