//! [`Core`]: the client as Python has it: what all calls have in common, and its end.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use folkmoot_client::{Client, ConnectOptions, Observer, Reconnect};
use pyo3::prelude::*;
use tokio::sync::Notify;

use crate::error::Failure;
use crate::input::{Many, Name, Span};
use crate::pending::{Boxed, Outcome, Pending, made};
use crate::runtime::{Home, Local};
use crate::values::Answer;

/// A client.
#[pyclass(frozen, module = "folkmoot._folkmoot")]
pub(crate) struct Core {
    shared: Arc<Shared>,
    call_timeout: Option<Duration>,
}

/// What all handles of a client share.
pub(crate) struct Shared {
    home: Home,
    /// Empty once it is closed.
    client: Mutex<Option<Local<Client>>>,
    closing: Notify,
    /// What is to be ended with it, and what was.
    open: Mutex<Vec<Weak<dyn Closable>>>,
}

/// Something that ends with its client.
pub(crate) trait Closable: Send + Sync {
    /// Ends it.
    fn close(self: Arc<Self>) -> Boxed<'static, ()>;
}

impl Shared {
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    fn client(&self) -> MutexGuard<'_, Option<Local<Client>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.client().is_none()
    }

    /// Ends this, too, when the client is closed.
    pub(crate) fn remember(&self, closable: &Arc<dyn Closable>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // What is gone is forgotten whenever the list would grow: its length stays in proportion to what there is.
        if open.len() == open.capacity() {
            open.retain(|closable| closable.strong_count() > 0);
        }
        open.push(Arc::downgrade(closable));
    }

    /// Runs something of this client's until the client is closed.
    pub(crate) fn start<A, E, F>(self: &Arc<Self>, call: F) -> PyResult<Pending>
    where
        A: Answer,
        E: Into<Failure>,
        F: Future<Output = Result<A, E>> + Send + 'static,
    {
        self.home.check()?;
        let shared = Arc::clone(self);
        Ok(Pending::new(&self.home, async move {
            let closing = shared.closing.notified();
            if shared.is_closed() {
                return Err(Failure::Closed);
            }
            tokio::select! {
                biased;
                answer = call => answer.map(made).map_err(Into::into),
                () = closing => Err(Failure::Closed),
            }
        }))
    }
}

impl Core {
    /// Makes a call.
    pub(crate) fn call<A, E, F>(&self, call: impl FnOnce(Client) -> F) -> PyResult<Pending>
    where
        A: Answer,
        E: Into<Failure>,
        F: Future<Output = Result<A, E>> + Send + 'static,
    {
        self.shared.start(call(self.client()?))
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    fn client(&self) -> Result<Client, Failure> {
        self.shared.home.check()?;
        let client = self.shared.client();
        Ok(client.as_ref().ok_or(Failure::Closed)?.with_call_timeout(self.call_timeout))
    }
}

impl Answer for Core {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, self)?.into_any())
    }
}

#[pymethods]
impl Core {
    fn within(&self, call_timeout: Option<Span>) -> Self {
        Self { shared: Arc::clone(&self.shared), call_timeout: call_timeout.map(|span| span.0) }
    }

    #[getter]
    fn is_closed(&self) -> bool {
        // What belongs to the parent of a fork is not touched: its locks may be held for ever.
        !self.shared.home.is_here() || self.shared.client().as_ref().is_none_or(|client| client.is_closed())
    }

    fn close(&self) -> PyResult<Pending> {
        self.shared.home.check()?;
        let shared = Arc::clone(&self.shared);
        Ok(Pending::new(&self.shared.home, async move { shared.close().await }))
    }
}

impl Shared {
    async fn close(&self) -> Outcome {
        let client = self.client().take();
        self.closing.notify_waiters();
        let open = mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        let closing: Vec<_> = open.iter().filter_map(Weak::upgrade).map(|open| tokio::spawn(open.close())).collect();
        for closed in closing {
            // One that panicked is not given back: it ends with its time to live.
            let _ = closed.await;
        }
        drop(client);
        Ok(made(()))
    }
}

#[pyfunction]
pub(crate) fn connect(
    addresses: Many<Name>,
    auth_key: Name,
    connect_timeout: Span,
    call_timeout: Option<Span>,
    reconnect: Option<Span>,
    client_ttl: Span,
) -> PyResult<Pending> {
    let home = Home::here()?;
    let notices = Arc::clone(home.notices());
    let options = ConnectOptions {
        addresses: addresses.0.iter().map(|Name(address)| address.to_string_lossy().into_owned()).collect(),
        auth_key: auth_key.0,
        dial_timeout: connect_timeout.0,
        call_timeout: call_timeout.map(|span| span.0),
        reconnect: reconnect.map_or(Reconnect::Never, |span| Reconnect::Within(span.0)),
        client_ttl: client_ttl.0,
        observer: Some(Observer::new(move |notice| notices.put(notice.into()))),
    };
    let here = home.clone();
    Ok(Pending::new(&home, async move {
        let client = Client::connect(&options).await?;
        let client = Mutex::new(Some(Local::new(&here, client)));
        let shared = Shared { home: here, client, closing: Notify::new(), open: Mutex::default() };
        Ok(made(Core { shared: Arc::new(shared), call_timeout: options.call_timeout }))
    }))
}
