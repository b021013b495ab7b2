//! The one background thread of the process, on which all calls run, and what a fork means for it: threads do not survive
//! it, so what was made before belongs to the parent, and the child gets a thread of its own with its first client.

use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle};

use crate::error::Failure;
use crate::notices::Notices;

/// A process and its background thread.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    process: u32,
    handle: Handle,
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

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

fn start() -> std::io::Result<Home> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let home = Home { process: std::process::id(), handle: runtime.handle().clone(), notices: Arc::default() };
    // It ends with the process.
    thread::Builder::new().name("folkmoot".into()).spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(home)
}

/// What belongs to a process and its thread: dropped where that thread can be reached, left alone in a child.
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
}

impl<T> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        #[expect(clippy::expect_used, reason = "it is empty only in drop")]
        self.value.as_ref().expect("not dropped")
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if self.home.is_here() {
            let _reachable = self.home.handle.enter();
            drop(value);
        } else {
            mem::forget(value);
        }
    }
}
