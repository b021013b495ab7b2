//! Joining: by request, by what a snapshot remembers, and what follows a success.
//!
//! Answers to `docs/spec/serf-gossip.md` section 12 (Go `serf.go` Join, handleRejoin) and 5.4. With F13 (re-joining goes on
//! until it works), F14 (a re-join without a known event clock ignores old events) and F23 (every success is announced).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::engine::Timer;
use crate::limits::{JOIN_TARGETS_MAX, PENDING_JOINS_MAX};
use crate::memberlist::JoinError;
use crate::{
    Completion, Instant, JoinTarget, LamportTime, NodeName, OldEvents, OperationId, Output, RequestError, Restored,
    Serf, SerfState, StreamId, names,
};

/// Joins under way.
pub(crate) struct Joins {
    running: Option<Join>,
    pending: VecDeque<Join>,
    rejoin: Rejoin,
    reconnect: Option<StreamId>,
    /// When we last turned to a cluster, by request or from memory.
    initiated: Option<Instant>,
    exchanges: Exchanges,
}

/// Joining exchanges of late: those that are not ours were begun by a peer.
#[derive(Debug, Clone, Copy, Default)]
struct Exchanges {
    last: Instant,
    all: u64,
    ours: u64,
}

/// A join by request: one target after the other, as in Go.
struct Join {
    operation: OperationId,
    targets: VecDeque<JoinTarget>,
    current: Option<StreamId>,
    old_events: OldEvents,
    contacted: usize,
    errors: Vec<String>,
}

/// Members known from an earlier life, tried until one answers.
struct Rejoin {
    previous: BTreeMap<NodeName, SocketAddr>,
    /// Members that had failed when that life ended: tried after those.
    failed: BTreeMap<NodeName, SocketAddr>,
    untried: Vec<(NodeName, SocketAddr)>,
    current: Option<(StreamId, NodeName, SocketAddr)>,
    /// Whether a round has begun yet.
    tried: bool,
    pause: Duration,
    old_events: OldEvents,
}

impl Joins {
    pub(crate) fn new(restored: &Restored, own_name: &NodeName) -> Self {
        let mut previous = restored.members.clone();
        previous.remove(own_name);
        let mut failed = restored.failed.clone();
        failed.remove(own_name);
        // With an event clock the floor is known already, and what was missed meanwhile is welcome.
        let knows_events = restored.event_clock > LamportTime::default();
        let old_events = if knows_events { OldEvents::Replay } else { OldEvents::Ignore };
        Self {
            running: None,
            pending: VecDeque::new(),
            rejoin: Rejoin {
                previous,
                failed,
                untried: Vec::new(),
                current: None,
                tried: false,
                pause: REJOIN_PAUSE_FIRST,
                old_events,
            },
            reconnect: None,
            initiated: None,
            exchanges: Exchanges::default(),
        }
    }

    /// Whether there is anybody to re-join.
    pub(crate) fn has_previous(&self) -> bool {
        !self.rejoin.previous.is_empty() || !self.rejoin.failed.is_empty()
    }

    /// Whether events older than a joining exchange are to be refused.
    pub(crate) fn ignores_old_events(&self) -> bool {
        let asked = self.running.as_ref().is_some_and(|join| join.old_events == OldEvents::Ignore);
        asked || (self.rejoin.current.is_some() && self.rejoin.old_events == OldEvents::Ignore)
    }

    /// Whether the reconnector is busy.
    pub(crate) fn is_reconnecting(&self) -> bool {
        self.reconnect.is_some()
    }

    /// The reconnector has started an exchange.
    pub(crate) fn reconnecting(&mut self, stream: StreamId) {
        self.reconnect = Some(stream);
    }

    /// The state of a joining exchange has arrived, of ours or of a peer's.
    pub(crate) fn saw_join_state(&mut self, now: Instant) {
        if now.since(self.exchanges.last) > RECENT_JOIN {
            self.exchanges = Exchanges::default();
        }
        self.exchanges.last = now;
        self.exchanges.all = self.exchanges.all.saturating_add(1);
    }

    /// Whether we turned to a cluster of late.
    pub(crate) fn have_initiated(&self, now: Instant) -> bool {
        self.initiated.is_some_and(|at| now.since(at) <= RECENT_JOIN)
    }

    /// Whether a peer turned to us of late.
    pub(crate) fn were_approached(&self, now: Instant) -> bool {
        self.exchanges.all > self.exchanges.ours && now.since(self.exchanges.last) <= RECENT_JOIN
    }
}

impl Serf {
    /// Joins through every target; ends with [`Completion::Join`]. One join runs at a time, others wait their turn.
    ///
    /// # Errors
    /// We are leaving or have left, or too many joins wait.
    pub fn join(
        &mut self,
        now: Instant,
        targets: Vec<JoinTarget>,
        old_events: OldEvents,
    ) -> Result<OperationId, RequestError> {
        if self.core.state != SerfState::Alive {
            return Err(RequestError::NotAlive);
        }
        if self.joins.pending.len() >= PENDING_JOINS_MAX {
            return Err(RequestError::TooMany(PENDING_JOINS_MAX));
        }
        let operation = self.operations.draw();
        let mut targets = VecDeque::from(targets);
        let surplus = targets.split_off(targets.len().min(JOIN_TARGETS_MAX));
        let too_many = |target: JoinTarget| format!("failed to join {}: too-many-targets", target.address);
        let errors = surplus.into_iter().map(too_many).collect();
        let join = Join { operation, targets, current: None, old_events, contacted: 0, errors };
        self.joins.pending.push_back(join);
        self.advance_join(now);
        self.absorb(now);
        Ok(operation)
    }

