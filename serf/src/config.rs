//! Settings of the Serf layer, with Go's names (`docs/spec/serf-gossip.md` 18).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::limits::{PUSH_PULL_SLOTS_MAX, USER_EVENT_LIMIT_MAX};
use crate::memberlist::{Capability, ClusterNameHash, Kept};
use crate::{ConfigError, LamportTime, NodeName, Tags, memberlist, names};

/// Settings beyond memberlist's (spec 18). Durations of zero switch a loop off.
#[derive(Clone)]
pub struct Config {
    /// Gossip layer; `delegate_versions` and `protocol_version` are set from `protocol_version` below.
    pub memberlist: memberlist::Config,
    /// Serf protocol, 2..=5.
    pub protocol_version: u8,
    /// First tags.
    pub tags: Tags,
    /// What Folkmoot peers are told of us from the start; `None`: nothing, on the wire this is a Go agent. Its
    /// `cluster_name` follows from ours below.
    pub capability: Option<Capability>,
    /// Keep to this cluster: Folkmoot nodes that name another one are refused, Go nodes are not.
    pub cluster_name: Option<String>,
    /// How long leave, force-leave and set-tags wait for their broadcast.
    pub broadcast_timeout: Duration,
    /// How long a leaving node lingers.
    pub leave_propagate_delay: Duration,
    /// Member event coalescing.
    pub coalesce_period: Duration,
    /// Quiet time that ends it early.
    pub quiescent_period: Duration,
    /// User event coalescing.
    pub user_coalesce_period: Duration,
    /// Quiet time that ends it early.
    pub user_quiescent_period: Duration,
    /// Time between reaper runs.
    pub reap_interval: Duration,
    /// Time between attempts to reach failed members.
    pub reconnect_interval: Duration,
    /// Failed members are forgotten after this.
    pub reconnect_timeout: Duration,
    /// Left members are forgotten after this.
    pub tombstone_timeout: Duration,
    /// A member that comes back sooner is flapping.
    pub flap_timeout: Duration,
    /// Intents for unknown names are kept this long.
    pub recent_intent_timeout: Duration,
    /// Time between queue checks.
    pub queue_check_interval: Duration,
    /// Queue length that is worth a warning.
    pub queue_depth_warning: usize,
    /// Longest queue.
    pub max_queue_depth: usize,
    /// If above 0, queues may grow to max(this, 2 * members) instead.
    pub min_queue_depth: usize,
    /// Slots of the event ring, 1 to 8,192; anything else counts as the nearer end.
    pub event_buffer: usize,
    /// Slots of the query ring, as above.
    pub query_buffer: usize,
    /// Factor of the default query time.
    pub query_timeout_mult: u32,
    /// Largest encoded query.
    pub query_size_limit: usize,
    /// Largest encoded response.
    pub query_response_size_limit: usize,
    /// Largest user event.
    pub user_event_size_limit: usize,
    /// Vote about a contested name.
    pub enable_name_conflict_resolution: bool,
    /// Network coordinates.
    pub coordinates: bool,
    /// Refuse unusual names.
    pub validate_node_names: bool,
    /// Whether the shell keeps the keys in a file: key queries are answered only once it has said, with
    /// [`crate::Serf::keyring_kept`], how that went.
    pub keyring_is_kept: bool,
    /// Whether a `leave` in the snapshot keeps members and clocks for the next start.
    pub rejoin_after_leave: bool,
    /// Members and clocks known from an earlier life.
    pub restored: Restored,
}
impl Config {
    /// The agent's defaults (protocol 5, coalescing on) over a memberlist profile.
    ///
    /// Where the profile never takes a dead name back, one second after its death is enough (Go: never; a container that
    /// returns under its name with a new address is otherwise refused until the dead entry is forgotten, F5).
    pub fn agent(mut memberlist: memberlist::Config) -> Self {
        if memberlist.dead_node_reclaim_time.is_zero() {
            memberlist.dead_node_reclaim_time = Duration::from_secs(1);
        }
        Self {
            memberlist,
            protocol_version: PROTOCOL_VERSION_MAX,
            tags: Tags::default(),
            capability: None,
            cluster_name: None,
            broadcast_timeout: Duration::from_secs(5),
            leave_propagate_delay: Duration::from_secs(1),
            coalesce_period: Duration::from_secs(3),
            quiescent_period: Duration::from_secs(1),
            user_coalesce_period: Duration::from_secs(3),
            user_quiescent_period: Duration::from_secs(1),
            reap_interval: Duration::from_secs(15),
            reconnect_interval: Duration::from_secs(30),
            reconnect_timeout: Duration::from_secs(24 * 60 * 60),
            tombstone_timeout: Duration::from_secs(24 * 60 * 60),
            flap_timeout: Duration::from_secs(60),
            recent_intent_timeout: Duration::from_secs(5 * 60),
            queue_check_interval: Duration::from_secs(30),
            queue_depth_warning: 128,
            max_queue_depth: 4_096,
            min_queue_depth: 0,
            event_buffer: 512,
            query_buffer: 512,
            query_timeout_mult: 16,
            query_size_limit: 1_024,
            query_response_size_limit: 1_024,
            user_event_size_limit: 512,
            enable_name_conflict_resolution: true,
            coordinates: true,
            validate_node_names: false,
            keyring_is_kept: false,
            rejoin_after_leave: false,
            restored: Restored::default(),
        }
    }

