//! Calls that wait, connections and agents that end, and clients that mean harm.

use std::collections::BTreeSet;
use std::time::Duration;

use folkmoot_proto::coordination::CoordinationCommand;

use crate::caller::{Caller, alone, answer, bytes, int, map, object, text};
use crate::support::rpc::Received;
use crate::support::{Signal, Value, eventually};

fn lock(wait: i128) -> [(&'static str, Value); 2] {
    [("Name", text("l")), ("Wait", int(wait))]
}

#[test]
fn a_thousand_calls_overtake_one_that_waits() {
    let (agent, _directory) = alone("alone");
    let mut caller = Caller::new(&agent);
    let hold = caller.write("lock-acquire", &lock(0)).unwrap().get("Hold").clone();
    let waiting = caller.send("lock-acquire", &lock(-1));
    let mut bodies = Vec::new();
    for number in 0..1000 {
        caller.request += 1;
        bodies.push(caller.signed(&[("Key", text(&format!("k{number}"))), ("Value", bytes("v"))]));
    }
    caller.rpc.send_all("kv-put", bodies.into_iter());
    let mut revisions = BTreeSet::new();
    for _ in 0..1000 {
        let (seq, answer) = caller.next();
        assert!(seq > waiting);
        revisions.insert(answer.unwrap().get("Revision").as_int());
    }
    assert_eq!(revisions.len(), 1000, "each is a revision of its own");
    let releasing = caller.send("lock-release", &[("Name", text("l")), ("Hold", hold)]);
    let answered: BTreeSet<u64> = (0..2).map(|_| caller.next()).map(|(seq, answer)| (seq, answer.unwrap()).0).collect();
    assert_eq!(answered, BTreeSet::from([waiting, releasing]));
}

#[test]
fn stop_and_the_end_of_the_connection_take_a_call_out_of_its_line() {
    let (agent, _directory) = alone("alone");
    let mut holder = Caller::new(&agent);
    let session = [("TTL", int(600_000)), ("WithConnection", Value::Bool(true))];
    let session = holder.write("session-create", &session).unwrap().get("Session").clone();
    let held = holder.write("lock-acquire", &[&lock(0)[..], &[("Session", session)]].concat()).unwrap();

    let mut stopped = Caller::new(&agent);
    let waiting = stopped.send("lock-acquire", &lock(-1));
    let stop = stopped.rpc.send("stop", Some(map(&[("Stop", int(i128::from(waiting)))])));
    assert_eq!(object(&mut stopped.rpc).get("Seq").as_int(), i128::from(stop));
    let error = answer(&mut stopped.rpc, waiting).unwrap_err();
    assert!(error.starts_with("cancelled: "), "{error}");

    let mut gone = Caller::new(&agent);
    gone.send("lock-acquire", &lock(-1));
    let mut next = Caller::new(&agent);
    let line = |caller: &mut Caller| caller.ask("lock-info", &[("Name", text("l"))]).unwrap();
    let waiting_calls = |caller: &mut Caller, wanted: usize| {
        eventually("the line is so", || match line(caller).get("Waiting").as_array().len() {
            found if found == wanted => Ok(()),
            found => Err(format!("{found} wait")),
        });
    };
    waiting_calls(&mut next, 1);
    drop(gone);
    waiting_calls(&mut next, 0);
    let waiting = next.send("lock-acquire", &lock(-1));
    drop(holder);
    let granted = answer(&mut next.rpc, waiting).unwrap();
    assert!(granted.get("Token").as_int() > held.get("Token").as_int());
}

#[test]
fn a_request_is_applied_once_over_connections_and_a_kill() {
    let (mut agent, _directory) = alone("alone");
    let mut caller = Caller::new(&agent);
    let add = [("Name", text("c")), ("By", int(5))];
    assert_eq!(caller.write("counter-add", &add).unwrap().get("Value").as_int(), 5);
    let mut again = caller.again(&agent);
    let seq = again.send_again("counter-add", &add);
    assert_eq!(answer(&mut again.rpc, seq).unwrap().get("Value").as_int(), 5);
    agent.signal(Signal::Kill);
    agent.wait_for_exit();
    agent.restart();
    let value = eventually("the group is back", || {
        let mut back = caller.again(&agent);
        let seq = back.send_again("counter-add", &add);
        answer(&mut back.rpc, seq).map(|body| body.get("Value").as_int())
    });
    assert_eq!(value, 5);
    let mut back = caller.again(&agent);
    assert_eq!(back.write("counter-add", &add).unwrap().get("Value").as_int(), 10);
    back.client += 1_000_000;
    let error = back.write("counter-add", &add).unwrap_err();
    assert!(error.starts_with("client-expired: "), "{error}");
}

#[test]
fn hostile_bodies_do_no_harm() {
    let (agent, _directory) = alone("alone");
    let mut caller = Caller::new(&agent);
    caller.write("kv-put", &[("Key", text("k")), ("Value", bytes("v"))]).unwrap();
    let before = agent.resident_kib();
    let nested = (0..40).fold(Value::Nil, |inner, _| Value::Array(vec![inner]));
    let long = "x".repeat(1_100);
    let many = Value::Array(vec![Value::Nil; 100_000]);
    let large = Value::Bin(vec![0; (1 << 20) + 1]);
    for command in CoordinationCommand::ALL {
        for body in [
            Value::Int(7),
            Value::Array(vec![text("a")]),
            nested.clone(),
            map(&[("Client", text("x")), ("Key", int(-1)), ("Name", nested.clone())]),
            map(&[("Key", text(&long)), ("Name", text(&long)), ("Prefix", text(&long)), ("Member", text(&long))]),
            map(&[("Elements", many.clone()), ("Compares", many.clone()), ("Requires", many.clone())]),
            map(&[("Name", text("h")), ("Key", text("h")), ("Value", large.clone()), ("Data", large.clone())]),
        ] {
            let mut rpc = agent.rpc();
            rpc.send(command.name(), Some(body));
            // Whatever it says, it says something, or closes; a stream goes on.
            assert_ne!(rpc.receive(Duration::from_secs(20)), Received::Silence, "{}", command.name());
        }
    }
    let found = caller.ask("kv-get", &[("Key", text("k"))]).unwrap();
    assert_eq!(found.get("Entry").get("Value").as_bytes(), b"v");
    let grown = agent.resident_kib().saturating_sub(before);
    assert!(grown < 300 << 10, "grown by {grown} KiB");
}

#[test]
fn as_many_calls_wait_as_are_allowed_and_the_agent_lives_on() {
    let (agent, _directory) = alone("alone");
    let mut caller = Caller::new(&agent);
    caller.write("lock-acquire", &lock(0)).unwrap();
    for _ in 0..256 {
        caller.send("lock-acquire", &lock(-1));
    }
    let error = caller.write("lock-acquire", &lock(-1)).unwrap_err();
    assert!(error.starts_with("too-many-calls: "), "{error}");
    drop(caller);
    let mut other = Caller::new(&agent);
    eventually("nobody waits", || {
        let line = other.ask("lock-info", &[("Name", text("l"))])?;
        match line.get("Waiting").as_array().len() {
            0 => Ok(()),
            waiting => Err(format!("{waiting} wait")),
        }
    });
}
