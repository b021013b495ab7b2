//! Objects of Folkmoot's own commands, each declared once with [`objects!`], and the words in them with [`words!`].
//!
//! They are maps; unknown keys are skipped, absent ones and nil are zero, and the keys are written in ascending order. They
//! have no array form.

use std::fmt;
use std::marker::PhantomData;

use folkmoot_wire::{Blob, Text};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::fields::{self, Fields, read, read_object};
use crate::limits::MAX_ELEMENTS;
use crate::{Decode, DecodeError, Encode};

/// What a field of an object can be.
pub(crate) trait Field: Sized {
    /// Reads it; nil is zero.
    fn read<'de, D: Deserializer<'de>>(value: D) -> Result<Self, D::Error>;

    /// Writes it.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

/// An object, as its writer sees it.
pub(crate) trait Object: Fields {
    /// Appends the field called `name` to a map; nothing if there is none.
    fn write_field<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error>;
}

/// Declares objects: name, then for each field its key, its name here and its type, in the order of the keys.
macro_rules! objects {
    ($($(#[$doc:meta])* $object:ident { $($(#[$field_doc:meta])* $key:literal $field:ident: $type:ty),* $(,)? })+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $object {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::fields::Fields for $object {
            const ORDER: &'static [&'static str] = &[$($key),*];
            const ARRAY: bool = false;

            fn set<'de, D: serde::de::Deserializer<'de>>(&mut self, name: &[u8], value: D) -> Result<(), D::Error> {
                $(if name == $key.as_bytes() {
                    self.$field = $crate::objects::Field::read(value)?;
                    return Ok(());
                })*
                let _ = name;
                $crate::fields::skip(value)
            }
        }

        const _: () = assert!($crate::objects::ascend(&[$($key),*]), "keys are written in ascending order");

        impl $crate::objects::Object for $object {
            fn write_field<M: serde::ser::SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
                $(if name == $key {
                    return map.serialize_entry(name, &$crate::objects::Out(&self.$field));
                })*
                let _ = (name, map);
                Ok(())
            }
        }

        impl $crate::Decode for $object {
            fn decode(object: &[u8]) -> Result<Self, $crate::DecodeError> {
                $crate::fields::decode(object)
            }
        }

        impl $crate::Encode for $object {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::fields::write(&$crate::objects::Out(self), out);
            }
        }
    )+ };
}

