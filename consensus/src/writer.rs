//! The one writer of the data file. Everything that waits goes into one transaction with one sync; what was asked for is
//! reported done only after that sync, in the order in which it was asked for. The first error ends all writing: pages
//! that a failed sync was to bring to disk may be gone without a trace.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openraft::AsyncRuntime;
use openraft::storage::IOFlushed;
use redb::{ReadableTable, Table, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use crate::file::{
    CHUNKS, COMMITTED, DataFile, IDENTITY, LOG, Owner, PURGED, RECORDS, SEQUENCE, SNAPSHOT, Stored, Synced, TIMING,
    VOTE, chunk_place, place, sealed, storage,
};
use crate::limits::{PURGE_STEP, TRANSACTION_BYTES, WRITES_MAX};
use crate::records::seal;
use crate::tail::Tail;
use crate::types::{LogEntry, LogId, Types, Vote};

/// How long-running work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// On threads of its own.
    Real,
    /// By tasks of the runtime: the simulated one has no threads.
    #[cfg(test)]
    Simulated,
}

/// What is written.
pub(crate) enum Change {
    /// Nothing: what was asked for before is on disk when it is reported.
    Nothing,
    Owner(Owner),
    /// The level of the timing that was measured to be right, for the next start.
    Timing(u32),
    Vote(Vote),
    /// Entries behind this index go.
    TruncateAfter(Option<u64>),
    /// Entries up to this one may go.
    Purge(LogId),
    Chunk {
        snapshot: u64,
        number: u32,
        bytes: bytes::Bytes,
    },
    /// All pieces of it are written: it takes the place of the one before.
    Snapshot(Stored),
}

enum Job<A: AsyncRuntime> {
    Append {
        entries: Vec<LogEntry>,
        flushed: IOFlushed<Types<A>>,
    },
    Write {
        change: Change,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// Later jobs are not done.
    Close {
        done: oneshot::Sender<()>,
    },
}

/// Where writes are handed in.
pub(crate) struct Writer<A: AsyncRuntime> {
    jobs: mpsc::Sender<Job<A>>,
    state: Arc<WriterState>,
}

/// What others may know of the writer.
#[derive(Default)]
pub(crate) struct WriterState {
    pub(crate) syncs: AtomicU64,
    pub(crate) appended: AtomicU64,
    pub(crate) appended_bytes: AtomicU64,
    /// The first error.
    failed: Mutex<Option<String>>,
}

impl WriterState {
    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<A: AsyncRuntime> Clone for Writer<A> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), state: Arc::clone(&self.state) }
    }
}

impl<A: AsyncRuntime> Writer<A> {
    /// Starts the writer. It ends when it is closed, or when nobody can hand in anything any more.
    pub(crate) fn start(
        file: Arc<DataFile>,
        tail: Arc<Mutex<Tail>>,
        synced: Synced,
        threads: Threads,
    ) -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel(WRITES_MAX);
        let state = Arc::new(WriterState::default());
        let sequence = synced.sequence();
        let end = tail.lock().unwrap_or_else(PoisonError::into_inner).end();
        let mut work = Work { file, tail, synced, state: Arc::clone(&state), sequence, purge: None, end };
        match threads {
            Threads::Real => {
                std::thread::Builder::new().name("raft-writer".to_owned()).spawn(move || {
                    while let Some(job) = waiting.blocking_recv() {
                        if work.take(job, &mut waiting).is_break() {
                            return;
                        }
                    }
                })?;
            }
            #[cfg(test)]
            Threads::Simulated => {
                drop(A::spawn(async move {
                    while let Some(job) = waiting.recv().await {
                        // A disk takes its time: what comes meanwhile shares the next sync.
                        A::sleep(std::time::Duration::from_micros(200)).await;
                        if work.take(job, &mut waiting).is_break() {
                            return;
                        }
                    }
                }));
            }
        }
        Ok(Self { jobs, state })
    }

    pub(crate) fn state(&self) -> &Arc<WriterState> {
        &self.state
    }

    /// Appends entries; `flushed` is told when they are on disk.
    pub(crate) async fn append(&self, entries: Vec<LogEntry>, flushed: IOFlushed<Types<A>>) -> io::Result<()> {
        self.jobs.send(Job::Append { entries, flushed }).await.map_err(|_| self.gone())
    }

    /// Writes a change and waits until it is on disk.
    pub(crate) async fn write(&self, change: Change) -> io::Result<()> {
        let (done, wait) = oneshot::channel();
        self.jobs.send(Job::Write { change, done }).await.map_err(|_| self.gone())?;
        wait.await.map_err(|_| self.gone())?
    }

    /// Writes what waits, then closes the file.
    pub(crate) async fn close(&self) {
        let (done, wait) = oneshot::channel();
        if self.jobs.send(Job::Close { done }).await.is_ok() {
            // An error means that it is closed already.
            drop(wait.await);
        }
    }

    fn gone(&self) -> io::Error {
        io::Error::other(self.state.failure().unwrap_or_else(|| "the data file is closed".to_owned()))
    }
}

