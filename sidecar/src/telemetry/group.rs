//! What the group's member and the Raft port report: how it stands, and of every limit how much is used.

use std::sync::Arc;
use std::time::Duration;

use folkmoot_consensus::{CommitTimes, Group, Quorum, Role, Status};
use folkmoot_coordination::{Usage, limits};
use tokio::time::MissedTickBehavior;

use super::{Summary, Telemetry};
use crate::net::raft::RaftTransport;
use crate::shutdown::ShutdownToken;

/// Time between two looks. Ours: half an interval of the telemetry.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Reports until `stop`.
pub async fn report(group: Group, transport: Arc<RaftTransport>, telemetry: Telemetry, mut stop: ShutdownToken) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = group.status();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.requested() => return,
        }
        let status = group.status();
        for (name, value) in standing(&status).into_iter().chain(usage(&status.usage)) {
            telemetry.gauge(&format!("folkmoot.{name}"), value);
        }
        let (open, most) = transport.connections();
        telemetry.gauge("folkmoot.raft.connections", number(open));
        telemetry.gauge("folkmoot.raft.connections.limit", number(most));
        for ((name, before), (_, after)) in counts(&before).into_iter().zip(counts(&status)) {
            if let Some(summary) = Summary::of_times(after.saturating_sub(before)) {
                telemetry.add(&format!("folkmoot.{name}"), summary);
            }
        }
        if let Some(times) = group.take_commit_times() {
            telemetry.add("folkmoot.raft.commit", commit(&times));
        }
        before = status;
    }
}

/// What only grows, since the member's start.
fn counts(status: &Status) -> [(&'static str, u64); 8] {
    let refused = &status.refused;
    [
        ("raft.syncs", status.syncs),
        ("raft.appended", status.appended),
        ("raft.appended_bytes", status.appended_bytes),
        ("coordination.refused.calls", refused.calls),
        ("coordination.refused.long_calls", refused.long_calls),
        ("coordination.refused.proposals", refused.proposals),
        ("coordination.refused.waits", refused.waits),
        ("coordination.refused.watches", refused.watches),
    ]
}

/// Times from a proposal to its reply, in milliseconds.
fn commit(times: &CommitTimes) -> Summary {
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    Summary {
        count: times.count,
        sum: times.sum_ms,
        sum_of_squares: times.sum_of_squares,
        least: millis(times.least),
        greatest: millis(times.greatest),
    }
}

type Gauge = (&'static str, f64);

fn standing(status: &Status) -> Vec<Gauge> {
    let last = status.last_log.0;
    let slowest = status.progress.iter().map(|progress| progress.matching.map_or(0, |index| index.0)).min();
    let mut gauges = vec![
        ("raft.term", large(status.term)),
        ("raft.leads", truth(status.role == Role::Leader)),
        ("raft.votes", truth(status.voters.iter().any(|peer| peer.id == status.id))),
        ("raft.quorum", truth(status.quorum == Quorum::Ok)),
        ("raft.voters", number(status.voters.len())),
        ("raft.learners", number(status.learners.len())),
        ("raft.last_log", large(last)),
        ("raft.committed", large(status.committed.0)),
        ("raft.applied", large(status.applied.0)),
        // What this member has to apply still; on a leader also what the slowest member has to take.
        ("raft.lag", large(status.committed.0.saturating_sub(status.applied.0))),
        ("raft.election_timeout_ms", status.timing.election_max.as_secs_f64() * 1000.0),
        ("raft.log_entries", large(last.saturating_sub(status.purged.0))),
        ("coordination.revision", large(status.revision.0)),
        ("coordination.history_revisions", large(status.revision.0.saturating_sub(status.compacted.0))),
    ];
    gauges.extend(status.round_trip.map(|trip| ("raft.round_trip_ms", trip.as_secs_f64() * 1000.0)));
    gauges.extend(slowest.map(|slowest| ("raft.slowest_lag", large(last.saturating_sub(slowest)))));
    gauges
}

/// Each with its limit, but for work items, which are limited queue by queue and by the bytes stored.
fn usage(usage: &Usage) -> Vec<Gauge> {
    vec![
        ("coordination.clients", number(usage.clients)),
        ("coordination.clients.limit", number(limits::CLIENTS_MAX)),
        ("coordination.reply_bytes", number(usage.reply_bytes)),
        ("coordination.reply_bytes.limit", number(limits::REPLY_BYTES_MAX)),
        ("coordination.sessions", number(usage.sessions)),
        ("coordination.sessions.limit", number(limits::SESSIONS_MAX)),
        ("coordination.waits", number(usage.waits)),
        ("coordination.waits.limit", number(limits::WAITS_MAX)),
        ("coordination.stored_bytes", number(usage.stored_bytes)),
        ("coordination.stored_bytes.limit", number(limits::STORED_BYTES_MAX)),
        ("coordination.keys", number(usage.keys)),
        ("coordination.keys.limit", number(limits::KEYS_MAX)),
        ("coordination.lines", number(usage.lines)),
        ("coordination.lines.limit", number(limits::LINES_MAX)),
        ("coordination.barriers", number(usage.barriers)),
        ("coordination.barriers.limit", number(limits::BARRIERS_MAX)),
        ("coordination.collections", number(usage.collections)),
        ("coordination.collections.limit", number(limits::COLLECTIONS_MAX)),
        ("coordination.queues", number(usage.queues)),
        ("coordination.queues.limit", number(limits::QUEUES_MAX)),
        ("coordination.work_queues", number(usage.work_queues)),
        ("coordination.work_queues.limit", number(limits::WORK_QUEUES_MAX)),
        ("coordination.work_items", number(usage.work_items)),
        ("coordination.history_events", number(usage.history_events)),
        ("coordination.history_events.limit", number(limits::HISTORY_EVENTS_MAX)),
        ("coordination.history_bytes", number(usage.history_bytes)),
        ("coordination.history_bytes.limit", number(limits::HISTORY_BYTES_MAX)),
    ]
}

/// Gauges are doubles: exact up to 2^53.
fn number(value: usize) -> f64 {
    value as f64
}

fn large(value: u64) -> f64 {
    value as f64
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}
