//! What the rest of the agent has of coordination: calls to the group, and the member of it that runs here, if one does.

use std::time::Duration;

use folkmoot_consensus::{Access, Group, Peer, Quorum, Status, Timing};

use crate::limits::LEADERSHIP_HANDOVER_LIMIT;
use crate::net::raft::RaftTransport;

/// Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Coordination {
    /// Calls, answered here or wherever the group's leader is.
    pub access: Access<RaftTransport>,
    /// With `-raft`: the member.
    pub group: Option<Group>,
}

impl Coordination {
    /// For tests of what needs none: nobody to call, and no member.
    #[cfg(test)]
    pub(crate) fn absent() -> Self {
        let transport = RaftTransport::new(crate::net::raft::Security::Open, crate::telemetry::Telemetry::in_memory());
        Self { access: Access::new(std::sync::Arc::new(transport), None), group: None }
    }

    /// Hands leadership over if this member has it, before something that takes it away from the others. Bounded.
    pub async fn hand_over(&self) {
        let Some(group) = &self.group else { return };
        let status = group.status();
        if status.leader.as_ref().is_none_or(|leader| leader.id != status.id) || status.voters.len() < 2 {
            return;
        }
        match tokio::time::timeout(LEADERSHIP_HANDOVER_LIMIT, group.transfer_leader(None)).await {
            Ok(Ok(())) => tracing::info!(target: "raft", "handed leadership over"),
            Ok(Err(error)) => tracing::warn!(target: "raft", "could not hand leadership over: {error}"),
            Err(_) => tracing::warn!(target: "raft", "nobody took leadership over in {LEADERSHIP_HANDOVER_LIMIT:?}"),
        }
    }

    /// The group `raft` of `stats`; `None` without `-raft`, so that Serf's answer is unchanged there.
    pub fn stats(&self) -> Option<Vec<(&'static str, String)>> {
        self.group.as_ref().map(|group| stats(&group.status()))
    }
}

/// Keys and values of `stats`, values as text like all of them.
fn stats(status: &Status) -> Vec<(&'static str, String)> {
    let (quorum, missing) = match &status.quorum {
        Quorum::None => ("none", String::new()),
        Quorum::Ok => ("ok", String::new()),
        Quorum::Lost { missing } => ("lost", names(missing)),
    };
    vec![
        ("node_id", status.id.to_string()),
        ("cluster_id", status.cluster.map(|cluster| cluster.to_string()).unwrap_or_default()),
        ("state", status.role.word().to_owned()),
        ("term", status.term.to_string()),
        ("leader", status.leader.as_ref().map(|leader| leader.name.clone()).unwrap_or_default()),
        ("leader_address", status.leader.as_ref().map(|leader| leader.address.to_string()).unwrap_or_default()),
        ("voters", names(&status.voters)),
        ("learners", names(&status.learners)),
        ("quorum", quorum.to_owned()),
        ("missing", missing),
        ("last_log_index", status.last_log.0.to_string()),
        ("commit_index", status.committed.0.to_string()),
        ("applied_index", status.applied.0.to_string()),
        ("snapshot_index", status.snapshot.0.to_string()),
        ("revision", status.revision.0.to_string()),
        ("log_time_ms", status.time.0.to_string()),
        ("last_contact_ms", last_contact(status).map(|age| age.as_millis().to_string()).unwrap_or_default()),
        ("election_timeout_ms", millis_range(status.timing)),
        ("heartbeat_ms", status.timing.heartbeat.as_millis().to_string()),
        ("round_trip_us", status.round_trip.map(|trip| trip.as_micros().to_string()).unwrap_or_default()),
        ("stored_bytes", status.usage.stored_bytes.to_string()),
    ]
}

/// The draws of an election timeout, such as `50-100`.
fn millis_range(timing: Timing) -> String {
    format!("{}-{}", timing.election_min.as_millis(), timing.election_max.as_millis())
}

/// How long ago the member that has been silent longest answered this leader.
fn last_contact(status: &Status) -> Option<Duration> {
    status.progress.iter().filter(|progress| progress.id != status.id).filter_map(|progress| progress.answered).max()
}

fn names(peers: &[Peer]) -> String {
    peers.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>().join(",")
}
