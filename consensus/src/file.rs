//! The data file: tables of the storage crate, what they hold, and what is checked when they are opened.
//!
//! | table | key | value |
//! |---|---|---|
//! | `log` | index | entry |
//! | `records` | name | format, member and group; vote; committed; purged; snapshot; number of the transaction |
//! | `chunks` | snapshot, number | a piece of a snapshot |

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use folkmoot_coordination::codec;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Mark};
use crate::error::OpenError;
use crate::limits::CACHE_BYTES;
use crate::peer::{ClusterId, NodeId};
use crate::records::{Damaged, seal, unseal};
use crate::types::{ImageMeta, LogEntry, LogId, Vote};

pub(crate) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(crate) const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
pub(crate) const CHUNKS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("chunks");

pub(crate) const IDENTITY: &str = "identity";
pub(crate) const VOTE: &str = "vote";
pub(crate) const COMMITTED: &str = "committed";
pub(crate) const PURGED: &str = "purged";
pub(crate) const SNAPSHOT: &str = "snapshot";
pub(crate) const SEQUENCE: &str = "sequence";
pub(crate) const TIMING: &str = "timing";

/// The form of everything in the file. A program refuses another one than its own.
pub(crate) const FORMAT: u32 = 1;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) format: u32,
    pub(crate) node: NodeId,
    pub(crate) cluster: Option<ClusterId>,
}

/// A snapshot that is whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: u64,
    pub(crate) meta: ImageMeta,
    pub(crate) chunks: u32,
    pub(crate) bytes: u64,
}

/// What the file held when it was opened.
pub(crate) struct Found {
    pub(crate) owner: Owner,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    pub(crate) sequence: u64,
    /// The level of the timing that was measured to be right.
    pub(crate) timing: Option<u32>,
}

/// The open file. Closing it makes every reader fail; nothing keeps it open then.
pub(crate) struct DataFile {
    database: RwLock<Option<Database>>,
    name: PathBuf,
}

pub(crate) type Chunks = ReadOnlyTable<(u64, u32), &'static [u8]>;

impl DataFile {
    /// Opens, checks and if needed makes the file, which belongs to `node` and to `cluster`, if that is known.
    pub(crate) fn open(
        disk: &impl Disk,
        node: NodeId,
        cluster: Option<ClusterId>,
    ) -> Result<(Arc<Self>, Found, Synced), OpenError> {
        let name = disk.name();
        let broken = |error: &dyn std::fmt::Display| OpenError::Disk { file: name.clone(), reason: error.to_string() };
        let data = disk.data().map_err(|error| broken(&error))?;
        let opened = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(data);
        let mut database = opened.map_err(|error| database_error(&name, error))?;
        database.check_integrity().map_err(|error| database_error(&name, error))?;
        let file = Self::of(database, name.clone());
        let mut synced = Synced::open(disk.mark().map_err(|error| broken(&error))?).map_err(|error| broken(&error))?;
        let owner = Owner { format: FORMAT, node, cluster };
        let found_owner = file.owner(owner).map_err(|error| file.refusal(error))?;
        file.check_owner(&found_owner, owner)?;
        let found = file.recover(found_owner).map_err(|error| file.refusal(error))?;
        if found.sequence < synced.sequence {
            let reason = format!(
                "transaction {} is the last that can be read, but {} was synced",
                found.sequence, synced.sequence
            );
            return Err(OpenError::Damaged { file: name, place: "the end of the file".to_owned(), reason });
        }
        // The mark is not synced: after a power cut the data may be ahead of it. No number is used twice.
        synced.sequence = synced.sequence.max(found.sequence);
        Ok((Arc::new(file), found, synced))
    }

    /// A file whose pages nobody has looked at.
    pub(crate) fn of(database: Database, name: PathBuf) -> Self {
        Self { database: RwLock::new(Some(database)), name }
    }

