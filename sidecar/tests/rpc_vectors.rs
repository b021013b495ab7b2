//! Every recorded RPC conversation, replayed against the agent under test and compared object by object.
//!
//! The agent is ours and is held to what Serf's newest source said; with `FOLKMOOT_TEST_AGENT=go` it is the installed
//! 0.9.4 and is held to what 0.9.4 said, which checks the replayer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever else the agent sends is a failure")]

mod support;
mod transcripts;

use std::collections::BTreeSet;
use std::time::Duration;

use support::rpc::Received;
use support::{Kind, Rpc, Value, log};
use transcripts::case::{Case, RECORDED_NET, Step, load};
use transcripts::replay::replay;
use transcripts::stage::Stage;

const WEB: &[&str] = &["-tag=role=web", "-tag=dc=east"];
const DB: &[&str] = &["-tag=role=db"];

/// Cases that are not replayed as they stand, with the reason; everything else is.
const NOT_REPLAYED: &[(&str, Whose, &str)] = &[
    ("force-leave-prune-alive", Whose::Both, "shows a fault of Go: the member lock is held for 6 s"),
    ("member-update-repeated", Whose::Both, "shows a fault of Go: updates are repeated at every flush"),
    ("member-leave-then-rejoin", Whose::Both, "needs both events within one coalescing window; see its `varies`"),
    ("query-spurious-zero-records", Whose::Both, "shows a fault of Go: empty records before `done`"),
    ("monitor-debug-backlog", Whose::Both, "which lines come depends on the agent; `backlog_is_replayed` checks it"),
    ("monitor-info-backlog", Whose::Both, "the same"),
    ("tags-file-sighup", Whose::Ours, "Go loses all tags at a reload; ours keeps them (tests/config.rs)"),
    ("tags-array", Whose::Ours, "Go misreads an array as the length of a map; ours closes at once"),
    ("force-leave-alive-peer", Whose::Ours, "Go tells nobody, so the peer stays `leaving`; ours lets it refute"),
];

/// Which agents a deliberate omission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Both,
    Ours,
}

fn not_replayed(case: &Case) -> bool {
    let applies = |whose: Whose| whose == Whose::Both || Kind::under_test() == Kind::Folkmoot;
    NOT_REPLAYED.iter().any(|(id, whose, _)| *id == case.id && applies(*whose))
}

/// Replays all cases of `file` that `wanted` wants, in order, and reports every difference at the end.
fn replay_file(stage: &mut Stage, file: &str, wanted: impl Fn(&Case) -> bool) -> usize {
    let mut failures = Vec::new();
    let mut replayed = 0;
    let cases = load(file, stage.kind, stage.net);
    for case in cases.iter().filter(|case| wanted(case) && !not_replayed(case)) {
        if let Err(why) = replay(stage, file, case) {
            failures.push(format!("{file} {}: {why}", case.id));
        }
        replayed += 1;
    }
    assert!(failures.is_empty(), "{} of {replayed} differ:\n{}", failures.len(), failures.join("\n\n"));
    replayed
}

fn pair() -> Stage {
    Stage::pair(Kind::under_test(), WEB, DB)
}

#[test]
fn handshake() {
    assert_eq!(replay_file(&mut pair(), "01-handshake.json", |_| true), 9);
}

#[test]
fn auth() {
    let kind = Kind::under_test();
    let secured = |case: &Case| case.id != "auth-not-configured";
    let mut stage = Stage::of_secured(kind, "s3cret");
    assert_eq!(replay_file(&mut stage, "02-auth.json", secured), 9);
    drop(stage);
    let mut open = Stage::single(kind, "open", 8, &[]);
    assert_eq!(replay_file(&mut open, "02-auth.json", |case| !secured(case)), 1);
}

#[test]
fn framing_and_bad_input() {
    assert_eq!(replay_file(&mut pair(), "03-framing-and-bad-input.json", |_| true), 34);
}

#[test]
fn members_stats_and_coordinates() {
    let mut stage = pair();
    assert_eq!(replay_file(&mut stage, "04-members.json", |_| true), 17);
    assert_eq!(replay_file(&mut stage, "05-stats-coordinates.json", |_| true), 3);
}

