//! From settings to a running agent, in Go's order: gossip, RPC listener, banner.

use std::ffi::OsString;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use folkmoot_serf::Serf;
use folkmoot_serf::records::AfterLeave;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing_subscriber::layer::SubscriberExt;

use super::signals::Signals;
use super::{Agent, Sources, StartError, coordination, discovery, observe};
use crate::clock::Clock;
use crate::config::resolve::{Settings, resolve};
use crate::coordination::Coordination;
use crate::files::{KeptFiles, keyring, tags};
use crate::handle::NodeHandle;
use crate::handlers::{self, Handlers, Workshop};
use crate::limits::MAILBOX_QUESTIONS;
use crate::logging::LogHub;
use crate::net::interfaces;
use crate::net::sockets::GossipSockets;
use crate::net::streams::Streams;
use crate::net::udp::UdpPort;
use crate::node::{Node, Parts};
use crate::rpc::coordination::GroupCoordinator;
use crate::rpc::{self, RpcListener, RpcSettings};
use crate::shutdown::shutdown_pair;
use crate::snapshot::{Opened, Snapshot};
use crate::telemetry::Telemetry;
use crate::telemetry::node::NodeMetrics;

impl Agent {
    /// Starts everything but joins.
    pub(super) async fn start(sources: Sources, arguments: Vec<OsString>, hub: &LogHub) -> Result<Self, StartError> {
        let told = |text: String| StartError::Told(text);
        sources.unknown_variables.iter().for_each(|variable| warn_of(variable, hub));
        let mut tell = |line: String| hub.print(&format!("==> {line}"));
        let mut settings = resolve(sources.raw, &mut tell).await?;
        hub.set_minimum(settings.log_level);
        // Tests start several agents in one process: the first one's log is everybody's.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(hub.layer()));
        let signals = Signals::new().map_err(|error| told(format!("Failed to start the Serf agent: {error}")))?;
        let telemetry = observe::begin(&settings, hub)?;
        hub.print("==> Starting Serf agent...");
        restore(&mut settings).map_err(|reason| told(format!("Failed to setup the Serf agent: {reason}")))?;
        tracing::info!(target: "agent", "Serf agent starting");

        let Gossip { serf, clock, sockets, pause_tolerance, snapshot, remembers } = gossip(&settings)?;
        let bound = sockets.address;
        let rpc_listener = RpcListener::open(&settings.rpc_address).await;
        let rpc_listener = rpc_listener.map_err(|cause| told(format!("Error starting RPC listener: {cause}")))?;
        let (node, mailbox) = NodeHandle::new(MAILBOX_QUESTIONS);
        let (node_stop, stop) = shutdown_pair();
        let (keys, key_changes) = watch::channel(serf.keyring().clone());
        let own_address = own_address(&serf, bound);
        let opened = coordination::open(&settings, own_address, key_changes, &telemetry).await?;
        let parts = Parts {
            serf,
            clock,
            udp: UdpPort::new(sockets.udp).await,
            streams: Streams::start(sockets.tcp, stop.clone()),
            mailbox,
            gossip_port: bound.port(),
            pause_tolerance,
            snapshot,
            files: KeptFiles { keyring: settings.keyring_file.clone(), tags: settings.tags_file.clone() },
            keys,
            stop: stop.clone(),
            metrics: NodeMetrics::new(telemetry.clone()),
        };
        let encrypted = !parts.serf.keyring().is_empty();
        let node_task = tokio::spawn(Node::new(parts).run());
        discovery::begin(&settings, &node, own_address, stop).await?;
        let (handlers, handlers_task) = begin_handlers(&settings, &node, &telemetry).await?;
        let rpc_address = rpc_listener.shown(&settings.rpc_address);
        let (rpc_stop, rpc_stopped) = watch::channel(false);
        let left = Arc::new(Notify::new());
        let rpc_settings = rpc_settings(&settings, &left, &telemetry, &handlers, opened.handle.clone(), &node);
        let serving = rpc::serve(rpc_listener, node.clone(), hub.clone(), rpc_settings, rpc_stopped);
        let rpc_task = tokio::spawn(serving);
        hub.print("==> Starting Serf agent RPC...");
        hub.print(&banner(&settings, bound, &rpc_address, encrypted, opened.shown()));
        let alone = coordination::is_alone(&settings, remembers);
        let coordination = opened.start(&node, alone, &telemetry);
        let hub = hub.clone();
        Ok(Self {
            hub,
            arguments,
            settings,
            signals,
            node,
            node_task,
            node_stop,
            coordination,
            handlers,
            handlers_task,
            rpc_task,
            rpc_stop,
            left,
            ended: false,
            telemetry,
        })
    }
}

/// Reads the files that hold tags and keys, if any does.
fn restore(settings: &mut Settings) -> Result<(), String> {
    if let Some(path) = &settings.tags_file {
        settings.tags = tags::load(path, &settings.tags)?;
    }
    if let Some(path) = &settings.keyring_file {
        if settings.encrypt_key.as_ref().is_some_and(|key| !key.is_empty()) {
            return Err("Encryption key not allowed while using a keyring".to_owned());
        }
        settings.keyring = keyring::load(path)?;
    }
    Ok(())
}

