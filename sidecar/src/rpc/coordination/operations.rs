//! What a client asks, in the words of the state machine. Pure: nothing here knows a connection.

use folkmoot_coordination::collections::{CounterCommand, ListCommand, Order, SetCommand};
use folkmoot_coordination::{
    HoldId, ItemId, Key, Millis, Operation, RequestId, Revision, SessionId, barrier, election, kv, lock, queue,
    session, work_queue,
};
use folkmoot_proto::coordination::{
    BarrierEnter, BarrierLeave, ElectionCampaign, ElectionProclaim, KvCompare, KvCompareAndSet, KvOperation, KvPut,
    KvTest, KvTransaction, KvVerb, LockAcquire, LockKind, LockRenew, QueueKind, QueuePut, SessionCreate, WorkClaim,
    WorkComplete, WorkFail, WorkHeartbeat, WorkPut, WorkRelease, Write,
};
use folkmoot_proto::{Blob, Text};

use super::values::{
    Failure, key, keys, name, optional_key, optional_session, optional_ttl, patience, prefix, ttl, value, values,
};

/// The operation that a write asks for.
pub(super) fn operation(write: Write) -> Result<Operation, Failure> {
    Ok(match write {
        Write::ClientKeepAlive(_) => Operation::KeepAlive,
        Write::ClientCancel(body) => Operation::Cancel { request: RequestId(body.call) },
        Write::KvPut(body) => Operation::Kv(kv::Command::Put(put(body)?)),
        Write::KvCompareAndSet(body) => Operation::Kv(compare_and_set(body)?),
        Write::KvDelete(body) => Operation::Kv(kv::Command::Delete { key: key(&body.key, "the key")? }),
        Write::KvDeletePrefix(body) => Operation::Kv(kv::Command::DeletePrefix { prefix: prefix(&body.prefix)? }),
        Write::KvTransaction(body) => Operation::Kv(transaction(body)?),
        Write::SessionCreate(body) => Operation::Session(create(&body)?),
        Write::SessionRenew(body) => Operation::Session(session::Command::Renew { session: SessionId(body.session) }),
        Write::SessionDestroy(body) => {
            Operation::Session(session::Command::Destroy { session: SessionId(body.session) })
        }
        Write::LockAcquire(body) => Operation::Lock(acquire(&body)?),
        Write::LockRelease(body) => Operation::Lock(release(body.kind, &body.name, body.hold)?),
        Write::LockRenew(body) => Operation::Lock(renew(&body)?),
        Write::ElectionCampaign(body) => Operation::Election(campaign(body)?),
        Write::ElectionProclaim(body) => Operation::Election(proclaim(body)?),
        Write::ElectionResign(body) => Operation::Election(resign(&body.name, body.hold)?),
        Write::ElectionRenew(body) => Operation::Election(renew_office(&body.name, body.hold, body.ttl)?),
        Write::BarrierRaise(body) => Operation::Barrier(barrier::Command::Raise { name: name(&body.name)? }),
        Write::BarrierLift(body) => Operation::Barrier(barrier::Command::Lift { name: name(&body.name)? }),
        Write::BarrierWait(body) => Operation::Barrier(wait(&body.name, body.wait)?),
        Write::BarrierEnter(body) => Operation::Barrier(enter(&body)?),
        Write::BarrierLeave(body) => Operation::Barrier(leave(&body)?),
        Write::CounterSet(body) => Operation::Counter(name(&body.name)?, CounterCommand::Set(body.value)),
        Write::CounterAdd(body) => Operation::Counter(name(&body.name)?, CounterCommand::Add(body.by)),
        Write::CounterDelete(body) => Operation::Counter(name(&body.name)?, CounterCommand::Delete),
        Write::SetReset(body) => Operation::Set(name(&body.name)?, SetCommand::Reset(values(body.elements)?)),
        Write::SetAdd(body) => Operation::Set(name(&body.name)?, SetCommand::Add(values(body.elements)?)),
        Write::SetRemove(body) => Operation::Set(name(&body.name)?, SetCommand::Remove(value(body.element)?)),
        Write::SetDiscard(body) => Operation::Set(name(&body.name)?, SetCommand::Discard(value(body.element)?)),
        Write::SetPop(body) => Operation::Set(name(&body.name)?, SetCommand::Pop),
        Write::ListReset(body) => Operation::List(name(&body.name)?, ListCommand::Reset(values(body.elements)?)),
        Write::ListSet(body) => list_at(&body.name, body.position, body.element, ListCommand::Set)?,
        Write::ListExtend(body) => Operation::List(name(&body.name)?, ListCommand::Extend(values(body.elements)?)),
        Write::ListInsert(body) => list_at(&body.name, body.position, body.element, ListCommand::Insert)?,
        Write::ListRemove(body) => Operation::List(name(&body.name)?, ListCommand::Remove(value(body.element)?)),
        Write::ListPop(body) => Operation::List(name(&body.name)?, ListCommand::Pop(body.position)),
        Write::ListSort(body) => Operation::List(name(&body.name)?, ListCommand::Sort(order(body.descending))),
        Write::QueuePut(body) => Operation::Queue(queue_put(body)?),
        Write::QueueGet(body) => Operation::Queue(queue_get(body.kind, &body.name, body.wait)?),
        Write::WorkPut(body) => Operation::Work(name(&body.name)?, work_queue::Command::Put(Box::new(item(body)?))),
        Write::WorkClaim(body) => Operation::Work(name(&body.name)?, work_queue::Command::Claim(claim(&body)?)),
        Write::WorkHeartbeat(body) => Operation::Work(name(&body.name)?, heartbeat(&body)?),
        Write::WorkComplete(body) => Operation::Work(name(&body.name)?, complete(body)),
        Write::WorkFail(body) => Operation::Work(name(&body.name)?, fail(body)),
        Write::WorkRelease(body) => Operation::Work(name(&body.name)?, put_back(&body)),
        Write::WorkCancel(body) => {
            Operation::Work(name(&body.name)?, work_queue::Command::Cancel { item: ItemId(body.item) })
        }
        Write::WorkRedrive(body) => Operation::Work(name(&body.name)?, redrive(body.item)),
        Write::WorkConfigure(body) => Operation::Work(name(&body.name)?, configure(body.soft, body.hard)),
        Write::WorkForget(body) => Operation::Work(name(&body.name)?, work_queue::Command::Forget),
    })
}

