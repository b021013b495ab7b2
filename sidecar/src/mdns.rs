//! Discovery by mDNS (`-discover`, `docs/spec/agent-cli.md` 3.8): answers others' questions, asks every minute, and joins
//! whom it finds.
//!
//! Answers to Go's `mdns.go` in Serf's agent and to hashicorp/mdns. `packet.rs` and `name.rs` are the packets, `found.rs`
//! what answers add up to, `sockets.rs` multicast. The packets are our own: a general responder announces itself
//! unasked, renames itself on conflicts and puts machines under `local.`, none of which Go's agent does.

mod found;
mod name;
mod packet;
mod sockets;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use folkmoot_serf::{Completion, OldEvents};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::handle::{NodeHandle, NodeStopped, Question};
use crate::limits::{MDNS_ADDRESSES, MDNS_PACKET_BYTES};
use crate::net::addresses::errors_text;
use crate::net::go_errors;
use crate::shutdown::ShutdownToken;
use found::Found;
use name::Name;
use packet::{Packet, Service};
use sockets::{Asker, Families, Interface};

/// Time between two questions. Go: `mdnsPollInterval`.
const POLL_INTERVAL: Duration = Duration::from_secs(60);

/// Time without a further host after which those found are joined. Go: `mdnsQuietInterval`.
const QUIET_INTERVAL: Duration = Duration::from_millis(100);

/// The settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdnsSettings {
    /// The name agents find each other under.
    pub cluster: String,
    /// The interface to use; `None`: where the routes lead.
    pub interface: Option<String>,
    /// Do not ask by IPv4.
    pub ipv4_disabled: bool,
    /// Do not ask by IPv6.
    pub ipv6_disabled: bool,
}

/// Whom we announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The node's name.
    pub node: String,
    /// The machine's name.
    pub host: String,
    /// Where the node is reached.
    pub address: SocketAddr,
}

/// Discovery that listens already.
#[derive(Debug)]
pub struct Mdns {
    service: Service,
    interface: Interface,
    families: Families,
    ports: Vec<Port>,
    found: Found,
    /// Joined, or tried in vain: never again, as in Go.
    seen: BTreeSet<SocketAddr>,
    /// To be joined once it is quiet.
    join: Vec<SocketAddr>,
    /// The number of the last question.
    asked: u16,
}

/// One socket.
#[derive(Debug)]
enum Port {
    /// Questions come here.
    Listener(UdpSocket),
    /// Answers come here.
    Asker(Asker),
}

impl Port {
    fn socket(&self) -> &UdpSocket {
        match self {
            Self::Listener(socket) => socket,
            Self::Asker(asker) => &asker.socket,
        }
    }
}

impl Mdns {
    /// Begins to listen.
    ///
    /// # Errors
    /// No socket could be opened, or the names do not fit into packets.
    pub async fn listen(settings: &MdnsSettings, announced: &Announced) -> io::Result<Self> {
        let service = service(&settings.cluster, announced);
        if ![&service.service, &service.instance, &service.host].into_iter().all(Name::is_valid) {
            let text = "the names of cluster and node are too long for mDNS: 63 bytes between dots";
            return Err(io::Error::other(text));
        }
        let interface = Interface::named(settings.interface.as_deref())?;
        let listeners = sockets::listeners(interface)
            .await
            .map_err(|error| io::Error::other(format!("no multicast listeners could be started: {error}")))?;
        let families = Families { ipv4: !settings.ipv4_disabled, ipv6: !settings.ipv6_disabled };
        let found = Found::new(service.service.clone());
        let ports = listeners.into_iter().map(Port::Listener).collect();
        let (seen, join) = Default::default();
        Ok(Self { service, interface, families, ports, found, seen, join, asked: 0 })
    }

