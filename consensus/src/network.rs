//! Raft's network: what the library sends to other members, over [`Transport`].
//!
//! Each member has two shared streams: one for the log, one for heartbeats, votes and transfers, so that a long batch holds
//! up no sign of life. A snapshot has a stream of its own. Appends are pipelined: the answers come in the order of the
//! requests, and a request is sent while others are on their way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, VoteRequest, VoteResponse,
};
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse};
use openraft::rt::{BoxFuture, BoxStream};
use openraft::{AsyncRuntime, OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2, async_runtime};
use serde::Deserialize;
use tokio::sync::{OnceCell, Semaphore};

use crate::contacts::{Asked, Contacts};
use crate::frames::Kind;
use crate::hello::StreamKind;
use crate::image::Image;
use crate::lane::{Lane, NoLink};
use crate::limits::{
    ANSWER_PATIENCE, APPENDS_IN_FLIGHT, INSTALL_PATIENCE, MEMBER_PATIENCE, OUTBOX_BYTES, PEERS_MAX,
    SNAPSHOT_PIECE_BYTES, SNAPSHOT_PIECES_IN_FLIGHT,
};
use crate::link::{Link, LinkError, Pending};
use crate::me::Identity;
use crate::peer::{NodeId, Peer};
use crate::raft_frames::{
    Answered, Append, Appended, Nonsense, Piece, PieceTaken, check_term, check_vote_answer, read, write,
};
use crate::transport::Transport;
use crate::types::Types;

/// Ways to all members. Every clone is the same, with the same streams.
pub(crate) struct Network<T, A: AsyncRuntime> {
    transport: Arc<T>,
    identity: Arc<Identity>,
    contacts: Arc<Contacts<A>>,
    lanes: Arc<Mutex<Lanes<T, A>>>,
}

/// Of each member the stream for the log and the one for control.
type Lanes<T, A> = BTreeMap<NodeId, [Arc<Lane<T, A>>; 2]>;

/// The way to one member, for one task of the library.
pub(crate) struct Member<T, A: AsyncRuntime> {
    peer: Peer,
    identity: Arc<Identity>,
    contacts: Arc<Contacts<A>>,
    /// The log's stream; of a heartbeat's client it is `control`.
    appends: Arc<Lane<T, A>>,
    control: Arc<Lane<T, A>>,
}

impl<T: Transport, A: AsyncRuntime> Network<T, A> {
    pub(crate) fn new(transport: Arc<T>, identity: Arc<Identity>) -> Self {
        Self { transport, identity, contacts: Arc::default(), lanes: Arc::default() }
    }

    /// What is known of the members; lives on without the network.
    pub(crate) fn contacts(&self) -> Arc<Contacts<A>> {
        self.contacts.clone()
    }

    /// How long a member takes to say that it is there; `None` if it does not within `patience`.
    pub(crate) async fn round_trip(&self, to: &Peer, patience: Duration) -> Option<Duration> {
        let member = self.member(to.id, to);
        let asking = async {
            let link = member.control.link(member.address()).await.ok()?;
            let sent = <A::Instant as async_runtime::Instant>::now();
            link.ping().await.ok()?;
            self.contacts.answered(to.id);
            Some(async_runtime::Instant::elapsed(&sent))
        };
        A::timeout(patience, asking).await.ok()?
    }

    fn member(&self, target: NodeId, node: &Peer) -> Member<T, A> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= PEERS_MAX {
            lanes.retain(|_, [log, _]| Arc::strong_count(log) > 1);
        }
        let new = || lane(&self.transport, &self.identity, target);
        let [log, control] = lanes.entry(target).or_insert_with(|| [new(), new()]).clone();
        Member {
            peer: Peer { id: target, ..node.clone() },
            identity: self.identity.clone(),
            contacts: self.contacts.clone(),
            appends: log,
            control,
        }
    }
}

// A derive would ask the transport for it.
impl<T, A: AsyncRuntime> Clone for Network<T, A> {
    fn clone(&self) -> Self {
        Self {
            transport: self.transport.clone(),
            identity: self.identity.clone(),
            contacts: self.contacts.clone(),
            lanes: self.lanes.clone(),
        }
    }
}

fn lane<T: Transport, A: AsyncRuntime>(transport: &Arc<T>, me: &Arc<Identity>, to: NodeId) -> Arc<Lane<T, A>> {
    Lane::new(transport.clone(), Some(me.clone()), StreamKind::Raft, to, MEMBER_PATIENCE)
}

impl<T: Transport, A: AsyncRuntime> RaftNetworkFactory<Types<A>> for Network<T, A> {
    type Network = Member<T, A>;

    async fn new_client(&mut self, target: NodeId, node: &Peer) -> Self::Network {
        self.member(target, node)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Peer) -> Self::Network {
        let member = self.member(target, node);
        Member { appends: member.control.clone(), ..member }
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Peer) -> Self::Network {
        let member = self.member(target, node);
        Member { appends: lane(&self.transport, &self.identity, target), ..member }
    }
}

