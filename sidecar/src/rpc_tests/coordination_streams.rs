//! Watches, observers, backups: what is streamed, and what of the group is asked and changed.

use folkmoot_coordination::{Command, Revision};
use folkmoot_proto::Blob;
use folkmoot_proto::coordination as wire;
use folkmoot_proto::coordination::{Code, CoordinationRequest, LeaderRecord, WatchRecord, What};

use super::coordination_calls::{Member, lock, put, release};
use super::*;

/// Opens a watch of keys: its Seq.
async fn watch(member: &mut Member, after: Option<u64>, prefix: &str) -> u64 {
    let watch = wire::Watch { after, prefix: prefix.into(), scope: wire::Scope::Key };
    let seq = member.request(CoordinationRequest::from(watch)).await;
    assert_eq!(member.client.header().await, ResponseHeader::ok(seq));
    seq
}

/// The keys and revisions of the next record.
async fn changes(member: &mut Member, seq: u64) -> (Vec<(String, u64)>, u64) {
    let record: WatchRecord = member.answer(seq).await;
    assert!(!record.compacted);
    let of = |change: &wire::WatchChange| {
        assert_eq!((change.what, change.scope, change.wall), (What::Put, wire::Scope::Key, 1_000));
        (change.key.to_string(), change.revision)
    };
    (record.changes.iter().map(of).collect(), record.through)
}

#[tokio::test]
async fn a_watch_sees_every_change_of_its_prefix_from_now_on_and_ends_by_stop() {
    let (server, _group) = Server::with_group().await;
    let (mut watching, mut writing) = (server.member().await, server.member().await);
    writing.write(put("a/0", "before")).await;
    let seq = watch(&mut watching, None, "a/").await;
    writing.write(put("b/1", "other")).await;
    writing.write(put("a/1", "one")).await;
    assert_eq!(changes(&mut watching, seq).await, (vec![("a/1".into(), 5)], 5));
    writing.write(put("a/2", "two")).await;
    assert_eq!(changes(&mut watching, seq).await, (vec![("a/2".into(), 6)], 6));
    watching.stop(seq).await;
    writing.write(put("a/3", "three")).await;
    watching.client.assert_open_and_silent("after stop").await;
    let seq = watch(&mut watching, Some(5), "a/").await;
    assert_eq!(changes(&mut watching, seq).await, (vec![("a/2".into(), 6), ("a/3".into(), 7)], 7));
}

#[tokio::test]
async fn a_watch_of_what_is_forgotten_says_so_and_is_over() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    for _ in 0..4 {
        member.write(put("k", "v")).await;
    }
    group.apply(&Command::Compact { revision: Revision(3) });
    let seq = watch(&mut member, Some(2), "").await;
    let record: WatchRecord = member.answer(seq).await;
    assert_eq!(record, WatchRecord { changes: Vec::new(), compacted: true, through: 3 });
    let again = watch(&mut member, Some(3), "").await;
    assert_eq!(changes(&mut member, again).await, (vec![("k".into(), 4), ("k".into(), 5)], 5));
}

#[tokio::test]
async fn streams_are_bounded_and_those_that_are_over_do_not_count() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    member.write(put("k", "v")).await;
    group.apply(&Command::Compact { revision: Revision(2) });
    for _ in 0..limits::STREAMS {
        let seq = watch(&mut member, Some(0), "").await;
        assert!(member.answer::<WatchRecord>(seq).await.compacted);
    }
    for _ in 0..limits::STREAMS {
        watch(&mut member, None, "").await;
    }
    let one_more = CoordinationRequest::from(wire::Watch::default());
    let seq = member.request(one_more.clone()).await;
    member.refused(seq, Code::TooManyCalls).await;
    member.client.send_request(seq - 1, one_more.into()).await;
    member.refused(seq - 1, Code::InvalidRequest).await;
}

