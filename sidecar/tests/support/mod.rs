//! What the tests of whole processes share: addresses, agents of either kind, a raw RPC client, waiting.
//!
//! Nothing here uses Folkmoot's own crates: the client and its MessagePack are an independent second opinion.
//! Nothing sleeps: everything that takes time waits for a condition, with a deadline (`wait.rs`).
//!
//! The agent under test is Folkmoot's. With `FOLKMOOT_TEST_AGENT=go` in the environment it is the Go agent instead:
//! every test but those of `hostile.rs`, which the Go agent does not survive, must pass that way too: it checks them.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of this module")]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever else came is what the failure shows")]

pub mod address;
pub mod agent;
pub mod directory;
pub mod log;
pub mod msgpack;
pub mod reason;
pub mod rpc;
pub mod turnstile;
pub mod wait;

pub use address::Loopback;
pub use agent::{Agent, Kind, Signal};
pub use directory::Directory;
pub use msgpack::Value;
pub use rpc::Rpc;
pub use turnstile::Turnstile;
pub use wait::{eventually, eventually_within, rest};

use std::time::Duration;

/// What Go's agent gives a graceful leave that a signal asked for; then it ends with code 1. Ours takes the time it needs.
pub const GO_LEAVES_WITHIN: Duration = Duration::from_secs(3);

/// How long anything ordinary may take on a busy machine of two cores.
pub const PATIENCE: Duration = Duration::from_secs(30);
