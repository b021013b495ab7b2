//! A running member of the group, as the agent uses it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_coordination::{Command, Query, Reply, Ticket};
use openraft::RaftNetworkFactory;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::network::NetSnapshot;
use tokio::sync::watch;

use crate::backup::{Backup, OtherGroup};
use crate::commits::CommitTimes;
use crate::disk::Directory;
use crate::error::{BackupError, ChangeError, FoundError, OpenError, ProposeError};
use crate::image::Image;
use crate::me::Identity;
use crate::member::Member;
use crate::network::Network;
use crate::peer::{ClusterId, NodeId, Peer};
use crate::refused::Refused;
use crate::settings::Settings;
use crate::status::{Age, Status};
use crate::tempo;
use crate::transport::Transport;
use crate::types::{Tokio, Types};
use crate::watch::{Watch, Watches};
use crate::writer::Threads;

/// A running member. Cheap to clone; every clone is the same member. Dropping all of them does not stop it:
/// [`Group::shutdown`] does.
#[derive(Clone)]
pub struct Group {
    member: Arc<Member<Tokio>>,
    watches: Watches,
    status: watch::Receiver<Status>,
}

/// How often the status is looked at when nothing else says that it has changed. Ours.
const STATUS_EVERY: Duration = Duration::from_millis(250);

impl Group {
    /// Starts a member on its data, in no group yet unless the data says otherwise or `cluster` does.
    ///
    /// # Errors
    /// [`OpenError`] says which file cannot be used, and why.
    pub async fn open(
        settings: Settings,
        cluster: Option<ClusterId>,
        transport: Arc<impl Transport>,
    ) -> Result<Self, OpenError> {
        let mut network = None;
        let make = |identity| network.insert(Network::new(transport, identity)).clone();
        let group = Self::open_on(settings, cluster, make).await?;
        if let Some(network) = network {
            // It is set here and nowhere else.
            drop(group.member.contacts.set(network.contacts()));
            drop(tokio::spawn(tempo::keep(Arc::clone(&group.member), network)));
        }
        Ok(group)
    }

    pub(crate) async fn open_on<N>(
        settings: Settings,
        cluster: Option<ClusterId>,
        network: impl FnOnce(Arc<Identity>) -> N,
    ) -> Result<Self, OpenError>
    where
        N: RaftNetworkFactory<Types<Tokio>> + Clone,
        N::Network: NetSnapshot<Types<Tokio>, SnapshotData = Image>,
    {
        let disk = Directory(settings.directory.clone());
        let member = Member::open(settings, cluster, &disk, Threads::Real, network).await?;
        let (changes, status) = watch::channel(Status::of(&member));
        tokio::spawn(publish(Arc::clone(&member), changes));
        Ok(Self { member, watches: Watches::new(), status })
    }

    /// Founds the group with these voters, of which this member is one. The set that is founded first counts: to found the
    /// same set at several of its members is safe, to found two different sets is not, which is why every member promises
    /// at most one. The other voters learn of the group by [`Group::join`].
    ///
    /// # Errors
    /// This member is in a group already, or the set is not one.
    pub async fn found(&self, cluster: ClusterId, voters: Vec<Peer>) -> Result<(), FoundError> {
        self.member.found(cluster, voters).await
    }

    /// Makes this member one of the group, for ever and on disk: from then on it takes the group's entries. It votes and
    /// counts only when the group's leader takes it in.
    ///
    /// # Errors
    /// It is in another group.
    pub async fn join(&self, cluster: ClusterId) -> Result<(), FoundError> {
        let joined = self.member.join(cluster).await.map_err(|error| FoundError::Stopped(error.to_string()))?;
        joined.map_err(FoundError::AlreadyFounded)
    }

