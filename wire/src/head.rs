//! The first bytes of a value: what it is and how long it claims to be. Shared by the scanner and the deserializer.

use rmp::Marker;

/// What a value is, before its content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Head {
    Nil,
    Bool(bool),
    /// `00..7f`: the only integers that may stand for a bool.
    Fixint(u8),
    /// Any other integer that is not negative.
    Unsigned(u64),
    /// An integer below zero.
    Negative(i64),
    Float(f64),
    /// Old raw or new str, of this many bytes.
    Text(usize),
    /// bin, of this many bytes.
    Bytes(usize),
    /// Elements.
    Array(usize),
    /// Pairs.
    Map(usize),
    /// Type and data, of this many bytes together.
    Ext(usize),
    /// `c1`: means nothing.
    Reserved,
}

impl Head {
    /// Reads the head of the value at the front of `bytes`, and how many bytes it takes. `None`: it is incomplete.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&first, rest) = bytes.split_first()?;
        let (head, operand): (Self, usize) = match Marker::from_u8(first) {
            Marker::FixPos(value) => (Self::Fixint(value), 0),
            Marker::FixNeg(value) => (Self::Negative(i64::from(value)), 0),
            Marker::Null => (Self::Nil, 0),
            Marker::False => (Self::Bool(false), 0),
            Marker::True => (Self::Bool(true), 0),
            Marker::Reserved => (Self::Reserved, 0),
            Marker::U8 => (Self::Unsigned(unsigned::<1>(rest)?), 1),
            Marker::U16 => (Self::Unsigned(unsigned::<2>(rest)?), 2),
            Marker::U32 => (Self::Unsigned(unsigned::<4>(rest)?), 4),
            Marker::U64 => (Self::Unsigned(unsigned::<8>(rest)?), 8),
            Marker::I8 => (signed(i64::from(i8::from_be_bytes(*rest.first_chunk()?))), 1),
            Marker::I16 => (signed(i64::from(i16::from_be_bytes(*rest.first_chunk()?))), 2),
            Marker::I32 => (signed(i64::from(i32::from_be_bytes(*rest.first_chunk()?))), 4),
            Marker::I64 => (signed(i64::from_be_bytes(*rest.first_chunk()?)), 8),
            Marker::F32 => (Self::Float(f64::from(f32::from_be_bytes(*rest.first_chunk()?))), 4),
            Marker::F64 => (Self::Float(f64::from_be_bytes(*rest.first_chunk()?)), 8),
            Marker::FixStr(length) => (Self::Text(usize::from(length)), 0),
            Marker::Str8 => (Self::Text(length::<1>(rest)?), 1),
            Marker::Str16 => (Self::Text(length::<2>(rest)?), 2),
            Marker::Str32 => (Self::Text(length::<4>(rest)?), 4),
            Marker::Bin8 => (Self::Bytes(length::<1>(rest)?), 1),
            Marker::Bin16 => (Self::Bytes(length::<2>(rest)?), 2),
            Marker::Bin32 => (Self::Bytes(length::<4>(rest)?), 4),
            Marker::FixArray(length) => (Self::Array(usize::from(length)), 0),
            Marker::Array16 => (Self::Array(length::<2>(rest)?), 2),
            Marker::Array32 => (Self::Array(length::<4>(rest)?), 4),
            Marker::FixMap(length) => (Self::Map(usize::from(length)), 0),
            Marker::Map16 => (Self::Map(length::<2>(rest)?), 2),
            Marker::Map32 => (Self::Map(length::<4>(rest)?), 4),
            Marker::FixExt1 => (Self::Ext(2), 0),
            Marker::FixExt2 => (Self::Ext(3), 0),
            Marker::FixExt4 => (Self::Ext(5), 0),
            Marker::FixExt8 => (Self::Ext(9), 0),
            Marker::FixExt16 => (Self::Ext(17), 0),
            Marker::Ext8 => (Self::Ext(length::<1>(rest)?.saturating_add(1)), 1),
            Marker::Ext16 => (Self::Ext(length::<2>(rest)?.saturating_add(1)), 2),
            Marker::Ext32 => (Self::Ext(length::<4>(rest)?.saturating_add(1)), 4),
        };
        Some((head, operand.saturating_add(1)))
    }

    /// Bytes of content behind the head that belong to this value alone.
    pub(crate) fn content(self) -> usize {
        match self {
            Self::Text(length) | Self::Bytes(length) | Self::Ext(length) => length,
            Self::Nil
            | Self::Bool(_)
            | Self::Fixint(_)
            | Self::Unsigned(_)
            | Self::Negative(_)
            | Self::Float(_)
            | Self::Array(_)
            | Self::Map(_)
            | Self::Reserved => 0,
        }
    }

    /// Values inside it, keys included. At least one byte each.
    pub(crate) fn children(self) -> usize {
        match self {
            Self::Array(length) => length,
            Self::Map(pairs) => pairs.saturating_mul(2),
            Self::Nil
            | Self::Bool(_)
            | Self::Fixint(_)
            | Self::Unsigned(_)
            | Self::Negative(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Ext(_)
            | Self::Reserved => 0,
        }
    }

    /// The number a target without sign makes of it; nil is zero.
    pub(crate) fn unsigned(self) -> Option<u64> {
        match self {
            Self::Nil => Some(0),
            Self::Fixint(value) => Some(u64::from(value)),
            Self::Unsigned(value) => Some(value),
            Self::Bool(_)
            | Self::Negative(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Array(_)
            | Self::Map(_)
            | Self::Ext(_)
            | Self::Reserved => None,
        }
    }

    /// Its kind, for error messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a bool",
            Self::Fixint(_) | Self::Unsigned(_) => "an integer",
            Self::Negative(_) => "a negative integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Ext(_) => "an extension",
            Self::Reserved => "the reserved byte c1",
        }
    }
}

fn unsigned<const N: usize>(rest: &[u8]) -> Option<u64> {
    let digits: &[u8; N] = rest.first_chunk()?;
    Some(digits.iter().fold(0, |value, &digit| value << 8 | u64::from(digit)))
}

fn length<const N: usize>(rest: &[u8]) -> Option<usize> {
    unsigned::<N>(rest).map(|value| usize::try_from(value).unwrap_or(usize::MAX))
}

fn signed(value: i64) -> Head {
    u64::try_from(value).map_or(Head::Negative(value), Head::Unsigned)
}
