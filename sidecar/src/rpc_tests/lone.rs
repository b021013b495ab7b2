//! A group of one without a disk: the state machine itself, behind the interface that the group has.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};

use folkmoot_consensus::{NodeId, Quorum, Role, Status};
use folkmoot_coordination::{
    Command, Entry, LogIndex, Machine, Query, Refusal, Reply, Revision, TimeMs, WallMs, watch as changes,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::rpc::coordination::{Answering, Changes, Coordinator, Failure, Freshness, MemberChange, Noticed, Seen};
use folkmoot_proto::coordination::Code;

/// The group. Cheap to clone.
#[derive(Clone)]
pub struct Lone(std::sync::Arc<Inner>);

struct Inner {
    machine: Mutex<Machine>,
    since: Instant,
    /// Counts entries that changed something.
    changed: watch::Sender<u64>,
    /// Nothing is answered while it is closed.
    open: watch::Sender<bool>,
    /// What was asked of the members, in words.
    pub asked: Mutex<Vec<String>>,
}

impl Lone {
    pub fn new() -> Self {
        Self(std::sync::Arc::new(Inner {
            machine: Mutex::new(Machine::new()),
            since: Instant::now(),
            changed: watch::Sender::new(0),
            open: watch::Sender::new(true),
            asked: Mutex::default(),
        }))
    }

    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().unwrap()
    }

    pub fn set_open(&self, open: bool) {
        self.0.open.send_replace(open);
    }

    pub fn asked(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().clone()
    }

    pub fn apply(&self, command: &Command) -> Reply {
        let mut machine = self.machine();
        let time = TimeMs(self.0.since.elapsed().as_millis().try_into().unwrap());
        let entry = Entry { time, wall: WallMs(1_000), command: command.clone() };
        let mut happened = Vec::new();
        let index = LogIndex(machine.applied().0 + 1);
        let reply = machine.apply(index, &entry, &mut happened);
        if !happened.is_empty() {
            self.0.changed.send_modify(|count| *count += 1);
        }
        reply
    }

    /// Waits until the machine is so.
    pub async fn until(&self, so: impl Fn(&Machine) -> bool) {
        let deadline = Instant::now() + super::PATIENCE;
        while !so(&self.machine()) {
            assert!(Instant::now() < deadline, "it never came to that");
            tokio::task::yield_now().await;
        }
    }

    async fn opened(&self) {
        self.0.open.subscribe().wait_for(|open| *open).await.unwrap();
    }

    /// Until something changes, or time itself changes something.
    async fn pass(&self, changed: &mut watch::Receiver<u64>) {
        let due = self.machine().next_expiry().map(|due| self.0.since + std::time::Duration::from_millis(due.0));
        let Some(due) = due else { return drop(changed.changed().await) };
        if tokio::time::timeout_at(due, changed.changed()).await.is_err() {
            self.apply(&Command::Tick);
        }
    }

    fn seen(&self, freshness: Freshness) -> Seen {
        let age_ms = (freshness == Freshness::Stale).then_some(3);
        Seen { revision: self.machine().revision(), age_ms }
    }
}

impl Coordinator for Lone {
    fn call(&self, command: Command, deadline: Instant) -> Answering<Reply> {
        let group = self.clone();
        Box::pin(async move {
            group.opened().await;
            let mut changed = group.0.changed.subscribe();
            let follow = async {
                loop {
                    let reply = group.apply(&command);
                    if !matches!(reply, Reply::Waiting { .. }) {
                        return Ok(reply);
                    }
                    group.pass(&mut changed).await;
                }
            };
            let late = Err(Failure::new(Code::Timeout, "no answer in time"));
            tokio::time::timeout_at(deadline, follow).await.unwrap_or(late)
        })
    }

    fn call_once(&self, command: Command, _deadline: Instant) -> Answering<Reply> {
        let group = self.clone();
        Box::pin(async move {
            group.opened().await;
            Ok(group.apply(&command))
        })
    }

    fn query(&self, query: Query, freshness: Freshness, _deadline: Instant) -> Answering<(Reply, Seen)> {
        let group = self.clone();
        Box::pin(async move {
            group.opened().await;
            let reply = group.machine().read(&query);
            Ok((reply, group.seen(freshness)))
        })
    }

    fn watch(&self, query: changes::Query, _deadline: Instant) -> Answering<Box<dyn Changes>> {
        let watcher = Watcher { changed: self.0.changed.subscribe(), group: self.clone(), query };
        Box::pin(async move { Ok(Box::new(watcher) as Box<dyn Changes>) })
    }

    fn status(&self, _deadline: Instant) -> Answering<Status> {
        let status = status(&self.machine());
        Box::pin(async move { Ok(status) })
    }

    fn leader_status(&self, deadline: Instant) -> Answering<Status> {
        self.status(deadline)
    }

    fn change(&self, change: MemberChange, _deadline: Instant) -> Answering<()> {
        self.0.asked.lock().unwrap().push(format!("{change:?}"));
        let result = match change {
            MemberChange::Remove(_) => Err(Failure::new(Code::NotPossible, "the group could not decide any more")),
            MemberChange::Add(_) | MemberChange::Promote(_) | MemberChange::Demote(_) | MemberChange::Transfer(_) => {
                Ok(())
            }
        };
        Box::pin(async move { result })
    }

    fn backup(&self, _deadline: Instant) -> Answering<bytes::Bytes> {
        let group = self.clone();
        Box::pin(async move {
            group.opened().await;
            let mut bytes = Vec::new();
            group.machine().snapshot(&mut bytes);
            Ok(bytes.into())
        })
    }

    fn restore(&self, backup: bytes::Bytes, _other_group: bool, _deadline: Instant) -> Answering<Revision> {
        let not_possible =
            |error: folkmoot_coordination::RestoreError| Failure::new(Code::NotPossible, error.to_string());
        let restored = Machine::restore(&backup).map_err(not_possible);
        let revision = restored.map(|machine| {
            let revision = machine.revision();
            *self.machine() = machine;
            revision
        });
        Box::pin(async move { revision })
    }
}

struct Watcher {
    group: Lone,
    query: changes::Query,
    changed: watch::Receiver<u64>,
}

impl Changes for Watcher {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Noticed>> + Send + '_>> {
        Box::pin(async move {
            loop {
                let reply = self.group.machine().read(&Query::Watch(self.query.clone()));
                if let Reply::Refused(Refusal::Compacted(revision)) = reply {
                    return Some(Noticed::Compacted(revision));
                }
                let Reply::Changes(page) = reply else { panic!("{reply:?}") };
                if !page.events.is_empty() {
                    self.query.after = page.through;
                    return Some(Noticed::Page(page));
                }
                self.group.pass(&mut self.changed).await;
            }
        })
    }
}

fn status(machine: &Machine) -> Status {
    Status {
        id: NodeId(7),
        cluster: None,
        role: Role::Leader,
        term: 1,
        leader: None,
        voters: Vec::new(),
        learners: Vec::new(),
        changing: false,
        progress: Vec::new(),
        last_log: machine.applied(),
        committed: machine.applied(),
        applied: machine.applied(),
        snapshot: LogIndex(0),
        purged: LogIndex(0),
        time: machine.time(),
        wall: machine.wall(),
        revision: machine.revision(),
        compacted: machine.compacted(),
        usage: machine.usage(),
        quorum: Quorum::Ok,
        syncs: 0,
        appended: 0,
        appended_bytes: 0,
        timing: folkmoot_consensus::Timing::FLOOR,
        round_trip: None,
        refused: folkmoot_consensus::Refusals::default(),
        stopped: None,
    }
}
