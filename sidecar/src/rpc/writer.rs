//! The one task that writes to a connection, and the [`Outbox`] through which everybody else reaches it.
//!
//! Each response or record is a frame of its own, written in full before the next one starts: several clients read a
//! frame at a time (section 15). Only answers of coordination that wait together are written together: clients that have
//! many calls under way would otherwise cost more in the system than in the group.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::limits::WRITER_QUEUE;
use super::socket::Peer;
use crate::net::go_errors::cause;

/// Bytes of answers after which no more are written with them. Ours: several segments of a network.
const GATHERED: usize = 16 * 1024;

/// One response or record.
pub(super) struct Frame {
    what: What,
    head: Bytes,
    /// A body that is shared with others.
    tail: Bytes,
    written: Option<oneshot::Sender<()>>,
}

impl Frame {
    /// Header and body, if there is one, in one buffer.
    pub fn new(what: What, bytes: Vec<u8>) -> Self {
        Self { what, head: Bytes::from(bytes), tail: Bytes::new(), written: None }
    }

    /// A header, and a body encoded elsewhere.
    pub fn with_body(what: What, header: Vec<u8>, body: Bytes) -> Self {
        Self { what, head: Bytes::from(header), tail: body, written: None }
    }

    fn len(&self) -> usize {
        self.head.len().saturating_add(self.tail.len())
    }
}

/// What a frame is: named in the log when it cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Reply,
    /// A reply to a call of coordination.
    Answer,
    Event,
    Log,
    Ack,
    Response,
    QueryEnd,
}

/// The connection is closed: nothing can be sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use of closed network connection")]
pub(super) struct Closed;

/// The way to a connection's writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Frame>,
    peer: Peer,
}

impl Outbox {
    /// Whom it reaches, as the log names it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Queues a frame; waits while the client takes nothing.
    pub async fn send(&self, frame: Frame) -> Result<(), Closed> {
        self.frames.send(frame).await.map_err(|_| Closed)
    }

    /// Queues a frame and waits until the system has taken all of it.
    pub async fn send_and_flush(&self, mut frame: Frame) -> Result<(), Closed> {
        let (written, flushed) = oneshot::channel();
        frame.written = Some(written);
        self.send(frame).await?;
        flushed.await.map_err(|_| Closed)
    }

    /// Returns once nothing can be sent any more.
    pub async fn closed(&self) {
        self.frames.closed().await;
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", self.what, self.len())
    }
}

/// An outbox and the writer it feeds.
pub(super) fn channel<W: AsyncWrite + Unpin>(socket: W, peer: Peer, stall: Duration) -> (Outbox, Writer<W>) {
    let (sender, frames) = mpsc::channel(WRITER_QUEUE);
    (Outbox { frames: sender, peer: peer.clone() }, Writer { socket, frames, peer, stall })
}

/// Owns the sending side of a connection.
pub(super) struct Writer<W> {
    socket: W,
    frames: mpsc::Receiver<Frame>,
    peer: Peer,
    stall: Duration,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes until a write fails or `closing` is done; in that case writes what waits, and ends the connection.
    pub async fn run(mut self, mut closing: oneshot::Receiver<()>) {
        loop {
            let frame = tokio::select! {
                frame = self.frames.recv() => frame,
                _ = &mut closing, if !self.frames.is_closed() => {
                    self.frames.close();
                    continue;
                }
            };
            let Some(first) = frame else { break };
            let mut next = Some(first);
            while let Some(frame) = next {
                let (frame, behind) = self.gather(frame).await;
                next = behind;
                if let Err(failure) = self.write(frame).await {
                    self.frames.close();
                    self.report(failure);
                    return;
                }
            }
        }
        // Nobody is left to be told of a failure.
        let _ = self.socket.shutdown().await;
    }

    /// An answer with those that wait behind it, and what comes next if that is something else.
    async fn gather(&mut self, frame: Frame) -> (Frame, Option<Frame>) {
        if frame.what != What::Answer || frame.len() >= GATHERED {
            return (frame, None);
        }
        // Calls that were decided together answer together, if they are let.
        tokio::task::yield_now().await;
        let mut bytes = Vec::new();
        let mut next = Some(frame);
        while let Some(frame) = next.take_if(|frame| frame.what == What::Answer) {
            bytes.extend_from_slice(&frame.head);
            bytes.extend_from_slice(&frame.tail);
            if bytes.len() < GATHERED {
                next = self.frames.try_recv().ok();
            }
        }
        (Frame::new(What::Answer, bytes), next)
    }