fn warn_of(variable: &str, hub: &LogHub) {
    hub.print(&format!("==> Warning: environment variable {variable} means nothing to this version of folkmoot"));
}

/// Before anything happens that a handler may want to hear of.
async fn begin_handlers(
    settings: &Settings,
    node: &NodeHandle,
    telemetry: &Telemetry,
) -> Result<(Handlers, JoinHandle<()>), StartError> {
    let handlers = Handlers::configured(settings.event_handlers.clone());
    let local = handlers::Local { name: settings.node_name.as_str().into(), tags: settings.tags.0.clone() };
    let workshop = Workshop::new(node.clone(), telemetry.clone(), settings.event_handler_timeout);
    let started = handlers::start(handlers.clone(), workshop, local).await;
    let task = started.map_err(|error| StartError::Told(format!("Failed to start the Serf agent: {error}")))?;
    Ok((handlers, task))
}

fn rpc_settings(
    settings: &Settings,
    left: &Arc<Notify>,
    telemetry: &Telemetry,
    handlers: &Handlers,
    coordination: Coordination,
    node: &NodeHandle,
) -> RpcSettings {
    let coordinator = Arc::new(GroupCoordinator::new(coordination.access.clone(), node.clone()));
    RpcSettings {
        auth_key: settings.rpc_auth.clone(),
        shutdown: Arc::clone(left),
        telemetry: telemetry.clone(),
        handlers: handlers.clone(),
        coordination,
        handlers_change: settings.rpc_handlers,
        coordinator: Some(coordinator),
    }
}

/// Where others are told to reach us.
fn own_address(serf: &Serf, bound: SocketAddr) -> SocketAddr {
    let own = serf.local_member();
    own.address.ip().map_or(bound, |ip| SocketAddr::new(ip, own.port))
}

/// The engine, and what it needs to talk.
struct Gossip {
    serf: Serf,
    clock: Clock,
    sockets: GossipSockets,
    pause_tolerance: Duration,
    snapshot: Option<Snapshot>,
    /// The snapshot names members to join.
    remembers: bool,
}

fn gossip(settings: &Settings) -> Result<Gossip, StartError> {
    let failed = |text: String| StartError::Told(format!("Failed to start the Serf agent: {text}"));
    let opened = open_snapshot(settings).map_err(&failed)?;
    let transport = "Error creating Serf: Failed to create memberlist: could not set up network transport: failed to \
                     obtain an address: ";
    let sockets = GossipSockets::bind(settings.bind).map_err(|error| failed(format!("{transport}{error}")))?;
    let mut engine = settings.engine(sockets.address).map_err(|error| failed(error.0))?;
    let public = engine.memberlist.advertise_address.ip().is_some_and(interfaces::is_public);
    if public && engine.memberlist.keyring.is_empty() {
        tracing::warn!(target: "memberlist", "Binding to public address without encryption!");
    }
    if let Some(opened) = &opened {
        engine.restored = opened.restored().clone();
    }
    let pause_tolerance = engine.memberlist.probe_interval;
    let clock = Clock::start();
    let seed = random_seed().map_err(|error| failed(format!("no randomness: {error}")))?;
    let serf = Serf::new(engine, clock.now(), seed).map_err(|error| failed(format!("Error creating Serf: {error}")))?;
    let remembers = opened.as_ref().is_some_and(|opened| !opened.restored().members.is_empty());
    let snapshot = opened.map(Opened::start).transpose();
    let snapshot = snapshot.map_err(|error| failed(format!("no thread for the snapshot: {error}")))?;
    Ok(Gossip { serf, clock, sockets, pause_tolerance, snapshot, remembers })
}

/// Before the ports are taken, as Go does.
fn open_snapshot(settings: &Settings) -> Result<Option<Opened>, String> {
    let Some(path) = &settings.snapshot else { return Ok(None) };
    let after_leave = if settings.rejoin_after_leave { AfterLeave::Rejoin } else { AfterLeave::Forget };
    let opened = Opened::open(path, after_leave);
    opened.map(Some).map_err(|error| format!("Error creating Serf: Failed to setup snapshot: {error}"))
}

fn random_seed() -> std::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// Labels are right-aligned to 28 characters behind 4 blanks, but for the advertise line, which Go sets apart.
fn banner(settings: &Settings, bound: SocketAddr, rpc_address: &str, encrypted: bool, raft: Option<String>) -> String {
    let line = |label: &str, value: String| format!("    {label:>28} {value}\n");
    let mut text = String::from("==> Serf agent running!\n");
    text += &line("Node name:", format!("'{}'", settings.node_name));
    text += &line("Bind addr:", format!("'{bound}'"));
    if let Some(advertise) = settings.advertise {
        text += &format!("    Advertise addr: '{advertise}'\n");
    }
    text += &line("RPC addr:", format!("'{rpc_address}'"));
    if let Some(raft) = raft {
        text += &line("Raft addr:", raft);
    }
    text += &line("Encrypted:", encrypted.to_string());
    text += &line("Snapshot:", settings.snapshot.is_some().to_string());
    text += &line("Profile:", settings.profile.as_str().to_owned());
    text += &line("Message Compression Enabled:", settings.compression.to_string());
    if let Some(mdns) = &settings.mdns {
        text += &line("mDNS cluster:", mdns.cluster.clone());
    }
    text.pop();
    text
}
