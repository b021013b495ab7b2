//! The answering side of Raft's network: frames of another member in, Raft asked, answers out.
//!
//! Appends go through one pipeline per stream, in order, and are answered in order. Votes are looked at beside them. A
//! snapshot is put together in memory, one at a time for the whole member: a newer one takes the place of an older one. It
//! is read before Raft hears of it: from there on one that cannot be used would end the member.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use openraft::raft::TransferLeaderRequest;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use openraft::{AsyncRuntime, async_runtime};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::frames::{self, Frame, Kind};
use crate::hello::StreamKind;
use crate::image::Image;
use crate::limits::{APPENDS_IN_FLIGHT, APPENDS_QUEUED, QUESTIONS_AT_ONCE, SERVED_SILENCE};
use crate::member::Member;
use crate::outbox::{Frames, Moved, Outbox, outbox, write_frames};
use crate::peer::NodeId;
use crate::raft_frames::{
    Answered, Append, Appended, Nonsense, Piece, PieceTaken, check_snapshot, check_transfer, check_vote_request, read,
    write,
};
use crate::store::read_image;
use crate::types::{ImageMeta, Snapshot, Types, Vote};

/// What serves the streams of other members.
pub(crate) struct Receiver<A: AsyncRuntime> {
    member: Arc<Member<A>>,
    arriving: Arc<Mutex<Arriving>>,
}

/// The snapshot that is on its way here.
#[derive(Default)]
struct Arriving {
    /// Grows with each snapshot that begins, so that pieces of an older one are known.
    number: u64,
    meta: Option<(Vote, ImageMeta)>,
    length: u64,
    bytes: BytesMut,
}

/// One stream of another member.
struct Served<A: AsyncRuntime> {
    member: Arc<Member<A>>,
    arriving: Arc<Mutex<Arriving>>,
    from: NodeId,
    outbox: Outbox,
    pipeline: Option<Pipeline<A>>,
    questions: Arc<Semaphore>,
    /// The snapshot whose pieces come on this stream.
    snapshot: u64,
}

/// Where appends go.
struct Pipeline<A: AsyncRuntime> {
    requests: mpsc::Sender<AppendEntriesRequest<Types<A>>>,
    ids: mpsc::Sender<u64>,
    /// Raft does not take further ones: a refused append ends a pipeline.
    ended: Arc<AtomicBool>,
}

impl<A: AsyncRuntime> Receiver<A> {
    pub(crate) fn new(member: Arc<Member<A>>) -> Self {
        Self { member, arriving: Arc::default() }
    }

    /// Serves a stream whose hello was accepted, until it ends.
    ///
    /// # Errors
    /// The stream breaks, is silent for long, or what comes does not add up.
    pub(crate) async fn serve<S>(&self, from: NodeId, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let (reader, mut writer) = tokio::io::split(stream);
        let (outbox, outgoing) = outbox();
        let moved = Moved::default();
        let mut served = Served {
            member: self.member.clone(),
            arriving: self.arriving.clone(),
            from,
            outbox,
            pipeline: None,
            questions: Arc::new(Semaphore::new(QUESTIONS_AT_ONCE)),
            snapshot: 0,
        };
        let reading = Box::pin(async {
            let mut frames = Frames::new(reader);
            while let Some(frame) = frames.next(&moved).await? {
                served.take(frame).await?;
            }
            Ok(())
        });
        let writing = write_frames(outgoing, &mut writer, StreamKind::Raft, &moved);
        match A::select3(reading, writing, silence::<A>(&moved)).await {
            async_runtime::Select3::First(ended) | async_runtime::Select3::Second(ended) => ended,
            async_runtime::Select3::Third(()) => Ok(()),
        }
    }
}

/// Returns when nothing has moved for [`SERVED_SILENCE`], or up to twice as long.
pub(crate) async fn silence<A: AsyncRuntime>(moved: &Moved) {
    loop {
        let before = moved.so_far();
        A::sleep(SERVED_SILENCE).await;
        if moved.so_far() == before {
            return;
        }
    }
}

