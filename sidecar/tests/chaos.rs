//! Real groups of processes under faults, by seed: clients hammer registers, counters, locks, work items and a queue while
//! nodes are killed, stopped, cut off, robbed of their disks, and their clocks moved; what the clients were told has to be
//! what one machine could have said (`folkmoot-linearizability`; `planted.rs` shows that it notices). And kill -9, over and
//! over, under writes: no acknowledged write may be lost.
//!
//! Short here; longer on request: `FOLKMOOT_CHAOS_RUNS` runs per test from seed `FOLKMOOT_CHAOS_SEED` on, each with
//! `FOLKMOOT_CHAOS_FAULTS` faults; `FOLKMOOT_CHAOS_KILLS` kills; `FOLKMOOT_CHAOS_SILENCE` seconds of silence. A failure
//! prints its seed (the plan of faults follows from it; the interleaving does not) and keeps all data and logs.
//! `docs/testing.md` says what was run, and what came of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

#[path = "chaos/call.rs"]
mod call;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/group.rs"]
mod group;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/planted.rs"]
mod planted;
#[path = "chaos/random.rs"]
mod random;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use call::{Caller, Outcome};
use faults::disturb;
use group::{Group, Means, RECOVERY};
use load::{Load, Reads};
use random::Random;
use support::{Value, eventually_within, rest};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// One run of each seed that is asked for.
fn runs(size: usize, means: Means) {
    let first = setting("FOLKMOOT_CHAOS_SEED", 1);
    let faults = usize::try_from(setting("FOLKMOOT_CHAOS_FAULTS", 4)).unwrap();
    for seed in first..first + setting("FOLKMOOT_CHAOS_RUNS", 1) {
        let begun = Instant::now();
        let mut group = Group::start(size, means);
        if means.clocks {
            show_that_clocks_move(&group);
        }
        let load = Load::start(&group.endpoints(), seed, Reads::Current);
        assert!(load.progress(50, RECOVERY), "clients are not served\n{}", group.logs());
        let plan = disturb(&mut group, &load, seed, faults, means);
        group.wait_until_caught_up();
        let judgement = load.judge();
        println!("seed {seed}, {size} nodes, {:?}: {plan:?}: {judgement:?}", begun.elapsed());
        if !judgement.violations.is_empty() {
            let kept = group.keep();
            let violations = judgement.violations.join("\n");
            panic!("FOLKMOOT_CHAOS_SEED={seed} {plan:?}: {violations}\nkept in {}\n{}", kept.display(), group.logs());
        }
        group.check_logs();
    }
}

/// Moves a clock forth and back, and waits until the process shows it in its log.
fn show_that_clocks_move(group: &Group) {
    let node = &group.nodes[0];
    for days in [900, -900] {
        node.set_clock(days * 86_400);
        let year = (chrono::Local::now() + chrono::TimeDelta::days(days)).format("%Y/").to_string();
        eventually_within(RECOVERY, &format!("the log of {} is at {year}", node.name), || {
            // Whoever connects makes a line.
            node.state();
            let line = node.last_line();
            if line.trim_start().starts_with(&year) { Ok(()) } else { Err(line) }
        });
    }
    node.set_clock(0);
}

#[test]
fn three_nodes_killed_and_stopped_behave_like_one_machine() {
    runs(3, Means::default());
}

#[test]
fn five_nodes_killed_stopped_and_cut_off_behave_like_one_machine() {
    runs(5, Means { links: true, ..Means::default() });
}

#[test]
fn three_nodes_with_full_disks_behave_like_one_machine() {
    runs(3, Means { links: true, disks: true, ..Means::default() });
}

#[test]
fn three_nodes_whose_clocks_are_moved_behave_like_one_machine() {
    runs(3, Means { links: true, clocks: true, ..Means::default() });
}

/// Long enough that everybody has noticed; then connections hang that have sent into the void, and wait ever longer.
#[test]
fn a_group_all_of_whose_links_were_silent_works_again() {
    let silence = Duration::from_secs(setting("FOLKMOOT_CHAOS_SILENCE", 5));
    let mut group = Group::start(3, Means { links: true, ..Means::default() });
    let load = Load::start(&group.endpoints(), setting("FOLKMOOT_CHAOS_SEED", 1), Reads::Current);
    assert!(load.progress(50, RECOVERY), "clients are not served\n{}", group.logs());
    group.partition(&[0, 1, 2]);
    let begun = Instant::now();
    for node in &group.nodes {
        eventually_within(RECOVERY, &format!("{} knows that it is alone", node.name), || {
            let quorum = node.state().map(|state| state.get("Quorum").as_text());
            if quorum.as_deref() == Some("lost") { Ok(()) } else { Err(format!("{quorum:?}\n{}", group.logs())) }
        });
    }
    rest(silence.saturating_sub(begun.elapsed()), || false);
    let before = load.answered();
    group.heal();
    let healed = Instant::now();
    assert!(load.progress(1, RECOVERY), "nobody is served\n{}", group.logs());
    println!("silent for {:?}, served {:?} after it", healed - begun, healed.elapsed());
    assert!(load.progress(50, RECOVERY), "{before} answers before, {} since\n{}", load.answered(), group.logs());
    group.wait_until_caught_up();
    let judgement = load.judge();
    assert!(judgement.violations.is_empty(), "{judgement:?}\n{}", group.logs());
    group.check_logs();
}

