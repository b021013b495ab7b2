//! Violations for people: the shortest beginning of the history that cannot be explained, without reads that do not matter.

use std::fmt::Write as _;

use crate::history::Operation;
use crate::search::{Found, Model, search};

/// Operations shown; the ones before are counted.
const SHOWN: usize = 40;
/// Operations up to which each read is tried to be left out.
const PRUNED: usize = 300;

type Operations<M> = Vec<Operation<<M as Model>::Call, <M as Model>::Answer>>;

/// Describes why `operations`, in the order of their calls, have no explanation.
pub(crate) fn violation<M: Model>(model: &M, operations: Operations<M>, steps_max: u64) -> String {
    let shortest = without_reads(model, shortest_beginning(model, operations, steps_max), steps_max);
    describe(model, &shortest, steps_max)
}

/// What had happened up to `stamp`: later answers are not known yet, later calls not made.
fn beginning<M: Model>(operations: &Operations<M>, stamp: u64) -> Operations<M> {
    let begun = operations.iter().filter(|operation| operation.invoked <= stamp);
    begun
        .map(|operation| {
            let answered = operation.answered.clone().filter(|(answered, _)| *answered <= stamp);
            Operation { answered, ..operation.clone() }
        })
        .collect()
}

/// Every beginning of a good history is good, so the first bad one is found by halving.
fn shortest_beginning<M: Model>(model: &M, operations: Operations<M>, steps_max: u64) -> Operations<M> {
    let mut stamps: Vec<u64> =
        operations.iter().filter_map(|operation| operation.answered.as_ref().map(|(stamp, _)| *stamp)).collect();
    stamps.sort_unstable();
    let good = stamps.partition_point(|stamp| {
        !matches!(search(model, &beginning::<M>(&operations, *stamp), steps_max), Found::Nothing { .. })
    });
    stamps.get(good).map_or_else(|| operations.clone(), |stamp| beginning::<M>(&operations, *stamp))
}

/// An explanation stays one when a read is left out, so what has none without the read never had one.
fn without_reads<M: Model>(model: &M, mut operations: Operations<M>, steps_max: u64) -> Operations<M> {
    let mut place = operations.len();
    while place > 0 && operations.len() <= PRUNED {
        place -= 1;
        let operation = &operations[place];
        if model.is_read(&operation.call, operation.answered.as_ref().map(|(_, answer)| answer)) {
            let mut fewer = operations.clone();
            fewer.remove(place);
            if matches!(search(model, &fewer, steps_max), Found::Nothing { .. }) {
                operations = fewer;
            }
        }
    }
    operations
}

fn describe<M: Model>(model: &M, operations: &Operations<M>, steps_max: u64) -> String {
    let mut text = String::from("no order of these operations explains their answers:\n");
    let hidden = operations.len().saturating_sub(SHOWN);
    if hidden > 0 {
        _ = writeln!(text, "  ... {hidden} operations before");
    }
    let last = operations.iter().filter_map(|operation| operation.answered.as_ref().map(|(stamp, _)| *stamp)).max();
    for operation in &operations[hidden..] {
        let (until, answer) = match &operation.answered {
            Some((stamp, answer)) => (stamp.to_string(), format!("{answer:?}")),
            None => ("?".to_owned(), "unknown".to_owned()),
        };
        let mark =
            if operation.answered.as_ref().map(|(stamp, _)| *stamp) == last { "  <- cannot be explained" } else { "" };
        let span = format!("{}..{until}", operation.invoked);
        _ = writeln!(text, "  {span:>15}  client {:<3} {:?} -> {answer}{mark}", operation.client, operation.call);
    }
    if let Found::Nothing { deepest: (state, order) } = search(model, operations, steps_max) {
        let known = operations.iter().filter(|operation| operation.answered.is_some()).count();
        let explained = order.iter().filter(|place| operations[**place].answered.is_some()).count();
        _ = writeln!(text, "  an order that explains {explained} of {known} answers ends with the state {state:?}");
    }
    text
}
