//! The log against a naive one, on a disk that loses power, at every moment at which it can.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::disk::{Chance, FaultDisk};
use super::world::{CLUSTER, add, count, count_query, simulate};
use crate::disk::Disk;
use crate::file::DataFile;
use crate::image_file;
use crate::in_force::{Change, InForce, Step, Stored, behind};
use crate::journal::Journal;
use crate::segment;
use crate::types::{ImageMeta, Leader, LogEntry, LogId, Members, Payload, Proposal, Vote};
use crate::writer::Threads;
use crate::{NodeId, OpenError};

/// What is done to the log.
#[derive(Debug, Clone)]
enum Do {
    /// One write with an entry of each of these sizes.
    Append(Vec<usize>),
    Vote,
    /// The last so many entries that no snapshot has go.
    Truncate(u64),
    Committed,
    /// A snapshot of that many bytes with all entries but the last so many.
    Snapshot {
        bytes: usize,
        without: u64,
    },
    /// All that the snapshot has go, except so many.
    Purge {
        kept: u64,
    },
    /// A snapshot of another member comes, so many entries ahead.
    Ahead(u64),
    Reopen,
    /// Everything fails behind so many changes from here.
    Trouble(u64),
}

/// What the log should say.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    in_force: InForce,
    entries: BTreeMap<u64, LogEntry>,
}

fn id(term: u64, index: u64) -> LogId {
    LogId { leader_id: Leader { term, node_id: NodeId(1) }, index }
}

impl Model {
    fn take(&mut self, step: Step, entry: Option<LogEntry>) {
        let end = step.end(self.in_force.end());
        drop(self.entries.split_off(&end));
        if let Some(entry) = entry {
            self.entries.insert(entry.log_id.index, entry);
        }
        self.in_force.take(step);
        let purged = self.in_force.purged.map_or(0, |purged| purged.index + 1);
        self.entries = self.entries.split_off(&purged);
    }
}

