//! One file of the log: what holds where it begins, then writes (`batch.rs`), then zeros. The file has its length before
//! anything is written to it, so that a sync has nothing but its bytes to bring to disk.
//!
//! Header: magic 8 | record of [`InForce`]. A segment gets its name when its header is on disk: whatever has the name is
//! whole up to there. The last one may end in a write that was torn; what was never synced was never answered.

use std::io;
use std::sync::Arc;

use folkmoot_coordination::codec;

use crate::batch::{CHANGE, ENTRY, WRITE_BODY, read_write};
use crate::disk::{Disk, DiskFile};
use crate::in_force::{FORMAT, InForce, Step};
use crate::limits::{READ_BYTES, ZEROS_BYTES};
use crate::peer::NodeId;
use crate::records::{HEAD, Place, length};
use crate::types::LogEntry;

/// What an unfinished segment is called.
pub(crate) const SPARE: &str = "raft.log.new";

/// The log of format 1.
pub(crate) const FORMER: &str = "raft.redb";

/// The last byte is the format.
const MAGIC: [u8; 7] = *b"FMKLOG\0";
const HEADER: u64 = 8;

/// What a segment is called. Numbers grow by one.
pub(crate) fn name(number: u64) -> String {
    format!("raft-{number:010}.log")
}

/// The number of the segment that is called so.
pub(crate) fn number(called: &str) -> Option<u64> {
    let digits = called.strip_prefix("raft-")?.strip_suffix(".log")?;
    digits.parse().ok().filter(|number| name(*number) == called)
}

/// An open segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Bytes of the file.
    pub(crate) length: u64,
}

/// What a segment begins with.
pub(crate) enum Header {
    /// And the offset behind it.
    InForce(Box<InForce>, u64),
    /// Another program's.
    OtherFormat(u32),
    Bad(String),
}

/// A record.
pub(crate) enum Found<'a> {
    Body(&'a [u8]),
    /// Zeros, or the end of the file.
    Nothing,
    Bad(String),
}

/// A write.
pub(crate) enum Next {
    Write {
        sequence: u64,
        /// Each with its offset.
        steps: Vec<(u64, Step)>,
        /// The offset behind it.
        end: u64,
    },
    End,
    Bad {
        offset: u64,
        reason: String,
    },
}

impl Segment {
    /// A new segment with room for `room` bytes, in a file that was prepared, if one was. Returns the offset behind its
    /// header, too. It is durable under its name.
    pub(crate) fn create(
        disk: &dyn Disk,
        number: u64,
        in_force: &InForce,
        room: u64,
        prepared: Option<Arc<dyn DiskFile>>,
    ) -> io::Result<(Self, u64)> {
        let header = header(number, in_force)?;
        let end = header.len() as u64;
        let needed = end.saturating_add(room);
        let file = match prepared {
            Some(file) if file.length()? >= needed => file,
            Some(_) | None => prepare(disk, needed.max(disk.segment_bytes()))?,
        };
        file.write(0, &header)?;
        file.sync()?;
        disk.rename(SPARE, &name(number))?;
        disk.sync_names()?;
        let length = file.length()?;
        Ok((Self { number, file, length }, end))
    }

    pub(crate) fn open(disk: &dyn Disk, number: u64) -> io::Result<Self> {
        let file = disk.open(&name(number))?;
        let length = file.length()?;
        Ok(Self { number, file, length })
    }

    pub(crate) fn place(&self, member: NodeId) -> Place {
        Place { member, segment: self.number }
    }

