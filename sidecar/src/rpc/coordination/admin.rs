//! The group itself: `raft-*`. Who may change it is whoever may use the RPC.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use folkmoot_consensus::{Peer, Quorum, Role, Status};
use folkmoot_coordination::{Usage, limits as machine};
use folkmoot_proto::coordination::{
    BackupRecord, Code, Done, RaftMember, RaftMemberList, RaftPeer, RaftQuorum, RaftRestore, RaftRestored, RaftRole,
    RaftState, RaftUsage,
};
use folkmoot_proto::{Blob, Encode, Text};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Asked;
use super::coordinator::{Coordinator, MemberChange};
use super::streams::{Sender, open};
use super::values::Failure;
use crate::rpc::limits::{BACKUP_PIECE, BACKUP_TIMEOUT, CALL_TIMEOUT, CHANGE_TIMEOUT, RESTORE_BYTES};
use crate::rpc::session::Session;

/// What is asked of the group and answered in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Status,
    Members,
    Change(MemberChange),
}

/// Asks, and answers.
pub(super) async fn ask(
    session: &mut Session,
    asked: &Asked,
    coordinator: Arc<dyn Coordinator>,
    ask: Ask,
) -> Result<(), Failure> {
    let asked = asked.clone();
    let (room, kib) = (Arc::clone(&session.context().calls), asked.kib());
    let now = Instant::now();
    let deadline = now + if matches!(ask, Ask::Change(_)) { CHANGE_TIMEOUT } else { CALL_TIMEOUT };
    let task = async move {
        let body = match ask {
            Ask::Status => coordinator.status(deadline).await.map(|status| encoded(&state(status))),
            Ask::Members => coordinator.leader_status(deadline).await.map(|status| encoded(&members(status))),
            Ask::Change(change) => coordinator.change(change, deadline).await.map(|()| encoded(&Done {})),
        };
        asked.answer(body).await;
    };
    session.calls.run(&room, kib, task).await;
    Ok(())
}

/// A member by name or number.
pub(super) fn member(text: &Text) -> Result<String, Failure> {
    let name = text.as_str().ok_or_else(|| Failure::invalid("the member's name is not UTF-8"))?;
    if name.is_empty() { Err(Failure::invalid("the member's name is empty")) } else { Ok(name.to_owned()) }
}

/// Streams a backup.
pub(super) fn backup(session: &mut Session, seq: u64, coordinator: &Arc<dyn Coordinator>) -> Result<(), Failure> {
    let place = Arc::clone(&session.context().backups).try_acquire_owned();
    let place = place.map_err(|_| Failure::new(Code::Overloaded, "another client is making a backup"))?;
    let made = coordinator.backup(Instant::now() + BACKUP_TIMEOUT);
    let sender = Sender::new(session, seq);
    open(session, seq, async move { Ok(send_pieces(made.await?, sender, place)) })
}

/// The place is free when all is sent, or the stream has ended.
async fn send_pieces(mut backup: Bytes, sender: Sender, _place: OwnedSemaphorePermit) {
    loop {
        let piece = backup.split_to(backup.len().min(BACKUP_PIECE));
        let last = backup.is_empty();
        if !sender.send(&BackupRecord { data: Blob(piece), last }).await || last {
            return;
        }
    }
}

/// A backup that a client is sending.
pub(in crate::rpc) struct Restore {
    received: BytesMut,
    /// One for the whole agent.
    _place: OwnedSemaphorePermit,
}

/// Takes the next piece of a backup; with the last one the group goes on from it.
pub(super) async fn restore(
    session: &mut Session,
    asked: &Asked,
    coordinator: Arc<dyn Coordinator>,
    piece: RaftRestore,
) -> Result<(), Failure> {
    if piece.offset == 0 {
        session.restore = None;
        let place = Arc::clone(&session.context().restores).try_acquire_owned();
        let place = place.map_err(|_| Failure::new(Code::Overloaded, "another client is restoring a backup"))?;
        session.restore = Some(Restore { received: BytesMut::new(), _place: place });
    }
    let Some(restore) = &mut session.restore else {
        return Err(Failure::invalid("a backup begins with Offset 0"));
    };
    let received = restore.received.len();
    if piece.offset != received as u64 {
        return Err(Failure::invalid(format!("Offset {} where {received} bytes have come", piece.offset)));
    }
    if received.saturating_add(piece.data.len()) > RESTORE_BYTES {
        session.restore = None;
        return Err(Failure::new(Code::TooLarge, format!("a backup has at most {RESTORE_BYTES} bytes")));
    }
    restore.received.extend_from_slice(piece.data.as_bytes());
    let received = restore.received.len() as u64;
    if !piece.last {
        asked.answer(Ok(encoded(&RaftRestored { received, revision: 0 }))).await;
        return Ok(());
    }
    let Some(Restore { received: backup, _place: place }) = session.restore.take() else { return Ok(()) };
    let (task_room, kib, asked) = (Arc::clone(&session.context().calls), asked.kib(), asked.clone());
    let task = async move {
        let restored = coordinator.restore(backup.freeze(), piece.other_group, Instant::now() + BACKUP_TIMEOUT).await;
        asked.answer(restored.map(|revision| encoded(&RaftRestored { received, revision: revision.0 }))).await;
        drop(place);
    };
    session.calls.run(&task_room, kib, task).await;
    Ok(())
}

