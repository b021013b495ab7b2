//! Log time: where the last entry put it, and on from there by this member's monotonic clock. It never comes from a wall
//! clock, so no jump of one can end a lease.

use std::time::Duration;

use folkmoot_coordination::TimeMs;
use openraft::{AsyncRuntime, Instant};

/// The clock by which this member stamps entries, should it lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock<A: AsyncRuntime> {
    base: TimeMs,
    at: A::Instant,
}

impl<A: AsyncRuntime> Clock<A> {
    pub(crate) fn new() -> Self {
        Self { base: TimeMs(0), at: A::Instant::now() }
    }

    /// An entry of another leader was applied: time goes on from it.
    pub(crate) fn follow(&mut self, time: TimeMs) {
        *self = Self { base: time, at: A::Instant::now() };
    }

    /// An entry of this member was applied. Its stamp is older than now by as long as it took, and going back by that each
    /// time would let time stand still under load: the clock only ever goes forward here.
    pub(crate) fn lead(&mut self, time: TimeMs) {
        if time > self.now() {
            self.follow(time);
        }
    }

    /// Log time.
    pub(crate) fn now(&self) -> TimeMs {
        let elapsed = self.at.elapsed().as_millis();
        TimeMs(self.base.0.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX)))
    }

    /// How long until log time is `time`.
    pub(crate) fn until(&self, time: TimeMs) -> Duration {
        let due = Duration::from_millis(time.0.saturating_sub(self.base.0));
        due.saturating_sub(self.at.elapsed())
    }
}
