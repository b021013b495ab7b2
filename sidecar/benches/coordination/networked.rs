//! Systems that are reached over connections: ours and etcd. Clients are threads; each has one connection, and they are
//! spread over the nodes (a single one talks to the leader's).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::measure::{Rate, SETTLE, System, UNDER_WAY, VALUE, until};
use crate::support::rest;

/// Keys of a pipeline: far fewer than writes, as where state is kept up to date.
const KEYS: u64 = 1_000;

/// One connection with one request under way. The answers are whether it succeeded.
pub trait Client: Send {
    fn write(&mut self, key: &str, value: &[u8]) -> bool;
    fn read(&mut self, key: &str, stale: bool) -> bool;
}

/// One connection with many requests under way.
pub trait Pipeline: Send {
    /// Sends some writes together.
    fn send(&mut self, keys: &[String], value: &[u8]);
    /// Waits for answers: how many came, and how many of them were acknowledgements.
    fn answers(&mut self) -> (usize, usize);
}

/// A group that is reached over connections.
pub trait Networked: Sync {
    fn client(&self, node: usize) -> Box<dyn Client>;
    /// One that asks again soon when nobody answers.
    fn impatient_client(&self, node: usize) -> Box<dyn Client> {
        self.client(node)
    }
    fn pipeline(&self, node: usize) -> Box<dyn Pipeline>;
    fn leader_now(&self) -> Option<usize>;
    fn term_now(&self) -> Option<u64>;
    fn processes(&self) -> Vec<u32>;
    fn runs(&self, node: usize) -> bool;
    fn kill(&mut self, node: usize);
    fn start_node(&mut self, node: usize);
    /// The last entry that a node has applied.
    fn applied(&self, node: usize) -> Option<u64>;
    /// Whether a node has found its timing, if it seeks one.
    fn settled(&self, _node: usize) -> bool {
        true
    }
    /// Whether a node serves requests as if nothing had been.
    fn serves(&self, node: usize) -> bool;
}

/// Any of them as a [`System`].
pub struct Measured<N> {
    pub group: N,
    connected: Option<Box<dyn Client>>,
}

impl<N: Networked> Measured<N> {
    pub fn new(group: N) -> Self {
        Self { group, connected: None }
    }
}

impl<N: Networked> System for Measured<N> {
    fn writes(&mut self, clients: usize, window: Duration) -> Rate {
        let leader = self.leader();
        run(&self.group, leader, clients, window, |client, key| client.write(key, &VALUE))
    }

    fn pipelined(&mut self, connections: usize, window: Duration, entries: u64) -> Rate {
        let leader = self.leader();
        pump(&self.group, leader, connections, window, entries)
    }

    fn reads(&mut self, clients: usize, stale: bool, window: Duration) -> Option<Rate> {
        let leader = self.leader();
        Some(run(&self.group, leader, clients, window, |client, key| client.read(key, stale)))
    }

    fn leader(&mut self) -> usize {
        let mut found = None;
        until("somebody leads", || {
            found = self.group.leader_now();
            found.is_some()
        });
        found.unwrap()
    }

    fn settle(&mut self) -> bool {
        rest(SETTLE, || (0..3).all(|node| self.group.settled(node)))
    }

    fn term(&mut self) -> u64 {
        self.group.term_now().expect("a healthy group has a term")
    }

    fn processes(&self) -> Vec<u32> {
        self.group.processes()
    }

    fn connect(&mut self, node: usize) {
        let mut client = self.group.impatient_client(node);
        until("a healthy group takes writes", || client.write("before", &VALUE));
        self.connected = Some(client);
    }

    fn until_written(&mut self) {
        let mut client = self.connected.take().expect("connected before");
        let begun = Instant::now();
        while !client.write("after", &VALUE) {
            assert!(begun.elapsed() < crate::measure::LIMIT, "no write after the leader's end");
        }
    }

    fn kill(&mut self, node: usize) {
        self.group.kill(node);
    }

    fn restart(&mut self, node: usize) {
        let goal = (0..3).filter_map(|node| self.group.applied(node)).max().expect("a group of which two nodes run");
        self.group.start_node(node);
        until("the node has caught up", || self.group.applied(node).is_some_and(|applied| applied >= goal));
        until("the node serves", || self.group.serves(node));
    }
}

/// Requests of `clients` clients for `window`.
fn run(
    group: &impl Networked,
    leader: usize,
    clients: usize,
    window: Duration,
    request: impl Fn(&mut dyn Client, &str) -> bool + Sync,
) -> Rate {
    let (stop, failures) = (AtomicBool::new(false), AtomicU64::new(0));
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let mut client = group.client((leader + number) % 3);
                let (stop, failures, request) = (&stop, &failures, &request);
                scope.spawn(move || {
                    let key = format!("key-{number}");
                    let mut times = Vec::new();
                    // The first one connects.
                    request(&mut *client, &key);
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        if request(&mut *client, &key) {
                            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
                        } else {
                            failures.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    times
                })
            })
            .collect();
        rest(window, || false);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    say_failures(failures.into_inner(), clients);
    Rate::new(times, window.as_secs_f64())
}

/// Writes over `connections` pipelines until `window` is over or `entries` are acknowledged.
fn pump(group: &impl Networked, leader: usize, connections: usize, window: Duration, entries: u64) -> Rate {
    let (written, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let nodes: Vec<usize> = (0..3).map(|place| (leader + place) % 3).filter(|node| group.runs(*node)).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..connections {
            let mut pipeline = group.pipeline(nodes[number % nodes.len()]);
            let (written, failed) = (&written, &failed);
            scope.spawn(move || {
                let mut next = number as u64;
                let mut under_way = 0;
                loop {
                    let over = begun.elapsed() >= window || written.load(Ordering::Relaxed) >= entries;
                    if over && under_way == 0 {
                        return;
                    }
                    if !over {
                        let keys: Vec<String> = (under_way..UNDER_WAY)
                            .map(|_| {
                                next += 1;
                                format!("key-{}", next % KEYS)
                            })
                            .collect();
                        pipeline.send(&keys, &VALUE);
                        under_way = UNDER_WAY;
                    }
                    let (answers, good) = pipeline.answers();
                    under_way -= answers;
                    written.fetch_add(good as u64, Ordering::Relaxed);
                    failed.fetch_add((answers - good) as u64, Ordering::Relaxed);
                }
            });
        }
    });
    say_failures(failed.into_inner(), connections);
    let (count, seconds) = (written.into_inner() as f64, begun.elapsed().as_secs_f64());
    Rate { count, seconds, median_ms: f64::NAN, p99_ms: f64::NAN }
}

fn say_failures(failures: u64, clients: usize) {
    if failures > 0 {
        println!("({failures} requests of {clients} clients failed and are not counted)");
    }
}
