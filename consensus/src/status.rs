//! What a member knows about itself and its group, for people, metrics and policies.

use std::time::Duration;

use folkmoot_coordination::{LogIndex, Revision, TimeMs, Usage, WallMs};

use crate::peer::{ClusterId, NodeId, Peer};

/// What a member knows, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The member.
    pub id: NodeId,
    /// Its group; `None` before it has one.
    pub cluster: Option<ClusterId>,
    /// What it is in the group.
    pub role: Role,
    /// The current term: it grows with each election.
    pub term: u64,
    /// Who leads, as far as this member knows.
    pub leader: Option<Peer>,
    /// Members with a vote.
    pub voters: Vec<Peer>,
    /// Members without one.
    pub learners: Vec<Peer>,
    /// Whether two sets of voters must agree: a change of voters is under way.
    pub changing: bool,
    /// What a leader knows of the others, and itself; empty elsewhere.
    pub progress: Vec<Progress>,
    /// The last entry of the log.
    pub last_log: LogIndex,
    /// The last entry known to be on a majority.
    pub committed: LogIndex,
    /// The last entry in the state.
    pub applied: LogIndex,
    /// The last entry in the snapshot; zero without one.
    pub snapshot: LogIndex,
    /// Entries up to here are removed from the log.
    pub purged: LogIndex,
    /// Log time of the last entry.
    pub time: TimeMs,
    /// The leader's wall clock in the last entry.
    pub wall: WallMs,
    /// Steps that changed something.
    pub revision: Revision,
    /// Changes up to here are forgotten.
    pub compacted: Revision,
    /// How much of the limits is used.
    pub usage: Usage,
    /// Whether a majority answers, as far as this member knows.
    pub quorum: Quorum,
    /// Bytes of the data file.
    pub file_bytes: u64,
    /// Transactions of the data file so far, each with one sync.
    pub syncs: u64,
    /// Entries written to the log so far: divided by `syncs`, how many share one.
    pub appended: u64,
    /// Why the member has stopped, if it has. It serves nothing any more: end the process.
    pub stopped: Option<String>,
}

/// What a member is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// In no group yet.
    Outside,
    /// A member without a vote.
    Learner,
    /// A voter that follows.
    Follower,
    /// A voter that asks for votes.
    Candidate,
    /// It leads. Only a fresh answer of a majority proves that it still does.
    Leader,
    /// It does nothing any more.
    Stopped,
}

/// What a leader knows of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Who.
    pub id: NodeId,
    /// The last entry it is known to have on disk; `None` if it never answered this leader.
    pub matching: Option<LogIndex>,
    /// How long ago it answered; `None` if it never answered this leader.
    pub answered: Option<Duration>,
}

/// Whether a majority answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quorum {
    /// This member is in no group.
    None,
    /// It does, as far as is known: a leader was answered within the longest election timeout, or a leader is heard.
    Ok,
    /// It does not.
    Lost {
        /// Voters that do not answer, as far as this member can tell.
        missing: Vec<Peer>,
    },
}

/// How old a stale read may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// The last entry that the answer knows of.
    pub applied: LogIndex,
    /// The revision of the state.
    pub revision: Revision,
    /// Since this member last heard of a leader, or as a leader of a majority; `None` if it never did.
    pub since_leader: Option<Duration>,
}

impl Role {
    /// The word for people and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Learner => "learner",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Stopped => "stopped",
        }
    }
}
