//! A group of PySyncObj's. It is a library: its clients are the processes that hold it, so each node is a small program
//! (`pysyncobj_node.py`) that measures itself, with callbacks in flight in place of clients.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Directory, Loopback, eventually_within};
use crate::{Row, resident_kib};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/coordination/pysyncobj_node.py");

struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Node {
    /// Sends a question and reads the numbers of the answer.
    fn ask(&mut self, question: &str) -> Vec<f64> {
        writeln!(self.input, "{question}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.split_whitespace().map(|word| word.parse().unwrap_or_else(|_| panic!("{question}: {line}"))).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct PySyncObj<'a> {
    python: &'a Path,
    addresses: Vec<String>,
    nodes: Vec<Option<Node>>,
    directory: Directory,
}

impl PySyncObj<'_> {
    fn start_node(&mut self, node: usize) {
        let mut command = Command::new(self.python);
        command.arg(PROGRAM).arg(self.directory.file(&format!("journal-{node}"))).arg(&self.addresses[node]);
        command.args(self.addresses.iter().filter(|other| **other != self.addresses[node]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        self.nodes[node] = Some(Node { child, input, output });
    }

    fn leader(&mut self) -> usize {
        eventually_within(Duration::from_secs(60), "PySyncObj has a leader", || {
            let leads = |node: &mut Option<Node>| node.as_mut().is_some_and(|node| node.ask("leads") == [1.0]);
            self.nodes.iter_mut().position(leads).ok_or_else(|| "nobody leads".to_owned())
        })
    }
}

/// Every row that it can be measured in, in the order of `crate::measure`.
pub fn measure(python: &Path, clients: &[usize], window: Duration, kills: usize) -> Vec<Row> {
    let claims: Vec<Loopback> = (0..3).map(|_| Loopback::fresh()).collect();
    let addresses = claims.iter().map(|claim| format!("{}:4321", claim.ip())).collect();
    let mut group = PySyncObj { python, addresses, nodes: vec![None, None, None], directory: Directory::fresh() };
    (0..3).for_each(|node| group.start_node(node));
    let leader = group.leader();
    let mut rows = Vec::new();
    for count in clients {
        let numbers = group.nodes[leader].as_mut().unwrap().ask(&format!("write {count} {}", window.as_secs_f64()));
        rows.push(Row::new(&format!("writes/s, {count} clients"), numbers[0]));
        if *count == 1 {
            rows.push(Row::new("one write, median, ms", numbers[1]));
            rows.push(Row::new("one write, p99, ms", numbers[2]));
        }
    }
    rows.push(Row::new("reads/s, linearizable, 64 clients", f64::NAN));
    let reads = group.nodes[leader].as_mut().unwrap().ask(&format!("read {}", window.as_secs_f64()));
    rows.push(Row::new("reads/s, stale, 64 clients", reads[0]));
    let resident = group.nodes.iter().flatten().map(|node| resident_kib(node.child.id())).max().unwrap();
    rows.push(Row::new("resident memory after that, MiB", resident as f64 / 1024.0));
    let mut times: Vec<f64> = (0..kills)
        .map(|_| {
            let leader = group.leader();
            let begun = Instant::now();
            drop(group.nodes[leader].take());
            group.nodes[(leader + 1) % 3].as_mut().unwrap().ask("until-written");
            let took = begun.elapsed().as_secs_f64() * 1_000.0;
            group.start_node(leader);
            group.leader();
            took
        })
        .collect();
    rows.extend(crate::failover_rows(&mut times));
    rows
}
