//! The tolerance tables (`docs/spec/memberlist.md` 3.2, `docs/spec/serf-gossip.md` 1, `docs/spec/rpc.md` 3), row by row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::MAX_DEPTH;
use crate::{Blob, DecodeError, Dialect, Text, decode, decode_prefix, to_vec};

/// Declared in wire order; Go declares Seq, Name, Data, Flag.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "Seq,Name,Data,Flag"))]
struct Record {
    #[serde(rename = "Data")]
    data: Option<Blob>,
    #[serde(rename = "Flag")]
    flag: bool,
    #[serde(rename = "Name")]
    name: Text,
    #[serde(rename = "Seq")]
    sequence: u32,
}

fn sequence(sequence: u32) -> Record {
    Record { sequence, ..Record::default() }
}

fn record(bytes: &[u8]) -> Result<Record, DecodeError> {
    decode(bytes)
}

/// `{key: value}` for each pair, joined from pieces.
fn map(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = vec![0x80 | u8::try_from(pairs.len()).unwrap()];
    for (key, value) in pairs {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    out
}

const SEQ: &[u8] = b"\xa3Seq";

#[test]
fn unknown_keys_of_any_value_are_skipped() {
    let values: &[&[u8]] = &[
        b"\xa3bar",
        &[0x82, 0xa1, b'a', 1, 0xa1, b'b', 0x92, 1, 0xc0],
        &[0xc4, 2, 1, 2],
        &[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
        &[0xd4, 1, 0xff],
        &[0xc7, 3, 5, 1, 2, 3],
        &[0x81, 1, 2],
    ];
    for value in values {
        assert_eq!(record(&map(&[(b"\xa3Foo", value), (SEQ, &[42])])), Ok(sequence(42)), "{value:02x?}");
    }
}

#[test]
fn keys_may_come_in_any_order_and_width() {
    let forms: &[&[u8]] = &[SEQ, b"\xd9\x03Seq", b"\xda\x00\x03Seq", b"\xdb\x00\x00\x00\x03Seq", b"\xc4\x03Seq"];
    for key in forms {
        assert_eq!(record(&map(&[(b"\xa4Name", b"\xa1n"), (key, &[42])])).unwrap().sequence, 42, "{key:02x?}");
    }
    assert_eq!(record(&[&[0xde, 0, 1][..], SEQ, &[42]].concat()), Ok(sequence(42)));
    assert_eq!(record(&[&[0xdf, 0, 0, 0, 1][..], SEQ, &[42]].concat()), Ok(sequence(42)));
}

#[test]
fn missing_keys_and_keys_of_other_case_leave_the_default() {
    assert_eq!(record(&[0x80]), Ok(Record::default()));
    assert_eq!(record(&map(&[(b"\xa3seq", &[42])])), Ok(Record::default()));
}

#[test]
fn of_doubled_keys_the_last_wins() {
    assert_eq!(record(&map(&[(SEQ, &[1]), (b"\xa4Flag", &[0xc3]), (SEQ, &[2])])).unwrap().sequence, 2);
}

#[test]
fn keys_that_are_not_text_are_refused() {
    for key in [&[1][..], &[0xc0], &[0xc2], &[0x90], &[0xff], &[0xca, 0, 0, 0, 0], &[0xd4, 0, 0]] {
        let error = record(&map(&[(key, &[2]), (SEQ, &[42])])).unwrap_err();
        assert!(error.at == 1 && error.reason.starts_with("a key must be text"), "{error}");
    }
    for key in [&[0xc0][..], &[0x90], &[0x80], &[1], &[0xc3]] {
        assert!(decode::<BTreeMap<Text, u8>>(&map(&[(key, &[2])])).is_err(), "{key:02x?}");
    }
}

#[test]
fn what_follows_the_value_is_ignored_and_counted() {
    let bytes = [&map(&[(SEQ, &[42])])[..], &[0xff, 0xff]].concat();
    assert_eq!(record(&bytes), Ok(sequence(42)));
    assert_eq!(decode_prefix::<Record>(&bytes), Ok((sequence(42), 6)));
}

#[test]
fn truncation_anywhere_is_an_error_at_the_end() {
    let whole = map(&[(b"\xa4Name", b"\xa3abc"), (b"\xa3Foo", &[0x92, 1, 2]), (SEQ, &[0xcd, 1, 0])]);
    for cut in 0..whole.len() {
        let error = record(&whole[..cut]).unwrap_err();
        assert_eq!(error, DecodeError::truncated(cut), "cut at {cut}");
    }
}

#[test]
fn unsigned_targets_take_every_integer_form_that_fits() {
    let forms: &[(&[u8], u32)] = &[
        (&[0x2a], 42),
        (&[0xcc, 42], 42),
        (&[0xcd, 0, 42], 42),
        (&[0xce, 0, 0, 0, 42], 42),
        (&[0xcf, 0, 0, 0, 0, 0, 0, 0, 42], 42),
        (&[0xd0, 42], 42),
        (&[0xd1, 1, 42], 298),
        (&[0xd2, 0, 0, 1, 42], 298),
        (&[0xd3, 0, 0, 0, 0, 0, 0, 1, 42], 298),
        (&[0xc0], 0),
        (&[0xce, 255, 255, 255, 255], u32::MAX),
    ];
    for (bytes, expected) in forms {
        assert_eq!(decode::<u32>(bytes), Ok(*expected), "{bytes:02x?}");
    }
}

#[test]
fn what_does_not_fit_an_unsigned_target_is_refused() {
    let bad: &[&[u8]] = &[
        &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0],
        &[0xff],
        &[0xd0, 0x80],
        &[0xd3, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0xca, 0x42, 0x28, 0, 0],
        &[0xcb, 0x40, 0x45, 0, 0, 0, 0, 0, 0],
        &[0xc3],
        &[0xc2],
        b"\xa242",
        &[0x90],
        &[0x80],
        &[0xd4, 1, 1],
        &[0xc1],
    ];
    for bytes in bad {
        assert!(decode::<u32>(bytes).is_err(), "{bytes:02x?}");
    }
    assert!(decode::<u16>(&[0xce, 0, 1, 0, 0]).is_err());
    assert!(decode::<u8>(&[0xcd, 1, 0]).is_err());
    assert_eq!(decode::<u64>(&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]), Ok(u64::MAX));
}

