//! Changes of members: who is one, who votes, who leads. None is begun that would leave the group without a majority.

use std::collections::{BTreeMap, BTreeSet};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use openraft::{AsyncRuntime, ChangeMembers, Instant, ServerState};

use crate::error::{ChangeError, FoundError, ProposeError};
use crate::limits::PROMOTION_LAG;
use crate::member::Member;
use crate::peer::{ClusterId, NodeId, Peer};
use crate::types::Types;

impl<A: AsyncRuntime> Member<A> {
    /// Founds the group with these voters. The set that is founded first counts; founding the same set at several of its
    /// members is safe.
    pub(crate) async fn found(&self, cluster: ClusterId, voters: Vec<Peer>) -> Result<(), FoundError> {
        let count = voters.len();
        let set: BTreeMap<NodeId, Peer> = voters.into_iter().map(|peer| (peer.id, peer)).collect();
        if set.len() != count {
            return Err(FoundError::Voters("one is named twice"));
        }
        if !set.contains_key(&self.identity.me.id) {
            return Err(FoundError::Voters("this member is not among them"));
        }
        let joined = self.join(cluster).await.map_err(|error| FoundError::Stopped(error.to_string()))?;
        joined.map_err(FoundError::AlreadyFounded)?;
        match self.raft().initialize(set).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(FoundError::AlreadyFounded(cluster)),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => {
                Err(FoundError::Voters("this member is not among them"))
            }
            Err(RaftError::Fatal(error)) => Err(FoundError::Stopped(self.reason(&error))),
        }
    }

    /// Takes a member in without a vote, or gives it another address or name.
    pub(crate) async fn add_learner(&self, peer: Peer) -> Result<(), ChangeError> {
        let known = self.metrics().membership_config.membership().get_node(&peer.id).cloned();
        match known {
            Some(known) if known == peer => Ok(()),
            Some(_) => self.change(ChangeMembers::SetNodes(BTreeMap::from([(peer.id, peer)]))).await,
            None => self.change(ChangeMembers::AddNodes(BTreeMap::from([(peer.id, peer)]))).await,
        }
    }

    /// Removes a member. The leader hands over first and is to be removed by the next one.
    pub(crate) async fn remove(&self, id: NodeId) -> Result<(), ChangeError> {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        if membership.get_node(&id).is_none() {
            return Err(ChangeError::Member(id, "is not one"));
        }
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        if voters.contains(&id) {
            let left: BTreeSet<NodeId> = voters.into_iter().filter(|voter| *voter != id).collect();
            if left.is_empty() {
                return Err(ChangeError::Member(id, "is the only voter"));
            }
            if id == self.identity.me.id {
                self.check_quorum(&left)?;
                self.transfer_leader(None).await?;
                return Err(ChangeError::NotLeader { leader: self.leader() });
            }
            self.set_voters(left).await?;
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await
    }

    /// Makes exactly these members voters; the others stay without a vote.
    pub(crate) async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ChangeError> {
        self.check_quorum(&voters)?;
        let change = self.raft().change_membership(voters, true).await;
        self.changed(change.map(drop))
    }

    async fn change(&self, change: ChangeMembers<NodeId, Peer>) -> Result<(), ChangeError> {
        let change = self.raft().change_membership(change, true).await;
        self.changed(change.map(drop))
    }

    fn changed(&self, change: Result<(), RaftError<Types<A>, ClientWriteError<Types<A>>>>) -> Result<(), ChangeError> {
        match change {
            Ok(()) => Ok(()),
            Err(RaftError::Fatal(error)) => Err(self.fatal(&error).into()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                if self.metrics().state == ServerState::Leader {
                    Err(ChangeError::NoQuorum { missing: self.missing() })
                } else {
                    Err(ChangeError::NotLeader { leader: self.leader_of(forward) })
                }
            }
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => Err(refusal(error)),
            Err(RaftError::APIError(
                ClientWriteError::LogEntryDiscarded(_) | ClientWriteError::PreconditionFailed(_),
            )) => Err(ChangeError::Unknown),
        }
    }

    /// Whether a majority of `voters` answers now and is not far behind.
    fn check_quorum(&self, voters: &BTreeSet<NodeId>) -> Result<(), ChangeError> {
        let metrics = self.metrics();
        if metrics.state != ServerState::Leader {
            return Err(ChangeError::NotLeader { leader: self.leader() });
        }
        if voters.is_empty() {
            return Err(ChangeError::Member(self.identity.me.id, "is the only voter"));
        }
        let membership = metrics.membership_config.membership();
        if let Some(stranger) = voters.iter().find(|id| membership.get_node(id).is_none()) {
            return Err(ChangeError::Member(*stranger, "is not one"));
        }
        let last = metrics.last_log_index.unwrap_or(0);
        let answers = |id: &NodeId| {
            let matching = metrics.replication.as_ref()?.get(id)?.map_or(0, |log_id| log_id.index);
            let heard = (*metrics.heartbeat.as_ref()?.get(id)?)?.elapsed();
            let near = last.saturating_sub(matching) <= PROMOTION_LAG;
            Some(near && heard <= self.timing().election_max)
        };
        let me = self.identity.me.id;
        let answering = voters.iter().filter(|id| **id == me || answers(id).unwrap_or(false)).count();
        if answering.saturating_mul(2) > voters.len() {
            Ok(())
        } else {
            Err(ChangeError::WouldLoseQuorum { answering, voters: voters.len() })
        }
    }

    /// Hands leadership over to this voter, or to the one that is nearest.
    pub(crate) async fn transfer_leader(&self, to: Option<NodeId>) -> Result<(), ChangeError> {
        let metrics = self.metrics();
        let me = self.identity.me.id;
        if metrics.state != ServerState::Leader {
            return Err(ChangeError::NotLeader { leader: self.leader() });
        }
        let silent: BTreeSet<NodeId> = self.missing().into_iter().map(|peer| peer.id).collect();
        let voters: BTreeSet<NodeId> = metrics.membership_config.voter_ids().collect();
        let to = match to {
            Some(to) if to == me => return Ok(()),
            Some(to) if !voters.contains(&to) => return Err(ChangeError::Member(to, "has no vote")),
            Some(to) => to,
            None => {
                let matching =
                    |id: &NodeId| metrics.replication.as_ref().and_then(|all| all.get(id).copied().flatten());
                let others = voters.iter().filter(|id| **id != me && !silent.contains(id));
                let nearest = others.max_by_key(|id| matching(id));
                *nearest.ok_or(ChangeError::Member(me, "is the only voter that answers"))?
            }
        };
        let sent = self.raft().trigger().transfer_leader(to).await;
        sent.map_err(|error| self.fatal(&error))?;
        let mut server = self.raft().server_metrics();
        let started = A::Instant::now();
        let patience = self.timing().election_max.saturating_mul(3);
        loop {
            let leader = server.borrow_and_update().current_leader;
            if leader.is_some_and(|leader| leader != me) {
                return Ok(());
            }
            let left = patience.saturating_sub(started.elapsed());
            if left.is_zero() || A::timeout(left, server.changed()).await.is_ok_and(|changed| changed.is_err()) {
                return Err(ChangeError::Member(to, "did not take over"));
            }
        }
    }

    pub(crate) fn leader(&self) -> Option<Peer> {
        let metrics = self.metrics();
        metrics.current_leader.and_then(|id| metrics.membership_config.get_node(&id).cloned())
    }
}

fn refusal(error: ChangeMembershipError<crate::types::Leader, NodeId>) -> ChangeError {
    match error {
        ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => ChangeError::Busy,
        ChangeMembershipError::LearnerNotFound(error) => ChangeError::Member(error.node_id, "is not one"),
        ChangeMembershipError::EmptyMembership(_) => ChangeError::WouldLoseQuorum { answering: 0, voters: 0 },
        ChangeMembershipError::UnsupportedMembershipTransition(_) | ChangeMembershipError::NodeMetadataChanged(_) => {
            ChangeError::Busy
        }
    }
}

impl From<ProposeError> for ChangeError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader },
            ProposeError::NoQuorum { missing } => Self::NoQuorum { missing },
            ProposeError::Unknown => Self::Unknown,
            ProposeError::Busy => Self::Busy,
            ProposeError::Stopped(reason) => Self::Stopped(reason),
        }
    }
}
