//! The only place where defaults, files, environment and flags meet and get their meaning (`docs/spec/agent-cli.md` 3).
//!
//! Answers to Go's `readConfig`, `config.go` and `setupAgent`, in their order of complaints. Looks at nothing but the
//! host name, the interfaces and the resolver.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use folkmoot_serf::memberlist::{self, Keyring};
use folkmoot_serf::{Capability, NodeName, OldEvents, Tags, WireAddress};

use super::args::Raw;
use super::coordination::{self, RaftSettings};
use crate::duration::GoDuration;
use crate::go_base64;
use crate::handlers::HandlerSpec;
use crate::handlers::limits::SCRIPT_TIME_LIMIT;
use crate::logging::Level;
use crate::logging::syslog::DEFAULT_FACILITY;
use crate::mdns::MdnsSettings;
use crate::net::addresses;
use crate::net::interfaces::{self, Interfaces};
use crate::net::raft::TlsFiles;
use crate::telemetry::sinks::SinkAddresses;

/// RPC address where none is configured. Go: `DefaultConfig`.
pub const DEFAULT_RPC_ADDRESS: &str = "127.0.0.1:7373";
/// Shortest retry interval and broadcast timeout. Go: `minRetryInterval`, `minBroadcastTimeout`.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// A dead node's name may return from another address after this time. Ours (Go: never), so that a container that comes
/// back under its name is taken in at once.
const DEAD_NODE_RECLAIM_TIME: Duration = Duration::from_secs(1);

/// Everything the agent needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Our name.
    pub node_name: String,
    /// Gossip address; port 0 leaves the port to the system.
    pub bind: SocketAddr,
    /// What others shall use instead.
    pub advertise: Option<SocketAddr>,
    /// As configured: it may name a host, whose address may change.
    pub advertise_text: Option<String>,
    /// As configured; read when the listener starts.
    pub rpc_address: String,
    /// What RPC clients have to show.
    pub rpc_auth: Option<String>,
    /// Timing.
    pub profile: Profile,
    /// Gossip key.
    pub encrypt_key: Option<Vec<u8>>,
    /// Where the keys are kept, if in a file.
    pub keyring_file: Option<String>,
    /// The keys of that file, once it has been read.
    pub keyring: Keyring,
    /// First tags.
    pub tags: Tags,
    /// Where the tags are kept, if in a file.
    pub tags_file: Option<String>,
    /// Serf protocol; may be out of range, which the engine refuses.
    pub protocol: u8,
    /// Joined once; nobody there is fatal.
    pub start_join: Vec<String>,
    /// Joined in the background until it works.
    pub retry_join: Vec<String>,
    /// Pause between attempts.
    pub retry_interval: Duration,
    /// Attempts after the first; 0: for ever.
    pub retry_max_attempts: u64,
    /// Whether joins replay old events.
    pub old_events: OldEvents,
    /// SIGTERM leaves.
    pub leave_on_terminate: bool,
    /// SIGINT does not leave.
    pub skip_leave_on_interrupt: bool,
    /// Where members and clocks are remembered, if anywhere.
    pub snapshot: Option<PathBuf>,
    /// A leave does not forget them.
    pub rejoin_after_leave: bool,
    /// Lowest level on stdout.
    pub log_level: Level,
    /// Whether messages are compressed.
    pub compression: bool,
    /// What is run for which events.
    pub event_handlers: Vec<HandlerSpec>,
    /// How long a script of theirs may run.
    pub event_handler_timeout: Duration,
    /// Whether RPC clients may change them.
    pub rpc_handlers: bool,
    /// How long leave, force-leave and set-tags wait for their broadcast.
    pub broadcast_timeout: Duration,
    /// Log lines go to syslog too, under this facility.
    pub syslog_facility: Option<String>,
    /// Others are found by mDNS.
    pub mdns: Option<MdnsSettings>,
    /// The cluster to keep to.
    pub cluster: Option<String>,
    /// Whether Folkmoot peers are told what we can do beyond Serf.
    pub capability: bool,
    /// Where metrics go.
    pub sinks: SinkAddresses,
    /// The part in coordination, if it takes part.
    pub raft: Option<RaftSettings>,
    /// Certificates for calls to Raft ports, and for an own one.
    pub raft_tls: Option<TlsFiles>,
    limits: Limits,
}

