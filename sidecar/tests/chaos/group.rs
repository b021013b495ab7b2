//! Groups of agent processes, on loopback or each in a network namespace, and what can be done to them.
#![allow(dead_code, reason = "each program uses its part")]

mod clock;
mod network;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clock::Clock;
use network::Network;

use super::call::{Caller, Endpoint, Outcome};
use crate::support::{Directory, Kind, Loopback, Signal, Value, eventually_within};

/// How long a group may take to be able to write again once it is healed.
pub const RECOVERY: Duration = Duration::from_secs(60);

/// What can be done to a group, beside ending and stopping its processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Means {
    /// Links can be cut: nodes live in namespaces, which needs root. Without it they live on loopback addresses.
    pub links: bool,
    /// Disks can be full: each node has 64 MiB of its own, which needs root.
    pub disks: bool,
    /// Wall clocks can be moved.
    pub clocks: bool,
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
    data: PathBuf,
    disk: Option<Directory>,
    clock: Option<Clock>,
}

impl Group {
    /// Starts `size` nodes and waits until they take writes.
    pub fn start(size: usize, means: Means) -> Self {
        let directory = Directory::fresh();
        let network = means.links.then(|| Network::new(size));
        let loopback: Vec<Loopback> =
            if network.is_none() { (0..size).map(|_| Loopback::fresh()).collect() } else { Vec::new() };
        let address = |number: usize| match loopback.get(number) {
            Some(loopback) => loopback.ip().to_string(),
            None => Network::address(number),
        };
        let mut nodes = Vec::new();
        for number in 0..size {
            let disk = means.disks.then(|| Directory::small_disk(64 * 1024));
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
            let clock = means.clocks.then(|| Clock::new(directory.file(&format!("clock-{number}"))));
            nodes.push(Node { name: format!("n{number}"), endpoint, log, command, child: None, data, disk, clock });
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

    /// Loses what the first of each pair sends to the second.
    pub fn lose(&mut self, pairs: &[(usize, usize)]) {
        self.network.as_mut().expect("cutting links needs namespaces").lose(pairs);
    }

    /// Ends all faults: links, stopped and ended processes, full disks. Clocks stay where they were moved to.
    pub fn heal(&mut self) {
        if let Some(network) = &mut self.network {
            network.heal();
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

    /// Kills all nodes, lets `change` do something to their data directories, and starts them again.
    pub fn reopen(&mut self, change: impl Fn(&Node)) {
        self.nodes.iter_mut().for_each(Node::kill);
        self.nodes.iter().for_each(change);
        self.nodes.iter_mut().for_each(Node::start);
        self.wait_until_writable();
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
        command.envs(self.clock.iter().flat_map(Clock::environment));
        self.child = Some(command.spawn().unwrap());
    }

    /// Ends the process without warning, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
            if self.clock.is_some() {
                Clock::forget(child.id());
            }
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

    /// The number of its process.
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Moves its wall clock to so many seconds before or after the time of the machine; within a second it knows.
    pub fn set_clock(&self, seconds: i64) {
        self.clock.as_ref().expect("moving clocks needs clocks of their own").set(seconds);
    }

    /// The newest line of its log.
    pub fn last_line(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }

    /// Puts a copy of its data directory beside it. It must not run.
    pub fn save_data(&self) {
        copy(&self.data, &self.data.with_extension("saved"));
    }

    /// Makes its data directory what it was when it was saved. It must not run.
    pub fn restore_data(&self) {
        copy(&self.data.with_extension("saved"), &self.data);
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

/// Makes `to` a copy of `from`, whatever it was.
fn copy(from: &Path, to: &Path) {
    // The first copy replaces nothing.
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
}
