//! The Serf layer: tags, intents, events, queries, coordinates, on top of gossip membership.
//!
//! An engine like the one below it: `docs/spec/serf-gossip.md` is what it answers to. It owns the [`Memberlist`] and
//! answers as its host; what it does not absorb itself it passes on. The requests stand where their subject is:
//! `joins.rs`, `operations.rs` (leave, force-leave, set-tags), `events.rs`, `queries.rs`, `responses.rs`, `keys.rs`.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod broadcasts;
mod capability;
pub mod coalesce;
mod config;
mod conflict;
pub mod coordinates;
mod engine;
mod error;
mod events;
mod host;
mod intents;
mod internal_queries;
mod io;
mod joins;
mod keys;
mod lamport;
pub mod limits;
mod members;
mod membership;
pub mod messages;
mod names;
mod operations;
pub mod pattern;
mod push_pull;
mod queries;
mod random;
pub mod records;
mod responses;
mod ring;
mod samples;
mod stats;
mod tags;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

pub use folkmoot_memberlist as memberlist;
pub use folkmoot_memberlist::{
    Capability, ClusterNameHash, Instant, Io, JoinTarget, NodeName, PacketError, RaftCapability, StreamId, StreamInput,
    Text, Versions, VoterPreference, WireAddress,
};

pub use config::{Config, Restored};
pub use coordinates::Coordinate;
pub use error::{ConfigError, OperationError, RequestError, RespondError};
pub use io::{
    Completion, Event, KeyOperation, KeyResponse, MemberEvent, OldEvents, OperationId, Output, Prune, QueryAnswer,
    QueryEvent, QueryKey, QueryRequest, SerfState, Stats, UserEvent,
};
pub use lamport::{LamportClock, LamportTime, TooFarAhead};
pub use members::{Member, MemberEventKind, MemberStatus};
pub use records::Record;
pub use samples::Sample;
pub use stats::Counters;
pub use tags::{DecodedTags, Tags, TagsTooLong};

use coalesce::{MemberCoalescer, UserCoalescer};
use memberlist::{Memberlist, Timers};
use records::Recorder;

/// The engine.
pub struct Serf {
    config: Config,
    memberlist: Memberlist,
    core: host::Core,
    queries: queries::Queries,
    joins: joins::Joins,
    operations: operations::Operations,
    keys: keys::Keys,
    vote: Option<conflict::Vote>,
    /// When the log was last told that the table of members is full.
    table_full_told: Option<Instant>,
    /// What of our capability the meta data has room for.
    capability_kept: memberlist::Kept,
    member_coalescer: MemberCoalescer,
    user_coalescer: UserCoalescer,
    recorder: Recorder,
    random: random::Random,
    timers: Timers<engine::Timer>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Serf {
    /// Starts a node. `seed` drives every random choice. What was restored is honoured: clocks go on, older events and
    /// queries are refused, and members known from before are joined again.
    ///
    /// # Errors
    /// The configuration cannot work.
    pub fn new(config: Config, now: Instant, seed: [u8; 32]) -> Result<Self, ConfigError> {
        Self::start(config, now, seed)
    }

    /// Takes one datagram.
    ///
    /// # Errors
    /// It was dropped whole and nothing changed.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) -> Result<(), PacketError> {
        if self.is_shut_down() {
            return Ok(());
        }
        let result = self.memberlist.handle_packet(now, from, packet, &mut self.core);
        self.absorb(now);
        result
    }

    /// Takes what happened on a stream.
    pub fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput<'_>) {
        if !self.is_shut_down() {
            self.memberlist.handle_stream(now, stream, input, &mut self.core);
            self.absorb(now);
        }
    }

    /// A datagram could not be sent.
    pub fn packet_failed(&mut self, now: Instant, to: SocketAddr) {
        if !self.is_shut_down() {
            self.memberlist.packet_failed(now, to);
            self.absorb(now);
        }
    }

    /// The process did not run for longer than a probe interval: nobody is to be blamed for that time.
    pub fn paused(&mut self, now: Instant) {
        if !self.is_shut_down() {
            self.memberlist.paused(now);
            self.absorb(now);
        }
    }

    /// Others shall reach us at another address from here on; clients see it as an update of ourselves.
    pub fn move_to(&mut self, now: Instant, address: SocketAddr) {
        if !self.is_shut_down() {
            let wire = memberlist::WireAddress::from_ip(address.ip());
            self.memberlist.update_address(now, wire, address.port(), &mut self.core);
            self.absorb(now);
        }
    }

    /// Does what is due. Late and spurious calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.is_shut_down() {
            self.memberlist.handle_timeout(now, &mut self.core);
            self.absorb(now);
            self.fire_timers(now);
            self.absorb(now);
        }
    }

    /// The next output, in order.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` is due next, and why. `None` after [`Self::shutdown`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.next_deadline()
    }

    /// A fresh id for an accepted connection.
    pub fn accept_id(&mut self) -> StreamId {
        self.memberlist.accept_id()
    }

    /// All known members, failed and left ones too, in name order.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.core.table.entries().map(|entry| &entry.member)
    }

    /// Grows with every change to what `members` returns: for caches.
    pub fn members_revision(&self) -> u64 {
        self.core.table.revision()
    }

    /// Ourselves.
    pub fn local_member(&self) -> Arc<Member> {
        self.own_member()
    }

    /// Where the local node stands.
    pub fn state(&self) -> SerfState {
        self.core.state
    }

    /// Numbers for `stats`.
    pub fn stats(&self) -> Stats {
        self.collect_stats()
    }

    /// Counts since the start, for the metrics.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sizes and times measured since the last call, for the metrics. Kept up to a bound, so call it every turn.
    pub fn take_samples(&mut self) -> Vec<Sample> {
        self.core.samples.take()
    }

    /// Our tags.
    pub fn tags(&self) -> &Tags {
        &self.core.tags
    }

    /// The coordinate of a node, if known.
    pub fn coordinate(&self, name: &NodeName) -> Option<Coordinate> {
        let own = self.core.coordinates.as_ref()?;
        if *name == self.core.name {
            return Some(own.client.coordinate().clone());
        }
        own.cache.get(name).cloned()
    }

    /// Keys in use.
    pub fn keyring(&self) -> &memberlist::Keyring {
        self.memberlist.keyring()
    }

    /// Names currently unreachable, for the metrics.
    pub fn failed(&self) -> BTreeSet<NodeName> {
        self.core.table.failed().clone()
    }

    /// The gossip layer's counters.
    pub fn gossip_counters(&self) -> &memberlist::Counters {
        self.memberlist.counters()
    }
}
