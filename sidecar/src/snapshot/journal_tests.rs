//! Tests of [`super`], on a disk that fills up, fails and tears.

use std::path::PathBuf;
use std::time::Duration;

use folkmoot_serf::records::Replay;
use folkmoot_serf::{LamportTime, NodeName};

use super::*;

/// A file and its successor as bytes in memory.
#[derive(Debug, Clone)]
struct FaultyDisk {
    file: Vec<u8>,
    successor: Option<Vec<u8>>,
    /// Steps until the machine stops: every byte written is one, every other operation too.
    steps_left: usize,
    /// Bytes that file and successor may have together.
    room: usize,
    appends: bool,
    cuts: bool,
    prepares: bool,
    synced: usize,
    prepared: usize,
}

impl FaultyDisk {
    fn holding(file: &[u8]) -> Self {
        Self {
            file: file.to_vec(),
            successor: None,
            steps_left: usize::MAX,
            room: usize::MAX,
            appends: true,
            cuts: true,
            prepares: true,
            synced: 0,
            prepared: 0,
        }
    }

    fn step(&mut self) -> Result<(), DiskError> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or_else(|| fault("stop"))?;
        Ok(())
    }

    fn byte(&mut self) -> Result<(), DiskError> {
        self.step()?;
        let used = self.file.len() + self.successor.as_ref().map_or(0, Vec::len);
        if used < self.room { Ok(()) } else { Err(fault("write")) }
    }
}

fn fault(action: &'static str) -> DiskError {
    DiskError { action, path: PathBuf::from("x.snap"), error: std::io::Error::from_raw_os_error(28) }
}

impl Disk for FaultyDisk {
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        if !self.appends {
            return Err(fault("write"));
        }
        for &byte in bytes {
            self.byte()?;
            self.file.push(byte);
        }
        Ok(())
    }

    fn cut(&mut self, length: u64) -> Result<(), DiskError> {
        self.step()?;
        if !self.cuts {
            return Err(fault("truncate"));
        }
        self.file.truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        self.step()?;
        self.synced = self.file.len();
        Ok(())
    }

    fn prepare(&mut self, contents: &[u8]) -> Result<(), DiskError> {
        self.prepared += 1;
        self.successor = Some(Vec::new());
        let result = contents.iter().try_for_each(|&byte| {
            self.byte()?;
            self.successor.as_mut().unwrap().push(byte);
            Ok(())
        });
        let result = if self.prepares { result } else { Err(fault("open")) };
        if result.is_err() && self.steps_left > 0 {
            self.successor = None;
        }
        result
    }

    fn swap(&mut self) -> Result<(), DiskError> {
        self.step()?;
        self.file = self.successor.take().unwrap();
        Ok(())
    }
}

fn event(time: u64) -> Record {
    Record::EventClock(LamportTime(time))
}

fn alive(name: &str) -> Record {
    Record::Alive { name: NodeName(name.into()), address: "127.0.0.1:7946".parse().unwrap() }
}

fn batch(records: &[Record]) -> Backlog {
    let mut batch = Backlog::default();
    records.iter().for_each(|record| batch.push(record.clone()));
    batch
}

fn journal(disk: FaultyDisk) -> Journal<FaultyDisk> {
    let replay = Replay::read(&disk.file, AfterLeave::Forget);
    let size = disk.file.len() as u64;
    Journal::new(disk, replay.restored, size, AfterLeave::Forget)
}

fn says(journal: &Journal<FaultyDisk>) -> Restored {
    Replay::read(&journal.disk.file, AfterLeave::Forget).restored
}

/// A file just below the size at which it is compacted.
fn large() -> Vec<u8> {
    let mut file = b"alive: old 127.0.0.9:7946\nclock: 3\n".to_vec();
    file.resize(131_040, b'#');
    file.push(b'\n');
    file
}

#[test]
fn a_stop_at_any_step_leaves_a_state_that_was_true_and_nothing_older_than_the_last_write() {
    let batches: Vec<Vec<Record>> = vec![
        vec![alive("a"), event(1)],
        vec![alive("b c"), Record::Clock(LamportTime(9)), event(2)],
        vec![Record::NotAlive { name: NodeName("a".into()) }, event(3), alive("d")],
        vec![event(4)],
    ];
    let start = Instant::now();
    let all_steps = 500;
    let mut compacted = 0;
    for steps in 0..all_steps {
        let mut disk = FaultyDisk::holding(&large());
        disk.steps_left = steps;
        let mut journal = journal(disk);
        let mut state = says(&journal);
        let mut true_states = vec![state.clone()];
        for records in &batches {
            let unbroken = journal.disk.steps_left > 0 && journal.failing.is_none();
            journal.write(start, batch(records));
            let written = unbroken && journal.failing.is_none();
            for record in records {
                state.apply(record.clone(), AfterLeave::Forget);
                true_states.push(state.clone());
            }
            if written {
                true_states = vec![state.clone()];
            }
        }
        let left = says(&journal);
        assert!(true_states.contains(&left), "after {steps} steps: {left:?} is none of {true_states:?}");
        compacted += usize::from(journal.disk.file.len() < 1_000);
    }
    assert!(compacted > 0 && compacted < all_steps, "{compacted} of {all_steps} runs got as far as a compaction");
}

#[test]
fn a_large_file_is_replaced_by_a_short_one_that_says_the_same() {
    let mut journal = journal(FaultyDisk::holding(&large()));
    journal.write(Instant::now(), batch(&[alive("a"), event(70)]));
    let expected = "alive: a 127.0.0.1:7946\nalive: old 127.0.0.9:7946\nclock: 3\nevent-clock: 70\nquery-clock: 0\n";
    assert_eq!(String::from_utf8(journal.disk.file).unwrap(), expected);
    assert_eq!((journal.size, journal.compactions), (expected.len() as u64, 1));
}

