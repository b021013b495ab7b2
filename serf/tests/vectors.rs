//! What real Go agents sent and wrote, read and written by us: every record of `vectors/serf`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests, which read files"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::coordinates::CoordinateClient;
use folkmoot_serf::messages::{
    ConflictResponse, Filter, KeyRequest, KeyResult, MemberRecord, Message, PushPull, QueryMessage,
    QueryResponseMessage, Relay,
};
use folkmoot_serf::records::{AfterLeave, Replay};
use folkmoot_serf::{Coordinate, LamportTime, NodeName, Restored, Tags, Text};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};

#[test]
fn messages_decode_and_encode_byte_for_byte() {
    let records = records("messages.json");
    let (mut same_bytes, mut same_meaning) = (0, 0);
    for record in &records {
        let bytes = hex(&record["hex"]);
        let name = record["name"].as_str().unwrap();
        let message = Message::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shown(&message), *without_annotations(record), "{name}");
        check_annotations(name, &message, &record["decoded"]);
        let encoded = encode(&message);
        // 0.10.2 writes signed fields (`Timeout`, `Port`) in signed form; we write the form that both read.
        let signed = name.starts_with("0.10.2-dev/") && matches!(message, Message::Query(_) | Message::Relay(_));
        if signed {
            assert_eq!(Message::decode(&encoded), Ok(message), "{name}");
            same_meaning += 1;
        } else {
            assert_eq!(encoded, bytes, "{name}");
            same_bytes += 1;
        }
    }
    assert_eq!((records.len(), same_bytes, same_meaning), (110, 86, 24));
}

#[test]
fn push_pull_states_decode_and_encode() {
    let records = records("pushpull.json");
    for record in &records {
        let bytes = hex(&record["hex"]);
        let name = record["name"].as_str().unwrap();
        let state = PushPull::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shown_push_pull(&state), record["decoded"]["body"], "{name}");
        let encoded = state.encode();
        // Go writes StatusLTimes in random order: same bytes only where there is nothing to reorder.
        assert_eq!(encoded.len(), bytes.len(), "{name}");
        assert_eq!(PushPull::decode(&encoded).as_ref(), Ok(&state), "{name}");
        if state.status_ltimes.len() == 1 {
            assert_eq!(encoded, bytes, "{name}");
        }
    }
    assert_eq!(records.len(), 13);
}

#[test]
fn meta_data_decodes_to_tags_and_back() {
    let records = records("meta.json");
    for record in &records {
        let bytes = hex(&record["hex"]);
        let decoded = Tags::decode(&bytes);
        assert_eq!(decoded.damage, None, "{record}");
        assert_eq!(shown_map(&decoded.tags.0), record["decoded"]["tags"], "{record}");
        let protocol = &record["decoded"]["vsn_pmin_pmax_pcur_dmin_dmax_dcur"][5];
        let encoded = decoded.tags.encode(protocol.as_u64().unwrap().try_into().unwrap()).unwrap();
        assert_eq!(encoded.len(), bytes.len(), "{record}");
        assert_eq!(Tags::decode(&encoded), decoded, "{record}");
        if decoded.tags.0.len() < 2 {
            assert_eq!(encoded, bytes, "{record}");
        }
    }
    assert_eq!(records.len(), 15);
}

#[test]
fn ping_payloads_decode_and_encode_byte_for_byte() {
    let records = records("ping_payload.json");
    for record in &records {
        let bytes = hex(&record["hex"]);
        let coordinate = Coordinate::decode_payload(&bytes).unwrap().unwrap();
        assert_eq!(coordinate, read_coordinate(&record["decoded"]["coordinate"]));
        assert_eq!(coordinate.encode_payload(), bytes);
    }
    assert_eq!(records.len(), 8);
}

#[test]
fn coordinates_move_as_in_real_agents_to_the_last_bit() {
    let file = load("coordinates.json");
    let mut steps_run = 0;
    for replay in file["replays"].as_array().unwrap() {
        let other = read_coordinate(&replay["other"]);
        let mut client = CoordinateClient::new();
        let mut random = ChaCha8Rng::from_seed([0; 32]);
        for (number, step) in replay["steps"].as_array().unwrap().iter().enumerate() {
            let seconds = step["rtt_seconds_after_median_filter"].as_f64().unwrap();
            let round_trip = Duration::from_nanos((seconds * 1e9).round() as u64);
            // Another name each time: these round trips have been through the filter.
            let node = NodeName(Text::from(format!("n{number}")));
            client.update(&node, &other, round_trip, &mut random).unwrap();
            assert_same(client.coordinate(), &read_coordinate(&step["coordinate_after"]));
            let distance = step["distance_to_other_ns"].as_u64().unwrap();
            assert_eq!(client.distance_to(&other), Some(Duration::from_nanos(distance)));
            steps_run += 1;
        }
    }
    assert_eq!(steps_run, 16);
}