#[test]
fn signed_targets_take_both_families_and_check_their_range() {
    assert_eq!(decode::<i64>(&[0xcd, 0, 128]), Ok(128));
    assert_eq!(decode::<i64>(&[0xd1, 0, 128]), Ok(128));
    assert_eq!(decode::<i64>(&[0xff]), Ok(-1));
    assert_eq!(decode::<i64>(&[0xd3, 128, 0, 0, 0, 0, 0, 0, 0]), Ok(i64::MIN));
    assert_eq!(decode::<i32>(&[0xcc, 5]), Ok(5));
    assert_eq!(decode::<i32>(&[0xc0]), Ok(0));
    assert_eq!(decode::<i64>(&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]), Ok(-1), "Go takes the bits");
    assert!(decode::<i32>(&[0xce, 255, 255, 255, 255]).is_err());
    assert!(decode::<i64>(&[0xcb, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    assert!(decode::<i64>(&[0xc2]).is_err());
    assert!(decode::<i64>(b"\xa15").is_err());
}

#[test]
fn bools_come_from_bools_nil_and_fixint_0_and_1_only() {
    let forms: &[(&[u8], bool)] = &[(&[0xc2], false), (&[0xc3], true), (&[0], false), (&[1], true), (&[0xc0], false)];
    for (bytes, expected) in forms {
        assert_eq!(decode::<bool>(bytes), Ok(*expected), "{bytes:02x?}");
    }
    for bytes in [&[2][..], &[0xcc, 1], &[0xff], &[0xd0, 1], b"\xa1t", &[0xca, 0, 0, 0, 0], &[0x90]] {
        assert!(decode::<bool>(bytes).is_err(), "{bytes:02x?}");
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "the bits are copied")]
fn floats_come_from_floats_integers_and_nil() {
    assert_eq!(decode::<f64>(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]).unwrap(), 1.5);
    assert_eq!(decode::<f64>(&[0xca, 0x3f, 0xc0, 0, 0]).unwrap(), 1.5);
    assert_eq!(decode::<f64>(&[2]).unwrap(), 2.0);
    assert_eq!(decode::<f64>(&[0xcd, 1, 0]).unwrap(), 256.0);
    assert_eq!(decode::<f64>(&[0xff]).unwrap(), -1.0);
    assert_eq!(decode::<f64>(&[0xc0]).unwrap(), 0.0);
    assert!(decode::<f64>(b"\xa11").is_err());
    assert!(decode::<f64>(&[0xc3]).is_err());
}

/// Every form in which three bytes may come.
const FOO: &[&[u8]] = &[
    b"\xa3foo",
    b"\xd9\x03foo",
    b"\xda\x00\x03foo",
    b"\xdb\x00\x00\x00\x03foo",
    b"\xc4\x03foo",
    b"\xc5\x00\x03foo",
    b"\xc6\x00\x00\x00\x03foo",
    b"\x93foo",
    b"\xdc\x00\x03foo",
    b"\x93\xccf\xd0oo",
];

#[test]
fn text_and_bytes_come_from_every_form() {
    for form in FOO {
        assert_eq!(decode::<Text>(form), Ok(Text::from("foo")), "{form:02x?}");
        assert_eq!(decode::<String>(form), Ok("foo".to_owned()), "{form:02x?}");
        assert_eq!(decode::<Blob>(form), Ok(Blob::from(&b"foo"[..])), "{form:02x?}");
        assert_eq!(decode::<Vec<u8>>(form), Ok(b"foo".to_vec()), "{form:02x?}");
    }
    assert_eq!(decode::<Text>(&[0xc0]), Ok(Text::default()));
    assert_eq!(decode::<String>(&[0xc0]), Ok(String::new()));
    assert_eq!(decode::<Blob>(&[0xc0]), Ok(Blob::default()));
    assert_eq!(decode::<Vec<u8>>(&[0xc0]), Ok(Vec::new()));
    assert_eq!(decode::<Blob>(&[0x81, 1, 2]), Ok(Blob::from(&[1, 2][..])), "Go reads a map as a list of bytes");
}

#[test]
fn what_is_neither_text_nor_bytes_is_refused() {
    for form in [&[5][..], &[0xc2], &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0], &[0xd4, 0, 0], &[0x91, 0xcd, 1, 0], &[0x91, 0xff]]
    {
        assert!(decode::<Text>(form).is_err(), "{form:02x?}");
        assert!(decode::<Blob>(form).is_err(), "{form:02x?}");
    }
}

