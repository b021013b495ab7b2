//! What happened: facts for people, one number for the test that the same seed does the same.

use crate::Instant;

/// A fact that an engine reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// When.
    pub at: Instant,
    /// At which node (counted from zero).
    pub node: usize,
    /// What, in words: `member-join n2`, `event deploy`, `answer n3`.
    pub text: String,
    /// Of a user event, its logical time and payload, which make it one of a kind.
    pub event: Option<(u64, Vec<u8>)>,
}

impl std::fmt::Display for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.at.since_epoch();
        write!(f, "{:>6}.{:06} n{:<4} {}", at.as_secs(), at.subsec_micros(), self.node + 1, self.text)
    }
}

/// All facts of a run, and a hash over everything that went through it, bytes of packets included.
#[derive(Debug, Clone)]
pub struct Trace {
    facts: Vec<Fact>,
    hash: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { facts: Vec::new(), hash: FNV_OFFSET }
    }
}

impl Trace {
    /// Adds to the hash: a moment, a node, what kind of thing, and its bytes.
    pub fn mix(&mut self, at: Instant, node: usize, kind: &str, bytes: &[u8]) {
        self.feed(&at.since_epoch().as_nanos().to_le_bytes());
        self.feed(&(node as u64).to_le_bytes());
        self.feed(kind.as_bytes());
        self.feed(&(bytes.len() as u64).to_le_bytes());
        self.feed(bytes);
    }

    /// Adds a fact, to the hash too.
    pub fn record(&mut self, fact: Fact) {
        self.mix(fact.at, fact.node, "fact", fact.text.as_bytes());
        self.facts.push(fact);
    }

    /// All facts, oldest first.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// Equal for equal runs.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }
}

/// Of FNV-1a, 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
/// As above.
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_fnv_1a() {
        let mut trace = Trace::default();
        trace.feed(b"foobar");
        assert_eq!(trace.hash(), 0x85944171f73967e8);
    }

    #[test]
    fn hash_depends_on_time_node_kind_and_bytes() {
        let hash = |seconds, node, kind, bytes: &[u8]| {
            let mut trace = Trace::default();
            trace.mix(Instant::from_epoch(std::time::Duration::from_secs(seconds)), node, kind, bytes);
            trace.hash()
        };
        let base = hash(1, 1, "packet", b"x");
        for other in [
            hash(2, 1, "packet", b"x"),
            hash(1, 2, "packet", b"x"),
            hash(1, 1, "fact", b"x"),
            hash(1, 1, "packet", b"y"),
        ] {
            assert_ne!(base, other);
        }
    }
}
