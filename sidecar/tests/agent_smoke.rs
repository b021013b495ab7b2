//! Our agent as a process: two of them meet, signals end it with Serf's exit codes, settings are refused or obeyed, keys
//! stay out of the log, and a closed stdout stops nobody. Clusters with Go agents are in `go_interop.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::process::{Command, Stdio};
use std::sync::Arc;

use support::{Agent, Kind, Loopback, Rpc, Signal, eventually};

/// 32 bytes, in base64.
const KEY: &str = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";

fn wait_for_statuses(agent: &Agent, wanted: &[(&str, &str)]) {
    let wanted = wanted.iter().map(|(name, status)| ((*name).to_owned(), (*status).to_owned())).collect();
    let mut rpc = agent.rpc();
    eventually("the members are as wanted", || {
        let statuses = rpc.statuses();
        if statuses == wanted { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
}

/// Exit code and stdout of an agent that does not start.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Kind::Folkmoot.command(&[&["agent"], arguments].concat());
    let output = command.envs(environment.iter().copied()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn two_agents_meet_and_an_interrupt_leaves_gracefully() {
    let bern = Agent::start(Kind::Folkmoot, "bern", &[]);
    let join = format!("-join={}", bern.gossip());
    let mut rome = Agent::start(Kind::Folkmoot, "rome", &[&join]);
    rome.wait_for_line("Join completed. Synced with 1 initial agents");
    for agent in [&bern, &rome] {
        wait_for_statuses(agent, &[("bern", "alive"), ("rome", "alive")]);
    }
    rome.signal(Signal::Interrupt);
    assert_eq!(rome.wait_for_exit().code(), Some(0));
    let text = rome.text();
    assert!(text.contains("==> Caught signal: interrupt\n==> Gracefully shutting down agent...\n"), "{text}");
    assert!(text.contains("[INFO] agent: shutdown complete"), "{text}");
    assert!(!text.contains("Shutdown without a Leave"), "{text}");
    wait_for_statuses(&bern, &[("bern", "alive"), ("rome", "left")]);
}

#[test]
fn sigterm_does_not_leave_and_exits_with_one() {
    let mut agent = Agent::start(Kind::Folkmoot, "bern", &[]);
    agent.signal(Signal::Terminate);
    assert_eq!(agent.wait_for_exit().code(), Some(1));
    assert!(agent.text().contains("[WARN] serf: Shutdown without a Leave"));
}

#[test]
fn a_second_signal_cuts_the_leave_short() {
    let mut agent = Agent::start(Kind::Folkmoot, "bern", &[]);
    agent.signal(Signal::Interrupt);
    agent.wait_for_line("Gracefully shutting down agent");
    agent.signal(Signal::Interrupt);
    assert_eq!(agent.wait_for_exit().code(), Some(1));
}

#[test]
fn a_reload_brings_the_configured_tags_back() {
    let agent = Agent::start(Kind::Folkmoot, "bern", &["-tag", "a=1"]);
    let mut rpc = agent.rpc();
    rpc.set_tags(&[("b", "2")], &["a"]).unwrap();
    agent.signal(Signal::Hangup);
    agent.wait_for_line("==> Reloading configuration...");
    eventually("the tags are back", || {
        let tags = rpc.members().remove(0).tags;
        if tags.len() == 1 && tags.contains_key("a") { Ok(()) } else { Err(format!("{tags:?}")) }
    });
}

#[test]
fn settings_of_discovery_that_cannot_be_are_refused_in_gos_words() {
    let text = |arguments: &[&str]| refused(arguments, &[]);
    let (code, told) = text(&["-mdns-iface=lo"]);
    assert_eq!((code, told.as_str()), (Some(1), "==> mDNS interface specified without enabling mDNS discovery\n"));
    let (_, told) = text(&["-discover=x", "-mdns-iface=nosuch0"]);
    assert_eq!(told, "==> Invalid mDNS network interface: route ip+net: no such network interface\n");
    let (_, told) = text(&["-discover=x", "-mdns-iface=lo", "-mdns-disable-ipv4", "-mdns-disable-ipv6"]);
    assert_eq!(told, "==> Invalid mDNS configuration: both IPv4 and IPv6 are disabled\n");
}

#[test]
fn a_bad_variable_is_named_and_a_flag_beats_a_variable() {
    let (code, text) = refused(&[], &[("FOLKMOOT_RETRY_INTERVAL", "5")]);
    let expected = "==> Invalid environment variable FOLKMOOT_RETRY_INTERVAL=5: time: missing unit in duration \"5\"\n";
    assert_eq!((code, text.as_str()), (Some(1), expected));
    let (_, text) = refused(&["-profile=flag"], &[("FOLKMOOT_PROFILE", "variable")]);
    assert_eq!(text, "==> Unknown profile: flag\n");
    let (_, text) = refused(&[], &[("FOLKMOOT_PROFILE", "variable")]);
    assert_eq!(text, "==> Unknown profile: variable\n");
}

#[test]
fn keys_stay_out_of_the_log() {
    let bern = Agent::start(Kind::Folkmoot, "bern", &["-log-level=trace", &format!("-encrypt={KEY}")]);
    let join = format!("-join={}", bern.gossip());
    let rome = Agent::start(Kind::Folkmoot, "rome", &["-log-level=trace", &format!("-encrypt={KEY}"), &join]);
    wait_for_statuses(&bern, &[("bern", "alive"), ("rome", "alive")]);
    for agent in [&bern, &rome] {
        assert!(agent.text().contains("Encrypted: true"));
        assert!(!agent.text().contains(&KEY[..12]));
    }
}

/// Ends the process when the test does.
struct Quiet(std::process::Child);

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_closed_stdout_stops_nobody() {
    let address = Arc::new(Loopback::fresh());
    let (gossip, rpc) = (format!("-bind={}", address.gossip()), format!("-rpc-addr={}", address.rpc()));
    let mut command = Command::new(Kind::Folkmoot.program());
    command.args(["agent", "-node=mute", &gossip, &rpc]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let _child = Quiet(child);
    eventually("RPC answers", || {
        std::net::TcpStream::connect(address.rpc()).map(|_| ()).map_err(|error| error.to_string())
    });
    let mut rpc = Rpc::connect(address.rpc());
    rpc.event("hello", b"", false).unwrap();
    assert_eq!(rpc.statuses().len(), 1);
}