    fn check_owner(&self, found: &Owner, expected: Owner) -> Result<(), OpenError> {
        let file = self.name.clone();
        if found.format != FORMAT {
            return Err(OpenError::Format { file, found: found.format, known: FORMAT });
        }
        if found.node != expected.node {
            return Err(OpenError::OtherMember { file, found: found.node, expected: expected.node });
        }
        match (found.cluster, expected.cluster) {
            (Some(found), Some(expected)) if found != expected => Err(OpenError::OtherGroup { file, found, expected }),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    /// Whose file it is; `owner`'s if it is empty.
    fn owner(&self, owner: Owner) -> io::Result<Owner> {
        if let Some(found) = self.record(IDENTITY)? {
            return Ok(found);
        }
        self.make(owner)?;
        Ok(owner)
    }

    /// Reads everything once: what is damaged is found at the start, not in the middle of an election.
    fn recover(&self, owner: Owner) -> io::Result<Found> {
        let purged: Option<LogId> = self.record(PURGED)?;
        let last = self.check_log(purged)?;
        let snapshot: Option<Stored> = self.record(SNAPSHOT)?;
        if purged.is_some() && snapshot.as_ref().and_then(|stored| stored.meta.last_log_id) < purged {
            return Err(Damaged::new(SNAPSHOT, "the log begins behind it").into());
        }
        Ok(Found {
            owner,
            vote: self.record(VOTE)?,
            committed: self.record(COMMITTED)?,
            purged,
            last,
            sequence: self.record(SEQUENCE)?.unwrap_or(0),
            timing: self.record(TIMING)?,
        })
    }

    fn make(&self, owner: Owner) -> io::Result<()> {
        self.with(|database| {
            let transaction = database.begin_write().map_err(storage)?;
            transaction.open_table(LOG).map_err(storage)?;
            transaction.open_table(CHUNKS).map_err(storage)?;
            let mut records = transaction.open_table(RECORDS).map_err(storage)?;
            if !records.is_empty().map_err(storage)? {
                return Err(Damaged::new(IDENTITY, "missing").into());
            }
            let record = sealed(IDENTITY, &owner)?;
            records.insert(IDENTITY, record.as_slice()).map_err(storage)?;
            drop(records);
            transaction.commit().map_err(storage)
        })
    }

    /// The log must go on, without a hole, where it was purged.
    fn check_log(&self, purged: Option<LogId>) -> io::Result<Option<LogId>> {
        let mut last = purged;
        let mut next = purged.map_or(0, |purged| purged.index.saturating_add(1));
        loop {
            let entries = self.entries(next, u64::MAX, CACHE_BYTES)?;
            let Some(entry) = entries.last() else { return Ok(last) };
            last = Some(entry.log_id);
            next = entry.log_id.index.saturating_add(1);
        }
    }

    /// The entries from `start` on, before `end`, about `bytes` of them (at least one if there is one). A hole is an error.
    pub(crate) fn entries(&self, start: u64, end: u64, bytes: usize) -> io::Result<Vec<LogEntry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        self.with(|database| {
            let transaction = database.begin_read().map_err(storage)?;
            let Some(log) = present(transaction.open_table(LOG))? else { return Ok(Vec::new()) };
            let mut entries = Vec::new();
            let (mut size, mut next) = (0usize, start);
            for row in log.range(start..end).map_err(storage)? {
                let (index, record) = row.map_err(storage)?;
                if index.value() != next {
                    return Err(Damaged::new(place(next), "missing").into());
                }
                entries.push(decode_entry(next, record.value())?);
                size = size.saturating_add(record.value().len());
                next = next.saturating_add(1);
                if size >= bytes {
                    break;
                }
            }
            Ok(entries)
        })
    }

    /// A record by its name.
    pub(crate) fn record<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        self.with(|database| read_record(&database.begin_read().map_err(storage)?, name))
    }

    /// The current snapshot and its pieces, as they are at this moment.
    pub(crate) fn snapshot(&self) -> io::Result<Option<(Stored, Chunks)>> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(storage)?;
            let Some(stored) = read_record(&transaction, SNAPSHOT)? else { return Ok(None) };
            Ok(Some((stored, transaction.open_table(CHUNKS).map_err(storage)?)))
        })
    }

    /// Runs `work` on the open file.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Database) -> io::Result<T>) -> io::Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_or_else(|| Err(io::Error::other("the data file is closed")), work)
    }

    /// Closes the file.
    pub(crate) fn close(&self) {
        drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// What an error while opening means.
    pub(crate) fn refusal(&self, error: io::Error) -> OpenError {
        let damaged = error.get_ref().and_then(|inner| inner.downcast_ref::<Damaged>()).cloned();
        match damaged {
            Some(Damaged { place, reason }) => OpenError::Damaged { file: self.name.clone(), place, reason },
            None => OpenError::Disk { file: self.name.clone(), reason: error.to_string() },
        }
    }
}

