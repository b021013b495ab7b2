//! Nodes in network namespaces of their own, joined by bridges. Nothing that is cut off learns of it: packets go nowhere.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Nobody has this address on the link.
const NOBODY: &str = "02:00:00:00:00:99";

/// A namespace for each node, and one with the bridges between which their cables are moved.
pub struct Network {
    name: String,
    size: usize,
    /// Pairs of which the first does not reach the second.
    lost: Vec<(usize, usize)>,
}

impl Network {
    /// A network whose nodes all reach one another. Needs root.
    pub fn new(size: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("folkmoot-chaos{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let network = Self { name, size, lost: Vec::new() };
        let hub = network.hub();
        ip(&["netns", "add", &hub]);
        for part in 0..size {
            let bridge = format!("br{part}");
            ip(&["-n", &hub, "link", "add", &bridge, "type", "bridge"]);
            ip(&["-n", &hub, "link", "set", &bridge, "up"]);
        }
        for number in 0..size {
            let (space, port) = (network.space(number), format!("p{number}"));
            ip(&["netns", "add", &space]);
            ip(&["link", "add", "eth0", "netns", &space, "type", "veth", "peer", "name", &port, "netns", &hub]);
            ip(&["-n", &space, "addr", "add", &format!("{}/24", Self::address(number)), "dev", "eth0"]);
            ip(&["-n", &space, "link", "set", "lo", "up"]);
            ip(&["-n", &space, "link", "set", "eth0", "up"]);
            ip(&["-n", &hub, "link", "set", &port, "master", "br0", "up"]);
        }
        network
    }

    /// The address of a node in its namespace.
    pub fn address(number: usize) -> String {
        format!("10.47.0.{}", number + 1)
    }

    /// The words in front of a command that is to run at a node.
    pub fn enter(&self, number: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(number)].map(str::to_owned).into()
    }

    /// Puts each node into the part of its number; nodes of different parts do not reach one another.
    pub fn partition(&self, parts: &[usize]) {
        for (number, part) in parts.iter().enumerate() {
            ip(&["-n", &self.hub(), "link", "set", &format!("p{number}"), "master", &format!("br{part}")]);
        }
    }

    /// Loses what the first of each pair sends to the second: it takes the other's address for that of nobody.
    pub fn lose(&mut self, pairs: &[(usize, usize)]) {
        for (from, to) in pairs {
            let (space, address) = (self.space(*from), Self::address(*to));
            ip(&["-n", &space, "neigh", "replace", &address, "lladdr", NOBODY, "nud", "permanent", "dev", "eth0"]);
        }
        self.lost.extend(pairs);
    }

    /// All nodes reach one another again.
    pub fn heal(&mut self) {
        self.partition(&vec![0; self.size]);
        let mut lost = std::mem::take(&mut self.lost);
        lost.sort_unstable();
        lost.dedup();
        for (from, to) in lost {
            ip(&["-n", &self.space(from), "neigh", "del", &Self::address(to), "dev", "eth0"]);
        }
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn space(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for space in (0..self.size).map(|number| self.space(number)).chain([self.hub()]) {
            let _ = Command::new("ip").args(["netns", "del", &space]).stderr(Stdio::null()).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run `ip` ({error}): install it with `apt-get install iproute2`"));
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?} (network namespaces need root): {fault}");
}
