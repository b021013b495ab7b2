//! What is measured, of any group of three: rates, memory, failover, elections under load, and the return of a node.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::rest;

/// How long each rate is measured.
pub const WINDOW: Duration = Duration::from_secs(3);
/// Clients with one request under way each.
const CLIENTS: [usize; 3] = [1, 64, 256];
/// Requests that a connection has under way where it does not wait for each.
pub const UNDER_WAY: usize = 256;
/// Connections that do not wait.
const PIPELINES: [usize; 2] = [1, 16];
/// How long every core is kept busy while elections are counted, and by how many threads for each.
const BUSY: Duration = Duration::from_secs(15);
const BUSY_THREADS: usize = 2;
/// Bytes of a value.
pub const VALUE: [u8; 128] = [b'x'; 128];
/// What any step may take before the stage is given up.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How long a group may take to find its timing.
pub const SETTLE: Duration = Duration::from_secs(30);

/// How much is measured.
pub struct Extent {
    /// Kills of the leader.
    pub kills: usize,
    /// Entries of the history with which a node comes back.
    pub entries: u64,
    /// The stages that are run; empty: all.
    pub stages: Vec<String>,
}

/// What can be measured alone.
pub const STAGES: [&str; 4] = ["rates", "failover", "load", "return"];

/// A group of three nodes. A step that takes longer than [`LIMIT`] panics, which ends its stage.
pub trait System {
    /// Writes by clients that wait for each answer.
    fn writes(&mut self, clients: usize, window: Duration) -> Rate;
    /// Writes over connections with [`UNDER_WAY`] requests each, until `window` is over or `entries` are acknowledged.
    fn pipelined(&mut self, connections: usize, window: Duration, entries: u64) -> Rate;
    /// Reads by clients that wait for each answer; `None`: there are none of this kind.
    fn reads(&mut self, clients: usize, stale: bool, window: Duration) -> Option<Rate>;
    /// Who leads; waits for somebody.
    fn leader(&mut self) -> usize;
    /// Waits, for [`SETTLE`] at most, until the group has measured how long its round trips take. Says whether it has.
    fn settle(&mut self) -> bool {
        true
    }
    /// Whatever counts elections.
    fn term(&mut self) -> u64;
    /// The processes of the nodes that run.
    fn processes(&self) -> Vec<u32>;
    /// Prepares for [`System::until_written`] through this node.
    fn connect(&mut self, node: usize);
    /// Completes when a write through the connected node is acknowledged.
    fn until_written(&mut self);
    fn kill(&mut self, node: usize);
    /// Starts a killed node, and completes when it has all that the group had then.
    fn restart(&mut self, node: usize);
}

/// What was acknowledged.
pub struct Rate {
    pub count: f64,
    pub seconds: f64,
    pub median_ms: f64,
    pub p99_ms: f64,
}

impl Rate {
    /// Of the milliseconds that each request took.
    pub fn new(mut times: Vec<f64>, seconds: f64) -> Self {
        times.sort_by(f64::total_cmp);
        let (median_ms, p99_ms) = (percentile(&times, 0.5), percentile(&times, 0.99));
        Self { count: times.len() as f64, seconds, median_ms, p99_ms }
    }

    fn per_second(&self) -> f64 {
        self.count / self.seconds
    }
}

/// One number, and whether a larger one is better.
pub struct Row {
    pub what: String,
    pub value: f64,
    pub more_is_better: bool,
}

fn more(what: &str, value: f64) -> Row {
    Row { what: what.to_owned(), value, more_is_better: true }
}

fn less(what: &str, value: f64) -> Row {
    Row { what: what.to_owned(), value, more_is_better: false }
}

/// All rows of a system, those of a stage that was given up excepted.
pub fn measure(name: &str, start: impl FnOnce() -> Box<dyn System>, extent: &Extent) -> Vec<Row> {
    let begun = Instant::now();
    let mut rows = Vec::new();
    let mut system = None;
    let stage = |what: &str, rows: &mut Vec<Row>, run: &mut dyn FnMut() -> Vec<Row>| {
        eprintln!("{name}, after {:.0} s: {what}", begun.elapsed().as_secs_f64());
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(new) => rows.extend(new),
            Err(_) => println!("({name}: \"{what}\" was given up)"),
        }
    };
    let mut start = Some(start);
    stage("start", &mut rows, &mut || {
        system = start.take().map(|start| start());
        Vec::new()
    });
    let Some(mut system) = system else { return rows };
    let wanted = |name: &&str| extent.stages.is_empty() || extent.stages.iter().any(|stage| stage == name);
    for name in STAGES.into_iter().filter(wanted) {
        stage(name, &mut rows, &mut || match name {
            "rates" => rates(&mut *system),
            "failover" => failover(&mut *system, extent.kills),
            "load" => full_load(&mut *system),
            _ => comeback(&mut *system, extent.entries),
        });
    }
    eprintln!("{name}: {:.0} s", begun.elapsed().as_secs_f64());
    rows
}

