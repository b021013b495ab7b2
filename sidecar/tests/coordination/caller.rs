//! A client of coordination over a raw connection, and what an agent says of its group.

use std::collections::BTreeMap;

use super::support::rpc::Received;
use super::support::{Agent, PATIENCE, Rpc, Value, eventually};

/// One registered client.
pub struct Caller {
    rpc: Rpc,
    client: i128,
    request: i128,
}

impl Caller {
    /// Registers; waits until the agent's group answers.
    pub fn register(agent: &Agent) -> Self {
        let client = eventually(&format!("{} registers a client", agent.name), || {
            let body = Value::map([("TTL", Value::Int(600_000)), ("Timeout", Value::Int(5_000))]);
            ask(&mut agent.rpc(), "client-register", body).map(|answer| answer.get("Client").as_int())
        });
        Self { rpc: agent.rpc(), client, request: 0 }
    }

    /// Goes on over another agent.
    pub fn moved_to(self, agent: &Agent) -> Self {
        Self { rpc: agent.rpc(), ..self }
    }

    /// Sets a key; the same request is repeated where its outcome is unknown.
    pub fn put(&mut self, key: &str, value: &str) {
        let body = self.next_put(key, value);
        eventually(&format!("{key} is put"), || ask(&mut self.rpc, "kv-put", body.clone()).map(drop));
    }

    /// The same without waiting for what comes of it.
    pub fn send_put(&mut self, key: &str, value: &str) {
        let body = self.next_put(key, value);
        self.rpc.send("kv-put", Some(body));
    }

    fn next_put(&mut self, key: &str, value: &str) -> Value {
        self.request += 1;
        Value::map([
            ("Key", Value::text(key)),
            ("Value", Value::Bin(value.as_bytes().to_vec())),
            ("Session", Value::Int(0)),
            ("TTL", Value::Int(0)),
            ("Client", Value::Int(self.client)),
            ("Request", Value::Int(self.request)),
            ("AcknowledgedBelow", Value::Int(self.request)),
            ("Timeout", Value::Int(5_000)),
        ])
    }

    /// A key, as it is now.
    pub fn get(&mut self, key: &str) -> Option<String> {
        let body =
            Value::map([("Key", Value::text(key)), ("Stale", Value::Bool(false)), ("Timeout", Value::Int(5_000))]);
        let answer = eventually(&format!("{key} is read"), || ask(&mut self.rpc, "kv-get", body.clone()));
        let entry = answer.get("Entry");
        (*entry != Value::Nil).then(|| entry.get("Value").as_text())
    }
}

/// A command whose error has no body.
fn ask(rpc: &mut Rpc, command: &str, body: Value) -> Result<Value, String> {
    rpc.call(command, Some(body))?;
    match rpc.receive(PATIENCE) {
        Received::Object(answer) => Ok(answer),
        other @ (Received::Closed | Received::Silence | Received::Garbage) => panic!("{command}: {other:?}"),
    }
}

/// The group `raft` of `stats`; empty without `-raft`.
pub fn stats(agent: &Agent) -> BTreeMap<String, String> {
    let body = agent.rpc().ask("stats", None).unwrap();
    let Value::Map(values) = body.get("raft") else { return BTreeMap::new() };
    values.iter().map(|(key, value)| (key.as_text(), value.as_text())).collect()
}

/// Waits until all of them know the same leader, and gives its name.
pub fn leader(agents: &[&Agent]) -> String {
    eventually("one leader", || {
        let known: Vec<String> = agents.iter().map(|agent| stats(agent)["leader"].clone()).collect();
        let one = known.iter().all(|name| *name == known[0] && !name.is_empty());
        if one { Ok(known[0].clone()) } else { Err(format!("{known:?}")) }
    })
}
