//! Gossip membership and failure detection, compatible byte for byte with Go's `hashicorp/memberlist`.
//!
//! An engine: packets, stream bytes, time and a seed go in; packets, deadlines and events come out. No I/O, no clock,
//! no threads. `docs/spec/memberlist.md` is what it answers to.

#![forbid(unsafe_code)]
// Peers choose many of the numbers here, and releases keep overflow checks on: a sum that overflows would be a crash.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod awareness;
mod capability;
mod compress;
mod config;
mod counters;
mod error;
mod gossip;
mod io;
mod keyring;
mod label;
pub mod limits;
mod members;
mod messages;
mod packet;
mod probe;
mod push_pull;
mod queue;
mod random;
mod security;
mod state;
mod stream_body;
mod stream_codec;
mod streams;
mod suspicion;
#[cfg(test)]
mod test_support;
mod time;
mod timers;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use tracing::{debug, error, warn};

pub use folkmoot_wire::{Blob, Text};

pub use capability::{Capability, ClusterNameHash, Kept, RaftCapability, VoterPreference};
pub use config::{Config, ConfigError};
pub use counters::Counters;
pub use error::{CompressError, DecryptError, LabelError, MessageError, PacketError, StreamError};
pub use io::{BroadcastId, Event, Host, Io, JoinTarget, Output, StreamId, StreamInput};
pub use keyring::{Keyring, KeyringError};
pub use members::{Member, NodeName, Versions, WireAddress};
pub use messages::{
    Ack, Alive, Dead, Incarnation, IndirectPing, Message, Nack, NodeState, PeerState, Ping, PushPull, SequenceNumber,
    StreamMessage, Suspect,
};
pub use packet::{Crc, EncryptionVersion, Faults, Layers, NONCE_LENGTH, Opened, open, packet_overhead, seal};
pub use push_pull::{MergeError, push_pull_scale};
pub use queue::{TransmitLimitedQueue, retransmit_limit};
pub use stream_codec::{StreamDecoder, StreamRole, seal_stream};
pub use streams::{ExchangeError, JoinError};
pub use suspicion::{suspicion_timeout, suspicion_total};
pub use time::Instant;
pub use timers::{Timer, Timers};

use awareness::Awareness;
use counters::{add, count};
use members::Members;
use probe::{Probe, Relay};
use random::Random;
use streams::{Errand, Exchange, Stream};

/// Why the host refused a member or a merge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Target of our log lines. Where Go's users grep for a line, level and text are Go's.
pub(crate) const LOG: &str = "memberlist";

