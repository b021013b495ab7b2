//! One running member on any runtime: opens its data, runs the Raft library, proposes and reads. [`crate::Group`] is this
//! on tokio.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use folkmoot_coordination::{Command, Entry, LogIndex, Query, Reply, Ticket, WallMs};
use futures_util::FutureExt;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::metrics::RaftMetrics;
use openraft::network::NetSnapshot;
use openraft::raft::{VoteRequest, VoteResponse};
use openraft::{AsyncRuntime, Instant, RaftNetworkFactory, ReadPolicy, ServerState};
use tokio::sync::{Semaphore, oneshot};

use crate::commits::Commits;
use crate::config::config;
use crate::contacts::Contacts;
use crate::disk::Disk;
use crate::error::{OpenError, ProposeError};
use crate::file::DataFile;
use crate::hub::Hub;
use crate::image::Image;
use crate::in_force::{FORMAT, Owner};
use crate::limits::{PROPOSAL_BYTES_MAX, PROPOSALS_MAX, STALL_MAX};
use crate::log::{Log, Reader};
use crate::me::Identity;
use crate::peer::{ClusterId, Peer};
use crate::refused::Refused;
use crate::seat::Seat;
use crate::settings::{Settings, Timing};
use crate::status::Age;
use crate::store::{Builder, State, Store};
use crate::types::{Answer, Proposal, Raft, Types};
use crate::writer::{Change, Threads, Writer};
use crate::{hush, keeper, status};

/// The least time between two looks whether the member has failed. Ours: a caller learns of it from its call at once.
const FAILURE_LOOK: Duration = Duration::from_millis(50);

/// A running member.
pub(crate) struct Member<A: AsyncRuntime> {
    pub(crate) seat: Arc<Seat<A>>,
    pub(crate) state: Arc<State<A>>,
    pub(crate) writer: Writer<A>,
    pub(crate) builder: Builder<A>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) settings: Settings,
    pub(crate) threads: Threads,
    /// What is known of the others, where the network knows.
    pub(crate) contacts: OnceLock<Arc<Contacts<A>>>,
    /// Bytes of proposals that may still be made.
    room: Semaphore,
    waiting: AtomicUsize,
    /// Its timing was measured in an earlier life.
    pub(crate) measured: bool,
    pub(crate) commits: Commits,
    pub(crate) refused: Refused,
}

impl<A: AsyncRuntime> Member<A> {
    /// Opens the data and starts. `network` makes the way to the others.
    pub(crate) async fn open<N>(
        settings: Settings,
        cluster: Option<ClusterId>,
        disk: &(impl Disk + Clone),
        threads: Threads,
        network: impl FnOnce(Arc<Identity>) -> N,
    ) -> Result<Arc<Self>, OpenError>
    where
        N: RaftNetworkFactory<Types<A>> + Clone,
        N::Network: NetSnapshot<Types<A>, SnapshotData = Image>,
    {
        config(&settings)?;
        let me = settings.me.id;
        let (file, found, journal) = DataFile::open(disk, me, cluster)?;
        let start = |error: &dyn std::fmt::Display| OpenError::Disk { file: disk.path(""), reason: error.to_string() };
        let reader = Reader::new(Arc::clone(&file), &found);
        let writer = Writer::start(Arc::clone(reader.tail()), journal, threads);
        let writer = writer.map_err(|error| start(&error))?;
        if cluster.is_some() && found.owner.cluster.is_none() {
            let owner = Owner { cluster, ..found.owner };
            writer.write(Change::Owner(owner)).await.map_err(|error| start(&error))?;
        }
        let timing = found.timing.map_or(settings.timing, Timing::at);
        let identity = Arc::new(Identity::new(settings.me.clone(), found.owner.cluster.or(cluster)));
        let state = State::new(me);
        let builder = Builder::new(Arc::clone(&file), reader.clone(), writer.clone(), threads);
        let parts = Parts {
            settings: settings.clone(),
            file,
            reader,
            writer: writer.clone(),
            state: Arc::clone(&state),
            builder: builder.clone(),
            turns: Arc::new(Semaphore::new(1)),
        };
        let network = network(Arc::clone(&identity));
        let start = move |timing| parts.clone().start(timing, network.clone()).boxed();
        let seat = match Seat::new(timing, Box::new(start)).await {
            Ok(seat) => Arc::new(seat),
            Err(error) => {
                writer.close().await;
                return Err(error);
            }
        };
        let room = Semaphore::new(PROPOSAL_BYTES_MAX);
        let waiting = AtomicUsize::new(0);
        let member = Arc::new(Self {
            seat,
            state,
            writer,
            builder,
            identity,
            settings,
            threads,
            contacts: OnceLock::new(),
            room,
            waiting,
            measured: found.timing.is_some(),
            commits: Commits::default(),
            refused: Refused::default(),
        });
        drop(A::spawn(keeper::keep(Arc::clone(&member))));
        drop(A::spawn(hush::keep(Arc::clone(&member))));
        Ok(member)
    }

