//! The Raft port: authenticated, encrypted byte streams between agents, and the listener for them.
//!
//! What goes over them is the business of `folkmoot-consensus`. Protection is one of three, fixed at start: certificates
//! (`raft/tls.rs`) where they are configured, else the gossip keys (`raft/noise.rs`) where there are any, else none. A
//! connection begins with four bytes that say which (`raft/preface.rs`), so that a mistake is told and not guessed at.

#[cfg(test)]
#[path = "raft/certificates_tests.rs"]
mod certificates;
mod complaints;
mod noise;
mod noise_stream;
mod preface;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use folkmoot_consensus::Transport;
use folkmoot_serf::memberlist::Keyring;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::places::{Place, Places};
use super::{go_errors, open_files, sockets};
use crate::limits::{
    ACCEPT_BACKOFF_LONGEST, ACCEPT_BACKOFF_SHORTEST, RAFT_CONNECTIONS, RAFT_CONNECTIONS_PER_SOURCE, RAFT_DRAIN_BYTES,
    RAFT_DRAIN_LIMIT, RAFT_FILES_SHARE, RAFT_HANDSHAKE_LIMIT, RAFT_HANDSHAKES, RAFT_HANDSHAKES_PER_SOURCE,
    RAFT_KEYS_TRIED, RAFT_PEER_SILENCE, RAFT_PROBE_INTERVAL,
};
use crate::shutdown::ShutdownToken;
use crate::telemetry::Telemetry;
use complaints::Complaints;
use noise_stream::NoiseStream;
use preface::Mode;
pub use stream::RaftStream;
pub use tls::{Certificates, TlsFileError, TlsFiles, TlsIdentity};

/// How connections are protected.
#[derive(Debug, Clone)]
pub enum Security {
    /// By certificates.
    Tls(Arc<Certificates>),
    /// By the gossip keys, as they are at each moment.
    Keys(watch::Receiver<Keyring>),
    /// Not at all.
    Open,
}

impl Security {
    /// Certificates where there are any, else keys where there are any.
    pub fn choose(certificates: Option<Certificates>, keys: watch::Receiver<Keyring>) -> Self {
        let encrypted = !keys.borrow().is_empty();
        match certificates {
            Some(certificates) => Self::Tls(Arc::new(certificates)),
            None if encrypted => Self::Keys(keys),
            None => Self::Open,
        }
    }

    fn mode(&self) -> Mode {
        match self {
            Self::Tls(_) => Mode::Tls,
            Self::Keys(_) => Mode::Keyring,
            Self::Open => Mode::Open,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        self.mode().to_string()
    }
}

/// Why two ends do not come together. `it` is the other end, whichever that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum HandshakeError {
    /// No handshake of ours.
    #[error("{0}")]
    Protocol(String),
    /// The two are set up differently.
    #[error("it uses {theirs}, this node uses {ours}: give all nodes the same keys, or certificates of one authority")]
    Mode {
        /// What it uses.
        theirs: Mode,
        /// What we use.
        ours: Mode,
    },
    /// No key in common.
    #[error("it and this node have no gossip key in common")]
    Key,
    /// One of the certificates.
    #[error("{0}")]
    Certificate(String),
    /// It began as somebody with the key would and could not go on.
    #[error("it cannot prove that it has the key: it repeats what it recorded, or a key was changed on the way")]
    Unproven,
    /// Out of time.
    #[error("it did not finish its handshake within {} s", RAFT_HANDSHAKE_LIMIT.as_secs())]
    Slow,
    /// Out of places.
    #[error("too many connections are open, in all or from one address")]
    Busy,
    /// It closed the connection, or the network failed.
    #[error("it went away in the handshake: {0}")]
    Gone(String),
}

impl HandshakeError {
    fn gone(error: &io::Error) -> Self {
        let closed = error.kind() == io::ErrorKind::UnexpectedEof;
        Self::Gone(if closed { "it closed the connection".to_owned() } else { go_errors::cause(error) })
    }

    /// The last part of its counter's name.
    fn name(&self) -> &'static str {
        match self {
            Self::Protocol(_) => "protocol",
            Self::Mode { .. } => "mode",
            Self::Key => "key",
            Self::Certificate(_) => "certificate",
            Self::Unproven => "unproven",
            Self::Slow => "slow",
            Self::Busy => "busy",
            Self::Gone(_) => "gone",
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::gone(&error)
    }
}

