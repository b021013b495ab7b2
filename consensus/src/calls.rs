//! What agents ask the members of a group, and the answers. Commands, queries and replies go as `folkmoot_coordination`
//! writes them, with their own versions; the rest is of the version that the hello says.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_coordination::{Command, LogIndex, Operation, Query, Reply, RestoreError, Revision, codec};
use serde::{Deserialize, Serialize};

use crate::backup::OtherGroup;
use crate::error::{BackupError, ChangeError, ProposeError};
use crate::peer::{NodeId, Peer};
use crate::status::{Age, Status};

/// What an operator asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admin {
    /// What the member knows, or the leader where this agent is no member: [`AdminReply::Status`].
    Status,
    /// What the leader knows: [`AdminReply::Status`].
    LeaderStatus,
    /// Takes a member in without a vote.
    AddLearner(Peer),
    /// Takes a member out.
    Remove(NodeId),
    /// Gives a member a vote.
    Promote(NodeId),
    /// Takes its vote.
    Demote(NodeId),
    /// Gives exactly these members a vote.
    SetVoters(BTreeSet<NodeId>),
    /// Lets another one lead: this voter, or the one that is nearest.
    Transfer(Option<NodeId>),
    /// The whole state as a file: [`AdminReply::Backup`].
    Backup,
    /// Puts the state of such a file in the place of the group's: [`AdminReply::Restored`].
    Restore {
        /// The file.
        file: Bytes,
        /// Whether it may be of another group.
        group: OtherGroup,
    },
}

/// What an operator is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminReply {
    /// It is done.
    Done,
    /// What the member knows.
    Status(Box<Status>),
    /// A checked file; see [`crate::Backup`].
    Backup(Bytes),
    /// The group goes on from this revision.
    Restored(Revision),
}

/// Why a call was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody in sight takes part in coordination, or no group has been founded. Nothing was done.
    #[error("no coordination group is in sight")]
    NoGroup,
    /// A majority of voters does not answer, for a while already. Nothing was accepted.
    #[error("no quorum: missing {}", names(missing))]
    NoQuorum {
        /// Voters that do not answer.
        missing: Vec<Peer>,
    },
    /// The deadline has passed. What was asked may be done, or will be: ask again, with the same numbers.
    #[error("no answer before the deadline; the outcome is unknown")]
    Deadline,
    /// It is refused, and asking again does not help. Nothing was done.
    #[error("{0}")]
    Refused(String),
    /// The request is larger than [`crate::limits::COMMAND_BYTES_MAX`], or a backup than
    /// [`crate::limits::BACKUP_BYTES_MAX`]. Nothing was done.
    #[error("too large for agents to pass on")]
    TooLarge,
    /// Too much was asked already, until the deadline. Nothing was done.
    #[error("too many calls wait")]
    Busy,
    /// The member of this agent has stopped.
    #[error("the member has stopped: {0}")]
    Stopped(String),
}

fn names(peers: &[Peer]) -> String {
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    names.join(", ")
}

/// Why a member did not answer a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// Another one leads, or none is known to. Nothing was done.
    NotLeader(Option<Peer>),
    /// These voters do not answer. Nothing was done.
    NoQuorum(Vec<Peer>),
    /// The member is in no group. Nothing was done.
    Outside,
    /// It may be done, or not, or later.
    Unknown,
    /// Too much waits there. Nothing was done.
    Busy,
    /// The answer is longer than a frame.
    TooLarge,
    /// It is refused. Nothing was done.
    Refused(String),
    /// The member has stopped. Nothing was done.
    Stopped(String),
}

/// Whether a call waits for its final reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Following {
    /// `Reply::Waiting` is followed by the final reply.
    ToTheEnd,
    /// `Reply::Waiting` is an answer like any other.
    No,
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Everything answered before the question was asked is in the answer.
    Linearizable,
    /// What the nearest member has; its age comes with it.
    Stale,
}

/// A stale answer's age, and the answer as `coordination` writes it.
#[derive(Debug, Serialize, Deserialize)]
struct Aged {
    applied: u64,
    revision: u64,
    since_leader: Option<Duration>,
    reply: Bytes,
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader(leader),
            ProposeError::NoQuorum { missing } => Self::NoQuorum(missing),
            ProposeError::Unknown => Self::Unknown,
            ProposeError::Busy => Self::Busy,
            ProposeError::Stopped(reason) => Self::Stopped(reason),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotLeader { leader } => Self::NotLeader(leader),
            ChangeError::NoQuorum { missing } => Self::NoQuorum(missing),
            ChangeError::Unknown => Self::Unknown,
            ChangeError::WouldLoseQuorum { .. } | ChangeError::Busy | ChangeError::Member(..) => {
                Self::Refused(error.to_string())
            }
            ChangeError::Stopped(reason) => Self::Stopped(reason),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Propose(error) => error.into(),
            BackupError::Damaged(_)
            | BackupError::State(_)
            | BackupError::OtherGroup { .. }
            | BackupError::Interrupted => Self::Refused(error.to_string()),
        }
    }
}

