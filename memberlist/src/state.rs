//! What alive, suspect and dead messages do to the member table: the decision tables of spec 6, step by step.
//! Answers to Go `aliveNode`, `suspectNode`, `deadNode` and `refute` in `state.go`.
//!
//! Not here: who sends these messages (`probe.rs`, `push_pull.rs`), and how they travel (`gossip.rs`).

use std::sync::Arc;

use bytes::Bytes;
use tracing::{debug, error, info, warn};

use crate::counters::count;
use crate::limits::{MEMBERS, META_BYTES, NAME_BYTES, REFUSAL_INTERVAL, REFUSALS_TOLD, REMINDER_INTERVAL};
use crate::members::{Liveness, Record};
use crate::suspicion::{Suspicion, SuspicionBounds};
use crate::{
    Alive, BroadcastId, Dead, Event, Host, Incarnation, Instant, LOG, Member, Memberlist, Message, NodeName, Refusal,
    Suspect, Timer, Versions,
};

impl Memberlist {
    /// Says that the host does not want a member: once in a while, because its messages go on coming.
    fn tell_refused(&mut self, now: Instant, name: NodeName, refusal: &Refusal) {
        count(&mut self.counters.members_unwanted);
        self.refusals.retain(|_, told| now.since(*told) < REFUSAL_INTERVAL);
        if self.refusals.contains_key(&name) || self.refusals.len() >= REFUSALS_TOLD {
            return;
        }
        warn!(target: LOG, "ignoring alive message for '{name}': {refusal}");
        self.refusals.insert(name, now);
    }

    /// An alive message from outside (6.1).
    pub(crate) fn on_alive(&mut self, now: Instant, mut alive: Alive, host: &impl Host) {
        let is_own = self.members.is_own(&alive.node);
        if is_own && self.leaving {
            return;
        }
        alive.port = self.effective_port(alive.port);
        let Some(claimed) = member_of(&alive) else {
            count(&mut self.counters.members_malformed);
            report_malformed(&alive);
            return;
        };
        if self.config.ask_host
            && let Err(refusal) = host.accept_member(&claimed)
        {
            self.tell_refused(now, alive.node, &refusal);
            return;
        }
        let Some(record) = self.members.get(&alive.node) else {
            self.on_newcomer(now, alive, claimed);
            return;
        };
        let known = &record.member;
        let moved = known.port != claimed.port || !known.address.is_same_place(&claimed.address);
        if moved && !self.may_be_taken_over(now, record) {
            self.report_conflict(known.clone(), claimed);
            return;
        }
        if is_own {
            let unchanged = known.meta == claimed.meta && known.versions == claimed.versions;
            if alive.incarnation > record.incarnation || (alive.incarnation == record.incarnation && !unchanged) {
                warn!(target: LOG, "Refuting an alive message for '{}' ({})", alive.node, place(&claimed));
                self.refute(alive.incarnation);
            }
            return;
        }
        if moved {
            info!(target: LOG, "Updating address for left or failed node {} from {} to {}", alive.node, place(known), place(&claimed));
        } else if alive.incarnation <= record.incarnation {
            self.remind(now, &alive);
            return;
        }
        self.accept_alive(alive, claimed, None);
    }

    /// Says that we are alive, with this meta and a higher incarnation than before (Go: `aliveNode` with `bootstrap`).
    /// False: there is no higher incarnation, and nothing was said.
    pub(crate) fn announce_self(&mut self, now: Instant, meta: &Bytes, waiter: Option<BroadcastId>) -> bool {
        let Some(incarnation) = self.incarnation.0.checked_add(1).map(Incarnation) else {
            self.report_exhausted();
            return false;
        };
        self.incarnation = incarnation;
        let member = Arc::new(Member {
            name: self.config.name.clone(),
            address: self.config.advertise_address.clone(),
            port: self.config.advertise_port,
            meta: meta.clone(),
            versions: self.config.versions(),
        });
        if self.members.get(&member.name).is_none() {
            self.members.insert(now, member.clone(), &mut self.random);
        }
        self.accept_alive(alive_of(&member, incarnation), member, waiter);
        true
    }

    /// Steps 4 and 10 for an unknown name.
    fn on_newcomer(&mut self, now: Instant, alive: Alive, claimed: Arc<Member>) {
        if alive.incarnation == Incarnation(0) {
            // Go would keep a dead entry for it that nothing ever revives.
            count(&mut self.counters.members_malformed);
            return;
        }
        if self.members.len() >= MEMBERS {
            count(&mut self.counters.members_refused);
            if self.counters.members_refused.is_power_of_two() {
                warn!(target: LOG, refused = self.counters.members_refused, "Member limit of {MEMBERS} reached, ignoring {}", alive.node);
            }
            return;
        }
        self.members.insert(now, claimed.clone(), &mut self.random);
        self.accept_alive(alive, claimed, None);
    }

