//! Tells the group which nodes are gone, so that sessions bound to them end. The leader does, from its own gossip.
//!
//! Said of whoever is failed or has left at this moment, once in each leadership and again after a return: a node that is
//! back before it could be said keeps its sessions.

use std::collections::BTreeSet;
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

/// The names that the group has taken, by the one task that tells it.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeSet<NodeName>>>);

/// A task that panicked left the set whole.
impl Told {
    /// Who is gone and has not been told; who has returned may be told again.
    fn missing(&self, gone: &[NodeName]) -> Vec<NodeName> {
        let gone: BTreeSet<&NodeName> = gone.iter().collect();
        let mut told = self.names();
        told.retain(|name| gone.contains(name));
        gone.into_iter().filter(|name| !told.contains(*name)).cloned().collect()
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<NodeName>> {
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
        if self.telling.as_ref().is_some_and(|telling| !telling.is_finished()) {
            return;
        }
        self.telling = None;
        let names = self.told.missing(view.gone());
        if !names.is_empty() {
            self.telling = Some(tokio::spawn(tell(group.clone(), names, self.told.clone())));
        }
    }
}

/// A name that the state machine could not hold has no session there. What is lost with the leadership the next leader
/// says again, and what was not taken this one.
async fn tell(group: Group, names: Vec<NodeName>, told: Told) {
    for name in names {
        if let Ok(node) = Key::try_from(Bytes::copy_from_slice(name.0.as_bytes()))
            && let Err(error) = group.propose(Command::NodeGone { node }).await
        {
            tracing::debug!(target: "raft", "could not tell the group that {name} is gone: {error}");
            continue;
        }
        told.names().insert(name);
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
        gone.told.names().insert(name("a"));
        assert_eq!(gone.told.missing(&both), one, "what was not taken is told again");
        gone.told.names().insert(name("b"));
        assert!(gone.told.missing(&both).is_empty());
        assert!(gone.told.missing(&one).is_empty());
        assert_eq!(gone.told.missing(&both), [name("a")], "a was back, and has gone again");
        gone.told.names().insert(name("a"));
        gone.rest();
        assert_eq!(gone.told.missing(&both), both, "another leader may not have been told");
    }
}
