//! The command line against Go agents: every capture of `vectors/rpc/cli` that a client command can produce, and what a
//! table cannot say: interrupts, agents that die, closed pipes.
//!
//! Not here: both command lines at agents of both kinds (`conformance/`), the `agent` command.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod captures;
#[path = "../support/mod.rs"]
mod support;
mod transcripts;

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use captures::{Capture, unordered, without_numbers};
use support::{Agent, Kind, Loopback, Turnstile, eventually};

/// 32 bytes, in base64: the key of the captured clusters.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Where the captures have their agents, with our network in place of theirs.
const ALPHA: Ipv4Addr = Ipv4Addr::new(127, 0, 27, 1);
const BETA: Ipv4Addr = Ipv4Addr::new(127, 0, 27, 2);
const SECURE: Ipv4Addr = Ipv4Addr::new(127, 0, 27, 3);

const TAGS_OF_ALPHA: [&str; 4] = ["-tag", "role=web", "-tag", "dc=east"];
const HANDLERS_OF_ALPHA: [&str; 6] = [
    "-event-handler",
    "query:load=echo 0.5",
    "-event-handler",
    r#"query:multi=printf "a\nb\n""#,
    "-event-handler",
    "query:fail=echo no; exit 3",
];
const HANDLERS_OF_BETA: [&str; 6] = [
    "-event-handler",
    "query:load=echo 1.5",
    "-event-handler",
    r#"query:multi=printf "c\nd""#,
    "-event-handler",
    "query:fail=echo no; exit 3",
];

/// Two Go agents that know one another.
struct Pair {
    alpha: Agent,
    beta: Agent,
}

impl Pair {
    fn start(of_alpha: &[&str], of_beta: &[&str]) -> Self {
        let at = |ip| Arc::new(Loopback::exactly(ip));
        // In this order everywhere, so that two tests never wait for one another.
        let (first, second) = (at(ALPHA), at(BETA));
        let alpha = Agent::start_at(Kind::Go, "alpha", first, &[&["-profile=local"], of_alpha].concat());
        let beta = Agent::start_at(Kind::Go, "beta", second, &[&["-profile=local"], of_beta].concat());
        assert_eq!(beta.rpc().join(&[&alpha.gossip()]), Ok(1));
        let pair = Self { alpha, beta };
        pair.wait_for_status_of_beta("alive");
        pair
    }

    /// As the captures have it: tags, handlers and one key.
    fn as_captured() -> Self {
        Self::of_profile("lan")
    }

    /// The profile decides how long a query lasts by itself: 3.2 s with `lan`, 8 s with `wan`, enough for a machine that
    /// stands still for some seconds.
    fn of_profile(profile: &str) -> Self {
        let more = ["-encrypt", KEY, "-profile", profile];
        let alpha = [&TAGS_OF_ALPHA[..], &HANDLERS_OF_ALPHA, &more].concat();
        Self::start(&alpha, &[&["-tag", "role=db"][..], &HANDLERS_OF_BETA, &more].concat())
    }

    fn wait_for_status_of_beta(&self, status: &str) {
        eventually(&format!("alpha sees beta {status}"), || {
            let statuses = self.alpha.rpc().statuses();
            if statuses.get("beta").is_some_and(|seen| seen == status) { Ok(()) } else { Err(format!("{statuses:?}")) }
        });
    }

    /// Runs the command of a capture with our program at alpha.
    fn run(&self, capture: &Capture) -> Output {
        let address = self.alpha.rpc_address().to_string();
        captures::run(capture, ours(&[]), &[("SERF_RPC_ADDR", &address)])
    }
}