/// How long the operation may make its caller wait, if it may at all.
pub(super) fn waits(operation: &Operation) -> Option<folkmoot_coordination::Patience> {
    use folkmoot_coordination::Patience;
    let patience = match operation {
        Operation::Lock(lock::Command::Acquire(acquire)) => acquire.patience,
        Operation::Election(election::Command::Campaign { patience, .. }) => *patience,
        Operation::Barrier(
            barrier::Command::Wait { patience, .. }
            | barrier::Command::Enter { patience, .. }
            | barrier::Command::Leave { patience, .. },
        ) => *patience,
        Operation::Queue(queue::Command::Get { patience, .. }) => *patience,
        Operation::Work(_, work_queue::Command::Claim(claim)) => claim.patience,
        Operation::KeepAlive
        | Operation::Cancel { .. }
        | Operation::Kv(_)
        | Operation::Session(_)
        | Operation::Lock(_)
        | Operation::Election(_)
        | Operation::Barrier(_)
        | Operation::Counter(..)
        | Operation::Set(..)
        | Operation::List(..)
        | Operation::Queue(_)
        | Operation::Work(..) => Patience::None,
    };
    (patience != Patience::None).then_some(patience)
}

fn put(body: KvPut) -> Result<kv::Put, Failure> {
    let KvPut { key: name, session, ttl, value: content } = body;
    let life = match (optional_ttl(ttl)?, optional_session(session)) {
        (None, None) => kv::Life::Unlimited,
        (Some(ttl), None) => kv::Life::Ttl(ttl),
        (None, Some(session)) => kv::Life::Session(session),
        (Some(_), Some(_)) => return Err(Failure::invalid("a key lives for a time or as long as a session, not both")),
    };
    Ok(kv::Put { key: key(&name, "the key")?, value: value(content)?, life })
}

fn compare_and_set(body: KvCompareAndSet) -> Result<kv::Command, Failure> {
    let KvCompareAndSet { expected, key, session, ttl, value } = body;
    let expected = (expected != 0).then_some(Revision(expected));
    Ok(kv::Command::CompareAndSet { expected, put: put(KvPut { key, session, ttl, value })? })
}