/// The open log, what it should say, and what it would say if the write that failed had come to disk.
struct Run {
    disk: FaultDisk,
    file: std::sync::Arc<DataFile>,
    journal: Option<Journal>,
    model: Model,
    term: u64,
    chance: Chance,
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = FaultDisk::default();
        let (file, _, journal) = DataFile::open(&disk, NodeId(1), Some(CLUSTER)).unwrap();
        let model = Model { in_force: journal.in_force().clone(), entries: BTreeMap::new() };
        Self { disk, file, journal: Some(journal), model, term: 1, chance: Chance(seed) }
    }

    /// Does it; if the disk fails, power goes, and the log must say what it said before or after.
    fn run(&mut self, doing: &Do) {
        let mut after = self.model.clone();
        match self.attempt(doing, &mut after) {
            Ok(()) => self.model = after,
            Err(_) => self.crash(Some(after)),
        }
    }

    fn attempt(&mut self, doing: &Do, after: &mut Model) -> std::io::Result<()> {
        let in_force = self.model.in_force.clone();
        let end = in_force.end();
        let decided = in_force.snapshot.as_ref().and_then(|stored| stored.meta.last_log_id);
        if let Some(decided) = decided.filter(|decided| decided.index >= end) {
            // As the Raft library does where power went between a snapshot from elsewhere and what follows from it.
            return self.write(after, vec![Change::Purge(decided)], Vec::new());
        }
        match doing {
            Do::Append(sizes) => {
                let entries: Vec<LogEntry> =
                    sizes.iter().zip(end..).map(|(size, index)| self.entry(index, *size)).collect();
                self.write(after, Vec::new(), entries)
            }
            Do::Vote => {
                self.term += 1;
                self.write(after, vec![Change::Vote(Vote::new_committed(self.term, NodeId(1)))], Vec::new())
            }
            Do::Truncate(count) => {
                // What a snapshot has is decided.
                let upto = end.saturating_sub(*count).max(behind(decided));
                let last = upto.checked_sub(1).and_then(|index| self.id_of(index));
                self.term += 1;
                self.write(after, vec![Change::TruncateAfter(last)], Vec::new())
            }
            Do::Committed => match in_force.last {
                Some(last) => self.write(after, vec![Change::Committed(last)], Vec::new()),
                None => Ok(()),
            },
            Do::Snapshot { bytes, without } => {
                let Some(last) = end.checked_sub(1 + without).and_then(|index| self.id_of(index)) else {
                    return Ok(());
                };
                self.snapshot(after, last, *bytes)
            }
            Do::Purge { kept } => {
                let upto = in_force.snapshot.as_ref().and_then(|stored| stored.meta.last_log_id);
                let upto = upto.and_then(|upto| upto.index.checked_sub(*kept)).and_then(|index| self.id_of(index));
                let Some(upto) = upto.filter(|upto| Some(*upto) > in_force.purged) else { return Ok(()) };
                self.write(after, vec![Change::Purge(upto)], Vec::new())
            }
            Do::Ahead(count) => {
                self.term += 1;
                let last = id(self.term, end + count);
                self.snapshot(after, last, 700)?;
                self.model = after.clone();
                self.write(after, vec![Change::Purge(last)], Vec::new())
            }
            Do::Reopen => {
                self.journal.take().unwrap().close();
                self.reopen(None).map_err(std::io::Error::other)
            }
            Do::Trouble(changes) => {
                self.disk.fail_after(*changes);
                Ok(())
            }
        }
    }

    fn id_of(&self, index: u64) -> Option<LogId> {
        let purged = self.model.in_force.purged.filter(|purged| purged.index == index);
        self.model.entries.get(&index).map(|entry| entry.log_id).or(purged)
    }

    fn entry(&mut self, index: u64, size: usize) -> LogEntry {
        let mut bytes = vec![0; size];
        bytes.iter_mut().for_each(|byte| *byte = u8::try_from(self.chance.below(256)).unwrap());
        LogEntry { log_id: id(self.term, index), payload: Payload::Normal(Proposal(bytes.into())) }
    }

    fn write(&mut self, after: &mut Model, changes: Vec<Change>, entries: Vec<LogEntry>) -> std::io::Result<()> {
        let journal = self.journal.as_mut().unwrap();
        let mut batch = journal.batch();
        for change in changes {
            batch.change(change.clone()).unwrap();
            after.take(Step::Change(change), None);
        }
        for entry in entries {
            batch.entry(&entry).unwrap();
            after.take(Step::Entry(entry.log_id), Some(entry));
        }
        after.in_force.sequence += 1;
        journal.write(batch)?;
        journal.rest(Threads::Simulated);
        Ok(())
    }

    fn snapshot(&mut self, after: &mut Model, last: LogId, bytes: usize) -> std::io::Result<()> {
        let before = self.model.in_force.snapshot.as_ref();
        if before.is_some_and(|before| before.meta.last_log_id >= Some(last)) {
            return Ok(());
        }
        let number = before.map_or(1, |before| before.id + 1);
        let chunks = image_file::write(&*self.file.disk, number, &image(number, bytes))?;
        let meta = ImageMeta { last_log_id: Some(last), last_membership: Members::default() };
        let stored = Stored { id: number, meta, chunks, bytes: bytes as u64 };
        self.write(after, vec![Change::Snapshot(stored)], Vec::new())
    }

    /// Power goes, or only the process; `after` is what a write that was not answered would have made.
    fn crash(&mut self, after: Option<Model>) {
        drop(self.journal.take());
        match self.chance.below(3) {
            0 => self.disk.kill(),
            1 => self.disk.cut_power(&mut self.chance),
            _ => {
                self.disk.kill();
                // It may have got no further than here before power goes, too.
                if let Ok((_, _, mut journal)) = DataFile::open(&self.disk, NodeId(1), Some(CLUSTER)) {
                    if let Some(after) = &after
                        && *journal.in_force() == after.in_force
                    {
                        self.model = after.clone();
                    }
                    journal.close();
                }
                self.disk.cut_power(&mut self.chance);
            }
        }
        self.reopen(after).unwrap();
    }

    fn reopen(&mut self, after: Option<Model>) -> Result<(), OpenError> {
        let (file, _, journal) = DataFile::open(&self.disk, NodeId(1), Some(CLUSTER))?;
        if let Some(after) = after.filter(|after| after.in_force == *journal.in_force()) {
            self.model = after;
        }
        (self.file, self.journal) = (file, Some(journal));
        self.compare();
        Ok(())
    }

    /// The log says what it should.
    fn compare(&self) {
        assert_eq!(*self.journal.as_ref().unwrap().in_force(), self.model.in_force);
        let first = self.model.in_force.purged.map_or(0, |purged| purged.index + 1);
        for bytes in [1, 3_000, usize::MAX] {
            let mut found = Vec::new();
            loop {
                let next = first + found.len() as u64;
                let entries = self.file.entries(next, u64::MAX, bytes).unwrap();
                if entries.is_empty() {
                    break;
                }
                found.extend(entries);
            }
            assert!(found.iter().eq(self.model.entries.values()), "{found:?} {:?}", self.model.entries);
        }
        let stored = self.file.snapshot().unwrap();
        assert_eq!(stored.as_ref().map(|file| &file.stored), self.model.in_force.snapshot.as_ref());
        if let Some(file) = stored {
            let pieces = (0..file.stored.chunks).map(|number| file.piece(number).unwrap());
            let whole: Vec<u8> = pieces.flatten().collect();
            assert_eq!(whole, image(file.stored.id, whole.len()));
        }
    }
}

