//! The multicast sockets of mDNS: those that listen on port 5353, and those that ask from a port of their own, for IPv4
//! and IPv6, on one interface or where the system's routes lead.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::net::interfaces::{self, Interfaces};

/// The groups and the port of mDNS. RFC 6762 section 3.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const PORT: u16 = 5353;

/// An interface as the system knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interface {
    /// 0: where the routes lead.
    index: u32,
    /// Its first IPv4 address.
    ipv4: Option<Ipv4Addr>,
}

impl Interface {
    /// Looks it up; `None` is no interface in particular.
    ///
    /// # Errors
    /// What the system says.
    pub fn named(name: Option<&str>) -> io::Result<Self> {
        let Some(name) = name else { return Ok(Self::default()) };
        let addresses = Interfaces::of_this_machine()?.addresses;
        let ipv4 = addresses.iter().filter(|address| address.interface == name).find_map(|address| match address.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        Ok(Self { index: interfaces::index(name)?, ipv4 })
    }
}

/// Opens the sockets that listen, of either family.
///
/// # Errors
/// Neither could be opened.
pub async fn listeners(interface: Interface) -> io::Result<Vec<UdpSocket>> {
    let listeners = either(listen_v4(interface), listen_v6(interface))?;
    for listener in &listeners {
        // Before, the runtime does not know that it may be written to.
        listener.writable().await?;
    }
    Ok(listeners)
}

fn listen_v4(interface: Interface) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // Bound to the group: what is meant for other users of this port stays theirs.
    socket.bind(&SocketAddr::from((GROUP_V4, PORT)).into())?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface.index))?;
    to_tokio(socket)
}

fn listen_v6(interface: Interface) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v6(&GROUP_V6, interface.index)?;
    to_tokio(socket)
}

/// A socket that asks, and where it asks.
#[derive(Debug)]
pub struct Asker {
    /// Answers come here.
    pub socket: UdpSocket,
    group: SocketAddr,
}

/// Which families ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    /// Whether IPv4 does.
    pub ipv4: bool,
    /// Whether IPv6 does.
    pub ipv6: bool,
}

/// Opens the sockets that ask.
///
/// # Errors
/// None could be opened.
pub async fn askers(interface: Interface, families: Families) -> io::Result<Vec<Asker>> {
    let off = || io::Error::other("no family is enabled");
    let v4 = if families.ipv4 { ask_v4(interface) } else { Err(off()) };
    let v6 = if families.ipv6 { ask_v6(interface) } else { Err(off()) };
    let askers = either(v4, v6)?;
    for asker in &askers {
        asker.socket.writable().await?;
    }
    Ok(askers)
}

fn ask_v4(interface: Interface) -> io::Result<Asker> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    if let Some(ip) = interface.ipv4 {
        socket.set_multicast_if_v4(&ip)?;
    }
    Ok(Asker { socket: to_tokio(socket)?, group: SocketAddr::from((GROUP_V4, PORT)) })
}

fn ask_v6(interface: Interface) -> io::Result<Asker> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
    if interface.index != 0 {
        socket.set_multicast_if_v6(interface.index)?;
    }
    Ok(Asker { socket: to_tokio(socket)?, group: SocketAddr::from((GROUP_V6, PORT)) })
}

impl Asker {
    /// Sends a question to the group, without waiting.
    ///
    /// # Errors
    /// What the system says.
    pub fn ask(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.try_send_to(packet, self.group).map(|_| ())
    }
}

/// One of two is enough.
fn either<T>(first: io::Result<T>, second: io::Result<T>) -> io::Result<Vec<T>> {
    match (first, second) {
        (Err(error), Err(_)) => Err(error),
        (first, second) => Ok(first.into_iter().chain(second).collect()),
    }
}

fn to_tokio(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}
