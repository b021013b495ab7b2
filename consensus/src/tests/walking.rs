//! Three members in one process, on tokio, with real files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use folkmoot_coordination::watch::Query as WatchQuery;
use folkmoot_coordination::{
    Command, Key, Operation, Patience, Query, Reply, Request, RequestId, Revision, Ticket, Ttl, Value, kv, lock,
};

use super::net::Net;
use crate::types::Tokio;
use crate::{ClusterId, Group, NodeId, Peer, ProposeError, Quorum, Record, Role, Settings, Timing};

/// A data directory that goes with the test.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn fresh() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("folkmoot-consensus-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

struct Three {
    net: Arc<Net<Tokio>>,
    directories: Vec<Directory>,
    groups: Vec<Option<Group>>,
}

fn peer(number: u64) -> Peer {
    let address = format!("127.0.31.{number}:4321").parse().unwrap();
    Peer { id: NodeId(number), name: format!("n{number}"), address }
}

const CLUSTER: ClusterId = ClusterId(77);

impl Three {
    async fn start() -> Self {
        let directories = (0..3).map(|_| Directory::fresh()).collect();
        let mut three = Self { net: Net::new(), directories, groups: vec![None, None, None] };
        for number in 1..=3 {
            three.open(number).await;
        }
        three.group(2).join(CLUSTER).await.unwrap();
        three.group(3).join(CLUSTER).await.unwrap();
        three.group(1).found(CLUSTER, (1..=3).map(peer).collect()).await.unwrap();
        three
    }

    async fn open(&mut self, number: u64) {
        let place = usize::try_from(number).unwrap() - 1;
        let mut settings = Settings::new(peer(number), self.directories[place].0.clone());
        // Debug builds on busy machines are slow.
        settings.timing = Timing::for_round_trip(Duration::from_millis(30));
        let way = self.net.from(NodeId(number));
        let group = Group::open_on(settings, None, |_| way).await.unwrap();
        self.net.plug(NodeId(number), group.member());
        self.groups[place] = Some(group);
    }

    async fn stop(&mut self, number: u64) {
        let group = self.groups[usize::try_from(number).unwrap() - 1].take().unwrap();
        group.shutdown().await;
        self.net.unplug(NodeId(number));
    }

    fn group(&self, number: u64) -> Group {
        self.groups[usize::try_from(number).unwrap() - 1].clone().unwrap()
    }

    fn running(&self) -> Vec<Group> {
        self.groups.iter().flatten().cloned().collect()
    }

    /// Proposes where the leader is, again until it is accepted.
    async fn propose(&self, command: Command) -> Reply {
        within(async {
            loop {
                for group in self.running() {
                    match group.propose(command.clone()).await {
                        Ok(reply) => return reply,
                        Err(ProposeError::Stopped(reason)) => panic!("{reason}"),
                        Err(
                            ProposeError::NotLeader { .. }
                            | ProposeError::NoQuorum { .. }
                            | ProposeError::Unknown
                            | ProposeError::Busy,
                        ) => {}
                    }
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    async fn leader(&self) -> u64 {
        within(async {
            loop {
                for group in self.running() {
                    let status = group.status();
                    if status.role == Role::Leader && status.quorum == Quorum::Ok {
                        return status.id.0;
                    }
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    async fn client(&self, number: u64) -> folkmoot_coordination::ClientId {
        let client = folkmoot_coordination::ClientId(number);
        let command = Command::RegisterClient { client, ttl: Ttl::try_from(600_000).unwrap() };
        let Reply::Registered(client) = self.propose(command).await else { panic!("not registered") };
        client
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("within half a minute")
}

fn request(client: folkmoot_coordination::ClientId, number: u64, operation: Operation) -> Command {
    Command::Client(Request {
        client,
        request: RequestId(number),
        acknowledged: folkmoot_coordination::Acknowledged::default(),
        operation,
    })
}

fn put(key: &str, value: &str) -> Operation {
    let (key, value) = (Key::try_from(key).unwrap(), Value::try_from(value).unwrap());
    Operation::Kv(kv::Command::Put(kv::Put { key, value, life: kv::Life::Unlimited }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_agree_watch_and_come_back() {
    let mut three = Three::start().await;
    let client = three.client(1).await;
    let mut watch = three.group(2).watch(WatchQuery { scope: None, prefix: "k".into(), after: Revision(0) });
    for number in 0..20 {
        three.propose(request(client, number, put(&format!("k{number}"), "v"))).await;
    }
    let mut seen = 0;
    within(async {
        while seen < 20 {
            match watch.next().await.unwrap() {
                Record::Page(page) => seen += page.events.len(),
                Record::Compacted(revision) => panic!("compacted up to {revision:?}"),
            }
        }
    })
    .await;

    let leader = three.leader().await;
    three.stop(leader).await;
    three.propose(request(client, 20, put("k20", "v"))).await;
    three.open(leader).await;
    // Whoever leads now, it knows the last write.
    let want = within(async {
        loop {
            let group = three.group(three.leader().await);
            let query = Query::Kv(kv::Query::Get(Key::try_from("k20").unwrap()));
            match group.read(query).await {
                Ok(Reply::Kv(_)) => return group.status().revision,
                Ok(other) => panic!("not a key: {other:?}"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    // The one that was stopped has everything it had, and then the rest.
    within(async {
        let mut status = three.group(leader).status_changes();
        status.wait_for(|status| status.revision >= want).await.unwrap();
    })
    .await;
    for group in three.running() {
        group.shutdown().await;
    }
}

/// A call that waits in a line is told when its turn comes, wherever it was registered; and everything ends with its member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_calls_are_answered_and_watches_end_with_their_member() {
    let mut three = Three::start().await;
    let (one, two) = (three.client(1).await, three.client(2).await);
    let name = Key::try_from("door").unwrap();
    let acquire = |patience| {
        let mode = lock::Mode::Lock;
        let acquire = lock::Acquire { name: name.clone(), mode, session: None, ttl: None, patience };
        Operation::Lock(lock::Command::Acquire(acquire))
    };
    let Reply::Held { hold, .. } = three.propose(request(one, 1, acquire(Patience::None))).await else {
        panic!("not held")
    };
    let ticket = Ticket { client: two, request: RequestId(1) };
    let answers: Vec<_> = three.running().iter().map(|group| group.answered(ticket)).collect();
    let reply = three.propose(request(two, 1, acquire(Patience::Unlimited))).await;
    assert!(matches!(reply, Reply::Waiting { .. }), "{reply:?}");
    let target = lock::Target::Lock(name.clone());
    let release = Operation::Lock(lock::Command::Release { target, hold });
    three.propose(request(one, 2, release)).await;
    for answer in answers {
        assert!(matches!(within(answer).await, Some(Reply::Held { .. })));
    }
    // Sent again, the call is answered with the same.
    let again = three.propose(request(two, 1, acquire(Patience::Unlimited))).await;
    assert!(matches!(again, Reply::Held { .. }), "{again:?}");

    let leader = three.leader().await;
    let group = three.group(leader);
    let mut watch = group.watch(WatchQuery { scope: None, prefix: "none".into(), after: Revision(0) });
    let waits = group.answered(Ticket { client: two, request: RequestId(9) });
    drop(group);
    three.stop(leader).await;
    assert_eq!(within(waits).await, None);
    within(async { while watch.next().await.is_some() {} }).await;
    for group in three.running() {
        group.shutdown().await;
    }
}
