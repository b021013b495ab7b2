//! Raft around `coordination`: the only crate that names the Raft library.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), expect(dead_code, reason = "the network, which opens groups, stands on all of it"))]

mod clock;
mod config;
mod data_directory;
mod disk;
mod error;
mod file;
pub mod founding;
mod group;
mod hub;
mod image;
mod keeper;
pub mod limits;
mod log;
mod me;
mod member;
mod members;
mod peer;
mod records;
mod settings;
mod status;
mod store;
mod tail;
#[cfg(test)]
mod tests;
mod types;
mod watch;
mod writer;

pub use data_directory::{DataDirectory, DirectoryError, Owner};
pub use error::{BackupError, ChangeError, FoundError, OpenError, ProposeError};
pub use group::Group;
pub use peer::{ClusterId, NodeId, Peer};
pub use settings::{Settings, Timing};
pub use status::{Age, Progress, Quorum, Role, Status};
pub use watch::{Record, Watch};