#[test]
fn events() {
    assert_eq!(replay_file(&mut pair(), "06-event.json", |_| true), 9);
    let kind = Kind::under_test();
    let ours = usize::from(kind == Kind::Folkmoot);
    let six = |case: &Case| case.id == "members-ipv6";
    let mut alone = Stage::single(kind, "alpha", 1, &[]);
    assert_eq!(replay_file(&mut alone, "06-event-extra.json", |case| !six(case)), 7 - ours);
    drop(alone);
    let mut ipv6 = Stage::single(kind, "six", 5, &["-bind=[::1]:17946"]);
    assert_eq!(replay_file(&mut ipv6, "06-event-extra.json", six), 1);
}

#[test]
fn join_and_force_leave() {
    let ours = usize::from(Kind::under_test() == Kind::Folkmoot);
    assert_eq!(replay_file(&mut pair(), "07-join-force-leave.json", |_| true), 17 - ours);
    assert_eq!(load("07-join-force-leave-prune.json", Kind::Go, RECORDED_NET).len(), 1, "all of it is a fault of Go");
}

/// The note "8 s later" of `force-leave-alive-peer`, as it should be: the peer hears of it and refutes.
#[test]
fn force_leave_of_the_only_other_agent_is_refuted() {
    if Kind::under_test() == Kind::Go {
        return;
    }
    let mut stage = pair();
    stage.rpc("alpha").force_leave("beta", false).unwrap();
    stage.wait_for_status("beta", "alive");
}

#[test]
fn tags() {
    let mut stage = pair();
    stage.client_of = 1;
    assert_eq!(replay_file(&mut stage, "08-tags.json", |_| true), 7);
}

#[test]
fn streams() {
    assert_eq!(replay_file(&mut pair(), "09-stream.json", |_| true), 22);
}

#[test]
fn streams_of_member_events() {
    let mut stage = pair();
    assert_eq!(replay_file(&mut stage, "10-stream-members.json", |_| true), 3);
    assert_eq!(
        load("10-stream-members-stale-update.json", Kind::Go, RECORDED_NET).len(),
        2,
        "both are named in NOT_REPLAYED"
    );
}

#[test]
fn monitor() {
    let mut stage = Stage::single(Kind::under_test(), "solo", 6, &["-log-level=debug"]);
    backlog_is_replayed(&stage);
    assert_eq!(replay_file(&mut stage, "11-monitor.json", |_| true), 8);
}

/// The recorded backlogs: every line of INFO or above that they show comes, in log form and of the level asked for.
fn backlog_is_replayed(stage: &Stage) {
    for (id, level, allowed) in [
        ("monitor-debug-backlog", "DEBUG", &["[DEBUG]", "[INFO]", "[WARN]", "[ERR]"][..]),
        ("monitor-info-backlog", "INFO", &["[INFO]", "[WARN]", "[ERR]"][..]),
    ] {
        let cases = load("11-monitor.json", stage.kind, stage.net);
        let case = cases.iter().find(|case| case.id == id).unwrap();
        let mut rpc = Rpc::connect(stage.agents[0].rpc_address());
        rpc.call("monitor", Some(Value::map([("LogLevel", Value::text(level))]))).unwrap();
        let mut lines = Vec::new();
        let shapes_of = |lines: &[String]| log::shapes(lines, &[], &["DEBUG", "INFO", "WARN", "ERR"]);
        let mut expected = recorded_lines(case);
        expected.retain(|line| !line.contains("[DEBUG]"));
        // What is expected may take its time; what else there is comes at once behind it.
        let lacks = |shapes: &BTreeSet<String>| {
            expected.iter().find(|line| !shapes.contains(&log::shape(line, &[]).unwrap())).cloned()
        };
        let limit = |lines: &[String]| match lacks(&shapes_of(lines)) {
            Some(_) => support::PATIENCE,
            None => Duration::from_millis(700),
        };
        while let Some(record) = rpc.record(limit(&lines)) {
            assert!(matches!(&record, Value::Map(entries) if entries.len() == 1), "{record:?}");
            lines.push(record.get("Log").as_text());
        }
        assert_eq!(rpc.receive(Duration::from_millis(10)), Received::Silence);
        rpc.finish();
        assert_eq!(
            lines.iter().filter(|line| !allowed.iter().any(|level| line.contains(level))).count(),
            0,
            "{lines:#?}"
        );
        assert_eq!(lacks(&shapes_of(&lines)), None, "{id}: {lines:#?}");
    }
}

