//! Work items: none lost, none held by two at once, none completed twice. Items are told apart by their payload, which the
//! test writes only once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::holds::{self, Hold};

/// How a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was accepted.
    Accepted {
        /// When the worker learned it.
        answered: u64,
    },
    /// It was refused: the claim had ended.
    Stale,
    /// The worker never learned it.
    Unknown,
}

/// What clients know of one work queue.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Items whose put was acknowledged.
    pub put: BTreeSet<u64>,
    /// Items whose put was never answered.
    pub perhaps_put: BTreeSet<u64>,
    /// Claims, by item.
    pub claims: Vec<(u64, Hold)>,
    /// Completions, by item.
    pub completions: Vec<(u64, Outcome)>,
    /// Items that are in the queue at the end.
    pub left: BTreeSet<u64>,
}

impl Ledger {
    /// Judges the queue.
    ///
    /// # Errors
    /// Says what happened to which items that must not happen.
    pub fn check(&self) -> Result<(), String> {
        let mut text = String::new();
        let mut claims: BTreeMap<u64, Vec<Hold>> = BTreeMap::new();
        for (item, hold) in &self.claims {
            claims.entry(*item).or_default().push(hold.clone());
        }
        for (item, holds) in &claims {
            if !self.put.contains(item) && !self.perhaps_put.contains(item) {
                _ = writeln!(text, "item {item} was claimed and never put");
            }
            if let Err(contradiction) = holds::check(holds) {
                _ = writeln!(text, "item {item}: {contradiction}");
            }
        }
        let mut accepted: BTreeMap<u64, u64> = BTreeMap::new();
        let mut perhaps: BTreeSet<u64> = BTreeSet::new();
        for (item, outcome) in &self.completions {
            match outcome {
                Outcome::Accepted { answered } => {
                    if accepted.insert(*item, *answered).is_some() {
                        _ = writeln!(text, "item {item} was completed twice");
                    }
                }
                Outcome::Unknown => drop(perhaps.insert(*item)),
                Outcome::Stale => {}
            }
        }
        for (item, completed) in &accepted {
            let again = claims.get(item).into_iter().flatten().find(|hold| hold.asked > *completed);
            if let Some(hold) = again {
                _ = writeln!(text, "item {item} was completed at {completed} and claimed again: {hold:?}");
            }
            if self.left.contains(item) {
                _ = writeln!(text, "item {item} was completed and is still there");
            }
        }
        for item in &self.put {
            if !accepted.contains_key(item) && !perhaps.contains(item) && !self.left.contains(item) {
                _ = writeln!(text, "item {item} was put and is lost");
            }
        }
        if text.is_empty() { Ok(()) } else { Err(text) }
    }
}
