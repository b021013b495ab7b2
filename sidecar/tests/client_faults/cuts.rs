//! Connections that are cut, or say nothing any more.

use std::time::Duration;

use folkmoot_client::{Client, Coalesce, ConnectError, ConnectOptions, Error, EventRecord, Reconnect, WatchOptions};
use tokio::time::{Instant, timeout};

use super::relay::Relay;
use super::{PATIENCE, agent, group_of_one};

#[tokio::test]
async fn an_answer_that_is_cut_anywhere_is_an_error_without_reconnecting() {
    let agent = agent(&[]);
    let relay = Relay::to(agent.rpc_address()).await;
    let options = ConnectOptions::new(relay.address()).reconnect(Reconnect::Never);
    let (mut greeted, mut answered) = (0, 0);
    for bytes in 0..400 {
        relay.cut_next_after(bytes);
        let outcome = async { Client::connect(&options).await?.members().await };
        match timeout(PATIENCE, outcome).await.unwrap() {
            Ok(members) => {
                assert_eq!(members.len(), 1);
                answered += 1;
            }
            Err(Error::Closed) => {
                greeted += 1;
                assert_eq!(answered, 0, "{bytes} bytes were enough before");
            }
            Err(Error::Connect(ConnectError::Handshake { .. })) => {
                assert_eq!(greeted, 0, "{bytes} bytes were enough before");
            }
            Err(other) => panic!("{bytes}: {other:?}"),
        }
    }
    assert!(greeted > 0 && answered > 0, "400 bytes are enough");
}

#[tokio::test]
async fn questions_are_answered_over_whatever_is_cut() {
    let agent = agent(&[]);
    let relay = Relay::to(agent.rpc_address()).await;
    for bytes in (0..400).step_by(7) {
        relay.cut_next_after(usize::MAX);
        let client = Client::connect(&ConnectOptions::new(relay.address())).await.unwrap();
        drop(client);
        relay.cut_next_after(bytes);
        // Connecting itself is not tried again; once it has succeeded, everything is.
        let Ok(client) = Client::connect(&ConnectOptions::new(relay.address())).await else { continue };
        assert_eq!(timeout(PATIENCE, client.members()).await.unwrap().unwrap().len(), 1, "{bytes}");
    }
}

#[tokio::test]
async fn a_write_is_applied_once_wherever_its_answer_is_cut() {
    let agent = group_of_one().await;
    let relay = Relay::to(agent.rpc_address()).await;
    let mut added = 0;
    for bytes in 0..160 {
        relay.cut_next_after(bytes);
        let Ok(client) = Client::connect(&ConnectOptions::new(relay.address())).await else { continue };
        for _ in 0..2 {
            added += 1;
            assert_eq!(timeout(PATIENCE, client.counter("cuts").add(1)).await.unwrap().unwrap(), added, "{bytes}");
        }
    }
    assert!(added > 100, "{added}");
}

#[tokio::test]
async fn a_call_over_a_silent_connection_is_given_up_in_time() {
    let agent = agent(&[]);
    let relay = Relay::to(agent.rpc_address()).await;
    let mut options = ConnectOptions::new(relay.address());
    options.call_timeout = Some(Duration::from_millis(300));
    let client = Client::connect(&options).await.unwrap();
    relay.fall_silent();
    let given_up = timeout(PATIENCE, client.members()).await.unwrap();
    assert!(matches!(given_up, Err(Error::Timeout { command: "members" })), "{given_up:?}");
}

#[tokio::test]
async fn a_call_of_coordination_leaves_a_silent_connection_for_another_agent() {
    let agent = group_of_one().await;
    let relay = Relay::to(agent.rpc_address()).await;
    let options = ConnectOptions::new(relay.address()).or(agent.rpc_address().to_string());
    let client = Client::connect(&options).await.unwrap();
    assert_eq!(client.counter("silent").add(1).await.unwrap(), 1);
    relay.fall_silent();
    assert_eq!(timeout(PATIENCE, client.counter("silent").add(1)).await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn streams_over_a_silent_connection_end_or_go_on_elsewhere() {
    let agent = group_of_one().await;
    let relay = Relay::to(agent.rpc_address()).await;
    let options = ConnectOptions::new(relay.address()).or(agent.rpc_address().to_string());
    let (client, writer) = (Client::connect(&options).await.unwrap(), super::options(&[&agent]));
    let writer = Client::connect(&writer).await.unwrap();
    let mut watch = client.watch(WatchOptions::keys()).await.unwrap();
    let mut events = client.stream("user").await.unwrap();
    relay.fall_silent();
    let revision = writer.kv().put("silent/a", "1", folkmoot_client::Life::Unlimited).await.unwrap();
    let ended = timeout(2 * PATIENCE, events.next()).await.unwrap();
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    let folkmoot_client::Changes::These(changes) = timeout(PATIENCE, watch.next()).await.unwrap().unwrap() else {
        panic!("nothing was compacted")
    };
    assert_eq!(changes[0].revision, revision);
}

#[tokio::test]
async fn a_streaming_client_learns_of_a_restart_and_subscribes_again() {
    let mut agent = agent(&[]);
    let client = Client::connect(&super::options(&[&agent])).await.unwrap();
    let mut events = client.stream("user").await.unwrap();
    let mut logs = client.monitor("info").await.unwrap();
    agent.kill();
    let ended = timeout(PATIENCE, events.next()).await.unwrap();
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    // Lines that came before are read first.
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        assert!(Instant::now() < deadline);
        match timeout(PATIENCE, logs.next()).await.unwrap() {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    agent.restart();
    let mut events = timeout(PATIENCE, client.stream("user")).await.unwrap().unwrap();
    // Once a later call is answered, a Go agent's stream runs as well.
    client.members().await.unwrap();
    client.event("again", None, Coalesce::Every).await.unwrap();
    let event = timeout(PATIENCE, events.next()).await.unwrap().unwrap();
    assert!(matches!(&event, Some(EventRecord::User(event)) if event.name == "again"), "{event:?}");
}

#[tokio::test]
async fn an_agent_that_wants_another_key_after_its_restart_is_an_error_of_the_key() {
    let address = std::sync::Arc::new(super::support::Loopback::fresh());
    let kind = super::support::Kind::under_test();
    let mut first = super::support::Agent::start_secured(kind, "alpha", std::sync::Arc::clone(&address), "one");
    let options = super::options(&[&first]);
    let none = Client::connect(&options).await.unwrap().members().await;
    assert!(matches!(none, Err(Error::Auth { .. })), "{none:?}");
    let wrong = Client::connect(&options.clone().auth_key("two")).await;
    assert!(matches!(wrong, Err(Error::Auth { .. })), "{wrong:?}");
    let client = Client::connect(&options.auth_key("one")).await.unwrap();
    assert_eq!(client.members().await.unwrap().len(), 1);
    first.kill();
    let _second = super::support::Agent::start_secured(kind, "alpha", address, "two");
    let refused = timeout(PATIENCE, client.members()).await.unwrap();
    assert!(matches!(refused, Err(Error::Auth { .. })), "{refused:?}");
}
