//! [`Lock`], [`Semaphore`], [`ReadWriteLock`]: mutual exclusion with fencing tokens, and the [`Guard`] of what is held.

use std::sync::Arc;
use std::time::Duration;

use folkmoot_proto::Text;
pub use folkmoot_proto::coordination::Line;
use folkmoot_proto::coordination::{Code, Held, LockAcquire, LockInfo, LockKind, LockRelease, LockRenew};
use tokio::time::Instant;

use super::call::{Answered, AsyncUndo};
use super::identity::Identity;
use super::lease::{Lease, Lost};
use super::session::Session;
use super::{Wait, millis};
use crate::client::Client;
use crate::error::{Error, Refusal};
use crate::limits::{LEASE_TTL, LEASE_TTL_SHORTEST};

/// What locks of all kinds have in common.
#[derive(Debug, Clone)]
struct Acquire {
    client: Client,
    name: Text,
    kind: LockKind,
    permits: u32,
    capacity: u32,
    ttl: Duration,
    session: u64,
}

/// A lock: held by one at a time, in the order in which they asked. Not reentrant.
///
/// ```no_run
/// # async fn train(_token: u64) {}
/// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
/// let guard = client.lock("training").acquire().await?;
/// tokio::select! {
///     () = train(guard.token()) => guard.release().await?,
///     lost = guard.lost() => return Err(lost.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Lock {
    acquire: Acquire,
}

/// Permits, of which so many are given out as its first user says; all others have to name the same number.
#[derive(Debug, Clone)]
pub struct Semaphore {
    acquire: Acquire,
}

/// A lock that readers share and a writer has alone, in the order in which they asked.
#[derive(Debug, Clone)]
pub struct ReadWriteLock {
    acquire: Acquire,
}

/// What is held. It is renewed in the background until it is dropped, released or lost. Dropped, it is given back in the
/// background, if the cluster can be reached; else it ends with its time to live.
#[derive(Debug)]
pub struct Guard {
    acquire: Acquire,
    identity: Arc<Identity>,
    held: Held,
    lease: Lease,
    released: bool,
}

impl Client {
    /// A lock.
    pub fn lock(&self, name: impl Into<Text>) -> Lock {
        Lock { acquire: Acquire::new(self, name.into(), LockKind::Lock) }
    }

    /// A semaphore of `capacity` permits.
    pub fn semaphore(&self, name: impl Into<Text>, capacity: u32) -> Semaphore {
        Semaphore { acquire: Acquire { capacity, ..Acquire::new(self, name.into(), LockKind::Semaphore) } }
    }

    /// A read/write lock.
    pub fn read_write_lock(&self, name: impl Into<Text>) -> ReadWriteLock {
        ReadWriteLock { acquire: Acquire::new(self, name.into(), LockKind::Read) }
    }

    /// Acquires a lock that nobody renews unless told to, for programs that do not stay: it ends with `session`, or `ttl`
    /// after the grant.
    ///
    /// # Errors
    /// [`Error::Refused`] with `busy` or `timed-out` if it could not be had in time, `no-session`.
    pub async fn acquire_detached(
        &self,
        name: impl Into<Text>,
        session: u64,
        ttl: Option<Duration>,
        wait: Wait,
    ) -> Result<Held, Error> {
        let ttl = ttl.map_or(0, millis);
        let base = Acquire { session, ..Acquire::new(self, name.into(), LockKind::Lock) };
        let body = LockAcquire { ttl, ..base.body(wait) };
        Ok(self.write_waiting(body, wait, Undo(base)).await?.answer)
    }

    /// Gives a lock back, whoever acquired it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-held`.
    pub async fn release_lock(&self, name: impl Into<Text>, hold: u64) -> Result<(), Error> {
        let release = LockRelease { hold, kind: LockKind::Lock, name: name.into() };
        self.write(release).await.map(drop)
    }

