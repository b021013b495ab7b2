//! Random requests over a small world, so that they meet: few names, short times, ids taken from replies.

use std::collections::BTreeSet;

use bytes::Bytes;
use folkmoot_coordination::barrier::Command as Barrier;
use folkmoot_coordination::collections::{CounterCommand, ListCommand, Order, SetCommand};
use folkmoot_coordination::election::Command as Election;
use folkmoot_coordination::kv::{Command as Kv, Compare, Life, Operation as KvOperation, Put, Test};
use folkmoot_coordination::lock::{Acquire, Command as Lock, Mode, Target};
use folkmoot_coordination::queue::{Command as Queue, QueueId, QueueKind};
use folkmoot_coordination::session::Command as Session;
use folkmoot_coordination::work_queue::{Claim, Command as Work, Put as PutItem, Target as Node, Worker};
use folkmoot_coordination::{
    HoldId, ItemId, Key, Millis, Operation, Patience, Reply, RequestId, Revision, SessionId, Ttl, Value, session,
    work_queue,
};

/// splitmix64: three lines, the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        if choices.is_empty() { None } else { Some(choices[self.below(choices.len() as u64) as usize].clone()) }
    }
}

/// Why items fail.
pub const REASON: &str = "a reason";

/// Makes requests, and remembers ids from replies to use them again.
pub struct Generator {
    pub random: Random,
    sessions: Vec<SessionId>,
    holds: Vec<HoldId>,
    items: Vec<ItemId>,
    claims: Vec<(ItemId, Revision)>,
    revisions: Vec<Revision>,
}

pub fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

