//! [`Session`]: a life that other things depend on, renewed as long as it is held.

use std::sync::Arc;
use std::time::Duration;

use folkmoot_proto::Text;
use folkmoot_proto::coordination::{
    SessionCreate, SessionDestroy, SessionGet, SessionInfo, SessionList, SessionPage, SessionRenew,
};
use tokio::time::Instant;

use super::lease::{Lease, Lost, Standing, held_since};
use super::millis;
use crate::client::Client;
use crate::error::Error;
use crate::limits::{LEASE_TTL, LEASE_TTL_SHORTEST};

/// What a session depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Time without a renewal after which it ends; [`LEASE_TTL`] by default.
    pub ttl: Duration,
    /// It also ends when the connection closes over which it was created: then a client that reconnects has lost it.
    pub with_connection: bool,
    /// It also ends when gossip says that this node failed or left.
    pub with_node: Option<Text>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { ttl: LEASE_TTL, with_connection: false, with_node: None }
    }
}

/// A session. It is renewed in the background until it is dropped or destroyed; dropped, it ends with its time to live.
#[derive(Debug)]
pub struct Session {
    client: Client,
    id: u64,
    lease: Lease,
}

/// A session that something is to end with: a [`Session`], whose loss is seen at once by what is held under it; or the number
/// of one that somebody else renews, whose loss only the cluster tells.
#[derive(Debug, Clone)]
pub struct Bond {
    id: u64,
    standing: Option<Standing>,
}

impl From<&Session> for Bond {
    fn from(session: &Session) -> Self {
        Self { id: session.id, standing: Some(session.lease.standing().clone()) }
    }
}

impl From<u64> for Bond {
    fn from(id: u64) -> Self {
        Self { id, standing: None }
    }
}

impl PartialEq for Bond {
    /// The same session.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Bond {}

impl Bond {
    /// The session's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }
}

impl Client {
    /// Starts a session.
    ///
    /// ```no_run
    /// use folkmoot_client::{Life, SessionOptions};
    ///
    /// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
    /// let session = client.session(SessionOptions::default()).await?;
    /// client.kv().put("workers/n1", "here", Life::Session(&session)).await?;
    /// println!("gone: {}", session.lost().await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn session(&self, options: SessionOptions) -> Result<Session, Error> {
        let ttl = options.ttl.max(LEASE_TTL_SHORTEST);
        let asked = Instant::now();
        let id = self.create_session(&options).await?;
        let asked = held_since(asked, ttl, self.renew_session(id)).await?;
        let client = self.clone();
        let renew = Arc::new(client);
        let lease = Lease::keep(asked, ttl, move || {
            let client = Arc::clone(&renew);
            async move { client.write(SessionRenew { session: id }).await.map(drop) }
        });
        Ok(Session { client: self.clone(), id, lease })
    }

    /// Starts a session that nobody renews unless told to; its number.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn create_session(&self, options: &SessionOptions) -> Result<u64, Error> {
        let create = SessionCreate {
            ttl: millis(options.ttl.max(LEASE_TTL_SHORTEST)),
            with_client: false,
            with_connection: options.with_connection,
            with_node: options.with_node.clone().unwrap_or_default(),
        };
        Ok(self.write(create).await?.session)
    }

    /// Starts the time to live of a session again.
    ///
    /// # Errors
    /// [`Error::Refused`] with `no-session` if it has ended.
    pub async fn renew_session(&self, session: u64) -> Result<(), Error> {
        self.write(SessionRenew { session }).await.map(drop)
    }

    /// Ends a session and what is bound to it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `no-session` if it has ended.
    pub async fn destroy_session(&self, session: u64) -> Result<(), Error> {
        self.write(SessionDestroy { session }).await.map(drop)
    }

    /// A session as it is.
    ///
    /// # Errors
    /// [`Error::Refused`] with `no-session` if it has ended.
    pub async fn session_info(&self, session: u64) -> Result<SessionInfo, Error> {
        Ok(self.read(SessionGet { session }, false).await?.0)
    }

    /// All sessions, read page by page.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        let mut all: Vec<SessionInfo> = Vec::new();
        loop {
            let after = all.last().map_or(0, |info| info.session);
            let (SessionPage { sessions }, _) = self.read(SessionList { after }, false).await?;
            if sessions.is_empty() {
                return Ok(all);
            }
            all.extend(sessions);
        }
    }
}

impl Session {
    /// Its number, for everything that is to depend on it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it lives, as far as this side knows at this moment.
    pub fn is_held(&self) -> bool {
        self.lease.standing().is_held()
    }

    /// Returns when it has ended.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        self.lease.standing().clone().lost()
    }

    /// Ends it and what is bound to it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `no-session` if it has ended already.
    pub async fn destroy(self) -> Result<(), Error> {
        self.lease.end();
        self.client.destroy_session(self.id).await
    }
}