impl<T: Transport, A: AsyncRuntime> Member<T, A> {
    /// Where gossip says it is, or else where it was when it became a member.
    fn address(&self) -> SocketAddr {
        self.identity.address(self.peer.id).unwrap_or(self.peer.address)
    }

    /// Asks on the stream for control and waits for the answer.
    async fn ask<R>(
        &self,
        kind: Kind,
        action: RPCTypes,
        body: impl FnOnce(&mut Vec<u8>) + Send,
        check: impl FnOnce(&R) -> Result<(), Nonsense> + Send,
        option: &RPCOption,
    ) -> Result<R, RPCError<Types<A>>>
    where
        R: for<'a> Deserialize<'a> + Send,
    {
        let asking = async {
            let link = self.control.link(self.address()).await.map_err(unreachable::<A>)?;
            let pending = link.ask(kind, body).await.map_err(broken::<A>)?;
            let answer = pending.await.map_err(broken::<A>)?;
            self.contacts.answered(self.peer.id);
            let answer: Answered<R> = read(&answer).map_err(|nonsense| self.disbelieve(&nonsense))?;
            let answer = answer.map_err(|reason| RPCError::Unreachable(Unreachable::from_string(reason)))?;
            check(&answer).map_err(|nonsense| self.disbelieve(&nonsense))?;
            Ok(answer)
        };
        A::timeout(option.soft_ttl(), asking).await.unwrap_or_else(|_| Err(self.late(action, option.soft_ttl())))
    }

    /// What a member said cannot be: it is as good as not reached.
    fn disbelieve(&self, nonsense: &Nonsense) -> Unreachable<Types<A>> {
        self.contacts.disbelieved(self.peer.id, nonsense);
        Unreachable::new(nonsense)
    }

    fn late(&self, action: RPCTypes, timeout: Duration) -> RPCError<Types<A>> {
        Timeout { action, id: self.identity.me.id, target: self.peer.id, timeout }.into()
    }

    /// Sends the pieces of a snapshot, a few at a time, and returns the member's vote when it is installed.
    async fn send_snapshot(
        &self,
        vote: VoteOf<Types<A>>,
        snapshot: SnapshotOf<Types<A>, Image>,
    ) -> Result<SnapshotResponse<Types<A>>, StreamingError<Types<A>>> {
        let link = self.appends.link(self.address()).await.map_err(unreachable::<A>)?;
        let image = snapshot.snapshot;
        let length = image.len();
        let mut answers = std::collections::VecDeque::new();
        let mut offset = 0;
        loop {
            if offset < length && answers.len() < SNAPSHOT_PIECES_IN_FLIGHT {
                let bytes = image.read(offset, SNAPSHOT_PIECE_BYTES).map_err(|error| Unreachable::new(&error))?;
                if bytes.is_empty() {
                    return Err(Unreachable::from_string("the snapshot is shorter than it says").into());
                }
                let piece = Piece::new(vote, snapshot.meta.clone(), length, offset, bytes);
                offset = offset.saturating_add(piece.bytes.len() as u64);
                let sent = link.ask(Kind::Snapshot, |out| write(&piece, out)).await;
                answers.push_back(sent.map_err(broken::<A>)?);
                continue;
            }
            let Some(answer) = answers.pop_front() else {
                return Err(Unreachable::from_string("the member did not say that it has the snapshot").into());
            };
            let patience = if answers.is_empty() { INSTALL_PATIENCE } else { ANSWER_PATIENCE };
            let answer: Result<_, _> = A::timeout(patience, answer).await;
            let answer = answer.map_err(|_| self.late(RPCTypes::InstallSnapshot, patience))?.map_err(broken::<A>)?;
            self.contacts.answered(self.peer.id);
            match read(&answer).map_err(|nonsense| self.disbelieve(&nonsense))? {
                PieceTaken::More => {}
                PieceTaken::Installed(vote) => {
                    check_term(&vote).map_err(|nonsense| self.disbelieve(&nonsense))?;
                    return Ok(SnapshotResponse::new(vote));
                }
                PieceTaken::Lost => return Err(NetworkError::from_string("another snapshot came between").into()),
                PieceTaken::Refused(reason) => return Err(Unreachable::from_string(reason).into()),
            }
        }
    }
}

/// There is no stream: wait before trying again.
fn unreachable<A: AsyncRuntime>(error: NoLink) -> Unreachable<Types<A>> {
    Unreachable::new(&error)
}

/// The stream has ended: a new one may be made at once.
fn broken<A: AsyncRuntime>(error: LinkError) -> RPCError<Types<A>> {
    match error {
        LinkError::Ended(_) => NetworkError::new(&error).into(),
        LinkError::TooLarge | LinkError::Busy => Unreachable::new(&error).into(),
    }
}

