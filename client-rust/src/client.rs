//! [`Client`]: the user's end. It has one connection at a time, and looks for another agent when that is lost.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use folkmoot_proto::{AgentRequest, Command, Decode, Request};
use tokio::time::{Instant, timeout_at};

use crate::backoff::Backoff;
use crate::connection::{Connection, decode_body, succeeded};
use crate::coordination::Identities;
use crate::error::{ConnectError, Error};
use crate::limits::{CLUSTER_TIMEOUT, RECONNECT_LONGEST, SERF_TIMEOUT};
use crate::options::{ConnectOptions, Notice, Reconnect};
use crate::table::{Reply, Unanswered};

/// A client of an agent, or of any of several. Cheap to clone; all clones share one connection, which closes with the last
/// of them and of their subscriptions.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    call_timeout: Option<Duration>,
}

/// What clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    options: ConnectOptions,
    current: Mutex<Arc<Connection>>,
    /// Which of the addresses is in use. Held by the one who looks for another.
    address: tokio::sync::Mutex<usize>,
    identities: Identities,
}

impl Client {
    /// Connects to the first of the addresses that answers, agrees on the version and authenticates if there is a key.
    /// Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error::Connect`] if no agent can be reached, [`Error::Auth`] if it does not take the key.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, Error> {
        let (index, connection) = dial_any(options, 0, None).await?;
        let current = Mutex::new(Arc::new(connection));
        let (address, identities) = (tokio::sync::Mutex::new(index), Identities::default());
        let shared = Arc::new(Shared { options: options.clone(), current, address, identities });
        Ok(Self { shared, call_timeout: options.call_timeout })
    }

    /// The same client with another [`ConnectOptions::call_timeout`] for the calls made through this handle.
    #[must_use]
    pub fn with_call_timeout(&self, call_timeout: Option<Duration>) -> Self {
        Self { shared: Arc::clone(&self.shared), call_timeout }
    }

    /// Whether the connection is gone. The next call looks for another, if the options allow it.
    pub fn is_closed(&self) -> bool {
        self.current().table().ended().is_some()
    }

    pub(crate) fn identities(&self) -> &Identities {
        &self.shared.identities
    }

    pub(crate) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    pub(crate) fn upgrade(shared: &Weak<Shared>) -> Option<Self> {
        shared.upgrade().map(|shared| Self { call_timeout: shared.options.call_timeout, shared })
    }

    pub(crate) fn call_timeout(&self) -> Option<Duration> {
        self.call_timeout
    }

    /// Time for the reply to one of Serf's commands.
    pub(crate) fn time_for(&self, command: Command) -> Duration {
        self.call_timeout.unwrap_or(if asks_the_cluster(command) { CLUSTER_TIMEOUT } else { SERF_TIMEOUT })
    }

    pub(crate) fn options(&self) -> &ConnectOptions {
        &self.shared.options
    }

    /// The connection, a new one if it was lost.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, Error> {
        let current = self.current();
        match (current.table().ended(), self.shared.options.reconnect) {
            (None, _) => Ok(current),
            (Some(error), Reconnect::Never) => Err(error),
            (Some(_), Reconnect::Within(patience)) => self.reconnect(patience).await,
        }
    }

    /// Looks for an agent for so long, one caller at a time; who waited finds the connection of who looked.
    async fn reconnect(&self, patience: Duration) -> Result<Arc<Connection>, Error> {
        let options = &self.shared.options;
        let now = Instant::now();
        let deadline = now.checked_add(patience).unwrap_or(now + RECONNECT_LONGEST);
        let given_up = || Error::from(ConnectError::TimedOut { address: options.addresses.join(", ") });
        let mut address = timeout_at(deadline, self.shared.address.lock()).await.map_err(|_| given_up())?;
        let mut backoff = Backoff::new();
        let mut told = false;
        loop {
            let Some(lost) = self.current().table().ended() else { return Ok(self.current()) };
            if !mem::replace(&mut told, true) {
                self.tell(|| Notice::Disconnected { address: options.address(*address), reason: lost.to_string() });
            }
            // The next one first: the agent that went away is the least likely to answer.
            let start = address.saturating_add(1);
            let error = match dial_any(options, start, Some(deadline)).await {
                Ok((index, connection)) => {
                    *address = index;
                    self.tell(|| Notice::Reconnected { address: options.address(index) });
                    let connection = Arc::new(connection);
                    *self.shared.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&connection);
                    return Ok(connection);
                }
                Err(error @ Error::Auth { .. }) => return Err(error),
                Err(error) => error,
            };
            let next = Instant::now() + backoff.pause();
            if next >= deadline {
                return Err(error);
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// A connection that nobody else uses, to the agent in use if it still answers.
    pub(crate) async fn connection_apart(&self) -> Result<Arc<Connection>, Error> {
        let start = *self.shared.address.lock().await;
        Ok(Arc::new(dial_any(&self.shared.options, start, None).await?.1))
    }

    /// Whether a lost connection is replaced.
    pub(crate) fn reconnects(&self) -> bool {
        matches!(self.shared.options.reconnect, Reconnect::Within(_))
    }

    fn tell(&self, notice: impl FnOnce() -> Notice) {
        if let Some(observer) = &self.shared.options.observer {
            observer.tell(notice());
        }
    }

    fn current(&self) -> Arc<Connection> {
        Arc::clone(&self.shared.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A call that is answered without a body.
    pub(crate) async fn call(&self, request: impl Into<Request>) -> Result<(), Error> {
        let (command, reply) = self.exchange(request.into()).await?;
        succeeded(command, &reply.error)
    }

    /// A call that is answered with a body.
    pub(crate) async fn call_for<T: Decode>(&self, request: AgentRequest) -> Result<T, Error> {
        let (command, reply) = self.exchange(request.into()).await?;
        succeeded(command, &reply.error)?;
        decode_body(&reply)
    }

    /// A call whose reply is for the caller to judge. If the connection is lost before the request was sent, or after a
    /// question was, it is made once more on another; if the agent did not read it, as often as that happens: somebody
    /// else was answered each time.
    pub(crate) async fn exchange(&self, request: Request) -> Result<(Command, Reply), Error> {
        let command = request.command();
        let limit = Some(self.time_for(command));
        let mut again = self.reconnects();
        loop {
            let connection = self.connection().await?;
            let lost = match connection.start(&request).await {
                Ok(mut pending) => match pending.wait(limit).await {
                    Ok(reply) => return Ok((command, reply)),
                    Err(Unanswered::Unread) if self.reconnects() => continue,
                    Err(Unanswered::Lost(Error::Closed)) if is_question(command) => Error::Closed,
                    Err(unanswered) => return Err(unanswered.into()),
                },
                Err(Error::TooManyCalls) => return Err(Error::TooManyCalls),
                Err(error) => error,
            };
            if !mem::replace(&mut again, false) {
                return Err(lost);
            }
        }
    }
}

/// Whether asking twice is the same as asking once. (An expression that the agent cannot read makes it close the
/// connection, so filtered members are not asked for twice.)
fn is_question(command: Command) -> bool {
    use folkmoot_proto::AgentCommand::{GetCoordinate, HandlersList, ListKeys, Members, Stats};
    matches!(command, Command::Agent(Members | Stats | GetCoordinate | HandlersList | ListKeys))
}

/// Whether the agent answers when its cluster has.
fn asks_the_cluster(command: Command) -> bool {
    use folkmoot_proto::AgentCommand::{InstallKey, Join, Leave, ListKeys, RemoveKey, UseKey};
    matches!(command, Command::Agent(Join | Leave | InstallKey | UseKey | RemoveKey | ListKeys))
}

/// Tries each address once, from `start` on; the first failure is the one reported.
async fn dial_any(
    options: &ConnectOptions,
    start: usize,
    deadline: Option<Instant>,
) -> Result<(usize, Connection), Error> {
    let count = options.addresses.len();
    let mut first_failure = None;
    for step in 0..count {
        let index = start.wrapping_add(step) % count;
        let Some(address) = options.addresses.get(index) else { continue };
        let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        match Connection::open(address, &options.auth_key, options.dial_timeout.min(left)).await {
            Ok(connection) => return Ok((index, connection)),
            Err(error) => {
                first_failure.get_or_insert(error);
            }
        }
    }
    Err(first_failure.unwrap_or(ConnectError::MissingAddress.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_agent::FakeAgent;

    #[tokio::test]
    async fn an_agent_that_lives_and_is_silent_is_not_waited_for_without_end() {
        let agent = FakeAgent::start([]).await;
        let client = agent.client().await;
        agent.fall_silent();
        tokio::time::pause();
        let begun = Instant::now();
        assert!(matches!(client.members().await, Err(Error::Timeout { .. })));
        assert_eq!(begun.elapsed().as_secs(), SERF_TIMEOUT.as_secs());
        assert!(matches!(client.stream("*").await, Err(Error::Timeout { .. })));
        assert_eq!(begun.elapsed().as_secs(), 2 * SERF_TIMEOUT.as_secs());
        let begun = Instant::now();
        assert!(matches!(client.join(["10.0.0.1"], false).await, Err(Error::Timeout { .. })));
        assert_eq!(begun.elapsed().as_secs(), CLUSTER_TIMEOUT.as_secs());
    }
    #[tokio::test]
    async fn a_stream_that_a_silent_agent_does_not_stop_is_left() {
        let agent = FakeAgent::start([]).await;
        let stream = agent.client().await.stream("*").await.unwrap();
        agent.fall_silent();
        tokio::time::pause();
        assert!(matches!(stream.stop().await, Err(Error::Timeout { .. } | Error::Closed)));
    }
}
