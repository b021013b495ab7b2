//! Agents with `-raft` and `-dev`, as processes: founding, restarts, protection of the Raft port, and what is refused at the
//! start. What the objects of coordination do is tested elsewhere; here a key stands for all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

#[path = "../support/mod.rs"]
mod support;

mod caller;
mod groups;
mod refusals;
mod security;
