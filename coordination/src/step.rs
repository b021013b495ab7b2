//! One step: the context in which objects change. A command is a step, and so is every deadline and every ended session,
//! because each step that changes something has a revision of its own and a line of waiters grants once in it. A step that
//! changes very many things (the end of an owner of them) takes more than one ([`Step::turn`]).
//!
//! Objects tell the step what happened ([`Event`]), whom to answer, and what depends on whom; the machine does the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::{Change, Event, Reply, Scope, What};
use crate::error::{Refusal, Thing};
use crate::lease::{Deadline, Leases};
use crate::limits::{ENTRY_OVERHEAD, EVENTS_PER_REVISION, STORED_BYTES_MAX, WAITS_MAX, WAITS_PER_CLIENT};
use crate::line::LineId;
use crate::queue::QueueId;
use crate::types::{ClientId, HoldId, ItemId, Key, Owner, Patience, Revision, SessionId, Ticket, TimeMs, WallMs};

/// A thing that ends with its owner, in the order in which they end: calls leave their lines before holds are passed on,
/// so that nothing is granted to an owner that is ending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bond {
    Wait(Ticket),
    Hold(LineId, HoldId),
    Gate(Key, HoldId),
    Key(Key),
    Item(Key, ItemId),
    Session(SessionId),
}

/// Where a call waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Place {
    Line(LineId),
    Barrier(Key),
    Enter(Key),
    Leave(Key),
    Queue(QueueId),
    Work(Key),
}

/// A call that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wait {
    pub(crate) place: Place,
    /// Its position there.
    pub(crate) hold: HoldId,
    pub(crate) owner: Owner,
    /// The node of the worker that waits.
    pub(crate) node: Option<Key>,
    pub(crate) deadline: Option<TimeMs>,
}

impl Wait {
    /// With whose end the waiting ends.
    fn owners(&self, ticket: Ticket) -> impl Iterator<Item = Owner> + use<> {
        [Some(self.owner.clone()), Some(Owner::Client(ticket.client)), self.node.clone().map(Owner::Node)]
            .into_iter()
            .flatten()
    }
}

/// What goes across objects. Only the waits are state; the rest follows from the objects and is rebuilt by a restore.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) waits: BTreeMap<Ticket, Wait>,
    #[serde(skip)]
    pub(crate) leases: Leases,
    #[serde(skip)]
    pub(crate) bonds: BTreeSet<(Owner, Bond)>,
    #[serde(skip)]
    pub(crate) stored_bytes: usize,
}

impl Index {
    /// The first thing that depends on `owner`.
    pub(crate) fn first_bond(&self, owner: &Owner) -> Option<Bond> {
        let from = (owner.clone(), Bond::Wait(Ticket { client: ClientId(0), request: crate::types::RequestId(0) }));
        self.bonds.range(from..).next().filter(|(found, _)| found == owner).map(|(_, bond)| bond.clone())
    }

    /// The sessions that depend on `owner`.
    pub(crate) fn sessions_of(&self, owner: &Owner) -> Vec<SessionId> {
        let bonds = self.bonds.range((owner.clone(), Bond::Session(SessionId(0)))..);
        bonds
            .map_while(|(found, bond)| match bond {
                Bond::Session(session) if found == owner => Some(*session),
                Bond::Session(_) | Bond::Wait(_) | Bond::Hold(..) | Bond::Gate(..) | Bond::Key(_) | Bond::Item(..) => {
                    None
                }
            })
            .collect()
    }

    /// Registers what a restored wait implies.
    pub(crate) fn index_wait(&mut self, ticket: Ticket) {
        let Some(wait) = self.waits.get(&ticket) else { return };
        for owner in wait.owners(ticket) {
            self.bonds.insert((owner, Bond::Wait(ticket)));
        }
        self.leases.reset(None, wait.deadline, Deadline::Wait(ticket));
    }
}

