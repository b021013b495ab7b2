//! [`RaftStream`]: a connection that has passed its handshake, whatever protects it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use folkmoot_serf::memberlist::Keyring;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsStream;

use super::noise_stream::NoiseStream;
use crate::net::places::Place;

/// A byte stream between two agents. What was written is sure to leave only when it was flushed.
///
/// One that a gossip key protects fails as soon as that key leaves the ring: the next one uses another key.
pub struct RaftStream {
    kind: Kind,
    /// Completes when the key it was made with is gone.
    retired: Option<Retired>,
    ended: bool,
    /// Held as long as the stream is open; calls of ours have none.
    _place: Option<Place>,
}

type Retired = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Kind {
    Open(TcpStream),
    Keyring(Box<NoiseStream<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl RaftStream {
    pub(super) fn open(stream: TcpStream, place: Option<Place>) -> Self {
        Self { kind: Kind::Open(stream), retired: None, ended: false, _place: place }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, place: Option<Place>) -> Self {
        Self { kind: Kind::Tls(Box::new(stream)), retired: None, ended: false, _place: place }
    }

    pub(super) fn keyring(
        stream: NoiseStream<TcpStream>,
        mut ring: watch::Receiver<Keyring>,
        place: Option<Place>,
    ) -> Self {
        let key = stream.key().clone();
        let retired = async move {
            if ring.wait_for(|ring| !ring.keys().contains(&key)).await.is_err() {
                // Nobody changes keys any more.
                std::future::pending::<()>().await;
            }
        };
        Self { kind: Kind::Keyring(Box::new(stream)), retired: Some(Box::pin(retired)), ended: false, _place: place }
    }

    fn check(&self) -> io::Result<()> {
        if self.ended {
            let text = "the gossip key of this connection was removed";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, text));
        }
        Ok(())
    }
}

impl fmt::Debug for RaftStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Open(_) => "RaftStream(open)",
            Kind::Keyring(_) => "RaftStream(keyring)",
            Kind::Tls(_) => "RaftStream(tls)",
        })
    }
}

impl AsyncRead for RaftStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Only the reading side waits for this, so that the two halves of a stream do not take each other's wake-up.
        if let Some(retired) = &mut self.retired
            && retired.as_mut().poll(context).is_ready()
        {
            self.retired = None;
            self.ended = true;
        }
        self.check()?;
        match &mut self.kind {
            Kind::Open(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::Keyring(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for RaftStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        match &mut self.kind {
            Kind::Open(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::Keyring(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Open(stream) => Pin::new(stream).poll_flush(context),
            Kind::Keyring(stream) => Pin::new(stream).poll_flush(context),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Open(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::Keyring(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
