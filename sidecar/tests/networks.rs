//! Agents on networks of their own: two namespaces joined by a cable (veth). Discovery by mDNS with the Go agent, names
//! that stand for several addresses and change, IPv6, an advertised name that moves.
//!
//! Needs root and `ip`; every test makes and removes its own namespaces and files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Kind, eventually_within};

/// Above what anything here takes: polls, retries and suspicions on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Two hosts, `a` with 10.46.0.1 and fd46::1, `b` with 10.46.0.2, 10.46.0.3 and fd46::2, all on `eth0`.
struct Network {
    name: String,
}

impl Network {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("folkmoot{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let network = Self { name };
        let (a, b) = (network.space("a"), network.space("b"));
        for space in [&a, &b] {
            ip(&["netns", "add", space]);
            // Addresses are to be usable at once.
            let settings = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; \
                            echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad";
            ip(&["netns", "exec", space, "sh", "-c", settings]);
            ip(&["-n", space, "link", "set", "lo", "up"]);
        }
        ip(&["link", "add", "eth0", "netns", &a, "type", "veth", "peer", "name", "eth0", "netns", &b]);
        let addresses = [(&a, "10.46.0.1/24"), (&b, "10.46.0.2/24"), (&b, "10.46.0.3/24")];
        for (space, address) in addresses {
            ip(&["-n", space, "addr", "add", address, "dev", "eth0"]);
        }
        for (space, address) in [(&a, "fd46::1/64"), (&b, "fd46::2/64")] {
            ip(&["-n", space, "link", "set", "eth0", "up"]);
            ip(&["-n", space, "addr", "add", address, "dev", "eth0", "nodad"]);
            // Without a route for multicast the Go agent stops with a nil pointer.
            ip(&["-n", space, "route", "add", "224.0.0.0/4", "dev", "eth0"]);
        }
        network
    }

    fn space(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// Names and addresses of one host: `/etc/hosts` of what is started there from then on. Written in place.
    fn write_hosts(&self, host: &str, lines: &str) {
        let directory = format!("/etc/netns/{}", self.space(host));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(format!("{directory}/hosts"), lines).unwrap();
    }

    fn start(&self, host: &str, kind: Kind, name: &str, arguments: &[&str]) -> Host {
        let rpc = format!("-rpc-addr=127.0.0.1:{}", 7373 + name.len());
        let node = format!("-node={name}");
        let space = self.space(host);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &space, kind.program(), "agent", &node, &rpc]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (reader, kept) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let agent = Host { child, lines, space, rpc: rpc["-rpc-addr=".len()..].to_owned() };
        agent.wait_for("Serf agent running!");
        agent
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in ["a", "b"] {
            let _ = Command::new("ip").args(["netns", "del", &self.space(host)]).stderr(Stdio::null()).status();
            let _ = std::fs::remove_dir_all(format!("/etc/netns/{}", self.space(host)));
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run `ip` ({error}): install it with `apt-get install iproute2`"));
    let fault = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !fault.contains("not permitted") && !fault.contains("Permission denied"),
        "network namespaces need root: run these tests as root, as in `sudo make test`: {fault}"
    );
    assert!(output.status.success(), "ip {arguments:?}: {fault}");
}

/// A running agent.
struct Host {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    space: String,
    rpc: String,
}

impl Host {
    fn text(&self) -> String {
        let lines = self.lines.lock().unwrap();
        let told: Vec<_> = lines.iter().filter(|line| !line.contains("Accepted client")).map(String::as_str).collect();
        told.join("\n")
    }

    fn wait_for(&self, part: &str) {
        eventually_within(LIMIT, &format!("{} prints {part:?}", self.space), || {
            let text = self.text();
            if text.contains(part) { Ok(()) } else { Err(text) }
        });
    }