/// Calls other agents, and answers them: what both directions share.
#[derive(Debug)]
pub struct RaftTransport {
    security: Security,
    telemetry: Telemetry,
    complaints: Complaints,
    handshakes: Places,
    connections: Places,
    handshake_limit: Duration,
}

impl RaftTransport {
    /// Nothing is open yet.
    pub fn new(security: Security, telemetry: Telemetry) -> Self {
        let files = open_files::limit().map_or(usize::MAX, |files| files / RAFT_FILES_SHARE);
        Self {
            security,
            complaints: Complaints::new(telemetry.clone()),
            telemetry,
            handshakes: Places::new(RAFT_HANDSHAKES.min(files), RAFT_HANDSHAKES_PER_SOURCE),
            connections: Places::new(RAFT_CONNECTIONS.min(files), RAFT_CONNECTIONS_PER_SOURCE),
            handshake_limit: RAFT_HANDSHAKE_LIMIT,
        }
    }

    /// How connections are protected.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// Connections of others that are open, and how many there may be.
    pub fn connections(&self) -> (usize, usize) {
        (self.connections.taken(), self.connections.total())
    }

    /// Calls the agent whose Raft port is `to`.
    ///
    /// # Errors
    /// It cannot be reached, or the two ends do not come together; the text says why. A failed handshake is logged here,
    /// once per address and reason.
    pub async fn call(&self, to: SocketAddr) -> io::Result<RaftStream> {
        let called = tokio::time::timeout(self.handshake_limit, self.dial(to)).await;
        let error = match called {
            Ok(Ok(stream)) => {
                self.telemetry.count("folkmoot.raft.called");
                return Ok(stream);
            }
            Ok(Err(Unreached::Network(error))) => {
                return Err(io::Error::new(error.kind(), go_errors::dial(to, &error)));
            }
            Ok(Err(Unreached::Handshake(error))) => error,
            Err(_) => HandshakeError::Slow,
        };
        self.complaints.called(to, &error);
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, format!("{to}: {error}")))
    }

    async fn dial(&self, to: SocketAddr) -> Result<RaftStream, Unreached> {
        match &self.security {
            Security::Open => {
                let mut stream = reach(to).await?;
                let preface = Mode::Open.preface();
                stream.write_all(&preface).await.map_err(HandshakeError::from)?;
                let mut answer = [0; preface::LENGTH];
                stream.read_exact(&mut answer).await.map_err(HandshakeError::from)?;
                preface::answered(Mode::Open, answer)?;
                Ok(RaftStream::open(stream, None))
            }
            Security::Tls(certificates) => {
                Ok(RaftStream::tls(tls::call(reach(to).await?, &certificates.current()).await?, None))
            }
            Security::Keys(ring) => self.dial_with_keys(to, ring).await,
        }
    }

    /// With the primary key; in the middle of a rotation the other end may only know an older one.
    async fn dial_with_keys(&self, to: SocketAddr, ring: &watch::Receiver<Keyring>) -> Result<RaftStream, Unreached> {
        let keys: Vec<_> = ring.borrow().keys().iter().take(RAFT_KEYS_TRIED).cloned().collect();
        let mut refused = HandshakeError::Key;
        for key in keys {
            match noise::call(reach(to).await?, key).await {
                Ok(stream) => return Ok(RaftStream::keyring(stream, ring.clone(), None)),
                Err(HandshakeError::Key) => refused = HandshakeError::Key,
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused.into())
    }

    /// Answers a caller, who has a place for its handshake already.
    async fn admit(&self, stream: TcpStream, from: SocketAddr) -> Result<RaftStream, HandshakeError> {
        prepare(&stream);
        let place = self.connections.take(from.ip()).ok_or(HandshakeError::Busy);
        let admitted = tokio::time::timeout(self.handshake_limit, self.answer(stream, place)).await;
        admitted.unwrap_or(Err(HandshakeError::Slow))
    }

    async fn answer(
        &self,
        mut stream: TcpStream,
        place: Result<Place, HandshakeError>,
    ) -> Result<RaftStream, HandshakeError> {
        let mut start = [0; preface::LENGTH];
        stream.read_exact(&mut start).await?;
        let mode = self.security.mode();
        let agreed = preface::accept(mode, start).and(place);
        let place = match agreed {
            Ok(place) => Some(place),
            Err(error) => return Err(turn_away(stream, mode, error).await),
        };
        match &self.security {
            Security::Open => {
                stream.write_all(&mode.preface()).await?;
                Ok(RaftStream::open(stream, place))
            }
            Security::Tls(certificates) => {
                Ok(RaftStream::tls(tls::answer(stream, &certificates.current()).await?, place))
            }
            Security::Keys(ring) => {
                let keys = ring.borrow().clone();
                match noise::answer(&mut stream, &keys).await {
                    Ok((transport, key)) => {
                        let stream = NoiseStream::new(stream, transport, key);
                        Ok(RaftStream::keyring(stream, ring.clone(), place))
                    }
                    Err(error) => Err(turn_away(stream, mode, error).await),
                }
            }
        }
    }
}

