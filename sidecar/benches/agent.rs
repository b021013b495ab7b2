//! Our agent beside the Go agent, in one run on one machine: `cargo bench -p folkmoot --bench agent`.
//!
//! Prints what was measured, on what, and under which load. It asserts no number: both agents share the machine with the
//! client that measures them, so read the ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that cannot be made has to stop"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Agent, Kind, Loopback, Rpc, eventually};

/// How long each rate is measured.
const WINDOW: Duration = Duration::from_secs(3);
/// Starts, of which the median is shown.
const STARTS: usize = 7;

fn main() {
    print_machine();
    let ours = measure(Kind::Folkmoot);
    let go = measure(Kind::Go);
    println!("{:<52} {:>12} {:>12} {:>8}", "", "Folkmoot", "Go", "ratio");
    for (ours, go) in ours.iter().zip(&go) {
        println!("{:<52} {:>12.1} {:>12.1} {:>8.2}", ours.what, ours.value, go.value, ours.value / go.value);
    }
    println!("Load at the end: {}", first_line("/proc/loadavg"));
}

/// One number and what it is, unit included.
struct Figure {
    what: &'static str,
    value: f64,
}

fn measure(kind: Kind) -> Vec<Figure> {
    let start_ms = start_up_ms(kind);
    let agents = cluster(kind);
    let resident = agents[0].resident_kib();
    let members = rate(|rpc| drop(rpc.members()), &agents[0]);
    let mut number = 0_u32;
    let events = rate(
        |rpc| {
            number += 1;
            rpc.event("bench", &number.to_be_bytes(), false).unwrap();
        },
        &agents[0],
    );
    let resident_after = agents[0].resident_kib();
    let mib = |kib: u64| f64::from(u32::try_from(kib).unwrap()) / 1024.0;
    vec![
        Figure { what: "start until RPC accepts, median, ms (lower is better)", value: start_ms },
        Figure { what: "resident memory, idle, 3 members, MiB (lower)", value: mib(resident) },
        Figure { what: "members, 3 members, one connection, per s (higher)", value: members },
        Figure { what: "user events accepted, one connection, per s (higher)", value: events },
        Figure { what: "resident memory after that load, MiB (lower)", value: mib(resident_after) },
    ]
}

/// Median time from the start of the process until its RPC port accepts.
fn start_up_ms(kind: Kind) -> f64 {
    let mut times: Vec<f64> = (0..STARTS)
        .map(|_| {
            let address = Arc::new(Loopback::fresh());
            let begun = Instant::now();
            let _agent = Agent::spawn_at(kind, "bench", Arc::clone(&address), &[]);
            while TcpStream::connect(address.rpc()).is_err() {
                assert!(begun.elapsed() < support::PATIENCE, "{kind:?} does not start");
                std::thread::park_timeout(Duration::from_micros(200));
            }
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[STARTS / 2]
}

/// Three agents that know one another.
fn cluster(kind: Kind) -> Vec<Agent> {
    let agents: Vec<Agent> = ["one", "two", "three"].map(|name| Agent::start(kind, name, &["-log-level=err"])).into();
    for agent in &agents[1..] {
        assert_eq!(agent.rpc().join(&[&agents[0].gossip()]), Ok(1));
    }
    let mut rpc = agents[0].rpc();
    eventually("all three are known", || {
        let rows = rpc.members();
        if rows.len() == 3 { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    agents
}

/// Requests per second, one after the other on one connection.
fn rate(mut request: impl FnMut(&mut Rpc), agent: &Agent) -> f64 {
    let mut rpc = agent.rpc();
    let begun = Instant::now();
    let mut done = 0_u32;
    while begun.elapsed() < WINDOW {
        request(&mut rpc);
        done += 1;
    }
    let rate = f64::from(done) / begun.elapsed().as_secs_f64();
    rpc.finish();
    rate
}

fn print_machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.trim_start_matches(['\t', ' ', ':']);
    println!("Machine: {cores} x {model}, Linux {}", first_line("/proc/sys/kernel/osrelease"));
    println!("Load at the start: {}", first_line("/proc/loadavg"));
    println!("Command: cargo bench -p folkmoot --bench agent; each rate over {WINDOW:?}, client on the same machine");
    println!("Build: {}", if cfg!(debug_assertions) { "unoptimised, not to be compared" } else { "optimised" });
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}
