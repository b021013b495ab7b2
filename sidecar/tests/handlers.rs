//! Event handlers: the Go agent and ours run one recording script through one history and see the same; every way a
//! script can misbehave, beside the Go agent; webhooks; handlers changed at run time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "test helpers panic to fail the test"
)]

mod support;

#[path = "handlers/faults.rs"]
mod faults;
#[path = "handlers/history.rs"]
mod history;
#[path = "handlers/run_time.rs"]
mod run_time;
#[path = "handlers/scratch.rs"]
mod scratch;
#[path = "handlers/webhooks.rs"]
mod webhooks;
