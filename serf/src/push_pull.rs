//! Merging what a peer knows.
//!
//! Answers to `docs/spec/serf-gossip.md` 10.2 (Go `delegate.go` MergeRemoteState). With F4: events in the order of their
//! times. What we know is put together in `host.rs`.

use bytes::Bytes;

use crate::membership::witness;
use crate::messages::{JoinIntent, LeaveIntent, MessageError, PushPull, UserEventMessage};
use crate::{Instant, LamportClock, LamportTime, Serf};

impl Serf {
    /// The user state of a push/pull. Nothing of it is passed on.
    pub(crate) fn merge_remote_state(&mut self, now: Instant, state: &Bytes, join: bool) {
        let remote = match PushPull::decode(state) {
            Ok(remote) => remote,
            Err(MessageError::Empty) => {
                tracing::error!(target: "serf", "Remote state is zero bytes");
                return;
            }
            Err(MessageError::UnknownType(kind)) => {
                tracing::error!(target: "serf", "Remote state has bad type prefix: {kind}");
                return;
            }
            Err(error @ (MessageError::Body { .. } | MessageError::RelayedType(_))) => {
                tracing::error!(target: "serf", "Failed to decode remote state: {error}");
                return;
            }
        };
        if join {
            self.joins.saw_join_state(now);
        }
        let PushPull { ltime, status_ltimes, left_members, event_ltime, events, query_ltime } = remote;
        let refused = &mut self.counters.times_refused;
        catch_up(&mut self.core.clock, ltime, "member clock", refused);
        catch_up(&mut self.core.event_clock, event_ltime, "event clock", refused);
        catch_up(&mut self.core.query_clock, query_ltime, "query clock", refused);
        let mut too_far = 0_u64;
        for node in &left_members {
            let ltime = status_ltimes.get(node).copied().unwrap_or_default().plus(1);
            if !self.core.clock.believes(ltime) {
                too_far = too_far.saturating_add(1);
                continue;
            }
            self.on_leave_intent(now, &LeaveIntent { ltime, node: node.clone(), prune: false });
        }
        let left: std::collections::BTreeSet<_> = left_members.into_iter().collect();
        for (node, ltime) in status_ltimes {
            if left.contains(&node) {
            } else if self.core.clock.believes(ltime) {
                self.on_join_intent(now, &JoinIntent { ltime, node });
            } else {
                too_far = too_far.saturating_add(1);
            }
        }
        if too_far > 0 {
            // One line for all of them: a state has room for a hundred thousand.
            self.counters.times_refused = self.counters.times_refused.saturating_add(too_far);
            tracing::warn!(target: "serf", "refused {too_far} intents of a peer's state: their times are too far ahead");
        }
        if join && self.joins.ignores_old_events() {
            // A floor nobody believes would shut out every later event (F2).
            if event_ltime <= self.core.event_clock.time() {
                self.core.events.raise_floor(event_ltime);
            }
        }
        let mut slots: Vec<_> = events.into_iter().flatten().collect();
        slots.sort_by_key(|slot| slot.ltime);
        for slot in slots {
            for event in slot.events {
                // Go's nodes send no coalesce flag: theirs are not coalesced, as in Go.
                self.on_user_event(
                    now,
                    UserEventMessage {
                        ltime: slot.ltime,
                        name: event.name,
                        payload: event.payload,
                        coalesce: event.coalesce,
                    },
                );
            }
        }
    }
}

/// Catches up with a clock: it reads the next unused time, so the last used one is witnessed.
fn catch_up(clock: &mut LamportClock, reading: LamportTime, what: &str, refused: &mut u64) {
    if reading > LamportTime::default() {
        witness(clock, reading.minus(1), what, refused);
    }
}
