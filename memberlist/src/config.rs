//! Settings of the gossip layer, with Go's names and our units. Answers to Go `config.go`, spec 13.
//!
//! Not here: what a configuration file or a flag says; the shell resolves those into a [`Config`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::limits::{LABEL_BYTES, NAME_BYTES, UDP_BUFFER_BYTES_MAX, UDP_BUFFER_BYTES_MIN};
use crate::{Keyring, NodeName, Versions, WireAddress};

/// Settings, with Go's names (spec 13). Begin with [`Config::lan`], [`Config::wan`] or [`Config::local`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name.
    pub name: NodeName,
    /// Address we advertise, in the form we put on the wire.
    pub advertise_address: WireAddress,
    /// Port we advertise.
    pub advertise_port: u16,
    /// Port assumed for peers that send none.
    pub bind_port: u16,
    /// Memberlist protocol spoken: 1..=5, Serf always 2.
    pub protocol_version: u8,
    /// Delegate protocol (min, max, cur), Serf: 2, 5, its own.
    pub delegate_versions: (u8, u8, u8),
    /// Encryption keys.
    pub keyring: Keyring,
    /// Cluster label, Serf: none.
    pub label: Bytes,
    /// Refuse labelled packets and assume our own label.
    pub skip_inbound_label_check: bool,
    /// Whether plaintext is refused while a key is set.
    pub gossip_verify_incoming: bool,
    /// Whether we encrypt while a key is set.
    pub gossip_verify_outgoing: bool,
    /// Whether we compress.
    pub enable_compression: bool,
    /// Largest datagram we build, bytes (the checksum comes on top, as in Go).
    pub udp_buffer_size: usize,
    /// Limit of one stream exchange.
    pub tcp_timeout: Duration,
    /// Relays asked per probe.
    pub indirect_checks: usize,
    /// Retransmissions per log10 of the cluster size.
    pub retransmit_mult: usize,
    /// Suspicion time multiplier.
    pub suspicion_mult: u32,
    /// Longest suspicion, as a multiple of the shortest.
    pub suspicion_max_timeout_mult: u32,
    /// Time between anti-entropy exchanges; zero: none.
    pub push_pull_interval: Duration,
    /// Time between probes; zero: none.
    pub probe_interval: Duration,
    /// Time a direct probe may take.
    pub probe_timeout: Duration,
    /// Whether probes fall back to TCP.
    pub tcp_pings: bool,
    /// Health scores stay below this.
    pub awareness_max_multiplier: u32,
    /// Time between gossip rounds; zero: none.
    pub gossip_interval: Duration,
    /// Peers per gossip round.
    pub gossip_nodes: usize,
    /// How long the dead are still gossiped to.
    pub gossip_to_the_dead_time: Duration,
    /// After this time a dead node's name may come back from another address; zero: never. Go's default is zero, ours
    /// 1 s: a container that returns under its name with a new address is taken back at once when dead.
    pub dead_node_reclaim_time: Duration,
    /// Ask `Host::accept_member` and `accept_merge`.
    pub ask_host: bool,
}

impl Config {
    /// Go's LAN profile.
    pub fn lan(name: NodeName, advertise: SocketAddr) -> Self {
        Self {
            name,
            advertise_address: WireAddress::from_ip(advertise.ip()),
            advertise_port: advertise.port(),
            bind_port: advertise.port(),
            protocol_version: 2,
            delegate_versions: (0, 0, 0),
            keyring: Keyring::default(),
            label: Bytes::new(),
            skip_inbound_label_check: false,
            gossip_verify_incoming: true,
            gossip_verify_outgoing: true,
            enable_compression: true,
            udp_buffer_size: 1400,
            tcp_timeout: Duration::from_secs(10),
            indirect_checks: 3,
            retransmit_mult: 4,
            suspicion_mult: 4,
            suspicion_max_timeout_mult: 6,
            push_pull_interval: Duration::from_secs(30),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            tcp_pings: true,
            awareness_max_multiplier: 8,
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            gossip_to_the_dead_time: Duration::from_secs(30),
            dead_node_reclaim_time: Duration::from_secs(1),
            ask_host: false,
        }
    }

