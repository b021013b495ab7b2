//! A node's tags, and how they travel in its meta data.
//!
//! Answers to Go's `encodeTags` and `decodeTags` (`serf/serf.go`) and `docs/spec/serf-gossip.md` section 2.1. Go ignores
//! bytes behind the tag map; ours hold what a node can do beyond Serf ([`Capability`]), where there is room for it.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use folkmoot_wire as wire;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Text;
use crate::limits::{MEMBER_TAGS_MAX, TAGS_ENCODED_MAX};
use crate::memberlist::{Capability, Kept};

/// A node's tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<Text, Text>);

/// The tags do not fit into a node's meta data. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Encoded length of tags exceeds limit of {} bytes", TAGS_ENCODED_MAX)]
pub struct TagsTooLong;

/// What meta data held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecodedTags {
    /// The tags; those before the damage if there is any.
    pub tags: Tags,
    /// What was wrong with the rest.
    pub damage: Option<String>,
    /// What a node of ours said behind them.
    pub capability: Option<Capability>,
}

impl Tags {
    /// Meta data for a node that speaks Serf protocol `protocol`: before 3 only the role travels.
    ///
    /// # Errors
    /// The result would be longer than 512 bytes.
    #[expect(clippy::expect_used, reason = "a map of texts has a MessagePack form, whatever its values")]
    pub fn encode(&self, protocol: u8) -> Result<Bytes, TagsTooLong> {
        let encoded = if protocol < FIRST_PROTOCOL_WITH_TAGS {
            self.0.get(&Text::from(ROLE)).map(|role| role.as_bytes().to_vec()).unwrap_or_default()
        } else {
            let mut out = vec![TAGS_MAGIC];
            wire::encode(wire::Dialect::Gossip, &self.0, &mut out).expect("tags are encodable");
            out
        };
        if encoded.len() > TAGS_ENCODED_MAX { Err(TagsTooLong) } else { Ok(Bytes::from(encoded)) }
    }

    /// The same with as much of `capability` behind it as there is room for: tags come first. Where only the role
    /// travels there is no room at all, because the role is whatever the meta data holds.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_with(&self, protocol: u8, capability: Option<&Capability>) -> Result<(Bytes, Kept), TagsTooLong> {
        let tags = self.encode(protocol)?;
        let Some(capability) = capability else { return Ok((tags, Kept::All)) };
        if protocol < FIRST_PROTOCOL_WITH_TAGS {
            return Ok((tags, Kept::Nothing));
        }
        let (trailer, kept) = capability.encode_within(TAGS_ENCODED_MAX.saturating_sub(tags.len()));
        let mut meta = Vec::from(tags);
        meta.extend_from_slice(&trailer);
        Ok((Bytes::from(meta), kept))
    }

    /// Reads a node's meta data: a tag map, or else the whole of it is the role.
    pub fn decode(meta: &[u8]) -> DecodedTags {
        match meta.split_first() {
            Some((&TAGS_MAGIC, map)) => match wire::decode_prefix::<LenientMap>(map) {
                Ok((LenientMap { tags, damage }, length)) => {
                    let behind = map.get(length..).filter(|_| damage.is_none());
                    DecodedTags { tags: Self(tags), damage, capability: behind.and_then(Capability::decode) }
                }
                Err(error) => DecodedTags { tags: Self::default(), damage: Some(error.to_string()), capability: None },
            },
            _ => {
                let role = Text::from_bytes(Bytes::copy_from_slice(meta));
                let tags = Self(BTreeMap::from([(Text::from(ROLE), role)]));
                DecodedTags { tags, damage: None, capability: None }
            }
        }
    }

    /// The value of a tag.
    pub fn get(&self, name: &Text) -> Option<&Text> {
        self.0.get(name)
    }
}

/// First byte of meta data that holds a tag map (Go `tagMagicByte`).
const TAGS_MAGIC: u8 = 0xff;
/// Tag that protocol 2 can carry.
const ROLE: &str = "role";
/// Go `ProtocolVersion` 3 brought tags.
const FIRST_PROTOCOL_WITH_TAGS: u8 = 3;

/// A map of which everything before an error is kept.
struct LenientMap {
    tags: BTreeMap<Text, Text>,
    damage: Option<String>,
}

