//! Every captured packet and stream: read to what the independent decoder found in it, and written again byte for byte.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use folkmoot_memberlist::{
    Crc, Faults, Message, NodeState, StreamDecoder, StreamMessage, StreamRole, open, seal, seal_stream,
};
use serde_json::{Value, json};
use support::{Vector, unhex};

/// How many files there are: a new one must be looked at, not merely passed over.
const PACKETS: usize = 56;
const STREAMS: usize = 36;

#[test]
fn every_packet_is_read_and_written_as_go_does() {
    let mut checked = 0;
    for vector in Vector::all().iter().filter(|vector| vector.is_packet()) {
        let opened = open(&vector.layers(), &vector.bytes).unwrap();
        assert_eq!(opened.faults, Faults::default(), "{}", vector.name);
        let shown: Vec<Value> = opened.messages.iter().map(show).collect();
        let mut expected = Vec::new();
        flatten(&vector.json["decoded"]["message"], &mut expected);
        assert_eq!(shown, expected, "{}", vector.name);

        let parts: Vec<Bytes> = opened.messages.iter().map(Message::encode).collect();
        let crc = if vector.layer("crc32_ieee").is_some() { Crc::With } else { Crc::Without };
        let written = seal(&vector.layers(), &parts, crc, vector.nonce());
        assert_eq!(written, vector.bytes, "{}", vector.name);
        checked += 1;
    }
    assert_eq!(checked, PACKETS);
}

#[test]
fn every_stream_is_read_as_go_reads_it() {
    let mut checked = 0;
    for vector in Vector::all().iter().filter(|vector| !vector.is_packet()) {
        let at_once = read(vector, vector.bytes.len());
        assert_eq!(show_stream(&at_once), expected_stream(&vector.json["decoded"]["message"]), "{}", vector.name);
        for size in [1, 7, 100] {
            assert_eq!(read(vector, size), at_once, "{} in pieces of {size}", vector.name);
        }
        checked += 1;
    }
    assert_eq!(checked, STREAMS);
}

#[test]
fn every_stream_is_written_as_the_old_codec_does() {
    let mut identical = 0;
    for vector in Vector::all().iter().filter(|vector| !vector.is_packet()) {
        let message = read(vector, vector.bytes.len());
        let written = seal_stream(&vector.layers(), vector.writer(), &message, vector.nonce());
        let header = &vector.json["decoded"]["message"]["header_hex"];
        if header.as_str().is_some_and(|header| written_header(&message) != unhex(header)) {
            // The new codec writes lengths from 128 signed; ours writes them as the old one does (spec 1).
            assert!(vector.name.starts_with("lib_"), "{}", vector.name);
            assert_ne!(written, vector.bytes, "{}", vector.name);
            let again = Vector {
                bytes: written.to_vec(),
                name: vector.name.clone(),
                json: vector.json.clone(),
                keyring: vector.keyring.clone(),
                label: vector.label.clone(),
            };
            assert_eq!(read(&again, again.bytes.len()), message, "{}", vector.name);
            continue;
        }
        assert_eq!(written, vector.bytes, "{}", vector.name);
        identical += 1;
    }
    assert_eq!(identical, 28);
}

#[test]
fn a_wrong_key_label_or_role_opens_nothing() {
    for vector in Vector::all() {
        let mut layers = vector.layers();
        layers.label = b"red";
        if vector.is_packet() {
            assert!(open(&layers, &vector.bytes).is_err(), "{}", vector.name);
        } else if vector.reader() == StreamRole::Acceptor {
            assert!(StreamDecoder::new(StreamRole::Acceptor).push(&layers, &vector.bytes).is_err(), "{}", vector.name);
        }
        let other = folkmoot_memberlist::Keyring::new(&[], &[0xee; 32]).unwrap();
        let mut layers = vector.layers();
        layers.keyring = &other;
        if vector.is_packet() {
            assert!(open(&layers, &vector.bytes).is_err(), "{}", vector.name);
        } else {
            assert!(StreamDecoder::new(vector.reader()).push(&layers, &vector.bytes).is_err(), "{}", vector.name);
        }
    }
}

