//! One rich scenario in clusters of four agents: Go only, and Go and Folkmoot mixed, joined in either direction, plain
//! and encrypted. What every agent shows is checked at every step, and afterwards what the Go agents wrote into their
//! logs (`go_interop/logs.rs`): a mixed cluster may make them complain about nothing that a cluster of Go agents does not.
//!
//! Not here: RPC transcripts (`rpc_vectors.rs`), the command line (`conformance/`), hostile input (`hostile.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

#[path = "go_interop/logs.rs"]
mod logs;
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use support::{Agent, Kind, Rpc, Signal, Turnstile, Value, eventually, eventually_within};

const NAMES: [&str; 4] = ["oslo", "riga", "bern", "rome"];
/// 32 bytes, in base64.
const KEY: &str = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";
/// Longest time from a crash to `failed` in a Go cluster of four with default settings: every live node is probed once
/// per round (3 s), a probe lasts 1 s, and a suspicion nobody confirms lasts 6 x 4 s (docs/spec/memberlist.md). Doubled,
/// because the machine is shared.
const FAILURE_SEEN_WITHIN: Duration = Duration::from_secs(2 * (3 + 1 + 24));

/// Which cluster a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Plain,
    Encrypted,
}

#[test]
fn clusters_without_a_key() {
    clusters(Secrecy::Plain);
}

#[test]
fn encrypted_clusters() {
    clusters(Secrecy::Encrypted);
}

/// The scenario in three clusters at once, which mostly wait. The one of Go agents shows that no more is asked of ours
/// than Go does, and that `logs::GO_WRITES` is true.
fn clusters(secrecy: Secrecy) {
    let ours = Kind::under_test();
    let kinds = [
        ("go_alone", [Kind::Go; 4]),
        ("folkmoot_joins_go", [Kind::Go, ours, Kind::Go, ours]),
        ("go_joins_folkmoot", [ours, Kind::Go, ours, Kind::Go]),
    ];
    let run = |(name, kinds): (&str, [Kind; 4])| {
        let run = move || logs::hold_nothing_strange(&scenario(kinds, secrecy), &NAMES);
        std::thread::Builder::new().name(name.to_owned()).spawn(run).unwrap()
    };
    let failed: Vec<_> = kinds
        .map(run)
        .into_iter()
        .filter_map(|thread| {
            let name = thread.thread().name().unwrap().to_owned();
            thread.join().err().map(|_| name)
        })
        .collect();
    assert!(failed.is_empty(), "{failed:?} failed, see above");
}

/// Everything that has to work between four agents, in one life of a cluster.
fn scenario(kinds: [Kind; 4], secrecy: Secrecy) -> Vec<Agent> {
    let mut agents = start(kinds, secrecy);
    join_in_a_chain(&agents);
    everybody_sees(&agents, &expected_tags(&agents));
    events_reach_everybody_once(&agents);
    queries_reach_those_they_are_for(&agents);
    tag_changes_show_everywhere(&agents);
    coordinates_converge(&agents);
    let since = [1, 2].map(|paused| (paused, paused_agent_refutes(&agents, paused)));
    since.iter().for_each(|(paused, marks)| nobody_called_it_failed(&agents, *paused, marks));
    killed_agent_fails_and_rejoins(&mut agents, 2);
    killed_agent_is_forced_out_and_pruned(&mut agents, 1);
    leaving_agent_shows_as_left(&mut agents, 3);
    leaving_agent_shows_as_left(&mut agents, 2);
    agents
}

fn start(kinds: [Kind; 4], secrecy: Secrecy) -> Vec<Agent> {
    let encrypt = format!("-encrypt={KEY}");
    let start = |(index, kind): (usize, Kind)| {
        let role = format!("-tag=role={}", if index.is_multiple_of(2) { "web" } else { "db" });
        let mut arguments = vec!["-log-level=debug", role.as_str(), "-tag=dc=østfold"];
        if secrecy == Secrecy::Encrypted {
            arguments.push(&encrypt);
        }
        Agent::start(kind, NAMES[index], &arguments)
    };
    kinds.into_iter().enumerate().map(start).collect()
}

type TagsByName = BTreeMap<String, BTreeMap<String, String>>;

fn expected_tags(agents: &[Agent]) -> TagsByName {
    let tags = |index: usize| {
        let role = if index.is_multiple_of(2) { "web" } else { "db" };
        BTreeMap::from([("role".to_owned(), role.to_owned()), ("dc".to_owned(), "østfold".to_owned())])
    };
    agents.iter().enumerate().map(|(index, agent)| (agent.name.clone(), tags(index))).collect()
}

