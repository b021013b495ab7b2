//! Loopback addresses, each owned by one test of one process at a time.
//!
//! An address is claimed by listening on a port of it that no agent uses, so that test programs which run at the same
//! time (also from several checkouts) never share one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Listening here means owning the address.
const CLAIM_PORT: u16 = 7940;
/// 127.0.28.0 to 127.0.37.255 are handed out; the next two networks are those of the Python tests.
const FIRST_NET: u8 = 28;
const NETS: u16 = 10;
const HOSTS: u16 = 250;

/// One loopback address, ours until dropped.
#[derive(Debug)]
pub struct Loopback {
    ip: Ipv4Addr,
    _claim: TcpListener,
}

impl Loopback {
    /// An address that nobody uses.
    pub fn fresh() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = u16::try_from(std::process::id() % 977).unwrap() * 3;
        for _ in 0..NETS * HOSTS {
            let number = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % (NETS * HOSTS);
            let net = FIRST_NET + u8::try_from(number / HOSTS).unwrap();
            let host = 1 + u8::try_from(number % HOSTS).unwrap();
            if let Some(mine) = Self::try_claim(Ipv4Addr::new(127, 0, net, host)) {
                return mine;
            }
        }
        panic!("every address of 127.0.{FIRST_NET}.0 and the next {NETS} networks is in use");
    }

    /// This very address; waits while another test has it.
    pub fn exactly(ip: Ipv4Addr) -> Self {
        super::eventually_within(Duration::from_secs(300), &format!("{ip} is free"), || {
            Self::try_claim(ip).ok_or_else(|| "another test has it".into())
        })
    }

    fn try_claim(ip: Ipv4Addr) -> Option<Self> {
        let claim = TcpListener::bind(SocketAddr::from((ip, CLAIM_PORT))).ok()?;
        Some(Self { ip, _claim: claim })
    }

    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    pub fn gossip(&self) -> SocketAddr {
        SocketAddr::from((self.ip, 7946))
    }

    pub fn rpc(&self) -> SocketAddr {
        SocketAddr::from((self.ip, 7373))
    }
}
