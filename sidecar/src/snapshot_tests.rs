//! Tests of [`super`] with real files, and with a disk that does not answer.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use folkmoot_serf::records::Replay;
use folkmoot_serf::{LamportTime, NodeName};
use proptest::prelude::*;

use super::disk::DiskError;
use super::*;

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("folkmoot-snapshot-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, contents: &[u8]) -> PathBuf {
        let path = self.0.join("agent.snap");
        fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Result<Opened, OpenError> {
    Opened::open(path, AfterLeave::Forget)
}

fn event(time: u64) -> Record {
    Record::EventClock(LamportTime(time))
}

fn batch(record: Record) -> Backlog {
    let mut batch = Backlog::default();
    batch.push(record);
    batch
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Large enough to be compacted with the next line.
fn large() -> Vec<u8> {
    [b"clock: 4\n".as_slice(), &b"event-clock: 1\n".repeat(9_000)].concat()
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_torn_line_is_cut_off_and_nul_bytes_are_skipped() {
    let directory = Directory::fresh();
    let whole = b"alive: a 127.0.0.1:7946\n\0\0\0\0alive: b 127.0.0.2:7946\nclock: 8\n";
    let path = directory.file(&[whole.as_slice(), b"alive: torn 127.0.0.1:1"].concat());
    let opened = open(&path).unwrap();
    assert_eq!(opened.restored().members.len(), 1);
    assert_eq!(opened.restored().clock, LamportTime(8));
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_line_of_any_length_takes_bounded_memory_and_hides_no_other() {
    let directory = Directory::fresh();
    let long = b"alive: x".repeat(40_000);
    let path = directory.file(&[b"clock: 1\n", long.as_slice(), b" 127.0.0.1:1\nclock: 2\n"].concat());
    let opened = open(&path).unwrap();
    assert_eq!(opened.restored(), &Restored { clock: LamportTime(2), ..Restored::default() });
    drop(opened);
    // One that never ends is a torn line.
    let path = directory.file(&[b"clock: 1\n", long.as_slice()].concat());
    assert_eq!(open(&path).unwrap().restored().clock, LamportTime(1));
    assert_eq!(fs::read(&path).unwrap(), b"clock: 1\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_file_is_read_as_the_engine_reads_it_and_left_with_whole_lines(
        lines in prop::collection::vec(line(), 0..20),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut file = lines.concat();
        file.extend(tail);
        let directory = Directory::fresh();
        let path = directory.file(&file);
        for after_leave in [AfterLeave::Rejoin, AfterLeave::Forget] {
            let expected = Replay::read(&file, after_leave);
            let opened = Opened::open(&path, after_leave).unwrap();
            prop_assert_eq!(opened.restored(), &expected.restored);
            prop_assert_eq!(&fs::read(&path).unwrap(), &file[..expected.whole_bytes]);
        }
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "alive: [a-c ]{1,3} 127\\.0\\.0\\.[1-9]:[0-9]{1,5}\n".prop_map(String::into_bytes),
        "(not-alive: [a-c ]{1,3}|leave|#failed: [ab] \\[::1\\]:9)\n".prop_map(String::into_bytes),
        "(event-|query-|)clock: [0-9]{1,21}\n".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..30),
    ]
}

#[test]
fn a_file_in_use_is_refused_also_after_it_was_replaced() {
    let directory = Directory::fresh();
    let path = directory.file(&large());
    let mut first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::InUse { .. })));
    first.journal.write(Instant::now(), batch(event(9)));
    assert!(fs::metadata(&path).unwrap().len() < 100, "it was compacted");
    let refused = open(&path).unwrap_err().to_string();
    let shown = path.display();
    assert_eq!(
        refused,
        format!("failed to open snapshot: {shown} is in use by another agent: give each its own (-snapshot)")
    );
    drop(first);
    assert_eq!(open(&path).unwrap().restored().event_clock, LamportTime(9));
}

