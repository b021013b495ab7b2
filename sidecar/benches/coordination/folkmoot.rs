//! A group of ours.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::call::{Caller, Endpoint, Outcome};
use crate::group::{Group, Means};
use crate::measure::LIMIT;
use crate::networked::{Client, Networked, Pipeline};
use crate::support::msgpack::Unread;
use crate::support::{Rpc, Value};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Folkmoot {
    group: Group,
}

impl Folkmoot {
    /// Three nodes with our own settings.
    pub fn start() -> Self {
        Self { group: Group::start(3, Means::default()) }
    }

    fn endpoint(&self, node: usize) -> &Endpoint {
        &self.group.nodes[node].endpoint
    }

    fn state(&self, node: usize) -> Option<Value> {
        self.runs(node).then(|| self.group.nodes[node].state())?
    }
}

impl Networked for Folkmoot {
    fn client(&self, node: usize) -> Box<dyn Client> {
        Box::new(Caller::of_one(self.endpoint(node)))
    }

    fn pipeline(&self, node: usize) -> Box<dyn Pipeline> {
        let Endpoint::Tcp(address) = self.endpoint(node) else { panic!("a group on loopback") };
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut calls = Calls { socket, unread: Vec::new(), sequence: 0, client: 0, below: 1, open: Vec::new() };
        calls.greet();
        Box::new(calls)
    }

    fn leader_now(&self) -> Option<usize> {
        self.group.leader()
    }

    fn term_now(&self) -> Option<u64> {
        let terms = (0..3).filter_map(|node| self.state(node));
        terms.map(|state| u64::try_from(state.get("Term").as_int()).unwrap()).max()
    }

    fn processes(&self) -> Vec<u32> {
        self.group.nodes.iter().filter_map(crate::group::Node::process).collect()
    }

    fn runs(&self, node: usize) -> bool {
        self.group.nodes[node].is_running()
    }

    fn kill(&mut self, node: usize) {
        self.group.nodes[node].kill();
    }

    fn start_node(&mut self, node: usize) {
        self.group.nodes[node].start();
    }

    fn applied(&self, node: usize) -> Option<u64> {
        Some(u64::try_from(self.state(node)?.get("Applied").as_int()).unwrap())
    }

    /// `50-100` are the shortest draws of election timeouts; who leads keeps those it has, and nobody waits for them.
    fn settled(&self, node: usize) -> bool {
        let Endpoint::Tcp(address) = self.endpoint(node) else { panic!("a group on loopback") };
        let stats = Rpc::connect(*address).ask("stats", None);
        let raft = |stats: &Value, name| stats.get("raft").get(name).as_text().to_owned();
        stats.is_ok_and(|stats| raft(&stats, "state") == "leader" || raft(&stats, "election_timeout_ms") == "50-100")
    }

    fn serves(&self, node: usize) -> bool {
        self.client(node).read("key-0", false)
    }
}

impl Client for Caller {
    fn write(&mut self, key: &str, value: &[u8]) -> bool {
        let fields = [("Key", Value::text(key)), ("Value", Value::Bin(value.to_vec()))];
        matches!(Self::write(self, "kv-put", &fields, Duration::ZERO, PATIENCE), Outcome::Answer(_))
    }

    fn read(&mut self, key: &str, stale: bool) -> bool {
        matches!(self.read_as("kv-get", &[("Key", Value::text(key))], stale, PATIENCE), Some(Ok(_)))
    }
}

/// Many calls under way on one connection: written by hand, because the client shares the processors with the nodes.
struct Calls {
    socket: TcpStream,
    unread: Vec<u8>,
    sequence: u64,
    client: u64,
    /// All sequence numbers below are answered.
    below: u64,
    /// Those from `below` on: whether they are answered.
    open: Vec<bool>,
}

impl Calls {
    fn greet(&mut self) {
        let mut bytes = Vec::new();
        self.header(&mut bytes, "handshake");
        map(&mut bytes, 1);
        text(&mut bytes, "Version");
        number(&mut bytes, 1);
        self.header(&mut bytes, "client-register");
        map(&mut bytes, 1);
        text(&mut bytes, "TTL");
        number(&mut bytes, 600_000);
        self.socket.write_all(&bytes).unwrap();
        let handshake = self.object();
        assert_eq!(handshake.get("Error").as_text(), "");
        let registered = self.object();
        assert_eq!(registered.get("Error").as_text(), "");
        self.client = u64::try_from(self.object().get("Client").as_int()).unwrap();
        // Requests have the numbers of their headers.
        self.below = self.sequence + 1;
    }

    fn header(&mut self, out: &mut Vec<u8>, command: &str) {
        self.sequence += 1;
        map(out, 2);
        text(out, "Command");
        text(out, command);
        text(out, "Seq");
        number(out, self.sequence);
    }

    /// The next object, waited for.
    fn object(&mut self) -> Value {
        loop {
            if let Some((object, length)) = read(&self.unread) {
                self.unread.drain(..length);
                return object;
            }
            self.more();
        }
    }

    fn more(&mut self) {
        let mut chunk = [0; 64 * 1024];
        let length = self.socket.read(&mut chunk).expect("the agent answers");
        assert!(length > 0, "the agent has closed the connection");
        self.unread.extend(&chunk[..length]);
    }

    fn answered(&mut self, sequence: u64) {
        self.open[usize::try_from(sequence - self.below).unwrap()] = true;
        let done = self.open.iter().take_while(|answered| **answered).count();
        self.open.drain(..done);
        self.below += done as u64;
    }
}

impl Pipeline for Calls {
    fn send(&mut self, keys: &[String], value: &[u8]) {
        let mut bytes = Vec::with_capacity(keys.len() * 300);
        for key in keys {
            self.header(&mut bytes, "kv-put");
            map(&mut bytes, 6);
            for (name, value) in
                [("AcknowledgedBelow", self.below), ("Client", self.client), ("Request", self.sequence)]
            {
                text(&mut bytes, name);
                number(&mut bytes, value);
            }
            text(&mut bytes, "Key");
            text(&mut bytes, key);
            text(&mut bytes, "Timeout");
            number(&mut bytes, PATIENCE.as_millis() as u64);
            text(&mut bytes, "Value");
            bytes.extend([0xc4, u8::try_from(value.len()).unwrap()]);
            bytes.extend(value);
            self.open.push(false);
        }
        self.socket.write_all(&bytes).unwrap();
    }

    fn answers(&mut self) -> (usize, usize) {
        let (mut answers, mut good, mut at) = (0, 0, 0);
        loop {
            while let Some((header, length)) = read(&self.unread[at..]) {
                let refused = !header.get("Error").as_text().is_empty();
                let body = if refused { Some(0) } else { read(&self.unread[at + length..]).map(|(_, length)| length) };
                let Some(body) = body else { break };
                at += length + body;
                answers += 1;
                good += usize::from(!refused);
                self.answered(u64::try_from(header.get("Seq").as_int()).unwrap());
            }
            self.unread.drain(..at);
            if answers > 0 {
                return (answers, good);
            }
            at = 0;
            self.more();
        }
    }
}

fn read(bytes: &[u8]) -> Option<(Value, usize)> {
    match Value::read(bytes) {
        Ok(read) => Some(read),
        Err(Unread::Incomplete) => None,
        Err(Unread::Invalid) => panic!("no MessagePack"),
    }
}

fn map(out: &mut Vec<u8>, entries: u8) {
    out.push(0x80 | entries);
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0xa0 | u8::try_from(text.len()).unwrap());
    out.extend(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.push(0xcf);
    out.extend(number.to_be_bytes());
}
