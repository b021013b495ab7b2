//! What is not a client's call: members, backups, founding, and agents that have no business here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at one reply")]

mod support;

use bytes::Bytes;
use folkmoot_consensus::{
    Access, Admin, AdminReply, CallError, ClusterId, Consistency, FoundingCall, NodeId, OtherGroup, Role,
};
use folkmoot_coordination::{Revision, watch};
use support::net::Medium;
use support::{Client, World, count, eventually, get, increment, soon, value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_member_that_is_taken_in_late_gets_the_snapshot_and_a_vote() {
    let mut world = World::founded_with(11, Medium::Memory, 1, |settings| {
        settings.snapshot_every = 20;
        settings.log_kept = 0;
    })
    .await;
    let client = Client::register(world.outside()).await;
    let long = "x".repeat(100_000);
    for number in 0..40 {
        client.put(&format!("k{number}"), &long).await;
    }
    let founder = world.agents[0].group.clone();
    eventually(|| (founder.status().purged.0 > 0).then_some(())).await;
    let late = world.open(|_| ()).await;
    late.group.join(support::CLUSTER).await.unwrap();
    let (peer, group) = (late.peer.clone(), late.group.clone());
    let done = client.access.admin(Admin::AddLearner(peer.clone())).await;
    assert_eq!(done, Ok(AdminReply::Done));
    eventually(|| (value(&group.read_stale(&get("k39")).0).is_some()).then_some(())).await;
    assert_eq!(group.status().role, Role::Learner);
    assert!(group.status().snapshot.0 > 0, "the log alone does not reach back");
    assert_eq!(client.access.admin(Admin::Promote(peer.id)).await, Ok(AdminReply::Done));
    let Ok(AdminReply::Status(status)) = client.access.admin(Admin::Status).await else { panic!("no status") };
    assert_eq!(status.voters.iter().map(|voter| voter.id).collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
    assert_eq!(client.access.admin(Admin::Demote(peer.id)).await, Ok(AdminReply::Done));
    assert_eq!(client.access.admin(Admin::Remove(peer.id)).await, Ok(AdminReply::Done));
    let only = client.access.admin(Admin::Demote(NodeId(1))).await.unwrap_err();
    assert!(matches!(&only, CallError::Refused(reason) if reason.ends_with("is the only voter")), "{only}");
    let error = client.access.admin(Admin::Remove(NodeId(99))).await.unwrap_err();
    assert!(matches!(&error, CallError::Refused(reason) if reason.contains("0000000000000063")), "{error}");
}

#[tokio::test]
async fn a_backup_longer_than_a_frame_comes_and_goes_through_an_agent_without_a_member() {
    let world = World::founded(12, Medium::Memory, 3).await;
    let client = Client::register(world.outside()).await;
    let long = "x".repeat(1 << 20);
    for number in 0..14 {
        client.put(&format!("k{number}"), &long).await;
    }
    let Ok(AdminReply::Backup(file)) = client.access.admin(Admin::Backup).await else { panic!("no backup") };
    assert!(file.len() > 14 << 20);
    client.put("k0", "later").await;
    let restore = |file: Bytes| Admin::Restore { file, group: OtherGroup::Refused };
    let Ok(AdminReply::Restored(revision)) = client.access.admin(restore(file.clone())).await else {
        panic!("not restored")
    };
    let (reply, age) = client.access.query(get("k0"), Consistency::Linearizable, soon()).await.unwrap();
    assert_eq!(value(&reply).map(<[u8]>::len), Some(1 << 20));
    assert!(age.revision >= revision && revision > Revision(15));

    let mut damaged = file.to_vec();
    damaged[100] ^= 1;
    let error = client.access.admin(restore(damaged.into())).await.unwrap_err();
    assert!(matches!(&error, CallError::Refused(reason) if reason.contains("checksum")), "{error}");
}

#[tokio::test]
async fn an_agent_of_another_group_is_refused_and_told_why() {
    let mut world = World::founded(13, Medium::Memory, 1).await;
    let stranger = world.open(|_| ()).await;
    stranger.group.join(ClusterId(78)).await.unwrap();
    let access = stranger.access.clone();
    let client = folkmoot_coordination::ClientId(1);
    let register = folkmoot_coordination::Command::RegisterClient { client, ttl: 1000.try_into().unwrap() };
    let error = access.call(register, soon()).await.unwrap_err();
    let reason = "is of group 000000000000004e, this member is of group 000000000000004d";
    assert!(matches!(&error, CallError::Refused(text) if text.contains(reason)), "{error}");
}

#[tokio::test]
async fn while_two_groups_are_in_sight_calls_are_refused_with_the_reason_and_people_may_look() {
    let world = World::founded(14, Medium::Memory, 1).await;
    let client = Client::register(world.outside()).await;
    let own = world.agents[0].access.clone();
    let reason = "groups 4d and 4e have met";
    own.refuse(Some(reason.to_owned()));
    for access in [own.clone(), client.access.clone()] {
        let refused = Err(CallError::Refused(reason.to_owned()));
        assert_eq!(access.call(client.command(increment("n")), soon()).await, refused);
        for consistency in [Consistency::Linearizable, Consistency::Stale] {
            assert_eq!(access.query(get("k"), consistency, soon()).await.map(drop), refused.clone().map(drop));
        }
        assert_eq!(access.admin(Admin::Transfer(None)).await.map(drop), refused.map(drop));
        assert!(access.admin(Admin::LeaderStatus).await.is_ok());
    }
    let everything = watch::Query { scope: None, prefix: Bytes::new(), after: Revision(0) };
    assert_eq!(own.watch(everything).await.err(), Some(CallError::Refused(reason.to_owned())));
    own.refuse(None);
    client.call(increment("n")).await;
    assert_eq!(count(&own, "n").await, 1);
}

#[tokio::test]
async fn founding_machines_speak_before_there_is_a_group() {
    let mut world = World::founded(15, Medium::Memory, 1).await;
    world.open(|_| ()).await;
    world.open(|_| ()).await;
    let (asker, asked) = (&world.agents[1], &world.agents[2]);
    let (calls, mut machine) = mpsc::channel::<FoundingCall>(1);
    let nobody = asker.access.found(&asked.peer, Bytes::from("hear me"), soon()).await;
    assert_eq!(nobody, Err(CallError::NoGroup), "it does not listen yet");
    asked.access.serve_founding(calls);
    let answering = async {
        let call = machine.recv().await.unwrap();
        assert_eq!((call.from, &call.request[..]), (asker.peer.id, &b"hear me"[..]));
        call.reply.send(Bytes::from("heard")).unwrap();
    };
    let (answer, ()) = tokio::join!(asker.access.found(&asked.peer, Bytes::from("hear me"), soon()), answering);
    assert_eq!(answer, Ok(Bytes::from("heard")));
    let long = Bytes::from(vec![0; (64 << 10) + 1]);
    assert_eq!(asker.access.found(&asked.peer, long, soon()).await, Err(CallError::TooLarge));
}

/// Bytes as they come from somebody who is no agent, or a broken one.
async fn said_to(access: &Access<support::net::Port>, bytes: &[u8]) -> Vec<u8> {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let serving = access.clone();
    let served = tokio::spawn(async move { serving.serve(theirs).await });
    ours.write_all(bytes).await.unwrap();
    ours.shutdown().await.unwrap();
    let mut answer = Vec::new();
    ours.read_to_end(&mut answer).await.unwrap();
    served.await.unwrap();
    answer
}

#[tokio::test]
async fn hostile_streams_end_and_harm_nobody() {
    let world = World::founded(16, Medium::Memory, 1).await;
    let client = Client::register(world.outside()).await;
    let member = world.agents[0].access.clone();
    // Version 1; a call without a group, from nobody, to anybody.
    let calls = [&b"FMRC\x01\x00\x04"[..], &[1, 0, 0, 0]].concat();
    // Raft of group 77, from member 9.
    let raft = [&b"FMRC\x01\x00\x06"[..], &[0, 1, 77, 1, 9, 0]].concat();
    let welcome = 10;
    for hello in [&calls, &raft] {
        assert_eq!(said_to(&member, hello).await.len(), welcome, "{hello:?} is welcome");
        for nonsense in [
            &[0xff; 64][..],
            &[0, 0, 0, 3, 1, 2, 3],
            &[0, 0, 0, 9, 99, 0, 0, 0, 0, 0, 0, 0, 1],
            // An append, a vote, a piece of a snapshot, an answer: without a body.
            &[0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 9, 4, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 9, 32, 0, 0, 0, 0, 0, 0, 0, 1],
            // Cut off within a frame.
            &[0, 0, 0, 200, 16, 0, 0],
        ] {
            let answer = said_to(&member, &[hello, nonsense].concat()).await;
            assert_eq!(answer.len(), welcome, "{nonsense:?} is not answered");
        }
    }
    // A proposal that cannot be read is answered, and the stream goes on: the ping behind it is answered too.
    let unread = format!("version 99 of the encoding, this program reads {}", folkmoot_coordination::COMMAND_VERSION);
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let serving = member.clone();
    let served = tokio::spawn(async move { serving.serve(theirs).await });
    let proposal = &[0, 0, 0, 11, 16, 0, 0, 0, 0, 0, 0, 0, 7, 0, 99];
    let ping = &[0, 0, 0, 9, 35, 0, 0, 0, 0, 0, 0, 0, 8];
    ours.write_all(&[&calls[..], proposal, ping].concat()).await.unwrap();
    let mut answer = Vec::new();
    let both = |answer: &[u8]| {
        let pong = [0, 0, 0, 9, 36, 0, 0, 0, 0, 0, 0, 0, 8];
        answer.windows(pong.len()).any(|bytes| bytes == pong) && String::from_utf8_lossy(answer).contains(&unread)
    };
    while !both(&answer) {
        assert_ne!(ours.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
    drop(ours);
    served.await.unwrap();
    for hello in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"FMRC\x01\xff\xff", b"FMRC\x09\x00\x00"] {
        assert!(said_to(&member, hello).await.starts_with(b"FMRC"), "it is told why");
    }
    client.call(increment("n")).await;
    assert_eq!(count(&member, "n").await, 1, "nobody is harmed");
}
