//! What this member knows of the others from their answers: when they last answered, what they have, and whether they have
//! said what cannot be. Raft counts on what it is told; an answer that does not fit to what was asked never reaches it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::{AsyncRuntime, async_runtime};

use crate::peer::NodeId;
use crate::raft_frames::{Append, Appended, Nonsense, check_term};
use crate::types::{Leader, LogId};

/// All members that were asked something; they are members of the group, which bounds their number.
pub(crate) struct Contacts<A: AsyncRuntime> {
    members: Mutex<BTreeMap<NodeId, Contact<A>>>,
    round_trip: Mutex<Option<Duration>>,
}

/// One member.
struct Contact<A: AsyncRuntime> {
    answered: Option<A::Instant>,
    /// The last entry that it said to have to this leader: in another term it may lose entries that no majority has.
    has: Option<(Leader, LogId)>,
    /// It was said in the log that it is not believed.
    complained: bool,
}

/// An append as it was sent, against which its answer is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    leader: Leader,
    before: Option<LogId>,
    last: Option<LogId>,
    /// What the member had said to have before it was sent.
    has: Option<LogId>,
}

impl Asked {
    /// Whether a member can answer so.
    ///
    /// # Errors
    /// It speaks of entries that it was not sent or asked about, lacks one that it had, or names an impossible number.
    pub(crate) fn judge(&self, answer: &Appended) -> Result<(), Nonsense> {
        match answer {
            Appended::Through(through) if *through == self.last => Ok(()),
            Appended::Through(through) => Err(Nonsense::NotSent(through.map_or(0, |id| id.index))),
            Appended::Conflict(at) if Some(*at) != self.before => Err(Nonsense::NotSent(at.index)),
            #[cfg(test)]
            Appended::Conflict(_) if crate::tests::edges::is_on(crate::tests::edges::Edge::LogReversion) => Ok(()),
            Appended::Conflict(at) if self.has >= Some(*at) => Err(Nonsense::Lost(at.index)),
            Appended::Vote(vote) => check_term(vote),
            Appended::Conflict(_) | Appended::Stopped(_) => Ok(()),
        }
    }
}

impl<A: AsyncRuntime> Contacts<A> {
    /// How long ago a member answered this one; `None` if it never did.
    pub(crate) fn last_answered(&self, id: NodeId) -> Option<Duration> {
        let contacts = self.lock();
        contacts.get(&id)?.answered.as_ref().map(async_runtime::Instant::elapsed)
    }

    /// Notes what is about to be sent to a member.
    pub(crate) fn asked(&self, id: NodeId, append: &Append) -> Asked {
        let leader = append.leader();
        let has = self.lock().get(&id).and_then(|contact| contact.has);
        let has = has.filter(|(before, _)| *before == leader).map(|(_, has)| has);
        Asked { leader, before: append.before(), last: append.last(), has }
    }

    /// A member has answered, whatever it said.
    pub(crate) fn answered(&self, id: NodeId) {
        self.lock().entry(id).or_default().answered = Some(async_runtime::Instant::now());
    }

    /// It has answered an append in a way that can be.
    pub(crate) fn appended(&self, id: NodeId, asked: &Asked, answer: &Appended) {
        let Appended::Through(Some(through)) = answer else { return };
        let mut contacts = self.lock();
        let contact = contacts.entry(id).or_default();
        let known = contact.has.filter(|(leader, _)| *leader == asked.leader).map(|(_, has)| has);
        contact.has = Some((asked.leader, known.map_or(*through, |known| known.max(*through))));
    }

    /// It has said what cannot be, which is logged once.
    pub(crate) fn disbelieved(&self, id: NodeId, nonsense: &Nonsense) {
        let before = std::mem::replace(&mut self.lock().entry(id).or_default().complained, true);
        if !before {
            tracing::warn!(member = %id, reason = %nonsense, "an answer of a member is not believed");
        }
    }

    /// Round trips to the slowest of the other voters, as they were measured last.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        *self.round_trip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn measured(&self, round_trip: Option<Duration>) {
        *self.round_trip.lock().unwrap_or_else(PoisonError::into_inner) = round_trip;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Contact<A>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: AsyncRuntime> Default for Contacts<A> {
    fn default() -> Self {
        Self { members: Mutex::default(), round_trip: Mutex::default() }
    }
}

// A derive would ask the runtime for it.
impl<A: AsyncRuntime> Default for Contact<A> {
    fn default() -> Self {
        Self { answered: None, has: None, complained: false }
    }
}
