//! User events: firing, receiving, and what is remembered of them.
//!
//! Answers to `docs/spec/serf-gossip.md` section 5 (Go `serf.go` UserEvent, handleUserEvent).

use bytes::Bytes;

use crate::limits::EVENT_RING_BYTES_MAX;
use crate::membership::witness;
use crate::messages::{SlotEvent, UserEventMessage};
use crate::ring::Verdict;
use crate::{Event, Instant, RequestError, Serf, Text, UserEvent};

impl Serf {
    /// Fires a user event. Works without peers: it waits for them.
    ///
    /// # Errors
    /// It is longer than configured, or than any gossip packet (F7).
    pub fn user_event(
        &mut self,
        now: Instant,
        name: Text,
        payload: Option<Bytes>,
        coalesce: bool,
    ) -> Result<(), RequestError> {
        if self.is_shut_down() {
            return Err(RequestError::Shutdown);
        }
        let limit = self.config.user_event_size_limit;
        let length = name.len().saturating_add(payload.as_ref().map_or(0, Bytes::len));
        if length > limit {
            return Err(RequestError::EventTooLong(limit));
        }
        let message = UserEventMessage { ltime: self.core.event_clock.time(), name, payload, coalesce };
        let encoded = message.encode();
        if encoded.len() > limit {
            return Err(RequestError::EncodedEventTooLong(limit));
        }
        let ceiling = self.gossip_ceiling();
        if encoded.len() > ceiling {
            return Err(RequestError::NeverGossiped { length: encoded.len(), ceiling });
        }
        // Receiving it advances the clock past its time, so no other event of ours can have the same (F3).
        self.on_user_event(now, message);
        self.core.broadcasts.queue_event(encoded);
        self.core.broadcasts.prune(&self.config, self.core.table.len());
        Ok(())
    }

    /// A user event, ours or another's (5.1). Says whether it is to be passed on.
    pub(crate) fn on_user_event(&mut self, now: Instant, message: UserEventMessage) -> bool {
        let UserEventMessage { ltime, name, payload, coalesce } = message;
        if !witness(&mut self.core.event_clock, ltime, "user event", &mut self.counters.times_refused) {
            return false;
        }
        let current = self.core.event_clock.time();
        let entry = SlotEvent { coalesce, name: name.clone(), payload: payload.clone() };
        let payload_length = entry.payload.as_ref().map_or(0, Bytes::len);
        let weight = entry.name.len().saturating_add(payload_length).saturating_add(ENTRY_OVERHEAD);
        match self.core.events.admit(ltime, current, entry, weight, same_event) {
            Verdict::New => {}
            Verdict::TooOld => {
                tracing::warn!(
                    target: "serf", "received old event {name} from time {ltime} (current: {current})"
                );
                return false;
            }
            Verdict::Full => {
                self.counters.events_refused = self.counters.events_refused.saturating_add(1);
                return false;
            }
            Verdict::Known | Verdict::BelowFloor => return false,
        }
        self.core.events.shrink(EVENT_RING_BYTES_MAX);
        self.counters.events = self.counters.events.saturating_add(1);
        self.emit(now, Event::User(UserEvent { ltime, name, payload, coalesce }));
        true
    }
}

/// What an event costs besides its texts: MessagePack headers and the keys of its map, bytes.
const ENTRY_OVERHEAD: usize = 32;

/// Nil and empty payloads are the same event (`docs/spec/serf-gossip.md` section 1).
fn same_event(one: &SlotEvent, two: &SlotEvent) -> bool {
    let payloads = (one.payload.as_deref().unwrap_or_default(), two.payload.as_deref().unwrap_or_default());
    one.name == two.name && payloads.0 == payloads.1
}
