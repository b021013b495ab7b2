//! What is held: locks, permits, offices, sessions, items and places inside gates. Each is renewed by the client until it is
//! given back, lost or garbage; `close()` of the client gives back what is left.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_client::{Bond, Error, Guard, Item, Lost, Passage, Session, Term, Wait};
use pyo3::prelude::*;
use tokio::sync::{Notify, RwLock};
use tokio::time::timeout;

use crate::core::{Closable, Shared};
use crate::error::Failure;
use crate::input::{Blob, Span, Waiting};
use crate::notices::Notice;
use crate::pending::{Boxed, Pending};
use crate::runtime::Local;
use crate::values::Answer;

/// Time for something to be given back when its client is closed. Ours: a change of leaders fits in, and a user who ends his
/// program does not wait longer for a cluster that is gone.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(2);

/// Something that can be held.
pub(crate) trait Holding: Send + Sync + 'static {
    /// Whether it is, as far as this side knows.
    fn is_held(&self) -> bool;
    /// When it is lost.
    fn lost(&self) -> Boxed<'static, Lost>;
    /// Gives it back.
    fn give_back(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A place for something held, which is empty once it was given back.
pub(crate) struct Kept<T: Holding> {
    shared: Arc<Shared>,
    thing: Local<RwLock<Option<T>>>,
    /// Told when it is given back or garbage.
    over: Arc<Notify>,
}

impl<T: Holding> Kept<T> {
    /// Keeps it, tells the log when it is lost, and gives it back when the client is closed. Called on the runtime.
    pub(crate) fn keep(shared: &Arc<Shared>, thing: T, what: String) -> Arc<Self> {
        let over = Arc::new(Notify::new());
        let (lost, ended, notices) = (thing.lost(), Arc::clone(&over), Arc::clone(shared.home().notices()));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = ended.notified() => {}
                lost = lost => notices.put(Notice::warning(format!("{what} is lost: {lost}"))),
            }
        });
        let thing = Local::new(shared.home(), RwLock::new(Some(thing)));
        let kept = Arc::new(Self { shared: Arc::clone(shared), thing, over });
        let closable: Arc<dyn Closable> = Arc::<Self>::clone(&kept);
        shared.remember(&closable);
        kept
    }

    fn is_held(&self) -> bool {
        self.thing.home().is_here() && self.thing.try_read().is_ok_and(|thing| thing.as_ref().is_some_and(T::is_held))
    }

    fn lost(self: &Arc<Self>) -> PyResult<Pending> {
        let kept = Arc::clone(self);
        self.shared.start(async move {
            let over = kept.over.notified();
            let lost = kept.thing.read().await.as_ref().map(T::lost).ok_or(Failure::Cancelled)?;
            tokio::select! {
                biased;
                () = over => Err(Failure::Cancelled),
                lost = lost => Ok(lost.to_string()),
            }
        })
    }

    /// Takes it out, to end it in the way that `end` is.
    fn end<A, F>(self: &Arc<Self>, end: impl FnOnce(T) -> F + Send + 'static) -> PyResult<Pending>
    where
        A: Answer,
        F: Future<Output = Result<A, Error>> + Send + 'static,
    {
        let kept = Arc::clone(self);
        self.shared.start(async move {
            let thing = kept.take().await.ok_or(Failure::GivenBack)?;
            end(thing).await.map_err(Failure::from)
        })
    }

    fn give_back(self: &Arc<Self>) -> PyResult<Pending> {
        self.end(T::give_back)
    }

    async fn take(&self) -> Option<T> {
        let thing = self.thing.write().await.take();
        self.over.notify_waiters();
        // For the task that had not begun to wait.
        self.over.notify_one();
        thing
    }
}

impl<T: Holding> Drop for Kept<T> {
    fn drop(&mut self) {
        if self.thing.home().is_here() {
            self.over.notify_one();
        }
    }
}

impl<T: Holding> Closable for Kept<T> {
    fn close(self: Arc<Self>) -> Boxed<'static, ()> {
        Box::pin(async move {
            let given_back = async {
                if let Some(thing) = self.take().await {
                    // If it fails, it ends with its time to live.
                    let _ = thing.give_back().await;
                }
            };
            let _ = timeout(GIVE_BACK_TIMEOUT, given_back).await;
        })
    }
}

/// A lock or permits, or an office.
pub(crate) enum Grip {
    Guard(Guard),
    Term(Term),
}

impl Holding for Grip {
    fn is_held(&self) -> bool {
        match self {
            Self::Guard(guard) => guard.is_held(),
            Self::Term(term) => term.is_held(),
        }
    }

    fn lost(&self) -> Boxed<'static, Lost> {
        match self {
            Self::Guard(guard) => Box::pin(guard.lost()),
            Self::Term(term) => Box::pin(term.lost()),
        }
    }

    async fn give_back(self) -> Result<(), Error> {
        match self {
            Self::Guard(guard) => guard.release().await,
            Self::Term(term) => term.resign().await,
        }
    }
}

impl Holding for Session {
    fn is_held(&self) -> bool {
        Self::is_held(self)
    }

    fn lost(&self) -> Boxed<'static, Lost> {
        Box::pin(Self::lost(self))
    }

    async fn give_back(self) -> Result<(), Error> {
        self.destroy().await
    }
}

impl Holding for Item {
    fn is_held(&self) -> bool {
        Self::is_held(self)
    }

    fn lost(&self) -> Boxed<'static, Lost> {
        Box::pin(Self::lost(self))
    }

    async fn give_back(self) -> Result<(), Error> {
        self.release().await
    }
}

impl Holding for Passage {
    /// Nothing is renewed: it lasts as long as the client.
    fn is_held(&self) -> bool {
        true
    }

