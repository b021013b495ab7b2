//! What the serializer writes, in both dialects.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Blob, Dialect, Text, to_vec};

fn gossip<T: Serialize>(value: &T) -> Vec<u8> {
    to_vec(Dialect::Gossip, value).unwrap()
}

fn rpc<T: Serialize>(value: &T) -> Vec<u8> {
    to_vec(Dialect::Rpc, value).unwrap()
}

/// The first bytes of what is written for text and bytes of `length`.
fn heads(length: usize) -> [Vec<u8>; 4] {
    let text = Text::from("x".repeat(length));
    let blob = Blob::from(vec![7; length]);
    let head = |written: Vec<u8>| written[..written.len() - length].to_vec();
    [head(gossip(&text)), head(gossip(&blob)), head(rpc(&text)), head(rpc(&blob))]
}

#[test]
fn gossip_writes_text_and_bytes_as_old_raw_and_rpc_as_str_and_bin() {
    assert_eq!(heads(0), [vec![0xa0], vec![0xa0], vec![0xa0], vec![0xc4, 0]]);
    assert_eq!(heads(31), [vec![0xbf], vec![0xbf], vec![0xbf], vec![0xc4, 31]]);
    assert_eq!(heads(32), [vec![0xda, 0, 32], vec![0xda, 0, 32], vec![0xd9, 32], vec![0xc4, 32]]);
    assert_eq!(heads(255), [vec![0xda, 0, 255], vec![0xda, 0, 255], vec![0xd9, 255], vec![0xc4, 255]]);
    assert_eq!(heads(256), [vec![0xda, 1, 0], vec![0xda, 1, 0], vec![0xda, 1, 0], vec![0xc5, 1, 0]]);
    let long = [0xdb, 0, 1, 0, 0].to_vec();
    assert_eq!(heads(65536), [long.clone(), long.clone(), long, vec![0xc6, 0, 1, 0, 0]]);
}

#[test]
fn a_str_is_written_like_a_text() {
    for dialect in [Dialect::Gossip, Dialect::Rpc] {
        let text = "ö".repeat(40);
        assert_eq!(to_vec(dialect, text.as_str()).unwrap(), to_vec(dialect, &Text::from(text.as_str())).unwrap());
        assert_eq!(to_vec(dialect, &'ö').unwrap(), [0xa2, 0xc3, 0xb6]);
    }
}

#[test]
fn text_that_is_not_utf8_keeps_its_bytes() {
    let text = Text::from_bytes(bytes::Bytes::from_static(&[0xff, 0xfe]));
    assert_eq!(gossip(&text), [0xa2, 0xff, 0xfe]);
    assert_eq!(rpc(&text), [0xa2, 0xff, 0xfe]);
    assert_eq!(serde_json::to_string(&text).unwrap(), "\"\u{fffd}\u{fffd}\"");
}

#[test]
fn bytes_behind_a_text_are_bytes_again() {
    assert_eq!(rpc(&(Text::from("a"), Blob::from(vec![1]))), [0x92, 0xa1, b'a', 0xc4, 1, 1]);
}

