//! Intents heard of names that are not members yet.
//!
//! Answers to `docs/spec/serf-gossip.md` 4.2 and 4.3 row 1 and 4.5 (Go `recentIntents`, `upsertIntent`, `reapIntents`).
//! What an intent does to a member stands in `membership.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::{NODE_NAME_BYTES_MAX, RECENT_INTENTS_MAX};
use crate::{Instant, LamportTime, MemberStatus, NodeName};

/// What was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IntentKind {
    /// It is here.
    Join,
    /// It goes.
    Leave,
}

/// One intent per unknown name: the newest.
#[derive(Debug, Default)]
pub(crate) struct RecentIntents {
    intents: BTreeMap<NodeName, RecentIntent>,
    refused: u64,
}

#[derive(Debug, Clone, Copy)]
struct RecentIntent {
    kind: IntentKind,
    ltime: LamportTime,
    heard: Instant,
}

impl RecentIntents {
    /// Keeps an intent if it is the first or newest of its name; says whether it did. Names no member can have are refused.
    pub(crate) fn remember(&mut self, now: Instant, name: &NodeName, kind: IntentKind, ltime: LamportTime) -> bool {
        match self.intents.get(name) {
            Some(known) if ltime <= known.ltime => return false,
            None if self.intents.len() >= RECENT_INTENTS_MAX || name.0.len() > NODE_NAME_BYTES_MAX => {
                self.refused = self.refused.saturating_add(1);
                return false;
            }
            Some(_) | None => {}
        }
        self.intents.insert(name.clone(), RecentIntent { kind, ltime, heard: now });
        true
    }

    /// What a new member of this name starts as.
    pub(crate) fn start_of(&self, name: &NodeName) -> Option<(MemberStatus, LamportTime)> {
        self.intents.get(name).map(|intent| match intent.kind {
            IntentKind::Join => (MemberStatus::Alive, intent.ltime),
            IntentKind::Leave => (MemberStatus::Leaving, intent.ltime),
        })
    }

    /// Forgets intents older than `timeout`.
    pub(crate) fn expire(&mut self, now: Instant, timeout: Duration) {
        self.intents.retain(|_, intent| now.since(intent.heard) <= timeout);
    }

    /// Intents refused because the buffer was full.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(seconds))
    }

    fn name(text: &str) -> NodeName {
        NodeName(text.into())
    }

    #[test]
    fn only_newer_intents_replace_buffered_ones() {
        let mut intents = RecentIntents::default();
        assert!(intents.remember(at(0), &name("a"), IntentKind::Join, LamportTime(5)));
        assert!(!intents.remember(at(0), &name("a"), IntentKind::Leave, LamportTime(5)));
        assert!(!intents.remember(at(0), &name("a"), IntentKind::Leave, LamportTime(4)));
        assert_eq!(intents.start_of(&name("a")), Some((MemberStatus::Alive, LamportTime(5))));
        assert!(intents.remember(at(0), &name("a"), IntentKind::Leave, LamportTime(6)));
        assert_eq!(intents.start_of(&name("a")), Some((MemberStatus::Leaving, LamportTime(6))));
        assert_eq!(intents.start_of(&name("b")), None);
    }

    #[test]
    fn intents_expire_by_the_time_they_were_heard() {
        let mut intents = RecentIntents::default();
        intents.remember(at(0), &name("a"), IntentKind::Join, LamportTime(1));
        intents.remember(at(200), &name("b"), IntentKind::Join, LamportTime(1));
        intents.expire(at(300), Duration::from_secs(300));
        assert!(intents.start_of(&name("a")).is_some());
        intents.expire(at(301), Duration::from_secs(300));
        assert!(intents.start_of(&name("a")).is_none());
        assert!(intents.start_of(&name("b")).is_some());
    }

    #[test]
    fn full_buffer_refuses_new_names_and_counts() {
        let mut intents = RecentIntents::default();
        for number in 0..RECENT_INTENTS_MAX {
            assert!(intents.remember(at(0), &name(&number.to_string()), IntentKind::Join, LamportTime(1)));
        }
        assert!(!intents.remember(at(0), &name("one more"), IntentKind::Join, LamportTime(9)));
        assert!(intents.remember(at(0), &name("7"), IntentKind::Leave, LamportTime(2)));
        assert_eq!(intents.refused(), 1);
    }
}
