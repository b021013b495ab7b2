//! The commands of coordination as a user types them, with the real program on a real group of one (`-dev`): output, JSON,
//! exit codes, what happens when a lock is lost, an agent dies, Ctrl-C comes, or the agent is HashiCorp's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::{Agent, Directory, Kind, eventually};

/// A group of one that serves.
fn group() -> Agent {
    let agent = Agent::start(Kind::Folkmoot, "alpha", &["-dev"]);
    eventually("the group serves", || match run(&agent, &["raft", "status"]) {
        (0, _) => Ok(()),
        (code, said) => Err(format!("raft status: {code}: {said}")),
    });
    agent
}

fn command(agent: &Agent, words: &[&str]) -> Command {
    let mut command = Kind::Folkmoot.command(words);
    command.env("SERF_RPC_ADDR", agent.rpc_address().to_string());
    command
}

fn ended(output: Output) -> (i32, String) {
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap_or(-1), said.trim_end().to_owned())
}

/// The exit code and what was printed.
fn run(agent: &Agent, words: &[&str]) -> (i32, String) {
    ended(command(agent, words).output().unwrap())
}

/// What was printed by a command that succeeds.
fn said(agent: &Agent, words: &[&str]) -> String {
    let (code, said) = run(agent, words);
    assert_eq!(code, 0, "{words:?}: {said}");
    said
}

fn json(agent: &Agent, words: &[&str]) -> Value {
    serde_json::from_str(&said(agent, words)).unwrap()
}