/// The engine. Inputs are taken in the order they come; outputs queue up until they are polled, and several inputs in
/// a row are fine. It holds at most [`limits::MEMBERS`] members, [`limits::INBOUND_STREAMS`] streams of others,
/// [`limits::RELAYS`] relays, one probe, and one broadcast per member.
pub struct Memberlist {
    config: Config,
    random: Random,
    members: Members,
    /// Our own count.
    incarnation: Incarnation,
    /// Set by [`Memberlist::leave`], never cleared.
    leaving: bool,
    awareness: Awareness,
    queue: TransmitLimitedQueue,
    timers: Timers<Timer>,
    probe: Option<Probe>,
    /// A probe came due while another was under way.
    probe_tick_waits: bool,
    last_sequence: SequenceNumber,
    relays: BTreeMap<SequenceNumber, Relay>,
    streams: BTreeMap<StreamId, Stream>,
    last_stream: u64,
    last_broadcast: u64,
    /// Until then nobody is declared dead: we have slept and know less than we think.
    accuse_after: Instant,
    /// Members that the host refuses, and when that was last said.
    refusals: BTreeMap<NodeName, Instant>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Memberlist {
    /// Starts a node at `now`: it knows itself only. The first outputs announce it.
    ///
    /// # Errors
    /// A setting cannot work, or the host's meta is longer than [`limits::META_BYTES`].
    pub fn new(config: Config, now: Instant, seed: [u8; 32], host: &mut impl Host) -> Result<Self, ConfigError> {
        config.check()?;
        if config.is_exposed() {
            warn!(target: LOG, "Binding to public address without encryption");
        }
        let meta = host.meta(limits::META_BYTES);
        if meta.len() > limits::META_BYTES {
            return Err(ConfigError::Meta);
        }
        let mut memberlist = Self {
            random: Random::new(seed),
            members: Members::new(config.name.clone()),
            incarnation: Incarnation(0),
            leaving: false,
            awareness: Awareness::new(config.awareness_max_multiplier),
            queue: TransmitLimitedQueue::new(config.retransmit_mult),
            timers: Timers::new(),
            probe: None,
            probe_tick_waits: false,
            last_sequence: SequenceNumber(0),
            relays: BTreeMap::new(),
            streams: BTreeMap::new(),
            last_stream: 0,
            last_broadcast: 0,
            accuse_after: Instant::EPOCH,
            refusals: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            config,
        };
        memberlist.announce_self(now, &meta, None);
        memberlist.start_loops(now);
        Ok(memberlist)
    }

    /// Takes one datagram. Parts that cannot be read are skipped and counted; their neighbours apply.
    ///
    /// # Errors
    /// An outer layer does not open. Nothing has changed but a counter.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &[u8],
        host: &mut impl Host,
    ) -> Result<(), PacketError> {
        count(&mut self.counters.packets_received);
        let opened = match open(&self.layers(), packet) {
            Ok(opened) => opened,
            Err(error) => {
                count(&mut self.counters.packets_refused);
                return Err(error);
            }
        };
        add(&mut self.counters.messages_skipped, opened.faults.skipped);
        add(&mut self.counters.messages_lost, opened.faults.lost);
        if let Some(fault) = opened.faults.first {
            debug!(target: LOG, "{fault} from={from}");
        }
        for message in opened.messages {
            self.on_message(now, from, message, host);
        }
        self.report_finished_broadcasts();
        Ok(())
    }

