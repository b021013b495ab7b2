//! A group of PySyncObj's. It is a library: its clients are the processes that hold it, so each node is a small program
//! (`pysyncobj_node.py`) that measures itself, with callbacks under way in place of clients and of connections.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::measure::{LIMIT, Rate, System, UNDER_WAY, until};
use crate::support::{Directory, Loopback};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/coordination/pysyncobj_node.py");

struct Node {
    child: Child,
    input: ChildStdin,
    /// Lines of its output.
    answers: Receiver<String>,
}

impl Node {
    fn tell(&mut self, question: &str) {
        writeln!(self.input, "{question}").unwrap();
    }

    /// The numbers of the next answer.
    fn answer(&mut self, question: &str, limit: Duration) -> Vec<f64> {
        let line = self.answers.recv_timeout(limit);
        let line = line.unwrap_or_else(|_| panic!("PySyncObj does not answer \"{question}\" within {limit:?}"));
        line.split_whitespace().map(|word| word.parse().unwrap_or_else(|_| panic!("{question}: {line}"))).collect()
    }

    fn ask(&mut self, question: &str, limit: Duration) -> Vec<f64> {
        self.tell(question);
        self.answer(question, limit)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct PySyncObj {
    python: PathBuf,
    addresses: Vec<String>,
    _claims: Vec<Loopback>,
    nodes: Vec<Option<Node>>,
    connected: usize,
    directory: Directory,
}

impl PySyncObj {
    pub fn start(python: &Path) -> Self {
        let claims: Vec<Loopback> = (0..3).map(|_| Loopback::fresh()).collect();
        let addresses = claims.iter().map(|claim| format!("{}:4321", claim.ip())).collect();
        let (nodes, directory) = (vec![None, None, None], Directory::fresh());
        let mut group = Self { python: python.to_owned(), addresses, _claims: claims, nodes, connected: 0, directory };
        (0..3).for_each(|node| group.start_node(node));
        group.leader();
        group
    }

    fn start_node(&mut self, node: usize) {
        let mut command = Command::new(&self.python);
        command.arg(PROGRAM).arg(self.directory.file(&format!("data-{node}"))).arg(&self.addresses[node]);
        command.args(self.addresses.iter().filter(|other| **other != self.addresses[node]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (lines, answers) = channel();
        // Ends with the process.
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        self.nodes[node] = Some(Node { child, input, answers });
    }

    /// Asks a node that runs.
    fn ask(&mut self, node: usize, question: &str) -> Vec<f64> {
        self.nodes[node].as_mut().expect("a node that runs").ask(question, LIMIT)
    }

    fn one(&mut self, node: usize, question: &str) -> f64 {
        self.ask(node, question)[0]
    }

    fn write(&mut self, under_way: usize, window: Duration, entries: u64) -> Rate {
        let leader = self.leader();
        let question = format!("write {under_way} {} {entries}", window.as_secs_f64());
        let node = self.nodes[leader].as_mut().unwrap();
        node.tell(&question);
        let numbers = node.answer(&question, window + LIMIT);
        Rate { count: numbers[0], seconds: numbers[1], median_ms: numbers[2], p99_ms: numbers[3] }
    }
}

impl System for PySyncObj {
    fn writes(&mut self, clients: usize, window: Duration) -> Rate {
        self.write(clients, window, u64::MAX)
    }

    fn pipelined(&mut self, connections: usize, window: Duration, entries: u64) -> Rate {
        self.write(connections * UNDER_WAY, window, entries)
    }

    fn reads(&mut self, _clients: usize, stale: bool, window: Duration) -> Option<Rate> {
        let leader = self.leader();
        let numbers = stale.then(|| self.ask(leader, &format!("read {}", window.as_secs_f64())))?;
        Some(Rate { count: numbers[0], seconds: numbers[1], median_ms: f64::NAN, p99_ms: f64::NAN })
    }

    fn leader(&mut self) -> usize {
        let mut found = None;
        until("PySyncObj has a leader", || {
            found = (0..3).find(|node| self.nodes[*node].is_some() && self.one(*node, "leads") == 1.0);
            found.is_some()
        });
        found.unwrap()
    }

    fn term(&mut self) -> u64 {
        let running: Vec<usize> = (0..3).filter(|node| self.nodes[*node].is_some()).collect();
        running.into_iter().map(|node| self.one(node, "term") as u64).max().unwrap()
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(|node| node.child.id()).collect()
    }

    fn connect(&mut self, node: usize) {
        self.connected = node;
        self.until_written();
    }

    fn until_written(&mut self) {
        self.one(self.connected, "until-written");
    }

    fn kill(&mut self, node: usize) {
        drop(self.nodes[node].take());
    }

    fn restart(&mut self, node: usize) {
        let begun = Instant::now();
        let running: Vec<usize> = (0..3).filter(|node| self.nodes[*node].is_some()).collect();
        let goal = running.into_iter().map(|node| self.one(node, "applied")).fold(0.0, f64::max);
        self.start_node(node);
        until("the node has caught up", || self.one(node, "applied") >= goal && self.one(node, "ready") == 1.0);
        assert!(begun.elapsed() < LIMIT, "the node was late");
    }
}
