//! `folkmoot doctor` against running agents of both kinds: what is well, and each fault by its words and its exit code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use support::{Agent, Directory, Kind, Loopback, Rpc, eventually};

const KEY: &str = "T9jncgl9mbLus+baTTa7q7nPSUrXwbDi2dhbtqir37s=";
const OTHER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What doctor says of the agent at `address`, and its exit code.
fn doctor(address: &Loopback, more: &[&str]) -> (Option<i32>, String) {
    let (bind, rpc) = (format!("-bind={}", address.ip()), format!("-rpc-addr={}", address.rpc()));
    let arguments = [&["doctor", bind.as_str(), rpc.as_str()], more].concat();
    let output = Kind::Folkmoot.command(&arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Waits until doctor says all of this of the agent at `address`, and gives what it says: members that stand still for
/// longer than it waits rightly do not answer.
fn says(address: &Loopback, more: &[&str], exit: i32, parts: &[&str]) -> String {
    eventually(&format!("doctor says {parts:?}"), || {
        let (code, text) = doctor(address, more);
        let all = code == Some(exit) && parts.iter().all(|part| text.contains(part));
        if all { Ok(text.clone()) } else { Err(format!("exit code {code:?}\n{text}")) }
    })
}

/// Two agents that know each other as alive.
fn pair(one: Kind, other: Kind, arguments: &[&str]) -> (Agent, Agent) {
    let arguments = [&["-profile=local"], arguments].concat();
    let one = Agent::start(one, "alpha", &arguments);
    let join = format!("-join={}", one.gossip());
    let other = Agent::start(other, "beta", &[&arguments[..], &[join.as_str()]].concat());
    wait_for(&one, "beta", "alive");
    (one, other)
}

fn wait_for(agent: &Agent, member: &str, status: &str) {
    let mut rpc: Rpc = agent.rpc();
    eventually(&format!("{member} is {status}"), || {
        let statuses = rpc.statuses();
        if statuses.get(member).is_some_and(|seen| seen == status) { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
}

#[test]
fn a_healthy_cluster_of_both_kinds_is_well_from_either_agent() {
    for (one, other) in [(Kind::Folkmoot, Kind::Go), (Kind::Go, Kind::Folkmoot)] {
        let (alpha, beta) = pair(one, other, &[]);
        let beta = format!("ok     reach: beta at {} answers by UDP and by TCP", beta.gossip());
        let parts = ["ok     agent: alpha answers", &beta, "ok     clock: ", "ok     versions: ", "All is well."];
        let said = says(&alpha.address, &[], 0, &parts);
        assert!(!said.contains("WRONG"), "{said}");
    }
}

#[test]
fn a_dead_member_is_named_with_what_to_do() {
    let (alpha, mut beta) = pair(Kind::Folkmoot, Kind::Go, &[]);
    beta.kill();
    wait_for(&alpha, "beta", "failed");
    let seen = format!(
        "WRONG  reach: beta at {} does not answer: UDP connection refused, TCP connection refused",
        beta.gossip()
    );
    says(&alpha.address, &[], 1, &[&seen, "folkmoot force-leave beta", "1 thing has to be changed."]);
}

#[test]
fn encrypted_members_are_pinged_with_the_key_and_a_wrong_one_is_told() {
    let encrypt = format!("-encrypt={KEY}");
    let (alpha, _beta) = pair(Kind::Go, Kind::Folkmoot, &[&encrypt]);
    says(&alpha.address, &[&encrypt], 0, &["ok     keys: every member has the key", "answers by UDP and by TCP"]);
    let without = says(&alpha.address, &[], 0, &["note   keys: ", "UDP and TCP pings are not checked"]);
    assert!(!without.contains("answers by UDP"), "{without}");
    let parts = ["WRONG  keys: the key of the settings is not one of the cluster's", "beta at ", "it has another key"];
    let wrong = says(&alpha.address, &[&format!("-encrypt={OTHER_KEY}")], 1, &parts);
    assert!(!wrong.contains(KEY) && !wrong.contains(OTHER_KEY), "keys are not shown: {wrong}");
}

#[test]
fn a_key_that_the_agent_does_not_use_is_told() {
    let alpha = Agent::start(Kind::Folkmoot, "alpha", &["-profile=local"]);
    let told = "the settings have a key, but the agent that runs does not encrypt";
    says(&alpha.address, &[&format!("-encrypt={KEY}")], 1, &[told]);
}

/// A member whose advertised address is the test's: what reaches it is up to the test.
fn member_behind(front: &Loopback, alpha: &Agent) -> Agent {
    let advertise = format!("-advertise={}", front.gossip());
    let join = format!("-join={}", alpha.gossip());
    let beta = Agent::start(Kind::Go, "beta", &["-profile=local", &advertise, &join]);
    wait_for(alpha, "beta", "alive");
    beta
}

/// Passes datagrams on to `to`, and each answer to who asked.
fn forward_udp(socket: UdpSocket, to: SocketAddr) {
    std::thread::spawn(move || {
        let mut askers: BTreeMap<SocketAddr, UdpSocket> = BTreeMap::new();
        let mut packet = [0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let way = askers.entry(from).or_insert_with(|| {
                let way = UdpSocket::bind("127.0.0.1:0").unwrap();
                way.connect(to).unwrap();
                let (answers, back) = (way.try_clone().unwrap(), socket.try_clone().unwrap());
                std::thread::spawn(move || {
                    let mut packet = [0; 65_536];
                    while let Ok(length) = answers.recv(&mut packet) {
                        if back.send_to(&packet[..length], from).is_err() {
                            return;
                        }
                    }
                });
                way
            });
            // A datagram may be lost.
            let _ = way.send(&packet[..length]);
        }
    });
}

/// Passes connections on to `to`.
fn forward_tcp(listener: TcpListener, to: SocketAddr) {
    fn pass(mut from: TcpStream, mut to: TcpStream) {
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut bytes) {
                if to.write_all(&bytes[..length]).is_err() {
                    return;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            pass(client.try_clone().unwrap(), server.try_clone().unwrap());
            pass(server, client);
        }
    });
}

#[test]
fn a_member_that_only_tcp_reaches_is_told_as_such() {
    let alpha = Agent::start(Kind::Folkmoot, "alpha", &["-profile=local"]);
    let (front, address) = (Loopback::fresh(), Loopback::fresh());
    let _swallows = UdpSocket::bind(front.gossip()).unwrap();
    forward_tcp(TcpListener::bind(front.gossip()).unwrap(), address.gossip());
    let advertise = format!("-advertise={}", front.gossip());
    let join = format!("-join={}", alpha.gossip());
    let arguments = ["-profile=local", &advertise, &join];
    let _beta = Agent::start_at(Kind::Go, "beta", Arc::new(address), &arguments);
    wait_for(&alpha, "beta", "alive");
    let seen = format!("WRONG  reach: only TCP reaches beta at {}: UDP no answer", front.gossip());
    says(&alpha.address, &[], 1, &[&seen, "open UDP port 7946"]);
}

#[test]
fn a_member_that_only_udp_reaches_is_told_as_such() {
    let alpha = Agent::start(Kind::Folkmoot, "alpha", &["-profile=local"]);
    let front = Loopback::fresh();
    let socket = UdpSocket::bind(front.gossip()).unwrap();
    let beta = member_behind(&front, &alpha);
    forward_udp(socket, beta.address.gossip());
    let seen = format!("WRONG  reach: only UDP reaches beta at {}: TCP connection refused", front.gossip());
    says(&alpha.address, &[], 1, &[&seen, "open TCP port 7946"]);
    // One that accepts and is silent is no better.
    let _swallows = TcpListener::bind(front.gossip()).unwrap();
    says(&alpha.address, &[], 1, &["TCP connects but does not answer"]);
}

#[test]
fn another_node_at_a_members_address_is_told() {
    let (alpha, mut beta) = pair(Kind::Folkmoot, Kind::Go, &[]);
    beta.kill();
    let address = Arc::clone(&beta.address);
    let _gamma = Agent::start_at(Kind::Go, "gamma", address, &["-profile=local"]);
    wait_for(&alpha, "beta", "failed");
    let seen = format!("WRONG  name: at {} another node answers than beta", beta.gossip());
    says(&alpha.address, &[], 1, &[&seen]);
    let told = "the settings name this node 'other', the agent that runs is 'alpha'";
    says(&alpha.address, &["-node=other"], 1, &[told]);
}

#[test]
fn without_an_agent_the_ports_are_looked_at_one_by_one() {
    let address = Loopback::fresh();
    let (tcp, udp) = (format!("TCP {}", address.gossip()), format!("UDP {}", address.gossip()));
    let free = [format!("ok     ports: {tcp} is free"), format!("ok     ports: {udp} is free")];
    says(&address, &[], 1, &["WRONG  agent: cannot ask the agent", &free[0], &free[1]]);
    let _taken = UdpSocket::bind(address.gossip()).unwrap();
    let used = format!("WRONG  ports: {udp} is used by another program");
    says(&address, &[], 1, &[&free[0], &used]);
}

#[test]
fn settings_that_cannot_be_used_are_told_and_the_rest_is_checked_all_the_same() {
    let directory = Directory::fresh();
    let alpha = Agent::start(Kind::Go, "alpha", &["-profile=local"]);
    let config = directory.file("agent.json");
    let flag = format!("-config-file={}", config.display());
    std::fs::write(&config, r#"{"no_such_key": 1}"#).unwrap();
    says(&alpha.address, &[&flag], 1, &["WRONG  config: ", "no_such_key"]);
    for (text, words) in [
        (r#"{"profile": "fast"}"#, "Unknown profile: fast"),
        (r#"{"protocol": 9}"#, "Protocol version '9' too high"),
        (r#"{"encrypt_key": "AAAA"}"#, "key size must be 16, 24 or 32 bytes"),
    ] {
        std::fs::write(&config, text).unwrap();
        says(&alpha.address, &[&flag], 1, &["WRONG  config: ", words, "answers by UDP and by TCP"]);
    }
    std::fs::write(&config, r#"{"tags": {"role": "web"}}"#).unwrap();
    says(&alpha.address, &[&flag], 0, &["ok     config: the settings can be used"]);
}

#[test]
fn paths_that_cannot_be_written_are_told_and_good_ones_stay_as_they_are() {
    let directory = Directory::fresh();
    let alpha = Agent::start(Kind::Folkmoot, "alpha", &["-profile=local"]);
    let good = directory.file("snapshot");
    std::fs::write(&good, "alive: x 127.0.47.1:7946\n").unwrap();
    let flag = format!("-snapshot={}", good.display());
    says(&alpha.address, &[&flag], 0, &["ok     disk: -snapshot "]);
    assert_eq!(std::fs::read_to_string(&good).unwrap(), "alive: x 127.0.47.1:7946\n");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");

    let missing = ["-snapshot=/nowhere/at/all", "-tags-file=/nowhere/at/all"];
    let parts = ["-snapshot /nowhere/at/all cannot be written: no such file", "-tags-file /nowhere/at/all cannot be"];
    says(&alpha.address, &missing, 1, &parts);
    let is_directory = format!("-snapshot={}", directory.path().display());
    says(&alpha.address, &[&is_directory], 1, &["cannot be written: is a directory"]);
    // A disk that is full.
    let disk = Directory::small_disk(64);
    let rest = std::fs::write(disk.file("rest"), vec![0; 1 << 20]);
    assert!(rest.is_err());
    let full = format!("-snapshot={}", disk.file("snapshot").display());
    says(&alpha.address, &[&full], 1, &["cannot be written: no space left on device"]);
}

#[test]
fn the_rpc_key_is_needed_and_json_says_the_same() {
    let address = Arc::new(Loopback::fresh());
    let alpha = Agent::start_secured(Kind::Folkmoot, "alpha", address, "s3cret");
    says(&alpha.address, &[], 1, &["WRONG  agent: ", "Authentication required"]);
    let json = ["-rpc-auth=s3cret", "-format=json"];
    says(&alpha.address, &json, 0, &["\"wrong\": 0,", "\"check\": \"reach\",", "\"level\": \"ok\","]);
    says(&alpha.address, &["-format=xml"], 1, &["Invalid output format"]);
}
