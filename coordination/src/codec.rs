//! The bytes of log entries and snapshots, under serde: compact, and with one form only for each value, because replicas
//! are compared byte for byte. MessagePack (`folkmoot-wire`) is lenient by design and spells out field names; it stays the
//! language of clients. `encoding.rs` puts versions in front; `folkmoot-consensus` writes its frames with it as well.
//!
//! Unsigned integers are LEB128 in their shortest form, signed ones zigzag of that; `bool` and `Option` start with 0 or 1;
//! bytes, text, sequences and maps start with their length; an enum starts with the index of its variant; structs and
//! tuples are their fields in order. Nothing describes itself: the reader must know the type, and the version in front of
//! a log entry or a snapshot says which. Types are not recursive, so depth is bounded by them, and no length is believed:
//! it must fit into the bytes that are left, and nothing is allocated from it. Variants that are added at the end of
//! an enum leave older bytes readable; any other change of a type needs another version.

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use serde::{Deserialize, Serialize, ser};

/// Why bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a value.
    #[error("truncated")]
    Truncated,
    /// Bytes follow the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A number, tag or text that no value is written with.
    #[error("{0}")]
    Malformed(&'static str),
    /// A value outside its type's range.
    #[error("{0}")]
    Invalid(String),
}

impl ser::Error for CodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Invalid(message.to_string())
    }
}

impl de::Error for CodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Invalid(message.to_string())
    }
}

/// Appends `value` to `out`.
///
/// # Errors
/// The type has floats, characters or sequences of unknown length; none of this crate's has.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    value.serialize(&mut Encoder { out })
}

/// Reads `bytes` as one value. A type that is not recursive is read in bounded depth.
///
/// # Errors
/// They are not exactly one value.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CodecError> {
    let mut decoder = Decoder { rest: bytes };
    let value = T::deserialize(&mut decoder)?;
    if decoder.rest.is_empty() { Ok(value) } else { Err(CodecError::Trailing(decoder.rest.len())) }
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl Encoder<'_> {
    fn number(&mut self, mut number: u64) -> Result<(), CodecError> {
        while number >= 0x80 {
            self.out.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
        Ok(())
    }

    fn length(&mut self, length: Option<usize>) -> Result<(), CodecError> {
        self.number(length.ok_or(CodecError::Malformed("a sequence of unknown length"))? as u64)
    }
}

const NO_PLACE: CodecError = CodecError::Malformed("a type without a place in this encoding");

