//! Members as Serf's users see them, and the table of them.
//!
//! Answers to `docs/spec/serf-gossip.md` 4.1 and 4.5 (Go `serf.go`). The table only knows what a change does to a member;
//! who is told of it is decided in `membership.rs`, what intents mean in `intents.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::memberlist::Capability;
use crate::tags::DecodedTags;
use crate::{Instant, LamportTime, NodeName, Tags, Versions, WireAddress, memberlist};

/// What a member is believed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberStatus {
    /// Unknown.
    None,
    /// Here.
    Alive,
    /// Has announced its leave.
    Leaving,
    /// Gone on purpose.
    Left,
    /// Gone without a word.
    Failed,
}
impl MemberStatus {
    /// Serf's word: `none alive leaving left failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }

    /// Go's number, as it travels in conflict responses.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Alive => 1,
            Self::Leaving => 2,
            Self::Left => 3,
            Self::Failed => 4,
        }
    }
}

/// One member as Serf's users see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Unique name.
    pub name: NodeName,
    /// Address as received.
    pub address: WireAddress,
    /// Gossip port.
    pub port: u16,
    /// Tags.
    pub tags: Tags,
    /// Status after the last change.
    pub status: MemberStatus,
    /// Version bytes.
    pub versions: Versions,
    /// What it can do beyond Serf; `None`: it is Go's, or had no room to say so. Serf's users never see it.
    pub capability: Option<Capability>,
}

/// What kind of change a member event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberEventKind {
    /// `member-join`
    Join,
    /// `member-leave`
    Leave,
    /// `member-failed`
    Failed,
    /// `member-update`
    Update,
    /// `member-reap`
    Reap,
}
impl MemberEventKind {
    /// Serf's name, e.g. `member-join`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "member-join",
            Self::Leave => "member-leave",
            Self::Failed => "member-failed",
            Self::Update => "member-update",
            Self::Reap => "member-reap",
        }
    }
}

/// What Serf knows of one member.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// What users see.
    pub(crate) member: Arc<Member>,
    /// Time of the newest intent that was believed. Never decreases while the entry exists.
    pub(crate) status_ltime: LamportTime,
    /// When it failed or left; `None` while it is here.
    pub(crate) gone_since: Option<Instant>,
}

/// How a member went, as far as memberlist can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// It said farewell itself.
    Farewell,
    /// Others found it dead.
    Death,
}

/// What a join did to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// The member.
    pub(crate) member: Arc<Member>,
    /// How long it had been failed, if it had.
    pub(crate) failed_for: Option<Duration>,
}

/// What an update did to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Updated {
    /// The member.
    pub(crate) member: Arc<Member>,
    /// Nothing has changed that Serf's users see.
    pub(crate) capability_only: bool,
}

/// All known members by name. The lists of failed and left ones follow from the status by construction.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: BTreeMap<NodeName, Entry>,
    failed: BTreeSet<NodeName>,
    left: BTreeSet<NodeName>,
    /// Failed and left members by the time they went.
    gone: BTreeSet<(Instant, NodeName)>,
    revision: u64,
}

impl Table {
    /// The entry of `name`.
    pub(crate) fn get(&self, name: &NodeName) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The status of `name`: `None` if it is unknown.
    pub(crate) fn status(&self, name: &NodeName) -> MemberStatus {
        self.entries.get(name).map_or(MemberStatus::None, |entry| entry.member.status)
    }

    /// All entries in name order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Names of failed members.
    pub(crate) fn failed(&self) -> &BTreeSet<NodeName> {
        &self.failed
    }

    /// Names of members that left.
    pub(crate) fn left(&self) -> &BTreeSet<NodeName> {
        &self.left
    }

    /// Members known.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Members neither failed nor left.
    pub(crate) fn present(&self) -> usize {
        self.entries.len().saturating_sub(self.failed.len()).saturating_sub(self.left.len())
    }

