//! Numbers: for the `stats` command (`docs/spec/serf-gossip.md` 17) and for the metrics (16).

use crate::broadcasts::Kind;
use crate::{Serf, Stats};

/// What happened since the start. Names follow Go's metrics where Go has them; every refusal of ours has its counter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// `serf.member.join`
    pub member_join: u64,
    /// `serf.member.left`
    pub member_left: u64,
    /// `serf.member.failed`
    pub member_failed: u64,
    /// `serf.member.update`
    pub member_update: u64,
    /// `serf.member.flap`
    pub member_flap: u64,
    /// `serf.events`
    pub events: u64,
    /// `serf.queries`
    pub queries: u64,
    /// `serf.query_acks`
    pub query_acks: u64,
    /// `serf.query_duplicate_acks`
    pub query_duplicate_acks: u64,
    /// `serf.query_responses`
    pub query_responses: u64,
    /// `serf.query_duplicate_responses`
    pub query_duplicate_responses: u64,
    /// `serf.coordinate.rejected`
    pub coordinates_rejected: u64,
    /// Answers passed on for others.
    pub relays: u64,
    /// Answers not passed on: no address, too long, or too many in a second.
    pub relays_refused: u64,
    /// Messages that could not be read.
    pub messages_refused: u64,
    /// Messages too long to be passed on by gossip.
    pub messages_never_gossiped: u64,
    /// Logical times too far ahead.
    pub times_refused: u64,
    /// Members refused because the table was full of living ones.
    pub members_refused: u64,
    /// Events refused because their time had too many.
    pub events_refused: u64,
    /// Queries refused because their time had too many.
    pub queries_refused: u64,
    /// Queries of others forgotten before their deadline, because too many were open.
    pub queries_forgotten: u64,
    /// Answers to a query of ours beyond what it collects.
    pub answers_refused: u64,
    /// Answers to no query of ours.
    pub answers_stray: u64,
}

impl Serf {
    pub(crate) fn collect_stats(&self) -> Stats {
        let (table, broadcasts) = (&self.core.table, &self.core.broadcasts);
        Stats {
            members: table.len(),
            failed: table.failed().len(),
            left: table.left().len(),
            health_score: self.memberlist.health_score(),
            member_time: self.core.clock.time().0,
            event_time: self.core.event_clock.time().0,
            query_time: self.core.query_clock.time().0,
            intent_queue: broadcasts.depth(Kind::Intent),
            event_queue: broadcasts.depth(Kind::Event),
            query_queue: broadcasts.depth(Kind::Query),
            encrypted: !self.memberlist.keyring().is_empty(),
            coordinate_resets: self.core.coordinates.as_ref().map(|own| own.client.resets()),
        }
    }

    /// Broadcasts dropped because a queue was too long.
    pub fn broadcasts_dropped(&self) -> u64 {
        self.core.broadcasts.dropped()
    }

    /// Queries that did not match because too many new expressions came within a second.
    pub fn patterns_refused(&self) -> u64 {
        self.queries.patterns_refused
    }

    /// Intents of unknown names refused because the buffer was full.
    pub fn intents_refused(&self) -> u64 {
        self.core.intents.refused()
    }
}