#[test]
fn text_that_is_not_utf8_is_kept_but_a_string_refuses_it() {
    let bytes = b"\xa2\xff\xfe";
    assert_eq!(decode::<Text>(bytes).unwrap().as_bytes(), [0xff, 0xfe]);
    assert!(decode::<String>(bytes).is_err());
    assert_eq!(decode::<Text>(b"\xa3a\x00b").unwrap().as_bytes(), b"a\0b");
}

#[test]
fn nil_and_empty_bytes_are_told_apart_by_an_option() {
    assert_eq!(decode::<Option<Blob>>(&[0xc0]), Ok(None));
    assert_eq!(decode::<Option<Blob>>(&[0xa0]), Ok(Some(Blob::default())));
    assert_eq!(decode::<Option<Blob>>(&[0xc4, 0]), Ok(Some(Blob::default())));
}

#[test]
fn a_struct_comes_from_an_array_in_the_order_of_declaration() {
    let full = Record { data: Some(Blob::from(vec![9])), flag: true, name: Text::from("n"), sequence: 7 };
    assert_eq!(record(&[0x94, 7, 0xa1, b'n', 0xc4, 1, 9, 0xc3]), Ok(full));
    assert_eq!(record(&[0x91, 7]), Ok(sequence(7)), "short");
    assert_eq!(record(&[0x90]), Ok(Record::default()), "empty");
    let long = record(&[0x97, 7, 0xa0, 0xc0, 0xc2, 1, 0x91, 2, 0xc0]);
    assert_eq!(long, Ok(sequence(7)), "the surplus is skipped");
    assert_eq!(decode_prefix::<Record>(&[0x95, 7, 0xa0, 0xc0, 0xc2, 1, 99]).unwrap().1, 6);
}