    /// Go's WAN profile.
    pub fn wan(name: NodeName, advertise: SocketAddr) -> Self {
        Self {
            tcp_timeout: Duration::from_secs(30),
            suspicion_mult: 6,
            push_pull_interval: Duration::from_secs(60),
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            gossip_interval: Duration::from_millis(500),
            gossip_nodes: 4,
            gossip_to_the_dead_time: Duration::from_secs(60),
            ..Self::lan(name, advertise)
        }
    }

    /// Go's local profile.
    pub fn local(name: NodeName, advertise: SocketAddr) -> Self {
        Self {
            tcp_timeout: Duration::from_secs(1),
            indirect_checks: 1,
            retransmit_mult: 2,
            suspicion_mult: 3,
            push_pull_interval: Duration::from_secs(15),
            probe_timeout: Duration::from_millis(200),
            gossip_interval: Duration::from_millis(100),
            gossip_to_the_dead_time: Duration::from_secs(15),
            ..Self::lan(name, advertise)
        }
    }

    /// The version bytes we advertise.
    pub(crate) fn versions(&self) -> Versions {
        let (delegate_min, delegate_max, delegate_cur) = self.delegate_versions;
        Versions {
            protocol_min: PROTOCOL_VERSION_MIN,
            protocol_max: PROTOCOL_VERSION_MAX,
            protocol_cur: self.protocol_version,
            delegate_min,
            delegate_max,
            delegate_cur,
        }
    }

    /// Whether we gossip in plaintext from an address that the whole internet can reach.
    pub(crate) fn is_exposed(&self) -> bool {
        self.keyring.is_empty() && self.advertise_address.ip().is_some_and(|ip| !is_special(ip))
    }

    /// # Errors
    /// The first setting that cannot work.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.name.0.is_empty() || self.name.0.len() > NAME_BYTES {
            return Err(ConfigError::Name { length: self.name.0.len() });
        }
        if self.advertise_address.ip().is_none() || self.advertise_port == 0 {
            return Err(ConfigError::Advertise);
        }
        if self.protocol_version < PROTOCOL_VERSION_MIN {
            return Err(ConfigError::ProtocolTooLow { version: self.protocol_version });
        }
        if self.protocol_version > PROTOCOL_VERSION_MAX {
            return Err(ConfigError::ProtocolTooHigh { version: self.protocol_version });
        }
        if !self.versions().is_sane() {
            let (min, max, current) = self.delegate_versions;
            return Err(ConfigError::DelegateVersions { min, max, current });
        }
        if self.label.len() > LABEL_BYTES {
            return Err(ConfigError::Label { label: String::from_utf8_lossy(&self.label).into_owned() });
        }
        if !(UDP_BUFFER_BYTES_MIN..=UDP_BUFFER_BYTES_MAX).contains(&self.udp_buffer_size) {
            return Err(ConfigError::UdpBufferSize { size: self.udp_buffer_size });
        }
        Ok(())
    }
}

/// Lowest memberlist protocol there is (Go `ProtocolVersionMin`).
pub(crate) const PROTOCOL_VERSION_MIN: u8 = 1;
/// Highest memberlist protocol there is (Go `ProtocolVersionMax`).
pub(crate) const PROTOCOL_VERSION_MAX: u8 = 5;

/// A configuration that cannot work. The caller's fault; nothing was started. `Display` is Go's text where Go has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A node needs a name, of at most [`NAME_BYTES`] bytes.
    #[error("node name must have 1 to {NAME_BYTES} bytes, not {length}")]
    Name {
        /// Bytes it has.
        length: usize,
    },
    /// Peers could not reach us.
    #[error("advertise address needs an IP address and a port")]
    Advertise,
    /// Below 1.
    #[error("protocol version '{version}' too low. Must be in range: [{PROTOCOL_VERSION_MIN}, {PROTOCOL_VERSION_MAX}]")]
    ProtocolTooLow {
        /// As configured.
        version: u8,
    },
    /// Above 5.
    #[error(
        "protocol version '{version}' too high. Must be in range: [{PROTOCOL_VERSION_MIN}, {PROTOCOL_VERSION_MAX}]"
    )]
    ProtocolTooHigh {
        /// As configured.
        version: u8,
    },
    /// Every peer would ignore us.
    #[error("delegate protocol version {current} is not in range: [{min}, {max}]")]
    DelegateVersions {
        /// Lowest.
        min: u8,
        /// Highest.
        max: u8,
        /// Spoken.
        current: u8,
    },
    /// Its length has to fit one byte.
    #[error("could not use {label} as a label: too long")]
    Label {
        /// As configured.
        label: String,
    },
    /// Too small for our own messages, or too large for a datagram.
    #[error("UDP buffer size {size} is not in range: [{UDP_BUFFER_BYTES_MIN}, {UDP_BUFFER_BYTES_MAX}]")]
    UdpBufferSize {
        /// As configured.
        size: usize,
    },
    /// The host's node meta is too long (Go panics).
    #[error("node meta data provided is longer than the limit")]
    Meta,
}

