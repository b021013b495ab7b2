//! The engine's time: a distance from an epoch that only the shell (or a simulation) knows.

use std::time::Duration;

/// A moment, as the time passed since the engine's epoch. Never goes back; suspended time does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The moment the engine's time starts.
    pub const EPOCH: Self = Self(Duration::ZERO);

    /// The moment `elapsed` after the epoch.
    pub const fn from_epoch(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Time passed since the epoch.
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// Time passed since `earlier`; zero if that lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `delay` later; the end of time if that overflows.
    pub const fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }
}