/// An append on its way, with the room it takes.
struct Sent {
    asked: Asked,
    answer: Pending,
    _room: tokio::sync::OwnedSemaphorePermit,
}

async fn send_append<A: AsyncRuntime>(
    link: Link,
    room: Arc<Semaphore>,
    append: Append,
    asked: Asked,
) -> Result<Sent, RPCError<Types<A>>> {
    let size = u32::try_from(append.size().min(OUTBOX_BYTES)).unwrap_or(u32::MAX);
    let room = room.acquire_many_owned(size).await.map_err(|error| NetworkError::new(&error))?;
    let answer = link.ask(Kind::Append, |out| write(&append, out)).await.map_err(broken::<A>)?;
    Ok(Sent { asked, answer, _room: room })
}

/// How many appends go out before the first of them is answered.
fn in_flight() -> usize {
    #[cfg(test)]
    if crate::tests::edges::is_on(crate::tests::edges::Edge::OneInFlight) {
        return 1;
    }
    APPENDS_IN_FLIGHT
}

type AppendResult<A> = Result<StreamAppendResult<Types<A>>, RPCError<Types<A>>>;

impl<T: Transport, A: AsyncRuntime> RaftNetworkV2<Types<A>> for Member<T, A> {
    type SnapshotData = Image;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types<A>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<A>>, RPCError<Types<A>>> {
        let requests = Box::pin(stream::once(std::future::ready(request)));
        let mut answers = self.stream_append(requests, option).await?;
        let answer = answers.next().await.unwrap_or_else(|| Err(NetworkError::from_string("no answer").into()))?;
        Ok(answer.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, AppendResult<A>>, RPCError<Types<A>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types<A>>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // Made for the first request, not before: after failures the library pauses before it gives one, and nowhere else.
            let link = Arc::new(OnceCell::new());
            let room = Arc::new(Semaphore::new(OUTBOX_BYTES));
            let patience = ANSWER_PATIENCE.max(option.soft_ttl());
            let member = &*self;
            let sent = requests.then(move |request| {
                let (link, room) = (link.clone(), room.clone());
                let append = Append::new(request);
                let asked = member.contacts.asked(member.peer.id, &append);
                async move {
                    let opening = async || member.appends.link(member.address()).await.map_err(unreachable::<A>);
                    let link: &Link = link.get_or_try_init(opening).await?;
                    send_append::<A>(link.clone(), room, append, asked).await
                }
            });
            let answers = sent.map(move |sent| async move {
                let Sent { asked, answer, _room } = sent?;
                let answer = A::timeout(patience, answer).await;
                let answer =
                    answer.map_err(|_| member.late(RPCTypes::AppendEntries, patience))?.map_err(broken::<A>)?;
                member.contacts.answered(member.peer.id);
                let answer: Appended = read(&answer).map_err(|nonsense| member.disbelieve(&nonsense))?;
                asked.judge(&answer).map_err(|nonsense| member.disbelieve(&nonsense))?;
                member.contacts.appended(member.peer.id, &asked, &answer);
                answer.result().map_err(|reason| Unreachable::from_string(reason).into())
            });
            let ended_by_first_error = |ended: &mut bool, answer: AppendResult<A>| {
                let answer = (!*ended).then_some(answer);
                *ended = !matches!(answer, Some(Ok(Ok(_))));
                std::future::ready(answer)
            };
            let answers: BoxStream<'s, AppendResult<A>> =
                Box::pin(answers.buffered(in_flight()).scan(false, ended_by_first_error));
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types<A>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<A>>, RPCError<Types<A>>> {
        self.ask(Kind::Vote, RPCTypes::Vote, |out| write(&request, out), check_vote_answer, &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types<A>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<A>>, RPCError<Types<A>>> {
        self.ask(Kind::PreVote, RPCTypes::Vote, |out| write(&request, out), check_vote_answer, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types<A>>,
        snapshot: SnapshotOf<Types<A>, Image>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types<A>>, StreamingError<Types<A>>> {
        match A::select2(cancel, self.send_snapshot(vote, snapshot)).await {
            async_runtime::Select2::First(closed) => Err(closed.into()),
            async_runtime::Select2::Second(sent) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types<A>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<A>>, RPCError<Types<A>>> {
        self.ask(Kind::Transfer, RPCTypes::TransferLeader, |out| write(&request, out), |_| Ok(()), &option).await
    }

    /// Short: a member that comes back is to be caught up at once, and a try costs one refused connection.
    fn backoff(&self) -> Option<Backoff> {
        let growing = [10, 20, 40].map(Duration::from_millis);
        Some(Backoff::new(growing.into_iter().chain(std::iter::repeat(Duration::from_millis(50)))))
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
pub(crate) mod tests;