    /// Makes this member one of the group, for ever.
    pub(crate) async fn join(&self, cluster: ClusterId) -> io::Result<Result<(), ClusterId>> {
        match self.identity.cluster() {
            Some(found) if found == cluster => Ok(Ok(())),
            Some(found) => Ok(Err(found)),
            None => {
                let owner = Owner { format: FORMAT, node: self.identity.me.id, cluster: Some(cluster) };
                self.writer.write(Change::Owner(owner)).await?;
                Ok(self.identity.cluster.set(cluster).map_err(|_| self.identity.cluster().unwrap_or(cluster)))
            }
        }
    }

    /// Proposes a command, stamped with log time, and waits for its reply.
    pub(crate) async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        let mut entry = Entry { time: self.state.read().clock.now(), wall: self.wall(), command };
        self.propose_bytes(|| {
            let mut bytes = Vec::new();
            entry.time = self.state.read().clock.now();
            entry.encode(&mut bytes);
            // Without the room to grow: it is kept as long as its entry is.
            Proposal(bytes.into_boxed_slice().into())
        })
        .await
    }

    /// Proposes what `make` makes, which is asked anew for each attempt.
    pub(crate) async fn propose_bytes(&self, mut make: impl FnMut() -> Proposal) -> Result<Reply, ProposeError> {
        let _place = Place::take(&self.waiting).inspect_err(|_| Refused::count(&self.refused.proposals))?;
        let patience = self.timing().election_max.saturating_mul(2);
        let started = A::Instant::now();
        loop {
            let proposal = make();
            let room = u32::try_from(proposal.0.len().min(PROPOSAL_BYTES_MAX)).unwrap_or(u32::MAX);
            let _room = self.room.acquire_many(room).await.map_err(|_| self.stopped())?;
            let forward = match self.write(proposal).await? {
                Ok(reply) => return Ok(reply),
                Err(forward) => forward,
            };
            if !self.is_leader(&forward) {
                return Err(ProposeError::NotLeader { leader: self.leader_of(forward) });
            }
            // Elected a moment ago, or cut off: a moment will tell.
            if started.elapsed() >= patience {
                return Err(ProposeError::NoQuorum { missing: self.missing() });
            }
            A::sleep(self.timing().heartbeat).await;
        }
    }

    /// `Err` in `Ok`: it was not accepted.
    async fn write(&self, proposal: Proposal) -> Result<Result<Reply, ForwardToLeader<Types<A>>>, ProposeError> {
        let began = A::Instant::now();
        let (answer, mut wait) = oneshot::channel();
        let sent = self.raft().client_write_ff(proposal, Some(Answer(answer))).await;
        sent.map_err(|error| self.fatal(&error))?;
        let patience = self.timing().election_max.saturating_mul(2);
        #[cfg_attr(not(test), expect(unused_mut, reason = "a test turns a sharp edge on"))]
        let mut unknown = ProposeError::Unknown;
        #[cfg(test)]
        if crate::tests::edges::is_on(crate::tests::edges::Edge::UnknownIsFailed) {
            unknown = ProposeError::NotLeader { leader: None };
        }
        let outcome = loop {
            match A::timeout(patience, &mut wait).await {
                Ok(outcome) => break outcome,
                Err(_) if self.leads_with_quorum(patience) => {}
                Err(_) => return Err(unknown),
            }
        };
        match outcome {
            Ok(Ok(response)) => {
                self.commits.took(began.elapsed());
                Ok(Ok(response.data))
            }
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => Ok(Err(forward)),
            Ok(Err(
                ClientWriteError::LogEntryDiscarded(_)
                | ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_),
            ))
            | Err(_) => Err(unknown),
        }
    }

    /// Reads what every proposal answered before this call has left, and perhaps later ones.
    pub(crate) async fn read(&self, query: &Query) -> Result<Reply, ProposeError> {
        self.confirm().await?;
        Ok(self.state.read().replica.machine.read(query))
    }

    /// As above, and says at which revision.
    pub(crate) async fn read_aged(&self, query: &Query) -> Result<(Reply, Age), ProposeError> {
        self.confirm().await?;
        let (reply, age) = self.read_stale(query);
        Ok((reply, Age { since_leader: Some(Duration::ZERO), ..age }))
    }

    /// Completes when a majority has confirmed, after this call, that this member leads, and when everything that was
    /// answered before is applied here.
    pub(crate) async fn confirm(&self) -> Result<(), ProposeError> {
        let patience = self.timing().election_max.saturating_mul(2);
        let started = A::Instant::now();
        loop {
            let raft = self.raft();
            match raft.get_read_linearizer(read_policy()).await {
                Ok(linearizer) => {
                    let ready = linearizer.try_await_ready(&raft, Some(patience)).await;
                    return match ready.map_err(|error| self.fatal(&error))? {
                        Ok(_) => Ok(()),
                        Err(_) => Err(ProposeError::Busy),
                    };
                }
                Err(RaftError::Fatal(error)) => return Err(self.fatal(&error)),
                Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                    if !self.is_leader(&forward) {
                        return Err(ProposeError::NotLeader { leader: self.leader_of(forward) });
                    }
                }
                Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {}
            }
            if started.elapsed() >= patience {
                return Err(ProposeError::NoQuorum { missing: self.missing() });
            }
            A::sleep(self.timing().heartbeat).await;
        }
    }

    /// Reads what this member has, and says how old that may be.
    pub(crate) fn read_stale(&self, query: &Query) -> (Reply, Age) {
        let metrics = self.metrics();
        let applied = self.state.read();
        let machine = &applied.replica.machine;
        let age = Age {
            applied: LogIndex(applied.replica.last.map_or(0, |last| last.index)),
            revision: machine.revision(),
            since_leader: self.state.since_leader(&metrics),
        };
        (machine.read(query), age)
    }

    pub(crate) fn answered(&self, ticket: Ticket) -> impl Future<Output = Option<Reply>> + Send + use<A> + 'static {
        if self.state.hub.is_full() {
            Refused::count(&self.refused.waits);
        }
        Hub::answered(&self.state.hub, ticket)
    }

    /// Lets silence be borne as long as `timing` says. Leadership goes to another member before, if there is one: who waits
    /// for an answer asks there, and notices nothing.
    ///
    /// # Errors
    /// The data cannot be used any more: the member has ended.
    pub(crate) async fn retime(&self, timing: Timing) -> Result<(), OpenError> {
        if let Err(error) = self.transfer_leader(None).await {
            tracing::debug!(%error, "another timing without handing leadership over");
        }
        self.seat.exchange(timing).await
    }

    /// Stops: hands leadership over, if there is somebody to hand it to, then ends the library and closes the file.
    pub(crate) async fn shutdown(&self) {
        if let Err(error) = self.transfer_leader(None).await {
            tracing::debug!(%error, "stopping without handing leadership over");
        }
        self.seat.end().await;
        if let Err(error) = self.raft().shutdown().await {
            tracing::warn!(%error, "the Raft task ended badly");
        }
        self.state.close();
        self.writer.close().await;
    }

    pub(crate) fn raft(&self) -> Raft<A> {
        self.seat.raft()
    }

    pub(crate) fn timing(&self) -> Timing {
        self.seat.timing()
    }

    pub(crate) fn metrics(&self) -> RaftMetrics<Types<A>> {
        self.raft().metrics().borrow_watched().clone()
    }

    /// Completes with the reason when this member has stopped by itself: its disk failed, or what it read was damaged.
    pub(crate) async fn failed(self: Arc<Self>) -> String {
        let mut held = self.seat.held();
        let mut metrics = held.raft.metrics();
        loop {
            let state = metrics.borrow_and_update().running_state.clone();
            if let Err(error @ (Fatal::StorageError(_) | Fatal::Panicked)) = state {
                return self.reason(&error);
            }
            if metrics.changed().await.is_err() {
                let Some(next) = self.seat.after(&held).await else {
                    let Some(reason) = self.seat.failure() else { return std::future::pending().await };
                    return reason;
                };
                held = next;
                metrics = held.raft.metrics();
            }
            // They change with every entry.
            A::sleep(FAILURE_LOOK).await;
        }
    }

    /// Voters that have not answered this leader for the longest election timeout; on others it is a guess.
    pub(crate) fn missing(&self) -> Vec<Peer> {
        status::missing(self, &self.metrics())
    }

    pub(crate) fn leads_with_quorum(&self, within: Duration) -> bool {
        let metrics = self.metrics();
        metrics.state == ServerState::Leader && status::since_majority(&metrics).is_some_and(|since| since <= within)
    }

    /// Says whether this member would vote for another. Who leads would not, also when it was not answered for a moment: the
    /// library would as soon as its lease has run out.
    pub(crate) async fn pre_vote(
        &self,
        request: VoteRequest<Types<A>>,
    ) -> Result<VoteResponse<Types<A>>, RaftError<Types<A>>> {
        #[cfg_attr(not(test), expect(unused_mut, reason = "a test turns a sharp edge on"))]
        let mut leads = self.leads_with_quorum(STALL_MAX);
        #[cfg(test)]
        if crate::tests::edges::is_on(crate::tests::edges::Edge::EasyGrants) {
            leads = false;
        }
        let answer = self.raft().pre_vote(request).await?;
        Ok(VoteResponse { vote_granted: answer.vote_granted && !leads, ..answer })
    }

    /// Whether the one to ask is this member.
    fn is_leader(&self, forward: &ForwardToLeader<Types<A>>) -> bool {
        #[cfg(test)]
        if crate::tests::edges::is_on(crate::tests::edges::Edge::RefusedAtOnce) {
            return false;
        }
        forward.leader_id.is_none_or(|leader| leader == self.identity.me.id)
            && self.metrics().state == ServerState::Leader
    }

    pub(crate) fn leader_of(&self, forward: ForwardToLeader<Types<A>>) -> Option<Peer> {
        forward.leader_node.filter(|leader| leader.id != self.identity.me.id)
    }

    fn stopped(&self) -> ProposeError {
        ProposeError::Stopped(self.reason(&Fatal::Stopped))
    }

    /// What is said to who asked while the library did not run: while it is exchanged, this member leads nobody.
    pub(crate) fn fatal(&self, error: &Fatal<Types<A>>) -> ProposeError {
        match error {
            Fatal::Stopped if !self.seat.has_ended() => ProposeError::NotLeader { leader: None },
            Fatal::Stopped | Fatal::StorageError(_) | Fatal::Panicked => ProposeError::Stopped(self.reason(error)),
        }
    }

    pub(crate) fn reason(&self, error: &Fatal<Types<A>>) -> String {
        self.writer.state().failure().unwrap_or_else(|| error.to_string())
    }

    /// For people. The simulated runtime has no wall clock, or runs would differ.
    pub(crate) fn wall(&self) -> WallMs {
        match self.threads {
            Threads::Real => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
            #[cfg(test)]
            Threads::Simulated => WallMs(self.state.read().clock.now().0),
        }
    }
}

