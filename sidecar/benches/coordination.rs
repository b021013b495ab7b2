//! Our group beside etcd's and PySyncObj's, three nodes each on one disk and one machine, one after the other:
//! `make bench-coordination`. `scripts/bench-setup` fetches the peers into `.peers/`; what is missing is left out and said.
//! Names behind `--` choose some of them (folkmoot, etcd, pysyncobj) and some of the stages (rates, failover, load, return);
//! `FOLKMOOT_BENCH_KILLS` is the number of kills, `FOLKMOOT_BENCH_ENTRIES` the length of the history with which a node comes
//! back.
//!
//! All run with their own settings. Ours and etcd's clients are threads with one connection and one request under way
//! each, or with 256 under way, spread over the nodes (a single one talks to the leader's), and written alike. PySyncObj
//! is a library, so its clients are callbacks within the leader's process, without any connection; it syncs its journal
//! once a second and not before it acknowledges, so its writes promise less. It asserts no number: read the ratios. A
//! stage that does not end is given up after a minute or so, and said; its rows are empty then.
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
#[path = "coordination/grpc.rs"]
mod grpc;
#[path = "coordination/measure.rs"]
mod measure;
#[path = "coordination/networked.rs"]
mod networked;
#[path = "coordination/pysyncobj.rs"]
mod pysyncobj;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use measure::{Extent, Row, STAGES, VALUE, WINDOW, measure, percentile};
use networked::Measured;
use support::Directory;

/// Kills of the leader.
const KILLS: usize = 20;
/// Entries of the long history.
const ENTRIES: u64 = 1_000_000;

fn main() {
    let begun = Instant::now();
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.peers");
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("FOLKMOOT_BENCH_KILLS").map_or(KILLS, |kills| kills as usize);
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let (stages, groups): (Vec<String>, Vec<String>) = arguments.partition(|name| STAGES.contains(&name.as_str()));
    let extent = Extent { kills, entries: number("FOLKMOOT_BENCH_ENTRIES").unwrap_or(ENTRIES), stages };
    print_machine(&extent);
    let wanted = |name: &str| groups.is_empty() || groups.iter().any(|one| one == name);
    let (program, python) = (peers.join("etcd/usr/bin/etcd"), peers.join("pysyncobj/bin/python"));
    let (mut ours, mut etcd, mut pysyncobj) = (Vec::new(), Vec::new(), Vec::new());
    if wanted("folkmoot") {
        ours = measure("folkmoot", || Box::new(Measured::new(folkmoot::Folkmoot::start())), &extent);
    }
    if wanted("etcd") && program.exists() {
        etcd = measure("etcd", || Box::new(Measured::new(etcd::Etcd::start(program))), &extent);
    }
    if wanted("pysyncobj") && python.exists() {
        pysyncobj = measure("pysyncobj", || Box::new(pysyncobj::PySyncObj::start(&python)), &extent);
    }
    for (name, rows) in [("etcd", &etcd), ("PySyncObj", &pysyncobj)] {
        if rows.is_empty() && wanted(&name.to_lowercase()) {
            println!("{name} is not in .peers/: run scripts/bench-setup to compare with it");
        }
    }
    print_table(&ours, &etcd, &pysyncobj);
    println!("Load at the end: {}", first_line("/proc/loadavg"));
    println!("Took: {:.0} s", begun.elapsed().as_secs_f64());
}

/// A table in Markdown. A ratio says how many times better ours is.
fn print_table(ours: &[Row], etcd: &[Row], pysyncobj: &[Row]) {
    let mut longest = [ours, etcd, pysyncobj];
    longest.sort_by_key(|rows| std::cmp::Reverse(rows.len()));
    println!("| {:<54} | Folkmoot |     etcd | times | PySyncObj | times |", "");
    println!("|{}|---------:|---------:|------:|----------:|------:|", "-".repeat(56));
    for Row { what, more_is_better, .. } in longest[0] {
        let of = |rows: &[Row]| rows.iter().find(|row| row.what == *what).map_or(f64::NAN, |row| row.value);
        let (value, etcd, pysyncobj) = (of(ours), of(etcd), of(pysyncobj));
        let times = |other: f64| if *more_is_better { value / other } else { other / value };
        let (by_etcd, by_pysyncobj) = (shown(times(etcd)), shown(times(pysyncobj)));
        let (value, etcd, pysyncobj) = (shown(value), shown(etcd), shown(pysyncobj));
        println!("| {what:<54} | {value:>8} | {etcd:>8} | {by_etcd:>5} | {pysyncobj:>9} | {by_pysyncobj:>5} |");
    }
}

/// A number with three digits or more; nothing where there is none.
fn shown(number: f64) -> String {
    match number {
        number if !number.is_finite() => "–".to_owned(),
        number if number.abs() >= 100.0 || number == 0.0 => format!("{number:.0}"),
        number if number.abs() >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

fn print_machine(extent: &Extent) {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.trim_start_matches(['\t', ' ', ':']);
    println!("Machine: {cores} x {model}, Linux {}", first_line("/proc/sys/kernel/osrelease"));
    println!("Disk: one sync of 4 KiB appended, median {:.2} ms", sync_ms());
    println!("Load at the start: {}", first_line("/proc/loadavg"));
    let Extent { kills, entries, .. } = extent;
    println!("Command: make bench-coordination; rates over {WINDOW:?}, {kills} kills, history of {entries} entries");
    println!("Values: {} bytes", VALUE.len());
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
