//! Streams of events and the monitor (`docs/spec/rpc.md` 8.1 to 8.3).

use super::*;

#[tokio::test]
async fn streams_and_queries_beyond_the_limit_are_refused() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    for seq in 0..limits::STREAMS as u64 {
        client.open_stream(seq, "*").await;
    }
    client.send(1000, stream_request("*")).await;
    assert!(client.header().await.error.to_string().starts_with("too-many-streams"));
    for _ in 0..limits::QUERIES {
        client.send(1000, AgentRequest::Query(query("load"))).await;
        assert_eq!(client.header().await, ResponseHeader::ok(1000));
    }
    client.send(1000, AgentRequest::Query(query("load"))).await;
    assert!(client.header().await.error.to_string().starts_with("too-many-queries"));
}

#[tokio::test]
async fn a_stream_gets_the_events_it_asked_for_in_order_and_ends_with_stop() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.open_stream(3, "user:deploy").await;
    client.send(3, stream_request("*")).await;
    assert_eq!(client.header().await, ResponseHeader::refused(3, texts::STREAM_EXISTS));
    client.send(4, stream_request("user,")).await;
    assert_eq!(client.header().await, ResponseHeader::refused(4, texts::INVALID_FILTER));

    for (time, name) in [(1, "deploy"), (2, "other"), (3, "deploy")] {
        server.deliver(&user(time, name));
    }
    for time in [1, 3] {
        assert_eq!(client.header().await, ResponseHeader::ok(3));
        let EventRecord::User(record) = client.body().await else { panic!("not a user event") };
        assert_eq!((record.ltime, record.name), (time, Text::from("deploy")));
    }

    client.send(5, AgentRequest::Stop(StopRequest { stop: 3 })).await;
    assert_eq!(client.header().await, ResponseHeader::ok(5));
    server.until_nobody_listens().await;
    client.open_stream(3, "*").await;
}

#[tokio::test]
async fn a_full_stream_drops_the_newest_events_and_says_so() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.open_stream(3, "*").await;
    // The stand-in's runtime is this thread: nobody takes from the queue meanwhile.
    let total = limits::STREAM_QUEUE as u64 + 10;
    for time in 1..=total {
        server.deliver(&user(time, "x"));
    }
    for time in 1..=limits::STREAM_QUEUE as u64 {
        assert_eq!(client.header().await, ResponseHeader::ok(3));
        let EventRecord::User(record) = client.body().await else { panic!("not a user event") };
        assert_eq!(record.ltime, time);
    }
    let line = format!("[WARN] agent.ipc: Dropping event to ipc.client: {}", client.socket.local_addr().unwrap());
    server.logged(&line).await;
    client.assert_open_and_silent("after the drop").await;
}

#[tokio::test]
async fn a_client_that_disconnects_is_unsubscribed() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.open_stream(3, "*").await;
    client.open_stream(4, "user").await;
    drop(client);
    server.until_nobody_listens().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed_and_logged() {
    let server = Server::start(None, Duration::from_millis(50)).await;
    let mut client = server.greet().await;
    client.open_stream(3, "*").await;
    let event = Delivered {
        event: Arc::new(Event::User(UserEvent {
            ltime: LamportTime(1),
            name: Text::from("x"),
            payload: Some(Bytes::from(vec![0; 9000])),
            coalesce: false,
        })),
        answer_by: None,
    };
    let deadline = Instant::now() + PATIENCE;
    while !server.events().is_empty() {
        server.deliver(&event);
        assert!(Instant::now() < deadline, "still subscribed");
        tokio::task::yield_now().await;
    }
    server.logged("it took nothing for 50ms").await;
}

#[tokio::test]
async fn a_monitor_gets_the_backlog_then_what_follows_and_ends_with_stop() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.send(4, monitor_request("error")).await;
    assert_eq!(client.header().await, ResponseHeader::refused(4, "Unknown log level: ERROR"));
    client.send(5, monitor_request("info")).await;
    assert_eq!(client.header().await, ResponseHeader::ok(5));
    let accepted = format!("[INFO] agent.ipc: Accepted client: {}", client.socket.local_addr().unwrap());
    client.until_log(5, &accepted).await;
    client.send(6, monitor_request("info")).await;
    assert_eq!(client.header().await, ResponseHeader::refused(6, texts::MONITOR_EXISTS));
    tracing::debug!(target: "agent", "too low");
    tracing::warn!(target: "agent", "high enough");
    assert_eq!(client.header().await, ResponseHeader::ok(5));
    let record: LogRecord = client.body().await;
    assert!(record.log.to_string().ends_with("[WARN] agent: high enough"), "{record:?}");
    client.send(7, AgentRequest::Stop(StopRequest { stop: 5 })).await;
    assert_eq!(client.header().await, ResponseHeader::ok(7));
    client.send(5, monitor_request("err")).await;
    assert_eq!(client.header().await, ResponseHeader::ok(5));
}

#[tokio::test]
async fn a_full_monitor_is_told_in_the_log_and_goes_on() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.send(5, monitor_request("err")).await;
    assert_eq!(client.header().await, ResponseHeader::ok(5));
    for number in 0..limits::MONITOR_QUEUE + 10 {
        tracing::error!(target: "agent", "line {number}");
    }
    client.until_log(5, &format!("line {}", limits::MONITOR_QUEUE - 1)).await;
    server.logged("[WARN] agent.ipc: Dropping logs to ipc.client: ").await;
    client.assert_open_and_silent("after the drop").await;
}
