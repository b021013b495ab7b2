//! Replies, what is refused, and how a connection and the server end (`docs/spec/rpc.md` 7, 9 and 14).

use super::*;

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    let mut stream = Vec::new();
    for seq in 0..50 {
        stream.extend(Request::Agent(coordinate()).to_bytes(seq));
    }
    client.socket.write_all(&stream).await.unwrap();
    for seq in 0..50 {
        assert_eq!(client.header().await, ResponseHeader::ok(seq));
        client.object().await.unwrap();
    }
}

#[tokio::test]
async fn members_are_sent_as_encoded_and_filtered_by_anchored_patterns() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.send(1, AgentRequest::Members).await;
    assert_eq!(client.header().await, ResponseHeader::ok(1));
    let all: MembersResponse = client.body().await;
    assert_eq!(names(&all), ["alpha", "beta"]);
    assert_eq!(all.members[0].addr.as_ref(), [127, 0, 13, 1]);
    assert_eq!(all.members[0].status, *"alive");

    let filters = [
        (filter("alpha", "", &[]), &["alpha"][..]),
        (filter("alph", "", &[]), &[]),
        (filter("alp|zzz", "", &[]), &["alpha"]),
        (filter("", "alive", &[]), &["alpha", "beta"]),
        (filter("", "failed", &[]), &[]),
        (filter("", "", &[("dc", "")]), &["beta"]),
        (filter("", "", &[("dc", ".*")]), &["alpha", "beta"]),
        (filter("", "", &[("dc", "east"), ("role", "db")]), &[]),
    ];
    for (request, expected) in filters {
        client.send(2, AgentRequest::MembersFiltered(request.clone())).await;
        assert_eq!(client.header().await, ResponseHeader::ok(2));
        assert_eq!(names(&client.body().await), expected, "{request:?}");
    }
}

#[tokio::test]
async fn a_pattern_that_does_not_compile_closes_without_a_response() {
    for request in [filter("(", "", &[]), filter("", "[", &[]), filter("", "", &[("dc", "(?=x)")])] {
        let server = Server::start(None, limits::STALL).await;
        let mut client = server.greet().await;
        client.send(1, AgentRequest::MembersFiltered(request)).await;
        assert_eq!(client.object().await, None);
        server.logged("[ERR] agent.ipc: Failed to evaluate request: Failed to compile regex: error parsing").await;
    }
}

#[tokio::test]
async fn a_failed_join_has_an_error_and_a_body() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    for (existing, error, num) in [
        (&["good"][..], "", 1),
        (&["bad"], "1 error occurred:\n\t* failed to join bad\n\n", 0),
        (&["bad", "bad"], "2 errors occurred:\n\t* failed to join bad\n\t* failed to join bad\n\n", 0),
        (&["bad", "good"], "", 1),
        (&[], "", 0),
    ] {
        let existing = existing.iter().copied().map(Text::from).collect();
        client.send(9, AgentRequest::Join(JoinRequest { existing, replay: false })).await;
        assert_eq!(client.header().await, ResponseHeader { error: Text::from(error), seq: 9 });
        assert_eq!(client.body::<JoinResponse>().await, JoinResponse { num });
    }
}

#[tokio::test]
async fn what_an_unknown_client_sends_is_bounded_more_tightly() {
    let server = Server::start(Some("s3cret".to_string()), limits::STALL).await;
    let mut client = server.connect().await;
    client.send_request(0, Request::Handshake(HandshakeRequest { version: 1 })).await;
    assert_eq!(client.header().await, ResponseHeader::ok(0));
    let auth_key = Text::from("x".repeat(limits::GREETING_LENGTH));
    client.send_request(1, Request::Auth(AuthRequest { auth_key })).await;
    assert_eq!(client.object().await, None);
}

#[tokio::test]
async fn a_client_that_is_not_let_in_is_closed_and_one_that_is_stays() {
    // Long enough for those who do greet, on a machine that stands still for some seconds.
    let server = Server::with_greeting(Some("s3cret".to_string()), limits::STALL, Duration::from_secs(5)).await;
    let mut known = server.greet().await;
    let auth_key = Text::from("s3cret");
    known.send_request(1, Request::Auth(AuthRequest { auth_key })).await;
    assert_eq!(known.header().await, ResponseHeader::ok(1));
    let mut silent = server.connect().await;
    let mut without_key = server.greet().await;
    assert_eq!(silent.object().await, None);
    assert_eq!(without_key.object().await, None);
    server.logged("it was not let in within 5s").await;
    known.assert_open_and_silent("after the others").await;
}

