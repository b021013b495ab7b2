//! How long silence is borne follows the round trips to the other voters: each voter measures them by signs of life and
//! chooses its own timing. No agreement is needed: the distances that two voters see differ by the distance between the two
//! at most, so their timings are near enough for each other's heartbeats.
//!
//! A machine that is busy answers late now and then: the worst answer counts as well as the usual one, or leaders that live
//! would be replaced. Longer at once, shorter only after a while, in steps that double: a change means that Raft starts
//! again here. So followers change and a leader stays as it is. What was found right is kept for the next start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::AsyncRuntime;

use crate::limits::{
    ROUND_TRIP_EVERY, ROUND_TRIP_PATIENCE, ROUND_TRIPS_FIRST, ROUND_TRIPS_KEPT, ROUND_TRIPS_MIN, SHORTER_AFTER,
    STALL_MAX,
};
use crate::member::Member;
use crate::network::Network;
use crate::peer::{NodeId, Peer};
use crate::settings::Timing;
use crate::status::{Quorum, Status};
use crate::transport::Transport;
use crate::writer::Change;

/// Measures, and lets the member follow, until it stops.
pub(crate) async fn keep<T: Transport, A: AsyncRuntime>(member: Arc<Member<A>>, network: Network<T, A>) {
    let mut tempo = Tempo::new(member.timing(), member.measured);
    while !member.seat.has_ended() {
        A::sleep(ROUND_TRIP_EVERY).await;
        let others = other_voters(&member);
        let network = &network;
        let ask = async |peer: &Peer| Some((peer.id, network.round_trip(peer, ROUND_TRIP_PATIENCE).await?));
        let answers = join_all(others.iter().map(ask)).await;
        tempo.measured(&others, answers.into_iter().flatten());
        network.contacts().measured(tempo.usual());
        let Some(level) = tempo.next(place(&member)) else { continue };
        let (usual, worst) = (tempo.usual().unwrap_or_default(), tempo.worst());
        let Timing { election_min, election_max, .. } = Timing::at(level);
        tracing::info!(
            "elections after {election_min:?} to {election_max:?} of silence: signs of life take {usual:?} between voters, \
             {worst:?} at worst"
        );
        let kept = member.writer.write(Change::Timing(level)).await.map_err(|error| error.to_string());
        let changed = member.retime(Timing::at(level)).await.map_err(|error| error.to_string());
        if let Err(error) = kept.and(changed) {
            return tracing::error!(%error, "the Raft log cannot be used any more: this member stops");
        }
    }
}

/// What a member is to the others while it thinks about its timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Leads,
    Follows,
    /// Nobody is known to lead.
    Leaderless,
}

fn place<A: AsyncRuntime>(member: &Member<A>) -> Place {
    if member.leads_with_quorum(STALL_MAX) {
        return Place::Leads;
    }
    match Status::of(member).quorum {
        Quorum::Ok => Place::Follows,
        Quorum::None | Quorum::Lost { .. } => Place::Leaderless,
    }
}

/// The voters but this member, if it votes.
fn other_voters<A: AsyncRuntime>(member: &Member<A>) -> Vec<Peer> {
    let metrics = member.metrics();
    let membership = metrics.membership_config.membership();
    let voters: Vec<NodeId> = membership.voter_ids().collect();
    if !voters.contains(&metrics.id) {
        return Vec::new();
    }
    let others = voters.into_iter().filter(|id| *id != metrics.id);
    others.filter_map(|id| membership.get_node(&id).cloned()).collect()
}

/// What was measured, and the level of the timing that runs.
pub(crate) struct Tempo {
    level: u32,
    trips: BTreeMap<NodeId, VecDeque<Duration>>,
    /// The level follows from what was measured, here or in an earlier life.
    known: bool,
    /// Measurements in a row by which a lower level would do.
    calm: u32,
}

impl Tempo {
    /// With a timing that runs already, and may have been measured.
    pub(crate) fn new(timing: Timing, known: bool) -> Self {
        let higher = |level: &u32| Timing::at(*level).election_min >= timing.election_min;
        let level = (0..Timing::LEVELS).find(higher).unwrap_or(Timing::LEVELS - 1);
        Self { level, trips: BTreeMap::new(), known, calm: 0 }
    }

    /// Takes in one measurement of the voters that there are; those that did not answer keep what was measured before.
    pub(crate) fn measured(&mut self, voters: &[Peer], answers: impl Iterator<Item = (NodeId, Duration)>) {
        self.trips.retain(|id, _| voters.iter().any(|voter| voter.id == *id));
        for (id, trip) in answers {
            let trips = self.trips.entry(id).or_default();
            if trips.len() >= ROUND_TRIPS_KEPT {
                trips.pop_front();
            }
            trips.push_back(trip);
        }
    }

    /// The median to the slowest voter.
    pub(crate) fn usual(&self) -> Option<Duration> {
        let measured = self.trips.values().filter(|trips| trips.len() >= ROUND_TRIPS_MIN);
        let median = |trips: &VecDeque<Duration>| {
            let mut sorted: Vec<Duration> = trips.iter().copied().collect();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied()
        };
        measured.filter_map(median).max()
    }

    /// The longest of all.
    pub(crate) fn worst(&self) -> Duration {
        self.trips.values().flatten().max().copied().unwrap_or_default()
    }

    /// The level to change to, if that is due after this measurement. A leader keeps its own: it is the others who would
    /// replace it. Only a distance moves it that its heartbeats do not reach, and members that have found no leader.
    pub(crate) fn next(&mut self, place: Place) -> Option<u32> {
        let (usual, worst) = (self.usual()?, self.worst());
        // With a reserve, or what lies at the edge would change it back and forth, and load that grows step by step.
        let (twice, worst_twice) = (usual.saturating_mul(2), worst.saturating_mul(2));
        let safe = Timing::level_for(twice, worst_twice);
        self.calm = if safe < self.level { self.calm.saturating_add(1) } else { 0 };
        let first = !self.known && self.trips.values().all(|trips| trips.len() >= ROUND_TRIPS_FIRST);
        let calm = ROUND_TRIP_EVERY.saturating_mul(self.calm) >= SHORTER_AFTER;
        let longer = Timing::level_for(usual, worst) > self.level;
        let too_far = usual > Timing::at(self.level).heartbeat;
        let next = match place {
            Place::Leads | Place::Leaderless if too_far => Timing::level_for(twice, twice).max(self.level),
            Place::Follows if longer => safe,
            Place::Follows if first || calm => safe.min(self.level),
            Place::Leads | Place::Leaderless | Place::Follows => return None,
        };
        let news = next != self.level || !self.known;
        (self.level, self.calm, self.known) = (next, 0, true);
        news.then_some(next)
    }
}

#[cfg(test)]
#[path = "tempo_tests.rs"]
mod tests;
