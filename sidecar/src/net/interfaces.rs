//! Which address of this machine others shall use: `-iface`, and the private address advertised for `0.0.0.0`.
//!
//! `docs/spec/memberlist.md` 5 ("Private address choice"), `docs/spec/agent-cli.md` 3.7. The choosing is pure; only
//! [`Interfaces::of_this_machine`] looks at the machine. Go: go-sockaddr's `GetPrivateInterfaces`, Serf's `agent.go`.

use std::cmp::Reverse;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// One address of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// `eth0`
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
    /// Length of its network's prefix, in bits.
    pub prefix: u8,
    /// Whether the interface is up.
    pub up: bool,
}

/// The addresses of this machine, in the system's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// All of them.
    pub addresses: Vec<InterfaceAddress>,
    /// The interface of the default route.
    pub default_route: Option<String>,
}

/// Why an interface cannot be used. The texts are Go's; the configuration is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    /// No such interface.
    #[error("Invalid network interface: route ip+net: no such network interface")]
    Unknown,
    /// It has no address.
    #[error("Interface '{0}' has no addresses")]
    NoAddresses(String),
    /// It has link-local addresses only.
    #[error("Failed to find usable address for interface '{0}'")]
    NoUsableAddress(String),
    /// The bind address is elsewhere.
    #[error("Interface '{interface}' has no '{ip}' address")]
    NotThere {
        /// Its name.
        interface: String,
        /// The bind address.
        ip: IpAddr,
    },
}

impl Interfaces {
    /// Looks at the machine.
    ///
    /// # Errors
    /// What the system says.
    pub fn of_this_machine() -> io::Result<Self> {
        let addresses = if_addrs::get_if_addrs()?
            .into_iter()
            .map(|interface| {
                let prefix = match &interface.addr {
                    if_addrs::IfAddr::V4(address) => address.prefixlen,
                    if_addrs::IfAddr::V6(address) => address.prefixlen,
                };
                let (up, ip) = (is_up(&interface.name), interface.ip());
                InterfaceAddress { interface: interface.name, ip, prefix, up }
            })
            .collect();
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        Ok(Self { addresses, default_route: default_route(&routes).map(str::to_owned) })
    }

    /// The address to advertise when bound to all of them: of the private ones, the interface of the default route
    /// comes first, then IPv4, then the smallest network.
    pub fn private_address(&self) -> Option<IpAddr> {
        self.addresses
            .iter()
            .filter(|address| address.up && is_private(address.ip))
            .min_by_key(|address| {
                let elsewhere = self.default_route.as_deref() != Some(address.interface.as_str());
                (elsewhere, address.ip.is_ipv6(), Reverse(network_bits(address)))
            })
            .map(|address| address.ip)
    }

    /// The address to bind for `-iface=name`: `bind`, which has to be on it, or its first usable one if `bind` is
    /// `0.0.0.0`.
    ///
    /// # Errors
    /// [`InterfaceError`].
    pub fn bind_address(&self, name: &str, bind: IpAddr) -> Result<IpAddr, InterfaceError> {
        let mut own = self.addresses.iter().filter(|address| address.interface == name).map(|address| address.ip);
        if own.clone().next().is_none() {
            return Err(InterfaceError::NoAddresses(name.to_owned()));
        }
        if bind == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            let usable = own.find(|ip| !is_link_local(*ip));
            return usable.ok_or_else(|| InterfaceError::NoUsableAddress(name.to_owned()));
        }
        if own.any(|ip| ip == bind) {
            return Ok(bind);
        }
        Err(InterfaceError::NotThere { interface: name.to_owned(), ip: bind })
    }
}

/// Whether this machine has an interface of that name, with or without addresses.
pub fn exists(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != ".." && name != "." && interface_path(name).exists()
}

/// The number the system has for an interface.
///
/// # Errors
/// There is none of that name.
pub fn index(name: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string(interface_path(name).join("ifindex"))?;
    text.trim().parse().map_err(io::Error::other)
}

/// IFF_UP in the interface's flags; an interface without readable flags counts as up.
fn is_up(name: &str) -> bool {
    let Ok(flags) = std::fs::read_to_string(interface_path(name).join("flags")) else { return true };
    let digits = flags.trim().trim_start_matches("0x");
    u32::from_str_radix(digits, 16).map_or(true, |flags| flags & 1 == 1)
}

fn interface_path(name: &str) -> std::path::PathBuf {
    Path::new("/sys/class/net").join(name)
}

/// The interface of the first line of `/proc/net/route` whose destination and mask are zero.
fn default_route(routes: &str) -> Option<&str> {
    routes.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let (interface, destination, mask) = (columns.next()?, columns.next()?, columns.nth(5)?);
        (destination == "00000000" && mask == "00000000").then_some(interface)
    })
}

