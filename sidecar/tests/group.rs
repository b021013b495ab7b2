//! Real agents with `-raft`: they find one another by gossip and found one group, come back after all have stopped, take
//! in newcomers, replace a member whose disk is lost, hand leadership over, and never merge two groups.
//!
//! Not here: what the group stores, and partitions while it is founded (`partitions.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use support::{Agent, Directory, Kind, Loopback, Signal, eventually, eventually_within};

/// Above what autopilot takes with a member whose disk is lost: silence noticed (2 s), stable for 10 s, a rest of 10 s
/// after the change of voters, on a busy machine.
const AUTOPILOT: Duration = Duration::from_secs(90);

/// Agents with `-raft`, each with a data directory.
struct Cluster {
    agents: Vec<Agent>,
    root: Directory,
}

impl Cluster {
    /// None yet.
    fn new() -> Self {
        Self { agents: Vec::new(), root: Directory::fresh() }
    }

    /// Agents of these names that expect as many as there are, joined in a chain.
    fn founding(names: &[&str]) -> Self {
        let mut cluster = Self::new();
        let expect = format!("-raft-bootstrap-expect={}", names.len());
        for name in names {
            cluster.start(name, &[&expect]);
        }
        cluster.join_in_a_chain();
        cluster
    }

    fn data(&self, name: &str) -> PathBuf {
        self.root.file(name)
    }

    fn start(&mut self, name: &str, arguments: &[&str]) -> &Agent {
        let data = format!("-data-dir={}", self.data(name).display());
        let all = [&["-raft", &data], arguments].concat();
        self.agents.push(Agent::start(Kind::Folkmoot, name, &all));
        self.agents.last().unwrap()
    }

    fn join_in_a_chain(&self) {
        for pair in self.agents.windows(2) {
            assert_eq!(pair[1].rpc().join(&[&pair[0].gossip()]), Ok(1));
        }
    }

    fn agent(&self, name: &str) -> &Agent {
        self.agents.iter().find(|agent| agent.name == name).unwrap()
    }

    /// The one group that all of them are in.
    fn group(&self) -> String {
        let groups: BTreeSet<String> = self.agents.iter().map(group_of).collect();
        assert_eq!(groups.len(), 1, "{groups:?}");
        groups.into_iter().next().unwrap()
    }

    /// Who leads, as the one that leads says from its `mark` on.
    fn leader(&self, marks: &[usize]) -> usize {
        eventually("one of them leads", || {
            let leads = |(number, agent): (usize, &Agent)| {
                let lines = agent.lines();
                let of_now = &lines[marks[number].min(lines.len())..];
                let last = of_now.iter().rev().find(|line| line.contains(" leads the group (term "));
                last.is_some_and(|line| line.contains("this node leads")).then_some(number)
            };
            self.agents.iter().enumerate().find_map(leads).ok_or_else(|| "nobody does".to_owned())
        })
    }
}

/// The group an agent says it is in.
fn group_of(agent: &Agent) -> String {
    eventually(&format!("{} is in a group", agent.name), || {
        groups_named(&agent.lines()).pop().ok_or_else(|| agent.text())
    })
}

/// Every group that these lines say their agent entered.
fn groups_named(lines: &[String]) -> Vec<String> {
    let words = |line: &String| {
        let entered = line.contains("was founded by") || line.contains("this node belongs to group");
        let rest = line.split(" group ").nth(1).filter(|_| entered)?;
        Some(rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>())
    };
    lines.iter().filter_map(words).collect()
}

