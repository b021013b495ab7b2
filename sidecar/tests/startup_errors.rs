//! What goes wrong at start or at the first words of a client: a clear line, Serf's text and Serf's exit code.
//!
//! Each case states what Serf's newest source says (`vectors/rpc/cli/agent.txt`). Ours has to say exactly that. The
//! installed Go agent is run beside it and has to agree but for capital letters, in which 0.9.4 differs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::net::{TcpListener, UdpSocket};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use support::rpc::Received;
use support::{Agent, Kind, Loopback, PATIENCE, Rpc, Value, eventually_within};

const HELP: &str = "[help]";
const STARTING: &str = "==> Starting Serf agent...";
const REFUSED: &str = "==> Failed to start the Serf agent: Error creating Serf: ";

/// What one program did.
#[derive(Debug, PartialEq, Eq)]
struct Ending {
    exit: Option<i32>,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// A name that nobody knows is asked of every name server of the machine, which may be slow to say so.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// Runs `agent` with an address of its own and these arguments until it ends by itself.
fn run(kind: Kind, address: &Loopback, arguments: &[&str]) -> Ending {
    let own = [format!("-bind={}", address.ip()), format!("-rpc-addr={}", address.rpc())];
    let all = [&["agent", "-node=alpha", &own[0], &own[1]], arguments].concat();
    let mut child = Ended(kind.command(&all).spawn().unwrap());
    let exit = eventually_within(ENDS_WITHIN, &format!("{kind:?} ends with {arguments:?}"), || {
        child.0.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
    });
    let lines = |stream: &mut dyn std::io::Read| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let text = text.replace(&address.ip().to_string(), "IP");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match lines.iter().position(|line| line.trim_start_matches("==> ").starts_with("Usage: ")) {
            Some(help) => lines[..help].iter().cloned().chain([HELP.to_owned()]).collect(),
            None => lines,
        }
    };
    let stdout = lines(child.0.stdout.as_mut().unwrap());
    let stderr = lines(child.0.stderr.as_mut().unwrap());
    Ending { exit: exit.code(), stdout, stderr }
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ours does exactly this, Go's the same but for capital letters.
fn both(arguments: &[&str], stdout: &[&str], stderr: &[&str]) {
    let address = Loopback::fresh();
    both_at(&address, arguments, stdout, stderr);
}

fn both_at(address: &Loopback, arguments: &[&str], stdout: &[&str], stderr: &[&str]) {
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let expected = Ending { exit: Some(1), stdout: owned(stdout), stderr: owned(stderr) };
    let ours = run(Kind::under_test(), address, arguments);
    let go = run(Kind::Go, address, arguments);
    let lower = |ending: &Ending| format!("{ending:?}").to_lowercase();
    assert_eq!(lower(&go), lower(&expected), "the Go agent with {arguments:?}");
    if Kind::under_test() == Kind::Folkmoot {
        assert_eq!(ours, expected, "ours with {arguments:?}");
    }
}

#[test]
fn flags_that_cannot_be_read() {
    both(&["-nope"], &[HELP], &["flag provided but not defined: -nope"]);
    both(&["-node"], &[HELP], &["flag needs an argument: -node"]);
    both(&["-replay=maybe"], &[HELP], &[r#"invalid boolean value "maybe" for -replay: parse error"#]);
    both(&["-protocol=x"], &[HELP], &[r#"invalid value "x" for flag -protocol: parse error"#]);
    both(&["---node=x"], &[HELP], &["bad flag syntax: ---node=x"]);
}

#[test]
fn values_that_make_no_sense() {
    both(&["-retry-interval=5"], &[r#"==> Error: time: missing unit in duration "5""#], &[]);
    both(&["-broadcast-timeout=x"], &[r#"==> Error: time: invalid duration "x""#], &[]);
    both(&["-tag", "foo"], &["==> Error: Invalid tag: 'foo'"], &[]);
    both(&["-tag", "=foo"], &["==> Error: Invalid tag: '=foo'"], &[]);
    let levels = "==> Invalid log level: LOUD. Valid log levels are: [TRACE DEBUG INFO WARN ERR]";
    both(&["-log-level=loud"], &[levels], &[]);
    both(&["-profile=fast"], &["==> Unknown profile: fast"], &[]);
}

#[test]
fn protocol_versions_out_of_range() {
    for (version, fault) in [("6", "high"), ("1", "low")] {
        let refused = format!("{REFUSED}Protocol version '{version}' too {fault}. Must be in range: [2, 5]");
        both(&[&format!("-protocol={version}")], &[STARTING, &refused], &[]);
    }
}

#[test]
fn keys_that_cannot_be_read() {
    both(&["-encrypt=zzz"], &["==> Invalid encryption key: illegal base64 data at input byte 0"], &[]);
    let size = format!("{REFUSED}Failed to create memberlist: key size must be 16, 24 or 32 bytes");
    both(&["-encrypt=AAAAAAAAAAAAAAAAAAAA"], &[STARTING, &size], &[]);
}

#[test]
fn tags_that_are_too_long() {
    let big = format!("big={}", "x".repeat(600));
    let refused = format!("{REFUSED}Encoded length of tags exceeds limit of 512 bytes");
    both(&["-tag", &big], &[STARTING, &refused], &[]);
}

#[test]
fn interfaces_that_do_not_fit() {
    let nowhere = "==> Invalid network interface: route ip+net: no such network interface";
    both(&["-iface=nosuch0"], &[nowhere], &[]);
    both(&["-iface=lo"], &["==> Interface 'lo' has no 'IP' address"], &[]);
}

#[test]
fn addresses_that_cannot_be_used() {
    both(&["-bind=[::1"], &["==> Invalid bind address: address [::1: missing ']' in address"], &[]);
    both(&["-bind=127.0.0.1:99999"], &["==> Invalid bind address: address 99999: invalid port"], &[]);
    // Go's own text for this depends on the version of Go: `lookup` is the newer.
    let advertise = run(Kind::under_test(), &Loopback::fresh(), &["-advertise=127.0.0.1:x"]);
    assert_eq!(advertise.exit, Some(1));
    let text = advertise.stdout.join("\n").replace("address tcp/x", "lookup tcp/x");
    assert_eq!(text, "==> Invalid advertise address: lookup tcp/x: unknown port");
    let listener = "==> Error starting RPC listener: listen tcp: address 127.0.0.1: missing port in address";
    both(&["-rpc-addr=127.0.0.1"], &[STARTING, listener], &[]);
    let transport = "Failed to create memberlist: could not set up network transport: failed to obtain an address: \
                     failed to start TCP listener on \"192.0.2.1\" port 7946: listen tcp 192.0.2.1:7946: bind: \
                     cannot assign requested address";
    both(&["-bind=192.0.2.1"], &[STARTING, &format!("{REFUSED}{transport}")], &[]);
}

#[test]
fn ports_that_are_taken() {
    let address = Loopback::fresh();
    let gossip = TcpListener::bind(address.gossip()).unwrap();
    let transport = "Failed to create memberlist: could not set up network transport: failed to obtain an address: \
                     failed to start TCP listener on \"IP\" port 7946: listen tcp IP:7946: bind: \
                     address already in use";
    both_at(&address, &[], &[STARTING, &format!("{REFUSED}{transport}")], &[]);
    drop(gossip);

    let gossip = UdpSocket::bind(address.gossip()).unwrap();
    let transport = "Failed to create memberlist: could not set up network transport: failed to obtain an address: \
                     failed to start UDP listener on \"IP\" port 7946: listen udp IP:7946: bind: \
                     address already in use";
    both_at(&address, &[], &[STARTING, &format!("{REFUSED}{transport}")], &[]);
    drop(gossip);

    let _rpc = TcpListener::bind(address.rpc()).unwrap();
    let listener = "==> Error starting RPC listener: listen tcp IP:7373: bind: address already in use";
    both_at(&address, &[], &[STARTING, listener], &[]);
}

/// The text after the banner; what follows it in the log depends on the moment.
#[test]
fn join_addresses_where_nobody_answers() {
    let nobody = Loopback::fresh();
    let address = Loopback::fresh();
    let join = format!("-join={}", nobody.ip());
    for kind in [Kind::under_test(), Kind::Go] {
        let ending = run(kind, &address, &[&join]);
        let text = ending.stdout.join("\n").replace(&nobody.ip().to_string(), "NOBODY");
        assert_eq!(ending.exit, Some(1), "{kind:?}: {text}");
        assert!(
            text.contains("==> Joining cluster...(replay: false)\n==> 1 error occurred:\n\t* "),
            "{kind:?}: {text}"
        );
        assert!(text.contains("dial tcp NOBODY:7946: connect: connection refused"), "{kind:?}: {text}");
    }
}

#[test]
fn join_addresses_that_cannot_be_resolved() {
    let address = Loopback::fresh();
    for kind in [Kind::under_test(), Kind::Go] {
        let ending = run(kind, &address, &["-join=no-such-host.invalid"]);
        let text = ending.stdout.join("\n").to_lowercase();
        assert_eq!(ending.exit, Some(1), "{kind:?}: {text}");
        let expected = "==> 1 error occurred:\n\t* failed to resolve no-such-host.invalid: lookup no-such-host.invalid";
        assert!(text.contains(expected), "{kind:?}: {text}");
    }
}

#[test]
fn clients_that_begin_wrongly() {
    let agent = Agent::start(Kind::under_test(), "alpha", &[]);
    let mut impolite = Rpc::connect_raw(agent.rpc_address());
    assert_eq!(impolite.call("members", None), Err("Handshake required".to_owned()));
    assert_eq!(impolite.receive(PATIENCE), Received::Closed);
    let mut future = Rpc::connect_raw(agent.rpc_address());
    let version = |version: i128| Some(Value::map([("Version", Value::Int(version))]));
    assert_eq!(future.call("handshake", version(2)), Err("Unsupported IPC version".to_owned()));
    assert_eq!(future.call("handshake", version(1)), Ok(()));
    assert_eq!(future.call("handshake", version(1)), Err("Handshake already performed".to_owned()));
    assert_eq!(future.call("nope", None), Err("Unsupported command".to_owned()));
    assert_eq!(future.receive(PATIENCE), Received::Closed);
}

#[test]
fn clients_without_the_key() {
    let agent = Agent::start_secured(Kind::under_test(), "secure", Arc::new(Loopback::fresh()), "s3cret");
    let mut client = Rpc::connect(agent.rpc_address());
    assert_eq!(client.ask("members", None), Err("Authentication required".to_owned()));
    let key = |key: &str| Some(Value::map([("AuthKey", Value::text(key))]));
    assert_eq!(client.call("auth", key("wrong")), Err("Invalid authentication token".to_owned()));
    assert_eq!(client.call("auth", key("s3cret")), Ok(()));
    assert_eq!(client.members().len(), 1);
}
