//! Event handlers: scripts and webhooks that are run for events (`docs/spec/agent-cli.md` 4). Answers to Go's
//! `event_handler.go` and `invoke.go`; webhooks and changes at run time are ours (`docs/rpc.md`).
//!
//! `spec` reads `FILTER=SCRIPT`; `registry` is the list of handlers that everybody may change; `dispatcher` takes
//! events, one after the other, to the `lane` of each script; `script` and `webhook` run one for one event, with what
//! `environment`, `input` and `body` make of it. Nobody here can hold up the node task: queues are bounded, and what
//! does not fit is dropped, counted and logged (`losses`).

mod body;
mod dispatcher;
mod environment;
mod input;
mod lane;
pub mod limits;
mod losses;
mod output;
mod registry;
mod script;
mod spec;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use folkmoot_serf::{Event, QueryEvent, Text};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::event_filter::EventFilters;
use crate::handle::{Delivered, NodeHandle, NodeStopped, Owner, Question, Subscriber};
use limits::HANDLER_EVENTS;

pub use lane::Workshop;
pub use losses::Losses;
pub use registry::{HandlerView, Handlers, HandlersError, Source};
pub use spec::{HandlerSpec, SpecError};

/// Our own member, as handlers are told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// Our name.
    pub name: Text,
    /// Our tags.
    pub tags: BTreeMap<Text, Text>,
}

impl Local {
    fn role(&self) -> &[u8] {
        self.tags.get(&Text::from("role")).map_or(b"", Text::as_bytes)
    }
}

/// One event, and who we were when its turn came.
#[derive(Debug)]
struct Invocation {
    event: Arc<Event>,
    /// Answers after this are refused, if it is a query.
    answer_by: Option<tokio::time::Instant>,
    local: Local,
}

impl Invocation {
    /// Serf's name of the kind of event.
    fn kind(&self) -> &'static str {
        match &*self.event {
            Event::Members(event) => event.kind.as_str(),
            Event::User(_) => "user",
            Event::Query(_) => "query",
        }
    }

    fn query(&self) -> Option<&QueryEvent> {
        match &*self.event {
            Event::Query(query) => Some(query),
            Event::Members(_) | Event::User(_) => None,
        }
    }
}

/// Subscribes to the node's events and runs the handlers of `handlers` for them until the node stops; then for what
/// still waits. `first` is who we are until the node says otherwise.
///
/// # Errors
/// The node has stopped.
pub async fn start(handlers: Handlers, workshop: Workshop, first: Local) -> Result<JoinHandle<()>, NodeStopped> {
    let (queue, events) = mpsc::channel::<Delivered>(HANDLER_EVENTS);
    let subscriber =
        Subscriber { filter: EventFilters::every(), queue, owner: Owner::EventHandlers(handlers.losses()) };
    workshop.node.ask(|reply| Question::Subscribe { subscriber, reply }).await?;
    Ok(tokio::spawn(dispatcher::Dispatcher::new(handlers, workshop, first).run(events)))
}

/// Answers a query in the name of a handler. Only the first answer of all handlers and clients counts.
async fn respond(node: &NodeHandle, query: &QueryEvent, payload: Bytes) {
    let key = query.key;
    let answered = node.ask(|reply| Question::Respond { query: key, payload: Some(payload), reply }).await;
    let refused = match answered {
        Ok(Ok(())) => return,
        Ok(Err(refused)) => refused.to_string(),
        Err(stopped) => stopped.to_string(),
    };
    tracing::warn!(target: "agent", "Failed to respond to query 'query: {}': {refused}", query.name);
}
