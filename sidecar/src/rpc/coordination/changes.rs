//! What watchers are told, in the words of the client's protocol.

use folkmoot_coordination::{Cause, Event, Scope, What, watch, work_queue};
use folkmoot_proto::Blob;
use folkmoot_proto::coordination as wire;

use super::values::{blob, owner, text};

/// A page of changes.
pub(super) fn record(page: watch::Page) -> wire::WatchRecord {
    let changes = page.events.into_iter().map(change).collect();
    wire::WatchRecord { changes, compacted: false, through: page.through.0 }
}

pub(super) fn change(event: Event) -> wire::WatchChange {
    let Event { revision, wall, scope, key, what } = event;
    let none = wire::WatchChange::default();
    let told = match what {
        What::Put { value, version } => {
            wire::WatchChange { what: wire::What::Put, value: blob(value), version, ..none }
        }
        What::Started => wire::WatchChange { what: wire::What::Started, ..none },
        What::Ended(why) => wire::WatchChange { what: wire::What::Ended, cause: cause(why), ..none },
        What::Granted { hold, token, owner: whose, value } => wire::WatchChange {
            what: wire::What::Granted,
            hold: hold.0,
            token: token.0,
            owner: Some(owner(whose)),
            value: Blob(value),
            ..none
        },
        What::Proclaimed { hold, token, value } => {
            wire::WatchChange { what: wire::What::Proclaimed, hold: hold.0, token: token.0, value: Blob(value), ..none }
        }
        What::Released { hold, token, cause: why } => {
            wire::WatchChange { what: wire::What::Released, hold: hold.0, token: token.0, cause: cause(why), ..none }
        }
        What::Opened => wire::WatchChange { what: wire::What::Opened, ..none },
        What::Closed => wire::WatchChange { what: wire::What::Closed, ..none },
        What::Count(count) => wire::WatchChange { what: wire::What::Count, count, ..none },
        What::Length(length) => wire::WatchChange { what: wire::What::Length, length, ..none },
        What::Item { item, state: name } => {
            wire::WatchChange { what: wire::What::Item, item: item.0, state: state(name), ..none }
        }
    };
    wire::WatchChange { revision: revision.0, wall: wall.0, scope: of(scope), key: text(key), ..told }
}

fn cause(cause: Cause) -> wire::Cause {
    match cause {
        Cause::Removed => wire::Cause::Removed,
        Cause::Expired => wire::Cause::Expired,
        Cause::OwnerEnded => wire::Cause::OwnerEnded,
    }
}

fn of(scope: Scope) -> wire::Scope {
    match scope {
        Scope::Key => wire::Scope::Key,
        Scope::Session => wire::Scope::Session,
        Scope::Lock => wire::Scope::Lock,
        Scope::Semaphore => wire::Scope::Semaphore,
        Scope::ReadWriteLock => wire::Scope::ReadWriteLock,
        Scope::Election => wire::Scope::Election,
        Scope::Barrier => wire::Scope::Barrier,
        Scope::Counter => wire::Scope::Counter,
        Scope::Set => wire::Scope::Set,
        Scope::List => wire::Scope::List,
        Scope::Queue => wire::Scope::Queue,
        Scope::PriorityQueue => wire::Scope::PriorityQueue,
        Scope::WorkQueue => wire::Scope::WorkQueue,
    }
}

pub(super) fn state(state: work_queue::StateName) -> wire::WorkState {
    use work_queue::StateName;
    match state {
        StateName::Blocked => wire::WorkState::Blocked,
        StateName::Delayed => wire::WorkState::Delayed,
        StateName::Ready => wire::WorkState::Ready,
        StateName::Claimed => wire::WorkState::Claimed,
        StateName::Dead => wire::WorkState::Dead,
        StateName::Completed => wire::WorkState::Completed,
        StateName::Cancelled => wire::WorkState::Cancelled,
    }
}
