//! The codec of single messages against the tables made with both Go codecs.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const ENCODE: &str = include_str!("../../vectors/memberlist/tables/encode.json");
const LENIENT: &str = include_str!("../../vectors/memberlist/tables/lenient_decode.json");

fn rows(table: &str) -> Vec<Value> {
    let table: Value = serde_json::from_str(table).unwrap();
    table["rows"].as_array().unwrap().clone()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The table's fields in the form in which serde_json shows ours.
fn expected(fields: &Value) -> Value {
    let mut shown = fields.clone();
    for value in shown.as_object_mut().unwrap().values_mut() {
        if let Some(bytes) = value.get("bytes") {
            *value = json!(unhex(bytes.as_str().unwrap()));
        }
    }
    shown.as_object_mut().unwrap().remove("State_name");
    shown
}

/// Reads `body`, compares it with `fields`, and writes it again.
fn through<T: DeserializeOwned + Serialize>(body: &[u8], fields: &Value) -> Vec<u8> {
    let value: T = folkmoot_wire::decode(body).unwrap();
    if fields.is_object() {
        assert_eq!(serde_json::to_value(&value).unwrap(), expected(fields));
    }
    folkmoot_wire::to_vec(Dialect::Gossip, &value).unwrap()
}

#[test]
fn messages_are_read_from_both_go_codecs_and_written_as_the_old_one_does() {
    let mut checked = 0;
    for row in rows(ENCODE) {
        let Some(new) = row["hex"].as_str().map(unhex) else { continue };
        let old = row["hex_old_codec"].as_str().map_or_else(|| new.clone(), unhex);
        let name = row["name"].as_str().unwrap();
        let fields = &row["fields"];
        for message in [&new, &old] {
            let body = &message[1..];
            let written = match name.split('_').next().unwrap() {
                "nack" => through::<Nack>(body, fields),
                "ping" => through::<Ping>(body, fields),
                "indirect" => through::<IndirectPing>(body, fields),
                "ack" => through::<Ack>(body, fields),
                "err" => through::<ErrorBody>(body, fields),
                "suspect" => through::<Suspect>(body, fields),
                "dead" => through::<Dead>(body, fields),
                "alive" => through::<Alive>(body, fields),
                "pushpullheader" => through::<PushPullHeader>(body, fields),
                "usermsgheader" => through::<UserHeader>(body, fields),
                "pushnodestate" => through::<NodeState>(body, fields),
                other => panic!("row of an unknown kind: {other}"),
            };
            assert_eq!(written, old[1..], "{name}");
        }
        checked += 1;
    }
    assert_eq!(checked, 64);
}

#[test]
fn long_names_and_payloads_get_the_long_raw_forms() {
    let mut checked = 0;
    for row in rows(ENCODE).iter().filter(|row| row["hex"].is_null()) {
        let name = row["name"].as_str().unwrap();
        let length: usize = name.rsplit('_').next().unwrap().parse().unwrap();
        let written = if name.starts_with("ping") {
            let node = NodeName("n".repeat(length).into());
            Message::Ping(Ping { node, sequence: SequenceNumber(1), ..Ping::default() }).encode()
        } else {
            let payload = Some(Blob::from(vec![0xab; length]));
            Message::Ack(Ack { payload, sequence: SequenceNumber(42) }).encode()
        };
        let head = unhex(row["head"].as_str().unwrap());
        assert_eq!(written.len(), usize::try_from(row["len"].as_u64().unwrap()).unwrap(), "{name}");
        assert_eq!(written[..head.len()], head, "{name}");
        assert!(matches!(Message::decode(&written), Ok(message) if message.encode() == written));
        checked += 1;
    }
    assert_eq!(checked, 3);
}

/// A decoded struct as Go's `%+v` prints it: what `keys` lists, in that order; `*` marks byte slices, `"` strings.
fn go_text<T: DeserializeOwned + Serialize>(body: &[u8], keys: &str) -> Result<String, DecodeError> {
    let value: T = folkmoot_wire::decode(body)?;
    let shown = serde_json::to_value(value).unwrap();
    let fields: Vec<String> = keys
        .split(' ')
        .map(|key| {
            let name = key.trim_end_matches(['*', '"']);
            let text = match &shown[name] {
                Value::Array(bytes) => {
                    let bytes: Vec<String> = bytes.iter().map(ToString::to_string).collect();
                    format!("[{}]", bytes.join(" "))
                }
                Value::Null if key.ends_with('*') => "[]".to_owned(),
                Value::Null if key.ends_with('"') => String::new(),
                Value::Null => "0".to_owned(),
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => shown[name].to_string(),
            };
            format!("{name}:{text}")
        })
        .collect();
    Ok(format!("&{{{}}}", fields.join(" ")))
}

#[test]
fn every_row_of_the_tolerance_table_is_read_as_the_newest_go_codec_reads_it() {
    let rows = rows(LENIENT);
    for row in &rows {
        let body = unhex(row["body_hex"].as_str().unwrap());
        let name = row["name"].as_str().unwrap();
        let ours = match row["into"].as_str().unwrap() {
            "nack" => go_text::<Nack>(&body, "SeqNo"),
            "suspect" => go_text::<Suspect>(&body, "Incarnation Node\" From\""),
            "ack" => go_text::<Ack>(&body, "SeqNo Payload*"),
            "alive" => go_text::<Alive>(&body, "Incarnation Node\" Addr* Port Meta* Vsn*"),
            "indirect" => {
                go_text::<IndirectPing>(&body, "SeqNo Target* Port Node\" Nack SourceAddr* SourcePort SourceNode\"")
            }
            "pph" => go_text::<PushPullHeader>(&body, "Nodes UserStateLen Join"),
            "pns" => go_text::<NodeState>(&body, "Name\" Addr* Port Meta* Incarnation State Vsn*"),
            "compress" => go_text::<CompressBody>(&body, "Algo Buf*"),
            other => panic!("row of an unknown kind: {other}"),
        };
        let expected = match name {
            // Ours keeps six version bytes or none.
            "vsn_short" => Some("&{Incarnation:0 Node: Addr:[] Port:0 Meta:[] Vsn:[]}"),
            "vsn_long" => Some("&{Incarnation:0 Node: Addr:[] Port:0 Meta:[] Vsn:[1 5 2 2 5 5]}"),
            _ => row["new"]["go_value"].as_str(),
        };
        assert_eq!(expected.is_some(), row["new"]["accept"].as_bool().unwrap());
        assert_eq!(ours.as_ref().ok().map(String::as_str), expected, "{name}: {ours:?}");
    }
    assert_eq!(rows.len(), 94);
}

#[test]
fn types_without_a_place_in_a_datagram_are_refused() {
    assert_eq!(Message::decode(&[]), Err(MessageError::Empty));
    for number in [6, 7, 9, 10, 12, 13, 14, 99, 244, 255] {
        assert_eq!(Message::decode(&[number, 0x80]), Err(MessageError::Unsupported { number }));
    }
    assert_eq!(Message::decode(&[8]), Ok(Message::User(Bytes::new())));
    let error = Message::decode(&[11, 0xa0]).unwrap_err().to_string();
    assert!(error.starts_with("failed to decode nack: msgpack decode error at byte 0: invalid type: text"), "{error}");
}

#[test]
fn every_type_number_is_read_as_it_is_written() {
    let known: Vec<u8> = (0..=255).filter(|&byte| MessageType::from_byte(byte).is_some()).collect();
    assert_eq!(known, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 244]);
    for byte in known {
        assert_eq!(MessageType::from_byte(byte).unwrap().byte(), byte);
    }
}

