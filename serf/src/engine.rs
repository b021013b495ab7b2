//! The turn of the engine: start, facts from memberlist, deadlines, outputs.
//!
//! No protocol of its own: every fact and every deadline goes to the file of its subject.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::broadcasts::Broadcasts;
use crate::coalesce::{MemberCoalescer, UserCoalescer};
use crate::coordinates::{CoordinateClient, CoordinateError};
use crate::host::{Coordinates, Core};
use crate::intents::RecentIntents;
use crate::memberlist::{self, Kept, Memberlist, Timers};
use crate::members::{Departure, Table};
use crate::messages::{Message, MessageError};
use crate::random::Random;
use crate::records::{CLOCK_CHECK_INTERVAL, Recorder};
use crate::ring::Ring;
use crate::samples::{Sample, Samples};
use crate::{
    Config, ConfigError, Coordinate, Counters, Event, Instant, LamportClock, LamportTime, Member, MemberStatus,
    NodeName, OperationId, Output, QueryKey, Serf, SerfState, joins, keys, operations, queries,
};

/// Why a deadline of this layer exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Members known from an earlier life are tried.
    Rejoin,
    /// Members gone for long are forgotten.
    Reap,
    /// A failed member may be tried.
    Reconnect,
    /// The queues are looked at.
    QueueCheck,
    /// The member clock is written down if it grew.
    ClockCheck,
    /// A member that announced its leave but never left is alive after all (F6).
    RestoreAlive(NodeName),
    /// A member that announced its leave is to be erased (F6: a deadline where Go blocks).
    Prune(NodeName),
    /// A query of ours is over.
    RunningQuery(QueryKey),
    /// The time to answer a query of others is over.
    OpenQuery(QueryKey),
    /// An operation has waited long enough.
    Operation(OperationId),
}

impl Timer {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Rejoin => "rejoin",
            Self::Reap => "reap",
            Self::Reconnect => "reconnect",
            Self::QueueCheck => "queue check",
            Self::ClockCheck => "clock check",
            Self::RestoreAlive(_) => "restore alive",
            Self::Prune(_) => "prune",
            Self::RunningQuery(_) => "running query",
            Self::OpenQuery(_) => "open query",
            Self::Operation(_) => "operation",
        }
    }
}

impl Serf {
    /// See [`Serf::new`].
    pub(crate) fn start(mut config: Config, now: Instant, seed: [u8; 32]) -> Result<Self, ConfigError> {
        let (meta, kept) = config.resolve()?;
        let mut random = Random::new(seed);
        let mut core = new_core(&config, meta);
        let memberlist = Memberlist::new(config.memberlist.clone(), now, random.seed(), &mut core)
            .map_err(|error| ConfigError(error.to_string()))?;
        let restored = &config.restored;
        let mut serf = Self {
            queries: queries::Queries::new(config.query_buffer, floor_after(restored.query_clock)),
            joins: joins::Joins::new(restored, &core.name),
            operations: operations::Operations::default(),
            keys: keys::Keys::default(),
            vote: None,
            table_full_told: None,
            capability_kept: Kept::All,
            member_coalescer: MemberCoalescer::new(config.coalesce_period, config.quiescent_period),
            user_coalescer: UserCoalescer::new(config.user_coalesce_period, config.user_quiescent_period),
            recorder: Recorder::new(restored.clone()),
            random,
            timers: Timers::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            memberlist,
            core,
            config,
        };
        for timer in [Timer::Reap, Timer::Reconnect, Timer::QueueCheck] {
            serf.set_loop(now, timer);
        }
        if serf.joins.has_previous() {
            serf.timers.set(Timer::Rejoin, now);
        }
        serf.tell_what_was_kept(kept);
        serf.absorb(now);
        Ok(serf)
    }