/// What the library is started with, each time anew.
struct Parts<A: AsyncRuntime> {
    settings: Settings,
    file: Arc<DataFile>,
    reader: Reader,
    writer: Writer<A>,
    state: Arc<State<A>>,
    builder: Builder<A>,
    /// One store at a time: what ran before may be applying entries still.
    turns: Arc<Semaphore>,
}

// A derive would ask the runtime for it.
impl<A: AsyncRuntime> Clone for Parts<A> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            file: Arc::clone(&self.file),
            reader: self.reader.clone(),
            writer: self.writer.clone(),
            state: Arc::clone(&self.state),
            builder: self.builder.clone(),
            turns: Arc::clone(&self.turns),
        }
    }
}

impl<A: AsyncRuntime> Parts<A> {
    async fn start<N>(self, timing: Timing, network: N) -> Result<Raft<A>, OpenError>
    where
        N: RaftNetworkFactory<Types<A>>,
        N::Network: NetSnapshot<Types<A>, SnapshotData = Image>,
    {
        let Self { settings, file, reader, writer, state, builder, turns } = self;
        let directory = file.disk.path("");
        let refused =
            |error: &dyn std::fmt::Display| OpenError::Disk { file: directory.clone(), reason: error.to_string() };
        let turn = turns.acquire_owned().await.map_err(|error| refused(&error))?;
        // The library takes all that is in the log for durable.
        writer.settle().await.map_err(|error| refused(&error))?;
        let config = Arc::new(config(&Settings { timing, ..settings.clone() })?);
        let (log, store) = (Log::new(reader, writer), Store::new(state, builder, turn));
        let started = Raft::<A>::new(settings.me.id, config, network, log, store).await;
        started.map_err(|error| refused(&error))
    }
}

/// A lease is no proof: a voter that was restarted has forgotten whom it promised to wait for.
fn read_policy() -> ReadPolicy {
    #[cfg(test)]
    if crate::tests::edges::is_on(crate::tests::edges::Edge::LeaseReads) {
        return ReadPolicy::LeaseRead;
    }
    ReadPolicy::ReadIndex
}

/// One of the proposals that may wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, ProposeError> {
        let place = Self(waiting);
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        if before < PROPOSALS_MAX { Ok(place) } else { Err(ProposeError::Busy) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_beyond_their_number_are_told_busy_and_leave_no_trace() {
        let waiting = AtomicUsize::new(PROPOSALS_MAX - 1);
        let last = Place::take(&waiting).unwrap();
        assert_eq!(Place::take(&waiting).err(), Some(ProposeError::Busy));
        drop(last);
        assert_eq!(waiting.load(Ordering::Relaxed), PROPOSALS_MAX - 1);
        assert!(Place::take(&waiting).is_ok());
    }
}
