//! Coordination commands on a connection: what overtakes what, what is bounded, what the end of a connection ends. The
//! group is one machine (`lone.rs`); the commands one by one are in `coordination_commands.rs`.

use folkmoot_coordination::SessionId;
use folkmoot_proto::coordination as wire;
use folkmoot_proto::coordination::{
    Call, Caller, Code, CoordinationCommand, CoordinationRequest, Read, Reading, Write,
};
use folkmoot_proto::{Blob, With};

use super::lone::Lone;
use super::*;

/// A client of the group on one connection.
pub(super) struct Member {
    pub client: Client,
    pub caller: Caller,
    seq: u64,
}

impl Server {
    /// A server with a group behind it.
    pub(super) async fn with_group() -> (Self, Lone) {
        let lone = Lone::new();
        let coordinator = Some(Arc::new(lone.clone()) as Arc<dyn coordination::Coordinator>);
        (Self::with_coordinator(coordinator).await, lone)
    }

    /// A connection with a client of the group that lives for an hour.
    pub(super) async fn member(&self) -> Member {
        let mut client = self.greet().await;
        client
            .send_request(1, CoordinationRequest::from(wire::ClientRegister { ttl: 3_600_000, timeout: 0 }).into())
            .await;
        assert_eq!(client.header().await, ResponseHeader::ok(1));
        let wire::ClientRegistered { client: id } = client.body().await;
        Member { client, caller: Caller { client: id, ..Caller::default() }, seq: 1 }
    }
}

impl Member {
    /// Sends a write as the client's next request: its Seq.
    pub async fn send(&mut self, write: impl Into<Write>) -> u64 {
        self.caller.request += 1;
        self.send_again(write).await
    }

    /// Sends a write under the number of the last one.
    pub async fn send_again(&mut self, write: impl Into<Write>) -> u64 {
        self.request(CoordinationRequest::Write(self.caller.clone(), write.into())).await
    }

    pub async fn request(&mut self, request: impl Into<Request>) -> u64 {
        self.seq += 1;
        self.client.send_request(self.seq, request.into()).await;
        self.seq
    }

    /// The answer of the write that is sent next.
    pub async fn write<T: Call + Into<Write>>(&mut self, write: T) -> T::Answer {
        let seq = self.send(write).await;
        self.answer::<T::Answer>(seq).await
    }

    /// The answer of a question, as the group is.
    pub async fn read<T: Call + Into<Read>>(&mut self, read: T) -> T::Answer {
        let seq = self.request(CoordinationRequest::Read(Reading::default(), read.into())).await;
        self.answer::<T::Answer>(seq).await
    }

    /// The next thing that comes is a success for `seq`.
    pub async fn answer<T: Decode>(&mut self, seq: u64) -> T {
        assert_eq!(self.client.header().await, ResponseHeader::ok(seq));
        self.client.body().await
    }

    /// The next thing that comes is a refusal for `seq` with this word.
    pub async fn refused(&mut self, seq: u64, code: Code) -> String {
        let header = self.client.header().await;
        assert_eq!((header.seq, Code::of(&header.error)), (seq, code), "{header:?}");
        header.error.to_string()
    }

    pub async fn stop(&mut self, seq: u64) {
        let own = self.request(AgentRequest::Stop(StopRequest { stop: seq })).await;
        assert_eq!(self.client.header().await, ResponseHeader::ok(own));
    }
}

pub(super) fn put(key: &str, value: &str) -> wire::KvPut {
    wire::KvPut { key: key.into(), value: Blob::from(value.as_bytes()), ..wire::KvPut::default() }
}

pub(super) fn lock(name: &str, wait: i64) -> wire::LockAcquire {
    wire::LockAcquire { name: name.into(), wait, ..wire::LockAcquire::default() }
}

pub(super) fn release(name: &str, hold: u64) -> wire::LockRelease {
    wire::LockRelease { name: name.into(), hold, ..wire::LockRelease::default() }
}

#[tokio::test]
async fn without_a_group_the_answer_says_so_and_the_connection_goes_on() {
    let server = Server::start(None, limits::STALL).await;
    let mut client = server.greet().await;
    for command in CoordinationCommand::ALL {
        let request = CoordinationRequest::decode(*command, &[0xc0]).unwrap();
        client.send_request(3, request.into()).await;
        let error = Text::from("no-group: this agent takes part in no group and knows of none");
        assert_eq!(client.header().await, ResponseHeader { error, seq: 3 }, "{}", command.name());
    }
    client.assert_open_and_silent("after all").await;
}