    /// Takes in what memberlist has to say, until it has nothing more.
    pub(crate) fn absorb(&mut self, now: Instant) {
        loop {
            // A lost vote about our name ends the turn as well.
            while !self.is_shut_down()
                && let Some(output) = self.memberlist.poll_output()
            {
                match output {
                    memberlist::Output::Io(io) => self.outputs.push_back(Output::Io(io)),
                    memberlist::Output::Event(event) => self.on_fact(now, event),
                }
            }
            let finished = self.core.broadcasts.drain_finished();
            if finished.is_empty() {
                break;
            }
            for id in finished {
                self.on_intent_sent(now, id);
            }
        }
        if self.timers.deadline(&Timer::ClockCheck).is_none()
            && self.core.clock.time().minus(1) > self.recorder.state().clock
        {
            self.timers.set(Timer::ClockCheck, now.after(CLOCK_CHECK_INTERVAL));
        }
    }

    /// Does what is due in this layer. Loops set their next deadline after `now`, so this ends.
    pub(crate) fn fire_timers(&mut self, now: Instant) {
        while !self.is_shut_down()
            && let Some(timer) = self.timers.pop_due(now)
        {
            match timer {
                Timer::Rejoin => self.rejoin_due(now),
                Timer::Reap => self.reap(now),
                Timer::Reconnect => self.reconnect(now),
                Timer::QueueCheck => {
                    self.core.broadcasts.check(&self.config, self.core.table.len());
                    self.set_loop(now, Timer::QueueCheck);
                }
                Timer::ClockCheck => self.record_clock(),
                Timer::RestoreAlive(name) => self.restore_alive(&name),
                Timer::Prune(name) => self.prune_due(now, &name),
                Timer::RunningQuery(key) => self.finish_query(now, key),
                Timer::OpenQuery(key) => self.queries.close(key),
                Timer::Operation(operation) => self.operation_due(now, operation),
            }
        }
        for event in self.user_coalescer.flush_due(now).into_iter().chain(self.member_coalescer.flush_due(now)) {
            self.outputs.push_back(Output::Delivery(event));
        }
    }

    /// Sets the next deadline of a loop; an interval of zero switches it off.
    pub(crate) fn set_loop(&mut self, now: Instant, timer: Timer) {
        let interval = match timer {
            Timer::Reap => self.config.reap_interval,
            Timer::Reconnect => self.config.reconnect_interval,
            Timer::QueueCheck => self.config.queue_check_interval,
            Timer::Rejoin
            | Timer::ClockCheck
            | Timer::RestoreAlive(_)
            | Timer::Prune(_)
            | Timer::RunningQuery(_)
            | Timer::OpenQuery(_)
            | Timer::Operation(_) => return,
        };
        if !interval.is_zero() {
            self.timers.set(timer, now.after(interval));
        }
    }

    /// See [`Serf::poll_timeout`].
    pub(crate) fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        if self.is_shut_down() {
            return None;
        }
        let gossip = self.memberlist.poll_timeout().map(|(at, _)| (at, "gossip layer"));
        let own = self.timers.next().map(|(at, timer)| (at, timer.as_str()));
        let members = self.member_coalescer.deadline().map(|at| (at, "member coalescer"));
        let users = self.user_coalescer.deadline().map(|at| (at, "user coalescer"));
        [gossip, own, members, users].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Stops at once, telling nobody; what is held back for clients goes out. Further inputs are ignored.
    pub fn shutdown(&mut self) {
        if self.is_shut_down() {
            return;
        }
        if self.core.state != SerfState::Left {
            tracing::warn!(target: "serf", "Shutdown without a Leave");
        }
        self.core.state = SerfState::Shutdown;
        let end_of_time = Instant::EPOCH.after(std::time::Duration::MAX);
        let held = self.user_coalescer.flush_due(end_of_time);
        for event in held.into_iter().chain(self.member_coalescer.flush_due(end_of_time)) {
            self.outputs.push_back(Output::Delivery(event));
        }
        self.record_clock();
    }