#[test]
fn distances_are_gos() {
    let file = load("coordinates.json");
    let mut cases = 0;
    for case in file["unit"].as_array().unwrap().iter().filter(|case| case["name"] == "distance") {
        let (a, b) = (read_coordinate(&case["a"]), read_coordinate(&case["b"]));
        let expected = Some(Duration::from_nanos(case["expected_ns"].as_u64().unwrap()));
        assert_eq!((a.distance_to(&b), b.distance_to(&a)), (expected, expected), "{case}");
        cases += 1;
    }
    assert_eq!(cases, 4);
}

#[test]
fn snapshots_bring_back_what_go_remembers() {
    let both = ["n1 127.0.12.1:7946", "n2 127.0.12.2:7946"];
    let all = ["n1 127.0.12.1:7946", "n2 127.0.12.2:7946", "n3 with space 127.0.12.3:7946"];
    let v6 = ["v6n1 [::1]:7951", "v6n2 [::1]:7952", "v6n3 [::1]:7953"];
    // File, members and clocks (member, event, query) forgetting at `leave`, and rejoining.
    type Expected<'a> = (&'a [&'a str], [u64; 3]);
    let cases: &[(&str, Expected<'_>, Expected<'_>)] = &[
        ("00-fresh.snap", (&both[..1], [0, 0, 0]), (&both[..1], [0, 0, 0])),
        ("01-running-joined.snap", (&all, [1, 1, 0]), (&all, [1, 1, 0])),
        ("02-after-n2-leave-n3-fail.snap", (&both[..1], [2, 3, 1]), (&both[..1], [2, 3, 1])),
        ("03-after-kill9.snap", (&both, [2, 3, 1]), (&both, [2, 3, 1])),
        ("04-after-auto-rejoin.snap", (&both, [2, 3, 1]), (&both, [2, 3, 1])),
        ("05-after-graceful-leave.snap", (&[], [5, 0, 0]), (&both, [5, 3, 1])),
        ("06-restart-after-leave-no-rejoin.snap", (&both[..1], [5, 0, 0]), (&both, [5, 3, 1])),
        ("07-left-again.snap", (&[], [8, 0, 0]), (&both, [8, 3, 1])),
        ("08-restart-after-leave-with-rejoin.snap", (&both[..1], [8, 0, 0]), (&both, [8, 3, 1])),
        ("09-before-compaction-excerpt.txt", (&both, [7, 7_095, 0]), (&both, [7, 7_095, 1])),
        ("10-just-after-compaction-0.10.2-dev.snap", (&both, [10, 7_322, 1]), (&both, [10, 7_322, 1])),
        ("10-just-after-compaction.snap", (&both, [10, 7_322, 1]), (&both, [10, 7_322, 1])),
        ("11-ipv6.snap", (&v6, [1, 0, 1]), (&v6, [1, 0, 1])),
        // The hand-written file takes the event clock back from 42 to 7, which Go follows; ours never goes back.
        ("12-legacy-lines.snap", (&["baz [::1]:7946"], [100, 42, 50]), (&["baz [::1]:7946"], [100, 42, 50])),
    ];
    let mut files: Vec<String> = std::fs::read_dir(vectors().join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, cases.iter().map(|&(file, ..)| file).collect::<Vec<_>>());
    for &(file, forget, rejoin) in cases {
        let bytes = std::fs::read(vectors().join("snapshots").join(file)).unwrap();
        for (after_leave, expected) in [(AfterLeave::Forget, forget), (AfterLeave::Rejoin, rejoin)] {
            let replay = Replay::read(&bytes, after_leave);
            assert_eq!(replay.restored, restored(expected.0, expected.1), "{file} {after_leave:?}");
            if file == "12-legacy-lines.snap" {
                let torn = b"alive: torn 127.0.0.1:1".len();
                assert_eq!(replay.whole_bytes, bytes.len() - torn);
                let skipped = ["nospace", "notanumber", "future-line"];
                assert_eq!(replay.warnings.len(), skipped.len());
                for (warning, part) in replay.warnings.iter().zip(skipped) {
                    assert!(warning.contains(part), "{warning}");
                }
            } else {
                assert_eq!((replay.whole_bytes, replay.warnings.len()), (bytes.len(), 0), "{file}");
            }
            if file.starts_with("10-") {
                assert_eq!(replay.restored.compact(), bytes, "{file}: compacting gives the same file");
            }
        }
    }
}

fn restored(members: &[&str], [clock, event_clock, query_clock]: [u64; 3]) -> Restored {
    let member = |line: &&str| {
        let (name, address) = line.rsplit_once(' ').unwrap();
        (NodeName(name.into()), address.parse().unwrap())
    };
    Restored {
        members: members.iter().map(member).collect(),
        failed: BTreeMap::new(),
        clock: LamportTime(clock),
        event_clock: LamportTime(event_clock),
        query_clock: LamportTime(query_clock),
    }
}

/// What stands beside a message in its record: decoded filters and payloads.
fn check_annotations(name: &str, message: &Message, decoded: &Value) {
    if let (Message::Query(query), Some(filters)) = (message, decoded.get("filters_decoded")) {
        let shown: Vec<Value> = query.filters.iter().map(shown_filter).collect();
        assert_eq!(&Value::Array(shown), filters, "{name}");
    }
    let Some(expected) = decoded.get("payload_decoded") else { return };
    let payload = match message {
        Message::Query(QueryMessage { payload, .. }) | Message::QueryResponse(QueryResponseMessage { payload, .. }) => {
            payload.clone().unwrap()
        }
        Message::Leave(_) | Message::Join(_) | Message::UserEvent(_) | Message::Relay(_) => {
            panic!("{name}: no such payload")
        }
    };
    let body = match expected["type"].as_str().unwrap() {
        "keyRequest" => {
            let request = KeyRequest::decode(&payload).unwrap();
            assert_eq!(request.encode(), payload, "{name}");
            json!({ "Key": shown_bytes(request.key.as_ref()) })
        }
        "keyResponse" => {
            let result = KeyResult::decode(&payload).unwrap();
            assert_eq!(result.encode(), payload, "{name}");
            let keys = result.keys.as_ref().map(|keys| keys.iter().map(text).collect::<Vec<_>>());
            json!({ "Keys": keys, "Message": text(&result.message), "PrimaryKey": text(&result.primary_key),
                    "Result": result.result })
        }
        "conflictResponse" => {
            let response = ConflictResponse::decode(&payload).unwrap();
            assert_eq!(ConflictResponse::decode(&response.encode()).as_ref(), Ok(&response), "{name}");
            response.0.as_ref().map_or(Value::Null, shown_member)
        }
        other => panic!("{name}: unknown payload {other}"),
    };
    assert_eq!(body, expected["body"], "{name}");
}

fn encode(message: &Message) -> Bytes {
    match message {
        Message::Leave(intent) => intent.encode(),
        Message::Join(intent) => intent.encode(),
        Message::UserEvent(event) => event.encode(),
        Message::Query(query) => query.encode(),
        Message::QueryResponse(response) => response.encode(),
        Message::Relay(relay) => Relay::encode(&relay.header, &relay.inner),
    }
}

fn shown(message: &Message) -> Value {
    match message {
        Message::Leave(intent) => json!({ "type": "leave", "body": {
            "LTime": intent.ltime.0, "Node": text(&intent.node.0), "Prune": intent.prune } }),
        Message::Join(intent) => json!({ "type": "join", "body": {
            "LTime": intent.ltime.0, "Node": text(&intent.node.0) } }),
        Message::UserEvent(event) => json!({ "type": "userEvent", "body": {
            "CC": event.coalesce, "LTime": event.ltime.0, "Name": text(&event.name),
            "Payload": shown_bytes(event.payload.as_ref()) } }),
        Message::Query(query) => {
            let filters: Vec<Value> = query.filters.iter().map(|filter| shown_bytes(Some(filter))).collect();
            json!({ "type": "query", "body": {
                "Addr": shown_bytes(query.address.as_ref()),
                "Filters": if filters.is_empty() { Value::Null } else { Value::Array(filters) },
                "Flags": query.flags, "ID": query.id, "LTime": query.ltime.0, "Name": text(&query.name),
                "Payload": shown_bytes(query.payload.as_ref()), "Port": query.port,
                "RelayFactor": query.relay_factor, "SourceNode": text(&query.source_node.0),
                "Timeout": query.timeout_ns } })
        }
        Message::QueryResponse(response) => json!({ "type": "queryResponse", "body": {
            "Flags": response.flags, "From": text(&response.from.0), "ID": response.id, "LTime": response.ltime.0,
            "Payload": shown_bytes(response.payload.as_ref()) } }),
        Message::Relay(relay) => {
            let destination = &relay.header.destination;
            json!({ "type": "relay",
                "header": { "DestName": text(&relay.header.destination_name.0), "DestAddr": {
                    "IP": shown_bytes(destination.ip.as_ref()), "Port": destination.port,
                    "Zone": text(&destination.zone) } },
                "inner": shown(&Message::decode(&relay.inner).unwrap()) })
        }
    }
}

fn shown_push_pull(state: &PushPull) -> Value {
    let slots = state.events.iter().enumerate().filter_map(|(index, slot)| slot.as_ref().map(|slot| (index, slot)));
    let slots: Vec<Value> = slots
        .map(|(index, slot)| {
            let event = |event: &folkmoot_serf::messages::SlotEvent| {
                json!({ "Name": text(&event.name), "Payload": shown_bytes(event.payload.as_ref()) })
            };
            let events: Vec<Value> = slot.events.iter().map(event).collect();
            json!({ "index": index, "LTime": slot.ltime.0, "Events": events })
        })
        .collect();
    let times: BTreeMap<String, u64> = state.status_ltimes.iter().map(|(name, time)| (text(&name.0), time.0)).collect();
    json!({ "LTime": state.ltime.0, "EventLTime": state.event_ltime.0, "QueryLTime": state.query_ltime.0,
        "Events": { "array_len": state.events.len(), "non_nil": slots },
        "LeftMembers": state.left_members.iter().map(|name| text(&name.0)).collect::<Vec<_>>(),
        "StatusLTimes": times })
}

fn shown_member(member: &MemberRecord) -> Value {
    json!({ "Name": text(&member.name.0), "Addr": shown_bytes(member.address.as_ref()), "Port": member.port,
        "Tags": shown_map(&member.tags), "Status": member.status,
        "ProtocolMin": member.protocol_min, "ProtocolMax": member.protocol_max, "ProtocolCur": member.protocol_cur,
        "DelegateMin": member.delegate_min, "DelegateMax": member.delegate_max, "DelegateCur": member.delegate_cur })
}

fn shown_filter(bytes: &Bytes) -> Value {
    let filter = Filter::decode(bytes).unwrap();
    assert_eq!(&filter.encode(), bytes);
    match filter {
        Filter::Nodes(names) => {
            json!({ "filterType": 0, "body": names.iter().map(|name| text(&name.0)).collect::<Vec<_>>() })
        }
        Filter::Tag(filter) => {
            json!({ "filterType": 1, "body": { "Expr": text(&filter.expression), "Tag": text(&filter.tag) } })
        }
    }
}

fn shown_map(map: &BTreeMap<Text, Text>) -> Value {
    Value::Object(map.iter().map(|(name, value)| (text(name), Value::String(text(value)))).collect())
}

/// As the vectors show bytes: printable ASCII as text, anything else in hex.
fn shown_bytes(bytes: Option<&Bytes>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    if bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return json!(std::str::from_utf8(bytes).unwrap());
    }
    json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
}