/// Settings handed to the engine as they are; `None`: its default.
#[derive(Debug, Clone, Default)]
struct Limits {
    reconnect_interval: Option<Duration>,
    reconnect_timeout: Option<Duration>,
    tombstone_timeout: Option<Duration>,
    query_size: Option<usize>,
    query_response_size: Option<usize>,
    user_event_size: Option<usize>,
    name_resolution: bool,
    coordinates: bool,
    validate_names: bool,
}

/// Go's timing profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// One site.
    Lan,
    /// Several.
    Wan,
    /// One machine.
    Local,
}

impl Profile {
    /// As configured.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Local => "local",
        }
    }
}

/// The configuration cannot work: what to tell the operator, after `==> `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// What a reload can change.
#[derive(Debug, Clone)]
pub struct Reloadable {
    /// Lowest level on stdout; a level that does not exist leaves the one in force.
    pub log_level: Result<Level, SettingsError>,
    /// Replace all tags.
    pub tags: Tags,
    /// SIGTERM leaves.
    pub leave_on_terminate: bool,
    /// SIGINT does not leave.
    pub skip_leave_on_interrupt: bool,
    /// Replace the handlers of the configuration.
    pub event_handlers: Vec<HandlerSpec>,
}

/// Checks `raw` as a start does before it begins, for what a reload takes from it.
///
/// # Errors
/// [`SettingsError`], as [`resolve`] gives it for the same settings, but for those that only a start looks at.
pub fn reload(raw: &Raw, tell: &mut dyn FnMut(String)) -> Result<Reloadable, SettingsError> {
    Ok(read(raw, tell)?.reloadable)
}

/// What is known before anything is looked up: Go's `readConfig`.
struct Checked {
    node_name: String,
    retry_interval: Duration,
    broadcast_timeout: Duration,
    reloadable: Reloadable,
}

fn read(raw: &Raw, tell: &mut dyn FnMut(String)) -> Result<Checked, SettingsError> {
    let node_name = match &raw.node_name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    if raw.interface.as_deref().is_some_and(|name| !interfaces::exists(name)) {
        return Err(SettingsError(interfaces::InterfaceError::Unknown.to_string()));
    }
    if raw.mdns_interface.is_some() && raw.discover.is_none() {
        return Err(SettingsError("mDNS interface specified without enabling mDNS discovery".to_owned()));
    }
    if let Some(name) = &raw.mdns_interface {
        if !interfaces::exists(name) {
            let cause = "route ip+net: no such network interface";
            return Err(SettingsError(format!("Invalid mDNS network interface: {cause}")));
        }
        if raw.mdns_disable_ipv4 == Some(true) && raw.mdns_disable_ipv6 == Some(true) {
            return Err(SettingsError("Invalid mDNS configuration: both IPv4 and IPv6 are disabled".to_owned()));
        }
    }
    let mut tags: Tags =
        Tags(raw.tags.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect());
    if let Some(role) = &raw.role {
        tell("Deprecation warning: 'Role' has been replaced with 'Tags'".to_owned());
        tags.0.insert("role".into(), role.as_str().into());
    }
    let event_handlers = raw.event_handlers.iter().map(|text| HandlerSpec::parse(text));
    let event_handlers = event_handlers.collect::<Result<_, _>>().map_err(prefixed("Invalid event script: "))?;
    let retry_interval = at_least_shortest("RetryInterval", raw.retry_interval, Duration::from_secs(30), tell);
    let broadcast_timeout = at_least_shortest("BroadcastTimeout", raw.broadcast_timeout, Duration::from_secs(5), tell);
    if raw.rejoin_after_leave == Some(true) && raw.snapshot_path.is_none() {
        tell("Warning: 'RejoinAfterLeave' enabled without snapshot file".to_owned());
    }
    let reloadable = Reloadable {
        log_level: log_level(raw.log_level.as_deref()),
        tags,
        leave_on_terminate: raw.leave_on_terminate == Some(true),
        skip_leave_on_interrupt: raw.skip_leave_on_interrupt == Some(true),
        event_handlers,
    };
    Ok(Checked { node_name, retry_interval, broadcast_timeout, reloadable })
}