#[test]
fn integers_are_written_unsigned_and_shortest() {
    let rows: &[(i64, &[u8])] = &[
        (0, &[0]),
        (127, &[127]),
        (128, &[0xcc, 128]),
        (255, &[0xcc, 255]),
        (256, &[0xcd, 1, 0]),
        (65535, &[0xcd, 255, 255]),
        (65536, &[0xce, 0, 1, 0, 0]),
        (4_294_967_296, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        (-1, &[0xff]),
        (-32, &[0xe0]),
        (-33, &[0xd0, 0xdf]),
        (-128, &[0xd0, 0x80]),
        (-129, &[0xd1, 0xff, 0x7f]),
        (-32769, &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
        (-2_147_483_649, &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
    ];
    for (value, bytes) in rows {
        assert_eq!(gossip(value), *bytes, "{value}");
        assert_eq!(rpc(value), *bytes, "{value}");
        if let Ok(value) = u64::try_from(*value) {
            assert_eq!(gossip(&value), *bytes, "{value}");
        }
    }
    assert_eq!(gossip(&u64::MAX), [0xcf, 255, 255, 255, 255, 255, 255, 255, 255]);
}

#[test]
fn other_values_have_one_form() {
    assert_eq!(gossip(&true), [0xc3]);
    assert_eq!(gossip(&false), [0xc2]);
    assert_eq!(gossip(&1.0f64), [0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(gossip(&()), [0xc0]);
    assert_eq!(gossip(&vec![Some(1u8), None]), [0x92, 1, 0xc0]);
    assert_eq!(gossip(&vec![0u8; 16])[..3], [0xdc, 0, 16]);
    assert_eq!(
        gossip(&BTreeMap::from([(Text::from("b"), 2), (Text::from("a"), 1)])),
        [0x82, 0xa1, b'a', 1, 0xa1, b'b', 2]
    );
}

#[test]
fn nil_and_empty_bytes_are_told_apart() {
    assert_eq!(gossip(&None::<Blob>), [0xc0]);
    assert_eq!(gossip(&Some(Blob::default())), [0xa0]);
    assert_eq!(rpc(&Some(Blob::default())), [0xc4, 0]);
}

#[derive(Serialize)]
struct Sorted {
    #[serde(rename = "Addr", skip_serializing_if = "Option::is_none")]
    address: Option<u8>,
    #[serde(rename = "Node")]
    node: Text,
}

#[test]
fn a_struct_is_a_map_and_skipped_fields_do_not_count() {
    let node = Text::from("n");
    let written = gossip(&Sorted { address: Some(1), node: node.clone() });
    assert_eq!(written, [&[0x82, 0xa4][..], b"Addr", &[1, 0xa4], b"Node", &[0xa1, b'n']].concat());
    let written = gossip(&Sorted { address: None, node });
    assert_eq!(written, [&[0x81, 0xa4][..], b"Node", &[0xa1, b'n']].concat());
}

#[test]
fn a_struct_whose_fields_do_not_ascend_is_refused() {
    #[derive(Serialize)]
    struct Unsorted {
        #[serde(rename = "Node")]
        node: u8,
        #[serde(rename = "Addr")]
        address: u8,
    }
    let error = to_vec(Dialect::Gossip, &Unsorted { node: 1, address: 2 }).unwrap_err();
    assert_eq!(error.0, "field Addr must not stand behind Node: Go sorts the keys of a struct");
}

#[test]
fn a_struct_with_one_key_twice_is_refused() {
    struct Twice;
    impl Serialize for Twice {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeStruct;
            let mut fields = serializer.serialize_struct("Twice", 2)?;
            fields.serialize_field("Node", &1)?;
            fields.serialize_field("Node", &2)?;
            fields.end()
        }
    }
    assert!(to_vec(Dialect::Rpc, &Twice).is_err());
}

#[test]
fn a_map_of_unknown_length_gets_its_header_when_it_ends() {
    struct Counted(usize);
    impl Serialize for Counted {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeMap;
            let mut map = serializer.serialize_map(None)?;
            for number in 0..self.0 {
                map.serialize_entry(&number, &0)?;
            }
            map.end()
        }
    }
    assert_eq!(gossip(&(9, Counted(1))), [0x92, 9, 0x81, 0, 0]);
    assert_eq!(gossip(&Counted(16))[..5], [0xde, 0, 16, 0, 0]);
}

#[test]
fn a_container_that_breaks_its_word_is_refused() {
    struct Liar;
    impl Serialize for Liar {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            serializer.serialize_seq(Some(2))?.end()
        }
    }
    assert_eq!(to_vec(Dialect::Rpc, &Liar).unwrap_err().0, "0 elements where 2 were announced");
}

#[test]
fn variants_are_a_name_or_a_map_from_it() {
    #[derive(Serialize)]
    enum Shape {
        Point,
        Circle(u8),
        Line(u8, u8),
        Square { width: u8, height: u8 },
    }
    assert_eq!(gossip(&Shape::Point), [&[0xa5][..], b"Point"].concat());
    assert_eq!(gossip(&Shape::Circle(3)), [&[0x81, 0xa6][..], b"Circle", &[3]].concat());
    assert_eq!(gossip(&Shape::Line(3, 4)), [&[0x81, 0xa4][..], b"Line", &[0x92, 3, 4]].concat());
    let square = [&[0x81, 0xa6][..], b"Square", &[0x82, 0xa5], b"width", &[1, 0xa6], b"height", &[2]].concat();
    assert_eq!(gossip(&Shape::Square { width: 1, height: 2 }), square);
}
