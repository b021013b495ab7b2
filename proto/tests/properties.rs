//! Rules for all input: what is written is read again, and whatever a peer sends is an error at worst.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed"
)]
#![allow(dead_code, reason = "not every test file uses all of the support module")]

use std::collections::BTreeMap;

use bytes::Bytes;
use folkmoot_proto::coordination::{CoordinationCommand, CoordinationRequest};
use folkmoot_proto::{
    AgentCommand, AgentRequest, Coordinate, CoordinateResponse, Decode, Encode, EventRecord, FrameReader, Header,
    JoinResponse, KeyResponse, LogRecord, Member, MemberEventRecord, MembersFilteredRequest, MembersResponse,
    QueryEventRecord, QueryRecord, QueryRecordType, QueryRequest, Request, ResponseHeader, StatsResponse, TagsRequest,
    Text, UserEventRecord,
};
use proptest::prelude::*;

mod support;

fn text() -> impl Strategy<Value = Text> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Text::from_bytes(Bytes::from(bytes)))
}

fn payload() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from))
}

fn tags() -> impl Strategy<Value = BTreeMap<Text, Text>> {
    proptest::collection::btree_map(text(), text(), 0..20)
}

fn member() -> impl Strategy<Value = Member> {
    let address = prop_oneof![Just(Bytes::from_static(&[127, 0, 0, 1])), Just(Bytes::from_static(&[9; 16]))];
    (text(), address, any::<u16>(), tags(), text(), any::<[u8; 6]>()).prop_map(
        |(name, addr, port, tags, status, versions)| {
            let [protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur] = versions;
            Member {
                name,
                addr,
                port,
                tags,
                status,
                protocol_min,
                protocol_max,
                protocol_cur,
                delegate_min,
                delegate_max,
                delegate_cur,
            }
        },
    )
}

