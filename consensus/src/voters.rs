//! Autopilot: who is a member and who votes. A policy without I/O, asked by the leader a few times a second.
//!
//! A set of voters is worth what it can lose: how many of its living voters may fail before the rest is no majority. A
//! change is made only where it makes the set worth more, or as much and odd, willing or preferred where it was not, or
//! where there are more voters than there may be. It follows that dead voters are replaced when somebody can take their place, that an even set becomes odd, that nothing
//! shrinks for nothing, and that a healthy group is left alone.
//!
//! Silence has to last ([`DEAD`]) before it counts, and so has health ([`STABLE`]); after each change of voters there is a
//! rest. There is one change at a time, and none without a majority that answers before and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::limits::PROMOTION_LAG;
use crate::peer::{NodeId, Peer};
use crate::status::Progress;

/// How long a voter must be silent before it is replaced. Ours: longer than a restart of an agent or its container takes,
/// because a voter that comes back has nothing to copy; a group of three still decides meanwhile.
pub const DEAD: Duration = Duration::from_secs(30);
/// How long a member must have answered without a gap before it may vote, and the rest after each change of voters.
/// Consul's `ServerStabilizationTime`.
pub const STABLE: Duration = Duration::from_secs(10);
/// How long a member without a vote is kept although it is silent. Serf's `ReconnectTimeout`: gossip forgets it then too.
pub const FORGET: Duration = Duration::from_secs(24 * 60 * 60);
/// A member that has not answered the leader for this long is silent. Ours: twenty of the longest usual election
/// timeouts, so that a slow disk is no silence.
pub const SILENT: Duration = Duration::from_secs(2);

/// Whether a member wants a vote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preference {
    /// As the group sees fit.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Before others.
    Prefer,
}

/// A node with `-raft` of our group, as gossip shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who and where.
    pub peer: Peer,
    /// Whether it is there.
    pub alive: bool,
    /// Whether it wants a vote.
    pub preference: Preference,
}

/// The group as its leader sees it.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// The leader itself.
    pub me: NodeId,
    /// Members with a vote.
    pub voters: &'a [Peer],
    /// Members without one.
    pub learners: &'a [Peer],
    /// A change of voters is under way.
    pub changing: bool,
    /// A majority answers.
    pub quorum: bool,
    /// The last entry of the log.
    pub last_log: u64,
    /// What the leader knows of each.
    pub progress: &'a [Progress],
    /// Nodes of our group that gossip knows.
    pub known: &'a [Known],
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Take a node in, without a vote.
    Admit(Peer),
    /// A member has another name or address.
    Update(Peer),
    /// These shall vote.
    Voters {
        /// All of them.
        set: BTreeSet<NodeId>,
        /// Who is new.
        added: Vec<Peer>,
        /// Who loses its vote.
        removed: Vec<Peer>,
    },
    /// Forget a member without a vote.
    Remove {
        /// Whom.
        peer: Peer,
        /// Why, for people.
        reason: &'static str,
    },
}

/// What autopilot remembers from look to look.
#[derive(Debug)]
pub struct Autopilot {
    max_voters: usize,
    memory: BTreeMap<NodeId, Memory>,
    rest_until: Duration,
}

/// Since when a member has been as it is.
#[derive(Debug, Clone, Copy)]
struct Memory {
    answers: bool,
    since: Duration,
}

impl Autopilot {
    /// For groups of at most `max_voters` voters; an even number counts as the odd one below.
    pub fn new(max_voters: usize) -> Self {
        Self { max_voters: odd(max_voters.max(1)), memory: BTreeMap::new(), rest_until: Duration::ZERO }
    }

    /// We do not lead: whoever leads next looks for itself.
    pub fn forget(&mut self) {
        self.memory.clear();
        self.rest_until = Duration::ZERO;
    }

    /// The next change, if one is due. `now` is since any moment that stays the same.
    pub fn decide(&mut self, now: Duration, picture: &Picture<'_>) -> Option<Change> {
        self.remember(now, picture);
        if picture.changing || !picture.quorum {
            return None;
        }
        if let Some(change) = newcomer(picture).or_else(|| moved(picture)) {
            return Some(change);
        }
        if now >= self.rest_until
            && let Some(change) = self.voters(now, picture)
        {
            self.rest_until = now.saturating_add(STABLE);
            return Some(change);
        }
        self.gone(now, picture)
    }

    fn remember(&mut self, now: Duration, picture: &Picture<'_>) {
        let members = || picture.voters.iter().chain(picture.learners);
        self.memory.retain(|id, _| members().any(|peer| peer.id == *id));
        for peer in members() {
            let answered = picture.progress.iter().find(|progress| progress.id == peer.id);
            let silence = answered.and_then(|progress| progress.answered);
            let answers = peer.id == picture.me || silence.is_some_and(|silence| silence < SILENT);
            let memory = self.memory.entry(peer.id).or_insert(Memory { answers, since: now });
            if memory.answers != answers {
                *memory = Memory { answers, since: now };
            }
        }
    }

    fn answers(&self, id: NodeId) -> bool {
        self.memory.get(&id).is_some_and(|memory| memory.answers)
    }

    fn lasts(&self, now: Duration, id: NodeId, answers: bool, time: Duration) -> bool {
        let memory = self.memory.get(&id).filter(|memory| memory.answers == answers);
        memory.is_some_and(|memory| now.saturating_sub(memory.since) >= time)
    }

