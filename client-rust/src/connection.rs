//! [`Client`]: one connection to an agent, its task, and the way of a call through it.
//!
//! The task reads and writes; everybody else talks to it through a bounded queue of requests and the table of waiters.
//! What the commands are is in `membership.rs` and `subscriptions.rs`.

use std::sync::Arc;
use std::time::Duration;

use folkmoot_proto::{
    AgentRequest, AuthRequest, Command, Decode, FrameReader, HandshakeRequest, Request, Text, VERSION, texts,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::dial::{Reader, Writer, dial};
use crate::error::{ConnectError, Error};
use crate::limits::{DIAL_TIMEOUT, REQUEST_QUEUE, WRITE_TIMEOUT};
use crate::table::{Expected, Reply, Table, Waiter};

/// How to reach an agent.
#[derive(Clone)]
pub struct ConnectOptions {
    /// `host:port`, or `unix://PATH`.
    pub address: String,
    /// The agent's `rpc_auth`; empty: do not authenticate.
    pub auth_key: Text,
    /// Time to reach the agent, and again for its greeting; [`DIAL_TIMEOUT`] by default.
    pub dial_timeout: Duration,
    /// Time to wait for the reply to each call. `None`, the default, waits as long as the connection lives: a join or
    /// a leave of a big cluster may take minutes.
    pub call_timeout: Option<Duration>,
}

impl ConnectOptions {
    /// An agent without key.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), auth_key: Text::default(), dial_timeout: DIAL_TIMEOUT, call_timeout: None }
    }

    /// With a key.
    pub fn auth_key(mut self, key: impl Into<Text>) -> Self {
        self.auth_key = key.into();
        self
    }
}

impl std::fmt::Debug for ConnectOptions {
    /// Without the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ConnectOptions")
            .field("address", &self.address)
            .field("dial_timeout", &self.dial_timeout)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

/// A connection to an agent. Cheap to clone; all clones share the connection, which closes with the last of them and
/// of their subscriptions.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Arc<Table>,
    requests: mpsc::Sender<Vec<u8>>,
    call_timeout: Option<Duration>,
}

impl Client {
    /// Connects, agrees on the version and authenticates if there is a key. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error::Connect`] if the agent cannot be reached, [`Error::Auth`] if it does not take the key.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, Error> {
        let (reader, writer) = dial(&options.address, options.dial_timeout).await?;
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
        let table = Arc::new(Table::default());
        tokio::spawn(run(reader, writer, queue, Arc::clone(&table)));
        let client = Self { shared: Arc::new(Shared { table, requests, call_timeout: options.call_timeout }) };
        let greeted = timeout(options.dial_timeout, client.greet(&options.auth_key)).await;
        greeted.map_err(|_| ConnectError::TimedOut { address: options.address.clone() })??;
        Ok(client)
    }

    async fn greet(&self, auth_key: &Text) -> Result<(), Error> {
        self.call(Request::Handshake(HandshakeRequest { version: VERSION })).await?;
        if !auth_key.is_empty() {
            self.call(Request::Auth(AuthRequest { auth_key: auth_key.clone() })).await?;
        }
        Ok(())
    }

    /// Whether the connection is gone. Every call would fail.
    pub fn is_closed(&self) -> bool {
        self.shared.table.ended().is_some()
    }

    pub(crate) fn table(&self) -> &Table {
        &self.shared.table
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

    /// A call whose reply is for the caller to judge.
    pub(crate) async fn exchange(&self, request: Request) -> Result<(Command, Reply), Error> {
        let command = request.command();
        let (reply, answer) = oneshot::channel();
        self.send(&request, Waiter::Call { command, reply }).await?;
        Ok((command, self.wait(command, answer).await?))
    }

    /// Sends a request whose reply nobody waits for, if there is room.
    pub(crate) fn send_unanswered(&self, request: &Request) {
        let (reply, _) = oneshot::channel();
        let Ok(place) = self.shared.requests.try_reserve() else { return };
        if let Ok(seq) = self.shared.table.register(Waiter::Call { command: request.command(), reply }) {
            place.send(request.to_bytes(seq));
        }
    }

    /// Sends a request for `waiter`. Waits for room first, so that a caller who gives up leaves nothing behind.
    pub(crate) async fn send(&self, request: &Request, waiter: Waiter) -> Result<u64, Error> {
        let Ok(place) = self.shared.requests.reserve().await else {
            return Err(self.shared.table.ended().unwrap_or(Error::Closed));
        };
        let seq = self.shared.table.register(waiter)?;
        place.send(request.to_bytes(seq));
        Ok(seq)
    }

    /// Waits for the reply.
    pub(crate) async fn wait(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<Reply, Error>>,
    ) -> Result<Reply, Error> {
        let answered = match self.shared.call_timeout {
            Some(limit) => timeout(limit, answer).await.map_err(|_| Error::Timeout { command: command.name() })?,
            None => answer.await,
        };
        answered.unwrap_or(Err(Error::Closed))
    }
}

/// The error a reply tells of, if any.
pub(crate) fn succeeded(command: Command, error: &Text) -> Result<(), Error> {
    let text = || error.to_string_lossy().into_owned();
    match error.as_str() {
        Some("") => Ok(()),
        Some(texts::AUTHENTICATION_REQUIRED | texts::INVALID_AUTH_TOKEN) => Err(Error::Auth { text: text() }),
        _ => Err(Error::Remote { command: command.name(), text: text() }),
    }
}

/// Reads the body of a reply.
pub(crate) fn decode_body<T: Decode>(reply: &Reply) -> Result<T, Error> {
    let body = reply.body.as_deref().unwrap_or_default();
    T::decode(body).map_err(|error| Error::Protocol { reason: error.to_string().into() })
}

/// The connection's task: ends, and closes the socket, when either direction does.
async fn run(reading: Reader, writing: Writer, requests: mpsc::Receiver<Vec<u8>>, table: Arc<Table>) {
    let error = tokio::select! {
        error = read(reading, &table) => error,
        error = write(writing, requests) => error,
    };
    table.end(&error);
}

async fn read(mut stream: Reader, table: &Table) -> Error {
    let mut frames = FrameReader::for_responses();
    let mut expected = Expected::default();
    loop {
        match frames.next() {
            Err(error) => return Error::Protocol { reason: error.to_string().into() },
            Ok(Some(object)) => match table.take(expected, &object) {
                Ok(next) => expected = next,
                Err(error) => return error,
            },
            Ok(None) => {
                let mut space = frames.space();
                if !matches!(stream.read_buf(&mut space).await, Ok(1..)) {
                    return Error::Closed;
                }
            }
        }
    }
}

async fn write(mut stream: Writer, mut requests: mpsc::Receiver<Vec<u8>>) -> Error {
    while let Some(request) = requests.recv().await {
        match timeout(WRITE_TIMEOUT, stream.write_all(&request)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Error::Closed,
            Err(_) => return Error::Timeout { command: "write" },
        }
    }
    Error::Closed
}
