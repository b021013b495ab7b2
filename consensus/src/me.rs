//! Who this member is, and in which group, once it has one.

use std::sync::OnceLock;

use crate::peer::{ClusterId, Peer};

/// Who this member is. The group is set once, when it is founded or joined, and never changes.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) me: Peer,
    pub(crate) cluster: OnceLock<ClusterId>,
}

impl Identity {
    pub(crate) fn new(me: Peer, cluster: Option<ClusterId>) -> Self {
        Self { me, cluster: cluster.map_or_else(OnceLock::new, OnceLock::from) }
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }
}
