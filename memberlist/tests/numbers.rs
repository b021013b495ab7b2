//! Numbers computed by the Go functions (`vectors/memberlist/tables/numbers.json`), powers of ten included: Go works
//! with floating point logarithms there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use folkmoot_memberlist::{push_pull_scale, retransmit_limit, suspicion_timeout, suspicion_total};
use serde_json::Value;

fn table(name: &str) -> Vec<Value> {
    let text = include_str!("../../vectors/memberlist/tables/numbers.json");
    let tables: Value = serde_json::from_str(text).expect("the vectors are JSON");
    let rows = tables[name].as_array().expect("a table").clone();
    assert!(rows.len() > 10, "{name} has only {} rows", rows.len());
    rows
}

fn number(row: &Value, field: &str) -> usize {
    row[field].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_else(|| panic!("{field} of {row}"))
}

fn milliseconds(row: &Value, field: &str) -> Duration {
    Duration::from_millis(number(row, field) as u64)
}

#[test]
fn suspicion_timeouts_are_gos() {
    for row in table("suspicionTimeout") {
        let mult = u32::try_from(number(&row, "mult")).unwrap();
        let timeout = suspicion_timeout(mult, number(&row, "n"), milliseconds(&row, "interval_ms"));
        assert_eq!(timeout, milliseconds(&row, "ms"), "{row}");
    }
}

#[test]
fn retransmit_limits_are_gos() {
    for row in table("retransmitLimit") {
        assert_eq!(retransmit_limit(number(&row, "mult"), number(&row, "n")), number(&row, "limit"), "{row}");
    }
}

#[test]
fn push_pull_intervals_are_gos() {
    for row in table("pushPullScale") {
        let interval = Duration::from_secs(number(&row, "interval_s") as u64);
        let scaled = push_pull_scale(interval, number(&row, "n"));
        assert_eq!(scaled, Duration::from_secs(number(&row, "s") as u64), "{row}");
    }
}

#[test]
fn remaining_suspicion_times_are_gos() {
    for row in table("remaining") {
        let shortest = milliseconds(&row, "min_ms");
        let longest = milliseconds(&row, "max_ms");
        let total = suspicion_total(shortest, longest, number(&row, "k"), number(&row, "n"));
        let remaining = total.as_millis() as i64 - number(&row, "elapsed_ms") as i64;
        assert_eq!(Some(remaining), row["ms"].as_i64(), "{row}");
    }
}
