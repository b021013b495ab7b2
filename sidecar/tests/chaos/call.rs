//! A coordination client that knows nothing of Folkmoot's own: it sends the same numbers again, to any agent, until it has
//! an outcome or its time is up, and then says honestly what it knows.
#![allow(dead_code, reason = "each program uses its part")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::msgpack::Unread;
use crate::support::{Value, rest};

/// How long one agent may be silent before another one is asked.
const ATTEMPT: Duration = Duration::from_millis(1_500);
/// Between two attempts that were turned away at once.
const PAUSE: Duration = Duration::from_millis(20);
/// Far above what any fault lasts: clients do not expire unless a test wants them to.
const CLIENT_TTL_MS: i128 = 600_000;

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was done, with this answer.
    Answer(Value),
    /// It was refused with this word, and nothing was changed.
    Refused(String),
    /// It was certainly not done, and never will be.
    Never,
    /// It may have been done, may be done later, or never.
    Unknown,
}

/// Where an agent serves RPC.
#[derive(Debug, Clone)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A client of a group.
pub struct Caller {
    agents: Vec<Endpoint>,
    at: usize,
    connection: Option<Connection>,
    client: Option<i128>,
    next: i128,
}

impl Caller {
    /// A client that begins with the agent at place `first`.
    pub fn new(agents: &[Endpoint], first: usize) -> Self {
        Self { agents: agents.to_vec(), at: first % agents.len(), connection: None, client: None, next: 0 }
    }

    /// A client that only ever asks one agent.
    pub fn of_one(agent: &Endpoint) -> Self {
        Self::new(std::slice::from_ref(agent), 0)
    }

    /// Sends a write once, however often that takes. `wait` is for calls that wait; `limit` is when to give up.
    pub fn write(&mut self, command: &str, fields: &[(&str, Value)], wait: Duration, limit: Duration) -> Outcome {
        let deadline = Instant::now() + limit;
        let Some(client) = self.registered(deadline) else { return Outcome::Never };
        self.next += 1;
        let request = self.next;
        let mut perhaps = false;
        while Instant::now() < deadline {
            let timeout = deadline.saturating_duration_since(Instant::now()).min(ATTEMPT);
            let numbers = [
                ("AcknowledgedBelow", Value::Int(request)),
                ("Client", Value::Int(client)),
                ("Request", Value::Int(request)),
                ("Timeout", millis(timeout)),
            ];
            let body = map(numbers.iter().chain(fields));
            match self.attempt(command, body, timeout + wait) {
                Attempt::Answer(value) => return Outcome::Answer(value),
                Attempt::Error(text) => match word(&text) {
                    "timeout" => perhaps = true,
                    "no-quorum" | "overloaded" | "stopping" | "no-group" | "refused" => self.pause(),
                    "client-expired" => {
                        self.client = None;
                        return if perhaps { Outcome::Unknown } else { Outcome::Never };
                    }
                    other => return Outcome::Refused(other.to_owned()),
                },
                Attempt::Unsent => self.pause(),
                Attempt::Lost => perhaps = true,
            }
        }
        if perhaps { Outcome::Unknown } else { Outcome::Never }
    }

    /// Reads, from the group as it is. `None`: nobody answered in time.
    pub fn read(&mut self, command: &str, fields: &[(&str, Value)], limit: Duration) -> Option<Result<Value, String>> {
        self.read_as(command, fields, false, limit)
    }

    /// Reads; `stale` is what the asked agent knows itself.
    pub fn read_as(
        &mut self,
        command: &str,
        fields: &[(&str, Value)],
        stale: bool,
        limit: Duration,
    ) -> Option<Result<Value, String>> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let timeout = deadline.saturating_duration_since(Instant::now()).min(ATTEMPT);
            let common = [("Stale", Value::Bool(stale)), ("Timeout", millis(timeout))];
            match self.attempt(command, map(common.iter().chain(fields)), timeout) {
                Attempt::Answer(value) => return Some(Ok(value)),
                Attempt::Error(text) => match word(&text) {
                    "timeout" | "no-quorum" | "overloaded" | "stopping" | "no-group" | "refused" => self.pause(),
                    _ => return Some(Err(text)),
                },
                Attempt::Unsent | Attempt::Lost => self.pause(),
            }
        }
        None
    }

    /// Asks the present agent alone, once.
    pub fn ask_once(
        &mut self,
        command: &str,
        fields: &[(&str, Value)],
        limit: Duration,
    ) -> Option<Result<Value, String>> {
        match self.attempt(command, map(fields.iter()), limit) {
            Attempt::Answer(value) => Some(Ok(value)),
            Attempt::Error(text) => Some(Err(text)),
            Attempt::Unsent | Attempt::Lost => None,
        }
    }

    fn registered(&mut self, deadline: Instant) -> Option<i128> {
        while self.client.is_none() && Instant::now() < deadline {
            let body = map([("TTL", Value::Int(CLIENT_TTL_MS)), ("Timeout", millis(ATTEMPT))].iter());
            match self.attempt("client-register", body, ATTEMPT) {
                Attempt::Answer(value) => {
                    self.client = Some(value.get("Client").as_int());
                    self.next = 0;
                }
                Attempt::Error(_) | Attempt::Unsent | Attempt::Lost => self.pause(),
            }
        }
        self.client
    }

    fn attempt(&mut self, command: &str, body: Value, limit: Duration) -> Attempt {
        if self.connection.is_none() {
            self.connection = Connection::open(&self.agents[self.at]);
        }
        let Some(connection) = &mut self.connection else {
            self.go_on();
            return Attempt::Unsent;
        };
        // A little longer than the agent itself takes to give up.
        let attempt = connection.ask(command, &body, limit + ATTEMPT / 5);
        let moves_on = match &attempt {
            Attempt::Answer(_) => false,
            Attempt::Error(text) => matches!(word(text), "timeout" | "no-quorum" | "stopping" | "no-group" | "refused"),
            Attempt::Unsent | Attempt::Lost => true,
        };
        if moves_on {
            self.go_on();
        }
        attempt
    }

    /// On to the next agent.
    fn go_on(&mut self) {
        self.connection = None;
        self.at = (self.at + 1) % self.agents.len();
    }

    fn pause(&self) {
        rest(PAUSE, || false);
    }
}

