//! A client of the group on one raw connection, and the agents that it talks to.

use std::sync::Arc;

use crate::support::rpc::Received;
use crate::support::{Agent, Directory, Kind, Loopback, PATIENCE, Rpc, Value, eventually};

/// The fields of a body.
pub type Fields<'a> = &'a [(&'a str, Value)];

/// A client of the group.
pub struct Caller {
    pub rpc: Rpc,
    pub client: i128,
    pub request: i128,
}

pub fn int(number: i128) -> Value {
    Value::Int(number)
}

pub fn text(text: &str) -> Value {
    Value::text(text)
}

pub fn bytes(text: &str) -> Value {
    Value::Bin(text.as_bytes().to_vec())
}

pub fn map(fields: Fields<'_>) -> Value {
    Value::Map(fields.iter().map(|(key, value)| (text(key), value.clone())).collect())
}

impl Caller {
    /// Connects and registers; waits until there is a group.
    pub fn new(agent: &Agent) -> Self {
        let mut rpc = agent.rpc();
        let client = eventually("a client is registered", || {
            let seq = rpc.send("client-register", Some(map(&[("TTL", int(600_000))])));
            answer(&mut rpc, seq).map(|body| body.get("Client").as_int())
        });
        Self { rpc, client, request: 0 }
    }

    /// The same client on a connection of its own.
    pub fn again(&self, agent: &Agent) -> Self {
        Self { rpc: agent.rpc(), client: self.client, request: self.request }
    }

    /// Sends a write as the client's next request: its Seq.
    pub fn send(&mut self, command: &str, fields: Fields<'_>) -> u64 {
        self.request += 1;
        self.send_again(command, fields)
    }

    /// Sends a write under the number of the last one.
    pub fn send_again(&mut self, command: &str, fields: Fields<'_>) -> u64 {
        let body = self.signed(fields);
        self.rpc.send(command, Some(body))
    }

    /// The body of a write.
    pub fn signed(&self, fields: Fields<'_>) -> Value {
        let common = [("Client", int(self.client)), ("Request", int(self.request))];
        map(&[&common, fields].concat())
    }

    /// The answer of a write that is sent next: its body, or its error.
    pub fn write(&mut self, command: &str, fields: Fields<'_>) -> Result<Value, String> {
        let seq = self.send(command, fields);
        answer(&mut self.rpc, seq)
    }

    /// The answer of a command that is no write.
    pub fn ask(&mut self, command: &str, fields: Fields<'_>) -> Result<Value, String> {
        let seq = self.rpc.send(command, Some(map(fields)));
        answer(&mut self.rpc, seq)
    }

    /// The next answer of any call: its Seq, and its body or error.
    pub fn next(&mut self) -> (u64, Result<Value, String>) {
        next(&mut self.rpc)
    }
}

/// The next thing that comes is the answer to `seq`.
pub fn answer(rpc: &mut Rpc, seq: u64) -> Result<Value, String> {
    let (answered, answer) = next(rpc);
    assert_eq!(answered, seq, "{answer:?}");
    answer
}

fn next(rpc: &mut Rpc) -> (u64, Result<Value, String>) {
    let header = object(rpc);
    let error = header.get("Error").as_text();
    let seq = u64::try_from(header.get("Seq").as_int()).unwrap();
    (seq, if error.is_empty() { Ok(object(rpc)) } else { Err(error) })
}

/// The next object.
pub fn object(rpc: &mut Rpc) -> Value {
    let received = rpc.receive(PATIENCE);
    let Received::Object(object) = received else { panic!("waiting for an object: {received:?}") };
    object
}

/// An agent that is a group of its own, with its data.
pub fn alone(name: &str) -> (Agent, Directory) {
    let directory = Directory::fresh();
    let data = format!("-data-dir={}", directory.path().display());
    (Agent::start(Kind::Folkmoot, name, &["-profile=local", "-raft", &data]), directory)
}

/// An agent without `-raft` beside it.
pub fn beside(agent: &Agent, name: &str) -> Agent {
    let join = format!("-join={}", agent.gossip());
    Agent::start_at(Kind::Folkmoot, name, Arc::new(Loopback::fresh()), &["-profile=local", &join])
}