fn image(number: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((at as u64 * 7 + number) % 251).unwrap()).collect()
}

/// Everything a log goes through: several segments, entries that go, snapshots, purging, one from elsewhere.
fn story() -> Vec<Do> {
    let mut story = vec![Do::Vote, Do::Append(vec![100; 30]), Do::Append(vec![6_000]), Do::Truncate(5)];
    story.extend([Do::Append(vec![6_000, 6_000]), Do::Committed, Do::Append(vec![40_000])]);
    story.extend([
        Do::Snapshot { bytes: 3_000, without: 2 },
        Do::Append(vec![900; 12]),
        Do::Truncate(3),
        Do::Purge { kept: 4 },
    ]);
    story.extend([Do::Append(vec![200; 50]), Do::Vote, Do::Reopen, Do::Append(vec![5_000; 4])]);
    story.extend([Do::Snapshot { bytes: 9_000, without: 0 }, Do::Purge { kept: 1 }, Do::Append(vec![10; 3])]);
    story.extend([Do::Ahead(7), Do::Append(vec![700; 30]), Do::Reopen]);
    story
}

/// Power goes before each change that the story makes: when segments are made, begun and removed, when snapshots come, when
/// the log is cut.
#[test]
fn a_crash_at_every_change_leaves_what_was_answered() {
    let changes = {
        let mut run = Run::new(0);
        let before = run.disk.changes();
        story().iter().for_each(|doing| run.run(doing));
        assert!(run.disk.files().iter().filter_map(|name| segment::number(name)).max() > Some(3));
        run.disk.changes() - before
    };
    assert!(changes > 100, "{changes}");
    for change in 0..changes {
        for seed in 0..3 {
            let mut run = Run::new(change * 3 + seed);
            run.run(&Do::Trouble(change));
            // It goes on after the crash.
            story().iter().for_each(|doing| run.run(doing));
            run.crash(None);
        }
    }
}

