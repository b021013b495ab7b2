//! The agent's part in coordination, from start to stop: with `-raft` the Raft port and the member of the group, without it
//! calls to those who have them.
//!
//! Opened before gossip begins, so that what cannot be used is refused before anybody hears of this node; started when
//! gossip is up, because members find one another by it; stopped in the order that costs the others least.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use folkmoot_consensus::{Access, DataDirectory, Group, NodeId, Owner, Peer};
use folkmoot_serf::VoterPreference;
use folkmoot_serf::memberlist::Keyring;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::StartError;
use super::temporary::TemporaryDirectory;
use crate::config::coordination::{DataPlace, RaftSettings};
use crate::config::resolve::Settings;
use crate::coordination::Coordination;
use crate::group::{self, GroupParts};
use crate::handle::NodeHandle;
use crate::limits::GROUP_CLOSE_LIMIT;
use crate::net::raft::{Certificates, RaftPort, RaftTransport, Security};
use crate::random;
use crate::shutdown::{ShutdownTrigger, shutdown_pair};
use crate::telemetry::{self, Telemetry};

/// Opened, and silent.
pub(super) struct Opened {
    /// For RPC.
    pub(super) handle: Coordination,
    transport: Arc<RaftTransport>,
    member: Option<Member>,
}

/// What `-raft` adds.
struct Member {
    settings: RaftSettings,
    group: Group,
    port: RaftPort,
    directory: DataDirectory,
    /// Where others are told to call.
    advertised: SocketAddr,
    temporary: Option<TemporaryDirectory>,
}

/// At work.
pub(super) struct Running {
    handle: Coordination,
    transport: Arc<RaftTransport>,
    /// Those that live with gossip: founding, autopilot, or knowing whom to call.
    life: JoinHandle<()>,
    life_stop: ShutdownTrigger,
    port_stop: ShutdownTrigger,
    /// Removed when everything in it is closed.
    temporary: Option<TemporaryDirectory>,
}

/// Opens certificates, data directory, Raft port and group. `gossip` is the address that others are told.
pub(super) async fn open(
    settings: &Settings,
    gossip: SocketAddr,
    keys: watch::Receiver<Keyring>,
    telemetry: &Telemetry,
) -> Result<Opened, StartError> {
    let refused = |text: String| StartError::Told(format!("Failed to start coordination: {text}"));
    let certificates = settings.raft_tls.as_ref().map(Certificates::load).transpose();
    let certificates = certificates.map_err(|error| refused(error.to_string()))?;
    if let Some(certificates) = &certificates {
        certificates.warn_of_expiry();
    }
    let transport = Arc::new(RaftTransport::new(Security::choose(certificates, keys), telemetry.clone()));
    let member = match &settings.raft {
        Some(raft) => Some(Member::open(settings, raft, gossip, &transport).await.map_err(refused)?),
        None => None,
    };
    let group = member.as_ref().map(|member| member.group.clone());
    let access = Access::new(Arc::clone(&transport), group.clone());
    Ok(Opened { handle: Coordination { access, group }, transport, member })
}

impl Member {
    async fn open(
        settings: &Settings,
        raft: &RaftSettings,
        gossip: SocketAddr,
        transport: &Arc<RaftTransport>,
    ) -> Result<Self, String> {
        let port = RaftPort::bind(raft.listen)
            .map_err(|error| format!("-raft-addr={}: {error}; is another agent running?", raft.listen))?;
        let temporary = match &raft.data {
            DataPlace::Directory(_) => None,
            DataPlace::Temporary => {
                let made = random::number().and_then(TemporaryDirectory::make);
                Some(made.map_err(|error| format!("cannot make a temporary directory: {error}"))?)
            }
        };
        let path: &Path = match (&raft.data, &temporary) {
            (DataPlace::Directory(path), _) => path,
            (DataPlace::Temporary, Some(temporary)) => temporary.path(),
            (DataPlace::Temporary, None) => return Err("no temporary directory".to_owned()),
        };
        let owner = Owner { name: settings.node_name.clone(), cluster: settings.cluster.clone() };
        let fresh = random::number().map_err(|error| format!("no randomness: {error}"))?;
        let directory = DataDirectory::open(path, owner, NodeId(fresh)).map_err(|error| error.to_string())?;
        let advertised = match raft.advertise {
            Some(address) if address.port() != 0 => address,
            other => SocketAddr::new(other.map_or(gossip.ip(), |address| address.ip()), port.address().port()),
        };
        let me = Peer { id: directory.id(), name: settings.node_name.clone(), address: advertised };
        tracing::info!(
            target: "raft",
            "Raft port {}, told to others as {advertised}; member {} with its data in {}",
            port.address(), directory.id(), path.display()
        );
        if matches!(transport.security(), Security::Open) {
            tracing::warn!(
                target: "raft",
                "the Raft port {} is open: whoever reaches it can take part in the group. Set -encrypt, -keyring-file, or \
                 -raft-tls-ca, -raft-tls-cert and -raft-tls-key on all nodes",
                port.address()
            );
        }
        let group_settings = folkmoot_consensus::Settings::new(me, path.to_owned());
        let group = Group::open(group_settings, directory.record().cluster(), Arc::clone(transport)).await;
        let group = group.map_err(|error| error.to_string())?;
        Ok(Self { settings: raft.clone(), group, port, directory, advertised, temporary })
    }
}

