//! Exchanges of full state: when, with whom, what is sent, and how an answer is merged. Answers to Go `pushPull`,
//! `mergeState` and `verifyProtocol` in `state.go`/`memberlist.go`, spec 6.7 and 10.
//!
//! Not here: the stream it travels on (`streams.rs`).

use std::time::Duration;

use crate::counters::count;
use crate::members::Liveness;
use crate::streams::{Errand, Exchange};
use crate::{
    Alive, Dead, Event, Host, Instant, Member, Memberlist, NodeName, NodeState, PeerState, PushPull, Refusal, Suspect,
    Timer, Versions,
};

/// Why a peer's state was not merged. Nothing changed. `Display` is Go's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// Some node speaks a memberlist protocol that some other does not understand.
    #[error("Node '{node}' protocol version ({version}) is incompatible: [{min}, {max}]")]
    Protocol {
        /// Who.
        node: NodeName,
        /// What it speaks.
        version: u8,
        /// The lowest everybody understands.
        min: u8,
        /// The highest everybody understands.
        max: u8,
    },
    /// The same for the delegate's protocol.
    #[error("Node '{node}' delegate protocol version ({version}) is incompatible: [{min}, {max}]")]
    Delegate {
        /// Who.
        node: NodeName,
        /// What it speaks.
        version: u8,
        /// The lowest everybody understands.
        min: u8,
        /// The highest everybody understands.
        max: u8,
    },
    /// The host does not want these peers.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Memberlist {
    /// Sets the timer for the next anti-entropy exchange, `delay` later than its interval.
    pub(crate) fn schedule_push_pull(&mut self, now: Instant, delay: Duration) {
        let interval = push_pull_scale(self.config.push_pull_interval, self.members.len());
        self.timers.set(Timer::PushPull, now.after(delay).after(interval));
    }

    /// Exchanges state with one random living member.
    pub(crate) fn on_push_pull_tick(&mut self, now: Instant) {
        self.schedule_push_pull(now, Duration::ZERO);
        let peers = self.members.sample(1, &mut self.random, |record| *record.liveness() == Liveness::Alive);
        let Some(peer) = peers.first() else { return };
        if let Some(to) = peer.socket_address() {
            let exchange = Exchange { to, name: peer.name.clone(), join: false };
            self.dial(to, Errand::Exchange(exchange), now.after(self.config.tcp_timeout));
        }
    }

    /// All that we know, in our own order.
    pub(crate) fn local_state(&self, join: bool, host: &impl Host) -> PushPull {
        PushPull { join, nodes: self.node_states().collect(), user_state: host.local_state(join) }
    }

    /// Every member as it stands in a push/pull, the dead included.
    pub(crate) fn node_states(&self) -> impl Iterator<Item = NodeState> {
        self.members.iter().map(|record| NodeState {
            address: record.member.address.clone(),
            incarnation: record.incarnation,
            meta: (!record.member.meta.is_empty()).then(|| record.member.meta.clone().into()),
            name: record.member.name.clone(),
            port: record.member.port,
            state: match record.liveness() {
                Liveness::Alive => PeerState::Alive,
                Liveness::Suspect { .. } => PeerState::Suspect,
                Liveness::Dead { .. } => PeerState::Dead,
                Liveness::Left { .. } => PeerState::Left,
            },
            versions: Some(record.member.versions),
        })
    }

    /// Takes a peer's state. A death is only hearsay here and becomes a suspicion of ours, so that it can be refuted.
    pub(crate) fn merge(
        &mut self,
        now: Instant,
        theirs: PushPull,
        join: bool,
        host: &mut impl Host,
    ) -> Result<(), MergeError> {
        let checked = self.check_versions(&theirs.nodes).and_then(|()| match join && self.config.ask_host {
            true => host.accept_merge(&self.peers_of(&theirs.nodes)).map_err(MergeError::from),
            false => Ok(()),
        });
        if checked.is_err() {
            count(&mut self.counters.merges_refused);
            return checked;
        }
        for node in theirs.nodes {
            let NodeState { address, incarnation, meta, name, port, state, versions } = node;
            match state {
                PeerState::Alive => {
                    self.on_alive(now, Alive { address, incarnation, meta, node: name, port, versions }, host);
                }
                PeerState::Left => self.on_dead(now, Dead { from: name.clone(), incarnation, node: name }, None),
                PeerState::Suspect | PeerState::Dead => {
                    let from = self.config.name.clone();
                    self.on_suspect(now, Suspect { from, incarnation, node: name });
                }
                PeerState::Unknown(_) => {}
            }
        }
        if !theirs.user_state.is_empty() {
            self.event(Event::RemoteState { state: theirs.user_state, join });
        }
        Ok(())
    }

    /// Whether everybody can talk to everybody (6.7). Only living nodes count, and of the peer's entries only those
    /// whose versions can be: Go lets one dead or malformed entry fail every exchange.
    fn check_versions(&self, theirs: &[NodeState]) -> Result<(), MergeError> {
        let remote = theirs.iter().filter_map(|node| {
            let is_living = matches!(node.state, PeerState::Alive | PeerState::Suspect);
            let versions = node.versions.filter(|versions| is_living && versions.is_sane())?;
            Some((&node.name, versions, node.state == PeerState::Alive))
        });
        let local = self
            .members
            .iter()
            .filter(|record| record.liveness().is_living())
            .map(|record| (&record.member.name, record.member.versions, *record.liveness() == Liveness::Alive));
        let nodes: Vec<(&NodeName, Versions, bool)> = remote.chain(local).collect();
        let (mut protocol, mut delegate) = ((0, u8::MAX), (0, u8::MAX));
        for (_, versions, is_alive) in &nodes {
            if *is_alive {
                protocol = (protocol.0.max(versions.protocol_min), protocol.1.min(versions.protocol_max));
                delegate = (delegate.0.max(versions.delegate_min), delegate.1.min(versions.delegate_max));
            }
        }
        for (node, versions, _) in nodes {
            let node = || node.clone();
            let version = versions.protocol_cur;
            let (min, max) = protocol;
            if version < min || version > max {
                return Err(MergeError::Protocol { node: node(), version, min, max });
            }
            let version = versions.delegate_cur;
            let (min, max) = delegate;
            if version < min || version > max {
                return Err(MergeError::Delegate { node: node(), version, min, max });
            }
        }
        Ok(())
    }

    /// A peer's entries as the host sees members; those that could not be members are left out.
    fn peers_of(&self, theirs: &[NodeState]) -> Vec<Member> {
        let member = |node: &NodeState| {
            Some(Member {
                name: node.name.clone(),
                address: node.address.clone(),
                port: self.effective_port(node.port),
                meta: node.meta.clone().unwrap_or_default().0,
                versions: node.versions?,
            })
        };
        theirs.iter().filter_map(member).collect()
    }
}

/// Time between exchanges in a cluster of `node_count` nodes: the interval up to 32 nodes, and one more for each
/// doubling begun (Go `pushPullScale`).
pub fn push_pull_scale(interval: Duration, node_count: usize) -> Duration {
    let doublings = node_count.checked_next_power_of_two().map_or(usize::BITS, usize::trailing_zeros);
    interval.saturating_mul(doublings.saturating_sub(5).saturating_add(1))
}

#[cfg(test)]
#[path = "push_pull_tests.rs"]
mod tests;
