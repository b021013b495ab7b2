//! Founding a group: how members that met by gossip become one group, and never two. A state machine without I/O.
//!
//! Everybody is told the same expectation N, more than half of all members that will ever meet before the group exists.
//! The lowest id in sight proposes one set of N. A member makes its promise durable before it answers, and while it holds
//! one it promises nothing else. When all N have promised, the proposer writes down that the group exists, and it does.
//! A proposal that does not come together can be given up by its proposer alone, who writes that down before it tells
//! anybody; only its word sets the others free.
//!
//! Why there are never two: two groups of N share a member. It promised both, so it was set free of the first; then the
//! proposer of the first had given it up, before it existed, for ever. What breaks this is a wrong N, or a disk that is
//! lost between promise and founding (its member comes back as another one, counted twice).
//!
//! Messages may be lost, doubled and late: every request can be asked again, and every answer is about one proposal,
//! named by the random number of the group it would found. The machine itself is in `founding/machine.rs`; who keeps the
//! record is `data_directory.rs`.

mod machine;
#[cfg(test)]
mod model;

use std::time::Duration;

use folkmoot_coordination::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

use crate::limits::FOUNDERS_MAX;
use crate::peer::{ClusterId, NodeId, Peer};

pub use machine::Founding;

/// A set of members that one of them wants to be a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The group it would be. Random, so that no two proposals have the same.
    pub cluster: ClusterId,
    /// Who proposes. It is among the voters.
    pub proposer: NodeId,
    /// The set, ascending by id, each once.
    pub voters: Vec<Peer>,
}

impl Proposal {
    /// Whether it could be one at all.
    pub(crate) fn is_sound(&self) -> bool {
        let ascending = self.voters.windows(2).all(|pair| matches!(pair, [one, two] if one.id < two.id));
        ascending && self.voters.len() <= FOUNDERS_MAX && self.names(self.proposer)
    }

    /// Whether `id` is in the set.
    pub fn names(&self, id: NodeId) -> bool {
        self.voter(id).is_some()
    }

    /// The member of this id in the set.
    pub fn voter(&self, id: NodeId) -> Option<&Peer> {
        self.voters.iter().find(|voter| voter.id == id)
    }
}

/// What a member has bound itself to. It is on disk before anybody hears of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Nothing.
    #[default]
    Free,
    /// This set, or none, until its proposer gives it up.
    Promised(Proposal),
    /// This set is a group, founded together.
    Founded(Proposal),
    /// It belongs to a group that others founded.
    Joined(ClusterId),
}

impl Record {
    /// The group it belongs to.
    pub fn cluster(&self) -> Option<ClusterId> {
        match self {
            Self::Free | Self::Promised(_) => None,
            Self::Founded(proposal) => Some(proposal.cluster),
            Self::Joined(cluster) => Some(*cluster),
        }
    }
}

/// How a group may come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Members that found together (`-raft-bootstrap-expect`); `None`: this one never proposes or promises.
    pub expect: Option<u8>,
    /// With no expectation: it has nobody to join, and so is a group of one.
    pub alone: bool,
}

/// Another member with `-raft`, as gossip shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who and where.
    pub peer: Peer,
    /// Whether it is there; a failed one still counts.
    pub alive: bool,
    /// The group it says it is in.
    pub cluster: Option<ClusterId>,
    /// The expectation it was told.
    pub expect: Option<u8>,
}

/// What one member asks of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Promise this. From its proposer only.
    Promise(Proposal),
    /// It exists. From its proposer only.
    Exists(Proposal),
    /// What became of your proposal of this group?
    Outcome(ClusterId),
}

impl Request {
    /// The group it is about.
    pub fn cluster(&self) -> ClusterId {
        match self {
            Self::Promise(proposal) | Self::Exists(proposal) => proposal.cluster,
            Self::Outcome(cluster) => *cluster,
        }
    }
}

/// What it gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is promised, on disk.
    Promised,
    /// Not this one, for this reason.
    Refused(Refusal),
    /// Nothing is decided.
    Pending,
    /// It exists.
    Exists(Proposal),
    /// It never will: its proposer has given it up.
    GivenUp,
    /// Ask again.
    Busy,
}

