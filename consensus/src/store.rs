//! The state machine as the Raft library wants it: applies entries, makes snapshots beside the work, takes snapshots in.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use folkmoot_coordination::{Change, LogIndex, Reply};
use futures_util::{Stream, StreamExt};
use openraft::alias::{WatchReceiverOf, WatchSenderOf};
use openraft::metrics::RaftMetrics;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use openraft::{AsyncRuntime, Instant, OptionalSend, RaftSnapshotBuilder, WatchSender};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::Clock;
use crate::file::DataFile;
use crate::hub::Hub;
use crate::image::Image;
use crate::image_file;
use crate::in_force::Stored;
use crate::limits::{APPEND_BYTES, APPLY_BATCH};
use crate::log::Reader;
use crate::peer::NodeId;
use crate::replica::Replica;
use crate::status::since_majority;
use crate::types::{ImageMeta, LogEntry, LogId, Members, Snapshot, Types};
use crate::writer::{Change as Write, Threads, Writer};

/// What this member has applied, shared by all who read it.
pub(crate) struct State<A: AsyncRuntime> {
    me: NodeId,
    applied: RwLock<Applied<A>>,
    pub(crate) hub: Arc<Hub>,
    progress: Mutex<WatchSenderOf<Types<A>, LogIndex>>,
    /// Nothing is applied any more.
    closed: AtomicBool,
    /// When a leader was last heard of, looked up now and then.
    heard: Mutex<Option<A::Instant>>,
}

/// The state after the last applied entry, and the clock that goes on from it.
pub(crate) struct Applied<A: AsyncRuntime> {
    pub(crate) replica: Replica,
    pub(crate) clock: Clock<A>,
}

impl<A: AsyncRuntime> State<A> {
    pub(crate) fn new(me: NodeId) -> Arc<Self> {
        let applied = Applied { replica: Replica::default(), clock: Clock::new() };
        let (progress, _) = Types::<A>::watch_channel(LogIndex(0));
        Arc::new(Self {
            me,
            applied: RwLock::new(applied),
            hub: Arc::default(),
            progress: Mutex::new(progress),
            closed: AtomicBool::new(false),
            heard: Mutex::new(None),
        })
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Applied<A>> {
        self.applied.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last index applied, to be looked at when it moves.
    pub(crate) fn progress(&self) -> WatchReceiverOf<Types<A>, LogIndex> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).subscribe()
    }

    /// Ends watches and waiting calls: they go on elsewhere.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.hub.forget();
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).send_if_modified(|_| true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn heard(&self, at: Option<A::Instant>) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Since this member last heard of a leader, or as a leader of a majority.
    pub(crate) fn since_leader(&self, metrics: &RaftMetrics<Types<A>>) -> Option<Duration> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        since_majority(metrics).or_else(|| heard.map(|at| at.elapsed()))
    }

    fn moved(&self, index: LogIndex) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).send_if_greater(index);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Applied<A>> {
        self.applied.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies entries in one go; what they changed for waiting callers is appended to `changes`.
    fn apply(&self, entries: &[LogEntry], changes: &mut Vec<Change>) -> io::Result<Vec<Reply>> {
        let mut guard = self.write();
        let applied = &mut *guard;
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            let reply = applied.replica.apply(entry, changes)?;
            let time = applied.replica.machine.time();
            if entry.log_id.leader_id.node_id == self.me {
                applied.clock.lead(time);
            } else {
                applied.clock.follow(time);
            }
            replies.push(reply);
        }
        if std::mem::take(&mut applied.replica.replaced) {
            self.hub.forget();
        }
        Ok(replies)
    }

    fn replace(&self, replica: Replica) {
        let index = LogIndex(replica.last.map_or(0, |last| last.index));
        let mut applied = self.write();
        applied.clock.follow(replica.machine.time());
        applied.replica = replica;
        drop(applied);
        self.hub.forget();
        self.moved(index);
    }

    fn tell(&self, changes: Vec<Change>, index: u64) {
        for change in changes {
            match change {
                Change::Answered { ticket, reply } => self.hub.answer(ticket, &reply),
                Change::Event(_) => {}
            }
        }
        self.moved(LogIndex(index));
    }
}

