//! What notifications and intents do to members, and who is told.
//!
//! Answers to `docs/spec/serf-gossip.md` 4.1 to 4.6 and 12.3 (Go `serf.go` handleNode*, handlePrune, reap, reconnect). With
//! F6: nothing blocks, whoever memberlist holds alive is never erased, and a leave that is not confirmed is taken back.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Timer;
use crate::intents::IntentKind;
use crate::limits::MEMBERS_MAX;
use crate::memberlist::{self, JoinTarget};
use crate::members::{Departure, Updated};
use crate::messages::{JoinIntent, LeaveIntent};
use crate::tags::DecodedTags;
use crate::{
    Event, Instant, LamportClock, LamportTime, Member, MemberEvent, MemberEventKind, MemberStatus, NodeName, Output,
    Serf, SerfState, Tags,
};

impl Serf {
    pub(crate) fn on_joined(&mut self, now: Instant, seen: &memberlist::Member) {
        let known = self.core.table.get(&seen.name).is_some();
        if !known && self.core.table.len() >= MEMBERS_MAX {
            match self.core.table.longest_gone() {
                Some(gone) => self.erase(now, &gone, Forced::No),
                None => {
                    self.refuse_member(now, &seen.name);
                    return;
                }
            }
        }
        let heard = if known { None } else { self.core.intents.start_of(&seen.name) };
        let joined = self.core.table.join(now, seen, decode_meta(seen), heard);
        if joined.failed_for.is_some_and(|time| time < self.config.flap_timeout) {
            self.counters.member_flap = self.counters.member_flap.saturating_add(1);
        }
        self.timers.cancel(&Timer::RestoreAlive(seen.name.clone()));
        if joined.member.status == MemberStatus::Leaving {
            self.expect_departure(now, &seen.name);
        }
        self.counters.member_join = self.counters.member_join.saturating_add(1);
        tracing::info!(target: "serf", "EventMemberJoin: {} {}", seen.name.0, address_text(&joined.member));
        self.emit_member(now, MemberEventKind::Join, joined.member, Forced::No);
    }

    fn refuse_member(&mut self, now: Instant, name: &NodeName) {
        self.counters.members_refused = self.counters.members_refused.saturating_add(1);
        if self.table_full_told.is_none_or(|told| now.since(told) >= TABLE_FULL_REMINDER) {
            self.table_full_told = Some(now);
            let refused = self.counters.members_refused;
            tracing::warn!(
                target: "serf", "The table of {MEMBERS_MAX} members is full: {} is not listed ({refused} so far)", name.0
            );
        }
    }

    pub(crate) fn on_updated(&mut self, now: Instant, seen: &memberlist::Member) {
        let Some(Updated { member, capability_only }) = self.core.table.update(seen, decode_meta(seen)) else { return };
        if capability_only {
            tracing::debug!(target: "serf", "{} says anew what it can do beyond Serf", seen.name.0);
            let event = MemberEvent { kind: MemberEventKind::Update, members: vec![member], forced: false };
            self.outputs.push_back(Output::Event(Event::Members(event)));
            return;
        }
        self.counters.member_update = self.counters.member_update.saturating_add(1);
        tracing::info!(target: "serf", "EventMemberUpdate: {}", seen.name.0);
        self.emit_member(now, MemberEventKind::Update, member, Forced::No);
    }

    pub(crate) fn on_departed(&mut self, now: Instant, name: &NodeName, departure: Departure) {
        let member = match self.core.table.depart(now, name, departure) {
            Ok(member) => member,
            Err(MemberStatus::None) => return,
            Err(status) => {
                tracing::warn!(target: "serf", "Bad state when leave: {}", status.number());
                return;
            }
        };
        self.timers.cancel(&Timer::RestoreAlive(name.clone()));
        let kind = if member.status == MemberStatus::Left { MemberEventKind::Leave } else { MemberEventKind::Failed };
        let address = address_text(&member);
        if kind == MemberEventKind::Leave {
            self.counters.member_left = self.counters.member_left.saturating_add(1);
            tracing::info!(target: "serf", "EventMemberLeave: {} {address}", name.0);
        } else {
            self.counters.member_failed = self.counters.member_failed.saturating_add(1);
            tracing::info!(target: "serf", "EventMemberFailed: {} {address}", name.0);
        }
        self.emit_member(now, kind, member, Forced::No);
    }

