//! The one writer of the log. Everything that waits goes into one write with one sync; what was asked for is
//! reported done only after that sync, in the order in which it was asked for. The first error ends all writing: pages
//! that a failed sync was to bring to disk may be gone without a trace.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openraft::AsyncRuntime;
use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

pub(crate) use crate::in_force::Change;
use crate::in_force::Step;
use crate::journal::Journal;
use crate::limits::{WRITE_BYTES, WRITES_MAX};
use crate::tail::Tail;
use crate::types::{LogEntry, Types};

/// How long-running work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// On threads of its own.
    Real,
    /// By tasks of the runtime: the simulated one has no threads.
    #[cfg(test)]
    Simulated,
}

enum Job<A: AsyncRuntime> {
    Append {
        entries: Vec<LogEntry>,
        flushed: IOFlushed<Types<A>>,
    },
    Write {
        /// None: what was asked for before is on disk when it is reported.
        change: Option<Change>,
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
    /// Ends all writing.
    fn fail(&self, error: &io::Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            tracing::error!(%error, "cannot write to the data directory: this member stops");
            *failed = Some(error.to_string());
        }
    }

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
    pub(crate) fn start(tail: Arc<Mutex<Tail>>, journal: Journal, threads: Threads) -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel(WRITES_MAX);
        let state = Arc::new(WriterState::default());
        let mut work = Work { tail, journal, state: Arc::clone(&state), threads };
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

    /// Ends all writing: the disk failed elsewhere.
    pub(crate) fn fail(&self, error: &io::Error) {
        self.state.fail(error);
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
        self.ask(Some(change)).await
    }

    /// Waits until everything that was asked for before is on disk.
    pub(crate) async fn settle(&self) -> io::Result<()> {
        self.ask(None).await
    }

    async fn ask(&self, change: Option<Change>) -> io::Result<()> {
        let (done, wait) = oneshot::channel();
        self.jobs.send(Job::Write { change, done }).await.map_err(|_| self.gone())?;
        wait.await.map_err(|_| self.gone())?
    }

    /// Writes what waits, then closes the files.
    pub(crate) async fn close(&self) {
        let (done, wait) = oneshot::channel();
        if self.jobs.send(Job::Close { done }).await.is_ok() {
            // An error means that it is closed already.
            drop(wait.await);
        }
    }

    fn gone(&self) -> io::Error {
        io::Error::other(self.state.failure().unwrap_or_else(|| "the data directory is closed".to_owned()))
    }
}

/// Only a finished sync makes one.
struct OnDisk(());

struct Work {
    tail: Arc<Mutex<Tail>>,
    journal: Journal,
    state: Arc<WriterState>,
    threads: Threads,
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
            next = if bytes < WRITE_BYTES { waiting.try_recv().ok() } else { None };
        }
        if !jobs.is_empty() || (close.is_some() && self.state.failure().is_none()) {
            let result = self.commit(&jobs);
            let written = result.is_ok();
            self.report(jobs, result);
            if written {
                self.journal.rest(self.threads);
            }
        }
        let Some(done) = close else { return std::ops::ControlFlow::Continue(()) };
        self.journal.close();
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
        let mut batch = self.journal.batch();
        let mut end = self.journal.end();
        for job in jobs {
            match job {
                Job::Append { entries, .. } => {
                    for entry in entries {
                        if entry.log_id.index != end {
                            let reason = format!("entry {} would leave a hole: {end} is next", entry.log_id.index);
                            return Err(io::Error::other(reason));
                        }
                        batch.entry(entry)?;
                        end = end.saturating_add(1);
                    }
                }
                Job::Write { change: Some(change), .. } => {
                    end = Step::Change(change.clone()).end(end);
                    batch.change(change.clone())?;
                }
                Job::Write { change: None, .. } | Job::Close { .. } => {}
            }
        }
        match self.committed(end) {
            Some(committed) => batch.change(committed)?,
            None if jobs.is_empty() => return Ok(OnDisk(())),
            None => {}
        }
        self.journal.write(batch)?;
        self.state.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(OnDisk(()))
    }

    /// What is committed goes along with every write, for the next start, and is no reason for one of its own. It never gets
    /// to disk before its entry, which lies before `end`.
    fn committed(&self, end: u64) -> Option<Change> {
        let committed = self.tail.lock().unwrap_or_else(PoisonError::into_inner).committed;
        let committed = committed.filter(|committed| committed.index < end);
        committed
            .filter(|committed| self.journal.in_force().committed.as_ref() != Some(committed))
            .map(Change::Committed)
    }

    /// Tells everybody who waits, in order.
    fn report<A: AsyncRuntime>(&self, jobs: Vec<Job<A>>, result: io::Result<OnDisk>) {
        if let Err(error) = &result {
            self.state.fail(error);
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
        matches!(self, Self::Write { change: None, .. })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Append { entries, .. } => entries.iter().map(crate::tail::weight).sum(),
            Self::Write { .. } | Self::Close { .. } => 0,
        }
    }
}