/// An answer as a frame; an answer has a place in a frame.
fn answer<T: Serialize>(id: u64, answer: &T) -> Bytes {
    frames::written(Kind::Answer, id, |out| write(answer, out)).unwrap_or_default()
}

impl<A: AsyncRuntime> Served<A> {
    async fn take(&mut self, frame: Frame) -> io::Result<()> {
        match frame.kind {
            Kind::Append => self.append(frame.id, &frame.body).await.map_err(io::Error::other),
            Kind::Vote | Kind::PreVote => {
                let request: VoteRequest<Types<A>> = read(&frame.body).map_err(io::Error::other)?;
                check_vote_request::<A>(&request, self.from).map_err(io::Error::other)?;
                let member = self.member.clone();
                let asking = async move {
                    let pre_vote = frame.kind == Kind::PreVote;
                    let answer =
                        if pre_vote { member.pre_vote(request).await } else { member.raft().vote(request).await };
                    answer.map_err(|error| error.to_string())
                };
                self.question(frame.id, asking).await;
                Ok(())
            }
            Kind::Transfer => {
                let request: TransferLeaderRequest<Types<A>> = read(&frame.body).map_err(io::Error::other)?;
                check_transfer::<A>(&request, self.from).map_err(io::Error::other)?;
                let raft = self.member.raft();
                let asking =
                    async move { raft.handle_transfer_leader(request).await.map_err(|error| error.to_string()) };
                self.question(frame.id, asking).await;
                Ok(())
            }
            Kind::Snapshot => self.piece(frame.id, &frame.body).await.map_err(io::Error::other),
            Kind::Ping => {
                let pong = frames::written(Kind::Pong, frame.id, |_| ()).unwrap_or_default();
                // Without room, answers are on their way, which is as good.
                drop(self.outbox.try_send(pong));
                Ok(())
            }
            Kind::Forget => Ok(()),
            Kind::Propose
            | Kind::Query
            | Kind::Watch
            | Kind::Admin
            | Kind::Founding
            | Kind::Answer
            | Kind::Part
            | Kind::Pong => Err(io::Error::other("a call on a stream between members")),
        }
    }

