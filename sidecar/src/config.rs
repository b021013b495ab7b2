//! Configuration: what was written (`args.rs`, `environment.rs`, `file.rs`, by the table in `keys.rs`) and what it means
//! (`resolve.rs`, of coordination `coordination.rs`). `sources.rs` lays one source over the other.

pub mod args;
pub mod coordination;
pub mod environment;
pub mod file;
mod keys;
pub mod resolve;
pub mod sources;