fn transaction(body: KvTransaction) -> Result<kv::Command, Failure> {
    let operations = |operations: Vec<KvOperation>| operations.into_iter().map(step).collect::<Result<_, _>>();
    Ok(kv::Command::Transaction {
        compares: body.compares.into_iter().map(compare).collect::<Result<_, _>>()?,
        then: operations(body.then)?,
        otherwise: operations(body.otherwise)?,
    })
}

fn compare(body: KvCompare) -> Result<kv::Compare, Failure> {
    let test = match body.test {
        KvTest::Exists => kv::Test::Exists,
        KvTest::Absent => kv::Test::Absent,
        KvTest::Modified => kv::Test::Modified(Revision(body.number)),
        KvTest::ModifiedAfter => kv::Test::ModifiedAfter(Revision(body.number)),
        KvTest::Created => kv::Test::Created(Revision(body.number)),
        KvTest::Version => kv::Test::Version(body.number),
        KvTest::Value => kv::Test::Value(value(body.value)?),
    };
    Ok(kv::Compare { key: key(&body.key, "the key")?, test })
}

fn step(body: KvOperation) -> Result<kv::Operation, Failure> {
    let KvOperation { verb, key: name, session, ttl, value } = body;
    Ok(match verb {
        KvVerb::Get => kv::Operation::Get(key(&name, "the key")?),
        KvVerb::Put => kv::Operation::Put(put(KvPut { key: name, session, ttl, value })?),
        KvVerb::Delete => kv::Operation::Delete(key(&name, "the key")?),
    })
}

/// That the session ends with the connection is the connection's to see to.
fn create(body: &SessionCreate) -> Result<session::Command, Failure> {
    Ok(session::Command::Create {
        ttl: ttl(body.ttl)?,
        with_client: body.with_client,
        with_node: optional_key(&body.with_node, "the node's name")?,
    })
}

fn acquire(body: &LockAcquire) -> Result<lock::Command, Failure> {
    let mode = match body.kind {
        LockKind::Lock => lock::Mode::Lock,
        LockKind::Semaphore => lock::Mode::Semaphore { permits: body.permits.max(1), capacity: body.capacity },
        LockKind::Read => lock::Mode::Read,
        LockKind::Write => lock::Mode::Write,
    };
    Ok(lock::Command::Acquire(lock::Acquire {
        name: name(&body.name)?,
        mode,
        session: optional_session(body.session),
        ttl: optional_ttl(body.ttl)?,
        patience: patience(body.wait),
    }))
}

/// The lock, semaphore or read/write lock of that name.
pub(super) fn target(kind: LockKind, text: &Text) -> Result<lock::Target, Failure> {
    let name = name(text)?;
    Ok(match kind {
        LockKind::Lock => lock::Target::Lock(name),
        LockKind::Semaphore => lock::Target::Semaphore(name),
        LockKind::Read | LockKind::Write => lock::Target::ReadWrite(name),
    })
}

fn release(kind: LockKind, text: &Text, hold: u64) -> Result<lock::Command, Failure> {
    Ok(lock::Command::Release { target: target(kind, text)?, hold: HoldId(hold) })
}

fn renew(body: &LockRenew) -> Result<lock::Command, Failure> {
    let target = target(body.kind, &body.name)?;
    Ok(lock::Command::Renew { target, hold: HoldId(body.hold), ttl: optional_ttl(body.ttl)? })
}

fn campaign(body: ElectionCampaign) -> Result<election::Command, Failure> {
    Ok(election::Command::Campaign {
        name: name(&body.name)?,
        value: body.value.into(),
        preferred: body.preferred,
        session: optional_session(body.session),
        ttl: optional_ttl(body.ttl)?,
        patience: patience(body.wait),
    })
}

fn proclaim(body: ElectionProclaim) -> Result<election::Command, Failure> {
    let name = name(&body.name)?;
    Ok(election::Command::Proclaim { name, hold: HoldId(body.hold), value: body.value.into() })
}

fn resign(text: &Text, hold: u64) -> Result<election::Command, Failure> {
    Ok(election::Command::Resign { name: name(text)?, hold: HoldId(hold) })
}

fn renew_office(text: &Text, hold: u64, ttl: u64) -> Result<election::Command, Failure> {
    Ok(election::Command::Renew { name: name(text)?, hold: HoldId(hold), ttl: optional_ttl(ttl)? })
}