impl<'de> Deserialize<'de> for LenientMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LenientVisitor;
        impl<'de> Visitor<'de> for LenientVisitor {
            type Value = LenientMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tags")
            }
            fn visit_unit<E>(self) -> Result<LenientMap, E> {
                Ok(LenientMap { tags: BTreeMap::new(), damage: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LenientMap, A::Error> {
                let mut tags = BTreeMap::new();
                let damage = loop {
                    match map.next_entry() {
                        Ok(Some(_)) if tags.len() == MEMBER_TAGS_MAX => break Some("too many tags".to_string()),
                        Ok(Some((name, value))) => tags.insert(name, value),
                        Ok(None) => break None,
                        Err(error) => break Some(error.to_string()),
                    };
                };
                Ok(LenientMap { tags, damage })
            }
        }
        deserializer.deserialize_map(LenientVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        Tags(pairs.iter().map(|&(name, value)| (Text::from(name), Text::from(value))).collect())
    }

    #[test]
    fn empty_map_is_magic_and_empty_map() {
        assert_eq!(Tags::default().encode(5).unwrap().as_ref(), b"\xff\x80");
    }

    #[test]
    fn protocol_two_carries_the_bare_role_only() {
        assert_eq!(tags(&[("k", "v"), ("role", "web")]).encode(2).unwrap().as_ref(), b"web");
        assert_eq!(tags(&[("k", "v")]).encode(2).unwrap().as_ref(), b"");
    }

    #[test]
    fn meta_without_magic_is_the_role() {
        assert_eq!(Tags::decode(b"web").tags, tags(&[("role", "web")]));
        assert_eq!(Tags::decode(b"").tags, tags(&[("role", "")]));
    }

    #[test]
    fn bytes_behind_the_map_are_ignored() {
        let decoded = Tags::decode(b"\xff\x81\xa1k\xa1v\xc1\xff\x00anything");
        assert_eq!(decoded, DecodedTags { tags: tags(&[("k", "v")]), damage: None, capability: None });
    }

    #[test]
    fn a_capability_stands_behind_the_map_and_nowhere_else() {
        let capability = Capability::default();
        let (meta, kept) = tags(&[("k", "v")]).encode_with(5, Some(&capability)).unwrap();
        assert_eq!((&meta[..6], kept), (b"\xff\x81\xa1k\xa1v".as_slice(), Kept::All));
        let decoded = Tags::decode(&meta);
        assert_eq!((decoded.tags, decoded.capability), (tags(&[("k", "v")]), Some(capability)));
        let role = [b"web".as_slice(), &capability.encode()].concat();
        assert_eq!(Tags::decode(&role).capability, None);
        let damaged = [b"\xff\x82\xa1k\xa1v\xa1x\xc1".as_slice(), &capability.encode()].concat();
        assert_eq!(Tags::decode(&damaged).capability, None);
        let (meta, kept) = tags(&[("role", "web")]).encode_with(2, Some(&capability)).unwrap();
        assert_eq!((meta.as_ref(), kept), (b"web".as_slice(), Kept::Nothing));
    }

    #[test]
    fn tags_take_the_room_they_need_and_the_capability_what_is_left() {
        let capability = Capability::default();
        // 7 bytes of trailer: ff, map header, "k" (2 bytes), raw16 header (3 bytes) and 498 bytes leave just that.
        let (meta, kept) = tags(&[("k", &"x".repeat(498))]).encode_with(5, Some(&capability)).unwrap();
        assert_eq!((meta.len(), kept), (512, Kept::All));
        let full = tags(&[("k", &"x".repeat(499))]);
        let (meta, kept) = full.encode_with(5, Some(&capability)).unwrap();
        assert_eq!((meta, kept), (full.encode(5).unwrap(), Kept::Nothing));
        assert_eq!(tags(&[("k", &"x".repeat(506))]).encode_with(5, Some(&capability)), Err(TagsTooLong));
    }

    #[test]
    fn tags_before_the_damage_are_kept() {
        let decoded = Tags::decode(b"\xff\x82\xa1k\xa1v\xa1x\xc1");
        assert_eq!(decoded.tags, tags(&[("k", "v")]));
        assert!(decoded.damage.is_some());
    }

    #[test]
    fn meta_that_is_no_map_has_no_tags() {
        let decoded = Tags::decode(b"\xff\x01");
        assert_eq!(decoded.tags, Tags::default());
        assert!(decoded.damage.is_some());
    }

    #[test]
    fn tags_over_512_bytes_are_refused_in_gos_words() {
        // ff, map header, "k" (2 bytes), raw16 header (3 bytes): 505 bytes of value fit exactly.
        assert_eq!(tags(&[("k", &"x".repeat(505))]).encode(5).unwrap().len(), 512);
        let error = tags(&[("k", &"x".repeat(506))]).encode(5).unwrap_err();
        assert_eq!(error.to_string(), "Encoded length of tags exceeds limit of 512 bytes");
        assert_eq!(tags(&[("role", &"x".repeat(513))]).encode(2), Err(TagsTooLong));
    }
}