/// Bits of the prefix, counted so that IPv4 and IPv6 networks compare by the number of their hosts.
fn network_bits(address: &InterfaceAddress) -> u8 {
    let unused: u8 = if address.ip.is_ipv4() { 96 } else { 0 };
    unused.saturating_add(address.prefix)
}

/// In a range that RFC 6890 sets apart and lets routers forward; or in 240/4, which clouds hand out to containers.
fn is_private(ip: IpAddr) -> bool {
    let in_v4 = |ip: Ipv4Addr, network: [u8; 4], bits: u32| {
        let shift = 32_u32.saturating_sub(bits);
        u32::from(ip) >> shift == u32::from(Ipv4Addr::from(network)) >> shift
    };
    match ip {
        IpAddr::V4(ip) => {
            ip.is_private()
                || in_v4(ip, [100, 64, 0, 0], 10)
                || in_v4(ip, [198, 18, 0, 0], 15)
                || (in_v4(ip, [240, 0, 0, 0], 4) && !ip.is_broadcast())
        }
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Whether everybody on the internet may reach this address: worth a warning where encryption is off.
pub fn is_public(ip: IpAddr) -> bool {
    let special = match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_documentation() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified(),
    };
    !special && !is_private(ip) && !is_link_local(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(interface: &str, ip: &str, prefix: u8) -> InterfaceAddress {
        InterfaceAddress { interface: interface.into(), ip: ip.parse().unwrap(), prefix, up: true }
    }

    fn machine(addresses: &[InterfaceAddress], default_route: Option<&str>) -> Interfaces {
        Interfaces { addresses: addresses.to_vec(), default_route: default_route.map(str::to_owned) }
    }

    #[test]
    fn the_default_routes_interface_comes_first_then_ipv4_then_the_smaller_network() {
        let lo = address("lo", "127.0.0.1", 8);
        let docker = address("docker0", "172.17.0.1", 16);
        let small = address("eth1", "10.1.2.3", 24);
        let six = address("eth0", "fd00::2", 64);
        let public = address("eth0", "203.0.113.9", 24);
        let all = [lo, docker, small, six, public];
        assert_eq!(machine(&all, None).private_address(), Some("10.1.2.3".parse().unwrap()));
        assert_eq!(machine(&all, Some("eth0")).private_address(), Some("fd00::2".parse().unwrap()));
        assert_eq!(machine(&all[4..], Some("eth0")).private_address(), None);
    }

    #[test]
    fn addresses_of_carriers_and_clouds_are_found() {
        for ip in ["100.64.0.7", "100.127.255.1", "198.18.3.4", "240.0.1.2", "fd12::9"] {
            let machine = machine(&[address("lo", "127.0.0.1", 8), address("eth0", ip, 24)], Some("eth0"));
            assert_eq!(machine.private_address(), Some(ip.parse().unwrap()));
        }
        for ip in ["100.128.0.1", "203.0.113.9", "169.254.3.4", "255.255.255.255", "2001:db8::1"] {
            assert_eq!(machine(&[address("eth0", ip, 24)], Some("eth0")).private_address(), None, "{ip}");
        }
    }

    #[test]
    fn an_interface_that_is_down_is_not_advertised() {
        let down = InterfaceAddress { up: false, ..address("eth0", "10.0.0.1", 8) };
        assert_eq!(machine(&[down], None).private_address(), None);
    }

    #[test]
    fn an_interface_gives_its_first_usable_address_or_confirms_the_bind_address() {
        let machine = machine(&[address("eth0", "169.254.1.1", 16), address("eth0", "10.0.0.1", 8)], None);
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert_eq!(machine.bind_address("eth0", any), Ok("10.0.0.1".parse().unwrap()));
        assert_eq!(machine.bind_address("eth0", "10.0.0.1".parse().unwrap()), Ok("10.0.0.1".parse().unwrap()));
        let elsewhere = machine.bind_address("eth0", "127.0.13.1".parse().unwrap()).unwrap_err();
        assert_eq!(elsewhere.to_string(), "Interface 'eth0' has no '127.0.13.1' address");
        assert!(machine.bind_address("eth9", any).is_err());
    }

    #[test]
    fn the_default_route_is_read_from_the_kernels_table() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\n";
        assert_eq!(default_route(table), Some("eth0"));
        assert_eq!(default_route(""), None);
    }

    #[test]
    fn public_addresses_are_told_from_special_ones() {
        assert!(is_public("8.8.8.8".parse().unwrap()));
        for special in ["10.0.0.1", "127.0.0.1", "100.64.1.1", "169.254.1.1", "fd00::1", "fe80::1", "::1"] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }
}
