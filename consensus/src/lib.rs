//! Raft around `coordination`: the only crate that names the Raft library.

#![forbid(unsafe_code)]

mod peer;

pub use peer::{ClusterId, NodeId, Peer};
