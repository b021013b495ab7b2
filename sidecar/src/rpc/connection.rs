//! One client, from accept to close: reads requests, one after the other, and answers each before it reads the next.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use folkmoot_proto::{
    AgentRequest, AuthRequest, Command, Decode, DecodeError, FrameReader, HandshakeRequest, Header, VERSION,
    limits as proto_limits, texts,
};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::Instant;
use tracing::{error, warn};

use super::limits::{DRAIN, GRACE, GREETING_LENGTH, LARGE_REQUESTS, LOGGED_LENGTH};
use super::session::{Fault, Session};
use super::socket::Accepted;
use super::stage::{Stage, Verdict};
use super::writer::{self, Closed};
use super::{Context, coordination, dispatch};
use crate::net::go_errors;

/// Serves one client until it goes, errs, or `stop` is true.
pub(super) async fn serve(accepted: Accepted, context: Arc<Context>, stop: watch::Receiver<bool>) {
    let Accepted { reader, writer, peer } = accepted;
    let (outbox, writer) = writer::channel(writer, peer, context.stall);
    let (close, closing) = oneshot::channel();
    let mut writing = tokio::spawn(writer.run(closing));

    let mut connection = Connection {
        reader,
        frames: FrameReader::with_limit(GREETING_LENGTH),
        header: Header::default(),
        stage: Stage::Fresh,
        let_in_by: Some(Instant::now() + context.greeting),
        large: None,
        session: Session::new(context, outbox),
        stop: stop.clone(),
    };
    connection.run().await;
    let calls = std::mem::take(&mut connection.session.calls);
    drop(connection);
    tokio::select! {
        () = calls.finish() => {}
        () = overdue(stop.clone()) => {}
    }

    // The last replies still have to reach the client; a writer that cannot get rid of them ends by itself.
    drop(close);
    let mut stop = stop;
    let stopped = async {
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        _ = &mut writing => {}
        () = stopped => writing.abort(),
    }
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;

struct Connection {
    reader: Reader,
    frames: FrameReader,
    /// One for the whole connection: what a client leaves out keeps its value (section 5).
    header: Header,
    stage: Stage,
    /// When the client has to be let in; `None` once it is.
    let_in_by: Option<Instant>,
    /// Held from the moment a request is known to be long until it is served.
    large: Option<OwnedSemaphorePermit>,
    session: Session,
    stop: watch::Receiver<bool>,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The client went between two objects.
    #[error("EOF")]
    Finished,
    /// The writer failed or the agent stops.
    #[error("use of closed network connection")]
    Closed,
    /// The client went in the middle of an object.
    #[error("unexpected EOF")]
    Truncated,
    /// The request is long, and too many such are being read.
    #[error("too-many-large-requests: {LARGE_REQUESTS} are being read")]
    Crowded,
    #[error("{}", go_errors::cause(.0))]
    Io(#[from] io::Error),
    #[error("{}", describe(.0))]
    Frame(#[from] DecodeError),
}

impl Connection {
    async fn run(&mut self) {
        loop {
            let object = match self.next_object().await {
                Ok(object) => object,
                Err(End::Finished | End::Closed) => return,
                Err(end) => {
                    error!(target: "agent.ipc", "failed to decode request header: {end}");
                    return;
                }
            };
            if let Err(fault) = self.header.update(&object) {
                error!(target: "agent.ipc", "failed to decode request header: {}", clip(&describe(&fault)));
                return;
            }
            let overdue = overdue(self.stop.clone());
            let served = tokio::select! {
                served = self.request() => served,
                () = overdue => return,
            };
            match served {
                Ok(()) => {}
                Err(Fault::Gone) => return,
                Err(fault) => {
                    error!(target: "agent.ipc", "Failed to evaluate request: {}", clip(&fault.to_string()));
                    return;
                }
            }
        }
    }

    /// Serves the request whose header has been read.
    async fn request(&mut self) -> Result<(), Fault> {
        let seq = self.header.seq;
        self.session.context().settings.telemetry.count("agent.ipc.command");
        match self.stage.judge(Command::parse(self.header.command.as_bytes())) {
            Verdict::Handshake => self.handshake(seq).await,
            Verdict::Auth => self.auth(seq).await,
            Verdict::Serve(command) => {
                let body = if command.has_body() { self.body().await? } else { Bytes::new() };
                let request = AgentRequest::decode(command, &body).map_err(|fault| Fault::Body(describe(&fault)))?;
                drop(body);
                dispatch::serve(&mut self.session, seq, request).await
            }
            Verdict::Coordinate(command) => {
                let body = self.body().await?;
                coordination::serve(&mut self.session, seq, command, body).await
            }
            Verdict::Refuse(text) => {
                warn!(target: "agent.ipc", "Client sending commands before auth");
                Ok(self.session.refuse(seq, text).await?)
            }
            Verdict::Close(text) => {
                self.session.refuse(seq, text).await?;
                Err(match self.stage {
                    Stage::Fresh => Fault::HandshakeRequired,
                    Stage::Greeted | Stage::Open => {
                        Fault::UnknownCommand(self.header.command.to_string_lossy().into_owned())
                    }
                })
            }
        }
    }

    async fn handshake(&mut self, seq: u64) -> Result<(), Fault> {
        let request: HandshakeRequest = self.read_body().await?;
        let refusal = if request.version != VERSION {
            Some(texts::UNSUPPORTED_VERSION)
        } else if self.stage != Stage::Fresh {
            Some(texts::HANDSHAKE_ALREADY_PERFORMED)
        } else {
            match self.session.auth_key() {
                Some(_) => self.stage = Stage::Greeted,
                None => self.open(),
            }
            None
        };
        Ok(self.session.answer(seq, refusal).await?)
    }

    /// A wrong key changes nothing, whatever the stage. Without a configured key only the empty one is right.
    async fn auth(&mut self, seq: u64) -> Result<(), Fault> {
        let request: AuthRequest = self.read_body().await?;
        let key = self.session.auth_key().unwrap_or_default();
        if bool::from(key.as_bytes().ct_eq(request.auth_key.as_bytes())) {
            self.open();
            Ok(self.session.answer(seq, None).await?)
        } else {
            Ok(self.session.refuse(seq, texts::INVALID_AUTH_TOKEN).await?)
        }
    }

    fn open(&mut self) {
        self.stage = Stage::Open;
        self.let_in_by = None;
        self.frames.set_limit(proto_limits::MAX_REQUEST_LENGTH);
    }

    async fn read_body<T: Decode>(&mut self) -> Result<T, Fault> {
        let body = self.body().await?;
        T::decode(&body).map_err(|fault| Fault::Body(describe(&fault)))
    }

    async fn body(&mut self) -> Result<Bytes, Fault> {
        self.next_object().await.map_err(|end| match end {
            End::Closed => Fault::Gone,
            End::Finished | End::Truncated | End::Crowded | End::Io(_) | End::Frame(_) => Fault::Body(end.to_string()),
        })
    }

    /// Room for a request that turns out long; given back once there is none.
    fn hold_room(&mut self) -> Result<(), End> {
        if self.frames.buffered() <= GREETING_LENGTH {
            self.large = None;
        } else if self.large.is_none() {
            let room = Arc::clone(&self.session.context().large).try_acquire_owned();
            self.large = Some(room.map_err(|_| End::Crowded)?);
        }
        Ok(())
    }

    /// The next object of the stream.
    async fn next_object(&mut self) -> Result<Bytes, End> {
        loop {
            if let Some(object) = self.frames.next()? {
                return Ok(object);
            }
            self.hold_room()?;
            let late = late(self.let_in_by);
            let read = tokio::select! {
                () = late => {
                    let (peer, greeting) = (self.session.outbox.peer(), self.session.context().greeting);
                    warn!(target: "agent.ipc", "Closing ipc.client: {peer}: it was not let in within {greeting:?}");
                    return Err(End::Closed);
                }
                _ = self.stop.wait_for(|stop| *stop) => return Err(End::Closed),
                () = self.session.closed() => return Err(End::Closed),
                read = read_some(&mut self.reader, &mut self.frames) => read?,
            };
            if read == 0 {
                return Err(if self.frames.is_at_boundary() { End::Finished } else { End::Truncated });
            }
        }
    }
}

/// Returns at `let_in_by`, if there is one.
async fn late(let_in_by: Option<Instant>) {
    match let_in_by {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Returns when the agent has been stopping for too long to wait for the request that is being served.
async fn overdue(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(GRACE).await;
}

async fn read_some(reader: &mut Reader, frames: &mut FrameReader) -> io::Result<usize> {
    reader.read_buf(&mut frames.space()).await
}

/// As much of a text as the log shall hold: what a client sent may be in it.
fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOGGED_LENGTH)).unwrap_or(text)
}

/// As Go's decoder words it.
fn describe(fault: &DecodeError) -> String {
    format!("msgpack decode error [pos {}]: {}", fault.at, fault.reason)
}

impl From<Closed> for Fault {
    fn from(Closed: Closed) -> Self {
        Self::Gone
    }
}
