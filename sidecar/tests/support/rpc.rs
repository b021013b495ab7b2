//! A raw, blocking RPC client: one connection, objects in and out, nothing hidden.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::msgpack::{Unread, Value};
use super::{PATIENCE, eventually};

/// What reading from the agent gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    Object(Value),
    /// The agent closed the connection.
    Closed,
    /// Nothing came in time.
    Silence,
    /// Something that is no MessagePack.
    Garbage,
}

/// One connection.
#[derive(Debug)]
pub struct Rpc {
    socket: TcpStream,
    buffer: Vec<u8>,
    sequence: u64,
    /// Records (header Seq, body) that came while a reply was awaited.
    records: VecDeque<(u64, Value)>,
}

/// A member as RPC shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    pub name: String,
    pub address: Vec<u8>,
    pub port: i128,
    pub status: String,
    pub tags: BTreeMap<String, String>,
    /// Delegate cur, max, min, then protocol cur, max, min.
    pub versions: [i128; 6],
}

/// What a query brought, in order of arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    pub acks: Vec<String>,
    pub responses: Vec<(String, Vec<u8>)>,
}

impl Rpc {
    /// Connects and shakes hands.
    pub fn connect(address: SocketAddr) -> Self {
        let mut rpc = Self::connect_raw(address);
        rpc.call("handshake", Some(Value::map([("Version", Value::Int(1))]))).unwrap();
        rpc
    }

