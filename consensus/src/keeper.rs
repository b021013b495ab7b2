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
use crate::types::Types;

/// The longest time between two looks: a follower knows up to this late when it last heard of its leader. Ours.
const LOOK: Duration = Duration::from_millis(250);

/// Runs until the member stops.
pub(crate) async fn keep<A: AsyncRuntime>(member: Arc<Member<A>>) {
    let mut progress = member.state.progress();
    let mut server = member.raft.server_metrics();
    let mut snapshot_at = 0u64;
    loop {
        let state = server.borrow_and_update().state;
        let wait = if state == ServerState::Leader { until_due(&member) } else { LOOK };
        if wait.is_zero() {
            // Refused or lost: the next look proposes it again, if it is still due and this member still leads.
            if member.propose(Command::Tick).await.is_err() {
                A::sleep(member.settings.timing.heartbeat).await;
            }
            continue;
        }
        if state != ServerState::Leader {
            let known =
                |state: &RaftState<Types<A>>| state.vote_ref().is_committed().then(|| state.vote_last_modified());
            match member.raft.with_raft_state(known).await {
                Ok(heard) => member.state.heard(heard.flatten()),
                Err(_) => return,
            }
        }
        let written = member.writer.state().appended_bytes.load(Ordering::Relaxed);
        if written.saturating_sub(snapshot_at) > SNAPSHOT_EVERY_BYTES {
            snapshot_at = written;
            if member.raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
        let changed = A::select2(server.changed(), progress.changed());
        if let Ok(Select2::First(Err(_))) = A::timeout(wait, changed).await {
            return;
        }
    }
}

/// How long until a deadline of the machine is reached.
fn until_due<A: AsyncRuntime>(member: &Member<A>) -> Duration {
    let applied = member.state.read();
    applied.replica.machine.next_expiry().map_or(LOOK, |due| applied.clock.until(due).min(LOOK))
}