#[test]
fn what_a_crash_left_under_the_other_name_is_adopted() {
    let directory = Directory::fresh();
    let (path, successor) = (directory.0.join("agent.snap"), directory.0.join("agent.snap.compact"));
    for empty_file_stands in [false, true] {
        fs::write(&successor, b"alive: a 127.0.0.1:7946\nclock: 7\n").unwrap();
        if empty_file_stands {
            fs::write(&path, b"").unwrap();
        }
        let opened = open(&path).unwrap();
        assert_eq!((opened.restored().members.len(), opened.restored().clock), (1, LamportTime(7)));
        assert!(!successor.exists());
        assert!(matches!(open(&path), Err(OpenError::InUse { .. })), "the adopted file is locked");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn half_a_compaction_beside_a_whole_file_is_taken_away() {
    let directory = Directory::fresh();
    let path = directory.file(b"clock: 7\n");
    let successor = directory.0.join("agent.snap.compact");
    fs::write(&successor, b"clock: 9\nali").unwrap();
    assert_eq!(open(&path).unwrap().restored().clock, LamportTime(7));
    assert!(!successor.exists());
}

#[test]
fn nobody_but_those_who_could_read_it_before_can_read_a_compacted_file_and_nobody_executes_it() {
    let directory = Directory::fresh();
    for (before, after) in [(0o755, 0o644), (0o600, 0o600), (0o644, 0o644)] {
        let path = directory.file(&large());
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
        open(&path).unwrap().journal.write(Instant::now(), batch(event(9)));
        assert!(fs::metadata(&path).unwrap().len() < 100, "it was compacted");
        assert_eq!(mode(&path), after, "{before:o}");
    }
    let fresh = directory.0.join("fresh.snap");
    open(&fresh).unwrap();
    assert_eq!(mode(&fresh), 0o644);
}

#[test]
fn a_link_stays_a_link_when_its_file_is_compacted() {
    let directory = Directory::fresh();
    let path = directory.file(&large());
    let link = directory.0.join("link.snap");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    open(&link).unwrap().journal.write(Instant::now(), batch(event(9)));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::metadata(&path).unwrap().len() < 100);
}

#[test]
fn a_deleted_file_is_made_again() {
    let directory = Directory::fresh();
    let path = directory.file(b"clock: 7\n");
    let mut opened = open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    opened.journal.write(Instant::now(), batch(event(9)));
    assert_eq!(fs::read(&path).unwrap(), b"clock: 7\nevent-clock: 9\nquery-clock: 0\n");
}

#[test]
fn what_cannot_be_a_snapshot_is_refused_in_gos_words() {
    let directory = Directory::fresh();
    let text = |path: &Path| open(path).unwrap_err().to_string();
    let shown = directory.0.display();
    assert_eq!(text(&directory.0), format!("failed to open snapshot: open {shown}: is a directory"));
    let missing = directory.0.join("no/such");
    let expected = format!("failed to open snapshot: open {shown}/no/such: no such file or directory");
    assert_eq!(text(&missing), expected);
    assert_eq!(text(Path::new("/dev/null")), "failed to open snapshot: /dev/null is not a regular file");
}

#[tokio::test]
async fn a_line_is_in_the_file_without_another_one_following() {
    let directory = Directory::fresh();
    let path = directory.file(b"");
    let snapshot = open(&path).unwrap().start().unwrap();
    snapshot.record(event(1));
    eventually("the first line is written", || fs::read(&path).unwrap() == b"event-clock: 1\n");
    // The second comes right behind a flush: Go keeps such a line until a third.
    snapshot.record(event(2));
    let both = b"event-clock: 1\nevent-clock: 2\n";
    eventually("the second line is written", || fs::read(&path).unwrap() == both);
    snapshot.record(event(3));
    snapshot.close().await;
    assert!(fs::read(&path).unwrap().ends_with(b"event-clock: 3\n"), "closing waits for no timer");
}

/// A disk that answers when told to.
struct SlowDisk {
    answers: mpsc::Receiver<()>,
    written: mpsc::Sender<Vec<u8>>,
}

impl Disk for SlowDisk {
    fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let _ = self.written.send(bytes.to_vec());
        // A closed channel means that the test is over.
        let _ = self.answers.recv();
        Ok(())
    }

    fn cut(&mut self, _length: u64) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn prepare(&mut self, _contents: &[u8]) -> Result<(), DiskError> {
        Ok(())
    }

    fn swap(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

fn slow() -> (Snapshot, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
    let ((answer, answers), (written, writes)) = (mpsc::channel(), mpsc::channel());
    let journal = Journal::new(SlowDisk { answers, written }, Restored::default(), 0, AfterLeave::Forget);
    (Snapshot::start(PathBuf::from("slow.snap"), journal).unwrap(), answer, writes)
}

#[tokio::test]
async fn a_stalled_disk_holds_nobody_up_and_the_newest_lines_wait_for_it() {
    let (snapshot, answer, writes) = slow();
    snapshot.record(event(1));
    assert_eq!(writes.recv().unwrap(), b"event-clock: 1\n");
    // The thread sits in the write; ten thousand records later there is still one line per subject.
    for time in 2..10_000 {
        snapshot.record(event(time));
        snapshot.record(Record::NotAlive { name: NodeName("a".into()) });
    }
    assert_eq!(snapshot.queue.lock().backlog.len(), 2);
    answer.send(()).unwrap();
    assert_eq!(writes.recv().unwrap(), b"event-clock: 9999\nnot-alive: a\n");
    answer.send(()).unwrap();
    snapshot.record(Record::Leave);
    drop(answer);
    snapshot.close().await;
    let all: Vec<u8> = writes.iter().flatten().collect();
    assert_eq!(all, b"leave\n");
    assert_eq!(Replay::read(&all, AfterLeave::Forget).restored, Restored::default());
}

#[test]
fn a_stalled_disk_is_told_once_a_minute() {
    let start = Instant::now();
    let mut waiting = Waiting { busy_since: Some(start), ..Waiting::default() };
    let told: Vec<u64> =
        (0..200).filter(|second| waiting.stalled(start + Duration::from_secs(*second)).is_some()).collect();
    assert_eq!(told, [5, 65, 125, 185]);
    waiting.busy_since = None;
    assert_eq!(waiting.stalled(start + Duration::from_secs(500)), None);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_never_answers_does_not_keep_the_process() {
    let (snapshot, answer, writes) = slow();
    snapshot.record(event(1));
    assert_eq!(writes.recv().unwrap(), b"event-clock: 1\n");
    let before = tokio::time::Instant::now();
    snapshot.close().await;
    assert_eq!(before.elapsed().as_secs(), SNAPSHOT_CLOSE_LIMIT.as_secs());
    drop(answer);
}
