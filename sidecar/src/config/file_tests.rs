//! Tables of what files may say and how Go complains.

use super::*;
use crate::config::args::Secret;

fn fault(text: &str) -> String {
    decode(text.as_bytes()).map_or_else(|reason| reason, |raw| format!("read {raw:?}"))
}

fn directory(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("folkmoot-config-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    directory
}

#[test]
fn every_key_of_a_file_is_kept() {
    let text = r#"{"node_name": "a", "role": "r", "disable_coordinates": true, "tags": {"x": "1"}, "tags_file": "t",
        "bind": "b", "advertise": "c", "encrypt_key": "k", "keyring_file": "f", "log_level": "debug",
        "rpc_addr": "p", "rpc_auth": "s", "protocol": 4.7, "replay_on_join": true, "query_response_size_limit": 1,
        "query_size_limit": 2, "user_event_size_limit": 3, "start_join": ["h", null], "event_handlers": ["e"],
        "profile": "wan", "snapshot_path": "n", "leave_on_terminate": true, "skip_leave_on_interrupt": true,
        "discover": "d", "mdns": {"interface": "i", "disable_ipv4": true, "disable_ipv6": true}, "interface": "lo",
        "reconnect_interval": "1s", "reconnect_timeout": "2s", "tombstone_timeout": "3s",
        "disable_name_resolution": true, "enable_syslog": true, "syslog_facility": "LOCAL1", "retry_join": ["j"],
        "retry_max_attempts": -9e99, "retry_interval": "4s", "rejoin_after_leave": true,
        "enable_compression": false, "statsite_addr": "u", "statsd_addr": "v", "broadcast_timeout": "5s",
        "validate_node_names": true, "cluster": "w", "no_capability": true, "MsgpackUseNewTimeFormat": true}"#;
    let seconds = |text: &str| text.parse().ok();
    let some = |text: &str| Some(text.to_owned());
    let expected = Raw {
        node_name: some("a"),
        role: some("r"),
        disable_coordinates: Some(true),
        tags: [("x".to_owned(), "1".to_owned())].into(),
        tags_file: some("t"),
        bind: some("b"),
        advertise: some("c"),
        encrypt_key: Some(Secret("k".into())),
        keyring_file: some("f"),
        log_level: some("debug"),
        rpc_addr: some("p"),
        rpc_auth: Some(Secret("s".into())),
        protocol: Some(4),
        replay_on_join: Some(true),
        query_response_size_limit: Some(1),
        query_size_limit: Some(2),
        user_event_size_limit: Some(3),
        start_join: vec!["h".into(), String::new()],
        event_handlers: vec!["e".into()],
        profile: some("wan"),
        snapshot_path: some("n"),
        leave_on_terminate: Some(true),
        skip_leave_on_interrupt: Some(true),
        discover: some("d"),
        mdns_interface: some("i"),
        mdns_disable_ipv4: Some(true),
        mdns_disable_ipv6: Some(true),
        interface: some("lo"),
        reconnect_interval: seconds("1s"),
        reconnect_timeout: seconds("2s"),
        tombstone_timeout: seconds("3s"),
        disable_name_resolution: Some(true),
        enable_syslog: Some(true),
        syslog_facility: some("LOCAL1"),
        retry_join: vec!["j".into()],
        retry_max_attempts: Some(i64::MIN),
        retry_interval: seconds("4s"),
        rejoin_after_leave: Some(true),
        enable_compression: Some(false),
        statsite_addr: some("u"),
        statsd_addr: some("v"),
        broadcast_timeout: seconds("5s"),
        cluster: some("w"),
        no_capability: Some(true),
        validate_node_names: Some(true),
        new_time_format: Some(true),
        // Ours stand below.
        ..Raw::default()
    };
    assert_eq!(decode(text.as_bytes()), Ok(expected));
}

#[test]
fn every_key_of_coordination_is_kept() {
    let text = r#"{"raft": true, "raft_addr": "a", "raft_advertise": "b", "raft_bootstrap_expect": 3,
        "raft_max_voters": 7, "raft_voter": "never", "data_dir": "d", "raft_tls_ca": "e", "raft_tls_cert": "f",
        "raft_tls_key": "g", "dev": true}"#;
    let some = |text: &str| Some(text.to_owned());
    let expected = Raw {
        raft: Some(true),
        raft_addr: some("a"),
        raft_advertise: some("b"),
        raft_bootstrap_expect: Some(3),
        raft_max_voters: Some(7),
        raft_voter: some("never"),
        data_dir: some("d"),
        raft_tls_ca: some("e"),
        raft_tls_cert: some("f"),
        raft_tls_key: some("g"),
        dev: Some(true),
        ..Raw::default()
    };
    assert_eq!(decode(text.as_bytes()), Ok(expected));
}

