//! MessagePack of any shape, compared as clients would: the order of keys and the width of integers are free.

use std::collections::BTreeMap;
use std::fmt;

use folkmoot_proto::FrameReader;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Nil,
    Bool(bool),
    Integer(i128),
    /// Its bits, so that values have an order.
    Float(u64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(BTreeMap<Value, Value>),
}

impl Value {
    pub fn decode(object: &[u8]) -> Self {
        folkmoot_wire::decode(object).unwrap()
    }

    /// Empty lists and maps as nil: Go writes nil for one it never filled.
    fn without_empty(self) -> Self {
        match self {
            Self::Array(ref list) if list.is_empty() => Self::Nil,
            Self::Map(ref map) if map.is_empty() => Self::Nil,
            Self::Map(map) => Self::Map(map.into_iter().map(|(key, value)| (key, value.without_empty())).collect()),
            Self::Nil
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Array(_) => self,
        }
    }
}

/// Every object of a stream.
pub fn all(stream: &[u8], ignore_empty: bool) -> Vec<Value> {
    let objects = split(stream).into_iter().map(|object| Value::decode(&object));
    objects.map(|value| if ignore_empty { value.without_empty() } else { value }).collect()
}

pub fn split(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = FrameReader::for_responses();
    frames.push(stream);
    let objects = std::iter::from_fn(|| frames.next().unwrap()).map(|object| object.to_vec()).collect();
    assert!(frames.is_at_boundary());
    objects
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(digits).collect()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value.to_bits()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.as_bytes().to_vec()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            values.insert(key, value);
        }
        Ok(Value::Map(values))
    }
}
