//! The calls about locks, elections, barriers, gates and sessions.

use folkmoot_client::{Bond, Error, Gate, Guard, Lock, ReadWriteLock, Semaphore, SessionOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::core::Core;
use crate::error::Failure;
use crate::held::{Dependence, Grip, HeldObject, PassageObject, SessionObject};
use crate::input::{Blob, Name, Span, Waiting};
use crate::pending::Pending;

/// What a hold of any kind is asked for with.
struct Terms {
    ttl: Option<Span>,
    bond: Option<Bond>,
}

/// Locks of all kinds take them in the same way.
macro_rules! on_terms {
    ($($kind:ident),+) => { $(
        impl On for $kind {
            fn on(self, Terms { ttl, bond }: Terms) -> Self {
                let lock = if let Some(ttl) = ttl { self.ttl(ttl.0) } else { self };
                if let Some(bond) = bond { lock.with_session(bond) } else { lock }
            }
        }
    )+ };
}

/// With these terms.
trait On {
    fn on(self, terms: Terms) -> Self;
}

on_terms!(Lock, Semaphore, ReadWriteLock);

impl Terms {
    fn new(ttl: Option<Span>, session: Option<Dependence>) -> Self {
        Self { ttl, bond: session.map(|session| session.0) }
    }
}

impl Core {
    /// A call that is granted a guard, or nothing.
    fn granted<F>(&self, what: String, guard: impl FnOnce(folkmoot_client::Client) -> F) -> PyResult<Pending>
    where
        F: Future<Output = Result<Option<Guard>, Error>> + Send + 'static,
    {
        let shared = self.shared();
        self.call(|client| {
            let guard = guard(client);
            async move {
                let held = guard.await?;
                Ok::<_, Failure>(held.map(|guard| HeldObject::new(&shared, Grip::Guard(guard), what)))
            }
        })
    }
}

#[pymethods]
impl Core {
    fn lock_acquire(
        &self,
        name: Name,
        ttl: Option<Span>,
        session: Option<Dependence>,
        wait: Waiting,
    ) -> PyResult<Pending> {
        let terms = Terms::new(ttl, session);
        self.granted(format!("lock {}", name.0.to_string_lossy()), move |client| async move {
            client.lock(name.0).on(terms).acquire_within(wait.0).await
        })
    }

    fn semaphore_acquire(
        &self,
        name: Name,
        capacity: u32,
        permits: u32,
        ttl: Option<Span>,
        session: Option<Dependence>,
        wait: Waiting,
    ) -> PyResult<Pending> {
        let terms = Terms::new(ttl, session);
        self.granted(format!("semaphore {}", name.0.to_string_lossy()), move |client| async move {
            client.semaphore(name.0, capacity).on(terms).acquire_within(permits, wait.0).await
        })
    }

    fn read_write_acquire(
        &self,
        name: Name,
        write: bool,
        ttl: Option<Span>,
        session: Option<Dependence>,
        wait: Waiting,
    ) -> PyResult<Pending> {
        let terms = Terms::new(ttl, session);
        self.granted(format!("read/write lock {}", name.0.to_string_lossy()), move |client| async move {
            let lock = client.read_write_lock(name.0).on(terms);
            if write { lock.write_within(wait.0).await } else { lock.read_within(wait.0).await }
        })
    }

    fn lock_info(&self, kind: &str, name: Name) -> PyResult<Pending> {
        match kind {
            "lock" => self.call(|client| async move { client.lock(name.0).info().await }),
            "semaphore" => self.call(|client| async move { client.semaphore(name.0, 1).info().await }),
            "read-write" => self.call(|client| async move { client.read_write_lock(name.0).info().await }),
            _ => Err(PyValueError::new_err(format!("unknown kind of lock {kind:?}"))),
        }
    }

    fn lock_acquire_detached(
        &self,
        name: Name,
        ttl: Option<Span>,
        session: Option<u64>,
        wait: Waiting,
    ) -> PyResult<Pending> {
        let ttl = ttl.map(|ttl| ttl.0);
        self.call(move |client| async move { client.acquire_detached(name.0, session.unwrap_or(0), ttl, wait.0).await })
    }

    fn lock_release(&self, name: Name, hold: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.release_lock(name.0, hold).await })
    }

    fn lock_renew(&self, name: Name, hold: u64, ttl: Option<Span>) -> PyResult<Pending> {
        let ttl = ttl.map(|ttl| ttl.0);
        self.call(move |client| async move { client.renew_lock(name.0, hold, ttl).await })
    }

    fn election_campaign(
        &self,
        name: Name,
        value: Blob,
        ttl: Option<Span>,
        session: Option<Dependence>,
        preferred: bool,
        wait: Waiting,
    ) -> PyResult<Pending> {
        let (shared, Terms { ttl, bond }) = (self.shared(), Terms::new(ttl, session));
        let what = format!("the office of {}", name.0.to_string_lossy());
        self.call(move |client| async move {
            let election = client.election(name.0);
            let election = if let Some(ttl) = ttl { election.ttl(ttl.0) } else { election };
            let election = if let Some(bond) = bond { election.with_session(bond) } else { election };
            let election = if preferred { election.preferred() } else { election };
            let term = election.campaign_within(value.0, wait.0).await?;
            Ok::<_, Failure>(term.map(|term| HeldObject::new(&shared, Grip::Term(term), what)))
        })
    }

    fn election_info(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.election(name.0).info().await })
    }

    fn election_resign(&self, name: Name, hold: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.election(name.0).resign(hold).await })
    }

    fn barrier_raise(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.barrier(name.0).raise().await })
    }

    fn barrier_lift(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.barrier(name.0).lift().await })
    }

    fn barrier_wait(&self, name: Name, wait: Waiting) -> PyResult<Pending> {
        self.call(move |client| async move { client.barrier(name.0).wait(wait.0).await })
    }

    fn barrier_info(&self, name: Name) -> PyResult<Pending> {
        self.call(|client| async move { client.barrier(name.0).info().await })
    }

    fn gate_enter(&self, name: Name, count: u32, session: Option<Dependence>, wait: Waiting) -> PyResult<Pending> {
        let (shared, bond) = (self.shared(), session.map(|session| session.0));
        let what = name.0.to_string_lossy().into_owned();
        self.call(move |client| async move {
            let gate: Gate = client.gate(name.0, count);
            let gate = if let Some(bond) = bond { gate.with_session(bond) } else { gate };
            let passage = gate.enter(wait.0).await?;
            Ok::<_, Failure>(passage.map(|passage| PassageObject::new(&shared, passage, &what)))
        })
    }

    fn session(&self, ttl: Option<Span>, with_connection: bool, with_node: Option<Name>) -> PyResult<Pending> {
        let (shared, options) = (self.shared(), session_options(ttl, with_connection, with_node));
        self.call(|client| async move {
            let session = client.session(options).await?;
            Ok::<_, Failure>(SessionObject::new(&shared, session))
        })
    }

    fn session_create(&self, ttl: Option<Span>, with_connection: bool, with_node: Option<Name>) -> PyResult<Pending> {
        let options = session_options(ttl, with_connection, with_node);
        self.call(|client| async move { client.create_session(&options).await })
    }

    fn session_renew(&self, session: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.renew_session(session).await })
    }

    fn session_destroy(&self, session: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.destroy_session(session).await })
    }

    fn session_info(&self, session: u64) -> PyResult<Pending> {
        self.call(move |client| async move { client.session_info(session).await })
    }

    fn sessions(&self) -> PyResult<Pending> {
        self.call(|client| async move { client.sessions().await })
    }
}

fn session_options(ttl: Option<Span>, with_connection: bool, with_node: Option<Name>) -> SessionOptions {
    let with_node = with_node.map(|node| node.0);
    let default = SessionOptions::default();
    SessionOptions { ttl: ttl.map_or(default.ttl, |ttl| ttl.0), with_connection, with_node }
}
