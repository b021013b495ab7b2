//! The failure detector: one probe at a time, direct, then through others, then over TCP; and how probes of others are
//! answered. Answers to Go `probeNode` in `state.go` and the ping handlers of `net.go`, spec 8.

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::{debug, info, warn};

use crate::counters::count;
use crate::limits::{NAME_BYTES, RELAYS};
use crate::members::Liveness;
use crate::streams::Errand;
use crate::{
    Ack, Event, Host, Incarnation, IndirectPing, Instant, LOG, Member, Memberlist, Message, Nack, NodeName, Ping,
    SequenceNumber, StreamId, Suspect, Timer, WireAddress,
};

/// The probe that is under way.
#[derive(Debug)]
pub(crate) struct Probe {
    sequence: SequenceNumber,
    target: Arc<Member>,
    address: SocketAddr,
    /// As stored when the probe began: a refutation that arrives meanwhile outranks our verdict.
    incarnation: Incarnation,
    sent: Instant,
    stage: Stage,
    /// What an answer does to our health: better, unless we could not even send.
    health_on_answer: i32,
}

#[derive(Debug)]
enum Stage {
    /// Only the target has been asked.
    Direct,
    /// Others have been asked too, and perhaps the target over TCP.
    Indirect { nacks_expected: i32, nacks: i32, stream: Option<StreamId>, tcp_contact: bool },
}

/// A ping sent on behalf of somebody else.
#[derive(Debug)]
pub(crate) struct Relay {
    asker: SocketAddr,
    sequence: SequenceNumber,
    wants_nack: bool,
}

/// What reaches a member, where not both do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OneWay {
    TcpOnly,
    UdpOnly,
}

impl Memberlist {
    /// The next probe is due. While one is under way at most one tick is kept, as Go's ticker does.
    pub(crate) fn on_probe_tick(&mut self, now: Instant, host: &mut impl Host) {
        self.timers.set(Timer::Probe, now.after(self.config.probe_interval));
        if self.probe.is_some() {
            self.probe_tick_waits = true;
        } else {
            self.start_probe(now, host);
        }
    }

    fn start_probe(&mut self, now: Instant, host: &mut impl Host) {
        let keep_ended = self.config.gossip_to_the_dead_time;
        let Some(name) = self.members.next_probe(now, keep_ended, &mut self.random) else { return };
        let Some(record) = self.members.get(&name) else { return };
        let target = record.member.clone();
        let incarnation = record.incarnation;
        let is_suspect = matches!(record.liveness(), Liveness::Suspect { .. });
        let Some(address) = target.socket_address() else { return };
        if self.awareness.score() > 0 {
            count(&mut self.counters.degraded_probes);
        }
        let sequence = self.next_sequence();
        self.timers.set(Timer::ProbeTimeout(sequence), now.after(self.config.probe_timeout));
        let interval = self.awareness.scale(self.config.probe_interval);
        self.timers.set(Timer::ProbeDeadline(sequence), now.after(interval));
        let ping = Message::Ping(self.ping(sequence, name.clone()));
        if is_suspect {
            let from = self.config.name.clone();
            let accusation = Message::Suspect(Suspect { from, incarnation, node: name });
            self.send_to_member(address, &target, &[ping, accusation]);
        } else {
            self.send_with_piggyback(now, address, &ping, host);
        }
        let stage = Stage::Direct;
        self.probe = Some(Probe { sequence, target, address, incarnation, sent: now, stage, health_on_answer: -1 });
    }

    /// The operating system could not send to `to`: if that was our ping, others are asked at once.
    pub(crate) fn on_send_failure(&mut self, now: Instant, to: SocketAddr) {
        if let Some(probe) = &mut self.probe
            && probe.address == to
            && matches!(probe.stage, Stage::Direct)
        {
            probe.health_on_answer = 0;
            self.timers.set(Timer::ProbeTimeout(probe.sequence), now);
        }
    }