impl Opened {
    /// For the banner: the Raft port and its protection.
    pub(super) fn shown(&self) -> Option<String> {
        let member = self.member.as_ref()?;
        Some(format!("'{}' ({})", member.port.address(), self.transport.security().describe()))
    }

    /// Begins to answer and to look for others. `found_alone`: there is nobody to join.
    pub(super) fn start(self, node: &NodeHandle, found_alone: bool, telemetry: &Telemetry) -> Running {
        let (life_stop, life_stopped) = shutdown_pair();
        let (port_stop, port_stopped) = shutdown_pair();
        let access = self.handle.access.clone();
        let Some(member) = self.member else {
            let life = group::follow(access, node.clone(), life_stopped);
            return Running {
                handle: self.handle,
                transport: self.transport,
                life,
                life_stop,
                port_stop,
                temporary: None,
            };
        };
        let answering = access.clone();
        tokio::spawn(member.port.serve(Arc::clone(&self.transport), port_stopped.clone(), move |stream| {
            let access = answering.clone();
            async move { access.serve(stream).await }
        }));
        let reporting = telemetry::group::report(
            member.group.clone(),
            Arc::clone(&self.transport),
            telemetry.clone(),
            port_stopped,
        );
        tokio::spawn(reporting);
        let life = group::start(GroupParts {
            group: member.group,
            access,
            directory: member.directory,
            node: node.clone(),
            settings: member.settings,
            raft_address: member.advertised,
            may_found_alone: found_alone,
            stop: life_stopped,
        });
        Running {
            handle: self.handle,
            transport: self.transport,
            life,
            life_stop,
            port_stop,
            temporary: member.temporary,
        }
    }
}

impl Running {
    /// Waits for the group's member to fail, which the process must not outlive. Cancel-safe.
    pub(super) async fn failed(&self) -> String {
        match &self.handle.group {
            Some(group) => group.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Reads the certificates again, if there are any.
    ///
    /// # Errors
    /// They cannot be used, and the old ones stay; the text names the file.
    pub(super) fn reload(&self) -> Result<(), String> {
        let Security::Tls(certificates) = self.transport.security() else { return Ok(()) };
        certificates.reload().map_err(|error| error.to_string())?;
        certificates.warn_of_expiry();
        Ok(())
    }

    /// Hands leadership over, before gossip says that this node leaves.
    pub(super) async fn hand_over(&self) {
        self.handle.hand_over().await;
    }

    /// Ends everything: leadership first, if this member still has it, then the files, then the port. Bounded.
    pub(super) async fn stop(self) {
        self.handle.hand_over().await;
        self.life_stop.trigger();
        let close = async {
            let _ = self.life.await;
            if let Some(group) = self.handle.group {
                group.shutdown().await;
            }
        };
        if tokio::time::timeout(GROUP_CLOSE_LIMIT, close).await.is_err() {
            tracing::warn!(target: "raft", "the group's files are not closed after {GROUP_CLOSE_LIMIT:?}: ending without");
        }
        self.port_stop.trigger();
        drop(self.temporary);
    }
}

/// Whether a node with these settings, and with or without members of a snapshot, has nobody to ask to be taken in.
pub(super) fn is_alone(settings: &Settings, snapshot_members: bool) -> bool {
    let votes = settings.raft.as_ref().is_some_and(|raft| raft.voter != VoterPreference::Never);
    votes
        && settings.start_join.is_empty()
        && settings.retry_join.is_empty()
        && settings.mdns.is_none()
        && !snapshot_members
}
