//! What clients asked and were told, with the order in which they did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One call of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<C, A> {
    /// Who called; a client waits for its answer before it calls again, unless it gave up.
    pub client: u64,
    /// What it asked.
    pub call: C,
    /// When it asked: position in the order of all stamps.
    pub invoked: u64,
    /// When it was answered and what; `None`: it never learned the outcome.
    pub answered: Option<(u64, A)>,
}

impl<C, A> Operation<C, A> {
    /// When it was answered; the end of time if it never was.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.answered.as_ref().map_or(u64::MAX, |(stamp, _)| *stamp)
    }
}

/// Calls in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History<C, A> {
    /// The calls.
    pub operations: Vec<Operation<C, A>>,
}

impl<C, A> History<C, A> {
    /// The history of each object: a history is linearizable if that of each of its objects is.
    pub fn by_key<K: Ord>(self, key: impl Fn(&C) -> K) -> BTreeMap<K, Self> {
        let mut keys: BTreeMap<K, Self> = BTreeMap::new();
        for operation in self.operations {
            let history = keys.entry(key(&operation.call)).or_insert_with(|| Self { operations: Vec::new() });
            history.operations.push(operation);
        }
        keys
    }
}

/// A call that was recorded and not yet answered. Dropped, its outcome stays unknown.
#[derive(Debug)]
#[must_use = "answer it, withdraw it, or drop it to leave the outcome unknown"]
pub struct Pending {
    place: usize,
}

/// Numbers and keeps what happens in all threads of one process.
#[derive(Debug)]
pub struct Recorder<C, A> {
    clock: AtomicU64,
    operations: Mutex<Vec<Option<Operation<C, A>>>>,
}

impl<C, A> Default for Recorder<C, A> {
    fn default() -> Self {
        Self { clock: AtomicU64::new(1), operations: Mutex::new(Vec::new()) }
    }
}

impl<C, A> Recorder<C, A> {
    /// A stamp later than all before it.
    pub fn stamp(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes a call, before it is sent.
    pub fn invoke(&self, client: u64, call: C) -> Pending {
        let mut operations = self.operations();
        let invoked = self.stamp();
        operations.push(Some(Operation { client, call, invoked, answered: None }));
        Pending { place: operations.len() - 1 }
    }

    /// Notes an answer, after it was received.
    pub fn answer(&self, pending: Pending, answer: A) {
        let mut operations = self.operations();
        let stamp = self.stamp();
        if let Some(operation) = &mut operations[pending.place] {
            operation.answered = Some((stamp, answer));
        }
    }

    /// Takes a call back that certainly never happened, and never will.
    pub fn withdraw(&self, pending: Pending) {
        self.operations()[pending.place] = None;
    }

    /// Everything recorded so far.
    pub fn history(&self) -> History<C, A>
    where
        C: Clone,
        A: Clone,
    {
        History { operations: self.operations().iter().flatten().cloned().collect() }
    }

    fn operations(&self) -> MutexGuard<'_, Vec<Option<Operation<C, A>>>> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
