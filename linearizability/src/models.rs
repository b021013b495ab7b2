//! Machines to compare histories with: a register with compare-and-set, a counter, a FIFO queue. Values that are written
//! only once in a history make it easy to judge, so tests number what they write.

use std::collections::{BTreeMap, VecDeque};

use crate::history::{History, Operation};
use crate::search::Model;

/// A register that counts revisions, as a key of the key-value store does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Register;

/// What is asked of a [`Register`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterCall {
    /// [`RegisterAnswer::Found`].
    Read,
    /// Sets the value: [`RegisterAnswer::Written`].
    Write(u64),
    /// Sets the value if the register has this revision (`None`: if it is absent): `Written`, or `Found` if it has not.
    CompareAndSet {
        /// The revision it must have.
        expected: Option<u64>,
        /// What to set.
        value: u64,
    },
    /// Removes the value: [`RegisterAnswer::Deleted`].
    Delete,
}

/// What a [`Register`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterAnswer {
    /// The value and its revision.
    Found(Option<(u64, u64)>),
    /// The revision of the write.
    Written(u64),
    /// Whether it was there.
    Deleted(bool),
}

/// What is known of a [`Register`]: its value, and its revision or one that it is above (after a write whose answer
/// nobody got).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RegisterState {
    value: Option<u64>,
    revision: Known,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Known {
    Is(u64),
    Above(u64),
}

impl Known {
    fn least(self) -> u64 {
        match self {
            Self::Is(revision) | Self::Above(revision) => revision,
        }
    }

    fn can_be(self, revision: u64) -> bool {
        match self {
            Self::Is(known) => known == revision,
            Self::Above(known) => revision > known,
        }
    }
}

impl RegisterState {
    fn written(self, value: Option<u64>, revision: Option<u64>) -> Option<Self> {
        let least = self.revision.least();
        match revision {
            Some(revision) if revision <= least => None,
            Some(revision) => Some(Self { value, revision: Known::Is(revision) }),
            None => Some(Self { value, revision: Known::Above(least) }),
        }
    }

    fn found(self, found: Option<(u64, u64)>) -> Option<Self> {
        match (found, self.value) {
            (None, None) => Some(self),
            (Some((value, revision)), Some(current)) if value == current && self.revision.can_be(revision) => {
                Some(Self { revision: Known::Is(revision), ..self })
            }
            (None | Some(_), _) => None,
        }
    }
}

impl Model for Register {
    type State = RegisterState;
    type Call = RegisterCall;
    type Answer = RegisterAnswer;

    fn start(&self) -> RegisterState {
        RegisterState { value: None, revision: Known::Is(0) }
    }

    fn step(
        &self,
        state: &RegisterState,
        call: &RegisterCall,
        answer: Option<&RegisterAnswer>,
    ) -> Option<RegisterState> {
        use {RegisterAnswer as Answer, RegisterCall as Call};
        let fits = |expected: Option<u64>| match (expected, state.value) {
            (None, None) => true,
            (Some(expected), Some(_)) => state.revision.can_be(expected),
            (None | Some(_), _) => false,
        };
        match (*call, answer.copied()) {
            (Call::Read, None) => Some(*state),
            (Call::Read, Some(Answer::Found(found))) => state.found(found),
            (Call::Write(value), None) => state.written(Some(value), None),
            (Call::Write(value), Some(Answer::Written(revision))) => state.written(Some(value), Some(revision)),
            (Call::CompareAndSet { expected, value }, None) if fits(expected) => state.written(Some(value), None),
            (Call::CompareAndSet { .. }, None) => Some(*state),
            (Call::CompareAndSet { expected, value }, Some(Answer::Written(revision))) if fits(expected) => {
                state.written(Some(value), Some(revision))
            }
            (Call::CompareAndSet { expected, .. }, Some(Answer::Found(found))) => {
                let differs = found.map(|(_, revision)| revision) != expected;
                state.found(found).filter(|_| differs)
            }
            (Call::Delete, None) => state.written(None, None),
            (Call::Delete, Some(Answer::Deleted(there))) if there == state.value.is_some() => {
                if there {
                    state.written(None, None)
                } else {
                    Some(*state)
                }
            }
            (Call::Read | Call::Write(_) | Call::CompareAndSet { .. } | Call::Delete, Some(_)) => None,
        }
    }

    fn is_read(&self, call: &RegisterCall, answer: Option<&RegisterAnswer>) -> bool {
        *call == RegisterCall::Read || matches!(answer, Some(RegisterAnswer::Found(_)))
    }

