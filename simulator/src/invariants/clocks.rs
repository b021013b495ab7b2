//! Logical clocks never go back (`docs/spec/serf-gossip.md` 20.1).

use std::collections::BTreeMap;

use super::LifeKey;
use crate::engine::Engine;

/// The clocks of each node as seen last.
#[derive(Debug, Default)]
pub(super) struct Clocks(BTreeMap<LifeKey, [u64; 3]>);

impl Clocks {
    pub(super) fn check(&mut self, life: LifeKey, engine: &Engine) -> Result<(), String> {
        let Some(serf) = engine.as_serf() else { return Ok(()) };
        let stats = serf.stats();
        self.see(life, [stats.member_time, stats.event_time, stats.query_time])
    }

    fn see(&mut self, life: LifeKey, clocks: [u64; 3]) -> Result<(), String> {
        let before = self.0.insert(life, clocks).unwrap_or_default();
        if clocks.iter().zip(before).any(|(&clock, before)| clock < before) {
            return Err(format!("clocks went back from {before:?} to {clocks:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_that_goes_back_is_noticed() {
        let mut clocks = Clocks::default();
        clocks.see((0, 1), [3, 3, 3]).unwrap();
        clocks.see((0, 1), [3, 4, 3]).unwrap();
        assert!(clocks.see((0, 1), [3, 3, 3]).is_err());
        // Another life is another clock.
        clocks.see((0, 2), [1, 1, 1]).unwrap();
    }
}
