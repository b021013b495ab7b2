//! A small MessagePack of the tests' own: values as trees, read from and written to bytes.
//!
//! Independent of `folkmoot-wire` on purpose. Integer width is not kept; text and bytes are (`Str`, `Bin`).

use std::fmt;

/// One MessagePack value.
#[derive(Clone, PartialEq)]
pub enum Value {
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// Text, which need not be UTF-8.
    Str(Vec<u8>),
    Bin(Vec<u8>),
    Array(Vec<Value>),
    /// In wire order.
    Map(Vec<(Value, Value)>),
}

/// The input ends inside the value, or is no MessagePack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    Incomplete,
    Invalid,
}

impl Value {
    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Str(text.as_bytes().to_vec())
    }

    /// A map with text keys, in the given order.
    pub fn map<const N: usize>(entries: [(&str, Value); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (Self::text(key), value)).collect())
    }

    /// The value under a text key; nil if there is none.
    pub fn get(&self, key: &str) -> &Value {
        let Self::Map(entries) = self else { return &Self::Nil };
        entries.iter().find(|(name, _)| *name == Self::text(key)).map_or(&Self::Nil, |(_, value)| value)
    }

    pub fn as_int(&self) -> i128 {
        if let Self::Int(number) = self { *number } else { panic!("not an integer: {self:?}") }
    }

    pub fn as_text(&self) -> String {
        match self {
            Self::Str(bytes) | Self::Bin(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("not text: {other:?}"),
        }
    }

    /// Bytes of text or bin; nil is empty.
    pub fn as_bytes(&self) -> Vec<u8> {
        match self {
            Self::Str(bytes) | Self::Bin(bytes) => bytes.clone(),
            Self::Nil => Vec::new(),
            other => panic!("not bytes: {other:?}"),
        }
    }

    pub fn as_array(&self) -> &[Value] {
        if let Self::Array(items) = self { items } else { panic!("not an array: {self:?}") }
    }

    /// The value's bytes, in the newer dialect (str8, bin).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => out.push(0xc0),
            Self::Bool(value) => out.push(0xc2 + u8::from(*value)),
            Self::Int(number) => write_int(*number, out),
            Self::Float(number) => {
                out.push(0xcb);
                out.extend(number.to_be_bytes());
            }
            Self::Str(bytes) => {
                write_length(bytes.len(), (0xa0, 32), &[0xd9, 0xda, 0xdb], out);
                out.extend(bytes);
            }
            Self::Bin(bytes) => {
                write_length(bytes.len(), (0, 0), &[0xc4, 0xc5, 0xc6], out);
                out.extend(bytes);
            }
            Self::Array(items) => {
                write_length(items.len(), (0x90, 16), &[0, 0xdc, 0xdd], out);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                write_length(entries.len(), (0x80, 16), &[0, 0xde, 0xdf], out);
                for (key, value) in entries {
                    key.write(out);
                    value.write(out);
                }
            }
        }
    }

    /// The first value of `bytes` and how many bytes it takes.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), Unread> {
        let mut reader = Reader { bytes, at: 0 };
        let value = reader.value()?;
        Ok((value, reader.at))
    }
}

fn write_int(number: i128, out: &mut Vec<u8>) {
    if let Ok(small) = i8::try_from(number)
        && small >= -32
    {
        out.extend(small.to_be_bytes());
        return;
    }
    if let Ok(unsigned) = u64::try_from(number) {
        out.push(0xcf);
        out.extend(unsigned.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend(i64::try_from(number).unwrap().to_be_bytes());
    }
}

/// `fixed` is the marker of the short form and the length from which it cannot be used; `wide` the 8, 16, 32-bit forms
/// (0: no such form).
fn write_length(length: usize, fixed: (u8, usize), wide: &[u8; 3], out: &mut Vec<u8>) {
    if length < fixed.1 {
        out.push(fixed.0 + u8::try_from(length).unwrap());
    } else if let (Ok(length), true) = (u8::try_from(length), wide[0] != 0) {
        out.extend([wide[0], length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(wide[1]);
        out.extend(length.to_be_bytes());
    } else {
        out.push(wide[2]);
        out.extend(u32::try_from(length).unwrap().to_be_bytes());
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], Unread> {
        let taken = self.bytes.get(self.at..self.at + length).ok_or(Unread::Incomplete)?;
        self.at += length;
        Ok(taken)
    }

    fn number(&mut self, width: usize) -> Result<u64, Unread> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, width: usize) -> Result<usize, Unread> {
        Ok(usize::try_from(self.number(width)?).unwrap())
    }

    fn value(&mut self) -> Result<Value, Unread> {
        let marker = self.take(1)?[0];
        Ok(match marker {
            0x00..=0x7f => Value::Int(i128::from(marker)),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f))?,
            0x90..=0x9f => self.array(usize::from(marker & 0x0f))?,
            0xa0..=0xbf => Value::Str(self.take(usize::from(marker & 0x1f))?.to_vec()),
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(1 << (marker - 0xc4))?;
                Value::Bin(self.take(length)?.to_vec())
            }
            0xca => Value::Float(f64::from(f32::from_bits(u32::try_from(self.number(4)?).unwrap()))),
            0xcb => Value::Float(f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => Value::Int(i128::from(self.number(1 << (marker - 0xcc))?)),
            0xd0..=0xd3 => {
                let width = 1 << (marker - 0xd0);
                let shift = 64 - 8 * u32::try_from(width).unwrap();
                Value::Int(i128::from((self.number(width)? << shift).cast_signed() >> shift))
            }
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9))?;
                Value::Str(self.take(length)?.to_vec())
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (marker - 0xdc))?;
                self.array(length)?
            }
            0xde | 0xdf => {
                let length = self.length(2 << (marker - 0xde))?;
                self.map(length)?
            }
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(Unread::Invalid),
            0xe0..=0xff => Value::Int(i128::from(marker.cast_signed())),
        })
    }

    fn array(&mut self, length: usize) -> Result<Value, Unread> {
        (0..length).map(|_| self.value()).collect::<Result<_, _>>().map(Value::Array)
    }

    fn map(&mut self, length: usize) -> Result<Value, Unread> {
        (0..length).map(|_| Ok((self.value()?, self.value()?))).collect::<Result<_, _>>().map(Value::Map)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Str(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Bin(bytes) => write!(f, "bin({})", bytes.escape_ascii()),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f.debug_map().entries(entries.iter().map(|(key, value)| (key, value))).finish(),
        }
    }
}