    /// Steps 8 and 10 to 12: the message is news, and the member is known.
    fn accept_alive(&mut self, alive: Alive, member: Arc<Member>, waiter: Option<BroadcastId>) {
        let name = alive.node.clone();
        let incarnation = alive.incarnation;
        count(&mut self.counters.alive_messages);
        self.queue.enqueue(Some(name.0.clone()), Message::Alive(alive).encode(), waiter);
        let Some(before) = self.members.set_liveness(&name, Liveness::Alive) else { return };
        if matches!(before, Liveness::Suspect { .. }) {
            self.timers.cancel(&Timer::Suspicion(name.clone()));
        }
        let Some(record) = self.members.get_mut(&name) else { return };
        record.incarnation = incarnation;
        let meta_changed = record.member.meta != member.meta;
        if record.member != member {
            record.member = member;
        }
        let member = record.member.clone();
        if !before.is_living() {
            self.event(Event::Joined(member));
        } else if meta_changed {
            self.event(Event::Updated(member));
        }
    }

    /// A suspect message, from outside or of our own probe (6.2).
    pub(crate) fn on_suspect(&mut self, now: Instant, suspect: Suspect) {
        let is_own = self.members.is_own(&suspect.node);
        let node_count = self.members.len();
        let Some(record) = self.members.get_mut(&suspect.node) else { return };
        if suspect.incarnation < record.incarnation {
            return;
        }
        if suspect.from.0.len() > NAME_BYTES {
            count(&mut self.counters.messages_skipped);
            return;
        }
        if let Some(suspicion) = record.suspicion_mut() {
            if suspicion.confirm(&suspect.from) {
                let deadline = suspicion.deadline();
                self.timers.set(Timer::Suspicion(suspect.node.clone()), deadline);
                self.broadcast_suspect(suspect);
            }
            return;
        }
        if !record.liveness().is_living() {
            return;
        }
        if is_own {
            warn!(target: LOG, "Refuting a suspect message (from: {})", suspect.from);
            self.refute(suspect.incarnation);
            return;
        }
        record.incarnation = suspect.incarnation;
        let bounds = SuspicionBounds::new(
            self.config.suspicion_mult,
            self.config.suspicion_max_timeout_mult,
            self.config.probe_interval,
            node_count,
        );
        let suspicion = Suspicion::new(now, suspect.from.clone(), bounds);
        self.timers.set(Timer::Suspicion(suspect.node.clone()), suspicion.deadline());
        self.members.set_liveness(&suspect.node, Liveness::Suspect { suspicion });
        self.broadcast_suspect(suspect);
    }

    /// A suspect has not refuted in time (section 9).
    pub(crate) fn on_suspicion_timeout(&mut self, now: Instant, name: NodeName) {
        if now < self.accuse_after {
            self.timers.set(Timer::Suspicion(name), self.accuse_after);
            return;
        }
        let Some(record) = self.members.get_mut(&name) else { return };
        let incarnation = record.incarnation;
        let Some(suspicion) = record.suspicion_mut() else { return };
        let confirmations = suspicion.confirmations();
        if !suspicion.is_fully_confirmed() {
            count(&mut self.counters.degraded_timeouts);
        }
        info!(target: LOG, "Marking {name} as failed, suspect timeout reached ({confirmations} peer confirmations)");
        let from = self.config.name.clone();
        self.on_dead(now, Dead { from, incarnation, node: name }, None);
    }

    /// A dead message: from outside, of our own suspicion, or our farewell (6.3). `waiter`: who waits for the farewell.
    pub(crate) fn on_dead(&mut self, now: Instant, dead: Dead, waiter: Option<BroadcastId>) {
        let is_own = self.members.is_own(&dead.node);
        let Some(record) = self.members.get_mut(&dead.node) else { return };
        if dead.incarnation < record.incarnation {
            return;
        }
        if dead.from.0.len() > NAME_BYTES {
            count(&mut self.counters.messages_skipped);
            return;
        }
        if !record.liveness().is_living() {
            // Go keeps the old incarnation here, so that an alive older than this death would resurrect the member.
            record.incarnation = dead.incarnation;
            return;
        }
        if is_own && !self.leaving {
            warn!(target: LOG, "Refuting a dead message (from: {})", dead.from);
            self.refute(dead.incarnation);
            return;
        }
        record.incarnation = dead.incarnation;
        let member = record.member.clone();
        let has_left = dead.from == dead.node;
        let liveness = if has_left { Liveness::Left { since: now } } else { Liveness::Dead { since: now } };
        self.timers.cancel(&Timer::Suspicion(dead.node.clone()));
        self.members.set_liveness(&dead.node, liveness);
        count(&mut self.counters.dead_messages);
        self.queue.enqueue(Some(dead.node.0.clone()), Message::Dead(dead).encode(), waiter);
        self.event(if has_left { Event::Left(member) } else { Event::Failed(member) });
    }

    /// Outbids an accusation of ourselves (6.4). The broadcast is keyed by our name, where Go takes our IP text.
    fn refute(&mut self, accused: Incarnation) {
        let highest = self.incarnation.max(accused);
        let Some(incarnation) = highest.0.checked_add(1).map(Incarnation) else {
            self.report_exhausted();
            return;
        };
        self.incarnation = incarnation;
        self.awareness.apply(1);
        count(&mut self.counters.refutations);
        count(&mut self.counters.alive_messages);
        let Some(record) = self.members.get_mut(&self.config.name) else { return };
        record.incarnation = incarnation;
        let alive = alive_of(&record.member, incarnation);
        self.queue.enqueue(Some(self.config.name.0.clone()), Message::Alive(alive).encode(), None);
    }