impl Transport for RaftTransport {
    type Stream = RaftStream;

    async fn connect(&self, to: SocketAddr) -> io::Result<RaftStream> {
        self.call(to).await
    }
}

/// Why a call came to nothing.
enum Unreached {
    /// Nobody there, or no way.
    Network(io::Error),
    /// Somebody, but.
    Handshake(HandshakeError),
}

impl From<HandshakeError> for Unreached {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

async fn reach(to: SocketAddr) -> Result<TcpStream, Unreached> {
    let stream = TcpStream::connect(to).await.map_err(Unreached::Network)?;
    prepare(&stream);
    Ok(stream)
}

/// Small messages leave at once, and a peer whose machine is gone is noticed also where nothing is sent.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(RAFT_PROBE_INTERVAL).with_interval(RAFT_PROBE_INTERVAL);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(RAFT_PEER_SILENCE));
}

/// Tells a caller why it is refused, where that helps it, and lets the answer arrive: closing with bytes unread would
/// take it back.
async fn turn_away(mut stream: TcpStream, mode: Mode, error: HandshakeError) -> HandshakeError {
    let Some(answer) = preface::refusal(mode, &error) else { return error };
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(RAFT_DRAIN_BYTES), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(RAFT_DRAIN_LIMIT, told).await;
    error
}

/// The listener.
#[derive(Debug)]
pub struct RaftPort {
    listener: TcpListener,
    address: SocketAddr,
}

impl RaftPort {
    /// Opens the port; 0 leaves its number to the system.
    ///
    /// # Errors
    /// The address and the system's reason, in one text.
    pub fn bind(address: SocketAddr) -> Result<Self, String> {
        let failed = |error: io::Error| go_errors::listen("tcp", address, &error);
        let listener = sockets::listen(address).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, address: SocketAddr::new(address.ip(), port) })
    }

    /// The address asked for, with the port in use.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `stop`, and hands on every stream that has passed its handshake. Then the streams are cut off.
    pub async fn serve<F, Served>(self, transport: Arc<RaftTransport>, mut stop: ShutdownToken, serve: F)
    where
        F: Fn(RaftStream) -> Served + Clone + Send + 'static,
        Served: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let mut pause = ACCEPT_BACKOFF_SHORTEST;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = tasks.join_next() => continue,
                () = stop.requested() => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    pause = ACCEPT_BACKOFF_SHORTEST;
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    let Some(place) = transport.handshakes.take(from.ip()) else {
                        transport.complaints.answered(from, &HandshakeError::Busy);
                        continue;
                    };
                    tasks.spawn(receive(Arc::clone(&transport), stream, from, place, serve.clone()));
                }
                Err(error) => {
                    tracing::error!(target: "raft", "cannot accept connections: {}", go_errors::cause(&error));
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(ACCEPT_BACKOFF_LONGEST);
                }
            }
        }
    }
}

async fn receive<F, Served>(
    transport: Arc<RaftTransport>,
    stream: TcpStream,
    from: SocketAddr,
    handshake: Place,
    serve: F,
) where
    F: Fn(RaftStream) -> Served,
    Served: Future<Output = ()>,
{
    match transport.admit(stream, from).await {
        Ok(stream) => {
            drop(handshake);
            transport.telemetry.count("folkmoot.raft.answered");
            serve(stream).await;
        }
        Err(error) => transport.complaints.answered(from, &error),
    }
}

#[cfg(test)]
#[path = "raft_tests.rs"]
mod tests;
