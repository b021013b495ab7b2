//! What waits to be gossiped: intents, queries, events, in this order.
//!
//! Answers to `docs/spec/serf-gossip.md` section 11 (Go `broadcast.go`, `delegate.go` GetBroadcasts, `serf.go`
//! checkQueueDepth). With F12 (our own leave goes before everything) and F17 (one intent per node, depth checked at once,
//! as many transmissions as the living need).

use bytes::Bytes;

use crate::memberlist::{BroadcastId, TransmitLimitedQueue};
use crate::{Config, NodeName};

/// The queues.
pub(crate) struct Broadcasts {
    /// Our own leave. At most one message.
    farewell: TransmitLimitedQueue,
    intents: TransmitLimitedQueue,
    queries: TransmitLimitedQueue,
    events: TransmitLimitedQueue,
    next_id: u64,
    dropped: u64,
    /// Per kind, dropped since the last regular check: what the warning tells.
    overflow: [usize; 3],
}

/// Which queue, by Go's name in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Messages 0 and 1.
    Intent,
    /// Message 3.
    Event,
    /// Message 4.
    Query,
}

impl Broadcasts {
    /// Empty queues.
    pub(crate) fn new(retransmit_mult: usize) -> Self {
        let queue = || TransmitLimitedQueue::new(retransmit_mult);
        Self {
            farewell: queue(),
            intents: queue(),
            queries: queue(),
            events: queue(),
            next_id: 1,
            dropped: 0,
            overflow: [0; 3],
        }
    }

    /// Queues an intent about `node` in place of an older one, and says how to wait for its end.
    pub(crate) fn queue_intent(&mut self, node: &NodeName, message: Bytes) -> BroadcastId {
        let id = self.draw_id();
        self.intents.enqueue(Some(node.0.clone()), message, Some(id));
        id
    }

    /// Queues an intent about somebody we do not know. It takes nobody's place: it may be older than what is queued, as
    /// when an earlier leave of a node that we have just pruned comes round again.
    pub(crate) fn queue_intent_about_stranger(&mut self, message: Bytes) {
        self.intents.enqueue(None, message, None);
    }

    /// Queues our own leave before everything else.
    pub(crate) fn queue_farewell(&mut self, message: Bytes) -> BroadcastId {
        let id = self.draw_id();
        self.farewell.enqueue(None, message, Some(id));
        id
    }

    /// Queues a user event.
    pub(crate) fn queue_event(&mut self, message: Bytes) {
        self.events.enqueue(None, message, None);
    }

    /// Queues a query.
    pub(crate) fn queue_query(&mut self, message: Bytes) {
        self.queries.enqueue(None, message, None);
    }

    /// Messages for one packet: each costs its length plus `overhead`, together at most `limit`. `nodes`: living members.
    pub(crate) fn take(&mut self, overhead: usize, limit: usize, nodes: usize) -> Vec<Bytes> {
        let mut taken: Vec<Bytes> = Vec::new();
        let mut free = limit;
        for queue in [&mut self.farewell, &mut self.intents, &mut self.queries, &mut self.events] {
            let messages = queue.take(overhead, free, nodes);
            let used: usize = messages.iter().map(|message| message.len().saturating_add(overhead)).sum();
            free = free.saturating_sub(used);
            taken.extend(messages);
        }
        taken
    }

    /// Drops what is above the limit at once (F17); `members` is the size of the table.
    pub(crate) fn prune(&mut self, config: &Config, members: usize) {
        let limit = queue_limit(config, members);
        let queues = [&mut self.intents, &mut self.events, &mut self.queries];
        for (queue, overflow) in queues.into_iter().zip(&mut self.overflow) {
            if queue.len() > limit {
                let dropped = queue.prune(limit);
                *overflow = overflow.saturating_add(dropped);
                self.dropped = self.dropped.saturating_add(dropped as u64);
            }
        }
    }

    /// The regular look at the queues, with Go's warnings: what [`Self::prune`] dropped counts as still there.
    pub(crate) fn check(&mut self, config: &Config, members: usize) {
        let limit = queue_limit(config, members);
        self.prune(config, members);
        let overflow = std::mem::take(&mut self.overflow);
        for (kind, overflow) in [Kind::Intent, Kind::Event, Kind::Query].into_iter().zip(overflow) {
            let depth = self.depth(kind).saturating_add(overflow);
            let queue = kind.as_str();
            if depth >= config.queue_depth_warning {
                tracing::warn!(target: "serf", "{queue} queue depth: {depth}");
            }
            if overflow > 0 {
                tracing::warn!(target: "serf", "{queue} queue depth ({depth}) exceeds limit ({limit}), dropping messages!");
            }
        }
    }

    /// Messages waiting in one queue.
    pub(crate) fn depth(&self, kind: Kind) -> usize {
        match kind {
            Kind::Intent => self.farewell.len().saturating_add(self.intents.len()),
            Kind::Event => self.events.len(),
            Kind::Query => self.queries.len(),
        }
    }

    /// Messages dropped because a queue was too long.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Waited-for broadcasts that ended since the last call, in order.
    pub(crate) fn drain_finished(&mut self) -> Vec<BroadcastId> {
        let mut finished = self.farewell.drain_finished();
        finished.extend(self.intents.drain_finished());
        finished
    }

    fn draw_id(&mut self) -> BroadcastId {
        let id = BroadcastId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        id
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "Intent",
            Self::Event => "Event",
            Self::Query => "Query",
        }
    }
}

/// Longest queue allowed (Go `getQueueMax`).
fn queue_limit(config: &Config, members: usize) -> usize {
    match config.min_queue_depth {
        0 => config.max_queue_depth,
        minimum => minimum.max(members.saturating_mul(2)),
    }
}

#[cfg(test)]
#[path = "broadcasts_tests.rs"]
mod tests;
