//! What holds for any input: decoders refuse instead of failing, what we write we read, numbers stay numbers.

use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::coordinates::CoordinateClient;
use folkmoot_serf::messages::{
    ConflictResponse, Filter, JoinIntent, KeyRequest, KeyResult, LeaveIntent, Message, PushPull, QueryMessage,
    UserEventMessage,
};
use folkmoot_serf::pattern::Pattern;
use folkmoot_serf::records::{AfterLeave, Replay};
use folkmoot_serf::{Coordinate, LamportClock, LamportTime, NodeName, Tags, Text};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn text() -> impl Strategy<Value = Text> {
    vec(any::<u8>(), 0..20).prop_map(|bytes| Text::from_bytes(Bytes::from(bytes)))
}

fn payload() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

/// Numbers as a peer may send them: mostly sane, sometimes not.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => -1.0..1.0_f64, 1 => any::<f64>()]
}

fn coordinate() -> impl Strategy<Value = Coordinate> {
    let vec = prop_oneof![9 => vec(number(), 8), 1 => vec(number(), 0..20)];
    (vec, number(), number(), number()).prop_map(|(vec, error, adjustment, height)| Coordinate {
        vec,
        error,
        adjustment,
        height,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn decoders_never_panic(kind in 0_u8..12, body in vec(any::<u8>(), 0..200)) {
        let bytes = [&[kind], body.as_slice()].concat();
        let _ = Message::decode(&bytes);
        let _ = PushPull::decode(&bytes);
        let _ = KeyRequest::decode(&bytes);
        let _ = KeyResult::decode(&bytes);
        let _ = ConflictResponse::decode(&bytes);
        let _ = Filter::decode(&bytes);
        let _ = Coordinate::decode_payload(&bytes);
        let _ = Tags::decode(&[&[0xff], body.as_slice()].concat());
        let _ = Replay::read(&bytes, AfterLeave::Forget);
    }

    #[test]
    fn cut_messages_are_refused_and_not_half_read(name in text(), payload in payload(), cut in any::<prop::sample::Index>()) {
        let event = UserEventMessage { ltime: LamportTime(9), name, payload, coalesce: true };
        let bytes = event.encode();
        let cut = cut.index(bytes.len());
        prop_assert!(Message::decode(&bytes[..cut]).is_err());
    }

    #[test]
    fn messages_survive_the_wire(
        ltime in any::<u64>(), name in text(), payload in payload(), flag in any::<bool>(), id in any::<u32>(),
        timeout_ns in any::<i64>(), filters in vec(vec(any::<u8>(), 0..9).prop_map(Bytes::from), 0..4),
    ) {
        let ltime = LamportTime(ltime);
        let node = NodeName(name.clone());
        let leave = LeaveIntent { ltime, node: node.clone(), prune: flag };
        prop_assert_eq!(Message::decode(&leave.encode()), Ok(Message::Leave(leave)));
        let join = JoinIntent { ltime, node: node.clone() };
        prop_assert_eq!(Message::decode(&join.encode()), Ok(Message::Join(join)));
        let event = UserEventMessage { ltime, name: name.clone(), payload: payload.clone(), coalesce: flag };
        prop_assert_eq!(Message::decode(&event.encode()), Ok(Message::UserEvent(event)));
        let query = QueryMessage {
            ltime, id, name, payload, filters, timeout_ns, source_node: node, flags: id, ..QueryMessage::default()
        };
        prop_assert_eq!(Message::decode(&query.encode()), Ok(Message::Query(query)));
    }

    #[test]
    fn tags_survive_the_wire(tags in btree_map(text(), text(), 0..8)) {
        let tags = Tags(tags);
        let encoded = tags.encode(5).unwrap();
        let decoded = Tags::decode(&encoded);
        prop_assert_eq!((decoded.tags, decoded.damage), (tags, None));
    }

    #[test]
    fn clocks_never_go_back_and_pass_what_they_accept(times in vec(any::<u64>(), 0..30)) {
        let mut clock = LamportClock::new();
        for time in times {
            let before = clock.time();
            if clock.witness(LamportTime(time)).is_ok() {
                prop_assert!(clock.time() > LamportTime(time) || time == u64::MAX);
            } else {
                prop_assert_eq!(clock.time(), before);
            }
            prop_assert!(clock.time() >= before);
        }
    }

    #[test]
    fn coordinates_stay_in_their_ranges_whatever_peers_send(
        samples in vec((coordinate(), 0_u64..12_000, 0..3_u8), 0..40), seed in any::<u8>(),
    ) {
        let mut client = CoordinateClient::new();
        let mut random = ChaCha8Rng::from_seed([seed; 32]);
        for (other, millis, node) in samples {
            let before = client.coordinate().clone();
            let node = NodeName(Text::from(format!("n{node}")));
            if client.update(&node, &other, Duration::from_millis(millis), &mut random).is_err() {
                prop_assert_eq!(client.coordinate(), &before);
            }
            let own = client.coordinate();
            prop_assert!(own.vec.iter().chain([&own.error, &own.adjustment, &own.height]).all(|n| n.is_finite()));
            prop_assert!(own.height >= 1.0e-5 && own.error > 0.0 && own.error <= 1.5, "{:?}", own);
            // Equal up to the order in which numbers are added.
            match (own.distance_to(&other), other.distance_to(own)) {
                (Some(there), Some(back)) => prop_assert!(there.abs_diff(back) <= there / 1_000_000 + Duration::from_nanos(1)),
                (there, back) => prop_assert_eq!(there, back),
            }
        }
    }

    #[test]
    fn expressions_are_translated_or_refused_in_gos_words(
        expression in r"[ab01^$.*+?|()\[\]{},:\\\-dwsbpQELPix<>é]{0,14}", text in vec(any::<u8>(), 0..12),
    ) {
        match Pattern::search(&expression.as_str().into()) {
            Ok(pattern) => { let _ = pattern.is_match(&text); }
            Err(error) => prop_assert!(error.to_string().starts_with("error parsing regexp: ")),
        }
    }

    #[test]
    fn literal_text_matches_itself(text in "[a-zA-Z0-9 é_&~#<>%-]{0,12}") {
        let pattern = Pattern::anchored(&text.as_str().into()).unwrap();
        prop_assert!(pattern.is_match(text.as_bytes()));
    }
}
