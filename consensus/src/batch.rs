//! One write of the log: what says its number and its length, then its records. It counts whole or not at all.
//!
//! Record: length of the body 4 | checksum over place and body 4 | body: kind 1, and what it holds.
//! A write's own record holds its number 8 and the bytes of the records behind it 4. All little-endian; what an entry and a
//! change hold is `coordination::codec`.

use std::io;

use folkmoot_coordination::codec;

use crate::in_force::{Change, Step};
use crate::records::{HEAD, Place};
use crate::types::LogEntry;

/// What the first byte of a record's body says.
pub(crate) const WRITE: u8 = 1;
pub(crate) const ENTRY: u8 = 2;
pub(crate) const CHANGE: u8 = 3;

/// Bytes of the body of a write's own record.
pub(crate) const WRITE_BODY: usize = 13;

/// Records that are written together.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the records begin, and what they mean.
    steps: Vec<(usize, Step)>,
}

impl Batch {
    /// An empty one, in memory that was used before.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(HEAD.saturating_add(WRITE_BODY), 0);
        Self { bytes, steps: Vec::new() }
    }

    pub(crate) fn entry(&mut self, entry: &LogEntry) -> io::Result<()> {
        let at = self.record(ENTRY, entry)?;
        self.steps.push((at, Step::Entry(entry.log_id)));
        Ok(())
    }

    pub(crate) fn change(&mut self, change: Change) -> io::Result<()> {
        let at = self.record(CHANGE, &change)?;
        self.steps.push((at, Step::Change(change)));
        Ok(())
    }

    /// Where it begins.
    fn record<T: serde::Serialize>(&mut self, kind: u8, value: &T) -> io::Result<usize> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD]);
        self.bytes.push(kind);
        codec::encode(value, &mut self.bytes).map_err(io::Error::other)?;
        Ok(at)
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The bytes as they are written at `offset` of `place`, as write number `sequence`.
    ///
    /// # Errors
    /// A record is longer than its length can say.
    pub(crate) fn sealed(&mut self, place: Place, offset: u64, sequence: u64) -> io::Result<&[u8]> {
        let first = HEAD.saturating_add(WRITE_BODY);
        let length = u32::try_from(self.bytes.len().saturating_sub(first)).map_err(io::Error::other)?;
        let body = write_body(sequence, length);
        for (byte, new) in self.bytes.iter_mut().skip(HEAD).zip(body) {
            *byte = new;
        }
        let starts = std::iter::once(0).chain(self.steps.iter().map(|(at, _)| *at));
        let ends = self.steps.iter().map(|(at, _)| *at).chain(std::iter::once(self.bytes.len()));
        let bounds: Vec<(usize, usize)> = starts.zip(ends).collect();
        for (start, end) in bounds {
            let record = self.bytes.get_mut(start..end).unwrap_or_default();
            let Some((head, body)) = record.split_first_chunk_mut::<HEAD>() else { continue };
            let new = place.head(offset.saturating_add(start as u64), body);
            *head = new.ok_or_else(|| io::Error::other("a record of the log is too long"))?;
        }
        Ok(&self.bytes)
    }

    /// What the records mean, each with the offset that it has behind `offset`, and the memory for the next one.
    pub(crate) fn into_steps(self, offset: u64) -> (impl Iterator<Item = (u64, Step)>, Vec<u8>) {
        let steps = self.steps.into_iter().map(move |(at, step)| (offset.saturating_add(at as u64), step));
        (steps, self.bytes)
    }
}

/// The body of the record of write `sequence`, behind which there are `length` bytes of records.
fn write_body(sequence: u64, length: u32) -> [u8; WRITE_BODY] {
    let mut body = [0; WRITE_BODY];
    let bytes = std::iter::once(WRITE).chain(sequence.to_le_bytes()).chain(length.to_le_bytes());
    for (place, byte) in body.iter_mut().zip(bytes) {
        *place = byte;
    }
    body
}

/// Number and length of a write, if `body` is that of its own record.
pub(crate) fn read_write(body: &[u8]) -> Option<(u64, usize)> {
    let (sequence, length) = body.strip_prefix(&[WRITE])?.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length.first_chunk::<4>()?);
    let whole = body.len() == WRITE_BODY;
    whole.then_some((u64::from_le_bytes(*sequence), usize::try_from(length).unwrap_or(usize::MAX)))
}