#[tokio::test]
async fn the_key_is_asked_for_first() {
    let server = Server::start(Some("secret".into()), limits::STALL).await;
    let mut client = server.greet().await;
    client.socket.write_all(b"\x82\xa7Command\xa6kv-get\xa3Seq\x02").await.unwrap();
    assert_eq!(client.header().await, ResponseHeader::refused(2, texts::AUTHENTICATION_REQUIRED));
}

#[tokio::test]
async fn a_body_that_is_none_is_refused_and_the_connection_goes_on() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    for body in [&b"\x91\x01"[..], b"\x81\xa3Key\x92\x01\xa1x", b"\xc3", b"\x81\xa6Client\xcb\x3f\xf8\0\0\0\0\0\0"] {
        let mut bytes = b"\x82\xa7Command\xa6kv-put\xa3Seq\x09".to_vec();
        bytes.extend_from_slice(body);
        member.client.socket.write_all(&bytes).await.unwrap();
        member.refused(9, Code::InvalidRequest).await;
    }
    assert_eq!(member.write(put("k", "v")).await, wire::KvWritten { revision: 2 });
}

#[tokio::test]
async fn names_and_values_beyond_their_limits_are_refused_with_the_limit() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let long = "x".repeat(1025);
    let seq = member.send(put(&long, "v")).await;
    let text = member.refused(seq, Code::TooLarge).await;
    assert_eq!(text, "too-large: the key has 1025 bytes, at most 1024 are allowed");
    let seq = member.send(put("", "v")).await;
    assert_eq!(member.refused(seq, Code::InvalidRequest).await, "invalid-request: the key is empty");
    let seq = member.send(put("k", &"x".repeat((1 << 20) + 1))).await;
    let text = member.refused(seq, Code::TooLarge).await;
    assert_eq!(text, "too-large: the value has 1048577 bytes, at most 1048576 are allowed");
    let claim = wire::WorkClaim {
        capabilities: vec![long.as_str().into(); 100],
        lease: 1,
        name: "q".into(),
        wait: -1,
        ..wire::WorkClaim::default()
    };
    let seq = member.send(claim).await;
    member.refused(seq, Code::TooLarge).await;
    assert_eq!(member.write(put("k", &"x".repeat(1 << 20))).await, wire::KvWritten { revision: 2 });
}

#[tokio::test]
async fn a_request_sent_twice_is_applied_once() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let add = wire::CounterAdd { by: 5, name: "c".into() };
    assert_eq!(member.write(add.clone()).await.value, 5);
    for _ in 0..3 {
        let seq = member.send_again(add.clone()).await;
        assert_eq!(member.answer::<wire::Count>(seq).await.value, 5);
    }
    member.caller.acknowledged_below = member.caller.request + 1;
    let seq = member.send_again(add).await;
    member.refused(seq, Code::StaleRequest).await;
    assert_eq!(member.read(wire::CounterGet { name: "c".into() }).await.body.value, 5);
}

#[tokio::test]
async fn an_unknown_client_is_told_so() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    member.caller.client = 99;
    let seq = member.send(put("k", "v")).await;
    member.refused(seq, Code::ClientExpired).await;
}

#[tokio::test]
async fn a_client_that_outlives_its_group_is_unknown_to_the_next_and_harms_nobody_there() {
    let (one, _group) = Server::with_group().await;
    let (other, _other_group) = Server::with_group().await;
    let stray = one.member().await.caller.client;
    let mut member = other.member().await;
    let add = wire::CounterAdd { by: 5, name: "c".into() };
    assert_eq!(member.write(add.clone()).await.value, 5);
    let own = member.caller.clone();
    member.caller = Caller { acknowledged_below: 40, client: stray, request: 40, ..Caller::default() };
    let seq = member.send_again(add.clone()).await;
    member.refused(seq, Code::ClientExpired).await;
    member.caller = own;
    let seq = member.send_again(add).await;
    assert_eq!(member.answer::<wire::Count>(seq).await.value, 5);
}