/// The context of one step.
pub(crate) struct Step<'a> {
    pub(crate) now: TimeMs,
    pub(crate) wall: WallMs,
    /// What this step is numbered with if it changes something.
    pub(crate) revision: Revision,
    changed: bool,
    pub(crate) index: &'a mut Index,
    events: Vec<Event>,
    /// Events of the revisions before this one.
    turned: usize,
    answers: Vec<(Ticket, Reply)>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(now: TimeMs, wall: WallMs, revision: Revision, index: &'a mut Index) -> Self {
        Self { now, wall, revision, changed: false, index, events: Vec::new(), turned: 0, answers: Vec::new() }
    }

    /// Claims this step's revision.
    pub(crate) fn draw(&mut self) -> Revision {
        self.changed = true;
        self.revision
    }

    /// Goes on in another revision when this one has as many events as a page of them may have. To be called between two
    /// changes that need not be seen together.
    pub(crate) fn turn(&mut self) {
        if self.events.len().saturating_sub(self.turned) >= EVENTS_PER_REVISION {
            self.turned = self.events.len();
            self.revision = self.revision.next();
        }
    }

    /// Records a change for watchers.
    pub(crate) fn event(&mut self, scope: Scope, key: &Key, what: What) {
        let revision = self.draw();
        self.events.push(Event { revision, wall: self.wall, scope, key: key.clone(), what });
    }

    /// Ends the waiting of a call. Its line has forgotten it already.
    pub(crate) fn answer(&mut self, ticket: Ticket, reply: Reply) {
        self.draw();
        if let Some(wait) = self.index.waits.remove(&ticket) {
            self.index.leases.reset(wait.deadline, None, Deadline::Wait(ticket));
            for owner in wait.owners(ticket) {
                self.index.bonds.remove(&(owner, Bond::Wait(ticket)));
            }
        }
        self.answers.push((ticket, reply));
    }

    /// Puts a call in line at `place`; the position is this step's.
    ///
    /// # Errors
    /// `refusal` if the caller does not wait; too many calls wait.
    pub(crate) fn wait(
        &mut self,
        caller: &Caller,
        patience: Patience,
        place: Place,
        refusal: Refusal,
    ) -> Result<HoldId, Refusal> {
        let deadline = match patience {
            Patience::None => return Err(refusal),
            Patience::Within(span) => Some(self.now.after(span)),
            Patience::Unlimited => None,
        };
        if self.index.waits.len() >= WAITS_MAX {
            return Err(Refusal::TooMany(Thing::Waiters, WAITS_MAX as u64));
        }
        let client = caller.ticket.client;
        let of_client = |request| Ticket { client, request: crate::types::RequestId(request) };
        if self.index.waits.range(of_client(0)..=of_client(u64::MAX)).count() >= WAITS_PER_CLIENT {
            return Err(Refusal::TooMany(Thing::Waiters, WAITS_PER_CLIENT as u64));
        }
        let hold = HoldId(self.draw().0);
        self.index.waits.insert(
            caller.ticket,
            Wait { place, hold, owner: caller.owner.clone(), node: caller.node.clone(), deadline },
        );
        self.index.index_wait(caller.ticket);
        Ok(hold)
    }

    /// Fails unless `bytes` more can be stored in place of `freed`.
    pub(crate) fn room(&self, bytes: usize, freed: usize) -> Result<(), Refusal> {
        let kept = self.index.stored_bytes.saturating_sub(freed);
        let fits = kept.saturating_add(bytes) <= STORED_BYTES_MAX || bytes <= freed;
        if fits { Ok(()) } else { Err(Refusal::StorageFull(STORED_BYTES_MAX as u64)) }
    }

    /// Counts stored bytes in and out.
    pub(crate) fn stored(&mut self, bytes: usize, freed: usize) {
        self.index.stored_bytes = self.index.stored_bytes.saturating_sub(freed).saturating_add(bytes);
    }

    pub(crate) fn bind(&mut self, owner: &Owner, bond: Bond) {
        self.index.bonds.insert((owner.clone(), bond));
    }

    pub(crate) fn unbind(&mut self, owner: &Owner, bond: Bond) {
        self.index.bonds.remove(&(owner.clone(), bond));
    }

    /// What the step did: its revision if it changed something, and the changes.
    pub(crate) fn finish(self) -> (Option<Revision>, Vec<Change>) {
        let events = self.events.into_iter().map(Change::Event);
        let answers = self.answers.into_iter().map(|(ticket, reply)| Change::Answered { ticket, reply });
        (self.changed.then_some(self.revision), events.chain(answers).collect())
    }
}

/// What a stored thing of these byte counts is counted with.
pub(crate) fn cost(key: &Key, bytes: usize) -> usize {
    ENTRY_OVERHEAD.saturating_add(key.as_bytes().len()).saturating_add(bytes)
}

/// Who makes a request, and what its effects depend on.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) ticket: Ticket,
    pub(crate) owner: Owner,
    /// The node on which it works.
    pub(crate) node: Option<Key>,
}
