//! Opens the data of a member: reads everything once, and has the whole truth then, or a refusal that names file and place.
//!
//! Only the last write of the last segment may be torn: it was never synced, so nobody was answered. Anything else that
//! cannot be read was there once.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::OpenError;
use crate::file::{Contents, DataFile, Found};
use crate::image_file::{self, ImageFile};
use crate::in_force::{FORMAT, InForce, Owner, Step, Stored, behind};
use crate::index::Index;
use crate::journal::Journal;
use crate::peer::{ClusterId, NodeId};
use crate::records::Damaged;
use crate::segment::{self, FORMER, Header, Next, Segment};
use crate::synced::Synced;

impl DataFile {
    /// Opens, checks and if needed makes the log, which belongs to `node` and to `cluster`, if that is known.
    pub(crate) fn open(
        disk: &(impl Disk + Clone),
        node: NodeId,
        cluster: Option<ClusterId>,
    ) -> Result<(Arc<Self>, Found, Journal), OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let owner = Owner { format: FORMAT, node, cluster };
        let here = |error: io::Error| disk_error(&*disk, "", &error);
        let names = disk.names().map_err(here)?;
        if names.iter().any(|name| name == FORMER) {
            return Err(OpenError::Format { file: disk.path(FORMER), found: 1, known: FORMAT });
        }
        let mut synced = Synced::open(disk.mark().map_err(here)?).map_err(here)?;
        let numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
        let log = Recovery { disk: &*disk, owner, synced: synced.sequence() }.log(numbers)?;
        disk.sync_names().map_err(here)?;
        // The mark is not synced: after a power cut the log may be ahead of it. No number is used twice.
        if synced.sequence() < log.in_force.sequence {
            synced.write(log.in_force.sequence).map_err(here)?;
        }
        let stored = log.in_force.snapshot.clone();
        let snapshot = stored.map(|stored| open_image(&*disk, stored)).transpose()?;
        let kept = log.segments.keys().map(|number| segment::name(*number));
        let kept: Vec<String> = kept.chain(snapshot.iter().map(|file| image_file::name(file.stored.id))).collect();
        tidy(&*disk, &names, &kept);
        let found = Found {
            owner: log.in_force.owner,
            vote: log.in_force.vote,
            committed: log.in_force.committed,
            purged: log.in_force.purged,
            last: log.in_force.last,
            timing: log.in_force.timing,
        };
        let contents = Contents { segments: log.segments, index: log.index, snapshot };
        let file = Arc::new(Self::new(Arc::clone(&disk), node, contents));
        let journal = Journal::new(Arc::clone(&file), log.active, log.offset, log.in_force, synced);
        Ok((file, found, journal))
    }
}

/// The log as it was found.
struct Log {
    segments: BTreeMap<u64, (Segment, u64)>,
    index: Index,
    in_force: InForce,
    /// The segment that is written to, and where.
    active: Segment,
    offset: u64,
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    /// Who asks.
    owner: Owner,
    /// The last write that is known to be on disk.
    synced: u64,
}