    pub(crate) fn header(&self) -> io::Result<Header> {
        let mut window = self.window();
        match window.at(0, MAGIC.len().saturating_add(1))?.and_then(|magic| magic.strip_prefix(&MAGIC)) {
            Some([format]) if u32::from(*format) == FORMAT => {}
            Some([format]) => return Ok(Header::OtherFormat(u32::from(*format))),
            Some(_) | None => return Ok(Header::Bad("it does not begin as one".to_owned())),
        }
        let place = self.place(NOBODY);
        Ok(match window.record(place, HEADER)? {
            Found::Body(body) => match codec::decode(body) {
                Ok(in_force) => {
                    let end = HEADER.saturating_add(HEAD as u64).saturating_add(body.len() as u64);
                    Header::InForce(Box::new(in_force), end)
                }
                Err(error) => Header::Bad(error.to_string()),
            },
            Found::Nothing => Header::Bad("it is missing".to_owned()),
            Found::Bad(reason) => Header::Bad(reason),
        })
    }

    pub(crate) fn window(&self) -> Window<'_> {
        Window { file: &*self.file, length: self.length, start: 0, bytes: Vec::new() }
    }

    /// Makes everything from `offset` on zeros, as it was before it was written to, so that what was torn is never taken for
    /// something that was written later; and everything durable: a process that was killed may have written without a sync.
    pub(crate) fn clear(&self, offset: u64) -> io::Result<()> {
        let mut window = self.window();
        let mut next = offset;
        while next < self.length {
            let length = READ_BYTES.min(usize::try_from(self.length.saturating_sub(next)).unwrap_or(READ_BYTES));
            if window.at(next, length)?.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0)) {
                self.file.write(next, &vec![0; length])?;
            }
            next = next.saturating_add(length as u64);
        }
        self.file.sync()
    }
}

/// A file of zeros for the next segment. If the disk has no room for it, nothing of it stays.
pub(crate) fn prepare(disk: &dyn Disk, length: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(SPARE)?;
    let zeros = vec![0; ZEROS_BYTES];
    let mut next = 0u64;
    while next < length {
        let rest = usize::try_from(length.saturating_sub(next)).unwrap_or(ZEROS_BYTES);
        let piece = zeros.get(..rest.min(ZEROS_BYTES)).unwrap_or_default();
        // In pieces, so that syncs of the log beside it do not wait for all of it.
        if let Err(error) = file.write(next, piece).and_then(|()| file.sync()) {
            drop(disk.remove(SPARE));
            return Err(error);
        }
        next = next.saturating_add(piece.len() as u64);
    }
    Ok(file)
}

/// Whom a header belongs to says the header itself.
const NOBODY: NodeId = NodeId(0);

fn header(number: u64, in_force: &InForce) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    codec::encode(in_force, &mut body).map_err(io::Error::other)?;
    let head = Place { member: NOBODY, segment: number }.head(HEADER, &body);
    let head = head.ok_or_else(|| io::Error::other("the header of a segment is too long"))?;
    let mut header = MAGIC.to_vec();
    header.push(u8::try_from(FORMAT).unwrap_or(u8::MAX));
    header.extend_from_slice(&head);
    header.extend_from_slice(&body);
    Ok(header)
}