fn recorded_lines(case: &Case) -> Vec<String> {
    let objects =
        case.steps.iter().filter_map(|step| if let Step::Expect(objects) = step { Some(objects) } else { None });
    let lines = objects.flatten().map(|object| object.get("Log")).filter(|line| **line != Value::Nil);
    lines.map(Value::as_text).collect()
}

#[test]
fn queries() {
    assert_eq!(replay_file(&mut unhurried_pair(), "12-query.json", |_| true), 21);
    assert_eq!(load("12-query-spurious.json", Kind::Go, RECORDED_NET).len(), 1, "all of it is a fault of Go");
}

/// As [`pair`], but queries last twice as long: enough for a machine that stands still for some seconds.
fn unhurried_pair() -> Stage {
    let lan = "-profile=lan";
    Stage::pair(Kind::under_test(), &[WEB, &[lan]].concat(), &[DB, &[lan]].concat())
}

#[test]
fn answers_to_queries() {
    assert_eq!(replay_file(&mut pair(), "13-stream-query-respond.json", |_| true), 5);
}

/// The recordings come from agents with keyring files. Ours gets its key by `-encrypt`, so what they note about the files
/// is compared with Go only.
#[test]
fn keys() {
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let kind = Kind::under_test();
    let key = |name: &str| {
        let file = format!("{}/{name}.keyring", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(&file, format!(r#"["{KEY}"]"#)).unwrap();
        format!("-keyring-file={file}")
    };
    let (alpha, beta) = (key("alpha"), key("beta"));
    let mut stage = Stage::pair(kind, &[&alpha], &[&beta]);
    assert_eq!(replay_file(&mut stage, "14-keys.json", |_| true), 15);
}

/// With two differences of ours (docs/compatibility.md): refused tags are not in the file, and a reload leaves tags and
/// file alone.
#[test]
fn tags_file() {
    let kind = Kind::under_test();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("solo.tags");
    let _ = std::fs::remove_file(&file);
    let flag = format!("-tags-file={}", file.display());
    let only = |id: &'static str| move |case: &Case| case.id == id;
    let mut stage = Stage::single(kind, "solo", 1, &[&flag]);
    assert_eq!(replay_file(&mut stage, "17-tags-file.json", only("tags-file-write")), 1);
    stage.end("solo", support::Signal::Interrupt);
    std::fs::write(&file, r#"{"a": "1"}"#).unwrap();
    let mut stage = Stage::single(kind, "solo", 1, &[&flag]);
    assert_eq!(replay_file(&mut stage, "17-tags-file.json", only("tags-file-restore")), 1);
    let ours = usize::from(kind == Kind::Folkmoot);
    assert_eq!(replay_file(&mut stage, "17-tags-file.json", only("tags-file-sighup")), 1 - ours);
    assert_eq!(load("17-tags-file.json", kind, RECORDED_NET).len(), 3);
}

#[test]
fn keys_without_encryption() {
    assert_eq!(replay_file(&mut pair(), "15-keys-no-encryption.json", |_| true), 4);
}

#[test]
fn leave() {
    let kind = Kind::under_test();
    let only = |id: &'static str| move |case: &Case| case.id == id;
    let mut alone = Stage::single(kind, "alpha", 1, &[]);
    assert_eq!(replay_file(&mut alone, "16-leave.json", only("leave-single")), 1);
    drop(alone);
    for id in ["leave-two", "leave-in-progress"] {
        let mut stage = Stage::pair(kind, &[], &[]);
        assert_eq!(replay_file(&mut stage, "16-leave.json", only(id)), 1);
    }
    assert_eq!(load("16-leave.json", kind, RECORDED_NET).len(), 3);
}

/// Whole sessions of Python clients; only keys and types are compared, because the values are those of another cluster.
#[test]
fn python_sessions() {
    let cases = load("19-python-clients.json", Kind::under_test(), RECORDED_NET);
    assert_eq!(cases.len(), 3);
    for case in &cases {
        let mut stage = Stage::pair(Kind::under_test(), &["-tag=role=web"], DB);
        assert_eq!(replay_file(&mut stage, "19-python-clients.json", |other| other.id == case.id), 1);
    }
}