/// The sealed record of a value.
pub(crate) fn sealed<T: Serialize>(place: &str, value: &T) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    codec::encode(value, &mut body).map_err(io::Error::other)?;
    Ok(seal(place, &body))
}

/// Where an entry lies, for errors and checksums.
pub(crate) fn place(index: u64) -> String {
    format!("entry {index}")
}

/// Where a piece of a snapshot lies, for errors and checksums.
pub(crate) fn chunk_place(snapshot: u64, number: u32) -> String {
    format!("piece {number} of snapshot {snapshot}")
}

fn read_record<T: DeserializeOwned>(transaction: &ReadTransaction, name: &str) -> io::Result<Option<T>> {
    let Some(records) = present(transaction.open_table(RECORDS))? else { return Ok(None) };
    let Some(record) = records.get(name).map_err(storage)? else { return Ok(None) };
    let body = unseal(name, record.value())?;
    codec::decode(body).map(Some).map_err(|error| Damaged::new(name, error).into())
}

fn decode_entry(index: u64, record: &[u8]) -> io::Result<LogEntry> {
    let place = place(index);
    let body = unseal(&place, record)?;
    let entry: LogEntry = codec::decode(body).map_err(|error| Damaged::new(place.as_str(), error))?;
    if entry.log_id.index == index { Ok(entry) } else { Err(Damaged::new(place, "it is another one").into()) }
}

/// An error of the storage crate. Only corruption and the disk's own errors are told apart.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others mean that this program is wrong")]
pub(crate) fn storage(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        redb::Error::Corrupted(reason) => Damaged::new("a page", reason).into(),
        other => io::Error::other(other.to_string()),
    }
}

/// A table, unless nothing was ever written.
fn present<T>(table: Result<T, TableError>) -> io::Result<Option<T>> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(storage(error)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are told in the storage crate's words")]
fn database_error(name: &std::path::Path, error: redb::DatabaseError) -> OpenError {
    let file = name.to_owned();
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => {
            OpenError::Disk { file, reason: "another process has it open".to_owned() }
        }
        redb::DatabaseError::Storage(redb::StorageError::Corrupted(reason)) => {
            OpenError::Damaged { file, place: "a page".to_owned(), reason }
        }
        error => OpenError::Disk { file, reason: error.to_string() },
    }
}

/// The file beside the data file that says which transaction was synced last. It is written after the sync and not synced
/// itself, so it may be behind but never ahead: data that ends before it has lost what was promised.
pub(crate) struct Synced {
    mark: Box<dyn Mark>,
    sequence: u64,
}

impl Synced {
    /// Two slots, written in turns, so that a torn write leaves the other: number and checksum.
    const SLOT: u64 = 16;

    fn open(mark: Box<dyn Mark>) -> io::Result<Self> {
        let mut sequence = 0;
        for slot in 0..2 {
            let mut bytes = [0; 12];
            if mark.read(slot * Self::SLOT, &mut bytes)? == bytes.len() {
                let (number, _) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
                let number = u64::from_le_bytes(*number);
                if bytes == Self::slot(number) {
                    sequence = sequence.max(number);
                }
            }
        }
        Ok(Self { mark, sequence })
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Says that transaction `sequence` is synced.
    pub(crate) fn write(&mut self, sequence: u64) -> io::Result<()> {
        self.sequence = sequence;
        self.mark.write(sequence % 2 * Self::SLOT, &Self::slot(sequence))
    }

    fn slot(number: u64) -> [u8; 12] {
        let mut slot = [0; 12];
        let number = number.to_le_bytes();
        let checksum = crc32fast::hash(&number).to_le_bytes();
        for (place, byte) in slot.iter_mut().zip(number.into_iter().chain(checksum)) {
            *place = byte;
        }
        slot
    }
}
