//! Log lines in plain words: how founding stands, who leads and why it changed, who is missing, which groups have met.
//! Each is said when it becomes so, not again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use folkmoot_consensus::founding::Note;
use folkmoot_consensus::{ClusterId, Peer, Quorum, Role, Status};

use super::view::View;

/// What has been said.
pub(super) struct Told {
    leader: Option<Peer>,
    leaderless: Lasting,
    role: Role,
    no_quorum: Lasting,
    /// Who was said to be missing.
    missing: Vec<Peer>,
    groups: Vec<ClusterId>,
    double: Option<Peer>,
}

impl Told {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            leader: None,
            leaderless: Lasting::default(),
            role: Role::Outside,
            no_quorum: Lasting::default(),
            missing: Vec::new(),
            groups: Vec::new(),
            double: None,
        }
    }

    /// How founding stands.
    pub(super) fn notes(&mut self, notes: Vec<Note>) {
        for note in notes {
            say(note);
        }
    }

    /// Groups in sight, and another node with our identity.
    pub(super) fn groups(&mut self, view: &View, ours: Option<ClusterId>) {
        let groups: BTreeMap<ClusterId, usize> = view.groups(ours);
        let ids: Vec<ClusterId> = groups.keys().copied().collect();
        if ids.len() > 1 && ids != self.groups {
            let each: Vec<String> = groups.iter().map(|(id, count)| format!("{id} with {count} nodes")).collect();
            let calls = view.main_group(None).map_or_else(String::new, |id| id.to_string());
            tracing::error!(
                target: "raft",
                "{} groups have met: {}. Groups never merge: calls go to {calls} only. Stop the nodes of the others, and \
                 start them with empty data directories to join it",
                ids.len(), each.join(", ")
            );
        }
        self.groups = ids;
        if self.double.as_ref() != view.double() {
            self.double = view.double().cloned();
            if let Some(double) = &self.double {
                tracing::error!(
                    target: "raft",
                    "{} ({}) says it is member {}, which is this node: one of the two has a copy of the other's data \
                     directory and has to be stopped, and started with an empty one",
                    double.name, double.address, double.id
                );
            }
        }
    }

    /// Who leads, who votes, who is missing.
    pub(super) fn status(&mut self, now: Duration, status: &Status, view: &View) {
        self.leader(now, status, view);
        self.own_role(status);
        self.quorum(now, status, view);
    }

    fn leader(&mut self, now: Duration, status: &Status, view: &View) {
        let new = status.leader.as_ref().filter(|_| status.role != Role::Outside);
        let lasts = self.leaderless.begins(now, new.is_none());
        match (&self.leader, new) {
            (Some(old), Some(new)) if old.id == new.id => {}
            (old, Some(new)) => {
                let term = status.term;
                let who = if new.id == status.id { "this node".to_owned() } else { new.name.clone() };
                match old.as_ref().filter(|old| old.id != status.id) {
                    Some(old) => tracing::info!(
                        target: "raft",
                        "{who} leads the group (term {term}); {}, who led before, is {}", old.name, view.word_for(old)
                    ),
                    None => tracing::info!(target: "raft", "{who} leads the group (term {term})"),
                }
                self.leader = Some(new.clone());
            }
            (Some(old), None) if lasts && old.id == status.id => {
                tracing::info!(target: "raft", "this node, which led the group, has lost that; nobody else is known to lead");
            }
            (Some(old), None) if lasts => {
                let word = view.word_for(old);
                tracing::info!(target: "raft", "nobody leads the group: {}, who led, is not heard ({word})", old.name);
            }
            (Some(_) | None, None) => {}
        }
    }

    /// When a change of voters is done: until then those of before count, too.
    fn own_role(&mut self, status: &Status) {
        if status.changing {
            return;
        }
        let votes = |role: Role| matches!(role, Role::Follower | Role::Candidate | Role::Leader);
        let (old, new) = (self.role, status.role);
        self.role = new;
        if new == Role::Learner && old != Role::Learner {
            tracing::info!(target: "raft", "this node is a member of the group without a vote");
        } else if votes(new) && !votes(old) {
            match status.voters.len() {
                1 => tracing::info!(target: "raft", "this node is the only voter of the group"),
                voters => tracing::info!(target: "raft", "this node is one of {voters} voters of the group"),
            }
        }
    }

    fn quorum(&mut self, now: Duration, status: &Status, view: &View) {
        let missing = match &status.quorum {
            Quorum::Lost { missing } => missing.clone(),
            Quorum::None | Quorum::Ok => Vec::new(),
        };
        let begins = self.no_quorum.begins(now, !missing.is_empty());
        if missing.is_empty() {
            if !self.missing.is_empty() {
                tracing::info!(target: "raft", "a majority of the voters answers again");
                self.missing.clear();
            }
        } else if begins {
            let each: Vec<String> =
                missing.iter().map(|peer| format!("{} ({})", peer.name, view.word_for(peer))).collect();
            tracing::warn!(
                target: "raft",
                "no majority: {} of {} voters do not answer: {}. Writes fail until enough are back; stale reads go on",
                missing.len(), status.voters.len(), each.join(", ")
            );
            self.missing = missing;
        }
    }
}

