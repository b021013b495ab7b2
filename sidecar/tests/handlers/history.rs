//! One history, recorded by one script under the Go agent and under ours: environment and standard input are the same.

use std::collections::BTreeMap;
use std::fs;

use super::scratch::{Scratch, query};
use super::support::{Agent, Kind, eventually};

/// Writes environment and standard input of each call into numbered files; the name of the last one says: whole.
const RECORDER: &str = r#"n=$(printf %04d $(ls "$1" | grep -c done))
env -0 | grep -z '^SERF_' > "$1/$n.env"
cat > "$1/$n.in"
mv "$1/$n.env" "$1/$n.done"
"#;

/// What one call saw.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    environment: BTreeMap<String, String>,
    stdin: Vec<u8>,
}

struct Recording {
    scratch: Scratch,
    calls: usize,
}

impl Recording {
    fn new() -> (Self, String) {
        let scratch = Scratch::new();
        let script = scratch.write("recorder.sh", RECORDER);
        let directory = scratch.path("calls");
        fs::create_dir(&directory).unwrap();
        (Self { scratch, calls: 0 }, format!("/bin/sh {script} {directory}"))
    }

    /// Waits for one more call and gives it.
    fn next(&mut self, what: &str) -> Call {
        let number = self.calls;
        self.calls += 1;
        let done = self.scratch.path(&format!("calls/{number:04}.done"));
        let environment = eventually(&format!("a call for {what}"), || fs::read(&done).map_err(|e| e.to_string()));
        let stdin = fs::read(self.scratch.path(&format!("calls/{number:04}.in"))).unwrap();
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let variable = |entry: &[u8]| {
            let at = entry.iter().position(|byte| *byte == b'=').unwrap();
            (text(&entry[..at]), text(&entry[at + 1..]))
        };
        let entries = environment.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        Call { environment: entries.map(variable).collect(), stdin }
    }
}

/// Without what may differ: addresses, and the order of members and tags.
fn normal(mut call: Call, agents: &[&Agent]) -> Call {
    if !call.environment["SERF_EVENT"].starts_with("member") {
        return call;
    }
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, address, role, tags] = fields[..] else { panic!("{line:?}") };
        let agent = agents.iter().find(|agent| agent.name == name).unwrap();
        assert_eq!(address, agent.address.ip().to_string());
        let mut tags: Vec<&str> = tags.split(',').collect();
        tags.sort_unstable();
        format!("{name}\tADDRESS\t{role}\t{}\n", tags.join(","))
    };
    let text = String::from_utf8(call.stdin).unwrap();
    assert!(text.ends_with('\n'), "{text:?}");
    let mut lines: Vec<String> = text.split_terminator('\n').map(line).collect();
    lines.sort();
    call.stdin = lines.concat().into_bytes();
    call
}

/// Payloads as fired and as the script reads them.
const PAYLOADS: [(&str, &[u8], &[u8]); 6] = [
    ("plain", b"v1", b"v1\n"),
    ("with newline", b"v1\n", b"v1\n"),
    ("none", b"", b""),
    ("bin\nary=x", b"\0\xff\nx", b"\0\xff\nx\n"),
    ("\u{e9}", b"\n", b"\n"),
    ("blanks", b" \t ", b" \t \n"),
];

fn history(kind: Kind) -> Vec<Call> {
    let (mut recording, script) = Recording::new();
    let quick = "-profile=local";
    let handler = format!("-event-handler={script}");
    let tags = ["-tag", "role=web", "-tag", "my-tag.\u{e9}=x y", "-tag", "lower=1"];
    let alpha = Agent::start(kind, "alpha", &[&tags[..], &[quick, &handler]].concat());
    let mut calls = vec![normal(recording.next("alpha's own join"), &[&alpha])];
    let mut beta = Agent::start(Kind::Go, "beta", &[quick, "-tag=role=d\tb", "-tag", "weird=a\tb=c\nd"]);
    let mut rpc = alpha.rpc();
    rpc.join(&[&beta.gossip()]).unwrap();
    let mut next = |what: &str, beta: &Agent| normal(recording.next(what), &[&alpha, beta]);
    calls.push(next("beta's join", &beta));
    for (name, payload, stdin) in PAYLOADS {
        rpc.event(name, payload, false).unwrap();
        let call = next(name, &beta);
        assert_eq!(call.stdin, stdin, "{name}");
        calls.push(call);
        rpc.query(query(name, payload, 200)).unwrap();
        rpc.answers();
        let call = next(name, &beta);
        assert_eq!(call.stdin, stdin, "query {name}");
        calls.push(call);
    }
    beta.rpc().set_tags(&[("role", "db2")], &["weird"]).unwrap();
    calls.push(next("beta's update", &beta));
    beta.kill();
    calls.push(next("beta's failure", &beta));
    rpc.force_leave("beta", false).unwrap();
    calls.push(next("beta's leave", &beta));
    rpc.force_leave("beta", true).unwrap();
    calls.push(next("beta's end", &beta));
    // Last, because Go repeats it from here on.
    rpc.set_tags(&[("role", "proxy"), ("a.b", "1")], &["lower"]).unwrap();
    calls.push(next("alpha's update", &beta));
    rpc.event("after", b"", false).unwrap();
    calls.push(next("an event with other tags", &beta));
    calls
}

