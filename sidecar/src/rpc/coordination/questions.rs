//! What a client only asks, in the words of the state machine; and which changes it wants to see.

use folkmoot_coordination::{ItemId, Query, Revision, Scope, SessionId, collections, kv, session, watch, work_queue};
use folkmoot_proto::coordination::{self as wire, Read};

use super::operations::{queue_id, target};
use super::values::{Failure, key, name, optional_key, prefix, value};

/// The query that a read asks for.
pub(super) fn query(read: Read) -> Result<Query, Failure> {
    Ok(match read {
        Read::KvGet(body) => Query::Kv(kv::Query::Get(key(&body.key, "the key")?)),
        Read::KvList(body) => Query::Kv(list(&body)?),
        Read::SessionGet(body) => Query::Session(session::Query::Get(SessionId(body.session))),
        Read::SessionList(body) => Query::Session(session::Query::List { after: SessionId(body.after) }),
        Read::LockInfo(body) => Query::Lock(target(body.kind, &body.name)?),
        Read::ElectionInfo(body) => Query::Election(name(&body.name)?),
        Read::BarrierInfo(body) => Query::Barrier(name(&body.name)?),
        Read::CounterGet(body) => Query::Collection(collections::Query::Counter(name(&body.name)?)),
        Read::SetContains(body) => {
            Query::Collection(collections::Query::SetContains(name(&body.name)?, value(body.element)?))
        }
        Read::SetElements(body) => {
            let after = body.after.map(value).transpose()?;
            Query::Collection(collections::Query::SetElements(name(&body.name)?, after))
        }
        Read::ListGet(body) => Query::Collection(collections::Query::ListElement(name(&body.name)?, body.position)),
        Read::ListElements(body) => Query::Collection(collections::Query::ListElements(name(&body.name)?, body.from)),
        Read::ListFind(body) => {
            Query::Collection(collections::Query::ListFind(name(&body.name)?, value(body.element)?))
        }
        Read::QueueInfo(body) => Query::Queue(queue_id(body.kind, &body.name)?),
        Read::WorkStats(body) => Query::Work(name(&body.name)?, work_queue::Query::Stats),
        Read::WorkGet(body) => Query::Work(name(&body.name)?, work_queue::Query::Item(ItemId(body.item))),
        Read::WorkList(body) => {
            let query = work_queue::Query::Items { after: ItemId(body.after), state: state(body.state) };
            Query::Work(name(&body.name)?, query)
        }
        Read::WorkHistory(body) => Query::Work(name(&body.name)?, work_queue::Query::Finished),
    })
}

fn list(body: &wire::KvList) -> Result<kv::Query, Failure> {
    let after = optional_key(&body.after, "the last key")?;
    // As many as a page has: the machine cuts.
    let limit = if body.limit == 0 { u32::MAX } else { body.limit };
    Ok(kv::Query::List { prefix: prefix(&body.prefix)?, after, limit })
}

fn state(state: wire::WorkState) -> Option<work_queue::StateName> {
    use work_queue::StateName;
    match state {
        wire::WorkState::Any => None,
        wire::WorkState::Blocked => Some(StateName::Blocked),
        wire::WorkState::Delayed => Some(StateName::Delayed),
        wire::WorkState::Ready => Some(StateName::Ready),
        wire::WorkState::Claimed => Some(StateName::Claimed),
        wire::WorkState::Dead => Some(StateName::Dead),
        wire::WorkState::Completed => Some(StateName::Completed),
        wire::WorkState::Cancelled => Some(StateName::Cancelled),
    }
}

/// The changes that a watcher wants, after `after`.
pub(super) fn watched(body: &wire::Watch, after: Revision) -> Result<watch::Query, Failure> {
    Ok(watch::Query { scope: scope(body.scope), prefix: prefix(&body.prefix)?, after })
}

fn scope(scope: wire::Scope) -> Option<Scope> {
    match scope {
        wire::Scope::Any => None,
        wire::Scope::Key => Some(Scope::Key),
        wire::Scope::Session => Some(Scope::Session),
        wire::Scope::Lock => Some(Scope::Lock),
        wire::Scope::Semaphore => Some(Scope::Semaphore),
        wire::Scope::ReadWriteLock => Some(Scope::ReadWriteLock),
        wire::Scope::Election => Some(Scope::Election),
        wire::Scope::Barrier => Some(Scope::Barrier),
        wire::Scope::Counter => Some(Scope::Counter),
        wire::Scope::Set => Some(Scope::Set),
        wire::Scope::List => Some(Scope::List),
        wire::Scope::Queue => Some(Scope::Queue),
        wire::Scope::PriorityQueue => Some(Scope::PriorityQueue),
        wire::Scope::WorkQueue => Some(Scope::WorkQueue),
    }
}