    /// No direct answer in time: others ask for us, and we try TCP.
    pub(crate) fn on_probe_timeout(&mut self, now: Instant, sequence: SequenceNumber, host: &mut impl Host) {
        let Some(probe) = self.probe.as_ref().filter(|probe| probe.sequence == sequence) else { return };
        let deadline = self.timers.deadline(&Timer::ProbeDeadline(sequence));
        let was_due = probe.sent.after(self.config.probe_timeout);
        if deadline.is_some_and(|deadline| was_due < deadline && deadline <= now) {
            // We slept while others would have been asked: that speaks against us and not against the target.
            self.finish_probe(now, 1, host);
            return;
        }
        let (target, address) = (probe.target.clone(), probe.address);
        debug!(target: LOG, "Failed UDP ping: {} (timeout reached)", target.name);
        let relays = self.members.sample(self.config.indirect_checks, &mut self.random, |record| {
            record.member.name != target.name && *record.liveness() == Liveness::Alive
        });
        let ping = self.ping(sequence, target.name.clone());
        let mut nacks_expected = 0;
        for relay in relays {
            let Some(to) = relay.socket_address() else { continue };
            let nack = relay.versions.protocol_max >= 4;
            nacks_expected = i32::saturating_add(nacks_expected, i32::from(nack));
            let request = IndirectPing {
                nack,
                node: target.name.clone(),
                port: target.port,
                sequence,
                source_address: ping.source_address.clone(),
                source_node: ping.source_node.clone(),
                source_port: ping.source_port,
                target: target.address.clone(),
            };
            self.send_with_piggyback(now, to, &Message::IndirectPing(request), host);
        }
        let stream = deadline
            .filter(|_| self.config.tcp_pings && target.versions.protocol_max >= 3)
            .map(|deadline| self.dial(address, Errand::Ping { ping }, deadline));
        if let Some(probe) = &mut self.probe {
            probe.stage = Stage::Indirect { nacks_expected, nacks: 0, stream, tcp_contact: false };
        }
    }

    /// The target answered over TCP. Looked at when the time is over, so that answers by UDP go first.
    pub(crate) fn on_tcp_ack(&mut self, sequence: SequenceNumber) {
        if let Some(probe) = &mut self.probe
            && probe.sequence == sequence
            && let Stage::Indirect { tcp_contact, .. } = &mut probe.stage
        {
            *tcp_contact = true;
        }
    }

    /// The probe has had its time: a verdict.
    pub(crate) fn on_probe_deadline(&mut self, now: Instant, sequence: SequenceNumber, host: &mut impl Host) {
        let Some(probe) = self.probe.as_ref().filter(|probe| probe.sequence == sequence) else { return };
        let node = probe.target.name.clone();
        let health = match probe.stage {
            Stage::Indirect { tcp_contact: true, .. } => {
                warn!(target: LOG, "Was able to connect to {node} over TCP but UDP probes failed, network may be misconfigured");
                let (health, address) = (probe.health_on_answer, probe.address);
                self.tell_one_way(&node, address, OneWay::TcpOnly);
                self.finish_probe(now, health, host);
                return;
            }
            // Relays that are silent too speak against us rather than against the target.
            Stage::Indirect { nacks_expected, nacks, .. } if nacks_expected > 0 => {
                nacks_expected.saturating_sub(nacks).max(0)
            }
            Stage::Indirect { .. } | Stage::Direct => 1,
        };
        info!(target: LOG, "Suspect {node} has failed, no acks received");
        count(&mut self.counters.probes_failed);
        let suspect = Suspect { from: self.config.name.clone(), incarnation: probe.incarnation, node };
        self.on_suspect(now, suspect);
        self.finish_probe(now, health, host);
    }

    /// Says in plain words, once per member, what keeps it from being reached both ways.
    pub(crate) fn tell_one_way(&mut self, name: &NodeName, address: SocketAddr, way: OneWay) {
        let Some(record) = self.members.get_mut(name) else { return };
        if std::mem::replace(&mut record.one_way_told, true) {
            return;
        }
        let (reached, missing, port) = match way {
            OneWay::TcpOnly => ("TCP", "UDP", address.port()),
            OneWay::UdpOnly => ("UDP", "TCP", address.port()),
        };
        warn!(target: LOG, "{name} is reached by {reached} but not by {missing}: open {missing} port {port} of {address} for this node");
    }

    fn finish_probe(&mut self, now: Instant, health: i32, host: &mut impl Host) {
        self.drop_probe();
        self.awareness.apply(health);
        if std::mem::take(&mut self.probe_tick_waits) {
            self.start_probe(now, host);
        }
    }

    /// Ends the probe under way without a verdict.
    pub(crate) fn drop_probe(&mut self) {
        let Some(probe) = self.probe.take() else { return };
        self.timers.cancel(&Timer::ProbeTimeout(probe.sequence));
        self.timers.cancel(&Timer::ProbeDeadline(probe.sequence));
        if let Stage::Indirect { stream: Some(stream), .. } = probe.stage
            && self.streams.contains_key(&stream)
        {
            self.close_stream(stream);
        }
    }

