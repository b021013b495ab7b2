//! The writing end of the log: one batch is one write and one sync. Whoever is told of an error here must not write again:
//! pages that a failed sync was to bring to disk may be gone without a trace.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::batch::Batch;
use crate::disk::{Disk, DiskFile, named};
use crate::file::DataFile;
use crate::image_file;
use crate::in_force::{Change, InForce, Step, behind};
use crate::limits::BATCH_BYTES_KEPT;
use crate::segment::{Segment, name, prepare};
use crate::synced::Synced;
use crate::writer::Threads;

/// The end of the log.
pub(crate) struct Journal {
    file: Arc<DataFile>,
    segment: Segment,
    /// Where the next write goes.
    offset: u64,
    in_force: InForce,
    synced: Synced,
    spare: Spare,
    /// Memory of the batch before.
    memory: Vec<u8>,
    /// Something may have become of no use since it was looked for.
    untidy: bool,
    /// Snapshots that do not count any more.
    replaced: Vec<u64>,
}

/// A file for the next segment, made beside the writing.
enum Spare {
    None,
    Making(JoinHandle<io::Result<Arc<dyn DiskFile>>>),
}

impl Journal {
    pub(crate) fn new(file: Arc<DataFile>, segment: Segment, offset: u64, in_force: InForce, synced: Synced) -> Self {
        let (spare, memory, replaced) = (Spare::None, Vec::new(), Vec::new());
        // What could go when the process ended did not.
        Self { file, segment, offset, in_force, synced, spare, memory, untidy: true, replaced }
    }

    /// The index of the next entry.
    pub(crate) fn end(&self) -> u64 {
        self.in_force.end()
    }

    /// What holds.
    pub(crate) fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// An empty batch, to be handed to [`Journal::write`].
    pub(crate) fn batch(&mut self) -> Batch {
        Batch::new(std::mem::take(&mut self.memory))
    }

    /// Returns when all of the batch is on disk and can be read.
    pub(crate) fn write(&mut self, mut batch: Batch) -> io::Result<()> {
        if self.offset.saturating_add(batch.len()) > self.segment.length {
            self.roll(batch.len())?;
        }
        let sequence = self.in_force.sequence.saturating_add(1);
        let offset = self.offset;
        let place = self.segment.place(self.in_force.owner.node);
        let bytes = batch.sealed(place, offset, sequence)?;
        let file = &self.segment.file;
        let written = file.write(offset, bytes).and_then(|()| file.sync());
        written.map_err(|error| named(&*self.file.disk, &name(self.segment.number), error))?;
        self.synced.write(sequence)?;
        self.offset = offset.saturating_add(batch.len());
        self.in_force.sequence = sequence;
        let (steps, memory) = batch.into_steps(offset);
        let steps: Vec<(u64, Step)> = steps.collect();
        self.file.take(self.segment.number, &steps)?;
        for (_, step) in steps {
            self.note(&step);
            self.in_force.take(step);
        }
        self.memory = memory;
        self.memory.shrink_to(BATCH_BYTES_KEPT);
        Ok(())
    }

    /// Remembers what has become of no use.
    fn note(&mut self, step: &Step) {
        match step {
            Step::Change(Change::Purge(_)) => self.untidy = true,
            Step::Change(Change::Snapshot(_)) => {
                self.replaced.extend(self.in_force.snapshot.as_ref().map(|stored| stored.id));
                self.untidy = true;
            }
            Step::Entry(_)
            | Step::Change(
                Change::Owner(_)
                | Change::Timing(_)
                | Change::Vote(_)
                | Change::Committed(_)
                | Change::TruncateAfter(_),
            ) => {}
        }
    }

    /// Goes on in a new segment.
    fn roll(&mut self, room: u64) -> io::Result<()> {
        let prepared = self.spare.take();
        let number = self.segment.number.saturating_add(1);
        let disk = &*self.file.disk;
        let made = Segment::create(disk, number, &self.in_force, room, prepared);
        (self.segment, self.offset) = made.map_err(|error| named(disk, &name(number), error))?;
        self.file.add(self.segment.clone(), self.in_force.end())
    }

    /// What may be done when nobody waits for it: has the next segment prepared, and removes what was purged or replaced.
    pub(crate) fn rest(&mut self, threads: Threads) {
        if matches!(self.spare, Spare::None) && self.offset > self.segment.length / 2 {
            self.spare = Spare::make(&self.file.disk, threads);
        }
        if !std::mem::take(&mut self.untidy) {
            return;
        }
        let disk = &*self.file.disk;
        let purged = self.in_force.purged.map_or(Ok(Vec::new()), |purged| self.file.forget(behind(Some(purged))));
        let segments = purged.unwrap_or_default().into_iter().map(|number| disk.remove(&name(number)));
        let snapshots = self.replaced.drain(..).map(|number| image_file::remove(disk, number));
        for removed in segments.chain(snapshots) {
            if let Err(error) = removed {
                // It goes at the next start.
                tracing::warn!(%error, "cannot remove a file that is of no use any more");
            }
        }
    }
}

impl Journal {
    /// Ends everything that goes on in the directory: whoever opens it next must not find somebody writing there.
    pub(crate) fn close(&mut self) {
        drop(self.spare.take());
        self.file.close();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.spare.take());
    }
}

impl Spare {
    fn make(disk: &Arc<dyn Disk>, threads: Threads) -> Self {
        match threads {
            Threads::Real => {
                let disk = Arc::clone(disk);
                let make = move || prepare(&*disk, disk.segment_bytes());
                let thread = std::thread::Builder::new().name("raft-segment".to_owned()).spawn(make);
                // Without one it is made when it is needed.
                thread.map_or(Self::None, Self::Making)
            }
            // The simulated runtime has no threads.
            #[cfg(test)]
            Threads::Simulated => Self::None,
        }
    }

    /// The file, if there is one. That the disk refused it is found out again by whoever needs it.
    fn take(&mut self) -> Option<Arc<dyn DiskFile>> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::Making(thread) => thread.join().ok().and_then(Result::ok),
        }
    }
}
