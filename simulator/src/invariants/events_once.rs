//! A user event, and a query, reaches a node at most once per life (`docs/spec/serf-gossip.md` 20.5).

use std::collections::BTreeSet;

use super::LifeKey;
use crate::trace::Fact;

/// What reached whom.
#[derive(Debug, Default)]
pub(super) struct EventsOnce(BTreeSet<(LifeKey, String, u64, Vec<u8>)>);

impl EventsOnce {
    pub(super) fn check(&mut self, life: LifeKey, facts: &[Fact]) -> Result<(), String> {
        for fact in facts {
            if let Some((time, payload)) = &fact.event
                && !self.0.insert((life, fact.text.clone(), *time, payload.clone()))
            {
                return Err(format!("{} of time {time} came twice", fact.text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;

    #[test]
    fn second_delivery_is_noticed() {
        let fact = |time| Fact { at: Instant::EPOCH, node: 0, text: "event e".into(), event: Some((time, vec![])) };
        let mut once = EventsOnce::default();
        once.check((0, 1), &[fact(1), fact(2)]).unwrap();
        once.check((1, 1), &[fact(1)]).unwrap();
        assert!(once.check((0, 1), &[fact(1)]).is_err());
    }
}