    /// Answers a question beside others.
    async fn question<T>(&self, id: u64, asking: impl Future<Output = Answered<T>> + Send + 'static)
    where
        T: Serialize + Send + Sync,
    {
        let Ok(place) = self.questions.clone().acquire_owned().await else { return };
        self.beside(place, id, asking);
    }

    fn beside<T>(&self, place: OwnedSemaphorePermit, id: u64, asking: impl Future<Output = T> + Send + 'static)
    where
        T: Serialize + Send + Sync,
    {
        let outbox = self.outbox.clone();
        drop(A::spawn(async move {
            let frame = answer(id, &asking.await);
            drop(outbox.send(frame).await);
            drop(place);
        }));
    }

    async fn append(&mut self, id: u64, body: &[u8]) -> Result<(), Nonsense> {
        let mut request = read::<Append>(body)?.checked::<A>(self.from)?;
        // A pipeline that ends while it is given a request is followed by another one, once.
        for _ in 0..2 {
            let usable = self.pipeline.take().filter(|pipeline| !pipeline.ended.load(Ordering::Acquire));
            let pipeline = usable.unwrap_or_else(|| self.new_pipeline());
            let given = match pipeline.ids.send(id).await {
                Ok(()) => pipeline.requests.send(request).await,
                Err(_) => Err(mpsc::error::SendError(request)),
            };
            match given {
                Ok(()) => {
                    self.pipeline = Some(pipeline);
                    return Ok(());
                }
                Err(mpsc::error::SendError(back)) => request = back,
            }
        }
        drop(self.outbox.send(answer(id, &Appended::Stopped("Raft takes no entries".into()))).await);
        Ok(())
    }

    fn new_pipeline(&self) -> Pipeline<A> {
        let (requests, incoming) = mpsc::channel(APPENDS_QUEUED);
        let (ids, mut numbers) = mpsc::channel::<u64>(2 * APPENDS_IN_FLIGHT);
        let ended = Arc::new(AtomicBool::new(false));
        let incoming = stream::unfold(incoming, |mut incoming| async move { Some((incoming.recv().await?, incoming)) });
        let answers = self.member.raft().stream_append(incoming);
        let (outbox, end) = (self.outbox.clone(), ended.clone());
        drop(A::spawn(async move {
            let mut answers = std::pin::pin!(answers);
            while let Some(id) = numbers.recv().await {
                let appended = match answers.next().await {
                    Some(Ok(result)) => Appended::new::<A>(result),
                    Some(Err(fatal)) => Appended::Stopped(fatal.to_string()),
                    // It had stopped before it was given this one; who asks again finds its successor.
                    None => Appended::Stopped("Raft has stopped".to_owned()),
                };
                let last = !matches!(appended, Appended::Through(_));
                // Before the answer: what is asked after it must find another pipeline.
                end.store(last, Ordering::Release);
                if outbox.send(answer(id, &appended)).await.is_err() || last {
                    break;
                }
            }
            end.store(true, Ordering::Release);
        }));
        Pipeline { requests, ids, ended }
    }

    async fn piece(&mut self, id: u64, body: &[u8]) -> Result<(), Nonsense> {
        let piece: Piece = read(body)?;
        piece.check(self.from)?;
        let arrived = match piece.unusable() {
            Some(reason) => Err(PieceTaken::Refused(reason)),
            None => {
                let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
                if piece.offset == 0 {
                    self.snapshot = arriving.begin(&piece);
                }
                arriving.take(self.snapshot, &piece)
            }
        };
        match arrived {
            Err(taken) => drop(self.outbox.send(answer(id, &taken)).await),
            Ok(bytes) => {
                let Ok(place) = self.questions.clone().acquire_owned().await else { return Ok(()) };
                let (member, from) = (self.member.clone(), self.from);
                self.beside(place, id, async move {
                    install(&member, piece.vote, piece.meta, bytes).await.unwrap_or_else(|reason| {
                        tracing::warn!(member = %from, %reason, "a snapshot of a member is not taken");
                        PieceTaken::Refused(reason)
                    })
                });
            }
        }
        Ok(())
    }
}

/// Gives a whole snapshot to Raft, if it can be used; `Err` says why not.
async fn install<A: AsyncRuntime>(
    member: &Member<A>,
    vote: Vote,
    meta: ImageMeta,
    bytes: Bytes,
) -> Result<PieceTaken, String> {
    let raft = member.raft();
    let committed = raft.with_raft_state(|state| state.local_committed().copied()).await;
    let committed = committed.map_err(|fatal| fatal.to_string())?;
    check_snapshot(meta.last_log_id, committed).map_err(|nonsense| nonsense.to_string())?;
    let image = if meta.last_log_id > committed {
        let replica =
            read_image(member.threads, bytes.clone(), meta.clone()).await.map_err(|error| error.to_string())?;
        Image::received(bytes, replica)
    } else {
        Image::new(bytes)
    };
    let installed = raft.install_full_snapshot(vote, Snapshot { meta, snapshot: image }).await;
    installed.map(|response| PieceTaken::Installed(response.vote)).map_err(|fatal| fatal.to_string())
}

impl Arriving {
    /// Begins a snapshot, in the place of any other.
    fn begin(&mut self, piece: &Piece) -> u64 {
        self.number = self.number.wrapping_add(1);
        self.meta = Some((piece.vote, piece.meta.clone()));
        self.length = piece.length;
        self.bytes = BytesMut::new();
        self.number
    }

    /// Adds a piece of snapshot `number`: the whole of it if that was the last one, else what is said to it.
    fn take(&mut self, number: u64, piece: &Piece) -> Result<Bytes, PieceTaken> {
        let same = self.meta.as_ref().is_some_and(|(vote, meta)| *vote == piece.vote && *meta == piece.meta);
        let next = self.bytes.len() as u64 == piece.offset && self.length == piece.length;
        if number != self.number || !same || !next {
            return Err(PieceTaken::Lost);
        }
        self.bytes.extend_from_slice(&piece.bytes);
        if (self.bytes.len() as u64) < self.length {
            return Err(PieceTaken::More);
        }
        self.meta = None;
        Ok(std::mem::take(&mut self.bytes).freeze())
    }
}