/// Finds out what `raw` means. Lines for the operator go to `tell`, in Go's order.
///
/// # Errors
/// [`SettingsError`], with Go's text where Go has one.
pub async fn resolve(raw: Raw, tell: &mut dyn FnMut(String)) -> Result<Settings, SettingsError> {
    let Checked { node_name, retry_interval, broadcast_timeout, reloadable } = read(&raw, tell)?;
    let log_level = reloadable.log_level?;
    let bind = bind_address(&raw, tell).await?;
    let advertise = advertise_address(&raw, bind).await?;
    let raft = coordination::raft(&raw, bind).await?;
    let encrypt_key = match &raw.encrypt_key {
        None => None,
        Some(key) => Some(go_base64::decode(key.0.as_bytes()).map_err(prefixed("Invalid encryption key: "))?),
    };
    Ok(Settings {
        node_name,
        bind,
        advertise,
        advertise_text: raw.advertise.clone(),
        rpc_address: raw.rpc_addr.clone().unwrap_or_else(|| DEFAULT_RPC_ADDRESS.to_owned()),
        rpc_auth: raw.rpc_auth.as_ref().map(|key| key.0.clone()),
        profile: profile(raw.profile.as_deref())?,
        encrypt_key,
        keyring_file: raw.keyring_file.clone(),
        keyring: Keyring::default(),
        tags: reloadable.tags,
        tags_file: raw.tags_file.clone(),
        protocol: u8::try_from(raw.protocol.unwrap_or(DEFAULT_PROTOCOL)).unwrap_or(u8::MAX),
        start_join: raw.start_join.clone(),
        retry_join: raw.retry_join.clone(),
        retry_interval,
        retry_max_attempts: u64::try_from(raw.retry_max_attempts.unwrap_or(0)).unwrap_or(0),
        old_events: if raw.replay_on_join == Some(true) { OldEvents::Replay } else { OldEvents::Ignore },
        leave_on_terminate: reloadable.leave_on_terminate,
        skip_leave_on_interrupt: reloadable.skip_leave_on_interrupt,
        snapshot: raw.snapshot_path.as_ref().map(PathBuf::from),
        rejoin_after_leave: raw.rejoin_after_leave == Some(true),
        log_level,
        event_handlers: reloadable.event_handlers,
        event_handler_timeout: event_handler_timeout(raw.event_handler_timeout)?,
        rpc_handlers: raw.rpc_handlers == Some(true),
        compression: raw.enable_compression != Some(false),
        broadcast_timeout,
        syslog_facility: (raw.enable_syslog == Some(true))
            .then(|| raw.syslog_facility.clone().unwrap_or_else(|| DEFAULT_FACILITY.to_owned())),
        mdns: raw.discover.as_ref().map(|cluster| MdnsSettings {
            cluster: cluster.clone(),
            interface: raw.mdns_interface.clone().or_else(|| raw.interface.clone()),
            ipv4_disabled: raw.mdns_disable_ipv4 == Some(true),
            ipv6_disabled: raw.mdns_disable_ipv6 == Some(true),
        }),
        cluster: cluster(&raw)?,
        capability: raw.no_capability != Some(true),
        sinks: SinkAddresses { statsd: raw.statsd_addr.clone(), statsite: raw.statsite_addr.clone() },
        raft,
        raft_tls: coordination::tls(&raw)?,
        limits: limits(&raw)?,
    })
}