    /// Starts the time to live of a lock again, whoever acquired it; `ttl` is another one from here on.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-held`.
    pub async fn renew_lock(&self, name: impl Into<Text>, hold: u64, ttl: Option<Duration>) -> Result<Held, Error> {
        self.write(LockRenew { hold, kind: LockKind::Lock, name: name.into(), ttl: ttl.map_or(0, millis) }).await
    }
}

/// The builder methods and questions that all kinds have.
macro_rules! common {
    ($($kind:ident),*) => { $(
        impl $kind {
            /// With another time to live than [`LEASE_TTL`]: the longest time for which it stays held when its holder dies.
            #[must_use]
            pub fn ttl(mut self, ttl: Duration) -> Self {
                self.acquire.ttl = ttl.max(LEASE_TTL_SHORTEST);
                self
            }

            /// What is held ends with this session as well, and not with the client. That the session is lost only
            /// [`Session::lost`] tells at once; a guard learns of it with its next renewal, at a third of its time to live.
            #[must_use]
            pub fn with_session(mut self, session: &Session) -> Self {
                self.acquire.session = session.id();
                self
            }

            /// Who holds it and who waits.
            ///
            /// # Errors
            /// As any coordination call.
            pub async fn info(&self) -> Result<Line, Error> {
                let Acquire { client, name, kind, .. } = &self.acquire;
                Ok(client.read(LockInfo { kind: *kind, name: name.clone() }, false).await?.0)
            }
        }
    )* };
}

common!(Lock, Semaphore, ReadWriteLock);

impl Lock {
    /// Waits until it is held.
    ///
    /// # Errors
    /// [`Error::Refused`] with `owner-ended` or `too-many`, and what any call may fail with.
    pub async fn acquire(&self) -> Result<Guard, Error> {
        self.acquire.clone().guard(Wait::Always).await
    }

    /// Waits until it is held, or `wait` is over: then `None`.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub async fn acquire_within(&self, wait: Wait) -> Result<Option<Guard>, Error> {
        unless_held(self.acquire.clone().guard(wait).await)
    }

    /// Takes it if nobody holds it.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        self.acquire_within(Wait::No).await
    }
}

impl Semaphore {
    /// Waits until it has so many permits.
    ///
    /// # Errors
    /// [`Error::Refused`] with `capacity-differs` if others have named another, and as [`Lock::acquire`].
    pub async fn acquire(&self, permits: u32) -> Result<Guard, Error> {
        Acquire { permits, ..self.acquire.clone() }.guard(Wait::Always).await
    }

    /// Waits until it has them, or `wait` is over: then `None`.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    pub async fn acquire_within(&self, permits: u32, wait: Wait) -> Result<Option<Guard>, Error> {
        unless_held(Acquire { permits, ..self.acquire.clone() }.guard(wait).await)
    }
}

impl ReadWriteLock {
    /// Waits until it may read, with other readers.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub async fn read(&self) -> Result<Guard, Error> {
        self.acquire.clone().guard(Wait::Always).await
    }

    /// Waits until it is alone.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub async fn write(&self) -> Result<Guard, Error> {
        Acquire { kind: LockKind::Write, ..self.acquire.clone() }.guard(Wait::Always).await
    }

    /// Waits until it may read, or `wait` is over: then `None`.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub async fn read_within(&self, wait: Wait) -> Result<Option<Guard>, Error> {
        unless_held(self.acquire.clone().guard(wait).await)
    }

    /// Waits until it is alone, or `wait` is over: then `None`.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub async fn write_within(&self, wait: Wait) -> Result<Option<Guard>, Error> {
        unless_held(Acquire { kind: LockKind::Write, ..self.acquire.clone() }.guard(wait).await)
    }
}

impl Guard {
    /// The fencing token: higher than that of every hold before. Whoever writes somewhere else on the strength of this lock
    /// passes it on, and the other place refuses lower ones.
    pub fn token(&self) -> u64 {
        self.held.token
    }

    /// The number of the hold, by which anybody may give it back.
    pub fn hold(&self) -> u64 {
        self.held.hold
    }

