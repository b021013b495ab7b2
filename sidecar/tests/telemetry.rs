//! Metrics and syslog of an agent as a process: statsd gets Go's names, SIGUSR1 shows them, and the Go agent does the same.
//! Reconnecting sinks and the wire form of syslog are tested beside their code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Duration;

use support::{Agent, Kind, Loopback, Signal, Value, eventually, eventually_within};

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().replace([' ', ':'], "_")
}

/// Names with their kinds, as `serf-agent.serf.events|c`.
fn take_names(server: &UdpSocket, names: &mut BTreeSet<String>) {
    let mut buffer = [0; 65_536];
    while let Ok(length) = server.recv(&mut buffer) {
        assert!(length <= 1400, "{length} bytes in one datagram");
        for line in std::str::from_utf8(&buffer[..length]).unwrap().lines() {
            let (name, rest) = line.split_once(':').unwrap();
            let (value, kind) = rest.split_once('|').unwrap();
            let (_, decimals) = value.split_once('.').unwrap();
            assert!(value.parse::<f64>().is_ok() && decimals.len() == 6, "{line}");
            names.insert(format!("{name}|{kind}"));
        }
    }
}

#[test]
fn statsd_gets_the_names_the_go_agent_uses_from_either_agent() {
    for kind in [Kind::Go, Kind::Folkmoot] {
        let server = UdpSocket::bind("127.0.46.41:0").unwrap();
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = server.local_addr().unwrap();
        let config = format!("{}/statsd-{kind:?}-{}.json", env!("CARGO_TARGET_TMPDIR"), address.port());
        std::fs::write(&config, format!(r#"{{"statsd_addr": "{address}"}}"#)).unwrap();
        let other = Agent::start(kind, "rome", &[]);
        let agent = Agent::start(kind, "bern", &[&format!("-config-file={config}")]);
        let mut rpc = agent.rpc();
        rpc.join(&[&other.gossip()]).unwrap();
        rpc.event("deploy", b"x", false).unwrap();
        let query = [("Name", Value::text("uptime")), ("Payload", Value::Bin(Vec::new()))];
        rpc.query(Value::map(query)).unwrap();
        let wanted = [
            "agent.ipc.accept|c",
            "agent.ipc.command|c",
            "serf.member.join|c",
            "serf.events|c",
            "serf.events.deploy|c",
            "serf.queries|c",
            "serf.queries.uptime|c",
            "serf.msgs.sent|ms",
            "serf.msgs.received|ms",
            "memberlist.msg.alive|c",
            "memberlist.udp.sent|c",
            "memberlist.udp.received|c",
            "memberlist.tcp.connect|c",
            "memberlist.tcp.sent|c",
            "memberlist.probeNode|ms",
            "serf.coordinate.adjustment-ms|ms",
        ];
        let mut names = BTreeSet::new();
        eventually("all the names have come", || {
            take_names(&server, &mut names);
            let missing: Vec<_> = wanted.iter().filter(|name| !names.contains(&format!("serf-agent.{name}"))).collect();
            let gauges = names.iter().any(|name| name.ends_with("|g"));
            if missing.is_empty() && gauges { Ok(()) } else { Err(format!("{kind:?} lacks {missing:?} in {names:#?}")) }
        });
        let prefix = format!("serf-agent.{}.", host_name());
        let mut gauges = names.iter().filter(|name| name.ends_with("|g"));
        assert!(gauges.all(|name| name.starts_with(&prefix)), "{names:#?}");
        std::fs::remove_file(config).unwrap();
    }
}

#[test]
fn sigusr1_shows_the_last_minute_in_lines_of_the_same_form() {
    let go = Agent::start(Kind::Go, "rome", &[]);
    let ours = Agent::start(Kind::Folkmoot, "bern", &[&format!("-join={}", go.gossip())]);
    let head_form = regex::Regex::new(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d0 [+-]\d{4} \S+\]\[C\] $").unwrap();
    // Both joins may fall into one interval, or one into each of two.
    let rest_form = regex::Regex::new(concat!(
        r"^(1 Sum: 1|2 Sum: 2)\.000 LastUpdated: ",
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4} \S+ m=\+\d+\.\d{9}$"
    ))
    .unwrap();
    for agent in [&go, &ours] {
        let line = "'serf-agent.serf.member.join': Count: ";
        let found = eventually_within(Duration::from_secs(60), "an interval is over and shown", || {
            agent.signal(Signal::Telemetry);
            let lines = agent.lines();
            lines.into_iter().find(|text| text.contains(line)).ok_or_else(String::new)
        });
        let (head, rest) = found.split_once(line).unwrap();
        assert!(head_form.is_match(head), "{found}");
        assert!(rest_form.is_match(rest), "{found}");
    }
}

#[test]
fn syslog_that_cannot_be_reached_or_facilities_there_are_none_of_stop_the_start() {
    let address = Loopback::fresh();
    let config = format!("{}/syslog-{}.json", env!("CARGO_TARGET_TMPDIR"), address.ip());
    std::fs::write(&config, r#"{"enable_syslog": true, "syslog_facility": "NOPE"}"#).unwrap();
    for kind in [Kind::Go, Kind::Folkmoot] {
        let (bind, rpc) = (format!("-bind={}", address.ip()), format!("-rpc-addr={}", address.rpc()));
        let output = kind.command(&["agent", &bind, &rpc, &format!("-config-file={config}")]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{kind:?}: {text}");
        assert!(text.starts_with("==> Syslog setup failed: invalid syslog facility: NOPE\n"), "{kind:?}: {text}");
    }
    std::fs::remove_file(config).unwrap();
}