fn remember<T>(list: &mut Vec<T>, one: T) {
    list.push(one);
    if list.len() > 12 {
        list.remove(0);
    }
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        let (sessions, holds, items, claims, revisions) = (vec![], vec![], vec![], vec![], vec![]);
        Self { random: Random(seed), sessions, holds, items, claims, revisions }
    }

    pub fn learn(&mut self, reply: &Reply) {
        match reply {
            Reply::Session(session::Reply::Created(session)) => remember(&mut self.sessions, *session),
            Reply::Held { hold, .. } | Reply::Waiting { hold, .. } | Reply::Entered { hold } => {
                remember(&mut self.holds, *hold);
            }
            Reply::Work(work_queue::Reply::Put { item, .. }) => remember(&mut self.items, *item),
            Reply::Work(work_queue::Reply::Claimed(items)) => {
                items.iter().for_each(|item| remember(&mut self.claims, (item.item, item.token)));
            }
            Reply::Kv(folkmoot_coordination::kv::Reply::Written(revision)) => remember(&mut self.revisions, *revision),
            _ => {}
        }
    }

    pub fn ttl(&mut self, most: u64) -> Ttl {
        Ttl::try_from(1 + self.random.below(most)).unwrap()
    }

    fn name(&mut self) -> Key {
        key(["a", "b", "ab"][self.random.below(3) as usize])
    }

    pub fn node(&mut self) -> Key {
        key(["n1", "n2"][self.random.below(2) as usize])
    }

    /// A session that was there once, or never.
    #[allow(dead_code, reason = "one of the test files that share this one has no use for it")]
    pub fn known_session(&mut self) -> SessionId {
        self.session().unwrap_or(SessionId(1))
    }

    fn value(&mut self) -> Value {
        Value::try_from(["", "x", "y", "zz"][self.random.below(4) as usize]).unwrap()
    }

    fn values(&mut self) -> Vec<Value> {
        (0..self.random.below(4)).map(|_| self.value()).collect()
    }

    fn session(&mut self) -> Option<SessionId> {
        if self.random.chance(50) { self.random.pick(&self.sessions) } else { None }
    }

    fn hold(&mut self) -> HoldId {
        self.random.pick(&self.holds).unwrap_or(HoldId(1))
    }

    fn maybe_ttl(&mut self) -> Option<Ttl> {
        self.random.chance(50).then(|| self.ttl(300))
    }

    fn patience(&mut self) -> Patience {
        match self.random.below(3) {
            0 => Patience::None,
            1 => Patience::Within(Millis(self.random.below(200))),
            _ => Patience::Unlimited,
        }
    }

    pub fn operation(&mut self, request: RequestId) -> Operation {
        match self.random.below(20) {
            0 => Operation::KeepAlive,
            1 => Operation::Cancel { request: RequestId(request.0.saturating_sub(self.random.below(12))) },
            2..=4 => Operation::Kv(self.kv()),
            5 | 6 => Operation::Session(self.session_command()),
            7..=9 => Operation::Lock(self.lock()),
            10 | 11 => Operation::Election(self.election()),
            12 | 13 => Operation::Barrier(self.barrier()),
            14 => Operation::Counter(self.name(), self.counter()),
            15 => Operation::Set(self.name(), self.set()),
            16 => Operation::List(self.name(), self.list()),
            17 => Operation::Queue(self.queue()),
            // Most in one queue, so that items of one command are known to the next.
            _ => Operation::Work(if self.random.chance(85) { key("a") } else { self.name() }, self.work()),
        }
    }

    fn put(&mut self) -> Put {
        let life = match (self.random.below(3), self.session()) {
            (0, _) => Life::Ttl(self.ttl(200)),
            (1, Some(session)) => Life::Session(session),
            _ => Life::Unlimited,
        };
        Put { key: self.name(), value: self.value(), life }
    }

    fn kv(&mut self) -> Kv {
        match self.random.below(6) {
            0 | 1 => Kv::Put(self.put()),
            2 => {
                let expected = if self.random.chance(70) { self.random.pick(&self.revisions) } else { None };
                Kv::CompareAndSet { expected, put: self.put() }
            }
            3 => Kv::Delete { key: self.name() },
            4 => {
                Kv::DeletePrefix { prefix: Bytes::from_static([&b"a"[..], b"ab", b"b"][self.random.below(3) as usize]) }
            }
            _ => Kv::Transaction {
                compares: (0..self.random.below(3)).map(|_| Compare { key: self.name(), test: self.test() }).collect(),
                then: (0..self.random.below(4)).map(|_| self.kv_operation()).collect(),
                otherwise: (0..self.random.below(4)).map(|_| self.kv_operation()).collect(),
            },
        }
    }

    fn test(&mut self) -> Test {
        let revision = self.random.pick(&self.revisions).unwrap_or_default();
        match self.random.below(7) {
            0 => Test::Exists,
            1 => Test::Absent,
            2 => Test::Modified(revision),
            3 => Test::ModifiedAfter(revision),
            4 => Test::Created(revision),
            5 => Test::Version(self.random.below(3)),
            _ => Test::Value(self.value()),
        }
    }

    fn kv_operation(&mut self) -> KvOperation {
        match self.random.below(3) {
            0 => KvOperation::Get(self.name()),
            1 => KvOperation::Put(self.put()),
            _ => KvOperation::Delete(self.name()),
        }
    }

    fn session_command(&mut self) -> Session {
        match (self.random.below(4), self.session()) {
            (0, Some(session)) => Session::Destroy { session },
            (1, Some(session)) => Session::Renew { session },
            _ => {
                let with_node = if self.random.chance(40) { Some(self.node()) } else { None };
                Session::Create { ttl: self.ttl(1000), with_client: self.random.chance(40), with_node }
            }
        }
    }

    fn lock(&mut self) -> Lock {
        let name = self.name();
        let target = match self.random.below(3) {
            0 => Target::Lock(name.clone()),
            1 => Target::Semaphore(name.clone()),
            _ => Target::ReadWrite(name.clone()),
        };
        match self.random.below(5) {
            0 => Lock::Release { target, hold: self.hold() },
            1 => Lock::Renew { target, hold: self.hold(), ttl: self.maybe_ttl() },
            _ => {
                let mode = match self.random.below(5) {
                    0 | 1 => Mode::Lock,
                    2 => {
                        let capacity = if self.random.chance(90) { 3 } else { 2 };
                        Mode::Semaphore { permits: self.random.below(5) as u32, capacity }
                    }
                    3 => Mode::Read,
                    _ => Mode::Write,
                };
                let (session, ttl, patience) = (self.session(), self.maybe_ttl(), self.patience());
                Lock::Acquire(Acquire { name, mode, session, ttl, patience })
            }
        }
    }

    fn election(&mut self) -> Election {
        let (name, hold) = (self.name(), self.hold());
        let value = Bytes::from(self.value());
        match self.random.below(6) {
            0 => Election::Proclaim { name, hold, value },
            1 => Election::Resign { name, hold },
            2 => Election::Renew { name, hold, ttl: self.maybe_ttl() },
            _ => {
                let (session, ttl, patience) = (self.session(), self.maybe_ttl(), self.patience());
                Election::Campaign { name, value, preferred: self.random.chance(30), session, ttl, patience }
            }
        }
    }

    fn barrier(&mut self) -> Barrier {
        let name = self.name();
        match self.random.below(7) {
            0 => Barrier::Raise { name },
            1 => Barrier::Lift { name },
            2 => Barrier::Wait { name, patience: self.patience() },
            3 | 4 => Barrier::Leave { name, hold: self.hold(), patience: self.patience() },
            _ => {
                let count = if self.random.chance(80) { 2 } else { 1 + self.random.below(3) as u32 };
                Barrier::Enter { name, count, session: self.session(), patience: self.patience() }
            }
        }
    }

    fn counter(&mut self) -> CounterCommand {
        let by = [1, -1, 5, i64::MAX, i64::MIN][self.random.below(5) as usize];
        if self.random.chance(10) {
            return CounterCommand::Delete;
        }
        if self.random.chance(20) { CounterCommand::Set(by) } else { CounterCommand::Add(by) }
    }

    fn set(&mut self) -> SetCommand {
        match self.random.below(6) {
            0 => SetCommand::Reset(self.values()),
            1 | 2 => SetCommand::Add(self.values()),
            3 => SetCommand::Remove(self.value()),
            4 => SetCommand::Discard(self.value()),
            _ => SetCommand::Pop,
        }
    }

    fn list(&mut self) -> ListCommand {
        let position = self.random.below(7) as i64 - 3;
        match self.random.below(8) {
            0 => ListCommand::Reset(self.values()),
            1 => ListCommand::Set(position, self.value()),
            2 => ListCommand::Extend(self.values()),
            3 => ListCommand::Insert(position, self.value()),
            4 => ListCommand::Remove(self.value()),
            5 => ListCommand::Pop(Some(position)),
            6 => ListCommand::Pop(None),
            _ => ListCommand::Sort(if self.random.chance(50) { Order::Ascending } else { Order::Descending }),
        }
    }

    fn queue(&mut self) -> Queue {
        let kind = if self.random.chance(50) { QueueKind::Fifo } else { QueueKind::Priority };
        let queue = QueueId { kind, name: self.name() };
        if self.random.chance(50) {
            let (priority, bound) = (self.random.below(3) as i64 - 1, self.random.below(4) as u32);
            Queue::Put { queue, priority, value: self.value(), bound }
        } else {
            Queue::Get { queue, patience: self.patience() }
        }
    }

    fn capabilities(&mut self, percent: u64) -> BTreeSet<Key> {
        ["gpu", "disk"].iter().filter(|_| self.random.chance(percent)).map(|name| key(name)).collect()
    }

    fn put_item(&mut self) -> PutItem {
        let dependency = if self.random.chance(30) { self.random.pick(&self.items) } else { None };
        let target = self.random.chance(25).then(|| Node {
            node: self.node(),
            within: self.random.chance(60).then(|| Millis(self.random.below(100))),
        });
        PutItem {
            payload: self.value(),
            priority: (self.random.below(3) * 50) as u8,
            delay: Millis(if self.random.chance(30) { self.random.below(100) } else { 0 }),
            dedupe: self.random.chance(30).then(|| self.name()),
            depends_on: dependency.into_iter().collect(),
            max_attempts: self.random.below(4) as u32,
            requires: self.capabilities(20),
            target,
            excluded: if self.random.chance(15) { BTreeSet::from([self.node()]) } else { BTreeSet::new() },
        }
    }

    fn work(&mut self) -> Work {
        let item = self.random.pick(&self.items).unwrap_or(ItemId(1));
        let (claimed, token) = self.random.pick(&self.claims).unwrap_or((item, Revision(1)));
        match self.random.below(16) {
            0..=4 => Work::Put(Box::new(self.put_item())),
            5..=8 => Work::Claim(Claim {
                worker: Worker {
                    capabilities: self.capabilities(60),
                    node: if self.random.chance(70) { Some(self.node()) } else { None },
                },
                lease: self.ttl(200),
                most: 1 + self.random.below(3) as u32,
                session: self.session(),
                patience: self.patience(),
            }),
            9 => Work::Heartbeat { item: claimed, token, lease: self.maybe_ttl() },
            10..=11 => Work::Complete { item: claimed, token, result: Bytes::new() },
            12 => {
                let reason = Bytes::from_static(REASON.as_bytes());
                Work::Fail { item: claimed, token, reason, retry_after: Millis(self.random.below(50)) }
            }
            13 => Work::Release { item: claimed, token, delay: Millis(self.random.below(50)) },
            14 if self.random.chance(50) => Work::Cancel { item },
            14 if self.random.chance(50) => Work::Redrive { item: self.random.chance(50).then_some(item) },
            _ if self.random.chance(50) => {
                let soft = 2 + self.random.below(4);
                Work::Configure { soft, hard: soft + 3 }
            }
            _ => Work::Forget,
        }
    }
}
