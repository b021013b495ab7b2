//! Who this member is, and where the others are: shared by the group, its network and what serves streams.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::limits::PEERS_MAX;
use crate::peer::{ClusterId, NodeId, Peer};

/// Who this member is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) me: Peer,
    pub(crate) cluster: OnceLock<ClusterId>,
    /// Where gossip says that members are: the group's own record is as old as the last change of members.
    addresses: Mutex<BTreeMap<NodeId, SocketAddr>>,
}

impl Identity {
    /// A member that may not be in a group yet.
    pub(crate) fn new(me: Peer, cluster: Option<ClusterId>) -> Self {
        Self { me, cluster: cluster.map_or_else(OnceLock::new, OnceLock::from), addresses: Mutex::default() }
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }

    /// Learns where members are: the first [`PEERS_MAX`] of them.
    pub(crate) fn learn(&self, peers: &[Peer]) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        *addresses = peers.iter().take(PEERS_MAX).map(|peer| (peer.id, peer.address)).collect();
    }

    /// Where a member is, as far as gossip knows.
    pub(crate) fn address(&self, of: NodeId) -> Option<SocketAddr> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(&of).copied()
    }
}
