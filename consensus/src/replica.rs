//! What every member makes of the same entries: the machine, the members, and a state that is being brought back.

use std::io;

use bytes::{Bytes, BytesMut};
use folkmoot_coordination::limits::REVISION_RAISE_MAX;
use folkmoot_coordination::{
    Change, Command, Entry, LogIndex, Machine, Refusal, Reply, Revision, TimeMs, WallMs, codec,
};
use serde::{Deserialize, Serialize};

use crate::limits::RESTORE_BYTES_MAX;
use crate::peer::NodeId;
use crate::records::Damaged;
use crate::types::{ImageMeta, LogEntry, LogId, Members, Payload, Proposal};

/// The first byte of a proposal that is a [`Step`]; an entry of `coordination` begins with its version, which is small.
const STEP: u8 = 0xf0;

/// What a proposal holds that is no command: a step of bringing a state back, which is too large for one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// A state follows. One that was begun before is forgotten.
    Begin(RestoreId),
    /// Its next bytes.
    Piece(RestoreId, Bytes),
    /// That was all: it takes the place of the state, if it is whole.
    Finish { id: RestoreId, checksum: u32, time: TimeMs, wall: WallMs },
}

/// Whose attempt it is: the leader, its term, and its own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestoreId {
    pub(crate) leader: NodeId,
    pub(crate) term: u64,
    pub(crate) number: u64,
}

impl Step {
    pub(crate) fn propose(&self) -> io::Result<Proposal> {
        let mut bytes = vec![STEP];
        codec::encode(self, &mut bytes).map_err(io::Error::other)?;
        Ok(Proposal(bytes.into()))
    }
}

/// The state after the last applied entry.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    pub(crate) machine: Machine,
    pub(crate) last: Option<LogId>,
    pub(crate) members: Members,
    restoring: Option<(RestoreId, BytesMut)>,
    /// Another state has taken the place of this one: who waits for something in it waits in vain.
    pub(crate) replaced: bool,
}

/// A replica as a snapshot holds it.
#[derive(Serialize, Deserialize)]
struct Encoded {
    machine: Bytes,
    restoring: Option<(RestoreId, Bytes)>,
}

/// The version of the machine in an image that begins so: it stands behind the length.
pub(crate) fn version_of(beginning: &[u8]) -> Option<u8> {
    let length_ends = beginning.iter().position(|byte| byte & 0x80 == 0)?;
    beginning.get(length_ends.checked_add(1)?).copied()
}

impl Replica {
    /// Applies an entry; what it caused is appended to `changes`.
    ///
    /// # Errors
    /// The entry is not one that this program writes. Nothing may be applied after it.
    pub(crate) fn apply(&mut self, entry: &LogEntry, changes: &mut Vec<Change>) -> io::Result<Reply> {
        let index = entry.log_id.index;
        let reply = match &entry.payload {
            Payload::Blank => Reply::Done,
            Payload::Membership(membership) => {
                self.members = Members::new(Some(entry.log_id), membership.clone());
                Reply::Done
            }
            Payload::Normal(proposal) => {
                let damaged =
                    |error: &dyn std::fmt::Display| Damaged::new(format!("the command in entry {index}"), error);
                match proposal.0.split_first() {
                    Some((&STEP, step)) => {
                        let step = codec::decode(step).map_err(|error| damaged(&error))?;
                        self.restore(LogIndex(index), step)
                    }
                    Some(_) | None => {
                        let entry = Entry::decode(&proposal.0).map_err(|error| damaged(&error))?;
                        self.machine.apply(LogIndex(index), &entry, changes)
                    }
                }
            }
        };
        self.last = Some(entry.log_id);
        Ok(reply)
    }

    fn restore(&mut self, index: LogIndex, step: Step) -> Reply {
        match (step, &mut self.restoring) {
            (Step::Begin(id), restoring) => {
                *restoring = Some((id, BytesMut::new()));
                Reply::Done
            }
            (Step::Piece(id, piece), Some((begun, bytes)))
                if id == *begun && bytes.len().saturating_add(piece.len()) <= RESTORE_BYTES_MAX =>
            {
                bytes.extend_from_slice(&piece);
                Reply::Done
            }
            (Step::Finish { id, checksum, time, wall }, Some((begun, bytes)))
                if id == *begun && crc32fast::hash(bytes) == checksum =>
            {
                let machine = Machine::restore(bytes);
                self.restoring = None;
                let Ok(machine) = machine else { return INTERRUPTED };
                self.take(index, machine, time, wall)
            }
            (Step::Piece(..) | Step::Finish { .. }, _) => INTERRUPTED,
        }
    }

    /// Goes on with another state, above every revision that either has seen, so that no token is given twice.
    fn take(&mut self, index: LogIndex, machine: Machine, time: TimeMs, wall: WallMs) -> Reply {
        let revision = Revision(self.machine.revision().max(machine.revision()).0.saturating_add(1));
        if revision.0 > REVISION_RAISE_MAX {
            return INTERRUPTED;
        }
        self.machine = machine;
        self.replaced = true;
        let command = Command::RaiseRevision { revision };
        // Who waited is told by the store; what the deadlines between cause is seen by who reads the state again.
        self.machine.apply(index, &Entry { time, wall, command }, &mut Vec::new())
    }

    /// The whole of it, for a snapshot.
    pub(crate) fn image(&self) -> io::Result<Vec<u8>> {
        let mut machine = Vec::new();
        self.machine.snapshot(&mut machine);
        let restoring = self.restoring.as_ref().map(|(id, bytes)| (*id, Bytes::copy_from_slice(bytes)));
        let mut image = Vec::new();
        codec::encode(&Encoded { machine: machine.into(), restoring }, &mut image).map_err(io::Error::other)?;
        Ok(image)
    }

    /// What [`Replica::image`] made.
    pub(crate) fn from_image(image: &[u8], meta: &ImageMeta) -> io::Result<Self> {
        let encoded: Encoded = codec::decode(image).map_err(|error| Damaged::new("the snapshot", error))?;
        let machine = Machine::restore(&encoded.machine).map_err(|error| Damaged::new("the snapshot", error))?;
        let restoring = encoded.restoring.map(|(id, bytes)| (id, BytesMut::from(&*bytes)));
        Ok(Self { machine, last: meta.last_log_id, members: meta.last_membership.clone(), restoring, replaced: false })
    }
}

/// The steps do not belong together: another attempt came between.
pub(crate) const INTERRUPTED: Reply = Reply::Refused(Refusal::Cancelled);