#[test]
fn scripts_see_what_they_see_under_go() {
    let go = std::thread::spawn(|| history(Kind::Go));
    let ours = history(Kind::under_test());
    let go = go.join().unwrap();
    for (number, (ours, go)) in ours.iter().zip(&go).enumerate() {
        assert_eq!(ours, go, "call {number}");
    }
    assert_eq!(ours.len(), go.len());
    let kinds: Vec<&str> = ours.iter().map(|call| call.environment["SERF_EVENT"].as_str()).collect();
    for kind in ["member-join", "member-update", "member-failed", "member-leave", "member-reap", "user", "query"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

/// The handlers and what came of them in `vectors/rpc/cli/event-handlers.txt`.
struct Capture {
    handlers: Vec<String>,
    /// Title and expected lines.
    steps: Vec<(String, String)>,
}

fn capture() -> Capture {
    let text = fs::read_to_string("../vectors/rpc/cli/event-handlers.txt").unwrap();
    let (_, text) = text.split_once("# handlers, in this order:\n").unwrap();
    let (text, _) = text.split_once("# stats.event_handlers").unwrap();
    let handlers = text.lines().map_while(|line| line.strip_prefix("#   ")).map(str::to_owned).collect();
    let (_, text) = text.split_once("# start\n").unwrap();
    let text = format!("start\n{text}");
    let steps = text.split("\n# ").map(|step| {
        let (title, lines) = step.split_once('\n').unwrap();
        (title.to_owned(), format!("{}\n", lines.trim_end()))
    });
    Capture { handlers, steps: steps.collect() }
}

#[test]
fn handlers_are_chosen_and_ordered_as_captured_from_go() {
    let capture = capture();
    let scratch = Scratch::new();
    let out = scratch.path("out.txt");
    let handlers: Vec<String> =
        capture.handlers.iter().map(|handler| format!("-event-handler={}", handler.replace("out.txt", &out))).collect();
    let arguments: Vec<&str> = handlers.iter().map(String::as_str).collect();
    let agent = Agent::start(Kind::under_test(), "alpha", &arguments);
    let mut rpc = agent.rpc();
    let mut expected = String::new();
    assert_eq!(capture.steps.len(), 4);
    for (title, lines) in capture.steps {
        match title.as_str() {
            "start" => {}
            "user event deploy" => rpc.event("deploy", b"", false).unwrap(),
            "user event other" => rpc.event("other", b"", false).unwrap(),
            "query load" => rpc.query(query("load", b"", 200)).unwrap(),
            other => panic!("{other}"),
        }
        expected += &lines;
        scratch.wait_for("out.txt", &expected);
    }
}

#[test]
fn stats_show_handlers_as_captured_from_go() {
    let text = fs::read_to_string("../vectors/rpc/cli/event-handlers.txt").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("# stats.event_handlers: ")).unwrap();
    let scratch = Scratch::new();
    let out = scratch.path("out.txt");
    let expected: BTreeMap<String, String> = serde_json::from_str(&line.replace("out.txt", &out)).unwrap();
    let handler = |handler: &String| format!("-event-handler={}", handler.replace("out.txt", &out));
    let handlers: Vec<String> = capture().handlers.iter().map(handler).collect();
    let arguments: Vec<&str> = handlers.iter().map(String::as_str).collect();
    for kind in [Kind::Go, Kind::under_test()] {
        let agent = Agent::start(kind, "alpha", &arguments);
        let stats = agent.rpc().ask("stats", None).unwrap();
        let super::support::Value::Map(entries) = stats.get("event_handlers") else { panic!("{stats:?}") };
        let shown: BTreeMap<String, String> =
            entries.iter().map(|(key, value)| (key.as_text(), value.as_text())).collect();
        assert_eq!(shown, expected, "{kind:?}");
    }
}

#[test]
fn a_filter_that_is_none_stops_both_agents_with_the_same_words() {
    for handler in ["bogus=foo.sh", "user,FOO=1 ./x.sh", "member-join:x=y", "user, query=y"] {
        let start = |kind: Kind| {
            let output = kind.command(&["agent", "-bind=127.0.0.1", &format!("-event-handler={handler}")]).output();
            let output = output.unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let ours = start(Kind::under_test());
        assert_eq!(ours, start(Kind::Go), "{handler}");
        assert!(ours.1.starts_with("==> Invalid event script: Event '"), "{ours:?}");
    }
}
