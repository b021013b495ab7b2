//! The conformance suite: every command of the command line and every RPC call, against a Go agent and against ours in
//! one cluster, compared field by field.
//!
//! A row of a table (`command_rows.rs`, `request_rows.rs`) says what is run and what may vary, with the reason; nothing
//! else may. A command is run four times, by Go's command line and by ours, at a Go agent and at ours; a request is sent
//! twice. No row can be skipped. Further commands of one program at Go agents and recordings: `cli/`, `rpc_vectors.rs`;
//! errors at the start of an agent: `startup_errors.rs`; event handlers: `handlers.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod cluster;
mod command_rows;
mod commands;
mod monitor;
mod normal;
mod request_rows;
mod requests;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
