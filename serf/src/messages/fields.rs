//! What several messages share: bytes that may be nil, lists with a bound, addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use folkmoot_wire as wire;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{MessageError, MessageType};
use crate::NodeName;
use crate::limits::FILTER_NODES_MAX;

/// The body behind a type byte.
pub(super) fn decode_body<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, MessageError> {
    wire::decode(body).map_err(|reason| MessageError::Body { what, reason })
}

/// A type byte and a body.
pub(super) fn encode<T: Serialize>(kind: MessageType, body: &T) -> Bytes {
    encode_tagged(kind as u8, body)
}

/// As [`encode`], for the type bytes that are not message types.
#[expect(clippy::expect_used, reason = "every type here has a MessagePack form, whatever its values")]
pub(super) fn encode_tagged<T: Serialize>(kind: u8, body: &T) -> Bytes {
    let mut out = vec![kind];
    wire::encode(wire::Dialect::Gossip, body, &mut out).expect("messages are encodable");
    Bytes::from(out)
}

/// 4 or 16 bytes as an address; mapped IPv4 is shortened.
pub(super) fn socket_address(ip: Option<&Bytes>, port: u16) -> Option<SocketAddr> {
    let bytes = ip?.as_ref();
    let ip = if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        IpAddr::V4(Ipv4Addr::from(four))
    } else {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical()
    };
    Some(SocketAddr::new(ip, port))
}

/// Bytes as Go reads them into a `[]byte`: from the text family, from `bin`, or from an array of small numbers.
struct AnyBytes(Bytes);

impl<'de> Deserialize<'de> for AnyBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyBytesVisitor;
        impl<'de> Visitor<'de> for AnyBytesVisitor {
            type Value = AnyBytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<AnyBytes, E> {
                Ok(AnyBytes(Bytes::copy_from_slice(bytes)))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<AnyBytes, E> {
                Ok(AnyBytes(Bytes::from(bytes)))
            }
            fn visit_str<E>(self, text: &str) -> Result<AnyBytes, E> {
                Ok(AnyBytes(Bytes::copy_from_slice(text.as_bytes())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AnyBytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(AnyBytes(Bytes::from(bytes)))
            }
        }
        deserializer.deserialize_byte_buf(AnyBytesVisitor)
    }
}

/// `Option<Bytes>`: nil or bytes.
pub(super) mod optional_bytes {
    use super::{AnyBytes, Bytes, Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_bytes(bytes),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<AnyBytes>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

/// The filters of a query: nil when there are none.
pub(super) mod filter_list {
    use serde::ser::SerializeSeq;

    use super::{AnyBytes, Bytes, Deserializer, Serialize, Serializer, bounded_list};
    use crate::limits::QUERY_FILTERS_MAX;

    struct Raw<'a>(&'a Bytes);

    impl Serialize for Raw<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    pub(in super::super) fn serialize<S: Serializer>(filters: &[Bytes], serializer: S) -> Result<S::Ok, S::Error> {
        if filters.is_empty() {
            return serializer.serialize_none();
        }
        let mut list = serializer.serialize_seq(Some(filters.len()))?;
        for filter in filters {
            list.serialize_element(&Raw(filter))?;
        }
        list.end()
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
        let entries: Option<Vec<Option<AnyBytes>>> = bounded_list(deserializer, QUERY_FILTERS_MAX)?;
        let entries = entries.unwrap_or_default().into_iter();
        Ok(entries.map(|entry| entry.map(|bytes| bytes.0).unwrap_or_default()).collect())
    }
}

/// The names of a node filter.
pub(super) struct NodeList(pub(super) Vec<NodeName>);

impl<'de> Deserialize<'de> for NodeList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(bounded_list(deserializer, FILTER_NODES_MAX)?.unwrap_or_default()))
    }
}

/// A list of at most `limit` elements, or nil. Nothing is allocated by the length the sender claims.
pub(crate) fn bounded_list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    limit: usize,
) -> Result<Option<Vec<T>>, D::Error> {
    struct ListVisitor<T> {
        limit: usize,
        element: std::marker::PhantomData<T>,
    }
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Option<Vec<T>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {} elements", self.limit)
        }
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_seq(self)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = list.next_element()? {
                if elements.len() == self.limit {
                    return Err(A::Error::custom(format_args!("more than {} elements", self.limit)));
                }
                elements.push(element);
            }
            Ok(Some(elements))
        }
    }
    deserializer.deserialize_option(ListVisitor { limit, element: std::marker::PhantomData })
}
