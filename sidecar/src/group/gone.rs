//! Tells the group which nodes are gone, so that sessions bound to them end. The leader does, from its own gossip.
//!
//! Said of whoever is failed or has left at this moment, once in each leadership and again after a return: a node that is
//! back before it could be said keeps its sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use folkmoot_consensus::Group;
use folkmoot_coordination::{Command, Key};
use folkmoot_serf::NodeName;
use tokio::task::JoinHandle;

use super::view::View;

/// Who has been told.
#[derive(Default)]
pub(super) struct Gone {
    told: Told,
    telling: Option<JoinHandle<()>>,
}

/// Who is gone, and whether the group has taken that, by the one task that tells it.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<NodeName, bool>>>);

/// A task that panicked left the map whole.
impl Told {
    /// Who is gone and has not been told; who has returned may be told again.
    fn missing(&self, gone: &[NodeName]) -> Vec<NodeName> {
        let mut names = self.names();
        *names = gone.iter().map(|name| (name.clone(), names.get(name) == Some(&true))).collect();
        names.iter().filter(|(_, told)| !**told).map(|(name, _)| name.clone()).collect()
    }

    /// Whether it is gone still.
    fn is_gone(&self, name: &NodeName) -> bool {
        self.names().contains_key(name)
    }

    /// The group has taken it; of who has returned meanwhile it is not kept.
    fn took(&self, name: &NodeName) {
        if let Some(told) = self.names().get_mut(name) {
            *told = true;
        }
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<NodeName, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gone {
    /// Another node leads, or none: whoever leads next says it again.
    pub(super) fn rest(&mut self) {
        // A new one: what is being told may still be noted in the old one.
        self.told = Told::default();
        if let Some(telling) = self.telling.take() {
            telling.abort();
        }
    }

    /// This node leads: tells what has not been told, or was not taken.
    pub(super) fn turn(&mut self, group: &Group, view: &View) {
        // Also while it is being told: who returns before his turn is left out.
        let names = self.told.missing(view.gone());
        if self.telling.as_ref().is_some_and(|telling| !telling.is_finished()) {
            return;
        }
        self.telling = None;
        if !names.is_empty() {
            self.telling = Some(tokio::spawn(tell(group.clone(), names, self.told.clone())));
        }
    }
}

/// A name that the state machine could not hold has no session there. What is lost with the leadership the next leader
/// says again, and what was not taken this one.
async fn tell(group: Group, names: Vec<NodeName>, told: Told) {
    for name in names {
        if !told.is_gone(&name) {
            continue;
        }
        if let Ok(node) = Key::try_from(Bytes::copy_from_slice(name.0.as_bytes()))
            && let Err(error) = group.propose(Command::NodeGone { node }).await
        {
            tracing::debug!(target: "raft", "could not tell the group that {name} is gone: {error}");
            continue;
        }
        told.took(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_gone_is_told_once_and_again_after_a_return_or_where_it_was_not_taken() {
        let name = |text: &str| NodeName(text.into());
        let (both, one) = ([name("a"), name("b")], [name("b")]);
        let mut gone = Gone::default();
        assert_eq!(gone.told.missing(&both), both);
        gone.told.took(&name("a"));
        assert_eq!(gone.told.missing(&both), one, "what was not taken is told again");
        gone.told.took(&name("b"));
        assert!(gone.told.missing(&both).is_empty());
        assert!(gone.told.missing(&one).is_empty());
        assert!(!gone.told.is_gone(&name("a")) && gone.told.is_gone(&name("b")), "a is back, and keeps its sessions");
        assert_eq!(gone.told.missing(&both), [name("a")], "a was back, and has gone again");
        gone.told.took(&name("a"));
        gone.rest();
        assert_eq!(gone.told.missing(&both), both, "another leader may not have been told");
    }
}
