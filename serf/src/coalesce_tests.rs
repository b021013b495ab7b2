//! Tests of [`super`]: the fold table of the specification, line by line, and Go's `coalesce*_test.go` by behaviour.

use MemberEventKind::{Failed, Join, Leave, Reap, Update};
use bytes::Bytes;

use super::*;
use crate::{MemberStatus, Tags, Versions, WireAddress};

const PERIOD: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(1);

fn at(millis: u64) -> Instant {
    Instant::from_epoch(Duration::from_millis(millis))
}

fn member(name: &str, tag: &str) -> Arc<Member> {
    Arc::new(Member {
        name: NodeName(name.into()),
        address: WireAddress::from_bytes(Bytes::from_static(&[127, 0, 0, 1])),
        port: 7946,
        tags: Tags(BTreeMap::from([("v".into(), tag.into())])),
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
}

fn change(kind: MemberEventKind, name: &str, tag: &str) -> Event {
    Event::Members(MemberEvent { kind, members: vec![member(name, tag)], forced: false })
}

/// Feeds the changes into one window and returns what comes out: kind, name, tag.
fn window(
    coalescer: &mut MemberCoalescer,
    start: u64,
    changes: &[(MemberEventKind, &str, &str)],
) -> Vec<(MemberEventKind, String, String)> {
    for &(kind, name, tag) in changes {
        assert_eq!(coalescer.push(at(start), change(kind, name, tag)), None);
    }
    let mut out = Vec::new();
    for event in coalescer.flush_due(at(start + 1_000)) {
        let Event::Members(event) = event else { panic!("{event:?}") };
        for member in event.members {
            let tag = member.tags.0.values().next().unwrap().to_string();
            out.push((event.kind, member.name.0.to_string(), tag));
        }
    }
    out
}

fn told(kind: MemberEventKind, name: &str, tag: &str) -> (MemberEventKind, String, String) {
    (kind, name.to_string(), tag.to_string())
}

#[test]
fn fold_table() {
    type Changes<'a> = &'a [(MemberEventKind, &'a str)];
    let cases: &[(Changes<'_>, Changes<'_>, Changes<'_>)] = &[
        // told before, within the window, told then
        (&[], &[(Join, "1"), (Update, "2")], &[(Join, "2")]),
        (&[(Join, "1")], &[(Failed, "1"), (Join, "1")], &[]),
        (&[(Join, "1")], &[(Leave, "1"), (Join, "1")], &[]),
        (&[(Join, "1")], &[(Failed, "1"), (Join, "2")], &[(Update, "2")]),
        (&[(Join, "1"), (Update, "2")], &[(Failed, "2"), (Join, "2")], &[]),
        (&[(Join, "1")], &[(Failed, "1"), (Join, "1"), (Update, "2")], &[(Update, "2")]),
        (&[], &[(Join, "1"), (Failed, "1")], &[(Failed, "1")]),
        (&[(Failed, "1")], &[(Join, "1"), (Failed, "1")], &[]),
        (&[(Failed, "1")], &[(Join, "1")], &[(Join, "1")]),
        (&[(Failed, "1")], &[(Leave, "1")], &[(Leave, "1")]),
        (&[(Join, "1")], &[(Update, "2"), (Update, "3")], &[(Update, "3")]),
        (&[(Join, "1")], &[(Update, "2"), (Failed, "2")], &[(Failed, "2")]),
        (&[(Join, "1")], &[(Failed, "1"), (Reap, "1")], &[(Reap, "1")]),
        (&[(Failed, "1"), (Reap, "1")], &[(Failed, "1")], &[(Failed, "1")]),
    ];
    for &(before, within, expected) in cases {
        let mut coalescer = MemberCoalescer::new(PERIOD, QUIET);
        for (number, &(kind, tag)) in (0_u64..).zip(before) {
            assert_eq!(window(&mut coalescer, 10_000 * number, &[(kind, "a", tag)]), [told(kind, "a", tag)]);
        }
        let within: Vec<_> = within.iter().map(|&(kind, tag)| (kind, "a", tag)).collect();
        let expected: Vec<_> = expected.iter().map(|&(kind, tag)| told(kind, "a", tag)).collect();
        assert_eq!(window(&mut coalescer, 1_000_000, &within), expected, "{before:?} then {within:?}");
    }
}

#[test]
fn nothing_is_told_twice_because_of_others() {
    // `member_update_replay` of vectors/serf/behaviour.json.
    let mut coalescer = MemberCoalescer::new(PERIOD, QUIET);
    let mut step = |number: u64, kind, name| window(&mut coalescer, number * 4_000, &[(kind, name, "1")]);
    assert_eq!(step(1, Join, "n2"), [told(Join, "n2", "1")]);
    assert_eq!(step(2, Update, "n2"), [told(Update, "n2", "1")]);
    assert_eq!(step(3, Join, "n3"), [told(Join, "n3", "1")]);
    assert_eq!(step(4, Update, "n3"), [told(Update, "n3", "1")]);
    assert_eq!(step(5, Leave, "n3"), [told(Leave, "n3", "1")]);
}

#[test]
fn a_second_update_is_told_too() {
    let mut coalescer = MemberCoalescer::new(PERIOD, QUIET);
    assert_eq!(window(&mut coalescer, 0, &[(Update, "a", "1")]), [told(Update, "a", "1")]);
    assert_eq!(window(&mut coalescer, 5_000, &[(Update, "a", "2")]), [told(Update, "a", "2")]);
}

#[test]
fn one_event_per_kind_with_all_its_members() {
    let mut coalescer = MemberCoalescer::new(PERIOD, QUIET);
    for name in ["b", "a"] {
        assert_eq!(coalescer.push(at(0), change(Join, name, "1")), None);
    }
    assert_eq!(coalescer.push(at(0), change(Failed, "c", "1")), None);
    let events = coalescer.flush_due(at(1_000));
    let expected = [
        Event::Members(MemberEvent { kind: Join, members: vec![member("a", "1"), member("b", "1")], forced: false }),
        Event::Members(MemberEvent { kind: Failed, members: vec![member("c", "1")], forced: false }),
    ];
    assert_eq!(events, expected);
}

#[test]
fn quiet_time_ends_the_window_early_and_the_period_ends_it_anyway() {
    let mut coalescer = MemberCoalescer::new(PERIOD, QUIET);
    assert_eq!(coalescer.deadline(), None);
    assert_eq!(coalescer.push(at(0), change(Join, "a", "1")), None);
    assert_eq!(coalescer.deadline(), Some(at(1_000)));
    for millis in [900, 1_800, 2_700] {
        assert!(coalescer.flush_due(at(millis)).is_empty());
        assert_eq!(coalescer.push(at(millis), change(Update, "a", "2")), None);
    }
    assert_eq!(coalescer.deadline(), Some(at(3_000)));
    assert_eq!(coalescer.flush_due(at(3_000)).len(), 1);
    assert_eq!(coalescer.deadline(), None);
    assert!(coalescer.flush_due(at(9_000)).is_empty());
}

#[test]
fn other_events_pass_straight_through() {
    let mut members = MemberCoalescer::new(PERIOD, QUIET);
    let mut users = UserCoalescer::new(PERIOD, QUIET);
    let event = user("a", 1, "x", true);
    assert_eq!(members.push(at(0), event.clone()), Some(event));
    let event = change(Join, "a", "1");
    assert_eq!(users.push(at(0), event.clone()), Some(event));
    let event = user("a", 1, "x", false);
    assert_eq!(users.push(at(0), event.clone()), Some(event));
    assert_eq!((members.deadline(), users.deadline()), (None, None));
}

#[test]
fn a_period_of_zero_switches_coalescing_off() {
    let event = change(Join, "a", "1");
    assert_eq!(MemberCoalescer::new(Duration::ZERO, QUIET).push(at(0), event.clone()), Some(event));
    let event = user("a", 1, "x", true);
    assert_eq!(UserCoalescer::new(PERIOD, Duration::ZERO).push(at(0), event.clone()), Some(event));
}

fn user(name: &str, ltime: u64, payload: &'static str, coalesce: bool) -> Event {
    Event::User(UserEvent {
        ltime: LamportTime(ltime),
        name: name.into(),
        payload: Some(Bytes::from_static(payload.as_bytes())),
        coalesce,
    })
}

#[test]
fn user_events_of_the_newest_time_replace_older_ones_of_their_name() {
    let mut coalescer = UserCoalescer::new(PERIOD, QUIET);
    let pushed = [("foo", 1, "old"), ("foo", 2, "new"), ("bar", 2, "test1"), ("bar", 2, "test2"), ("foo", 1, "late")];
    for (name, ltime, payload) in pushed {
        assert_eq!(coalescer.push(at(0), user(name, ltime, payload, true)), None);
    }
    assert!(coalescer.flush_due(at(999)).is_empty());
    let expected = [user("bar", 2, "test1", true), user("bar", 2, "test2", true), user("foo", 2, "new", true)];
    assert_eq!(coalescer.flush_due(at(1_000)), expected);
    // The next window starts from nothing.
    assert_eq!(coalescer.push(at(2_000), user("foo", 1, "older", true)), None);
    assert_eq!(coalescer.flush_due(at(3_000)), [user("foo", 1, "older", true)]);
}

#[test]
fn what_does_not_fit_passes_straight_through() {
    let mut coalescer = UserCoalescer::new(PERIOD, QUIET);
    for _ in 0..COALESCED_EVENTS_MAX {
        assert_eq!(coalescer.push(at(0), user("foo", 1, "x", true)), None);
    }
    let event = user("foo", 1, "x", true);
    assert_eq!(coalescer.push(at(0), event.clone()), Some(event));
}

#[test]
fn held_bytes_are_bounded_and_freed_by_newer_events_and_by_the_flush() {
    const HALF: usize = COALESCED_BYTES_MAX / 2;
    let large = |ltime: u64| {
        let payload = Some(Bytes::from(vec![0; HALF - 3]));
        Event::User(UserEvent { ltime: LamportTime(ltime), name: "foo".into(), payload, coalesce: true })
    };
    let mut coalescer = UserCoalescer::new(PERIOD, QUIET);
    assert_eq!(coalescer.push(at(0), large(1)), None);
    assert_eq!(coalescer.push(at(0), large(1)), None);
    assert!(coalescer.push(at(0), large(1)).is_some());
    assert!(coalescer.push(at(0), user("bar", 1, "x", true)).is_some());
    assert_eq!(coalescer.flush_due(at(3_000)).len(), 2);
    assert_eq!(coalescer.push(at(4_000), large(2)), None);
    assert_eq!(coalescer.push(at(4_000), large(3)), None);
    assert_eq!(coalescer.push(at(4_000), user("bar", 1, "x", true)), None, "the newer one has replaced the other");
}
