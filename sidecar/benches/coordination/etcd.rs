//! A group of etcd's, and the smallest gRPC client that can measure it: one HTTP/2 connection, one request at a time,
//! headers written without compression and not read (an answer is good if it carries a message).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Directory, Loopback, eventually_within};
use crate::{Client, Cluster, resident_kib};

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// etcd answers what reached a node without a leader after seven seconds only; whoever wants to go on asks again.
const IMPATIENT: Duration = Duration::from_millis(250);

pub struct Etcd {
    addresses: Vec<Loopback>,
    nodes: Vec<Option<Child>>,
    directory: Directory,
    program: PathBuf,
}

impl Etcd {
    /// Three nodes with etcd's own settings.
    pub fn start(program: PathBuf) -> Self {
        let addresses: Vec<Loopback> = (0..3).map(|_| Loopback::fresh()).collect();
        let mut etcd = Self { addresses, nodes: vec![None, None, None], directory: Directory::fresh(), program };
        (0..3).for_each(|node| etcd.start_node(node));
        etcd.wait_until_writable();
        etcd
    }

    fn client_of(&self, node: usize, limit: Duration) -> Grpc {
        Grpc { address: format!("{}:2379", self.addresses[node].ip()), limit, connection: None }
    }

    fn start_node(&mut self, node: usize) {
        let ip = self.addresses[node].ip();
        let all: Vec<String> =
            self.addresses.iter().enumerate().map(|(node, at)| format!("e{node}=http://{}:2380", at.ip())).collect();
        let log = std::fs::File::create(self.directory.file(&format!("log-{node}"))).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["--name", &format!("e{node}"), "--data-dir"]).arg(self.directory.file(&format!("data-{node}")));
        command.args(["--listen-peer-urls", &format!("http://{ip}:2380")]);
        command.args(["--initial-advertise-peer-urls", &format!("http://{ip}:2380")]);
        command.args(["--listen-client-urls", &format!("http://{ip}:2379")]);
        command.args(["--advertise-client-urls", &format!("http://{ip}:2379")]);
        command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new", "--logger", "zap"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.nodes[node] = Some(command.spawn().unwrap());
    }

    fn wait_until_writable(&self) {
        for node in 0..3 {
            eventually_within(Duration::from_secs(60), "etcd takes writes", || {
                if self.client_of(node, LIMIT).write("ready", b"") { Ok(()) } else { Err(format!("node {node}")) }
            });
        }
    }
}

impl Cluster for Etcd {
    fn client(&self, node: usize) -> Box<dyn Client> {
        Box::new(self.client_of(node, LIMIT))
    }

    fn impatient_client(&self, node: usize) -> Box<dyn Client> {
        Box::new(self.client_of(node, IMPATIENT))
    }

    fn leader(&self) -> Option<usize> {
        let leads = |node: &usize| {
            let answer = self.client_of(*node, LIMIT).call("/etcdserverpb.Maintenance/Status", &[]);
            let answer = answer.unwrap_or_default();
            let own = message(&answer, 1).and_then(|header| number(header, 2));
            own.is_some() && own == number(&answer, 4)
        };
        (0..3).find(|node| self.nodes[*node].is_some() && leads(node))
    }

    fn kill(&mut self, node: usize) {
        let mut child = self.nodes[node].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn restart(&mut self, node: usize) {
        self.start_node(node);
        self.wait_until_writable();
    }

    fn resident_kib(&self) -> u64 {
        self.nodes.iter().flatten().map(|child| resident_kib(child.id())).max().unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Grpc {
    address: String,
    limit: Duration,
    connection: Option<Http2>,
}

impl Client for Grpc {
    fn write(&mut self, key: &str, value: &[u8]) -> bool {
        let mut request = Vec::new();
        put_bytes(&mut request, 1, key.as_bytes());
        put_bytes(&mut request, 2, value);
        self.call("/etcdserverpb.KV/Put", &request).is_some()
    }

    fn read(&mut self, key: &str, stale: bool) -> bool {
        let mut request = Vec::new();
        put_bytes(&mut request, 1, key.as_bytes());
        if stale {
            request.extend([7 << 3, 1]);
        }
        self.call("/etcdserverpb.KV/Range", &request).is_some()
    }
}

impl Grpc {
    /// The message that the call is answered with; `None` for any failure.
    fn call(&mut self, path: &str, request: &[u8]) -> Option<Vec<u8>> {
        if self.connection.is_none() {
            self.connection = Http2::open(&self.address, self.limit);
        }
        let answer = self.connection.as_mut()?.call(path, request);
        if answer.is_none() {
            self.connection = None;
        }
        answer
    }
}

/// One HTTP/2 connection.
struct Http2 {
    socket: TcpStream,
    stream: u32,
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

impl Http2 {
    fn open(address: &str, limit: Duration) -> Option<Self> {
        let socket = TcpStream::connect_timeout(&address.parse().unwrap(), LIMIT).ok()?;
        socket.set_nodelay(true).ok()?;
        socket.set_read_timeout(Some(limit)).ok()?;
        let mut connection = Self { socket, stream: 1 };
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut bytes, SETTINGS, 0, 0, &[]);
        connection.socket.write_all(&bytes).ok().map(|()| connection)
    }

    fn call(&mut self, path: &str, request: &[u8]) -> Option<Vec<u8>> {
        let stream = self.stream;
        self.stream += 2;
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
        let mut body = vec![0];
        body.extend(u32::try_from(request.len()).unwrap().to_be_bytes());
        body.extend(request);
        let mut bytes = Vec::new();
        frame(&mut bytes, HEADERS, END_HEADERS, stream, &headers);
        frame(&mut bytes, DATA, END_STREAM, stream, &body);
        self.socket.write_all(&bytes).ok()?;
        self.answer(stream)
    }

    fn answer(&mut self, stream: u32) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let (kind, flags) = (head[3], head[4]);
            let of = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let mut payload = vec![0; length as usize];
            self.socket.read_exact(&mut payload).ok()?;
            let mut reply = Vec::new();
            match kind {
                DATA => {
                    frame(&mut reply, WINDOW_UPDATE, 0, 0, &length.max(1).to_be_bytes());
                    message.extend(payload);
                }
                SETTINGS if flags & ACK == 0 => frame(&mut reply, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(&mut reply, PING, ACK, 0, &payload),
                RESET | GO_AWAY => return None,
                _ => {}
            }
            self.socket.write_all(&reply).ok()?;
            if of == stream && flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS) {
                // Compressed flag and length stand in front of a message; a failure has none.
                return message.get(5..).map(<[u8]>::to_vec);
            }
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    out.extend(&length[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// Appends a field of bytes as protobuf.
fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
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

fn number(bytes: &[u8], wanted: u64) -> Option<u64> {
    field(bytes, wanted).map(|(number, _)| number)
}

fn message(bytes: &[u8], wanted: u64) -> Option<&[u8]> {
    field(bytes, wanted).map(|(_, payload)| payload)
}
