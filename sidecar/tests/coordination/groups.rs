//! Groups of one and of three, from their founding over a kill to a stop.

use std::path::Path;
use std::sync::Arc;

use super::caller::{Caller, leader, stats};
use super::support::{Agent, Directory, Kind, Loopback, Signal, eventually};

/// Starts a `-raft` node with its data below `directory`.
pub fn start(directory: &Directory, name: &str, more: &[&str]) -> Agent {
    let data = format!("-data-dir={}", directory.file(name).display());
    let all = [&["-raft", &data, "-profile=local"], more].concat();
    Agent::start(Kind::Folkmoot, name, &all)
}

/// Three founders, with these flags in addition.
pub fn three(directory: &Directory, more: &[&str]) -> Vec<Agent> {
    let first = start(directory, "a", &[&["-raft-bootstrap-expect=3"], more].concat());
    let join = format!("-retry-join={}", first.gossip());
    let rest = ["b", "c"].map(|name| start(directory, name, &[&["-raft-bootstrap-expect=3", &join], more].concat()));
    let all: Vec<Agent> = std::iter::once(first).chain(rest).collect();
    leader(&all.iter().collect::<Vec<_>>());
    all
}

#[test]
fn dev_is_a_whole_group_that_leaves_nothing_behind() {
    let directory = Directory::fresh();
    let address = Arc::new(Loopback::fresh());
    let temporary = format!("TMPDIR={}", directory.path().display());
    let mut agent = Agent::start_with_environment("dev", address, &["-dev"], &[&temporary]);
    let mut caller = Caller::register(&agent);
    caller.put("k", "v");
    assert_eq!(caller.get("k").as_deref(), Some("v"));
    assert_eq!(stats(&agent)["state"], "leader");
    let data = || std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(data(), 1, "its state is in the temporary directory");
    agent.signal(Signal::Interrupt);
    assert!(agent.wait_for_exit().success());
    assert_eq!(data(), 0, "and gone with it");
}

#[test]
fn without_the_flag_stats_are_serfs_and_there_is_no_port() {
    let agent = Agent::start(Kind::Folkmoot, "plain", &[]);
    assert!(stats(&agent).is_empty());
    assert!(std::net::TcpStream::connect((agent.address.ip(), 4321)).is_err());
}

#[test]
fn a_node_alone_founds_a_group_of_one_that_survives_kills() {
    let directory = Directory::fresh();
    let mut agent = start(&directory, "alone", &[]);
    let mut caller = Caller::register(&agent);
    caller.put("k", "1");
    let before = stats(&agent);
    for round in 2..5 {
        agent.kill();
        agent.restart();
        caller = caller.moved_to(&agent);
        assert_eq!(caller.get("k"), Some((round - 1).to_string()));
        caller.put("k", &round.to_string());
    }
    let after = stats(&agent);
    for key in ["node_id", "cluster_id"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!((after["state"].as_str(), after["voters"].as_str()), ("leader", "alone"));
}

#[test]
fn three_found_one_group_and_a_stop_hands_leadership_over() {
    let directory = Directory::fresh();
    let mut agents = three(&directory, &[]);
    let mut caller = Caller::register(&agents[0]);
    caller.put("k", "v");
    let clusters: Vec<String> = agents.iter().map(|agent| stats(agent)["cluster_id"].clone()).collect();
    assert!(clusters.iter().all(|cluster| *cluster == clusters[0]), "{clusters:?}");
    // Who leads may change before the signal comes, and nobody may take over in time.
    assert!((0..5).any(|_| stop_the_leader(&mut agents)), "no leader has handed over");
}

/// Stops whoever leads three nodes and starts it again. Whether it handed leadership over.
fn stop_the_leader(agents: &mut Vec<Agent>) -> bool {
    let name = leader(&agents.iter().collect::<Vec<_>>());
    let place = agents.iter().position(|agent| agent.name == name).unwrap();
    let mut leaving = agents.remove(place);
    let mark = leaving.mark();
    leaving.signal(Signal::Interrupt);
    assert!(leaving.wait_for_exit().success());
    let handed_over = leaving.has_line_from(mark, "handed leadership over");
    let rest: Vec<&Agent> = agents.iter().collect();
    eventually("the rest has another leader", || match leader(&rest) {
        next if next == name => Err(next),
        _ => Ok(()),
    });
    assert_eq!(Caller::register(rest[0]).moved_to(rest[1]).get("k").as_deref(), Some("v"));
    assert_eq!(stats(rest[0])["voters"].split(',').count(), 3, "it keeps its vote");
    leaving.restart();
    agents.push(leaving);
    // It follows again, or is followed.
    leader(&agents.iter().collect::<Vec<_>>());
    handed_over
}

#[test]
fn an_agent_without_the_flag_forwards() {
    let directory = Directory::fresh();
    let group = start(&directory, "a", &[]);
    let plain = Agent::start(Kind::Folkmoot, "plain", &["-profile=local", &format!("-join={}", group.gossip())]);
    let mut caller = Caller::register(&plain);
    caller.put("k", "v");
    assert_eq!(caller.moved_to(&group).get("k").as_deref(), Some("v"));
}

#[test]
fn a_failing_disk_ends_the_process_with_its_message() {
    // Room for one segment of the log, of which less than 1 MiB is left when the disk is full.
    let disk = Directory::small_disk(20 * 1024);
    let mut agent = start(&disk, "full", &[]);
    let mut caller = Caller::register(&agent);
    let value = "x".repeat(512 * 1024);
    for _ in 0..31 {
        caller.put("big", &value);
    }
    fill(disk.path());
    caller.send_put("big", &value);
    let ended = agent.wait_for_exit();
    assert_eq!(ended.code(), Some(1));
    let said = agent.text();
    assert!(said.contains("Coordination failed: "), "{said}");
}

/// Leaves no room on the disk of `path`.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path.join("filler")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}
