//! The smallest gRPC client that can measure etcd: one HTTP/2 connection, headers written without compression and not read
//! (an answer is good if it carries a message).

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes that HTTP/2 lets a client send before it is told that more are welcome.
const FIRST_WINDOW: i64 = 65_535;

/// A client that connects when it is needed.
pub struct Grpc {
    address: String,
    patience: Duration,
    connection: Option<Http2>,
}

impl Grpc {
    pub fn new(address: String, patience: Duration) -> Self {
        Self { address, patience, connection: None }
    }

    fn connection(&mut self) -> Option<&mut Http2> {
        if self.connection.is_none() {
            self.connection = Http2::open(&self.address, self.patience);
        }
        self.connection.as_mut()
    }

    /// The message that the call is answered with; `None` for any failure.
    pub fn call(&mut self, path: &str, request: &[u8]) -> Option<Vec<u8>> {
        let connection = self.connection()?;
        let answer = connection.send(path, &[request.to_vec()]).and_then(|()| {
            loop {
                if let Some(answer) = connection.next()? {
                    return answer;
                }
            }
        });
        if answer.is_none() {
            self.connection = None;
        }
        answer
    }

    /// Sends requests together; they are answered one by one, in any order.
    pub fn send_all(&mut self, path: &str, requests: &[Vec<u8>]) -> Option<()> {
        self.connection()?.send(path, requests)
    }

    /// Waits for answers: how many have come, and how many of them carry a message.
    pub fn some_answers(&mut self) -> Option<(usize, usize)> {
        let connection = self.connection.as_mut()?;
        let (mut answers, mut good) = (0, 0);
        while answers == 0 || connection.has_frame() {
            if let Some(answer) = connection.next()? {
                answers += 1;
                good += usize::from(answer.is_some());
            }
        }
        Some((answers, good))
    }
}

/// One HTTP/2 connection.
struct Http2 {
    socket: TcpStream,
    unread: VecDeque<u8>,
    stream: u32,
    /// Bytes that may be sent.
    window: i64,
    /// Requests that the window has no room for.
    waiting: VecDeque<(u32, Vec<u8>)>,
    /// What has come of answers.
    messages: BTreeMap<u32, Vec<u8>>,
    headers: Vec<u8>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// An answer that has ended: its message, or `None` if it has none.
type Ended = Option<Vec<u8>>;

impl Http2 {
    fn open(address: &str, patience: Duration) -> Option<Self> {
        let socket = TcpStream::connect_timeout(&address.parse().unwrap(), CONNECT).ok()?;
        socket.set_nodelay(true).ok()?;
        socket.set_read_timeout(Some(patience)).ok()?;
        let (unread, waiting, messages) = (VecDeque::new(), VecDeque::new(), BTreeMap::new());
        let mut connection =
            Self { socket, unread, stream: 1, window: FIRST_WINDOW, waiting, messages, headers: Vec::new() };
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut bytes, SETTINGS, 0, 0, &[]);
        connection.socket.write_all(&bytes).ok().map(|()| connection)
    }

    fn send(&mut self, path: &str, requests: &[Vec<u8>]) -> Option<()> {
        self.headers = headers(path);
        for request in requests {
            let mut body = vec![0];
            body.extend(u32::try_from(request.len()).unwrap().to_be_bytes());
            body.extend(request);
            self.waiting.push_back((self.stream, body));
            self.stream += 2;
        }
        self.send_waiting()
    }

    /// Sends what the window has room for.
    fn send_waiting(&mut self) -> Option<()> {
        let mut bytes = Vec::new();
        while let Some((stream, body)) = self.waiting.front() {
            if self.window < body.len() as i64 {
                break;
            }
            self.window -= body.len() as i64;
            frame(&mut bytes, HEADERS, END_HEADERS, *stream, &self.headers);
            frame(&mut bytes, DATA, END_STREAM, *stream, body);
            self.waiting.pop_front();
        }
        self.socket.write_all(&bytes).ok()
    }

    /// Whether a whole frame has come.
    fn has_frame(&self) -> bool {
        self.unread.len() >= 9 && self.unread.len() >= 9 + length(&self.unread)
    }

    /// Takes one frame, waiting for it; an answer if it was the end of one. `None`: the connection is of no use any more.
    fn next(&mut self) -> Option<Option<Ended>> {
        while !self.has_frame() {
            let mut chunk = [0; 64 * 1024];
            let read = self.socket.read(&mut chunk).ok().filter(|read| *read > 0)?;
            self.unread.extend(&chunk[..read]);
        }
        let length = length(&self.unread);
        let bytes: Vec<u8> = self.unread.drain(..9 + length).collect();
        let (kind, flags, payload) = (bytes[3], bytes[4], &bytes[9..]);
        let stream = u32::from_be_bytes([bytes[5] & 0x7f, bytes[6], bytes[7], bytes[8]]);
        let mut reply = Vec::new();
        match kind {
            DATA => {
                if length > 0 {
                    frame(&mut reply, WINDOW_UPDATE, 0, 0, &(length as u32).to_be_bytes());
                }
                self.messages.entry(stream).or_default().extend(payload);
            }
            SETTINGS if flags & ACK == 0 => frame(&mut reply, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut reply, PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => {
                self.window += i64::from(u32::from_be_bytes(payload.try_into().ok()?));
                self.send_waiting()?;
            }
            RESET => {
                self.messages.remove(&stream);
                return Some(Some(None));
            }
            GO_AWAY => return None,
            _ => {}
        }
        self.socket.write_all(&reply).ok()?;
        let ended = flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS);
        // Compressed flag and length stand in front of a message; a failure has none.
        let message = |bytes: Vec<u8>| bytes.get(5..).map(<[u8]>::to_vec);
        Some(ended.then(|| self.messages.remove(&stream).and_then(message)))
    }
}

/// Bytes of the payload of the first frame.
fn length(bytes: &VecDeque<u8>) -> usize {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize
}

fn headers(path: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "etcd"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        headers.extend([0, u8::try_from(name.len()).unwrap()]);
        headers.extend(name.as_bytes());
        headers.push(u8::try_from(value.len()).unwrap());
        headers.extend(value.as_bytes());
    }
    headers
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    out.extend(&length[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// Appends a field of bytes as protobuf.
pub fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A field of a protobuf message: its number, or its bytes.
fn field<'a>(mut bytes: &'a [u8], wanted: u64) -> Option<(u64, &'a [u8])> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = varint(&mut bytes)?;
        let payload: &'a [u8] = if tag & 7 == 2 {
            let (payload, rest) = bytes.split_at_checked(usize::try_from(number).ok()?)?;
            bytes = rest;
            payload
        } else {
            &[]
        };
        if tag >> 3 == wanted {
            return Some((number, payload));
        }
    }
    None
}

pub fn number(bytes: &[u8], wanted: u64) -> Option<u64> {
    field(bytes, wanted).map(|(number, _)| number)
}

pub fn message(bytes: &[u8], wanted: u64) -> Option<&[u8]> {
    field(bytes, wanted).map(|(_, payload)| payload)
}
