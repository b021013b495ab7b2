//! Tests of [`super`]. The files of real agents are read in `tests/vectors.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{Instant, Member, MemberStatus, QueryEvent, QueryKey, Tags, UserEvent, Versions, WireAddress};

fn name(text: &str) -> NodeName {
    NodeName(text.into())
}

fn restored() -> Restored {
    Restored {
        members: BTreeMap::from([
            (name("n1"), "127.0.12.1:7946".parse().unwrap()),
            (name("n3 with space"), "[::1]:7947".parse().unwrap()),
        ]),
        failed: BTreeMap::from([(name("n4"), "127.0.12.4:7946".parse().unwrap())]),
        clock: LamportTime(10),
        event_clock: LamportTime(7_322),
        query_clock: LamportTime(1),
    }
}

fn members(kind: MemberEventKind, names: &[&str]) -> Event {
    let member = |text: &&str| {
        Arc::new(Member {
            name: name(text),
            address: WireAddress::from_bytes(Bytes::from_static(&[127, 0, 0, 1])),
            port: 7946,
            tags: Tags::default(),
            status: MemberStatus::Alive,
            versions: Versions {
                protocol_min: 1,
                protocol_max: 5,
                protocol_cur: 2,
                delegate_min: 2,
                delegate_max: 5,
                delegate_cur: 5,
            },
            capability: None,
        })
    };
    Event::Members(MemberEvent { kind, members: names.iter().map(member).collect(), forced: false })
}

