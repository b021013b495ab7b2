//! Deadlines: what will be due, when, and why. Holds [`Timer`] (the reasons the gossip engine has) and [`Timers`], the
//! table any engine can use. Not here: what happens when a deadline passes.

use std::collections::{BTreeMap, BTreeSet};

use crate::messages::SequenceNumber;
use crate::{Instant, NodeName, StreamId};

/// Why a deadline exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// The next member is to be probed.
    Probe,
    /// A gossip round is due.
    Gossip,
    /// An anti-entropy exchange is due.
    PushPull,
    /// A direct ping has not been answered: relays are asked.
    ProbeTimeout(SequenceNumber),
    /// A probe ends: without an answer its target becomes suspect.
    ProbeDeadline(SequenceNumber),
    /// A ping sent on behalf of somebody else has not been answered: they get a nack, and a late ack is not relayed.
    Relay(SequenceNumber),
    /// A suspect has not refuted: it is declared dead.
    Suspicion(NodeName),
    /// A stream has used up its time: it is closed.
    Stream(StreamId),
}

/// A table of deadlines: at most one per key, cancelled for real, fired in the order of (time, key).
///
/// Its length is that of the keys its owner uses; setting, cancelling and firing cost the logarithm of it.
#[derive(Debug, Clone)]
pub struct Timers<K> {
    due: BTreeSet<(Instant, K)>,
    at: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Timers<K> {
    /// No deadlines.
    pub fn new() -> Self {
        Self { due: BTreeSet::new(), at: BTreeMap::new() }
    }

    /// Sets the deadline of `key`, in place of any it had.
    pub fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.at.insert(key.clone(), at) {
            self.due.remove(&(before, key.clone()));
        }
        self.due.insert((at, key));
    }

    /// Removes the deadline of `key`, if it has one.
    pub fn cancel(&mut self, key: &K) {
        if let Some((key, at)) = self.at.remove_entry(key) {
            self.due.remove(&(at, key));
        }
    }

    /// Takes the earliest deadline that is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.due.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }

    /// The earliest deadline and its key.
    pub fn next(&self) -> Option<(Instant, &K)> {
        self.due.first().map(|(at, key)| (*at, key))
    }

    /// The deadline of `key`.
    pub fn deadline(&self, key: &K) -> Option<Instant> {
        self.at.get(key).copied()
    }

    /// Deadlines set.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

impl<K: Ord + Clone> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(milliseconds))
    }

    #[test]
    fn deadlines_fire_in_order_of_time_then_key() {
        let mut timers = Timers::new();
        timers.set("late", at(30));
        timers.set("b", at(10));
        timers.set("a", at(10));
        assert_eq!(timers.next(), Some((at(10), &"a")));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(20)), Some("a"));
        assert_eq!(timers.pop_due(at(20)), Some("b"));
        assert_eq!(timers.pop_due(at(20)), None);
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn setting_again_moves_the_deadline() {
        let mut timers = Timers::new();
        timers.set(1, at(10));
        timers.set(1, at(50));
        assert_eq!(timers.pop_due(at(40)), None);
        assert_eq!(timers.deadline(&1), Some(at(50)));
        assert_eq!(timers.pop_due(at(50)), Some(1));
        assert!(timers.is_empty());
    }

    #[test]
    fn cancelled_deadlines_never_fire() {
        let mut timers = Timers::new();
        timers.set(1, at(10));
        timers.cancel(&1);
        timers.cancel(&2);
        assert_eq!(timers.pop_due(at(100)), None);
        assert_eq!(timers.next(), None);
    }
}
