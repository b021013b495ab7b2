//! [`Lock`], [`Semaphore`], [`ReadWriteLock`]: mutual exclusion with fencing tokens, and the [`Guard`] of what is held.

use std::sync::Arc;
use std::time::Duration;

use folkmoot_proto::Text;
pub use folkmoot_proto::coordination::Line;
use folkmoot_proto::coordination::{Held, LockAcquire, LockInfo, LockKind, LockRelease, LockRenew};

use super::call::Answered;
use super::hold::{self, GiveBack, Owed, Renew, Terms, unless_held};
use super::identity::Identity;
use super::lease::Lost;
use super::session::Bond;
use super::{Wait, millis};
use crate::client::Client;
use crate::error::Error;
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
    session: Option<Bond>,
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
    held: hold::Held<LockHold>,
    token: u64,
}

/// One hold of a lock.
#[derive(Debug, Clone)]
struct LockHold {
    client: Client,
    identity: Arc<Identity>,
    name: Text,
    kind: LockKind,
    hold: u64,
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
        let base = Acquire::new(self, name.into(), LockKind::Lock);
        let body = LockAcquire { session, ttl, ..base.body(wait) };
        let granted = async move |granted: Answered<Held>| Ok((base.owed(&granted), granted.answer));
        let (mut owed, held) = self.write_waiting(body, wait, granted).await?;
        owed.settle();
        Ok(held)
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

            /// What is held ends with this session as well, and not with the client.
            #[must_use]
            pub fn with_session(mut self, session: impl Into<Bond>) -> Self {
                self.acquire.session = Some(session.into());
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
        self.token
    }

    /// The number of the hold, by which anybody may give it back.
    pub fn hold(&self) -> u64 {
        self.held.what().hold
    }

    /// Whether it is held, as far as this side knows at this moment: it and the session that it ends with are renewed.
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }

    /// Returns when it is lost, or its session is.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        self.held.lost()
    }

    /// Gives it back. If that is not waited for to its end, it goes on in the background.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it was lost before.
    pub async fn release(self) -> Result<(), Error> {
        self.held.give_back().await
    }
}

impl Acquire {
    fn new(client: &Client, name: Text, kind: LockKind) -> Self {
        Self { client: client.clone(), name, kind, permits: 1, capacity: 1, ttl: LEASE_TTL, session: None }
    }

    fn body(&self, wait: Wait) -> LockAcquire {
        let Self { name, kind, permits, capacity, ttl, session, .. } = self;
        let (name, ttl, wait) = (name.clone(), millis(*ttl), wait.to_body());
        let session = session.as_ref().map_or(0, Bond::id);
        LockAcquire { capacity: *capacity, kind: *kind, name, permits: *permits, session, ttl, wait }
    }

    fn owed(&self, granted: &Answered<Held>) -> Owed<LockHold> {
        let Self { client, name, kind, .. } = self.clone();
        Owed::new(LockHold { client, identity: Arc::clone(&granted.identity), name, kind, hold: granted.answer.hold })
    }

    async fn guard(self, wait: Wait) -> Result<Guard, Error> {
        let (client, body) = (self.client.clone(), self.body(wait));
        let terms = Terms::new(&client, self.ttl, self.session.as_ref());
        let granted = async move |granted: Answered<Held>| {
            let held = self.owed(&granted).hold(granted.asked, &terms).await?;
            Ok(Guard { held, token: granted.answer.token })
        };
        client.write_waiting(body, wait, granted).await
    }
}

impl GiveBack for LockHold {
    async fn give_back(&self) -> Result<(), Error> {
        let Self { client, identity, name, kind, hold } = self;
        let release = LockRelease { hold: *hold, kind: *kind, name: name.clone() };
        client.write_as(identity, release).await.map(drop)
    }
}

impl Renew for LockHold {
    async fn renew(&self) -> Result<(), Error> {
        let Self { client, identity, name, kind, hold } = self;
        let renew = LockRenew { hold: *hold, kind: *kind, name: name.clone(), ttl: 0 };
        client.write_as(identity, renew).await.map(drop)
    }
}
