//! [`Pending`], a call, and [`Completions`], where the answered calls of an event loop come out.
//!
//! Who blocks on a call runs it in his own thread, detached from the interpreter. Those of event loops run in the background,
//! which never touches the interpreter: it leaves the answer as it came, and who asked makes Python's objects of it. An event
//! loop is woken by one byte when something was put where nothing was.

use std::io::{Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::task::AbortHandle;

use crate::error::Failure;
use crate::input::Span;
use crate::runtime::{Home, Local};
use crate::values::Answer;

/// Longest time in which a blocked thread does not look for signals. Ours: Ctrl-C feels immediate, and twenty looks a second
/// cost nothing.
const SIGNAL_PAUSE: Duration = Duration::from_millis(50);

/// What becomes an answer once somebody is attached to the interpreter.
pub(crate) type Made = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// A future of a type without a name.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a call ended.
pub(crate) type Outcome = Result<Made, Failure>;

/// What a call leaves for who asks.
pub(crate) fn made<A: Answer>(answer: A) -> Made {
    Box::new(move |py| Ok(answer.answer(py)?.unbind()))
}

/// A call to be made, by who waits for it or in the background for an event loop. Dropping it before cancels it.
#[pyclass(frozen, generic, module = "folkmoot._folkmoot")]
pub(crate) struct Pending {
    home: Home,
    state: Mutex<State>,
}

enum State {
    /// Nobody has asked for it yet, and nothing was done.
    Asleep(Local<Boxed<'static, Outcome>>),
    /// It runs for an event loop.
    Runs(Arc<Addressee>, AbortHandle),
    /// A thread has taken it to wait for it, or it was cancelled.
    Over,
}

impl Pending {
    /// Of `call`.
    pub(crate) fn new(home: &Home, call: impl Future<Output = Outcome> + Send + 'static) -> Self {
        let call: Boxed<'static, Outcome> = Box::pin(call);
        Self { home: home.clone(), state: Mutex::new(State::Asleep(Local::new(home, call))) }
    }

    /// What is to be run, for the one who runs it.
    fn take(&self) -> PyResult<Local<Boxed<'static, Outcome>>> {
        let mut state = self.lock();
        match mem::replace(&mut *state, State::Over) {
            State::Asleep(call) => Ok(call),
            other @ (State::Runs(..) | State::Over) => {
                *state = other;
                Err(PyRuntimeError::new_err("the answer of this call was asked for before, or it was cancelled"))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Pending {
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<Span>) -> PyResult<Py<PyAny>> {
        self.home.check()?;
        let mut call = self.take()?;
        let deadline = timeout.and_then(|span| Some((span, Instant::now().checked_add(span.0)?)));
        loop {
            let left = deadline.map_or(SIGNAL_PAUSE, |(_, end)| end.saturating_duration_since(Instant::now()));
            let run = AssertUnwindSafe(|| self.home.run(call.as_mut(), left.min(SIGNAL_PAUSE)));
            match py.detach(|| catch_unwind(run)) {
                Ok(Some(outcome)) => return unwrapped(py, outcome),
                Ok(None) => {}
                Err(_) => return unwrapped(py, Err(Failure::Internal)),
            }
            py.check_signals()?;
            if let Some((span, _)) = deadline.filter(|(_, end)| *end <= Instant::now()) {
                return unwrapped(py, Err(Failure::Waited(span.0.as_secs_f64())));
            }
        }
    }

    fn deliver(&self, completions: &Completions, future: Py<PyAny>) -> PyResult<()> {
        self.home.check()?;
        let mut call = self.take()?;
        let wanted = Mutex::new(Some(future));
        let addressee = Arc::new(Addressee { inbox: Arc::clone(&completions.inbox), wanted });
        let unanswered = Unanswered(Arc::clone(&addressee));
        let task = self.home.spawn(async move {
            let outcome = call.as_mut().await;
            unanswered.0.put(outcome);
        });
        *self.lock() = State::Runs(addressee, task);
        Ok(())
    }

    fn cancel(&self) {
        let state = mem::replace(&mut *self.lock(), State::Over);
        if let State::Runs(addressee, task) = state
            && self.home.is_here()
        {
            drop(addressee.take());
            task.abort();
        }
    }
}

/// Who waits for a call in an event loop.
struct Addressee {
    inbox: Arc<Inbox>,
    /// Empty once it was answered or cancelled.
    wanted: Mutex<Option<Py<PyAny>>>,
}

impl Addressee {
    fn take(&self) -> Option<Py<PyAny>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Answers, if nobody has.
    fn put(&self, outcome: Outcome) {
        // If nobody wants it, what was granted is given back when it is dropped.
        if let Some(future) = self.take() {
            self.inbox.put(future, outcome);
        }
    }
}

/// Sees to it that a call that panics is answered, too.
struct Unanswered(Arc<Addressee>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.put(Err(Failure::Internal));
    }
}

fn unwrapped(py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(made) => made(py),
        Err(failure) => Err(failure.into_exception(py)),
    }
}

/// Answered calls of one event loop.
#[pyclass(frozen, module = "folkmoot._folkmoot")]
pub(crate) struct Completions {
    inbox: Arc<Inbox>,
    /// Readable when there is something in it.
    bell: UnixStream,
}

struct Inbox {
    answered: Mutex<Vec<(Py<PyAny>, Outcome)>>,
    ring: UnixStream,
}

impl Inbox {
    fn put(&self, future: Py<PyAny>, outcome: Outcome) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let first = answered.is_empty();
        answered.push((future, outcome));
        drop(answered);
        if first {
            // There is room: at most one byte waits for each time it is emptied. If the loop is gone, nobody listens.
            let _ = (&self.ring).write(&[0]);
        }
    }
}

#[pymethods]
impl Completions {
    #[new]
    fn new() -> PyResult<Self> {
        let (bell, ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ring.set_nonblocking(true)?;
        Ok(Self { inbox: Arc::new(Inbox { answered: Mutex::default(), ring }), bell })
    }

    fn fileno(&self) -> i32 {
        self.bell.as_raw_fd()
    }

    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        // The bell first: what is put after it was silenced rings again, or is taken below.
        let _ = (&self.bell).read(&mut [0; 64]);
        let answered = mem::take(&mut *self.inbox.answered.lock().unwrap_or_else(PoisonError::into_inner));
        let drained = PyList::empty(py);
        for (future, outcome) in answered {
            let (succeeded, value) = match unwrapped(py, outcome) {
                Ok(value) => (true, value),
                Err(error) => (false, error.into_value(py).into_any()),
            };
            drained.append((future, succeeded, value))?;
        }
        Ok(drained)
    }
}
