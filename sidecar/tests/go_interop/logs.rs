//! What Go agents write into their logs in the scenario, whoever the others are.
//!
//! Which of these lines come depends on the moment (what gossip repeats, when a timer fires, how busy the machine is), so
//! one run says nothing about the next. All that may come is listed instead, with the reason; a line that is not on the
//! list is a complaint about something that no Go agent does. `go_interop.rs` holds the list to a cluster of Go agents.

use std::collections::BTreeSet;

use crate::support::{Agent, Kind, log};

/// Beginnings of lines: what the scenario makes them do.
const GO_WRITES: &[&str] = &[
    // Their own life, and what clients ask of them.
    "[INFO] agent: Serf agent starting",
    "[INFO] agent: joining: [#] replay: false",
    "[INFO] agent: joined: # nodes",
    "[INFO] agent: Received event: ",
    "[INFO] agent: Force leaving node",
    "[INFO] agent: requesting graceful leave from Serf",
    "[INFO] agent: requesting serf shutdown",
    "[INFO] agent: shutdown complete",
    "[INFO] agent.ipc: Accepted client: #",
    "[INFO] agent.ipc: Graceful leave triggered",
    "[DEBUG] agent: Requesting user event send: ",
    "[DEBUG] agent: Requesting query send: ",
    // What gossip brings, once or again.
    "[DEBUG] serf: messageJoinType: NODE",
    "[DEBUG] serf: messageLeaveType: NODE",
    "[DEBUG] serf: messageQueryType: ",
    "[DEBUG] serf: messageQueryResponseType: NODE",
    "[DEBUG] serf: messageUserEventType: ",
    "[DEBUG] serf: Relaying response to addr: #",
    "[DEBUG] memberlist: Stream connection from=#",
    "[DEBUG] memberlist: Initiating push/pull sync with: ",
    // Members come, change and go.
    "[INFO] serf: EventMemberJoin: NODE #",
    "[INFO] serf: EventMemberUpdate: NODE",
    "[INFO] serf: EventMemberFailed: NODE #",
    "[INFO] serf: EventMemberLeave: NODE #",
    "[INFO] serf: EventMemberLeave (forced): NODE #",
    "[INFO] serf: EventMemberReap (forced): NODE #",
    "[INFO] serf: attempting reconnect to NODE #",
    "[DEBUG] serf: forgoing reconnect for random throttling",
    // An agent that was forced out and is back hears that it has left or is dead.
    "[DEBUG] serf: Refuting an older leave intent",
    "[WARN] memberlist: Refuting a dead message (from: NODE)",
    // A peer is dead or stands still, or the machine lets a packet wait; so the line about TCP, which says that only the
    // packet was late. An agent that stood still itself hears that it is suspect.
    "[DEBUG] memberlist: Failed ping: NODE (timeout reached)",
    "[DEBUG] memberlist: Failed UDP ping: NODE (timeout reached)",
    "[WARN] memberlist: Was able to connect to NODE but other probes failed, network may be misconfigured",
    "[WARN] memberlist: Refuting a suspect message (from: NODE)",
    "[INFO] memberlist: Suspect NODE has failed, no acks received",
    "[INFO] memberlist: Marking NODE as failed, suspect timeout reached (# peer confirmations)",
    // An answer came after the query's end.
    "[WARN] serf: reply for non-running query (LTime: #, ID: #) From: NODE",
    // The Go agent itself stops: vectors/rpc/cli/agent.txt calls it a race.
    "[WARN] agent: Serf shutdown detected, quitting",
];

/// Beginnings and ends of lines about a connection whose other side dies, stands still or, with a client, hangs up.
const GO_LOSES: &[&str] = &[
    "[DEBUG] memberlist: Failed to join #: ",
    "[ERR] memberlist: Failed fallback ping: ",
    "[ERR] memberlist: Failed to push local state: ",
    "[ERR] memberlist: Failed to read remote state: ",
    "[ERR] memberlist: Failed to send ack: ",
    "[ERR] memberlist: Push/Pull with NODE failed: ",
    "[ERR] memberlist: failed to receive: ",
    "[ERR] agent.ipc: Failed to stream event to #: ",
    "[ERR] agent.ipc: failed to decode request header: ",
];
const CONNECTION_ENDS: &[&str] = &[
    "connection refused",
    "connection reset by peer",
    "broken pipe",
    "i/o timeout",
    "use of closed network connection",
];

/// A probe, gossip or an acknowledgement was due while the Go agent closed its own socket.
const GO_STOPS: (&str, &str) =
    ("[ERR] memberlist: Failed to send ", "write udp #->#: use of closed network connection");

fn may_be_written(shape: &str) -> bool {
    let lost = GO_LOSES.iter().any(|start| shape.starts_with(start));
    GO_WRITES.iter().any(|start| shape.starts_with(start))
        || (lost && CONNECTION_ENDS.iter().any(|end| shape.contains(end)))
        || (shape.starts_with(GO_STOPS.0) && shape.contains(GO_STOPS.1))
}

/// Every log line of every Go agent is on the list.
pub fn hold_nothing_strange(agents: &[Agent], names: &[&str]) {
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERR"];
    for agent in agents.iter().filter(|agent| agent.kind == Kind::Go) {
        let seen = log::shapes(&agent.lines(), names, &levels);
        assert!(seen.len() > 20, "{} wrote {seen:#?} only", agent.name);
        let strange: BTreeSet<_> = seen.iter().filter(|shape| !may_be_written(shape)).collect();
        assert!(strange.is_empty(), "{} wrote what no cluster of Go agents makes it write: {strange:#?}", agent.name);
    }
}
