//! Streams that other agents have made: the hello decides what they are for. Calls are answered as they are done, in any
//! order; everything one stream can hold at a time is bounded.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::calls::{Admin, Consistency, Failure, read_proposal, read_query, write, write_aged, write_reply};
use crate::frames::{self, Frame, Kind};
use crate::hello::{GreetError, StreamKind, welcome};
use crate::here::{Here, reply_of};
use crate::limits::{
    BACKUP_BYTES_MAX, CALL_BYTES_PER_STREAM, CALLS_PER_STREAM, COMPLAINT_PAUSE, COMPLAINTS_REMEMBERED,
    FOUNDING_BYTES_MAX, FOUNDING_PATIENCE, FRAME_BYTES_MAX, HELLO_PATIENCE, LONG_REFUSED,
};
use crate::outbox::{Frames, Moved, NotQueued, Outbox, outbox, write_frames};
use crate::peer::NodeId;
use crate::receive::silence;
use crate::refused::Refused;
use crate::types::Tokio;

/// A request to this member's founding machine.
#[derive(Debug)]
pub struct FoundingCall {
    /// Who asks, as it says.
    pub from: NodeId,
    /// What it asks: see [`crate::founding`].
    pub request: Bytes,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Bytes>,
}

/// What serves streams.
pub(crate) struct Serving {
    here: Option<Arc<Here>>,
    founding: Arc<OnceLock<mpsc::Sender<FoundingCall>>>,
    complaints: Mutex<HashMap<String, Instant>>,
    refusing: Arc<Mutex<Option<String>>>,
    /// One long body at a time, for all streams.
    long: Arc<Semaphore>,
}

impl Serving {
    pub(crate) fn new(here: Option<Arc<Here>>) -> Self {
        Self {
            here,
            founding: Arc::default(),
            complaints: Mutex::default(),
            refusing: Arc::default(),
            long: Arc::new(Semaphore::new(1)),
        }
    }

    pub(crate) fn serve_founding(&self, calls: mpsc::Sender<FoundingCall>) {
        self.founding.get_or_init(|| calls);
    }

    pub(crate) fn refuse(&self, reason: Option<String>) {
        *self.refusing.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Whether calls are served.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, only_looks: bool) -> Result<(), String> {
        check(&self.refusing, only_looks)
    }

    /// Serves a stream until it ends.
    pub(crate) async fn serve<S>(&self, mut stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let identity = self.here.as_ref().map(|here| here.group.identity().clone());
        let hello = match tokio::time::timeout(HELLO_PATIENCE, welcome(&mut stream, identity.as_deref())).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(GreetError::Io(error))) => return tracing::debug!(%error, "a stream ended before its hello"),
            Ok(Err(error)) if error.passes() => return tracing::debug!(%error, "a stream comes too early"),
            Ok(Err(refused)) => return self.complain(&refused.to_string()),
            Err(_) => return tracing::debug!("a stream without a hello is closed"),
        };
        let Some(here) = &self.here else { return };
        let ended = match (hello.kind, hello.from) {
            (StreamKind::Raft, Some(from)) => Box::pin(here.receiver.serve(from, stream)).await,
            (StreamKind::Raft, None) => Ok(()),
            (StreamKind::Calls, from) => Box::pin(self.calls(here, from.unwrap_or_default(), stream)).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, kind = ?hello.kind, from = ?hello.from, "a stream has ended");
        }
    }

    /// Says why a stream was refused, the same reason once in a while.
    fn complain(&self, refused: &str) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.retain(|_, at| at.elapsed() < COMPLAINT_PAUSE);
        if complaints.len() < COMPLAINTS_REMEMBERED && !complaints.contains_key(refused) {
            complaints.insert(refused.to_owned(), Instant::now());
            tracing::warn!(reason = refused, "a stream of another agent was not accepted");
        }
    }

    async fn calls<S>(&self, here: &Arc<Here>, from: NodeId, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let (reader, mut writer) = tokio::io::split(stream);
        let (outbox, outgoing) = outbox();
        let moved = Moved::default();
        let mut calls = Calls {
            here: here.clone(),
            founding: self.founding.clone(),
            refusing: self.refusing.clone(),
            from,
            outbox,
            room: Arc::new(Semaphore::new(CALL_BYTES_PER_STREAM)),
            tasks: JoinSet::new(),
            by_id: HashMap::new(),
            long: None,
            refused: HashSet::new(),
            one_long: self.long.clone(),
        };
        let reading = async {
            let mut frames = Frames::new(reader);
            loop {
                tokio::select! {
                    frame = frames.next(&moved) => match frame? {
                        Some(frame) => calls.take(frame)?,
                        None => return Ok(()),
                    },
                    Some(done) = calls.tasks.join_next() => calls.done(done.ok()),
                }
            }
        };
        tokio::select! {
            ended = reading => ended,
            ended = write_frames(outgoing, &mut writer, StreamKind::Calls, &moved) => ended,
            () = silence::<Tokio>(&moved) => Ok(()),
        }
    }
}

