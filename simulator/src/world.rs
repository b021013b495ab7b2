//! The world: nodes, virtual clock, and the queue of what happens next. One thread, one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::{Io, StreamId, StreamInput};

use crate::Instant;
use crate::engine::{Request, Wish};
use crate::invariants::{Invariants, Violation};
use crate::network::{ConnectionId, Network, Pumped, RETRANSMISSION, Segment, Side};
use crate::node::{self, Input, Life, Node};
use crate::options::{Links, Options};
use crate::random::Random;
use crate::trace::{Fact, Trace};

/// Something that will happen.
#[derive(Debug, Clone)]
enum Due {
    Packet { to: usize, from: SocketAddr, bytes: Bytes },
    Dial(ConnectionId),
    Pump(ConnectionId, Side),
    Deadline(usize),
}

/// A cluster and its time.
pub struct World {
    now: Instant,
    options: Options,
    random: Random,
    queue: BTreeMap<(Instant, u64), Due>,
    next: u64,
    nodes: Vec<Node>,
    network: Network,
    trace: Trace,
    invariants: Invariants,
    violation: Option<Violation>,
}

impl World {
    /// A world at the beginning of time, all nodes running and alone.
    ///
    /// # Errors
    /// An engine refused its configuration.
    pub fn new(options: Options) -> Result<Self, String> {
        let mut world = Self {
            now: Instant::EPOCH,
            random: Random::new(options.seed),
            queue: BTreeMap::new(),
            next: 0,
            nodes: (0..options.nodes).map(|number| Node::new(number, options.layer)).collect(),
            network: Network::new(options.links.clone()),
            trace: Trace::default(),
            invariants: Invariants::default(),
            violation: None,
            options,
        };
        for number in 0..world.nodes.len() {
            world.restart(number)?;
        }
        Ok(world)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the run is made of.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What has happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The generator of the run, for those who inject faults.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// An invariant does not hold; the world stands where it broke.
    pub fn run(&mut self, duration: Duration) -> Result<(), Violation> {
        self.run_until(duration, |_| false).map(drop)
    }

    /// Lets time pass until something is true, at most `duration`. Says whether it came true. Looked at once per
    /// [`GLANCE`], so that looking does not cost more than living.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_until(&mut self, duration: Duration, done: impl Fn(&Self) -> bool) -> Result<bool, Violation> {
        let end = self.now.after(duration);
        let mut glance = self.now;
        loop {
            if let Some(violation) = self.violation.take() {
                return Err(violation);
            }
            if self.now >= glance {
                if done(self) {
                    return Ok(true);
                }
                glance = self.now.after(GLANCE);
            }
            let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) else { break };
            let ((at, _), due) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(due);
        }
        self.now = end;
        Ok(done(self))
    }

    /// A node joins another.
    pub fn join(&mut self, number: usize, other: usize) {
        let address = node::address(other);
        self.act(number, |engine, now| engine.join(now, address));
    }

    /// A node leaves.
    pub fn leave(&mut self, number: usize) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.leaving = true;
        }
        self.act(number, |engine, now| engine.leave(now));
    }

    /// A node does what only Serf can do.
    ///
    /// # Errors
    /// It is dead, paused or refused it.
    pub fn ask(&mut self, number: usize, request: Request) -> Result<(), String> {
        let mut result = Err(format!("{} does not run", node::name(number)));
        self.act(number, |engine, now| result = engine.ask(now, request));
        result
    }

    /// A node dies without a word; connections to it are reset.
    pub fn crash(&mut self, number: usize) {
        self.note(number, "crash");
        for stream in self.network.streams_of(number) {
            let pump = self.network.close(self.now, number, stream, true, &mut self.random);
            self.schedule_pump(pump);
        }
        if let Some(node) = self.nodes.get_mut(number) {
            node.crash();
        }
        self.set_deadline(number);
    }

    /// A dead node starts again, with its disk; a living one is left alone.
    ///
    /// # Errors
    /// The engine refused its configuration.
    pub fn restart(&mut self, number: usize) -> Result<(), String> {
        let seed = self.random.seed();
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(number)
            && node.life() == Life::Dead
        {
            node.start(now, seed)?;
            self.note(number, "start");
            self.drain(number);
        }
        Ok(())
    }

    /// A node stops where it stands.
    pub fn pause(&mut self, number: usize) {
        self.note(number, "pause");
        if let Some(node) = self.nodes.get_mut(number) {
            node.pause();
        }
        self.set_deadline(number);
    }

    /// It goes on: what has waited comes first, then what is due, as in the shell's turn.
    pub fn resume(&mut self, number: usize) {
        self.note(number, "resume");
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.life() == Life::Paused) else { return };
        node.resume();
        let waiting = std::mem::take(&mut node.waiting);
        self.act(number, |engine, now| engine.paused(now));
        for input in waiting {
            self.hand_over(number, input);
        }
    }

    /// Cuts the network.
    pub fn partition(&mut self, parts: &[BTreeSet<usize>]) {
        self.network.partition(parts);
    }

    /// Makes it whole.
    pub fn heal(&mut self) {
        self.network.heal();
    }

    /// Changes the quality of all links.
    pub fn set_links(&mut self, links: Links) {
        self.network.set_links(links);
    }

    /// Whether every member knows every member as alive, and nobody else.
    pub fn is_converged(&self) -> bool {
        crate::invariants::is_converged(&self.nodes)
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Packet { to, from, bytes } => self.hand_over(to, Input::Packet { from, bytes }),
            Due::Dial(id) => self.dial(id),
            Due::Pump(id, side) => self.pump(id, side),
            Due::Deadline(number) => {
                if let Some(node) = self.nodes.get_mut(number) {
                    node.deadline = None;
                }
                self.act(number, |engine, now| engine.handle_timeout(now));
            }
        }
    }

    fn hand_over(&mut self, number: usize, input: Input) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        match node.life() {
            Life::Dead => return,
            Life::Paused => return node.keep(input),
            Life::Running => {}
        }
        match input {
            Input::Packet { from, bytes } => {
                self.trace.mix(self.now, number, "packet", &bytes);
                self.act(number, |engine, now| engine.handle_packet(now, from, &bytes));
            }
            Input::Accepted { stream, from } => {
                self.act(number, |engine, now| engine.handle_stream(now, stream, StreamInput::Accepted { from }));
            }
            Input::Stream { stream, segment } => self.hand_segment(number, stream, &segment),
        }
    }

    fn hand_segment(&mut self, number: usize, stream: StreamId, segment: &Segment) {
        let input = match segment {
            Segment::Connected => StreamInput::Connected,
            Segment::Bytes(bytes) => StreamInput::Bytes(bytes),
            Segment::Finished => StreamInput::Finished,
            Segment::Failed(reason) => StreamInput::Failed { reason },
        };
        if let Segment::Bytes(bytes) = segment {
            self.trace.mix(self.now, number, "stream", bytes);
        }
        self.act(number, |engine, now| engine.handle_stream(now, stream, input));
    }

    /// Lets a running node do something, carries out what it wants then, and looks at what has become of it.
    fn act(&mut self, number: usize, action: impl FnOnce(&mut crate::engine::Engine, Instant)) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.life() == Life::Running) else { return };
        if let Some(engine) = node.engine_mut() {
            action(engine, now);
        }
        self.drain(number);
    }

    fn drain(&mut self, number: usize) {
        let first_fact = self.trace.facts().len();
        while let Some(wish) = self.nodes.get_mut(number).and_then(Node::engine_mut).and_then(|engine| engine.poll()) {
            match wish {
                Wish::Io(io) => self.perform(number, io),
                Wish::Fact(text, event) => self.trace.record(Fact { at: self.now, node: number, text, event }),
                Wish::Query(key, name) => {
                    let text = format!("query {name}");
                    let event = Some((key.ltime.0, key.id.to_le_bytes().to_vec()));
                    self.trace.record(Fact { at: self.now, node: number, text, event });
                    let now = self.now;
                    if let Some(engine) = self.nodes.get_mut(number).and_then(Node::engine_mut) {
                        engine.answer(now, key, &node::name(number));
                    }
                }
                Wish::Record(record) => {
                    if let Some(node) = self.nodes.get_mut(number) {
                        node.write(&record);
                    }
                }
            }
        }
        self.set_deadline(number);
        let facts = self.trace.facts().get(first_fact..).unwrap_or_default();
        if let Some(node) = self.nodes.get(number)
            && let Err(violation) = self.invariants.check(self.now, number, node, facts)
        {
            self.violation.get_or_insert(violation);
        }
    }

    fn perform(&mut self, number: usize, io: Io) {
        let now = self.now;
        match io {
            Io::Packet { to, bytes } => {
                let Some(target) = node::number(to).filter(|&target| target < self.nodes.len()) else { return };
                let from = node::address(number);
                for at in self.network.packet_arrivals(now, number, target, &mut self.random) {
                    self.schedule(at, Due::Packet { to: target, from, bytes: bytes.clone() });
                }
            }
            Io::Connect { stream, to } => {
                // An address that nobody has is a node that never answers.
                let target = node::number(to).unwrap_or(usize::MAX);
                let id = self.network.dial(number, stream, target);
                let at = self.network.arrival(now, &mut self.random);
                self.schedule(at, Due::Dial(id));
            }
            Io::Write { stream, bytes } => {
                let pump = self.network.write(now, number, stream, bytes, &mut self.random);
                self.schedule_pump(pump);
            }
            Io::Close { stream } => {
                let pump = self.network.close(now, number, stream, false, &mut self.random);
                self.schedule_pump(pump);
            }
        }
    }

    fn dial(&mut self, id: ConnectionId) {
        let Some((dialler, target)) = self.network.dialled(id) else { return };
        if !self.network.connected(dialler, target) {
            return self.schedule(self.now.after(RETRANSMISSION), Due::Dial(id));
        }
        let back = self.network.arrival(self.now, &mut self.random);
        let accepted = self.nodes.get_mut(target).and_then(Node::engine_mut).map(|engine| engine.accept_id());
        let answer = match accepted {
            Some(stream) => {
                self.network.accept(id, stream);
                let from = node::address(dialler);
                self.hand_over(target, Input::Accepted { stream, from });
                Segment::Connected
            }
            None => Segment::Failed(format!("dial tcp {}: connect: connection refused", node::address(target))),
        };
        if let Some(at) = self.network.push(id, Side::Dialler, back, answer) {
            self.schedule(at, Due::Pump(id, Side::Dialler));
        }
    }

    fn pump(&mut self, id: ConnectionId, side: Side) {
        match self.network.pump(self.now, id, side) {
            Pumped::Idle => {}
            Pumped::Wait(at) => self.schedule(at, Due::Pump(id, side)),
            Pumped::Deliver { node, stream, segment } => self.hand_over(node, Input::Stream { stream, segment }),
        }
    }

    fn schedule_pump(&mut self, pump: Option<(ConnectionId, Side, Instant)>) {
        if let Some((id, side, at)) = pump {
            self.schedule(at, Due::Pump(id, side));
        }
    }

    fn schedule(&mut self, at: Instant, due: Due) {
        self.next += 1;
        self.queue.insert((at, self.next), due);
    }

    /// Keeps exactly one entry in the queue for a node's next deadline.
    fn set_deadline(&mut self, number: usize) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        let wanted = match node.life() {
            Life::Running => node.engine().and_then(|engine| engine.poll_timeout()),
            Life::Paused | Life::Dead => None,
        };
        let wanted = wanted.map(|at| at.max(self.now));
        if node.deadline.map(|(at, _)| at) == wanted {
            return;
        }
        if let Some(old) = node.deadline.take() {
            self.queue.remove(&old);
        }
        if let Some(at) = wanted {
            self.next += 1;
            node.deadline = Some((at, self.next));
            self.queue.insert((at, self.next), Due::Deadline(number));
        }
    }

    fn note(&mut self, number: usize, text: &str) {
        let fact = Fact { at: self.now, node: number, text: text.to_string(), event: None };
        self.trace.record(fact);
    }
}

/// How often [`World::run_until`] looks.
pub const GLANCE: Duration = Duration::from_millis(50);
