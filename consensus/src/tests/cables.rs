//! The real network code in one process: streams of bytes between members, over cables that take their time. A cable that
//! is cut goes silent and, once healed, wakes up late, as TCP does: it tries again after pauses that double. So does the
//! cable of a member that has lost power, until that member is back and knows nothing of the stream; a member that was
//! killed closes its streams.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::AsyncRuntime;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::net::Net;
use super::world::Sim;
use crate::hello::{StreamKind, welcome};
use crate::me::Identity;
use crate::network::Network;
use crate::peer::NodeId;
use crate::receive::Receiver;
use crate::transport::Transport;

/// Bytes on their way in one direction of a stream.
const ROOM: usize = 64 * 1024;
/// The first pause before TCP sends again (RFC 6298's minimum as Linux has it); each one is twice as long as the one before.
const SEND_AGAIN: Duration = Duration::from_millis(200);

/// All cables. Which of them are cut is [`Net`]'s business.
pub(crate) struct Cables {
    net: Arc<Net<Sim>>,
    plugged: Mutex<BTreeMap<NodeId, Plugged>>,
}

/// A member that runs, or has lost power.
struct Plugged {
    identity: Arc<Identity>,
    /// Its streams end with it.
    life: watch::Sender<()>,
}

/// The way out of a member.
pub(crate) struct Socket {
    cables: Arc<Cables>,
    from: NodeId,
}

impl Cables {
    pub(crate) fn new(net: Arc<Net<Sim>>) -> Arc<Self> {
        Arc::new(Self { net, plugged: Mutex::default() })
    }

    /// The network of a member.
    pub(crate) fn network(self: &Arc<Self>, identity: &Arc<Identity>) -> Network<Socket, Sim> {
        let socket = Socket { cables: Arc::clone(self), from: identity.me.id };
        Network::new(Arc::new(socket), Arc::clone(identity))
    }

    /// A member runs. The streams that it had before it lost power end.
    pub(crate) fn plug(&self, identity: &Arc<Identity>) {
        let (life, _) = watch::channel(());
        self.plugged.lock().unwrap().insert(identity.me.id, Plugged { identity: Arc::clone(identity), life });
    }

    /// A member was killed: its streams end.
    pub(crate) fn hang_up(&self, id: NodeId) {
        self.plugged.lock().unwrap().remove(&id);
    }

    fn lives(&self, one: NodeId, other: NodeId) -> Option<[watch::Receiver<()>; 2]> {
        let plugged = self.plugged.lock().unwrap();
        Some([plugged.get(&one)?.life.subscribe(), plugged.get(&other)?.life.subscribe()])
    }

    /// Carries a stream until one of its members ends, or both sides have closed it.
    async fn carry(self: Arc<Self>, one: (NodeId, DuplexStream), other: (NodeId, DuplexStream)) {
        let Some([mut here, mut there]) = self.lives(one.0, other.0) else { return };
        let (one_out, one_in) = tokio::io::split(one.1);
        let (other_out, other_in) = tokio::io::split(other.1);
        let forth = self.pass((one.0, one_out), (other.0, other_in));
        let back = self.pass((other.0, other_out), (one.0, one_in));
        let both = async { drop(futures_util::future::join(forth, back).await) };
        let ends = Sim::select2(here.changed(), there.changed());
        let _whichever = Sim::select2(both, ends).await;
    }

    /// Carries one direction until it is closed.
    async fn pass(
        &self,
        (from, mut source): (NodeId, ReadHalf<DuplexStream>),
        (to, mut sink): (NodeId, WriteHalf<DuplexStream>),
    ) -> io::Result<()> {
        let mut bytes = vec![0; ROOM];
        loop {
            let length = source.read(&mut bytes).await?;
            Sim::sleep(self.net.delay_of_messages()).await;
            let mut pause = SEND_AGAIN;
            while self.net.reach(from, to).is_err() || self.net.reach(to, from).is_err() {
                Sim::sleep(pause).await;
                pause *= 2;
            }
            if length == 0 {
                return sink.shutdown().await;
            }
            sink.write_all(&bytes[..length]).await?;
        }
    }

    /// Answers a stream, as the real port does once a stream is authentic.
    async fn answer(self: Arc<Self>, at: NodeId, mut stream: DuplexStream) {
        let identity = self.plugged.lock().unwrap().get(&at).map(|plugged| Arc::clone(&plugged.identity));
        let Ok(hello) = welcome(&mut stream, identity.as_deref()).await else { return };
        assert_eq!(hello.kind, StreamKind::Raft);
        if let Some(member) = self.net.member(at) {
            drop(Receiver::new(member).serve(hello.from.unwrap(), stream).await);
        }
    }
}

impl Transport for Socket {
    type Stream = DuplexStream;

    async fn connect(&self, to: SocketAddr) -> io::Result<DuplexStream> {
        let cables = &self.cables;
        Sim::sleep(cables.net.delay_of_messages()).await;
        let plugged = |plugged: &BTreeMap<NodeId, Plugged>| {
            plugged.values().map(|plugged| &plugged.identity.me).find(|peer| peer.address == to).map(|peer| peer.id)
        };
        let found = plugged(&cables.plugged.lock().unwrap());
        let Some(at) = found else { return Err(io::ErrorKind::ConnectionRefused.into()) };
        let mut pause = SEND_AGAIN;
        while cables.net.reach(self.from, at).is_err() || cables.net.reach(at, self.from).is_err() {
            Sim::sleep(pause).await;
            pause *= 2;
        }
        let (near, near_end) = tokio::io::duplex(ROOM);
        let (far, far_end) = tokio::io::duplex(ROOM);
        drop(Sim::spawn(Arc::clone(cables).carry((self.from, near_end), (at, far_end))));
        drop(Sim::spawn(Arc::clone(cables).answer(at, far)));
        Ok(near)
    }
}