    /// A leave intent (table 4.2). Says whether it is to be passed on.
    pub(crate) fn on_leave_intent(&mut self, now: Instant, intent: &LeaveIntent) -> bool {
        let (name, ltime) = (&intent.node, intent.ltime);
        if !witness(&mut self.core.clock, ltime, "leave intent", &mut self.counters.times_refused) {
            return false;
        }
        let Some(entry) = self.core.table.get(name) else {
            return self.core.intents.remember(now, name, IntentKind::Leave, ltime);
        };
        if ltime <= entry.status_ltime {
            return false;
        }
        let status = entry.member.status;
        if *name == self.core.name && self.core.state == SerfState::Alive {
            tracing::debug!(target: "serf", "Refuting an older leave intent");
            self.broadcast_join(now);
            return false;
        }
        self.core.table.raise_ltime(name, ltime);
        match status {
            MemberStatus::Alive => {
                self.core.table.set_status(name, MemberStatus::Leaving);
                self.expect_departure(now, name);
            }
            MemberStatus::Failed => {
                if let Some(member) = self.core.table.set_status(name, MemberStatus::Left) {
                    tracing::info!(
                        target: "serf", "EventMemberLeave (forced): {} {}", name.0, address_text(&member)
                    );
                    self.emit_member(now, MemberEventKind::Leave, member, Forced::Yes);
                }
            }
            MemberStatus::Leaving | MemberStatus::Left => {}
            MemberStatus::None => return false,
        }
        if intent.prune {
            self.prune(now, name);
        }
        true
    }

    /// A join intent (table 4.3). Says whether it is to be passed on.
    pub(crate) fn on_join_intent(&mut self, now: Instant, intent: &JoinIntent) -> bool {
        let (name, ltime) = (&intent.node, intent.ltime);
        if !witness(&mut self.core.clock, ltime, "join intent", &mut self.counters.times_refused) {
            return false;
        }
        let Some(entry) = self.core.table.get(name) else {
            return self.core.intents.remember(now, name, IntentKind::Join, ltime);
        };
        if ltime <= entry.status_ltime {
            return false;
        }
        let leaving = entry.member.status == MemberStatus::Leaving;
        self.core.table.raise_ltime(name, ltime);
        if leaving {
            self.core.table.set_status(name, MemberStatus::Alive);
            self.timers.cancel(&Timer::RestoreAlive(name.clone()));
        }
        true
    }

    /// Says that we are here: after a join, and to refute a leave (4.4).
    pub(crate) fn broadcast_join(&mut self, now: Instant) {
        let intent = JoinIntent { ltime: self.core.clock.take(), node: self.core.name.clone() };
        self.on_join_intent(now, &intent);
        self.core.broadcasts.queue_intent(&intent.node, intent.encode());
        self.core.broadcasts.prune(&self.config, self.core.table.len());
    }

    /// A leave was announced: whoever memberlist still holds alive after a push/pull interval has not left (F6).
    fn expect_departure(&mut self, now: Instant, name: &NodeName) {
        if *name != self.core.name {
            let interval = self.config.memberlist.push_pull_interval;
            let patience = if interval.is_zero() { DEPARTURE_PATIENCE } else { interval };
            self.timers.set(Timer::RestoreAlive(name.clone()), now.after(patience));
        }
    }

    pub(crate) fn restore_alive(&mut self, name: &NodeName) {
        if self.core.table.status(name) == MemberStatus::Leaving && self.memberlist.is_alive(name) {
            tracing::warn!(target: "serf", "{} announced its leave but is still here: alive again", name.0);
            self.core.table.set_status(name, MemberStatus::Alive);
        }
    }

    /// Erases a member by an operator's wish: at once if it has gone, else after the time a leave takes (12.3).
    fn prune(&mut self, now: Instant, name: &NodeName) {
        if *name == self.core.name {
            return;
        }
        if self.core.table.status(name) == MemberStatus::Leaving {
            self.prune_later(now, name);
        } else {
            self.prune_due(now, name);
        }
    }

    /// The first deadline stands: repeated wishes do not put it off.
    fn prune_later(&mut self, now: Instant, name: &NodeName) {
        let timer = Timer::Prune(name.clone());
        if self.timers.deadline(&timer).is_none() {
            let delay = self.config.broadcast_timeout.saturating_add(self.config.leave_propagate_delay);
            self.timers.set(timer, now.after(delay));
        }
    }