    /// Grows with every visible change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Memberlist says it is here. A name not yet known starts with `intent`: the status and time of what was heard of
    /// it before.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        seen: &memberlist::Member,
        told: DecodedTags,
        intent: Option<(MemberStatus, LamportTime)>,
    ) -> Joined {
        let name = seen.name.clone();
        let known = self.entries.get(&name);
        let failed_for = known
            .filter(|entry| entry.member.status == MemberStatus::Failed)
            .and_then(|entry| entry.gone_since)
            .map(|since| now.since(since));
        let (status, status_ltime) = match known {
            Some(entry) => (MemberStatus::Alive, entry.status_ltime),
            None => intent.unwrap_or((MemberStatus::Alive, LamportTime::default())),
        };
        let member = Arc::new(member_from(seen, told, status));
        self.forget_departure(&name);
        self.entries.insert(name.clone(), Entry { member: Arc::clone(&member), status_ltime, gone_since: None });
        self.failed.remove(&name);
        self.left.remove(&name);
        self.touch();
        Joined { member, failed_for }
    }

    /// Memberlist says its meta data changed. `None`: unknown.
    pub(crate) fn update(&mut self, seen: &memberlist::Member, told: DecodedTags) -> Option<Updated> {
        let entry = self.entries.get_mut(&seen.name)?;
        let before = Arc::clone(&entry.member);
        entry.member = Arc::new(member_from(seen, told, before.status));
        let member = Arc::clone(&entry.member);
        self.touch();
        let of_before = Member { capability: member.capability, ..Member::clone(&before) };
        let capability_only = member.capability != before.capability && of_before == *member;
        Some(Updated { member, capability_only })
    }

    /// Memberlist says it is gone. `Err`: the status in which that makes no sense (`None`: unknown name).
    ///
    /// Whoever said farewell to memberlist has left, even where the intent was lost (F12).
    pub(crate) fn depart(
        &mut self,
        now: Instant,
        name: &NodeName,
        departure: Departure,
    ) -> Result<Arc<Member>, MemberStatus> {
        let status = match (self.status(name), departure) {
            (MemberStatus::Leaving, _) | (MemberStatus::Alive, Departure::Farewell) => MemberStatus::Left,
            (MemberStatus::Alive, Departure::Death) => MemberStatus::Failed,
            (other, _) => return Err(other),
        };
        self.forget_departure(name);
        if let Some(entry) = self.entries.get_mut(name) {
            entry.gone_since = Some(now);
            self.gone.insert((now, name.clone()));
        }
        self.set_status(name, status).ok_or(MemberStatus::None)
    }

    /// Changes a status and the lists that follow from it. A failed member that becomes left keeps the time it failed.
    pub(crate) fn set_status(&mut self, name: &NodeName, status: MemberStatus) -> Option<Arc<Member>> {
        let entry = self.entries.get_mut(name)?;
        Arc::make_mut(&mut entry.member).status = status;
        let member = Arc::clone(&entry.member);
        self.failed.remove(name);
        self.left.remove(name);
        match status {
            MemberStatus::Failed => {
                self.failed.insert(name.clone());
            }
            MemberStatus::Left => {
                self.left.insert(name.clone());
            }
            MemberStatus::None | MemberStatus::Alive | MemberStatus::Leaving => {}
        }
        self.touch();
        Some(member)
    }

    /// Believes an intent of time `ltime`; an older time changes nothing.
    pub(crate) fn raise_ltime(&mut self, name: &NodeName, ltime: LamportTime) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.status_ltime = entry.status_ltime.max(ltime);
        }
    }

    /// Forgets a member.
    pub(crate) fn erase(&mut self, name: &NodeName) -> Option<Arc<Member>> {
        self.forget_departure(name);
        let entry = self.entries.remove(name)?;
        self.failed.remove(name);
        self.left.remove(name);
        self.touch();
        Some(entry.member)
    }

    /// Failed and left members whose time is up (Go `reap`: strictly longer than the timeout).
    pub(crate) fn expired(&self, now: Instant, reconnect: Duration, tombstone: Duration) -> Vec<NodeName> {
        let older = |name: &&NodeName, timeout: Duration| {
            let since = self.entries.get(*name).and_then(|entry| entry.gone_since);
            since.is_some_and(|since| now.since(since) > timeout)
        };
        let failed = self.failed.iter().filter(|name| older(name, reconnect));
        failed.chain(self.left.iter().filter(|name| older(name, tombstone))).cloned().collect()
    }

    /// The failed or left member that has been gone longest.
    pub(crate) fn longest_gone(&self) -> Option<NodeName> {
        self.gone.first().map(|(_, name)| name.clone())
    }

    fn forget_departure(&mut self, name: &NodeName) {
        if let Some(since) = self.entries.get(name).and_then(|entry| entry.gone_since) {
            self.gone.remove(&(since, name.clone()));
        }
    }

    fn touch(&mut self) {
        self.revision = self.revision.saturating_add(1);
    }
}

fn member_from(seen: &memberlist::Member, told: DecodedTags, status: MemberStatus) -> Member {
    Member {
        name: seen.name.clone(),
        address: seen.address.clone(),
        port: seen.port,
        tags: told.tags,
        status,
        versions: seen.versions,
        capability: told.capability,
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
