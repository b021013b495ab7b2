//! The table of all settings: configuration key, flag, type, and with the type its rule for merging
//! (`docs/spec/agent-cli.md` 3.1 to 3.3). Files, flags and environment are read by it.
//!
//! In the order of Go's `Config`, which is the order of its complaints.

use std::collections::BTreeMap;

use super::args::{Raw, Secret};
use crate::duration::GoDuration;

/// One setting.
pub(super) struct Key {
    /// Its key in files; a dot stands between a group and its member. Empty: not for files.
    pub(super) name: &'static str,
    /// Its flag; empty: has none.
    pub(super) flag: &'static str,
    /// What help says of the flag's value ([`crate::flags::FlagDefinition::value`]).
    pub(super) value: &'static str,
    /// What help says of the flag.
    pub(super) text: &'static str,
    /// Its type and place.
    pub(super) kind: Kind,
}

/// Where a setting of one type is kept.
pub(super) type Place<T> = fn(&mut Raw) -> &mut T;

/// Types of settings, told apart by how a later source is laid over an earlier one.
pub(super) enum Kind {
    /// What is not empty counts.
    Text(Place<Option<String>>),
    /// The same, never shown.
    Secret(Place<Option<Secret>>),
    /// True stays true.
    Truth(Place<Option<bool>>),
    /// The last word counts.
    Choice(Place<Option<bool>>),
    /// The same, said the other way round; its place is that of another key.
    Negated(Place<Option<bool>>),
    /// What is not zero counts.
    Integer(Place<Option<i64>>),
    /// What is above zero counts.
    Positive(Place<Option<i64>>),
    /// What is not zero counts.
    Duration(Place<Option<GoDuration>>),
    /// Appended.
    List(Place<Vec<String>>),
    /// Merged key by key.
    Tags(Place<BTreeMap<String, String>>),
}

impl Key {
    /// Names the setting, whatever it is called by: two keys may stand for one.
    pub(super) fn setting(&self) -> &'static str {
        match self.kind {
            Kind::Negated(_) => "enable_compression",
            Kind::Text(_)
            | Kind::Secret(_)
            | Kind::Truth(_)
            | Kind::Choice(_)
            | Kind::Integer(_)
            | Kind::Positive(_)
            | Kind::Duration(_)
            | Kind::List(_)
            | Kind::Tags(_) => {
                if self.name.is_empty() {
                    self.flag
                } else {
                    self.name
                }
            }
        }
    }

    /// Lays what `over` says of this setting over `under`.
    pub(super) fn overlay(&self, under: &mut Raw, over: &mut Raw) {
        match self.kind {
            Kind::Text(place) => replace(place(under), place(over), |text| !text.is_empty()),
            Kind::Secret(place) => replace(place(under), place(over), |key| !key.0.is_empty()),
            Kind::Truth(place) => {
                let under = place(under);
                if *under != Some(true) {
                    replace(under, place(over), |_| true);
                }
            }
            Kind::Choice(place) => replace(place(under), place(over), |_| true),
            Kind::Negated(_) => {}
            Kind::Integer(place) => replace(place(under), place(over), |number| *number != 0),
            Kind::Positive(place) => replace(place(under), place(over), |number| *number > 0),
            Kind::Duration(place) => replace(place(under), place(over), |duration| duration.nanoseconds() != 0),
            Kind::List(place) => place(under).append(place(over)),
            Kind::Tags(place) => place(under).append(place(over)),
        }
    }
}

fn replace<T>(under: &mut Option<T>, over: &mut Option<T>, says_something: impl Fn(&T) -> bool) {
    if let Some(said) = over.take().filter(says_something) {
        *under = Some(said);
    }
}

const fn key(name: &'static str, flag: &'static str, value: &'static str, text: &'static str, kind: Kind) -> Key {
    Key { name, flag, value, text, kind }
}

/// One without a flag.
const fn file_key(name: &'static str, kind: Kind) -> Key {
    Key { name, flag: "", value: "", text: "", kind }
}

