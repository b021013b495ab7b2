//! Logical clocks: [`LamportTime`] is a point, [`LamportClock`] hands points out and catches up with others.
//!
//! Answers to Go's `serf/lamport.go` and `docs/spec/serf-gossip.md` section 3. Differs on purpose (F2): a clock never
//! wraps, and a time absurdly far ahead is refused, because one such message would freeze a Go cluster.

use crate::limits::LAMPORT_JUMP_MAX;

/// A point in one of the three logical clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct LamportTime(pub u64);

impl LamportTime {
    /// The point `steps` later, or the last one there is.
    #[must_use]
    pub const fn plus(self, steps: u64) -> Self {
        Self(self.0.saturating_add(steps))
    }

    /// The point `steps` earlier, or the first one.
    #[must_use]
    pub const fn minus(self, steps: u64) -> Self {
        Self(self.0.saturating_sub(steps))
    }
}

impl std::fmt::Display for LamportTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A peer's time is so far ahead that believing it would make everybody else's messages look old. The clock is
/// unchanged; drop the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logical time {claimed} is too far ahead of {current}")]
pub struct TooFarAhead {
    /// What the message said.
    pub claimed: LamportTime,
    /// What the clock says.
    pub current: LamportTime,
}

/// One logical clock. It reads the next unused time and never goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LamportClock {
    next: LamportTime,
}

impl Default for LamportClock {
    fn default() -> Self {
        Self::new()
    }
}

impl LamportClock {
    /// A clock that reads 1, as every agent's clock does after its start.
    pub const fn new() -> Self {
        Self { next: LamportTime(1) }
    }

    /// A clock that has seen `last`, a time read from our own disk: it is believed whatever it says.
    pub fn restored(last: LamportTime) -> Self {
        let mut clock = Self::new();
        clock.catch_up(last);
        clock
    }

    /// The next unused time.
    pub const fn time(&self) -> LamportTime {
        self.next
    }

    /// Takes the next unused time for a message of ours; two messages never share one (F3).
    pub fn take(&mut self) -> LamportTime {
        let taken = self.next;
        self.next = taken.plus(1);
        taken
    }

    /// Catches up with a time a peer used: afterwards the clock is past it.
    ///
    /// # Errors
    /// Refuses a time more than [`LAMPORT_JUMP_MAX`] ahead; the clock is unchanged.
    pub fn witness(&mut self, seen: LamportTime) -> Result<(), TooFarAhead> {
        if !self.believes(seen) {
            return Err(TooFarAhead { claimed: seen, current: self.next });
        }
        self.catch_up(seen);
        Ok(())
    }

    /// Whether [`Self::witness`] takes this time.
    pub const fn believes(&self, seen: LamportTime) -> bool {
        seen.0.saturating_sub(self.next.0) <= LAMPORT_JUMP_MAX
    }

    fn catch_up(&mut self, seen: LamportTime) {
        if seen >= self.next {
            self.next = seen.plus(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_clock_reads_one() {
        assert_eq!(LamportClock::new().time(), LamportTime(1));
        assert_eq!(LamportClock::restored(LamportTime(0)).time(), LamportTime(1));
    }

    #[test]
    fn restored_clock_reads_one_more() {
        assert_eq!(LamportClock::restored(LamportTime(41)).time(), LamportTime(42));
        assert_eq!(LamportClock::restored(LamportTime(u64::MAX)).time(), LamportTime(u64::MAX));
    }

    #[test]
    fn taking_gives_every_time_once() {
        let mut clock = LamportClock::new();
        assert_eq!(clock.take(), LamportTime(1));
        assert_eq!(clock.take(), LamportTime(2));
        assert_eq!(clock.time(), LamportTime(3));
    }

    #[test]
    fn witnessing_an_equal_time_advances() {
        let mut clock = LamportClock::new();
        clock.witness(LamportTime(41)).unwrap();
        assert_eq!(clock.time(), LamportTime(42));
        clock.witness(LamportTime(42)).unwrap();
        assert_eq!(clock.time(), LamportTime(43));
        clock.witness(LamportTime(30)).unwrap();
        assert_eq!(clock.time(), LamportTime(43));
    }

    #[test]
    fn time_far_ahead_is_refused_and_changes_nothing() {
        let mut clock = LamportClock::new();
        assert_eq!(
            clock.witness(LamportTime(u64::MAX)),
            Err(TooFarAhead { claimed: LamportTime(u64::MAX), current: LamportTime(1) })
        );
        assert_eq!(clock.time(), LamportTime(1));
        clock.witness(LamportTime(1 + LAMPORT_JUMP_MAX)).unwrap();
        assert_eq!(clock.time(), LamportTime(2 + LAMPORT_JUMP_MAX));
    }

    #[test]
    fn clock_at_the_end_of_time_stays_there() {
        let mut clock = LamportClock::restored(LamportTime(u64::MAX));
        assert_eq!(clock.take(), LamportTime(u64::MAX));
        clock.witness(LamportTime(u64::MAX)).unwrap();
        assert_eq!(clock.time(), LamportTime(u64::MAX));
    }
}