    /// Connects and says nothing.
    pub fn connect_raw(address: SocketAddr) -> Self {
        let socket = eventually(&format!("{address} accepts"), || {
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).map_err(|error| error.to_string())
        });
        socket.set_nodelay(true).unwrap();
        Self { socket, buffer: Vec::new(), sequence: 0, records: VecDeque::new() }
    }

    /// Writes bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// As [`Self::send_bytes`], but says whether the agent still took them.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Ends the connection without surprising the agent: it reads the end of our data, we read the rest of its.
    pub fn finish(mut self) {
        self.half_close();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.receive(Duration::from_secs(1)), Received::Object(_)) && Instant::now() < deadline {}
    }

    /// Ends the sending side.
    pub fn half_close(&self) {
        // An agent that is gone has ended both sides already.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// The next object, waiting at most `limit`.
    pub fn receive(&mut self, limit: Duration) -> Received {
        let deadline = Instant::now() + limit;
        loop {
            match Value::read(&self.buffer) {
                Ok((value, length)) => {
                    self.buffer.drain(..length);
                    return Received::Object(value);
                }
                Err(Unread::Invalid) => return Received::Garbage,
                Err(Unread::Incomplete) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Received::Silence;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut chunk = [0; 16 * 1024];
            match self.socket.read(&mut chunk) {
                Ok(0) => return Received::Closed,
                Ok(length) => self.buffer.extend(&chunk[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Received::Closed,
            }
        }
    }

    fn object(&mut self, what: &str) -> Value {
        match self.receive(PATIENCE) {
            Received::Object(value) => value,
            other => panic!("{what}: {other:?}"),
        }
    }

    /// Sends a request and gives its Seq.
    pub fn send(&mut self, command: &str, body: Option<Value>) -> u64 {
        let bytes = self.request(command, body.as_ref());
        self.send_bytes(&bytes);
        self.sequence
    }

    /// Sends many requests in one write.
    pub fn send_all(&mut self, command: &str, bodies: impl Iterator<Item = Value>) {
        let bytes: Vec<u8> = bodies.flat_map(|body| self.request(command, Some(&body))).collect();
        self.send_bytes(&bytes);
    }

    fn request(&mut self, command: &str, body: Option<&Value>) -> Vec<u8> {
        self.sequence += 1;
        let seq = Value::Int(i128::from(self.sequence));
        let header = Value::map([("Command", Value::text(command)), ("Seq", seq)]);
        let mut bytes = header.encode();
        bytes.extend(body.iter().flat_map(|body| body.encode()));
        bytes
    }

    /// Waits for the reply header of `sequence`; records of streams that come first are kept.
    fn reply(&mut self, sequence: u64) -> Result<(), String> {
        loop {
            let header = self.object("waiting for a reply");
            let seq = u64::try_from(header.get("Seq").as_int()).unwrap();
            if seq == sequence {
                let error = header.get("Error").as_text();
                return if error.is_empty() { Ok(()) } else { Err(error) };
            }
            let body = self.object("waiting for a record");
            self.records.push_back((seq, body));
        }
    }

    /// A command whose reply is a header only.
    pub fn call(&mut self, command: &str, body: Option<Value>) -> Result<(), String> {
        let sequence = self.send(command, body);
        self.reply(sequence)
    }

    /// A command whose reply has a body; the body of a failed one is read and dropped where the agent sends one.
    pub fn ask(&mut self, command: &str, body: Option<Value>) -> Result<Value, String> {
        let sequence = self.send(command, body);
        let header = self.reply(sequence);
        if header.as_ref().is_err_and(|error| error == "Authentication required") {
            return header.map(|()| Value::Nil);
        }
        let body = self.object(command);
        header.map(|()| body)
    }

    /// The next record of any stream of this connection, waiting at most `limit`.
    pub fn record(&mut self, limit: Duration) -> Option<Value> {
        if let Some((_, record)) = self.records.pop_front() {
            return Some(record);
        }
        match self.receive(limit) {
            Received::Object(_header) => Some(self.object("the body of a record")),
            Received::Silence => None,
            other => panic!("waiting for a record: {other:?}"),
        }
    }

    pub fn members(&mut self) -> Vec<MemberRow> {
        let body = self.ask("members", None).unwrap();
        let mut rows: Vec<MemberRow> = body.get("Members").as_array().iter().map(MemberRow::of).collect();
        rows.sort_by(|left, right| left.name.cmp(&right.name));
        rows
    }

    /// Name and status of every member, by name.
    pub fn statuses(&mut self) -> BTreeMap<String, String> {
        self.members().into_iter().map(|row| (row.name, row.status)).collect()
    }

    pub fn join(&mut self, addresses: &[&str]) -> Result<i128, String> {
        let existing = Value::Array(addresses.iter().map(|address| Value::text(address)).collect());
        let body = Value::map([("Existing", existing), ("Replay", Value::Bool(false))]);
        self.ask("join", Some(body)).map(|reply| reply.get("Num").as_int())
    }

    pub fn event(&mut self, name: &str, payload: &[u8], coalesce: bool) -> Result<(), String> {
        let payload = Value::Bin(payload.to_vec());
        let body = Value::map([("Name", Value::text(name)), ("Payload", payload), ("Coalesce", Value::Bool(coalesce))]);
        self.call("event", Some(body))
    }

    /// Opens a stream of events and waits until it runs; its records come from [`Self::record`].
    pub fn stream(&mut self, filter: &str) {
        self.call("stream", Some(Value::map([("Type", Value::text(filter))]))).unwrap();
        // Go answers first and subscribes then; it reads the next request when it has subscribed.
        self.coordinate("nobody");
    }

    /// Starts a query; its records come from [`Self::answers`].
    pub fn query(&mut self, body: Value) -> Result<(), String> {
        self.call("query", Some(body))
    }

    /// Reads a query's records up to `done`. No stream may be open on this connection.
    pub fn answers(&mut self) -> Answers {
        let mut answers = Answers::default();
        loop {
            let record = self.record(PATIENCE).expect("a query ends with `done`");
            let from = record.get("From").as_text();
            match record.get("Type").as_text().as_str() {
                "done" => return answers,
                // The Go agent may send empty records at the deadline (docs/spec/rpc.md 8.4).
                _ if from.is_empty() => {}
                "ack" => answers.acks.push(from),
                "response" => answers.responses.push((from, record.get("Payload").as_bytes())),
                other => panic!("a record of type {other}"),
            }
        }
    }

    pub fn respond(&mut self, id: &Value, payload: &[u8]) -> Result<(), String> {
        self.call("respond", Some(Value::map([("ID", id.clone()), ("Payload", Value::Bin(payload.to_vec()))])))
    }

    pub fn set_tags(&mut self, set: &[(&str, &str)], delete: &[&str]) -> Result<(), String> {
        let set = set.iter().map(|(key, value)| (Value::text(key), Value::text(value))).collect();
        let delete = delete.iter().map(|key| Value::text(key)).collect();
        self.call("tags", Some(Value::map([("Tags", Value::Map(set)), ("DeleteTags", Value::Array(delete))])))
    }

    pub fn force_leave(&mut self, node: &str, prune: bool) -> Result<(), String> {
        self.call("force-leave", Some(Value::map([("Node", Value::text(node)), ("Prune", Value::Bool(prune))])))
    }

    /// Position, error estimate and height of a node, if it is known.
    pub fn coordinate(&mut self, node: &str) -> Option<(Vec<f64>, f64, f64)> {
        let reply = self.ask("get-coordinate", Some(Value::map([("Node", Value::text(node))]))).unwrap();
        if *reply.get("Ok") != Value::Bool(true) {
            return None;
        }
        let number = |value: &Value| if let Value::Float(number) = value { *number } else { panic!("{value:?}") };
        let coordinate = reply.get("Coord");
        let position = coordinate.get("Vec").as_array().iter().map(number).collect();
        Some((position, number(coordinate.get("Error")), number(coordinate.get("Height"))))
    }
}

impl MemberRow {
    fn of(row: &Value) -> Self {
        let Value::Map(tags) = row.get("Tags") else { panic!("tags of {row:?}") };
        let versions = ["DelegateCur", "DelegateMax", "DelegateMin", "ProtocolCur", "ProtocolMax", "ProtocolMin"];
        Self {
            name: row.get("Name").as_text(),
            address: row.get("Addr").as_bytes(),
            port: row.get("Port").as_int(),
            status: row.get("Status").as_text(),
            tags: tags.iter().map(|(key, value)| (key.as_text(), value.as_text())).collect(),
            versions: versions.map(|key| row.get(key).as_int()),
        }
    }
}