    /// The highest incarnation there is has been used against us, by mistake or malice. Go's counter wraps to 0, after
    /// which nobody listens to us; ours stays, and somebody has to look.
    fn report_exhausted(&mut self) {
        count(&mut self.counters.incarnations_exhausted);
        // Whoever did it once can do it with every packet: the line comes less and less often.
        if !self.counters.incarnations_exhausted.is_power_of_two() {
            return;
        }
        error!(target: LOG, "Cannot refute: incarnation {} is the highest there is; peers hold us for dead until they forget us or this node gets another name", u32::MAX);
    }

    /// An alive message older than the end we know of its member: after a mass restart the others would never tell it,
    /// and it would stay dead for us (Go issue 311). One packet to the member itself lets it refute.
    fn remind(&mut self, now: Instant, alive: &Alive) {
        let Some(record) = self.members.get_mut(&alive.node) else { return };
        let recently = record.reminded.is_some_and(|before| now.since(before) < REMINDER_INTERVAL);
        if alive.incarnation >= record.incarnation || record.liveness().is_living() || recently {
            return;
        }
        let Some(to) = record.member.socket_address() else { return };
        record.reminded = Some(now);
        let from = match record.liveness() {
            Liveness::Left { .. } => alive.node.clone(),
            Liveness::Alive | Liveness::Suspect { .. } | Liveness::Dead { .. } => self.config.name.clone(),
        };
        let dead = Dead { from, incarnation: record.incarnation, node: alive.node.clone() };
        self.send_bare(to, &Message::Dead(dead));
    }

    /// Step 5: a name may move when its holder has left, or has been dead for long enough.
    fn may_be_taken_over(&self, now: Instant, record: &Record) -> bool {
        let reclaim = self.config.dead_node_reclaim_time;
        match record.liveness() {
            Liveness::Left { .. } => true,
            Liveness::Dead { since } => !reclaim.is_zero() && now.since(*since) > reclaim,
            Liveness::Alive | Liveness::Suspect { .. } => false,
        }
    }

    fn report_conflict(&mut self, known: Arc<Member>, claimed: Arc<Member>) {
        count(&mut self.counters.name_conflicts);
        error!(target: LOG, "Conflicting address for {}. Mine: {} Theirs: {}", known.name, place(&known), place(&claimed));
        self.event(Event::NameConflict { known, claimed });
    }

    fn broadcast_suspect(&mut self, suspect: Suspect) {
        count(&mut self.counters.suspect_messages);
        self.queue.enqueue(Some(suspect.node.0.clone()), Message::Suspect(suspect).encode(), None);
    }

    /// Port 0, and any port where we speak protocol 1, stands for our own bind port.
    pub(crate) fn effective_port(&self, port: u16) -> u16 {
        if port == 0 || self.config.protocol_version < 2 { self.config.bind_port } else { port }
    }
}

/// The member an alive message speaks of. `None` if no Go node can have sent it: its name or meta is too long, or its
/// address or versions cannot be used.
fn member_of(alive: &Alive) -> Option<Arc<Member>> {
    let versions = alive.versions.filter(Versions::is_sane)?;
    let meta = alive.meta.clone().unwrap_or_default().0;
    let name_fits = (1..=NAME_BYTES).contains(&alive.node.0.len());
    if !name_fits || meta.len() > META_BYTES || alive.address.ip().is_none() {
        return None;
    }
    let address = alive.address.clone();
    Some(Arc::new(Member { name: alive.node.clone(), address, port: alive.port, meta, versions }))
}

/// Go warns of versions; what else can be wrong Go does not look at.
fn report_malformed(alive: &Alive) {
    let Some(versions) = alive.versions.filter(|versions| !versions.is_sane()) else {
        debug!(target: LOG, "Ignoring an alive message for '{}': no versions, or its name, address or meta cannot be", alive.node);
        return;
    };
    let Versions { protocol_min, protocol_max, protocol_cur, .. } = versions;
    let place = alive.address.ip().map_or_else(|| "?".to_owned(), |ip| ip.to_string());
    warn!(
        target: LOG,
        "Ignoring an alive message for '{}' ({place}:{}) because protocol version(s) are wrong: {protocol_min} <= {protocol_cur} <= {protocol_max} should be >0",
        alive.node, alive.port
    );
}

fn alive_of(member: &Member, incarnation: Incarnation) -> Alive {
    Alive {
        address: member.address.clone(),
        incarnation,
        meta: (!member.meta.is_empty()).then(|| member.meta.clone().into()),
        node: member.name.clone(),
        port: member.port,
        versions: Some(member.versions),
    }
}

/// For the log: where a member listens.
fn place(member: &Member) -> String {
    member.socket_address().map_or_else(|| "?".to_owned(), |address| address.to_string())
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
