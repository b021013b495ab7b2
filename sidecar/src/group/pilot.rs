//! Carries out what autopilot wants while this node leads: one change at a time.

use std::time::Duration;

use folkmoot_consensus::voters::{Autopilot, Change, Picture};
use folkmoot_consensus::{Group, Quorum, Status};
use tokio::task::JoinHandle;

use super::view::View;

/// Between two looks. Ours: autopilot's shortest time is ten of them.
const LOOK: Duration = Duration::from_secs(1);

/// Autopilot at work.
pub(super) struct Pilot {
    autopilot: Autopilot,
    looked: Duration,
    change: Option<JoinHandle<()>>,
}

impl Pilot {
    /// For groups of at most this many voters.
    pub(super) fn new(max_voters: usize) -> Self {
        Self { autopilot: Autopilot::new(max_voters), looked: Duration::ZERO, change: None }
    }

    /// Another node leads, or none.
    pub(super) fn rest(&mut self) {
        self.autopilot.forget();
    }

    /// This node leads: looks, and begins a change if one is due and none is under way.
    pub(super) fn turn(&mut self, now: Duration, group: &Group, status: &Status, view: &View) {
        let Some(cluster) = status.cluster else { return };
        if now.saturating_sub(self.looked) < LOOK || self.change.as_ref().is_some_and(|change| !change.is_finished()) {
            return;
        }
        self.looked = now;
        let known = view.known(cluster);
        let picture = Picture {
            me: status.id,
            voters: &status.voters,
            learners: &status.learners,
            changing: status.changing,
            quorum: status.quorum == Quorum::Ok,
            last_log: status.last_log.0,
            progress: &status.progress,
            known: &known,
        };
        if let Some(change) = self.autopilot.decide(now, &picture) {
            self.change = Some(tokio::spawn(carry_out(group.clone(), change)));
        }
    }
}

async fn carry_out(group: Group, change: Change) {
    let (what, result) = match change {
        Change::Admit(peer) => {
            let what = format!("{} ({}) is taken into the group, without a vote", peer.name, peer.address);
            (what, group.add_learner(peer).await)
        }
        Change::Update(peer) => {
            let what = format!("{} is reached at {} from here on", peer.name, peer.address);
            (what, group.add_learner(peer).await)
        }
        Change::Voters { set, added, removed } => {
            let names = |peers: &[folkmoot_consensus::Peer]| {
                peers.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            let voters = if set.len() == 1 { "1 voter".to_owned() } else { format!("{} voters", set.len()) };
            let what = match (added.is_empty(), removed.is_empty()) {
                (false, true) => format!("{voters}: {} may vote", names(&added)),
                (true, _) => format!("{voters}: {} does not vote any more", names(&removed)),
                (false, false) => format!("{voters}: {} votes in the place of {}", names(&added), names(&removed)),
            };
            (what, group.set_voters(set).await)
        }
        Change::Remove { peer, reason } => {
            let what = format!("{} (member {}) is no member any more: {reason}", peer.name, peer.id);
            (what, group.remove(peer.id).await)
        }
    };
    match result {
        Ok(()) => tracing::info!(target: "raft", "autopilot: {what}"),
        Err(error) => {
            tracing::warn!(target: "raft", "autopilot: \"{what}\" could not be done and is tried again: {error}")
        }
    }
}
