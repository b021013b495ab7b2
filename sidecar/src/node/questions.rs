//! Answers to other tasks, from the engine's state or after an operation of the engine.

use std::sync::Arc;

use folkmoot_serf::{
    KeyOperation, KeyResponse, NodeName, OperationError, Prune, QueryAnswer, QueryKey, QueryRequest, RequestError,
};
use tokio::sync::{mpsc, oneshot};

use super::{Node, Waiter};
use crate::handle::{MembersView, NodeStats, Question};
use crate::limits::{OPERATIONS_AT_ONCE, QUERIES_AT_ONCE};
use crate::rpc;

/// The answer of most operations.
pub(super) type Reply = oneshot::Sender<Result<(), RequestError>>;

impl Node {
    /// Answers now or begins what will answer. An asker that has gone is no error.
    pub(super) fn answer(&mut self, question: Question) {
        let now = self.parts.clock.now();
        match question {
            Question::Members { reply } => drop(reply.send(self.members_view())),
            Question::MoveTo { address, reply } => {
                self.parts.serf.move_to(now, address);
                let _ = reply.send(());
            }
            Question::SetCapability { capability, reply } => {
                drop(reply.send(self.parts.serf.set_capability(now, capability)));
            }
            Question::WatchMembers { reply } => drop(reply.send(self.revision.subscribe())),
            Question::ReportMetrics { reply } => {
                self.parts.metrics.report(&self.parts.serf);
                let _ = reply.send(());
            }
            Question::Stats { reply } => drop(reply.send(self.stats())),
            Question::Coordinate { node, reply } => drop(reply.send(self.parts.serf.coordinate(&node))),
            Question::Join { addresses, old_events, reply } => self.join(addresses, old_events, reply),
            Question::Leave { reply } => self.leave(reply),
            Question::ForceLeave { node, prune, reply } => self.force_leave(&node, prune, reply),
            Question::SetTags { set, delete, reply } => self.set_tags(set, delete, reply),
            Question::UserEvent { name, payload, coalesce, reply } => {
                tracing::debug!(target: "agent", "Requesting user event send: {name}. Coalesced: {coalesce}");
                let result = self.parts.serf.user_event(now, name, payload, coalesce);
                if let Err(error) = &result {
                    tracing::warn!(target: "agent", "failed to send user event: {error}");
                }
                drop(reply.send(result));
            }
            Question::Query { request, answers, reply } => drop(reply.send(self.query(request, answers))),
            Question::Respond { query, payload, reply } => {
                drop(reply.send(self.parts.serf.respond(now, query, payload)));
            }
            Question::Subscribe { subscriber, reply } => drop(reply.send(self.watch.subscribe(subscriber))),
            Question::Unsubscribe { id } => self.watch.unsubscribe(id),
            Question::ChangeKeys { operation, reply } => self.change_keys(operation, reply),
        }
    }

    /// The list as it stands, encoded once per change.
    fn members_view(&mut self) -> MembersView {
        let revision = self.parts.serf.members_revision();
        if let Some(view) = self.members.as_ref().filter(|view| view.revision == revision) {
            return view.clone();
        }
        let members: Vec<_> = self.parts.serf.members().map(Arc::clone).collect();
        let encoded = rpc::members::encode_body(&members);
        let view = MembersView { revision, members: members.into(), encoded };
        self.members = Some(view.clone());
        view
    }

    fn stats(&self) -> NodeStats {
        let local = self.parts.serf.local_member();
        NodeStats { name: local.name.clone(), tags: local.tags.clone(), serf: self.parts.serf.stats() }
    }

    fn leave(&mut self, reply: Reply) {
        tracing::info!(target: "agent", "requesting graceful leave from Serf");
        match self.parts.serf.leave(self.parts.clock.now()) {
            Ok(Some(operation)) => {
                self.waiting.insert(operation, Waiter::Leave(reply));
            }
            Ok(None) => drop(reply.send(Ok(()))),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn force_leave(&mut self, node: &NodeName, prune: Prune, reply: Reply) {
        match prune {
            Prune::Keep => tracing::info!(target: "agent", "Force leaving node: {node}"),
            Prune::Erase => tracing::info!(target: "agent", "Force leaving node (prune): {node}"),
        }
        if let Some(reply) = self.with_room(reply) {
            let operation = self.parts.serf.force_leave(self.parts.clock.now(), node, prune);
            self.waiting.insert(operation, Waiter::ForceLeave(reply));
        }
    }

    fn query(&mut self, request: QueryRequest, answers: mpsc::Sender<QueryAnswer>) -> Result<QueryKey, RequestError> {
        tracing::debug!(target: "agent", "Requesting query send: {}", request.name);
        if self.queries.len() >= QUERIES_AT_ONCE {
            return Err(RequestError::Other(format!("{QUERIES_AT_ONCE} queries are in progress, try again later")));
        }
        let result = self.parts.serf.query(self.parts.clock.now(), request);
        match &result {
            Ok(key) => {
                self.queries.insert(*key, answers);
            }
            Err(error) => tracing::warn!(target: "agent", "failed to start user query: {error}"),
        }
        result
    }

    /// One at a time, as in Go: what two at once would leave behind depends on the order of packets.
    fn change_keys(&mut self, operation: KeyOperation, reply: oneshot::Sender<KeyResponse>) {
        if self.keys.len() >= OPERATIONS_AT_ONCE {
            let error = Some(format!("{OPERATIONS_AT_ONCE} key operations are waiting, try again later"));
            let _ = reply.send(KeyResponse { error, ..KeyResponse::default() });
            return;
        }
        self.keys.push_back((operation, reply));
        if self.keys.len() == 1 {
            self.begin_keys();
        }
    }

    fn begin_keys(&mut self) {
        let Some((operation, _)) = self.keys.front() else { return };
        let line = match operation {
            KeyOperation::Install(_) => "Initiating key installation",
            KeyOperation::Use(_) => "Initiating primary key change",
            KeyOperation::Remove(_) => "Initiating key removal",
            KeyOperation::List => "Initiating key listing",
        };
        tracing::info!(target: "agent", "{line}");
        let operation = self.parts.serf.change_keys(self.parts.clock.now(), operation.clone(), NO_RELAY);
        self.waiting.insert(operation, Waiter::Keys);
    }

    pub(super) fn keys_changed(&mut self, response: KeyResponse) {
        if let Some((_, reply)) = self.keys.pop_front() {
            let _ = reply.send(response);
        }
        self.begin_keys();
    }

    /// The reply back if another operation may begin; otherwise it is refused.
    pub(super) fn with_room(&self, reply: Reply) -> Option<Reply> {
        if self.waiting.len() < OPERATIONS_AT_ONCE {
            return Some(reply);
        }
        let text = format!("{OPERATIONS_AT_ONCE} operations are in progress, try again later");
        let _ = reply.send(Err(RequestError::Other(text)));
        None
    }
}

/// Go's agent asks for no relays of key answers.
const NO_RELAY: u8 = 0;

/// The caller's view of a change nobody took in time.
pub(super) fn refused(error: OperationError) -> RequestError {
    RequestError::Other(error.to_string())
}

/// As above, with Go's log line.
pub(super) fn force_left(result: Result<(), OperationError>) -> Result<(), RequestError> {
    result.map_err(|error| {
        tracing::warn!(target: "agent", "failed to remove node: {error}");
        refused(error)
    })
}