fn wait(text: &Text, wait: i64) -> Result<barrier::Command, Failure> {
    Ok(barrier::Command::Wait { name: name(text)?, patience: patience(wait) })
}

fn enter(body: &BarrierEnter) -> Result<barrier::Command, Failure> {
    let (session, patience) = (optional_session(body.session), patience(body.wait));
    Ok(barrier::Command::Enter { name: name(&body.name)?, count: body.count, session, patience })
}

fn leave(body: &BarrierLeave) -> Result<barrier::Command, Failure> {
    let patience = patience(body.wait);
    Ok(barrier::Command::Leave { name: name(&body.name)?, hold: HoldId(body.hold), patience })
}

fn list_at(
    text: &Text,
    position: i64,
    element: Blob,
    command: fn(i64, folkmoot_coordination::Value) -> ListCommand,
) -> Result<Operation, Failure> {
    Ok(Operation::List(name(text)?, command(position, value(element)?)))
}

fn order(descending: bool) -> Order {
    if descending { Order::Descending } else { Order::Ascending }
}

/// The queue of that kind and name.
pub(super) fn queue_id(kind: QueueKind, text: &Text) -> Result<queue::QueueId, Failure> {
    let kind = match kind {
        QueueKind::Fifo => queue::QueueKind::Fifo,
        QueueKind::Priority => queue::QueueKind::Priority,
    };
    Ok(queue::QueueId { kind, name: name(text)? })
}

fn queue_put(body: QueuePut) -> Result<queue::Command, Failure> {
    let queue = queue_id(body.kind, &body.name)?;
    Ok(queue::Command::Put { queue, priority: body.priority, value: value(body.value)?, bound: body.bound })
}

fn queue_get(kind: QueueKind, text: &Text, wait: i64) -> Result<queue::Command, Failure> {
    Ok(queue::Command::Get { queue: queue_id(kind, text)?, patience: patience(wait) })
}

fn item(body: WorkPut) -> Result<work_queue::Put, Failure> {
    let target: Option<Key> = optional_key(&body.target, "the target's name")?;
    let within = body.target_within.map(Millis);
    Ok(work_queue::Put {
        payload: value(body.payload)?,
        // More than the machine allows is refused there.
        priority: u8::try_from(body.priority).unwrap_or(u8::MAX),
        delay: Millis(body.delay),
        dedupe: optional_key(&body.dedupe, "the dedupe key")?,
        depends_on: body.depends_on.into_iter().map(ItemId).collect(),
        max_attempts: body.max_attempts,
        requires: keys(&body.requires, "a capability")?,
        target: target.map(|node| work_queue::Target { node, within }),
        excluded: keys(&body.excluded, "an excluded node's name")?,
    })
}

fn claim(body: &WorkClaim) -> Result<work_queue::Claim, Failure> {
    let capabilities = keys(&body.capabilities, "a capability")?;
    let node = optional_key(&body.node, "the node's name")?;
    Ok(work_queue::Claim {
        worker: work_queue::Worker { capabilities, node },
        lease: ttl(body.lease)?,
        most: body.most.max(1),
        session: optional_session(body.session),
        patience: patience(body.wait),
    })
}

fn heartbeat(body: &WorkHeartbeat) -> Result<work_queue::Command, Failure> {
    let (item, token) = (ItemId(body.item), Revision(body.token));
    Ok(work_queue::Command::Heartbeat { item, token, lease: optional_ttl(body.lease)? })
}

fn complete(body: WorkComplete) -> work_queue::Command {
    let (item, token) = (ItemId(body.item), Revision(body.token));
    work_queue::Command::Complete { item, token, result: body.result.into() }
}

fn fail(body: WorkFail) -> work_queue::Command {
    let (item, token) = (ItemId(body.item), Revision(body.token));
    work_queue::Command::Fail { item, token, reason: body.reason.into(), retry_after: Millis(body.retry_after) }
}

fn put_back(body: &WorkRelease) -> work_queue::Command {
    let (item, token) = (ItemId(body.item), Revision(body.token));
    work_queue::Command::Release { item, token, delay: Millis(body.delay) }
}

fn redrive(item: u64) -> work_queue::Command {
    work_queue::Command::Redrive { item: (item != 0).then_some(ItemId(item)) }
}

fn configure(soft: u64, hard: u64) -> work_queue::Command {
    work_queue::Command::Configure { soft, hard }
}