    /// Answers, asks and joins until `stop`. `moved` brings a changed address of ours.
    pub async fn run(
        mut self,
        node: NodeHandle,
        old_events: OldEvents,
        mut moved: watch::Receiver<SocketAddr>,
        mut stop: ShutdownToken,
    ) {
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet: Option<Instant> = None;
        let mut buffer = vec![0; MDNS_PACKET_BYTES];
        loop {
            let quiet_over = async {
                match quiet {
                    Some(quiet) => tokio::time::sleep_until(quiet).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                (port, from, length) = receive(&self.ports, &mut buffer) => {
                    let packet = buffer.get(..length).unwrap_or_default();
                    if self.take(port, from, packet) {
                        quiet = Some(Instant::now() + QUIET_INTERVAL);
                    }
                }
                _ = polls.tick() => self.poll().await,
                () = quiet_over => {
                    quiet = None;
                    self.join_all(&node, old_events);
                }
                Ok(()) = moved.changed() => {
                    let address = *moved.borrow_and_update();
                    (self.service.ip, self.service.port) = (address.ip(), address.port());
                }
                () = stop.requested() => return,
            }
        }
    }

    /// Takes a packet; true if it brought somebody to join.
    fn take(&mut self, port: usize, from: SocketAddr, packet: &[u8]) -> bool {
        match packet::read(packet) {
            None => false,
            Some(Packet::Question { id, questions }) => {
                if let Some(Port::Listener(socket)) = self.ports.get(port) {
                    for answer in self.service.answer(id, &questions) {
                        // As any datagram it may be lost.
                        let _ = socket.try_send_to(&answer, from);
                    }
                }
                false
            }
            Some(Packet::Answer(records)) => {
                let next = self.found.take(records);
                for name in &next.ask {
                    let question = packet::ask_for_instance(self.number(), name);
                    let _ = self.ask(&question);
                }
                let before = self.join.len();
                for address in next.complete {
                    if self.seen.len() < MDNS_ADDRESSES && self.seen.insert(address) {
                        self.join.push(address);
                    }
                }
                self.join.len() > before
            }
        }
    }

    /// Another round. The sockets that ask are opened afresh, because interfaces come and go.
    async fn poll(&mut self) {
        self.found.clear();
        self.ports.retain(|port| matches!(port, Port::Listener(_)));
        let question = packet::ask_for_instances(self.number(), &self.service.service);
        let asked = sockets::askers(self.interface, self.families).await.and_then(|askers| {
            self.ports.extend(askers.into_iter().map(Port::Asker));
            self.ask(&question)
        });
        if let Err(error) = asked {
            let cause = go_errors::cause(&error);
            tracing::error!(target: "agent.mdns", "Failed to poll for new hosts: {cause}");
        }
    }

    /// Asks by every family that can; an error if none can. Go gives the whole round up where one family has no route.
    fn ask(&self, question: &[u8]) -> io::Result<()> {
        let mut result = Err(io::Error::other("nobody to ask"));
        for port in &self.ports {
            let Port::Asker(asker) = port else { continue };
            match asker.ask(question) {
                Ok(()) => result = Ok(()),
                Err(error) if result.is_err() => result = Err(error),
                Err(_) => {}
            }
        }
        result
    }

    fn number(&mut self) -> u16 {
        self.asked = self.asked.wrapping_add(1);
        self.asked
    }

    /// Joins all in one call, beside everything else.
    fn join_all(&mut self, node: &NodeHandle, old_events: OldEvents) {
        let addresses: Vec<String> = std::mem::take(&mut self.join).iter().map(SocketAddr::to_string).collect();
        let node = node.clone();
        tokio::spawn(async move {
            match node.ask(|reply| Question::Join { addresses, old_events, reply }).await {
                Ok(Ok(Completion::Join { contacted, errors })) => {
                    if contacted > 0 {
                        tracing::info!(target: "agent.mdns", "Joined {contacted} hosts");
                    } else {
                        tracing::error!(target: "agent.mdns", "Failed to join: {}", errors_text(&errors));
                    }
                }
                Ok(Ok(
                    Completion::Leave | Completion::ForceLeave(_) | Completion::SetTags(_) | Completion::Keys(_),
                )) => {}
                Ok(Err(error)) => tracing::error!(target: "agent.mdns", "Failed to join: {error}"),
                Err(NodeStopped) => {}
            }
        });
    }
}

/// The next packet of any socket, with the number of its socket. Cancel-safe.
async fn receive(ports: &[Port], buffer: &mut [u8]) -> (usize, SocketAddr, usize) {
    poll_fn(|context| {
        for (number, port) in ports.iter().enumerate() {
            let mut room = ReadBuf::new(buffer);
            // An error is that of an earlier packet, and gone once it was seen.
            while let Poll::Ready(result) = port.socket().poll_recv_from(context, &mut room) {
                if let Ok(from) = result {
                    return Poll::Ready((number, from, room.filled().len()));
                }
            }
        }
        Poll::Pending
    })
    .await
}

fn service(cluster: &str, announced: &Announced) -> Service {
    let service = format!("_serf_{cluster}._tcp.local.");
    Service {
        instance: Name::of(&format!("{}.{service}", announced.node)),
        service: Name::of(&service),
        host: Name::of(&announced.host),
        ip: announced.address.ip(),
        port: announced.address.port(),
        text: format!("Serf '{cluster}' cluster"),
    }
}
