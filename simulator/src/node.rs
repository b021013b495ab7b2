//! A node: an engine that can crash, restart, pause, and a disk that survives all of it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use folkmoot_serf::records::{AfterLeave, Replay};
use folkmoot_serf::{Config, Instant, NodeName, Record, StreamId, Text, memberlist};

use crate::engine::Engine;
use crate::network::Segment;
use crate::options::Layer;

/// What waits for a paused process in its sockets.
#[derive(Debug, Clone)]
pub enum Input {
    /// A datagram.
    Packet {
        /// Who sent it.
        from: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// A connection was accepted.
    Accepted {
        /// Under this name.
        stream: StreamId,
        /// Who dialled.
        from: SocketAddr,
    },
    /// A stream has news.
    Stream {
        /// Which.
        stream: StreamId,
        /// What.
        segment: Segment,
    },
}

/// Whether the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does.
    Running,
    /// It is stopped and does not know (SIGSTOP, a sleeping laptop). Its sockets stay open.
    Paused,
    /// There is none.
    Dead,
}

/// A node.
pub struct Node {
    name: String,
    address: SocketAddr,
    layer: Layer,
    life: Life,
    engine: Option<Engine>,
    /// Lives so far; facts of different lives are not compared.
    lives: u32,
    /// What waits while it is paused, at most [`WAITING_MAX`].
    pub(crate) waiting: VecDeque<Input>,
    disk: Vec<u8>,
    /// The entry of its next deadline in the world's queue.
    pub(crate) deadline: Option<(Instant, u64)>,
    /// Whether it has announced its leave; then it may be gone on purpose.
    pub(crate) leaving: bool,
}

impl Node {
    /// A node that does not run yet. Numbers start with zero, names with n1.
    pub fn new(number: usize, layer: Layer) -> Self {
        Self {
            name: name(number),
            address: address(number),
            layer,
            life: Life::Dead,
            engine: None,
            lives: 0,
            waiting: VecDeque::new(),
            disk: Vec::new(),
            deadline: None,
            leaving: false,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it runs.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Its engine, unless it is dead.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// As [`Self::engine`], to use it.
    pub(crate) fn engine_mut(&mut self) -> Option<&mut Engine> {
        self.engine.as_mut()
    }

    /// How often it has started.
    pub fn lives(&self) -> u32 {
        self.lives
    }

    /// Whether it takes part and means to go on doing so.
    pub fn is_member(&self) -> bool {
        self.life == Life::Running && !self.leaving
    }

    /// Starts the process, with what its disk remembers.
    ///
    /// # Errors
    /// The engine refused its configuration, which is ours.
    pub fn start(&mut self, now: Instant, seed: [u8; 32]) -> Result<(), String> {
        let name = NodeName(Text::from(self.name.as_str()));
        let gossip = memberlist::Config::lan(name, self.address);
        self.engine = Some(match self.layer {
            Layer::Memberlist => Engine::memberlist(gossip, now, seed)?,
            Layer::Serf => {
                let restored = Replay::read(&self.disk, AfterLeave::Forget).restored;
                Engine::serf(Config { restored, ..Config::agent(gossip) }, now, seed)?
            }
        });
        self.life = Life::Running;
        self.lives = self.lives.saturating_add(1);
        self.leaving = false;
        Ok(())
    }

    /// Ends the process without a word.
    pub fn crash(&mut self) {
        self.engine = None;
        self.life = Life::Dead;
        self.waiting.clear();
    }

    /// Stops the process where it stands.
    pub fn pause(&mut self) {
        if self.life == Life::Running {
            self.life = Life::Paused;
        }
    }

    /// Lets it go on; the world then hands it what has waited.
    pub fn resume(&mut self) {
        if self.life == Life::Paused {
            self.life = Life::Running;
        }
    }

    /// Keeps something for later; the newest is dropped when the sockets are full.
    pub(crate) fn keep(&mut self, input: Input) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(input);
        }
    }

    /// Appends a snapshot line.
    pub(crate) fn write(&mut self, record: &Record) {
        record.write(&mut self.disk);
    }
}

/// The name of a node.
pub fn name(number: usize) -> String {
    format!("n{}", number + 1)
}

/// The address of a node: 10.0.0.1 and up.
pub fn address(number: usize) -> SocketAddr {
    let host = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(0x0a00_0001);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(host)), 7946)
}

/// The node with this address.
pub fn number(address: SocketAddr) -> Option<usize> {
    match address.ip() {
        IpAddr::V4(ip) => usize::try_from(u32::from(ip).checked_sub(0x0a00_0001)?).ok(),
        IpAddr::V6(_) => None,
    }
}

/// Inputs that wait for a paused process: as many as a socket buffer of 1 MiB holds small packets.
const WAITING_MAX: usize = 4_096;
