//! A cluster in one thread: many engines under one virtual clock, one network and one seed.
//!
//! * `world.rs`: the loop. It holds the nodes, the clock and the queue of what happens next.
//! * `network.rs`: delay, loss, duplication, reordering, partitions; streams with their own rules.
//! * `node.rs`: an engine with crash, restart, pause and a disk; `engine.rs`: one face for both engines.
//! * `options.rs`, `random.rs`: a seed decides everything.
//! * `trace.rs`: what happened, and the hash by which two runs are compared.
//! * `invariants/`: what must hold at every step, one file per property.
//! * `script.rs`: scenarios people can read (`scripts/*.txt`); `swarm.rs`: scenarios nobody wrote.
//! * `alarm.rs`: an ERROR in the logs fails a run.

#![forbid(unsafe_code)]

pub mod alarm;
pub mod engine;
pub mod invariants;
pub mod network;
pub mod node;
pub mod options;
pub mod random;
pub mod script;
pub mod swarm;
pub mod trace;
pub mod world;

pub use folkmoot_serf::Instant;
