//! What members of a group ask one another, and answer. Nothing of it reaches Raft unless it fits together: Raft takes the
//! word of its peers, and ends the process where it does not add up.

use bytes::Bytes;
use folkmoot_coordination::{CodecError, SNAPSHOT_VERSION, codec};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use openraft::raft::{TransferLeaderRequest, VoteRequest, VoteResponse};
use openraft::{AsyncRuntime, EntryPayload};
use serde::{Deserialize, Serialize};

use crate::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_PIECE_BYTES};
use crate::peer::NodeId;
use crate::replica::version_of;
use crate::types::{ImageMeta, Leader, LogEntry, LogId, Types, Vote};

/// Bytes beside the payload that a message, or an entry in it, is counted with.
const ENVELOPE: usize = 64;

/// Entries for a follower; none is a heartbeat.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Append {
    vote: Vote,
    before: Option<LogId>,
    committed: Option<LogId>,
    entries: Vec<LogEntry>,
}

/// What a follower says to them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Appended {
    /// It has everything up to here on disk.
    Through(Option<LogId>),
    /// It does not have the entry before them.
    Conflict(LogId),
    /// It follows another leader, or votes for one.
    Vote(Vote),
    /// Its Raft has stopped, and why.
    Stopped(String),
}

/// A piece of a snapshot.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) vote: Vote,
    pub(crate) meta: ImageMeta,
    /// Bytes of the whole.
    pub(crate) length: u64,
    pub(crate) offset: u64,
    pub(crate) checksum: u32,
    pub(crate) bytes: Bytes,
}

/// What is said to a piece.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PieceTaken {
    /// Go on.
    More,
    /// It was the last one; this is the member's vote now.
    Installed(Vote),
    /// Begin again: the pieces before it are gone.
    Lost,
    /// It is not used, and why.
    Refused(String),
}

/// The answer to a question about votes, or why there is none.
pub(crate) type Answered<T> = Result<T, String>;

/// Why a message does not add up. A request closes the stream it came on, an answer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Nonsense {
    #[error("a message that cannot be read: {0}")]
    Codec(#[from] CodecError),
    #[error("a message in the name of member {0}")]
    Impostor(NodeId),
    #[error("a candidate that says it was elected, or a leader that says it was not")]
    Standing,
    #[error("entries of the log that do not follow one another")]
    Gap,
    #[error("a snapshot with entries of a leader after its own")]
    Future,
    #[error("the number {0}, which no election and no entry reaches")]
    Number(u64),
    #[error("a piece of {0} bytes of a snapshot")]
    PieceSize(usize),
    #[error("a snapshot of {0} bytes")]
    SnapshotSize(u64),
    #[error("a piece of a snapshot whose checksum is wrong")]
    Checksum,
    #[error("a snapshot whose members were made so by entry {0}, which is not in it")]
    Members(u64),
    #[error("a snapshot that ends with entry {0}, where another entry is committed here")]
    Contradiction(u64),
    #[error("an answer about entry {0} of the log, about which it was not asked")]
    NotSent(u64),
    #[error(
        "it lacks entry {0} of the log, which it had: its disk has lost something, or an old copy of its data directory was \
         put back; it has to come back with an empty one"
    )]
    Lost(u64),
}

impl Append {
    pub(crate) fn new<A: AsyncRuntime>(request: AppendEntriesRequest<Types<A>>) -> Self {
        let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = request;
        Self { vote, before: prev_log_id, committed: leader_commit, entries }
    }

    /// The leader whose it is.
    pub(crate) fn leader(&self) -> Leader {
        self.vote.leader_id
    }

    /// The entry that is to stand before it.
    pub(crate) fn before(&self) -> Option<LogId> {
        self.before
    }

    /// The last entry that the follower has when it has taken this.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.log_id).or(self.before)
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        let of = |entry: &LogEntry| match &entry.payload {
            EntryPayload::Normal(proposal) => proposal.0.len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        };
        self.entries.iter().map(|entry| of(entry).saturating_add(ENVELOPE)).fold(ENVELOPE, usize::saturating_add)
    }

    /// What is given to Raft.
    ///
    /// # Errors
    /// It does not come from the leader it names, or the entries do not follow one another.
    pub(crate) fn checked<A: AsyncRuntime>(self, from: NodeId) -> Result<AppendEntriesRequest<Types<A>>, Nonsense> {
        let Self { vote, before, committed, entries } = self;
        check_vote(&vote, from, true)?;
        check_id(before)?;
        check_id(committed)?;
        let mut last = before;
        for entry in &entries {
            let id = entry.log_id;
            let follows = last.map_or(id.index == 0, |last| {
                last.index.checked_add(1) == Some(id.index) && last.leader_id <= id.leader_id
            });
            if !follows || id.leader_id > vote.leader_id {
                return Err(Nonsense::Gap);
            }
            last = Some(id);
        }
        check_id(last)?;
        Ok(AppendEntriesRequest { vote, prev_log_id: before, entries, leader_commit: committed })
    }
}

impl Appended {
    pub(crate) fn new<A: AsyncRuntime>(result: StreamAppendResult<Types<A>>) -> Self {
        match result {
            Ok(through) => Self::Through(through),
            Err(StreamAppendError::Conflict(at)) => Self::Conflict(at),
            Err(StreamAppendError::HigherVote(vote)) => Self::Vote(vote),
        }
    }