/// Why a promise was not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It has promised another proposal.
    Promised(ClusterId),
    /// It is in a group.
    InGroup(ClusterId),
    /// It sees a group.
    SeesGroup(ClusterId),
    /// It was told another expectation.
    Expects(Option<u8>),
    /// It sees so many members that the set is not more than half of them.
    Minority(u32),
    /// The proposal makes no sense to it.
    Unsound,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Promised(cluster) => write!(f, "it has promised to found group {cluster}"),
            Self::InGroup(cluster) => write!(f, "it is in group {cluster}"),
            Self::SeesGroup(cluster) => write!(f, "it sees members of group {cluster}"),
            Self::Expects(Some(expect)) => write!(f, "it expects {expect} members"),
            Self::Expects(None) => write!(f, "it expects no number of members"),
            Self::Minority(members) => write!(f, "it sees {members} members, of which these are not more than half"),
            Self::Unsound => write!(f, "it does not understand the proposal"),
        }
    }
}

/// What the machine wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make this durable, then call [`Founding::kept`]. Nothing else follows before.
    Keep(Record),
    /// Ask a member; the answer, or that there was none, goes to [`Founding::answered`].
    Ask {
        /// Whom.
        to: Peer,
        /// What.
        request: Request,
    },
    /// The answer of [`Founding::asked`] with this number.
    Reply {
        /// Which question.
        question: u64,
        /// What.
        answer: Answer,
    },
    /// The group exists with these voters: start it. Comes again after a restart.
    Found(Proposal),
    /// We belong to this group of others. Comes again after a restart.
    Join(ClusterId),
    /// Something for people, told once while it holds.
    Tell(Note),
}

/// How things stand, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Fewer members than expected have met.
    Waiting {
        /// How many, ourselves included.
        met: usize,
        /// How many it takes.
        expect: u8,
    },
    /// Enough have met, and this one with the lowest id is to propose.
    WaitingFor(Peer),
    /// There is no group to be taken into, and no expectation to found one.
    NobodyThere,
    /// The expectation is not more than half of the members in sight: two groups could be founded.
    ExpectTooLow {
        /// What was expected.
        expect: u8,
        /// How many members there are.
        members: usize,
    },
    /// Another member was told another expectation.
    ExpectDiffers {
        /// Who.
        peer: Peer,
        /// What it was told.
        theirs: Option<u8>,
    },
    /// We have proposed, and these have not promised.
    Missing(Vec<Peer>),
    /// We have promised, and wait for the proposer.
    Promised {
        /// Whom.
        to: Peer,
        /// It is not in sight. If its disk is lost, nobody else can set us free.
        gone: bool,
    },
    /// We have given up our proposal.
    GivenUp {
        /// Because of whom.
        peer: Peer,
        /// Why.
        reason: String,
    },
    /// Members of two groups are in sight. Groups never merge.
    TwoGroups(ClusterId, ClusterId),
    /// Our record could not be written: we take no further part.
    Halted(String),
}

/// How long the members in sight must be the same before one proposes or joins. Ours: gossip brings members one after the
/// other, and a proposal too early is one to be given up.
pub const SETTLE: Duration = Duration::from_millis(500);
/// Between two requests to a member that did not answer. Ours: nobody waits longer for a lost message.
pub const RETRY: Duration = Duration::from_secs(1);
/// How long a proposal waits for promises before it is given up. Ours: longer than gossip takes to notice a failure (5 s
/// with three nodes, 30 s with a thousand), shorter than people take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long a member that gave up waits before it proposes again, for each place it is from the lowest id in sight. Ours:
/// two proposers in each other's way get out of step by more than a proposal takes.
pub const PAUSE: Duration = Duration::from_secs(2);

/// The version in front of every message.
const VERSION: u8 = 1;

/// Bytes of a request or an answer.
///
/// # Errors
/// None in practice: both have a form whatever they hold.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = vec![VERSION];
    codec::encode(message, &mut out)?;
    Ok(out)
}

/// Reads a [`Request`] or an [`Answer`].
///
/// # Errors
/// Another version, or not the bytes of one.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        Some((&VERSION, message)) => codec::decode(message),
        Some(_) => Err(CodecError::Malformed("another version of the founding protocol")),
        None => Err(CodecError::Truncated),
    }
}
