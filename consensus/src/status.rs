//! What a member knows about itself and its group, for people, metrics and policies.

use std::sync::atomic::Ordering;
use std::time::Duration;

use folkmoot_coordination::{LogIndex, Revision, TimeMs, Usage, WallMs};
use openraft::errors::Fatal;
use openraft::metrics::RaftMetrics;
use openraft::{AsyncRuntime, Instant, ServerState};

use serde::{Deserialize, Serialize};

use crate::keeper::LOOK;
use crate::member::Member;
use crate::peer::{ClusterId, NodeId, Peer};
use crate::refused::Refusals;
use crate::settings::Timing;
use crate::types::{LogId, Types};

/// What a member knows, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The member.
    pub id: NodeId,
    /// Its group; `None` before it has one.
    pub cluster: Option<ClusterId>,
    /// What it is in the group.
    pub role: Role,
    /// The current term: it grows with each election.
    pub term: u64,
    /// Who leads, as far as this member knows.
    pub leader: Option<Peer>,
    /// Members with a vote.
    pub voters: Vec<Peer>,
    /// Members without one.
    pub learners: Vec<Peer>,
    /// Whether two sets of voters must agree: a change of voters is under way.
    pub changing: bool,
    /// What a leader knows of the others, and itself; empty elsewhere.
    pub progress: Vec<Progress>,
    /// The last entry of the log.
    pub last_log: LogIndex,
    /// The last entry known to be on a majority.
    pub committed: LogIndex,
    /// The last entry in the state.
    pub applied: LogIndex,
    /// The last entry in the snapshot; zero without one.
    pub snapshot: LogIndex,
    /// Entries up to here are removed from the log.
    pub purged: LogIndex,
    /// Log time of the last entry.
    pub time: TimeMs,
    /// The leader's wall clock in the last entry.
    pub wall: WallMs,
    /// Steps that changed something.
    pub revision: Revision,
    /// Changes up to here are forgotten.
    pub compacted: Revision,
    /// How much of the limits is used.
    pub usage: Usage,
    /// Whether a majority answers, as far as this member knows.
    pub quorum: Quorum,
    /// How long silence is borne at present.
    pub timing: Timing,
    /// Round trips to the other voters: the median of the slowest one; `None` until it is measured.
    pub round_trip: Option<Duration>,
    /// Writes of the log so far, each with one sync.
    pub syncs: u64,
    /// Entries written to the log so far: divided by `syncs`, how many share one.
    pub appended: u64,
    /// Bytes of these entries.
    pub appended_bytes: u64,
    /// What was refused at this member's bounds.
    pub refused: Refusals,
    /// Why the member has stopped, if it has. It serves nothing any more: end the process.
    pub stopped: Option<String>,
}

/// What a member is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// In no group yet.
    Outside,
    /// A member without a vote.
    Learner,
    /// A voter that follows.
    Follower,
    /// A voter that asks for votes.
    Candidate,
    /// It leads. Only a fresh answer of a majority proves that it still does.
    Leader,
    /// It does nothing any more.
    Stopped,
}

/// What a leader knows of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Who.
    pub id: NodeId,
    /// The last entry it is known to have on disk; `None` if it never answered this leader.
    pub matching: Option<LogIndex>,
    /// How long ago it answered; `None` if it never answered this leader.
    pub answered: Option<Duration>,
}

/// Whether a majority answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quorum {
    /// This member is in no group.
    None,
    /// It does, as far as is known: a leader was answered within the longest election timeout, or a leader is heard.
    Ok,
    /// It does not.
    Lost {
        /// Voters that do not answer, as far as this member can tell.
        missing: Vec<Peer>,
    },
}

/// How old a stale read may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// The last entry that the answer knows of.
    pub applied: LogIndex,
    /// The revision of the state.
    pub revision: Revision,
    /// Since this member last heard of a leader, or as a leader of a majority; `None` if it never did.
    pub since_leader: Option<Duration>,
}

impl Role {
    /// The word for people and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Learner => "learner",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Stopped => "stopped",
        }
    }
}

/// Voters that have not answered this member lately: a leader for the longest election timeout, another one, which only
/// asks for votes, for three of them.
pub(crate) fn missing<A: AsyncRuntime>(member: &Member<A>, metrics: &RaftMetrics<Types<A>>) -> Vec<Peer> {
    let membership = metrics.membership_config.membership();
    let patience = member.timing().election_max;
    let answers = |id: &NodeId| match &metrics.heartbeat {
        Some(heartbeat) => heartbeat.get(id).copied().flatten().is_some_and(|at| at.elapsed() <= patience),
        None => {
            let answered = member.contacts.get().and_then(|contacts| contacts.last_answered(*id));
            answered.is_some_and(|answered| answered <= patience.saturating_mul(3))
        }
    };
    membership
        .voter_ids()
        .filter(|id| *id != member.settings.me.id && !answers(id))
        .filter_map(|id| membership.get_node(&id).cloned())
        .collect()
}