fn rates(system: &mut dyn System) -> Vec<Row> {
    let mut rows = Vec::new();
    for clients in CLIENTS {
        let before = processor_ms(system);
        let rate = system.writes(clients, WINDOW);
        let spent = processor_ms(system) - before;
        rows.push(more(&format!("writes/s, {clients} clients"), rate.per_second()));
        rows.push(less(
            &format!("processor time of the nodes for one, {clients} clients, µs"),
            spent * 1_000.0 / rate.count,
        ));
        if clients == 1 {
            rows.push(less("one write, median, ms", rate.median_ms));
            rows.push(less("one write, p99, ms", rate.p99_ms));
        }
    }
    for connections in PIPELINES {
        let rate = system.pipelined(connections, WINDOW, u64::MAX);
        rows.push(more(&format!("writes/s, {UNDER_WAY} under way on each of {connections}"), rate.per_second()));
    }
    for (name, stale) in [("linearizable", false), ("stale", true)] {
        let rate = system.reads(64, stale, WINDOW).map_or(f64::NAN, |rate| rate.per_second());
        rows.push(more(&format!("reads/s, {name}, 64 clients"), rate));
    }
    rows.push(less("resident memory after that, MiB", resident_mib(system)));
    rows
}

/// Milliseconds from the SIGKILL of the leader to the next write that is acknowledged, by another node.
fn failover(system: &mut dyn System, kills: usize) -> Vec<Row> {
    let mut times = Vec::new();
    for _ in 0..kills {
        if !system.settle() {
            println!("(a leader is killed though elections take longer than they could: the machine is not calm)");
        }
        let leader = system.leader();
        system.connect((leader + 1) % 3);
        let begun = Instant::now();
        system.kill(leader);
        system.until_written();
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        system.restart(leader);
    }
    times.sort_by(f64::total_cmp);
    vec![
        less("failover, median, ms", percentile(&times, 0.5)),
        less(&format!("failover, worst of {kills}, ms"), percentile(&times, 1.0)),
    ]
}

/// Elections while nobody fails and every core is busy with something else.
fn full_load(system: &mut dyn System) -> Vec<Row> {
    system.settle();
    system.leader();
    let before = system.term();
    let stop = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rate = std::thread::scope(|scope| {
        for _ in 0..BUSY_THREADS * cores {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        // Stops the threads also when it panics.
        let stopping = Stop(&stop);
        let rate = system.writes(16, BUSY);
        drop(stopping);
        rate
    });
    system.leader();
    let elections = system.term().saturating_sub(before) as f64;
    vec![
        less(&format!("elections in {BUSY:?} of full load"), elections),
        more("writes/s meanwhile, 16 clients", rate.per_second()),
    ]
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A node that missed half of a long history, and one that is started with it on its disk.
fn comeback(system: &mut dyn System, entries: u64) -> Vec<Row> {
    let half = entries / 2;
    let first = system.pipelined(8, LIMIT, half);
    let node = (system.leader() + 1) % 3;
    system.kill(node);
    let second = system.pipelined(8, LIMIT, half);
    let missed = timed(|| system.restart(node));
    system.leader();
    system.kill(node);
    let had = timed(|| system.restart(node));
    let (count, seconds) = (first.count + second.count, first.seconds + second.seconds);
    vec![
        more("entries of the history", count),
        more("writes/s meanwhile", count / seconds),
        less("restart with it, ms", had),
        less("restart without its second half, ms", missed),
        less("resident memory with it, MiB", resident_mib(system)),
    ]
}

/// Of the largest node.
fn resident_mib(system: &dyn System) -> f64 {
    system.processes().into_iter().map(resident_kib).max().map_or(f64::NAN, |kib| kib as f64 / 1024.0)
}

/// Resident memory of a process, from the kernel.
fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Processor time that all nodes together have used, from the kernel, which counts it in hundredths of a second.
fn processor_ms(system: &dyn System) -> f64 {
    let ticks = |process: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let fields: Vec<f64> = stat
            .rsplit(") ")
            .next()
            .into_iter()
            .flat_map(str::split_whitespace)
            .skip(11)
            .take(2)
            .map(|field| field.parse().unwrap())
            .collect();
        fields.iter().sum::<f64>()
    };
    system.processes().into_iter().map(ticks).sum::<f64>() * 10.0
}

fn timed(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_secs_f64() * 1_000.0
}

/// A percentile of sorted times.
pub fn percentile(times: &[f64], share: f64) -> f64 {
    let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or(f64::NAN)
}

/// Looks often until `condition` holds; panics after [`LIMIT`].
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        rest(Duration::from_millis(2), || false);
    }
}
