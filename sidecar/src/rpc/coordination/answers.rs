//! What the state machine answers, in the words of the client's protocol. Pure, as the other direction.

use folkmoot_coordination::{Refusal, Reply, TimeMs, barrier, collections, kv, line, queue, session, work_queue};
use folkmoot_proto::coordination::{self as wire, AsOf, Code, CoordinationCommand};
use folkmoot_proto::{Blob, Encode, With};

use super::changes::state;
use super::values::{Failure, blob, moment, optional_text, owner, text};

/// The body of a success, or why there is none. `as_of` is there for reads.
pub(super) fn answer(command: CoordinationCommand, reply: Reply, as_of: Option<AsOf>) -> Result<Vec<u8>, Failure> {
    let out = Out { as_of };
    Ok(match reply {
        Reply::Refused(refusal) => return Err(refused(&refusal)),
        Reply::Done if command == CoordinationCommand::BarrierLeave => out.body(wire::BarrierLeft { all: true }),
        Reply::Left => out.body(wire::BarrierLeft { all: false }),
        Reply::Done => out.body(wire::Done {}),
        Reply::Registered(client) => out.body(wire::ClientRegistered { client: client.0 }),
        Reply::Held { hold, token, expires } => {
            out.body(wire::Held { expires: moment(expires), hold: hold.0, token: token.0 })
        }
        Reply::Entered { hold } => out.body(wire::BarrierEntered { hold: hold.0 }),
        Reply::Element(value) => out.body(wire::Element { element: Some(blob(value)) }),
        Reply::Kv(reply) => keys(command, reply, &out),
        Reply::Session(reply) => return sessions(command, reply, &out),
        Reply::Line(state) => out.body(line_state(state)),
        Reply::Barrier(state) => out.body(barrier_state(&state)),
        Reply::Collection(reply) => collection(reply, &out),
        Reply::Queue(state) => out.body(queue_state(state)),
        Reply::Work(reply) => return work(command, reply, &out),
        Reply::Waiting { .. } | Reply::Changes(_) => return Err(unexpected(command)),
    })
}

/// Why the machine refused.
pub(super) fn refused(refusal: &Refusal) -> Failure {
    Failure::new(Code::parse(refusal.code().as_bytes()).unwrap_or_default(), refusal.to_string())
}

/// An answer that belongs to another command: the member that answered is of another version.
fn unexpected(command: CoordinationCommand) -> Failure {
    Failure::new(Code::Refused, format!("the answer is none to {}", command.name()))
}

/// How bodies leave: alone, or with what answers to reads have in common.
struct Out {
    as_of: Option<AsOf>,
}

impl Out {
    fn body<T: Encode>(&self, body: T) -> Vec<u8>
    where
        With<AsOf, T>: Encode,
    {
        let mut out = Vec::with_capacity(64);
        match &self.as_of {
            Some(as_of) => With { common: as_of.clone(), body }.encode(&mut out),
            None => body.encode(&mut out),
        }
        out
    }
}

fn keys(command: CoordinationCommand, reply: kv::Reply, out: &Out) -> Vec<u8> {
    match reply {
        kv::Reply::Written(revision) if command == CoordinationCommand::KvCompareAndSet => {
            out.body(wire::KvCompared { entry: None, revision: revision.0, written: true })
        }
        kv::Reply::Written(revision) => out.body(wire::KvWritten { revision: revision.0 }),
        kv::Reply::Unchanged(found) => {
            out.body(wire::KvCompared { entry: found.map(entry), revision: 0, written: false })
        }
        kv::Reply::Deleted { keys, more } => out.body(wire::KvDeleted { keys, more }),
        kv::Reply::Transaction { succeeded, outcomes } => {
            let outcomes = outcomes.into_iter().map(outcome).collect();
            out.body(wire::KvTransacted { outcomes, succeeded })
        }
        kv::Reply::Found(found) => out.body(wire::KvFound { entry: found.map(entry) }),
        kv::Reply::Page { entries, more } => {
            let named = |(key, found)| wire::KvEntry { key: text(key), ..entry(found) };
            out.body(wire::KvPage { entries: entries.into_iter().map(named).collect(), more })
        }
    }
}

fn entry(entry: kv::Entry) -> wire::KvEntry {
    wire::KvEntry {
        created: entry.created.0,
        expires: moment(entry.expires),
        key: Default::default(),
        modified: entry.modified.0,
        session: entry.session.map_or(0, |session| session.0),
        value: blob(entry.value),
        version: entry.version,
    }
}

fn outcome(outcome: kv::Outcome) -> wire::KvOutcome {
    let none = wire::KvOutcome::default();
    match outcome {
        kv::Outcome::Found(found) => wire::KvOutcome { verb: wire::KvVerb::Get, entry: found.map(entry), ..none },
        kv::Outcome::Written => wire::KvOutcome { verb: wire::KvVerb::Put, ..none },
        kv::Outcome::Deleted(deleted) => wire::KvOutcome { verb: wire::KvVerb::Delete, deleted, ..none },
    }
}

fn sessions(command: CoordinationCommand, reply: session::Reply, out: &Out) -> Result<Vec<u8>, Failure> {
    Ok(match reply {
        session::Reply::Created(session) => out.body(wire::SessionCreated { session: session.0 }),
        session::Reply::Renewed { expires: TimeMs(expires) } => out.body(wire::SessionRenewed { expires }),
        session::Reply::Ended => out.body(wire::Done {}),
        session::Reply::Sessions(found) if command == CoordinationCommand::SessionGet => {
            let one = found.into_iter().next().ok_or_else(|| unexpected(command))?;
            out.body(session_info(one))
        }
        session::Reply::Sessions(found) => {
            out.body(wire::SessionPage { sessions: found.into_iter().map(session_info).collect() })
        }
    })
}

