//! Backups: the whole state in one file that says which group it is of, and bringing one back.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use folkmoot_coordination::{Command, LogIndex, Machine, Reply, Revision, TimeMs, WallMs, codec};
use openraft::AsyncRuntime;
use serde::{Deserialize, Serialize};

use crate::error::{BackupError, ProposeError};
use crate::limits::CHUNK_BYTES;
use crate::member::Member;
use crate::peer::ClusterId;
use crate::replica::{INTERRUPTED, RestoreId, Step};
use crate::types::Proposal;

/// What a backup file begins with: its name and the version of its form.
const MAGIC: &[u8; 8] = b"FOLKBAK\x01";
/// Bytes of the length of the header, and of the checksum at the end over everything before.
const NUMBER: usize = 4;

/// What a backup says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHeader {
    /// Of which group it is.
    pub cluster: ClusterId,
    /// The last entry in it.
    pub applied: LogIndex,
    /// Its revision.
    pub revision: Revision,
    /// Its log time.
    pub time: TimeMs,
    /// The wall clock of its last entry.
    pub wall: WallMs,
}

/// A backup that was read and checked.
#[derive(Debug, Clone)]
pub struct Backup {
    /// What it says about itself.
    pub header: BackupHeader,
    machine: Bytes,
}

impl Backup {
    /// Reads a backup file.
    ///
    /// # Errors
    /// It is damaged, or holds a state that this program cannot read.
    pub fn decode(file: &Bytes) -> Result<Self, BackupError> {
        let cut = BackupError::Damaged("it is cut off");
        let rest = file.strip_prefix(MAGIC).ok_or(BackupError::Damaged("it does not begin as one"))?;
        let Some((rest, checksum)) = rest.split_last_chunk::<NUMBER>() else { return Err(cut) };
        let checked = file.get(..file.len().saturating_sub(NUMBER)).unwrap_or_default();
        if crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
            return Err(BackupError::Damaged("its checksum is wrong"));
        }
        let Some((length, rest)) = rest.split_first_chunk::<NUMBER>() else { return Err(cut) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((header, machine)) = rest.split_at_checked(length) else { return Err(cut) };
        let header = codec::decode(header).map_err(|_| BackupError::Damaged("its header makes no sense"))?;
        let machine = file.slice_ref(machine);
        Machine::restore(&machine)?;
        Ok(Self { header, machine })
    }

    fn encode(header: &BackupHeader, machine: &[u8]) -> Result<Bytes, BackupError> {
        let mut encoded = Vec::new();
        codec::encode(header, &mut encoded).map_err(|_| BackupError::Damaged("its header cannot be written"))?;
        let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&encoded);
        file.extend_from_slice(machine);
        let checksum = crc32fast::hash(&file);
        file.extend_from_slice(&checksum.to_le_bytes());
        Ok(file.into())
    }
}

impl<A: AsyncRuntime> Member<A> {
    /// The state with everything answered before this call, as a file. It is made beside the work.
    pub(crate) async fn backup(&self) -> Result<Bytes, BackupError> {
        self.confirm().await?;
        let stopped = |error: std::io::Error| BackupError::Propose(ProposeError::Stopped(error.to_string()));
        let replica = self.builder.replica(&self.state).await.map_err(stopped)?;
        let mut machine = Vec::new();
        replica.machine.snapshot(&mut machine);
        let header = BackupHeader {
            cluster: self.identity.cluster().unwrap_or(ClusterId(0)),
            applied: LogIndex(replica.last.map_or(0, |last| last.index)),
            revision: replica.machine.revision(),
            time: replica.machine.time(),
            wall: replica.machine.wall(),
        };
        Backup::encode(&header, &machine)
    }

    /// Puts the state of a backup in the place of the group's. It comes in pieces through the log, so every member does the
    /// same, and takes effect with the last of them. Revisions go on above every one that was seen.
    pub(crate) async fn restore(&self, backup: &Backup, group: OtherGroup) -> Result<(), BackupError> {
        let expected = self.identity.cluster().unwrap_or(ClusterId(0));
        let found = backup.header.cluster;
        if found != expected && group == OtherGroup::Refused {
            return Err(BackupError::OtherGroup { found, expected });
        }
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = RestoreId { leader: self.identity.me.id, term: self.metrics().current_term, number };
        self.step(&Step::Begin(id)).await?;
        for start in (0..backup.machine.len()).step_by(CHUNK_BYTES) {
            let end = start.saturating_add(CHUNK_BYTES).min(backup.machine.len());
            self.step(&Step::Piece(id, backup.machine.slice(start..end))).await?;
        }
        let time = self.state.read().clock.now();
        let checksum = crc32fast::hash(&backup.machine);
        self.step(&Step::Finish { id, checksum, time, wall: self.wall() }).await?;
        // Deadlines that lie between the backup and now are reached at once. The restore has taken effect whatever comes of
        // this: a failure told from here would make it happen again, on top of what was written since.
        drop(self.propose(Command::Tick).await);
        Ok(())
    }

    async fn step(&self, step: &Step) -> Result<(), BackupError> {
        let proposal: Proposal = step.propose().map_err(|_| BackupError::Damaged("it cannot be written"))?;
        let reply = self.propose_bytes(|| proposal.clone()).await?;
        if reply == INTERRUPTED {
            Err(BackupError::Interrupted)
        } else if let Reply::Refused(_) = reply {
            Err(BackupError::Damaged("the state cannot be brought back"))
        } else {
            Ok(())
        }
    }
}

/// Whether a backup of another group may be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OtherGroup {
    /// No.
    Refused,
    /// Somebody said that this is wanted.
    Allowed,
}
