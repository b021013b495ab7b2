use super::*;
use crate::Text;

fn at(seconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(seconds))
}

fn name(text: &str) -> NodeName {
    NodeName(Text::from(text))
}

fn seen(text: &str) -> memberlist::Member {
    memberlist::Member {
        name: name(text),
        address: WireAddress::from_ip([10, 0, 0, 1].into()),
        port: 7946,
        meta: bytes::Bytes::new(),
        versions: Versions {
            protocol_min: 1,
            protocol_max: 5,
            protocol_cur: 2,
            delegate_min: 2,
            delegate_max: 5,
            delegate_cur: 5,
        },
    }
}

fn table(names: &[&str]) -> Table {
    let mut table = Table::default();
    for name in names {
        table.join(at(0), &seen(name), DecodedTags::default(), None);
    }
    table
}

#[test]
fn new_member_starts_as_it_was_heard_of() {
    let mut table = table(&[]);
    let joined = table.join(at(0), &seen("a"), DecodedTags::default(), Some((MemberStatus::Leaving, LamportTime(7))));
    assert_eq!(joined.member.status, MemberStatus::Leaving);
    assert_eq!(table.get(&name("a")).unwrap().status_ltime, LamportTime(7));
}

#[test]
fn known_member_comes_back_alive_with_its_time() {
    let mut table = table(&["a"]);
    table.raise_ltime(&name("a"), LamportTime(9));
    table.depart(at(1), &name("a"), Departure::Death).unwrap();
    let joined = table.join(at(4), &seen("a"), DecodedTags::default(), Some((MemberStatus::Leaving, LamportTime(99))));
    assert_eq!(joined.member.status, MemberStatus::Alive);
    assert_eq!(joined.failed_for, Some(Duration::from_secs(3)));
    let entry = table.get(&name("a")).unwrap();
    assert_eq!((entry.status_ltime, entry.gone_since), (LamportTime(9), None));
    assert!(table.failed().is_empty());
}

#[test]
fn departure_depends_on_the_status_and_on_who_says_so() {
    use Departure::{Death, Farewell};
    use MemberStatus::{Alive, Failed, Leaving, Left};
    for (before, departure, after) in
        [(Alive, Death, Failed), (Alive, Farewell, Left), (Leaving, Death, Left), (Leaving, Farewell, Left)]
    {
        let mut table = table(&["a"]);
        table.set_status(&name("a"), before);
        let member = table.depart(at(5), &name("a"), departure).unwrap();
        assert_eq!(member.status, after, "{before:?} {departure:?}");
        assert_eq!(table.get(&name("a")).unwrap().gone_since, Some(at(5)));
    }
    for before in [Failed, Left] {
        let mut table = table(&["a"]);
        table.set_status(&name("a"), before);
        assert_eq!(table.depart(at(5), &name("a"), Death), Err(before));
    }
    assert_eq!(table(&[]).depart(at(5), &name("a"), Death), Err(MemberStatus::None));
}

#[test]
fn lists_follow_the_status() {
    let mut table = table(&["a", "b", "c"]);
    table.depart(at(1), &name("a"), Departure::Death).unwrap();
    table.depart(at(1), &name("b"), Departure::Farewell).unwrap();
    assert_eq!((table.failed().len(), table.left().len(), table.present(), table.len()), (1, 1, 1, 3));
    table.set_status(&name("a"), MemberStatus::Left);
    assert_eq!((table.failed().len(), table.left().len()), (0, 2));
    table.erase(&name("a")).unwrap();
    assert_eq!((table.failed().len(), table.left().len(), table.len()), (0, 1, 2));
    assert_eq!(table.erase(&name("a")), None);
}

#[test]
fn left_member_that_had_failed_is_reaped_by_the_time_it_failed() {
    let mut table = table(&["a", "b"]);
    table.depart(at(10), &name("a"), Departure::Death).unwrap();
    table.depart(at(20), &name("b"), Departure::Death).unwrap();
    table.set_status(&name("a"), MemberStatus::Left);
    let (reconnect, tombstone) = (Duration::from_secs(5), Duration::from_secs(30));
    assert_eq!(table.expired(at(25), reconnect, tombstone), []);
    assert_eq!(table.expired(at(26), reconnect, tombstone), [name("b")]);
    assert_eq!(table.expired(at(41), reconnect, tombstone), [name("b"), name("a")]);
    assert_eq!(table.longest_gone(), Some(name("a")));
    table.join(at(50), &seen("a"), DecodedTags::default(), None);
    assert_eq!(table.longest_gone(), Some(name("b")), "who is back is not gone");
    table.erase(&name("b"));
    assert_eq!(table.longest_gone(), None);
}

#[test]
fn revision_grows_with_every_visible_change() {
    let mut table = table(&["a"]);
    let mut last = table.revision();
    let mut grew = |table: &Table| {
        let grew = table.revision() > last;
        last = table.revision();
        grew
    };
    table.update(&seen("a"), DecodedTags::default());
    assert!(grew(&table));
    table.set_status(&name("a"), MemberStatus::Leaving);
    assert!(grew(&table));
    table.raise_ltime(&name("a"), LamportTime(3));
    assert!(!grew(&table), "a time is not visible");
    table.erase(&name("a"));
    assert!(grew(&table));
    table.update(&seen("a"), DecodedTags::default());
    assert!(!grew(&table), "unknown names are ignored");
}

#[test]
fn words_and_numbers_are_gos() {
    use MemberStatus::{Alive, Failed, Leaving, Left, None};
    let words: Vec<_> = [None, Alive, Leaving, Left, Failed].iter().map(|status| status.as_str()).collect();
    assert_eq!(words, ["none", "alive", "leaving", "left", "failed"]);
    let numbers: Vec<_> = [None, Alive, Leaving, Left, Failed].iter().map(|status| status.number()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    use MemberEventKind::{Join, Leave, Reap, Update};
    let kinds: Vec<_> = [Join, Leave, MemberEventKind::Failed, Update, Reap].iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, ["member-join", "member-leave", "member-failed", "member-update", "member-reap"]);
}
