//! `folkmoot health` against running agents: its exit codes are what container engines act on, its words what people read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::sync::Arc;

use support::{Agent, Directory, Kind, Loopback, Signal, eventually};

/// What health says with these arguments and variables, and its exit code.
fn health(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let arguments = [&["health"], arguments].concat();
    let output = Kind::Folkmoot.command(&arguments).envs(variables.iter().copied()).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Waits until health of `agent` ends with `exit` and says `words`.
fn says(agent: &Agent, more: &[&str], exit: i32, words: &str) {
    let address = format!("-rpc-addr={}", agent.rpc_address());
    eventually(&format!("health says {words:?}"), || {
        let (code, text) = health(&[&[address.as_str()], more].concat(), &[]);
        if code == Some(exit) && text.contains(words) { Ok(()) } else { Err(format!("exit code {code:?}\n{text}")) }
    });
}

#[test]
fn an_agent_that_lost_all_others_or_never_had_enough_is_not_well() {
    for kind in [Kind::Folkmoot, Kind::Go] {
        let alpha = Agent::start(kind, "alpha", &["-profile=local"]);
        says(&alpha, &[], 0, "ok     members: 1 of 1 are alive\nAll is well.");
        says(&alpha, &["-members=2"], 1, "WRONG  members: 1 of 1 are alive, where 2 must be");
        let join = format!("-join={}", alpha.gossip());
        let mut beta = Agent::start(Kind::Folkmoot, "beta", &["-profile=local", &join]);
        says(&alpha, &["-members=2"], 0, "ok     members: 2 of 2 are alive");
        beta.kill();
        says(&alpha, &[], 1, "WRONG  members: all others have failed: 1 of 2 are alive");
        says(&alpha, &["-live"], 0, "ok     agent: alpha answers\nAll is well.");
    }
}

#[test]
fn an_agent_that_stands_still_or_is_gone_is_not_well() {
    let mut agent = Agent::start(Kind::Folkmoot, "alpha", &[]);
    says(&agent, &[], 0, "ok     agent: alpha answers");
    agent.signal(Signal::Stop);
    says(&agent, &["-timeout=1s", "-live"], 1, "no answer within 1s");
    agent.signal(Signal::Continue);
    says(&agent, &["-format=json"], 0, "\"wrong\": 0");
    agent.kill();
    says(&agent, &["-format=json"], 1, "\"wrong\": 1");
    says(&agent, &[], 1, "WRONG  agent: cannot ask the agent at");
}

#[test]
fn it_finds_the_agent_by_the_agents_own_variables_and_files() {
    let address = Arc::new(Loopback::fresh());
    let rpc = address.rpc().to_string();
    let _agent = Agent::start_with_environment("alpha", Arc::clone(&address), &[], &["FOLKMOOT_RPC_AUTH=secret"]);
    let (code, text) = health(&[], &[("FOLKMOOT_RPC_ADDR", &rpc), ("FOLKMOOT_RPC_AUTH", "secret")]);
    assert_eq!(code, Some(0), "{text}");
    let directory = Directory::fresh();
    let file = directory.file("agent.json");
    std::fs::write(&file, format!(r#"{{"rpc_addr": "{rpc}", "rpc_auth": "secret"}}"#)).unwrap();
    let (code, text) = health(&[], &[("FOLKMOOT_CONFIG_FILE", file.to_str().unwrap())]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = health(&[], &[("FOLKMOOT_RPC_ADDR", &rpc), ("FOLKMOOT_RPC_AUTH", "wrong")]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("FOLKMOOT_RPC_AUTH"), "{text}");
    let (code, text) = health(&["-members=-1"], &[]);
    assert_eq!((code, text.as_str()), (Some(1), "Invalid value for -members: it is below 0.\n"));
}

#[test]
fn a_member_of_a_group_is_well_while_there_is_a_majority() {
    let root = Directory::fresh();
    let start = |name: &str, more: &[&str]| {
        let data = format!("-data-dir={}", root.file(name).display());
        Agent::start(Kind::Folkmoot, name, &[&["-raft", &data, "-raft-bootstrap-expect=3"], more].concat())
    };
    let alpha = start("alpha", &[]);
    says(&alpha, &[], 1, "WRONG  quorum: this node belongs to no group yet");
    let join = format!("-join={}", alpha.gossip());
    let mut others = ["beta", "gamma"].map(|name| start(name, &[&join]));
    says(&alpha, &[], 0, "of the voters ");
    others.iter_mut().for_each(Agent::kill);
    says(&alpha, &[], 1, "WRONG  quorum: no majority of the voters ");
    says(&alpha, &["-live"], 0, "All is well.");
}
