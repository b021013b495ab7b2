//! The gossip sockets: TCP and UDP on one address and one port (`docs/spec/memberlist.md` 5). Go: `net_transport.go`.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::go_errors;
use crate::limits::{PORT_ATTEMPTS, UDP_RECEIVE_BUFFER_BYTES};

/// Waiting connections the kernel keeps. Go: `somaxconn`, at most this on Linux before 5.4; the kernel cuts it further.
const LISTEN_BACKLOG: i32 = 4096;

/// Both gossip sockets, on the same port.
#[derive(Debug)]
pub struct GossipSockets {
    /// Streams.
    pub tcp: TcpListener,
    /// Datagrams.
    pub udp: UdpSocket,
    /// The address asked for, with the port in use.
    pub address: SocketAddr,
}

/// A gossip socket could not be opened; the text is Go's.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// For streams.
    #[error("failed to start TCP listener on \"{}\" port {}: {}", .0.ip(), .0.port(), go_errors::listen("tcp", *.0, .1))]
    Tcp(SocketAddr, #[source] io::Error),
    /// For datagrams.
    #[error("failed to start UDP listener on \"{}\" port {}: {}", .0.ip(), .0.port(), go_errors::listen("udp", *.0, .1))]
    Udp(SocketAddr, #[source] io::Error),
}

impl GossipSockets {
    /// Opens both. Port 0 takes a port that is free for both; several attempts are made to find one.
    ///
    /// # Errors
    /// [`BindError`]; nothing is open then.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
        loop {
            attempts = attempts.saturating_sub(1);
            match Self::bind_once(address) {
                Err(BindError::Udp(..)) if attempts > 0 => {}
                result => return result,
            }
        }
    }

    fn bind_once(address: SocketAddr) -> Result<Self, BindError> {
        let tcp = listen(address).map_err(|error| BindError::Tcp(address, error))?;
        let port = tcp.local_addr().map_err(|error| BindError::Tcp(address, error))?.port();
        let address = SocketAddr::new(address.ip(), port);
        let udp = open_udp(address).map_err(|error| BindError::Udp(address, error))?;
        Ok(Self { tcp, udp, address })
    }
}

/// Opens a listening TCP socket; addresses without a host listen on IPv4 and IPv6, as Go's do.
///
/// # Errors
/// What the system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn open_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bound(address, Type::DGRAM, Protocol::UDP)?;
    let mut bytes = UDP_RECEIVE_BUFFER_BYTES;
    while bytes > 0 && socket.set_recv_buffer_size(bytes).is_err() {
        bytes = bytes.checked_div(2).unwrap_or(0);
    }
    UdpSocket::from_std(socket.into())
}

/// A bound, non-blocking socket. `0.0.0.0` means every address of both families (where the host has IPv6), as in Go.
fn bound(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
    if address.ip().is_unspecified() {
        match bound_to(everywhere, kind, protocol) {
            Err(error) if address.is_ipv4() && lacks_ipv6(&error) => {}
            result => return result,
        }
    }
    bound_to(address, kind, protocol)
}

/// EAFNOSUPPORT, EADDRNOTAVAIL: the host has no IPv6, or has switched it off.
fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(97 | 99))
}

fn bound_to(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if let IpAddr::V6(ip) = address.ip() {
        socket.set_only_v6(!ip.is_unspecified())?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sockets_share_a_port_the_system_chose() {
        let sockets = GossipSockets::bind("127.0.26.11:0".parse().unwrap()).unwrap();
        assert_ne!(sockets.address.port(), 0);
        assert_eq!(sockets.tcp.local_addr().unwrap(), sockets.address);
        assert_eq!(sockets.udp.local_addr().unwrap(), sockets.address);
    }

    #[tokio::test]
    async fn an_address_in_use_is_refused_in_gos_words() {
        let sockets = GossipSockets::bind("127.0.26.12:0".parse().unwrap()).unwrap();
        let port = sockets.address.port();
        let error = GossipSockets::bind(sockets.address).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "failed to start TCP listener on \"127.0.26.12\" port {port}: listen tcp 127.0.26.12:{port}: bind: \
                 address already in use"
            )
        );
    }

    #[tokio::test]
    async fn without_a_host_ipv4_peers_reach_the_socket() {
        let sockets = GossipSockets::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let target = SocketAddr::from(([127, 0, 26, 13], sockets.address.port()));
        let (dialled, accepted) = tokio::join!(tokio::net::TcpStream::connect(target), sockets.tcp.accept());
        assert!(dialled.is_ok() && accepted.is_ok());
    }
}
