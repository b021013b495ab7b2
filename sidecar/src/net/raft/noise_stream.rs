//! A byte stream in Noise messages: each has its length in front, two bytes, big-endian, and up to 65,519 bytes of
//! content behind it.
//!
//! Keys are replaced on both ends after every [`RAFT_MESSAGES_PER_KEY`] messages, which keeps a connection of any age
//! within what AES-GCM allows for one key; the counter itself would last for longer than the machine. An end of the
//! stream within a message is an error; one between messages is an end, as on TCP, and whoever needs to know whether
//! everything came has lengths of its own.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use snow::TransportState;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::limits::{RAFT_MESSAGES_PER_KEY, RAFT_READ_BYTES};

/// Bytes of a message at most (Noise, section 3).
const MESSAGE_MAX: usize = 65_535;
/// Bytes its tag takes.
const TAG: usize = 16;
/// Bytes of content in one message at most.
const CONTENT_MAX: usize = MESSAGE_MAX - TAG;
/// Bytes of the length in front.
const HEAD: usize = 2;

/// A stream whose content only holders of a gossip key can read or write.
pub(super) struct NoiseStream<S> {
    inner: S,
    transport: TransportState,
    /// The gossip key it was made with.
    key: Bytes,
    messages_per_key: u64,
    sent: u64,
    received: u64,
    /// What came and is not decrypted: less than one message and what one read brought.
    incoming: BytesMut,
    /// What is decrypted and not taken: at most one message.
    content: BytesMut,
    /// What is encrypted and not sent: at most one message.
    outgoing: BytesMut,
}

impl<S> NoiseStream<S> {
    pub(super) fn new(inner: S, transport: TransportState, key: Bytes) -> Self {
        Self {
            inner,
            transport,
            key,
            messages_per_key: RAFT_MESSAGES_PER_KEY,
            sent: 0,
            received: 0,
            incoming: BytesMut::new(),
            content: BytesMut::new(),
            outgoing: BytesMut::new(),
        }
    }

    /// The gossip key it was made with.
    pub(super) fn key(&self) -> &Bytes {
        &self.key
    }

    /// Replaces keys after fewer messages; both ends have to agree.
    #[cfg(test)]
    pub(super) fn replace_keys_after(&mut self, messages: u64) {
        self.messages_per_key = messages;
    }

    fn encrypt(&mut self, content: &[u8]) -> io::Result<()> {
        let length = content.len().saturating_add(TAG);
        let head = u16::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        let begin = self.outgoing.len();
        self.outgoing.extend_from_slice(&head.to_be_bytes());
        self.outgoing.resize(begin.saturating_add(HEAD).saturating_add(length), 0);
        let place = self.outgoing.get_mut(begin.saturating_add(HEAD)..).unwrap_or_default();
        self.transport.write_message(content, place).map_err(|error| io::Error::other(error.to_string()))?;
        self.sent = self.sent.wrapping_add(1);
        if self.sent.is_multiple_of(self.messages_per_key) {
            self.transport.rekey_outgoing();
        }
        Ok(())
    }

    /// Decrypts the next message if it is here as a whole. True if it was.
    fn decrypt(&mut self) -> io::Result<bool> {
        let Some(head) = self.incoming.first_chunk::<HEAD>() else { return Ok(false) };
        let length = usize::from(u16::from_be_bytes(*head));
        if length < TAG {
            return Err(forged());
        }
        let Some(message) = self.incoming.get(HEAD..HEAD.saturating_add(length)) else { return Ok(false) };
        self.content.resize(length.saturating_sub(TAG), 0);
        self.transport.read_message(message, &mut self.content).map_err(|_| forged())?;
        self.incoming.advance(HEAD.saturating_add(length));
        self.received = self.received.wrapping_add(1);
        if self.received.is_multiple_of(self.messages_per_key) {
            self.transport.rekey_incoming();
        }
        Ok(true)
    }
}

fn forged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a message was changed on its way, or comes from somebody without the key",
    )
}

impl<S: AsyncWrite + Unpin> NoiseStream<S> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NoiseStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.content.is_empty() {
            if this.decrypt()? {
                continue;
            }
            this.incoming.reserve(RAFT_READ_BYTES);
            // Reading this way is cancel-safe: nothing is lost when the future is dropped.
            let length = ready!(pin!(this.inner.read_buf(&mut this.incoming)).poll(context))?;
            if length == 0 {
                let whole = this.incoming.is_empty();
                return Poll::Ready(if whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) });
            }
        }
        let length = this.content.len().min(buffer.remaining());
        buffer.put_slice(&this.content.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NoiseStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Not before the last message has left: what waits here is bounded by one.
        ready!(self.poll_send(context))?;
        let length = bytes.len().min(CONTENT_MAX);
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        self.encrypt(bytes.get(..length).unwrap_or_default())?;
        match self.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(length)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
