//! Coordination commands over raw RPC against real agents: every command once, forwarding, what the end of a connection or of
//! an agent does, and what hostile clients cannot do. `docs/rpc.md` is what they answer to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod caller;
mod commands;
mod faults;
#[path = "../support/mod.rs"]
mod support;