    pub(crate) fn on_join_finished(&mut self, now: Instant, stream: StreamId, result: Result<(), JoinError>) {
        self.joins.exchanges.ours = self.joins.exchanges.ours.saturating_add(u64::from(result.is_ok()));
        if self.joins.reconnect == Some(stream) {
            self.joins.reconnect = None;
            if result.is_ok() && self.core.state == SerfState::Alive {
                self.broadcast_join(now);
            }
            return;
        }
        if self.joins.rejoin.current.as_ref().is_some_and(|(current, ..)| *current == stream) {
            self.on_rejoin_finished(now, result);
            return;
        }
        let Some(join) = self.joins.running.as_mut() else { return };
        if join.current.take_if(|current| *current == stream).is_none() {
            return;
        }
        match result {
            Ok(()) => join.contacted = join.contacted.saturating_add(1),
            Err(error) => join.errors.push(error.to_string()),
        }
        self.advance_join(now);
    }

    /// Turns to the next target, or ends the join and starts the next one.
    fn advance_join(&mut self, now: Instant) {
        loop {
            if self.joins.running.is_none() {
                self.joins.running = self.joins.pending.pop_front();
            }
            let Some(join) = self.joins.running.as_mut() else { return };
            if join.current.is_some() {
                return;
            }
            let next = if self.core.state == SerfState::Alive { join.targets.pop_front() } else { None };
            if let Some(target) = next {
                if target.name.as_ref().is_some_and(|name| !names::is_usable(name)) {
                    join.errors.push(format!("failed to join {}: {}", target.address, names::UNUSABLE));
                    continue;
                }
                let stream = self.memberlist.join(now, &target, &mut self.core);
                join.current = Some(stream);
                self.joins.initiated = Some(now);
                return;
            }
            let Some(Join { operation, contacted, errors, .. }) = self.joins.running.take() else { return };
            if contacted > 0 && self.core.state == SerfState::Alive {
                self.broadcast_join(now);
            }
            self.complete(operation, Completion::Join { contacted, errors });
        }
    }

    /// Starts a round through the members known from an earlier life, unless one of them found us since the last round.
    /// The first one is never left out, as in Go: only a joining exchange brings the events missed meanwhile at once.
    pub(crate) fn rejoin_due(&mut self, now: Instant) {
        let Rejoin { previous, failed, tried, .. } = &self.joins.rejoin;
        if self.core.state != SerfState::Alive {
            return;
        }
        let mut known = previous.keys().chain(failed.keys());
        if *tried && known.any(|name| self.memberlist.is_alive(name)) {
            self.forget_failed();
            return;
        }
        // The last one is tried first.
        let mut order: Vec<_> = failed.clone().into_iter().collect();
        let all = order.len();
        self.random.choose(&mut order, all);
        let mut alive: Vec<_> = previous.clone().into_iter().collect();
        let all = alive.len();
        self.random.choose(&mut alive, all);
        order.append(&mut alive);
        self.joins.rejoin.untried = order;
        self.joins.rejoin.tried = true;
        self.advance_rejoin(now);
    }

    fn on_rejoin_finished(&mut self, now: Instant, result: Result<(), JoinError>) {
        let Some((_, name, address)) = self.joins.rejoin.current.take() else { return };
        if self.core.state != SerfState::Alive {
            return;
        }
        if result.is_ok() {
            tracing::info!(target: "serf", "Re-joined to previously known node: {}: {address}", name.0);
            self.joins.rejoin.untried.clear();
            self.forget_failed();
            self.broadcast_join(now);
        } else {
            self.advance_rejoin(now);
        }
    }

    /// The cluster is found: who of the earlier life's failed members is not in it would otherwise be kept for ever,
    /// because nobody is left who could tell us that it is forgotten.
    fn forget_failed(&mut self) {
        for name in std::mem::take(&mut self.joins.rejoin.failed).into_keys() {
            if self.core.table.get(&name).is_none() {
                let record = self.recorder.on_forgotten(&name);
                self.outputs.extend(record.map(Output::Record));
            }
        }
    }

    fn advance_rejoin(&mut self, now: Instant) {
        let rejoin = &mut self.joins.rejoin;
        let Some((name, address)) = rejoin.untried.pop() else {
            tracing::warn!(target: "serf", "Failed to re-join any previously known node");
            let pause = rejoin.pause;
            rejoin.pause = pause.saturating_mul(2).min(REJOIN_PAUSE_MAX);
            self.timers.set(Timer::Rejoin, now.after(pause));
            return;
        };
        tracing::info!(target: "serf", "Attempting re-join to previously known node: {}: {address}", name.0);
        let target = JoinTarget { name: Some(name.clone()), address };
        let stream = self.memberlist.join(now, &target, &mut self.core);
        self.joins.rejoin.current = Some((stream, name, address));
        self.joins.initiated = Some(now);
    }

    /// Tells the end of an operation.
    pub(crate) fn complete(&mut self, operation: OperationId, completion: Completion) {
        self.outputs.push_back(Output::Completed { operation, completion });
    }
}

/// Pause before the second round of re-joining; it doubles up to [`REJOIN_PAUSE_MAX`]. Ours: Go tries once.
const REJOIN_PAUSE_FIRST: Duration = Duration::from_secs(15);
/// Longest pause between two rounds of re-joining.
const REJOIN_PAUSE_MAX: Duration = Duration::from_secs(300);
/// How far back a join may lie to tell the newcomer among two nodes of one name. Ours: the longest a joining exchange may
/// take (Go's WAN `TCPTimeout`) and the time until the next one repeats the conflict.
pub(crate) const RECENT_JOIN: Duration = Duration::from_secs(60);
