//! How an object becomes a struct (section 3): a map with the fields in any order and unknown ones skipped, an array
//! in Go's declaration order, or nil. Which single values a field accepts is the wire crate's business, except that
//! nil is zero everywhere.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use folkmoot_wire::{Blob, Dialect};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::DecodeError;

/// A struct of the protocol, as its reader sees it.
pub(crate) trait Fields: Default {
    /// The names in Go's declaration order, which is the order of the array form.
    const ORDER: &'static [&'static str];

    /// Whether there is an array form: only Serf's own structs have one.
    const ARRAY: bool = true;

    /// Reads `value` into the field called `name`; unknown names are skipped whole, with [`skip`].
    fn set<'de, D: Deserializer<'de>>(&mut self, name: &[u8], value: D) -> Result<(), D::Error>;

    /// What nil means.
    fn zero() -> Self {
        Self::default()
    }
}

/// How a struct is read: its names in Go's declaration order, where each goes, and by which function.
macro_rules! fields {
    ($object:ty { $($name:literal => $field:ident: $read:path),* $(,)? }) => {
        impl $crate::fields::Fields for $object {
            const ORDER: &'static [&'static str] = &[$($name),*];

            fn set<'de, D: serde::de::Deserializer<'de>>(&mut self, name: &[u8], value: D) -> Result<(), D::Error> {
                $(if name == $name.as_bytes() {
                    self.$field = $read(value)?;
                    return Ok(());
                })*
                $crate::fields::skip(value)
            }
        }
    };
}

/// The same for a struct that is an object of its own, which gives it both directions.
macro_rules! body {
    ($body:ty { $($fields:tt)* }) => {
        $crate::fields::fields!($body { $($fields)* });

        impl $crate::Decode for $body {
            fn decode(object: &[u8]) -> Result<Self, $crate::DecodeError> {
                $crate::fields::decode(object)
            }
        }

        impl $crate::Encode for $body {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::fields::write(self, out);
            }
        }
    };
}

pub(crate) use {body, fields};

/// Reads one whole object.
pub(crate) fn decode<T: Fields>(object: &[u8]) -> Result<T, DecodeError> {
    folkmoot_wire::decode::<Object<T>>(object).map(|Object(value)| value)
}

/// Reads a field; nil is its zero value.
pub(crate) fn read<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(value: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(value).map(Option::unwrap_or_default)
}

/// Reads bytes; nil and empty are told apart.
pub(crate) fn read_bytes<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Bytes>, D::Error> {
    Ok(Option::<Blob>::deserialize(value)?.map(Bytes::from))
}

/// Reads a list of structs.
pub(crate) fn read_objects<'de, T: Fields, D: Deserializer<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    let objects = Option::<Vec<Object<T>>>::deserialize(value)?.unwrap_or_default();
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// Reads a struct inside a struct.
pub(crate) fn read_object<'de, T: Fields, D: Deserializer<'de>>(value: D) -> Result<T, D::Error> {
    Object::<T>::deserialize(value).map(|Object(value)| value)
}

/// Passes over the value of an unknown key.
pub(crate) fn skip<'de, D: Deserializer<'de>>(value: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(value).map(drop)
}

/// Writes a payload: nil, or the bytes in the `bin` family.
pub(crate) fn write_bytes<S: Serializer>(payload: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
    match payload {
        Some(bytes) => serializer.serialize_bytes(bytes),
        None => serializer.serialize_none(),
    }
}

/// Appends `value`; the types of this crate always have a form.
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    #[expect(clippy::expect_used, reason = "structs, maps and lists of known length can all be written")]
    folkmoot_wire::encode(Dialect::Rpc, value, out).expect("every type of this protocol has a MessagePack form");
}

/// A struct of the protocol on its way through serde.
struct Object<T>(T);

impl<'de, T: Fields> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Fields> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, an array or nil")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = T::default();
        while let Some(Key(name)) = map.next_key()? {
            map.next_value_seed(Field { object: &mut object, name: &name })?;
        }
        Ok(Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        if !T::ARRAY {
            return Err(A::Error::custom("an array, where a map or nil was expected"));
        }
        let mut object = T::default();
        for name in T::ORDER {
            if elements.next_element_seed(Field { object: &mut object, name: name.as_bytes() })?.is_none() {
                return Ok(Object(object));
            }
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Object(object))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Object(T::zero()))
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        self.visit_unit()
    }
}

/// One field of a struct that is being read.
struct Field<'a, T> {
    object: &'a mut T,
    name: &'a [u8],
}

impl<'de, T: Fields> serde::de::DeserializeSeed<'de> for Field<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        self.object.set(self.name, value)
    }
}

/// A key: text of any width, or `bin`.
struct Key<'de>(Cow<'de, [u8]>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(name.as_bytes())))
    }

    fn visit_borrowed_bytes<E: Error>(self, name: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(name)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(name.as_bytes().to_vec())))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(name.to_vec())))
    }
}
