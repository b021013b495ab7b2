//! [`Connection`]: one connection to an agent, its task, and the way of a call through it.
//!
//! The task reads and writes; everybody else talks to it through a bounded queue of requests and the table of waiters.
//! Which connection a client uses, and what happens after its end, is in `client.rs`.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use folkmoot_proto::{
    AgentRequest, AuthRequest, Command, Decode, FrameReader, HandshakeRequest, Request, StopRequest, Text, VERSION,
    texts,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::dial::{Reader, Writer, dial};
use crate::error::{ConnectError, Error};
use crate::limits::{LAST_WORDS, REQUEST_QUEUE, WRITE_BATCH, WRITE_TIMEOUT};
use crate::probe;
use crate::table::{Expected, Reply, Table, Unanswered, Waiter};

/// A connection that is greeted. It closes with its last user.
#[derive(Debug)]
pub(crate) struct Connection {
    table: Arc<Table>,
    requests: mpsc::Sender<Vec<u8>>,
}

/// A request that is sent and its answer on the way.
#[derive(Debug)]
pub(crate) struct Pending {
    command: Command,
    answer: oneshot::Receiver<Result<Reply, Unanswered>>,
}

impl Connection {
    /// Connects, agrees on the version and authenticates if there is a key. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error::Connect`] if the agent cannot be reached, [`Error::Auth`] if it does not take the key.
    pub(crate) async fn open(address: &str, auth_key: &Text, limit: Duration) -> Result<Self, Error> {
        let (reader, writer) = dial(address, limit).await?;
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
        let table = Arc::new(Table::default());
        tokio::spawn(run(reader, writer, queue, requests.downgrade(), Arc::clone(&table)));
        let connection = Self { table, requests };
        let address = || address.to_owned();
        match timeout(limit, connection.greet(auth_key)).await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(Error::Closed)) => {
                Err(ConnectError::Handshake { address: address(), reason: "connection closed".into() }.into())
            }
            Ok(Err(Error::Protocol { reason })) => Err(ConnectError::Handshake { address: address(), reason }.into()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConnectError::TimedOut { address: address() }.into()),
        }
    }

    async fn greet(&self, auth_key: &Text) -> Result<(), Error> {
        let handshake = Request::Handshake(HandshakeRequest { version: VERSION });
        let reply = self.start(&handshake).await?.wait(None).await?;
        succeeded(handshake.command(), &reply.error)?;
        if !auth_key.is_empty() {
            let auth = Request::Auth(AuthRequest { auth_key: auth_key.clone() });
            let reply = self.start(&auth).await?.wait(None).await?;
            succeeded(auth.command(), &reply.error)?;
        }
        Ok(())
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Sends a request that is answered once.
    pub(crate) async fn start(&self, request: &Request) -> Result<Pending, Error> {
        let (reply, answer) = oneshot::channel();
        let command = request.command();
        self.send(request, Waiter::Call { command, reply }).await?;
        Ok(Pending { command, answer })
    }

    /// Ends the subscription `seq`; nobody waits for the reply.
    pub(crate) fn stop_unanswered(&self, seq: u64) {
        self.table.stop_later(seq);
        // Where there is no room, requests wait to be written, and this one's turn comes with theirs.
        if let Ok(place) = self.requests.try_reserve() {
            place.send(stops(&self.table));
        }
    }

    /// Sends a request for `waiter`. Waits for room first, so that a caller who gives up leaves nothing behind.
    pub(crate) async fn send(&self, request: &Request, waiter: Waiter) -> Result<u64, Error> {
        let Ok(place) = self.requests.reserve().await else {
            return Err(self.table.ended().unwrap_or(Error::Closed));
        };
        let seq = self.table.register(waiter)?;
        place.send(request.to_bytes(seq));
        Ok(seq)
    }
}

impl Pending {
    /// Of a request that was sent for another waiter.
    pub(crate) fn new(command: Command, answer: oneshot::Receiver<Result<Reply, Unanswered>>) -> Self {
        Self { command, answer }
    }

    /// Waits for the reply, for `limit` if there is one. Giving up loses the reply, not the connection.
    pub(crate) async fn wait(&mut self, limit: Option<Duration>) -> Result<Reply, Unanswered> {
        let late = Error::Timeout { command: self.command.name() };
        let answered = match limit {
            Some(limit) => timeout(limit, &mut self.answer).await.map_err(|_| Unanswered::Lost(late))?,
            None => (&mut self.answer).await,
        };
        answered.unwrap_or(Err(Unanswered::Lost(Error::Closed)))
    }
}

/// The requests that end the subscriptions nobody has any more. Their replies are for nobody.
fn stops(table: &Table) -> Vec<u8> {
    let stop = |(seq, stop)| Request::from(AgentRequest::Stop(StopRequest { stop })).to_bytes(seq);
    table.take_stops().into_iter().flat_map(stop).collect()
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

/// The connection's task: ends, and closes the socket, when nobody uses it, when nothing more comes or can be sent, or when
/// nobody is at the other end.
async fn run(
    reading: Reader,
    writing: Writer,
    requests: mpsc::Receiver<Vec<u8>>,
    asking: mpsc::WeakSender<Vec<u8>>,
    table: Arc<Table>,
) {
    let mut reading = pin!(read(reading, &table));
    let error = tokio::select! {
        error = &mut reading => error,
        error = probe::watch(&table, asking) => error,
        written = write(writing, requests, &table) => match written {
            Ok(()) => Error::Closed,
            // Answers that came before are read first: one of them may say why the agent takes nothing more.
            Err(error) => timeout(LAST_WORDS, reading).await.unwrap_or(error),
        },
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
                Ok(next) => {
                    expected = next;
                    if let Some((queue, record)) = table.take_held() {
                        // Whoever does not read any more has closed it.
                        let _ = queue.send(record).await;
                    }
                }
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

/// Requests that wait together leave in one write, so that a pipeline costs one call of the system. Until nobody has the
/// connection.
async fn write(mut stream: Writer, mut requests: mpsc::Receiver<Vec<u8>>, table: &Table) -> Result<(), Error> {
    while let Some(mut bytes) = requests.recv().await {
        while bytes.len() < WRITE_BATCH {
            let Ok(more) = requests.try_recv() else { break };
            bytes.extend_from_slice(&more);
        }
        bytes.extend(stops(table));
        match timeout(WRITE_TIMEOUT, stream.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Error::Closed),
            Err(_) => return Err(Error::Timeout { command: "write" }),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
