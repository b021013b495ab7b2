//! Configuration of whole agents: the same files given to the Go agent and to ours, what is said of bad ones, reload,
//! the tags file.
//!
//! Complaints are held to Serf's newest source (`vectors/rpc/cli/agent.txt`). The installed 0.9.4 words some in another
//! layout, which is taken out before the two are compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use support::{Agent, Directory, Kind, Loopback, Signal, eventually};

const BOTH: [Kind; 2] = [Kind::Go, Kind::Folkmoot];
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Exit code and output of an agent that does not start, run inside `directory`.
fn refused(kind: Kind, directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let address = Loopback::fresh();
    let own = [format!("-bind={}", address.ip()), format!("-rpc-addr={}", address.rpc())];
    let all = [&["agent", "-node=alpha", &own[0], &own[1]], arguments].concat();
    let mut child = kind.command(&all).current_dir(directory).spawn().unwrap();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(&format!("{kind:?} ends with {arguments:?}"), || {
            child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        })
    }));
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let code = ended.map_or_else(|panic| std::panic::resume_unwind(panic), |status| status.code());
    (code, String::from_utf8(output.stdout).unwrap())
}

/// What is said, without the layout in which 0.9.4 and the newest source differ.
fn essence(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .replace(" error(s) decoding:", " decoding failed due to the following error(s):")
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_start_matches("* ").split(", value: '").next().unwrap().to_owned())
        .map(|line| line.replace(": 1 decoding", ": decoding").replace(": 2 decoding", ": decoding"))
        .collect();
    // 0.9.4 sorts its complaints.
    lines[1..].sort();
    lines
}

/// Both refuse `file` with this content, in these words after `Error decoding 'NAME': `.
fn compare_file(directory: &Path, content: &str, expected: &str) {
    std::fs::write(directory.join("x.json"), content).unwrap();
    let expected = format!("==> Error decoding 'x.json': {expected}\n");
    let (code, ours) = refused(Kind::Folkmoot, directory, &["-config-file=x.json"]);
    assert_eq!((code, ours.as_str()), (Some(1), expected.as_str()), "{content}");
    let (code, go) = refused(Kind::Go, directory, &["-config-file=x.json"]);
    assert_eq!((code, essence(&go)), (Some(1), essence(&ours)), "{content}");
}

#[test]
fn bad_files_are_refused_in_gos_words() {
    let directory = Directory::fresh();
    for (content, expected) in [
        ("", "EOF"),
        ("{\"node_name\": \"a\"", "unexpected EOF"),
        ("{'a': 1}", r"invalid character '\'' looking for beginning of object key string"),
        ("{\"a\": tru}", "invalid character '}' in literal true (expecting 'e')"),
        ("{\"reconnect_interval\": \"5\"}", "time: missing unit in duration \"5\""),
        ("{\"retry_interval\": \"1d\"}", "time: unknown unit \"d\" in duration \"1d\""),
    ] {
        compare_file(directory.path(), content, expected);
    }
}