#[tokio::test]
async fn a_slow_watcher_holds_up_nobody_and_misses_nothing() {
    let (server, group) = Server::with_group().await;
    let (mut slow, mut writing) = (server.member().await, server.member().await);
    let seq = watch(&mut slow, None, "").await;
    // More than the sockets and the writer's queue take.
    let large = "x".repeat(1 << 20);
    for number in 0..24 {
        writing.write(put(&format!("k{number:02}"), &large)).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 24 {
        let record: WatchRecord = slow.answer(seq).await;
        assert!(!record.compacted);
        seen.extend(record.changes.iter().map(|change| change.key.to_string()));
    }
    assert_eq!(seen, (0..24).map(|number| format!("k{number:02}")).collect::<Vec<_>>());
    assert!(group.machine().usage().history_bytes > 24 << 20, "or it would have been told that it is too slow");
}

#[tokio::test]
async fn an_observer_sees_the_leader_that_is_and_every_later_one() {
    let (server, _group) = Server::with_group().await;
    let (mut watching, mut running) = (server.member().await, server.member().await);
    let campaign = |name: &str, value: &'static str| wire::ElectionCampaign {
        name: name.into(),
        value: Blob::from(value.as_bytes()),
        wait: -1,
        ..wire::ElectionCampaign::default()
    };
    let first = running.write(campaign("e", "one")).await;
    running.write(campaign("e2", "of another election")).await;
    let observe = wire::ElectionObserve { name: "e".into() };
    let seq = watching.request(CoordinationRequest::from(observe)).await;
    assert_eq!(watching.client.header().await, ResponseHeader::ok(seq));
    let owner = Some(wire::Owner { client: running.caller.client, ..wire::Owner::default() });
    let leads = |held: &wire::Held, owner: Option<wire::Owner>, revision, value: &'static str| LeaderRecord {
        hold: held.hold,
        owner,
        revision,
        token: held.token,
        value: Blob::from(value.as_bytes()),
    };
    let seen: LeaderRecord = watching.answer(seq).await;
    assert_eq!(seen, leads(&first, owner.clone(), 4, "one"));
    let said = wire::ElectionProclaim { hold: first.hold, name: "e".into(), value: Blob::from(&b"two"[..]) };
    running.write(said).await;
    assert_eq!(watching.answer::<LeaderRecord>(seq).await, leads(&first, None, 5, "two"));
    running.write(wire::ElectionResign { hold: first.hold, name: "e".into() }).await;
    let none = LeaderRecord { revision: 6, ..LeaderRecord::default() };
    assert_eq!(watching.answer::<LeaderRecord>(seq).await, none);
    let next = running.write(campaign("e", "three")).await;
    assert_eq!(watching.answer::<LeaderRecord>(seq).await, leads(&next, owner, 7, "three"));
    watching.stop(seq).await;
    watching.client.assert_open_and_silent("after stop").await;
}

#[tokio::test]
async fn a_backup_comes_in_pieces_and_goes_back_in_pieces() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    for name in ["a", "b", "c"] {
        member.write(put(name, &"x".repeat(1 << 20))).await;
    }
    let seq = member.request(CoordinationRequest::from(wire::RaftBackup {})).await;
    assert_eq!(member.client.header().await, ResponseHeader::ok(seq));
    let mut backup = Vec::new();
    loop {
        let record: wire::BackupRecord = member.answer(seq).await;
        backup.extend_from_slice(record.data.as_bytes());
        if record.last {
            break;
        }
    }
    let mut bytes = Vec::new();
    group.machine().snapshot(&mut bytes);
    assert!(backup == bytes, "{} bytes of {}", backup.len(), bytes.len());
    member.write(wire::KvDelete { key: "a".into() }).await;

    let pieces: Vec<&[u8]> = backup.chunks(1 << 20).collect();
    let mut offset = 0;
    for (number, piece) in pieces.iter().enumerate() {
        let last = number + 1 == pieces.len();
        let piece = wire::RaftRestore { data: Blob::from(*piece), last, offset, other_group: false };
        offset += piece.data.len() as u64;
        let seq = member.request(CoordinationRequest::from(piece)).await;
        let answer: wire::RaftRestored = member.answer(seq).await;
        assert_eq!(answer, wire::RaftRestored { received: offset, revision: if last { 4 } else { 0 } });
    }
    assert_eq!(group.machine().usage().keys, 3);
}

#[tokio::test]
async fn pieces_of_a_restore_have_to_follow_one_another_and_only_one_client_restores() {
    let (server, _group) = Server::with_group().await;
    let (mut member, mut other) = (server.member().await, server.member().await);
    let piece = |offset, last| {
        let data = Blob::from(&b"no backup"[..]);
        CoordinationRequest::from(wire::RaftRestore { data, last, offset, other_group: false })
    };
    let seq = member.request(piece(9, false)).await;
    member.refused(seq, Code::InvalidRequest).await;
    let seq = member.request(piece(0, false)).await;
    member.answer::<wire::RaftRestored>(seq).await;
    let seq = member.request(piece(5, false)).await;
    member.refused(seq, Code::InvalidRequest).await;
    let seq = other.request(piece(0, false)).await;
    other.refused(seq, Code::Overloaded).await;
    let seq = member.request(piece(9, true)).await;
    member.refused(seq, Code::NotPossible).await;
    let seq = other.request(piece(0, true)).await;
    other.refused(seq, Code::NotPossible).await;
}