#[test]
fn a_struct_without_a_list_of_keys_reads_arrays_in_its_own_order() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        a: u8,
        b: u8,
    }
    assert_eq!(decode(&[0x92, 1, 2]), Ok(Pair { a: 1, b: 2 }));
    assert_eq!(decode::<Pair>(&[0x91, 1]).unwrap_err().reason, "missing field `b`");
}

#[test]
fn nil_is_a_struct_of_defaults_and_other_values_are_none() {
    assert_eq!(record(&[0xc0]), Ok(Record::default()));
    for bytes in [&b"\xa1a"[..], &[5], &[0xc3], &[0xc4, 0], &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0], &[0xd4, 0, 0]] {
        assert!(record(bytes).is_err(), "{bytes:02x?}");
    }
}

#[test]
fn lists_maps_and_options_nest() {
    let list: Vec<Option<Record>> = decode(&[&[0x93, 0xc0][..], &map(&[(SEQ, &[1])]), &[0xc0]].concat()).unwrap();
    assert_eq!(list, [None, Some(sequence(1)), None]);
    let slots = [&[0xdc, 2, 0][..], &[0xc0; 512]].concat();
    assert_eq!(decode::<Vec<Option<Record>>>(&slots).unwrap().len(), 512);
    assert_eq!(decode::<Vec<Text>>(&[0xc0]), Ok(Vec::new()));
    assert_eq!(decode::<Vec<Blob>>(&[0x92, 0xa1, 1, 0xc4, 1, 2]), Ok(vec![Blob::from(vec![1]), Blob::from(vec![2])]));
    let tags: BTreeMap<Text, Text> = decode(b"\x83\xa1b\xa1x\xc4\x01a\xa1y\xa1b\xa1z").unwrap();
    assert_eq!(tags, BTreeMap::from([(Text::from("a"), Text::from("y")), (Text::from("b"), Text::from("z"))]));
    assert_eq!(decode::<BTreeMap<Text, u64>>(&[0xc0]), Ok(BTreeMap::new()));
    assert_eq!(decode::<BTreeMap<Text, u64>>(b"\x81\xa1a\xc0"), Ok(BTreeMap::from([(Text::from("a"), 0)])));
    assert!(decode::<Vec<Text>>(b"\x81\xa1a\xa1b").is_err(), "a map is no list");
    assert!(decode::<BTreeMap<Text, Text>>(&[0x90]).is_err(), "a list is no map");
    assert!(decode::<Vec<Text>>(b"\xa3foo").is_err(), "text is no list of texts");
}

#[test]
fn a_target_of_fixed_size_takes_shorter_and_longer_lists() {
    assert_eq!(decode_prefix::<[u8; 3]>(&[0x92, 1, 2, 9]), Ok(([1, 2, 0], 3)));
    assert_eq!(decode_prefix::<[u8; 2]>(&[0x93, 1, 2, 0x91, 3]), Ok(([1, 2], 5)));
    assert_eq!(decode::<(u8, Text)>(&[0xc0]), Ok((0, Text::default())));
}

#[test]
fn variants_are_read_as_they_are_written() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle(u8),
        Line(u8, u8),
        Square { width: u8, height: u8 },
    }
    for shape in [Shape::Point, Shape::Circle(1), Shape::Line(1, 2), Shape::Square { width: 1, height: 2 }] {
        for dialect in [Dialect::Gossip, Dialect::Rpc] {
            assert_eq!(decode::<Shape>(&to_vec(dialect, &shape).unwrap()).as_ref(), Ok(&shape));
        }
    }
    assert!(decode::<Shape>(b"\xa4Blob").is_err());
    assert!(decode::<Shape>(&[0xc0]).is_err());
    assert!(decode::<Shape>(b"\xa1\xff").is_err());
    assert!(decode::<Shape>(&[0x80]).is_err());
}