impl<'a> ser::Serializer for &mut Encoder<'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn serialize_bool(self, value: bool) -> Result<(), CodecError> {
        self.number(u64::from(value))
    }
    fn serialize_i8(self, value: i8) -> Result<(), CodecError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<(), CodecError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<(), CodecError> {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Result<(), CodecError> {
        self.number(((value << 1) ^ (value >> 63)).cast_unsigned())
    }
    fn serialize_u8(self, value: u8) -> Result<(), CodecError> {
        self.number(value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<(), CodecError> {
        self.number(value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<(), CodecError> {
        self.number(value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<(), CodecError> {
        self.number(value)
    }
    fn serialize_f32(self, _: f32) -> Result<(), CodecError> {
        Err(NO_PLACE)
    }
    fn serialize_f64(self, _: f64) -> Result<(), CodecError> {
        Err(NO_PLACE)
    }
    fn serialize_char(self, _: char) -> Result<(), CodecError> {
        Err(NO_PLACE)
    }
    fn serialize_str(self, value: &str) -> Result<(), CodecError> {
        self.serialize_bytes(value.as_bytes())
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), CodecError> {
        self.number(value.len() as u64)?;
        self.out.extend_from_slice(value);
        Ok(())
    }
    fn serialize_none(self) -> Result<(), CodecError> {
        self.number(0)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CodecError> {
        self.number(1)?;
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), CodecError> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), CodecError> {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), CodecError> {
        self.number(index.into())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), CodecError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        self.number(index.into())?;
        value.serialize(self)
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, CodecError> {
        self.length(length).map(|()| self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, CodecError> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, CodecError> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, CodecError> {
        self.number(index.into()).map(|()| self)
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Self, CodecError> {
        self.length(length).map(|()| self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, CodecError> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, CodecError> {
        self.number(index.into()).map(|()| self)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The compound serializers all write their parts one behind the other.
macro_rules! parts {
    ($($part:ident :: $method:ident),*) => {$(
        impl ser::$part for &mut Encoder<'_> {
            type Ok = ();
            type Error = CodecError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), CodecError> {
                Ok(())
            }
        }
    )*};
}
parts!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! named_parts {
    ($($part:ident),*) => {$(
        impl ser::$part for &mut Encoder<'_> {
            type Ok = ();
            type Error = CodecError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), CodecError> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), CodecError> {
                Ok(())
            }
        }
    )*};
}
named_parts!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for &mut Encoder<'_> {
    type Ok = ();
    type Error = CodecError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CodecError> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), CodecError> {
        Ok(())
    }
}

struct Decoder<'de> {
    rest: &'de [u8],
}

impl<'de> Decoder<'de> {
    fn number(&mut self) -> Result<u64, CodecError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(CodecError::Truncated)?;
            self.rest = rest;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(CodecError::Malformed("a number beyond 64 bits"));
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                let shortest = shift == 0 || part != 0;
                return if shortest { Ok(number) } else { Err(CodecError::Malformed("a number with a longer form")) };
            }
        }
        Err(CodecError::Malformed("a number beyond 64 bits"))
    }

    fn signed(&mut self) -> Result<i64, CodecError> {
        self.number().map(|number| (number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn flag(&mut self) -> Result<bool, CodecError> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Malformed("a flag that is neither 0 nor 1")),
        }
    }

    /// Elements take at least one byte each, so a length beyond the rest is a lie.
    fn length(&mut self) -> Result<usize, CodecError> {
        let length = usize::try_from(self.number()?).map_err(|_| CodecError::Truncated)?;
        if length <= self.rest.len() { Ok(length) } else { Err(CodecError::Truncated) }
    }

    fn take(&mut self) -> Result<&'de [u8], CodecError> {
        let length = self.length()?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Reads an integer of any width and lets the target check the range.
macro_rules! integers {
    ($($method:ident $read:ident $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            let number = self.$read()?;
            visitor.$visit(number)
        }
    )*};
}

macro_rules! refuse {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, CodecError> {
            Err(NO_PLACE)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Decoder<'de> {
    type Error = CodecError;

    integers!(
        deserialize_i8 signed visit_i64, deserialize_i16 signed visit_i64, deserialize_i32 signed visit_i64,
        deserialize_i64 signed visit_i64, deserialize_u8 number visit_u64, deserialize_u16 number visit_u64,
        deserialize_u32 number visit_u64, deserialize_u64 number visit_u64, deserialize_bool flag visit_bool,
        deserialize_bytes take visit_borrowed_bytes, deserialize_byte_buf take visit_borrowed_bytes
    );
    refuse!(deserialize_any, deserialize_ignored_any, deserialize_identifier);
    refuse!(deserialize_f32, deserialize_f64, deserialize_char);

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let text = std::str::from_utf8(self.take()?).map_err(|_| CodecError::Malformed("text that is not UTF-8"))?;
        visitor.visit_borrowed_str(text)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_str(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_unit()
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let left = self.length()?;
        visitor.visit_seq(Parts { decoder: self, left })
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_seq(Parts { decoder: self, left })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_seq(Parts { decoder: self, left })
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let left = self.length()?;
        visitor.visit_map(Parts { decoder: self, left })
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_seq(Parts { decoder: self, left: fields.len() })
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_enum(self)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Elements of a sequence, pairs of a map or fields of a struct. No size hint: nothing is allocated ahead.
struct Parts<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Parts<'_, 'de> {
    type Error = CodecError;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, CodecError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.decoder).map(Some)
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_, 'de> {
    type Error = CodecError;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, CodecError> {
        de::SeqAccess::next_element_seed(self, seed)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CodecError> {
        seed.deserialize(&mut *self.decoder)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Decoder<'de> {
    type Error = CodecError;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), CodecError> {
        let index = u32::try_from(self.number()?).map_err(|_| CodecError::Malformed("a variant beyond 32 bits"))?;
        let variant: de::value::U32Deserializer<CodecError> = index.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Decoder<'de> {
    type Error = CodecError;
    fn unit_variant(self) -> Result<(), CodecError> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, CodecError> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_seq(Parts { decoder: self, left })
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_seq(Parts { decoder: self, left: fields.len() })
    }
}
