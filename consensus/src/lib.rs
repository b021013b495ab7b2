//! Raft around `coordination`: the only crate that names the Raft library.

#![forbid(unsafe_code)]

mod access;
mod backup;
mod batch;
mod calls;
mod clock;
mod commits;
mod config;
mod contacts;
mod data_directory;
mod disk;
mod error;
mod file;
pub mod founding;
mod frames;
mod group;
mod hello;
mod here;
mod hub;
mod hush;
mod image;
mod image_file;
mod in_force;
mod index;
mod journal;
mod keeper;
mod lane;
pub mod limits;
mod link;
mod log;
mod me;
mod member;
mod members;
mod network;
mod outbox;
mod peer;
mod raft_frames;
mod receive;
mod records;
mod recovery;
mod refused;
mod replica;
mod routes;
mod seat;
mod segment;
mod serve;
mod settings;
mod status;
mod store;
mod synced;
mod tail;
mod tempo;
#[cfg(test)]
#[allow(dead_code, reason = "the tests grow into their harness")]
mod tests;
mod transport;
mod types;
pub mod voters;
mod watch;
mod writer;

pub use access::Access;
pub use backup::{Backup, BackupHeader, OtherGroup};
pub use calls::{Admin, AdminReply, CallError, Consistency};
pub use commits::CommitTimes;
pub use data_directory::{DataDirectory, DirectoryError, Owner};
pub use error::{BackupError, ChangeError, FoundError, OpenError, ProposeError};
pub use group::Group;
pub use peer::{ClusterId, NodeId, Peer};
pub use refused::Refusals;
pub use serve::FoundingCall;
pub use settings::{Settings, Timing};
pub use status::{Age, Progress, Quorum, Role, Status};
pub use transport::Transport;
pub use watch::{Record, Watch};
