//! How packets leave: bare, with piggybacked broadcasts, or in gossip rounds. Answers to Go `gossip`,
//! `getBroadcasts`, `sendMsg` and `rawSendMsgPacket`, spec 2.4, 2.7, 7.2 and 7.3.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::counters::count;
use crate::limits::COMPOUND_PARTS_SENT;
use crate::members::Liveness;
use crate::packet::{Crc, EncryptionVersion, Layers, packet_overhead, seal};
use crate::{Host, Instant, Io, Member, Memberlist, Message, NodeName, Output, Timer};

/// Bytes a message costs in a compound, and a compound costs itself (Go `compoundOverhead`, `compoundHeaderOverhead`).
const PART_OVERHEAD: usize = 2;
const COMPOUND_OVERHEAD: usize = 2;
/// The type byte in front of a user message (Go `userMsgOverhead`).
const USER_OVERHEAD: usize = 1;

impl Memberlist {
    /// One gossip round: the same number of random peers, each with its own share of what waits.
    pub(crate) fn on_gossip_tick(&mut self, now: Instant, host: &mut impl Host) {
        self.timers.set(Timer::Gossip, now.after(self.config.gossip_interval));
        let dead_time = self.config.gossip_to_the_dead_time;
        let peers = self.members.sample(self.config.gossip_nodes, &mut self.random, |record| match record.liveness() {
            Liveness::Alive | Liveness::Suspect { .. } => true,
            Liveness::Dead { since } => now.since(*since) <= dead_time,
            Liveness::Left { .. } => false,
        });
        let limit = self.packet_budget(0);
        for peer in peers {
            let parts = self.take_broadcasts(now, limit, host);
            if parts.is_empty() {
                return;
            }
            if let Some(to) = peer.socket_address() {
                self.send_parts(to, &parts, crc_for(&peer));
            }
        }
    }

    /// Sends `message` alone.
    pub(crate) fn send_bare(&mut self, to: SocketAddr, message: &Message) {
        let crc = self.crc_for_address(to);
        self.send_parts(to, &[message.encode()], crc);
    }

    /// Sends `message`, and as many waiting broadcasts as fit behind it.
    pub(crate) fn send_with_piggyback(
        &mut self,
        now: Instant,
        to: SocketAddr,
        message: &Message,
        host: &mut impl Host,
    ) {
        let mut parts = vec![message.encode()];
        let length = parts.iter().map(Bytes::len).sum();
        parts.extend(self.take_broadcasts(now, self.packet_budget(length), host));
        let crc = self.crc_for_address(to);
        self.send_parts(to, &parts, crc);
    }

    /// Sends exactly these messages to a member.
    pub(crate) fn send_to_member(&mut self, to: SocketAddr, member: &Member, messages: &[Message]) {
        let parts: Vec<Bytes> = messages.iter().map(Message::encode).collect();
        self.send_parts(to, &parts, crc_for(member));
    }

    pub(crate) fn send_user_message(&mut self, to: SocketAddr, to_member: Option<&NodeName>, payload: &[u8]) {
        let known = to_member.and_then(|name| self.members.get(name)).map(|record| crc_for(&record.member));
        let crc = known.unwrap_or_else(|| self.crc_for_address(to));
        self.send_parts(to, &[Message::User(Bytes::copy_from_slice(payload)).encode()], crc);
    }

    /// What packets and streams are wrapped in.
    pub(crate) fn layers(&self) -> Layers<'_> {
        Layers {
            label: &self.config.label,
            skip_inbound_label_check: self.config.skip_inbound_label_check,
            keyring: &self.config.keyring,
            verify_incoming: self.config.gossip_verify_incoming,
            verify_outgoing: self.config.gossip_verify_outgoing,
            encryption_version: EncryptionVersion::for_protocol(self.config.protocol_version),
            compression: self.config.enable_compression,
        }
    }

    /// Bytes left for broadcasts beside a message of `used` bytes.
    fn packet_budget(&self, used: usize) -> usize {
        let taken = used.saturating_add(COMPOUND_OVERHEAD).saturating_add(packet_overhead(&self.layers()));
        self.config.udp_buffer_size.saturating_sub(taken)
    }

    /// Our own broadcasts first, then the host's in the room that is left.
    fn take_broadcasts(&mut self, now: Instant, limit: usize, host: &mut impl Host) -> Vec<Bytes> {
        let mut parts = self.queue.take(PART_OVERHEAD, limit, self.members.len());
        let used: usize = parts.iter().map(|part| part.len().saturating_add(PART_OVERHEAD)).sum();
        let room = limit.saturating_sub(used);
        if room > PART_OVERHEAD + USER_OVERHEAD {
            let payloads = host.broadcasts(now, PART_OVERHEAD + USER_OVERHEAD, room);
            parts.extend(payloads.into_iter().map(|payload| Message::User(payload).encode()));
        }
        parts
    }

    fn send_parts(&mut self, to: SocketAddr, parts: &[Bytes], crc: Crc) {
        for chunk in parts.chunks(COMPOUND_PARTS_SENT) {
            let nonce = self.random.nonce();
            let bytes = seal(&self.layers(), chunk, crc, nonce);
            count(&mut self.counters.packets_sent);
            self.outputs.push_back(Output::Io(Io::Packet { to, bytes }));
        }
    }

    /// Go's rule for packets to an address: it knows the node only where nodes are named by their IP (2.4).
    fn crc_for_address(&self, to: SocketAddr) -> Crc {
        let name = NodeName(to.ip().to_string().into());
        self.members.get(&name).map_or(Crc::Without, |record| crc_for(&record.member))
    }
}

/// The checksum is understood from protocol 5 on.
fn crc_for(member: &Member) -> Crc {
    if member.versions.protocol_max >= 5 { Crc::With } else { Crc::Without }
}

#[cfg(test)]
#[path = "gossip_tests.rs"]
mod tests;
