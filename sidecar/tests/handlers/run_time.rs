//! Handlers changed while the agent runs: over RPC, on the command line, by a reload.

use super::scratch::{Scratch, cli};
use super::support::{Agent, Kind, Signal, Value};

fn handler(text: &str) -> Option<Value> {
    Some(Value::map([("Handler", Value::text(text))]))
}

#[test]
fn handlers_are_added_listed_and_removed_on_the_command_line() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    let agent = Agent::start(Kind::Folkmoot, "alpha", &["-rpc-handlers", "-event-handler=member-reap=a | b"]);
    let address = format!("-rpc-addr={}", agent.rpc_address());
    let added = format!("user:deploy=cat >> {out}");
    let change = |succeeds, flag: &str, handler: &str| {
        cli(Kind::Folkmoot, succeeds, &["handlers", &format!("-{flag}={handler}"), &address])
    };
    assert_eq!(change(true, "add", &added), "Successfully added handler\n");
    let mut rpc = agent.rpc();
    rpc.event("deploy", b"1", false).unwrap();
    scratch.wait_for("out", "1\n");
    super::support::eventually("the run is counted", || {
        let listed = cli(Kind::Folkmoot, true, &["handlers", "-list", &address]);
        let expected = format!(
            "config  runs=0  failed=0  dropped=0  waiting=0  member-reap=a | b\n\
             rpc     runs=1  failed=0  dropped=0  waiting=0  {added}\n"
        );
        if listed == expected { Ok(()) } else { Err(listed) }
    });
    assert_eq!(
        change(false, "add", &added),
        format!("Error adding handler: handler-exists: '{added}' is registered already\n")
    );
    assert_eq!(change(false, "add", "bogus=x"), "Error adding handler: invalid-handler: Event 'bogus' invoking 'x'\n");
    assert_eq!(
        change(false, "remove", "user=x"),
        "Error removing handler: no-such-handler: 'user=x' is not registered\n"
    );
    assert_eq!(change(true, "remove", &added), "Successfully removed handler\n");
    rpc.event("deploy", b"2", false).unwrap();
    agent.wait_for_line("Removing event handler");
    rpc.call("handlers-add", handler(&format!("user:after=cat >> {out}"))).unwrap();
    rpc.event("after", b"3", false).unwrap();
    scratch.wait_for("out", "1\n3\n");
}

#[test]
fn clients_change_nothing_where_the_agent_does_not_allow_it() {
    let agent = Agent::start(Kind::Folkmoot, "alpha", &["-event-handler=member-reap=true"]);
    let mut rpc = agent.rpc();
    for command in ["handlers-add", "handlers-remove"] {
        let refused = rpc.call(command, handler("member-reap=true")).unwrap_err();
        assert!(refused.starts_with("handlers-not-allowed: "), "{refused}");
    }
    let listed = rpc.ask("handlers-list", None).unwrap();
    let listed = listed.get("Handlers").as_array();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].get("Handler").as_text(), "member-reap=true");
    assert_eq!(listed[0].get("Source").as_text(), "config");
}

#[test]
fn a_go_agent_says_that_it_cannot_and_serf_has_no_such_command() {
    let go = Agent::start(Kind::Go, "alpha", &[]);
    let address = format!("-rpc-addr={}", go.rpc_address());
    let text = cli(Kind::Folkmoot, false, &["handlers", "-list", &address]);
    assert_eq!(text, "Error listing handlers: Unsupported command\n");
    let link = Scratch::new();
    std::os::unix::fs::symlink(Kind::Folkmoot.program(), link.path("serf")).unwrap();
    let output = std::process::Command::new(link.path("serf")).args(["handlers", "-list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
}

#[test]
fn a_reload_changes_the_handlers_of_files_and_a_broken_one_changes_nothing() {
    for kind in [Kind::Go, Kind::under_test()] {
        let scratch = Scratch::new();
        let out = scratch.path("out");
        let configured = |handler: &str| format!(r#"{{"event_handlers": ["{handler}"]}}"#);
        let file = scratch.write("agent.json", &configured(&format!("user=echo first >> {out}")));
        let agent = Agent::start(kind, "alpha", &[&format!("-config-file={file}")]);
        let mut rpc = agent.rpc();
        rpc.event("x", b"", false).unwrap();
        scratch.wait_for("out", "first\n");
        scratch.write("agent.json", &configured(&format!("bogus=echo bad >> {out}")));
        agent.signal(Signal::Hangup);
        agent.wait_for_line("==> Invalid event script: Event 'bogus' invoking 'echo bad");
        agent.wait_for_line("==> Failed to reload configs");
        rpc.event("x", b"", false).unwrap();
        scratch.wait_for("out", "first\nfirst\n");
        scratch.write("agent.json", &configured(&format!("user=echo second >> {out}")));
        let mark = agent.mark();
        agent.signal(Signal::Hangup);
        agent.wait_for_line_from(mark, "==> Reloading configuration...");
        // The line comes before the change.
        let expected = ["first\nfirst\nsecond\n", "first\nfirst\nfirst\nsecond\n"];
        rpc.event("x", b"", false).unwrap();
        super::support::eventually("the first event after the reload is handled", || {
            let found = scratch.read("out");
            if found.lines().count() == 3 { Ok(()) } else { Err(found) }
        });
        if scratch.read("out") != expected[0] {
            rpc.event("x", b"", false).unwrap();
            scratch.wait_for("out", expected[1]);
        }
    }
}