/// What a command says when asked at `agent`, whether it worked or not.
fn command(agent: &Agent, words: &[&str]) -> (bool, String) {
    let rpc = format!("-rpc-addr={}", agent.address.rpc());
    let (verb, arguments) = words.split_at(2);
    let output = Kind::Folkmoot.command(&[verb, &[&rpc], arguments].concat()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// What Go says when somebody was late. It says nothing of what was in the packet.
const LATE: [&str; 3] = ["Was able to connect to", "Refuting a suspect message", "i/o timeout"];

fn complaints(agent: &Agent) -> Vec<String> {
    let complains = |line: &String| line.contains("[WARN]") || line.contains("[ERR]");
    let late = |line: &String| LATE.iter().any(|part| line.contains(part));
    agent.lines().into_iter().filter(|line| complains(line) && !late(line)).collect()
}

#[test]
fn three_that_meet_found_one_group_among_agents_that_know_nothing_of_it() {
    let go = Agent::start(Kind::Go, "riga", &["-tag=role=db"]);
    let plain = Agent::start(Kind::Folkmoot, "kyiv", &["-tag=role=web"]);
    assert_eq!(plain.rpc().join(&[&go.gossip()]), Ok(1));
    let mut cluster = Cluster::new();
    for name in ["oslo", "bern", "rome"] {
        let agent = cluster.start(name, &["-raft-bootstrap-expect=3"]);
        assert_eq!(agent.rpc().join(&[&go.gossip()]), Ok(1));
    }
    let group = cluster.group();
    assert_eq!(group.len(), 16);
    cluster.leader(&[0, 0, 0]);
    for agent in &cluster.agents {
        agent.wait_for_line("this node is one of 3 voters of the group");
    }
    for agent in [&go, &plain] {
        eventually(&format!("{} sees all", agent.name), || {
            let rows = agent.rpc().members();
            let alive = rows.iter().filter(|row| row.status == "alive").count();
            let tags: Vec<_> = rows.iter().filter(|row| !row.tags.is_empty()).map(|row| row.name.as_str()).collect();
            if alive == 5 && tags == ["kyiv", "riga"] { Ok(()) } else { Err(format!("{rows:?}")) }
        });
    }
    assert_eq!(complaints(&go), Vec::<String>::new());
    assert!(!plain.text().contains("raft:"), "{}", plain.text());
}

#[test]
fn all_come_back_to_their_group_after_all_have_stopped() {
    let mut cluster = Cluster::founding(&["oslo", "bern", "rome"]);
    let group = cluster.group();
    cluster.leader(&[0, 0, 0]);
    for agent in &mut cluster.agents {
        agent.kill();
    }
    let marks: Vec<usize> = cluster.agents.iter().map(Agent::mark).collect();
    for agent in &mut cluster.agents {
        agent.restart();
    }
    cluster.join_in_a_chain();
    cluster.leader(&marks);
    for (agent, mark) in cluster.agents.iter().zip(marks) {
        agent.wait_for_line_from(mark, &format!("this node belongs to group {group}"));
        assert_eq!(groups_named(&agent.lines()).into_iter().collect::<BTreeSet<_>>().len(), 1);
    }
}

#[test]
fn a_stop_hands_leadership_over_and_keeps_the_vote() {
    let mut cluster = Cluster::founding(&["oslo", "bern", "rome"]);
    cluster.group();
    let mut marks = vec![0, 0, 0];
    // On a busy machine the leader may have changed before the signal arrives.
    let handed_over = (0..5).any(|_| {
        let leader = cluster.leader(&marks);
        let next = (leader + 1) % 3;
        cluster.agents[leader].signal(Signal::Terminate);
        cluster.agents[leader].wait_for_exit();
        let handed_over = cluster.agents[leader].text().contains("handed leadership over");
        marks[leader] = cluster.agents[leader].mark();
        assert_ne!(cluster.leader(&marks), leader, "somebody else leads");
        cluster.agents[leader].restart();
        let join = cluster.agents[next].gossip();
        assert_eq!(cluster.agents[leader].rpc().join(&[&join]), Ok(1));
        let voter = "this node is one of 3 voters of the group";
        cluster.agents[leader].wait_for_line_from(marks[leader], voter);
        handed_over
    });
    assert!(handed_over);
}

#[test]
fn a_node_without_expectation_is_taken_in_without_a_vote() {
    let mut cluster = Cluster::founding(&["oslo", "bern", "rome"]);
    let group = cluster.group();
    let join = format!("-join={}", cluster.agents[0].gossip());
    let late = cluster.start("kyiv", &[&join]);
    late.wait_for_line(&format!("this node belongs to group {group}"));
    late.wait_for_line("this node is a member of the group without a vote");
}

/// The session is made at an agent without `-raft`, which forwards.
#[test]
fn a_session_bound_to_a_node_ends_when_gossip_says_that_the_node_is_gone() {
    let cluster = Cluster::founding(&["oslo", "bern", "rome"]);
    cluster.group();
    let join = format!("-join={}", cluster.agents[0].gossip());
    let mut plain = Agent::start(Kind::Folkmoot, "kyiv", &[&join]);
    eventually("a session starts", || match command(&plain, &["session", "create", "-node=kyiv", "-ttl=1h"]) {
        (true, _) => Ok(()),
        (false, said) => Err(said),
    });
    let is_listed = || command(&cluster.agents[0], &["session", "list"]);
    eventually("it is listed", || match is_listed() {
        (true, said) if said.contains("kyiv") => Ok(()),
        (_, said) => Err(said),
    });
    plain.kill();
    eventually_within(AUTOPILOT, "it ends", || match is_listed() {
        (true, said) if !said.contains("kyiv") => Ok(()),
        (_, said) => Err(said),
    });
}

#[test]
fn a_node_whose_disk_is_lost_comes_back_as_another_member_in_its_place() {
    let mut cluster = Cluster::founding(&["oslo", "bern", "rome"]);
    let group = cluster.group();
    let leader = cluster.leader(&[0, 0, 0]);
    let lost = (leader + 1) % 3;
    cluster.agents[lost].kill();
    let name = cluster.agents[lost].name.clone();
    std::fs::remove_dir_all(cluster.data(&name)).unwrap();
    let mark = cluster.agents[lost].mark();
    cluster.agents[lost].restart();
    let join = cluster.agents[leader].gossip();
    assert_eq!(cluster.agents[lost].rpc().join(&[&join]), Ok(1));
    cluster.agents[lost].wait_for_line_from(mark, &format!("this node belongs to group {group}"));
    let tells = |part: String| {
        eventually_within(AUTOPILOT, &format!("somebody says {part:?}"), || {
            let said = cluster.agents.iter().any(|agent| agent.text().contains(&part));
            if said { Ok(()) } else { Err(cluster.agents[leader].text()) }
        });
    };
    tells(format!("autopilot: {name} ("));
    tells(format!("3 voters: {name} votes in the place of {name}"));
    tells("is no member any more: its node is another member".to_owned());
    eventually_within(AUTOPILOT, "it votes", || {
        let text = cluster.agents[lost].text();
        if text.contains("this node is one of 3 voters") { Ok(()) } else { Err(text) }
    });
}

#[test]
fn two_groups_that_meet_stay_two_and_say_so() {
    let mut cluster = Cluster::new();
    cluster.start("oslo", &[]);
    cluster.start("bern", &[]);
    let groups: Vec<String> = cluster.agents.iter().map(group_of).collect();
    assert_ne!(groups[0], groups[1]);
    assert_eq!(cluster.agents[1].rpc().join(&[&cluster.agents[0].gossip()]), Ok(1));
    for agent in &cluster.agents {
        let line = agent.wait_for_line("2 groups have met");
        assert!(groups.iter().all(|group| line.contains(group)) && line.contains("[ERR]"), "{line}");
    }
    // Calls go to one of them, the same for all.
    eventually("one of them is refused calls", || {
        let put = |agent: &Agent| command(agent, &["kv", "put", "key", "value"]);
        let answers: Vec<(bool, String)> = cluster.agents.iter().map(put).collect();
        let refused = answers.iter().filter(|(worked, said)| !worked && said.contains("groups never merge")).count();
        let served = answers.iter().filter(|(worked, _)| *worked).count();
        if (refused, served) == (1, 1) { Ok(()) } else { Err(format!("{answers:?}")) }
    });
    // A newcomer joins neither of them.
    let join = format!("-join={}", cluster.agents[0].gossip());
    let late = cluster.start("rome", &[&join]);
    late.wait_for_line("this node joins neither");
    assert_eq!(groups_named(&late.lines()), Vec::<String>::new());
    let still: Vec<String> = cluster.agents[..2].iter().map(group_of).collect();
    assert_eq!(still, groups);
}

#[test]
fn an_expectation_that_is_not_more_than_half_founds_nothing() {
    let go = Agent::start(Kind::Go, "riga", &[]);
    let join = format!("-join={}", go.gossip());
    let mut cluster = Cluster::new();
    for name in ["oslo", "bern", "rome"] {
        cluster.start(name, &[&join]);
    }
    eventually("the three have met", || {
        let alive = go.rpc().statuses().into_values().filter(|status| status == "alive").count();
        if alive == 4 { Ok(()) } else { Err(format!("{alive} alive")) }
    });
    for name in ["kyiv", "lima"] {
        cluster.start(name, &[&join, "-raft-bootstrap-expect=2"]);
    }
    for name in ["kyiv", "lima"] {
        let line = cluster.agent(name).wait_for_line("-raft-bootstrap-expect=2 is not more than half of the 5 nodes");
        assert!(line.contains("Set at least 3"), "{line}");
    }
    for agent in &cluster.agents {
        assert_eq!(groups_named(&agent.lines()), Vec::<String>::new(), "{}", agent.name);
    }
}

#[test]
fn a_data_directory_of_another_or_in_use_is_refused_in_plain_words() {
    let mut cluster = Cluster::new();
    cluster.start("oslo", &[]);
    let data = format!("-data-dir={}", cluster.data("oslo").display());
    let refusal = |name: &str, extra: &[&str], expected: &str| {
        let arguments = [&["-raft", &data], extra].concat();
        let mut agent = Agent::spawn_at(Kind::Folkmoot, name, Arc::new(Loopback::fresh()), &arguments);
        assert_eq!(agent.wait_for_exit().code(), Some(1));
        agent.wait_for_line(expected);
    };
    refusal("oslo", &[], "is in use by another agent");
    group_of(cluster.agent("oslo"));
    cluster.agents[0].kill();
    refusal("bern", &[], "belongs to node 'oslo', this is 'bern'");
    refusal("oslo", &["-cluster=north"], "belongs to no named cluster, this agent is of cluster 'north'");
    std::fs::remove_file(cluster.data("oslo").join("raft-0000000001.log")).unwrap();
    refusal("oslo", &[], "the log (raft-*.log) is missing or empty");
    std::fs::write(cluster.data("oslo").join("identity"), b"nonsense").unwrap();
    refusal("oslo", &[], "the file identity is damaged");
}