#[tokio::test]
async fn a_stream_that_is_being_opened_holds_up_nobody_and_can_be_stopped() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    group.set_open(false);
    for request in [
        CoordinationRequest::from(wire::RaftBackup {}),
        CoordinationRequest::from(wire::Watch::default()),
        CoordinationRequest::from(wire::ElectionObserve { name: "e".into() }),
    ] {
        let seq = member.request(request).await;
        let asked = member.request(folkmoot_proto::AgentRequest::Members).await;
        member.answer::<folkmoot_proto::MembersResponse>(asked).await;
        let stop = member.request(folkmoot_proto::AgentRequest::Stop(folkmoot_proto::StopRequest { stop: seq })).await;
        let answered = [member.client.header().await, member.client.header().await];
        let refused = answered.iter().find(|header| header.seq == seq).unwrap();
        assert!(refused.error.to_string_lossy().starts_with("cancelled: "), "{refused:?}");
        assert!(answered.contains(&ResponseHeader::ok(stop)), "{answered:?}");
    }
    group.set_open(true);
}

#[tokio::test]
async fn one_backup_is_made_at_a_time() {
    let (server, group) = Server::with_group().await;
    let (mut first, mut second) = (server.member().await, server.member().await);
    group.set_open(false);
    let seq = first.request(CoordinationRequest::from(wire::RaftBackup {})).await;
    let asked = first.request(folkmoot_proto::AgentRequest::Members).await;
    first.answer::<folkmoot_proto::MembersResponse>(asked).await;
    let refused = second.request(CoordinationRequest::from(wire::RaftBackup {})).await;
    second.refused(refused, Code::Overloaded).await;
    group.set_open(true);
    assert_eq!(first.client.header().await, ResponseHeader::ok(seq));
    while !first.answer::<wire::BackupRecord>(seq).await.last {}
    // The place is free when all was sent, which is a moment after the last record came.
    loop {
        let seq = second.request(CoordinationRequest::from(wire::RaftBackup {})).await;
        let header = second.client.header().await;
        assert_eq!(header.seq, seq);
        if header.error.is_empty() {
            break;
        }
        assert!(header.error.to_string_lossy().starts_with("overloaded: "), "{header:?}");
    }
}

#[tokio::test]
async fn members_are_asked_for_and_changed() {
    let (server, group) = Server::with_group().await;
    let mut member = server.member().await;
    let seq = member.request(CoordinationRequest::from(wire::RaftStatus {})).await;
    let state: wire::RaftState = member.answer(seq).await;
    assert_eq!((state.role, state.revision), (wire::RaftRole::Leader, 1));
    let clients = state.usage.iter().find(|usage| usage.name == "clients").unwrap();
    assert_eq!((clients.used, clients.limit), (1, 65_536));
    let name = || Text::from("beta");
    let changes: [CoordinationRequest; 5] = [
        wire::RaftAdd { member: name() }.into(),
        wire::RaftPromote { member: name() }.into(),
        wire::RaftDemote { member: name() }.into(),
        wire::RaftTransfer { member: name() }.into(),
        wire::RaftTransfer::default().into(),
    ];
    for change in changes {
        let seq = member.request(change).await;
        assert_eq!(member.answer::<wire::Done>(seq).await, wire::Done {});
    }
    let seq = member.request(CoordinationRequest::from(wire::RaftRemove { member: name() })).await;
    member.refused(seq, Code::NotPossible).await;
    let seq = member.request(CoordinationRequest::from(wire::RaftRemove::default())).await;
    member.refused(seq, Code::InvalidRequest).await;
    let asked = [
        "Add(\"beta\")",
        "Promote(\"beta\")",
        "Demote(\"beta\")",
        "Transfer(Some(\"beta\"))",
        "Transfer(None)",
        "Remove(\"beta\")",
    ];
    assert_eq!(group.asked(), asked);
}

#[tokio::test]
async fn a_lock_is_watched_from_grant_to_release() {
    let (server, _group) = Server::with_group().await;
    let mut member = server.member().await;
    let held = member.write(lock("l", 0)).await;
    member.write(release("l", held.hold)).await;
    let watch = wire::Watch { after: Some(1), prefix: "l".into(), scope: wire::Scope::Lock };
    let seq = member.request(CoordinationRequest::from(watch)).await;
    assert_eq!(member.client.header().await, ResponseHeader::ok(seq));
    let record: WatchRecord = member.answer(seq).await;
    let told: Vec<_> = record.changes.iter().map(|change| (change.what, change.hold, change.token)).collect();
    assert_eq!(told, [(What::Granted, held.hold, held.token), (What::Released, held.hold, held.token)]);
    assert_eq!(record.changes[1].cause, wire::Cause::Removed);
}
