//! Byte streams between agents. Whoever implements this authenticates the other side and encrypts; this crate decides what
//! is said on the streams.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

/// Makes streams to other agents' Raft ports.
pub trait Transport: Send + Sync + 'static {
    /// One stream: reliable, in order, authenticated. What is written need not leave before it is flushed.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Makes a stream. The caller gives up after a while of its own.
    ///
    /// # Errors
    /// The address does not answer, or is not authentic.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}