/// Only a finished sync makes one.
struct OnDisk(());

struct Work {
    file: Arc<DataFile>,
    tail: Arc<Mutex<Tail>>,
    synced: Synced,
    state: Arc<WriterState>,
    /// Number of the last transaction.
    sequence: u64,
    /// Entries that are purged, but still in the table: from, and up to before.
    purge: Option<(u64, u64)>,
    /// The index behind the last entry of the last transaction.
    end: u64,
}

impl Work {
    /// Does `first` and what waits behind it.
    fn take<A: AsyncRuntime>(
        &mut self,
        first: Job<A>,
        waiting: &mut mpsc::Receiver<Job<A>>,
    ) -> std::ops::ControlFlow<()> {
        let mut jobs = Vec::new();
        let mut close = None;
        let mut bytes = 0usize;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Close { done } => {
                    close = Some(done);
                    break;
                }
                Job::Append { .. } | Job::Write { .. } => {
                    bytes = bytes.saturating_add(job.bytes());
                    jobs.push(job);
                }
            }
            next = if bytes < TRANSACTION_BYTES { waiting.try_recv().ok() } else { None };
        }
        if !jobs.is_empty() || (close.is_some() && self.state.failure().is_none()) {
            let result = self.commit(&jobs);
            self.report(jobs, result);
        }
        let Some(done) = close else { return std::ops::ControlFlow::Continue(()) };
        self.file.close();
        // Nobody waits any more: then nobody needs to know.
        let _: Result<(), ()> = done.send(());
        std::ops::ControlFlow::Break(())
    }

    fn commit<A: AsyncRuntime>(&mut self, jobs: &[Job<A>]) -> io::Result<OnDisk> {
        if let Some(failure) = self.state.failure() {
            return Err(io::Error::other(failure));
        }
        if !jobs.is_empty() && jobs.iter().all(Job::is_nothing) {
            // What was asked for before has been synced, or an error is known.
            return Ok(OnDisk(()));
        }
        let sequence = self.sequence.saturating_add(1);
        let file = Arc::clone(&self.file);
        file.with(|database| {
            let transaction = database.begin_write().map_err(storage)?;
            for job in jobs {
                match job {
                    Job::Append { entries, .. } => {
                        append(&transaction, entries)?;
                        self.end = entries.last().map_or(self.end, |last| last.log_id.index.saturating_add(1));
                    }
                    Job::Write { change, .. } => self.change(&transaction, change)?,
                    Job::Close { .. } => {}
                }
            }
            self.purge_some(&transaction)?;
            let mut records = transaction.open_table(RECORDS).map_err(storage)?;
            if let Some(committed) = self.committed() {
                put(&mut records, COMMITTED, &committed)?;
            }
            put(&mut records, SEQUENCE, &sequence)?;
            drop(records);
            transaction.commit().map_err(storage)
        })?;
        self.sequence = sequence;
        self.synced.write(sequence)?;
        self.state.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(OnDisk(()))
    }

    /// What is committed goes along with every transaction, for the next start, and is no reason for one of its own. It
    /// never gets to disk before its entry.
    fn committed(&self) -> Option<LogId> {
        let committed = self.tail.lock().unwrap_or_else(PoisonError::into_inner).committed;
        committed.filter(|committed| committed.index < self.end)
    }

    fn change(&mut self, transaction: &WriteTransaction, change: &Change) -> io::Result<()> {
        let mut records = transaction.open_table(RECORDS).map_err(storage)?;
        match change {
            Change::Nothing => Ok(()),
            Change::Owner(owner) => put(&mut records, IDENTITY, owner),
            Change::Timing(level) => put(&mut records, TIMING, level),
            Change::Vote(vote) => put(&mut records, VOTE, vote),
            Change::TruncateAfter(after) => {
                let mut log = transaction.open_table(LOG).map_err(storage)?;
                let from = after.map_or(0, |after| after.saturating_add(1));
                self.end = self.end.min(from);
                log.retain_in(from.., |_, _| false).map_err(storage)
            }
            Change::Purge(upto) => {
                put(&mut records, PURGED, upto)?;
                let end = upto.index.saturating_add(1);
                self.end = self.end.max(end);
                self.purge = Some((self.purge.map_or(0, |(from, _)| from), end));
                Ok(())
            }
            Change::Chunk { snapshot, number, bytes } => {
                let mut chunks = transaction.open_table(CHUNKS).map_err(storage)?;
                let record = seal(&chunk_place(*snapshot, *number), bytes);
                chunks.insert((*snapshot, *number), record.as_slice()).map_err(storage)?;
                Ok(())
            }
            Change::Snapshot(stored) => {
                put(&mut records, SNAPSHOT, stored)?;
                let mut chunks = transaction.open_table(CHUNKS).map_err(storage)?;
                chunks.retain(|(snapshot, _), _| snapshot == stored.id).map_err(storage)
            }
        }
    }

    /// Deletes some of what was purged, oldest first, so that no transaction takes long.
    fn purge_some(&mut self, transaction: &WriteTransaction) -> io::Result<()> {
        let Some((from, end)) = self.purge else { return Ok(()) };
        let mut log = transaction.open_table(LOG).map_err(storage)?;
        let first = match log.range(from..end).map_err(storage)?.next() {
            Some(row) => row.map_err(storage)?.0.value(),
            None => {
                self.purge = None;
                return Ok(());
            }
        };
        let upto = end.min(first.saturating_add(PURGE_STEP));
        log.retain_in(first..upto, |_, _| false).map_err(storage)?;
        self.purge = (upto < end).then_some((upto, end));
        Ok(())
    }

    /// Tells everybody who waits, in order.
    fn report<A: AsyncRuntime>(&self, jobs: Vec<Job<A>>, result: io::Result<OnDisk>) {
        if let Err(error) = &result {
            let mut failed = self.state.failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.is_none() {
                tracing::error!(%error, "cannot write the Raft log: this member stops");
                *failed = Some(error.to_string());
            }
        }
        for job in jobs {
            let told = match &result {
                Ok(OnDisk(())) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            match job {
                Job::Append { entries, flushed } => {
                    if told.is_ok()
                        && let Some(last) = entries.last()
                    {
                        let bytes: usize = entries.iter().map(crate::tail::weight).sum();
                        self.state.appended.fetch_add(entries.len() as u64, Ordering::Relaxed);
                        self.state.appended_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                        self.tail.lock().unwrap_or_else(PoisonError::into_inner).on_disk(last.log_id.index);
                    }
                    flushed.io_completed(told);
                }
                // Who does not wait any more need not know.
                Job::Write { done, .. } => drop(done.send(told)),
                Job::Close { .. } => {}
            }
        }
    }
}

impl<A: AsyncRuntime> Job<A> {
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Write { change: Change::Nothing, .. })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Append { entries, .. } => entries.iter().map(crate::tail::weight).sum(),
            Self::Write { change: Change::Chunk { bytes, .. }, .. } => bytes.len(),
            Self::Write { .. } | Self::Close { .. } => 0,
        }
    }
}

fn append(transaction: &WriteTransaction, entries: &[LogEntry]) -> io::Result<()> {
    let mut log = transaction.open_table(LOG).map_err(storage)?;
    for entry in entries {
        let index = entry.log_id.index;
        let record = sealed(&place(index), entry)?;
        log.insert(index, record.as_slice()).map_err(storage)?;
    }
    Ok(())
}

fn put<T: serde::Serialize>(records: &mut Table<'_, &str, &[u8]>, name: &str, value: &T) -> io::Result<()> {
    let record = sealed(name, value)?;
    records.insert(name, record.as_slice()).map_err(storage)?;
    Ok(())
}