/// Each agent joins the one before it.
fn join_in_a_chain(agents: &[Agent]) {
    for pair in agents.windows(2) {
        assert_eq!(pair[1].rpc().join(&[&pair[0].gossip()]), Ok(1));
    }
}

/// All agents show all agents alive, with their tags, addresses and protocol versions.
fn everybody_sees(agents: &[Agent], tags: &TagsByName) {
    for observer in agents {
        let mut rpc = observer.rpc();
        let what = format!("{} ({:?}) sees all four", observer.name, observer.kind);
        eventually(&what, || {
            let rows = rpc.members();
            let complete = rows.len() == agents.len()
                && agents.iter().all(|agent| {
                    rows.iter().any(|row| {
                        row.name == agent.name
                            && row.address == agent.address.ip().octets()
                            && row.port == 7946
                            && row.status == "alive"
                            && Some(&row.tags) == tags.get(&agent.name)
                            && row.versions == [5, 5, 2, 2, 5, 1]
                    })
                });
            if complete { Ok(()) } else { Err(format!("{rows:#?}")) }
        });
    }
}

fn streams(agents: &[Agent], filter: &str) -> Vec<Rpc> {
    let open = |agent: &Agent| {
        let mut rpc = agent.rpc();
        rpc.stream(filter);
        rpc
    };
    agents.iter().map(open).collect()
}

/// One event of every agent, then one that ends the counting: each agent delivers each of them once.
fn events_reach_everybody_once(agents: &[Agent]) {
    let mut streams = streams(agents, "user");
    for agent in agents {
        let payload = [agent.name.as_bytes(), &[0xff, 0x00, 0xfe]].concat();
        agent.rpc().event(&format!("from-{}", agent.name), &payload, false).unwrap();
    }
    let fence = "fence";
    let expected: BTreeMap<String, usize> = agents.iter().map(|agent| (format!("from-{}", agent.name), 1)).collect();
    let mut seen = vec![BTreeMap::<String, usize>::new(); agents.len()];
    for ((stream, seen), agent) in streams.iter_mut().zip(&mut seen).zip(agents) {
        while seen.len() < expected.len() {
            let record = stream.record(support::PATIENCE);
            let record = record.unwrap_or_else(|| panic!("only {seen:?} at {} ({:?})", agent.name, agent.kind));
            let name = record.get("Name").as_text();
            assert!(record.get("Payload").as_bytes().ends_with(&[0xff, 0x00, 0xfe]), "{record:?}");
            *seen.entry(name).or_default() += 1;
        }
    }
    agents[0].rpc().event(fence, b"", false).unwrap();
    for ((stream, seen), agent) in streams.iter_mut().zip(&mut seen).zip(agents) {
        loop {
            let record = stream.record(support::PATIENCE).expect("the last event arrives");
            let name = record.get("Name").as_text();
            if name == fence {
                break;
            }
            *seen.entry(name).or_default() += 1;
        }
        // Retransmissions of the earlier events end within this time.
        while let Some(record) = stream.record(Duration::from_millis(400)) {
            *seen.entry(record.get("Name").as_text()).or_default() += 1;
        }
        assert_eq!(*seen, expected, "at {} ({:?})", agent.name, agent.kind);
    }
}

/// A query that lasts so long that a machine which stands still for some seconds makes nobody miss it.
fn query(name: &str, payload: &str, more: &[(&str, Value)]) -> Value {
    let timeout_ns = 8_000_000_000;
    let mut entries = vec![
        (Value::text("Name"), Value::text(name)),
        (Value::text("Payload"), Value::Bin(payload.as_bytes().to_vec())),
        (Value::text("RequestAck"), Value::Bool(true)),
        (Value::text("Timeout"), Value::Int(timeout_ns)),
    ];
    entries.extend(more.iter().map(|(key, value)| (Value::text(key), value.clone())));
    Value::Map(entries)
}

fn ask(asker: &Agent, turnstile: &Turnstile, body: Value) -> Rpc {
    let mut rpc = asker.rpc();
    let _turn = turnstile.enter();
    rpc.query(body).unwrap();
    rpc
}

/// Queries of one agent of each kind, all at the same time.
fn queries_reach_those_they_are_for(agents: &[Agent]) {
    let turnstile = Turnstile::new(agents);
    let filtered = agents[..2].iter().map(|asker| ask_with_filters(asker, &turnstile)).collect::<Vec<_>>();
    queries_reach_everybody_once(agents, &turnstile);
    for (asker, asked) in agents.iter().zip(filtered) {
        for (mut rpc, expected) in asked {
            let mut acks = rpc.answers().acks;
            acks.sort();
            assert_eq!(acks, expected, "asked by {} ({:?})", asker.name, asker.kind);
        }
    }
}