#[test]
fn keys_are_matched_exactly_or_else_without_case() {
    let name = |text: &str| decode(text.as_bytes()).map(|raw| raw.node_name.unwrap_or_default());
    assert_eq!(name(r#"{"NODE_Name": "a"}"#).as_deref(), Ok("a"));
    assert_eq!(name(r#"{"node_name": "a", "node_name": "b"}"#).as_deref(), Ok("b"));
    let both = fault(r#"{"Node_name": "a", "node_name": "b"}"#);
    assert!(both.ends_with("'' has invalid keys: Node_name"), "{both}");
    assert!(decode(br#"{"msgpackusenewtimeformat": true, "-": 5, "role": null}"#).is_ok());
}

#[test]
fn null_and_text_behind_the_object_say_nothing() {
    assert_eq!(decode(b"null"), Ok(Raw::default()));
    assert_eq!(decode(b"{} {\"zzz\": 1} nonsense"), Ok(Raw::default()));
}

#[test]
fn complaints_about_a_whole_file() {
    for (text, expected) in [
        ("", "EOF"),
        ("{\"a\"", "unexpected EOF"),
        ("{x}", "invalid character 'x' looking for beginning of object key string"),
        ("[]", r#"'' expected a map or struct, got "slice""#),
        ("5", r#"'' expected a map or struct, got "float64""#),
        ("\"a\"", r#"'' expected a map or struct, got "string""#),
        ("true", r#"'' expected a map or struct, got "bool""#),
        (r#"{"reconnect_interval": "5"}"#, "time: missing unit in duration \"5\""),
        (r#"{"broadcast_timeout": "x", "retry_interval": "y"}"#, "time: invalid duration \"y\""),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn complaints_about_keys_and_types() {
    for (text, expected) in [
        (r#"{"zzz": 1, "nodename": 2}"#, "'' has invalid keys: nodename, zzz"),
        (r#"{"log_level": 5}"#, "'log_level' expected type 'string', got unconvertible type 'float64'"),
        (
            r#"{"log_level": {}}"#,
            "'log_level' expected type 'string', got unconvertible type 'map[string]interface {}'",
        ),
        (r#"{"rpc_auth": true}"#, "'rpc_auth' expected type 'string', got unconvertible type 'bool'"),
        (r#"{"replay_on_join": "true"}"#, "'replay_on_join' expected type 'bool', got unconvertible type 'string'"),
        (r#"{"enable_compression": 1}"#, "'enable_compression' expected type 'bool', got unconvertible type 'float64'"),
        (r#"{"protocol": "5"}"#, "'protocol' expected type 'int', got unconvertible type 'string'"),
        (r#"{"start_join": 5}"#, "'start_join' source data must be an array or slice, got float64"),
        (r#"{"event_handlers": "a"}"#, "'event_handlers' source data must be an array or slice, got string"),
        (r#"{"retry_join": {}}"#, "'retry_join' source data must be an array or slice, got map"),
        (r#"{"retry_join": ["a", 5]}"#, "'retry_join[1]' expected type 'string', got unconvertible type 'float64'"),
        (r#"{"tags": []}"#, "'tags' expected type 'map[string]string', got unconvertible type '[]interface {}'"),
        (r#"{"tags": {"a": 5}}"#, "'tags[a]' expected type 'string', got unconvertible type 'float64'"),
        (
            r#"{"reconnect_interval": 5}"#,
            "'reconnect_interval' expected type 'string', got unconvertible type 'float64'",
        ),
        (r#"{"mdns": []}"#, r#"'mdns' expected a map or struct, got "slice""#),
        (r#"{"mdns": {"interface": 5}}"#, "'mdns.interface' expected type 'string', got unconvertible type 'float64'"),
        (r#"{"mdns": {"iface": "lo"}}"#, "'mdns' has invalid keys: iface"),
        (
            r#"{"retry_interval": "y", "zzz": 1, "protocol": "5", "node_name": 5}"#,
            "'node_name' expected type 'string', got unconvertible type 'float64'\n\
             'protocol' expected type 'int', got unconvertible type 'string'\n\
             '' has invalid keys: zzz",
        ),
    ] {
        assert_eq!(fault(text), format!("decoding failed due to the following error(s):\n\n{expected}"), "{text}");
    }
}

#[test]
fn directories_are_read_in_name_order_and_mixed_with_files() {
    let directory = directory("order");
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let sub = directory.join("conf");
    std::fs::create_dir(&sub).unwrap();
    std::fs::create_dir(sub.join("dir.json")).unwrap();
    write("conf/b.json", r#"{"node_name": "b", "start_join": ["b"], "tags": {"x": "b", "y": "b"}}"#);
    write("conf/a.json", r#"{"node_name": "a", "start_join": ["a"], "tags": {"x": "a"}}"#);
    write("conf/B.json", r#"{"start_join": ["B"]}"#);
    write("conf/c.JSON", "broken");
    let first = write("first", r#"{"profile": "wan", "replay_on_join": true, "node_name": "first"}"#);
    let last = write("last", r#"{"profile": "", "replay_on_join": false, "start_join": ["last"]}"#);
    let raw = read_paths(&[first, sub.to_string_lossy().into_owned(), last]).unwrap();
    assert_eq!(raw.node_name.as_deref(), Some("b"));
    assert_eq!(raw.start_join, ["B", "a", "b", "last"]);
    assert_eq!((raw.tags["x"].as_str(), raw.tags["y"].as_str()), ("b", "b"));
    assert_eq!((raw.profile.as_deref(), raw.replay_on_join), (Some("wan"), Some(true)));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = directory("unreadable");
    let fault = |path: &Path| read_paths(&[path.to_string_lossy().into_owned()]).unwrap_err().to_string();
    let missing = directory.join("none.json");
    let shown = missing.display();
    assert_eq!(fault(&missing), format!("Error reading '{shown}': open {shown}: no such file or directory"));
    let link = directory.join("link.json");
    std::os::unix::fs::symlink("/", &link).unwrap();
    let shown = link.display();
    assert_eq!(fault(&directory), format!("Error decoding '{shown}': read {shown}: is a directory"));
    std::fs::remove_file(&link).unwrap();
    let long = directory.join("long.json");
    File::create(&long).unwrap().set_len(CONFIG_FILE_BYTES + 1).unwrap();
    assert!(fault(&directory).ends_with("it is longer than 4194304 bytes"), "{}", fault(&directory));
    std::fs::remove_dir_all(&directory).unwrap();
}
