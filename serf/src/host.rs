//! What memberlist asks, answered at once: the part of the Serf layer that does not need memberlist itself.
//!
//! Answers to Go's `delegate.go`, `merge_delegate.go` and `ping_delegate.go`, and `docs/spec/serf-gossip.md` 2.3, 10.1, 11
//! and 14.1.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::broadcasts::Broadcasts;
use crate::coordinates::CoordinateClient;
use crate::intents::RecentIntents;
use crate::limits::TAGS_ENCODED_MAX;
use crate::memberlist::{Host, Member, Refusal};
use crate::members::Table;
use crate::messages::{EventSlot, PushPull, SlotEvent};
use crate::ring::Ring;
use crate::samples::{Sample, Samples};
use crate::{Coordinate, Instant, LamportClock, NodeName, SerfState, Tags, names};

/// State that answers memberlist's questions.
pub(crate) struct Core {
    /// Our name.
    pub(crate) name: NodeName,
    /// Our life.
    pub(crate) state: SerfState,
    /// Our tags.
    pub(crate) tags: Tags,
    /// Our tags as they travel, with our capability.
    pub(crate) meta: Bytes,
    /// The cluster we keep to, if we do.
    pub(crate) cluster_name: Option<String>,
    /// Clock of the intents.
    pub(crate) clock: LamportClock,
    /// Clock of the user events.
    pub(crate) event_clock: LamportClock,
    /// Clock of the queries.
    pub(crate) query_clock: LamportClock,
    /// Who is there.
    pub(crate) table: Table,
    /// Who was heard of.
    pub(crate) intents: RecentIntents,
    /// What happened.
    pub(crate) events: Ring<SlotEvent>,
    /// What is to be told.
    pub(crate) broadcasts: Broadcasts,
    /// Where we are; `None`: coordinates are off.
    pub(crate) coordinates: Option<Coordinates>,
    /// Refuse unusual names of others.
    pub(crate) validate_node_names: bool,
    /// What was measured.
    pub(crate) samples: Samples,
}

/// Our coordinate, and those last heard of others.
pub(crate) struct Coordinates {
    /// Ours.
    pub(crate) client: CoordinateClient,
    /// Theirs, for members only.
    pub(crate) cache: BTreeMap<NodeName, Coordinate>,
}

impl Host for Core {
    fn meta(&self, limit: usize) -> Bytes {
        // `Tags::encode` keeps to the limit of the wire; a smaller limit than that cannot be served in part.
        if self.meta.len() <= limit { self.meta.clone() } else { Bytes::new() }
    }

    fn broadcasts(&mut self, _now: Instant, overhead: usize, limit: usize) -> Vec<Bytes> {
        let living = self.table.present();
        let messages = self.broadcasts.take(overhead, limit, living);
        messages.iter().for_each(|message| self.samples.push(Sample::MessageSent(message.len())));
        messages
    }

    fn local_state(&self, _join: bool) -> Bytes {
        let slot = |slot: &crate::ring::Slot<SlotEvent>| EventSlot { ltime: slot.ltime, events: slot.entries.clone() };
        let state = PushPull {
            ltime: self.clock.time(),
            status_ltimes: self.table.entries().map(|entry| (entry.member.name.clone(), entry.status_ltime)).collect(),
            left_members: self.table.left().iter().cloned().collect(),
            event_ltime: self.event_clock.time(),
            events: self.events.slots().map(|entry| entry.map(slot)).collect(),
            query_ltime: self.query_clock.time(),
        };
        state.encode()
    }

    fn ack_payload(&self) -> Bytes {
        self.coordinates.as_ref().map(|own| own.client.coordinate().encode_payload()).unwrap_or_default()
    }

    fn accept_member(&self, member: &Member) -> Result<(), Refusal> {
        self.accept_cluster(member)?;
        if !self.validate_node_names {
            return Ok(());
        }
        names::validate(&member.name).map_err(Refusal)?;
        let length = member.address.as_bytes().len();
        if length != 4 && length != 16 {
            return Err(Refusal(format!("IP byte length is invalid: {length} bytes is not either 4 or 16")));
        }
        if member.meta.len() > TAGS_ENCODED_MAX {
            let (length, limit) = (member.meta.len(), TAGS_ENCODED_MAX);
            return Err(Refusal(format!("Encoded length of tags exceeds limit of {limit} bytes ({length})")));
        }
        Ok(())
    }

    fn accept_merge(&self, peers: &[Member]) -> Result<(), Refusal> {
        peers.iter().try_for_each(|peer| self.accept_member(peer))
    }
}
