//! Scripts that fail, hang, say too much or are not there: beside the Go agent where it survives them, and alone where
//! it would stand still.

use std::time::{Duration, Instant};

use super::scratch::{Scratch, cli, first_answer, query};
use super::support::{Agent, Kind, Signal, eventually};

/// Log lines about handlers from `mark` on, without time, as far as both agents write them. On a busy machine any script
/// may be slow: that is told of only where `slow` says it has to be.
fn told(agent: &Agent, mark: usize, slow: bool) -> Vec<String> {
    let about = ["script output", "Error invoking", "Failed to respond"];
    let lines = agent.lines().split_off(mark);
    let lines = lines
        .iter()
        .filter(|line| about.iter().any(|part| line.contains(part)) || (slow && line.contains("slow, execution")));
    lines.map(|line| line[line.find('[').unwrap()..].to_owned()).collect()
}

/// Waits until the log says `wanted`, and nothing else, of handlers.
fn wait_for_told(agent: &Agent, mark: usize, wanted: &[&str]) {
    eventually(&format!("the log of {:?} says it", agent.kind), || {
        let told = told(agent, mark, wanted.iter().any(|line| line.contains("slow, execution")));
        if told == wanted { Ok(()) } else { Err(format!("{told:#?}")) }
    });
}

/// User events: name, script, log.
const EVENTS: [(&str, &str, &[&str]); 7] = [
    (
        "fail",
        "echo oops >&2; exit 7",
        &[
            "[DEBUG] agent: Event 'user' script output: oops",
            "[ERR] agent: Error invoking script 'echo oops >&2; exit 7': exit status 7",
        ],
    ),
    (
        "nosuch",
        "/no/such/prog",
        &[
            "[DEBUG] agent: Event 'user' script output: /bin/sh: 1: /no/such/prog: not found",
            "[ERR] agent: Error invoking script '/no/such/prog': exit status 127",
        ],
    ),
    (
        "kill",
        "kill -9 $$",
        &[
            "[DEBUG] agent: Event 'user' script output: ",
            "[ERR] agent: Error invoking script 'kill -9 $$': signal: killed",
        ],
    ),
    ("deaf", "exec 0<&-; echo ok", &["[DEBUG] agent: Event 'user' script output: ok"]),
    (
        "background",
        "(sleep 1.5) & echo started",
        &[
            "[WARN] agent: Script '(sleep 1.5) & echo started' slow, execution exceeding 1s",
            "[DEBUG] agent: Event 'user' script output: started",
        ],
    ),
    (
        "lines",
        "echo one; echo two >&2; echo three",
        // The output begins on the line that counts.
        &["[DEBUG] agent: Event 'user' script output: one"],
    ),
    ("quiet", "cat > /dev/null", &["[DEBUG] agent: Event 'user' script output: "]),
];

/// Queries: name, scripts, answer, log.
type QueryCase = (&'static str, &'static [&'static str], Option<&'static [u8]>, &'static [&'static str]);
const QUERIES: [QueryCase; 6] = [
    (
        "two",
        &["echo first", "echo second"],
        Some(b"first\n"),
        &[
            "[DEBUG] agent: Event 'query' script output: first",
            "[DEBUG] agent: Event 'query' script output: second",
            "[WARN] agent: Failed to respond to query 'query: two': failed to respond to key query: response already sent",
        ],
    ),
    (
        "stderr",
        &["echo on-stderr >&2"],
        Some(b"on-stderr\n"),
        &["[DEBUG] agent: Event 'query' script output: on-stderr"],
    ),
    (
        "fail",
        &["echo text; exit 1"],
        None,
        &[
            "[DEBUG] agent: Event 'query' script output: text",
            "[ERR] agent: Error invoking script 'echo text; exit 1': exit status 1",
        ],
    ),
    ("empty", &["true"], None, &["[DEBUG] agent: Event 'query' script output: "]),
    ("echo", &["cat"], Some(b"in\n"), &["[DEBUG] agent: Event 'query' script output: in"]),
    (
        "late",
        &["sleep 0.8; echo late"],
        None,
        &[
            "[DEBUG] agent: Event 'query' script output: late",
            "[WARN] agent: Failed to respond to query 'query: late': failed to respond to key query: response is past the \
             deadline",
        ],
    ),
];