/// Runs a command with this stdin.
fn fed(agent: &Agent, words: &[&str], input: &[u8]) -> (i32, String) {
    let mut child = command(agent, words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    ended(child.wait_with_output().unwrap())
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill -s {name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// Waits for a file that a command makes, and reads it.
fn appeared(path: &std::path::Path) -> String {
    eventually("the file appears", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') { Ok(text) } else { Err(format!("{text:?}")) }
    })
}

#[test]
fn keys_are_set_read_listed_and_removed() {
    let agent = group();
    let first: u64 = said(&agent, &["kv", "put", "config/a", "one"]).parse().unwrap();
    assert_eq!(said(&agent, &["kv", "get", "config/a"]), "one");
    assert_eq!(fed(&agent, &["kv", "put", "config/b", "-"], b"\xff\n").0, 0);
    let entry = json(&agent, &["kv", "get", "-format=json", "config/a"]);
    assert_eq!((entry["key"].as_str(), entry["value"].as_str()), (Some("config/a"), Some("one")), "{entry}");
    assert_eq!((entry["revision"].as_u64(), entry["version"].as_u64()), (Some(first), Some(1)), "{entry}");
    let page = json(&agent, &["kv", "list", "-format=json", "config/"]);
    assert_eq!(page["entries"][1]["value"], "/wo=");
    assert_eq!(page["entries"][1]["encoding"], "base64");
    assert_eq!(said(&agent, &["kv", "list", "-keys", "-limit=1", "-after=config/a", "config/"]), "config/b");
    let (code, text) = run(&agent, &["kv", "cas", "-revision=1", "config/a", "two"]);
    assert_eq!((code, text), (2, format!("Key 'config/a' has revision {first}, not 1.")));
    let revision = format!("-revision={first}");
    let written = json(&agent, &["kv", "cas", &revision, "-format=json", "config/a", "two"]);
    assert_eq!(written["written"], true);
    assert_eq!(said(&agent, &["kv", "get", "-stale", "config/a"]), "two");
    assert_eq!(run(&agent, &["kv", "get", "nothing"]), (2, "There is no key 'nothing'.".to_owned()));
    assert_eq!(run(&agent, &["kv", "delete", "nothing"]).0, 2);
    assert_eq!(said(&agent, &["kv", "delete", "-prefix", "config/"]), "2 keys");
    let (code, text) = run(&agent, &["kv", "put", "", "x"]);
    assert!(code == 1 && text.starts_with("Error setting key ''"), "{code}: {text}");
}

#[test]
fn a_transaction_does_one_list_or_the_other() {
    let agent = group();
    said(&agent, &["kv", "put", "a", "1"]);
    let plan = br#"{"compares": [{"key": "a", "test": "value", "value": "1"}],
        "then": [{"do": "put", "key": "a", "value": "2"}, {"do": "get", "key": "a"}], "else": [{"do": "delete", "key": "a"}]}"#;
    let (code, first) = fed(&agent, &["kv", "txn", "-format=json", "-"], plan);
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((code, &first["succeeded"], &first["outcomes"][1]["entry"]["value"]), (0, &true.into(), &"2".into()));
    let (code, second) = fed(&agent, &["kv", "txn", "-"], plan);
    assert_eq!((code, second.as_str()), (2, "the compares did not hold\ndeleted"));
    let (code, text) = fed(&agent, &["kv", "txn", "-"], b"{");
    assert!(code == 1 && text.starts_with("Invalid transaction in '-': "), "{text}");
}

#[test]
fn sessions_carry_locks_and_keys() {
    let agent = group();
    let session = said(&agent, &["session", "create", "-ttl=60s"]);
    let listed = json(&agent, &["session", "list", "-format=json"]);
    assert_eq!((listed[0]["session"].to_string(), listed[0]["ttl_ms"].as_u64()), (session.clone(), Some(60_000)));
    let bound = format!("-session={session}");
    said(&agent, &["kv", "put", &bound, "here", "n1"]);
    let held = json(&agent, &["lock", "acquire", &bound, "-format=json", "x"]);
    assert!(held["token"].as_u64() > Some(0), "{held}");
    assert_eq!(run(&agent, &["lock", "acquire", "-wait=0s", "x"]), (2, "Lock 'x' is held by another.".to_owned()));
    let line = json(&agent, &["lock", "info", "-format=json", "x"]);
    assert_eq!((&line["holds"][0]["token"], &line["holds"][0]["session"]), (&held["token"], &held["session"]));
    said(&agent, &["session", "renew", &session]);
    said(&agent, &["session", "destroy", &session]);
    assert_eq!(run(&agent, &["kv", "get", "here"]).0, 2);
    assert_eq!(said(&agent, &["lock", "info", "x"]), "Lock 'x': nobody");
    let (code, text) = run(&agent, &["session", "renew", &session]);
    assert!(code == 1 && text.contains(&session) && text.contains("no-session"), "{text}");
}

#[test]
fn a_lock_is_waited_for_longer_than_its_session_lives() {
    let agent = group();
    let holder: Value = json(&agent, &["lock", "acquire", "-ttl=600s", "-format=json", "l"]);
    let waiting = command(&agent, &["lock", "acquire", "-ttl=8s", "-format=json", "l"]).spawn().unwrap();
    eventually("somebody waits", || {
        let line = json(&agent, &["lock", "info", "-format=json", "l"]);
        if line["waiting"].as_array().is_some_and(|waiting| !waiting.is_empty()) {
            Ok(())
        } else {
            Err(line.to_string())
        }
    });
    // Whoever waits for twelve seconds in vain has seen the other's session live on.
    let (code, text) = run(&agent, &["lock", "acquire", "-wait=12s", "l"]);
    assert_eq!(code, 2, "{text}");
    said(&agent, &["lock", "release", "l", &holder["hold"].to_string()]);
    let (code, text) = ended(waiting.wait_with_output().unwrap());
    assert_eq!(code, 0, "{text}");
    let held: Value = serde_json::from_str(&text).unwrap();
    assert!(held["token"].as_u64() > holder["token"].as_u64(), "{held}");
}

#[test]
fn a_command_runs_under_a_lock_and_its_exit_code_is_passed_on() {
    let agent = group();
    let script = "test $FOLKMOOT_LOCK_NAME = x && echo $FOLKMOOT_LOCK_TOKEN && exit 7";
    let tokens: Vec<u64> = (0..2)
        .map(|_| {
            let (code, token) = run(&agent, &["lock", "x", "--", "sh", "-c", script]);
            assert_eq!(code, 7, "{token}");
            token.parse().unwrap()
        })
        .collect();
    assert!(tokens[0] < tokens[1], "{tokens:?}");
    assert_eq!(said(&agent, &["lock", "info", "x"]), "Lock 'x': nobody");
    assert_eq!(run(&agent, &["lock", "x", "--", "/nonexistent"]).0, 127);
    // The words of the command are its own, whatever they look like.
    assert_eq!(said(&agent, &["lock", "x", "--", "echo", "-v", "--help"]), "-v --help");
    said(&agent, &["lock", "acquire", "x"]);
    let (code, text) = run(&agent, &["lock", "-wait=0s", "x", "--", "true"]);
    assert_eq!((code, text.as_str()), (125, "Lock 'x' is held by another."));
    assert_eq!(run(&agent, &["lock", "x"]).0, 1);
}

#[test]
fn a_command_ends_when_its_lock_is_lost_by_whatever_cause() {
    let mut agent = group();
    let directory = Directory::fresh();
    // The shell ignores SIGTERM; only SIGKILL ends it.
    let script = |file: &str| format!("trap '' TERM; echo $FOLKMOOT_LOCK_TOKEN > {file}; while :; do sleep 1; done");
    let start = |agent: &Agent, file: &std::path::Path| {
        let script = script(&file.display().to_string());
        let words = ["lock", "-ttl=9s", "-kill-after=100ms", "x", "--", "sh", "-c", &script];
        let child = command(agent, &words).spawn().unwrap();
        appeared(file);
        child
    };
    let taken_away = start(&agent, &directory.file("first"));
    let hold = json(&agent, &["lock", "info", "-format=json", "x"])["holds"][0]["hold"].to_string();
    said(&agent, &["lock", "release", "x", &hold]);
    let (code, text) = ended(taken_away.wait_with_output().unwrap());
    assert_eq!((code, text.as_str()), (124, "Lost lock 'x': the cluster says that it has ended."));
    let unreachable = start(&agent, &directory.file("second"));
    agent.kill();
    let (code, text) = ended(unreachable.wait_with_output().unwrap());
    assert_eq!((code, text.as_str()), (124, "Lost lock 'x': it could not be renewed in time."));
}

#[test]
fn an_interrupt_reaches_the_command_and_the_lock_is_given_back() {
    let agent = group();
    let directory = Directory::fresh();
    let file = directory.file("ready");
    let script = format!("trap 'echo got it; exit 9' INT; echo > {}; while :; do sleep 0.1; done", file.display());
    let child = command(&agent, &["lock", "x", "--", "sh", "-c", &script]).spawn().unwrap();
    appeared(&file);
    signal(&child, "INT");
    assert_eq!(ended(child.wait_with_output().unwrap()), (9, "got it".to_owned()));
    assert_eq!(said(&agent, &["lock", "info", "x"]), "Lock 'x': nobody");
    // And who only waits just goes.
    said(&agent, &["lock", "acquire", "x"]);
    let waiting = command(&agent, &["lock", "x", "--", "true"]).spawn().unwrap();
    eventually("it waits", || {
        let line = said(&agent, &["lock", "info", "x"]);
        if line.ends_with("1 call waiting") { Ok(()) } else { Err(line) }
    });
    signal(&waiting, "TERM");
    assert_eq!(ended(waiting.wait_with_output().unwrap()), (143, String::new()));
    eventually("nobody waits", || {
        let line = said(&agent, &["lock", "info", "x"]);
        if line.contains("waiting") { Err(line) } else { Ok(()) }
    });
}

#[test]
fn elections_have_one_leader_and_observers_see_each() {
    let agent = group();
    let directory = Directory::fresh();
    let file = directory.file("seen");
    let stdout = std::fs::File::create(&file).unwrap();
    let observer = command(&agent, &["elect", "observe", "-format=json", "e"]).stdout(stdout).spawn().unwrap();
    let words = ["elect", "campaign", "-value=n1", "e", "--", "sh", "-c", "echo $FOLKMOOT_ELECTION_TERM"];
    let term: u64 = said(&agent, &words).parse().unwrap();
    assert_eq!(said(&agent, &["elect", "info", "e"]), "Election 'e': nobody");
    let leader = command(&agent, &["elect", "campaign", "-value=n2", "e"]).spawn().unwrap();
    let info = eventually("n2 leads", || {
        let info = json(&agent, &["elect", "info", "-format=json", "e"]);
        if info["holds"][0]["value"] == "n2" { Ok(info) } else { Err(info.to_string()) }
    });
    let seen = || std::fs::read_to_string(&file).unwrap();
    eventually("the observer sees n2", || if seen().contains("\"n2\"") { Ok(()) } else { Err(seen()) });
    assert_eq!(run(&agent, &["elect", "campaign", "-wait=0s", "e", "--", "true"]).0, 125);
    said(&agent, &["elect", "resign", "e", &info["holds"][0]["hold"].to_string()]);
    assert_eq!(ended(leader.wait_with_output().unwrap()).0, 124);
    signal(&observer, "INT");
    let (code, said) = ended(observer.wait_with_output().unwrap());
    let seen: Vec<Value> = seen().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let terms: Vec<u64> = seen.iter().filter_map(|leader| leader["term"].as_u64()).collect();
    assert!(code == 0 && terms.is_sorted() && terms.last() > Some(&term), "{seen:?} {said}");
}

#[test]
fn items_are_put_claimed_and_ended_with_their_token() {
    let agent = group();
    let low = said(&agent, &["queue", "put", "q", "low"]);
    let after = format!("-after={low}");
    said(&agent, &["queue", "put", &after, "-format=json", "q", "later"]);
    said(&agent, &["queue", "put", "-priority=9", "-require=gpu", "q", "high"]);
    let claimed = json(&agent, &["queue", "claim", "-format=json", "-can=gpu", "-most=5", "q"]);
    let payloads: Vec<_> = claimed["items"].as_array().unwrap().iter().map(|item| &item["payload"]).collect();
    assert_eq!(payloads, ["high", "low"]);
    let numbers = |index: usize| {
        let item = &claimed["items"][index];
        (item["item"].to_string(), item["token"].to_string())
    };
    let ((high, high_token), (low, low_token)) = (numbers(0), numbers(1));
    assert_eq!(run(&agent, &["queue", "claim", "-wait=0s", "q"]).0, 2);
    said(&agent, &["queue", "heartbeat", "q", &low, &low_token]);
    said(&agent, &["queue", "complete", "q", &low, &low_token, "fine"]);
    let (code, text) = run(&agent, &["queue", "complete", "q", &low, &low_token]);
    assert_eq!((code, text), (124, format!("The claim of item {low} of queue 'q' with token {low_token} has ended.")));
    said(&agent, &["queue", "fail", "q", &high, &high_token, "broken"]);
    let listed = json(&agent, &["queue", "list", "-format=json", "-state=ready", "q"]);
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let history = json(&agent, &["queue", "history", "-format=json", "q"]);
    assert_eq!((&history[0]["result"], &history[0]["state"]), (&"fine".into(), &"completed".into()));
    let stats = json(&agent, &["queue", "stats", "-format=json", "q"]);
    assert_eq!((&stats["totals"]["completed"], &stats["totals"]["failed"]), (&1.into(), &1.into()));
    said(&agent, &["queue", "cancel", "q", &high]);
    assert!(said(&agent, &["queue", "stats", "q"]).contains("cancelled 1"));
}

#[test]
fn a_worker_runs_its_command_for_each_item() {
    let agent = group();
    for payload in ["good", "bad"] {
        said(&agent, &["queue", "put", "-max-attempts=1", "q", payload]);
    }
    let words = ["queue", "work", "-wait=0s", "q", "--", "sh", "-c", "test $(cat) = good && echo done"];
    let (code, text) = run(&agent, &words);
    assert!(code == 2 && text.contains("completed") && text.contains("failed"), "{code}: {text}");
    let history = json(&agent, &["queue", "history", "-format=json", "q"]);
    assert_eq!(history[0]["result"], "done\n", "{history}");
    let dead = json(&agent, &["queue", "dead", "-format=json", "q"]);
    assert_eq!((&dead[0]["payload"], &dead[0]["last_error"]), (&"bad".into(), &"exit code 1".into()), "{dead}");
    assert_eq!(said(&agent, &["queue", "redrive", "q"]), "1 item");
    assert_eq!(json(&agent, &["queue", "stats", "-format=json", "q"])["now"]["ready"], 1);
    // A worker that is told to go gives its item back.
    let directory = Directory::fresh();
    let file = directory.file("ready");
    let script = format!("echo > {}; while :; do sleep 0.1; done", file.display());
    let worker = command(&agent, &["queue", "work", "q", "--", "sh", "-c", &script]).spawn().unwrap();
    appeared(&file);
    signal(&worker, "TERM");
    assert_eq!(ended(worker.wait_with_output().unwrap()).0, 0);
    let stats = json(&agent, &["queue", "stats", "-format=json", "q"]);
    assert_eq!((&stats["now"]["ready"], &stats["totals"]["released"]), (&1.into(), &1.into()), "{stats}");
}

#[test]
fn a_watch_shows_every_change_or_runs_a_command_for_it() {
    let agent = group();
    let first = said(&agent, &["kv", "put", "w/a", "1"]);
    said(&agent, &["kv", "put", "other", "x"]);
    said(&agent, &["kv", "delete", "w/a"]);
    said(&agent, &["kv", "put", "w/b", "2"]);
    let after = format!("-after={first}");
    let directory = Directory::fresh();
    let file = directory.file("seen");
    let script = format!("cat >> {}; test $FOLKMOOT_WATCH_KEY != w/b || exit 5", file.display());
    let (code, text) = run(&agent, &["watch", &after, "w/", "--", "sh", "-c", &script]);
    assert!(code == 5 && text.starts_with("The command failed with exit code 5 at revision "), "{code}: {text}");
    let seen = std::fs::read_to_string(&file).unwrap();
    let seen: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let what: Vec<_> = seen.iter().map(|change| (&change["key"], &change["what"])).collect();
    assert_eq!(what, [(&"w/a".into(), &"ended".into()), (&"w/b".into(), &"put".into())]);
    assert_eq!((&seen[0]["cause"], &seen[1]["value"]), (&"removed".into(), &"2".into()));
    assert_eq!(run(&agent, &["watch", "-scope=nonsense"]).0, 1);
    // A key that no variable can hold ends nobody's watch.
    let (code, text) =
        fed(&agent, &["kv", "txn", "-"], br#"{"then": [{"do": "put", "key": "w/c\u0000d", "value": "3"}]}"#);
    assert_eq!(code, 0, "{text}");
    let script = "printf %s \"$FOLKMOOT_WATCH_KEY\"; exit 6";
    let (code, text) = run(&agent, &["watch", &after, "w/c", "--", "sh", "-c", script]);
    assert!(code == 6 && text.starts_with("w/c\u{fffd}d"), "{code}: {text}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_reason() {
    let agent = group();
    for (words, reason) in [
        (&["kv", "nope"][..], "'nope' is no verb; a verb has to come first.\n\nUsage: folkmoot kv VERB"),
        (&["queue", "-most=2", "claim", "q"], "'-most=2' is no verb; a verb has to come first."),
        (&["lock", "-ttl=299ms", "x", "--", "true"], "Invalid value for -ttl: it has to be at least 300ms."),
        (&["lock", "acquire", "-ttl=0", "x"], "Invalid value for -ttl: it has to be at least 300ms."),
        (&["elect", "campaign", "-ttl=1ms", "x"], "Invalid value for -ttl: it has to be at least 300ms."),
        (&["session", "create", "-ttl=0"], "Invalid value for -ttl: it has to be at least 300ms."),
        (&["queue", "claim", "-lease=1ms", "q"], "Invalid value for -lease: it has to be at least 300ms."),
        (&["queue", "claim", "-most=0", "q"], "Invalid value for -most: it has to be above 0."),
        (&["queue", "stats", "q"], "Error reading the numbers of queue 'q': missing: no such queue"),
        (&["raft", "demote", "alpha"], "is the only voter"),
    ] {
        let (code, said) = run(&agent, words);
        assert!(matches!(code, 1 | 125) && said.contains(reason), "{words:?}: {code}: {said}");
    }
}

#[test]
fn the_group_is_shown_backed_up_and_restored() {
    let agent = group();
    let state = json(&agent, &["raft", "status", "-format=json"]);
    assert_eq!(
        (&state["role"], &state["quorum"], &state["leader"]["name"]),
        (&"leader".into(), &"ok".into(), &"alpha".into())
    );
    let members = json(&agent, &["raft", "members", "-format=json"]);
    assert_eq!((&members[0]["name"], &members[0]["role"]), (&"alpha".into(), &"leader".into()), "{members}");
    said(&agent, &["kv", "put", "kept", "1"]);
    let directory = Directory::fresh();
    let file = directory.file("backup");
    let path = file.display().to_string();
    said(&agent, &["raft", "backup", &path]);
    said(&agent, &["kv", "put", "kept", "2"]);
    assert!(said(&agent, &["raft", "restore", &path]).starts_with("Restored"));
    assert_eq!(said(&agent, &["kv", "get", "kept"]), "1");
    let (code, text) = run(&agent, &["raft", "remove", "alpha"]);
    assert!(code == 1 && text.starts_with("Error at remove of member 'alpha'"), "{text}");
    std::fs::write(&file, "no backup").unwrap();
    assert_eq!(run(&agent, &["raft", "restore", &path]).0, 1);
    // Nothing is written meanwhile: a voter that is alone has its quorum all the same.
    for _ in 0..20 {
        assert_eq!(said(&agent, &["kv", "get", "kept"]), "1");
    }
    assert!(said(&agent, &["raft", "status"]).contains("quorum     ok"));
}

#[test]
fn who_has_no_coordination_says_so() {
    let mut plain = Agent::start(Kind::Folkmoot, "plain", &[]);
    let (code, text) = run(&plain, &["kv", "get", "a"]);
    assert!(code == 1 && text.starts_with("Error reading key 'a': no-group: "), "{text}");
    let go = Agent::start(Kind::Go, "go", &[]);
    for words in [&["kv", "get", "a"][..], &["lock", "info", "a"], &["raft", "status"], &["session", "create"]] {
        let (code, text) = run(&go, words);
        assert!(code == 1 && text.contains("unsupported: this agent has no coordination"), "{words:?}: {text}");
    }
    plain.kill();
    let (code, text) = run(&plain, &["kv", "get", "a"]);
    assert!(code == 1 && text.starts_with("Error connecting to Serf agent: dial tcp "), "{text}");
}
