//! Groups of agent processes, on loopback or each in a network namespace, whose links can be cut.
#![allow(dead_code, reason = "each program uses its part")]

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::call::{Caller, Endpoint, Outcome};
use crate::support::{Directory, Kind, Loopback, Signal, Value, eventually_within};

/// How long a group may take to be able to write again once it is healed.
pub const RECOVERY: Duration = Duration::from_secs(60);

/// Where the nodes of a group live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Loopback addresses: no root needed, no partitions.
    Loopback,
    /// Namespaces joined by bridges: partitions. Needs root.
    Namespaces,
}

/// A group.
pub struct Group {
    pub nodes: Vec<Node>,
    network: Option<Network>,
    _loopback: Vec<Loopback>,
    directory: Directory,
}

/// One agent, running or not.
pub struct Node {
    pub name: String,
    pub endpoint: Endpoint,
    log: PathBuf,
    command: Vec<String>,
    child: Option<Child>,
    disk: Option<Directory>,
}

impl Group {
    /// Starts `size` nodes and waits until they take writes. With `small_disks` each has 64 MiB of its own.
    pub fn start(size: usize, place: Place, small_disks: bool) -> Self {
        let directory = Directory::fresh();
        let network = (place == Place::Namespaces).then(|| Network::new(size));
        let loopback: Vec<Loopback> =
            if network.is_none() { (0..size).map(|_| Loopback::fresh()).collect() } else { Vec::new() };
        let address = |number: usize| match loopback.get(number) {
            Some(loopback) => loopback.ip().to_string(),
            None => Network::address(number),
        };
        let mut nodes = Vec::new();
        for number in 0..size {
            let disk = small_disks.then(|| Directory::small_disk(64 * 1024));
            let data = match &disk {
                Some(disk) => disk.file("data"),
                None => directory.file(&format!("data-{number}")),
            };
            let (endpoint, rpc) = match loopback.get(number) {
                Some(loopback) => (Endpoint::Tcp(loopback.rpc()), loopback.rpc().to_string()),
                None => {
                    let socket = directory.file(&format!("rpc-{number}"));
                    (Endpoint::Unix(socket.clone()), format!("unix://{}", socket.display()))
                }
            };
            let mut command: Vec<String> = network.as_ref().map_or_else(Vec::new, |network| network.enter(number));
            command.extend([Kind::Folkmoot.program().to_owned(), "agent".to_owned()]);
            command.extend([
                format!("-node=n{number}"),
                format!("-bind={}", address(number)),
                format!("-rpc-addr={rpc}"),
                "-profile=local".to_owned(),
                "-raft".to_owned(),
                format!("-data-dir={}", data.display()),
                format!("-raft-bootstrap-expect={size}"),
                "-retry-interval=1s".to_owned(),
            ]);
            let others = (0..size).filter(|other| *other != number);
            command.extend(others.map(|other| format!("-retry-join={}", address(other))));
            let log = directory.file(&format!("log-{number}"));
            nodes.push(Node { name: format!("n{number}"), endpoint, log, command, child: None, disk });
        }
        let mut group = Self { nodes, network, _loopback: loopback, directory };
        group.nodes.iter_mut().for_each(Node::start);
        group.wait_until_writable();
        group
    }

