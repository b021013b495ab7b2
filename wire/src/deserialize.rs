//! The reading half: a serde `Deserializer` that asks the target what it wants and takes everything from which Go would
//! make that (`docs/spec/memberlist.md` 3.2, `docs/spec/rpc.md` 3). One for both dialects.
//!
//! * Nil is the zero value of every type; for an `Option` it is `None`.
//! * Text and bytes come from str, bin, or a list of small integers. Text need not be UTF-8.
//! * Integers come from every integer form that fits, bools also from fixint 0 and 1, floats also from integers.
//! * Structs come from maps (unknown keys skipped, of doubled keys the last wins, absent ones left to `serde(default)`)
//!   or from arrays in the order in which Go declares the fields. Where ours are declared in another order, the struct
//!   is renamed for reading to the list of its keys: `#[serde(rename(deserialize = "LTime,Name,Payload"))]`.
//!
//! Nothing is allocated from a declared length, and containers nest no deeper than [`crate::limits::MAX_DEPTH`].

use serde::de::value::{BorrowedStrDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, Unexpected, Visitor};

use crate::DecodeError;
use crate::access::{Elements, Entries, Fields, Variant};
use crate::frame::Scanner;
use crate::head::Head;
use crate::limits::MAX_DEPTH;

/// Reads values from the front of `input`.
pub(crate) struct Decoder<'de> {
    input: &'de [u8],
    /// Offset of the next value.
    at: usize,
    /// Containers that may still be entered.
    depth_left: usize,
}

impl<'de> Decoder<'de> {
    pub(crate) fn new(input: &'de [u8]) -> Self {
        Self { input, at: 0, depth_left: MAX_DEPTH }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Reads the value at `at` in the same input.
    pub(crate) fn nested(input: &'de [u8], at: usize, depth_left: usize) -> Self {
        Self { input, at, depth_left }
    }

    /// Reads a nil: the target's zero.
    pub(crate) fn nil() -> Self {
        Self { input: &[0xc0], at: 0, depth_left: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.input.len().saturating_sub(self.at)
    }

    #[inline]
    pub(crate) fn peek(&self) -> Result<(Head, usize), DecodeError> {
        let (head, length) =
            self.input.get(self.at..).and_then(Head::read).ok_or_else(|| DecodeError::truncated(self.input.len()))?;
        if head == Head::Reserved {
            return Err(DecodeError::new(self.at, "reserved byte c1"));
        }
        // Checked here once: each child takes at least a byte.
        if head.children() > self.remaining() {
            return Err(DecodeError::truncated(self.input.len()));
        }
        Ok((head, length))
    }

    #[inline]
    fn head(&mut self) -> Result<Head, DecodeError> {
        let (head, length) = self.peek()?;
        self.at = self.at.saturating_add(length);
        Ok(head)
    }

    fn take(&mut self, length: usize) -> Result<&'de [u8], DecodeError> {
        let end = self.at.saturating_add(length);
        let bytes = self.input.get(self.at..end).ok_or_else(|| DecodeError::truncated(self.input.len()))?;
        self.at = end;
        Ok(bytes)
    }

    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let length = Scanner::new(self.depth_left, usize::MAX)
            .scan(rest)
            .map_err(|error| DecodeError { at: self.at.saturating_add(error.at), reason: error.reason })?;
        self.take(length.ok_or_else(|| DecodeError::truncated(self.input.len()))?)?;
        Ok(())
    }

