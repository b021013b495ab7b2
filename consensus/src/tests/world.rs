//! A whole group under the simulated runtime: one seed decides everything that happens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use folkmoot_coordination::{
    Acknowledged, ClientId, Command, Key, Operation, Query, Reply, Request, RequestId, Ttl, Value, collections, kv,
};
use openraft::{AsyncRuntime, Instant};
use openraft_rt_sim::{SimInstant, SimRuntime};

use super::cables::Cables;
use super::disk::{Chance, FaultDisk};
use super::net::Net;
use crate::error::ProposeError;
use crate::member::Member;
use crate::status::Status;
use crate::writer::Threads;
use crate::{ClusterId, NodeId, OpenError, Peer, Quorum, Role, Settings, Timing};

pub(crate) type Sim = SimRuntime;

pub(crate) const CLUSTER: ClusterId = ClusterId(77);

pub(crate) fn peer(number: u64) -> Peer {
    let address = format!("127.0.31.{number}:4321").parse().unwrap();
    Peer { id: NodeId(number), name: format!("n{number}"), address }
}

pub(crate) fn settings(number: u64) -> Settings {
    // Virtual time does not depend on how fast this program is.
    Settings { timing: Timing::FLOOR, ..Settings::new(peer(number), "nowhere".into()) }
}

/// Members 1 to n, with their disks and the network between them.
pub(crate) struct World {
    pub(crate) net: Arc<Net<Sim>>,
    /// The real network code, if it is to be under the members.
    pub(crate) cables: Option<Arc<Cables>>,
    pub(crate) disks: Vec<FaultDisk>,
    pub(crate) members: Vec<Option<Arc<Member<Sim>>>>,
    pub(crate) chance: Chance,
    /// How many clients were registered.
    clients: AtomicU64,
    /// Changes the settings of members that start.
    pub(crate) adjust: fn(&mut Settings),
}

/// A world of members that do not run yet.
pub(crate) fn empty(seed: u64, size: usize) -> World {
    let net = Net::new();
    net.delay(Duration::from_micros(300));
    let disks = (0..size).map(|_| FaultDisk::default()).collect();
    let members = (0..size).map(|_| None).collect();
    World { net, cables: None, disks, members, chance: Chance(seed), clients: AtomicU64::new(0), adjust: |_| {} }
}

/// Runs `work` in a world of its own.
pub(crate) fn simulate<T>(seed: u64, work: impl AsyncFnOnce(World) -> T, size: usize) -> T {
    SimRuntime::with_seed(seed).block_on(async { work(empty(seed, size)).await })
}

pub(crate) fn now() -> SimInstant {
    SimInstant::now()
}

pub(crate) async fn sleep(millis: u64) {
    Sim::sleep(Duration::from_millis(millis)).await;
}

impl World {
    fn place(number: u64) -> usize {
        usize::try_from(number).unwrap() - 1
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        (1..=self.disks.len() as u64).collect()
    }

    pub(crate) fn disk(&self, number: u64) -> &FaultDisk {
        &self.disks[Self::place(number)]
    }

    pub(crate) async fn try_open(&mut self, number: u64) -> Result<(), OpenError> {
        let way = self.net.from(NodeId(number));
        let mut settings = settings(number);
        (self.adjust)(&mut settings);
        let (disk, threads) = (self.disk(number), Threads::Simulated);
        let member = match &self.cables {
            Some(cables) => Member::open(settings, None, disk, threads, |identity| cables.network(&identity)).await?,
            None => Member::open(settings, None, disk, threads, |_| way).await?,
        };
        self.cables.iter().for_each(|cables| cables.plug(&member.identity));
        self.net.plug(NodeId(number), &member);
        self.members[Self::place(number)] = Some(member);
        Ok(())
    }

    pub(crate) async fn open(&mut self, number: u64) {
        self.try_open(number).await.unwrap();
    }

    /// Puts the real network code under the members, none of which may run yet.
    pub(crate) fn lay_cables(&mut self) {
        self.cables = Some(Cables::new(Arc::clone(&self.net)));
    }

    /// Starts all, and founds the group with the first `voters` of them.
    pub(crate) async fn found(&mut self, voters: u64) {
        for number in self.numbers() {
            self.open(number).await;
            self.member(number).join(CLUSTER).await.unwrap().unwrap();
        }
        self.member(1).found(CLUSTER, (1..=voters).map(peer).collect()).await.unwrap();
        self.leader().await;
    }

    pub(crate) fn member(&self, number: u64) -> Arc<Member<Sim>> {
        self.members[Self::place(number)].clone().unwrap()
    }

    pub(crate) fn runs(&self, number: u64) -> bool {
        self.members[Self::place(number)].is_some()
    }

    pub(crate) fn status(&self, number: u64) -> Status {
        Status::of(&self.member(number))
    }