    async fn write(&mut self, frame: Frame) -> Result<(), WriteFailure> {
        let what = frame.what;
        let mut bytes = frame.head.chain(frame.tail);
        while bytes.has_remaining() {
            match tokio::time::timeout(self.stall, self.socket.write_buf(&mut bytes)).await {
                Ok(Ok(0)) => return Err(WriteFailure::Io(what, io::ErrorKind::WriteZero.into())),
                Ok(Ok(_)) => {}
                Ok(Err(failure)) => return Err(WriteFailure::Io(what, failure)),
                Err(_) => return Err(WriteFailure::Stalled),
            }
        }
        if let Some(written) = frame.written {
            // Whoever waited may have gone.
            let _ = written.send(());
        }
        Ok(())
    }

    fn report(&self, failure: WriteFailure) {
        let peer = &self.peer;
        match failure {
            WriteFailure::Stalled => {
                let stall = self.stall;
                warn!(target: "agent.ipc", "Closing ipc.client: {peer}: it took nothing for {stall:?}");
            }
            WriteFailure::Io(What::Reply | What::Answer, failure) => {
                error!(target: "agent.ipc", "Failed to evaluate request: {}", cause(&failure));
            }
            WriteFailure::Io(what, failure) => {
                let (what, cause) = (what.name(), cause(&failure));
                error!(target: "agent.ipc", "Failed to stream {what} to ipc.client: {peer}: {cause}");
            }
        }
    }
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Reply | Self::Answer => "reply",
            Self::Event => "event",
            Self::Log => "log",
            Self::Ack => "ack",
            Self::Response => "response",
            Self::QueryEnd => "query end",
        }
    }
}

enum WriteFailure {
    Stalled,
    Io(What, io::Error),
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use super::*;

    /// Remembers each write and takes at most `room` bytes of it.
    struct Recorder {
        writes: Arc<Mutex<Vec<Vec<u8>>>>,
        room: usize,
    }

    impl AsyncWrite for Recorder {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken: Vec<u8> = bytes.iter().copied().take(self.room).collect();
            let length = taken.len();
            self.writes.lock().unwrap().push(taken);
            Poll::Ready(Ok(length))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            parts: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.poll_write(context, &bytes)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.writes.lock().unwrap().push(b"shutdown".to_vec());
            Poll::Ready(Ok(()))
        }
    }

    /// What is written of three frames that wait when the connection is closed.
    async fn written(room: usize) -> Vec<Vec<u8>> {
        let writes = Arc::new(Mutex::new(Vec::new()));
        let socket = Recorder { writes: Arc::clone(&writes), room };
        let (outbox, writer) = channel(socket, "127.0.25.9:1".into(), Duration::from_secs(1));
        outbox.send(Frame::new(What::Reply, b"one".to_vec())).await.unwrap();
        outbox.send(Frame::with_body(What::Reply, b"two ".to_vec(), Bytes::from_static(b"bodies"))).await.unwrap();
        outbox.send(Frame::new(What::Event, b"three".to_vec())).await.unwrap();
        let (close, closing) = oneshot::channel();
        drop(close);
        writer.run(closing).await;
        assert_eq!(outbox.send(Frame::new(What::Event, b"late".to_vec())).await, Err(Closed));
        writes.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn each_frame_is_one_write_and_all_that_wait_are_written_before_the_end() {
        let expected: [&[u8]; 4] = [b"one", b"two bodies", b"three", b"shutdown"];
        assert_eq!(written(usize::MAX).await, expected);
    }

    #[tokio::test]
    async fn answers_of_coordination_that_wait_together_are_one_write_and_others_keep_their_own() {
        let writes = Arc::new(Mutex::new(Vec::new()));
        let socket = Recorder { writes: Arc::clone(&writes), room: usize::MAX };
        let (outbox, writer) = channel(socket, "127.0.25.9:1".into(), Duration::from_secs(1));
        for what in [What::Answer, What::Answer, What::Reply, What::Event, What::Answer, What::Answer] {
            let frame = Frame::with_body(what, b"a".to_vec(), Bytes::from_static(b"b"));
            outbox.send(frame).await.unwrap();
        }
        let (close, closing) = oneshot::channel();
        drop(close);
        writer.run(closing).await;
        let expected: [&[u8]; 5] = [b"abab", b"ab", b"ab", b"abab", b"shutdown"];
        assert_eq!(*writes.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_write_that_is_taken_in_part_goes_on_before_the_next_frame() {
        let expected: [&[u8]; 5] = [b"one", b"two b", b"odies", b"three", b"shutdown"];
        assert_eq!(written(5).await, expected);
    }

    #[tokio::test]
    async fn a_writer_that_fails_closes_the_outbox() {
        let socket = Recorder { writes: Arc::default(), room: 0 };
        let (outbox, writer) = channel(socket, "127.0.25.9:1".into(), Duration::from_secs(1));
        let (_close, closing) = oneshot::channel();
        let writing = tokio::spawn(writer.run(closing));
        let frame = Frame::new(What::Reply, b"one".to_vec());
        assert_eq!(outbox.send_and_flush(frame).await, Err(Closed));
        outbox.closed().await;
        writing.await.unwrap();
    }
}
