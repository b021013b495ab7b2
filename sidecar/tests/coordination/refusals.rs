//! What is refused at the start, and with which words.

use std::net::TcpListener;
use std::sync::Arc;

use super::caller::Caller;
use super::groups::start;
use super::support::{Agent, Directory, Kind, Loopback};

/// Starts an agent that ends by itself with exit code 1, and gives what it said.
fn refused(arguments: &[&str]) -> String {
    refused_at(Arc::new(Loopback::fresh()), "refused", arguments)
}

fn refused_at(address: Arc<Loopback>, name: &str, arguments: &[&str]) -> String {
    let mut agent = Agent::spawn_at(Kind::Folkmoot, name, address, arguments);
    let ended = agent.wait_for_exit();
    let said = agent.text();
    assert_eq!(ended.code(), Some(1), "{said}");
    said
}

#[test]
fn settings_that_cannot_go_together_are_named() {
    for (arguments, words) in [
        (&["-raft"][..], "-raft needs -data-dir"),
        (&["-data-dir=/none"], "-data-dir=/none is without effect: add -raft"),
        (&["-raft-bootstrap-expect=3"], "-raft-bootstrap-expect=3 is without effect"),
        (&["-dev", "-join=x"], "-dev cannot go with -join=x"),
        (&["-dev", "-rpc-addr=0.0.0.0:7373"], "-dev cannot go with -rpc-addr=0.0.0.0:7373"),
        (&["-raft", "-data-dir=/none", "-raft-max-voters=4"], "use 3 or 5"),
        (&["-raft", "-data-dir=/none", "-no-capability"], "-raft cannot go with -no-capability"),
        (&["-raft-tls-ca=/none"], "needs -raft-tls-cert and -raft-tls-key too"),
        (
            &["-raft-tls-ca=/none/a", "-raft-tls-cert=/none/b", "-raft-tls-key=/none/c"],
            "-raft-tls-ca=/none/a: no such file or directory",
        ),
    ] {
        let said = refused(arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn settings_of_a_file_and_of_the_environment_count_too() {
    let directory = Directory::fresh();
    let file = directory.file("agent.json");
    std::fs::write(&file, r#"{"start_join": ["10.0.0.1"]}"#).unwrap();
    let said = refused(&["-dev", &format!("-config-file={}", file.display())]);
    assert!(said.contains("-dev cannot go with -join=10.0.0.1"), "{said}");
    let address = Arc::new(Loopback::fresh());
    let data = format!("FOLKMOOT_DATA_DIR={}", directory.file("data").display());
    let agent = Agent::start_with_environment("env", address, &[], &["FOLKMOOT_RAFT=true", &data]);
    Caller::register(&agent).put("k", "v");
}

#[test]
fn a_data_directory_has_one_agent_of_one_name() {
    let directory = Directory::fresh();
    let mut agent = start(&directory, "a", &[]);
    let data = format!("-data-dir={}", directory.file("a").display());
    let said = refused_at(Arc::new(Loopback::fresh()), "a", &["-raft", &data]);
    assert!(said.contains("is in use by another agent"), "{said}");
    agent.kill();
    let said = refused_at(Arc::new(Loopback::fresh()), "b", &["-raft", &data]);
    assert!(said.contains("belongs to node 'a', this is 'b'"), "{said}");
    let said = refused_at(Arc::new(Loopback::fresh()), "a", &["-raft", &data, "-cluster=other"]);
    assert!(said.contains("cluster 'other'"), "{said}");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let directory = Directory::fresh();
    let file = directory.file("file");
    std::fs::write(&file, "x").unwrap();
    let said = refused(&["-raft", &format!("-data-dir={}", file.display())]);
    assert!(said.contains(&format!("data directory {}", file.display())), "{said}");
    let strange = directory.file("strange");
    std::fs::create_dir(&strange).unwrap();
    std::fs::write(strange.join("letter"), "x").unwrap();
    let said = refused(&["-raft", &format!("-data-dir={}", strange.display())]);
    assert!(said.contains("holds letter"), "{said}");
    // Root may write everywhere but where nothing can be written.
    let said = refused(&["-raft", "-data-dir=/proc/folkmoot"]);
    assert!(said.contains("data directory /proc/folkmoot: cannot make"), "{said}");
}

#[test]
fn a_raft_port_in_use_is_named() {
    let directory = Directory::fresh();
    let address = Arc::new(Loopback::fresh());
    let _taken = TcpListener::bind((address.ip(), 4321)).unwrap();
    let data = format!("-data-dir={}", directory.file("d").display());
    let said = refused_at(Arc::clone(&address), "a", &["-raft", &data]);
    let words =
        format!("-raft-addr={}:4321: listen tcp {}:4321: bind: address already in use", address.ip(), address.ip());
    assert!(said.contains(&words), "{said}");
}
