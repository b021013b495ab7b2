//! [`Records`]: a stream, read in batches, so that fast ones cost one call of Python's for many records.
//!
//! Records that were read and not handed out wait in the stream itself: a reader who gives up loses none.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use folkmoot_client::{
    Backup, Change, Changes, Error, Leader, Leaders, QueryAnswer, QueryAnswers, Subscription, Text, Watch,
};
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::sync::Notify;

use crate::core::Shared;
use crate::error::Failure;
use crate::notices::Notice;
use crate::pending::{Boxed, Pending, made};
use crate::runtime::Local;
use crate::values::{Answer, record};

/// Where records come from.
pub(crate) trait Source: Send + 'static {
    /// One of them.
    type Record: Answer;

    /// The next one; `None` at the end. Nothing is lost when the wait is given up.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Record>, Error>> + Send;

    /// How many were dropped because they were not read in time.
    fn dropped(&self) -> u64 {
        0
    }
}

/// A stream, for Python.
#[pyclass(frozen, generic, module = "folkmoot._folkmoot")]
pub(crate) struct Records {
    shared: Arc<Shared>,
    feed: Arc<dyn Reading>,
}

/// A stream that is open, to be made [`Records`] of by who asked for it.
pub(crate) struct Opened<S: Source> {
    shared: Arc<Shared>,
    feed: Arc<Feed<S>>,
}

impl<S: Source> Opened<S> {
    pub(crate) fn new(shared: &Arc<Shared>, source: S) -> Self {
        let feed = Feed {
            source: Local::new(shared.home(), tokio::sync::Mutex::new(Some(source))),
            ready: Mutex::default(),
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
        };
        Self { shared: Arc::clone(shared), feed: Arc::new(feed) }
    }
}

impl<S: Source> Answer for Opened<S> {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, Records { shared: self.shared, feed: self.feed })?.into_any())
    }
}

#[pymethods]
impl Records {
    fn next_batch(&self, most: usize) -> PyResult<Pending> {
        let feed = Arc::clone(&self.feed);
        self.shared.start(async move {
            feed.fill(most.max(1)).await?;
            Ok::<_, Failure>(Batch { feed, most: most.max(1) })
        })
    }

    #[getter]
    fn dropped(&self) -> u64 {
        self.feed.dropped()
    }

    fn close(&self) -> PyResult<Pending> {
        self.shared.home().check()?;
        let feed = Arc::clone(&self.feed);
        Ok(Pending::new(self.shared.home(), async move {
            feed.close().await;
            Ok(made(()))
        }))
    }
}

/// A [`Feed`] of any source.
trait Reading: Send + Sync {
    /// Waits until there is at least one record, or the end; then reads what is there, until `most` wait.
    fn fill(&self, most: usize) -> Boxed<'_, Result<(), Error>>;
    /// At most `most` of those that wait.
    fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyAny>>;
    fn dropped(&self) -> u64;
    fn close(&self) -> Boxed<'_, ()>;
}

struct Feed<S: Source> {
    /// Empty once it has ended or was closed.
    source: Local<tokio::sync::Mutex<Option<S>>>,
    /// Read and not handed out; at most as many as the largest batch asked for.
    ready: Mutex<VecDeque<S::Record>>,
    dropped: AtomicU64,
    closed: AtomicBool,
    closing: Notify,
}

impl<S: Source> Feed<S> {
    fn ready(&self) -> MutexGuard<'_, VecDeque<S::Record>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how many were dropped, and says so.
    fn count(&self, dropped: u64) {
        let before = self.dropped.swap(dropped, Ordering::Relaxed);
        if dropped > before {
            let more = dropped.saturating_sub(before);
            let text = format!("{more} records of a stream were dropped because they were not read in time");
            self.source.home().notices().put(Notice::warning(text));
        }
    }

