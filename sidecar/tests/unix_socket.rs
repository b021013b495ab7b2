//! RPC over a unix socket: agent, commands, client, and the file: its permissions, left-overs, and its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use folkmoot_client::{Client, Coalesce, ConnectOptions, Error, EventRecord};
use support::{Agent, Directory, Kind, Loopback, PATIENCE, Signal, eventually};
use tokio::time::timeout;

/// An agent of ours with its RPC at `address`, once it serves.
fn start(name: &str, address: &str, more: &[&str]) -> Agent {
    let rpc = format!("-rpc-addr={address}");
    let arguments = [&["-profile=local", rpc.as_str()], more].concat();
    let agent = Agent::spawn_at(Kind::Folkmoot, name, Arc::new(Loopback::fresh()), &arguments);
    agent.wait_for_line("Serf agent running!");
    agent
}

/// What an agent that cannot start says, with its exit code.
fn refused(address: &str) -> (Option<i32>, String) {
    let rpc = format!("-rpc-addr={address}");
    let mut agent = Agent::spawn_at(Kind::Folkmoot, "late", Arc::new(Loopback::fresh()), &[&rpc]);
    let code = agent.wait_for_exit().code();
    let complaint = agent.lines().into_iter().find(|line| line.contains("Error starting RPC listener"));
    (code, complaint.unwrap_or_else(|| agent.text()))
}

fn address_of(path: &Path) -> String {
    format!("unix://{}", path.display())
}