    fn members(&self) -> String {
        let program = Kind::Folkmoot.program();
        let rpc = format!("-rpc-addr={}", self.rpc);
        let output =
            Command::new("ip").args(["netns", "exec", &self.space, program, "members", &rpc]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn wait_for_member(&self, name: &str, address: &str) {
        eventually_within(LIMIT, &format!("{name} is alive at {address}"), || {
            let members = self.members();
            let row = |line: &str| {
                let columns: Vec<_> = line.split_whitespace().take(3).collect();
                columns == [name, address, "alive"]
            };
            if members.lines().any(row) { Ok(()) } else { Err(format!("{members}\n{}", self.text())) }
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const DISCOVER: [&str; 2] = ["-discover=demo", "-iface=eth0"];

#[test]
fn we_find_a_go_agent_by_mdns() {
    let network = Network::new();
    let _go = network.start("b", Kind::Go, "two", &DISCOVER);
    let ours = network.start("a", Kind::Folkmoot, "one", &DISCOVER);
    ours.wait_for("mDNS cluster: demo");
    ours.wait_for_member("two", "10.46.0.2:7946");
    ours.wait_for("[INFO] agent.mdns: Joined ");
}

#[test]
fn a_go_agent_finds_us_by_mdns() {
    let network = Network::new();
    let ours = network.start("a", Kind::Folkmoot, "one", &DISCOVER);
    // Ours has asked before, and found itself only.
    ours.wait_for("[INFO] agent.mdns: Joined 1 hosts");
    let go = network.start("b", Kind::Go, "two", &DISCOVER);
    go.wait_for("10.46.0.1:7946");
    ours.wait_for_member("two", "10.46.0.2:7946");
}

#[test]
fn agents_of_other_names_and_families_do_not_meet_and_ipv6_alone_is_enough() {
    let network = Network::new();
    let _stranger = network.start("b", Kind::Folkmoot, "three", &["-discover=other", "-iface=eth0", "-bind=10.46.0.3"]);
    let iface = "-mdns-iface=eth0";
    let six = ["-discover=demo", iface, "-bind=[fd46::2]:7946", "-mdns-disable-ipv4"];
    let _six = network.start("b", Kind::Folkmoot, "two", &six);
    let ours = network.start(
        "a",
        Kind::Folkmoot,
        "one",
        &["-discover=demo", iface, "-bind=[fd46::1]:7946", "-mdns-disable-ipv4"],
    );
    ours.wait_for_member("two", "[fd46::2]:7946");
    assert!(!ours.members().contains("three"), "{}", ours.members());
}

#[test]
fn a_host_without_a_route_for_multicast_stops_nobody() {
    let network = Network::new();
    ip(&["-n", &network.space("a"), "route", "del", "224.0.0.0/4", "dev", "eth0"]);
    let routed = network.start("b", Kind::Folkmoot, "two", &DISCOVER);
    let ours = network.start("a", Kind::Folkmoot, "one", &["-discover=demo", "-bind=10.46.0.1"]);
    ours.wait_for_member("one", "10.46.0.1:7946");
    let chosen =
        network.start("a", Kind::Folkmoot, "three", &["-discover=demo", "-iface=eth0", "-bind=10.46.0.1:7947"]);
    chosen.wait_for_member("two", "10.46.0.2:7946");
    routed.wait_for_member("three", "10.46.0.1:7947");
}

#[test]
fn ipv6_clusters_of_both_kinds_work_and_are_shown() {
    let network = Network::new();
    let ours = network.start("a", Kind::Folkmoot, "one", &["-bind=[fd46::1]:7946"]);
    let go = network.start("b", Kind::Go, "two", &["-bind=[fd46::2]:7946", "-join=[fd46::1]:7946"]);
    ours.wait_for_member("two", "[fd46::2]:7946");
    go.wait_for_member("one", "[fd46::1]:7946");
    let everywhere = ["-bind=[::]:7946", "-advertise=[fd46::2]:7947", "-join=fd46::1"];
    drop(go);
    let everywhere = network.start("b", Kind::Folkmoot, "three", &everywhere);
    everywhere.wait_for("Join completed. Synced with 1 initial agents");
    ours.wait_for_member("three", "[fd46::2]:7947");
}

#[test]
fn an_interface_with_ipv6_only_gives_its_ipv6_address() {
    let network = Network::new();
    ip(&["-n", &network.space("a"), "addr", "del", "10.46.0.1/24", "dev", "eth0"]);
    let ours = network.start("a", Kind::Folkmoot, "one", &["-iface=eth0"]);
    ours.wait_for("==> Using interface 'eth0' address 'fd46::1'");
    ours.wait_for_member("one", "[fd46::1]:7946");
}

#[test]
fn a_name_is_looked_up_on_each_try_and_stands_for_all_its_addresses() {
    let network = Network::new();
    network.write_hosts("a", "127.0.0.1 peers.test\n");
    let _go = network.start("b", Kind::Go, "two", &["-bind=10.46.0.2"]);
    let _ours = network.start("b", Kind::Folkmoot, "three", &["-bind=10.46.0.3"]);
    let retry = ["-bind=10.46.0.1", "-retry-join=peers.test", "-retry-interval=1s"];
    let ours = network.start("a", Kind::Folkmoot, "one", &retry);
    ours.wait_for("[WARN] agent: Join failed: ");
    network.write_hosts("a", "10.46.0.2 peers.test\n10.46.0.3 peers.test\n");
    ours.wait_for("[INFO] agent: Join completed. Synced with 2 initial agents");
    ours.wait_for_member("two", "10.46.0.2:7946");
    ours.wait_for_member("three", "10.46.0.3:7946");
}

#[test]
fn an_advertised_name_that_moves_takes_the_node_with_it() {
    let network = Network::new();
    network.write_hosts("a", "10.46.0.1 self.test\n");
    let peer = network.start("b", Kind::Folkmoot, "two", &["-bind=10.46.0.2"]);
    let moving = ["-advertise=self.test", "-join=10.46.0.2"];
    let ours = network.start("a", Kind::Folkmoot, "one", &moving);
    peer.wait_for_member("one", "10.46.0.1:7946");
    let space = network.space("a");
    ip(&["-n", &space, "addr", "add", "10.46.0.9/24", "dev", "eth0"]);
    ip(&["-n", &space, "addr", "del", "10.46.0.1/24", "dev", "eth0"]);
    ip(&["-n", &space, "addr", "replace", "10.46.0.9/24", "dev", "eth0"]);
    network.write_hosts("a", "10.46.0.9 self.test\n");
    ours.wait_for("advertise address 'self.test' is 10.46.0.9:7946, it was 10.46.0.1:7946");
    ours.wait_for_member("one", "10.46.0.9:7946");
    peer.wait_for_member("one", "10.46.0.9:7946");
}
