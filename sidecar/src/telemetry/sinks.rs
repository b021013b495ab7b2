//! Metrics on their way to statsd (UDP) and statsite (TCP): lines `name:value|kind`, once a second.
//!
//! Answers to go-metrics' `statsd.go` and `statsite.go`. One task empties the telemetry; statsite has a task of its own,
//! because a connection can hang.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::Telemetry;
use crate::limits::{RESOLVE_LIMIT, STATSD_DATAGRAM_BYTES, STATSITE_BATCHES_WAITING};

/// Time between two deliveries. Ours (Go: 0.1 s): a second is what statsd's users look at.
const DELIVERY_INTERVAL: Duration = Duration::from_secs(1);

/// Time statsite gets for a connection or one batch. Ours.
const STATSITE_LIMIT: Duration = Duration::from_secs(5);

/// Deliveries between two look-ups of statsd's name. Ours: a minute.
const LOOK_UP_EVERY: u32 = 60;

/// Where metrics go; `None` and empty: nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkAddresses {
    /// `host:port`, by UDP.
    pub statsd: Option<String>,
    /// `host:port`, by TCP.
    pub statsite: Option<String>,
}

impl SinkAddresses {
    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.statsd.is_none() && self.statsite.is_none()
    }
}

/// Delivers until the runtime ends.
pub fn start(telemetry: Telemetry, addresses: SinkAddresses) {
    if addresses.is_empty() {
        return;
    }
    let statsite = addresses.statsite.map(|address| {
        let (batches, waiting) = mpsc::channel(STATSITE_BATCHES_WAITING);
        tokio::spawn(run_statsite(address, waiting));
        batches
    });
    let statsd = addresses.statsd.map(Statsd::new);
    tokio::spawn(deliver(telemetry, statsd, statsite));
}

async fn deliver(telemetry: Telemetry, mut statsd: Option<Statsd>, statsite: Option<mpsc::Sender<Arc<[String]>>>) {
    let mut ticks = tokio::time::interval(DELIVERY_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let lines: Arc<[String]> = telemetry.take_lines().into();
        if lines.is_empty() {
            continue;
        }
        if let Some(statsite) = &statsite {
            // A statsite that is behind loses the newest batch.
            let _ = statsite.try_send(Arc::clone(&lines));
        }
        if let Some(statsd) = &mut statsd {
            statsd.send(&lines).await;
        }
    }
}

/// The way to statsd.
struct Statsd {
    address: String,
    socket: Option<UdpSocket>,
    deliveries: u32,
    warned: bool,
}

impl Statsd {
    fn new(address: String) -> Self {
        Self { address, socket: None, deliveries: 0, warned: false }
    }

    async fn send(&mut self, lines: &[String]) {
        if self.deliveries.is_multiple_of(LOOK_UP_EVERY) {
            self.socket = None;
        }
        self.deliveries = self.deliveries.wrapping_add(1);
        if self.socket.is_none() {
            match connect_udp(&self.address).await {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.warned = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.warned, true) {
                        tracing::warn!(target: "agent", "Error connecting to statsd! Err: {error}");
                    }
                    return;
                }
            }
        }
        let Some(socket) = &self.socket else { return };
        for datagram in datagrams(lines) {
            // Nobody there, or no room: as any datagram it may be lost.
            let _ = socket.try_send(datagram.as_bytes());
        }
    }
}

/// Lines joined up to the size of a datagram. A line that is longer alone goes alone.
fn datagrams(lines: &[String]) -> Vec<String> {
    let mut datagrams: Vec<String> = Vec::new();
    for line in lines {
        match datagrams.last_mut() {
            Some(last) if last.len().saturating_add(line.len()) <= STATSD_DATAGRAM_BYTES => last.push_str(line),
            Some(_) | None => datagrams.push(line.clone()),
        }
    }
    datagrams
}

async fn connect_udp(address: &str) -> std::io::Result<UdpSocket> {
    let to = look_up(address).await?;
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    socket.writable().await?;
    Ok(socket)
}

async fn look_up(address: &str) -> std::io::Result<SocketAddr> {
    // Go takes an empty host for this machine.
    let address = if address.starts_with(':') { format!("localhost{address}") } else { address.to_owned() };
    let found = tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host(address)).await??;
    let found: Vec<SocketAddr> = found.take(crate::limits::JOIN_TARGETS).collect();
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| std::io::Error::other("no such host"))
}

/// One connection after the other; a batch that could not be written is lost.
async fn run_statsite(address: String, mut batches: mpsc::Receiver<Arc<[String]>>) {
    let mut connection: Option<TcpStream> = None;
    let mut warned = false;
    while let Some(batch) = batches.recv().await {
        if connection.is_none() {
            match connect_tcp(&address).await {
                Ok(stream) => {
                    connection = Some(stream);
                    warned = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(target: "agent", "Error connecting to statsite! Err: {error}");
                    }
                    continue;
                }
            }
        }
        let Some(stream) = &mut connection else { continue };
        let text = batch.concat();
        let written = tokio::time::timeout(STATSITE_LIMIT, stream.write_all(text.as_bytes())).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!(target: "agent", "Error writing to statsite: the connection is lost");
            connection = None;
        }
    }
}

async fn connect_tcp(address: &str) -> std::io::Result<TcpStream> {
    let to = look_up(address).await?;
    tokio::time::timeout(STATSITE_LIMIT, TcpStream::connect(to)).await?
}

#[cfg(test)]
#[path = "sinks_tests.rs"]
mod tests;