/// Reads an array of the fields in Go's order: `a` is text or bytes, a number is itself.
fn from_array<T: DeserializeOwned + Serialize>(elements: &[&[u8]]) -> Value {
    let mut body = vec![0x90 | u8::try_from(elements.len()).unwrap()];
    body.extend(elements.concat());
    serde_json::to_value(folkmoot_wire::decode::<T>(&body).unwrap()).unwrap()
}

#[test]
fn arrays_are_read_in_the_order_in_which_go_declares_the_fields() {
    let (a, b) = (b"\xa1a", b"\xa1b");
    assert_eq!(
        from_array::<Ping>(&[&[1], a, b, &[2], b"\xa1c"]),
        json!({"SeqNo": 1, "Node": "a", "SourceAddr": b"b", "SourcePort": 2, "SourceNode": "c"})
    );
    assert_eq!(
        from_array::<IndirectPing>(&[&[1], a, &[2], b, &[0xc3], b"\xa1c", &[3], b"\xa1d"]),
        json!({
            "SeqNo": 1, "Target": b"a", "Port": 2, "Node": "b", "Nack": true,
            "SourceAddr": b"c", "SourcePort": 3, "SourceNode": "d",
        })
    );
    assert_eq!(from_array::<Ack>(&[&[1], a]), json!({"SeqNo": 1, "Payload": b"a"}));
    assert_eq!(from_array::<Nack>(&[&[1]]), json!({"SeqNo": 1}));
    assert_eq!(from_array::<Suspect>(&[&[1], a, b]), json!({"Incarnation": 1, "Node": "a", "From": "b"}));
    assert_eq!(from_array::<Dead>(&[&[1], a, b]), json!({"Incarnation": 1, "Node": "a", "From": "b"}));
    assert_eq!(
        from_array::<Alive>(&[&[1], a, b, &[2], b"\xa1c", b"\xa6vvvvvv"]),
        json!({"Incarnation": 1, "Node": "a", "Addr": b"b", "Port": 2, "Meta": b"c", "Vsn": b"vvvvvv"})
    );
    assert_eq!(
        from_array::<NodeState>(&[a, b, &[1], b"\xa1c", &[2], &[3], b"\xa6vvvvvv"]),
        json!({"Name": "a", "Addr": b"b", "Port": 1, "Meta": b"c", "Incarnation": 2, "State": 3, "Vsn": b"vvvvvv"})
    );
    assert_eq!(
        from_array::<PushPullHeader>(&[&[1], &[2], &[0xc3]]),
        json!({"Nodes": 1, "UserStateLen": 2, "Join": true})
    );
    assert_eq!(from_array::<CompressBody>(&[&[1], a]), json!({"Algo": 1, "Buf": b"a"}));
    assert_eq!(from_array::<UserHeader>(&[&[1]]), json!({"UserMsgLen": 1}));
    assert_eq!(from_array::<ErrorBody>(&[a]), json!({"Error": "a"}));
}