/// Reads back what `value` is written as.
fn again<T: Encode + Decode>(value: &T) -> T {
    let mut out = Vec::new();
    value.encode(&mut out);
    T::decode(&out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queries_are_read_as_written(
        name in text(), payload in payload(), nodes in proptest::collection::vec(text(), 0..20), tags in tags(),
        timeout in any::<i64>(), relay_factor in any::<u8>(), request_ack in any::<bool>(), seq in any::<u64>(),
    ) {
        let request = QueryRequest {
            filter_nodes: nodes, filter_tags: tags, name, payload, relay_factor, request_ack, timeout,
        };
        let bytes = Request::Agent(AgentRequest::Query(request.clone())).to_bytes(seq);
        let objects = support::split(&bytes);
        let mut header = Header::default();
        header.update(&objects[0]).unwrap();
        prop_assert_eq!(header, Header { command: Text::from("query"), seq });
        prop_assert_eq!(
            AgentRequest::decode(AgentCommand::Query, &objects[1]),
            Ok(AgentRequest::Query(request))
        );
    }

    #[test]
    fn filters_and_tags_are_read_as_written(
        name in text(), status in text(), tags in tags(), delete_tags in proptest::collection::vec(text(), 0..20),
    ) {
        let filter = MembersFilteredRequest { name, status, tags: tags.clone() };
        prop_assert_eq!(&again(&filter), &filter);
        let change = TagsRequest { delete_tags, tags };
        prop_assert_eq!(&again(&change), &change);
    }

    #[test]
    fn members_are_read_as_written(members in proptest::collection::vec(member(), 0..20), event in text()) {
        let response = MembersResponse { members: members.clone() };
        prop_assert_eq!(&again(&response), &response);
        prop_assume!(event != *"user" && event != *"query");
        let record = EventRecord::Members(MemberEventRecord { event, members });
        prop_assert_eq!(&again(&record), &record);
    }

    #[test]
    fn records_are_read_as_written(
        name in text(), payload in payload(), ltime in any::<u64>(), id in any::<u64>(), coalesce in any::<bool>(),
    ) {
        let user =
            EventRecord::User(UserEventRecord { coalesce, ltime, name: name.clone(), payload: payload.clone() });
        prop_assert_eq!(&again(&user), &user);
        let query = EventRecord::Query(QueryEventRecord { id, ltime, name: name.clone(), payload: payload.clone() });
        prop_assert_eq!(&again(&query), &query);
        for r#type in [QueryRecordType::Ack, QueryRecordType::Response, QueryRecordType::Done] {
            let record = QueryRecord { from: name.clone(), payload: payload.clone(), r#type };
            prop_assert_eq!(&again(&record), &record);
        }
        let log = LogRecord { log: name };
        prop_assert_eq!(&again(&log), &log);
    }

    #[test]
    fn bodies_are_read_as_written(
        error in text(), seq in any::<u64>(), num in any::<i32>(), tags in tags(),
        numbers in any::<[i64; 3]>(), floats in any::<[i32; 4]>(), keys in proptest::option::of(
            proptest::collection::btree_map(text(), any::<i64>(), 0..20)
        ),
    ) {
        let header = ResponseHeader { error, seq };
        prop_assert_eq!(&again(&header), &header);
        let join = JoinResponse { num };
        prop_assert_eq!(&again(&join), &join);
        let stats = StatsResponse(tags.keys().map(|name| (name.clone(), tags.clone())).collect());
        prop_assert_eq!(&again(&stats), &stats);
        let [num_err, num_nodes, num_resp] = numbers;
        let response = KeyResponse { keys, messages: tags, num_err, num_nodes, num_resp };
        prop_assert_eq!(&again(&response), &response);
        let [adjustment, error, height, x] = floats.map(f64::from);
        let vec = (num > 0).then(|| vec![x; 8]);
        let coordinate = CoordinateResponse { coord: Coordinate { adjustment, error, height, vec }, ok: num > 0 };
        prop_assert_eq!(&again(&coordinate), &coordinate);
    }
}

/// A generator that is the same everywhere (xorshift), seeded with a constant.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Requests and responses of every kind, as a stream.
fn corpus() -> Vec<Vec<u8>> {
    let name = Text::from("name");
    let tags = BTreeMap::from([(name.clone(), Text::from("value"))]);
    let payload = Some(Bytes::from_static(b"payload"));
    let mut streams: Vec<Vec<u8>> = AgentCommand::ALL
        .into_iter()
        .map(|command| Request::Agent(AgentRequest::decode(command, &[0xc0]).unwrap()).to_bytes(300))
        .collect();
    let query = QueryRequest {
        filter_nodes: vec![name.clone(), name.clone()],
        filter_tags: tags.clone(),
        name: name.clone(),
        payload: payload.clone(),
        relay_factor: 200,
        request_ack: true,
        timeout: -1,
    };
    streams.push(Request::Agent(AgentRequest::Query(query)).to_bytes(u64::MAX));
    let member =
        Member { name: name.clone(), tags: tags.clone(), addr: Bytes::from_static(&[1; 4]), ..Member::default() };
    let header = ResponseHeader::ok(7);
    streams.push(header.with_body(&MembersResponse { members: vec![member.clone(), member.clone()] }));
    let event = MemberEventRecord { event: Text::from("member-join"), members: vec![member] };
    streams.push(header.with_body(&EventRecord::Members(event)));
    let user = UserEventRecord { coalesce: true, ltime: 70_000, name: name.clone(), payload };
    streams.push(header.with_body(&EventRecord::User(user)));
    streams.push(header.with_body(&StatsResponse(BTreeMap::from([(name, tags)]))));
    streams
}

/// Reads a stream as everything it could be; returns how many readings succeeded.
fn read_as_anything(stream: &[u8]) -> usize {
    let mut frames = FrameReader::for_requests();
    frames.push(stream);
    let mut read = 0;
    while let Ok(Some(object)) = frames.next() {
        read += usize::from(Header::default().update(&object).is_ok());
        for command in AgentCommand::ALL {
            read += usize::from(AgentRequest::decode(command, &object).is_ok());
        }
        for command in CoordinationCommand::ALL {
            read += usize::from(CoordinationRequest::decode(*command, &object).is_ok());
        }
        read += usize::from(ResponseHeader::decode(&object).is_ok());
        read += usize::from(EventRecord::decode(&object).is_ok());
        read += usize::from(QueryRecord::decode(&object).is_ok());
        read += usize::from(MembersResponse::decode(&object).is_ok());
        read += usize::from(StatsResponse::decode(&object).is_ok());
        read += usize::from(KeyResponse::decode(&object).is_ok());
        read += usize::from(CoordinateResponse::decode(&object).is_ok());
    }
    read
}

#[test]
fn damaged_streams_are_read_or_refused_without_a_panic() {
    let mut random = Random(0x5eed_5eed_5eed_5eed);
    let (mut read, mut rounds) = (0, 0);
    for stream in corpus() {
        for _ in 0..200 {
            let mut damaged = stream.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(damaged.len());
                match random.below(3) {
                    0 => damaged[at] = u8::try_from(random.below(256)).unwrap(),
                    1 => damaged.truncate(at.max(1)),
                    _ => damaged.insert(at, u8::try_from(random.below(256)).unwrap()),
                }
            }
            rounds += 1;
            read += usize::from(read_as_anything(&damaged) > 0);
        }
    }
    // Damage is not so heavy that only the first byte is ever looked at.
    assert!(read > rounds / 4, "{read} of {rounds}");
}
