//! What can go wrong, sorted by who asks.

use std::path::PathBuf;

use folkmoot_coordination::RestoreError;

use crate::peer::{ClusterId, NodeId, Peer};

/// Why a member did not start. Nothing was changed on disk, except that a missing file was made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be used: access, space, another process.
    #[error("{}: {reason}", file.display())]
    Disk {
        /// Which file.
        file: PathBuf,
        /// What the disk or the storage said.
        reason: String,
    },
    /// What was read is not what was written. The member must not vote or serve from it: restore the disk, or start with an
    /// empty directory, which makes a new member.
    #[error("{}: {place} is damaged: {reason}", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Which record.
        place: String,
        /// How it was noticed.
        reason: String,
    },
    /// The directory belongs to another member.
    #[error("{} belongs to member {found}, this is member {expected}", file.display())]
    OtherMember {
        /// Which file.
        file: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who asked.
        expected: NodeId,
    },
    /// The directory belongs to another group.
    #[error("{} belongs to group {found}, this agent is to join group {expected}", file.display())]
    OtherGroup {
        /// Which file.
        file: PathBuf,
        /// The group of the data.
        found: ClusterId,
        /// The group that was asked for.
        expected: ClusterId,
    },
    /// The file was written by a program that writes it differently.
    #[error("{}: format {found}, this program reads {known}", file.display())]
    Format {
        /// Which file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The format of this program.
        known: u32,
    },
    /// A setting is out of range.
    #[error("setting {name}: {reason}")]
    Setting {
        /// Which.
        name: &'static str,
        /// Why.
        reason: String,
    },
}

/// Why a group was not founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// This member is in a group already.
    #[error("this member is in group {0} already")]
    AlreadyFounded(ClusterId),
    /// The voters do not name this member, name one twice, or are none.
    #[error("voters: {0}")]
    Voters(&'static str),
    /// The member has stopped; the reason is in [`crate::Status`].
    #[error("the member has stopped: {0}")]
    Stopped(String),
}

/// Why a proposal or a linearizable read was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another member leads, or none is known to. Nothing was proposed: ask there, or again in a moment.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<Peer>,
    },
    /// Not enough voters answer. Nothing was proposed.
    #[error("no quorum: {} voters do not answer", missing.len())]
    NoQuorum {
        /// Those that do not answer.
        missing: Vec<Peer>,
    },
    /// It was accepted, and then leadership or quorum was lost: it may be applied, or not, or later.
    #[error("the outcome is unknown")]
    Unknown,
    /// Too many proposals wait already. Nothing was proposed.
    #[error("too many proposals wait")]
    Busy,
    /// The member has stopped; the reason is in [`crate::Status`].
    #[error("the member has stopped: {0}")]
    Stopped(String),
}

/// Why members were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another member leads, or none is known to.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<Peer>,
    },
    /// Not enough voters answer.
    #[error("no quorum: {} voters do not answer", missing.len())]
    NoQuorum {
        /// Those that do not answer.
        missing: Vec<Peer>,
    },
    /// The voters that answer would not be a majority after it.
    #[error("only {answering} of {voters} voters would answer: the group could not decide any more")]
    WouldLoseQuorum {
        /// How many answer.
        answering: usize,
        /// Of how many.
        voters: usize,
    },
    /// Another change is under way.
    #[error("another change of members is under way")]
    Busy,
    /// No such member, or it cannot do this.
    #[error("member {0}: {1}")]
    Member(NodeId, &'static str),
    /// It was accepted, and then leadership or quorum was lost.
    #[error("the outcome is unknown")]
    Unknown,
    /// The member has stopped; the reason is in [`crate::Status`].
    #[error("the member has stopped: {0}")]
    Stopped(String),
}

/// Why a backup was not made or not brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The bytes are not a whole backup.
    #[error("not a backup, or damaged: {0}")]
    Damaged(&'static str),
    /// The bytes are a backup of a state that this program cannot read.
    #[error("the state in the backup: {0}")]
    State(#[from] RestoreError),
    /// The backup is of another group, and nobody said that this is wanted.
    #[error("the backup is of group {found}, this is group {expected}")]
    OtherGroup {
        /// Of which group it is.
        found: ClusterId,
        /// This group.
        expected: ClusterId,
    },
    /// Another one was brought back at the same time, or another member leads by now: the state is as it was, or that of
    /// the other backup.
    #[error("interrupted by another restore")]
    Interrupted,
    /// It could not be proposed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}
