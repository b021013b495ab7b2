//! Configuration: what was written (`args.rs`, `environment.rs`, `file.rs`, by the table in `keys.rs`) and what it means
//! (`resolve.rs`). `sources.rs` lays one source over the other.

pub mod args;
pub mod environment;
pub mod file;
mod keys;
pub mod resolve;
pub mod sources;
