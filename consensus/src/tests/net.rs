//! A network in one process: calls go straight to the other member's Raft, unless the link between the two is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AsyncRuntime, OptionalSend, RaftNetworkFactory};

use crate::image::Image;
use crate::member::Member;
use crate::peer::{NodeId, Peer};
use crate::types::{Snapshot, Types, Vote};

/// Who can be reached.
pub(crate) struct Net<A: AsyncRuntime> {
    members: Mutex<BTreeMap<NodeId, Arc<Member<A>>>>,
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
    /// Of each message, one way.
    delay: Mutex<Duration>,
    /// Of answers to appends, beside that: disks that take their time.
    late: Mutex<Duration>,
}

impl<A: AsyncRuntime> Net<A> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            members: Mutex::default(),
            cut: Mutex::default(),
            delay: Mutex::default(),
            late: Mutex::default(),
        })
    }

    pub(crate) fn plug(&self, id: NodeId, member: &Arc<Member<A>>) {
        self.members.lock().unwrap().insert(id, Arc::clone(member));
    }

    pub(crate) fn unplug(&self, id: NodeId) {
        self.members.lock().unwrap().remove(&id);
    }

    /// Cuts all links between the two sides, both ways.
    pub(crate) fn part(&self, one: &[NodeId], other: &[NodeId]) {
        let mut cut = self.cut.lock().unwrap();
        for a in one {
            cut.extend(other.iter().flat_map(|b| [(*a, *b), (*b, *a)]));
        }
    }

    pub(crate) fn heal(&self) {
        self.cut.lock().unwrap().clear();
    }

    pub(crate) fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// Lets answers to appends take so long.
    pub(crate) fn stall(&self, late: Duration) {
        *self.late.lock().unwrap() = late;
    }

    /// The way out of a member.
    pub(crate) fn from(self: &Arc<Self>, from: NodeId) -> Way<A> {
        Way { net: Arc::clone(self), from }
    }

    /// Of each message, one way.
    pub(crate) fn delay_of_messages(&self) -> Duration {
        *self.delay.lock().unwrap()
    }

    /// A member that runs.
    pub(crate) fn member(&self, id: NodeId) -> Option<Arc<Member<A>>> {
        self.members.lock().unwrap().get(&id).cloned()
    }

    pub(crate) fn reach(&self, from: NodeId, to: NodeId) -> Result<Arc<Member<A>>, Unreachable<Types<A>>> {
        if self.cut.lock().unwrap().contains(&(from, to)) {
            return Err(Unreachable::from_string("cut"));
        }
        self.member(to).ok_or_else(|| Unreachable::from_string("gone"))
    }
}

pub(crate) struct Way<A: AsyncRuntime> {
    net: Arc<Net<A>>,
    from: NodeId,
}

impl<A: AsyncRuntime> Clone for Way<A> {
    fn clone(&self) -> Self {
        Self { net: Arc::clone(&self.net), from: self.from }
    }
}

impl<A: AsyncRuntime> RaftNetworkFactory<Types<A>> for Way<A> {
    type Network = Link<A>;

    async fn new_client(&mut self, target: NodeId, _node: &Peer) -> Link<A> {
        Link { net: Arc::clone(&self.net), from: self.from, to: target }
    }
}

pub(crate) struct Link<A: AsyncRuntime> {
    net: Arc<Net<A>>,
    from: NodeId,
    to: NodeId,
}

impl<A: AsyncRuntime> Link<A> {
    /// A call and its answer, each of which takes its time and may meet a cut.
    async fn call<T: Send, F: Future<Output = Option<T>> + Send>(
        &self,
        option: &RPCOption,
        call: impl FnOnce(Arc<Member<A>>) -> F + Send,
    ) -> Result<T, Unreachable<Types<A>>> {
        let delay = self.net.delay_of_messages();
        let work = async {
            A::sleep(delay).await;
            let member = self.net.reach(self.from, self.to)?;
            let answer = call(member).await;
            A::sleep(delay).await;
            self.net.reach(self.to, self.from)?;
            answer.ok_or_else(|| Unreachable::from_string("stopped"))
        };
        match A::timeout(option.hard_ttl(), work).await {
            Ok(answer) => answer,
            Err(_) => Err(Unreachable::from_string("slow")),
        }
    }
}

impl<A: AsyncRuntime> RaftNetworkV2<Types<A>> for Link<A> {
    type SnapshotData = Image;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types<A>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<A>>, RPCError<Types<A>>> {
        let late = *self.net.late.lock().unwrap();
        let append = |member: Arc<Member<A>>| async move {
            let answer = member.raft().append_entries(rpc).await.ok();
            A::sleep(late).await;
            answer
        };
        Ok(self.call(&option, append).await?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types<A>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<A>>, RPCError<Types<A>>> {
        Ok(self.call(&option, |member| async move { member.raft().vote(rpc).await.ok() }).await?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types<A>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<A>>, RPCError<Types<A>>> {
        Ok(self.call(&option, |member| async move { member.pre_vote(rpc).await.ok() }).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types<A>>, StreamingError<Types<A>>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < snapshot.snapshot.len() {
            bytes.extend_from_slice(&snapshot.snapshot.read(bytes.len() as u64, 100_000).unwrap());
        }
        let copy = Snapshot { meta: snapshot.meta, snapshot: Image::new(bytes.into()) };
        Ok(self
            .call(&option, |member| async move { member.raft().install_full_snapshot(vote, copy).await.ok() })
            .await?)
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types<A>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<A>>, RPCError<Types<A>>> {
        Ok(self.call(&option, |member| async move { member.raft().handle_transfer_leader(req).await.ok() }).await?)
    }
}
