//! Gossip streams: one task per TCP connection, dialled or accepted, with bounded queues both ways.
//!
//! What a stream means is the engine's business; here bytes go in and out. The node task never waits for one: a stream
//! that does not keep up with what is written to it fails. Readers wait for the node task, so a fast peer is slowed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use folkmoot_serf::{StreamId, StreamInput};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::go_errors;
use super::places::{Place, Places};
use crate::limits::{
    ACCEPT_BACKOFF_LONGEST, ACCEPT_BACKOFF_SHORTEST, ACCEPTED_WAITING, INBOUND_STREAMS, INBOUND_STREAMS_PER_SOURCE,
    OPEN_STREAMS, REFUSAL_WARNING_INTERVAL, STREAM_FLUSH_LIMIT, STREAM_INPUTS_WAITING, STREAM_PIECE_BYTES,
    STREAM_WRITES_WAITING,
};
use crate::shutdown::ShutdownToken;

/// The node task's side of all streams.
#[derive(Debug)]
pub struct Streams {
    open: BTreeMap<StreamId, Open>,
    inputs: mpsc::Receiver<(StreamId, Input)>,
    input_sender: mpsc::Sender<(StreamId, Input)>,
    accepted: mpsc::Receiver<Accepted>,
}

/// The way to a stream's task. Dropping it lets the stream get its last bytes out and ends it.
#[derive(Debug)]
struct Open {
    writes: mpsc::Sender<Bytes>,
    _keep_open: oneshot::Sender<Never>,
}

/// What the task of a stream holds.
#[derive(Debug)]
struct Orders {
    writes: mpsc::Receiver<Bytes>,
    closed: oneshot::Receiver<Never>,
}

/// Nothing is ever sent: only the end of the channel means something.
#[derive(Debug)]
enum Never {}

fn orders() -> (Open, Orders) {
    let (writes, received) = mpsc::channel(STREAM_WRITES_WAITING);
    let (keep_open, closed) = oneshot::channel();
    (Open { writes, _keep_open: keep_open }, Orders { writes: received, closed })
}

/// A connection a peer opened; it becomes a stream with [`Streams::adopt`].
#[derive(Debug)]
pub struct Accepted {
    stream: TcpStream,
    from: SocketAddr,
    place: Place,
}

/// What happened on a stream, owned; [`Input::as_engine_input`] shows it to the engine.
#[derive(Debug)]
pub enum Input {
    /// The dial succeeded.
    Connected,
    /// Bytes arrived.
    Bytes(Bytes),
    /// The peer will send no more.
    Finished,
    /// The stream is gone; in Go's words.
    Failed(String),
}

/// What the node task does next about streams.
#[derive(Debug)]
pub enum StreamEvent {
    /// A peer connected.
    Accepted(Accepted),
    /// Something happened on a stream.
    Input(StreamId, Input),
}

impl Input {
    /// The same for the engine.
    pub fn as_engine_input(&self) -> StreamInput<'_> {
        match self {
            Self::Connected => StreamInput::Connected,
            Self::Bytes(bytes) => StreamInput::Bytes(bytes),
            Self::Finished => StreamInput::Finished,
            Self::Failed(reason) => StreamInput::Failed { reason },
        }
    }
}

impl Accepted {
    /// Where the connection comes from.
    pub fn from(&self) -> SocketAddr {
        self.from
    }
}

impl Streams {
    /// Starts accepting on `listener` until `stop`.
    pub fn start(listener: TcpListener, stop: ShutdownToken) -> Self {
        let (input_sender, inputs) = mpsc::channel(STREAM_INPUTS_WAITING);
        let (sender, accepted) = mpsc::channel(ACCEPTED_WAITING);
        tokio::spawn(accept_all(listener, sender, stop));
        Self { open: BTreeMap::new(), inputs, input_sender, accepted }
    }

    /// The next thing that happened. Cancel-safe; waits for ever when nothing happens.
    pub async fn next(&mut self) -> StreamEvent {
        tokio::select! {
            Some((id, input)) = self.inputs.recv() => self.noted(id, input),
            Some(accepted) = self.accepted.recv() => StreamEvent::Accepted(accepted),
            else => std::future::pending().await,
        }
    }

    /// The next thing that happened already.
    pub fn try_next(&mut self) -> Option<StreamEvent> {
        if let Ok((id, input)) = self.inputs.try_recv() {
            return Some(self.noted(id, input));
        }
        self.accepted.try_recv().ok().map(StreamEvent::Accepted)
    }

    fn noted(&mut self, id: StreamId, input: Input) -> StreamEvent {
        if matches!(input, Input::Failed(_)) {
            self.open.remove(&id);
        }
        StreamEvent::Input(id, input)
    }

    /// Makes an accepted connection the stream `id`.
    pub fn adopt(&mut self, id: StreamId, accepted: Accepted) {
        let (open, orders) = orders();
        self.open.insert(id, open);
        let inputs = self.input_sender.clone();
        tokio::spawn(async move {
            serve(id, accepted.stream, accepted.from, orders, inputs).await;
            drop(accepted.place);
        });
    }