/// Addresses that are not public: the special ranges of RFC 6890, as Go's `go-sockaddr` lists them.
fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            ip.is_private()
                || ip.is_link_local()
                || ip.is_documentation()
                || matches!(a, 0 | 127 | 240..)
                || (a == 100 && b & 0xc0 == 64)
                || (a == 198 && b & 0xfe == 18)
                || (a == 192 && ((b == 0 && c == 0) || (b == 88 && c == 99)))
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || (a == 0x2001 && (b < 0x0200 || b == 0x0db8))
                || a == 0x2002
                || (a == 0x0064 && b == 0xff9b)
                || a == 0x0100
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lan() -> Config {
        Config::lan(NodeName("alpha".into()), SocketAddr::from(([127, 0, 22, 1], 7946)))
    }

    #[test]
    fn profiles_are_usable_as_they_are() {
        let config = lan();
        for config in [
            config.clone(),
            Config::wan(config.name.clone(), SocketAddr::from(([127, 0, 22, 1], 7946))),
            Config::local(config.name, SocketAddr::from(([127, 0, 22, 1], 7946))),
        ] {
            assert_eq!(config.check(), Ok(()));
            assert_eq!(config.protocol_version, 2);
            assert_eq!(config.dead_node_reclaim_time, Duration::from_secs(1));
        }
    }

    #[test]
    fn protocols_one_to_five_are_accepted_and_no_other() {
        for version in 0..=6 {
            let config = Config { protocol_version: version, ..lan() };
            assert_eq!(config.check().is_ok(), (1..=5).contains(&version), "protocol {version}");
        }
        let refused = Config { protocol_version: 6, ..lan() }.check().map_err(|error| error.to_string());
        assert_eq!(refused, Err("protocol version '6' too high. Must be in range: [1, 5]".to_owned()));
    }

    #[test]
    fn only_public_addresses_without_a_key_are_exposed() {
        let at = |ip: &str| Config { advertise_address: WireAddress::from_ip(ip.parse().unwrap()), ..lan() };
        let special = ["10.1.2.3", "127.0.0.1", "172.31.0.1", "192.168.0.1", "100.64.0.1", "169.254.0.1", "198.19.0.1"];
        for ip in special.into_iter().chain(["203.0.113.9", "::1", "fd11::1", "fe80::1", "2001:db8::1"]) {
            assert!(!at(ip).is_exposed(), "{ip}");
        }
        for ip in ["8.8.8.8", "100.128.0.1", "192.0.1.1", "2a00::1"] {
            assert!(at(ip).is_exposed(), "{ip}");
            let keyring = Keyring::new(&[], &[1; 16]).unwrap();
            assert!(!Config { keyring, ..at(ip) }.is_exposed(), "{ip}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused = [
            Config { name: NodeName::default(), ..lan() },
            Config { name: NodeName("n".repeat(NAME_BYTES + 1).into()), ..lan() },
            Config { advertise_port: 0, ..lan() },
            Config { advertise_address: WireAddress::default(), ..lan() },
            Config { delegate_versions: (2, 5, 6), ..lan() },
            Config { label: Bytes::from(vec![b'l'; LABEL_BYTES + 1]), ..lan() },
            Config { udp_buffer_size: 100, ..lan() },
            Config { udp_buffer_size: 70_000, ..lan() },
        ];
        for config in refused {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