/// The `decoded` of a record without what is only there to help the reader.
fn without_annotations(record: &Value) -> Box<Value> {
    let mut decoded = record["decoded"].clone();
    let object = decoded.as_object_mut().unwrap();
    object.remove("filters_decoded");
    object.remove("payload_decoded");
    Box::new(decoded)
}

/// Bit for bit where Go does not fuse multiplication and addition, within 1e-12 elsewhere.
#[track_caller]
fn assert_same(left: &Coordinate, right: &Coordinate) {
    let numbers = |coordinate: &Coordinate| {
        let Coordinate { vec, error, adjustment, height } = coordinate.clone();
        vec.into_iter().chain([error, adjustment, height]).collect::<Vec<f64>>()
    };
    assert_eq!(left.vec.len(), right.vec.len());
    for (left, right) in numbers(left).into_iter().zip(numbers(right)) {
        if cfg!(target_arch = "x86_64") {
            assert_eq!(left, right);
        } else {
            assert!((left - right).abs() < 1e-12, "{left} is not {right}");
        }
    }
}

fn read_coordinate(value: &Value) -> Coordinate {
    serde_json::from_value(value.clone()).unwrap()
}

fn text(text: &Text) -> String {
    text.as_str().unwrap().to_string()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn records(file: &str) -> Vec<Value> {
    load(file).as_array().unwrap().clone()
}

fn load(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(vectors().join(file)).unwrap()).unwrap()
}

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors/serf")
}