impl Recovery<'_> {
    fn log(&self, mut numbers: Vec<u64>) -> Result<Log, OpenError> {
        numbers.sort_unstable();
        let Some(last) = numbers.last().copied() else { return self.make() };
        // A power cut may bring some of the segments back that were removed, but not those between.
        let gap = numbers.windows(2).rposition(|pair| !matches!(pair, [one, two] if one.checked_add(1) == Some(*two)));
        let run = numbers.split_off(gap.map_or(0, |gap| gap.saturating_add(1)));
        let mut segments = BTreeMap::new();
        let mut state: Option<(InForce, Index)> = None;
        let mut reached = None;
        for number in &run {
            let segment = Segment::open(self.disk, *number).map_err(|error| self.failed(*number, &error))?;
            let (begins, offset) = self.header(&segment)?;
            let begins_at = begins.end();
            let (mut in_force, mut index) = match state.take() {
                Some((before, index)) if before == begins => (before, index),
                Some((before, _)) => return Err(self.torn_apart(&segment, &before, &begins, reached)),
                None => (begins, Index::new(begins_at)),
            };
            reached = Some(self.replay(&segment, offset, &mut in_force, &mut index, *number == last)?);
            segments.insert(*number, (segment, begins_at));
            state = Some((in_force, index));
        }
        let (Some((in_force, mut index)), Some(reached), Some((active, _))) =
            (state, reached, segments.get(&last).cloned())
        else {
            return self.make();
        };
        self.check(&active, &in_force, &reached)?;
        let segments = self.needed(segments, &in_force, &mut index)?;
        active.clear(reached.offset).map_err(|error| self.failed(last, &error))?;
        Ok(Log { segments, index, in_force, active, offset: reached.offset })
    }

    /// A first start.
    fn make(&self) -> Result<Log, OpenError> {
        if self.synced > 0 {
            let reason = format!("no segment of the log is there, but write {} was synced", self.synced);
            return Err(self.damaged(1, "the log".to_owned(), reason));
        }
        let in_force = InForce::new(self.owner);
        let made = Segment::create(self.disk, 1, &in_force, 0, None);
        let (active, offset) = made.map_err(|error| self.failed(1, &error))?;
        let segments = BTreeMap::from([(1, (active.clone(), 0))]);
        Ok(Log { segments, index: Index::new(0), in_force, active, offset })
    }

    /// What a segment of this member begins with, and the offset behind it.
    fn header(&self, segment: &Segment) -> Result<(InForce, u64), OpenError> {
        let header = segment.header().map_err(|error| self.failed(segment.number, &error))?;
        let file = self.disk.path(&segment::name(segment.number));
        let (in_force, offset) = match header {
            Header::InForce(in_force, offset) => (*in_force, offset),
            Header::OtherFormat(found) => return Err(OpenError::Format { file, found, known: FORMAT }),
            Header::Bad(reason) => return Err(self.damaged(segment.number, "the header".to_owned(), reason)),
        };
        let (found, expected) = (in_force.owner, self.owner);
        if found.format != FORMAT {
            return Err(OpenError::Format { file, found: found.format, known: FORMAT });
        }
        if found.node != expected.node {
            return Err(OpenError::OtherMember { file, found: found.node, expected: expected.node });
        }
        Ok((in_force, offset))
    }

    /// Takes the writes of a segment; returns where they end, and why there.
    fn replay(
        &self,
        segment: &Segment,
        mut offset: u64,
        in_force: &mut InForce,
        index: &mut Index,
        is_last: bool,
    ) -> Result<Reached, OpenError> {
        let failed = |error: io::Error| self.failed(segment.number, &error);
        let place = segment.place(self.owner.node);
        let mut window = segment.window();
        loop {
            let expected = in_force.sequence.saturating_add(1);
            match window.write(place, offset).map_err(failed)? {
                end @ (Next::End | Next::Bad { .. }) => {
                    let bad = match end {
                        Next::Bad { offset, reason } => Some((offset, reason)),
                        Next::End | Next::Write { .. } => None,
                    };
                    let (at, reason) = bad.clone().unwrap_or((offset, "it is missing".to_owned()));
                    if is_last && let Some(later) = window.later(place, at, expected).map_err(failed)? {
                        let reason = format!("{reason}; a later write is at offset {later}");
                        return Err(self.damaged(segment.number, format!("offset {at}"), reason));
                    }
                    return Ok(Reached { offset, bad });
                }
                Next::Write { sequence, steps, end } => {
                    if sequence != expected {
                        let reason = format!("write {sequence} is there, {expected} should be");
                        return Err(self.damaged(segment.number, format!("offset {offset}"), reason));
                    }
                    for (at, step) in steps {
                        self.fits(segment, at, &step, in_force)?;
                        index.take(segment.number, at, &step);
                        in_force.take(step);
                    }
                    in_force.sequence = sequence;
                    offset = end;
                }
            }
        }
    }

    /// The log goes on without a hole.
    fn fits(&self, segment: &Segment, at: u64, step: &Step, in_force: &InForce) -> Result<(), OpenError> {
        match step {
            Step::Entry(log_id) if log_id.index != in_force.end() => {
                let reason = format!("entry {} is there, {} should be", log_id.index, in_force.end());
                Err(self.damaged(segment.number, format!("offset {at}"), reason))
            }
            Step::Entry(_) | Step::Change(_) => Ok(()),
        }
    }

    /// A segment does not begin where the one before it ends.
    fn torn_apart(&self, segment: &Segment, before: &InForce, begins: &InForce, reached: Option<Reached>) -> OpenError {
        let (from, to) = (before.sequence, begins.sequence);
        match reached {
            Some(Reached { offset, bad }) if from < to => {
                let (offset, reason) = bad.unwrap_or((offset, "it is missing".to_owned()));
                let reason = format!("{reason}; the next segment goes on behind write {to}");
                self.damaged(segment.number.saturating_sub(1), format!("offset {offset}"), reason)
            }
            Some(_) | None => {
                let reason = format!("it goes on behind write {to}, the segment before it ends with {from}");
                self.damaged(segment.number, "the header".to_owned(), reason)
            }
        }
    }

    /// Without those that have only what is purged, of which a power cut may bring some back.
    fn needed(
        &self,
        mut segments: BTreeMap<u64, (Segment, u64)>,
        in_force: &InForce,
        index: &mut Index,
    ) -> Result<BTreeMap<u64, (Segment, u64)>, OpenError> {
        let purged = behind(in_force.purged);
        let Some(first) = segments.iter().rev().find(|(_, (_, begins))| *begins <= purged).map(|(number, _)| *number)
        else {
            let first = segments.keys().next().copied().unwrap_or(1);
            let reason = format!("it is missing: entry {purged} is not in those behind it");
            return Err(self.damaged(first.saturating_sub(1), "the segment".to_owned(), reason));
        };
        index.forget(first);
        Ok(segments.split_off(&first))
    }

    /// Nothing that was synced is missing, and it is the log that was asked for.
    fn check(&self, active: &Segment, in_force: &InForce, reached: &Reached) -> Result<(), OpenError> {
        if in_force.sequence < self.synced {
            let (offset, reason) = match &reached.bad {
                Some((offset, reason)) => (*offset, format!("{reason}; ")),
                None => (reached.offset, String::new()),
            };
            let (last, synced) = (in_force.sequence, self.synced);
            let reason = format!("{reason}write {last} is the last that can be read, but {synced} was synced");
            return Err(self.damaged(active.number, format!("offset {offset}"), reason));
        }
        let stored = in_force.snapshot.as_ref();
        if in_force.purged.is_some() && stored.and_then(|stored| stored.meta.last_log_id) < in_force.purged {
            let reason = "the log begins behind the snapshot".to_owned();
            return Err(self.damaged(active.number, "the log".to_owned(), reason));
        }
        match (in_force.owner.cluster, self.owner.cluster) {
            (Some(found), Some(expected)) if found != expected => {
                let file = self.disk.path(&segment::name(active.number));
                Err(OpenError::OtherGroup { file, found, expected })
            }
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    fn damaged(&self, number: u64, place: String, reason: String) -> OpenError {
        OpenError::Damaged { file: self.disk.path(&segment::name(number)), place, reason }
    }

    fn failed(&self, number: u64, error: &io::Error) -> OpenError {
        disk_error(self.disk, &segment::name(number), error)
    }
}

/// Where the writes of a segment end.
struct Reached {
    offset: u64,
    /// What could not be read there.
    bad: Option<(u64, String)>,
}

fn disk_error(disk: &dyn Disk, name: &str, error: &io::Error) -> OpenError {
    OpenError::Disk { file: disk.path(name), reason: error.to_string() }
}

fn open_image(disk: &dyn Disk, stored: Stored) -> Result<ImageFile, OpenError> {
    let name = image_file::name(stored.id);
    ImageFile::open(disk, stored).map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Damaged { place, reason }) => {
            OpenError::Damaged { file: disk.path(&name), place: place.clone(), reason: reason.clone() }
        }
        None => disk_error(disk, &name, &error),
    })
}

/// Removes what is of no use any more: what a crash kept from being removed or finished. It only takes space: that a disk
/// refuses is no reason not to start.
fn tidy(disk: &dyn Disk, names: &[String], kept: &[String]) {
    for name in names {
        let ours = segment::number(name).is_some() || image_file::number(name).is_some();
        let unfinished = name == segment::SPARE || name == image_file::UNFINISHED;
        if (unfinished || ours && !kept.contains(name))
            && let Err(error) = disk.remove(name)
        {
            tracing::warn!(file = %disk.path(name).display(), %error, "cannot remove a file that is of no use any more");
        }
    }
}