    /// Whether another record may come.
    async fn read(&self, source: &mut S, most: usize) -> Result<bool, Error> {
        if self.ready().is_empty() {
            match source.next().await? {
                Some(record) => self.ready().push_back(record),
                None => return Ok(false),
            }
        }
        let mut ready = self.ready();
        while ready.len() < most {
            let next = pin!(source.next()).poll(&mut Context::from_waker(Waker::noop()));
            match next {
                Poll::Ready(Ok(Some(record))) => ready.push_back(record),
                Poll::Ready(Ok(None)) => return Ok(false),
                // An error comes again to who asks again; first what came before it.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        Ok(true)
    }
}

impl<S: Source> Reading for Feed<S> {
    fn fill(&self, most: usize) -> Boxed<'_, Result<(), Error>> {
        Box::pin(async move {
            let closing = self.closing.notified();
            if self.closed.load(Ordering::Acquire) {
                return Ok(());
            }
            let reading = async {
                let mut place = self.source.lock().await;
                let Some(source) = place.as_mut() else { return Ok(()) };
                let more = self.read(source, most).await;
                self.count(source.dropped());
                if !more? {
                    *place = None;
                }
                Ok(())
            };
            tokio::select! {
                biased;
                () = closing => Ok(()),
                outcome = reading => outcome,
            }
        })
    }

    fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyAny>> {
        let taken: Vec<_> = {
            let mut ready = self.ready();
            let count = ready.len().min(most);
            ready.drain(..count).collect()
        };
        let batch = PyList::empty(py);
        for record in taken {
            batch.append(record.answer(py)?)?;
        }
        Ok(batch.into_any())
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn close(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            self.closed.store(true, Ordering::Release);
            self.closing.notify_waiters();
            self.ready().clear();
            *self.source.lock().await = None;
        })
    }
}

/// What waits in a stream, taken when it is asked for.
struct Batch {
    feed: Arc<dyn Reading>,
    most: usize,
}

impl Answer for Batch {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        self.feed.take(py, self.most)
    }
}

impl<T: Answer> Source for Subscription<T> {
    type Record = T;

    async fn next(&mut self) -> Result<Option<T>, Error> {
        Subscription::next(self).await
    }

    fn dropped(&self) -> u64 {
        Subscription::dropped(self)
    }
}

impl Source for QueryAnswers {
    type Record = QueryAnswer;

    async fn next(&mut self) -> Result<Option<QueryAnswer>, Error> {
        QueryAnswers::next(self).await
    }

    fn dropped(&self) -> u64 {
        QueryAnswers::dropped(self)
    }
}

impl Source for Leaders {
    type Record = Leader;

    async fn next(&mut self) -> Result<Option<Leader>, Error> {
        Leaders::next(self).await.map(Some)
    }
}

impl Source for Backup {
    type Record = Bytes;

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Backup::next(self).await
    }
}

/// Changes, of whose keys `space` is cut off.
pub(crate) struct Watched {
    pub(crate) watch: Watch,
    pub(crate) space: String,
}

/// What a watch brought, and up to which revision.
pub(crate) struct Noticed(Changes, u64);

impl Source for Watched {
    type Record = Noticed;

    async fn next(&mut self) -> Result<Option<Noticed>, Error> {
        let changes = match self.watch.next().await? {
            Changes::These(changes) => Changes::These(changes.into_iter().map(|change| self.inside(change)).collect()),
            compacted @ Changes::Compacted { .. } => compacted,
        };
        Ok(Some(Noticed(changes, self.watch.through())))
    }
}

impl Watched {
    fn inside(&self, change: Change) -> Change {
        match change.key.as_bytes().strip_prefix(self.space.as_bytes()) {
            Some(key) if !self.space.is_empty() => {
                Change { key: Text::from_bytes(Bytes::copy_from_slice(key)), ..change }
            }
            Some(_) | None => change,
        }
    }
}

impl Answer for Noticed {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self.0 {
            Changes::These(changes) => record!(py; "changes", changes, self.1),
            Changes::Compacted { through } => record!(py; "compacted", Vec::<Change>::new(), through),
        }
    }
}