/// Something that is worth a line once it has lasted: an election on a busy machine is over sooner.
#[derive(Default)]
struct Lasting {
    since: Option<Duration>,
    said: bool,
}

impl Lasting {
    /// True once, when it has held for a second.
    fn begins(&mut self, now: Duration, holds: bool) -> bool {
        if !holds {
            *self = Self::default();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let begins = !self.said && now.saturating_sub(since) >= WORTH_A_LINE;
        self.said |= begins;
        begins
    }
}

/// Ours: ten times the longest election timeout of the shortest timing.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

fn say(note: Note) {
    match note {
        Note::Waiting { met, expect } => tracing::info!(
            target: "raft", "{met} of {expect} nodes have met that are expected to found a group"
        ),
        Note::WaitingFor(peer) => {
            tracing::info!(target: "raft", "enough nodes have met; {} is to propose the group", peer.name);
        }
        Note::NobodyThere => tracing::info!(target: "raft", "no group is in sight: waiting to be taken into one"),
        Note::ExpectTooLow { expect, members } => tracing::error!(
            target: "raft",
            "-raft-bootstrap-expect={expect} is not more than half of the {members} nodes with -raft: two groups could be \
             founded, so none is. Set at least {} on all of them",
            (members / 2).saturating_add(1)
        ),
        Note::ExpectDiffers { peer, theirs } => {
            let theirs = theirs.map_or_else(|| "none".to_owned(), |expect| expect.to_string());
            tracing::warn!(
                target: "raft",
                "{} has another -raft-bootstrap-expect ({theirs}): nodes that found a group together need the same", peer.name
            );
        }
        Note::Missing(peers) => {
            let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
            tracing::info!(target: "raft", "waiting for the promise of {} to found a group", names.join(", "));
        }
        Note::Promised { to, gone: false } => tracing::info!(
            target: "raft", "this node has promised {} to found a group and waits for the outcome", to.name
        ),
        Note::Promised { to, gone: true } => tracing::warn!(
            target: "raft",
            "this node has promised {} (member {}) to found a group, and only that node knows what came of it. If its disk is \
             lost, start this node with an empty data directory",
            to.name, to.id
        ),
        Note::GivenUp { peer, reason } => {
            tracing::warn!(target: "raft", "the group could not be founded with {}: {reason}; trying again", peer.name);
        }
        Note::TwoGroups(one, two) => tracing::error!(
            target: "raft", "members of two groups are in sight, {one} and {two}: this node joins neither"
        ),
        Note::Halted(reason) => tracing::error!(
            target: "raft", "this node takes no part in founding a group until it is started again: {reason}"
        ),
    }
}