fn run(kind: Kind, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    kind.command(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_kind_of_command_works_over_the_socket_by_flag_and_by_variable() {
    let directory = Directory::fresh();
    let address = address_of(&directory.file("rpc.sock"));
    let agent = start("alpha", &address, &[]);
    agent.wait_for_line(&format!("RPC addr: '{address}'"));
    let by_variable = run(Kind::Folkmoot, &["members"], &[("SERF_RPC_ADDR", &address)]);
    assert!(by_variable.status.success() && stdout(&by_variable).starts_with("alpha"), "{by_variable:?}");
    let flag = format!("-rpc-addr={address}");
    for command in [
        ["members", &flag, "-format=json"].as_slice(),
        &["event", &flag, "deploy", "v1"],
        &["info", &flag],
        &["tags", &flag, "-set", "a=1"],
        &["query", &flag, "-timeout=200ms", "load"],
        &["rtt", &flag, "alpha"],
        &["reachability", &flag],
        &["handlers", "-list", &flag],
        &["force-leave", &flag, "nobody"],
    ] {
        let output = run(Kind::Folkmoot, command, &[]);
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
    let line = agent.wait_for_line("Accepted client");
    let expected = format!("Accepted client: unix:{} (pid ", directory.file("rpc.sock").display());
    assert!(line.contains(&expected), "{line}");
}

/// HashiCorp's command has no unix sockets: it takes the address for a host and a port.
#[test]
fn the_go_command_cannot_use_the_socket() {
    let directory = Directory::fresh();
    let address = address_of(&directory.file("rpc.sock"));
    let _agent = start("alpha", &address, &[]);
    let output = run(Kind::Go, &["members", &format!("-rpc-addr={address}")], &[]);
    assert!(!output.status.success() && stdout(&output).contains("Error connecting to Serf agent"), "{output:?}");
}

#[tokio::test]
async fn the_client_streams_and_is_told_when_the_agent_goes() {
    let directory = Directory::fresh();
    let mut agent = start("alpha", &address_of(&directory.file("rpc.sock")), &[]);
    let client = Client::connect(&ConnectOptions::new(address_of(&directory.file("rpc.sock")))).await.unwrap();
    let mut events = client.stream("user").await.unwrap();
    let payload = vec![7; 400];
    client.event("deploy", Some(payload.clone().into()), Coalesce::Every).await.unwrap();
    let event = timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
    let EventRecord::User(event) = event else { panic!("{event:?}") };
    assert_eq!((event.name.to_string(), event.payload.map(Vec::from)), ("deploy".to_owned(), Some(payload)));
    agent.kill();
    assert!(matches!(timeout(PATIENCE, events.next()).await.unwrap(), Err(Error::Closed)));
}

#[test]
fn the_file_is_for_its_owner_and_goes_with_the_agent() {
    let directory = Directory::fresh();
    let path = directory.file("rpc.sock");
    let mut agent = start("alpha", &address_of(&path), &[]);
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    let left = run(Kind::Folkmoot, &["leave", &format!("-rpc-addr={}", address_of(&path))], &[]);
    assert!(left.status.success(), "{left:?}");
    assert!(agent.wait_for_exit().success());
    assert!(!path.exists());
}

#[test]
fn a_signal_removes_the_file_too() {
    let directory = Directory::fresh();
    let path = directory.file("rpc.sock");
    let mut agent = start("alpha", &address_of(&path), &[]);
    agent.signal(Signal::Terminate);
    agent.wait_for_exit();
    assert!(!path.exists());
}

#[test]
fn mode_and_group_are_those_asked_for() {
    let directory = Directory::fresh();
    let path = directory.file("rpc.sock");
    // A group that is not ours, which takes root.
    let group = 12_345;
    let address = format!("{}?mode=0660&group={group}", address_of(&path));
    let _agent = start("alpha", &address, &[]);
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!((found.permissions().mode() & 0o7777, found.gid()), (0o660, group));
    // The same text serves the command.
    assert!(run(Kind::Folkmoot, &["members"], &[("SERF_RPC_ADDR", &address)]).status.success());
}

/// Needs root, to become somebody else.
#[test]
fn another_user_gets_in_only_if_the_mode_says_so() {
    let directory = Directory::fresh();
    let program = directory.file("folkmoot");
    // By another process: a program that is open for writing cannot be run, and processes which other tests start inherit
    // what is open here.
    assert!(Command::new("cp").arg(Kind::Folkmoot.program()).arg(&program).status().unwrap().success());
    let ask = |address: &str| {
        Command::new(&program).args(["members", "-rpc-addr", address]).uid(65_534).env_clear().output().unwrap()
    };
    let closed = address_of(&directory.file("closed.sock"));
    let _closed = start("alpha", &closed, &[]);
    let denied = ask(&closed);
    assert!(!denied.status.success() && stdout(&denied).ends_with("connect: permission denied\n"), "{denied:?}");
    let open = format!("{}?mode=0666", address_of(&directory.file("open.sock")));
    let _open = start("beta", &open, &[]);
    assert!(stdout(&ask(&open)).starts_with("beta"));
}

#[test]
fn the_socket_of_a_dead_agent_is_replaced() {
    let directory = Directory::fresh();
    let path = directory.file("rpc.sock");
    let mut dead = start("alpha", &address_of(&path), &[]);
    dead.kill();
    assert!(path.exists());
    let flag = format!("-rpc-addr={}", address_of(&path));
    let nobody = run(Kind::Folkmoot, &["members", &flag], &[]);
    let text = format!("Error connecting to Serf agent: dial unix {}: connect: connection refused\n", path.display());
    assert_eq!((nobody.status.code(), stdout(&nobody)), (Some(1), text));
    let _agent = start("beta", &address_of(&path), &[]);
    assert!(stdout(&run(Kind::Folkmoot, &["members", &flag], &[])).starts_with("beta"));
}

#[test]
fn the_socket_of_a_live_agent_is_refused_and_stays_its_own() {
    let directory = Directory::fresh();
    let path = directory.file("rpc.sock");
    let _agent = start("alpha", &address_of(&path), &[]);
    let complaint =
        format!("==> Error starting RPC listener: listen unix {}: bind: address already in use", path.display());
    assert_eq!(refused(&address_of(&path)), (Some(1), complaint.clone()));
    // Also when nothing is left of the lock.
    std::fs::remove_file(directory.file("rpc.sock.lock")).unwrap();
    assert_eq!(refused(&address_of(&path)), (Some(1), complaint));
    let still = run(Kind::Folkmoot, &["members", &format!("-rpc-addr={}", address_of(&path))], &[]);
    assert!(stdout(&still).starts_with("alpha"), "{still:?}");
}

#[test]
fn what_is_no_socket_of_an_agent_is_never_removed() {
    let directory = Directory::fresh();
    let path = directory.file("rpc.sock");
    std::fs::write(&path, "precious").unwrap();
    let (code, complaint) = refused(&address_of(&path));
    assert!(code == Some(1) && complaint.ends_with("bind: address already in use"), "{complaint}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();

    let other = UnixListener::bind(&path).unwrap();
    let (code, complaint) = refused(&address_of(&path));
    assert!(code == Some(1) && complaint.ends_with("bind: address already in use"), "{complaint}");
    assert!(UnixStream::connect(&path).is_ok());
    drop(other);

    let (code, complaint) = refused("unix:///nowhere/at/all.sock");
    assert!(code == Some(1) && complaint.ends_with("bind: no such file or directory"), "{complaint}");
    let (code, complaint) = refused("unix:///tmp/x?mode=rw");
    assert!(code == Some(1) && complaint.ends_with("mode 'rw' is not octal, at most 0777"), "{complaint}");
}

/// Whoever replaced the file has it: the old agent's end does not remove it.
#[test]
fn a_file_that_is_another_ones_meanwhile_stays() {
    let directory = Directory::fresh();
    let path = directory.file("rpc.sock");
    let mut agent = start("alpha", &address_of(&path), &[]);
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    agent.signal(Signal::Interrupt);
    agent.wait_for_exit();
    assert!(path.exists());
}

#[test]
fn the_key_is_asked_for_here_too() {
    let directory = Directory::fresh();
    let address = address_of(&directory.file("rpc.sock"));
    let config = directory.file("auth.json");
    std::fs::write(&config, r#"{"rpc_auth": "s3cret"}"#).unwrap();
    let _agent = start("alpha", &address, &[&format!("-config-file={}", config.display())]);
    let flag = format!("-rpc-addr={address}");
    let without = run(Kind::Folkmoot, &["members", &flag], &[]);
    assert!(!without.status.success() && stdout(&without).contains("Authentication required"), "{without:?}");
    let with = run(Kind::Folkmoot, &["members", &flag, "-rpc-auth=s3cret"], &[]);
    assert!(with.status.success(), "{with:?}");
}

#[test]
fn agents_of_both_kinds_are_one_cluster_whatever_their_rpc_listens_on() {
    let directory = Directory::fresh();
    let address = address_of(&directory.file("rpc.sock"));
    let go = Agent::start(Kind::Go, "go", &["-profile=local"]);
    let _ours = start("ours", &address, &[&format!("-join={}", go.gossip())]);
    eventually("both are seen over the socket", || {
        let members = stdout(&run(Kind::Folkmoot, &["members", "-status=alive", &format!("-rpc-addr={address}")], &[]));
        if members.lines().count() == 2 { Ok(()) } else { Err(members) }
    });
}