#[test]
fn wrong_types_and_unknown_keys_are_refused_in_gos_words() {
    let directory = Directory::fresh();
    for (content, expected) in [
        (r#"{"zzz": 1, "nodename": 2}"#, "'' has invalid keys: nodename, zzz"),
        (r#"{"log_level": 5}"#, "'log_level' expected type 'string', got unconvertible type 'float64'"),
        (r#"{"replay_on_join": "true"}"#, "'replay_on_join' expected type 'bool', got unconvertible type 'string'"),
        (r#"{"protocol": "5"}"#, "'protocol' expected type 'int', got unconvertible type 'string'"),
        (r#"{"tags": {"a": 5}}"#, "'tags[a]' expected type 'string', got unconvertible type 'float64'"),
        (
            r#"{"reconnect_interval": 5}"#,
            "'reconnect_interval' expected type 'string', got unconvertible type 'float64'",
        ),
        (
            r#"{"node_name": 5, "rpc_addr": 6}"#,
            "'node_name' expected type 'string', got unconvertible type 'float64'\n\
             'rpc_addr' expected type 'string', got unconvertible type 'float64'",
        ),
    ] {
        let expected = format!("decoding failed due to the following error(s):\n\n{expected}");
        compare_file(directory.path(), content, &expected);
    }
}

#[test]
fn faults_of_paths_keyrings_and_tags_files_are_told_as_by_go() {
    let directory = Directory::fresh();
    let write = |name: &str, content: &str| std::fs::write(directory.path().join(name), content).unwrap();
    write("keyring", &format!("[\"{KEY}\"]"));
    write("none", "[]");
    write("object", "{}");
    write("zzz", "[\"zzz\"]");
    write("short", "[\"AAAA\"]");
    write("cut", "[\"AAAA\"");
    write("list", "[\"a\"]");
    write("limit.json", r#"{"user_event_size_limit": 9217}"#);
    let setup = "==> Starting Serf agent...\n==> Failed to setup the Serf agent: ";
    let encrypt = format!("-encrypt={KEY}");
    for (arguments, before, expected) in [
        (&["-config-file=no"][..], "==> ", "Error reading 'no': open no: no such file or directory"),
        (&["-config-dir=no"], "==> ", "Error reading 'no': open no: no such file or directory"),
        (&["-keyring-file=no"], setup, "stat no: no such file or directory"),
        (&["-keyring-file=keyring", &encrypt], setup, "Encryption key not allowed while using a keyring"),
        (&["-keyring-file=none"], setup, "Keyring file contains no keys"),
        (&["-keyring-file=cut"], setup, "Failed to decode keyring file: unexpected end of JSON input"),
        (
            &["-keyring-file=object"],
            setup,
            "Failed to decode keyring file: json: cannot unmarshal object into Go value of type []string",
        ),
        (&["-keyring-file=zzz"], setup, "Failed to decode key from keyring: illegal base64 data at input byte 0"),
        (&["-keyring-file=short"], setup, "Failed to restore keyring: key size must be 16, 24 or 32 bytes"),
        (&["-tags-file=none", "-tag=a=1"], setup, "Tags config not allowed while using tag files"),
        (
            &["-tags-file=list"],
            setup,
            "Failed to decode tags file: json: cannot unmarshal array into Go value of type map[string]string",
        ),
        (&["-tags-file=cut"], setup, "Failed to decode tags file: unexpected end of JSON input"),
        (
            &["-config-file=limit.json"],
            "==> Starting Serf agent...\n==> Failed to start the Serf agent: Error creating Serf: ",
            "user event size limit exceeds limit of 9216 bytes",
        ),
    ] {
        let told = refused(Kind::Folkmoot, directory.path(), arguments);
        assert_eq!(told, (Some(1), format!("{before}{expected}\n")), "{arguments:?}");
        assert_eq!(refused(Kind::Go, directory.path(), arguments), told, "{arguments:?}");
    }
}

#[test]
fn flags_beat_variables_and_variables_beat_files() {
    let directory = Directory::fresh();
    std::fs::write(directory.path().join("c.json"), r#"{"profile": "file"}"#).unwrap();
    let told = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Kind::Folkmoot.command(&[&["agent"], arguments].concat());
        let output = command.current_dir(directory.path()).envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (file, variable) = (("FOLKMOOT_CONFIG_FILE", "c.json"), ("FOLKMOOT_PROFILE", "variable"));
    assert_eq!(told(&[file], &[]), "==> Unknown profile: file\n");
    assert_eq!(told(&[file, variable], &["-config-file=c.json"]), "==> Unknown profile: variable\n");
    assert_eq!(told(&[file, variable], &["-profile=flag"]), "==> Unknown profile: flag\n");
    let negative = [("FOLKMOOT_QUERY_SIZE_LIMIT", "-1")];
    assert_eq!(told(&negative, &[]), "==> Invalid query_size_limit -1: it has to be positive\n");
}

/// Banner and tags of an agent with these arguments, without addresses.
fn seen(kind: Kind, arguments: &[&str]) -> (Vec<String>, BTreeMap<String, String>) {
    let agent = Agent::start(kind, "flag", arguments);
    agent.wait_for_line("Log data will now stream in");
    let address = agent.address.ip().to_string();
    let banner = agent.lines().into_iter().filter(|line| line.starts_with("==> ") || line.contains(": "));
    let banner = banner.filter(|line| !line.contains('[')).map(|line| line.replace(&address, "IP")).collect();
    let mut rpc = agent.rpc();
    (banner, rpc.members().remove(0).tags)
}

#[test]
fn the_same_files_give_the_same_agent() {
    let directory = Directory::fresh();
    let conf = directory.path().join("conf");
    std::fs::create_dir(&conf).unwrap();
    std::fs::create_dir(conf.join("sub.json")).unwrap();
    let write = |name: &str, content: &str| std::fs::write(directory.path().join(name), content).unwrap();
    write("conf/b.json", r#"{"tags": {"x": "b", "y": "b"}, "retry_interval": "5ms", "PROFILE": "wan"}"#);
    write("conf/a.json", r#"{"tags": {"x": "a", "z": "a"}, "protocol": 4.7, "role": "web", "log_level": null}"#);
    write("conf/ignored", "broken");
    write("first.json", r#"{"profile": "local", "node_name": "first", "profile": "lan"} and more"#);
    let first = format!("-config-file={}", directory.path().join("first.json").display());
    let conf = format!("-config-dir={}", conf.display());
    for arguments in [&[first.as_str(), &conf, "-tag=y=flag"][..], &[&conf, &first, "-profile="], &[&first]] {
        assert_eq!(seen(Kind::Folkmoot, arguments), seen(Kind::Go, arguments), "{arguments:?}");
    }
    let (banner, tags) = seen(Kind::Folkmoot, &[&first, &conf, "-tag=y=flag"]);
    assert!(banner.iter().any(|line| line.ends_with("Profile: wan")), "{banner:?}");
    assert!(banner.iter().any(|line| line == "==> Warning: 'RetryInterval' is too low. Setting to 1s"), "{banner:?}");
    let pairs: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("role", "web"), ("x", "b"), ("y", "flag"), ("z", "a")]);
}

#[test]
fn settings_that_go_reads_and_drops_have_their_effect() {
    let directory = Directory::fresh();
    let write = |name: &str, content: &str| {
        std::fs::write(directory.path().join(name), content).unwrap();
        format!("-config-file={}", directory.path().join(name).display())
    };
    let plain = write("plain.json", r#"{"enable_compression": false, "disable_coordinates": true}"#);
    let agent = Agent::start(Kind::Folkmoot, "bern", &[&plain]);
    assert!(agent.text().contains("Message Compression Enabled: false"));
    assert_eq!(agent.rpc().coordinate("bern"), None);
    let agent = Agent::start(Kind::Folkmoot, "bern", &[&plain, "-disable-compression=false"]);
    assert!(agent.text().contains("Message Compression Enabled: true"));
    let strict = write("strict.json", r#"{"validate_node_names": true, "MsgpackUseNewTimeFormat": true}"#);
    let (code, text) = refused(Kind::Folkmoot, directory.path(), &["-node=bad_name!", &strict]);
    assert_eq!(code, Some(1));
    assert!(text.contains("Error creating Serf: "), "{text}");
}

/// An agent with a configuration file that can be written anew.
struct Reloaded {
    agent: Agent,
    directory: Directory,
}

impl Reloaded {
    fn start(kind: Kind, content: &str) -> Self {
        let directory = Directory::fresh();
        let path = directory.path().join("reload.json");
        std::fs::write(&path, content).unwrap();
        let agent = Agent::start(kind, "bern", &[&format!("-config-file={}", path.display())]);
        agent.wait_for_line("Log data will now stream in");
        Self { agent, directory }
    }

    /// Gives the agent another file and has it read; returns where its output then begins.
    fn reload(&self, content: &str) -> usize {
        std::fs::write(self.directory.path().join("reload.json"), content).unwrap();
        let mark = self.agent.mark();
        self.agent.signal(Signal::Hangup);
        self.agent.wait_for_line_from(mark, "==> Reloading configuration...");
        mark
    }

    fn wait_for_tags(&self, wanted: &[(&str, &str)]) {
        let mut rpc = self.agent.rpc();
        let wanted: BTreeMap<String, String> =
            wanted.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        eventually("the tags are as configured", || {
            let tags = rpc.members().remove(0).tags;
            if tags == wanted { Ok(()) } else { Err(format!("{tags:?}")) }
        });
    }
}

#[test]
fn a_reload_applies_level_tags_and_what_signals_do_and_nothing_else() {
    for kind in BOTH {
        let mut run = Reloaded::start(kind, r#"{"tags": {"a": "1"}}"#);
        run.agent.rpc().set_tags(&[("rpc", "set")], &[]).unwrap();
        let changed = r#"{"tags": {"b": "2"}, "log_level": "debug", "leave_on_terminate": true, "rpc_auth": "s",
            "node_name": "other"}"#;
        run.reload(changed);
        run.wait_for_tags(&[("b", "2")]);
        let mark = run.agent.mark();
        // Reaches a client without a key: that setting is not reloaded.
        run.agent.rpc().event("now", b"", false).unwrap();
        run.agent.wait_for_line_from(mark, "[DEBUG] agent: Requesting user event send: now");
        run.agent.signal(Signal::Terminate);
        run.agent.wait_for_graceful_exit();
        assert!(run.agent.text().contains("==> Gracefully shutting down agent..."), "{kind:?}");
    }
}

#[test]
fn a_reload_that_fails_changes_nothing_and_says_why() {
    let long = "x".repeat(600);
    for kind in BOTH {
        let run = Reloaded::start(kind, r#"{"tags": {"a": "1"}}"#);
        let path = run.directory.path().join("reload.json");
        let mark = run.reload(r#"{"tags": {"b": "2"}"#);
        let line = run.agent.wait_for_line_from(mark, "Error decoding");
        assert_eq!(line, format!("==> Error decoding '{}': unexpected EOF", path.display()), "{kind:?}");
        run.agent.wait_for_line_from(mark, "==> Failed to reload configs");
        run.wait_for_tags(&[("a", "1")]);
        let mark = run.reload(&format!(r#"{{"tags": {{"b": "{long}"}}}}"#));
        let expected = "==> Failed to update tags: Encoded length of tags exceeds limit of 512 bytes";
        assert_eq!(run.agent.wait_for_line_from(mark, "Failed to update tags"), expected, "{kind:?}");
        run.wait_for_tags(&[("a", "1")]);
        let mark = run.reload(r#"{"tags": {"c": "3"}, "log_level": "loud"}"#);
        let expected = "==> Invalid log level: LOUD. Valid log levels are: [TRACE DEBUG INFO WARN ERR]";
        assert_eq!(run.agent.wait_for_line_from(mark, "Invalid log level"), expected, "{kind:?}");
        run.wait_for_tags(&[("c", "3")]);
    }
}

#[test]
fn a_tags_file_keeps_what_was_set_and_only_that() {
    let directory = Directory::fresh();
    let file = directory.path().join("tags");
    let flag = format!("-tags-file={}", file.display());
    let mut agent = Agent::start(Kind::Folkmoot, "bern", &[&flag]);
    let read = || std::fs::read_to_string(&file).unwrap();
    let mut rpc = agent.rpc();
    rpc.set_tags(&[("b", "<2>"), ("a", "1")], &[]).unwrap();
    assert_eq!(read(), "{\n  \"a\": \"1\",\n  \"b\": \"\\u003c2\\u003e\"\n}");
    let long = "x".repeat(600);
    assert_eq!(rpc.set_tags(&[("c", &long)], &["a"]).unwrap_err(), "Encoded length of tags exceeds limit of 512 bytes");
    let kept = read();
    assert!(!kept.contains(&long), "refused tags are not written: {kept}");
    let mark = agent.mark();
    agent.signal(Signal::Hangup);
    agent.wait_for_line_from(mark, "==> Reloading configuration...");
    // A change after the reload shows that the reload is over and took nothing away.
    rpc.set_tags(&[("d", "4")], &["b"]).unwrap();
    assert_eq!(read(), "{\n  \"a\": \"1\",\n  \"d\": \"4\"\n}");
    agent.kill();
    agent.restart();
    agent.wait_for_line(&format!("[INFO] agent: Restored 2 tag(s) from {}", file.display()));
    let tags = agent.rpc().members().remove(0).tags;
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("a".into(), "1".into()), ("d".into(), "4".into())]);
    // Go reads what ours wrote.
    agent.kill();
    let address = Arc::clone(&agent.address);
    let go = Agent::start_at(Kind::Go, "bern", address, &[&flag]);
    assert_eq!(go.rpc().members().remove(0).tags.len(), 2);
}

#[test]
fn tags_that_cannot_be_written_are_refused_and_not_told() {
    for kind in BOTH {
        let directory = Directory::fresh();
        let folder = directory.path().join("gone");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("tags");
        let agent = Agent::start(kind, "bern", &[&format!("-tags-file={}", file.display())]);
        let mut rpc = agent.rpc();
        rpc.set_tags(&[("a", "1")], &[]).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let expected = format!("Failed to write tags file: open {}: no such file or directory", file.display());
        assert_eq!(rpc.set_tags(&[("a", "2")], &[]).unwrap_err(), expected, "{kind:?}");
        agent.wait_for_line(&format!("[ERR] agent: {expected}"));
        assert_eq!(rpc.members().remove(0).tags["a"], "1", "{kind:?}");
        std::fs::create_dir(&folder).unwrap();
        rpc.set_tags(&[("a", "3")], &[]).unwrap();
        assert_eq!(rpc.members().remove(0).tags["a"], "3", "{kind:?} goes on");
    }
}
