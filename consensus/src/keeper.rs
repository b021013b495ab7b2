//! What a member does by itself: lets time pass while it leads, and makes snapshots when the log has grown by bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use folkmoot_coordination::Command;
use openraft::async_runtime::Select2;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{AsyncRuntime, RaftState, ServerState};

use crate::limits::SNAPSHOT_EVERY_BYTES;
use crate::member::Member;
use crate::types::{Raft, Types};

/// The longest time between two looks: a follower knows up to this late when it last heard of its leader. Ours.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// How long a deadline that an entry has set may be looked at late. Ours: entries come by the thousand, and one look for each
/// costs as much as the entry.
const PROGRESS_PAUSE: Duration = Duration::from_millis(2);

/// Runs until the member stops.
pub(crate) async fn keep<A: AsyncRuntime>(member: Arc<Member<A>>) {
    let mut progress = member.state.progress();
    let mut held = member.seat.held();
    let mut server = held.raft.server_metrics();
    let mut snapshot_at = 0u64;
    loop {
        let state = server.borrow_and_update().state;
        let runs = match state {
            ServerState::Leader => {
                let mut wait = until_due(&member);
                if wait.is_zero() {
                    if member.propose(Command::Tick).await.is_ok() {
                        continue;
                    }
                    // Refused or lost: proposed again soon, if it is still due and this member still leads.
                    wait = member.timing().heartbeat;
                }
                let applied = async {
                    let applied = progress.changed().await;
                    A::sleep(PROGRESS_PAUSE).await;
                    applied
                };
                let changed = A::select2(server.changed(), Box::pin(applied));
                !matches!(A::timeout(wait, changed).await, Ok(Select2::First(Err(_))))
            }
            ServerState::Learner | ServerState::Follower | ServerState::Candidate | ServerState::Shutdown => {
                look_for_leader(&member, &held.raft).await
                    && !matches!(A::timeout(LOOK, server.changed()).await, Ok(Err(_)))
            }
        };
        let written = member.writer.state().appended_bytes.load(Ordering::Relaxed);
        let snapshot = written.saturating_sub(snapshot_at) > SNAPSHOT_EVERY_BYTES;
        if snapshot {
            snapshot_at = written;
        }
        if runs && (!snapshot || held.raft.trigger().snapshot().await.is_ok()) {
            continue;
        }
        let Some(next) = member.seat.after(&held).await else { break };
        server = next.raft.server_metrics();
        held = next;
    }
    member.state.close();
}

/// Notes when a leader was last heard of; `false` if the member has stopped.
async fn look_for_leader<A: AsyncRuntime>(member: &Member<A>, raft: &Raft<A>) -> bool {
    let known = |state: &RaftState<Types<A>>| state.vote_ref().is_committed().then(|| state.vote_last_modified());
    let heard = raft.with_raft_state(known).await;
    if let Ok(heard) = &heard {
        member.state.heard(heard.flatten());
    }
    heard.is_ok()
}

/// How long until a deadline of the machine is reached.
fn until_due<A: AsyncRuntime>(member: &Member<A>) -> Duration {
    let applied = member.state.read();
    applied.replica.machine.next_expiry().map_or(LOOK, |due| applied.clock.until(due).min(LOOK))
}
