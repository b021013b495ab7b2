//! Ways to the members of the group, as gossip shows them, and who was last said to lead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hello::StreamKind;
use crate::lane::Lane;
use crate::limits::{MEMBER_PATIENCE, PEERS_MAX};
use crate::me::Identity;
use crate::peer::{NodeId, Peer};
use crate::transport::Transport;
use crate::types::Tokio;

/// Ways to the members.
pub(crate) struct Routes<T> {
    transport: Arc<T>,
    /// Who we are, if we are a member: it is not called.
    identity: Option<Arc<Identity>>,
    known: Mutex<Known<T>>,
}

struct Known<T> {
    ways: BTreeMap<NodeId, Way<T>>,
    leader: Option<NodeId>,
    /// Whose turn it is where everybody will do.
    turn: usize,
}

/// The way to a member.
pub(crate) struct Way<T> {
    pub(crate) peer: Peer,
    pub(crate) lane: Arc<Lane<T, Tokio>>,
}

impl<T> Clone for Way<T> {
    fn clone(&self) -> Self {
        Self { peer: self.peer.clone(), lane: self.lane.clone() }
    }
}

impl<T: Transport> Routes<T> {
    pub(crate) fn new(transport: Arc<T>, identity: Option<Arc<Identity>>) -> Self {
        let known = Known { ways: BTreeMap::new(), leader: None, turn: 0 };
        Self { transport, identity, known: Mutex::new(known) }
    }

    /// Knows these members, the first [`PEERS_MAX`] of them, and no other. Streams to others are given up, so that what
    /// waits for them is asked elsewhere.
    pub(crate) fn set(&self, peers: Vec<Peer>) {
        let mut known = self.known();
        let mut before = std::mem::take(&mut known.ways);
        for peer in peers.into_iter().take(PEERS_MAX).filter(|peer| !self.is_me(peer.id)) {
            let lane = before.remove(&peer.id).map_or_else(|| self.lane(peer.id), |way| way.lane);
            known.ways.insert(peer.id, Way { peer, lane });
        }
        drop(known);
        for way in before.into_values() {
            way.lane.close("the member is gone");
        }
    }

    /// Remembers who leads; a leader that gossip does not show (yet) is known until gossip is heard again.
    pub(crate) fn learn_leader(&self, leader: &Peer) {
        if self.is_me(leader.id) {
            return;
        }
        let mut known = self.known();
        known.leader = Some(leader.id);
        if !known.ways.contains_key(&leader.id) && known.ways.len() < PEERS_MAX {
            let lane = self.lane(leader.id);
            known.ways.insert(leader.id, Way { peer: leader.clone(), lane });
        }
    }

    /// It does not lead, or is not there.
    pub(crate) fn forget_leader(&self, id: NodeId) {
        let mut known = self.known();
        if known.leader == Some(id) {
            known.leader = None;
        }
    }

    /// The way to who is said to lead.
    pub(crate) fn leader(&self) -> Option<Way<T>> {
        let known = self.known();
        known.leader.and_then(|leader| known.ways.get(&leader)).cloned()
    }

    /// The way to the next of all; `None` in place of this agent's own member, if there is one.
    pub(crate) fn next(&self) -> Option<Way<T>> {
        let mut known = self.known();
        known.turn = known.turn.wrapping_add(1);
        let places = known.ways.len().saturating_add(usize::from(self.identity.is_some()));
        let place = known.turn.checked_rem(places)?;
        known.ways.values().nth(place).cloned()
    }

    /// How many there are to ask, other than this agent's own member.
    pub(crate) fn len(&self) -> usize {
        self.known().ways.len()
    }

    /// A way to a member that gossip may not show.
    pub(crate) fn way(&self, peer: &Peer) -> Way<T> {
        let known = self.known().ways.get(&peer.id).map(|way| way.lane.clone());
        Way { peer: peer.clone(), lane: known.unwrap_or_else(|| self.lane(peer.id)) }
    }

    fn is_me(&self, id: NodeId) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.me.id == id)
    }

    fn lane(&self, to: NodeId) -> Arc<Lane<T, Tokio>> {
        Lane::new(self.transport.clone(), self.identity.clone(), StreamKind::Calls, to, MEMBER_PATIENCE)
    }

    fn known(&self) -> MutexGuard<'_, Known<T>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