fn doing() -> impl Strategy<Value = Do> {
    let size = prop_oneof![8 => 0usize..300, 2 => 300usize..3_000, 1 => 3_000usize..20_000];
    prop_oneof![
        8 => proptest::collection::vec(size, 1..12).prop_map(Do::Append),
        2 => Just(Do::Vote),
        2 => (0u64..20).prop_map(Do::Truncate),
        1 => Just(Do::Committed),
        1 => (0usize..4_000, 0u64..5).prop_map(|(bytes, without)| Do::Snapshot { bytes, without }),
        1 => (0u64..5).prop_map(|kept| Do::Purge { kept }),
        1 => (0u64..5).prop_map(Do::Ahead),
        1 => Just(Do::Reopen),
        3 => (0u64..30).prop_map(Do::Trouble),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_log_says_what_a_naive_one_says(doings in proptest::collection::vec(doing(), 1..60), seed in any::<u64>()) {
        let mut run = Run::new(seed);
        for doing in &doings {
            run.run(doing);
            if run.journal.is_some() {
                run.compare();
            }
        }
        run.crash(None);
    }
}

/// A log of a few segments that was closed, and the index of its last entry.
fn written() -> (FaultDisk, u64) {
    let mut run = Run::new(9);
    for doing in [Do::Vote, Do::Append(vec![60; 9]), Do::Append(vec![8_000; 2]), Do::Append(vec![90; 3]), Do::Vote] {
        run.run(&doing);
    }
    run.crash(None);
    run.journal.take().unwrap().close();
    let last = run.model.in_force.last.unwrap().index;
    (run.disk, last)
}

fn open(disk: &FaultDisk) -> Result<u64, OpenError> {
    let (file, found, _journal) = DataFile::open(disk, NodeId(1), Some(CLUSTER))?;
    let last = found.last.map_or(0, |last| last.index);
    let entries = file.entries(0, u64::MAX, usize::MAX).unwrap();
    assert_eq!(entries.len() as u64, last + 1);
    Ok(last)
}

/// In every byte that was written: the log is whole, or what is damaged is named.
#[test]
fn a_flipped_bit_in_any_byte_is_named_or_changes_nothing() {
    let (disk, last) = written();
    let names: Vec<String> = disk.files().into_iter().filter(|name| segment::number(name).is_some()).collect();
    assert!(names.len() > 1);
    for name in &names {
        let mut used = 0;
        disk.damage(name, |bytes| used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 40);
        // In the middle of long entries one byte is like the next.
        for byte in (0..used).filter(|byte| *byte < 1_500 || byte % 61 == 0 || byte + 700 > used) {
            let broken = disk.copy();
            broken.damage(name, |bytes| bytes[byte] ^= 1 << (byte % 8));
            match open(&broken) {
                Ok(found) => assert!(found == last && byte > used - 100, "byte {byte} of {name}"),
                Err(OpenError::Damaged { file, .. }) => assert_eq!(file.to_str(), Some(name.as_str()), "byte {byte}"),
                Err(OpenError::Format { file, .. }) => assert!(file.to_str() == Some(name.as_str()) && byte == 7),
                Err(error) => panic!("byte {byte} of {name}: {error}"),
            }
        }
    }
}

#[test]
fn a_segment_that_is_gone_is_missed_and_one_that_came_back_is_not() {
    let (disk, _) = written();
    let names: Vec<String> = disk.files().into_iter().filter(|name| segment::number(name).is_some()).collect();
    for name in &names {
        let broken = disk.copy();
        broken.lose(name);
        assert!(matches!(open(&broken), Err(OpenError::Damaged { .. })), "{name}");
    }
    // What a power cut brings back lies behind a gap, or before what is purged.
    let mut run = Run::new(3);
    for doing in [Do::Append(vec![9_000; 3]), Do::Append(vec![9_000; 3]), Do::Append(vec![9_000; 3])] {
        run.run(&doing);
    }
    let whole = run.disk.copy();
    run.run(&Do::Snapshot { bytes: 10, without: 0 });
    run.run(&Do::Purge { kept: 0 });
    run.run(&Do::Append(vec![9_000; 3]));
    let first = whole.files().into_iter().find(|name| segment::number(name).is_some()).unwrap();
    assert!(!run.disk.files().contains(&first));
    let mut bytes = Vec::new();
    whole.damage(&first, |found| bytes.clone_from(found));
    Disk::create(&run.disk.clone(), &first).unwrap().write(0, &bytes).unwrap();
    run.crash(None);
    assert!(!run.disk.files().contains(&first));
}

#[test]
fn the_format_before_is_refused_by_name() {
    let disk = FaultDisk::default();
    Disk::create(&disk.clone(), segment::FORMER).unwrap();
    let error = DataFile::open(&disk, NodeId(1), None).err().unwrap();
    assert_eq!(error.to_string(), "raft.redb: format 1, this program reads 2");
    let (disk, _) = written();
    disk.damage(&segment::name(1), |bytes| bytes[7] = 9);
    let error = DataFile::open(&disk, NodeId(1), None).err().unwrap();
    assert_eq!(error.to_string(), "raft-0000000001.log: format 9, this program reads 2");
}

/// A write that fails is the end: the next one, which would succeed, would stand behind a hole.
#[test]
fn nothing_is_written_after_a_failed_write() {
    simulate(
        6,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            world.propose(add(client, 1)).await;
            let member = world.member(1);
            world.disk(1).fail_writes(true);
            assert!(member.propose(add(client, 2)).await.is_err());
            world.disk(1).fail_writes(false);
            let syncs = world.disk(1).syncs();
            assert!(member.propose(add(client, 2)).await.is_err());
            assert!(member.writer.settle().await.is_err());
            assert_eq!(world.disk(1).syncs(), syncs);
            let reason = member.clone().failed().await;
            assert_eq!(reason, "raft-0000000001.log: the head is stuck");
            drop(member);
            world.kill(1).await;
            world.open(1).await;
            assert_eq!(count(&world.propose(add(client, 2)).await), 2);
        },
        1,
    );
}

