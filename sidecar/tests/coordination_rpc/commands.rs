//! Every command once, as its table in `docs/rpc.md` says, on a real group of one.

use std::collections::BTreeSet;

use folkmoot_proto::coordination::CoordinationCommand;

use crate::caller::{Caller, Fields, alone, beside, bytes, int, map, object, text};
use crate::support::{Agent, Kind, PATIENCE, Value, eventually};

/// Asks and remembers what was asked.
struct Tour {
    caller: Caller,
    asked: BTreeSet<String>,
}

impl Tour {
    fn write(&mut self, command: &str, fields: Fields<'_>) -> Value {
        self.asked.insert(command.to_owned());
        let answer = self.caller.write(command, fields);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn ask(&mut self, command: &str, fields: Fields<'_>) -> Value {
        self.asked.insert(command.to_owned());
        let answer = self.caller.ask(command, fields);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn refused(&mut self, command: &str, fields: Fields<'_>, word: &str) {
        self.asked.insert(command.to_owned());
        let error = self.caller.ask(command, fields).unwrap_err();
        assert!(error.starts_with(&format!("{word}: ")), "{command}: {error}");
    }

    /// Opens a stream and reads its first record. The stream stays open as long as the connection.
    fn stream(&mut self, command: &str, fields: Fields<'_>) -> Value {
        self.asked.insert(command.to_owned());
        let rpc = &mut self.caller.rpc;
        rpc.call(command, Some(map(fields))).unwrap();
        rpc.record(PATIENCE).expect(command)
    }
}

fn name(name: &str) -> (&'static str, Value) {
    ("Name", text(name))
}

fn keys_and_sessions(tour: &mut Tour) {
    tour.write("client-keep-alive", &[]);
    tour.write("client-cancel", &[("Call", int(1))]);
    let revision = tour.write("kv-put", &[("Key", text("k")), ("Value", bytes("v"))]).get("Revision").as_int();
    let entry = tour.ask("kv-get", &[("Key", text("k"))]);
    assert_eq!(entry.get("Entry").get("Value").as_bytes(), b"v");
    let cas = [("Key", text("k")), ("Value", bytes("w")), ("Expected", int(revision))];
    assert_eq!(tour.write("kv-compare-and-set", &cas).get("Written"), &Value::Bool(true));
    assert_eq!(tour.ask("kv-list", &[("Prefix", text("k"))]).get("Entries").as_array().len(), 1);
    let operation = map(&[("Do", text("put")), ("Key", text("t")), ("Value", bytes("v"))]);
    let compare = map(&[("Test", text("absent")), ("Key", text("t"))]);
    let transaction = [("Compares", Value::Array(vec![compare])), ("Then", Value::Array(vec![operation]))];
    assert_eq!(tour.write("kv-transaction", &transaction).get("Succeeded"), &Value::Bool(true));
    assert_eq!(tour.write("kv-delete", &[("Key", text("t"))]).get("Keys").as_int(), 1);
    assert_eq!(tour.write("kv-delete-prefix", &[("Prefix", text(""))]).get("Keys").as_int(), 1);
    let session = tour.write("session-create", &[("TTL", int(60_000))]).get("Session").as_int();
    let session = ("Session", int(session));
    tour.write("session-renew", std::slice::from_ref(&session));
    assert_eq!(tour.ask("session-get", std::slice::from_ref(&session)).get("TTL").as_int(), 60_000);
    assert_eq!(tour.ask("session-list", &[]).get("Sessions").as_array().len(), 1);
    tour.write("session-destroy", &[session]);
}

fn locks_and_elections(tour: &mut Tour) {
    let hold = ("Hold", tour.write("lock-acquire", &[name("l")]).get("Hold").clone());
    tour.write("lock-renew", &[name("l"), hold.clone()]);
    assert_eq!(tour.ask("lock-info", &[name("l")]).get("Holds").as_array().len(), 1);
    tour.write("lock-release", &[name("l"), hold]);
    let hold = ("Hold", tour.write("election-campaign", &[name("e"), ("Value", bytes("a"))]).get("Hold").clone());
    tour.write("election-renew", &[name("e"), hold.clone()]);
    tour.write("election-proclaim", &[name("e"), hold.clone(), ("Value", bytes("b"))]);
    let line = tour.ask("election-info", &[name("e")]);
    assert_eq!(line.get("Holds").as_array()[0].get("Value").as_bytes(), b"b");
    let leader = tour.stream("election-observe", &[name("e")]);
    assert_eq!((leader.get("Hold"), leader.get("Value").as_bytes()), (&hold.1, b"b".to_vec()));
}

fn barriers(tour: &mut Tour) {
    tour.write("barrier-raise", &[name("b")]);
    assert_eq!(tour.ask("barrier-info", &[name("b")]).get("Raised"), &Value::Bool(true));
    tour.write("barrier-lift", &[name("b")]);
    tour.write("barrier-wait", &[name("b"), ("Wait", int(-1))]);
    let hold = tour.write("barrier-enter", &[name("b"), ("Count", int(1))]).get("Hold").clone();
    assert_eq!(tour.write("barrier-leave", &[name("b"), ("Hold", hold)]).get("All"), &Value::Bool(true));
}

fn collections(tour: &mut Tour) {
    let all = || ("Elements", Value::Array(vec![bytes("a"), bytes("b"), bytes("c")]));
    let element = |text| ("Element", bytes(text));
    tour.write("counter-set", &[name("c"), ("Value", int(7))]);
    assert_eq!(tour.write("counter-add", &[name("c"), ("By", int(-9))]).get("Value").as_int(), -2);
    assert_eq!(tour.ask("counter-get", &[name("c")]).get("Value").as_int(), -2);
    tour.write("counter-delete", &[name("c")]);
    assert_eq!(tour.write("set-reset", &[name("s"), all()]).get("Changed").as_int(), 3);
    tour.write("set-add", &[name("s"), all()]);
    tour.write("set-remove", &[name("s"), element("b")]);
    tour.write("set-discard", &[name("s"), element("b")]);
    assert_eq!(tour.write("set-pop", &[name("s")]).get("Element").as_bytes(), b"a");
    assert_eq!(tour.ask("set-contains", &[name("s"), element("c")]).get("Contains"), &Value::Bool(true));
    assert_eq!(tour.ask("set-elements", &[name("s")]).get("Length").as_int(), 1);
    tour.write("list-reset", &[name("l"), all()]);
    tour.write("list-extend", &[name("l"), all()]);
    tour.write("list-set", &[name("l"), ("Position", int(-1)), element("z")]);
    tour.write("list-insert", &[name("l"), ("Position", int(0)), element("y")]);
    tour.write("list-remove", &[name("l"), element("a")]);
    assert_eq!(tour.write("list-pop", &[name("l")]).get("Element").as_bytes(), b"z");
    tour.write("list-sort", &[name("l"), ("Descending", Value::Bool(true))]);
    assert_eq!(tour.ask("list-get", &[name("l")]).get("Element").as_bytes(), b"y");
    assert_eq!(tour.ask("list-elements", &[name("l"), ("From", int(3))]).get("Length").as_int(), 5);
    assert_eq!(tour.ask("list-find", &[name("l"), element("a")]).get("Position").as_int(), 4);
}

fn queues_and_work(tour: &mut Tour) {
    tour.write("queue-put", &[name("q"), ("Value", bytes("v"))]);
    assert_eq!(tour.ask("queue-info", &[name("q")]).get("Length").as_int(), 1);
    assert_eq!(tour.write("queue-get", &[name("q")]).get("Element").as_bytes(), b"v");
    tour.write("work-configure", &[name("w"), ("Soft", int(5)), ("Hard", int(9))]);
    let put = |tour: &mut Tour| {
        tour.write("work-put", &[name("w"), ("Payload", bytes("do")), ("MaxAttempts", int(1))]).get("Item").clone()
    };
    let claim = |tour: &mut Tour| {
        let items = tour.write("work-claim", &[name("w"), ("Lease", int(60_000))]);
        let claimed = items.get("Items").as_array()[0].clone();
        [name("w"), ("Item", claimed.get("Item").clone()), ("Token", claimed.get("Token").clone())]
    };
    let item = ("Item", put(tour));
    let claimed = claim(tour);
    tour.write("work-heartbeat", &claimed);
    tour.write("work-release", &claimed);
    let claimed = claim(tour);
    tour.write("work-fail", &claimed);
    assert_eq!(tour.ask("work-get", &[name("w"), item]).get("State").as_text(), "dead");
    assert_eq!(tour.write("work-redrive", &[name("w")]).get("Items").as_int(), 1);
    assert_eq!(tour.ask("work-list", &[name("w"), ("State", text("ready"))]).get("Items").as_array().len(), 1);
    let claimed = claim(tour);
    tour.write("work-complete", &claimed);
    let cancelled = ("Item", put(tour));
    tour.write("work-cancel", &[name("w"), cancelled]);
    assert_eq!(tour.ask("work-history", &[name("w")]).get("Items").as_array().len(), 2);
    assert_eq!(tour.ask("work-stats", &[name("w")]).get("Totals").get("Completed").as_int(), 1);
    tour.write("work-forget", &[name("w")]);
}

fn streams_and_members(tour: &mut Tour) {
    let told = eventually("the leader sees its quorum", || {
        let status = tour.ask("raft-status", &[]);
        let told = (status.get("Role").as_text(), status.get("Quorum").as_text());
        if told.1 == "ok" { Ok(told) } else { Err(format!("{told:?}")) }
    });
    assert_eq!(told.0, "leader");
    let members = tour.ask("raft-members", &[]);
    let member = members.get("Members").as_array()[0].clone();
    assert_eq!((member.get("Name").as_text(), member.get("Leader")), ("alone".into(), &Value::Bool(true)));
    let alone = ("Member", text("alone"));
    for command in ["raft-remove", "raft-demote"] {
        tour.refused(command, std::slice::from_ref(&alone), "not-possible");
    }
    for command in ["raft-add", "raft-promote", "raft-transfer"] {
        tour.refused(command, &[("Member", text("nobody"))], "not-possible");
    }
    // Last, for a record of progress may come to whoever asks anything else over the same connection.
    let record = tour.stream("watch", &[("After", int(0)), ("Prefix", text("k")), ("Scope", text("key"))]);
    let changes = record.get("Changes").as_array();
    assert_eq!((changes[0].get("What").as_text(), changes[0].get("Key").as_text()), ("put".into(), "k".into()));
}

#[test]
fn every_command_is_served_by_a_group_of_one() {
    let (agent, _directory) = alone("alone");
    let asked = BTreeSet::from(["client-register".to_owned()]);
    let mut tour = Tour { caller: Caller::new(&agent), asked };
    keys_and_sessions(&mut tour);
    locks_and_elections(&mut tour);
    tour.caller = tour.caller.again(&agent);
    barriers(&mut tour);
    collections(&mut tour);
    queues_and_work(&mut tour);
    streams_and_members(&mut tour);
    tour.caller = tour.caller.again(&agent);
    let line = tour.ask("election-info", &[("Name", text("e"))]);
    let hold = ("Hold", line.get("Holds").as_array()[0].get("Hold").clone());
    tour.write("election-resign", &[("Name", text("e")), hold]);
    backup_and_restore(&mut tour);
    let all: BTreeSet<String> = CoordinationCommand::ALL.iter().map(|command| command.name().to_owned()).collect();
    let left: Vec<_> = all.difference(&tour.asked).collect();
    assert!(left.is_empty(), "not asked: {left:?}");
}

/// A key that is written after the backup is gone after it was brought back.
fn backup_and_restore(tour: &mut Tour) {
    tour.write("kv-put", &[("Key", text("kept")), ("Value", bytes("v"))]);
    let seq = tour.caller.rpc.send("raft-backup", Some(map(&[])));
    assert_eq!(object(&mut tour.caller.rpc).get("Error").as_text(), "");
    let mut backup = Vec::new();
    loop {
        assert_eq!(object(&mut tour.caller.rpc).get("Seq").as_int(), i128::from(seq));
        let record = object(&mut tour.caller.rpc);
        backup.extend(record.get("Data").as_bytes());
        if record.get("Last") == &Value::Bool(true) {
            break;
        }
    }
    tour.asked.insert("raft-backup".into());
    tour.write("kv-put", &[("Key", text("lost")), ("Value", bytes("v"))]);
    let restored = tour.ask("raft-restore", &[("Data", Value::Bin(backup)), ("Last", Value::Bool(true))]);
    assert!(restored.get("Revision").as_int() > 0);
    assert_eq!(tour.ask("kv-get", &[("Key", text("lost"))]).get("Entry"), &Value::Nil);
    assert_ne!(tour.ask("kv-get", &[("Key", text("kept"))]).get("Entry"), &Value::Nil);
}

#[test]
fn an_agent_without_raft_asks_the_group_for_its_clients() {
    let (agent, _directory) = alone("alone");
    let other = beside(&agent, "beside");
    let mut there = Caller::new(&agent);
    let mut here = Caller::new(&other);
    here.write("kv-put", &[("Key", text("k")), ("Value", bytes("v"))]).unwrap();
    let found = there.ask("kv-get", &[("Key", text("k"))]).unwrap();
    assert_eq!(found.get("Entry").get("Value").as_bytes(), b"v");
    let stale = here.ask("kv-get", &[("Key", text("k")), ("Stale", Value::Bool(true))]).unwrap();
    assert_eq!(stale.get("Stale"), &Value::Bool(true));
    assert_ne!(stale.get("Age"), &Value::Nil);
    assert_eq!(here.ask("raft-status", &[]).unwrap().get("Role").as_text(), "leader");

    here.rpc.call("watch", Some(map(&[("Prefix", text("w"))]))).unwrap();
    there.write("kv-put", &[("Key", text("w")), ("Value", bytes("v"))]).unwrap();
    let seen = eventually("the change is seen", || {
        let record = here.rpc.record(PATIENCE).unwrap();
        record.get("Changes").as_array().first().cloned().ok_or_else(|| "only how far".into())
    });
    assert_eq!(seen.get("Key").as_text(), "w");
}

#[test]
fn an_agent_without_a_group_says_so() {
    let agent = Agent::start(Kind::Folkmoot, "lonely", &["-profile=local"]);
    let mut rpc = agent.rpc();
    let seq = rpc.send("client-register", Some(map(&[("TTL", int(60_000)), ("Timeout", int(500))])));
    let error = crate::caller::answer(&mut rpc, seq).unwrap_err();
    assert!(error.starts_with("no-group: "), "{error}");
    assert_eq!(rpc.members().len(), 1, "and goes on");
}

#[test]
fn the_go_agent_does_not_know_the_commands() {
    let agent = Agent::start(Kind::Go, "go", &["-profile=local"]);
    let mut rpc = agent.rpc();
    assert_eq!(rpc.call("kv-get", None), Err("Unsupported command".into()));
}
