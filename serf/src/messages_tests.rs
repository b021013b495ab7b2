//! Tests of [`super`]: what the vectors cannot show. Bytes of real agents are compared in `tests/vectors.rs`.

use super::*;
use crate::limits::{PUSH_PULL_EVENTS_MAX, PUSH_PULL_SLOTS_MAX, QUERY_FILTERS_MAX};

fn event(payload: Option<&'static [u8]>) -> UserEventMessage {
    UserEventMessage {
        ltime: LamportTime(7),
        name: "e".into(),
        payload: payload.map(Bytes::from_static),
        coalesce: true,
    }
}

#[test]
fn nil_and_empty_payload_are_kept_apart() {
    for (payload, last) in [(None, 0xc0), (Some(&b""[..]), 0xa0)] {
        let bytes = event(payload).encode();
        assert_eq!(bytes.last(), Some(&last));
        assert_eq!(Message::decode(&bytes), Ok(Message::UserEvent(event(payload))));
    }
}

/// `decoder_leniency` of vectors/serf/behaviour.json: what both Go decoders accept, and what they refuse.
#[test]
fn decoder_is_as_lenient_as_gos() {
    let expected = Ok(Message::UserEvent(event(Some(b"p"))));
    let accepted: [&[u8]; 13] = [
        b"\x03\x84\xa2CC\xc3\xa5LTime\x07\xa4Name\xa1e\xa7Payload\xa1p",
        b"\x03\x84\xa7Payload\xa1p\xa4Name\xa1e\xa5LTime\x07\xa2CC\xc3",
        b"\x03\x84\xa2CC\xc3\xa5LTime\x07\xa4Name\xd9\x01e\xa7Payload\xd9\x01p",
        b"\x03\x84\xa2CC\xc3\xa5LTime\x07\xa4Name\xda\x00\x01e\xa7Payload\xc4\x01p",
        b"\x03\x84\xa2CC\x01\xa5LTime\x07\xa4Name\xa1e\xa7Payload\xa1p",
        b"\x03\x84\xd9\x02CC\xc3\xd9\x05LTime\x07\xa4Name\xa1e\xa7Payload\xa1p",
        b"\x03\x84\xc4\x02CC\xc3\xa5LTime\x07\xa4Name\xc4\x01e\xa7Payload\xa1p",
        b"\x03\x84\xa2CC\xc3\xa5LTime\xd3\0\0\0\0\0\0\0\x07\xa4Name\xa1e\xa7Payload\xa1p",
        b"\x03\x84\xa2CC\xc3\xa5LTime\xcf\0\0\0\0\0\0\0\x07\xa4Name\xa1e\xa7Payload\xa1p",
        b"\x03\xde\x00\x04\xa2CC\xc3\xa5LTime\x07\xa4Name\xa1e\xa7Payload\x91\x70",
        b"\x03\x94\x07\xa1e\xa1p\xc3",
        b"\x03\x86\xa2CC\xc3\xa1x\xd4\x05\x01\xa1y\x92\x81\xa1a\xc4\x01b\xc0\xa5LTime\x07\xa4Name\xa1e\xa7Payload\xa1p",
        b"\x03\x84\xa2CC\xc3\xa5LTime\x07\xa4Name\xa1e\xa7Payload\xa1p\x01\x02\x03",
    ];
    for bytes in accepted {
        assert_eq!(Message::decode(bytes), expected, "{bytes:02x?}");
    }
    let zero = Ok(Message::UserEvent(UserEventMessage::default()));
    for bytes in
        [&b"\x03\x80"[..], b"\x03\x82\xa4Name\xc0\xa2CC\xc0", b"\x03\x82\xa4name\xa1e\xa5ltime\x07", b"\x03\xc0"]
    {
        assert_eq!(Message::decode(bytes), zero, "{bytes:02x?}");
    }
    let float = b"\x03\x81\xa5LTime\xcb\x40\x1c\0\0\0\0\0\0";
    assert!(matches!(Message::decode(float), Err(MessageError::Body { what: "user event", .. })));
}

#[test]
fn types_that_do_not_travel_alone_are_refused() {
    assert_eq!(Message::decode(b""), Err(MessageError::Empty));
    for kind in [2, 6, 7, 8, 10, 255] {
        assert_eq!(Message::decode(&[kind, 0x80]), Err(MessageError::UnknownType(kind)));
    }
}

#[test]
fn relay_passes_on_query_responses_only() {
    let header = RelayHeader {
        destination: UdpAddress::new("127.0.0.1:7946".parse().unwrap()),
        destination_name: NodeName("n1".into()),
    };
    let inner = QueryResponseMessage { from: NodeName("n2".into()), ..QueryResponseMessage::default() }.encode();
    let Ok(Message::Relay(relay)) = Message::decode(&Relay::encode(&header, &inner)) else { panic!("no relay") };
    assert_eq!(relay, Relay { header: header.clone(), inner });
    assert_eq!(relay.header.destination.socket_address(), Some("127.0.0.1:7946".parse().unwrap()));
    for inner in [&b""[..], b"\x03\x80", b"\x09\x80"] {
        let refused = Message::decode(&Relay::encode(&header, inner));
        assert_eq!(refused, Err(MessageError::RelayedType(inner.first().copied())));
    }
}

