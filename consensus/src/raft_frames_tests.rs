use openraft::entry::RaftEntry;
use proptest::prelude::*;

use super::*;
use crate::types::{Leader, Tokio};

const ME: NodeId = NodeId(1);

fn leader(term: u64) -> Leader {
    Leader { term, node_id: ME }
}

fn vote(term: u64, committed: bool) -> Vote {
    Vote { leader_id: leader(term), committed }
}

fn entries(ids: &[(u64, u64)]) -> Vec<LogEntry> {
    ids.iter().map(|(term, index)| LogEntry::new_blank(LogId { leader_id: leader(*term), index: *index })).collect()
}

fn append(before: Option<(u64, u64)>, ids: &[(u64, u64)]) -> Append {
    let before = before.map(|(term, index)| LogId { leader_id: leader(term), index });
    Append { vote: vote(3, true), before, committed: None, entries: entries(ids) }
}

#[test]
fn entries_that_follow_one_another_are_given_to_raft() {
    for (before, ids) in [(None, &[(0, 0), (1, 1), (3, 2)][..]), (Some((2, 7)), &[(2, 8), (2, 9)]), (Some((2, 7)), &[])]
    {
        assert!(append(before, ids).checked::<Tokio>(ME).is_ok());
    }
}

#[test]
fn entries_that_do_not_add_up_are_not_given_to_raft() {
    for (before, ids) in [
        (None, &[(0, 1)][..]),
        (Some((2, 7)), &[(2, 9)]),
        (Some((2, 7)), &[(2, 7)]),
        (Some((2, 7)), &[(1, 8)]),
        (Some((2, 7)), &[(2, 8), (2, 10)]),
        (Some((2, 7)), &[(4, 8)]),
    ] {
        assert_eq!(append(before, ids).checked::<Tokio>(ME).err(), Some(Nonsense::Gap), "{before:?} {ids:?}");
    }
    let endless = Some(Nonsense::Number(u64::MAX));
    assert_eq!(append(Some((2, u64::MAX)), &[(2, 0)]).checked::<Tokio>(ME).err(), endless);
    let last_term = Append { vote: vote(u64::MAX, true), ..append(None, &[]) };
    assert_eq!(last_term.checked::<Tokio>(ME).err(), endless);
    let foreign = append(None, &[]).checked::<Tokio>(NodeId(2)).err();
    assert_eq!(foreign, Some(Nonsense::Impostor(ME)));
    let standing = Append { vote: vote(3, false), ..append(None, &[]) };
    assert_eq!(standing.checked::<Tokio>(ME).err(), Some(Nonsense::Standing));
}

#[test]
fn pieces_that_do_not_add_up_are_not_taken() {
    let meta =
        |term| ImageMeta { last_log_id: Some(LogId { leader_id: leader(term), index: 5 }), ..ImageMeta::default() };
    let piece = |length, offset, bytes: &'static [u8]| {
        Piece::new(vote(3, true), meta(3), length, offset, Bytes::from_static(bytes))
    };
    assert_eq!(piece(8, 4, b"more").check(ME), Ok(()));
    assert_eq!(piece(8, 5, b"more").check(ME), Err(Nonsense::PieceSize(4)));
    assert_eq!(piece(8, u64::MAX, b"more").check(ME), Err(Nonsense::PieceSize(4)));
    assert_eq!(piece(8, 0, b"").check(ME), Err(Nonsense::PieceSize(0)));
    assert_eq!(piece(u64::MAX, 0, b"more").check(ME), Err(Nonsense::SnapshotSize(u64::MAX)));
    let future = Piece { meta: meta(4), ..piece(8, 0, b"more") };
    assert_eq!(future.check(ME), Err(Nonsense::Future));
    let damaged = Piece { bytes: Bytes::from_static(b"mOre"), ..piece(8, 0, b"more") };
    assert_eq!(damaged.check(ME), Err(Nonsense::Checksum));
    assert_eq!(piece(8, 0, &[3, SNAPSHOT_VERSION]).unusable(), None);
    let other = piece(8, 0, &[0x83, 1, 99]).unusable().unwrap();
    assert_eq!(other, format!("a snapshot of version 99, version {SNAPSHOT_VERSION} is read here"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..120)) {
        if let Ok(append) = read::<Append>(&bytes) {
            drop(append.checked::<Tokio>(ME));
        }
        if let Ok(piece) = read::<Piece>(&bytes) {
            drop(piece.check(ME));
        }
        drop(read::<Appended>(&bytes));
        drop(read::<PieceTaken>(&bytes));
    }
}