/// The calls of one stream.
struct Calls {
    here: Arc<Here>,
    founding: Arc<OnceLock<mpsc::Sender<FoundingCall>>>,
    refusing: Arc<Mutex<Option<String>>>,
    from: NodeId,
    outbox: Outbox,
    room: Arc<Semaphore>,
    tasks: JoinSet<u64>,
    by_id: HashMap<u64, AbortHandle>,
    /// A body that comes in parts.
    long: Option<Long>,
    /// Long requests that were told `Busy`, and the rest of which comes still.
    refused: HashSet<u64>,
    one_long: Arc<Semaphore>,
}

/// A body that comes in parts, of which call, and the leave to hold it.
struct Long {
    id: u64,
    body: BytesMut,
    leave: OwnedSemaphorePermit,
}

impl Calls {
    fn take(&mut self, frame: Frame) -> io::Result<()> {
        match frame.kind {
            Kind::Propose | Kind::Query | Kind::Watch | Kind::Admin | Kind::Founding => self.start(frame),
            Kind::Part => self.part(frame.id, &frame.body)?,
            Kind::Forget => {
                if let Some(task) = self.by_id.get(&frame.id) {
                    task.abort();
                }
                // Given up half-way: its bytes go, and the next long request may come.
                drop(self.long.take_if(|long| long.id == frame.id));
                self.refused.remove(&frame.id);
            }
            // Without room, answers are on their way, which is as good.
            Kind::Ping => drop(self.outbox.try_send(short(Kind::Pong, frame.id, &Bytes::new()))),
            Kind::Append | Kind::Vote | Kind::PreVote | Kind::Snapshot | Kind::Transfer | Kind::Answer | Kind::Pong => {
                return Err(io::Error::other("no call"));
            }
        }
        Ok(())
    }

    /// Takes a part of a long request. One at a time is put together, of all streams; to others is said that there is no
    /// room, and what is still to come of them goes nowhere.
    fn part(&mut self, id: u64, body: &Bytes) -> io::Result<()> {
        if self.refused.contains(&id) {
            return Ok(());
        }
        if self.long.is_none()
            && let Ok(leave) = self.one_long.clone().try_acquire_owned()
        {
            self.long = Some(Long { id, body: BytesMut::new(), leave });
        }
        let Some(long) = self.long.as_mut().filter(|long| long.id == id) else {
            if self.refused.len() >= LONG_REFUSED {
                return Err(io::Error::other("parts of too many long requests"));
            }
            self.refused.insert(id);
            Refused::count(&self.here.refused().long_calls);
            self.busy(id);
            return Ok(());
        };
        if long.body.len() + body.len() > BACKUP_BYTES_MAX {
            return Err(io::Error::other("a request longer than any may be"));
        }
        long.body.extend_from_slice(body);
        Ok(())
    }

    /// There is no room for this call. A peer that asks on without reading answers loses them.
    fn busy(&self, id: u64) {
        drop(self.outbox.try_send(short(Kind::Answer, id, &failed(Failure::Busy))));
    }

    /// Begins a call, in a task of its own.
    fn start(&mut self, frame: Frame) {
        let Frame { kind, id, body } = frame;
        if self.refused.remove(&id) {
            return;
        }
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let (body, room) = match self.long.take_if(|long| long.id == id) {
            Some(Long { body: mut long, leave, .. }) => {
                long.extend_from_slice(&body);
                (long.freeze(), Some(leave))
            }
            None => (body, self.room.clone().try_acquire_many_owned(bytes).ok()),
        };
        let (true, Some(room)) = (self.tasks.len() < CALLS_PER_STREAM, room) else {
            Refused::count(&self.here.refused().calls);
            return self.busy(id);
        };
        let (here, founding, refusing) = (self.here.clone(), self.founding.clone(), self.refusing.clone());
        let call = Call { here, founding, refusing, from: self.from, kind, body };
        let outbox = self.outbox.clone();
        let task = self.tasks.spawn(async move {
            let answer = call.answer().await;
            drop(room);
            send(&outbox, id, answer).await;
            id
        });
        self.by_id.insert(id, task);
    }

