//! What others are told of this member by gossip, said again when it has changed.

use folkmoot_consensus::{ClusterId, Peer};
use folkmoot_serf::{Capability, RaftCapability};

use crate::config::coordination::RaftSettings;
use crate::handle::{NodeHandle, NodeStopped, Question};

/// What is said, but for the group.
pub(super) struct Offer {
    raft: RaftCapability,
    told: bool,
}

impl Offer {
    /// Of this member with these settings.
    pub(super) fn new(me: &Peer, settings: &RaftSettings) -> Self {
        let raft = RaftCapability {
            node: me.id.0,
            port: me.address.port(),
            // Without a setting of its own it goes wherever the gossip address goes.
            address: settings.advertise.map(|address| address.ip()),
            cluster: None,
            expect: expect(settings),
            preference: settings.voter,
        };
        Self { raft, told: false }
    }

    /// Says it, unless it has been said.
    pub(super) async fn keep_told(&mut self, node: &NodeHandle, cluster: Option<ClusterId>) -> Result<(), NodeStopped> {
        let cluster = cluster.map(|cluster| cluster.0);
        if self.told && self.raft.cluster == cluster {
            return Ok(());
        }
        self.raft.cluster = cluster;
        let capability = Some(Capability { cluster_name: None, raft: Some(self.raft) });
        let said = node.ask(|reply| Question::SetCapability { capability, reply }).await?;
        self.told = said.is_ok();
        Ok(())
    }
}

/// The expectation in the width it travels in; settings allow no larger one.
pub(super) fn expect(settings: &RaftSettings) -> Option<u8> {
    settings.bootstrap_expect.and_then(|expect| u8::try_from(expect).ok()).filter(|expect| *expect > 0)
}
