//! [`Dispatcher`]: which handler is run when.
//!
//! As Go does: one event after the other, for each event one handler after the other, in their order; the next begins
//! when the one before has ended. But nobody waits longer than [`SCRIPT_SLOW`] for a script. One that takes longer goes
//! on beside the others: what comes for it meanwhile waits in its own lane, in order, and it is back in step once the
//! lane is empty. So quick scripts see Go's order, and a slow or hanging one delays nobody by more than that, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::lane::{Lane, Workshop};
use super::limits::{HANDLER_EVENTS, HANDLER_LANES, SCRIPT_SLOW};
use super::registry::{Handler, Handlers};
use super::{Invocation, Local};
use crate::handle::{Delivered, Question};

pub(super) struct Dispatcher {
    handlers: Handlers,
    workshop: Workshop,
    /// Who we were when we last heard.
    local: Local,
    /// By script or address: handlers with the same one share its lane.
    lanes: BTreeMap<String, Lane>,
}

impl Dispatcher {
    pub(super) fn new(handlers: Handlers, workshop: Workshop, first: Local) -> Self {
        Self { handlers, workshop, local: first, lanes: BTreeMap::new() }
    }

    /// Runs handlers for `events` until there are no more; returns when the last run has ended.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Delivered>) {
        while let Some(delivered) = events.recv().await {
            self.dispatch(delivered).await;
        }
        for lane in self.lanes.into_values() {
            lane.finish().await;
        }
    }

    async fn dispatch(&mut self, delivered: Delivered) {
        let handlers = self.handlers.snapshot();
        let Delivered { event, answer_by } = delivered;
        let wanted = |handler: &Handler| handler.spec.filters().iter().filter(|filter| filter.matches(&event)).count();
        let wanted: Vec<(&Arc<Handler>, usize)> = handlers.iter().map(|handler| (handler, wanted(handler))).collect();
        self.lanes.retain(|action, lane| {
            !lane.is_idle() || handlers.iter().any(|handler| handler.spec.action().as_str() == action)
        });
        if wanted.iter().all(|(_, times)| *times == 0) {
            return;
        }
        self.update_local().await;
        let invocation = Arc::new(Invocation { event, answer_by, local: self.local.clone() });
        for (handler, times) in wanted {
            // A handler with two filters for one event is run twice.
            for _ in 0..times {
                self.run_handler(handler, &invocation).await;
            }
        }
    }

    async fn run_handler(&mut self, handler: &Arc<Handler>, invocation: &Arc<Invocation>) {
        let action = handler.spec.action().as_str();
        if !self.lanes.contains_key(action) {
            if self.lanes.len() >= HANDLER_LANES {
                handler.counters.losses.lost(&format!("handler '{}'", handler.spec.as_str()));
                return;
            }
            self.lanes.insert(action.to_owned(), Lane::start(self.workshop.clone(), HANDLER_EVENTS));
        }
        let Some(lane) = self.lanes.get(action) else { return };
        let in_step = lane.is_idle();
        if let Some(ended) = lane.take(handler, invocation).filter(|_| in_step) {
            // Either way the next one begins.
            let _ = timeout(SCRIPT_SLOW, ended).await;
        }
    }

    /// A node that has stopped is what it was.
    async fn update_local(&mut self) {
        if let Ok(stats) = self.workshop.node.ask(|reply| Question::Stats { reply }).await {
            self.local = Local { name: stats.name.0, tags: stats.tags.0 };
        }
    }
}