#[tokio::test]
async fn a_thousand_calls_are_answered_while_one_waits() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let held = member.write(lock("l", 0)).await;
    let waiting = member.send(lock("l", -1)).await;
    let mut stream = Vec::new();
    for number in 0..1000u64 {
        member.caller.request += 1;
        let put = put(&format!("k{number}"), "v").into();
        let request = CoordinationRequest::Write(member.caller.clone(), put);
        stream.extend(Request::from(request).to_bytes(10_000 + number));
    }
    // Whoever sends this much has to read meanwhile: the answers would fill the sockets.
    let Client { socket, frames } = member.client;
    let (mut reading, mut writing) = socket.into_split();
    let sending = tokio::spawn(async move {
        writing.write_all(&stream).await.unwrap();
        writing
    });
    let mut frames = frames;
    let mut answered = std::collections::BTreeSet::new();
    let mut bodies = 0;
    while answered.len() + bodies < 2000 {
        while let Some(object) = frames.next().unwrap() {
            if answered.len() > bodies {
                bodies += 1;
                continue;
            }
            let header = ResponseHeader::decode(&object).unwrap();
            assert_eq!(header.error, "");
            assert!(answered.insert(header.seq) && header.seq >= 10_000, "{header:?}");
        }
        if answered.len() + bodies < 2000 {
            timeout(PATIENCE, reading.read_buf(&mut frames.space())).await.unwrap().unwrap();
        }
    }
    let socket = sending.await.unwrap().reunite(reading).unwrap();
    member.client = Client { socket, frames };
    let seq = member.send(release("l", held.hold)).await;
    let mut first = member.client.header().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        assert_eq!(first.error, "");
        member.client.object().await.unwrap();
        seen.insert(first.seq);
        if seen.len() < 2 {
            first = member.client.header().await;
        }
    }
    assert_eq!(seen, std::collections::BTreeSet::from([seq, waiting]));
}

#[tokio::test]
async fn serfs_commands_are_answered_in_order_beside_calls_that_are_held_up() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    group.set_open(false);
    let held_up = member.send(put("k", "v")).await;
    for _ in 0..3 {
        let seq = member.request(coordinate()).await;
        assert_eq!(member.client.header().await, ResponseHeader::ok(seq));
        member.client.object().await.unwrap();
    }
    group.set_open(true);
    member.answer::<wire::KvWritten>(held_up).await;
}

#[tokio::test]
async fn nothing_more_is_read_while_as_many_calls_as_allowed_are_under_way() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    group.set_open(false);
    for _ in 0..=limits::CALLS {
        member.send(put("k", "v")).await;
    }
    let serfs = member.request(coordinate()).await;
    let silence = timeout(Duration::from_millis(200), member.client.object()).await;
    assert!(silence.is_err(), "answered: {silence:?}");
    group.set_open(true);
    let mut answers = 0;
    loop {
        let header = member.client.header().await;
        member.client.object().await.unwrap();
        assert_eq!(header.error, "");
        if header.seq != serfs {
            answers += 1;
        } else if answers >= 1 {
            break;
        }
    }
}

#[tokio::test]
async fn calls_that_wait_are_bounded_and_may_not_share_a_number() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    member.write(lock("l", 0)).await;
    for _ in 0..limits::WAITING_CALLS {
        member.send(lock("l", -1)).await;
    }
    let seq = member.send(lock("l", -1)).await;
    let text = member.refused(seq, Code::TooManyCalls).await;
    assert_eq!(text, "too-many-calls: 256 calls wait on this connection already");
    let again = CoordinationRequest::Write(member.caller.clone(), lock("l", -1).into());
    member.client.send_request(seq - 1, again.into()).await;
    member.refused(seq - 1, Code::InvalidRequest).await;
}

#[tokio::test]
async fn stop_cancels_the_call_that_waits_under_its_number() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    member.write(lock("l", 0)).await;
    let first = member.send(lock("l", -1)).await;
    let second = member.send(lock("l", 60_000)).await;
    member.stop(first).await;
    member.refused(first, Code::Cancelled).await;
    group.until(|machine| machine.usage().waits == 1).await;
    member.stop(second).await;
    member.refused(second, Code::Cancelled).await;
    member.stop(second).await;
    member.client.assert_open_and_silent("nothing waits").await;
}

#[tokio::test]
async fn the_number_of_a_cancelled_call_is_free_when_it_is_answered() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    member.write(lock("l", 0)).await;
    let seq = member.send(lock("l", -1)).await;
    group.until(|machine| machine.usage().waits == 1).await;
    // The group does not answer: the cancelling cannot come to its end.
    group.set_open(false);
    member.stop(seq).await;
    let again = CoordinationRequest::Write(member.caller.clone(), lock("l", -1).into());
    member.client.send_request(seq, again.into()).await;
    let text = member.refused(seq, Code::InvalidRequest).await;
    assert!(text.contains("was cancelled, and is not answered yet"), "{text}");
    group.set_open(true);
    member.refused(seq, Code::Cancelled).await;
    member.caller.request += 1;
    let new = CoordinationRequest::Write(member.caller.clone(), lock("l", 0).into());
    member.client.send_request(seq, new.into()).await;
    member.refused(seq, Code::Busy).await;
}

