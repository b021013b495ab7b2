//! A snapshot's bytes: in memory as they came from another member, or in pieces in a file.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::image_file::ImageFile;
use crate::limits::CHUNK_BYTES;
use crate::records::Damaged;
use crate::replica::Replica;

/// A whole state machine, as [`folkmoot_coordination::Machine::snapshot`] writes it.
pub(crate) struct Image {
    place: Place,
    /// What was read from it already.
    replica: Option<Box<Replica>>,
}

enum Place {
    Memory(Bytes),
    /// Open since this was made: a newer snapshot does not disturb the reader.
    File(Box<ImageFile>),
}

impl Image {
    /// One in memory.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { place: Place::Memory(bytes), replica: None }
    }

    /// One that came from another member, and what it says.
    pub(crate) fn received(bytes: Bytes, replica: Replica) -> Self {
        Self { replica: Some(Box::new(replica)), ..Self::new(bytes) }
    }

    pub(crate) fn stored(file: ImageFile) -> Self {
        Self { place: Place::File(Box::new(file)), replica: None }
    }

    /// What it says, if it was read already.
    pub(crate) fn take_replica(&mut self) -> Option<Replica> {
        self.replica.take().map(|replica| *replica)
    }

    /// Whether it is on this member's disk.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        match &self.place {
            Place::Memory(bytes) => bytes.len() as u64,
            Place::File(file) => file.stored.bytes,
        }
    }

    /// At most `length` bytes from `offset` on; fewer at the end of a piece, none only at the end of all.
    ///
    /// # Errors
    /// The disk fails, or the piece is damaged.
    pub(crate) fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let (piece, skip) = match &self.place {
            Place::Memory(bytes) => (bytes.clone(), usize::try_from(offset).unwrap_or(usize::MAX)),
            Place::File(file) => {
                if offset >= file.stored.bytes {
                    return Ok(Bytes::new());
                }
                let number = u32::try_from(offset / CHUNK_BYTES as u64).unwrap_or(u32::MAX);
                let skip = usize::try_from(offset % CHUNK_BYTES as u64).unwrap_or(usize::MAX);
                (file.piece(number)?, skip)
            }
        };
        let skip = skip.min(piece.len());
        Ok(piece.slice(skip..skip.saturating_add(length).min(piece.len())))
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> io::Result<Bytes> {
        match &self.place {
            Place::Memory(bytes) => Ok(bytes.clone()),
            Place::File(file) => {
                let stored = &file.stored;
                let mut all = BytesMut::new();
                for number in 0..stored.chunks {
                    all.extend_from_slice(&file.piece(number)?);
                }
                if all.len() as u64 == stored.bytes {
                    Ok(all.freeze())
                } else {
                    let reason = format!("{} bytes, {} expected", all.len(), stored.bytes);
                    Err(Damaged::new(format!("snapshot {}", stored.id), reason).into())
                }
            }
        }
    }
}