/// Reads a segment from front to back, some of it at a time.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    length: u64,
    /// Where `bytes` begin.
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `length` bytes at `offset`, if the file is that long.
    fn at(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        let end = offset.saturating_add(length as u64);
        if end > self.length {
            return Ok(None);
        }
        if offset < self.start || end > self.start.saturating_add(self.bytes.len() as u64) {
            let most = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
            self.bytes.clear();
            self.bytes.resize(length.max(READ_BYTES).min(most), 0);
            self.start = offset;
            self.file.read(offset, &mut self.bytes)?;
        }
        let skip = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        Ok(self.bytes.get(skip..).and_then(|bytes| bytes.get(..length)))
    }

    /// The record at `offset`.
    pub(crate) fn record(&mut self, place: Place, offset: u64) -> io::Result<Found<'_>> {
        let Some(head) = self.at(offset, HEAD)?.and_then(|head| head.first_chunk::<HEAD>()).copied() else {
            return Ok(Found::Nothing);
        };
        if head == [0; HEAD] {
            return Ok(Found::Nothing);
        }
        let length = length(head);
        let Some(body) = self.at(offset.saturating_add(HEAD as u64), length)? else {
            return Ok(Found::Bad(format!("its {length} bytes go beyond the end of the file")));
        };
        Ok(match place.check(head, offset, body) {
            Ok(()) => Found::Body(body),
            Err(reason) => Found::Bad(reason),
        })
    }

    /// The write at `offset`.
    pub(crate) fn write(&mut self, place: Place, offset: u64) -> io::Result<Next> {
        let bad = |offset, reason: String| Ok(Next::Bad { offset, reason });
        let (sequence, length) = match self.record(place, offset)? {
            Found::Nothing => return Ok(Next::End),
            Found::Bad(reason) => return bad(offset, reason),
            Found::Body(body) => match read_write(body) {
                Some(write) => write,
                None => return bad(offset, "no write begins here".to_owned()),
            },
        };
        let mut next = offset.saturating_add(WRITE_HEAD);
        let end = next.saturating_add(length as u64);
        let mut steps = Vec::new();
        while next < end {
            let body = match self.record(place, next)? {
                Found::Body(body) => body,
                Found::Nothing => return bad(next, "it is missing".to_owned()),
                Found::Bad(reason) => return bad(next, reason),
            };
            let after = next.saturating_add(HEAD as u64).saturating_add(body.len() as u64);
            match step(body) {
                Ok(step) => steps.push((next, step)),
                Err(reason) => return bad(next, reason),
            }
            next = after;
        }
        if next == end {
            Ok(Next::Write { sequence, steps, end })
        } else {
            bad(next, "its write ends before".to_owned())
        }
    }

    /// Where a write with a number from `sequence` on begins behind `offset`. One that is there shows that what is before it
    /// was synced.
    pub(crate) fn later(&mut self, place: Place, offset: u64, sequence: u64) -> io::Result<Option<u64>> {
        let mut next = offset.saturating_add(1);
        while next < self.length {
            let length = READ_BYTES.min(usize::try_from(self.length.saturating_sub(next)).unwrap_or(READ_BYTES));
            let candidates = candidates(self.at(next, length)?.unwrap_or_default());
            for at in candidates {
                let at = next.saturating_add(at as u64);
                if let Found::Body(body) = self.record(place, at)?
                    && read_write(body).is_some_and(|(found, _)| found >= sequence)
                {
                    return Ok(Some(at));
                }
            }
            // A length that lies across the end of this piece is found in the next one.
            let step = if length < READ_BYTES { length } else { length.saturating_sub(LENGTH - 1) };
            next = next.saturating_add(step as u64);
        }
        Ok(None)
    }
}

/// Bytes of a record's length.
const LENGTH: usize = 4;

/// Where the length of a write's own record stands.
fn candidates(bytes: &[u8]) -> Vec<usize> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Vec::new();
    }
    let wanted = u32::try_from(WRITE_BODY).unwrap_or(u32::MAX).to_le_bytes();
    let places = bytes.windows(LENGTH).enumerate();
    places.filter(|(_, length)| **length == wanted).map(|(at, _)| at).collect()
}

/// Bytes of a write's own record.
const WRITE_HEAD: u64 = (HEAD + WRITE_BODY) as u64;

/// The entry in the body of a record, if it holds one.
pub(crate) fn entry(body: &[u8]) -> Option<Result<LogEntry, String>> {
    let encoded = body.strip_prefix(&[ENTRY])?;
    Some(codec::decode(encoded).map_err(|error| error.to_string()))
}

fn step(body: &[u8]) -> Result<Step, String> {
    if let Some(entry) = entry(body) {
        return entry.map(|entry| Step::Entry(entry.log_id));
    }
    let encoded = body.strip_prefix(&[CHANGE]).ok_or("it is of no kind that is known")?;
    codec::decode(encoded).map(Step::Change).map_err(|error| error.to_string())
}