#[tokio::test]
async fn more_long_requests_than_there_is_room_for_are_not_read() {
    let server = Server::start(None, limits::STALL).await;
    let payload = Some(Bytes::from(vec![0; 2 * limits::GREETING_LENGTH]));
    let event = EventRequest { coalesce: false, name: Text::from("x"), payload };
    let request = Request::Agent(AgentRequest::Event(event)).to_bytes(1);
    let (most, rest) = request.split_at(request.len() - 1);
    let (mut one, mut other) = (server.greet().await, server.greet().await);
    one.socket.write_all(most).await.unwrap();
    // Closed at any moment from here, if it is the second.
    let _ = other.socket.write_all(most).await;
    let mut stays = tokio::select! {
        closed = one.object() => { assert_eq!(closed, None); other }
        closed = other.object() => { assert_eq!(closed, None); one }
    };
    server.logged("too-many-large-requests: ").await;
    stays.socket.write_all(rest).await.unwrap();
    assert_eq!(stays.header().await, ResponseHeader::ok(1));
    let mut next = server.greet().await;
    stays.assert_open_and_silent("after its request").await;
    next.socket.write_all(&request).await.unwrap();
    assert_eq!(next.header().await, ResponseHeader::ok(1));
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_an_object_is_logged() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.socket.write_all(&[0x82, 0xa7]).await.unwrap();
    client.socket.shutdown().await.unwrap();
    assert_eq!(client.object().await, None);
    server.logged("[ERR] agent.ipc: failed to decode request header: unexpected EOF").await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_until_one_ends() {
    let server = Server::start(None, limits::STALL).await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.greet().await);
    }
    assert_eq!(server.connect().await.object().await, None);
    server.logged("[ERR] agent.ipc: Failed to accept client: ").await;
    clients.pop();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = server.connect().await;
        // The server may not have noticed yet that one has gone.
        let _ = client.socket.write_all(&Request::Handshake(HandshakeRequest { version: 1 }).to_bytes(0)).await;
        if client.object().await.is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "never let in again");
    }
}

#[tokio::test]
async fn damaged_requests_end_their_connection_at_worst() {
    let server = Server::start(None, limits::STALL).await;
    let requests = [
        AgentRequest::Query(query("load")),
        AgentRequest::Members,
        AgentRequest::MembersFiltered(filter("a", "alive", &[("dc", "e.*")])),
        stream_request("member-join,user:x"),
        monitor_request("err"),
        AgentRequest::Join(JoinRequest { existing: vec![Text::from("good")], replay: true }),
        coordinate(),
    ];
    let whole: Vec<u8> = (1..).zip(requests).flat_map(|(seq, request)| Request::Agent(request).to_bytes(seq)).collect();
    // Steps that have no factor in common with the length reach every place in it.
    for round in 0..300 {
        let mut damaged = whole.clone();
        let at = round * 7919 % damaged.len();
        match round % 3 {
            0 => damaged[at] = u8::try_from(round * 131 % 256).unwrap(),
            1 => damaged.truncate(at),
            _ => damaged.insert(at, u8::try_from(round * 57 % 256).unwrap()),
        }
        let mut client = server.greet().await;
        // The server may have closed before all of it was sent.
        let _ = client.socket.write_all(&damaged).await;
        let _ = client.socket.shutdown().await;
        while client.object().await.is_some() {}
    }
    server.greet().await.assert_open_and_silent("afterwards").await;
}

#[tokio::test]
async fn a_leave_is_answered_before_everything_is_closed() {
    let mut server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    let mut other = server.greet().await;
    client.send(7, AgentRequest::Leave).await;
    timeout(PATIENCE, server.shutdown.notified()).await.unwrap();
    server.stop.send(true).unwrap();
    timeout(PATIENCE, &mut server.serving).await.unwrap().unwrap();
    assert_eq!(client.header().await, ResponseHeader::ok(7));
    assert_eq!(client.object().await, None);
    assert_eq!(other.object().await, None);
    server.logged("[INFO] agent.ipc: Graceful leave triggered").await;
}

#[tokio::test]
async fn requests_that_the_node_never_answers_do_not_hold_up_the_end() {
    let mut server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    let existing = vec![Text::from("never")];
    client.send(7, AgentRequest::Join(JoinRequest { existing, replay: false })).await;
    server.until(|state| !state.unanswered.is_empty()).await;
    server.stop.send(true).unwrap();
    timeout(PATIENCE, &mut server.serving).await.unwrap().unwrap();
    assert_eq!(client.object().await, None);
}