impl Settings {
    /// The engine's settings for a node that listens on `bound`.
    ///
    /// # Errors
    /// Go's text after `Failed to start the Serf agent: `.
    pub fn engine(&self, bound: SocketAddr) -> Result<folkmoot_serf::Config, SettingsError> {
        let (address, port) = self.wire_address(bound)?;
        let name = NodeName(self.node_name.as_str().into());
        let mut gossip = match self.profile {
            Profile::Lan => memberlist::Config::lan(name, bound),
            Profile::Wan => memberlist::Config::wan(name, bound),
            Profile::Local => memberlist::Config::local(name, bound),
        };
        gossip.advertise_address = address;
        gossip.advertise_port = port;
        gossip.bind_port = bound.port();
        gossip.enable_compression = self.compression;
        gossip.dead_node_reclaim_time = DEAD_NODE_RECLAIM_TIME;
        gossip.keyring = self.keyring.clone();
        if let Some(key) = self.encrypt_key.as_ref().filter(|key| !key.is_empty()) {
            gossip.keyring =
                Keyring::new(&[], key).map_err(prefixed("Error creating Serf: Failed to create memberlist: "))?;
        }
        let mut config = folkmoot_serf::Config::agent(gossip);
        let limits = &self.limits;
        config.protocol_version = self.protocol;
        config.tags = self.tags.clone();
        config.capability = self.capability.then(Capability::default);
        config.cluster_name = self.cluster.clone();
        config.broadcast_timeout = self.broadcast_timeout;
        config.rejoin_after_leave = self.rejoin_after_leave;
        config.reconnect_interval = limits.reconnect_interval.unwrap_or(config.reconnect_interval);
        config.reconnect_timeout = limits.reconnect_timeout.unwrap_or(config.reconnect_timeout);
        config.tombstone_timeout = limits.tombstone_timeout.unwrap_or(config.tombstone_timeout);
        config.query_size_limit = limits.query_size.unwrap_or(config.query_size_limit);
        config.query_response_size_limit = limits.query_response_size.unwrap_or(config.query_response_size_limit);
        config.user_event_size_limit = limits.user_event_size.unwrap_or(config.user_event_size_limit);
        config.enable_name_conflict_resolution = limits.name_resolution;
        config.coordinates = limits.coordinates;
        config.validate_node_names = limits.validate_names;
        config.keyring_is_kept = self.keyring_file.is_some();
        Ok(config)
    }

    /// What we advertise, in the form Go puts on the wire in the same situation (`docs/spec/memberlist.md` 5).
    fn wire_address(&self, bound: SocketAddr) -> Result<(WireAddress, u16), SettingsError> {
        if let Some(advertise) = self.advertise {
            return Ok((WireAddress::from_ip(advertise.ip()), advertise.port()));
        }
        if !bound.ip().is_unspecified() {
            return Ok((WireAddress::from_ip(bound.ip()), bound.port()));
        }
        let create = "Error creating Serf: Failed to create memberlist: ";
        let machine = Interfaces::of_this_machine().map_err(prefixed(create))?;
        let ip = machine.private_address().ok_or_else(|| {
            SettingsError(format!("{create}no private IP address found, and explicit IP not provided (-advertise)"))
        })?;
        Ok((WireAddress::from_ip_mapped(ip), bound.port()))
    }
}

/// Serf protocol where none is configured.
const DEFAULT_PROTOCOL: i64 = 5;

fn prefixed<E: std::fmt::Display>(prefix: &str) -> impl Fn(E) -> SettingsError {
    move |error| SettingsError(format!("{prefix}{error}"))
}

/// The name of this machine.
///
/// # Errors
/// Go's text.
pub fn host_name() -> Result<String, SettingsError> {
    let text =
        std::fs::read_to_string("/proc/sys/kernel/hostname").map_err(prefixed("Error determining hostname: "))?;
    match text.trim() {
        "" => Err(SettingsError("Error determining hostname: it is empty, set -node".to_owned())),
        name => Ok(name.to_owned()),
    }
}

/// The name travels with the capability, and only there.
fn cluster(raw: &Raw) -> Result<Option<String>, SettingsError> {
    match raw.cluster.as_ref().filter(|name| !name.is_empty()) {
        Some(name) if raw.no_capability == Some(true) => Err(SettingsError(format!(
            "Invalid -cluster={name}: without the capability that -no-capability takes away nobody hears of it"
        ))),
        Some(name) => Ok(Some(name.clone())),
        None => Ok(None),
    }
}