#[test]
fn a_full_disk_loses_nothing_and_is_tried_again() {
    let mut disk = FaultyDisk::holding(b"clock: 1\n");
    disk.room = disk.file.len() + 5;
    let (start, mut journal) = (Instant::now(), journal(disk));
    journal.write(start, batch(&[alive("a"), event(1)]));
    assert_eq!(journal.disk.file, b"clock: 1\n", "no part of a line stays");
    let retry_at = journal.retry_at().unwrap();
    assert_eq!(retry_at - start, SNAPSHOT_APPEND_RETRY);
    // What comes before that waits, the newest of each kind.
    journal.write(start + Duration::from_millis(500), batch(&[event(2)]));
    journal.disk.room = usize::MAX;
    journal.write(start + Duration::from_millis(600), batch(&[event(3)]));
    assert_eq!(journal.disk.file, b"clock: 1\n");
    journal.write(retry_at, Backlog::default());
    assert_eq!(journal.disk.file, b"clock: 1\nalive: a 127.0.0.1:7946\nevent-clock: 3\n");
    assert_eq!(journal.retry_at(), None);
    journal.write(retry_at, batch(&[event(4)]));
    assert_eq!(says(&journal).event_clock, LamportTime(4));
}

#[test]
fn a_compaction_is_tried_twice_a_minute_at_most() {
    let mut disk = FaultyDisk::holding(b"clock: 1\n");
    disk.room = 0;
    let (start, mut journal) = (Instant::now(), journal(disk));
    for second in 0..90 {
        journal.write(start + Duration::from_secs(second), batch(&[event(second + 1)]));
    }
    assert_eq!(journal.disk.prepared, 3);
    assert_eq!(journal.disk.file, b"clock: 1\n");
}

#[test]
fn a_file_that_takes_no_more_is_replaced_at_once_if_its_directory_takes_another() {
    let mut journal = journal(FaultyDisk::holding(b"alive: a 127.0.0.1:7946\nclock: 1\n"));
    journal.disk.appends = false;
    journal.write(Instant::now(), batch(&[event(8)]));
    assert_eq!(journal.retry_at(), None);
    let expected = "alive: a 127.0.0.1:7946\nclock: 1\nevent-clock: 8\nquery-clock: 0\n";
    assert_eq!(String::from_utf8(journal.disk.file).unwrap(), expected);
}

#[test]
fn part_of_a_line_that_cannot_be_cut_off_is_ended_before_the_next() {
    let mut disk = FaultyDisk::holding(b"clock: 1\n");
    (disk.cuts, disk.prepares, disk.room) = (false, false, b"clock: 1\nalive: a 127.0.0.1:79".len());
    let (start, mut journal) = (Instant::now(), journal(disk));
    journal.write(start, batch(&[alive("a")]));
    journal.disk.room = usize::MAX;
    journal.write(start + SNAPSHOT_APPEND_RETRY, batch(&[alive("b")]));
    let text = String::from_utf8(journal.disk.file.clone()).unwrap();
    let expected = "clock: 1\nalive: a 127.0.0.1:79\nalive: a 127.0.0.1:7946\nalive: b 127.0.0.1:7946\n";
    assert_eq!(text, expected);
    let members = says(&journal).members;
    assert!(members.values().all(|address| address.port() == 7946), "{members:?}");
}

#[test]
fn a_directory_that_takes_no_new_file_does_not_keep_lines_from_the_old_one() {
    let mut disk = FaultyDisk::holding(&large());
    disk.prepares = false;
    let (start, mut journal) = (Instant::now(), journal(disk));
    for second in 0..40 {
        journal.write(start + Duration::from_secs(second), batch(&[event(1_000 + second)]));
        assert_eq!(says(&journal).event_clock, LamportTime(1_000 + second));
    }
    assert_eq!(journal.disk.prepared, 2);
    journal.disk.prepares = true;
    journal.write(start + Duration::from_secs(70), batch(&[event(2_000)]));
    assert!(journal.disk.file.len() < 1_000);
    assert_eq!(says(&journal).event_clock, LamportTime(2_000));
}

#[test]
fn a_farewell_is_synced_and_never_compacted_away() {
    let mut journal = journal(FaultyDisk::holding(&large()));
    journal.write(Instant::now(), batch(&[Record::Leave]));
    assert_eq!(journal.disk.synced, journal.disk.file.len());
    for time in 4..20 {
        journal.write(Instant::now(), batch(&[Record::Clock(LamportTime(time))]));
    }
    assert!(journal.disk.file.len() > 131_072);
    assert_eq!(says(&journal), Restored { clock: LamportTime(19), ..Restored::default() });
}

#[test]
fn the_end_waits_for_no_retry_and_syncs() {
    let mut disk = FaultyDisk::holding(b"clock: 1\n");
    disk.room = 0;
    let mut journal = journal(disk);
    journal.write(Instant::now(), batch(&[event(5)]));
    assert!(journal.failing.is_some());
    journal.disk.room = usize::MAX;
    journal.close();
    assert_eq!(journal.disk.file, b"clock: 1\nevent-clock: 5\n");
    assert_eq!(journal.disk.synced, journal.disk.file.len());
}

#[test]
fn names_that_would_break_the_file_are_left_out_of_it() {
    let mut journal = journal(FaultyDisk::holding(b""));
    journal.write(Instant::now(), batch(&[alive("a\nleave"), alive("b")]));
    assert_eq!(journal.disk.file, b"alive: b 127.0.0.1:7946\n");
    assert_eq!(journal.state.members.len(), 1);
}