    fn lost(&self) -> Boxed<'static, Lost> {
        Box::pin(std::future::pending())
    }

    async fn give_back(self) -> Result<(), Error> {
        self.leave(Wait::No).await.map(drop)
    }
}

/// A lock, permits or an office, for Python.
#[pyclass(frozen, name = "Held", module = "folkmoot._folkmoot")]
pub(crate) struct HeldObject {
    kept: Arc<Kept<Grip>>,
    hold: u64,
    token: u64,
}

impl HeldObject {
    /// Called on the runtime.
    pub(crate) fn new(shared: &Arc<Shared>, grip: Grip, what: String) -> Self {
        let (hold, token) = match &grip {
            Grip::Guard(guard) => (guard.hold(), guard.token()),
            Grip::Term(term) => (term.hold(), term.token()),
        };
        Self { kept: Kept::keep(shared, grip, what), hold, token }
    }
}

#[pymethods]
impl HeldObject {
    #[getter]
    fn token(&self) -> u64 {
        self.token
    }

    #[getter]
    fn hold(&self) -> u64 {
        self.hold
    }

    #[getter]
    fn is_held(&self) -> bool {
        self.kept.is_held()
    }

    fn lost(&self) -> PyResult<Pending> {
        self.kept.lost()
    }

    fn release(&self) -> PyResult<Pending> {
        self.kept.give_back()
    }

    fn proclaim(&self, value: Blob) -> PyResult<Pending> {
        let kept = Arc::clone(&self.kept);
        self.kept.shared.start(async move {
            match &*kept.thing.read().await {
                Some(Grip::Term(term)) => term.proclaim(value.0).await.map_err(Failure::from),
                Some(Grip::Guard(_)) | None => Err(Failure::GivenBack),
            }
        })
    }
}

/// A session, for Python.
#[pyclass(frozen, name = "Session", module = "folkmoot._folkmoot")]
pub(crate) struct SessionObject {
    kept: Arc<Kept<Session>>,
    id: u64,
}

impl SessionObject {
    /// Called on the runtime.
    pub(crate) fn new(shared: &Arc<Shared>, session: Session) -> Self {
        let id = session.id();
        Self { kept: Kept::keep(shared, session, format!("session {id}")), id }
    }
}

/// A session that something is to depend on: one of this process, whose end is known at once, or the number of any.
pub(crate) struct Dependence(pub(crate) Bond);

impl<'py> FromPyObject<'_, 'py> for Dependence {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let Ok(session) = object.cast::<SessionObject>() else { return Ok(Self(Bond::from(object.extract::<u64>()?))) };
        let kept = &session.get().kept;
        kept.thing.home().check()?;
        let session = kept.thing.try_read().map_err(|_| Failure::GivenBack)?;
        Ok(Self(session.as_ref().ok_or(Failure::GivenBack)?.into()))
    }
}

#[pymethods]
impl SessionObject {
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    #[getter]
    fn is_held(&self) -> bool {
        self.kept.is_held()
    }

    fn lost(&self) -> PyResult<Pending> {
        self.kept.lost()
    }

    fn destroy(&self) -> PyResult<Pending> {
        self.kept.give_back()
    }
}

/// A claimed item, for Python.
#[pyclass(frozen, name = "Item", module = "folkmoot._folkmoot")]
pub(crate) struct ItemObject {
    kept: Arc<Kept<Item>>,
    id: u64,
    token: u64,
    payload: Bytes,
    priority: u8,
    attempts: u32,
}

impl ItemObject {
    /// Called on the runtime.
    pub(crate) fn new(shared: &Arc<Shared>, item: Item, queue: &str) -> Self {
        let (id, token, payload) = (item.id(), item.token(), item.payload().clone());
        let (priority, attempts) = (item.priority(), item.attempts());
        let what = format!("item {id} of work queue {queue}");
        Self { kept: Kept::keep(shared, item, what), id, token, payload, priority, attempts }
    }
}

#[pymethods]
impl ItemObject {
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    #[getter]
    fn token(&self) -> u64 {
        self.token
    }

    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.payload.clone().answer(py)
    }

    #[getter]
    fn priority(&self) -> u8 {
        self.priority
    }

    #[getter]
    fn attempts(&self) -> u32 {
        self.attempts
    }

    #[getter]
    fn is_held(&self) -> bool {
        self.kept.is_held()
    }

    fn lost(&self) -> PyResult<Pending> {
        self.kept.lost()
    }

    fn complete(&self, result: Blob) -> PyResult<Pending> {
        self.kept.end(|item| item.complete(result.0))
    }

    fn fail(&self, reason: Blob, retry_after: Span) -> PyResult<Pending> {
        self.kept.end(move |item| item.fail(reason.0, retry_after.0))
    }

    fn release(&self) -> PyResult<Pending> {
        self.kept.give_back()
    }
}

/// A place inside a gate, for Python.
#[pyclass(frozen, name = "Passage", module = "folkmoot._folkmoot")]
pub(crate) struct PassageObject {
    kept: Arc<Kept<Passage>>,
}

impl PassageObject {
    /// Called on the runtime.
    pub(crate) fn new(shared: &Arc<Shared>, passage: Passage, gate: &str) -> Self {
        Self { kept: Kept::keep(shared, passage, format!("the place in gate {gate}")) }
    }
}

#[pymethods]
impl PassageObject {
    fn leave(&self, wait: Waiting) -> PyResult<Pending> {
        self.kept.end(move |passage| passage.leave(wait.0))
    }
}

/// What Python gets of something held is an object of its own class.
macro_rules! objects {
    ($($kind:ty),+) => { $(
        impl Answer for $kind {
            fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
                Ok(Bound::new(py, self)?.into_any())
            }
        }
    )+ };
}

objects!(HeldObject, SessionObject, ItemObject, PassageObject);
