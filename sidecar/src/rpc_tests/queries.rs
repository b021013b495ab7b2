//! Asking and answering queries (`docs/spec/rpc.md` 8.4 and 8.5).

use super::*;

#[tokio::test]
async fn a_query_ends_with_exactly_one_done() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.send(6, AgentRequest::Query(query("load"))).await;
    assert_eq!(client.header().await, ResponseHeader::ok(6));
    let from = NodeName(Text::from("alpha"));
    let payload = Some(Bytes::from_static(b"0.5"));
    server.answer_query(QueryAnswer::Ack { from: from.clone() }).await;
    server.answer_query(QueryAnswer::Response { from, payload: payload.clone() }).await;
    server.answer_query(QueryAnswer::Done).await;
    let expected = [
        ("alpha", None, QueryRecordType::Ack),
        ("alpha", payload, QueryRecordType::Response),
        ("", None, QueryRecordType::Done),
    ];
    for (from, payload, r#type) in expected {
        assert_eq!(client.header().await, ResponseHeader::ok(6));
        assert_eq!(client.body::<QueryRecord>().await, QueryRecord { from: Text::from(from), payload, r#type });
    }
    client.assert_open_and_silent("after done").await;
}

#[tokio::test]
async fn reserved_names_are_refused_but_for_the_ping_without_payload() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    let ping = |payload| QueryRequest { payload, ..query("_serf_ping") };
    for (request, refused) in
        [(query("_serf_x"), true), (ping(Some(Bytes::new())), true), (ping(None), false), (query("_serf"), false)]
    {
        client.send(1, AgentRequest::Query(request)).await;
        let error = if refused { texts::RESERVED_QUERY } else { "" };
        assert_eq!(client.header().await, ResponseHeader { error: Text::from(error), seq: 1 });
    }
}

#[tokio::test]
async fn a_query_whose_client_has_gone_is_logged_once() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    client.send(6, AgentRequest::Query(query("load"))).await;
    assert_eq!(client.header().await, ResponseHeader::ok(6));
    let peer = client.socket.local_addr().unwrap();
    drop(client);
    server.logged(&format!("[ERR] agent.ipc: Failed to stream query end to ipc.client: {peer}: ")).await;
}

#[tokio::test]
async fn queries_are_answered_by_the_number_their_connection_gave_them() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    let mut other = server.greet().await;
    client.open_stream(1, "query").await;
    client.open_stream(2, "query").await;
    let long = Instant::now() + PATIENCE;
    server.deliver(&query_event(7, long));
    server.deliver(&query_event(8, Instant::now()));
    let mut ids = Vec::new();
    for _ in 0..4 {
        client.header().await;
        let EventRecord::Query(record) = client.body().await else { panic!("not a query") };
        ids.push((record.id, record.ltime));
    }
    ids.sort_unstable();
    let numbers: Vec<u64> = ids.iter().map(|(id, _)| *id).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    for (id, ltime) in ids {
        let payload = Some(Bytes::from_static(b"me"));
        client.send(9, AgentRequest::Respond(RespondRequest { id, payload })).await;
        let expected = if ltime == 7 { "" } else { texts::NO_PENDING_QUERY };
        assert_eq!(client.header().await, ResponseHeader { error: Text::from(expected), seq: 9 }, "{id}");
    }
    other.send(9, AgentRequest::Respond(RespondRequest { id: 1, payload: None })).await;
    assert_eq!(other.header().await, ResponseHeader::refused(9, texts::NO_PENDING_QUERY));
    assert_eq!(server.state.lock().unwrap().responded, [7, 7]);
}