fn event_handler_timeout(configured: Option<GoDuration>) -> Result<Duration, SettingsError> {
    let Some(configured) = configured.filter(|duration| duration.nanoseconds() != 0) else {
        return Ok(SCRIPT_TIME_LIMIT);
    };
    configured
        .to_unsigned()
        .ok_or_else(|| SettingsError(format!("Invalid -event-handler-timeout {configured}: it has to be positive")))
}

fn at_least_shortest(
    name: &str,
    configured: Option<GoDuration>,
    default: Duration,
    tell: &mut dyn FnMut(String),
) -> Duration {
    let Some(configured) = configured.filter(|duration| duration.nanoseconds() != 0) else { return default };
    match configured.to_unsigned().filter(|duration| *duration >= SHORTEST_INTERVAL) {
        Some(duration) => duration,
        None => {
            tell(format!("Warning: '{name}' is too low. Setting to {}", GoDuration::from(SHORTEST_INTERVAL)));
            SHORTEST_INTERVAL
        }
    }
}

/// Reads a level as Serf's configuration has it; `None` is INFO.
///
/// # Errors
/// Go's text.
pub fn log_level(text: Option<&str>) -> Result<Level, SettingsError> {
    let Some(text) = text else { return Ok(Level::Info) };
    Level::parse(text).ok_or_else(|| {
        let text = text.to_uppercase();
        SettingsError(format!("Invalid log level: {text}. Valid log levels are: [TRACE DEBUG INFO WARN ERR]"))
    })
}

fn profile(text: Option<&str>) -> Result<Profile, SettingsError> {
    match text {
        None | Some("lan") => Ok(Profile::Lan),
        Some("wan") => Ok(Profile::Wan),
        Some("local") => Ok(Profile::Local),
        Some(other) => Err(SettingsError(format!("Unknown profile: {other}"))),
    }
}

async fn bind_address(raw: &Raw, tell: &mut dyn FnMut(String)) -> Result<SocketAddr, SettingsError> {
    let text = raw.bind.as_deref().unwrap_or(coordination::default_bind(raw));
    let bind = addresses::address_parts(text).await.map_err(prefixed("Invalid bind address: "))?;
    let Some(interface) = &raw.interface else { return Ok(bind) };
    let machine = Interfaces::of_this_machine().map_err(prefixed("Failed to get interface addresses: "))?;
    let ip = machine.bind_address(interface, bind.ip()).map_err(prefixed(""))?;
    if ip != bind.ip() {
        tell(format!("Using interface '{interface}' address '{ip}'"));
    }
    Ok(SocketAddr::new(ip, bind.port()))
}

async fn advertise_address(raw: &Raw, bind: SocketAddr) -> Result<Option<SocketAddr>, SettingsError> {
    if let Some(text) = &raw.advertise {
        let address = addresses::address_parts(text).await.map_err(prefixed("Invalid advertise address: "))?;
        return Ok(Some(address));
    }
    if matches!(bind.ip(), IpAddr::V6(ip) if ip.is_unspecified()) {
        return Err(SettingsError(format!(
            "Bind address '{bind}' is not one that others can reach: set -advertise to one that they can"
        )));
    }
    Ok(None)
}

fn limits(raw: &Raw) -> Result<Limits, SettingsError> {
    Ok(Limits {
        reconnect_interval: span("reconnect_interval", raw.reconnect_interval)?,
        reconnect_timeout: span("reconnect_timeout", raw.reconnect_timeout)?,
        tombstone_timeout: span("tombstone_timeout", raw.tombstone_timeout)?,
        query_size: size("query_size_limit", raw.query_size_limit)?,
        query_response_size: size("query_response_size_limit", raw.query_response_size_limit)?,
        user_event_size: size("user_event_size_limit", raw.user_event_size_limit)?,
        name_resolution: raw.disable_name_resolution != Some(true),
        coordinates: raw.disable_coordinates != Some(true),
        validate_names: raw.validate_node_names == Some(true),
    })
}

/// A duration that has to be positive; zero means the default.
fn span(key: &str, value: Option<GoDuration>) -> Result<Option<Duration>, SettingsError> {
    let Some(value) = value.filter(|value| value.nanoseconds() != 0) else { return Ok(None) };
    match value.to_unsigned() {
        Some(duration) => Ok(Some(duration)),
        None => Err(SettingsError(format!("Invalid {key} {value}: it has to be positive"))),
    }
}