/// Reads a stream in pieces of `size`.
fn read(vector: &Vector, size: usize) -> StreamMessage {
    let mut decoder = StreamDecoder::new(vector.reader());
    let layers = vector.layers();
    vector.bytes.chunks(size).find_map(|piece| decoder.push(&layers, piece).unwrap()).unwrap()
}

/// The header map in front of a message's nodes or payload, as we write it.
fn written_header(message: &StreamMessage) -> Vec<u8> {
    let bytes = message.encode();
    let behind = match message {
        StreamMessage::PushPull(push_pull) => {
            let nodes: usize = push_pull.nodes.iter().map(|node| node_bytes(node).len()).sum();
            nodes + push_pull.user_state.len()
        }
        StreamMessage::User(payload) => payload.len(),
        StreamMessage::Ping(_) | StreamMessage::Ack(_) | StreamMessage::Error(_) => 0,
    };
    bytes[1..bytes.len() - behind].to_vec()
}

fn node_bytes(node: &NodeState) -> Vec<u8> {
    folkmoot_wire::to_vec(folkmoot_wire::Dialect::Gossip, node).unwrap()
}

fn typed(number: u8, body: impl serde::Serialize) -> Value {
    json!({"type": number, "fields": serde_json::to_value(body).unwrap()})
}

/// One of our messages in the form of [`expected`].
fn show(message: &Message) -> Value {
    match message {
        Message::Ping(body) => typed(0, body),
        Message::IndirectPing(body) => typed(1, body),
        Message::Ack(body) => typed(2, body),
        Message::Suspect(body) => typed(3, body),
        Message::Alive(body) => typed(4, body),
        Message::Dead(body) => typed(5, body),
        Message::User(payload) => json!({"type": 8, "payload": payload.to_vec()}),
        Message::Nack(body) => typed(11, body),
    }
}

fn show_stream(message: &StreamMessage) -> Value {
    match message {
        StreamMessage::Ping(body) => typed(0, body),
        StreamMessage::Ack(body) => typed(2, body),
        StreamMessage::User(payload) => json!({"type": 8, "payload": payload.to_vec()}),
        StreamMessage::Error(error) => json!({"type": 13, "fields": {"Error": error}}),
        StreamMessage::PushPull(push_pull) => json!({
            "type": 6,
            "join": push_pull.join,
            "nodes": serde_json::to_value(&push_pull.nodes).unwrap(),
            "user_state": push_pull.user_state.to_vec(),
        }),
    }
}

/// The messages that the capture found in a packet, in order.
fn flatten(message: &Value, out: &mut Vec<Value>) {
    match message["type"].as_u64().unwrap() {
        7 => message["parts"].as_array().unwrap().iter().for_each(|part| flatten(part, out)),
        8 => out.push(json!({"type": 8, "payload": unhex(message["user_payload_hex"].as_str().unwrap())})),
        9 => flatten(&message["inner"], out),
        number => out.push(json!({"type": number, "fields": expected(&message["fields"])})),
    }
}

fn expected_stream(message: &Value) -> Value {
    match message["type"].as_u64().unwrap() {
        6 => {
            let nodes: Vec<Value> = message["nodes"].as_array().unwrap().iter().map(expected).collect();
            assert_eq!(message["header"]["Nodes"], nodes.len());
            json!({
                "type": 6,
                "join": message["header"]["Join"],
                "nodes": nodes,
                "user_state": unhex(message["user_state_hex"].as_str().unwrap()),
            })
        }
        8 => json!({"type": 8, "payload": unhex(message["payload_hex"].as_str().unwrap())}),
        0 | 2 | 13 => json!({"type": message["type"], "fields": expected(&message["fields"])}),
        other => panic!("a stream does not carry type {other}"),
    }
}

/// Fields in the form in which serde_json shows ours: bytes as a list, nothing that is only for orientation.
fn expected(fields: &Value) -> Value {
    let mut shown = fields.as_object().unwrap().clone();
    shown.remove("keys_in_order");
    shown.remove("State_name");
    for value in shown.values_mut() {
        if let Some(bytes) = value.get("bytes") {
            *value = json!(unhex(bytes.as_str().unwrap()));
        }
    }
    Value::Object(shown)
}
