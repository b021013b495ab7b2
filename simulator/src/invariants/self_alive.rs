//! A node is in its own table, and never failed there; alive, unless it is leaving (`docs/spec/serf-gossip.md` 20.7,
//! `docs/spec/memberlist.md` 6: whoever is accused refutes).

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::node::Node;

pub(super) fn check(node: &Node, engine: &Engine) -> Result<(), String> {
    see(&engine.view(), node.name(), node.leaving)
}

fn see(view: &BTreeMap<String, &'static str>, name: &str, leaving: bool) -> Result<(), String> {
    match view.get(name) {
        None => Err("not in its own table".to_string()),
        Some(&"alive") => Ok(()),
        Some(&("leaving" | "left")) if leaving => Ok(()),
        Some(status) => Err(format!("{status} in its own table")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_views_of_oneself_are_noticed() {
        let view = |status| BTreeMap::from([("n1".to_string(), status)]);
        assert!(see(&view("alive"), "n1", false).is_ok());
        assert!(see(&view("left"), "n1", true).is_ok());
        assert!(see(&view("left"), "n1", false).is_err());
        assert!(see(&view("failed"), "n1", true).is_err());
        assert!(see(&BTreeMap::new(), "n1", false).is_err());
    }
}