    /// Power goes at a member.
    pub(crate) async fn crash(&mut self, number: u64) {
        let mut chance = self.chance.clone();
        self.chance.next();
        self.disk(number).cut_power(&mut chance);
        self.end(number).await;
    }

    /// The process of a member goes.
    pub(crate) async fn kill(&mut self, number: u64) {
        self.disk(number).kill();
        self.cables.iter().for_each(|cables| cables.hang_up(NodeId(number)));
        self.end(number).await;
    }

    async fn end(&mut self, number: u64) {
        self.net.unplug(NodeId(number));
        let member = self.members[Self::place(number)].take().unwrap();
        member.seat.end().await;
        drop(member.raft().shutdown().await);
        member.writer.close().await;
    }

    pub(crate) async fn stop(&mut self, number: u64) {
        let member = self.members[Self::place(number)].take().unwrap();
        member.shutdown().await;
        self.net.unplug(NodeId(number));
        self.cables.iter().for_each(|cables| cables.hang_up(NodeId(number)));
    }

    /// Parts the members: those named, and the others.
    pub(crate) fn part(&self, side: &BTreeSet<u64>) {
        let (one, other): (Vec<u64>, Vec<u64>) = self.numbers().into_iter().partition(|number| side.contains(number));
        let ids = |numbers: Vec<u64>| numbers.into_iter().map(NodeId).collect::<Vec<_>>();
        self.net.part(&ids(one), &ids(other));
    }

    /// The leader that a majority answers, within ten seconds.
    pub(crate) async fn leader(&self) -> u64 {
        let started = now();
        loop {
            for number in self.numbers().into_iter().filter(|number| self.runs(*number)) {
                let status = self.status(number);
                if status.role == Role::Leader && status.quorum == Quorum::Ok {
                    return number;
                }
            }
            assert!(started.elapsed() < Duration::from_secs(10), "no leader");
            sleep(1).await;
        }
    }

    pub(crate) async fn propose(&self, command: Command) -> Reply {
        loop {
            let leader = self.leader().await;
            match self.member(leader).propose(command.clone()).await {
                Ok(reply) => return reply,
                Err(error @ ProposeError::Stopped(_)) => panic!("{error}"),
                Err(_) => sleep(1).await,
            }
        }
    }

    pub(crate) async fn client(&self) -> ClientId {
        self.short_client(3_600_000).await
    }

    /// A client that is forgotten after a while.
    pub(crate) async fn short_client(&self, millis: u64) -> ClientId {
        let client = ClientId(self.clients.fetch_add(1, Ordering::Relaxed) + 1);
        let reply = self.propose(Command::RegisterClient { client, ttl: Ttl::try_from(millis).unwrap() }).await;
        assert_eq!(reply, Reply::Registered(client));
        client
    }

    /// Waits until all running members have applied the same, and says that they are equal byte for byte.
    pub(crate) async fn settle(&self) {
        self.propose(Command::Tick).await;
        let started = now();
        loop {
            let running: Vec<u64> = self.numbers().into_iter().filter(|number| self.runs(*number)).collect();
            let applied: BTreeSet<_> = running.iter().map(|number| self.status(*number).applied).collect();
            if applied.len() == 1 {
                let states: BTreeSet<Vec<u8>> = running.iter().map(|number| self.state(*number)).collect();
                assert_eq!(states.len(), 1, "members differ after the same entries");
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "members do not come to the same: {applied:?}");
            sleep(10).await;
        }
    }

    /// The state of a member as bytes.
    pub(crate) fn state(&self, number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.member(number).state.read().replica.machine.snapshot(&mut bytes);
        bytes
    }
}

pub(crate) fn add(client: ClientId, request: u64) -> Command {
    let operation = Operation::Counter(counter(), collections::CounterCommand::Add(1));
    let (request, acknowledged) = (RequestId(request), Acknowledged::below(RequestId(request)));
    Command::Client(Request { client, request, acknowledged, operation })
}

pub(crate) fn put(client: ClientId, request: u64, value: Bytes) -> Command {
    let (key, value) = (Key::try_from("key").unwrap(), Value::try_from(value).unwrap());
    let operation = Operation::Kv(kv::Command::Put(kv::Put { key, value, life: kv::Life::Unlimited }));
    let (request, acknowledged) = (RequestId(request), Acknowledged::below(RequestId(request)));
    Command::Client(Request { client, request, acknowledged, operation })
}

pub(crate) fn counter() -> Key {
    Key::try_from("counter").unwrap()
}

pub(crate) fn count_query() -> Query {
    Query::Collection(collections::Query::Counter(counter()))
}

pub(crate) fn count(reply: &Reply) -> i64 {
    if let Reply::Refused(_) = reply {
        return 0;
    }
    let Reply::Collection(collections::Reply::Count(count)) = reply else { panic!("{reply:?}") };
    *count
}