    /// Forgets what is done: one call, or those that were aborted.
    fn done(&mut self, id: Option<u64>) {
        match id {
            Some(id) => drop(self.by_id.remove(&id)),
            None => self.by_id.retain(|_, task| !task.is_finished()),
        }
    }
}

/// One call.
struct Call {
    here: Arc<Here>,
    founding: Arc<OnceLock<mpsc::Sender<FoundingCall>>>,
    refusing: Arc<Mutex<Option<String>>>,
    from: NodeId,
    kind: Kind,
    body: Bytes,
}

impl Call {
    async fn answer(self) -> Bytes {
        let Self { here, founding, refusing, from, kind, body } = self;
        let refused = check(&refusing, kind == Kind::Founding || kind == Kind::Admin);
        if let Err(reason) = refused {
            return failed(Failure::Refused(reason));
        }
        match kind {
            Kind::Propose => match read_proposal(&body) {
                Ok((command, following)) => {
                    drop(body);
                    write_reply(here.propose(command, following).await)
                }
                Err(error) => unreadable(&error),
            },
            Kind::Query => match read_query(&body) {
                Ok((query, Consistency::Linearizable)) => write_aged(here.read(&query).await),
                Ok((query, Consistency::Stale)) => write_aged(here.read_stale(&query)),
                Err(error) => unreadable(&error),
            },
            Kind::Watch => match read_query(&body) {
                Ok((folkmoot_coordination::Query::Watch(query), _)) => {
                    write_reply(here.next_changes(query).await.map(reply_of))
                }
                Ok(_) => unreadable(&"no watch"),
                Err(error) => unreadable(&error),
            },
            Kind::Admin => match folkmoot_coordination::codec::decode::<Admin>(&body) {
                Ok(request) => {
                    drop(body);
                    match check(&refusing, request.only_looks()) {
                        Ok(()) => write(&here.admin(request).await),
                        Err(reason) => failed(Failure::Refused(reason)),
                    }
                }
                Err(error) => unreadable(&error),
            },
            Kind::Founding => write(&found(&founding, from, body).await),
            Kind::Append
            | Kind::Vote
            | Kind::PreVote
            | Kind::Snapshot
            | Kind::Transfer
            | Kind::Answer
            | Kind::Part
            | Kind::Forget
            | Kind::Ping
            | Kind::Pong => unreadable(&"no call"),
        }
    }
}

/// Whether calls are served; who only looks is.
fn check(refusing: &Mutex<Option<String>>, only_looks: bool) -> Result<(), String> {
    let reason = refusing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    reason.filter(|_| !only_looks).map_or(Ok(()), Err)
}

async fn found(
    founding: &OnceLock<mpsc::Sender<FoundingCall>>,
    from: NodeId,
    request: Bytes,
) -> Result<Bytes, Failure> {
    if request.len() > FOUNDING_BYTES_MAX {
        return Err(Failure::TooLarge);
    }
    let machine = founding.get().ok_or(Failure::Outside)?;
    let (reply, answer) = oneshot::channel();
    machine.try_send(FoundingCall { from, request, reply }).map_err(|_| Failure::Busy)?;
    match tokio::time::timeout(FOUNDING_PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
    }
}

/// Queues an answer. One that finds no room is lost, and the caller told so: a client's request that is sent again gets it
/// again. Only one that is longer than a frame waits for room, piece by piece.
async fn send(outbox: &Outbox, id: u64, answer: Bytes) {
    if answer.len() > FRAME_BYTES_MAX {
        for piece in frames::pieces(Kind::Answer, id, &answer) {
            if outbox.send(piece).await.is_err() {
                return;
            }
        }
        return;
    }
    if outbox.try_send(short(Kind::Answer, id, &answer)) == Err(NotQueued::Full) {
        drop(answer);
        // Waits: what is said to many calls in few bytes fits.
        drop(outbox.send(short(Kind::Answer, id, &failed(Failure::Unknown))).await);
    }
}

fn failed(failure: Failure) -> Bytes {
    write(&Err::<(), _>(failure))
}

fn unreadable(error: &dyn std::fmt::Display) -> Bytes {
    failed(Failure::Refused(format!("the call cannot be read: {error}")))
}

/// A frame with a body that fits.
fn short(kind: Kind, id: u64, body: &Bytes) -> Bytes {
    frames::written(kind, id, |out| out.extend_from_slice(body)).unwrap_or_default()
}
