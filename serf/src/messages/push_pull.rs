//! Type 2: the user state of a push/pull, Serf's anti-entropy.
//!
//! Answers to Go's `messagePushPull` and `docs/spec/serf-gossip.md` section 10. Building and merging it is done
//! elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::fields::{self, bounded_list};
use super::{MessageError, MessageType};
use crate::limits::{PUSH_PULL_EVENTS_MAX, PUSH_PULL_MEMBERS_MAX, PUSH_PULL_SLOTS_MAX};
use crate::{LamportTime, NodeName, Text};

/// What a node knows, for a peer to catch up with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    default,
    rename_all = "PascalCase",
    rename(deserialize = "LTime,StatusLTimes,LeftMembers,EventLTime,Events,QueryLTime")
)]
pub struct PushPull {
    /// Event clock.
    #[serde(rename = "EventLTime")]
    pub event_ltime: LamportTime,
    /// The event ring in slot order; empty slots are nil. Go always sends 512.
    #[serde(deserialize_with = "deserialize_slots")]
    pub events: Vec<Option<EventSlot>>,
    /// Member clock.
    #[serde(rename = "LTime")]
    pub ltime: LamportTime,
    /// Names that left; never nil.
    #[serde(deserialize_with = "deserialize_left_members")]
    pub left_members: Vec<NodeName>,
    /// Query clock.
    #[serde(rename = "QueryLTime")]
    pub query_ltime: LamportTime,
    /// For every known name the time of its last intent.
    #[serde(rename = "StatusLTimes", deserialize_with = "deserialize_status_ltimes")]
    pub status_ltimes: BTreeMap<NodeName, LamportTime>,
}

impl PushPull {
    /// With its type byte.
    pub fn encode(&self) -> Bytes {
        fields::encode(MessageType::PushPull, self)
    }

    /// Reads the user state of a peer.
    ///
    /// # Errors
    /// Empty, of another type, undecodable, or beyond a limit: it is to be ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (&kind, body) = bytes.split_first().ok_or(MessageError::Empty)?;
        if kind != MessageType::PushPull as u8 {
            return Err(MessageError::UnknownType(kind));
        }
        fields::decode_body("push/pull", body)
    }
}

/// The events of one logical time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "LTime,Events"))]
pub struct EventSlot {
    /// What was fired then.
    #[serde(deserialize_with = "deserialize_slot_events")]
    pub events: Vec<SlotEvent>,
    /// Their time.
    #[serde(rename = "LTime")]
    pub ltime: LamportTime,
}

/// One event of a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase", rename(deserialize = "Name,Payload,CC"))]
pub struct SlotEvent {
    /// Whether clients may see only the newest event of this name. Go neither sends nor reads it (F24), so it travels
    /// only where it is true, and only between nodes like ours.
    #[serde(rename = "CC", skip_serializing_if = "is_false")]
    pub coalesce: bool,
    /// Event name.
    pub name: Text,
    /// Payload, nil and empty apart.
    #[serde(with = "fields::optional_bytes")]
    pub payload: Option<Bytes>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn deserialize_left_members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NodeName>, D::Error> {
    Ok(bounded_list(deserializer, PUSH_PULL_MEMBERS_MAX)?.unwrap_or_default())
}

fn deserialize_slot_events<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SlotEvent>, D::Error> {
    Ok(bounded_list(deserializer, PUSH_PULL_EVENTS_MAX)?.unwrap_or_default())
}

fn deserialize_slots<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Option<EventSlot>>, D::Error> {
    struct SlotsVisitor;
    impl<'de> Visitor<'de> for SlotsVisitor {
        type Value = Vec<Option<EventSlot>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the slots of an event ring")
        }
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_seq(self)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut slots: Vec<Option<EventSlot>> = Vec::new();
            let mut events = 0_usize;
            while let Some(slot) = list.next_element::<Option<EventSlot>>()? {
                events = events.saturating_add(slot.as_ref().map_or(0, |slot| slot.events.len()));
                if slots.len() == PUSH_PULL_SLOTS_MAX || events > PUSH_PULL_EVENTS_MAX {
                    return Err(A::Error::custom("too many events in a push/pull"));
                }
                slots.push(slot);
            }
            Ok(slots)
        }
    }
    deserializer.deserialize_option(SlotsVisitor)
}

fn deserialize_status_ltimes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<NodeName, LamportTime>, D::Error> {
    struct TimesVisitor;
    impl<'de> Visitor<'de> for TimesVisitor {
        type Value = BTreeMap<NodeName, LamportTime>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of names to times")
        }
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_map(self)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut times = BTreeMap::new();
            while let Some((name, time)) = map.next_entry()? {
                times.insert(name, time);
                if times.len() > PUSH_PULL_MEMBERS_MAX {
                    return Err(A::Error::custom("too many members in a push/pull"));
                }
            }
            Ok(times)
        }
    }
    deserializer.deserialize_option(TimesVisitor)
}
