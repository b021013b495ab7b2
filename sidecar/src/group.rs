//! The task of an agent that lives between gossip and the Raft group: with `-raft` it founds or joins the group, runs
//! autopilot while this node leads, ends sessions of nodes that are gone, and tells people how things stand; without it
//! keeps in mind whom to call.
//!
//! It decides nothing: founding and autopilot are policies of `folkmoot-consensus`, who is there is gossip's word. Here
//! pictures are taken for them (`view.rs`) and what they want is done (`founder.rs`, `pilot.rs`, `gone.rs`, `told.rs`).

mod founder;
mod gone;
mod offer;
mod pilot;
mod told;
mod view;

use std::net::SocketAddr;
use std::time::Duration;

use folkmoot_consensus::{Access, DataDirectory, Group, Peer, Role};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::coordination::RaftSettings;
use crate::handle::{MembersView, NodeHandle, NodeStopped, Question};
use crate::net::raft::RaftTransport;
use crate::shutdown::ShutdownToken;
use founder::Founder;
use gone::Gone;
use pilot::Pilot;
use told::Told;
use view::View;

/// What the task of an agent with `-raft` needs.
pub struct GroupParts {
    /// This member.
    pub group: Group,
    /// Calls to others.
    pub access: Access<RaftTransport>,
    /// Who this member is, and what it has bound itself to.
    pub directory: DataDirectory,
    /// Gossip.
    pub node: NodeHandle,
    /// `-raft` and what belongs to it.
    pub settings: RaftSettings,
    /// Where others reach our Raft port.
    pub raft_address: SocketAddr,
    /// There is nobody to join: without an expectation this node is a group of one.
    pub may_found_alone: bool,
    /// When to stop.
    pub stop: ShutdownToken,
}

/// Between two looks at things that tell nobody when they change. Ours: a fraction of what gossip needs for its news.
const LOOK: Duration = Duration::from_millis(250);

/// Begins an agent's life with the group. It ends when told to, or with the node task.
pub fn start(parts: GroupParts) -> JoinHandle<()> {
    tokio::spawn(async move {
        // The node task has stopped: so do we.
        if let Err(NodeStopped) = live(parts).await {}
    })
}

/// The same for an agent without `-raft`: it knows whom to call.
pub fn follow(access: Access<RaftTransport>, node: NodeHandle, mut stop: ShutdownToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            () = stop.requested() => {}
            // The node task has stopped: so do we.
            Err(NodeStopped) = keep_in_mind(&access, &node) => {}
        }
    })
}

async fn keep_in_mind(access: &Access<RaftTransport>, node: &NodeHandle) -> Result<(), NodeStopped> {
    let mut changes = node.ask(|reply| Question::WatchMembers { reply }).await?;
    let (mut told, mut eyes) = (Told::new(), Eyes::new(None));
    loop {
        let view = eyes.look(node).await?;
        told.groups(view, None);
        access.set_peers(view.peers_of(view.main_group(None)));
        changes.changed().await.map_err(|_| NodeStopped)?;
    }
}

/// What gossip shows, looked at anew only where it has changed.
struct Eyes {
    me: Option<Peer>,
    revision: Option<u64>,
    view: View,
}

impl Eyes {
    fn new(me: Option<&Peer>) -> Self {
        Self { me: me.cloned(), revision: None, view: View::default() }
    }

    async fn look(&mut self, node: &NodeHandle) -> Result<&View, NodeStopped> {
        let MembersView { members, revision, .. } = node.ask(|reply| Question::Members { reply }).await?;
        if self.revision != Some(revision) {
            self.revision = Some(revision);
            self.view = View::of(&members, self.me.as_ref());
        }
        Ok(&self.view)
    }
}

async fn live(parts: GroupParts) -> Result<(), NodeStopped> {
    let GroupParts { group, access, directory, node, settings, raft_address, may_found_alone, mut stop } = parts;
    let me = directory_peer(&directory, &node, raft_address).await?;
    let mut members: watch::Receiver<u64> = node.ask(|reply| Question::WatchMembers { reply }).await?;
    let mut status = group.status_changes();
    let began = Instant::now();
    let mut offer = offer::Offer::new(&me, &settings);
    let mut founder = Founder::start(began, &me, &settings, may_found_alone, directory, group.clone(), access.clone());
    let (mut pilot, mut gone, mut told) = (Pilot::new(settings.max_voters), Gone::default(), Told::new());
    let mut told_access = (Vec::new(), None);
    let mut clock = tokio::time::interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut eyes = Eyes::new(Some(&me));
    loop {
        let view = eyes.look(&node).await?;
        founder.turn(view).await;
        let cluster = founder.cluster();
        offer.keep_told(&node, cluster).await?;
        told.notes(founder.take_notes());
        told.groups(view, cluster);
        let calls = (view.peers_of(view.main_group(cluster)), view.reason_to_refuse(cluster));
        if calls != told_access {
            access.set_peers(calls.0.clone());
            access.refuse(calls.1.clone());
            told_access = calls;
        }
        let now = status.borrow_and_update().clone();
        told.status(began.elapsed(), &now, view);
        if now.role == Role::Leader {
            pilot.turn(began.elapsed(), &group, &now, view);
            gone.turn(&group, view);
        } else {
            pilot.rest();
            gone.rest();
        }
        tokio::select! {
            () = stop.requested() => return Ok(()),
            _ = clock.tick() => {}
            changed = members.changed() => changed.map_err(|_| NodeStopped)?,
            changed = status.changed() => changed.map_err(|_| NodeStopped)?,
            () = founder.heard() => {}
        }
    }
}

/// This member as others shall see it.
async fn directory_peer(
    directory: &DataDirectory,
    node: &NodeHandle,
    address: SocketAddr,
) -> Result<Peer, NodeStopped> {
    let stats = node.ask(|reply| Question::Stats { reply }).await?;
    Ok(Peer { id: directory.id(), name: stats.name.to_string(), address })
}