    /// Refuses what cannot work, and sets what follows from the rest. Returns the meta data, and what of the capability
    /// it holds.
    pub(crate) fn resolve(&mut self) -> Result<(Bytes, Kept), ConfigError> {
        let version = self.protocol_version;
        if !(PROTOCOL_VERSION_MIN..=PROTOCOL_VERSION_MAX).contains(&version) {
            let fault = if version < PROTOCOL_VERSION_MIN { "low" } else { "high" };
            return Err(ConfigError(format!(
                "Protocol version '{version}' too {fault}. Must be in range: [{PROTOCOL_VERSION_MIN}, {PROTOCOL_VERSION_MAX}]"
            )));
        }
        if self.user_event_size_limit > USER_EVENT_LIMIT_MAX {
            return Err(ConfigError(format!("user event size limit exceeds limit of {USER_EVENT_LIMIT_MAX} bytes")));
        }
        let name = &self.memberlist.name;
        if !names::is_usable(name) {
            return Err(ConfigError(names::UNUSABLE.to_string()));
        }
        if self.validate_node_names {
            names::validate(name).map_err(ConfigError)?;
        }
        self.memberlist.protocol_version = MEMBERLIST_PROTOCOL;
        self.memberlist.delegate_versions = (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX, version);
        self.memberlist.ask_host |= self.validate_node_names || self.cluster_name.is_some();
        // A ring has a slot at least, and no more than a peer reads from a push/pull.
        self.event_buffer = self.event_buffer.clamp(1, PUSH_PULL_SLOTS_MAX);
        self.query_buffer = self.query_buffer.clamp(1, PUSH_PULL_SLOTS_MAX);
        self.capability = self.capability.map(|capability| self.of_our_cluster(capability));
        let meta = self.tags.encode_with(version, self.capability.as_ref());
        meta.map_err(|error| ConfigError(error.to_string()))
    }

    /// A capability that names our cluster.
    pub(crate) fn of_our_cluster(&self, capability: Capability) -> Capability {
        Capability { cluster_name: self.cluster_name.as_deref().map(ClusterNameHash::of), ..capability }
    }
}

/// Serf protocols understood (Go `ProtocolVersionMin`, `ProtocolVersionMax`).
const PROTOCOL_VERSION_MIN: u8 = 2;
const PROTOCOL_VERSION_MAX: u8 = 5;
/// Every Serf protocol speaks this memberlist protocol (Go `ProtocolVersionMap`).
const MEMBERLIST_PROTOCOL: u8 = 2;

/// What a snapshot brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Members that were alive.
    pub members: BTreeMap<NodeName, SocketAddr>,
    /// Members that had failed and were not forgotten yet: tried when none of the others answers (F13).
    pub failed: BTreeMap<NodeName, SocketAddr>,
    /// Member clock.
    pub clock: LamportTime,
    /// Event clock.
    pub event_clock: LamportTime,
    /// Query clock.
    pub query_clock: LamportTime,
}