#[test]
fn values_of_any_kind_can_be_looked_at() {
    let bytes = b"\x85\xa1a\xc0\xa1b\x93\x01\xff\xcc\xff\xa1c\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1d\xc3\xa1e\xa1x";
    let value: serde_json::Value = decode(bytes).unwrap();
    assert_eq!(value, serde_json::json!({"a": null, "b": [1, -1, 255], "c": 1.5, "d": true, "e": "x"}));
    assert!(decode::<serde_json::Value>(&[0xd4, 1, 1]).is_err());
}

#[test]
fn json_texts_are_read_and_written_as_strings() {
    let text: Text = serde_json::from_str("\"ä\"").unwrap();
    assert_eq!(text, Text::from("ä"));
    assert_eq!(serde_json::to_string(&text).unwrap(), "\"ä\"");
}

#[test]
fn reserved_byte_is_refused_anywhere() {
    for bytes in [&map(&[(SEQ, &[0xc1])])[..], &map(&[(b"\xa3Foo", &[0xc1]), (SEQ, &[1])]), &[0xc1], &[0x91, 0xc1]] {
        assert_eq!(record(bytes).unwrap_err().reason, "reserved byte c1");
    }
    assert!(decode::<Option<u8>>(&[0xc1]).is_err());
}

#[test]
fn forged_lengths_are_refused_without_reserving_memory() {
    let bad: &[&[u8]] = &[
        &[0xdb, 0xff, 0xff, 0xff, 0xff, b'a'],
        &[0xc6, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xdd, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xdf, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 1],
    ];
    for bytes in bad {
        assert!(record(bytes).is_err() && decode::<Text>(bytes).is_err() && decode::<Blob>(bytes).is_err());
        assert!(decode::<Vec<u64>>(bytes).is_err() && decode::<BTreeMap<Text, Text>>(bytes).is_err());
        assert!(decode::<serde::de::IgnoredAny>(bytes).is_err());
        let nested = map(&[(b"\xa3Foo", bytes)]);
        assert_eq!(record(&nested).unwrap_err(), DecodeError::truncated(nested.len()));
    }
}

/// A list in a list in a list, as deep as the input says.
#[derive(Debug, Deserialize)]
struct Nest(#[expect(dead_code, reason = "only its depth matters")] Vec<Nest>);

#[test]
fn depth_is_limited_in_targets_and_in_what_is_skipped() {
    let at_limit = [vec![0x91; MAX_DEPTH - 1], vec![0x90]].concat();
    let beyond = [vec![0x91; MAX_DEPTH], vec![0x90]].concat();
    assert!(decode::<Nest>(&at_limit).is_ok());
    let error = decode::<Nest>(&beyond).unwrap_err();
    assert_eq!(error, DecodeError::new(MAX_DEPTH + 1, "nested deeper than 64 levels"));
    assert!(decode::<Nest>(&vec![0x91; 1 << 20]).is_err());
    assert!(record(&map(&[(b"\xa3Foo", &at_limit[1..])])).is_ok());
    let error = record(&map(&[(b"\xa3Foo", &beyond[1..])])).unwrap_err();
    assert!(error.reason.starts_with("nested deeper than"), "{error}");
}

#[test]
fn errors_name_the_place_and_the_reason() {
    let error = record(&map(&[(b"\xa4Flag", &[0xc3]), (SEQ, &[0xff])])).unwrap_err();
    assert_eq!(error.to_string(), "msgpack decode error at byte 11: invalid type: a negative integer, expected u32");
    let error = decode::<u16>(&[0xce, 0, 1, 0, 0]).unwrap_err();
    assert_eq!(error.to_string(), "msgpack decode error at byte 0: invalid value: integer `65536`, expected u16");
    let error = record(&[0x92, 1, 2]).unwrap_err();
    assert_eq!(error.to_string(), "msgpack decode error at byte 2: invalid type: an integer, expected text or bytes");
}
