//! A running agent is sent what no honest peer or client sends: damaged recordings by the thousand, the packets that stop
//! the Go agent, half frames, and lengths it must not believe. Afterwards it answers as before, knows the same members,
//! and has not grown.
//!
//! Not here: what a single decoder refuses (`memberlist/tests/refusals.rs`, the engines' properties).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use support::rpc::MemberRow;
use support::{Agent, Kind, Loopback, PATIENCE, Value, eventually};

/// 32 bytes, in base64.
const KEY: &str = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";
/// Resident memory allowed at the end: several times what an idle debug build takes (about 13 MiB), and far less than
/// one believed length would cost.
const RESIDENT_KIB_MAX: u64 = 96 * 1024;
const DAMAGED_PACKETS: usize = 6_000;
const DAMAGED_STREAMS: usize = 600;
const DAMAGED_REQUESTS: usize = 1_500;

/// What an agent has to keep through everything.
struct Victim {
    agent: Agent,
    before: Vec<MemberRow>,
}

impl Victim {
    /// An agent with a peer, so that there is a member list to damage.
    fn start(arguments: &[&str]) -> (Self, Agent) {
        let with_role = [arguments, &["-tag=role=victim"]].concat();
        let agent = Agent::start(Kind::under_test(), "victim", &with_role);
        let peer = Agent::start(Kind::under_test(), "peer", arguments);
        assert_eq!(peer.rpc().join(&[&agent.gossip()]), Ok(1));
        let before = eventually("both know both", || {
            let rows = agent.rpc().members();
            if rows.len() == 2 { Ok(rows) } else { Err(format!("{rows:?}")) }
        });
        (Self { agent, before }, peer)
    }

    /// It answers, knows exactly the members it knew, and is no larger than allowed.
    fn is_unharmed(&mut self) {
        assert!(self.agent.is_running(), "the agent ended");
        let mut rpc = self.agent.rpc();
        // On a machine that stood still the peer is called failed until it says that it lives.
        eventually("the members are those of before", || {
            let rows = rpc.members();
            if rows == self.before { Ok(()) } else { Err(format!("{rows:#?}")) }
        });
        self.is_small();
    }

    fn is_small(&self) {
        let resident = self.agent.resident_kib();
        assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB resident");
    }

    /// Waits until the agent has had the time to read what was sent: it answers requests in between.
    fn keeps_up(&self, rpc: &mut support::Rpc) {
        assert!(rpc.coordinate("victim").is_some());
    }
}

#[test]
fn damaged_packets_and_streams_change_nothing_behind_encryption() {
    let encrypt = format!("-encrypt={KEY}");
    let (mut victim, _peer) = Victim::start(&[&encrypt]);
    bombard(&victim, 0x5eed_0001);
    victim.is_unharmed();
}

/// Without a key, a damaged packet may still be a valid claim about some node, so only the node itself, its real peer
/// and the size of everything are held fixed.
#[test]
fn damaged_packets_and_streams_do_no_harm_without_encryption() {
    let (victim, _peer) = Victim::start(&[]);
    bombard(&victim, 0x5eed_0002);
    let mut rpc = victim.agent.rpc();
    eventually("both are still alive", || {
        let rows = rpc.members();
        let kept = victim.before.iter().all(|row| rows.contains(row));
        if kept { Ok(()) } else { Err(format!("{rows:#?}")) }
    });
    assert!(rpc.event("still", b"here", false).is_ok());
    victim.is_small();
}

