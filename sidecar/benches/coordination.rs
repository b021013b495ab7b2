//! Our group beside etcd's and PySyncObj's, three nodes each on one disk and one machine, one after the other:
//! `make bench-coordination`. `scripts/bench-setup` fetches the peers into `.peers/`; what is missing is left out and said.
//! Names behind `--` (folkmoot, etcd, pysyncobj) choose some of them; `FOLKMOOT_BENCH_KILLS` is the number of kills.
//!
//! All run with their own settings. Ours and etcd's clients are threads with one connection and one request under way
//! each, spread over the nodes (a single one talks to the leader's), and written alike. PySyncObj is a library, so its
//! clients are callbacks within the leader's process, without any connection; it syncs its journal once a second and not
//! before it acknowledges, so its writes promise less. It asserts no number: read the ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a measurement that cannot be made has to stop"
)]

#[path = "../tests/chaos/call.rs"]
mod call;
#[path = "coordination/etcd.rs"]
mod etcd;
#[path = "coordination/folkmoot.rs"]
mod folkmoot;
#[path = "../tests/chaos/group.rs"]
mod group;
#[path = "coordination/pysyncobj.rs"]
mod pysyncobj;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Directory, rest};

/// How long each rate is measured.
const WINDOW: Duration = Duration::from_secs(3);
/// Clients that write at the same time.
const CLIENTS: [usize; 3] = [1, 64, 256];
/// Kills of the leader.
const KILLS: usize = 20;
/// Bytes of a value.
const VALUE: [u8; 128] = [b'x'; 128];

/// A three-node group.
trait Cluster {
    /// A client of one node.
    fn client(&self, node: usize) -> Box<dyn Client>;
    /// One that asks again soon when nobody answers.
    fn impatient_client(&self, node: usize) -> Box<dyn Client> {
        self.client(node)
    }
    fn leader(&self) -> Option<usize>;
    fn kill(&mut self, node: usize);
    /// Starts a killed node and waits until the group is whole.
    fn restart(&mut self, node: usize);
    /// Of the largest node.
    fn resident_kib(&self) -> u64;
}

/// One connection. The answers are whether it succeeded.
trait Client: Send {
    fn write(&mut self, key: &str, value: &[u8]) -> bool;
    fn read(&mut self, key: &str, stale: bool) -> bool;
}

/// One number and what it is, unit included.
struct Row {
    what: String,
    value: f64,
}

impl Row {
    fn new(what: &str, value: f64) -> Self {
        Self { what: what.to_owned(), value }
    }
}

