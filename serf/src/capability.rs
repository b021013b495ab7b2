//! What we can do beyond Serf, and what we make of what others say of themselves.
//!
//! The bytes are memberlist's (`capability.rs` there), their place behind the tag map is that of `tags.rs`.

use crate::host::Core;
use crate::memberlist::{Capability, ClusterNameHash, Kept, Member, Refusal};
use crate::{Instant, RequestError, Serf, Tags};

impl Serf {
    /// Says anew what we can do beyond Serf; `None`: nothing. Nobody waits for it, and nobody but Folkmoot peers sees it.
    /// What was said already is not said again.
    ///
    /// # Errors
    /// We have stopped.
    pub fn set_capability(&mut self, now: Instant, capability: Option<Capability>) -> Result<(), RequestError> {
        if self.is_shut_down() {
            return Err(RequestError::NotAlive);
        }
        let capability = capability.map(|capability| self.config.of_our_cluster(capability));
        if capability == self.config.capability {
            return Ok(());
        }
        let (meta, kept) = self.core.tags.encode_with(self.config.protocol_version, capability.as_ref())?;
        self.config.capability = capability;
        self.tell_what_was_kept(kept);
        if meta != self.core.meta {
            self.core.meta = meta;
            // Whoever is away learns it by push/pull.
            let _ = self.memberlist.update_meta(now, &mut self.core);
        }
        self.absorb(now);
        Ok(())
    }

    /// What we say we can do beyond Serf, room or not.
    pub fn capability(&self) -> Option<&Capability> {
        self.config.capability.as_ref()
    }

    /// One warning each time there is less room than before.
    pub(crate) fn tell_what_was_kept(&mut self, kept: Kept) {
        let before = std::mem::replace(&mut self.capability_kept, kept);
        let consequence = match kept {
            Kept::All => return,
            Kept::WithoutDetails => "does not say which Raft group it is in",
            Kept::WithoutRaft => "cannot be found for coordination",
            Kept::Nothing => "is taken for a Go agent, without coordination and without -cluster",
        };
        if kept > before {
            tracing::warn!(
                target: "serf", "The tags leave too little room in the node's meta data: for others this node {consequence}"
            );
        }
    }
}

impl Core {
    /// Whether a member may be in our cluster: Go nodes, and those that keep to no cluster, always may.
    pub(crate) fn accept_cluster(&self, member: &Member) -> Result<(), Refusal> {
        let Some(ours) = &self.cluster_name else { return Ok(()) };
        let theirs = Tags::decode(&member.meta).capability.and_then(|capability| capability.cluster_name);
        match theirs {
            Some(theirs) if theirs != ClusterNameHash::of(ours) => {
                Err(Refusal(format!("'{}' belongs to another cluster than ours (-cluster={ours})", member.name)))
            }
            Some(_) | None => Ok(()),
        }
    }
}
