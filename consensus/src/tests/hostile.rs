//! A member whose messages do not add up: what it says never reaches Raft, and this member goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_coordination::{Command, Reply, Ttl};
use openraft::raft::{TransferLeaderRequest, VoteRequest};
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::net::Net;
use super::walking::Directory;
use crate::calls::{Admin, AdminReply, Failure};
use crate::frames::{self, Frame, Kind};
use crate::hello::{Hello, StreamKind, greet};
use crate::here::Here;
use crate::limits::{FRAME_BYTES_MAX, LONG_REFUSED};
use crate::outbox::{Frames, Moved};
use crate::raft_frames::{Piece, PieceTaken, read, write};
use crate::receive::Receiver;
use crate::replica::Replica;
use crate::serve::Serving;
use crate::types::{ImageMeta, Leader, LogId, Tokio, Vote};
use crate::{ClusterId, FoundingCall, Group, NodeId, Peer, Settings};

const LIAR: NodeId = NodeId(2);
const CLUSTER: ClusterId = ClusterId(78);

/// A group of one, and the streams of somebody who says to be a member.
pub(super) struct Victim {
    pub(super) group: Group,
    receiver: Arc<Receiver<Tokio>>,
    _directory: Directory,
}

/// One of these streams.
pub(super) struct Talk {
    frames: Frames<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Victim {
    pub(super) async fn founded() -> Self {
        let directory = Directory::fresh();
        let me = Peer { id: NodeId(1), name: "n1".to_owned(), address: ([127, 0, 31, 1], 4321).into() };
        let settings = Settings::new(me.clone(), directory.0.clone());
        let net = Net::new();
        let group = Group::open_on(settings, None, |_| net.from(NodeId(1))).await.unwrap();
        group.found(CLUSTER, vec![me]).await.unwrap();
        let receiver = Arc::new(Receiver::new(Arc::clone(group.member())));
        let victim = Self { group, receiver, _directory: directory };
        victim.still_works().await;
        victim
    }

    /// It leads and decides, as a group of one does.
    pub(super) async fn still_works(&self) {
        let working = async {
            loop {
                let register = Command::RegisterClient {
                    client: folkmoot_coordination::ClientId(1),
                    ttl: Ttl::try_from(60_000).unwrap(),
                };
                match self.group.propose(register).await {
                    Ok(Reply::Registered(_)) => return,
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => assert_eq!(self.group.status().stopped, None, "{error}"),
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), working).await.unwrap();
    }

    /// A stream for messages of Raft.
    pub(super) fn talk(&self) -> Talk {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let receiver = Arc::clone(&self.receiver);
        Talk::on(ours, tokio::spawn(async move { receiver.serve(LIAR, theirs).await }))
    }

    /// A stream for calls, to an agent of its own.
    async fn calls(&self) -> Talk {
        self.calls_with(None).await
    }

    /// As above, with a founding machine.
    pub(super) async fn calls_with(&self, founding: Option<mpsc::Sender<FoundingCall>>) -> Talk {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let serving = Serving::new(Some(Arc::new(Here::new(self.group.clone()))));
        if let Some(founding) = founding {
            serving.serve_founding(founding);
        }
        let served = tokio::spawn(async move {
            serving.serve(theirs).await;
            Ok(())
        });
        let hello = Hello { kind: StreamKind::Calls, cluster: Some(CLUSTER), from: None, to: None };
        greet(&mut ours, &hello).await.unwrap();
        Talk::on(ours, served)
    }
}

impl Talk {
    fn on(stream: DuplexStream, served: tokio::task::JoinHandle<std::io::Result<()>>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { frames: Frames::new(reader), writer, served }
    }

    pub(super) async fn say(&mut self, kind: Kind, body: impl FnOnce(&mut Vec<u8>)) {
        let frame = frames::written(kind, 7, body).unwrap();
        self.send(&frame).await;
    }

    pub(super) async fn send(&mut self, frame: &[u8]) {
        self.writer.write_all(frame).await.unwrap();
    }

    pub(super) async fn answer(&mut self) -> Frame {
        let moved = Moved::default();
        tokio::time::timeout(Duration::from_secs(60), self.frames.next(&moved))
            .await
            .unwrap()
            .unwrap()
            .expect("an answer")
    }

    /// How the stream was ended.
    async fn end(self) -> String {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.served).await.unwrap().unwrap();
        ended.expect_err("the stream goes on").to_string()
    }
}

pub(super) fn vote(term: u64, committed: bool) -> Vote {
    Vote { leader_id: Leader { term, node_id: LIAR }, committed }
}

fn entry(term: u64, index: u64) -> LogId {
    LogId { leader_id: Leader { term, node_id: LIAR }, index }
}

#[tokio::test]
async fn numbers_that_raft_cannot_count_on_from_end_the_stream() {
    let victim = Victim::founded().await;
    let endless = Some(entry(3, u64::MAX));
    let ended = format!("the number {}, which no election and no entry reaches", u64::MAX);

    for kind in [Kind::Vote, Kind::PreVote] {
        let mut talk = victim.talk();
        talk.say(kind, |out| write(&VoteRequest::<crate::types::Types<Tokio>>::new(vote(3, false), endless), out))
            .await;
        assert_eq!(talk.end().await, ended);
    }
    let mut talk = victim.talk();
    let transfer = TransferLeaderRequest::<crate::types::Types<Tokio>>::new(vote(3, true), NodeId(1), endless);
    talk.say(Kind::Transfer, |out| write(&transfer, out)).await;
    assert_eq!(talk.end().await, ended);
    victim.still_works().await;
}

/// Sends a snapshot in one piece, as the leader of a later term, and returns why it was refused.
async fn refused(victim: &Victim, meta: ImageMeta, image: Vec<u8>) -> String {
    let mut talk = victim.talk();
    let piece = Piece::new(vote(1000, true), meta, image.len() as u64, 0, Bytes::from(image));
    talk.say(Kind::Snapshot, |out| write(&piece, out)).await;
    let answer = talk.answer().await;
    match read::<PieceTaken>(&answer.body).unwrap() {
        PieceTaken::Refused(reason) => reason,
        other @ (PieceTaken::More | PieceTaken::Installed(_) | PieceTaken::Lost) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_snapshot_that_contradicts_what_is_committed_is_refused() {
    let victim = Victim::founded().await;
    assert!(victim.group.status().committed.0 >= 1);
    let meta = ImageMeta { last_log_id: Some(entry(900, 1)), ..ImageMeta::default() };
    let reason = refused(&victim, meta, Replica::default().image().unwrap()).await;
    assert_eq!(reason, "a snapshot that ends with entry 1, where another entry is committed here");
    victim.still_works().await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_is_refused() {
    let victim = Victim::founded().await;
    let meta = ImageMeta { last_log_id: Some(entry(900, 1_000_000)), ..ImageMeta::default() };
    let mut image = Replica::default().image().unwrap();
    image.truncate(image.len() - 1);
    let reason = refused(&victim, meta, image).await;
    assert!(reason.starts_with("the snapshot is damaged"), "{reason}");
    victim.still_works().await;
}

/// What an answer to an operator's call says.
fn told(frame: &Frame) -> Result<AdminReply, Failure> {
    folkmoot_coordination::codec::decode(&frame.body).unwrap()
}

fn status() -> Vec<u8> {
    let mut body = Vec::new();
    folkmoot_coordination::codec::encode(&Admin::Status, &mut body).unwrap();
    body
}

#[tokio::test]
async fn parts_of_two_long_requests_on_one_stream_hold_nobody_else_up() {
    let victim = Victim::founded().await;
    let mut talk = victim.calls().await;
    let long = Bytes::from(vec![0; FRAME_BYTES_MAX + 1]);
    let (first, second, bystander) = (1, 2, 3);
    let mut taken = frames::pieces(Kind::Admin, first, &long);
    talk.send(&taken.next().unwrap()).await;

    // One of these is answered before it is whole, and the rest of it goes nowhere.
    let mut late = frames::pieces(Kind::Admin, second, &long);
    talk.send(&late.next().unwrap()).await;
    let answer = talk.answer().await;
    assert_eq!((answer.id, told(&answer)), (second, Err(Failure::Busy)));
    for piece in late {
        talk.send(&piece).await;
    }
    talk.send(&frames::written(Kind::Admin, bystander, |out| out.extend(status())).unwrap()).await;
    let answer = talk.answer().await;
    assert!(answer.id == bystander && matches!(told(&answer), Ok(AdminReply::Status(_))), "{:?}", told(&answer));

    for piece in taken {
        talk.send(&piece).await;
    }
    let answer = talk.answer().await;
    assert_eq!(answer.id, first);
    assert!(matches!(told(&answer), Err(Failure::Refused(reason)) if reason.contains("cannot be read")));

    // The number of a refused one is free again.
    talk.send(&frames::written(Kind::Admin, second, |out| out.extend(status())).unwrap()).await;
    assert!(matches!(told(&talk.answer().await), Ok(AdminReply::Status(_))));
}

#[tokio::test]
async fn a_stream_with_parts_of_too_many_long_requests_is_closed() {
    let victim = Victim::founded().await;
    let mut talk = victim.calls().await;
    let part = |id| frames::written(Kind::Part, id, |out| out.push(0)).unwrap();
    for id in 1..=u64::try_from(LONG_REFUSED).unwrap() + 1 {
        talk.send(&part(id)).await;
    }
    for _ in 0..LONG_REFUSED {
        assert_eq!(told(&talk.answer().await), Err(Failure::Busy));
    }
    talk.send(&part(u64::MAX)).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), talk.frames.next(&Moved::default())).await.unwrap();
    assert!(matches!(ended, Ok(None) | Err(_)), "{ended:?}");
}