/// A number of bytes that has to be positive; zero means the default.
fn size(key: &str, value: Option<i64>) -> Result<Option<usize>, SettingsError> {
    let Some(value) = value.filter(|value| *value != 0) else { return Ok(None) };
    match usize::try_from(value) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => Err(SettingsError(format!("Invalid {key} {value}: it has to be positive"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::Secret;

    async fn settle(raw: Raw) -> (Result<Settings, String>, Vec<String>) {
        let mut told = Vec::new();
        let raw = Raw { node_name: raw.node_name.or(Some("alpha".into())), ..raw };
        let result = resolve(raw, &mut |line| told.push(line)).await;
        (result.map_err(|error| error.0), told)
    }

    async fn fault(raw: Raw) -> String {
        settle(raw).await.0.err().unwrap_or_default()
    }

    #[tokio::test]
    async fn nothing_said_gives_serfs_defaults() {
        let (settings, told) = settle(Raw::default()).await;
        let settings = settings.unwrap();
        assert!(told.is_empty());
        assert_eq!(settings.bind, "0.0.0.0:7946".parse().unwrap());
        assert_eq!(settings.rpc_address, "127.0.0.1:7373");
        assert_eq!((settings.protocol, settings.profile, settings.log_level), (5, Profile::Lan, Level::Info));
        assert_eq!(settings.retry_interval, Duration::from_secs(30));
        assert_eq!(settings.broadcast_timeout, Duration::from_secs(5));
        assert!(settings.compression && !settings.leave_on_terminate);
    }

    #[tokio::test]
    async fn low_intervals_are_raised_with_a_warning_and_role_becomes_a_tag() {
        let raw = Raw {
            role: Some("web".into()),
            retry_interval: "10ms".parse().ok(),
            broadcast_timeout: "10ms".parse().ok(),
            rejoin_after_leave: Some(true),
            ..Raw::default()
        };
        let (settings, told) = settle(raw).await;
        assert_eq!(settings.unwrap().tags.0[&"role".into()], "web");
        assert_eq!(
            told,
            [
                "Deprecation warning: 'Role' has been replaced with 'Tags'",
                "Warning: 'RetryInterval' is too low. Setting to 1s",
                "Warning: 'BroadcastTimeout' is too low. Setting to 1s",
                "Warning: 'RejoinAfterLeave' enabled without snapshot file",
            ]
        );
    }

    #[tokio::test]
    async fn faults_have_gos_texts() {
        let text = |value: &str| Some(value.to_owned());
        let level = fault(Raw { log_level: text("loud"), ..Raw::default() }).await;
        assert_eq!(level, "Invalid log level: LOUD. Valid log levels are: [TRACE DEBUG INFO WARN ERR]");
        assert_eq!(fault(Raw { profile: text("fast"), ..Raw::default() }).await, "Unknown profile: fast");
        let bind = fault(Raw { bind: text("127.0.13.1:99999"), ..Raw::default() }).await;
        assert_eq!(bind, "Invalid bind address: address 99999: invalid port");
        let advertise = fault(Raw { advertise: text("127.0.13.1:x"), ..Raw::default() }).await;
        assert_eq!(advertise, "Invalid advertise address: lookup tcp/x: unknown port");
        let key = fault(Raw { encrypt_key: Some(Secret("zzz".into())), ..Raw::default() }).await;
        assert_eq!(key, "Invalid encryption key: illegal base64 data at input byte 0");
        let interface = fault(Raw { interface: text("nosuch0"), ..Raw::default() }).await;
        assert_eq!(interface, "Invalid network interface: route ip+net: no such network interface");
        let six = fault(Raw { bind: text("[::]:7946"), ..Raw::default() }).await;
        assert!(six.contains("-advertise"), "{six}");
        let negative = fault(Raw { query_size_limit: Some(-1), ..Raw::default() }).await;
        assert_eq!(negative, "Invalid query_size_limit -1: it has to be positive");
    }
}