#[test]
fn addresses_have_4_or_16_bytes_and_mapped_ones_are_shortened() {
    let address = |bytes: &'static [u8]| {
        QueryMessage { address: Some(Bytes::from_static(bytes)), port: 7, ..QueryMessage::default() }.source_address()
    };
    let expected = "1.2.3.4:7".parse().ok();
    assert_eq!(address(&[1, 2, 3, 4]), expected);
    assert_eq!(address(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]), expected);
    assert_eq!(address(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "[::1]:7".parse().ok());
    assert_eq!(address(&[1, 2, 3]), None);
    assert_eq!(QueryMessage::default().source_address(), None);
    let far = UdpAddress { port: 65_536, ..UdpAddress::new("1.2.3.4:0".parse().unwrap()) };
    assert_eq!(far.socket_address(), None);
    assert_eq!(UdpAddress { port: -1, ..far }.socket_address(), None);
}

/// `query_filters` of vectors/serf/behaviour.json.
#[test]
fn filters_that_make_no_sense_are_errors() {
    assert_eq!(Filter::decode(b""), Err(MessageError::Empty));
    assert_eq!(Filter::decode(b"\x07\x91\xa2zz"), Err(MessageError::UnknownType(7)));
    assert!(matches!(Filter::decode(b"\x00\xc1"), Err(MessageError::Body { what: "node filter", .. })));
    assert!(matches!(Filter::decode(b"\x01\x05"), Err(MessageError::Body { what: "tag filter", .. })));
    assert_eq!(Filter::decode(b"\x00\xc0"), Ok(Filter::Nodes(Vec::new())));
}

#[test]
fn query_without_filters_sends_nil() {
    let bytes = QueryMessage::default().encode();
    let at = bytes.windows(7).position(|window| window == b"Filters").unwrap();
    assert_eq!(bytes[at + 7], 0xc0);
}

#[test]
fn empty_filter_entry_survives_decoding_to_be_refused_alone() {
    let query =
        QueryMessage { filters: vec![Bytes::new(), Bytes::from_static(b"\x00\x90")], ..QueryMessage::default() };
    assert_eq!(Message::decode(&query.encode()), Ok(Message::Query(query)));
}

#[test]
fn lists_beyond_their_bounds_are_refused() {
    let query = |count| QueryMessage { filters: vec![Bytes::new(); count], ..QueryMessage::default() }.encode();
    assert!(Message::decode(&query(QUERY_FILTERS_MAX)).is_ok());
    assert!(Message::decode(&query(QUERY_FILTERS_MAX + 1)).is_err());

    let slots = |count| PushPull { events: vec![None; count], ..PushPull::default() }.encode();
    assert!(PushPull::decode(&slots(PUSH_PULL_SLOTS_MAX)).is_ok());
    assert!(PushPull::decode(&slots(PUSH_PULL_SLOTS_MAX + 1)).is_err());

    let events = |slots: usize, each: usize| {
        let slot = EventSlot { ltime: LamportTime(1), events: vec![SlotEvent::default(); each] };
        PushPull { events: vec![Some(slot); slots], ..PushPull::default() }.encode()
    };
    assert!(PushPull::decode(&events(4, PUSH_PULL_EVENTS_MAX / 4)).is_ok());
    assert!(PushPull::decode(&events(5, PUSH_PULL_EVENTS_MAX / 4)).is_err());
}

#[test]
fn idle_push_pull_has_the_size_go_sends() {
    let state = PushPull {
        ltime: LamportTime(1),
        event_ltime: LamportTime(1),
        query_ltime: LamportTime(1),
        events: vec![None; 512],
        status_ltimes: [(NodeName("n2".into()), LamportTime(0))].into(),
        ..PushPull::default()
    };
    assert_eq!(state.encode().len(), 586);
}

#[test]
fn key_requests_and_answers_without_type_byte_are_errors() {
    assert_eq!(KeyRequest::decode(b""), Err(MessageError::Empty));
    assert_eq!(KeyResult::decode(b""), Err(MessageError::Empty));
    assert_eq!(KeyResult::decode(b"\x07\x80"), Err(MessageError::UnknownType(7)));
    assert_eq!(ConflictResponse::decode(b"\x06\xc0"), Ok(ConflictResponse(None)));
    assert_eq!(ConflictResponse(None).encode().as_ref(), b"\x06\xc0");
    // Go does not look at the type byte of a request.
    let request = KeyRequest { key: Some(Bytes::from_static(b"k")) };
    assert_eq!(KeyRequest::decode(b"\xff\x81\xa3Key\xa1k"), Ok(request));
}

#[test]
fn keys_are_never_printed() {
    let request = KeyRequest { key: Some(Bytes::from_static(b"secret")) };
    assert!(!format!("{request:?}").contains("secret"));
}