/// A member starts, votes and leads on a disk without any room, until its segment is full; then it stops, and loses nothing.
#[test]
fn a_member_starts_on_a_full_disk() {
    simulate(
        7,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            world.propose(add(client, 1)).await;
            world.kill(1).await;
            let full = world.disk(1).length();
            world.disk(1).limit(Some(full));
            world.open(1).await;
            world.leader().await;
            let mut answered = 1;
            let member = world.member(1);
            while member.propose(add(client, answered + 1)).await.is_ok() {
                answered += 1;
            }
            assert!(answered > 5, "{answered}");
            let reason = member.clone().failed().await;
            assert!(reason.starts_with("raft-0000000002.log: "), "{reason}");
            drop(member);
            world.kill(1).await;
            world.open(1).await;
            world.kill(1).await;
            world.disk(1).limit(None);
            world.open(1).await;
            world.leader().await;
            let counted = count(&world.member(1).read(&count_query()).await.unwrap());
            let answered = i64::try_from(answered).unwrap();
            assert!((answered..=answered + 1).contains(&counted), "{counted} of {answered}");
        },
        1,
    );
}

/// Bytes of a client that look like a write do not become one.
#[test]
fn what_a_client_wrote_is_not_taken_for_a_write() {
    let mut run = Run::new(4);
    run.run(&Do::Append(vec![50; 2]));
    let mut bytes = Vec::new();
    run.disk.damage(&segment::name(1), |found| bytes = found[..1_000].to_vec());
    let entry = LogEntry { log_id: id(1, 2), payload: Payload::Normal(Proposal(Bytes::from(bytes))) };
    let mut after = run.model.clone();
    run.write(&mut after, Vec::new(), vec![entry]).unwrap();
    run.model = after;
    run.crash(None);
}

/// A snapshot that is damaged keeps its member from starting, and so does one that is gone.
#[test]
fn a_damaged_snapshot_is_named_and_refused() {
    simulate(
        8,
        async |mut world| {
            world.adjust = |settings| {
                settings.snapshot_every = 20;
                settings.log_kept = 0;
            };
            world.found(1).await;
            let client = world.client().await;
            for request in 1..=50 {
                world.propose(add(client, request)).await;
            }
            while world.status(1).purged.0 < 20 {
                super::world::sleep(5).await;
            }
            world.kill(1).await;
            let whole = world.disk(1).copy();
            let names = whole.files();
            let name = names.iter().find(|name| image_file::number(name).is_some()).unwrap();
            let mut length = 0;
            whole.damage(name, |bytes| length = bytes.len());
            for byte in 0..length {
                world.disk(1).become_like(&whole);
                world.disk(1).damage(name, |bytes| bytes[byte] ^= 1 << (byte % 8));
                let error = world.try_open(1).await.unwrap_err().to_string();
                assert!(error.contains("snapshot") && error.contains("is damaged"), "byte {byte}: {error}");
            }
            world.disk(1).become_like(&whole);
            world.disk(1).damage(name, |bytes| bytes.truncate(length - 1));
            assert!(matches!(open(world.disk(1)), Err(OpenError::Damaged { file, .. }) if file.to_str() == Some(name)));
            world.disk(1).become_like(&whole);
            world.disk(1).lose(name);
            assert!(matches!(open(world.disk(1)), Err(OpenError::Damaged { file, .. }) if file.to_str() == Some(name)));
            world.disk(1).become_like(&whole);
            world.open(1).await;
            world.leader().await;
            assert_eq!(count(&world.member(1).read(&count_query()).await.unwrap()), 50);
        },
        1,
    );
}
