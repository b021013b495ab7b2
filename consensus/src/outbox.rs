//! The frames that wait to be written to one stream, and the two loops over it. What waits is bounded in number and bytes;
//! who may not wait for room is told that there is none.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::frames::{self, Frame};
use crate::hello::StreamKind;
use crate::limits::{OUTBOX_BYTES, OUTBOX_FRAMES};

/// Bytes that one write gathers, and that one read makes room for. Ours: a few dozen messages in one call to the system.
const GATHERED: usize = 64 * 1024;

/// Where frames are put. Cheap to clone; the stream is closed when the last clone is gone.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    frames: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// An outbox that does not keep the stream open.
#[derive(Debug, Clone)]
pub(crate) struct WeakOutbox {
    frames: mpsc::WeakSender<Queued>,
    room: Arc<Semaphore>,
}

/// The other end: what [`write_frames`] writes.
pub(crate) struct Outgoing {
    frames: mpsc::Receiver<Queued>,
    room: Arc<Semaphore>,
}

struct Queued {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Bytes that went over a stream so far.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    read: AtomicU64,
    written: AtomicU64,
}

/// Why a frame was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotQueued {
    /// No room.
    Full,
    /// The stream has ended.
    Closed,
}

/// Both ends of a queue of [`OUTBOX_FRAMES`] and [`OUTBOX_BYTES`].
pub(crate) fn outbox() -> (Outbox, Outgoing) {
    let (sender, receiver) = mpsc::channel(OUTBOX_FRAMES);
    let room = Arc::new(Semaphore::new(OUTBOX_BYTES));
    (Outbox { frames: sender, room: room.clone() }, Outgoing { frames: receiver, room })
}

/// A frame larger than all the room takes all of it.
fn cost(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len().min(OUTBOX_BYTES)).unwrap_or(u32::MAX)
}

impl Outbox {
    /// Queues a frame, and waits for room first. Frames that wait keep their order.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), NotQueued> {
        let permit = self.room.clone().acquire_many_owned(cost(&bytes)).await.map_err(|_| NotQueued::Closed)?;
        self.frames.send(Queued { bytes, _room: permit }).await.map_err(|_| NotQueued::Closed)
    }

    /// Queues a frame if there is room at once.
    pub(crate) fn try_send(&self, bytes: Bytes) -> Result<(), NotQueued> {
        let permit = self.room.clone().try_acquire_many_owned(cost(&bytes)).map_err(|_| NotQueued::Full)?;
        self.frames.try_send(Queued { bytes, _room: permit }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotQueued::Full,
            mpsc::error::TrySendError::Closed(_) => NotQueued::Closed,
        })
    }

    pub(crate) fn downgrade(&self) -> WeakOutbox {
        WeakOutbox { frames: self.frames.downgrade(), room: self.room.clone() }
    }
}

impl WeakOutbox {
    /// The outbox, unless nobody else has it any more.
    pub(crate) fn upgrade(&self) -> Option<Outbox> {
        Some(Outbox { frames: self.frames.upgrade()?, room: self.room.clone() })
    }
}

impl Moved {
    /// Read and written.
    pub(crate) fn so_far(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// Writes what is queued until every [`Outbox`] is gone; `moved` counts the bytes. Calls wait for others that are about to
/// be queued, to travel together; what Raft says never waits.
///
/// # Errors
/// The stream breaks.
pub(crate) async fn write_frames<W>(
    mut outgoing: Outgoing,
    writer: &mut W,
    kind: StreamKind,
    moved: &Moved,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let mut gathered = Vec::with_capacity(GATHERED);
    while let Some(first) = outgoing.frames.recv().await {
        if kind == StreamKind::Calls {
            others_first().await;
        }
        let mut next = Some(first);
        while let Some(queued) = next.take() {
            if queued.bytes.len() < GATHERED {
                gathered.extend_from_slice(&queued.bytes);
            } else {
                write_counted(writer, &gathered, moved).await?;
                gathered.clear();
                write_counted(writer, &queued.bytes, moved).await?;
            }
            if gathered.len() < GATHERED {
                next = outgoing.frames.try_recv().ok();
            }
        }
        write_counted(writer, &gathered, moved).await?;
        gathered.clear();
        writer.flush().await?;
    }
    writer.shutdown().await
}

/// Lets the tasks run that are ready.
async fn others_first() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn write_counted<W: AsyncWrite + Unpin>(writer: &mut W, mut bytes: &[u8], moved: &Moved) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = writer.write(bytes).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        moved.written.fetch_add(written as u64, Ordering::Relaxed);
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The frames of a stream, one after the other.
pub(crate) struct Frames<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: BytesMut::new() }
    }

    /// The next frame; `None` at the end of the stream. `moved` counts the bytes. Nothing is lost when the future is
    /// dropped.
    ///
    /// # Errors
    /// The stream breaks, ends within a frame, or does not hold frames.
    pub(crate) async fn next(&mut self, moved: &Moved) -> io::Result<Option<Frame>> {
        loop {
            let taken = frames::take(&mut self.buffer).map_err(io::Error::other)?;
            if taken.is_some() {
                return Ok(taken);
            }
            if self.buffer.capacity() - self.buffer.len() < GATHERED / 4 {
                self.buffer.reserve(GATHERED);
            }
            let read = self.reader.read_buf(&mut self.buffer).await?;
            moved.read.fetch_add(read as u64, Ordering::Relaxed);
            if read == 0 {
                let torn = !self.buffer.is_empty();
                return if torn { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
            }
        }
    }
}