fn session_info(info: session::Info) -> wire::SessionInfo {
    wire::SessionInfo {
        client: info.client.0,
        expires: info.expires.0,
        session: info.session.0,
        ttl: info.ttl.into(),
        with_client: info.with_client,
        with_node: optional_text(info.with_node),
    }
}

pub(super) fn line_state(state: line::State) -> wire::Line {
    let hold = |(id, hold): (folkmoot_coordination::HoldId, line::Hold)| wire::LineHold {
        expires: moment(hold.expires),
        hold: id.0,
        owner: owner(hold.owner),
        permits: hold.permits,
        ttl: hold.ttl.map_or(0, u64::from),
        token: hold.token.0,
        value: Blob(hold.value),
    };
    wire::Line {
        capacity: state.capacity,
        holds: state.holds.into_iter().map(hold).collect(),
        waiting: state.waiting.into_iter().map(|hold| hold.0).collect(),
    }
}

fn barrier_state(state: &barrier::State) -> wire::BarrierState {
    let barrier::State { raised, waiting, count, members, open } = *state;
    wire::BarrierState { count, members, open, raised, waiting }
}

fn collection(reply: collections::Reply, out: &Out) -> Vec<u8> {
    match reply {
        collections::Reply::Count(value) => out.body(wire::Count { value }),
        collections::Reply::Changed(changed) => out.body(wire::Changed { changed }),
        collections::Reply::Element(element) => out.body(wire::Element { element: element.map(blob) }),
        collections::Reply::Elements { elements, length } => {
            out.body(wire::Elements { elements: elements.into_iter().map(blob).collect(), length })
        }
        collections::Reply::Position(position) => out.body(wire::Position { position }),
        collections::Reply::Contains(contains) => out.body(wire::Contains { contains }),
    }
}

fn queue_state(state: queue::State) -> wire::QueueState {
    wire::QueueState { length: state.length, next: state.next.map(blob), waiting: state.waiting }
}

fn work(command: CoordinationCommand, reply: work_queue::Reply, out: &Out) -> Result<Vec<u8>, Failure> {
    use work_queue::{Pressure, Reply as Work};
    Ok(match reply {
        Work::Put { item, pressure } => {
            let pressure = match pressure {
                Pressure::None => wire::WorkPressure::None,
                Pressure::Soft => wire::WorkPressure::Soft,
            };
            out.body(wire::WorkQueued { duplicate: false, item: item.0, pressure })
        }
        Work::Duplicate { item } => {
            out.body(wire::WorkQueued { duplicate: true, item: item.0, pressure: wire::WorkPressure::None })
        }
        Work::Claimed(items) => out.body(wire::WorkClaimed { items: items.into_iter().map(claimed).collect() }),
        Work::Extended { expires } => out.body(wire::WorkExtended { expires: expires.0 }),
        Work::Redriven(items) => out.body(wire::WorkRedriven { items }),
        Work::Stats(stats) => out.body(numbers(&stats)),
        Work::Items(items) if command == CoordinationCommand::WorkGet => {
            let one = items.into_iter().next().ok_or_else(|| unexpected(command))?;
            out.body(item(one))
        }
        Work::Items(items) => out.body(wire::WorkPage { items: items.into_iter().map(item).collect() }),
        Work::Finished(items) => out.body(wire::WorkFinished { items: items.into_iter().map(finished).collect() }),
    })
}

fn claimed(item: work_queue::Claimed) -> wire::WorkItem {
    wire::WorkItem {
        attempts: item.attempts,
        expires: item.expires.0,
        item: item.item.0,
        payload: blob(item.payload),
        priority: item.priority.into(),
        token: item.token.0,
    }
}

fn item(info: work_queue::Info) -> wire::WorkInfo {
    wire::WorkInfo {
        attempts: info.attempts,
        deadline: moment(info.deadline),
        item: info.item.0,
        last_error: Blob(info.last_error),
        node: optional_text(info.node),
        owner: info.owner.map(owner),
        payload: blob(info.payload),
        priority: info.priority.into(),
        put_at: info.put_at.0,
        state: state(info.state),
        waits_for: info.waits_for.into_iter().map(|item| item.0).collect(),
    }
}

fn finished(end: work_queue::Finished) -> wire::WorkEnd {
    wire::WorkEnd {
        at: end.at.0,
        attempts: end.attempts,
        item: end.item.0,
        node: optional_text(end.node),
        result: Blob(end.result),
        state: state(end.state),
    }
}

fn numbers(stats: &work_queue::Stats) -> wire::WorkNumbers {
    let work_queue::Stats { blocked, delayed, ready, claimed, dead, waiting, soft, hard, totals } = *stats;
    wire::WorkNumbers { blocked, claimed, dead, delayed, hard, ready, soft, totals: sums(&totals), waiting }
}

fn sums(totals: &work_queue::Totals) -> wire::WorkTotals {
    let work_queue::Totals { put, claimed, completed, failed, lost, released, died, redriven, cancelled } = *totals;
    wire::WorkTotals { cancelled, claimed, completed, died, failed, lost, put, redriven, released }
}