/// Relayed too: every agent hears each query once, acknowledges once and answers once.
fn queries_reach_everybody_once(agents: &[Agent], turnstile: &Turnstile) {
    let mut streams = streams(agents, "query:load");
    let askers = &agents[..2];
    let relayed = |asker: &Agent| ask(asker, turnstile, query("load", &asker.name, &[("RelayFactor", Value::Int(2))]));
    let asked: Vec<Rpc> = askers.iter().map(relayed).collect();
    for (stream, agent) in streams.iter_mut().zip(agents) {
        let mut heard = askers
            .iter()
            .map(|_| {
                let record = stream.record(support::PATIENCE).unwrap_or_else(|| panic!("{} hears nothing", agent.name));
                let from = String::from_utf8(record.get("Payload").as_bytes()).unwrap();
                stream.respond(record.get("ID"), format!("{from}: load of {}", agent.name).as_bytes()).unwrap();
                from
            })
            .collect::<Vec<_>>();
        heard.sort();
        let mut expected: Vec<_> = askers.iter().map(|asker| asker.name.clone()).collect();
        expected.sort();
        assert_eq!(heard, expected, "at {} ({:?})", agent.name, agent.kind);
    }
    let mut names: Vec<String> = agents.iter().map(|agent| agent.name.clone()).collect();
    names.sort();
    for (asker, mut rpc) in askers.iter().zip(asked) {
        let mut answers = rpc.answers();
        answers.acks.sort();
        answers.responses.sort();
        let response = |name: &String| (name.clone(), format!("{}: load of {name}", asker.name).into_bytes());
        assert_eq!(answers.acks, names, "asked by {} ({:?})", asker.name, asker.kind);
        let expected: Vec<_> = names.iter().map(response).collect();
        assert_eq!(answers.responses, expected, "asked by {} ({:?})", asker.name, asker.kind);
    }
    // The queries have ended: what was repeated has come.
    for (stream, agent) in streams.iter_mut().zip(agents) {
        assert_eq!(stream.record(Duration::from_millis(100)), None, "{} hears a query twice", agent.name);
    }
}

/// Filters by name and by tag choose who acknowledges, whoever asks: queries under way, and who has to.
fn ask_with_filters(asker: &Agent, turnstile: &Turnstile) -> Vec<(Rpc, Vec<&'static str>)> {
    let nodes = Value::Array(vec![Value::text("riga"), Value::text("bern")]);
    let two = Value::map([("dc", Value::text("^øst")), ("role", Value::text("b$"))]);
    let filters = [
        ("FilterNodes", nodes, vec!["bern", "riga"]),
        // Tag patterns are not anchored: `e` matches web, not db.
        ("FilterTags", Value::map([("role", Value::text("e"))]), vec!["bern", "oslo"]),
        ("FilterTags", two, vec!["bern", "oslo", "riga", "rome"]),
    ];
    let asked = |(name, filter, who)| (ask(asker, turnstile, query("filtered", "args", &[(name, filter)])), who);
    filters.into_iter().map(asked).collect()
}

fn tag_changes_show_everywhere(agents: &[Agent]) {
    let mut tags = expected_tags(agents);
    for agent in agents {
        let rack = format!("rack of {}", agent.name);
        agent.rpc().set_tags(&[("rack", &rack), ("role", "")], &["dc"]).unwrap();
        let mine = BTreeMap::from([("rack".to_owned(), rack), ("role".to_owned(), String::new())]);
        tags.insert(agent.name.clone(), mine);
    }
    everybody_sees(agents, &tags);
}

/// Every agent comes to know every other's position, believes in it more than at first, and puts all of them close by.
fn coordinates_converge(agents: &[Agent]) {
    const FIRST_ERROR: f64 = 1.5;
    const CLOSE_SECONDS: f64 = 0.5;
    for observer in agents {
        let mut rpc = observer.rpc();
        for agent in agents {
            let what = format!("{} ({:?}) knows where {} is", observer.name, observer.kind, agent.name);
            eventually_within(Duration::from_secs(60), &what, || {
                let here = rpc.coordinate(&observer.name).ok_or("its own place is unknown")?;
                let there = rpc.coordinate(&agent.name).ok_or("unknown")?;
                let distance = distance(&here, &there);
                let converged = there.0.len() == 8 && there.1 < FIRST_ERROR && distance < CLOSE_SECONDS;
                if converged { Ok(()) } else { Err(format!("{there:?}, {distance} s away")) }
            });
        }
    }
}

fn distance(here: &(Vec<f64>, f64, f64), there: &(Vec<f64>, f64, f64)) -> f64 {
    let squares: f64 = here.0.iter().zip(&there.0).map(|(left, right)| (left - right).powi(2)).sum();
    squares.sqrt() + here.2 + there.2
}