fn millis(span: Duration) -> Value {
    Value::Int(i128::try_from(span.as_millis().max(1)).unwrap())
}

fn map<'a>(fields: impl Iterator<Item = &'a (&'a str, Value)>) -> Value {
    Value::Map(fields.map(|(key, value)| (Value::text(key), value.clone())).collect())
}

/// The stable word in front of an error's text.
fn word(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

/// What one attempt gave.
enum Attempt {
    Answer(Value),
    Error(String),
    /// Nothing reached the agent.
    Unsent,
    /// It may have reached the agent.
    Lost,
}

/// A socket of either kind.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn open(agent: &Endpoint) -> io::Result<Self> {
        match agent {
            Endpoint::Tcp(address) => {
                let socket = TcpStream::connect_timeout(address, ATTEMPT)?;
                socket.set_nodelay(true)?;
                Ok(Self::Tcp(socket))
            }
            Endpoint::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    fn read(&mut self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(Some(limit)).and_then(|()| socket.read(into)),
            Self::Unix(socket) => socket.set_read_timeout(Some(limit)).and_then(|()| socket.read(into)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_write_timeout(Some(ATTEMPT)).and_then(|()| socket.write_all(bytes)),
            Self::Unix(socket) => socket.set_write_timeout(Some(ATTEMPT)).and_then(|()| socket.write_all(bytes)),
        }
    }
}

/// One connection to one agent.
struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: i128,
}

impl Connection {
    fn open(agent: &Endpoint) -> Option<Self> {
        let socket = Socket::open(agent).ok()?;
        let mut connection = Self { socket, buffer: Vec::new(), sequence: 0 };
        let handshake = map([("Version", Value::Int(1))].iter());
        connection.send("handshake", &handshake)?;
        connection.object(Instant::now() + ATTEMPT).map(|_header| connection)
    }

    fn ask(&mut self, command: &str, body: &Value, limit: Duration) -> Attempt {
        let deadline = Instant::now() + limit;
        if self.send(command, body).is_none() {
            // Part of it may have been taken.
            return Attempt::Lost;
        }
        loop {
            let Some(header) = self.object(deadline) else { return Attempt::Lost };
            let error = header.get("Error").as_text();
            let ours = header.get("Seq").as_int() == self.sequence;
            if !error.is_empty() && ours {
                return Attempt::Error(error);
            }
            let answer = if error.is_empty() { self.object(deadline) } else { Some(Value::Nil) };
            match answer {
                Some(answer) if ours => return Attempt::Answer(answer),
                Some(_) => {}
                None => return Attempt::Lost,
            }
        }
    }

    fn send(&mut self, command: &str, body: &Value) -> Option<()> {
        self.sequence += 1;
        let header = [("Command", Value::text(command)), ("Seq", Value::Int(self.sequence))];
        let mut bytes = map(header.iter()).encode();
        bytes.extend(body.encode());
        self.socket.write(&bytes).ok()
    }

    fn object(&mut self, deadline: Instant) -> Option<Value> {
        loop {
            match Value::read(&self.buffer) {
                Ok((value, length)) => {
                    self.buffer.drain(..length);
                    return Some(value);
                }
                Err(Unread::Invalid) => panic!("an agent sends what is no MessagePack: {:?}", self.buffer),
                Err(Unread::Incomplete) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let mut chunk = [0; 16 * 1024];
            match self.socket.read(&mut chunk, left) {
                Ok(0) => return None,
                Ok(length) => self.buffer.extend(&chunk[..length]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                }
                Err(_) => return None,
            }
        }
    }
}