/// All of them.
pub(super) const KEYS: [Key; 62] = [
    key(
        "",
        "config-file",
        "=PATH",
        "JSON file of settings, or directory of *.json files in the order of their names. Can be repeated.",
        Kind::List(|raw| &mut raw.config_paths),
    ),
    key("", "config-dir", "=PATH", "As -config-file.", Kind::List(|raw| &mut raw.config_paths)),
    key(
        "node_name",
        "node",
        "=NAME",
        "Name in the cluster; default: the host name.",
        Kind::Text(|raw| &mut raw.node_name),
    ),
    key("role", "role", "=ROLE", "Old form of -tag role=ROLE.", Kind::Text(|raw| &mut raw.role)),
    file_key("disable_coordinates", Kind::Truth(|raw| &mut raw.disable_coordinates)),
    key("tags", "tag", " KEY=VALUE", "Tag of this node. Can be repeated.", Kind::Tags(|raw| &mut raw.tags)),
    key(
        "tags_file",
        "tags-file",
        "=PATH",
        "JSON object that keeps the tags set at run time.",
        Kind::Text(|raw| &mut raw.tags_file),
    ),
    key("bind", "bind", "=0.0.0.0:7946", "Address to gossip on; IPv6 as [::1]:7946.", Kind::Text(|raw| &mut raw.bind)),
    key(
        "advertise",
        "advertise",
        "=ADDR",
        "Address that other members are told; default: that of -bind.",
        Kind::Text(|raw| &mut raw.advertise),
    ),
    key(
        "encrypt_key",
        "encrypt",
        "=KEY",
        "Key to encrypt with: 16, 24 or 32 bytes in base64.",
        Kind::Secret(|raw| &mut raw.encrypt_key),
    ),
    key(
        "keyring_file",
        "keyring-file",
        "=PATH",
        "JSON list of keys, the one to encrypt with first; rewritten when the cluster changes keys.",
        Kind::Text(|raw| &mut raw.keyring_file),
    ),
    key(
        "log_level",
        "log-level",
        "=trace|debug|info|warn|err",
        "Lowest level shown; default: info.",
        Kind::Text(|raw| &mut raw.log_level),
    ),
    key(
        "rpc_addr",
        "rpc-addr",
        "=ADDR",
        "Address to serve RPC on; default: 127.0.0.1:7373. With unix:///run/folkmoot.sock it is a socket for this user; add ?mode=0660&group=NAME for a group.",
        Kind::Text(|raw| &mut raw.rpc_addr),
    ),
    file_key("rpc_auth", Kind::Secret(|raw| &mut raw.rpc_auth)),
    key("protocol", "protocol", "=5", "Serf protocol version to speak.", Kind::Positive(|raw| &mut raw.protocol)),
    key(
        "replay_on_join",
        "replay",
        "",
        "Take user events from before the join too.",
        Kind::Truth(|raw| &mut raw.replay_on_join),
    ),
    file_key("query_response_size_limit", Kind::Integer(|raw| &mut raw.query_response_size_limit)),
    file_key("query_size_limit", Kind::Integer(|raw| &mut raw.query_size_limit)),
    file_key("user_event_size_limit", Kind::Integer(|raw| &mut raw.user_event_size_limit)),
    key(
        "start_join",
        "join",
        "=ADDR",
        "Address to join at start, or fail. Can be repeated.",
        Kind::List(|raw| &mut raw.start_join),
    ),
    key(
        "event_handlers",
        "event-handler",
        "=[FILTER=]SCRIPT",
        "Run SCRIPT, or post to http://..., for events. FILTER is a comma-separated list of member-join, member-leave, member-failed, member-update, member-reap, user, user:NAME, query, query:NAME, *. Can be repeated.",
        Kind::List(|raw| &mut raw.event_handlers),
    ),
    // Ours, and so not for files, which Go shall be able to read.
    key(
        "",
        "event-handler-timeout",
        "=1h",
        "Time after which a script is killed.",
        Kind::Duration(|raw| &mut raw.event_handler_timeout),
    ),
    key(
        "",
        "rpc-handlers",
        "",
        "Let RPC clients add and remove event handlers: they can run programs as the agent's user then.",
        Kind::Truth(|raw| &mut raw.rpc_handlers),
    ),
    // Ours, and in files too: one that has them is none for Go any more.
    key(
        "cluster",
        "cluster",
        "=NAME",
        "Keep to this cluster: refuse Folkmoot nodes of another name. Go's agents know nothing of it.",
        Kind::Text(|raw| &mut raw.cluster),
    ),
    key(
        "no_capability",
        "no-capability",
        "",
        "Do not tell Folkmoot peers behind the tags what this node can do beyond Serf.",
        Kind::Truth(|raw| &mut raw.no_capability),
    ),
    key("profile", "profile", "=lan|wan|local", "Timing; default: lan.", Kind::Text(|raw| &mut raw.profile)),
    key(
        "snapshot_path",
        "snapshot",
        "=PATH",
        "File that keeps members and clocks over a restart.",
        Kind::Text(|raw| &mut raw.snapshot_path),
    ),
    file_key("leave_on_terminate", Kind::Truth(|raw| &mut raw.leave_on_terminate)),
    file_key("skip_leave_on_interrupt", Kind::Truth(|raw| &mut raw.skip_leave_on_interrupt)),
    key(
        "discover",
        "discover",
        "=NAME",
        "Find and join members of this name by mDNS.",
        Kind::Text(|raw| &mut raw.discover),
    ),
    key(
        "mdns.interface",
        "mdns-iface",
        "=NAME",
        "Network interface for mDNS.",
        Kind::Text(|raw| &mut raw.mdns_interface),
    ),
    key(
        "mdns.disable_ipv4",
        "mdns-disable-ipv4",
        "",
        "Do not use IPv4 for mDNS.",
        Kind::Truth(|raw| &mut raw.mdns_disable_ipv4),
    ),
    key(
        "mdns.disable_ipv6",
        "mdns-disable-ipv6",
        "",
        "Do not use IPv6 for mDNS.",
        Kind::Truth(|raw| &mut raw.mdns_disable_ipv6),
    ),
    key("interface", "iface", "=NAME", "Network interface to bind to.", Kind::Text(|raw| &mut raw.interface)),
    file_key("reconnect_interval", Kind::Duration(|raw| &mut raw.reconnect_interval)),
    file_key("reconnect_timeout", Kind::Duration(|raw| &mut raw.reconnect_timeout)),
    file_key("tombstone_timeout", Kind::Duration(|raw| &mut raw.tombstone_timeout)),
    file_key("disable_name_resolution", Kind::Truth(|raw| &mut raw.disable_name_resolution)),
    key("enable_syslog", "syslog", "", "Write the log to syslog too.", Kind::Truth(|raw| &mut raw.enable_syslog)),
    file_key("syslog_facility", Kind::Text(|raw| &mut raw.syslog_facility)),
    key(
        "retry_join",
        "retry-join",
        "=ADDR",
        "Address to join until it works. Can be repeated.",
        Kind::List(|raw| &mut raw.retry_join),
    ),
    key(
        "retry_max_attempts",
        "retry-max",
        "=0",
        "Attempts of -retry-join; 0: no limit.",
        Kind::Integer(|raw| &mut raw.retry_max_attempts),
    ),
    key(
        "retry_interval",
        "retry-interval",
        "=30s",
        "Time between attempts of -retry-join.",
        Kind::Duration(|raw| &mut raw.retry_interval),
    ),
    key(
        "rejoin_after_leave",
        "rejoin",
        "",
        "Rejoin the members of the snapshot also after a leave.",
        Kind::Truth(|raw| &mut raw.rejoin_after_leave),
    ),
    file_key("enable_compression", Kind::Choice(|raw| &mut raw.enable_compression)),
    key("", "disable-compression", "", "Do not compress messages.", Kind::Negated(|raw| &mut raw.enable_compression)),
    file_key("statsite_addr", Kind::Text(|raw| &mut raw.statsite_addr)),
    file_key("statsd_addr", Kind::Text(|raw| &mut raw.statsd_addr)),
    key(
        "broadcast_timeout",
        "broadcast-timeout",
        "=5s",
        "Time a leave or a force-leave may take to spread.",
        Kind::Duration(|raw| &mut raw.broadcast_timeout),
    ),
    file_key("validate_node_names", Kind::Truth(|raw| &mut raw.validate_node_names)),
    // Says how times are written over RPC, where none are sent.
    file_key("MsgpackUseNewTimeFormat", Kind::Truth(|raw| &mut raw.new_time_format)),
    // Ours, of coordination. Go's agent refuses files with these keys, as it must: it cannot do what they ask for.
    key("raft", "raft", "", "Take part in coordination; needs -data-dir.", Kind::Truth(|raw| &mut raw.raft)),
    key(
        "raft_addr",
        "raft-addr",
        "=ADDR",
        "Address of the Raft port; default: that of -bind, port 4321.",
        Kind::Text(|raw| &mut raw.raft_addr),
    ),
    key(
        "raft_advertise",
        "raft-advertise",
        "=ADDR",
        "Address of the Raft port that others are told; default: -raft-addr where it names an address that is not that of -bind, else that of gossip.",
        Kind::Text(|raw| &mut raw.raft_advertise),
    ),
    key(
        "raft_bootstrap_expect",
        "raft-bootstrap-expect",
        "=N",
        "Found the group when N such nodes have met; N has to be more than half of all nodes with -raft. Without it, a node with nobody to join founds a group of one, and any other waits to be taken in.",
        Kind::Integer(|raw| &mut raw.raft_bootstrap_expect),
    ),
    key(
        "raft_max_voters",
        "raft-max-voters",
        "=5",
        "Members with a vote at most; odd. The others follow.",
        Kind::Integer(|raw| &mut raw.raft_max_voters),
    ),
    key(
        "raft_voter",
        "raft-voter",
        "=auto|never|prefer",
        "Whether this node may get a vote; default: auto.",
        Kind::Text(|raw| &mut raw.raft_voter),
    ),
    key(
        "data_dir",
        "data-dir",
        "=PATH",
        "Directory of this node's share of the group's state. Absent or empty: a first start.",
        Kind::Text(|raw| &mut raw.data_dir),
    ),
    key(
        "raft_tls_ca",
        "raft-tls-ca",
        "=PATH",
        "Authority (PEM) of the certificates that Raft connections show; instead of the gossip keys.",
        Kind::Text(|raw| &mut raw.raft_tls_ca),
    ),
    key(
        "raft_tls_cert",
        "raft-tls-cert",
        "=PATH",
        "This node's certificate (PEM), for servers and clients.",
        Kind::Text(|raw| &mut raw.raft_tls_cert),
    ),
    key("raft_tls_key", "raft-tls-key", "=PATH", "Its private key (PEM).", Kind::Text(|raw| &mut raw.raft_tls_key)),
    key(
        "dev",
        "dev",
        "",
        "One node for trying things: on loopback, with -raft, its state in a temporary directory that is removed at the end.",
        Kind::Truth(|raw| &mut raw.dev),
    ),
];