/// Sends damaged recordings to both gossip ports.
fn bombard(victim: &Victim, seed: u64) {
    let mut random = Random(seed);
    let packets = recordings("memberlist", "hex", |name| name.contains("udp_"));
    let streams = recordings("memberlist", "hex", |name| name.contains("tcp_"));
    assert!(packets.len() > 30 && streams.len() > 20, "{} and {} recordings", packets.len(), streams.len());
    let own = Loopback::fresh();
    let socket = UdpSocket::bind((own.ip(), 0)).unwrap();
    let mut rpc = victim.agent.rpc();
    for number in 0..DAMAGED_PACKETS {
        let packet = random.damage(&packets[number % packets.len()]);
        // A packet too long for UDP cannot be sent at all.
        let _ = socket.send_to(&packet, victim.agent.address.gossip());
        if number % 32 == 0 {
            victim.keeps_up(&mut rpc);
        }
    }
    for number in 0..DAMAGED_STREAMS {
        let bytes = random.damage(&streams[number % streams.len()]);
        let mut stream = TcpStream::connect(victim.agent.address.gossip()).unwrap();
        // The agent may have closed it already, which is one of its rights.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    victim.keeps_up(&mut rpc);
}

#[test]
fn packets_that_stop_the_go_agent_stop_nothing() {
    let (mut victim, _peer) = Victim::start(&[]);
    let own = Loopback::fresh();
    let socket = UdpSocket::bind((own.ip(), 0)).unwrap();
    let mut rpc = victim.agent.rpc();
    for packet in killers() {
        for _ in 0..3 {
            socket.send_to(&packet, victim.agent.address.gossip()).unwrap();
            victim.keeps_up(&mut rpc);
        }
    }
    drop(rpc);
    victim.is_unharmed();
}

/// `docs/spec/memberlist.md` 14 (1, 2, 11, 20, 21) and `docs/spec/serf-gossip.md` F1.
fn killers() -> Vec<Vec<u8>> {
    let query = |name: &str, filters: Vec<Value>, payload: Value| {
        let body = Value::map([
            ("Addr", Value::Bin(vec![127, 0, 0, 1])),
            ("Filters", Value::Array(filters)),
            ("Flags", Value::Int(0)),
            ("ID", Value::Int(77)),
            ("LTime", Value::Int(3)),
            ("Name", Value::text(name)),
            ("Payload", payload),
            ("Port", Value::Int(9)),
            ("RelayFactor", Value::Int(0)),
            ("SourceNode", Value::text("nobody")),
            ("Timeout", Value::Int(1_000_000_000)),
        ]);
        // A user message of memberlist (8) that is a query of Serf (4).
        [&[8, 4][..], &body.encode()].concat()
    };
    let mut killers = vec![
        Vec::new(),
        // A compound whose count times two does not fit one byte, and one with a part of no bytes.
        vec![7, 0x80],
        vec![7, 1, 0, 0],
        vec![7, 255],
        // Compression of nothing, and of what is not compressed.
        [&[9][..], &Value::map([("Algo", Value::Int(0)), ("Buf", Value::Bin(Vec::new()))]).encode()].concat(),
        // Every message type without a body.
        vec![8],
        vec![8, 4],
        query("load", vec![Value::Bin(Vec::new())], Value::Nil),
        query("load", vec![Value::Bin(vec![9, 9, 9])], Value::Nil),
    ];
    killers.extend((0..=255).map(|kind| vec![kind]));
    killers.extend(
        ["install", "use", "remove"]
            .map(|verb| query(&format!("_serf_{verb}-key"), Vec::new(), Value::Bin(Vec::new()))),
    );
    // Compounds within compounds, deeper than anybody sends.
    let nested = (0..60).fold(vec![0], |inner: Vec<u8>, _| {
        [&[7, 1][..], &u16::try_from(inner.len()).unwrap().to_be_bytes(), &inner].concat()
    });
    killers.push(nested);
    killers
}

#[test]
fn damaged_requests_do_no_harm() {
    let (mut victim, _peer) = Victim::start(&[]);
    let mut random = Random(0x5eed_0003);
    // What changes tags or members, or ends the agent, would do so rightly.
    let wanted = |bytes: &[u8]| !["leave", "tags", "join", "key"].iter().any(|word| contains(bytes, word.as_bytes()));
    let requests: Vec<Vec<u8>> = recordings("rpc", "c2s", |_| true).into_iter().filter(|bytes| wanted(bytes)).collect();
    assert!(requests.len() > 100, "{} recordings", requests.len());
    let greeting = Value::map([("Command", Value::text("handshake")), ("Seq", Value::Int(0))]).encode();
    let version = Value::map([("Version", Value::Int(1))]).encode();
    for number in 0..DAMAGED_REQUESTS {
        let request = random.damage(&requests[number % requests.len()]);
        if !wanted(&request) {
            continue;
        }
        let mut stream = TcpStream::connect(victim.agent.rpc_address()).unwrap();
        // The agent may close at any byte.
        let _ = stream.write_all(&[&greeting[..], &version, &request].concat());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    victim.is_unharmed();
}

#[test]
fn lengths_are_not_believed_and_half_frames_hold_nobody_up() {
    let (mut victim, _peer) = Victim::start(&[]);
    let gossip = victim.agent.address.gossip();
    let rpc = victim.agent.rpc_address();
    let mut held = Vec::new();
    let frames: [(std::net::SocketAddr, Vec<u8>); 12] = [
        // RPC: bytes, text, list and map of four billion; nesting without end.
        (rpc, vec![0xc6, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        (rpc, vec![0xdb, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        (rpc, vec![0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        (rpc, vec![0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, b'x']),
        (rpc, vec![0x91; 200_000]),
        (rpc, vec![0x82, 0xa7, b'C', b'o', b'm']),
        // Gossip: an encrypted frame of four billion bytes, push/pulls that announce too much, a label without text.
        (gossip, vec![10, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        (gossip, push_pull(i128::from(i32::MAX), 0)),
        (gossip, push_pull(1, i128::from(i32::MAX))),
        (gossip, push_pull(-1, -1)),
        (gossip, vec![244, 255, b'x']),
        (gossip, vec![6]),
    ];
    for _ in 0..12 {
        for (address, frame) in &frames {
            let mut stream = TcpStream::connect(address).unwrap();
            // Refusing early is right; what matters is that it is held open from our side.
            let _ = stream.write_all(frame);
            held.push(stream);
        }
    }
    victim.is_unharmed();
    let mut quick = victim.agent.rpc();
    quick.query(Value::map([("Name", Value::text("load")), ("Timeout", Value::Int(100_000_000))])).unwrap();
    assert!(quick.answers().responses.is_empty());
    drop(held);
    victim.is_unharmed();
}

/// The beginning of a push/pull that announces this many nodes and this much user state.
fn push_pull(nodes: i128, user_state: i128) -> Vec<u8> {
    let header = Value::map([
        ("Join", Value::Bool(true)),
        ("Nodes", Value::Int(nodes)),
        ("UserStateLen", Value::Int(user_state)),
    ]);
    [&[6][..], &header.encode()].concat()
}

#[test]
fn slow_clients_and_flooding_clients_disturb_nobody_else() {
    let (mut victim, _peer) = Victim::start(&[]);
    // One client subscribes and never reads, while others make the agent write to it.
    let mut deaf = victim.agent.rpc();
    deaf.stream("*");
    let mut busy = victim.agent.rpc();
    let payload = [b'x'; 400];
    for _ in 0..3_000 {
        busy.event("flood", &payload, false).unwrap();
    }
    // Well below the time after which the agent gives a deaf client up (30 s).
    let answered_within = Duration::from_secs(15);
    let begun = std::time::Instant::now();
    victim.is_unharmed();
    assert!(begun.elapsed() < answered_within, "other clients wait for the deaf one");
    drop(deaf);
}

/// Bytes of the recordings in `vectors/FOLDER`, found under `key` wherever it stands, with addresses moved to where
/// nobody listens.
fn recordings(folder: &str, key: &str, wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(folder);
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut found = Vec::new();
    for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        if wanted(&path.file_name().unwrap().to_string_lossy()) {
            let text = std::fs::read_to_string(path).unwrap().replace("7f000b", "7fff0b").replace("7f000d", "7fff0d");
            collect(&serde_json::from_str(&text).unwrap(), key, &mut found);
        }
    }
    found
}

fn collect(json: &Json, key: &str, found: &mut Vec<Vec<u8>>) {
    match json {
        Json::Object(entries) => {
            for (name, value) in entries {
                match value.as_str() {
                    Some(hex) if name == key => found.push(unhex(hex)),
                    _ => collect(value, key, found),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % below.max(1)
    }

    /// One to four wounds: a flipped bit, another byte, a cut, a gap, a repeated piece, a huge length.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.next(3) {
            let at = self.next(bytes.len());
            match self.next(7) {
                _ if bytes.is_empty() => bytes.push(u8::try_from(self.next(256)).unwrap()),
                0 | 1 => bytes[at] ^= 1 << self.next(8),
                2 => bytes[at] = u8::try_from(self.next(256)).unwrap(),
                3 => bytes.truncate(at),
                4 => drop(bytes.remove(at)),
                5 => {
                    let piece = bytes[at..(at + 1 + self.next(20)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let marker = [0xc6, 0xdb, 0xdd, 0xdf][self.next(4)];
                    bytes.splice(at..at, [marker, 0x7f, 0xff, 0xff, 0xff]);
                }
            }
        }
        bytes
    }
}