    /// Dials `to` as stream `id`. The engine keeps the time limit; failure comes back as an input.
    ///
    /// # Errors
    /// Too many streams are open; the text says so.
    pub fn connect(&mut self, id: StreamId, to: SocketAddr) -> Result<(), String> {
        if self.open.len() >= OPEN_STREAMS {
            return Err(format!("dial tcp {to}: too many open gossip streams"));
        }
        let (open, orders) = orders();
        self.open.insert(id, open);
        tokio::spawn(dial(id, to, orders, self.input_sender.clone()));
        Ok(())
    }

    /// Queues bytes for a stream; nothing happens if it is gone.
    ///
    /// # Errors
    /// Its queue is full: the stream has failed, for the reason given.
    pub fn write(&mut self, id: StreamId, bytes: Bytes) -> Result<(), String> {
        let Some(open) = self.open.get(&id) else { return Ok(()) };
        match open.writes.try_send(bytes) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.open.remove(&id);
                Err("write tcp: the peer does not read".to_owned())
            }
        }
    }

    /// Lets a stream get its last bytes out, then ends it. Its inputs from here on mean nothing.
    pub fn close(&mut self, id: StreamId) {
        self.open.remove(&id);
    }
}

/// Dials and serves one stream.
async fn dial(id: StreamId, to: SocketAddr, mut orders: Orders, inputs: mpsc::Sender<(StreamId, Input)>) {
    let connected = tokio::select! {
        connected = TcpStream::connect(to) => connected,
        _ = &mut orders.closed => return,
    };
    match connected {
        Ok(stream) => {
            let _ = inputs.send((id, Input::Connected)).await;
            serve(id, stream, to, orders, inputs).await;
        }
        Err(error) => {
            let _ = inputs.send((id, Input::Failed(go_errors::dial(to, &error)))).await;
        }
    }
}

/// Reads and writes until the stream is closed or fails.
async fn serve(
    id: StreamId,
    stream: TcpStream,
    peer: SocketAddr,
    orders: Orders,
    inputs: mpsc::Sender<(StreamId, Input)>,
) {
    let local = stream.local_addr().ok();
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let failure = tokio::select! {
        error = read_all(id, &mut reader, &inputs) => Some(go_errors::transfer("read", local, peer, &error)),
        result = write_all(&mut writer, orders.writes) => {
            result.err().map(|error| go_errors::transfer("write", local, peer, &error))
        }
        () = cut_off(orders.closed) => None,
    };
    if let Some(reason) = failure {
        let _ = inputs.send((id, Input::Failed(reason))).await;
    }
}

/// Hands on what arrives. Returns on an error only: after the peer's end of stream it waits until it is dropped.
async fn read_all(
    id: StreamId,
    reader: &mut OwnedReadHalf,
    inputs: &mpsc::Sender<(StreamId, Input)>,
) -> std::io::Error {
    let mut buffer = vec![0; STREAM_PIECE_BYTES];
    loop {
        let input = match reader.read(&mut buffer).await {
            Ok(0) => Input::Finished,
            Ok(length) => Input::Bytes(Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())),
            Err(error) => return error,
        };
        let ended = matches!(input, Input::Finished);
        if inputs.send((id, input)).await.is_err() || ended {
            return std::future::pending().await;
        }
    }
}

/// Writes what is queued until the node task lets go of the stream, then says that no more will come.
async fn write_all(writer: &mut OwnedWriteHalf, mut writes: mpsc::Receiver<Bytes>) -> std::io::Result<()> {
    while let Some(bytes) = writes.recv().await {
        writer.write_all(&bytes).await?;
    }
    let _ = writer.shutdown().await;
    Ok(())
}

/// Returns when a closed stream has had its time to get the last bytes out.
async fn cut_off(closed: oneshot::Receiver<Never>) {
    let _ = closed.await;
    tokio::time::sleep(STREAM_FLUSH_LIMIT).await;
}

/// Accepts until told to stop. Errors (too many open files) pause it, as in Go.
async fn accept_all(listener: TcpListener, accepted: mpsc::Sender<Accepted>, mut stop: ShutdownToken) {
    let places = Places::new(INBOUND_STREAMS, INBOUND_STREAMS_PER_SOURCE);
    let mut pause = ACCEPT_BACKOFF_SHORTEST;
    let mut refusals = Refusals::default();
    loop {
        let result = tokio::select! {
            result = listener.accept() => result,
            () = stop.requested() => return,
        };
        match result {
            Ok((stream, from)) => {
                pause = ACCEPT_BACKOFF_SHORTEST;
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                let Some(place) = places.take(from.ip()) else {
                    refusals.note(from);
                    continue;
                };
                if accepted.send(Accepted { stream, from, place }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(target: "memberlist", "Error accepting TCP connection: {}", go_errors::cause(&error));
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(ACCEPT_BACKOFF_LONGEST);
            }
        }
    }
}

/// Refused connections: all counted, a few logged.
#[derive(Debug, Default)]
struct Refusals {
    count: u64,
    logged: Option<tokio::time::Instant>,
}

impl Refusals {
    fn note(&mut self, from: SocketAddr) {
        self.count = self.count.saturating_add(1);
        let now = tokio::time::Instant::now();
        if self.logged.is_none_or(|logged| now.duration_since(logged) >= REFUSAL_WARNING_INTERVAL) {
            self.logged = Some(now);
            tracing::warn!(
                target: "memberlist",
                "Too many open streams, refusing one from {from} ({} refused so far)", self.count
            );
        }
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