    /// Where all agents serve RPC.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.nodes.iter().map(|node| node.endpoint.clone()).collect()
    }

    /// The place of the node that says it leads, if one does.
    pub fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| {
            node.is_running() && node.state().is_some_and(|state| state.get("Role").as_text() == "leader")
        })
    }

    /// Waits until every running node has applied what the group had committed when this was called.
    pub fn wait_until_caught_up(&mut self) {
        let applied = |node: &Node| node.state().map_or(0, |state| state.get("Applied").as_int());
        let goal = self.nodes.iter().map(applied).max().unwrap_or(0);
        eventually_within(RECOVERY, &format!("all nodes have applied {goal}"), || {
            self.start_ended();
            let late: Vec<_> = self.nodes.iter().filter(|node| applied(node) < goal).map(|node| &node.name).collect();
            if late.is_empty() { Ok(()) } else { Err(format!("{late:?} have not\n{}", self.logs())) }
        });
    }

    /// Waits until a write is acknowledged.
    pub fn wait_until_writable(&self) {
        let mut caller = Caller::new(&self.endpoints(), 0);
        eventually_within(RECOVERY, "the group takes a write", || {
            let fields = [("Key", Value::text("chaos/alive")), ("Value", Value::Bin(Vec::new()))];
            match caller.write("kv-put", &fields, Duration::ZERO, Duration::from_secs(5)) {
                Outcome::Answer(_) => Ok(()),
                Outcome::Refused(_) | Outcome::Never | Outcome::Unknown => Err(self.logs()),
            }
        });
    }

    /// Puts each node into a part; nodes of different parts do not reach one another.
    pub fn partition(&self, parts: &[usize]) {
        self.network.as_ref().expect("partitions need namespaces").partition(parts);
    }

    /// Ends all faults: links, stopped and ended processes, full disks.
    pub fn heal(&mut self) {
        if let Some(network) = &self.network {
            network.partition(&vec![0; self.nodes.len()]);
        }
        for node in &mut self.nodes {
            node.empty_disk();
            if node.is_running() {
                node.signal(Signal::Continue);
            } else {
                node.start();
            }
        }
    }

    /// Starts the nodes with small disks that have ended: one whose disk was full may still have been ending when it was
    /// healed.
    pub fn start_ended(&mut self) {
        let ended = self.nodes.iter_mut().filter(|node| node.disk.is_some() && !node.is_running());
        ended.for_each(Node::start);
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        let tail = |node: &Node| {
            let text = std::fs::read_to_string(&node.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(25)..].join("\n");
            format!("--- {} (running: {}) ---\n{tail}\n", node.name, node.is_running())
        };
        self.nodes.iter().map(tail).collect()
    }

    /// Fails if a node has panicked or found its own state wrong.
    pub fn check_logs(&self) {
        for node in &self.nodes {
            let text = std::fs::read_to_string(&node.log).unwrap_or_default();
            let bad = text.lines().find(|line| line.contains("panicked") || line.contains("corrupt"));
            assert_eq!(bad, None, "{} says something alarming", node.name);
        }
    }

    /// Keeps the data directories and logs, and says where they are.
    pub fn keep(&self) -> PathBuf {
        let kept = std::env::temp_dir().join(format!("folkmoot-chaos-{}", std::process::id()));
        let copied = Command::new("cp").arg("-r").arg(self.directory.path()).arg(&kept).status();
        assert!(copied.is_ok(), "cannot keep {}", kept.display());
        kept
    }
}

impl Node {
    /// Starts the process, which appends to its log.
    pub fn start(&mut self) {
        assert!(!self.is_running(), "{} runs", self.name);
        self.kill();
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env_remove("SERF_RPC_ADDR").env_remove("SERF_RPC_AUTH");
        self.child = Some(command.spawn().unwrap());
    }

    /// Ends the process without warning, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let kill = format!("kill -{} {}", signal.name(), child.id());
            let status = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().unwrap();
            assert!(status.success() || !self.is_running(), "{kill}: {status}");
        }
    }

    pub fn is_running(&self) -> bool {
        let Some(child) = &self.child else { return false };
        // A process that has ended and was not waited for is a zombie, `Z`.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    /// What the node itself says of the group.
    pub fn state(&self) -> Option<Value> {
        Caller::of_one(&self.endpoint).ask_once("raft-status", &[], Duration::from_secs(1))?.ok()
    }

    /// Resident memory in KiB, from the kernel.
    pub fn resident_kib(&self) -> u64 {
        let Some(child) = &self.child else { return 0 };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Takes all room that is left on its disk.
    pub fn fill_disk(&self) {
        let disk = self.disk.as_ref().expect("filling needs small disks");
        // `dd` fails when the disk is full, as it is to.
        let of = format!("of={}", disk.file("filler").display());
        let _ = Command::new("dd").args(["if=/dev/zero", &of, "bs=64k"]).stderr(Stdio::null()).status();
    }

    /// Gives the room back.
    pub fn empty_disk(&self) {
        if let Some(disk) = &self.disk {
            let _ = std::fs::remove_file(disk.file("filler"));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A namespace for each node, and one with the two bridges between which their cables are moved.
struct Network {
    name: String,
    size: usize,
}

impl Network {
    fn new(size: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("folkmoot-chaos{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let network = Self { name, size };
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

    fn address(number: usize) -> String {
        format!("10.47.0.{}", number + 1)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn space(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// The words in front of a command that is to run at a node.
    fn enter(&self, number: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(number)].map(str::to_owned).into()
    }

    fn partition(&self, parts: &[usize]) {
        for (number, part) in parts.iter().enumerate() {
            ip(&["-n", &self.hub(), "link", "set", &format!("p{number}"), "master", &format!("br{part}")]);
        }
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