fn main() {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.peers");
    print_machine();
    let kills = std::env::var("FOLKMOOT_BENCH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    let (program, python) = (peers.join("etcd/usr/bin/etcd"), peers.join("pysyncobj/bin/python"));
    let (mut ours, mut etcd, mut pysyncobj) = (Vec::new(), Vec::new(), Vec::new());
    if wanted("folkmoot") {
        ours = measure(&mut folkmoot::Folkmoot::start(), kills);
    }
    if wanted("etcd") && program.exists() {
        etcd = measure(&mut etcd::Etcd::start(program), kills);
    }
    if wanted("pysyncobj") && python.exists() {
        pysyncobj = pysyncobj::measure(&python, &CLIENTS, WINDOW, kills);
    }
    for (name, rows) in [("etcd", &etcd), ("PySyncObj", &pysyncobj)] {
        if rows.is_empty() && wanted(&name.to_lowercase()) {
            println!("{name} is not in .peers/: run scripts/bench-setup to compare with it");
        }
    }
    println!("{:<42} {:>11} {:>11} {:>7} {:>11} {:>7}", "", "Folkmoot", "etcd", "ratio", "PySyncObj", "ratio");
    let longest = [&ours, &etcd, &pysyncobj].into_iter().find(|rows| !rows.is_empty());
    for Row { what, .. } in longest.into_iter().flatten() {
        let of = |rows: &[Row]| rows.iter().find(|row| row.what == *what).map_or(f64::NAN, |row| row.value);
        let (value, etcd, pysyncobj) = (of(&ours), of(&etcd), of(&pysyncobj));
        println!(
            "{what:<42} {value:>11.2} {etcd:>11.2} {:>7.2} {pysyncobj:>11.2} {:>7.2}",
            value / etcd,
            value / pysyncobj
        );
    }
    println!("Load at the end: {}", first_line("/proc/loadavg"));
}

fn measure(cluster: &mut dyn Cluster, kills: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for clients in CLIENTS {
        let mut times = run(cluster, clients, |client, key| client.write(key, &VALUE));
        rows.push(Row::new(&format!("writes/s, {clients} clients"), times.len() as f64 / WINDOW.as_secs_f64()));
        if clients == 1 {
            times.sort_by(f64::total_cmp);
            rows.push(Row::new("one write, median, ms", percentile(&times, 0.5)));
            rows.push(Row::new("one write, p99, ms", percentile(&times, 0.99)));
        }
    }
    for (name, stale) in [("linearizable", false), ("stale", true)] {
        let times = run(cluster, 64, |client, key| client.read(key, stale));
        rows.push(Row::new(&format!("reads/s, {name}, 64 clients"), times.len() as f64 / WINDOW.as_secs_f64()));
    }
    rows.push(Row::new("resident memory after that, MiB", cluster.resident_kib() as f64 / 1024.0));
    let mut times: Vec<f64> = (0..kills).map(|_| failover_ms(cluster)).collect();
    rows.extend(failover_rows(&mut times));
    rows
}

/// Milliseconds that each successful request took, of `clients` clients for [`WINDOW`].
fn run(cluster: &dyn Cluster, clients: usize, request: impl Fn(&mut dyn Client, &str) -> bool + Sync) -> Vec<f64> {
    let leader = cluster.leader().expect("a healthy group has a leader");
    let (stop, failures) = (AtomicBool::new(false), AtomicU64::new(0));
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let mut client = cluster.client((leader + number) % 3);
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
        rest(WINDOW, || false);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let failures = failures.into_inner();
    if failures > 0 {
        println!("({failures} requests of {clients} clients failed and are not counted)");
    }
    times
}

/// Milliseconds from the SIGKILL of the leader to the next write that is acknowledged, by another node.
fn failover_ms(cluster: &mut dyn Cluster) -> f64 {
    let leader = support::eventually("there is a leader", || cluster.leader().ok_or_else(|| "none".to_owned()));
    let mut client = cluster.impatient_client((leader + 1) % 3);
    assert!(client.write("before", &VALUE), "a healthy group takes writes");
    let begun = Instant::now();
    cluster.kill(leader);
    while !client.write("after", &VALUE) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no write after the leader's end");
    }
    let took = begun.elapsed().as_secs_f64() * 1_000.0;
    cluster.restart(leader);
    took
}

fn failover_rows(times: &mut [f64]) -> Vec<Row> {
    times.sort_by(f64::total_cmp);
    vec![
        Row::new("failover, median, ms", percentile(times, 0.5)),
        Row::new("failover, worst, ms", percentile(times, 1.0)),
    ]
}

/// A percentile of sorted times.
fn percentile(times: &[f64], share: f64) -> f64 {
    let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or(f64::NAN)
}

/// Resident memory of a process, from the kernel.
fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn print_machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.trim_start_matches(['\t', ' ', ':']);
    println!("Machine: {cores} x {model}, Linux {}", first_line("/proc/sys/kernel/osrelease"));
    println!("Disk: one sync of 4 KiB appended, median {:.2} ms", sync_ms());
    println!("Load at the start: {}", first_line("/proc/loadavg"));
    println!("Command: make bench-coordination; rates over {WINDOW:?}, {KILLS} kills, values of {} bytes", VALUE.len());
    println!("Build: {}", if cfg!(debug_assertions) { "unoptimised, not to be compared" } else { "optimised" });
}

/// Median time to append 4 KiB to a file and sync it, where all the groups have their data.
fn sync_ms() -> f64 {
    let directory = Directory::fresh();
    let mut file = std::fs::File::create(directory.file("sync")).unwrap();
    let mut times: Vec<f64> = (0..100)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[0; 4096]).unwrap();
            file.sync_data().unwrap();
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    percentile(&times, 0.5)
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}
