//! Runs the rows of `command_rows.rs`: four times each, and all four have to be equal.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};

use super::cluster::{Cluster, View};
use super::command_rows::{self as rows, Row};
use super::normal::{Seen, Vary};
use super::support::{Agent, Directory, Kind, Loopback, Signal, Turnstile};

/// 32 bytes, in base64.
pub const KEY: &str = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";
/// What is too long for an event, a query, or a tag.
const LONG: usize = 1_300;
/// Runs of one command when what it shows is chance: Go's agent sends the records it should not (docs/compatibility.md, RPC
/// `query`; about one query in a hundred has them), or an answer to a query of one second came late on a busy machine.
const RUNS_MAX: usize = 4;

/// Both command lines; ours is called `serf`, as it is where it replaces Go's.
pub struct Programs {
    directory: Directory,
}

impl Programs {
    pub fn new() -> Self {
        let directory = Directory::fresh();
        std::os::unix::fs::symlink(Kind::Folkmoot.program(), directory.file("serf")).unwrap();
        Self { directory }
    }

    fn path(&self, kind: Kind) -> PathBuf {
        match kind {
            Kind::Go => PathBuf::from(kind.program()),
            Kind::Folkmoot => self.directory.file("serf"),
        }
    }

    /// The command of a row for the agent of `view`.
    pub fn start(&self, kind: Kind, view: &View<'_>, row: &Row) -> Child {
        self.start_at(view.agent().rpc_address(), kind, view, row)
    }

    /// As [`Self::start`], once the agent has answered the query before; `objects` as [`Turnstile::pass`] wants them.
    fn start_in_turn(&self, turnstile: &Turnstile, objects: usize, kind: Kind, view: &View<'_>, row: &Row) -> Child {
        turnstile.pass(view.agent().rpc_address(), objects, |address| self.start_at(address, kind, view, row))
    }

    fn start_at(&self, address: SocketAddr, kind: Kind, view: &View<'_>, row: &Row) -> Child {
        let address = address.to_string();
        let fill = |word: &str| {
            let word = word.replace("RPC_OF_SELF", &address).replace("LONG", &"x".repeat(LONG));
            view.concrete(&word.replace("FIRST_KEY", KEY).replace("SECOND_KEY", rows::SECOND_KEY))
        };
        let template = kind.command(&[]);
        let mut command = Command::new(self.path(kind));
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).args(row.words.iter().map(|word| fill(word)));
        for (name, _) in template.get_envs() {
            command.env_remove(name);
        }
        command.env("SERF_RPC_ADDR", &address);
        command.envs(row.variables.iter().map(|(name, value)| (name, fill(value))));
        command.spawn().unwrap()
    }

    /// Runs a row, four times, and compares. `Err` has all four.
    fn run(&self, views: &[View<'_>; 2], turnstile: &Turnstile, row: &Row) -> Result<(), String> {
        let runs = [(Kind::Go, 0), (Kind::Folkmoot, 0), (Kind::Go, 1), (Kind::Folkmoot, 1)];
        let start = |kind, agent: usize| match objects_until_asked(row) {
            Some(objects) => self.start_in_turn(turnstile, objects, kind, &views[agent], row),
            None => self.start(kind, &views[agent], row),
        };
        let started = runs.map(|(kind, agent)| {
            let child = start(kind, agent);
            // Changes are made one after the other; everything else at the same time.
            if row.changes { Started::Ended(child.wait_with_output().unwrap()) } else { Started::Runs(child) }
        });
        let mut seen = Vec::new();
        for ((kind, agent), started) in runs.into_iter().zip(started) {
            let mut output = match started {
                Started::Ended(output) => output,
                Started::Runs(child) => child.wait_with_output().unwrap(),
            };
            for _ in 1..RUNS_MAX {
                let text = String::from_utf8_lossy(&output.stdout);
                let is_fault_of_go = text.contains("from ''") && agent == 0;
                let is_late = text.contains("Received less acks than live nodes!");
                if !is_fault_of_go && !is_late {
                    break;
                }
                output = start(kind, agent).wait_with_output().unwrap();
            }
            seen.push(Seen::of(Some(views[agent]), &output, row.varies));
        }
        compare(row, seen)
    }

    /// Runs rows in order, queries that follow one another at the same time, and reports every difference at the end.
    pub fn run_all(&self, cluster: &Cluster, rows: &[Row]) {
        let turnstile = Turnstile::new(&cluster.agents);
        let groups = rows.chunk_by(|row, next| is_query(row) && is_query(next));
        let failures: Vec<String> = groups.flat_map(|group| self.run_group(cluster, &turnstile, group)).collect();
        assert!(failures.is_empty(), "{} of {} rows differ:\n{}", failures.len(), rows.len(), failures.join("\n"));
    }

    fn run_group(&self, cluster: &Cluster, turnstile: &Turnstile, group: &[Row]) -> Vec<String> {
        std::thread::scope(|scope| {
            let run = |row| scope.spawn(move || self.run_settled(cluster, turnstile, row));
            let runs: Vec<_> = group.iter().map(run).collect();
            runs.into_iter().filter_map(|run| run.join().unwrap().err()).collect()
        })
    }

    fn run_settled(&self, cluster: &Cluster, turnstile: &Turnstile, row: &Row) -> Result<(), String> {
        let result = self.run(&cluster.asked(), turnstile, row);
        if row.changes {
            cluster.eventually_equal(|_| true);
        }
        result
    }
}

