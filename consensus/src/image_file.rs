//! A snapshot's file: magic 8 bytes, then pieces, each with a checksum over its place and its bytes before it. It is
//! written beside the one that counts, and gets its name when all of it is on disk; the log says when it counts.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::disk::{Disk, DiskFile, named};
use crate::in_force::Stored;
use crate::limits::CHUNK_BYTES;
use crate::records::{CHECKSUM, Damaged, seal, unseal};

/// What an unfinished one is called.
pub(crate) const UNFINISHED: &str = "raft.snapshot.new";

const MAGIC: [u8; 8] = *b"FMKSNAP\x02";

/// What snapshot `number` is called.
pub(crate) fn name(number: u64) -> String {
    format!("raft-{number:010}.snapshot")
}

/// The number of the snapshot that is called so.
pub(crate) fn number(called: &str) -> Option<u64> {
    let digits = called.strip_prefix("raft-")?.strip_suffix(".snapshot")?;
    digits.parse().ok().filter(|number| name(*number) == called)
}

/// Removes a snapshot that does not count any more.
pub(crate) fn remove(disk: &dyn Disk, number: u64) -> io::Result<()> {
    disk.remove(&name(number))
}

/// Writes a snapshot; returns the number of its pieces. If the disk refuses, nothing of it stays.
pub(crate) fn write(disk: &dyn Disk, number: u64, bytes: &[u8]) -> io::Result<u32> {
    write_pieces(disk, number, bytes).map_err(|error| {
        // Not being there is as good.
        drop(disk.remove(UNFINISHED));
        named(disk, &name(number), error)
    })
}

fn write_pieces(disk: &dyn Disk, number: u64, bytes: &[u8]) -> io::Result<u32> {
    let file = disk.create(UNFINISHED)?;
    file.write(0, &MAGIC)?;
    let mut pieces = 0u32;
    for piece in bytes.chunks(CHUNK_BYTES) {
        let at = offset(pieces);
        file.write(at, &seal(&place(number, pieces), piece))?;
        file.write(at.saturating_add(CHECKSUM as u64), piece)?;
        // Each by itself, so that syncs of the log beside it do not wait for all of them.
        file.sync()?;
        pieces = pieces.saturating_add(1);
    }
    file.sync()?;
    disk.rename(UNFINISHED, &name(number))?;
    disk.sync_names()?;
    Ok(pieces)
}

/// A snapshot that is whole, open for reading.
#[derive(Clone)]
pub(crate) struct ImageFile {
    pub(crate) stored: Stored,
    file: Arc<dyn DiskFile>,
}

impl ImageFile {
    pub(crate) fn open(disk: &dyn Disk, stored: Stored) -> io::Result<Self> {
        let damaged = |reason: String| io::Error::from(Damaged::new("the snapshot", reason));
        let file = disk.open(&name(stored.id)).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound { damaged("it is missing".to_owned()) } else { error }
        })?;
        let mut magic = [0; MAGIC.len()];
        let expected = length(&stored);
        if file.length()? != expected {
            return Err(damaged(format!("{} bytes, {expected} expected", file.length()?)));
        }
        file.read(0, &mut magic)?;
        if magic != MAGIC {
            return Err(damaged("it does not begin as one".to_owned()));
        }
        Ok(Self { stored, file })
    }

    /// Piece `number`.
    ///
    /// # Errors
    /// The disk fails, or the piece is damaged.
    pub(crate) fn piece(&self, number: u32) -> io::Result<Bytes> {
        let before = u64::from(number).saturating_mul(CHUNK_BYTES as u64);
        let rest = usize::try_from(self.stored.bytes.saturating_sub(before)).unwrap_or(usize::MAX);
        let mut record = BytesMut::zeroed(rest.min(CHUNK_BYTES).saturating_add(CHECKSUM));
        self.file.read(offset(number), &mut record)?;
        unseal(&place(self.stored.id, number), &record)?;
        Ok(record.freeze().slice(CHECKSUM..))
    }
}

/// Where piece `number` begins.
fn offset(number: u32) -> u64 {
    let piece = (CHUNK_BYTES as u64).saturating_add(CHECKSUM as u64);
    u64::from(number).saturating_mul(piece).saturating_add(MAGIC.len() as u64)
}

fn length(stored: &Stored) -> u64 {
    let checksums = u64::from(stored.chunks).saturating_mul(CHECKSUM as u64);
    stored.bytes.saturating_add(checksums).saturating_add(MAGIC.len() as u64)
}

/// Where a piece lies, for errors and checksums.
fn place(snapshot: u64, number: u32) -> String {
    format!("piece {number} of snapshot {snapshot}")
}