#[test]
fn scripts_that_misbehave_are_told_of_in_gos_words() {
    let mut arguments = vec!["-log-level=debug".to_owned()];
    arguments.extend(EVENTS.iter().map(|(name, script, _)| format!("-event-handler=user:{name}={script}")));
    for (name, scripts, ..) in QUERIES {
        arguments.extend(scripts.iter().map(|script| format!("-event-handler=query:{name}={script}")));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for kind in [Kind::Go, Kind::under_test()] {
        let agent = Agent::start(kind, "alpha", &arguments);
        let mut rpc = agent.rpc();
        for (name, _, log) in EVENTS {
            let mark = agent.mark();
            rpc.event(name, b"", false).unwrap();
            wait_for_told(&agent, mark, log);
        }
        for (name, _, answer, log) in QUERIES {
            let mark = agent.mark();
            if let Some(answer) = answer {
                assert_eq!(first_answer(&agent, name, b"in"), answer, "{kind:?} {name}");
            } else {
                // Over before the script `late` answers.
                rpc.query(query(name, b"in", 500)).unwrap();
                assert_eq!(rpc.answers().responses, [], "{kind:?} {name}");
            }
            wait_for_told(&agent, mark, log);
        }
    }
}

#[test]
fn huge_output_keeps_its_end_and_is_told_of() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo line-$i-01234567890123456789; i=$((i+1)); done";
    let handlers = [format!("-event-handler=user={script}"), format!("-event-handler=query={script}")];
    let agent = Agent::start(Kind::Folkmoot, "alpha", &["-log-level=debug", &handlers[0], &handlers[1]]);
    let mut rpc = agent.rpc();
    rpc.event("big", b"", false).unwrap();
    agent.wait_for_line("of output, truncated to 8192");
    agent.wait_for_line("line-1999-01234567890123456789");
    assert!(!agent.text().contains("line-1000-0"), "only the end is kept");
    rpc.query(query("big", b"", 500)).unwrap();
    assert_eq!(rpc.answers().responses, []);
    agent.wait_for_line("'query: big': failed to respond to key query: response exceeds limit of 1024 bytes");
}

#[test]
fn a_hanging_script_stops_neither_other_scripts_nor_rpc_nor_the_agent() {
    let scratch = Scratch::new();
    let hanging = scratch.hanging();
    let out = scratch.path("out");
    let handlers = [format!("-event-handler=user={hanging}"), format!("-event-handler=user=cat >> {out}")];
    let mut agent = Agent::start(Kind::Folkmoot, "alpha", &[&handlers[0], &handlers[1]]);
    let mut rpc = agent.rpc();
    for number in 0..50 {
        rpc.event("x", format!("{number}").as_bytes(), false).unwrap();
    }
    let expected: String = (0..50).map(|number| format!("{number}\n")).collect();
    scratch.wait_for("out", &expected);
    assert_eq!(rpc.statuses().len(), 1);
    // Another query of the same agent is answered meanwhile, and it still ends.
    let begun = Instant::now();
    agent.signal(Signal::Interrupt);
    assert_eq!(agent.wait_for_exit().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn a_script_catches_up_in_order_once_it_has_stopped_hanging() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let script = format!("-event-handler=user={}; cat >> {out}", scratch.hanging());
    let agent = Agent::start(Kind::under_test(), "alpha", &[&script]);
    let mut rpc = agent.rpc();
    for number in 0..20 {
        rpc.event("x", format!("{number}").as_bytes(), false).unwrap();
    }
    agent.wait_for_line("slow, execution exceeding 1s");
    assert_eq!(scratch.read("out"), "");
    scratch.remove("held");
    let expected: String = (0..20).map(|number| format!("{number}\n")).collect();
    scratch.wait_for("out", &expected);
}

#[test]
fn a_script_that_outlasts_its_time_is_killed_with_what_it_started() {
    let scratch = Scratch::new();
    let (held, child) = (scratch.write("held", ""), scratch.path("child"));
    // The child keeps the output open, and would outlive a kill of the shell alone.
    let script = format!("sh -c 'echo $$ > {child}; while [ -e {held} ]; do sleep 0.05; done'; echo after");
    let handler = format!("-event-handler=user={script}");
    let agent = Agent::start(Kind::Folkmoot, "alpha", &[&handler, "-event-handler-timeout=1500ms"]);
    agent.rpc().event("x", b"", false).unwrap();
    agent.wait_for_line("killed: it ran for 1.5s");
    let child = scratch.read("child");
    let status = format!("/proc/{}/status", child.trim());
    eventually("the child is gone", || {
        let state = std::fs::read_to_string(&status).unwrap_or_default();
        if state.is_empty() || state.contains("State:\tZ") { Ok(()) } else { Err(state) }
    });
}

#[test]
fn a_script_that_runs_outlives_the_agent_as_under_go() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let handler = format!("-event-handler=user=echo begun >> {out}; {}; echo ended >> {out}", scratch.hanging());
    let mut agent = Agent::start(Kind::under_test(), "alpha", &[&handler]);
    agent.rpc().event("x", b"", false).unwrap();
    scratch.wait_for("out", "begun\n");
    agent.signal(Signal::Terminate);
    agent.wait_for_exit();
    scratch.remove("held");
    scratch.wait_for("out", "begun\nended\n");
}

