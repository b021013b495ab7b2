//! The capability trailer and the merge guard in clusters with a real Go agent: it relays the trailer, shows nothing of
//! it and complains of nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::collections::BTreeMap;
use std::process::Output;

use support::{Agent, Kind, Loopback, eventually};

/// Names and tags of the members alive at `agent`.
fn alive(agent: &Agent) -> BTreeMap<String, BTreeMap<String, String>> {
    let rows = agent.rpc().members();
    rows.into_iter().filter(|row| row.status == "alive").map(|row| (row.name, row.tags)).collect()
}

fn sees(agent: &Agent, names: &[&str]) {
    eventually(&format!("{} sees {names:?}", agent.name), || {
        let alive = alive(agent);
        let all = alive.len() == names.len() && names.iter().all(|name| alive.contains_key(*name));
        if all { Ok(()) } else { Err(format!("{alive:?}")) }
    });
}

/// Two agents of ours that know one another only through a Go agent between them.
fn around_go(oslo: &[&str], bern: &[&str]) -> (Agent, Agent, Agent) {
    let go = Agent::start(Kind::Go, "riga", &["-log-level=debug", "-tag=role=db"]);
    let oslo = Agent::start(Kind::Folkmoot, "oslo", oslo);
    let bern = Agent::start(Kind::Folkmoot, "bern", bern);
    assert_eq!(oslo.rpc().join(&[&go.gossip()]), Ok(1));
    assert_eq!(go.rpc().join(&[&bern.gossip()]), Ok(1));
    (oslo, go, bern)
}

/// What Go says when somebody was late. It says nothing of what was in the packet.
const LATE: [&str; 3] = ["Was able to connect to", "Refuting a suspect message", "i/o timeout"];

fn complaints(go: &Agent) -> Vec<String> {
    let complains = |line: &String| line.contains("[WARN]") || line.contains("[ERR]");
    let late = |line: &String| LATE.iter().any(|part| line.contains(part));
    go.lines().into_iter().filter(|line| complains(line) && !late(line)).collect()
}

#[test]
fn go_relays_the_trailer_and_shows_the_tags_as_they_are() {
    let (oslo, go, bern) = around_go(&["-tag=role=web", "-cluster=north"], &["-tag=dc=østfold", "-cluster=north"]);
    for agent in [&oslo, &go, &bern] {
        sees(agent, &["oslo", "riga", "bern"]);
    }
    let tags = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let expected = BTreeMap::from([
        ("oslo".to_owned(), tags(&[("role", "web")])),
        ("riga".to_owned(), tags(&[("role", "db")])),
        ("bern".to_owned(), tags(&[("dc", "østfold")])),
    ]);
    for agent in [&oslo, &go, &bern] {
        assert_eq!(alive(agent), expected, "at {}", agent.name);
    }
    let rpc = format!("-rpc-addr={}", go.address.rpc());
    let shown = Kind::Go.command(&["members", &rpc]).output().unwrap();
    assert!(text(&shown).contains("role=web") && !text(&shown).contains("\u{fffd}"), "{}", text(&shown));
    assert_eq!(complaints(&go), Vec::<String>::new());
}

/// The trailer of each comes to the other through the Go agent only, so the refusal shows that it came whole.
#[test]
fn the_guard_keeps_clusters_apart_that_meet_through_a_go_agent() {
    let (oslo, go, bern) = around_go(&["-cluster=north"], &["-cluster=south"]);
    sees(&go, &["oslo", "riga", "bern"]);
    oslo.wait_for_line("'bern' belongs to another cluster than ours (-cluster=north)");
    bern.wait_for_line("'oslo' belongs to another cluster than ours (-cluster=south)");
    sees(&oslo, &["oslo", "riga"]);
    sees(&bern, &["riga", "bern"]);
    assert_eq!(complaints(&go), Vec::<String>::new());
}

#[test]
fn a_join_to_another_cluster_is_refused_in_plain_words() {
    let oslo = Agent::start(Kind::Folkmoot, "oslo", &["-cluster=north"]);
    let bern = Agent::start(Kind::Folkmoot, "bern", &["-cluster=south"]);
    let refusal = bern.rpc().join(&[&oslo.gossip()]).unwrap_err();
    assert!(refusal.contains("'oslo' belongs to another cluster than ours (-cluster=south)"), "{refusal}");
    oslo.wait_for_line("'bern' belongs to another cluster than ours (-cluster=north)");
    // Nodes that keep to no cluster, or say nothing, are as Go's.
    let rome = Agent::start(Kind::Folkmoot, "rome", &[]);
    let kyiv = Agent::start(Kind::Folkmoot, "kyiv", &["-no-capability"]);
    assert_eq!(rome.rpc().join(&[&oslo.gossip()]), Ok(1));
    assert_eq!(kyiv.rpc().join(&[&oslo.gossip()]), Ok(1));
    sees(&oslo, &["oslo", "rome", "kyiv"]);
}

#[test]
fn tags_at_their_limit_leave_no_room_and_the_log_says_so_once() {
    let oslo = Agent::start(Kind::Folkmoot, "oslo", &["-cluster=north"]);
    let go = Agent::start(Kind::Go, "riga", &[]);
    assert_eq!(oslo.rpc().join(&[&go.gossip()]), Ok(1));
    // ff, map header, "k" (2 bytes), raw16 header (3 bytes) and 505 bytes fill the meta data.
    for _ in 0..2 {
        oslo.rpc().set_tags(&[("k", &"x".repeat(505))], &[]).unwrap();
        oslo.rpc().set_tags(&[("k", &"y".repeat(505))], &[]).unwrap();
    }
    eventually("the Go agent has the tag", || {
        let alive = alive(&go);
        let tag = alive.get("oslo").and_then(|tags| tags.get("k")).cloned();
        if tag == Some("y".repeat(505)) { Ok(()) } else { Err(format!("{tag:?}")) }
    });
    let told = oslo.lines().iter().filter(|line| line.contains("The tags leave too little room")).count();
    assert_eq!(told, 1);
    assert_eq!(complaints(&go), Vec::<String>::new());
}

#[test]
fn a_cluster_that_nobody_would_hear_of_is_refused() {
    let address = Loopback::fresh();
    let mut agent =
        Agent::spawn_at(Kind::Folkmoot, "oslo", std::sync::Arc::new(address), &["-cluster=north", "-no-capability"]);
    assert_eq!(agent.wait_for_exit().code(), Some(1));
    agent.wait_for_line("Invalid -cluster=north");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
