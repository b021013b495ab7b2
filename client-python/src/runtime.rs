//! The runtime of the process, on which all calls run, its background thread, and what a fork means for them: threads do not
//! survive it, so what was made before belongs to the parent, and the child gets a runtime of its own with its first client.

use std::future::poll_fn;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::error::Failure;
use crate::notices::Notices;
use crate::turns::Turns;

/// A process and its runtime.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    process: u32,
    runtime: Arc<Runtime>,
    turns: Arc<Turns>,
    notices: Arc<Notices>,
}

/// Only ever locked by who is attached to the interpreter, as who forks is: nobody holds it while the process is copied.
static CURRENT: Mutex<Option<Home>> = Mutex::new(None);

impl Home {
    /// The one of this process; started if need be.
    pub(crate) fn here() -> PyResult<Self> {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = current.as_ref().filter(|home| home.is_here()) {
            return Ok(home.clone());
        }
        let home = start().map_err(|error| PyRuntimeError::new_err(format!("no background thread: {error}")))?;
        // The parent's must not be taken apart: its locks may be held by a thread that is not here.
        mem::forget(current.replace(home.clone()));
        Ok(home)
    }

    /// Fails in a child of the process it belongs to.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.is_here() { Ok(()) } else { Err(Failure::Fork) }
    }

    pub(crate) fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    /// What its clients have to say.
    pub(crate) fn notices(&self) -> &Arc<Notices> {
        &self.notices
    }

    /// Runs `call` in this thread, for `limit` at most; `None` when it is not over by then, and may be gone on with.
    pub(crate) fn run<T>(&self, call: impl Future<Output = T>, limit: Duration) -> Option<T> {
        let mut blocked = self.turns.block();
        let mut waits = false;
        self.runtime.block_on(async {
            let mut call = pin!(timeout(limit, call));
            let polled = poll_fn(|context| {
                if mem::replace(&mut waits, true) {
                    blocked.waited();
                }
                call.as_mut().poll(context)
            });
            polled.await.ok()
        })
    }

    /// Has `call` run by whoever drives the runtime, for an event loop that waits for it.
    pub(crate) fn spawn(&self, call: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let delivered = self.turns.deliver();
        let task = self.runtime.spawn(async move {
            call.await;
            drop(delivered);
        });
        task.abort_handle()
    }
}

fn start() -> std::io::Result<Home> {
    let runtime = Arc::new(Builder::new_current_thread().enable_all().build()?);
    let turns = Arc::new(Turns::default());
    let (kept, keeper) = (Arc::clone(&runtime), Arc::clone(&turns));
    // It ends with the process.
    thread::Builder::new().name("folkmoot".into()).spawn(move || keeper.keep(&kept))?;
    Ok(Home { process: std::process::id(), runtime, turns, notices: Arc::default() })
}

/// What belongs to a process and its runtime: dropped where that can be reached, left alone in a child.
#[derive(Debug)]
pub(crate) struct Local<T> {
    home: Home,
    /// Empty only while it is dropped.
    value: Option<T>,
}

impl<T> Local<T> {
    pub(crate) fn new(home: &Home, value: T) -> Self {
        Self { home: home.clone(), value: Some(value) }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// For who is where it belongs.
    ///
    /// # Errors
    /// This is a child of that process.
    pub(crate) fn into_inner(mut self) -> PyResult<T> {
        self.home.check()?;
        #[expect(clippy::expect_used, reason = "it is empty only in drop")]
        Ok(self.value.take().expect("not dropped"))
    }
}

impl<T> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        #[expect(clippy::expect_used, reason = "it is empty only in drop")]
        self.value.as_ref().expect("not dropped")
    }
}

impl<T> DerefMut for Local<T> {
    fn deref_mut(&mut self) -> &mut T {
        #[expect(clippy::expect_used, reason = "it is empty only in drop")]
        self.value.as_mut().expect("not dropped")
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if self.home.is_here() {
            let _reachable = self.home.runtime.enter();
            drop(value);
        } else {
            mem::forget(value);
        }
    }
}