    /// The value that was just refused, as serde names it.
    fn refuse<V: Visitor<'de>>(&self, at: usize, head: Head, visitor: &V) -> DecodeError {
        DecodeError::invalid_type(Unexpected::Other(head.name()), visitor).located(at)
    }

    fn enter(&mut self) -> Result<(), DecodeError> {
        self.depth_left = self
            .depth_left
            .checked_sub(1)
            .ok_or_else(|| DecodeError::new(self.at, format!("nested deeper than {MAX_DEPTH} levels")))?;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth_left = self.depth_left.saturating_add(1);
    }

    /// A list of small integers, as which some clients write bytes.
    fn list_of_bytes(&mut self, count: usize) -> Result<Vec<u8>, DecodeError> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let at = self.at;
            let byte = self.head()?.unsigned().and_then(|value| u8::try_from(value).ok());
            bytes.push(byte.ok_or_else(|| DecodeError::new(at, "expected an integer from 0 to 255"))?);
        }
        Ok(bytes)
    }

    /// Text or bytes, as text where the target is text.
    fn raw<V: Visitor<'de>>(&mut self, as_text: AsText, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let result = match head {
            Head::Text(length) | Head::Bytes(length) => visit_borrowed(self.take(length)?, as_text, visitor),
            Head::Nil => visit_borrowed(&[], as_text, visitor),
            // Go reads a map where it wants a list of bytes as the list of its keys and values.
            Head::Array(_) | Head::Map(_) => {
                let bytes = self.list_of_bytes(head.children())?;
                match as_text {
                    AsText::Yes => match String::from_utf8(bytes) {
                        Ok(text) => visitor.visit_string(text),
                        Err(error) => visitor.visit_byte_buf(error.into_bytes()),
                    },
                    AsText::No => visitor.visit_byte_buf(bytes),
                }
            }
            Head::Bool(_)
            | Head::Fixint(_)
            | Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Float(_)
            | Head::Ext(_)
            | Head::Reserved => Err(self.refuse(at, head, &visitor)),
        };
        result.map_err(|error| error.located(at))
    }

    fn unsigned<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let result = match head.unsigned() {
            Some(value) => visitor.visit_u64(value),
            None => Err(self.refuse(at, head, &visitor)),
        };
        result.map_err(|error| error.located(at))
    }

    fn signed<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let result = match head {
            Head::Nil => visitor.visit_i64(0),
            Head::Fixint(value) => visitor.visit_i64(i64::from(value)),
            // Go takes the bits of a u64 as they are (`tables/lenient_decode.json`, header_nodes_uint64_max).
            Head::Unsigned(value) => visitor.visit_i64(value.cast_signed()),
            Head::Negative(value) => visitor.visit_i64(value),
            Head::Bool(_)
            | Head::Float(_)
            | Head::Text(_)
            | Head::Bytes(_)
            | Head::Array(_)
            | Head::Map(_)
            | Head::Ext(_)
            | Head::Reserved => Err(self.refuse(at, head, &visitor)),
        };
        result.map_err(|error| error.located(at))
    }

    #[expect(clippy::cast_precision_loss, reason = "Go converts integers to floats in the same way")]
    fn float<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let result = match head {
            Head::Nil => visitor.visit_f64(0.0),
            Head::Float(value) => visitor.visit_f64(value),
            Head::Fixint(value) => visitor.visit_f64(f64::from(value)),
            Head::Unsigned(value) => visitor.visit_f64(value as f64),
            Head::Negative(value) => visitor.visit_f64(value as f64),
            Head::Bool(_)
            | Head::Text(_)
            | Head::Bytes(_)
            | Head::Array(_)
            | Head::Map(_)
            | Head::Ext(_)
            | Head::Reserved => Err(self.refuse(at, head, &visitor)),
        };
        result.map_err(|error| error.located(at))
    }

    /// A list; `wanted`: how many elements the target has room for, if it has a fixed number.
    pub(crate) fn list<V: Visitor<'de>>(&mut self, wanted: Option<usize>, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let result = match head {
            Head::Nil => visitor.visit_seq(Elements { decoder: self, left: 0, padding: wanted.unwrap_or(0) }),
            Head::Array(count) => {
                self.enter()?;
                let given = wanted.map_or(count, |wanted| wanted.min(count));
                let padding = wanted.map_or(0, |wanted| wanted.saturating_sub(count));
                let value = visitor.visit_seq(Elements { decoder: self, left: given, padding })?;
                for _ in given..count {
                    self.skip()?;
                }
                self.leave();
                Ok(value)
            }
            Head::Text(length) | Head::Bytes(length) => {
                let bytes = self.take(length)?;
                visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()))
            }
            Head::Bool(_)
            | Head::Fixint(_)
            | Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Float(_)
            | Head::Map(_)
            | Head::Ext(_)
            | Head::Reserved => Err(self.refuse(at, head, &visitor)),
        };
        result.map_err(|error| error.located(at))
    }

    /// Finds the values of a struct's fields, and passes the struct.
    fn fields(&mut self, order: &[&'static str], head: Head) -> Result<Vec<(&'static str, usize)>, DecodeError> {
        let mut found: Vec<(&'static str, usize)> = Vec::new();
        if let Head::Array(count) = head {
            for index in 0..count {
                if let Some(&key) = order.get(index) {
                    found.push((key, self.at));
                }
                self.skip()?;
            }
            return Ok(found);
        }
        for _ in 0..head.children() / 2 {
            let key = self.key()?;
            if let Some(&key) = order.iter().find(|name| name.as_bytes() == key) {
                match found.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, value_at)) => *value_at = self.at,
                    None => found.push((key, self.at)),
                }
            }
            self.skip()?;
        }
        Ok(found)
    }

    /// The key of a struct's field: text of any width, or bytes.
    fn key(&mut self) -> Result<&'de [u8], DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let (Head::Text(length) | Head::Bytes(length)) = head else {
            return Err(DecodeError::new(at, format!("a key must be text, not {}", head.name())));
        };
        self.take(length)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AsText {
    Yes,
    No,
}