/// Declares words: an enum whose values travel as text. Nil, absent and empty text are the first of them.
macro_rules! words {
    ($($(#[$doc:meta])* $words:ident {
        $(#[$first_doc:meta])* $first:ident = $first_word:literal,
        $($(#[$word_doc:meta])* $word:ident = $text:literal,)*
    })+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $words {
            $(#[$first_doc])*
            #[default]
            $first,
            $($(#[$word_doc])* $word,)*
        }

        impl $words {
            /// Every one.
            pub const ALL: &'static [Self] = &[Self::$first, $(Self::$word),*];

            /// As it travels.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$word => $text,)*
                }
            }

            /// The one that travels like this.
            pub fn parse(text: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str().as_bytes() == text)
            }
        }

        impl std::fmt::Display for $words {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::objects::Field for $words {
            fn read<'de, D: serde::de::Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
                $crate::objects::read_word(value, Self::parse)
            }

            fn write<S: serde::ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )+ };
}

pub(crate) use {objects, words};

/// Whether each name stands before the next in the order of their bytes.
pub(crate) const fn ascend(names: &[&str]) -> bool {
    let mut rest = names;
    while let [first, after @ ..] = rest {
        if let [second, ..] = after
            && !precedes(first.as_bytes(), second.as_bytes())
        {
            return false;
        }
        rest = after;
    }
    true
}

const fn precedes(mut a: &[u8], mut b: &[u8]) -> bool {
    loop {
        match (a, b) {
            (_, []) => return false,
            ([], _) => return true,
            ([x, a_rest @ ..], [y, b_rest @ ..]) => {
                if *x != *y {
                    return *x < *y;
                }
                (a, b) = (a_rest, b_rest);
            }
        }
    }
}

/// Reads a word.
pub(crate) fn read_word<'de, T: Default, D: Deserializer<'de>>(
    value: D,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<T, D::Error> {
    let text: Text = read(value)?;
    if text.is_empty() {
        return Ok(T::default());
    }
    parse(text.as_bytes()).ok_or_else(|| serde::de::Error::custom(format_args!("unknown word {text:?}")))
}

/// Two objects that travel as one map: what all commands of a kind have, and the rest. They share no key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct With<A, B> {
    /// What all of a kind have.
    pub common: A,
    /// The rest.
    pub body: B,
}

impl<A: Fields, B: Fields> Fields for With<A, B> {
    const ORDER: &'static [&'static str] = &[];
    const ARRAY: bool = false;

    fn set<'de, D: Deserializer<'de>>(&mut self, name: &[u8], value: D) -> Result<(), D::Error> {
        if A::ORDER.iter().any(|known| known.as_bytes() == name) {
            self.common.set(name, value)
        } else {
            self.body.set(name, value)
        }
    }
}

impl<A: Fields, B: Fields> Decode for With<A, B> {
    fn decode(object: &[u8]) -> Result<Self, DecodeError> {
        fields::decode(object)
    }
}

impl<A: Object, B: Object> Encode for With<A, B> {
    fn encode(&self, out: &mut Vec<u8>) {
        fields::write(&Merged(&self.common, &self.body), out);
    }
}

/// Two objects on their way into one map.
pub(crate) struct Merged<'a, A, B>(pub(crate) &'a A, pub(crate) &'a B);

impl<A: Object, B: Object> Serialize for Merged<'_, A, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names: Vec<&'static str> = A::ORDER.iter().chain(B::ORDER).copied().collect();
        names.sort_unstable();
        let mut map = serializer.serialize_map(Some(names.len()))?;
        for name in names {
            if A::ORDER.contains(&name) {
                self.0.write_field(name, &mut map)?;
            } else {
                self.1.write_field(name, &mut map)?;
            }
        }
        map.end()
    }
}

/// A field on its way through serde.
pub(crate) struct Out<'a, T>(pub(crate) &'a T);

impl<T: Field> Serialize for Out<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// The same on the way in.
struct In<T>(T);

impl<'de, T: Field> Deserialize<'de> for In<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

impl<T: Object> Field for T {
    fn read<'de, D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        read_object(value)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(T::ORDER.len()))?;
        for name in T::ORDER {
            self.write_field(name, &mut map)?;
        }
        map.end()
    }
}

/// A missing one is nil.
impl<T: Field> Field for Option<T> {
    fn read<'de, D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Ok(Option::<In<T>>::deserialize(value)?.map(|In(value)| value))
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => value.write(serializer),
            None => serializer.serialize_none(),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Ok(Option::<List<T>>::deserialize(value)?.map(|List(elements)| elements).unwrap_or_default())
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut elements = serializer.serialize_seq(Some(self.len()))?;
        for element in self {
            elements.serialize_element(&Out(element))?;
        }
        elements.end()
    }
}

/// A list on the way in: an element may take a hundred times the byte that it came in, so their number has a limit.
struct List<T>(Vec<T>);

impl<'de, T: Field> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Field> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(In(element)) = elements.next_element()? {
            if list.len() >= MAX_ELEMENTS {
                return Err(A::Error::custom(format_args!("more than {MAX_ELEMENTS} elements in a list")));
            }
            list.push(element);
        }
        Ok(List(list))
    }
}

macro_rules! plain {
    ($($type:ty),*) => { $(
        impl Field for $type {
            fn read<'de, D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
                read(value)
            }

            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }
        }
    )* };
}

plain!(bool, u32, u64, i64, Text, Blob);