/// What writers were told that is stored: the last acknowledged number of each, and how many in all.
#[derive(Default)]
struct Acknowledged {
    last: Mutex<BTreeMap<u64, u64>>,
    count: AtomicU64,
    stop: AtomicBool,
}

/// Writes numbered keys, one after the other, each until it is acknowledged.
fn write_numbers(acknowledged: &Acknowledged, caller: &mut Caller, writer: u64) {
    let mut number = 0;
    while !acknowledged.stop.load(Ordering::Relaxed) {
        number += 1;
        let key = Value::text(&format!("kept/{writer:02}/{number:08}"));
        let fields = [("Key", key), ("Value", Value::Bin(vec![b'x'; 100]))];
        match caller.write("kv-put", &fields, Duration::ZERO, Duration::from_secs(20)) {
            Outcome::Answer(_) => {
                acknowledged.last.lock().unwrap().insert(writer, number);
                acknowledged.count.fetch_add(1, Ordering::Relaxed);
            }
            // The next one is another key: what is unknown is not counted on.
            Outcome::Never | Outcome::Unknown => {
                acknowledged.last.lock().unwrap().insert(writer, number - 1);
                number -= 1;
            }
            Outcome::Refused(word) => panic!("a write was refused: {word}"),
        }
    }
}

/// All keys of one writer that the group has.
fn numbers(caller: &mut Caller, writer: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut after = String::new();
    loop {
        let prefix = Value::text(&format!("kept/{writer:02}/"));
        let fields = [("After", Value::text(&after)), ("Limit", Value::Int(0)), ("Prefix", prefix)];
        let page = caller.read("kv-list", &fields, RECOVERY).expect("the group answers").unwrap();
        for entry in page.get("Entries").as_array() {
            after = entry.get("Key").as_text();
            numbers.push(after.rsplit('/').next().unwrap().parse().unwrap());
        }
        if *page.get("More") == Value::Bool(false) {
            return numbers;
        }
    }
}

#[test]
fn no_acknowledged_write_is_lost_by_kill_9() {
    const WRITERS: u64 = 4;
    let kills = setting("FOLKMOOT_CHAOS_KILLS", 10);
    let mut random = Random::new(setting("FOLKMOOT_CHAOS_SEED", 1));
    let mut group = Group::start(3, Means::default());
    let acknowledged = Arc::new(Acknowledged::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (endpoints, acknowledged) = (group.endpoints(), Arc::clone(&acknowledged));
            std::thread::spawn(move || {
                let mut caller = Caller::new(&endpoints, usize::try_from(writer).unwrap());
                write_numbers(&acknowledged, &mut caller, writer);
            })
        })
        .collect();
    let begun = Instant::now();
    let written = |acknowledged: &Acknowledged| acknowledged.count.load(Ordering::Relaxed);
    for kill in 0..kills {
        // Sometimes all at once; most often one, whoever it is.
        let all = random.below(8) == 0;
        let victims: Vec<usize> = if all { (0..3).collect() } else { vec![random.place(3)] };
        let before = written(&acknowledged);
        rest(Duration::from_millis(random.below(200)), || false);
        victims.iter().for_each(|victim| group.nodes[*victim].kill());
        victims.iter().for_each(|victim| group.nodes[*victim].start());
        let goal = before + 40;
        assert!(rest(RECOVERY, || written(&acknowledged) > goal), "kill {kill}: no writes\n{}", group.logs());
        if kill % 100 == 99 {
            println!("{} kills in {:?}, {} acknowledged writes", kill + 1, begun.elapsed(), written(&acknowledged));
        }
    }
    acknowledged.stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    group.wait_until_caught_up();
    let last = acknowledged.last.lock().unwrap();
    let mut caller = Caller::new(&group.endpoints(), 0);
    for writer in 0..WRITERS {
        let wanted: Vec<u64> = (1..=last[&writer]).collect();
        let mut there = numbers(&mut caller, writer);
        there.truncate(wanted.len());
        assert_eq!(there, wanted, "writer {writer} has lost writes; kept in {}", group.keep().display());
    }
    group.check_logs();
    println!("{kills} kills in {:?}, {} acknowledged writes, none lost", begun.elapsed(), written(&acknowledged));
}
