//! How long a suspicion lasts, and how confirmations shorten it. Answers to Go `suspicion.go` and `suspicionTimeout`
//! in `util.go`, spec 9. The timer itself is kept by the engine under [`crate::Timer::Suspicion`].

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Instant, NodeName};

/// One running suspicion. It exists only inside [`crate::members::Liveness::Suspect`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspicion {
    started: Instant,
    bounds: SuspicionBounds,
    /// Who accused so far; the first one never counts as a confirmation. At most `expected + 1` names.
    accusers: BTreeSet<NodeName>,
}

/// The shortest and the longest a suspicion may last, and how many confirmations bring it from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SuspicionBounds {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
    pub(crate) expected: usize,
}

impl SuspicionBounds {
    /// For a cluster of `node_count` nodes as it is when the suspicion begins.
    pub(crate) fn new(mult: u32, max_timeout_mult: u32, probe_interval: Duration, node_count: usize) -> Self {
        let shortest = suspicion_timeout(mult, node_count, probe_interval);
        let wanted = usize::try_from(mult.saturating_sub(2)).unwrap_or(usize::MAX);
        // Neither we nor the suspect can confirm: with too few others the shortest time has to do.
        let expected = if node_count.saturating_sub(2) < wanted { 0 } else { wanted };
        Self { shortest, longest: shortest.saturating_mul(max_timeout_mult.max(1)), expected }
    }

    /// Total time after `confirmations`, counted from the beginning.
    pub(crate) fn total(&self, confirmations: usize) -> Duration {
        suspicion_total(self.shortest, self.longest, self.expected, confirmations)
    }
}

impl Suspicion {
    /// Begins at `now` on the word of `accuser`.
    pub(crate) fn new(now: Instant, accuser: NodeName, bounds: SuspicionBounds) -> Self {
        Self { started: now, bounds, accusers: BTreeSet::from([accuser]) }
    }

    /// Takes another accusation; true if it shortens the time. The caller then sets the timer to [`Self::deadline`].
    pub(crate) fn confirm(&mut self, accuser: &NodeName) -> bool {
        self.confirmations() < self.bounds.expected && self.accusers.insert(accuser.clone())
    }

    /// Independent confirmations so far.
    pub(crate) fn confirmations(&self) -> usize {
        self.accusers.len().saturating_sub(1)
    }

    /// Whether as many confirmed as were hoped for.
    pub(crate) fn is_fully_confirmed(&self) -> bool {
        self.confirmations() >= self.bounds.expected
    }

    /// When the suspect is declared dead, unless it refutes. It may lie in the past: then at once.
    pub(crate) fn deadline(&self) -> Instant {
        self.started.after(self.bounds.total(self.confirmations()))
    }
}

/// How long a suspicion lasts in all: `longest` without confirmations, `shortest` with as many as `expected`, and in
/// between by their logarithm, in whole milliseconds (Go `remainingSuspicionTime`).
pub fn suspicion_total(shortest: Duration, longest: Duration, expected: usize, confirmations: usize) -> Duration {
    if expected == 0 {
        return shortest;
    }
    let progress = (confirmations as f64 + 1.0).ln() / (expected as f64 + 1.0).ln();
    let seconds = longest.as_secs_f64() - progress * (longest.as_secs_f64() - shortest.as_secs_f64());
    // A float outside the range saturates: negative becomes zero and the lower bound applies.
    let total = Duration::from_millis((seconds * 1000.0).floor() as u64);
    total.max(shortest)
}

/// The shortest suspicion: `mult * max(1, log10(node_count)) * interval`, the logarithm cut to thousandths as Go does.
pub fn suspicion_timeout(mult: u32, node_count: usize, interval: Duration) -> Duration {
    let node_scale = (node_count.max(1) as f64).log10().max(1.0);
    let thousandths = (node_scale * 1000.0) as u128;
    let nanoseconds = u128::from(mult).saturating_mul(thousandths).saturating_mul(interval.as_nanos()) / 1000;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> NodeName {
        NodeName(text.into())
    }

    fn started() -> Instant {
        Instant::from_epoch(SECOND)
    }

    #[test]
    fn lan_totals_are_those_of_the_table() {
        let table: [(usize, &[u64]); 6] = [
            (2, &[4000]),
            (3, &[4000]),
            (4, &[24000, 11381, 4000]),
            (50, &[40752, 19325, 6792]),
            (100, &[48000, 22762, 8000]),
            (1000, &[72000, 34144, 12000]),
        ];
        for (node_count, totals) in table {
            let bounds = SuspicionBounds::new(4, 6, SECOND, node_count);
            assert_eq!(bounds.expected, totals.len() - 1, "{node_count} nodes");
            for (confirmations, total) in totals.iter().enumerate() {
                assert_eq!(bounds.total(confirmations), Duration::from_millis(*total), "{node_count} nodes");
            }
        }
    }

    #[test]
    fn wan_and_local_totals_are_those_of_the_table() {
        let wan = SuspicionBounds::new(6, 6, SECOND * 5, 6);
        let totals: Vec<u128> = (0..=4).map(|confirmations| wan.total(confirmations).as_millis()).collect();
        assert_eq!(totals, [180_000, 115_398, 77_609, 50_797, 30_000]);
        assert_eq!(SuspicionBounds::new(6, 6, SECOND * 5, 5).total(0), SECOND * 30);
        assert_eq!(SuspicionBounds::new(3, 6, SECOND, 2).total(0), SECOND * 3);
        assert_eq!(SuspicionBounds::new(3, 6, SECOND, 3).total(0), SECOND * 18);
    }

    #[test]
    fn each_accuser_counts_once_and_the_first_never() {
        let mut suspicion = Suspicion::new(started(), name("a"), SuspicionBounds::new(4, 6, SECOND, 10));
        assert!(!suspicion.confirm(&name("a")));
        assert!(suspicion.confirm(&name("b")));
        assert!(!suspicion.confirm(&name("b")));
        assert_eq!(suspicion.deadline(), started().after(Duration::from_millis(11_381)));
        assert!(suspicion.confirm(&name("c")));
        assert!(!suspicion.confirm(&name("d")), "enough confirmations are enough");
        assert_eq!(suspicion.deadline(), started().after(SECOND * 4));
    }

    #[test]
    fn without_expected_confirmations_the_time_is_the_shortest() {
        let mut suspicion = Suspicion::new(started(), name("a"), SuspicionBounds::new(4, 6, SECOND, 3));
        assert!(!suspicion.confirm(&name("b")));
        assert_eq!(suspicion.deadline(), started().after(SECOND * 4));
    }

    #[test]
    fn absurd_settings_saturate() {
        let bounds = SuspicionBounds::new(u32::MAX, u32::MAX, Duration::MAX, usize::MAX);
        assert!(bounds.total(3) >= bounds.shortest);
        assert_eq!(SuspicionBounds::new(0, 0, SECOND, 0).total(0), Duration::ZERO);
    }
}
