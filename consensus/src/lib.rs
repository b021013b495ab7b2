//! Raft around `coordination`: the only crate that names the Raft library.

#![forbid(unsafe_code)]

mod error;
pub mod limits;
mod peer;
mod settings;
mod status;
#[expect(dead_code, reason = "network, log and store stand on it")]
mod types;

pub use error::{BackupError, ChangeError, FoundError, OpenError, ProposeError};
pub use peer::{ClusterId, NodeId, Peer};
pub use settings::{Settings, Timing};
pub use status::{Age, Progress, Quorum, Role, Status};
