//! A way to one member for one purpose: the stream is made when it is needed, shared while it lives and made again when it
//! has ended. Whoever asks may give up at any time; the stream is made all the same.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::{AsyncRuntime, async_runtime};
use tokio::sync::watch;

use crate::hello::{GreetError, Hello, StreamKind, greet};
use crate::limits::{CONNECT_PATIENCE, REOPEN_PAUSE};
use crate::link::Link;
use crate::me::Identity;
use crate::peer::NodeId;
use crate::transport::Transport;

/// A way to one member.
pub(crate) struct Lane<T, A: AsyncRuntime> {
    transport: Arc<T>,
    /// Who we are, if we are a member.
    identity: Option<Arc<Identity>>,
    kind: StreamKind,
    to: NodeId,
    patience: Duration,
    state: Mutex<State<A>>,
}

enum State<A: AsyncRuntime> {
    Closed,
    Opening(watch::Receiver<Option<Opened>>),
    Open(Link),
    /// It did not come about; it is tried again after [`REOPEN_PAUSE`].
    Failed(NoLink, A::Instant),
}

type Opened = Result<Link, NoLink>;

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct NoLink {
    pub(crate) reason: Arc<str>,
    /// One side refused the other: trying again soon will not help.
    pub(crate) refused: bool,
}

impl<T: Transport, A: AsyncRuntime> Lane<T, A> {
    /// A way to `to`. `patience` is that of [`Link::start`].
    pub(crate) fn new(
        transport: Arc<T>,
        identity: Option<Arc<Identity>>,
        kind: StreamKind,
        to: NodeId,
        patience: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { transport, identity, kind, to, patience, state: Mutex::new(State::Closed) })
    }

    /// The stream, made at `address` if there is none.
    ///
    /// # Errors
    /// It could not be made, lately or just now.
    pub(crate) async fn link(self: &Arc<Self>, address: SocketAddr) -> Result<Link, NoLink> {
        let mut opening = match self.start(address) {
            Ok(opened) => return opened,
            Err(opening) => opening,
        };
        let opened = opening.wait_for(Option::is_some).await.ok().and_then(|opened| opened.clone());
        opened.unwrap_or_else(|| Err(NoLink { reason: "given up".into(), refused: false }))
    }

    /// Ends the stream, if there is one, and every request on it.
    pub(crate) fn close(&self, reason: &str) {
        let before = std::mem::replace(&mut *self.state(), State::Closed);
        if let State::Open(link) = before {
            link.close(reason);
        }
    }

    /// What there is, or what to wait for.
    fn start(self: &Arc<Self>, address: SocketAddr) -> Result<Opened, watch::Receiver<Option<Opened>>> {
        let mut state = self.state();
        match &*state {
            State::Open(link) if !link.ended() => return Ok(Ok(link.clone())),
            State::Opening(opening) if opening.has_changed().is_ok() => return Err(opening.clone()),
            State::Failed(error, when) if async_runtime::Instant::elapsed(when) < REOPEN_PAUSE => {
                return Ok(Err(error.clone()));
            }
            State::Open(_) | State::Opening(_) | State::Failed(..) | State::Closed => {}
        }
        let (sender, opening) = watch::channel(None);
        let before = match std::mem::replace(&mut *state, State::Opening(opening.clone())) {
            State::Failed(error, _) => Some(error),
            State::Closed | State::Opening(_) | State::Open(_) => None,
        };
        let lane = self.clone();
        drop(A::spawn(async move {
            let opened = lane.open(address).await;
            if let Err(error) = &opened
                && before.as_ref() != Some(error)
            {
                lane.complain(address, error);
            }
            *lane.state() = match &opened {
                Ok(link) => State::Open(link.clone()),
                Err(error) => State::Failed(error.clone(), async_runtime::Instant::now()),
            };
            sender.send_replace(Some(opened));
        }));
        Err(opening)
    }

    async fn open(&self, address: SocketAddr) -> Opened {
        let hello = Hello {
            kind: self.kind,
            cluster: self.identity.as_ref().and_then(|identity| identity.cluster()),
            from: self.identity.as_ref().map(|identity| identity.me.id),
            to: Some(self.to),
        };
        let opening = async {
            let mut stream = self.transport.connect(address).await.map_err(GreetError::Io)?;
            greet(&mut stream, &hello).await?;
            Ok(Link::start::<A, _>(stream, self.kind, self.patience))
        };
        let error = match A::timeout(CONNECT_PATIENCE, opening).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => error,
            Err(_) => GreetError::Io(std::io::ErrorKind::TimedOut.into()),
        };
        let refused = !matches!(error, GreetError::Io(_)) && !error.passes();
        Err(NoLink { reason: format!("{address}: {error}").into(), refused })
    }

    /// Said once, until the reason changes.
    fn complain(&self, address: SocketAddr, error: &NoLink) {
        if error.refused {
            tracing::warn!(member = %self.to, %address, reason = %error, "a member does not accept our stream");
        } else {
            tracing::debug!(member = %self.to, %address, reason = %error, "a member is not reached");
        }
    }

    fn state(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
