//! Founding a group while the network comes apart: five hosts in network namespaces on a switch whose ports can be moved
//! to another one. Whatever happens, there is one group in the end and never a second.
//!
//! Needs root and `ip`; the test makes and removes its own namespaces and files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Directory, Kind, eventually_within};

/// Above what a cluster takes to be whole again after a cut: failures noticed, reconnects, and a proposal that is given up
/// after 30 s, on a busy machine.
const HEALED_WITHIN: Duration = Duration::from_secs(180);
/// Above what anything else here takes.
const LIMIT: Duration = Duration::from_secs(60);

const HOSTS: usize = 5;
const EXPECT: &str = "-raft-bootstrap-expect=3";

/// Five hosts, 10.47.0.1 to 10.47.0.5, and two switches that are not connected.
struct Network {
    name: String,
}

impl Network {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fmpart{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let network = Self { name };
        let hub = network.space("hub");
        ip(&["netns", "add", &hub]);
        for bridge in ["br0", "br1"] {
            ip(&["-n", &hub, "link", "add", bridge, "type", "bridge"]);
            ip(&["-n", &hub, "link", "set", bridge, "up"]);
        }
        for host in 0..HOSTS {
            let (space, port) = (network.space(&host.to_string()), format!("port{host}"));
            ip(&["netns", "add", &space]);
            ip(&["link", "add", &port, "netns", &hub, "type", "veth", "peer", "name", "eth0", "netns", &space]);
            ip(&["-n", &hub, "link", "set", &port, "master", "br0"]);
            ip(&["-n", &hub, "link", "set", &port, "up"]);
            let address = format!("{}/24", address(host));
            ip(&["-n", &space, "addr", "add", &address, "dev", "eth0"]);
            ip(&["-n", &space, "link", "set", "lo", "up"]);
            ip(&["-n", &space, "link", "set", "eth0", "up"]);
        }
        network
    }

    fn space(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// The hosts of `away` reach one another, and so do the others.
    fn part(&self, away: &[usize]) {
        for host in 0..HOSTS {
            let bridge = if away.contains(&host) { "br1" } else { "br0" };
            ip(&["-n", &self.space("hub"), "link", "set", &format!("port{host}"), "master", bridge]);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let hosts = (0..HOSTS).map(|host| host.to_string()).chain(["hub".to_owned()]);
        for host in hosts {
            let _ = Command::new("ip").args(["netns", "del", &self.space(&host)]).stderr(Stdio::null()).status();
        }
    }
}

fn address(host: usize) -> String {
    format!("10.47.0.{}", host + 1)
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run `ip` ({error}): install it with `apt-get install iproute2`"));
    let fault = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ip {arguments:?} (network namespaces need root): {fault}");
}

/// An agent that is started, killed and started again, with everything it ever said.
struct Host {
    space: String,
    number: usize,
    data: String,
    child: Option<Child>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Host {
    fn start(&mut self) {
        let (node, bind) = (format!("-node=h{}", self.number), format!("-bind={}", address(self.number)));
        let data = format!("-data-dir={}", self.data);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space, Kind::Folkmoot.program(), "agent", &node, &bind, &data]);
        command.args(["-raft", EXPECT, "-profile=local", "-rpc-addr=127.0.0.1:7373", "-retry-interval=1s"]);
        for other in (0..HOSTS).filter(|other| *other != self.number) {
            command.arg(format!("-retry-join={}", address(other)));
        }
        // Members that were given up are sought again soon.
        command.env("FOLKMOOT_RECONNECT_INTERVAL", "1s");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (reader, kept) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&self.lines));
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Agents that have never met, or gave one another up, are joined by their operator.
    fn join(&self, other: usize) {
        let program = Kind::Folkmoot.program();
        eventually_within(LIMIT, "the join works", || {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &self.space, program, "join", "-rpc-addr=127.0.0.1:7373", &address(other)]);
            let output = command.output().unwrap();
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        });
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Groups it ever said it entered.
    fn groups(&self) -> BTreeSet<String> {
        let entered = |line: &String| {
            let entered = line.contains("was founded by") || line.contains("this node belongs to group");
            let rest = line.split(" group ").nth(1).filter(|_| entered)?;
            Some(rest.chars().take_while(char::is_ascii_hexdigit).collect())
        };
        self.lines.lock().unwrap().iter().filter_map(entered).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

fn hosts(network: &Network, root: &Directory) -> Vec<Host> {
    let host = |number: usize| Host {
        space: network.space(&number.to_string()),
        number,
        data: root.file(&format!("h{number}")).display().to_string(),
        child: None,
        lines: Arc::default(),
    };
    (0..HOSTS).map(host).collect()
}

fn all_groups(hosts: &[Host]) -> BTreeSet<String> {
    hosts.iter().flat_map(Host::groups).collect()
}

/// Waits until somebody has said something new.
fn something_happens(hosts: &[Host]) {
    let said = || hosts.iter().map(|host| host.lines.lock().unwrap().len()).sum::<usize>();
    let before = said();
    eventually_within(LIMIT, "somebody says something", || if said() > before { Ok(()) } else { Err(String::new()) });
}

fn all_are_in_one_group(hosts: &[Host]) {
    eventually_within(HEALED_WITHIN, "all are in one group", || {
        let in_one = hosts.iter().filter(|host| !host.groups().is_empty()).count();
        if in_one == HOSTS {
            return Ok(());
        }
        let last = |host: &Host| {
            let text = host.text();
            let of_raft: Vec<&str> = text.lines().filter(|line| line.contains("raft: ")).collect();
            format!("h{}: {:?}", host.number, &of_raft[of_raft.len().saturating_sub(6)..])
        };
        Err(hosts.iter().map(last).collect::<Vec<_>>().join("\n"))
    });
    assert_eq!(all_groups(hosts).len(), 1);
}

#[test]
fn the_larger_part_founds_and_the_smaller_one_joins_it_later() {
    let (network, root) = (Network::new(), Directory::fresh());
    let mut hosts = hosts(&network, &root);
    network.part(&[0, 1]);
    hosts.iter_mut().for_each(Host::start);
    eventually_within(LIMIT, "the larger part founds", || {
        let founded = hosts[2..].iter().all(|host| host.groups().len() == 1);
        if founded { Ok(()) } else { Err(hosts[2].text()) }
    });
    assert!(hosts[0].groups().is_empty() && hosts[1].groups().is_empty());
    network.part(&[]);
    hosts[0].join(4);
    all_are_in_one_group(&hosts);
}

/// Every cut comes right after somebody said something, so at some of them a promise is under way.
#[test]
fn cuts_and_kills_in_the_middle_of_founding_never_make_two_groups() {
    let cuts: [&[usize]; 6] = [&[0, 1], &[2, 3], &[], &[0, 4], &[1, 3], &[0, 2]];
    for round in 0..2 {
        let (network, root) = (Network::new(), Directory::fresh());
        let mut hosts = hosts(&network, &root);
        network.part(cuts[round]);
        hosts.iter_mut().for_each(Host::start);
        for step in 0..9 {
            something_happens(&hosts);
            network.part(cuts[(round + step * 5 + 1) % cuts.len()]);
            if step % 3 == 2 {
                let victim = (round + step) % HOSTS;
                hosts[victim].kill();
                something_happens(&hosts);
                hosts[victim].start();
            }
            assert!(all_groups(&hosts).len() <= 1, "round {round}, step {step}");
        }
        network.part(&[]);
        (1..HOSTS).for_each(|other| hosts[0].join(other));
        all_are_in_one_group(&hosts);
    }
}
