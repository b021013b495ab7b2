//! A group of ours.

use std::time::Duration;

use crate::call::{Caller, Endpoint, Outcome};
use crate::group::{Group, Place};
use crate::support::Value;
use crate::{Client, Cluster};

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(10);

pub struct Folkmoot {
    group: Group,
}

impl Folkmoot {
    /// Three nodes with our own settings.
    pub fn start() -> Self {
        Self { group: Group::start(3, Place::Loopback, false) }
    }

    fn endpoint(&self, node: usize) -> &Endpoint {
        &self.group.nodes[node].endpoint
    }
}

impl Cluster for Folkmoot {
    fn client(&self, node: usize) -> Box<dyn Client> {
        Box::new(Caller::of_one(self.endpoint(node)))
    }

    fn leader(&self) -> Option<usize> {
        self.group.leader()
    }

    fn kill(&mut self, node: usize) {
        self.group.nodes[node].kill();
    }

    fn restart(&mut self, node: usize) {
        self.group.nodes[node].start();
        self.group.wait_until_caught_up();
    }

    fn resident_kib(&self) -> u64 {
        self.group.nodes.iter().map(crate::group::Node::resident_kib).max().unwrap()
    }
}

impl Client for Caller {
    fn write(&mut self, key: &str, value: &[u8]) -> bool {
        let fields = [("Key", Value::text(key)), ("Value", Value::Bin(value.to_vec()))];
        matches!(Self::write(self, "kv-put", &fields, Duration::ZERO, LIMIT), Outcome::Answer(_))
    }

    fn read(&mut self, key: &str, stale: bool) -> bool {
        matches!(self.read_as("kv-get", &[("Key", Value::text(key))], stale, LIMIT), Some(Ok(_)))
    }
}
