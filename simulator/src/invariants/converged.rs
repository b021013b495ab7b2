//! In the end everybody sees the same: each member knows each member as alive, and nobody else as such
//! (`docs/spec/serf-gossip.md` 20.13). Not true at every step; asked for after the faults are over.

use std::collections::BTreeSet;

use crate::node::Node;

/// Whether the views of all members agree with the truth.
pub fn is_converged(nodes: &[Node]) -> bool {
    let members: BTreeSet<&str> = nodes.iter().filter(|node| node.is_member()).map(Node::name).collect();
    nodes.iter().filter(|node| node.is_member()).filter_map(Node::engine).all(|engine| {
        let view = engine.view();
        let alive: BTreeSet<&str> =
            view.iter().filter(|&(_, &status)| status == "alive").map(|(name, _)| name.as_str()).collect();
        alive == members && !view.values().any(|&status| status == "suspect" || status == "leaving")
    })
}