fn is_query(row: &Row) -> bool {
    row.words.first() == Some(&"query")
}

/// Objects that the agent sends until a command's query is under way: one for the handshake, one for a key, two for the
/// members that `reachability` asks for first, one for the query itself.
fn objects_until_asked(row: &Row) -> Option<usize> {
    let keys = row.words.iter().filter(|word| word.starts_with("-rpc-auth")).count();
    match *row.words.first()? {
        "query" => Some(2 + keys),
        "reachability" => Some(4 + keys),
        _ => None,
    }
}

enum Started {
    Ended(std::process::Output),
    Runs(Child),
}

/// The order of the four runs.
const FOUR: [&str; 4] = ["Go CLI, Go agent", "our CLI, Go agent", "Go CLI, our agent", "our CLI, our agent"];

fn compare(row: &Row, mut seen: Vec<Seen>) -> Result<(), String> {
    if row.varies.contains(&Vary::More) {
        let known = [seen[0].stdout.clone(), seen[0].stderr.clone()].concat();
        for more in [1, 3] {
            seen[more].stdout.retain(|line| known.contains(line));
            seen[more].stderr.retain(|line| known.contains(line));
        }
    }
    if seen.iter().all(|other| *other == seen[0]) {
        return Ok(());
    }
    let mut report = format!("serf {} (variables {:?})\n", row.words.join(" "), row.variables);
    for (name, seen) in FOUR.iter().zip(&seen) {
        writeln!(report, "  {name}: exit {:?}", seen.exit).unwrap();
        seen.stdout.iter().for_each(|line| writeln!(report, "    | {line}").unwrap());
        seen.stderr.iter().for_each(|line| writeln!(report, "    ! {line}").unwrap());
    }
    Err(report)
}

#[test]
fn commands_at_a_cluster_without_encryption() {
    let mut cluster = Cluster::start(0, &[]);
    let programs = Programs::new();
    programs.run_all(&cluster, rows::PLAIN);
    let address = std::sync::Arc::new(Loopback::exactly(std::net::Ipv4Addr::new(127, 0, 49, 31)));
    let mut dead = Agent::start_at(Kind::Go, "dead", address, &["-profile=local"]);
    assert_eq!(dead.rpc().join(&[&cluster.agents[0].gossip()]), Ok(1));
    cluster.wait_for_status("dead", Some("alive"));
    // Whether it is known how far away the dead one was must not depend on who probed it before it died.
    cluster.wait_for_coordinate("dead");
    dead.signal(Signal::Kill);
    dead.wait_for_exit();
    cluster.wait_for_status("dead", Some("failed"));
    programs.run_all(&cluster, rows::ONE_FAILED);
    cluster.wait_for_status("dead", Some("left"));
    programs.run_all(&cluster, rows::ONE_LEFT);
    cluster.wait_for_status("dead", None);
    programs.run_all(&cluster, rows::ONE_PRUNED);
    leave(&mut cluster, &programs);
}

/// Each agent is told to leave by another command line, and nobody answers at its address then.
fn leave(cluster: &mut Cluster, programs: &Programs) {
    // In the order of `FOUR`.
    let mut seen: Vec<Vec<Seen>> = Vec::new();
    for (index, kind) in [(0, Kind::Go), (1, Kind::Folkmoot), (2, Kind::Go), (3, Kind::Folkmoot)] {
        let runs = rows::LEAVE.iter().map(|row| {
            let view = [cluster.asked(), cluster.others()][index % 2][index / 2];
            let output = programs.start(kind, &view, row).wait_with_output().unwrap();
            let seen = Seen::of(Some(view), &output, row.varies);
            if row.changes {
                assert_eq!(cluster.agents[index].wait_for_exit().code(), Some(0));
            }
            seen
        });
        seen.push(runs.collect());
    }
    for (at, row) in rows::LEAVE.iter().enumerate().rev() {
        let four = seen.iter_mut().map(|of_one| of_one.remove(at)).collect();
        compare(row, four).unwrap_or_else(|report| panic!("{report}"));
    }
}

#[test]
fn commands_at_a_cluster_with_encryption() {
    let cluster = Cluster::start(1, &[&format!("-encrypt={KEY}")]);
    Programs::new().run_all(&cluster, rows::ENCRYPTED);
}

/// Agents that ask for a key, and addresses where nobody answers.
#[test]
fn commands_at_agents_that_ask_for_a_key() {
    let agents =
        [Kind::Go, Kind::Go, Kind::under_test(), Kind::under_test()].into_iter().enumerate().map(|(at, kind)| {
            let ip = std::net::Ipv4Addr::new(127, 0, 49, 231 + u8::try_from(at).unwrap());
            Agent::start_secured(kind, "secure", std::sync::Arc::new(Loopback::exactly(ip)), "s3cret")
        });
    // Nobody has joined anybody.
    let cluster = Cluster { agents: agents.collect() };
    let programs = Programs::new();
    // Nobody else hears their queries.
    let turnstile = Turnstile::new(&[]);
    let failures: Vec<String> =
        rows::SECURED.iter().filter_map(|row| programs.run(&cluster.asked(), &turnstile, row).err()).collect();
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}
