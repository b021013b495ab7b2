//! Who takes part: names that do not change while addresses do.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A member of the group: a random number drawn at the first start with an empty data directory and kept there. Never the
/// node's name, and never used again after its disk is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

/// The group: drawn by its founder, kept by every member with its data. Groups with different numbers never mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u64);

/// Where a member is found, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    /// Who.
    pub id: NodeId,
    /// Its name in gossip, for people.
    pub name: String,
    /// Where its Raft port is reached.
    pub address: SocketAddr,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