    /// Somebody asks whether we are there.
    pub(crate) fn on_ping(&mut self, now: Instant, from: SocketAddr, ping: &Ping, host: &mut impl Host) {
        if !self.is_for_us(ping) {
            warn!(target: LOG, "Got ping for unexpected node '{}' from={from}", ping.node);
            return;
        }
        let payload = host.ack_payload();
        let payload = (!payload.is_empty()).then(|| payload.into());
        let to = answer_address(from, &ping.source_address, ping.source_port);
        self.send_with_piggyback(now, to, &Message::Ack(Ack { payload, sequence: ping.sequence }), host);
    }

    /// Whether a ping means us: by name, or whoever is at this address.
    pub(crate) fn is_for_us(&self, ping: &Ping) -> bool {
        ping.node.0.is_empty() || self.members.is_own(&ping.node)
    }

    /// Somebody asks us to ask somebody else.
    pub(crate) fn on_indirect_ping(
        &mut self,
        now: Instant,
        from: SocketAddr,
        request: IndirectPing,
        host: &mut impl Host,
    ) {
        // Nobody has a name so long; passing it on would make our datagram as long as theirs once was compressed.
        let name_fits = request.node.0.len() <= NAME_BYTES;
        let Some(ip) = request.target.ip().filter(|_| name_fits) else {
            count(&mut self.counters.messages_skipped);
            return;
        };
        if self.relays.len() >= RELAYS {
            count(&mut self.counters.relays_refused);
            return;
        }
        let to = SocketAddr::new(ip, self.effective_port(request.port));
        let asker = answer_address(from, &request.source_address, request.source_port);
        let sequence = self.next_sequence();
        self.relays.insert(sequence, Relay { asker, sequence: request.sequence, wants_nack: request.nack });
        self.timers.set(Timer::Relay(sequence), now.after(self.config.probe_timeout));
        let ping = self.ping(sequence, request.node);
        self.send_with_piggyback(now, to, &Message::Ping(ping), host);
    }

    /// Whom we asked for somebody else has not answered in time.
    pub(crate) fn on_relay_timeout(&mut self, now: Instant, sequence: SequenceNumber, host: &mut impl Host) {
        if let Some(relay) = self.relays.remove(&sequence).filter(|relay| relay.wants_nack) {
            let nack = Message::Nack(Nack { sequence: relay.sequence });
            self.send_with_piggyback(now, relay.asker, &nack, host);
        }
    }

    /// An answer: to our probe, or to a ping sent for somebody else. Any other is ignored.
    pub(crate) fn on_ack(&mut self, now: Instant, ack: Ack, host: &mut impl Host) {
        if let Some(relay) = self.relays.remove(&ack.sequence) {
            self.timers.cancel(&Timer::Relay(ack.sequence));
            let answer = Message::Ack(Ack { payload: None, sequence: relay.sequence });
            self.send_with_piggyback(now, relay.asker, &answer, host);
            return;
        }
        let Some(probe) = self.probe.as_ref().filter(|probe| probe.sequence == ack.sequence) else { return };
        let round_trip = now.since(probe.sent);
        let health = probe.health_on_answer;
        if matches!(probe.stage, Stage::Direct) && round_trip <= self.config.probe_timeout {
            let member = probe.target.clone();
            let payload = ack.payload.unwrap_or_default().0;
            self.event(Event::PingCompleted { member, round_trip, payload });
        }
        self.finish_probe(now, health, host);
    }

    /// A relay is well but got no answer either.
    pub(crate) fn on_nack(&mut self, nack: &Nack) {
        if let Some(probe) = &mut self.probe
            && probe.sequence == nack.sequence
            && let Stage::Indirect { nacks, nacks_expected, .. } = &mut probe.stage
        {
            *nacks = nacks.saturating_add(1).min(*nacks_expected);
        }
    }

    /// A ping of ours: the answer is to come to our advertised address.
    fn ping(&self, sequence: SequenceNumber, node: NodeName) -> Ping {
        Ping {
            node,
            sequence,
            source_address: self.config.advertise_address.clone(),
            source_node: self.config.name.clone(),
            source_port: self.config.advertise_port,
        }
    }

    /// Ours alone: 1, 2, 3, ... A wrap after 2^32 probes harms nobody.
    fn next_sequence(&mut self) -> SequenceNumber {
        self.last_sequence = SequenceNumber(self.last_sequence.0.wrapping_add(1));
        self.last_sequence
    }
}

/// Where an answer goes: to the source the message names, if it names one, else where it came from (8.3).
fn answer_address(from: SocketAddr, address: &WireAddress, port: u16) -> SocketAddr {
    match address.ip() {
        Some(ip) if port > 0 => SocketAddr::new(ip, port),
        Some(_) | None => from,
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
