//! [`Pending`], a call that runs, and [`Completions`], where the answered calls of an event loop come out.
//!
//! The background thread never touches the interpreter: it leaves the answer as it came, and who asked makes Python's
//! objects of it. An event loop is woken by one byte when something was put where nothing was.

use std::io::{Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::task::AbortHandle;

use crate::error::Failure;
use crate::input::Span;
use crate::runtime::Home;
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

/// What a task leaves for who asks.
pub(crate) fn made<A: Answer>(answer: A) -> Made {
    Box::new(move |py| Ok(answer.answer(py)?.unbind()))
}

/// A call that runs. Dropping it before it is answered cancels it.
#[pyclass(frozen, generic, module = "folkmoot._folkmoot")]
pub(crate) struct Pending {
    home: Home,
    slot: Arc<Slot>,
    task: AbortHandle,
}

/// Where the answer of one call is left.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Running,
    /// Somebody's event loop wants it.
    Wanted(Arc<Inbox>, Py<PyAny>),
    Answered(Outcome),
    /// Taken, delivered or cancelled.
    Over,
}

impl Pending {
    /// Runs `call` on the background thread.
    pub(crate) fn start(home: &Home, call: impl Future<Output = Outcome> + Send + 'static) -> Self {
        let slot = Arc::new(Slot::default());
        let unanswered = Unanswered(Arc::clone(&slot));
        let task = home.handle().spawn(async move {
            let outcome = call.await;
            unanswered.0.finish(outcome);
        });
        Self { home: home.clone(), slot, task: task.abort_handle() }
    }

    /// Ends it; the answer if there is one.
    fn end(&self) -> Option<Outcome> {
        let state = mem::replace(&mut *self.slot.lock(), State::Over);
        match state {
            State::Answered(outcome) => return Some(outcome),
            State::Over => {}
            State::Running | State::Wanted(..) if self.home.is_here() => self.task.abort(),
            State::Running | State::Wanted(..) => {}
        }
        None
    }
}

#[pymethods]
impl Pending {
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<Span>) -> PyResult<Py<PyAny>> {
        self.home.check()?;
        let deadline = timeout.and_then(|span| Some((span, Instant::now().checked_add(span.0)?)));
        loop {
            let left = deadline.map_or(SIGNAL_PAUSE, |(_, end)| end.saturating_duration_since(Instant::now()));
            if let Some(outcome) = py.detach(|| self.slot.wait(left.min(SIGNAL_PAUSE)))? {
                return unwrapped(py, outcome);
            }
            if let Err(interrupt) = py.check_signals() {
                drop(self.end());
                return Err(interrupt);
            }
            if let Some((span, _)) = deadline.filter(|(_, end)| *end <= Instant::now()) {
                let late = self.end().unwrap_or(Err(Failure::Waited(span.0.as_secs_f64())));
                return unwrapped(py, late);
            }
        }
    }

    fn deliver(&self, completions: &Completions, future: Py<PyAny>) -> PyResult<()> {
        self.home.check()?;
        let mut state = self.slot.lock();
        match mem::replace(&mut *state, State::Over) {
            State::Running => *state = State::Wanted(Arc::clone(&completions.inbox), future),
            State::Answered(outcome) => completions.inbox.put(future, outcome),
            State::Wanted(..) | State::Over => return Err(asked_twice()),
        }
        Ok(())
    }

    fn cancel(&self) {
        drop(self.end());
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if matches!(*self.slot.lock(), State::Running | State::Answered(_)) {
            drop(self.end());
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, outcome: Outcome) {
        let mut state = self.lock();
        match mem::replace(&mut *state, State::Over) {
            State::Running => {
                *state = State::Answered(outcome);
                self.answered.notify_one();
            }
            State::Wanted(inbox, future) => {
                drop(state);
                inbox.put(future, outcome);
            }
            State::Answered(first) => *state = State::Answered(first),
            // Nobody wants it: what was granted is given back when it is dropped.
            State::Over => {}
        }
    }

    /// Waits for the answer for `limit`, or less.
    fn wait(&self, limit: Duration) -> PyResult<Option<Outcome>> {
        let mut state = self.lock();
        if matches!(*state, State::Running) {
            (state, _) = self.answered.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
        }
        match mem::replace(&mut *state, State::Over) {
            State::Answered(outcome) => Ok(Some(outcome)),
            State::Running => {
                *state = State::Running;
                Ok(None)
            }
            State::Wanted(..) | State::Over => Err(asked_twice()),
        }
    }
}

/// Sees to it that a call that panics or is ended by its runtime is answered, too.
struct Unanswered(Arc<Slot>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.finish(Err(Failure::Internal));
    }
}

fn unwrapped(py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(made) => made(py),
        Err(failure) => Err(failure.into_exception(py)),
    }
}

fn asked_twice() -> PyErr {
    PyRuntimeError::new_err("the answer of this call was asked for before, or it was cancelled")
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