    /// Takes what happened on a stream. Inputs for streams already closed are ignored.
    pub fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput<'_>, host: &mut impl Host) {
        self.on_stream(now, stream, input, host);
        self.report_finished_broadcasts();
    }

    /// The operating system refused to send a datagram to `to` just now (spec 8.2 step 1).
    pub fn packet_failed(&mut self, now: Instant, to: SocketAddr) {
        self.on_send_failure(now, to);
    }

    /// The process did not run for longer than a probe interval: the machine was suspended, as only the shell can tell,
    /// or we were stopped or starved, as [`Self::handle_timeout`] notices itself. That is our fault and nobody else's:
    /// our health score rises by one, the probe under way is dropped without a verdict, the next one begins at once, and
    /// nobody is declared dead before it has had its full time.
    pub fn paused(&mut self, now: Instant) {
        self.awareness.apply(1);
        self.drop_probe();
        self.probe_tick_waits = false;
        if !self.config.probe_interval.is_zero() {
            self.accuse_after = now.after(self.awareness.scale(self.config.probe_interval));
            self.timers.set(Timer::Probe, now);
        }
    }

    /// Does what is due at `now`. Late and spurious calls are harmless; one that is later than a probe interval counts
    /// as a pause.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut impl Host) {
        let late = self.timers.next().map(|(due, _)| now.since(due)).unwrap_or_default();
        let interval = self.config.probe_interval;
        if !interval.is_zero() && late > interval && now >= self.accuse_after {
            debug!(target: LOG, ?late, "Deadlines were missed, probing anew before anybody is accused");
            self.paused(now);
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Probe => self.on_probe_tick(now, host),
                Timer::Gossip => self.on_gossip_tick(now, host),
                Timer::PushPull => self.on_push_pull_tick(now),
                Timer::ProbeTimeout(sequence) => self.on_probe_timeout(now, sequence, host),
                Timer::ProbeDeadline(sequence) => self.on_probe_deadline(now, sequence, host),
                Timer::Relay(sequence) => self.on_relay_timeout(now, sequence, host),
                Timer::Suspicion(name) => self.on_suspicion_timeout(now, name),
                Timer::Stream(stream) => self.on_stream_timeout(stream),
            }
        }
        self.report_finished_broadcasts();
    }

    /// The next output, in order.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` is due next, and why. Changes with every call that takes `now`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &Timer)> {
        self.timers.next()
    }

    /// A fresh id for a connection the shell accepted.
    pub fn accept_id(&mut self) -> StreamId {
        self.next_stream_id()
    }

    /// Starts a joining push/pull; ends with [`Event::JoinFinished`]. The host is asked for its state when the
    /// connection stands.
    pub fn join(&mut self, now: Instant, target: &JoinTarget, _host: &mut impl Host) -> StreamId {
        let name = target.name.clone().unwrap_or_default();
        let exchange = Exchange { to: target.address, name, join: true };
        self.dial(target.address, Errand::Exchange(exchange), now.after(self.config.tcp_timeout))
    }

    /// Announces changed meta data (asked from `host`). `None`: nothing to wait for, because no other node lives, we
    /// have left, the meta is longer than [`limits::META_BYTES`] (an error of the host), or there is no higher
    /// incarnation; the last two change nothing and are logged.
    pub fn update_meta(&mut self, now: Instant, host: &mut impl Host) -> Option<BroadcastId> {
        let meta = host.meta(limits::META_BYTES);
        if meta.len() > limits::META_BYTES {
            error!(target: LOG, "node meta data provided is longer than the limit");
            return None;
        }
        if self.leaving {
            return None;
        }
        let id = self.broadcast_id_if_anybody_listens();
        let is_announced = self.announce_self(now, &meta, id);
        self.report_finished_broadcasts();
        id.filter(|_| is_announced)
    }

    /// Others shall reach us at another address from here on. Go peers keep the old one until they have given it up: an
    /// address that changes under a living name is a conflict to them.
    pub fn update_address(&mut self, now: Instant, address: WireAddress, port: u16, host: &mut impl Host) {
        let meta = host.meta(limits::META_BYTES);
        if self.leaving || meta.len() > limits::META_BYTES {
            return;
        }
        self.config.advertise_address = address;
        self.config.advertise_port = port;
        if self.announce_self(now, &meta, None)
            && let Some(record) = self.members.get(&self.config.name)
        {
            let member = record.member.clone();
            self.event(Event::Updated(member));
        }
        self.report_finished_broadcasts();
    }

    /// Says farewell. `None`: no other live node (or already left), nothing to wait for. The engine goes on answering
    /// and gossiping until it is dropped, but it cannot come back.
    pub fn leave(&mut self, now: Instant) -> Option<BroadcastId> {
        if self.leaving {
            return None;
        }
        self.leaving = true;
        let id = self.broadcast_id_if_anybody_listens();
        let name = self.config.name.clone();
        self.on_dead(now, Dead { from: name.clone(), incarnation: self.incarnation, node: name }, id);
        self.report_finished_broadcasts();
        id
    }

    /// Sends a user message in one datagram, at once. `to_member` known: with CRC where the peer understands it.
    pub fn send_best_effort(&mut self, _now: Instant, to: SocketAddr, to_member: Option<&NodeName>, payload: &[u8]) {
        self.send_user_message(to, to_member, payload);
    }

    /// Sends a user message over TCP. Nothing tells whether it arrived.
    pub fn send_reliable(&mut self, now: Instant, to: SocketAddr, payload: &[u8]) -> StreamId {
        let errand = Errand::UserMessage(payload.into());
        self.dial(to, errand, now.after(self.config.tcp_timeout))
    }

    /// Living and suspected members, ourselves included, in name order.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.living_by_name()
    }

    /// How many those are.
    pub fn alive_count(&self) -> usize {
        self.members.living()
    }

    /// Everybody we know, the dead and left ones included that are not forgotten yet (Go's `estNumNodes`).
    pub fn node_count(&self) -> usize {
        self.members.len()
    }

    /// Everybody we know, as a push/pull would tell it: with incarnation and state, in probe order.
    pub fn states(&self) -> impl Iterator<Item = NodeState> {
        self.node_states()
    }

    /// A member we know, dead ones included.
    pub fn member(&self, name: &NodeName) -> Option<&Arc<Member>> {
        self.members.get(name).map(|record| &record.member)
    }

    /// Up to `count` random living members but ourselves that `accept` takes; fewer where there are
    /// fewer. The usual cost does not grow with the cluster.
    pub fn sample_living(&mut self, count: usize, mut accept: impl FnMut(&Member) -> bool) -> Vec<Arc<Member>> {
        let random = &mut self.random;
        self.members.sample(count, random, |record| record.liveness().is_living() && accept(&record.member))
    }

    /// Whether `name` is alive or suspected.
    pub fn is_alive(&self, name: &NodeName) -> bool {
        self.members.get(name).is_some_and(|record| record.liveness().is_living())
    }

    /// Ourselves.
    pub fn local_member(&self) -> Arc<Member> {
        match self.members.get(&self.config.name) {
            Some(record) => record.member.clone(),
            None => unreachable!("we are inserted at the start and never forgotten"),
        }
    }

    /// Lifeguard's score: 0 is healthy.
    pub fn health_score(&self) -> u32 {
        self.awareness.score()
    }

    /// Broadcasts waiting to be gossiped, the host's not counted (Go `queue.broadcasts`).
    pub fn queued_broadcasts(&self) -> usize {
        self.queue.len()
    }

    /// Keys in use.
    pub fn keyring(&self) -> &Keyring {
        &self.config.keyring
    }

    /// Keys, to change them; takes effect with the next packet.
    pub fn keyring_mut(&mut self) -> &mut Keyring {
        &mut self.config.keyring
    }

    /// Counters so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Each loop begins at a random phase, so that a cluster that starts together does not beat together.
    fn start_loops(&mut self, now: Instant) {
        for (timer, interval) in
            [(Timer::Probe, self.config.probe_interval), (Timer::Gossip, self.config.gossip_interval)]
        {
            if !interval.is_zero() {
                let phase = self.random.duration_below(interval);
                self.timers.set(timer, now.after(phase));
            }
        }
        if !self.config.push_pull_interval.is_zero() {
            let phase = self.random.duration_below(self.config.push_pull_interval);
            self.schedule_push_pull(now, phase);
        }
    }

    fn on_message(&mut self, now: Instant, from: SocketAddr, message: Message, host: &mut impl Host) {
        match message {
            Message::Ping(ping) => self.on_ping(now, from, &ping, host),
            Message::IndirectPing(request) => self.on_indirect_ping(now, from, request, host),
            Message::Ack(ack) => self.on_ack(now, ack, host),
            Message::Nack(nack) => self.on_nack(&nack),
            Message::Suspect(suspect) => self.on_suspect(now, suspect),
            Message::Alive(alive) => self.on_alive(now, alive, host),
            Message::Dead(dead) => self.on_dead(now, dead, None),
            Message::User(payload) if payload.is_empty() => {}
            Message::User(payload) => self.event(Event::UserMessage(payload)),
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn report_finished_broadcasts(&mut self) {
        for id in self.queue.drain_finished() {
            self.event(Event::BroadcastFinished { id });
        }
    }

    fn broadcast_id_if_anybody_listens(&mut self) -> Option<BroadcastId> {
        if !self.members.has_living_peers() {
            return None;
        }
        self.last_broadcast = self.last_broadcast.saturating_add(1);
        Some(BroadcastId(self.last_broadcast))
    }

    fn next_stream_id(&mut self) -> StreamId {
        self.last_stream = self.last_stream.saturating_add(1);
        StreamId(self.last_stream)
    }
}

#[cfg(test)]
#[path = "lib_tests.rs"]
mod tests;
