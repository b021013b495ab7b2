//! What a node knows of another never gets older: incarnations only grow while a member is known
//! (`docs/spec/memberlist.md` 5). Visible with bare memberlist only.

use std::collections::BTreeMap;

use super::LifeKey;
use crate::engine::Engine;

/// Observer → observed → incarnation.
#[derive(Debug, Default)]
pub(super) struct Incarnations(BTreeMap<LifeKey, BTreeMap<String, u32>>);

impl Incarnations {
    pub(super) fn check(&mut self, life: LifeKey, engine: &Engine) -> Result<(), String> {
        let Engine::Memberlist { memberlist, .. } = engine else { return Ok(()) };
        let seen = memberlist.states().map(|state| (state.name.0.to_string(), state.incarnation.0));
        self.see(life, seen.collect())
    }

    /// Who is forgotten may come back younger.
    fn see(&mut self, life: LifeKey, seen: BTreeMap<String, u32>) -> Result<(), String> {
        let before = self.0.insert(life, seen.clone()).unwrap_or_default();
        for (name, incarnation) in seen {
            if before.get(&name).is_some_and(|&before| incarnation < before) {
                return Err(format!("incarnation of {name} fell to {incarnation}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnation_that_falls_is_noticed() {
        let seen = |incarnation| BTreeMap::from([("n2".to_string(), incarnation)]);
        let mut incarnations = Incarnations::default();
        incarnations.see((0, 1), seen(4)).unwrap();
        assert!(incarnations.see((0, 1), seen(3)).is_err());
        incarnations.see((0, 2), seen(1)).unwrap();
        incarnations.see((0, 2), BTreeMap::new()).unwrap();
        incarnations.see((0, 2), seen(0)).unwrap();
    }
}