impl Admin {
    /// Whether it only asks how things are: that is answered whatever the state of the group.
    pub(crate) fn only_looks(&self) -> bool {
        matches!(self, Self::Status | Self::LeaderStatus)
    }
}

/// Whether the command may be sent again when its outcome is unknown: it is applied once, or twice does no harm.
pub(crate) fn may_repeat(command: &Command) -> bool {
    match command {
        Command::Client(_)
        | Command::RegisterClient { .. }
        | Command::CallerGone { .. }
        | Command::ConnectionGone { .. } => true,
        Command::Tick | Command::NodeGone { .. } | Command::RaiseRevision { .. } | Command::Compact { .. } => false,
    }
}

/// Whether the command may be answered [`Reply::Waiting`].
pub(crate) fn may_wait(command: &Command) -> bool {
    let Command::Client(request) = command else { return false };
    match request.operation {
        Operation::Lock(_)
        | Operation::Election(_)
        | Operation::Barrier(_)
        | Operation::Queue(_)
        | Operation::Work(..) => true,
        Operation::KeepAlive
        | Operation::Cancel { .. }
        | Operation::Kv(_)
        | Operation::Session(_)
        | Operation::Counter(..)
        | Operation::Set(..)
        | Operation::List(..) => false,
    }
}

/// The body of a proposal.
pub(crate) fn write_proposal(command: &Command, following: Following) -> Bytes {
    let mut out = vec![u8::from(following == Following::ToTheEnd)];
    command.encode(&mut out);
    out.into()
}

pub(crate) fn read_proposal(body: &[u8]) -> Result<(Command, Following), RestoreError> {
    let (following, command) = body.split_first().ok_or(RestoreError::Empty)?;
    let following = if *following == 0 { Following::No } else { Following::ToTheEnd };
    Ok((Command::decode(command)?, following))
}

/// The body of a query.
pub(crate) fn write_query(query: &Query, consistency: Consistency) -> Bytes {
    let mut out = vec![u8::from(consistency == Consistency::Stale)];
    query.encode(&mut out);
    out.into()
}

pub(crate) fn read_query(body: &[u8]) -> Result<(Query, Consistency), RestoreError> {
    let (stale, query) = body.split_first().ok_or(RestoreError::Empty)?;
    let consistency = if *stale == 0 { Consistency::Linearizable } else { Consistency::Stale };
    Ok((Query::decode(query)?, consistency))
}

/// Any other body.
pub(crate) fn write<T: Serialize>(message: &T) -> Bytes {
    let mut out = Vec::new();
    let written = codec::encode(message, &mut out);
    debug_assert!(written.is_ok(), "calls have a place for every field");
    out.into()
}

/// The answer to a proposal or a watch.
pub(crate) fn write_reply(answer: Result<Reply, Failure>) -> Bytes {
    write(&answer.map(|reply| encoded(&reply)))
}

/// The answer to a query.
pub(crate) fn write_aged(answer: Result<(Reply, Age), Failure>) -> Bytes {
    write(&answer.map(|(reply, age)| Aged {
        applied: age.applied.0,
        revision: age.revision.0,
        since_leader: age.since_leader,
        reply: encoded(&reply),
    }))
}

fn encoded(reply: &Reply) -> Bytes {
    let mut out = Vec::new();
    reply.encode(&mut out);
    out.into()
}

/// Reads an answer, or why it cannot be read.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    let answer: Result<Result<T, Failure>, _> = codec::decode(body);
    answer.unwrap_or_else(|error| Err(unreadable(&error)))
}

pub(crate) fn read_reply(body: &[u8]) -> Result<Reply, Failure> {
    let reply: Bytes = read(body)?;
    Reply::decode(&reply).map_err(|error| unreadable(&error))
}

pub(crate) fn read_aged(body: &[u8]) -> Result<(Reply, Age), Failure> {
    let Aged { applied, revision, since_leader, reply } = read(body)?;
    let age = Age { applied: LogIndex(applied), revision: Revision(revision), since_leader };
    Reply::decode(&reply).map_err(|error| unreadable(&error)).map(|reply| (reply, age))
}

/// An answer that another version of this program understands.
fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::Refused(format!("the answer cannot be read: {error}"))
}