    /// A value that nobody read was at most overwritten, unless a delete or the success of a compare-and-set with a
    /// revision that no answer named tells of it.
    fn never_seen(&self, call: &RegisterCall, others: &[Operation<RegisterCall, RegisterAnswer>]) -> bool {
        let value = match call {
            RegisterCall::Write(value) | RegisterCall::CompareAndSet { value, .. } => *value,
            RegisterCall::Read | RegisterCall::Delete => return false,
        };
        let named = |wanted: u64| {
            others.iter().any(|other| match &other.answered {
                Some((_, RegisterAnswer::Found(Some((_, revision))) | RegisterAnswer::Written(revision))) => {
                    *revision == wanted
                }
                Some((_, RegisterAnswer::Found(None) | RegisterAnswer::Deleted(_))) | None => false,
            })
        };
        others.iter().all(|other| match (&other.call, &other.answered) {
            (RegisterCall::Delete, _) => false,
            (_, Some((_, RegisterAnswer::Found(Some((found, _)))))) => *found != value,
            (RegisterCall::CompareAndSet { expected: Some(expected), .. }, _) => named(*expected),
            (RegisterCall::Read | RegisterCall::Write(_) | RegisterCall::CompareAndSet { .. }, _) => true,
        })
    }
}

/// A counter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter;

/// What is asked of a [`Counter`]; it answers the value after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterCall {
    /// The value.
    Read,
    /// Adds.
    Add(i64),
}

impl Model for Counter {
    type State = i64;
    type Call = CounterCall;
    type Answer = i64;

    fn start(&self) -> i64 {
        0
    }

    fn step(&self, state: &i64, call: &CounterCall, answer: Option<&i64>) -> Option<i64> {
        let after = match call {
            CounterCall::Read => *state,
            CounterCall::Add(by) => state.checked_add(*by)?,
        };
        answer.is_none_or(|answer| *answer == after).then_some(after)
    }

    fn is_read(&self, call: &CounterCall, _: Option<&i64>) -> bool {
        *call == CounterCall::Read
    }
}

/// A queue: first in, first out. It is made for one history, whose answers tell in which order concurrent puts cannot
/// have been: without that the search would try them all.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// When each value was asked for and taken.
    taken: BTreeMap<u64, (u64, u64)>,
    /// Some get has an unknown outcome, and may have taken anything.
    lossy: bool,
}

impl Queue {
    /// The queue of a history.
    #[must_use]
    pub fn of(history: &History<QueueCall, QueueAnswer>) -> Self {
        let mut queue = Self::default();
        for operation in &history.operations {
            match operation.answered {
                Some((until, QueueAnswer::Taken(Some(value)))) => {
                    queue.taken.insert(value, (operation.invoked, until));
                }
                Some((_, QueueAnswer::Taken(None) | QueueAnswer::Done)) => {}
                None => queue.lossy |= operation.call == QueueCall::Get,
            }
        }
        queue
    }

    /// Whether `value` can stand behind `before`: not if it was certainly taken first.
    fn may_follow(&self, value: u64, before: u64) -> bool {
        match (self.taken.get(&value), self.taken.get(&before)) {
            (Some((_, until)), Some((invoked, _))) => until > invoked,
            (Some(_), None) => self.lossy,
            (None, _) => true,
        }
    }
}

/// What is asked of a [`Queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueCall {
    /// Appends: [`QueueAnswer::Done`].
    Put(u64),
    /// Takes the first: [`QueueAnswer::Taken`].
    Get,
}

/// What a [`Queue`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueAnswer {
    /// It is in the queue.
    Done,
    /// The first, or that there is none.
    Taken(Option<u64>),
}

impl Model for Queue {
    type State = VecDeque<u64>;
    type Call = QueueCall;
    type Answer = QueueAnswer;

    fn start(&self) -> VecDeque<u64> {
        VecDeque::new()
    }

    fn step(&self, state: &VecDeque<u64>, call: &QueueCall, answer: Option<&QueueAnswer>) -> Option<VecDeque<u64>> {
        let mut after = state.clone();
        let outcome = match call {
            QueueCall::Put(value) => {
                if !state.iter().all(|before| self.may_follow(*value, *before)) {
                    return None;
                }
                after.push_back(*value);
                QueueAnswer::Done
            }
            QueueCall::Get => QueueAnswer::Taken(after.pop_front()),
        };
        answer.is_none_or(|answer| *answer == outcome).then_some(after)
    }

    fn is_read(&self, _: &QueueCall, answer: Option<&QueueAnswer>) -> bool {
        answer == Some(&QueueAnswer::Taken(None))
    }

    /// What nobody took can only have been in the way.
    fn never_seen(&self, call: &QueueCall, others: &[Operation<QueueCall, QueueAnswer>]) -> bool {
        let taken = |value: u64| {
            others
                .iter()
                .any(|other| matches!(other.answered, Some((_, QueueAnswer::Taken(Some(found)))) if found == value))
        };
        match call {
            QueueCall::Put(value) => !taken(*value),
            QueueCall::Get => false,
        }
    }
}