    /// Whether the engine has stopped.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.core.state == SerfState::Shutdown
    }

    /// Tells an event: as a fact at once, to clients as the coalescers see fit, and to the snapshot.
    pub(crate) fn emit(&mut self, now: Instant, event: Event) {
        let records = self.recorder.on_event(&event, self.core.clock.time());
        self.outputs.extend(records.into_iter().map(Output::Record));
        self.outputs.push_back(Output::Event(event.clone()));
        let passed = self.user_coalescer.push(now, event).and_then(|event| self.member_coalescer.push(now, event));
        self.outputs.extend(passed.map(Output::Delivery));
    }

    /// Ourselves, as the table has us.
    pub(crate) fn own_member(&self) -> Arc<Member> {
        match self.core.table.get(&self.core.name) {
            Some(entry) => Arc::clone(&entry.member),
            None => {
                let seen = self.memberlist.local_member();
                Arc::new(Member {
                    name: seen.name.clone(),
                    address: seen.address.clone(),
                    port: seen.port,
                    tags: self.core.tags.clone(),
                    status: MemberStatus::None,
                    versions: seen.versions,
                    capability: self.config.capability,
                })
            }
        }
    }

    /// The largest message one gossip packet can carry with the keys in use (`docs/spec/serf-gossip.md` 1.4).
    pub(crate) fn gossip_ceiling(&self) -> usize {
        let gossip = &self.config.memberlist;
        let layers = memberlist::Layers {
            label: &gossip.label,
            skip_inbound_label_check: gossip.skip_inbound_label_check,
            keyring: self.memberlist.keyring(),
            verify_incoming: gossip.gossip_verify_incoming,
            verify_outgoing: gossip.gossip_verify_outgoing,
            encryption_version: memberlist::EncryptionVersion::for_protocol(gossip.protocol_version),
            compression: gossip.enable_compression,
        };
        let overhead = memberlist::packet_overhead(&layers).saturating_add(COMPOUND_OVERHEAD);
        gossip.udp_buffer_size.saturating_sub(overhead)
    }

    fn on_fact(&mut self, now: Instant, event: memberlist::Event) {
        match event {
            memberlist::Event::Joined(member) => self.on_joined(now, &member),
            memberlist::Event::Updated(member) => self.on_updated(now, &member),
            memberlist::Event::Failed(member) => self.on_departed(now, &member.name, Departure::Death),
            memberlist::Event::Left(member) => self.on_departed(now, &member.name, Departure::Farewell),
            memberlist::Event::NameConflict { known, claimed } => self.on_name_conflict(now, &known, &claimed),
            memberlist::Event::UserMessage(bytes) => {
                self.core.samples.push(Sample::MessageReceived(bytes.len()));
                self.on_message(now, &bytes);
            }
            memberlist::Event::RemoteState { state, join } => self.merge_remote_state(now, &state, join),
            memberlist::Event::PingCompleted { member, round_trip, payload } => {
                self.core.samples.push(Sample::Probe(round_trip));
                self.on_ping(&member.name, round_trip, &payload);
            }
            memberlist::Event::JoinFinished { stream, result } => self.on_join_finished(now, stream, result),
            memberlist::Event::BroadcastFinished { id } => self.on_gossip_sent(now, id),
        }
    }

    /// A message for this layer; what changed something is passed on as it came.
    fn on_message(&mut self, now: Instant, bytes: &Bytes) {
        match Message::decode(bytes) {
            Ok(Message::Leave(intent)) => {
                tracing::debug!(target: "serf", "messageLeaveType: {}", intent.node.0);
                if self.on_leave_intent(now, &intent) {
                    self.pass_on_intent(&intent.node, bytes);
                }
            }
            Ok(Message::Join(intent)) => {
                tracing::debug!(target: "serf", "messageJoinType: {}", intent.node.0);
                if self.on_join_intent(now, &intent) {
                    self.pass_on_intent(&intent.node, bytes);
                }
            }
            Ok(Message::UserEvent(message)) => {
                tracing::debug!(target: "serf", "messageUserEventType: {}", message.name);
                if self.on_user_event(now, message) && self.fits_gossip(bytes) {
                    self.core.broadcasts.queue_event(bytes.clone());
                }
            }
            Ok(Message::Query(message)) => {
                tracing::debug!(target: "serf", "messageQueryType: {}", message.name);
                if self.on_query(now, &message, queries::Origin::Remote) && self.fits_gossip(bytes) {
                    self.core.broadcasts.queue_query(bytes.clone());
                }
            }
            Ok(Message::QueryResponse(message)) => {
                tracing::debug!(target: "serf", "messageQueryResponseType: {}", message.from.0);
                self.on_query_response(now, message);
            }
            Ok(Message::Relay(relay)) => self.forward(now, &relay),
            Err(MessageError::Empty) => {}
            Err(error @ MessageError::UnknownType(_)) => tracing::warn!(target: "serf", "{error}"),
            Err(error @ MessageError::RelayedType(_)) => {
                self.counters.relays_refused = self.counters.relays_refused.saturating_add(1);
                tracing::debug!(target: "serf", "{error}");
            }
            Err(error @ MessageError::Body { .. }) => {
                self.counters.messages_refused = self.counters.messages_refused.saturating_add(1);
                tracing::error!(target: "serf", "{error}");
            }
        }
        self.core.broadcasts.prune(&self.config, self.core.table.len());
    }

    fn pass_on_intent(&mut self, node: &NodeName, bytes: &Bytes) {
        if !self.fits_gossip(bytes) {
            return;
        }
        if self.core.table.get(node).is_some() {
            self.core.broadcasts.queue_intent(node, bytes.clone());
        } else {
            self.core.broadcasts.queue_intent_about_stranger(bytes.clone());
        }
    }

    /// Whether a packet can carry it: what came by stream may be longer, and would wait in its queue for ever (F7).
    fn fits_gossip(&mut self, bytes: &Bytes) -> bool {
        let fits = bytes.len() <= self.gossip_ceiling();
        self.counters.messages_never_gossiped = self.counters.messages_never_gossiped.saturating_add(u64::from(!fits));
        fits
    }

    /// A probe brought a coordinate (`docs/spec/serf-gossip.md` 14.1).
    fn on_ping(&mut self, name: &NodeName, round_trip: std::time::Duration, payload: &[u8]) {
        let Some(own) = self.core.coordinates.as_mut() else { return };
        let other = match Coordinate::decode_payload(payload) {
            Ok(Some(other)) => other,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(target: "serf", "{error}");
                return;
            }
        };
        let before = own.client.coordinate().clone();
        match own.client.update(name, &other, round_trip, self.random.generator()) {
            Ok(_) => {
                if let Some(moved) = before.distance_to(own.client.coordinate()) {
                    self.core.samples.push(Sample::CoordinateMoved(moved));
                }
                if self.core.table.get(name).is_some() {
                    own.cache.insert(name.clone(), other);
                }
            }
            Err(
                error @ (CoordinateError::Version(_)
                | CoordinateError::Payload(_)
                | CoordinateError::Dimensions
                | CoordinateError::Invalid
                | CoordinateError::RoundTrip(_)),
            ) => {
                self.counters.coordinates_rejected = self.counters.coordinates_rejected.saturating_add(1);
                tracing::trace!(target: "serf", "Rejected coordinate from {}: {error}", name.0);
            }
        }
    }

    fn record_clock(&mut self) {
        let record = self.recorder.on_clock(self.core.clock.time());
        self.outputs.extend(record.map(Output::Record));
    }
}