fn ours(words: &[&str]) -> Command {
    Kind::Folkmoot.command(words)
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

#[test]
fn members_are_as_captured() {
    let pair = Pair::as_captured();
    for capture in captures::read("members.txt") {
        // The last one is of other agents; `force_leaves_are_as_captured` shows the same picture.
        if !capture.comment.starts_with("beta was killed") {
            capture.compare(&pair.run(&capture), unordered);
        }
    }
}

#[test]
fn events_and_joins_and_info_are_as_captured() {
    let pair = Pair::as_captured();
    for capture in captures::read("event.txt") {
        capture.compare(&pair.run(&capture), <[String]>::to_vec);
    }
    for capture in captures::read("join.txt") {
        // The words after the bullet are the agent's, and this one is a 0.9.4.
        let of_0_9_4 = |lines: &[String]| {
            let old = |line: &String| line.replace("failed to join 127.0.27.99:7946:", "Failed to join 127.0.27.99:");
            lines.iter().map(old).collect()
        };
        capture.compare(&pair.run(&capture), of_0_9_4);
    }
    for capture in captures::read("info.txt") {
        capture.compare(&pair.run(&capture), without_numbers);
    }
}

#[test]
fn queries_are_as_captured() {
    let pair = Pair::of_profile("wan");
    let turnstile = Turnstile::new(&[]);
    let captures = captures::read("query.txt");
    std::thread::scope(|scope| {
        for capture in captures.iter().filter(|capture| !capture.comment.starts_with("interrupted")) {
            scope.spawn(|| {
                // The replies to the handshake and to the query.
                let child = turnstile.pass(pair.alpha.rpc_address(), 2, |address| {
                    let address = address.to_string();
                    captures::command(capture, ours(&[]), &[("SERF_RPC_ADDR", &address)]).spawn().unwrap()
                });
                capture.compare(&child.wait_with_output().unwrap(), unordered);
            });
        }
    });
}

#[test]
fn an_interrupted_query_ends_at_once_without_totals() {
    let pair = Pair::as_captured();
    let captures = captures::read("query.txt");
    let capture = captures.iter().find(|capture| capture.comment.starts_with("interrupted")).unwrap();
    let mut running = Running::start(&capture.words, &pair.alpha);
    let seen: Vec<String> = (0..capture.stdout.len()).map(|_| running.line()).collect();
    running.interrupt();
    assert_eq!((running.rest(), running.exit()), (Vec::new(), Some(capture.exit)));
    assert_eq!(unordered(&seen), unordered(&capture.stdout));
}

#[test]
fn tags_and_round_trips_and_reachability_are_as_captured() {
    let pair = Pair::as_captured();
    for capture in captures::read("tags.txt") {
        capture.compare(&pair.run(&capture), unordered);
    }
    let named = |name: &str| pair.alpha.rpc().coordinate(name).ok_or_else(|| format!("no coordinate for {name}"));
    eventually("alpha knows both coordinates", || named("alpha").and(named("beta")));
    for capture in captures::read("rtt.txt") {
        capture.compare(&pair.run(&capture), without_numbers);
    }
    for capture in captures::read("reachability.txt") {
        if capture.comment.starts_with("beta is stopped") {
            pair.beta.signal(support::Signal::Stop);
        }
        capture.compare(&pair.run(&capture), |lines| unordered(&without_numbers(lines)));
    }
}

#[test]
fn keys_are_as_captured() {
    // The messages are the agents', and these are 0.9.4.
    let of_0_9_4 = |lines: &[String]| {
        let old =
            |line: &String| line.replace("  removing the", "  Removing the").replace("  requested", "  Requested");
        unordered(&lines.iter().map(old).collect::<Vec<_>>())
    };
    let (plain, encrypted): (Vec<_>, Vec<_>) =
        captures::read("keys.txt").into_iter().partition(|capture| capture.comment == "agents without encryption");
    assert!(!plain.is_empty() && !encrypted.is_empty());
    let pair = Pair::as_captured();
    encrypted.iter().for_each(|capture| capture.compare(&pair.run(capture), of_0_9_4));
    drop(pair);
    let pair = Pair::start(&[], &[]);
    plain.iter().for_each(|capture| capture.compare(&pair.run(capture), of_0_9_4));
}

#[test]
fn force_leaves_are_as_captured() {
    let mut pair = Pair::start(&[], &[]);
    for capture in captures::read("force-leave.txt") {
        if capture.comment == "before: beta failed" {
            pair.beta.kill();
            pair.wait_for_status_of_beta("failed");
        }
        capture.compare(&pair.run(&capture), <[String]>::to_vec);
    }
}

#[test]
fn leaves_are_as_captured() {
    let mut pair = Pair::start(&TAGS_OF_ALPHA, &["-tag", "role=db", "-tag", "n=1"]);
    for (index, capture) in captures::read("leave.txt").into_iter().enumerate() {
        if index == 1 {
            assert!(pair.alpha.wait_for_exit().success());
        }
        capture.compare(&pair.run(&capture), unordered);
    }
    assert!(pair.beta.wait_for_exit().success());
}

#[test]
fn connection_errors_are_as_captured() {
    let pair = Pair::as_captured();
    let directory = std::env::temp_dir().join(format!("folkmoot-cli-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("auth.json");
    std::fs::write(&file, r#"{"rpc_auth": "s3cret"}"#).unwrap();
    let config = format!("-config-file={}", file.display());
    let address = Arc::new(Loopback::exactly(SECURE));
    let _secure = Agent::start_at(Kind::Go, "secure", address, &["-profile=local", &config]);
    for capture in captures::read("connection-errors.txt") {
        capture.compare(&pair.run(&capture), <[String]>::to_vec);
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn version_and_top_level_are_as_captured() {
    // The first line of the version is the one that differs on purpose.
    let any_version = |lines: &[String]| {
        let replace = |line: &String| match line.strip_prefix("Folkmoot v").unwrap_or(line).starts_with("0.") {
            true => "VERSION".to_owned(),
            false => line.clone(),
        };
        lines.iter().map(replace).collect()
    };
    for capture in captures::read("version-and-top-level.txt") {
        capture.compare(&captures::run(&capture, ours(&[]), &[]), any_version);
    }
    for capture in captures::read("keygen.txt") {
        let output = captures::run(&capture, ours(&[]), &[]);
        capture.compare(&output, |lines| lines.iter().map(|line| line.len().to_string()).collect());
        assert_ne!(lines(&output.stdout), capture.stdout);
    }
}

#[test]
fn flags_before_the_command_are_explained_on_stderr() {
    let output = ours(&["-rpc-addr=127.0.27.1:7373", "members"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
    let seen = lines(&output.stderr);
    assert_eq!(seen[0], "Invalid flags before the subcommand. If these flags are for");
    assert_eq!(seen[1], "the subcommand, please put them after the subcommand.");
    assert!(seen[2].is_empty() && seen[3].starts_with("Usage: folkmoot members"), "{seen:?}");
}

#[test]
fn called_as_serf_it_calls_itself_serf() {
    let directory = std::env::temp_dir().join(format!("folkmoot-argv-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let link = directory.join("serf");
    std::os::unix::fs::symlink(Kind::Folkmoot.program(), &link).unwrap();
    let run = |word: &str| Command::new(&link).arg(word).output().unwrap();
    let version = lines(&run("version").stdout);
    assert!(version[0].starts_with("Serf v0.10.2 (Folkmoot "), "{version:?}");
    assert_eq!(version[1], "Agent Protocol: 5 (Understands back to: 2)");
    let list = lines(&run("nope").stderr);
    assert!(list[0].starts_with("Usage: serf "), "{list:?}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_closed_stdout_ends_a_command_without_a_panic() {
    let pair = Pair::start(&[], &[]);
    for words in ["members", "info", "monitor", "query -timeout=10s nobody", "members -format=xml", "nope", "leave -x"]
    {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let (nobody, stdout) = std::io::pipe().unwrap();
        drop(nobody);
        let mut running = Running::start_into(Kind::Folkmoot, &words, &pair.alpha, stdout.into());
        // The monitor and the query have something to print only when something happens.
        let exit = running.exit_while(|| pair.alpha.rpc().event("x", b"", false).unwrap());
        let complaint = running.stderr();
        assert!(exit.is_some_and(|code| code == 1 || code == 127), "{words:?}: {exit:?}");
        assert!(!complaint.contains("panicked"), "{words:?}: {complaint}");
    }
}

#[test]
fn both_monitors_show_the_same_events() {
    let pair = Pair::start(&TAGS_OF_ALPHA, &[]);
    let words = ["monitor", "-log-level=ERR"].map(str::to_owned);
    let mut monitors = [Kind::Go, Kind::Folkmoot].map(|kind| Running::start_with(kind, &words, &pair.alpha));
    // Fired until both monitors are there to see the first; what follows is seen by both.
    let started = |running: &mut Running| running.text().contains("Name: \"start\"");
    eventually("both monitors run", || {
        pair.alpha.rpc().event("start", b"", false).unwrap();
        if monitors.iter_mut().all(started) { Ok(()) } else { Err("not yet".to_owned()) }
    });
    let long = "p".repeat(200);
    for (name, payload) in [("v1", &b"\x01\xff"[..]), ("a\"b\né", b"x"), (&long, b"")] {
        pair.alpha.rpc().event(name, payload, false).unwrap();
    }
    pair.beta.rpc().set_tags(&[("n", "1")], &[]).unwrap();
    pair.alpha.rpc().event("end", b"", false).unwrap();
    let mut both_have = |part: &str| {
        eventually(part, || match monitors.iter_mut().all(|running| running.text().contains(part)) {
            true => Ok(()),
            false => Err(format!("{:#?}", monitors.each_mut().map(Running::text))),
        });
    };
    both_have("Name: \"end\"");
    both_have("\"n\":\"1\"");
    for running in &mut monitors {
        running.interrupt();
        assert_eq!(running.exit(), Some(0));
    }
    let [go, mine] = monitors.map(|mut running| blocks_after_start(&running.text()));
    assert_eq!(go, mine);
}

/// Event blocks with their fields sorted, but for `start` ones; log lines are left out.
fn blocks_after_start(text: &str) -> Vec<Vec<String>> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix('\t') {
            Some(field) if !blocks.is_empty() => blocks.last_mut().unwrap().push(field.to_owned()),
            _ if line == "Event Info:" => blocks.push(Vec::new()),
            _ => {}
        }
    }
    blocks.iter_mut().for_each(|block| block.sort());
    let is_start = |block: &Vec<String>| block.iter().any(|field| field == "Name: \"start\"");
    blocks.retain(|block| !is_start(block));
    blocks.sort();
    blocks
}

#[test]
fn a_monitor_says_when_its_agent_is_gone() {
    let mut pair = Pair::start(&[], &[]);
    let words = ["monitor"].map(str::to_owned);
    let mut running = Running::start(&words, &pair.alpha);
    assert!(running.line().contains("Serf agent starting"));
    pair.alpha.kill();
    let rest = running.rest();
    let end = ["", "Remote side ended the monitor! This usually means that the", "remote side has exited or crashed."];
    assert_eq!(rest[rest.len() - 3..], end);
    assert_eq!(running.exit(), Some(1));
}

#[test]
fn a_query_whose_agent_dies_ends_as_in_go() {
    let mut pair = Pair::start(&[], &[]);
    let words = ["query", "-timeout=60s", "x"].map(str::to_owned);
    // One after the other: Go's agent confuses queries that come at one moment (`support/turnstile.rs`).
    let mut queries = [Kind::Go, Kind::Folkmoot].map(|kind| {
        let mut running = Running::start_with(kind, &words, &pair.alpha);
        let seen = unordered(&[running.line(), running.line(), running.line()]);
        (running, seen)
    });
    assert_eq!(queries[0].1, queries[1].1);
    pair.alpha.kill();
    let ends = queries.each_mut().map(|(running, _)| (running.rest(), running.exit()));
    assert_eq!(ends[0], ends[1]);
}

/// A command that runs for a while.
struct Running {
    child: Child,
    seen: Arc<std::sync::Mutex<Vec<String>>>,
    lines: Option<std::sync::mpsc::Receiver<String>>,
}

impl Running {
    fn start(words: &[String], agent: &Agent) -> Self {
        Self::start_with(Kind::Folkmoot, words, agent)
    }

    fn start_with(kind: Kind, words: &[String], agent: &Agent) -> Self {
        Self::start_into(kind, words, agent, Stdio::piped())
    }

    fn start_into(kind: Kind, words: &[String], agent: &Agent, stdout: Stdio) -> Self {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = kind.command(&words);
        command.env("SERF_RPC_ADDR", agent.rpc_address().to_string()).stdout(stdout);
        Self { child: command.spawn().unwrap(), seen: Arc::default(), lines: None }
    }

    /// Reads in the background, from the first look at the output on.
    fn reading(&mut self) -> &std::sync::mpsc::Receiver<String> {
        let (child, seen) = (&mut self.child, &self.seen);
        self.lines.get_or_insert_with(|| {
            let (sender, lines) = std::sync::mpsc::channel();
            let (stdout, seen) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(seen));
            std::thread::spawn(move || {
                for line in stdout.lines().map_while(Result::ok) {
                    seen.lock().unwrap().push(line.clone());
                    // Nobody may be waiting for lines any more.
                    let _ = sender.send(line);
                }
            });
            lines
        })
    }

    fn line(&mut self) -> String {
        self.reading().recv_timeout(support::PATIENCE).unwrap()
    }

    /// The lines up to the end of the process.
    fn rest(&mut self) -> Vec<String> {
        let lines = self.reading();
        std::iter::from_fn(|| match lines.recv_timeout(support::PATIENCE) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the command does not end"),
        })
        .collect()
    }

    /// Everything so far.
    fn text(&mut self) -> String {
        self.reading();
        self.seen.lock().unwrap().join("\n")
    }

    fn interrupt(&self) {
        let kill = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn exit(&mut self) -> Option<i32> {
        self.exit_while(|| {})
    }

    /// Waits for the end and does something meanwhile.
    fn exit_while(&mut self, mut meanwhile: impl FnMut()) -> Option<i32> {
        let child = &mut self.child;
        let status = eventually("the command ends", || {
            meanwhile();
            child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        });
        status.code()
    }

    fn stderr(&mut self) -> String {
        std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