impl Status {
    pub(crate) fn of<A: AsyncRuntime>(member: &Member<A>) -> Self {
        let metrics = member.metrics();
        let membership = metrics.membership_config.membership();
        let peers = |ids: &mut dyn Iterator<Item = NodeId>| {
            ids.filter_map(|id| membership.get_node(&id).cloned()).collect::<Vec<_>>()
        };
        let index = |log_id: &Option<LogId>| LogIndex(log_id.map_or(0, |log_id| log_id.index));
        let stopped = stopped(member, &metrics);
        let writer = member.writer.state();
        let applied = member.state.read();
        let machine = &applied.replica.machine;
        Self {
            id: member.settings.me.id,
            cluster: member.identity.cluster(),
            role: role(&metrics, stopped.is_some()),
            term: metrics.current_term,
            leader: metrics.current_leader.and_then(|id| membership.get_node(&id).cloned()),
            voters: peers(&mut membership.voter_ids()),
            learners: peers(&mut membership.learner_ids()),
            changing: membership.get_joint_config().len() > 1,
            progress: progress(&metrics),
            last_log: LogIndex(metrics.last_log_index.unwrap_or(0)),
            committed: index(&metrics.local_committed),
            applied: index(&applied.replica.last),
            snapshot: index(&metrics.snapshot),
            purged: index(&metrics.purged),
            time: machine.time(),
            wall: machine.wall(),
            revision: machine.revision(),
            compacted: machine.compacted(),
            usage: machine.usage(),
            quorum: quorum(member, &metrics),
            timing: member.timing(),
            round_trip: member.contacts.get().and_then(|contacts| contacts.round_trip()),
            syncs: writer.syncs.load(Ordering::Relaxed),
            appended: writer.appended.load(Ordering::Relaxed),
            appended_bytes: writer.appended_bytes.load(Ordering::Relaxed),
            refused: member.refused.so_far(),
            stopped,
        }
    }
}

/// Why the member has stopped: not while it is about to run again with another timing.
fn stopped<A: AsyncRuntime>(member: &Member<A>, metrics: &RaftMetrics<Types<A>>) -> Option<String> {
    let error = metrics.running_state.as_ref().err()?;
    let exchanged = matches!(error, Fatal::Stopped) && !member.seat.has_ended();
    (!exchanged).then(|| member.reason(error))
}

fn role<A: AsyncRuntime>(metrics: &RaftMetrics<Types<A>>, stopped: bool) -> Role {
    let outside = metrics.membership_config.get_node(&metrics.id).is_none();
    match metrics.state {
        _ if stopped => Role::Stopped,
        _ if outside => Role::Outside,
        ServerState::Learner => Role::Learner,
        // One that is about to run again with another timing.
        ServerState::Follower | ServerState::Shutdown => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Leader => Role::Leader,
    }
}

fn progress<A: AsyncRuntime>(metrics: &RaftMetrics<Types<A>>) -> Vec<Progress> {
    let Some(replication) = &metrics.replication else { return Vec::new() };
    let answered = |id: &NodeId| {
        if *id == metrics.id {
            return Some(Duration::ZERO);
        }
        let at = (*metrics.heartbeat.as_ref()?.get(id)?)?;
        Some(at.elapsed())
    };
    let one = |(id, matching): (&NodeId, &Option<LogId>)| Progress {
        id: *id,
        matching: matching.map(|log_id| LogIndex(log_id.index)),
        answered: answered(id),
    };
    replication.iter().map(one).collect()
}

/// Since a majority last answered this leader; a leader that is the only voter is one by itself, always.
pub(crate) fn since_majority<A: AsyncRuntime>(metrics: &RaftMetrics<Types<A>>) -> Option<Duration> {
    let alone = metrics.membership_config.voter_ids().all(|id| id == metrics.id);
    if metrics.state == ServerState::Leader && alone {
        return Some(Duration::ZERO);
    }
    metrics.last_quorum_acked.map(|at| at.elapsed())
}

fn quorum<A: AsyncRuntime>(member: &Member<A>, metrics: &RaftMetrics<Types<A>>) -> Quorum {
    if metrics.membership_config.voter_ids().next().is_none() {
        return Quorum::None;
    }
    let answered = since_majority(metrics).is_some_and(|since| since <= member.timing().election_max);
    let ok = match metrics.state {
        ServerState::Leader => answered,
        // The leader it voted for last may be gone for long.
        ServerState::Learner | ServerState::Follower => {
            let heard = member.state.since_leader(metrics);
            heard.is_some_and(|heard| heard <= member.timing().election_max.saturating_mul(2).saturating_add(LOOK))
        }
        ServerState::Candidate | ServerState::Shutdown => false,
    };
    if ok { Quorum::Ok } else { Quorum::Lost { missing: missing(member, metrics) } }
}
