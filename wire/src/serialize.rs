//! The writing half: a serde `Serializer` for both dialects. Struct keys must come in ascending order, as Go sorts them;
//! a struct of ours that is declared otherwise fails at its first use. Integers take their shortest form, non-negative
//! ones an unsigned form. Enums, which Go has not, are written as serde's other formats do: the variant's name, or a map
//! from it to the content, whose fields may stand in any order.

use serde::ser::{self, Serialize};

use crate::text::TEXT_TOKEN;
use crate::{Dialect, EncodeError};

/// Writes values to `out`.
pub(crate) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    dialect: Dialect,
    /// The next bytes are the content of a [`crate::Text`].
    bytes_are_text: bool,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(dialect: Dialect, out: &'a mut Vec<u8>) -> Self {
        Self { out, dialect, bytes_are_text: false }
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let length = length(bytes.len())?;
        match self.dialect {
            Dialect::Rpc => done(rmp::encode::write_str_len(self.out, length))?,
            Dialect::Gossip => self.raw_length(length),
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let length = length(bytes.len())?;
        match self.dialect {
            Dialect::Rpc => done(rmp::encode::write_bin_len(self.out, length))?,
            Dialect::Gossip => self.raw_length(length),
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// The old family knows no one-byte length.
    fn raw_length(&mut self, length: u32) {
        if let Ok(short @ 0..=31) = u8::try_from(length) {
            self.out.push(rmp::Marker::FixStr(short).to_u8());
        } else if let Ok(medium) = u16::try_from(length) {
            self.out.push(rmp::Marker::Str16.to_u8());
            self.out.extend_from_slice(&medium.to_be_bytes());
        } else {
            self.out.push(rmp::Marker::Str32.to_u8());
            self.out.extend_from_slice(&length.to_be_bytes());
        }
    }

    fn container<'e>(&'e mut self, kind: Kind, declared: Option<usize>) -> Result<Container<'e, 'a>, EncodeError> {
        let header_at = self.out.len();
        if let Some(declared) = declared {
            kind.write_header(self.out, declared)?;
        }
        Ok(Container { encoder: self, kind, header_at, declared, count: 0, last_key: None })
    }

    /// A map with one entry, whose key is the variant's name and whose value is to follow.
    fn variant(&mut self, name: &'static str) -> Result<(), EncodeError> {
        Kind::Map.write_header(self.out, 1)?;
        self.text(name.as_bytes())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    /// Keys in the order they come.
    Map,
    /// Keys must ascend.
    Struct,
}

impl Kind {
    fn write_header(self, out: &mut Vec<u8>, count: usize) -> Result<(), EncodeError> {
        let count = length(count)?;
        match self {
            Self::Array => done(rmp::encode::write_array_len(out, count)),
            Self::Map | Self::Struct => done(rmp::encode::write_map_len(out, count)),
        }
    }
}

/// An array, map or struct being written.
pub(crate) struct Container<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    kind: Kind,
    /// Where the header stands, or will have to be put in when the count is known.
    header_at: usize,
    declared: Option<usize>,
    count: usize,
    last_key: Option<&'static str>,
}

impl Container<'_, '_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.count = self.count.saturating_add(1);
        value.serialize(&mut *self.encoder)
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        if let (Kind::Struct, Some(last)) = (self.kind, self.last_key)
            && key.as_bytes() <= last.as_bytes()
        {
            return Err(EncodeError(format!(
                "field {key} must not stand behind {last}: Go sorts the keys of a struct"
            )));
        }
        self.last_key = Some(key);
        self.encoder.text(key.as_bytes())?;
        self.element(value)
    }

    fn finish(self) -> Result<(), EncodeError> {
        match self.declared {
            Some(declared) if declared == self.count => Ok(()),
            Some(declared) => Err(EncodeError(format!("{} elements where {declared} were announced", self.count))),
            None => {
                let mut header = Vec::new();
                self.kind.write_header(&mut header, self.count)?;
                self.encoder.out.splice(self.header_at..self.header_at, header);
                Ok(())
            }
        }
    }
}

fn length(length: usize) -> Result<u32, EncodeError> {
    u32::try_from(length).map_err(|_| EncodeError(format!("length {length} does not fit MessagePack")))
}

/// Writing to memory does not fail; what `rmp` returns besides is not needed.
fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), EncodeError> {
    result.map(drop).map_err(|error| EncodeError(error.to_string()))
}

impl<'e, 'a> ser::Serializer for &'e mut Encoder<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'e, 'a>;
    type SerializeTuple = Container<'e, 'a>;
    type SerializeTupleStruct = Container<'e, 'a>;
    type SerializeTupleVariant = Container<'e, 'a>;
    type SerializeMap = Container<'e, 'a>;
    type SerializeStruct = Container<'e, 'a>;
    type SerializeStructVariant = Container<'e, 'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        done(rmp::encode::write_bool(self.out, value))
    }

    fn serialize_i8(self, value: i8) -> Result<(), EncodeError> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i16(self, value: i16) -> Result<(), EncodeError> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i32(self, value: i32) -> Result<(), EncodeError> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i64(self, value: i64) -> Result<(), EncodeError> {
        done(rmp::encode::write_sint(self.out, value))
    }

    fn serialize_u8(self, value: u8) -> Result<(), EncodeError> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u16(self, value: u16) -> Result<(), EncodeError> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u32(self, value: u32) -> Result<(), EncodeError> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u64(self, value: u64) -> Result<(), EncodeError> {
        done(rmp::encode::write_uint(self.out, value))
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        done(rmp::encode::write_f32(self.out, value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        done(rmp::encode::write_f64(self.out, value))
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.text(value.encode_utf8(&mut [0; 4]).as_bytes())
    }

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        self.text(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeError> {
        if std::mem::take(&mut self.bytes_are_text) { self.text(value) } else { self.bytes(value) }
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        done(rmp::encode::write_nil(self.out))
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EncodeError> {
        self.text(variant.as_bytes())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), EncodeError> {
        self.bytes_are_text = name == TEXT_TOKEN;
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.variant(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Container<'e, 'a>, EncodeError> {
        self.container(Kind::Array, length)
    }

    fn serialize_tuple(self, length: usize) -> Result<Container<'e, 'a>, EncodeError> {
        self.container(Kind::Array, Some(length))
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<Container<'e, 'a>, EncodeError> {
        self.container(Kind::Array, Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Container<'e, 'a>, EncodeError> {
        self.variant(variant)?;
        self.container(Kind::Array, Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Container<'e, 'a>, EncodeError> {
        self.container(Kind::Map, length)
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Container<'e, 'a>, EncodeError> {
        self.container(Kind::Struct, Some(length))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Container<'e, 'a>, EncodeError> {
        self.variant(variant)?;
        self.container(Kind::Map, Some(length))
    }
}

impl ser::SerializeSeq for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

impl ser::SerializeTuple for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

impl ser::SerializeMap for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        key.serialize(&mut *self.encoder)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

impl ser::SerializeStruct for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

impl ser::SerializeStructVariant for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

#[cfg(test)]
#[path = "serialize_tests.rs"]
mod tests;
