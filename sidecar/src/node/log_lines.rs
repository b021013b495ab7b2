//! The agent's lines that Go's users grep for (`docs/spec/agent-cli.md` 3.5). Those of Serf (`EventMemberJoin` and the like)
//! come from the engine.

use folkmoot_serf::{Event, NodeName};

/// What clients and handlers are told, coalesced.
pub(super) fn delivery(event: &Event) {
    match event {
        Event::Members(event) => tracing::info!(target: "agent", "Received event: {}", event.kind.as_str()),
        Event::User(event) => tracing::info!(target: "agent", "Received event: user-event: {}", event.name),
        Event::Query(query) => tracing::info!(target: "agent", "Received event: query: {}", query.name),
    }
}

/// Why the process ends; the engine has told of the vote.
pub(super) fn name_conflict_lost(name: &NodeName) {
    tracing::error!(
        target: "agent",
        "another node of this cluster owns the name '{name}': shutting down. Give this node a name of its own (-node)"
    );
}
