//! The operating system's clock as the engine's time, and how a pause of the machine is noticed.
//!
//! Linux's monotonic clock stands still while the machine is suspended, so suspended time does not count for any timer.
//! That it happened shows in the distance between the wall clock and the monotonic one.

use std::time::{Duration, SystemTime};

use folkmoot_serf::Instant;

/// The engine's epoch is the moment this was made.
#[derive(Debug, Clone)]
pub struct Clock {
    epoch: std::time::Instant,
    /// Both clocks when they were last compared.
    compared: (std::time::Instant, SystemTime),
}

impl Clock {
    /// Starts the engine's time.
    pub fn start() -> Self {
        let epoch = std::time::Instant::now();
        Self { epoch, compared: (epoch, SystemTime::now()) }
    }

    /// The engine's time; never goes back.
    pub fn now(&self) -> Instant {
        Instant::from_epoch(self.epoch.elapsed())
    }

    /// When the runtime has to wake up for the engine's `deadline`.
    pub fn to_tokio(&self, deadline: Instant) -> tokio::time::Instant {
        // Beyond what the clock can express (some hundred years) is never.
        let far = Duration::from_secs(86_400 * 365 * 30);
        let moment = self.epoch.checked_add(deadline.since_epoch().min(far));
        tokio::time::Instant::from_std(moment.unwrap_or(self.epoch))
    }

    /// By how much more than `tolerance` the wall clock has gained on the monotonic one since the last call: the machine
    /// was suspended, or its clock was set.
    pub fn take_pause(&mut self, tolerance: Duration) -> Option<Duration> {
        let current = (std::time::Instant::now(), SystemTime::now());
        let before = std::mem::replace(&mut self.compared, current);
        pause(current.0.duration_since(before.0), current.1.duration_since(before.1).ok()?, tolerance)
    }
}

fn pause(monotonic: Duration, wall: Duration, tolerance: Duration) -> Option<Duration> {
    wall.checked_sub(monotonic).filter(|gained| *gained > tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_starts_at_the_epoch_and_never_goes_back() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first.since_epoch() < Duration::from_secs(60));
        assert!(clock.now() >= first);
        let later = clock.to_tokio(first.after(Duration::from_secs(5)));
        assert!(later > tokio::time::Instant::now());
        let never = clock.to_tokio(Instant::from_epoch(Duration::MAX));
        assert!(never > tokio::time::Instant::now());
    }

    #[test]
    fn a_wall_clock_that_gains_means_a_pause_and_one_that_loses_does_not() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(seconds(1), seconds(61), seconds(1)), Some(seconds(60)));
        assert_eq!(pause(seconds(60), seconds(61), seconds(1)), None);
        assert_eq!(pause(seconds(60), seconds(1), seconds(1)), None);
    }
}
