//! What the deserializer hands to serde's visitors: elements, pairs, fields and variants, one at a time.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use crate::DecodeError;
use crate::deserialize::Decoder;
use crate::head::Head;

/// The elements of a list, then zeros where the target has a fixed number of them.
pub(crate) struct Elements<'a, 'de> {
    pub(crate) decoder: &'a mut Decoder<'de>,
    pub(crate) left: usize,
    pub(crate) padding: usize,
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let at = self.decoder.offset();
            return seed.deserialize(&mut *self.decoder).map(Some).map_err(|error| error.located(at));
        }
        let Some(padding) = self.padding.checked_sub(1) else {
            return Ok(None);
        };
        self.padding = padding;
        seed.deserialize(&mut Decoder::nil()).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.decoder.remaining()))
    }
}

/// The pairs of a map.
pub(crate) struct Entries<'a, 'de> {
    pub(crate) decoder: &'a mut Decoder<'de>,
    pub(crate) left: usize,
}

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let at = self.decoder.offset();
        let (head, _) = self.decoder.peek()?;
        if matches!(head, Head::Nil | Head::Array(_) | Head::Map(_)) {
            return Err(DecodeError::new(at, format!("{} cannot be a key", head.name())));
        }
        seed.deserialize(&mut *self.decoder).map(Some).map_err(|error| error.located(at))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        let at = self.decoder.offset();
        seed.deserialize(&mut *self.decoder).map_err(|error| error.located(at))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.decoder.remaining()))
    }
}

/// The fields of a struct that were found, each once.
pub(crate) struct Fields<'de> {
    pub(crate) input: &'de [u8],
    pub(crate) depth_left: usize,
    pub(crate) found: std::vec::IntoIter<(&'static str, usize)>,
    pub(crate) value_at: usize,
}

impl<'de> de::MapAccess<'de> for Fields<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some((key, value_at)) = self.found.next() else {
            return Ok(None);
        };
        self.value_at = value_at;
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        let mut decoder = Decoder::nested(self.input, self.value_at, self.depth_left);
        seed.deserialize(&mut decoder).map_err(|error| error.located(self.value_at))
    }
}

/// The content of an enum's variant.
pub(crate) struct Variant<'a, 'de> {
    pub(crate) decoder: &'a mut Decoder<'de>,
    pub(crate) name: &'de str,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        Ok((seed.deserialize(BorrowedStrDeserializer::<DecodeError>::new(self.name))?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        self.decoder.skip()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.decoder)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.decoder.list(Some(length), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.decoder.deserialize_struct("", fields, visitor)
    }
}
