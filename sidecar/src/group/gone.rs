//! Tells the group which nodes are gone, so that sessions bound to them end. The leader does, from its own gossip.
//!
//! Said of whoever is failed or has left at this moment, once in each leadership and again after a return: a node that is
//! back before it could be said keeps its sessions.

use std::collections::BTreeSet;

use bytes::Bytes;
use folkmoot_consensus::Group;
use folkmoot_coordination::{Command, Key};
use folkmoot_serf::NodeName;
use tokio::task::JoinHandle;

use super::view::View;

/// Who has been told.
#[derive(Default)]
pub(super) struct Gone {
    told: BTreeSet<NodeName>,
    telling: Option<JoinHandle<()>>,
    /// What is being told, to be remembered when it is done.
    names: Vec<NodeName>,
}

impl Gone {
    /// Another node leads, or none: whoever leads next says it again.
    pub(super) fn rest(&mut self) {
        self.told.clear();
        self.names.clear();
        if let Some(telling) = self.telling.take() {
            telling.abort();
        }
    }

    /// This node leads: tells what has not been told.
    pub(super) fn turn(&mut self, group: &Group, view: &View) {
        if self.telling.as_ref().is_some_and(|telling| !telling.is_finished()) {
            return;
        }
        if self.telling.take().is_some() {
            self.told.extend(self.names.drain(..));
        }
        let gone: BTreeSet<&NodeName> = view.gone().iter().collect();
        self.told.retain(|name| gone.contains(name));
        self.names = gone.into_iter().filter(|name| !self.told.contains(*name)).cloned().collect();
        if !self.names.is_empty() {
            self.telling = Some(tokio::spawn(tell(group.clone(), self.names.clone())));
        }
    }
}

/// A name that the state machine could not hold has no session there. What is lost with the leadership the next leader
/// says again.
async fn tell(group: Group, names: Vec<NodeName>) {
    for name in names {
        let Ok(node) = Key::try_from(Bytes::copy_from_slice(name.0.as_bytes())) else { continue };
        if let Err(error) = group.propose(Command::NodeGone { node }).await {
            tracing::debug!(target: "raft", "could not tell the group that {name} is gone: {error}");
        }
    }
}
