//! Properties over random values and random bytes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use folkmoot_wire::{Blob, Dialect, Scanner, Text, decode, decode_prefix, limits::MAX_DEPTH, to_vec, value_length};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// One field of every kind that real messages have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename(deserialize = "Number,Name,Blob,Flag,Float,List,Maybe,Signed,Tags,Inner"))]
struct Everything {
    #[serde(rename = "Blob")]
    blob: Blob,
    #[serde(rename = "Flag")]
    flag: bool,
    #[serde(rename = "Float")]
    float: f64,
    #[serde(rename = "Inner", skip_serializing_if = "Option::is_none")]
    inner: Option<Box<Everything>>,
    #[serde(rename = "List")]
    list: Vec<Option<Text>>,
    #[serde(rename = "Maybe")]
    maybe: Option<Blob>,
    #[serde(rename = "Name")]
    name: Text,
    #[serde(rename = "Number")]
    number: u64,
    #[serde(rename = "Signed")]
    signed: i64,
    #[serde(rename = "Tags")]
    tags: BTreeMap<Text, u32>,
}

fn text() -> impl Strategy<Value = Text> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Text::from_bytes(bytes.into()))
}

fn blob() -> impl Strategy<Value = Blob> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Blob::from)
}

fn flat() -> impl Strategy<Value = Everything> {
    let scalars = (any::<u64>(), any::<i64>(), any::<bool>(), -1e300..1e300f64);
    let list = prop::collection::vec(prop::option::of(text()), 0..20);
    let tags = prop::collection::btree_map(text(), any::<u32>(), 0..20);
    (scalars, text(), blob(), prop::option::of(blob()), list, tags).prop_map(
        |((number, signed, flag, float), name, blob, maybe, list, tags)| Everything {
            blob,
            flag,
            float,
            inner: None,
            list,
            maybe,
            name,
            number,
            signed,
            tags,
        },
    )
}

fn everything() -> impl Strategy<Value = Everything> {
    flat().prop_recursive(4, 8, 1, |inner| {
        (flat(), inner).prop_map(|(outer, inner)| Everything { inner: Some(Box::new(inner)), ..outer })
    })
}

/// Bytes that look like MessagePack more often than chance allows.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => any::<u8>(), 2 => 0x80..=0xdfu8, 1 => Just(0u8)];
    let key = prop::sample::select(vec!["Blob", "Inner", "List", "Name", "Number", "Tags", "Nobody"]);
    let field = (key, prop::collection::vec(byte, 1..12)).prop_map(|(key, value)| {
        let mut bytes = to_vec(Dialect::Gossip, key).unwrap();
        bytes.extend(value);
        bytes
    });
    (any::<u8>(), prop::collection::vec(field, 0..6)).prop_map(|(head, fields)| {
        let mut bytes = vec![head];
        bytes.extend(fields.concat());
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(value in everything()) {
        for dialect in [Dialect::Gossip, Dialect::Rpc] {
            let bytes = to_vec(dialect, &value).unwrap();
            prop_assert_eq!(&decode::<Everything>(&bytes).unwrap(), &value);
            prop_assert_eq!(value_length(&bytes, MAX_DEPTH, bytes.len()).unwrap(), Some(bytes.len()));
        }
    }

    #[test]
    fn gossip_never_writes_the_new_family(value in text()) {
        let bytes = to_vec(Dialect::Gossip, &value).unwrap();
        prop_assert!(!matches!(bytes[0], 0xd9 | 0xc4..=0xc9 | 0xd4..=0xd8));
    }

    #[test]
    fn truncation_never_passes(value in everything(), cut in any::<prop::sample::Index>()) {
        let bytes = to_vec(Dialect::Gossip, &value).unwrap();
        let shorter = &bytes[..cut.index(bytes.len())];
        prop_assert!(decode::<Everything>(shorter).is_err());
        prop_assert_eq!(value_length(shorter, MAX_DEPTH, usize::MAX).unwrap(), None);
    }

    #[test]
    fn any_bytes_end_without_panic_and_agree_with_the_scanner(bytes in likely_bytes()) {
        let length = value_length(&bytes, MAX_DEPTH, usize::MAX);
        if let Ok((_, read)) = decode_prefix::<Everything>(&bytes) {
            prop_assert_eq!(length, Ok(Some(read)));
        }
        let _ = decode::<serde_json::Value>(&bytes);
        let _ = decode::<Vec<BTreeMap<Text, Blob>>>(&bytes);
    }

    #[test]
    fn scanning_in_pieces_is_as_scanning_at_once(bytes in likely_bytes(), step in 1..5usize) {
        let whole = value_length(&bytes, 8, 60);
        let mut scanner = Scanner::new(8, 60);
        let mut end = 0;
        let pieces = loop {
            end = (end + step).min(bytes.len());
            match scanner.scan(&bytes[..end]) {
                Ok(None) if end < bytes.len() => {}
                other => break other,
            }
        };
        prop_assert_eq!(pieces, whole);
    }
}