    /// Proposes a command and waits until it is applied. Only the leader does; it stamps log time. The future may be
    /// dropped; the command is not taken back by that.
    ///
    /// # Errors
    /// [`ProposeError`] says whether it may have been applied.
    pub async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        self.member.propose(command).await
    }

    /// Answers from a state that holds everything answered before this call. Only the leader does.
    ///
    /// # Errors
    /// This member does not lead, or no majority confirms that it does.
    pub async fn read(&self, query: Query) -> Result<Reply, ProposeError> {
        self.member.read(&query).await
    }

    /// As [`Group::read`], and of which revision the answer is.
    pub(crate) async fn read_aged(&self, query: &Query) -> Result<(Reply, Age), ProposeError> {
        self.member.read_aged(query).await
    }

    /// Answers from what this member has, at once.
    #[must_use]
    pub fn read_stale(&self, query: &Query) -> (Reply, Age) {
        self.member.read_stale(query)
    }

    /// The final reply of a call that waits. It is registered when this is called, not when the future is polled: call it
    /// before the command is proposed. `None`: it cannot be known here any more, send the same request again.
    pub fn answered(&self, ticket: Ticket) -> impl Future<Output = Option<Reply>> + Send + 'static {
        self.member.answered(ticket)
    }

    /// Watches changes after a revision, from this member's state; it begins when this is called.
    #[must_use]
    pub fn watch(&self, query: folkmoot_coordination::watch::Query) -> Watch {
        let watch = self.watches.start(Arc::clone(&self.member.state), query);
        watch.unwrap_or_else(|none| {
            Refused::count(&self.member.refused.watches);
            none
        })
    }

    /// How long proposals took here since the last call, from hand-in to reply; `None` without one.
    #[must_use]
    pub fn take_commit_times(&self) -> Option<CommitTimes> {
        self.member.commits.take()
    }

    /// What this member knows.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.member)
    }

    /// The status whenever it has changed in more than numbers, and its numbers four times a second.
    #[must_use]
    pub fn status_changes(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Completes with the reason when this member has stopped by itself: its disk failed, or what it read was damaged. It
    /// serves nothing any more then: end the process.
    pub fn failed(&self) -> impl Future<Output = String> + Send + 'static {
        Arc::clone(&self.member).failed()
    }

    /// Takes a member in without a vote, or gives it another name or address. The leader does.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing is begun that would leave the group without a majority. As for the next four.
    pub async fn add_learner(&self, peer: Peer) -> Result<(), ChangeError> {
        self.member.add_learner(peer).await
    }

    /// Removes a member. If it leads, it hands over, and the next leader is to remove it.
    ///
    /// # Errors
    /// As above.
    pub async fn remove(&self, id: NodeId) -> Result<(), ChangeError> {
        self.member.remove(id).await
    }

    /// Gives exactly these members a vote.
    ///
    /// # Errors
    /// As above.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ChangeError> {
        self.member.set_voters(voters).await
    }

    /// Hands leadership over, to this voter or to the one that is nearest.
    ///
    /// # Errors
    /// As above.
    pub async fn transfer_leader(&self, to: Option<NodeId>) -> Result<(), ChangeError> {
        self.member.transfer_leader(to).await
    }

    /// The whole state, with everything answered before this call, as a file. Only the leader makes one.
    ///
    /// # Errors
    /// As for [`Group::read`].
    pub async fn backup(&self) -> Result<Bytes, BackupError> {
        self.member.backup().await
    }

    /// Puts the state of a backup in the place of the group's, on every member. Only the leader begins it. Revisions go on
    /// above every one that was ever seen; clients and sessions are those of the backup.
    ///
    /// # Errors
    /// It is of another group and `group` does not allow that; or it was interrupted, and the state is as it was.
    pub async fn restore(&self, backup: &Backup, group: OtherGroup) -> Result<(), BackupError> {
        self.member.restore(backup, group).await
    }

    /// Stops: hands leadership over if it can, keeps its vote, closes the file.
    pub async fn shutdown(self) {
        self.member.shutdown().await;
    }

    pub(crate) fn member(&self) -> &Arc<Member<Tokio>> {
        &self.member
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.member.identity
    }
}

/// Keeps the status up to date until the member stops.
async fn publish(member: Arc<Member<Tokio>>, changes: watch::Sender<Status>) {
    let mut held = member.seat.held();
    let mut server = held.raft.server_metrics();
    loop {
        let status = Status::of(&member);
        let stopped = status.stopped.is_some();
        changes.send_if_modified(|current| {
            let different = *current != status;
            *current = status;
            different
        });
        if stopped {
            return;
        }
        if let Ok(Err(_)) = tokio::time::timeout(STATUS_EVERY, server.changed()).await {
            let Some(next) = member.seat.after(&held).await else {
                changes.send_replace(Status::of(&member));
                return;
            };
            server = next.raft.server_metrics();
            held = next;
        }
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("me", &self.member.identity.me).finish_non_exhaustive()
    }
}
