//! What coordination answers, as tuples: see `values.rs`.

use folkmoot_client::{
    BarrierState, Change, Entry, Held, Leader, Line, LineHold, Outcome, Owner, Page, Put, QueueState, RaftMember,
    RaftPeer, RaftState, RaftUsage, SessionInfo, Swap, WorkEnd, WorkInfo, WorkNumbers, WorkTotals,
};
use pyo3::prelude::*;

use crate::values::{Answer, name, number, record, seconds, seconds_unless_none};

/// `Type { how its value becomes a tuple }`.
macro_rules! records {
    ($($kind:ty: |$value:ident| ($($field:expr),+ $(,)?);)+) => { $(
        impl Answer for $kind {
            fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
                let $value = self;
                record!(py; $($field),+)
            }
        }
    )+ };
}

records! {
    Entry: |entry| (
        entry.key, entry.value, entry.created, entry.modified, entry.version, entry.session, entry.expires,
    );
    Page: |page| (page.entries, page.more, page.revision, page.age.map(|age| age.as_secs_f64()));
    Owner: |owner| (number(owner.client), name(owner.node), number(owner.session));
    LineHold: |hold| (
        hold.hold, hold.token, hold.owner, hold.permits, seconds_unless_none(hold.ttl),
        seconds_unless_none(hold.expires), hold.value.0,
    );
    Line: |line| (line.capacity, line.holds, line.waiting);
    Held: |held| (held.hold, held.token, seconds_unless_none(held.expires));
    BarrierState: |state| (state.raised, state.waiting, state.count, state.members, state.open);
    SessionInfo: |info| (
        info.session, info.client, seconds(info.ttl), seconds(info.expires), info.with_client, name(info.with_node),
    );
    Leader: |leader| (leader.hold, leader.token, leader.value, leader.revision);
    QueueState: |state| (state.length, state.next.map(|next| next.0), state.waiting);
    Put: |put| (put.item, put.duplicate, put.pressure);
    WorkTotals: |totals| (
        totals.put, totals.claimed, totals.completed, totals.failed, totals.died, totals.lost, totals.released,
        totals.redriven, totals.cancelled,
    );
    WorkNumbers: |numbers| (
        numbers.blocked, numbers.delayed, numbers.ready, numbers.claimed, numbers.dead, numbers.waiting, numbers.soft,
        numbers.hard, numbers.totals,
    );
    WorkInfo: |info| (
        info.item, info.state.as_str(), info.payload.0, info.priority, info.attempts, seconds(info.put_at),
        seconds_unless_none(info.deadline), info.owner, name(info.node), info.waits_for, info.last_error.0,
    );
    WorkEnd: |end| (
        end.item, end.state.as_str(), seconds(end.at), end.attempts, name(end.node), end.result.0,
    );
    Change: |change| (
        change.what.as_str(), change.scope.as_str(), change.key, change.revision, seconds(change.wall), change.value.0,
        change.version, change.cause.as_str(), number(change.hold), change.token, change.owner, change.count,
        change.length, number(change.item), change.state.as_str(),
    );
    RaftPeer: |peer| (peer.id, peer.name, peer.address);
    RaftUsage: |usage| (usage.name, usage.used, usage.limit);
    RaftState: |state| (
        state.id, state.cluster, state.role.as_str(), state.term, state.leader, state.quorum.as_str(), state.missing,
        state.voters, state.learners, state.changing, state.last_log, state.committed, state.applied, state.snapshot,
        state.purged, state.compacted, state.revision, seconds(state.log_time), seconds(state.wall), state.syncs,
        state.appended, state.appended_bytes, state.stopped, state.usage,
    );
    RaftMember: |member| (
        member.id, member.name, member.address, member.voter, member.leader, member.matching,
        member.answered.map(seconds),
    );
}

impl Answer for Swap {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Written(revision) => record!(py; true, revision, None::<Entry>),
            Self::Differs(entry) => record!(py; false, 0u64, entry),
        }
    }
}

impl Answer for Outcome {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Found(entry) => record!(py; "get", entry),
            Self::Written => record!(py; "put", ()),
            Self::Deleted(deleted) => record!(py; "delete", deleted),
        }
    }
}