/// Between the first suspicion and the word of the suspected agent that nobody is ever too busy to hear: three live
/// agents that all suspect call a member failed after 4 s (docs/spec/memberlist.md).
const REFUTED_WITHIN: Duration = Duration::from_secs(2);
/// Pauses that this machine may make too long.
const PAUSES_MAX: usize = 5;

/// An agent that stands still becomes suspect; when it goes on it refutes, and nobody ever calls it failed. Gives where
/// each agent's output begins since when that holds.
fn paused_agent_refutes(agents: &[Agent], paused: usize) -> Vec<usize> {
    for _ in 0..PAUSES_MAX {
        let marks: Vec<usize> = agents.iter().map(Agent::mark).collect();
        let suspected = format!("Suspect {} has failed", agents[paused].name);
        agents[paused].signal(Signal::Stop);
        // Whoever suspects first: the others' suspicions make the time until it is called failed shorter.
        eventually(&format!("somebody prints {suspected:?}"), || {
            let mut live = agents.iter().zip(&marks).filter(|(agent, _)| agent.name != agents[paused].name);
            live.any(|(agent, mark)| agent.has_line_from(*mark, &suspected)).then_some(()).ok_or_else(String::new)
        });
        let begun = Instant::now();
        agents[paused].signal(Signal::Continue);
        agents[paused].wait_for_line_from(marks[paused], "Refuting a suspect message");
        let refuted = begun.elapsed();
        all_show(agents, &[], &agents[paused].name, "alive", support::PATIENCE);
        if refuted < REFUTED_WITHIN {
            nobody_called_it_failed(agents, paused, &marks);
            return marks;
        }
    }
    panic!("of {PAUSES_MAX} pauses none was refuted within {REFUTED_WITHIN:?}: too late for any cluster to forgive");
}

fn nobody_called_it_failed(agents: &[Agent], name: usize, marks: &[usize]) {
    let failed = format!("EventMemberFailed: {}", agents[name].name);
    for (agent, mark) in agents.iter().zip(marks) {
        assert!(!agent.has_line_from(*mark, &failed), "{} ({:?}) says {failed:?}", agent.name, agent.kind);
    }
}

/// Waits until every running agent but those in `gone` shows `name` as `status`.
fn all_show(agents: &[Agent], gone: &[usize], name: &str, status: &str, limit: Duration) {
    let deadline = Instant::now() + limit;
    for (index, observer) in agents.iter().enumerate() {
        if gone.contains(&index) {
            continue;
        }
        let mut rpc = observer.rpc();
        let what = format!("{} ({:?}) shows {name} as {status}", observer.name, observer.kind);
        eventually_within(deadline.saturating_duration_since(Instant::now()), &what, || {
            let statuses = rpc.statuses();
            let shown = statuses.get(name).map_or("unknown", String::as_str);
            if shown == status { Ok(()) } else { Err(format!("{statuses:?}")) }
        });
    }
}

fn killed_agent_fails_and_rejoins(agents: &mut [Agent], victim: usize) {
    let name = agents[victim].name.clone();
    agents[victim].kill();
    all_show(agents, &[victim], &name, "failed", FAILURE_SEEN_WITHIN);
    agents[victim].restart();
    assert_eq!(agents[victim].rpc().join(&[&agents[0].gossip()]), Ok(1));
    all_show(agents, &[], &name, "alive", support::PATIENCE);
}

/// The first agent forces a dead one out, the last prunes it; then it comes back.
fn killed_agent_is_forced_out_and_pruned(agents: &mut [Agent], victim: usize) {
    let name = agents[victim].name.clone();
    agents[victim].kill();
    all_show(agents, &[victim], &name, "failed", FAILURE_SEEN_WITHIN);
    agents[0].rpc().force_leave(&name, false).unwrap();
    all_show(agents, &[victim], &name, "left", support::PATIENCE);
    agents[3].rpc().force_leave(&name, true).unwrap();
    all_show(agents, &[victim], &name, "unknown", support::PATIENCE);
    agents[victim].restart();
    assert_eq!(agents[victim].rpc().join(&[&agents[0].gossip()]), Ok(1));
    all_show(agents, &[], &name, "alive", support::PATIENCE);
}

fn leaving_agent_shows_as_left(agents: &mut [Agent], leaver: usize) {
    let name = agents[leaver].name.clone();
    agents[leaver].rpc().call("leave", None).unwrap();
    let status = agents[leaver].wait_for_exit();
    assert_eq!(status.code(), Some(0), "{name} ({:?})", agents[leaver].kind);
    let gone: Vec<usize> = (leaver..agents.len()).collect();
    all_show(agents, &gone, &name, "left", support::PATIENCE);
}
