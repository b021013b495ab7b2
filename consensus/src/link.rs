//! The asking side of a stream: any number of requests in flight, matched with their answers by number. A stream on which
//! nothing moves while answers are due is given up, because a machine that is gone does not say so.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openraft::AsyncRuntime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use crate::frames::{self, Frame, Kind};
use crate::hello::StreamKind;
use crate::limits::{FRAME_BYTES_MAX, REQUESTS_PER_STREAM};
use crate::outbox::{Frames, Moved, NotQueued, Outbox, Outgoing, WeakOutbox, outbox, write_frames};

/// A stream to ask on. Cheap to clone; the stream ends when all clones and requests are gone.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    outbox: Outbox,
    waiting: Arc<Waiting>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// The stream has ended: whether the request arrived is unknown.
    #[error("the stream has ended: {0}")]
    Ended(Arc<str>),
    /// The request is larger than a frame.
    #[error("larger than a frame may be")]
    TooLarge,
    /// [`REQUESTS_PER_STREAM`] wait already. Nothing was sent.
    #[error("too many requests wait for answers")]
    Busy,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: Mutex<Requests>,
    moved: Moved,
}

#[derive(Debug, Default)]
struct Requests {
    ended: Option<Arc<str>>,
    last: u64,
    /// In order, so that a simulated run repeats itself.
    waiting: BTreeMap<u64, Slot>,
}

#[derive(Debug)]
struct Slot {
    answer: oneshot::Sender<Bytes>,
    parts: BytesMut,
    parts_max: usize,
}

/// A request whose answer has not come. Dropped, it tells the other side that nobody waits any more.
#[derive(Debug)]
pub(crate) struct Pending {
    id: u64,
    answer: oneshot::Receiver<Bytes>,
    link: Link,
    /// Whether the other side is told.
    tell: bool,
}

impl Link {
    /// Takes over a stream on which the hellos are done. `patience` is how long nothing may move while answers are due,
    /// half of it at least.
    pub(crate) fn start<A: AsyncRuntime, S>(stream: S, kind: StreamKind, patience: Duration) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (outbox, outgoing) = outbox();
        let waiting = Arc::new(Waiting::default());
        let weak = outbox.downgrade();
        drop(A::spawn(run::<A, S>(stream, kind, outgoing, weak, waiting.clone(), patience)));
        Self { outbox, waiting }
    }

    /// Whether the stream has ended.
    pub(crate) fn ended(&self) -> bool {
        self.waiting.lock().ended.is_some()
    }

    /// Ends every request, and the stream once nobody holds it.
    pub(crate) fn close(&self, reason: &str) {
        self.waiting.end(reason);
    }

    /// Sends a request and waits for room only. Answers come in one frame.
    pub(crate) async fn ask(&self, kind: Kind, body: impl FnOnce(&mut Vec<u8>)) -> Result<Pending, LinkError> {
        let pending = self.register(0, false)?;
        let frame = frames::written(kind, pending.id, body).ok_or(LinkError::TooLarge)?;
        self.queue(frame).await?;
        Ok(pending)
    }

    /// As [`Link::ask`], with a body and an answer (of at most `answer_max` bytes) of any length, and the other side is
    /// told if nobody waits for the answer any more.
    pub(crate) async fn call(&self, kind: Kind, body: &Bytes, answer_max: usize) -> Result<Pending, LinkError> {
        let pending = self.register(answer_max, true)?;
        if body.len() <= FRAME_BYTES_MAX {
            let frame = frames::written(kind, pending.id, |out| out.extend_from_slice(body));
            self.queue(frame.ok_or(LinkError::TooLarge)?).await?;
            return Ok(pending);
        }
        for piece in frames::pieces(kind, pending.id, body) {
            if !self.waiting.lock().waiting.contains_key(&pending.id) {
                // Answered before it was whole: it is not wanted, and the other side need not wait for the rest.
                self.queue(frames::written(Kind::Forget, pending.id, |_| ()).ok_or(LinkError::TooLarge)?).await?;
                break;
            }
            self.queue(piece).await?;
        }
        Ok(pending)
    }

    /// Asks for a sign of life and waits for it.
    pub(crate) async fn ping(&self) -> Result<(), LinkError> {
        self.ask(Kind::Ping, |_| ()).await?.await.map(drop)
    }

    fn register(&self, parts_max: usize, tell: bool) -> Result<Pending, LinkError> {
        let (sender, answer) = oneshot::channel();
        let mut requests = self.waiting.lock();
        if let Some(reason) = &requests.ended {
            return Err(LinkError::Ended(reason.clone()));
        }
        if requests.waiting.len() >= REQUESTS_PER_STREAM {
            return Err(LinkError::Busy);
        }
        requests.last = requests.last.wrapping_add(1);
        let id = requests.last;
        requests.waiting.insert(id, Slot { answer: sender, parts: BytesMut::new(), parts_max });
        Ok(Pending { id, answer, link: self.clone(), tell })
    }

    async fn queue(&self, frame: Bytes) -> Result<(), LinkError> {
        self.outbox.send(frame).await.map_err(|error| match error {
            NotQueued::Closed | NotQueued::Full => LinkError::Ended(self.waiting.reason()),
        })
    }
}

