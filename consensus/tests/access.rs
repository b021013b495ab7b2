//! Calls from anywhere reach the leader, whatever happens to it: three members and an agent without one, over memory and
//! over TCP on the loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at one reply")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use folkmoot_consensus::{Access, CallError, Consistency, NodeId, Peer, Quorum, Record};
use folkmoot_coordination::{Command, Operation, Patience, Reply, Revision, Scope, What, lock, watch};
use support::net::{Medium, Net};
use support::{Client, World, acquire, count, eventually, get, increment, soon, value};
use tokio::time::Instant;

async fn calls_are_answered_from_anywhere(test: u8, medium: Medium) {
    let world = World::founded(test, medium, 3).await;
    let mut accesses: Vec<_> = world.agents.iter().map(|agent| agent.access.clone()).collect();
    accesses.push(world.outside());
    for (number, access) in accesses.iter().enumerate() {
        let client = Client::register(access.clone()).await;
        client.put("last", &number.to_string()).await;
        for other in &accesses {
            let (reply, age) = other.query(get("last"), Consistency::Linearizable, soon()).await.unwrap();
            assert_eq!(value(&reply), Some(number.to_string().as_bytes()));
            assert_eq!(age.since_leader, Some(Duration::ZERO));
            assert!(age.revision > Revision(0));
        }
    }
    for access in &accesses {
        // Stale answers come from the nearest member, which gets there.
        let deadline = soon();
        loop {
            let (reply, _) = access.query(get("last"), Consistency::Stale, deadline).await.unwrap();
            if value(&reply) == Some(b"3") {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn calls_are_answered_from_anywhere_over_memory() {
    calls_are_answered_from_anywhere(1, Medium::Memory).await;
}

#[tokio::test]
async fn calls_are_answered_from_anywhere_over_tcp() {
    calls_are_answered_from_anywhere(2, Medium::Tcp).await;
}

/// Cuts off whoever leads, who is made another if it is the survivor.
async fn cut_off_a_leader_but(world: &World, survivor: NodeId) -> NodeId {
    let cutting = async {
        loop {
            let leads = world.leader().await;
            if leads.peer.id != survivor {
                world.net.isolate(leads.peer.address);
                return leads.peer.id;
            }
            // It may have been deposed meanwhile; who leads is asked again anyway.
            drop(leads.group.transfer_leader(None).await);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(support::PATIENCE, cutting).await.unwrap()
}

/// 1,000 numbered increments, some at a time, while the leader is cut off in the middle.
async fn increments_survive_the_leader(test: u8, medium: Medium) {
    let world = World::founded(test, medium, 3).await;
    let leader = world.leader().await.peer.id;
    let survivor = world.agents.iter().find(|agent| agent.peer.id != leader).unwrap();
    let clients =
        [Arc::new(Client::register(world.outside()).await), Arc::new(Client::register(survivor.access.clone()).await)];
    let (done, mut finished) = tokio::sync::mpsc::channel(1000);
    for caller in 0..20 {
        let (client, done) = (clients[caller % 2].clone(), done.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
                let reply = client.access.call(client.command(increment("n")), soon()).await;
                done.send(reply).await.unwrap();
            }
        });
    }
    drop(done);
    let (mut answered, mut cut_off) = (0, None);
    while let Some(reply) = finished.recv().await {
        assert!(reply.is_ok(), "a caller sees {reply:?}");
        answered += 1;
        if answered == 300 {
            cut_off = Some(cut_off_a_leader_but(&world, survivor.peer.id).await);
        }
    }
    assert_eq!(answered, 1000);
    assert_eq!(count(&clients[0].access, "n").await, 1000, "each is applied once");
    let cut_off = cut_off.unwrap();
    assert_ne!(world.leader_but(cut_off).await.peer.id, cut_off);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_survive_the_leader_over_memory() {
    increments_survive_the_leader(3, Medium::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_survive_the_leader_over_tcp() {
    increments_survive_the_leader(4, Medium::Tcp).await;
}

#[tokio::test]
async fn streams_that_break_anywhere_lose_and_double_nothing() {
    let world = World::founded(5, Medium::Memory, 3).await;
    let client = Client::register(world.outside()).await;
    world.net.fragile(world.peer(9).address);
    for _ in 0..200 {
        client.call(increment("n")).await;
    }
    assert_eq!(count(&client.access, "n").await, 200);
}

#[tokio::test]
async fn a_lock_that_is_waited_for_is_granted_after_a_change_of_leaders() {
    let world = World::founded(6, Medium::Memory, 3).await;
    let holder = Client::register(world.outside()).await;
    let Reply::Held { hold, token, .. } = holder.call(acquire("l", Patience::None)).await else { panic!("not held") };
    let waiter = Client::register(world.outside()).await;
    let waiting = waiter.command(acquire("l", Patience::Unlimited));
    let at_once = waiter.access.call_once(waiting.clone(), soon()).await.unwrap();
    assert!(matches!(at_once, Reply::Waiting { .. }), "{at_once:?}");
    let access = waiter.access.clone();
    let granted = tokio::spawn(async move { access.call(waiting, soon()).await });
    let leader = world.kill_leader().await.peer.id;
    world.leader_but(leader).await;
    let target = lock::Target::Lock(support::key("l"));
    let release = Operation::Lock(lock::Command::Release { target, hold });
    assert_eq!(holder.call(release).await, Reply::Done);
    match granted.await.unwrap().unwrap() {
        Reply::Held { token: later, .. } => assert!(later > token),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_watch_goes_on_elsewhere_without_gap_and_without_repetition() {
    let world = World::founded(7, Medium::Memory, 3).await;
    let client = Client::register(world.outside()).await;
    let query = watch::Query { scope: Some(Scope::Key), prefix: "k".into(), after: Revision(0) };
    let mut seen = client.access.watch(query).await.unwrap();
    let writing = async {
        for number in 0..300 {
            if number == 100 {
                world.kill_leader().await;
            }
            client.put(&format!("k{number:03}"), "v").await;
        }
    };
    let watching = async {
        let (mut keys, mut last) = (Vec::new(), Revision(0));
        while keys.len() < 300 {
            let next = tokio::time::timeout(support::PATIENCE, seen.next()).await.unwrap();
            let Some(Record::Page(page)) = next else { panic!("no page") };
            for event in page.events {
                assert!(event.revision > last, "{:?} again", event.key);
                assert!(matches!(event.what, What::Put { .. }));
                last = event.revision;
                keys.push(String::from_utf8(event.key.as_bytes().to_vec()).unwrap());
            }
            assert!(page.through >= last);
        }
        keys
    };
    let ((), keys) = tokio::join!(writing, watching);
    assert_eq!(keys, (0..300).map(|number| format!("k{number:03}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_deadline_that_passes_is_said_to_be_one() {
    let world = World::founded(8, Medium::Memory, 3).await;
    let holder = Client::register(world.outside()).await;
    holder.call(acquire("l", Patience::None)).await;
    for access in [world.outside(), world.leader().await.access.clone()] {
        let waiter = Client::register(access).await;
        let waiting = waiter.command(acquire("l", Patience::Unlimited));
        let deadline = Instant::now() + Duration::from_millis(200);
        assert_eq!(waiter.access.call(waiting, deadline).await, Err(CallError::Deadline));
        assert!(Instant::now() < deadline + support::PATIENCE / 2);
    }
}

#[tokio::test]
async fn without_a_group_in_sight_calls_say_so() {
    let nobody = Access::new(Net::new(Medium::Memory).port(([127, 0, 32, 99], 1).into()), None);
    let tick = || {
        Command::Client(folkmoot_coordination::Request {
            client: folkmoot_coordination::ClientId(1),
            request: folkmoot_coordination::RequestId(1),
            acknowledged: folkmoot_coordination::Acknowledged::default(),
            operation: Operation::KeepAlive,
        })
    };
    assert_eq!(nobody.call(tick(), soon()).await, Err(CallError::NoGroup));
    assert_eq!(nobody.query(get("k"), Consistency::Stale, soon()).await, Err(CallError::NoGroup));
    let everything = watch::Query { scope: None, prefix: "".into(), after: Revision(0) };
    assert_eq!(nobody.watch(everything).await.err(), Some(CallError::NoGroup));

    let mut world = World::founded(9, Medium::Memory, 1).await;
    let alone = world.open(|_| ()).await.access.clone();
    alone.set_peers(vec![]);
    assert_eq!(alone.call(tick(), soon()).await, Err(CallError::NoGroup), "its member is in no group");
}

#[tokio::test]
async fn without_a_quorum_calls_name_who_is_missing_and_stale_reads_go_on() {
    let world = World::founded(10, Medium::Memory, 3).await;
    let client = Client::register(world.outside()).await;
    client.put("k", "v").await;
    let leader = world.leader().await;
    let others: Vec<&Peer> =
        world.agents.iter().map(|agent| &agent.peer).filter(|peer| **peer != leader.peer).collect();
    others.iter().for_each(|peer| world.net.isolate(peer.address));
    eventually(|| matches!(leader.group.status().quorum, Quorum::Lost { .. }).then_some(())).await;
    for access in [client.access.clone(), leader.access.clone()] {
        let error = access.call(client.command(increment("n")), soon()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("no quorum: missing {}, {}", others[0].name, others[1].name));
        let error = access.query(get("k"), Consistency::Linearizable, soon()).await.unwrap_err();
        assert!(matches!(error, CallError::NoQuorum { .. }), "{error}");
        let (reply, _) = access.query(get("k"), Consistency::Stale, soon()).await.unwrap();
        assert_eq!(value(&reply), Some(&b"v"[..]));
    }
}

/// It still believes in the leader that it heard last: nobody is left to elect another one.
#[tokio::test]
async fn a_follower_that_is_left_alone_names_who_is_missing() {
    let world = World::founded(20, Medium::Memory, 3).await;
    let leader = world.leader().await.peer.id;
    let left = world.agents.iter().find(|agent| agent.peer.id != leader).unwrap();
    world.agents.iter().filter(|agent| agent.peer != left.peer).for_each(|agent| world.net.isolate(agent.peer.address));
    let error = left.access.query(get("k"), Consistency::Linearizable, soon()).await.unwrap_err();
    assert!(matches!(&error, CallError::NoQuorum { missing } if missing.len() == 2), "{error}");
}
