//! What must hold whatever happens: one file per property, each naming where it comes from.

mod clocks;
mod converged;
mod events_once;
mod incarnations;
mod lists;
mod self_alive;

use std::fmt;

use crate::Instant;
use crate::node::Node;
use crate::trace::Fact;

pub use converged::is_converged;

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When it broke.
    pub at: Instant,
    /// At which node (counted from zero).
    pub node: usize,
    /// Which property, and how.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at n{}: {}", self.at.since_epoch(), self.node + 1, self.what)
    }
}

/// All properties, with what they remember.
#[derive(Debug, Default)]
pub struct Invariants {
    clocks: clocks::Clocks,
    events_once: events_once::EventsOnce,
    incarnations: incarnations::Incarnations,
}

impl Invariants {
    /// Looks at a node after it has done something; `facts` are those it has just reported.
    ///
    /// # Errors
    /// A property does not hold.
    pub fn check(&mut self, at: Instant, number: usize, node: &Node, facts: &[Fact]) -> Result<(), Violation> {
        let Some(engine) = node.engine() else { return Ok(()) };
        let life = (number, node.lives());
        self.events_once
            .check(life, facts)
            .and_then(|()| self.clocks.check(life, engine))
            .and_then(|()| self.incarnations.check(life, engine))
            .and_then(|()| lists::check(engine))
            .and_then(|()| self_alive::check(node, engine))
            .map_err(|what| Violation { at, node: number, what })
    }
}

/// A node in one of its lives.
type LifeKey = (usize, u32);