#[test]
fn our_own_leaving_is_told_before_the_agent_ends() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let handler = format!("-event-handler=member-leave=cat >> {out}");
    let mut agent = Agent::start(Kind::Folkmoot, "alpha", &["-tag=role=web", &handler]);
    agent.wait_for_line("Received event: member-join");
    agent.signal(Signal::Interrupt);
    assert_eq!(agent.wait_for_exit().code(), Some(0));
    assert_eq!(scratch.read("out"), format!("alpha\t{}\tweb\trole=web\n", agent.address.ip()));
}

/// Events that can wait for one handler (`handlers/limits.rs`), and the one that runs.
const ROOM: usize = 4096 + 1;

#[test]
fn a_flood_for_a_slow_script_is_dropped_counted_and_logged_while_rpc_answers() {
    let scratch = Scratch::new();
    let slow = format!("user={}", scratch.hanging());
    let agent = Agent::start(Kind::Folkmoot, "alpha", &["-event-handler", &slow]);
    let mut rpc = agent.rpc();
    rpc.event("flood", b"", false).unwrap();
    agent.wait_for_line("slow, execution exceeding 1s");
    // The script hangs as long as the test wants: whoever is answered did not wait for it.
    for number in 1..ROOM + 300 {
        rpc.event("flood", b"", false).unwrap();
        if number % 100 == 0 {
            rpc.statuses();
        }
    }
    agent.wait_for_line(&format!("[WARN] agent: Dropping events for handler '{slow}': too many wait already"));
    let address = format!("-rpc-addr={}", agent.rpc_address());
    let expected = format!("config  runs=0  failed=0  dropped=300  waiting={ROOM}  {slow}\n");
    eventually("what was dropped is counted", || {
        let listed = cli(Kind::Folkmoot, true, &["handlers", "-list", &address]);
        if listed == expected { Ok(()) } else { Err(listed) }
    });
    assert_eq!(agent.text().matches("Dropping events").count(), 1, "told once");
    scratch.remove("held");
    eventually("events find room again", || {
        rpc.event("flood", b"", false).unwrap();
        if agent.text().contains("find room again") { Ok(()) } else { Err("they do not".to_owned()) }
    });
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keys_of_the_agent_stay_out_of_the_environment_of_scripts() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let handler = format!("-event-handler=user=env | grep ^FOLKMOOT_ > {out}; echo end >> {out}");
    let address = std::sync::Arc::new(super::support::Loopback::fresh());
    let mut command = Kind::Folkmoot.command(&["agent", "-node=alpha", &handler]);
    command.arg(format!("-bind={}", address.gossip())).arg(format!("-rpc-addr={}", address.rpc()));
    command.env("FOLKMOOT_ENCRYPT", "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=").env("FOLKMOOT_LOG_LEVEL", "info");
    command.env_remove("FOLKMOOT_TEST_AGENT");
    let _child = Ended(command.spawn().unwrap());
    super::support::Rpc::connect(address.rpc()).event("x", b"", false).unwrap();
    scratch.wait_for("out", "FOLKMOOT_LOG_LEVEL=info\nend\n");
}
