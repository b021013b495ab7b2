//! The data of a member as its readers see it: segments of the log, where entries lie in them, and the current snapshot.
//! `recovery.rs` opens it, `journal.rs` writes to it.
//!
//! | file | holds |
//! |---|---|
//! | `raft-NUMBER.log` | a segment of the log (`segment.rs`); the one with the highest number is written to |
//! | `raft-NUMBER.snapshot` | a snapshot in pieces (`image_file.rs`); the log says which one counts |
//! | `raft.log.new`, `raft.snapshot.new` | one that is being made |
//! | `raft.synced` | the number of the last write that was synced (`synced.rs`) |

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use crate::disk::Disk;
use crate::image_file::ImageFile;
use crate::in_force::{Change, Step};
use crate::index::{Index, Stretch};
use crate::peer::NodeId;
use crate::records::{Damaged, HEAD};
use crate::segment::{Found as Record, Segment, Window, entry, name};
use crate::types::{LogEntry, LogId, Vote};

/// What the log held when it was opened.
pub(crate) struct Found {
    pub(crate) owner: crate::in_force::Owner,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    /// The level of the timing that was measured to be right.
    pub(crate) timing: Option<u32>,
}

/// The open data. Closing it makes every reader fail.
pub(crate) struct DataFile {
    pub(crate) disk: Arc<dyn Disk>,
    member: NodeId,
    contents: RwLock<Option<Contents>>,
}

/// What readers find.
pub(crate) struct Contents {
    /// By number, each with the index of the first entry that could be in it when it was made.
    pub(crate) segments: BTreeMap<u64, (Segment, u64)>,
    pub(crate) index: Index,
    pub(crate) snapshot: Option<ImageFile>,
}

impl DataFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, member: NodeId, contents: Contents) -> Self {
        Self { disk, member, contents: RwLock::new(Some(contents)) }
    }

    /// The entries from `start` on, before `end`, about `bytes` of them (at least one if there is one). One that is missing
    /// before the end of the log is an error.
    pub(crate) fn entries(&self, start: u64, end: u64, bytes: usize) -> io::Result<Vec<LogEntry>> {
        let mut entries = Vec::new();
        let (mut next, mut size) = (start, 0usize);
        while next < end && (size < bytes || entries.is_empty()) {
            let found = self.with(|contents| {
                if next >= contents.index.end() {
                    return Ok(None);
                }
                let missing = || io::Error::from(Damaged::new(format!("entry {next}"), "it is missing"));
                let stretch = contents.index.find(next).ok_or_else(missing)?;
                let (segment, _) = contents.segments.get(&stretch.segment).ok_or_else(missing)?;
                Ok(Some((segment.clone(), stretch)))
            })?;
            let Some((segment, stretch)) = found else { break };
            let wanted = Wanted { next, end: end.min(stretch.end), bytes };
            next = self.read(&segment, stretch, &wanted, &mut entries, &mut size)?;
        }
        Ok(entries)
    }

    /// Reads wanted entries of one stretch; returns the index behind the last one.
    fn read(
        &self,
        segment: &Segment,
        stretch: Stretch,
        wanted: &Wanted,
        entries: &mut Vec<LogEntry>,
        size: &mut usize,
    ) -> io::Result<u64> {
        let mut window = segment.window();
        let (mut offset, mut next) = (stretch.offset, stretch.first);
        while next < wanted.end && (*size < wanted.bytes || entries.is_empty()) {
            let (after, entry) = self.entry_from(segment, &mut window, offset, next)?;
            if next >= wanted.next {
                *size = size.saturating_add(usize::try_from(after.saturating_sub(offset)).unwrap_or(usize::MAX));
                entries.push(entry);
            }
            offset = after;
            next = next.saturating_add(1);
        }
        Ok(next)
    }

    /// The next entry at or behind `offset`, which is number `index`, and the offset behind it.
    fn entry_from(
        &self,
        segment: &Segment,
        window: &mut Window<'_>,
        mut offset: u64,
        index: u64,
    ) -> io::Result<(u64, LogEntry)> {
        let damaged = |offset: u64, reason: String| {
            let file = self.disk.path(&name(segment.number));
            io::Error::from(Damaged::new(format!("entry {index} ({}, offset {offset})", file.display()), reason))
        };
        loop {
            let body = match window.record(segment.place(self.member), offset)? {
                Record::Body(body) => body,
                Record::Nothing => return Err(damaged(offset, "it is missing".to_owned())),
                Record::Bad(reason) => return Err(damaged(offset, reason)),
            };
            let after = offset.saturating_add(HEAD as u64).saturating_add(body.len() as u64);
            // Writes and changes lie between entries.
            if let Some(entry) = entry(body) {
                let entry = entry.map_err(|reason| damaged(offset, reason))?;
                if entry.log_id.index == index {
                    return Ok((after, entry));
                }
                return Err(damaged(offset, format!("entry {} lies there", entry.log_id.index)));
            }
            offset = after;
        }
    }

    /// The current snapshot, as it is at this moment: a newer one does not disturb its reader.
    pub(crate) fn snapshot(&self) -> io::Result<Option<ImageFile>> {
        self.with(|contents| Ok(contents.snapshot.clone()))
    }

    /// Lets readers find what was written and synced in `segment`.
    pub(crate) fn take(&self, segment: u64, steps: &[(u64, Step)]) -> io::Result<()> {
        self.change(|contents| {
            for (offset, step) in steps {
                contents.index.take(segment, *offset, step);
                if let Step::Change(Change::Snapshot(stored)) = step {
                    contents.snapshot = Some(ImageFile::open(&*self.disk, stored.clone())?);
                }
            }
            Ok(())
        })
    }

    /// Lets readers find a new segment, which begins before entry `begins`.
    pub(crate) fn add(&self, segment: Segment, begins: u64) -> io::Result<()> {
        self.change(|contents| {
            contents.segments.insert(segment.number, (segment, begins));
            Ok(())
        })
    }

    /// Forgets segments that have entries below `end` only, except the one that is written to; returns their numbers.
    pub(crate) fn forget(&self, end: u64) -> io::Result<Vec<u64>> {
        self.change(|contents| {
            // What is in a segment lies before the beginning of the next one.
            let kept =
                contents.segments.iter().rev().find(|(_, (_, begins))| *begins <= end).map(|(number, _)| *number);
            let Some(kept) = kept else { return Ok(Vec::new()) };
            let stays = contents.segments.split_off(&kept);
            let gone = std::mem::replace(&mut contents.segments, stays);
            contents.index.forget(kept);
            Ok(gone.into_keys().collect())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Contents) -> io::Result<T>) -> io::Result<T> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        contents.as_ref().map_or_else(|| Err(closed()), work)
    }

    fn change<T>(&self, work: impl FnOnce(&mut Contents) -> io::Result<T>) -> io::Result<T> {
        let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        contents.as_mut().map_or_else(|| Err(closed()), work)
    }

    /// Closes the files.
    pub(crate) fn close(&self) {
        drop(self.contents.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Which entries of a stretch are wanted.
struct Wanted {
    next: u64,
    end: u64,
    /// At least one, then until there are so many.
    bytes: usize,
}

fn closed() -> io::Error {
    io::Error::other("the data directory is closed")
}