fn encoded(body: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    body.encode(&mut out);
    out
}

/// A member's view of the group.
fn state(status: Status) -> RaftState {
    let (quorum, missing) = match status.quorum {
        Quorum::None => (RaftQuorum::None, Vec::new()),
        Quorum::Ok => (RaftQuorum::Ok, Vec::new()),
        Quorum::Lost { missing } => (RaftQuorum::Lost, missing),
    };
    let peers = |peers: Vec<Peer>| peers.iter().map(peer).collect();
    RaftState {
        appended: status.appended,
        appended_bytes: status.appended_bytes,
        applied: status.applied.0,
        changing: status.changing,
        cluster: status.cluster.map(|cluster| Text::from(cluster.to_string())).unwrap_or_default(),
        committed: status.committed.0,
        compacted: status.compacted.0,
        id: status.id.to_string().into(),
        last_log: status.last_log.0,
        leader: status.leader.as_ref().map(peer),
        learners: peers(status.learners),
        log_time: status.time.0,
        missing: peers(missing),
        purged: status.purged.0,
        quorum,
        revision: status.revision.0,
        role: role(status.role),
        snapshot: status.snapshot.0,
        stopped: status.stopped.unwrap_or_default().into(),
        syncs: status.syncs,
        term: status.term,
        usage: usage(&status.usage),
        voters: peers(status.voters),
        wall: status.wall.0,
    }
}

fn peer(peer: &Peer) -> RaftPeer {
    RaftPeer {
        address: peer.address.to_string().into(),
        id: peer.id.to_string().into(),
        name: peer.name.as_str().into(),
    }
}

fn role(role: Role) -> RaftRole {
    match role {
        Role::Outside => RaftRole::Outside,
        Role::Learner => RaftRole::Learner,
        Role::Follower => RaftRole::Follower,
        Role::Candidate => RaftRole::Candidate,
        Role::Leader => RaftRole::Leader,
        Role::Stopped => RaftRole::Stopped,
    }
}

/// The members as the leader sees them, voters first.
fn members(status: Status) -> RaftMemberList {
    let leader = status.leader.as_ref().map(|leader| leader.id);
    let row = |one: &Peer, voter: bool| {
        let progress = status.progress.iter().find(|progress| progress.id == one.id);
        let answered = progress.and_then(|progress| progress.answered);
        let RaftPeer { address, id, name } = peer(one);
        RaftMember {
            address,
            answered: answered.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            id,
            leader: leader == Some(one.id),
            matching: progress.and_then(|progress| progress.matching).map_or(0, |index| index.0),
            name,
            voter,
        }
    };
    let voters = status.voters.iter().map(|one| row(one, true));
    RaftMemberList { members: voters.chain(status.learners.iter().map(|one| row(one, false))).collect() }
}

/// Every limit of the whole machine, and how much of it is used.
fn usage(usage: &Usage) -> Vec<RaftUsage> {
    let rows = [
        ("barriers", usage.barriers, machine::BARRIERS_MAX),
        ("clients", usage.clients, machine::CLIENTS_MAX),
        ("collections", usage.collections, machine::COLLECTIONS_MAX),
        ("history_bytes", usage.history_bytes, machine::HISTORY_BYTES_MAX),
        ("history_events", usage.history_events, machine::HISTORY_EVENTS_MAX),
        ("keys", usage.keys, machine::KEYS_MAX),
        ("lines", usage.lines, machine::LINES_MAX),
        ("queues", usage.queues, machine::QUEUES_MAX),
        ("reply_bytes", usage.reply_bytes, machine::REPLY_BYTES_MAX),
        ("sessions", usage.sessions, machine::SESSIONS_MAX),
        ("stored_bytes", usage.stored_bytes, machine::STORED_BYTES_MAX),
        ("waits", usage.waits, machine::WAITS_MAX),
        ("work_items", usage.work_items, 0),
        ("work_queues", usage.work_queues, machine::WORK_QUEUES_MAX),
    ];
    let row = |(name, used, limit): (&str, usize, usize)| RaftUsage {
        limit: limit as u64,
        name: name.into(),
        used: used as u64,
    };
    rows.into_iter().map(row).collect()
}