fn written(records: &[Record]) -> String {
    let mut out = Vec::new();
    for record in records {
        record.write(&mut out);
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn compaction_brings_back_the_same() {
    let file = restored().compact();
    let text = "alive: n1 127.0.12.1:7946\nalive: n3 with space [::1]:7947\n#failed: n4 127.0.12.4:7946\n\
        clock: 10\nevent-clock: 7322\nquery-clock: 1\n";
    assert_eq!(String::from_utf8(file.clone()).unwrap(), text);
    let replay = Replay::read(&file, AfterLeave::Forget);
    assert_eq!(replay, Replay { restored: restored(), whole_bytes: file.len(), ..Replay::default() });
}

#[test]
fn compaction_starts_at_128_kib_or_256_bytes_per_member() {
    assert_eq!(compaction_threshold(0), 131_072);
    assert_eq!(compaction_threshold(512), 131_072);
    assert_eq!(compaction_threshold(1_000), 256_000);
    assert_eq!(compaction_threshold(usize::MAX), u64::MAX);
}

#[test]
fn leave_forgets_unless_the_node_shall_rejoin() {
    let file = [restored().compact().as_slice(), b"leave\nclock: 11\n"].concat();
    let forgotten = Replay::read(&file, AfterLeave::Forget).restored;
    assert_eq!(forgotten, Restored { clock: LamportTime(11), ..Restored::default() });
    let kept = Replay::read(&file, AfterLeave::Rejoin).restored;
    assert_eq!(kept, Restored { clock: LamportTime(11), ..restored() });
}

#[test]
fn failed_members_are_remembered_in_lines_that_are_comments_to_go() {
    let file = b"alive: a 127.0.0.1:1\nalive: b c 127.0.0.1:2\nnot-alive: b c\n#failed: b c 127.0.0.1:2\n";
    let b = (name("b c"), "127.0.0.1:2".parse().unwrap());
    let replay = |more: &[u8]| Replay::read(&[file, more].concat(), AfterLeave::Forget).restored;
    assert_eq!(replay(b"").failed, BTreeMap::from([b.clone()]));
    assert_eq!(replay(b"").members.len(), 1);
    assert_eq!(replay(b"not-alive: b c\n").failed, BTreeMap::new());
    assert_eq!(replay(b"alive: b c 127.0.0.1:3\n").failed, BTreeMap::new());
    assert_eq!(replay(b"alive: b c 127.0.0.1:3\n").members.len(), 2);
    assert_eq!(replay(b"leave\n"), Restored::default());
    let comments = b"#failed: to parse\n#failed:\n#failed: \n# failed: x 127.0.0.1:1\n";
    let replay = Replay::read(comments, AfterLeave::Forget);
    assert_eq!((replay.restored, replay.warnings.len()), (Restored::default(), 0));
}

#[test]
fn clocks_only_go_forward_but_for_a_leave() {
    let file = b"clock: 9\nclock: 4\nevent-clock: 7\nevent-clock: 7\nquery-clock: 3\nquery-clock: 2\n";
    let clocks = |restored: Restored| [restored.clock.0, restored.event_clock.0, restored.query_clock.0];
    assert_eq!(clocks(Replay::read(file, AfterLeave::Forget).restored), [9, 7, 3]);
    let file = [file, b"leave\nclock: 1\n".as_slice()].concat();
    assert_eq!(clocks(Replay::read(&file, AfterLeave::Forget).restored), [1, 0, 0]);
    assert_eq!(clocks(Replay::read(&file, AfterLeave::Rejoin).restored), [9, 7, 3]);
}

#[test]
fn torn_last_line_is_left_out_and_told_by_its_offset() {
    let replay = Replay::read(b"clock: 5\nclock: 6", AfterLeave::Forget);
    assert_eq!(replay.restored.clock, LamportTime(5));
    assert_eq!(replay.whole_bytes, 9);
    assert_eq!(Replay::read(b"clock: 6", AfterLeave::Forget), Replay::default());
}

#[test]
fn replay_of_every_prefix_succeeds_with_a_state_that_was_true() {
    let file = b"alive: a 1.2.3.4:1\nclock: 1\nalive: b 1.2.3.5:1\nnot-alive: a\nevent-clock: 3\nleave\n";
    let whole = |end: usize| Replay::read(&file[..end], AfterLeave::Forget).restored;
    let ends: Vec<usize> = (0..=file.len()).filter(|&end| end == 0 || file[end - 1] == b'\n').collect();
    let states: Vec<Restored> = ends.iter().map(|&end| whole(end)).collect();
    for end in 0..=file.len() {
        assert!(states.contains(&whole(end)), "prefix of {end} bytes");
    }
}

#[test]
fn lines_that_make_no_sense_are_skipped_with_gos_words() {
    let file = b"alive: nospace\nalive: bad 1.2.3.4\nclock: notanumber\nevent-clock: 18446744073709551616\n\
        query-clock: -1\nfuture-line: 1\nclock: 4\0\nalive: x\ty 1.2.3.4:5\n\n# fine\ncoordinate: {}\n";
    let replay = Replay::read(file, AfterLeave::Forget);
    assert_eq!(replay.restored, Restored::default());
    let expected = [
        "Failed to parse address: alive: nospace",
        "Failed to parse address: alive: bad 1.2.3.4",
        "Failed to convert clock time: strconv.ParseUint: parsing \"notanumber\": invalid syntax",
        "Failed to convert event clock time: strconv.ParseUint: parsing \"18446744073709551616\": value out of range",
        "Failed to convert query clock time: strconv.ParseUint: parsing \"-1\": invalid syntax",
        "Unrecognized snapshot line: future-line: 1",
        "Unrecognized snapshot line: clock: 4\\u{0}",
        "Unrecognized snapshot line: alive: x\\ty 1.2.3.4:5",
        "Unrecognized snapshot line: ",
    ];
    assert_eq!(replay.warnings, expected);
}

#[test]
fn warnings_are_counted_beyond_their_limit() {
    let file = b"x\n".repeat(SNAPSHOT_WARNINGS_MAX + 3);
    let replay = Replay::read(&file, AfterLeave::Forget);
    assert_eq!((replay.warnings.len(), replay.warnings_dropped), (SNAPSHOT_WARNINGS_MAX, 3));
}

#[test]
fn members_beyond_the_limit_are_skipped_with_a_warning() {
    let mut file = Vec::new();
    for number in 0..=SNAPSHOT_MEMBERS_MAX {
        file.extend_from_slice(format!("alive: n{number} 127.0.0.1:7946\n").as_bytes());
    }
    let replay = Replay::read(&file, AfterLeave::Forget);
    assert_eq!(replay.restored.members.len(), SNAPSHOT_MEMBERS_MAX);
    assert_eq!(replay.warnings.len(), 1);
}

#[test]
fn names_with_line_ends_are_not_written() {
    let address = "127.0.0.1:1".parse().unwrap();
    assert_eq!(written(&[Record::Alive { name: name("a\nleave"), address }]), "");
    assert_eq!(written(&[Record::NotAlive { name: name("a\nleave") }]), "");
}

#[test]
fn events_are_worth_the_lines_go_writes() {
    let mut recorder = Recorder::new(Restored::default());
    let mut file = String::new();
    let mut on = |event: &Event, clock| file.push_str(&written(&recorder.on_event(event, LamportTime(clock))));
    on(&members(MemberEventKind::Join, &["n1"]), 1);
    on(&members(MemberEventKind::Join, &["n2", "n3 with space"]), 2);
    on(&Event::User(UserEvent { ltime: LamportTime(1), name: "e".into(), payload: None, coalesce: true }), 2);
    on(&Event::User(UserEvent { ltime: LamportTime(1), name: "f".into(), payload: None, coalesce: true }), 2);
    let query = QueryEvent {
        key: QueryKey { ltime: LamportTime(4), id: 1 },
        name: "q".into(),
        payload: None,
        source: name("n2"),
        deadline: Instant::EPOCH.after(Duration::from_secs(1)),
    };
    on(&Event::Query(query.clone()), 2);
    on(&Event::Query(query), 2);
    on(&members(MemberEventKind::Update, &["n2"]), 3);
    on(&members(MemberEventKind::Leave, &["n2"]), 3);
    on(&members(MemberEventKind::Failed, &["n3 with space"]), 4);
    on(&members(MemberEventKind::Reap, &["n3 with space"]), 4);
    let expected = "alive: n1 127.0.0.1:7946\nalive: n2 127.0.0.1:7946\nalive: n3 with space 127.0.0.1:7946\nclock: 1\n\
        event-clock: 1\nquery-clock: 4\nclock: 2\nnot-alive: n2\nnot-alive: n3 with space\n\
        #failed: n3 with space 127.0.0.1:7946\nclock: 3\nnot-alive: n3 with space\n";
    assert_eq!(file, expected);
    // What the recorder believes the file to say is what the file says.
    assert_eq!(&Replay::read(file.as_bytes(), AfterLeave::Forget).restored, recorder.state());
}

#[test]
fn only_the_clock_is_recorded_after_a_leave() {
    let mut recorder = Recorder::new(restored());
    assert_eq!(recorder.on_leave(AfterLeave::Forget), Record::Leave);
    assert_eq!(recorder.on_event(&members(MemberEventKind::Join, &["n9"]), LamportTime(20)), []);
    assert_eq!(recorder.on_query(LamportTime(99)), None);
    assert_eq!(recorder.on_clock(LamportTime(20)), Some(Record::Clock(LamportTime(19))));
    assert_eq!(recorder.on_clock(LamportTime(20)), None);
    assert!(recorder.state().members.is_empty());
    let mut recorder = Recorder::new(restored());
    assert_eq!(recorder.on_leave(AfterLeave::Rejoin), Record::Leave);
    assert_eq!(recorder.state(), &restored());
}
