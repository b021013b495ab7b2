//! The transmit-limited broadcast queue. Answers to Go `queue.go`, spec 7.1. The Serf layer uses it for its queues too.
//!
//! It does not know what the messages are; names and limits come from the caller.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bytes::Bytes;
use folkmoot_wire::{Blob, Text};

use crate::BroadcastId;

/// Messages waiting to be gossiped, each a limited number of times (spec 7.1).
///
/// Length: one entry per name, so the gossip layer's own queue is bounded by the member limit; whoever queues without
/// names calls [`Self::prune`]. Every operation costs the logarithm of the length.
#[derive(Debug)]
pub struct TransmitLimitedQueue {
    retransmit_mult: usize,
    /// The order in which messages are taken.
    waiting: BTreeMap<Place, Broadcast>,
    by_key: BTreeMap<Text, Place>,
    next_id: u64,
    finished: Vec<BroadcastId>,
}

/// Order of sending: fewest transmissions first, then the longest, then the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    transmits: usize,
    length: Reverse<usize>,
    id: Reverse<u64>,
}

#[derive(Debug)]
struct Broadcast {
    message: Blob,
    key: Option<Text>,
    waiter: Option<BroadcastId>,
}

impl TransmitLimitedQueue {
    /// An empty queue; `retransmit_mult` as in [`crate::Config`].
    pub fn new(retransmit_mult: usize) -> Self {
        Self { retransmit_mult, waiting: BTreeMap::new(), by_key: BTreeMap::new(), next_id: 1, finished: Vec::new() }
    }

    /// Queues `message`. An older one with the same `key` is finished. `id`: somebody waits for its end.
    pub fn enqueue(&mut self, key: Option<Text>, message: Bytes, id: Option<BroadcastId>) {
        if let Some(place) = key.as_ref().and_then(|key| self.by_key.get(key).copied()) {
            self.finish(place);
            self.restart_ids_when_empty();
        }
        let place = Place { transmits: 0, length: Reverse(message.len()), id: Reverse(self.next_id) };
        self.next_id = self.next_id.saturating_add(1);
        self.insert(place, Broadcast { message: message.into(), key, waiter: id });
    }

    /// Takes messages for one packet: each costs `overhead` plus its length, together at most `limit`. A message is
    /// taken once per call and [`retransmit_limit`] times in all (at least once).
    pub fn take(&mut self, overhead: usize, limit: usize, node_count: usize) -> Vec<Bytes> {
        let mut taken = Vec::new();
        if self.waiting.is_empty() {
            return taken;
        }
        let transmit_limit = retransmit_limit(self.retransmit_mult, node_count);
        let mut used: usize = 0;
        let mut again = Vec::new();
        let mut tier = 0;
        while let Some(free) = limit.checked_sub(used.saturating_add(overhead)) {
            let first = Place { transmits: tier, length: Reverse(free), id: Reverse(u64::MAX) };
            let Some(place) = self.waiting.range(first..).next().map(|(place, _)| *place) else { break };
            if place.transmits > tier {
                // This tier holds nothing that fits: look at the next one that holds anything.
                tier = place.transmits;
                continue;
            }
            let Some(broadcast) = self.waiting.remove(&place) else { break };
            used = used.saturating_add(overhead).saturating_add(broadcast.message.len());
            taken.push(broadcast.message.0.clone());
            let transmits = place.transmits.saturating_add(1);
            if transmits >= transmit_limit {
                self.forget(broadcast);
            } else {
                again.push((Place { transmits, ..place }, broadcast));
            }
        }
        for (place, broadcast) in again {
            self.insert(place, broadcast);
        }
        self.restart_ids_when_empty();
        taken
    }

    /// Drops from the worst end (most transmissions, shortest, oldest) until `keep` remain; returns how many were
    /// dropped.
    pub fn prune(&mut self, keep: usize) -> usize {
        let excess = self.waiting.len().saturating_sub(keep);
        for _ in 0..excess {
            if let Some((_, broadcast)) = self.waiting.pop_last() {
                self.forget(broadcast);
            }
        }
        self.restart_ids_when_empty();
        excess
    }

    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Ids of broadcasts that ended since the last call, in order.
    pub fn drain_finished(&mut self) -> Vec<BroadcastId> {
        std::mem::take(&mut self.finished)
    }

    fn insert(&mut self, place: Place, broadcast: Broadcast) {
        if let Some(key) = &broadcast.key {
            self.by_key.insert(key.clone(), place);
        }
        self.waiting.insert(place, broadcast);
    }

    fn finish(&mut self, place: Place) {
        if let Some(broadcast) = self.waiting.remove(&place) {
            self.forget(broadcast);
        }
    }

    fn forget(&mut self, broadcast: Broadcast) {
        if let Some(key) = &broadcast.key {
            self.by_key.remove(key);
        }
        self.finished.extend(broadcast.waiter);
    }

    /// As Go. But Go also restarts while its only message is held for re-insertion, which lets two messages share a
    /// place and one of them get lost; here the queue has to be empty in earnest.
    fn restart_ids_when_empty(&mut self) {
        if self.waiting.is_empty() {
            self.next_id = 1;
        }
    }
}

/// Number of times a broadcast is sent among `node_count` nodes: `mult * ceil(log10(n + 1))` (spec 7.1).
///
/// Counted in whole numbers; equal to Go's floating point at every power of ten a cluster can reach (`numbers.json`).
pub fn retransmit_limit(mult: usize, node_count: usize) -> usize {
    let digits = node_count.checked_ilog10().map_or(0, |log| (log as usize).saturating_add(1));
    mult.saturating_mul(digits)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
