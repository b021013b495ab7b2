use std::io;

use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::*;
use crate::frames;
use crate::hello::welcome;
use crate::outbox::{Frames, Moved};
use crate::peer::ClusterId;
use crate::types::{Leader, LogEntry, LogId, Tokio, Vote};

const ME: NodeId = NodeId(1);
const LIAR: NodeId = NodeId(2);

/// Streams to one member that answers what it is told to.
struct Liar(mpsc::Sender<DuplexStream>);

impl Transport for Liar {
    type Stream = DuplexStream;

    async fn connect(&self, _to: SocketAddr) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.0.send(theirs).await.map_err(io::Error::other)?;
        Ok(ours)
    }
}

fn identity(id: NodeId) -> Identity {
    let me = Peer { id, name: id.to_string(), address: ([127, 0, 31, 1], 4321).into() };
    Identity::new(me, Some(ClusterId(79)))
}

/// A network whose only other member answers with `script`, one message after the other.
fn network(script: Vec<Vec<u8>>) -> Network<Liar, Tokio> {
    let (streams, mut made) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut script = script.into_iter();
        while let Some(mut stream) = made.recv().await {
            welcome(&mut stream, Some(&identity(LIAR))).await.unwrap();
            let (reader, mut writer) = tokio::io::split(stream);
            let mut frames = Frames::new(reader);
            while let Ok(Some(frame)) = frames.next(&Moved::default()).await {
                let (kind, body) = if frame.kind == Kind::Ping {
                    (Kind::Pong, Vec::new())
                } else {
                    (Kind::Answer, script.next().expect("an answer for each question"))
                };
                let answer = frames::written(kind, frame.id, |out| out.extend(body)).unwrap();
                writer.write_all(&answer).await.unwrap();
            }
        }
    });
    Network::new(Arc::new(Liar(streams)), Arc::new(identity(ME)))
}

fn entry(index: u64) -> LogId {
    LogId { leader_id: Leader { term: 3, node_id: ME }, index }
}

fn vote(term: u64) -> Vote {
    Vote { leader_id: Leader { term, node_id: ME }, committed: true }
}

/// Entries behind `before`, up to `last`.
fn request(before: u64, last: u64) -> AppendEntriesRequest<Types<Tokio>> {
    let entries = (before + 1..=last).map(|index| LogEntry::new_blank(entry(index))).collect();
    AppendEntriesRequest { vote: vote(3), prev_log_id: Some(entry(before)), entries, leader_commit: None }
}

fn said<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let mut out = Vec::new();
    write(message, &mut out);
    out
}

fn option() -> RPCOption {
    RPCOption::new(Duration::from_secs(60))
}

async fn liar(network: &mut Network<Liar, Tokio>) -> Member<Liar, Tokio> {
    network.new_client(LIAR, &identity(LIAR).me).await
}

/// Runs on a clock that goes on when nothing else does.
fn paused(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(work);
}

#[tokio::test]
async fn what_a_member_says_to_have_beyond_what_it_was_sent_is_not_believed() {
    let honest = Appended::Through(Some(entry(9)));
    for lie in [
        Appended::Through(Some(entry(10))),
        Appended::Through(Some(LogId { leader_id: Leader { term: 4, node_id: LIAR }, index: 9 })),
        Appended::Through(Some(entry(8))),
        Appended::Through(None),
        Appended::Conflict(entry(6)),
        Appended::Vote(vote(u64::MAX)),
    ] {
        let mut network = network(vec![said(&lie), said(&honest)]);
        let mut member = liar(&mut network).await;
        let believed = member.append_entries(request(7, 9), option()).await;
        assert!(matches!(believed, Err(RPCError::Unreachable(_))), "{lie:?}: {believed:?}");
        assert!(member.append_entries(request(7, 9), option()).await.unwrap().is_success());
    }
}

/// 9 of the sharp edges: Raft is not told of a log that has gone back.
#[test]
pub(crate) fn a_member_that_lacks_what_it_had_is_not_believed_until_another_term() {
    paused(a_log_goes_back());
}

async fn a_log_goes_back() {
    let script = [Appended::Through(Some(entry(9))), Appended::Conflict(entry(9)), Appended::Conflict(entry(9))];
    let mut network = network(script.iter().map(said).collect());
    let mut member = liar(&mut network).await;
    assert!(member.append_entries(request(7, 9), option()).await.unwrap().is_success());
    let lost = member.append_entries(request(9, 9), option()).await;
    assert!(
        matches!(&lost, Err(RPCError::Unreachable(error)) if error.to_string().contains("lacks entry 9")),
        "{lost:?}"
    );
    let later = AppendEntriesRequest { vote: vote(4), ..request(9, 9) };
    assert!(member.append_entries(later, option()).await.unwrap().is_conflict());
}

/// 6 of the sharp edges: the other side answers only when it has two of them.
#[test]
pub(crate) fn appends_are_sent_while_others_are_under_way() {
    paused(async {
        let (streams, mut made) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut stream = made.recv().await.unwrap();
            welcome(&mut stream, Some(&identity(LIAR))).await.unwrap();
            let (reader, mut writer) = tokio::io::split(stream);
            let mut frames = Frames::new(reader);
            let mut ids = Vec::new();
            while let Ok(Some(frame)) = frames.next(&Moved::default()).await {
                if frame.kind == Kind::Append {
                    ids.push(frame.id);
                }
                if ids.len() == 2 {
                    for (id, through) in ids.drain(..).zip([8, 9]) {
                        let said = said(&Appended::Through(Some(entry(through))));
                        let answer = frames::written(Kind::Answer, id, |out| out.extend(said)).unwrap();
                        writer.write_all(&answer).await.unwrap();
                    }
                }
            }
        });
        let mut network = Network::new(Arc::new(Liar(streams)), Arc::new(identity(ME)));
        let mut member = liar(&mut network).await;
        let requests = stream::iter([request(7, 8), request(8, 9)]);
        let answers: Vec<_> = member.stream_append(requests, option()).await.unwrap().collect().await;
        assert!(matches!(&answers[..], [Ok(Ok(_)), Ok(Ok(_))]), "{answers:?}");
    });
}

#[tokio::test]
async fn votes_with_impossible_numbers_are_not_believed() {
    let answer = |vote, last| VoteResponse::<Types<Tokio>>::new(vote, last, true);
    let script: Vec<Answered<_>> =
        vec![Ok(answer(vote(u64::MAX), None)), Ok(answer(vote(3), Some(entry(u64::MAX)))), Ok(answer(vote(3), None))];
    let mut network = network(script.iter().map(said).collect());
    let mut member = liar(&mut network).await;
    let ask = || VoteRequest::new(Vote { committed: false, ..vote(3) }, None);
    for _ in 0..2 {
        assert!(matches!(member.vote(ask(), option()).await, Err(RPCError::Unreachable(_))));
    }
    assert!(member.pre_vote(ask(), option()).await.is_ok());
}

#[tokio::test]
async fn round_trips_are_measured_by_signs_of_life() {
    let network = network(Vec::new());
    assert!(network.round_trip(&identity(LIAR).me, Duration::from_secs(60)).await.is_some());
}