    /// The prune itself: only of members that are really gone (F6: an erased living member never comes back in Go).
    pub(crate) fn prune_due(&mut self, now: Instant, name: &NodeName) {
        match self.core.table.status(name) {
            // Its leave may take longer than usual. That ends: it leaves, or is alive again (`restore_alive`).
            MemberStatus::Leaving if self.memberlist.is_alive(name) => self.prune_later(now, name),
            MemberStatus::Left | MemberStatus::Failed if self.memberlist.is_alive(name) => {
                tracing::warn!(target: "serf", "Not pruning {}: it is still here", name.0);
            }
            MemberStatus::Leaving | MemberStatus::Left | MemberStatus::Failed => {
                self.erase(now, name, Forced::Yes);
            }
            MemberStatus::Alive => tracing::info!(target: "serf", "Not pruning {}: it has refuted its leave", name.0),
            MemberStatus::None => {}
        }
        self.on_prune_settled(now, name);
    }

    /// Forgets members whose time is up and intents nobody followed up (4.5).
    pub(crate) fn reap(&mut self, now: Instant) {
        let (reconnect, tombstone) = (self.config.reconnect_timeout, self.config.tombstone_timeout);
        for name in self.core.table.expired(now, reconnect, tombstone) {
            if !self.memberlist.is_alive(&name) {
                self.erase(now, &name, Forced::No);
            }
        }
        self.core.intents.expire(now, self.config.recent_intent_timeout);
        self.set_loop(now, Timer::Reap);
    }

    /// Tries one failed member, about once per interval in the whole cluster (4.6).
    pub(crate) fn reconnect(&mut self, now: Instant) {
        self.set_loop(now, Timer::Reconnect);
        let failed = self.core.table.failed().len();
        if failed == 0 || self.core.state != SerfState::Alive || self.joins.is_reconnecting() {
            return;
        }
        if !self.random.happens(failed, self.core.table.present()) {
            tracing::debug!(target: "serf", "forgoing reconnect for random throttling");
            return;
        }
        let chosen = self.random.below(failed);
        let Some(name) = self.core.table.failed().iter().nth(chosen).cloned() else { return };
        let Some(address) = self.core.table.get(&name).and_then(|entry| socket_address(&entry.member)) else { return };
        tracing::info!(target: "serf", "attempting reconnect to {} {address}", name.0);
        let target = JoinTarget { name: Some(name), address };
        let stream = self.memberlist.join(now, &target, &mut self.core);
        self.joins.reconnecting(stream);
    }

    fn erase(&mut self, now: Instant, name: &NodeName, forced: Forced) {
        let Some(member) = self.core.table.erase(name) else { return };
        if let Some(own) = self.core.coordinates.as_mut() {
            own.client.forget(name);
            own.cache.remove(name);
        }
        self.timers.cancel(&Timer::RestoreAlive(name.clone()));
        self.timers.cancel(&Timer::Prune(name.clone()));
        match forced {
            Forced::Yes => {
                tracing::info!(target: "serf", "EventMemberReap (forced): {} {}", name.0, address_text(&member));
            }
            Forced::No => tracing::info!(target: "serf", "EventMemberReap: {}", name.0),
        }
        self.emit_member(now, MemberEventKind::Reap, member, forced);
    }

    fn emit_member(&mut self, now: Instant, kind: MemberEventKind, member: Arc<Member>, forced: Forced) {
        let event = MemberEvent { kind, members: vec![member], forced: forced == Forced::Yes };
        self.emit(now, Event::Members(event));
    }
}

/// Whether an operator wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forced {
    Yes,
    No,
}

/// Time between two lines about a full table (`ARCHITECTURE.md`, bounds).
const TABLE_FULL_REMINDER: Duration = Duration::from_secs(60);

/// How long an announced leave may take where there are no push/pulls: Go's LAN interval.
const DEPARTURE_PATIENCE: Duration = Duration::from_secs(30);

/// Catches up with a peer's time; refuses one too far ahead with a line in the log (F2).
pub(crate) fn witness(clock: &mut LamportClock, ltime: LamportTime, what: &str, refused: &mut u64) -> bool {
    match clock.witness(ltime) {
        Ok(()) => true,
        Err(error) => {
            *refused = refused.saturating_add(1);
            tracing::warn!(target: "serf", "refused {what}: {error}");
            false
        }
    }
}

/// Where a member listens.
pub(crate) fn socket_address(member: &Member) -> Option<std::net::SocketAddr> {
    member.address.ip().map(|ip| std::net::SocketAddr::new(ip, member.port))
}

/// The address as Go's log lines show it.
pub(crate) fn address_text(member: &Member) -> String {
    member.address.ip().map_or_else(|| "<nil>".to_string(), |ip| ip.to_string())
}

fn decode_meta(seen: &memberlist::Member) -> DecodedTags {
    let decoded = Tags::decode(&seen.meta);
    if let Some(damage) = &decoded.damage {
        tracing::error!(target: "serf", "Failed to decode tags: {damage}");
    }
    decoded
}
