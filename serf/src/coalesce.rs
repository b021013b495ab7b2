//! Coalescing: several events within a short time reach Serf's clients as one.
//!
//! Answers to Go's `serf/coalesce*.go` and `docs/spec/serf-gossip.md` sections 13.2 to 13.4, with F9: nothing is repeated and
//! an update never hides a join. Whoever owns a coalescer calls `flush_due` when its deadline is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::{COALESCED_BYTES_MAX, COALESCED_EVENTS_MAX, COALESCED_NAMES_MAX};
use crate::{Event, Instant, LamportTime, Member, MemberEvent, MemberEventKind, NodeName, Text, UserEvent};

/// Member events: per name the sum of what happened.
#[derive(Debug, Clone)]
pub struct MemberCoalescer {
    window: Window,
    pending: BTreeMap<NodeName, Change>,
    /// What clients were last told of each name, updates aside.
    told: BTreeMap<NodeName, Change>,
}

impl MemberCoalescer {
    /// Flushes `period` after the first event, or after `quiescent_period` without one. Zero in either switches it off:
    /// everything passes straight through.
    pub fn new(period: Duration, quiescent_period: Duration) -> Self {
        Self { window: Window::new(period, quiescent_period), pending: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// Takes an event; one that is not coalesced comes straight back.
    #[must_use]
    pub fn push(&mut self, now: Instant, event: Event) -> Option<Event> {
        let Event::Members(MemberEvent { kind, members, forced }) = event else {
            return Some(event);
        };
        if !self.window.is_on() {
            return Some(Event::Members(MemberEvent { kind, members, forced }));
        }
        let mut beyond = Vec::new();
        for member in members {
            if self.pending.len() >= COALESCED_NAMES_MAX && !self.pending.contains_key(&member.name) {
                beyond.push(member);
                continue;
            }
            self.window.note(now);
            let earlier = self.pending.get(&member.name).map(|change| change.kind);
            let kind = folded(earlier, kind);
            self.pending.insert(member.name.clone(), Change { kind, member, forced });
        }
        (!beyond.is_empty()).then_some(Event::Members(MemberEvent { kind, members: beyond, forced }))
    }

    /// When [`Self::flush_due`] has something to give.
    pub fn deadline(&self) -> Option<Instant> {
        self.window.deadline()
    }

    /// Everything held, if it is due: at most one event per kind, names in order.
    #[must_use]
    pub fn flush_due(&mut self, now: Instant) -> Vec<Event> {
        if !self.window.close_if_due(now) {
            return Vec::new();
        }
        let mut by_kind: BTreeMap<MemberEventKind, MemberEvent> = BTreeMap::new();
        for (name, change) in std::mem::take(&mut self.pending) {
            let Some(kind) = self.news(&name, &change) else { continue };
            let event = by_kind.entry(kind).or_insert_with(|| MemberEvent { kind, members: Vec::new(), forced: true });
            event.members.push(Arc::clone(&change.member));
            event.forced &= change.forced;
            self.remember(name, Change { kind, ..change });
        }
        by_kind.into_values().map(Event::Members).collect()
    }

    /// What clients have to be told of a change, after all they were told before.
    fn news(&self, name: &NodeName, change: &Change) -> Option<MemberEventKind> {
        let Some(told) = self.told.get(name) else { return Some(change.kind) };
        if change.kind != told.kind {
            return Some(change.kind);
        }
        let differs = change.member.tags != told.member.tags
            || change.member.address != told.member.address
            || change.member.port != told.member.port;
        (change.kind == MemberEventKind::Join && differs).then_some(MemberEventKind::Update)
    }

    fn remember(&mut self, name: NodeName, change: Change) {
        match change.kind {
            // Its name is free: whoever takes it is somebody else.
            MemberEventKind::Reap => {
                self.told.remove(&name);
            }
            MemberEventKind::Update => {
                if let Some(told) = self.told.get_mut(&name) {
                    told.member = change.member;
                }
            }
            MemberEventKind::Join | MemberEventKind::Leave | MemberEventKind::Failed => {
                if self.told.len() < COALESCED_NAMES_MAX || self.told.contains_key(&name) {
                    self.told.insert(name, change);
                }
            }
        }
    }
}

/// What has become of a name.
#[derive(Debug, Clone)]
struct Change {
    kind: MemberEventKind,
    member: Arc<Member>,
    forced: bool,
}

/// The kind that says what two changes in a row amount to: the later one, but an update does not hide what it updates.
fn folded(earlier: Option<MemberEventKind>, later: MemberEventKind) -> MemberEventKind {
    match (earlier, later) {
        (Some(earlier), MemberEventKind::Update) => earlier,
        (_, later) => later,
    }
}

/// User events that allow it: per name those of the newest time.
#[derive(Debug, Clone)]
pub struct UserCoalescer {
    window: Window,
    pending: BTreeMap<Text, Newest>,
    /// Names and payloads held, bytes.
    held: usize,
}

/// Events of one name that share the newest time seen.
#[derive(Debug, Clone)]
struct Newest {
    ltime: LamportTime,
    events: Vec<UserEvent>,
    /// Their names and payloads, bytes.
    held: usize,
}

impl UserCoalescer {
    /// As [`MemberCoalescer::new`].
    pub fn new(period: Duration, quiescent_period: Duration) -> Self {
        Self { window: Window::new(period, quiescent_period), pending: BTreeMap::new(), held: 0 }
    }

    /// Takes an event; one that is not coalesced comes straight back.
    #[must_use]
    pub fn push(&mut self, now: Instant, event: Event) -> Option<Event> {
        let Event::User(event) = event else { return Some(event) };
        if !event.coalesce || !self.window.is_on() {
            return Some(Event::User(event));
        }
        if self.pending.len() >= COALESCED_NAMES_MAX && !self.pending.contains_key(&event.name) {
            return Some(Event::User(event));
        }
        let length = event.name.len().saturating_add(event.payload.as_ref().map_or(0, bytes::Bytes::len));
        if self.held.saturating_add(length) > COALESCED_BYTES_MAX {
            return Some(Event::User(event));
        }
        self.window.note(now);
        let ltime = event.ltime;
        let empty = || Newest { ltime, events: Vec::new(), held: 0 };
        let newest = self.pending.entry(event.name.clone()).or_insert_with(empty);
        if ltime > newest.ltime {
            self.held = self.held.saturating_sub(newest.held);
            *newest = empty();
        }
        if ltime == newest.ltime {
            if newest.events.len() >= COALESCED_EVENTS_MAX {
                return Some(Event::User(event));
            }
            newest.events.push(event);
            newest.held = newest.held.saturating_add(length);
            self.held = self.held.saturating_add(length);
        }
        None
    }

    /// When [`Self::flush_due`] has something to give.
    pub fn deadline(&self) -> Option<Instant> {
        self.window.deadline()
    }

    /// Everything held, if it is due, in name order.
    #[must_use]
    pub fn flush_due(&mut self, now: Instant) -> Vec<Event> {
        if !self.window.close_if_due(now) {
            return Vec::new();
        }
        self.held = 0;
        std::mem::take(&mut self.pending).into_values().flat_map(|newest| newest.events).map(Event::User).collect()
    }
}

/// When to flush: Go's quantum and quiescent timers (`coalesceLoop`).
#[derive(Debug, Clone)]
struct Window {
    period: Duration,
    quiescent_period: Duration,
    open: Option<Open>,
}

/// Something is held.
#[derive(Debug, Clone, Copy)]
struct Open {
    since: Instant,
    last: Instant,
}

impl Window {
    fn new(period: Duration, quiescent_period: Duration) -> Self {
        Self { period, quiescent_period, open: None }
    }

    fn is_on(&self) -> bool {
        !self.period.is_zero() && !self.quiescent_period.is_zero()
    }

    fn note(&mut self, now: Instant) {
        let since = self.open.map_or(now, |open| open.since);
        self.open = Some(Open { since, last: now });
    }

    fn deadline(&self) -> Option<Instant> {
        self.open.map(|open| open.since.after(self.period).min(open.last.after(self.quiescent_period)))
    }

    fn close_if_due(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.open = None;
        }
        due
    }
}

#[cfg(test)]
#[path = "coalesce_tests.rs"]
mod tests;