/// The state machine of a member.
pub(crate) struct Store<A: AsyncRuntime> {
    state: Arc<State<A>>,
    builder: Builder<A>,
    /// Held as long as anything may be applied through it.
    _turn: OwnedSemaphorePermit,
}

impl<A: AsyncRuntime> Store<A> {
    pub(crate) fn new(state: Arc<State<A>>, builder: Builder<A>, turn: OwnedSemaphorePermit) -> Self {
        Self { state, builder, _turn: turn }
    }
}

impl<A: AsyncRuntime> RaftStateMachine<Types<A>> for Store<A> {
    type SnapshotData = Image;
    type SnapshotBuilder = Builder<A>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Members)> {
        let replica = &self.state.read().replica;
        Ok((replica.last, replica.members.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<A>>>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(APPLY_BATCH);
        while let Some(batch) = batches.next().await {
            let mut entries = Vec::with_capacity(batch.len());
            let mut responders = Vec::with_capacity(batch.len());
            for item in batch {
                let (entry, responder) = item?;
                entries.push(entry);
                responders.push(responder);
            }
            let mut changes = Vec::new();
            let replies = self.state.apply(&entries, &mut changes)?;
            // The answers of waiting calls go first: who reads a reply finds them there.
            self.state.tell(changes, entries.last().map_or(0, |entry| entry.log_id.index));
            for (responder, reply) in responders.into_iter().zip(replies) {
                if let Some(responder) = responder {
                    responder.send(reply);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<A> {
        self.builder.at(&self.state)
    }

    async fn install_snapshot(&mut self, meta: &ImageMeta, mut snapshot: Image) -> io::Result<()> {
        let stored = snapshot.is_stored();
        let bytes = snapshot.bytes()?;
        let replica = match snapshot.take_replica() {
            Some(replica) => replica,
            None => read_image(self.builder.threads, bytes.clone(), meta.clone()).await?,
        };
        if !stored {
            self.builder.store(meta.clone(), bytes).await?;
        }
        self.state.replace(replica);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.builder.current()
    }
}

/// Makes a snapshot from the one before and the log since, on a machine of its own: the one that serves is not held up.
pub(crate) struct Builder<A: AsyncRuntime> {
    file: Arc<DataFile>,
    log: Reader,
    writer: Writer<A>,
    threads: Threads,
    /// Held while a snapshot is written: there is one unfinished file.
    storing: Arc<tokio::sync::Mutex<()>>,
    /// The last entry that is to be in it.
    target: Option<LogId>,
    members: Members,
}

impl<A: AsyncRuntime> Clone for Builder<A> {
    fn clone(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            log: self.log.clone(),
            writer: self.writer.clone(),
            threads: self.threads,
            storing: Arc::clone(&self.storing),
            target: self.target,
            members: self.members.clone(),
        }
    }
}

impl<A: AsyncRuntime> Builder<A> {
    pub(crate) fn new(file: Arc<DataFile>, log: Reader, writer: Writer<A>, threads: Threads) -> Self {
        let storing = Arc::new(tokio::sync::Mutex::new(()));
        Self { file, log, writer, threads, storing, target: None, members: Members::default() }
    }

    /// One for the state as it is.
    fn at(&self, state: &State<A>) -> Self {
        let replica = &state.read().replica;
        Self { target: replica.last, members: replica.members.clone(), ..self.clone() }
    }

    /// A copy of the state as it is, made beside it.
    pub(crate) async fn replica(&self, state: &State<A>) -> io::Result<Replica> {
        let builder = self.at(state);
        let base = builder.current()?;
        on_thread(builder.threads, move || replay(base, &builder.log, builder.target)).await?
    }

    fn current(&self) -> io::Result<Option<Snapshot>> {
        let found = self.file.snapshot()?;
        Ok(found.map(|file| Snapshot { meta: file.stored.meta.clone(), snapshot: Image::stored(file) }))
    }

    /// The current snapshot, if it holds all that is asked for.
    fn newer(&self, current: Option<&Snapshot>) -> Option<Snapshot> {
        current.filter(|current| current.meta.last_log_id >= self.target)?;
        self.current().ok().flatten()
    }

    /// Writes a snapshot beside the current one, and then has the log say that it counts, unless that is as new.
    async fn store(&self, meta: ImageMeta, bytes: Bytes) -> io::Result<()> {
        let _alone = self.storing.lock().await;
        let before = self.file.snapshot()?.map(|file| file.stored);
        if before.as_ref().is_some_and(|before| before.meta.last_log_id >= meta.last_log_id) {
            return Ok(());
        }
        let id = before.map_or(1, |before| before.id.saturating_add(1));
        let (disk, length) = (Arc::clone(&self.file.disk), bytes.len() as u64);
        let written = on_thread(self.threads, move || image_file::write(&*disk, id, &bytes)).await?;
        let chunks = written.inspect_err(|error| self.writer.fail(error))?;
        self.writer.write(Write::Snapshot(Stored { id, meta, chunks, bytes: length })).await
    }
}

impl<A: AsyncRuntime> RaftSnapshotBuilder<Types<A>> for Builder<A> {
    type SnapshotData = Image;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let base = self.current()?;
        if let Some(newer) = self.newer(base.as_ref()) {
            return Ok(newer);
        }
        let meta = ImageMeta { last_log_id: self.target, last_membership: self.members.clone() };
        let (log, target) = (self.log.clone(), self.target);
        let built = on_thread(self.threads, move || replay(base, &log, target)?.image()).await?;
        match built {
            Ok(image) => self.store(meta, image.into()).await?,
            // Another member's snapshot came meanwhile, and the entries before it went.
            Err(error) => {
                let current = self.current()?;
                return self.newer(current.as_ref()).ok_or(error);
            }
        }
        self.current()?.ok_or_else(|| io::Error::other("nothing was applied, so there is no snapshot"))
    }
}

/// The state at `target`: that of the snapshot before, and the entries since.
fn replay(base: Option<Snapshot>, log: &Reader, target: Option<LogId>) -> io::Result<Replica> {
    let mut replica = match base {
        Some(Snapshot { meta, snapshot }) => Replica::from_image(&snapshot.bytes()?, &meta)?,
        None => Replica::default(),
    };
    let behind = |log_id: Option<LogId>| log_id.map_or(0, |log_id| log_id.index.saturating_add(1));
    let (mut next, end) = (behind(replica.last), behind(target));
    let mut changes = Vec::new();
    while next < end {
        let entries = log.some(next, end, APPEND_BYTES)?;
        let Some(last) = entries.last() else {
            return Err(io::Error::other(format!("entry {next} was purged while the snapshot was made")));
        };
        next = last.log_id.index.saturating_add(1);
        for entry in &entries {
            changes.clear();
            replica.apply(entry, &mut changes)?;
        }
    }
    Ok(replica)
}

/// Reads a snapshot beside the runtime: it may be a gigabyte.
///
/// # Errors
/// It is not one that this program writes.
pub(crate) async fn read_image(threads: Threads, bytes: Bytes, meta: ImageMeta) -> io::Result<Replica> {
    on_thread(threads, move || Replica::from_image(&bytes, &meta)).await?
}

/// Runs long work beside the runtime.
async fn on_thread<T: Send + 'static>(threads: Threads, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    match threads {
        Threads::Real => {
            let (done, wait) = tokio::sync::oneshot::channel();
            std::thread::Builder::new().name("raft-snapshot".to_owned()).spawn(move || drop(done.send(work())))?;
            wait.await.map_err(io::Error::other)
        }
        #[cfg(test)]
        Threads::Simulated => Ok(work()),
    }
}