/// Compound header and the overhead of one message in it (memberlist `state.go` gossip), bytes.
const COMPOUND_OVERHEAD: usize = 5;

/// The state memberlist asks about, before memberlist exists.
fn new_core(config: &Config, meta: Bytes) -> Core {
    let restored = &config.restored;
    Core {
        name: config.memberlist.name.clone(),
        state: SerfState::Alive,
        tags: config.tags.clone(),
        meta,
        cluster_name: config.cluster_name.clone(),
        clock: LamportClock::restored(restored.clock),
        event_clock: LamportClock::restored(restored.event_clock),
        query_clock: LamportClock::restored(restored.query_clock),
        table: Table::default(),
        intents: RecentIntents::default(),
        events: Ring::new(config.event_buffer, floor_after(restored.event_clock)),
        broadcasts: Broadcasts::new(config.memberlist.retransmit_mult),
        coordinates: config
            .coordinates
            .then(|| Coordinates { client: CoordinateClient::new(), cache: BTreeMap::new() }),
        validate_node_names: config.validate_node_names,
        samples: Samples::default(),
    }
}

/// The first time not seen in the life that a snapshot remembers.
fn floor_after(last: LamportTime) -> LamportTime {
    if last == LamportTime::default() { last } else { last.plus(1) }
}
