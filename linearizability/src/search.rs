//! The search for an order that explains all answers (Wing and Gong 1993; Lowe 2017).
//!
//! Every operation takes effect at one moment between its call and its answer. The search takes, again and again, one of
//! the operations that were called before the first outstanding answer, and goes back when none of them fits. A set of
//! operations that led to a state is not tried twice. The sets are remembered by a hash of 128 bits: two different ones
//! meet with a probability far below that of a broken memory cell.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use crate::history::{History, Operation};
use crate::report;

/// The machine that a history is compared with.
pub trait Model {
    /// What the machine remembers.
    type State: Clone + Eq + Hash + Debug;
    /// What can be asked.
    type Call: Clone + PartialEq + Debug;
    /// What is answered.
    type Answer: Clone + Debug;

    /// The state before everything.
    fn start(&self) -> Self::State;

    /// The state after `call`, or `None` if it cannot be answered so in this state. Without an answer any would do.
    fn step(&self, state: &Self::State, call: &Self::Call, answer: Option<&Self::Answer>) -> Option<Self::State>;

    /// Whether the operation changes nothing in any state: an explanation stays one without it.
    fn is_read(&self, call: &Self::Call, answer: Option<&Self::Answer>) -> bool;

    /// Whether `call`, of unknown outcome, need not have happened: nothing in `others` shows that it did, and none of them
    /// could be explained by it alone. It spares the search.
    fn never_seen(&self, call: &Self::Call, others: &[Operation<Self::Call, Self::Answer>]) -> bool {
        let _ = (call, others);
        false
    }
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An order explains all answers.
    Linearizable,
    /// No order does. The text shows the shortest beginning of the history that has none.
    Violation(String),
    /// The limit of steps came first.
    Unknown {
        /// Steps taken.
        steps: u64,
    },
}

/// Steps after which a search gives up unless its caller says otherwise: some seconds in a debug build.
pub const STEPS_MAX: u64 = 2_000_000;

/// Judges a history of one object, in at most `steps_max` steps (and about as many again to shorten a violation).
#[must_use]
pub fn check<M: Model>(model: &M, history: &History<M::Call, M::Answer>, steps_max: u64) -> Verdict {
    let operations = relevant(model, &history.operations);
    match search(model, &operations, steps_max) {
        Found::Order => Verdict::Linearizable,
        Found::Limit { steps } => Verdict::Unknown { steps },
        Found::Nothing { .. } => Verdict::Violation(report::violation(model, operations, steps_max)),
    }
}

/// Leaves out what cannot matter: operations of unknown outcome that nobody saw, or that are reads.
fn relevant<M: Model>(model: &M, operations: &[Operation<M::Call, M::Answer>]) -> Vec<Operation<M::Call, M::Answer>> {
    let mut kept: Vec<_> = operations
        .iter()
        .filter(|operation| {
            operation.answered.is_some()
                || !(model.is_read(&operation.call, None) || model.never_seen(&operation.call, operations))
        })
        .cloned()
        .collect();
    kept.sort_by_key(|operation| operation.invoked);
    kept
}

/// How a search ended.
pub(crate) enum Found<S> {
    Order,
    Nothing {
        /// The state after the longest order that was found, and the operations in that order.
        deepest: (S, Vec<usize>),
    },
    Limit {
        steps: u64,
    },
}

/// One decision of the search: which operations could be next, and which of them was taken.
struct Frame<S> {
    state: S,
    candidates: Vec<usize>,
    next: usize,
    /// Operations taken so far, as a hash.
    taken: u128,
}

/// Searches `operations`, which are in the order of their calls.
pub(crate) fn search<M: Model>(
    model: &M,
    operations: &[Operation<M::Call, M::Answer>],
    steps_max: u64,
) -> Found<M::State> {
    let answers = operations.iter().filter(|operation| operation.answered.is_some()).count();
    let mut line = Line::new(operations);
    let mut seen: HashSet<(u128, M::State)> = HashSet::new();
    let mut order: Vec<usize> = Vec::new();
    let mut deepest = (model.start(), Vec::new());
    let mut explained = 0;
    let mut steps = 0;
    let mut frames = vec![Frame { state: model.start(), candidates: line.candidates(operations), next: 0, taken: 0 }];
    if answers == 0 {
        return Found::Order;
    }
    while let Some(frame) = frames.last_mut() {
        let Some(&chosen) = frame.candidates.get(frame.next) else {
            frames.pop();
            if let Some(undone) = order.pop() {
                line.put_back(undone);
                explained -= usize::from(operations[undone].answered.is_some());
            }
            continue;
        };
        frame.next += 1;
        steps += 1;
        if steps > steps_max {
            return Found::Limit { steps };
        }
        let operation = &operations[chosen];
        let answer = operation.answered.as_ref().map(|(_, answer)| answer);
        let Some(state) = model.step(&frame.state, &operation.call, answer) else { continue };
        let taken = frame.taken ^ mark(chosen);
        if !seen.insert((taken, state.clone())) {
            continue;
        }
        line.take(chosen);
        order.push(chosen);
        explained += usize::from(operation.answered.is_some());
        if explained == answers {
            return Found::Order;
        }
        if order.len() > deepest.1.len() {
            deepest = (state.clone(), order.clone());
        }
        frames.push(Frame { state, candidates: line.candidates(operations), next: 0, taken });
    }
    Found::Nothing { deepest }
}

/// A value of its own for each operation, so that a set is the exclusive or of its members (splitmix64 twice).
fn mark(operation: usize) -> u128 {
    let half = |seed: u64| {
        let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let number = operation as u64 * 2;
    (u128::from(half(number + 1)) << 64) | u128::from(half(number + 2))
}

/// The operations that are not taken, in the order of their calls: a doubly linked list. 0 is its head, operation `i` is
/// at `i + 1`.
struct Line {
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Line {
    fn new<C, A>(operations: &[Operation<C, A>]) -> Self {
        let places = operations.len() + 1;
        let next = (1..=places).map(|place| place % places).collect();
        let previous = (0..places).map(|place| (place + places - 1) % places).collect();
        Self { next, previous }
    }

    fn take(&mut self, operation: usize) {
        let (previous, next) = (self.previous[operation + 1], self.next[operation + 1]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn put_back(&mut self, operation: usize) {
        let (previous, next) = (self.previous[operation + 1], self.next[operation + 1]);
        self.next[previous] = operation + 1;
        self.previous[next] = operation + 1;
    }

    /// What can be next: everything called before the first outstanding answer. Known outcomes first, by their answers;
    /// of equal calls with unknown outcome only the earliest, for which any other could stand.
    fn candidates<C: PartialEq, A>(&self, operations: &[Operation<C, A>]) -> Vec<usize> {
        let mut first_answer = u64::MAX;
        let (mut known, mut unknown): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut place = self.next[0];
        while place != 0 {
            let operation = &operations[place - 1];
            if operation.invoked > first_answer {
                break;
            }
            first_answer = first_answer.min(operation.until());
            if operation.answered.is_some() {
                known.push(place - 1);
            } else if !unknown.iter().any(|other| operations[*other].call == operation.call) {
                unknown.push(place - 1);
            }
            place = self.next[place];
        }
        // One that was called after the first answer cannot come before it.
        let in_time = |operation: &usize| operations[*operation].invoked <= first_answer;
        known.retain(in_time);
        unknown.retain(in_time);
        known.sort_by_key(|operation| operations[*operation].until());
        known.extend(unknown);
        known
    }
}