impl Future for Pending {
    type Output = Result<Bytes, LinkError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.answer).poll(context));
        self.tell = false;
        Poll::Ready(answer.map_err(|_| LinkError::Ended(self.link.waiting.reason())))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let waited = self.link.waiting.lock().waiting.remove(&self.id).is_some();
        if waited
            && self.tell
            && let Some(frame) = frames::written(Kind::Forget, self.id, |_| ())
        {
            // Without room it is not told: then it keeps the answer until the stream ends, within its limits.
            drop(self.link.outbox.try_send(frame));
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> Arc<str> {
        self.lock().ended.clone().unwrap_or_else(|| "closed".into())
    }

    /// Gives an answer to who waits for it. Answers that nobody waits for are dropped.
    fn take(&self, frame: Frame) -> io::Result<()> {
        match frame.kind {
            // A sign of life that nobody waits for has done its work by moving.
            Kind::Answer | Kind::Pong => {
                let Some(mut slot) = self.lock().waiting.remove(&frame.id) else { return Ok(()) };
                let body = if slot.parts.is_empty() {
                    frame.body
                } else {
                    slot.parts.extend_from_slice(&frame.body);
                    slot.parts.freeze()
                };
                drop(slot.answer.send(body));
                Ok(())
            }
            Kind::Part => {
                let mut requests = self.lock();
                let Some(slot) = requests.waiting.get_mut(&frame.id) else { return Ok(()) };
                if slot.parts.len() + frame.body.len() > slot.parts_max {
                    return Err(io::Error::other("an answer longer than was asked for"));
                }
                slot.parts.extend_from_slice(&frame.body);
                Ok(())
            }
            Kind::Append
            | Kind::Vote
            | Kind::PreVote
            | Kind::Snapshot
            | Kind::Transfer
            | Kind::Propose
            | Kind::Query
            | Kind::Watch
            | Kind::Admin
            | Kind::Founding
            | Kind::Forget
            | Kind::Ping => Err(io::Error::other("asked by the side that is to answer")),
        }
    }

    /// Ends every request, and all that come.
    fn end(&self, reason: &str) {
        let mut requests = self.lock();
        requests.ended = Some(reason.into());
        requests.waiting.clear();
    }
}

async fn run<A: AsyncRuntime, S>(
    stream: S,
    kind: StreamKind,
    outgoing: Outgoing,
    outbox: WeakOutbox,
    waiting: Arc<Waiting>,
    patience: Duration,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (reader, mut writer) = tokio::io::split(stream);
    let reading = async {
        let mut frames = Frames::new(reader);
        while let Some(frame) = frames.next(&waiting.moved).await? {
            waiting.take(frame)?;
        }
        Err::<(), _>(io::Error::other("closed by the other side"))
    };
    let writing = write_frames(outgoing, &mut writer, kind, &waiting.moved);
    let watching = watch_silence::<A>(&waiting, outbox, patience);
    let ended = match A::select3(reading, writing, watching).await {
        openraft::async_runtime::Select3::First(ended) | openraft::async_runtime::Select3::Second(ended) => ended,
        openraft::async_runtime::Select3::Third(()) => Err(io::Error::other("nothing moves on it")),
    };
    waiting.end(&ended.map_or_else(|error| error.to_string(), |()| "closed".to_owned()));
}

/// Returns when nothing has moved for `patience` while answers were due. Half of it passes before it asks for a sign of
/// life, because some answers are due for long.
async fn watch_silence<A: AsyncRuntime>(waiting: &Waiting, outbox: WeakOutbox, patience: Duration) {
    let Some(ping) = frames::written(Kind::Ping, 0, |_| ()) else { return };
    loop {
        let before = waiting.moved.so_far();
        A::sleep(patience / 2).await;
        if waiting.lock().waiting.is_empty() || waiting.moved.so_far() != before {
            continue;
        }
        if let Some(outbox) = outbox.upgrade() {
            drop(outbox.try_send(ping.clone()));
        }
        A::sleep(patience / 2).await;
        let (read, written) = waiting.moved.so_far();
        let quiet = read == before.0 && written <= before.1.saturating_add(ping.len() as u64);
        if quiet && !waiting.lock().waiting.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
