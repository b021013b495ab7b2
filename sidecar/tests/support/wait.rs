//! Waiting for a condition, with a deadline. The only place where tests let time pass.

use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at a condition that cannot wake us.
const GLANCE: Duration = Duration::from_millis(20);

/// Looks until `condition` answers `Ok`; panics with its last `Err` when [`super::PATIENCE`] is over.
pub fn eventually<T>(what: &str, condition: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(super::PATIENCE, what, condition)
}

/// As [`eventually`], with a limit of one's own.
pub fn eventually_within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(state) if Instant::now() >= deadline => panic!("not within {limit:?}: {what}; at the end: {state}"),
            Err(_) => thread::park_timeout(GLANCE),
        }
    }
}

/// Lets time pass: until `over` holds, at most `limit`. Says whether it held.
pub fn rest(limit: Duration, mut over: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !over() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::park_timeout(GLANCE.min(left));
    }
    true
}