    /// The best set, if it is better than the one there is.
    fn voters(&self, now: Duration, picture: &Picture<'_>) -> Option<Change> {
        let dead: BTreeSet<NodeId> =
            picture.voters.iter().filter(|peer| self.is_dead(now, picture, peer)).map(|peer| peer.id).collect();
        let preference = |id: NodeId| {
            let known = picture.known.iter().find(|known| known.peer.id == id);
            known.map_or(Preference::Auto, |known| known.preference)
        };
        let stays = |peer: &&Peer| {
            peer.id == picture.me || (!dead.contains(&peer.id) && preference(peer.id) != Preference::Never)
        };
        let comes = |peer: &&Peer| preference(peer.id) != Preference::Never && self.may_vote(now, picture, peer);
        let voters = picture.voters.iter().filter(stays).map(|peer| (peer, true));
        let spares = picture.learners.iter().filter(comes).map(|peer| (peer, false));
        let mut pool: Vec<(u8, &Peer)> = voters
            .chain(spares)
            .map(|(peer, votes)| match (preference(peer.id), votes) {
                _ if peer.id == picture.me => (0, peer),
                (Preference::Prefer, true) => (1, peer),
                (Preference::Prefer, false) => (2, peer),
                (Preference::Auto | Preference::Never, true) => (3, peer),
                (Preference::Auto | Preference::Never, false) => (4, peer),
            })
            .collect();
        pool.sort_by_key(|(rank, peer)| (*rank, peer.id));
        pool.truncate(odd(pool.len()).min(self.max_voters));
        let set: BTreeSet<NodeId> = pool.iter().map(|(_, peer)| peer.id).collect();
        let now_set: BTreeSet<NodeId> = picture.voters.iter().map(|peer| peer.id).collect();
        let worth = |set: &BTreeSet<NodeId>| {
            let living = set.difference(&dead).count();
            let unwilling = set.iter().filter(|id| preference(**id) == Preference::Never).count();
            let preferred = set.iter().filter(|id| preference(**id) == Preference::Prefer).count();
            let (fits, is_odd) = (set.len() <= self.max_voters, !set.len().is_multiple_of(2));
            let spare = living.checked_sub(majority(set.len()));
            (fits, spare, is_odd, std::cmp::Reverse(unwilling), preferred)
        };
        let answering = set.iter().filter(|id| self.answers(**id)).count();
        if worth(&set) <= worth(&now_set) || answering < majority(set.len()) {
            return None;
        }
        let named = |ids: &BTreeSet<NodeId>, peers: &[Peer]| {
            peers.iter().filter(|peer| !ids.contains(&peer.id)).cloned().collect::<Vec<_>>()
        };
        let mut added = named(&now_set, picture.learners);
        added.retain(|peer| set.contains(&peer.id));
        let removed = named(&set, picture.voters);
        Some(Change::Voters { set, added, removed })
    }

    fn is_dead(&self, now: Duration, picture: &Picture<'_>, peer: &Peer) -> bool {
        let patience = if successor(picture, peer) { STABLE } else { DEAD };
        self.lasts(now, peer.id, false, patience)
    }

    /// Whether a member without a vote could have one.
    fn may_vote(&self, now: Duration, picture: &Picture<'_>, peer: &Peer) -> bool {
        let progress = picture.progress.iter().find(|progress| progress.id == peer.id);
        let matching = progress.and_then(|progress| progress.matching);
        let near = matching.is_some_and(|matching| picture.last_log.saturating_sub(matching.0) <= PROMOTION_LAG);
        let alive = picture.known.iter().any(|known| known.alive && known.peer.id == peer.id);
        near && alive && self.lasts(now, peer.id, true, STABLE)
    }

    fn gone(&self, now: Duration, picture: &Picture<'_>) -> Option<Change> {
        picture.learners.iter().find_map(|peer| {
            let reason = if successor(picture, peer) && self.lasts(now, peer.id, false, STABLE) {
                "its node is another member, because its disk was lost"
            } else if self.lasts(now, peer.id, false, FORGET) {
                "it has been silent for a day"
            } else {
                return None;
            };
            Some(Change::Remove { peer: peer.clone(), reason })
        })
    }
}

/// Somebody that gossip shows in our group and that is no member.
fn newcomer(picture: &Picture<'_>) -> Option<Change> {
    let members = || picture.voters.iter().chain(picture.learners);
    let is_new = |known: &&Known| known.alive && !members().any(|peer| peer.id == known.peer.id);
    picture.known.iter().find(is_new).map(|known| Change::Admit(known.peer.clone()))
}

/// A member that is somewhere else than the group believes.
fn moved(picture: &Picture<'_>) -> Option<Change> {
    let mut members = picture.voters.iter().chain(picture.learners);
    let place = |peer: &Peer| picture.known.iter().find(|known| known.alive && known.peer.id == peer.id);
    let moved = members.find_map(|peer| place(peer).filter(|known| known.peer != *peer));
    moved.map(|known| Change::Update(known.peer.clone()))
}

/// Whether the node of this member is there under another id: then this one never comes back.
fn successor(picture: &Picture<'_>, peer: &Peer) -> bool {
    picture.known.iter().any(|known| known.alive && known.peer.name == peer.name && known.peer.id != peer.id)
}

fn majority(voters: usize) -> usize {
    (voters / 2).saturating_add(1)
}

/// The largest odd number up to this one; 0 for 0.
fn odd(number: usize) -> usize {
    if number.is_multiple_of(2) { number.saturating_sub(1) } else { number }
}

#[cfg(test)]
#[path = "voters_tests.rs"]
mod tests;