    /// Whether it is held, as far as this side knows at this moment.
    pub fn is_held(&self) -> bool {
        self.lease.is_held()
    }

    /// Returns when it is lost.
    pub async fn lost(&self) -> Lost {
        self.lease.lost().await
    }

    /// Gives it back.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it was lost before.
    pub async fn release(mut self) -> Result<(), Error> {
        self.lease.stop();
        self.released = true;
        lost_if_not_held(self.acquire.release(&self.identity, self.held.hold).await)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.released || !self.lease.is_held() {
            return;
        }
        let (acquire, identity, hold) = (self.acquire.clone(), Arc::clone(&self.identity), self.held.hold);
        // Without a runtime there is nobody to say it: it ends with its time to live.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { acquire.release(&identity, hold).await.map(drop) });
        }
    }
}

impl Acquire {
    fn new(client: &Client, name: Text, kind: LockKind) -> Self {
        Self { client: client.clone(), name, kind, permits: 1, capacity: 1, ttl: LEASE_TTL, session: 0 }
    }

    fn body(&self, wait: Wait) -> LockAcquire {
        let Self { name, kind, permits, capacity, ttl, session, .. } = self;
        let (name, ttl, wait) = (name.clone(), millis(*ttl), wait.to_body());
        LockAcquire { capacity: *capacity, kind: *kind, name, permits: *permits, session: *session, ttl, wait }
    }

    async fn guard(self, wait: Wait) -> Result<Guard, Error> {
        let client = self.client.clone();
        let Answered { answer: held, identity, mut asked } =
            client.write_waiting(self.body(wait), wait, Undo(self.clone())).await?;
        let ttl = held_for(&client, self.session, self.ttl);
        if asked.elapsed() > ttl / 3 {
            // When it was granted is not known: only a renewal tells how long it is held.
            asked = Instant::now();
            lost_if_not_held(self.renew(&identity, held.hold).await)?;
        }
        let (acquire, owner, hold) = (self.clone(), Arc::clone(&identity), held.hold);
        let lease = Lease::keep(asked, ttl, move || {
            let (acquire, owner) = (acquire.clone(), Arc::clone(&owner));
            async move { acquire.renew(&owner, hold).await }
        });
        Ok(Guard { acquire: self, identity, held, lease, released: false })
    }

    async fn renew(&self, identity: &Arc<Identity>, hold: u64) -> Result<(), Error> {
        let renew = LockRenew { hold, kind: self.kind, name: self.name.clone(), ttl: 0 };
        self.client.write_as(identity, renew).await.map(drop)
    }

    async fn release(&self, identity: &Arc<Identity>, hold: u64) -> Result<(), Error> {
        let release = LockRelease { hold, kind: self.kind, name: self.name.clone() };
        self.client.write_as(identity, release).await.map(drop)
    }
}

/// Gives back what was granted to somebody who is gone.
struct Undo(Acquire);

impl AsyncUndo<Held> for Undo {
    async fn undo(self, answered: Answered<Held>) {
        // If this fails too, it ends with its time to live.
        let _ = self.0.release(&answered.identity, answered.answer.hold).await;
    }
}

/// How long the cluster leaves it to a holder who is silent: without a session it ends with the client as well.
pub(super) fn held_for(client: &Client, session: u64, ttl: Duration) -> Duration {
    if session == 0 { ttl.min(client.client_ttl()) } else { ttl }
}

/// `None` if the time for waiting was not enough.
pub(super) fn unless_held<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(held) => Ok(Some(held)),
        Err(Error::Refused(Refusal { code: Code::Busy | Code::TimedOut, .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a holder is told if he holds no more.
pub(super) fn lost_if_not_held<T>(outcome: Result<T, Error>) -> Result<T, Error> {
    outcome.map_err(|error| match error.code() {
        Some(Code::NotHeld | Code::StaleLease) => Error::LeaseLost(Lost::Ended),
        Some(_) | None => error,
    })
}