    /// As the Raft library wants it; `Err` is why Raft has stopped there.
    pub(crate) fn result<A: AsyncRuntime>(self) -> Answered<StreamAppendResult<Types<A>>> {
        match self {
            Self::Through(through) => Ok(Ok(through)),
            Self::Conflict(at) => Ok(Err(StreamAppendError::Conflict(at))),
            Self::Vote(vote) => Ok(Err(StreamAppendError::HigherVote(vote))),
            Self::Stopped(reason) => Err(reason),
        }
    }
}

impl Piece {
    pub(crate) fn new(vote: Vote, meta: ImageMeta, length: u64, offset: u64, bytes: Bytes) -> Self {
        Self { vote, meta, length, offset, checksum: crc32fast::hash(&bytes), bytes }
    }

    /// Whether it can be a piece of a snapshot of the leader it names.
    pub(crate) fn check(&self, from: NodeId) -> Result<(), Nonsense> {
        check_vote(&self.vote, from, true)?;
        check_id(self.meta.last_log_id)?;
        if self.meta.last_log_id.is_some_and(|last| last.leader_id > self.vote.leader_id) {
            return Err(Nonsense::Future);
        }
        let members = *self.meta.last_membership.log_id();
        if members > self.meta.last_log_id {
            return Err(Nonsense::Members(members.map_or(0, |id| id.index)));
        }
        if self.length > SNAPSHOT_BYTES_MAX || self.length == 0 {
            return Err(Nonsense::SnapshotSize(self.length));
        }
        let within = self.offset.checked_add(self.bytes.len() as u64).is_some_and(|end| end <= self.length);
        if self.bytes.is_empty() || self.bytes.len() > SNAPSHOT_PIECE_BYTES || !within {
            return Err(Nonsense::PieceSize(self.bytes.len()));
        }
        if crc32fast::hash(&self.bytes) != self.checksum {
            return Err(Nonsense::Checksum);
        }
        Ok(())
    }

    /// Why this program cannot use the snapshot, judged by its first piece.
    pub(crate) fn unusable(&self) -> Option<String> {
        let version = version_of(&self.bytes).filter(|_| self.offset == 0)?;
        let other = version != SNAPSHOT_VERSION;
        other.then(|| format!("a snapshot of version {version}, version {SNAPSHOT_VERSION} is read here"))
    }
}

/// Larger terms and indices belong to no election and no entry. The Raft library counts on from what it is told, and a sum
/// that overflows ends the process; at a million a second this is reached after 290,000 years.
const NUMBER_MAX: u64 = u64::MAX / 2;

/// Whether an entry can have this name.
fn check_id(id: Option<LogId>) -> Result<(), Nonsense> {
    let largest = id.map(|id| id.index.max(id.leader_id.term));
    largest.filter(|number| *number > NUMBER_MAX).map_or(Ok(()), |number| Err(Nonsense::Number(number)))
}

/// Whether a snapshot that ends with `last` can be of the log in which everything up to `committed` stands for ever.
pub(crate) fn check_snapshot(last: Option<LogId>, committed: Option<LogId>) -> Result<(), Nonsense> {
    match (last, committed) {
        (Some(last), Some(committed)) if last > committed && last.index <= committed.index => {
            Err(Nonsense::Contradiction(last.index))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

/// Whether there can be such a vote, whosever it is.
pub(crate) fn check_term(vote: &Vote) -> Result<(), Nonsense> {
    if vote.leader_id.term > NUMBER_MAX { Err(Nonsense::Number(vote.leader_id.term)) } else { Ok(()) }
}

/// Whether a member can ask for a vote so.
pub(crate) fn check_vote_request<A: AsyncRuntime>(
    request: &VoteRequest<Types<A>>,
    from: NodeId,
) -> Result<(), Nonsense> {
    check_vote(&request.vote, from, false)?;
    check_id(request.last_log_id)
}

/// Whether a member can answer so when it is asked for its vote.
pub(crate) fn check_vote_answer<A: AsyncRuntime>(answer: &VoteResponse<Types<A>>) -> Result<(), Nonsense> {
    check_term(&answer.vote)?;
    check_id(answer.last_log_id)
}

/// Whether a leader can hand over so.
pub(crate) fn check_transfer<A: AsyncRuntime>(
    request: &TransferLeaderRequest<Types<A>>,
    from: NodeId,
) -> Result<(), Nonsense> {
    check_vote(request.from_leader(), from, true)?;
    check_id(request.last_log_id().copied())
}

/// Whether a vote is the sender's own, and as far decided as the message says.
fn check_vote(vote: &Vote, from: NodeId, elected: bool) -> Result<(), Nonsense> {
    check_term(vote)?;
    if vote.leader_id.node_id != from {
        return Err(Nonsense::Impostor(vote.leader_id.node_id));
    }
    if vote.committed == elected { Ok(()) } else { Err(Nonsense::Standing) }
}

/// Appends a message.
pub(crate) fn write<T: Serialize>(message: &T, out: &mut Vec<u8>) {
    let written = codec::encode(message, out);
    debug_assert!(written.is_ok(), "messages of Raft have a place for every field");
}

/// Reads a message.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Nonsense> {
    Ok(codec::decode(body)?)
}

#[cfg(test)]
#[path = "raft_frames_tests.rs"]
mod tests;
