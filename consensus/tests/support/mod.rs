//! Groups of a few members over a network that the test can cut, and an agent without a member.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "not every test uses all; a test that cannot go on has failed"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at one reply")]

pub mod net;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use folkmoot_consensus::{Access, ClusterId, Consistency, Group, NodeId, Peer, Quorum, Role, Settings, Timing};
use folkmoot_coordination::collections::{self, CounterCommand};
use folkmoot_coordination::lock::{self, Acquire, Mode};
use folkmoot_coordination::{
    ClientId, Command, Key, Operation, Patience, Query, Reply, Request, RequestId, Ttl, Value, kv,
};
use net::{Medium, Net, Port};
use tokio::time::Instant;

/// How long anything may take before a test has failed. Ours: debug builds on busy machines.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const CLUSTER: ClusterId = ClusterId(77);

/// A data directory that goes with the test.
pub struct Directory(PathBuf);

impl Directory {
    pub fn fresh() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("folkmoot-access-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// One agent with a member.
pub struct Agent {
    pub peer: Peer,
    pub group: Group,
    pub access: Access<Port>,
    directory: Directory,
}

/// Members and their network.
pub struct World {
    pub net: Arc<Net>,
    pub agents: Vec<Agent>,
    test: u8,
}

impl World {
    /// `members` agents that have founded a group, each test in its own addresses: 127.0.32.(10 * test + member).
    pub async fn founded(test: u8, medium: Medium, members: u8) -> Self {
        Self::founded_with(test, medium, members, |_| ()).await
    }

    /// As above, with other settings.
    pub async fn founded_with(test: u8, medium: Medium, members: u8, change: fn(&mut Settings)) -> Self {
        let mut world = Self { net: Net::new(medium), agents: vec![], test };
        for _ in 0..members {
            world.open(change).await;
        }
        for agent in &world.agents[1..] {
            agent.group.join(CLUSTER).await.unwrap();
        }
        let voters = world.peers();
        world.agents[0].group.found(CLUSTER, voters).await.unwrap();
        world
    }

    /// One more agent with a member, in no group.
    pub async fn open(&mut self, change: impl FnOnce(&mut Settings)) -> &Agent {
        let peer = self.peer(u8::try_from(self.agents.len() + 1).unwrap());
        let directory = Directory::fresh();
        let mut settings = Settings::new(peer.clone(), directory.0.clone());
        // Debug builds on busy machines are slow.
        settings.timing = Timing::for_round_trip(Duration::from_millis(30));
        change(&mut settings);
        let port = self.net.port(peer.address);
        let group = Group::open(settings, None, port.clone()).await.unwrap();
        let access = Access::new(port, Some(group.clone()));
        let mut streams = self.net.listen(peer.address).await;
        let serving = access.clone();
        tokio::spawn(async move {
            while let Some(stream) = streams.recv().await {
                let access = serving.clone();
                tokio::spawn(async move { access.serve(stream).await });
            }
        });
        self.agents.push(Agent { peer, group, access, directory });
        self.meet();
        self.agents.last().unwrap()
    }

    pub fn peer(&self, number: u8) -> Peer {
        let id = NodeId(u64::from(number));
        let last = self.test * 10 + number;
        Peer { id, name: format!("n{number}"), address: ([127, 0, 32, last], 4321).into() }
    }

    pub fn peers(&self) -> Vec<Peer> {
        self.agents.iter().map(|agent| agent.peer.clone()).collect()
    }

    /// Everybody knows everybody, as by gossip.
    fn meet(&self) {
        for agent in &self.agents {
            agent.access.set_peers(self.peers());
        }
    }

    /// Access of an agent without a member.
    pub fn outside(&self) -> Access<Port> {
        let access = Access::new(self.net.port(self.peer(9).address), None);
        access.set_peers(self.peers());
        access
    }

    /// The agent whose member leads with a quorum.
    pub async fn leader(&self) -> &Agent {
        self.leader_but(NodeId(0)).await
    }

    pub async fn leader_but(&self, not: NodeId) -> &Agent {
        eventually(|| {
            self.agents.iter().find(|agent| {
                let status = agent.group.status();
                status.id != not && status.role == Role::Leader && status.quorum == Quorum::Ok
            })
        })
        .await
    }

    /// Cuts the leader off, as if its process was killed.
    pub async fn kill_leader(&self) -> &Agent {
        let leader = self.leader().await;
        self.net.isolate(leader.peer.address);
        leader
    }
}

/// Waits until there is something.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        // A condition is looked at again; nothing is slept for.
        tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await.ok();
    }
}

pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

/// A client of the group: numbers its requests, and acknowledges those that are answered if they are made in turn.
pub struct Client {
    pub access: Access<Port>,
    pub id: ClientId,
    last: AtomicU64,
}

impl Client {
    pub async fn register(access: Access<Port>) -> Self {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let client = ClientId(DRAWN.fetch_add(1, Ordering::Relaxed) + 1);
        let register = Command::RegisterClient { client, ttl: Ttl::try_from(600_000).unwrap() };
        match access.call(register, soon()).await {
            Ok(Reply::Registered(id)) => Self { access, id, last: AtomicU64::new(0) },
            other => panic!("{other:?}"),
        }
    }

    pub fn command(&self, operation: Operation) -> Command {
        let request = RequestId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        Command::Client(Request {
            client: self.id,
            request,
            acknowledged: folkmoot_coordination::Acknowledged::default(),
            operation,
        })
    }

    pub async fn call(&self, operation: Operation) -> Reply {
        self.access.call(self.command(operation), soon()).await.unwrap()
    }

    pub async fn put(&self, name: &str, value: &str) {
        let put = kv::Put { key: key(name), value: Value::try_from(value).unwrap(), life: kv::Life::Unlimited };
        match self.call(Operation::Kv(kv::Command::Put(put))).await {
            Reply::Kv(kv::Reply::Written(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub fn increment(name: &str) -> Operation {
    Operation::Counter(key(name), CounterCommand::Add(1))
}

pub fn acquire(name: &str, patience: Patience) -> Operation {
    let acquire = Acquire { name: key(name), mode: Mode::Lock, session: None, ttl: None, patience };
    Operation::Lock(lock::Command::Acquire(acquire))
}

pub fn get(name: &str) -> Query {
    Query::Kv(kv::Query::Get(key(name)))
}

pub fn value(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::Kv(kv::Reply::Found(found)) => found.as_ref().map(|entry| entry.value.as_bytes()),
        other => panic!("{other:?}"),
    }
}

pub async fn count(access: &Access<Port>, name: &str) -> i64 {
    let counter = Query::Collection(collections::Query::Counter(key(name)));
    match access.query(counter, Consistency::Linearizable, soon()).await {
        Ok((Reply::Collection(collections::Reply::Count(count)), _)) => count,
        other => panic!("{other:?}"),
    }
}
