//! Gossip datagrams: received in bounded batches, sent without ever waiting.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::limits::{DATAGRAM_BYTES, UNSENT_DATAGRAMS};

/// The gossip socket for datagrams, with a small queue for moments when the kernel takes no more.
#[derive(Debug)]
pub struct UdpPort {
    socket: UdpSocket,
    /// Whether IPv4 peers have to be addressed in mapped form.
    ipv6: bool,
    buffer: Box<[u8]>,
    unsent: VecDeque<(SocketAddr, Bytes)>,
    dropped: u64,
}

/// The system refused to send this datagram; it is lost.
#[derive(Debug)]
pub struct SendRefused {
    /// Where it was meant to go.
    pub to: SocketAddr,
    /// Why.
    pub error: io::Error,
}

impl UdpPort {
    /// Takes over a bound socket, and waits until the runtime knows that it can be written to.
    pub async fn new(socket: UdpSocket) -> Self {
        let _ = socket.writable().await;
        let ipv6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
        let buffer = vec![0; DATAGRAM_BYTES].into_boxed_slice();
        Self { socket, ipv6, buffer, unsent: VecDeque::new(), dropped: 0 }
    }

    /// The next datagram that waits already; never waits itself.
    pub fn receive(&mut self) -> Option<(SocketAddr, &[u8])> {
        let (length, from) = self.socket.try_recv_from(&mut self.buffer).ok()?;
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        Some((from, self.buffer.get(..length)?))
    }

    /// Sends or queues a datagram. A full queue drops it and counts; as any datagram it may be lost on the way too.
    ///
    /// # Errors
    /// The system refused at once; the engine wants to know ([`folkmoot_serf::Serf::packet_failed`]).
    pub fn send(&mut self, to: SocketAddr, bytes: Bytes) -> Result<(), SendRefused> {
        if self.unsent.is_empty() {
            match self.try_send(to, &bytes) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(SendRefused { to, error }),
            }
        }
        if self.unsent.len() < UNSENT_DATAGRAMS {
            self.unsent.push_back((to, bytes));
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        Ok(())
    }

    /// Sends what was queued as far as the kernel takes it; returns what the system refused.
    pub fn send_queued(&mut self) -> Vec<SendRefused> {
        let mut refused = Vec::new();
        while let Some((to, bytes)) = self.unsent.front() {
            let to = *to;
            match self.try_send(to, bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => refused.push(SendRefused { to, error }),
            }
            self.unsent.pop_front();
        }
        refused
    }

    /// Waits until a datagram can be received, or a queued one sent. Cancel-safe.
    pub async fn ready(&self) {
        let interest =
            if self.unsent.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        // An error shows again at the next receive or send.
        let _ = self.socket.ready(interest).await;
    }

    /// Datagrams dropped because the queue was full, since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn try_send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let to = match to.ip() {
            IpAddr::V4(ip) if self.ipv6 => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), to.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        };
        self.socket.try_send_to(bytes, to).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn port(address: &str) -> (UdpPort, SocketAddr) {
        let socket = UdpSocket::bind(address).await.unwrap();
        let local = socket.local_addr().unwrap();
        (UdpPort::new(socket).await, local)
    }

    #[tokio::test]
    async fn datagrams_arrive_whole_with_their_sender() {
        let (mut sender, from) = port("127.0.26.14:0").await;
        let (mut receiver, to) = port("127.0.26.15:0").await;
        sender.send(to, Bytes::from_static(b"hello")).unwrap();
        tokio::time::timeout(Duration::from_secs(5), receiver.ready()).await.unwrap();
        assert_eq!(receiver.receive(), Some((from, b"hello".as_slice())));
        assert_eq!(receiver.receive(), None);
    }

    #[tokio::test]
    async fn a_datagram_that_is_too_long_is_refused_at_once() {
        let (mut sender, _) = port("127.0.26.14:0").await;
        let to = "127.0.26.15:9".parse().unwrap();
        let refused = sender.send(to, Bytes::from(vec![0; DATAGRAM_BYTES])).unwrap_err();
        assert_eq!(refused.to, to);
    }

    #[tokio::test]
    async fn a_socket_for_both_families_speaks_plain_ipv4() {
        let Ok(socket) = UdpSocket::bind("[::]:0").await else { return };
        let mut everywhere = UdpPort::new(socket).await;
        let (mut peer, to) = port("127.0.26.15:0").await;
        everywhere.send(to, Bytes::from_static(b"x")).unwrap();
        tokio::time::timeout(Duration::from_secs(5), peer.ready()).await.unwrap();
        let (from, _) = peer.receive().unwrap();
        assert!(from.is_ipv4());
        peer.send(from, Bytes::from_static(b"y")).unwrap();
        tokio::time::timeout(Duration::from_secs(5), everywhere.ready()).await.unwrap();
        assert_eq!(everywhere.receive().map(|(sender, _)| sender), Some(to));
    }
}
