//! Bounded queues and priority queues, as PySyncObj's batteries: a put into a full queue and a get from an empty one fail
//! (`Full`, `Empty`). A get may also wait; waiting calls are served in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::{Reply, Scope, What};
use crate::error::{Refusal, Thing};
use crate::limits::{QUEUE_ELEMENTS_MAX, QUEUES_MAX, WAITERS_PER_LINE};
use crate::step::{Caller, Index, Place, Step, cost};
use crate::types::{HoldId, Key, Patience, Revision, Ticket, Value};

/// Which queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId {
    /// Each kind has its own names.
    pub kind: QueueKind,
    /// Its name.
    pub name: Key,
}

/// In which order elements come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QueueKind {
    /// The order in which they were put.
    Fifo,
    /// Lowest priority number first, then as put.
    Priority,
}

/// What a client asks of queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Adds an element: [`Reply::Done`], or `Full`.
    Put {
        /// To which queue.
        queue: QueueId,
        /// Its number in a priority queue; means nothing in another.
        priority: i64,
        /// The element.
        value: Value,
        /// Elements that the queue may hold with this one; 0 is [`crate::limits::QUEUE_ELEMENTS_MAX`].
        bound: u32,
    },
    /// Takes the next element: [`Reply::Element`], [`Reply::Waiting`], or `Empty`.
    Get {
        /// From which queue.
        queue: QueueId,
        /// How long to wait for one.
        patience: Patience,
    },
}

/// A queue as a query shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Elements in it.
    pub length: u64,
    /// Calls that wait.
    pub waiting: u64,
    /// The next element, which stays.
    pub next: Option<Value>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Queue {
    elements: BTreeMap<(i64, Revision), Value>,
    waiters: BTreeMap<HoldId, Ticket>,
}

/// All queues that hold or await something.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Queues {
    queues: BTreeMap<QueueId, Queue>,
}

impl Queues {
    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }

    pub(crate) fn apply(&mut self, step: &mut Step<'_>, caller: &Caller, command: &Command) -> Result<Reply, Refusal> {
        match command {
            Command::Put { queue, priority, value, bound } => self.put(step, queue, *priority, value, *bound),
            Command::Get { queue, patience } => self.get(step, caller, queue, *patience),
        }
    }

    pub(crate) fn state(&self, id: &QueueId) -> State {
        self.queues.get(id).map_or_else(State::default, |queue| State {
            length: queue.elements.len() as u64,
            waiting: queue.waiters.len() as u64,
            next: queue.elements.first_key_value().map(|(_, value)| value.clone()),
        })
    }

    /// A waiting call goes.
    pub(crate) fn leave(&mut self, id: &QueueId, hold: HoldId) {
        if let Some(queue) = self.queues.get_mut(id) {
            queue.waiters.remove(&hold);
            if queue.waiters.is_empty() && queue.elements.is_empty() {
                self.queues.remove(id);
            }
        }
    }

    pub(crate) fn reindex(&self, index: &mut Index) {
        for (id, queue) in &self.queues {
            let stored = queue.elements.values().map(|value| cost(&id.name, value.size()));
            index.stored_bytes = stored.fold(index.stored_bytes, usize::saturating_add);
        }
    }

    fn may_create(&self, id: &QueueId) -> Result<(), Refusal> {
        if self.queues.len() >= QUEUES_MAX && !self.queues.contains_key(id) {
            return Err(Refusal::TooMany(Thing::Queues, QUEUES_MAX as u64));
        }
        Ok(())
    }

    fn put(
        &mut self,
        step: &mut Step<'_>,
        id: &QueueId,
        priority: i64,
        value: &Value,
        bound: u32,
    ) -> Result<Reply, Refusal> {
        let bound = if bound == 0 { QUEUE_ELEMENTS_MAX } else { QUEUE_ELEMENTS_MAX.min(bound as usize) };
        if self.queues.get(id).is_some_and(|queue| queue.elements.len() >= bound) {
            return Err(Refusal::Full(bound as u64));
        }
        self.may_create(id)?;
        step.room(cost(&id.name, value.size()), 0)?;
        let queue = self.queues.entry(id.clone()).or_default();
        if let Some((_, ticket)) = queue.waiters.pop_first() {
            step.answer(ticket, Reply::Element(value.clone()));
            if queue.waiters.is_empty() {
                self.queues.remove(id);
            }
            return Ok(Reply::Done);
        }
        let priority = match id.kind {
            QueueKind::Fifo => 0,
            QueueKind::Priority => priority,
        };
        queue.elements.insert((priority, step.draw()), value.clone());
        let length = queue.elements.len() as u64;
        step.stored(cost(&id.name, value.size()), 0);
        step.event(scope(id.kind), &id.name, What::Length(length));
        Ok(Reply::Done)
    }

    fn get(
        &mut self,
        step: &mut Step<'_>,
        caller: &Caller,
        id: &QueueId,
        patience: Patience,
    ) -> Result<Reply, Refusal> {
        if let Some(queue) = self.queues.get_mut(id)
            && let Some((_, value)) = queue.elements.pop_first()
        {
            let length = queue.elements.len() as u64;
            if length == 0 {
                self.queues.remove(id);
            }
            step.stored(0, cost(&id.name, value.size()));
            step.event(scope(id.kind), &id.name, What::Length(length));
            return Ok(Reply::Element(value));
        }
        self.may_create(id)?;
        if self.queues.get(id).is_some_and(|queue| queue.waiters.len() >= WAITERS_PER_LINE) {
            return Err(Refusal::TooMany(Thing::Waiters, WAITERS_PER_LINE as u64));
        }
        let hold = step.wait(caller, patience, Place::Queue(id.clone()), Refusal::Empty)?;
        self.queues.entry(id.clone()).or_default().waiters.insert(hold, caller.ticket);
        Ok(Reply::Waiting { ticket: caller.ticket, hold })
    }
}

fn scope(kind: QueueKind) -> Scope {
    match kind {
        QueueKind::Fifo => Scope::Queue,
        QueueKind::Priority => Scope::PriorityQueue,
    }
}