#[tokio::test]
async fn a_call_that_waited_long_enough_is_told_so() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    member.write(lock("l", 0)).await;
    let seq = member.send(lock("l", 0)).await;
    member.refused(seq, Code::Busy).await;
    let seq = member.send(lock("l", 20)).await;
    member.refused(seq, Code::TimedOut).await;
}

#[tokio::test]
async fn the_end_of_a_connection_cancels_what_waits_and_ends_its_sessions_only() {
    let (server, group) = Server::with_group().await;
    let mut going = server.member().await;
    let bound = wire::SessionCreate { ttl: 3_600_000, with_connection: true, ..wire::SessionCreate::default() };
    let free = wire::SessionCreate { ttl: 3_600_000, ..wire::SessionCreate::default() };
    let bound = going.write(bound).await.session;
    let free = going.write(free).await.session;
    let held = going.write(wire::LockAcquire { session: bound, ..lock("bound", 0) }).await;
    going.write(lock("free", 0)).await;
    going.send(lock("free", -1)).await;
    group.until(|machine| machine.usage().waits == 1).await;
    let mut staying = server.member().await;
    let next = staying.send(lock("bound", -1)).await;
    group.until(|machine| machine.usage().waits == 2).await;
    drop(going);
    let granted: wire::Held = staying.answer(next).await;
    assert!(granted.token > held.token);
    group.until(|machine| machine.usage().waits == 0).await;
    let sessions = staying.read(wire::SessionList::default()).await.body.sessions;
    assert_eq!(sessions.iter().map(|session| session.session).collect::<Vec<_>>(), [free]);
    let line = staying.read(wire::LockInfo { name: "free".into(), ..wire::LockInfo::default() }).await.body;
    assert_eq!((line.holds.len(), line.waiting.len()), (1, 0), "what the client itself holds stays");
}

#[tokio::test]
async fn sessions_that_were_ended_are_forgotten_by_the_connection() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    let bound = wire::SessionCreate { ttl: 3_600_000, with_connection: true, ..wire::SessionCreate::default() };
    for _ in 0..limits::CONNECTION_SESSIONS {
        member.caller.acknowledged_below = member.caller.request;
        let session = member.write(bound.clone()).await.session;
        member.write(wire::SessionDestroy { session }).await;
    }
    let session = member.write(bound).await.session;
    let revision = group.machine().revision();
    drop(member);
    group.until(|machine| machine.usage().sessions == 0).await;
    assert!(SessionId(session) <= SessionId(revision.0));
}

#[tokio::test]
async fn sessions_that_have_expired_make_room_for_others() {
    let (server, group) = Server::with_group().await;
    let (mut member, mut other) = (server.member().await, server.member().await);
    let bound = wire::SessionCreate { ttl: 3_600_000, with_connection: true, ..wire::SessionCreate::default() };
    let mut sessions = Vec::new();
    for _ in 0..limits::CONNECTION_SESSIONS {
        member.caller.acknowledged_below = member.caller.request;
        sessions.push(member.write(bound.clone()).await.session);
    }
    let seq = member.send(bound.clone()).await;
    member.refused(seq, Code::TooManyCalls).await;
    // That they end elsewhere is to this connection as if they had expired.
    for session in [sessions[1], sessions[1000], sessions[1023]] {
        other.write(wire::SessionDestroy { session }).await;
    }
    for _ in 0..3 {
        member.write(bound.clone()).await;
    }
    let seq = member.send(bound).await;
    member.refused(seq, Code::TooManyCalls).await;
    drop(member);
    group.until(|machine| machine.usage().sessions == 0).await;
}

#[tokio::test]
async fn a_client_that_only_stops_sending_gets_its_answers() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    group.set_open(false);
    let seq = member.send(put("k", "v")).await;
    member.client.socket.shutdown().await.unwrap();
    group.set_open(true);
    member.answer::<wire::KvWritten>(seq).await;
    assert_eq!(member.client.object().await, None);
}

#[tokio::test]
async fn stale_answers_have_an_age_and_all_have_a_revision() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    member.write(put("k", "v")).await;
    let get = wire::KvGet { key: "k".into() };
    let current = member.read(get.clone()).await;
    assert_eq!(current.common, wire::AsOf { age: None, revision: 2, stale: false });
    let stale = CoordinationRequest::Read(Reading { stale: true, timeout: 0 }, get.into());
    let seq = member.request(stale).await;
    let answer: With<wire::AsOf, wire::KvFound> = member.answer(seq).await;
    assert_eq!(answer.common, wire::AsOf { age: Some(3), revision: 2, stale: true });
    assert_eq!(answer.body, current.body);
}
