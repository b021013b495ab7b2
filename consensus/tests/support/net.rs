//! Networks whose cables the test holds: every stream between agents goes through a task that copies it, over memory or
//! over TCP on the loopback, and that can be cut.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use folkmoot_consensus::Transport;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// What streams are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    Memory,
    Tcp,
}

/// All cables.
pub struct Net {
    medium: Medium,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listening: BTreeMap<SocketAddr, mpsc::Sender<DuplexStream>>,
    cables: Vec<(SocketAddr, SocketAddr, AbortHandle)>,
    /// Neither reached nor reaching.
    isolated: Vec<SocketAddr>,
    /// From where each new cable breaks, and after how many bytes the next one does.
    fragile: Option<(SocketAddr, usize)>,
}

/// One agent's way to others.
pub struct Port {
    net: Arc<Net>,
    from: SocketAddr,
}

impl Net {
    pub fn new(medium: Medium) -> Arc<Self> {
        Arc::new(Self { medium, state: Mutex::default() })
    }

    pub fn port(self: &Arc<Self>, from: SocketAddr) -> Arc<Port> {
        Arc::new(Port { net: self.clone(), from })
    }

    /// Streams that are made to this address.
    pub async fn listen(self: &Arc<Self>, at: SocketAddr) -> mpsc::Receiver<DuplexStream> {
        let (sender, accepted) = mpsc::channel(16);
        if self.medium == Medium::Tcp {
            let listener = TcpListener::bind(at).await.unwrap();
            let (net, sender) = (self.clone(), sender.clone());
            tokio::spawn(async move {
                while let Ok((stream, from)) = listener.accept().await {
                    let ours = net.cable(from, at, stream, None);
                    if net.is_isolated(at) || sender.send(ours).await.is_err() {
                        return;
                    }
                }
            });
        }
        self.state.lock().unwrap().listening.insert(at, sender);
        accepted
    }

    /// Cuts everything to and from an address, for ever: as if its process was killed.
    pub fn isolate(&self, at: SocketAddr) {
        let mut state = self.state.lock().unwrap();
        state.isolated.push(at);
        state.listening.remove(&at);
        state.cables.retain(|(from, to, cable)| {
            let cut = *from == at || *to == at;
            if cut {
                cable.abort();
            }
            !cut
        });
    }

    /// Cables made from this address break after a few bytes or some more, each at another place.
    pub fn fragile(&self, from: SocketAddr) {
        self.state.lock().unwrap().fragile = Some((from, 0));
    }

    fn is_isolated(&self, at: SocketAddr) -> bool {
        self.state.lock().unwrap().isolated.contains(&at)
    }

    /// One end of a cable; the other end is `far`.
    fn cable<S>(&self, from: SocketAddr, to: SocketAddr, far: S, bytes: Option<usize>) -> DuplexStream
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (near, ours) = tokio::io::duplex(64 * 1024);
        let task = tokio::spawn(copy(ours, far, bytes));
        let mut state = self.state.lock().unwrap();
        state.cables.retain(|(_, _, cable)| !cable.is_finished());
        state.cables.push((from, to, task.abort_handle()));
        near
    }
}

/// Copies both ways until one side ends, or `bytes` have gone one way.
async fn copy<A, B>(one: A, other: B, bytes: Option<usize>)
where
    A: AsyncRead + AsyncWrite + Send + Unpin,
    B: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (one_in, one_out) = tokio::io::split(one);
    let (other_in, other_out) = tokio::io::split(other);
    tokio::select! {
        () = copy_one_way(one_in, other_out, bytes) => {}
        () = copy_one_way(other_in, one_out, bytes) => {}
    }
}

async fn copy_one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, bytes: Option<usize>) {
    let mut left = bytes.unwrap_or(usize::MAX);
    let mut buffer = vec![0; 16 * 1024];
    while left > 0 {
        let most = left.min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else { return };
        if to.write_all(&buffer[..read]).await.is_err() || to.flush().await.is_err() {
            return;
        }
        left -= read;
    }
}

impl Transport for Port {
    type Stream = DuplexStream;

    async fn connect(&self, to: SocketAddr) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (listening, bytes) = {
            let mut state = self.net.state.lock().unwrap();
            if state.isolated.contains(&self.from) {
                return Err(refused());
            }
            let bytes = state.fragile.as_mut().filter(|(from, _)| *from == self.from).map(|(_, bytes)| {
                *bytes = (*bytes + 61) % 611;
                *bytes
            });
            (state.listening.get(&to).cloned().ok_or_else(refused)?, bytes)
        };
        match self.net.medium {
            Medium::Tcp => Ok(self.net.cable(self.from, to, TcpStream::connect(to).await?, bytes)),
            Medium::Memory => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                listening.send(theirs).await.map_err(|_| refused())?;
                Ok(self.net.cable(self.from, to, ours, bytes))
            }
        }
    }
}
