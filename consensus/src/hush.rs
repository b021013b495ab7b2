//! A leader that no majority answers holds back those voters that it reaches still: they hear it, and grant no vote to who
//! could lead them. So it falls silent now and then, each time for longer, because it does not know how long they bear
//! silence. Neither at once nor while a majority gives signs of life: busy machines and disks answer late, and a leader that
//! only has to wait would lose its office by it.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::{AsyncRuntime, ServerState};

use crate::limits::STALL_MAX;
use crate::member::Member;
use crate::peer::NodeId;
use crate::settings::Timing;
use crate::status;
use crate::types::Types;

/// Looks until the member stops.
pub(crate) async fn keep<A: AsyncRuntime>(member: Arc<Member<A>>) {
    let mut looks = 0u32;
    while !member.seat.has_ended() {
        A::sleep(STALL_MAX).await;
        looks = if lacks_majority(&member) { looks.saturating_add(1) } else { 0 };
        // One look is not enough: it may lead since a moment ago.
        let Some(round) = looks.checked_sub(2) else { continue };
        let raft = member.raft();
        raft.runtime_config().heartbeat(false);
        let mut server = raft.server_metrics();
        let deposed = server.wait_until(|server| server.state != ServerState::Leader);
        drop(A::timeout(pause(member.timing(), round), deposed).await);
        raft.runtime_config().heartbeat(true);
    }
}

/// Raft's answers wait for the disks of those who give them; signs of life do not.
fn lacks_majority<A: AsyncRuntime>(member: &Member<A>) -> bool {
    #[cfg(test)]
    if crate::tests::edges::is_on(crate::tests::edges::Edge::NoHush) {
        return false;
    }
    let metrics = member.metrics();
    let answered = status::since_majority(&metrics).is_some_and(|since| since <= STALL_MAX);
    metrics.state == ServerState::Leader && !answered && !majority_lives(member, &metrics)
}

fn majority_lives<A: AsyncRuntime>(member: &Member<A>, metrics: &RaftMetrics<Types<A>>) -> bool {
    let Some(contacts) = member.contacts.get() else { return false };
    let answers = |id: &NodeId| contacts.last_answered(*id).is_some_and(|since| since <= STALL_MAX);
    let lives = |id: &NodeId| *id == metrics.id || answers(id);
    let sets = metrics.membership_config.membership().get_joint_config();
    sets.iter().all(|voters| voters.iter().filter(|id| lives(id)).count().saturating_mul(2) > voters.len())
}

/// Twice what voters of the same timing bear, and then twice as long each time, up to what those of the longest bear.
fn pause(timing: Timing, round: u32) -> Duration {
    let longest = Timing::at(Timing::LEVELS).election_max.saturating_mul(2);
    let doubled = timing.election_max.saturating_mul(2).saturating_mul(2u32.saturating_pow(round));
    doubled.min(longest)
}