fn visit_borrowed<'de, V: Visitor<'de>>(
    bytes: &'de [u8],
    as_text: AsText,
    visitor: V,
) -> Result<V::Value, DecodeError> {
    match (as_text, std::str::from_utf8(bytes)) {
        (AsText::Yes, Ok(text)) => visitor.visit_borrowed_str(text),
        (AsText::Yes, Err(_)) | (AsText::No, _) => visitor.visit_borrowed_bytes(bytes),
    }
}

fn variant_name(name: &[u8], at: usize) -> Result<&str, DecodeError> {
    std::str::from_utf8(name).map_err(|_| DecodeError::new(at, "the name of a variant must be UTF-8"))
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = DecodeError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let (head, _) = self.peek()?;
        match head {
            Head::Nil => self.deserialize_unit(visitor),
            Head::Bool(_) => self.deserialize_bool(visitor),
            Head::Fixint(_) | Head::Unsigned(_) => self.unsigned(visitor),
            Head::Negative(_) => self.signed(visitor),
            Head::Float(_) => self.float(visitor),
            Head::Text(_) => self.raw(AsText::Yes, visitor),
            Head::Bytes(_) => self.raw(AsText::No, visitor),
            Head::Array(_) => self.list(None, visitor),
            Head::Map(_) => self.deserialize_map(visitor),
            Head::Ext(_) | Head::Reserved => Err(self.refuse(at, head, &visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        match self.head()? {
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Nil | Head::Fixint(0) => visitor.visit_bool(false),
            Head::Fixint(1) => visitor.visit_bool(true),
            head @ (Head::Fixint(_)
            | Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Float(_)
            | Head::Text(_)
            | Head::Bytes(_)
            | Head::Array(_)
            | Head::Map(_)
            | Head::Ext(_)
            | Head::Reserved) => Err(self.refuse(at, head, &visitor)),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.signed(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.signed(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.signed(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.signed(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.unsigned(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.unsigned(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.unsigned(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.unsigned(visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.float(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.float(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.raw(AsText::Yes, visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.raw(AsText::Yes, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.raw(AsText::Yes, visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.raw(AsText::No, visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.raw(AsText::No, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.peek()?.0 == Head::Nil {
            self.head()?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        if head == Head::Nil { visitor.visit_unit() } else { Err(self.refuse(at, head, &visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.list(None, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.list(Some(length), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.list(Some(length), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let result = if let Head::Map(pairs) = head {
            self.enter()?;
            let value = visitor.visit_map(Entries { decoder: self, left: pairs })?;
            self.leave();
            Ok(value)
        } else if head == Head::Nil {
            visitor.visit_map(Entries { decoder: self, left: 0 })
        } else {
            Err(self.refuse(at, head, &visitor))
        };
        result.map_err(|error| error.located(at))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let found = if head == Head::Nil {
            Vec::new()
        } else if matches!(head, Head::Array(_) | Head::Map(_)) {
            self.enter()?;
            let found = if name.contains(',') {
                self.fields(&name.split(',').collect::<Vec<_>>(), head)?
            } else {
                self.fields(fields, head)?
            };
            self.leave();
            found
        } else {
            return Err(self.refuse(at, head, &visitor));
        };
        let depth_left = self.depth_left.saturating_sub(1);
        let fields = Fields { input: self.input, depth_left, found: found.into_iter(), value_at: 0 };
        visitor.visit_map(fields).map_err(|error| error.located(at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let at = self.at;
        let head = self.head()?;
        let result = if let Head::Text(length) | Head::Bytes(length) = head {
            let name = variant_name(self.take(length)?, at)?;
            visitor.visit_enum(BorrowedStrDeserializer::new(name))
        } else if head == Head::Map(1) {
            self.enter()?;
            let name = variant_name(self.key()?, at)?;
            let value = visitor.visit_enum(Variant { decoder: self, name })?;
            self.leave();
            Ok(value)
        } else {
            Err(self.refuse(at, head, &visitor))
        };
        result.map_err(|error| error.located(at))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.raw(AsText::Yes, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.skip()?;
        visitor.visit_unit()
    }
}

#[cfg(test)]
#[path = "deserialize_tests.rs"]
mod tests;
