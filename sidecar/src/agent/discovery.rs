//! Starts discovery, in Go's place: after gossip, before RPC.

use std::net::SocketAddr;

use tokio::sync::watch;

use super::{StartError, advertised};
use crate::config::resolve::{Settings, host_name};
use crate::handle::NodeHandle;
use crate::mdns::{Announced, Mdns};
use crate::shutdown::ShutdownToken;

/// Starts mDNS if it is wanted, and follows an advertised name. We are at `address` to begin with.
pub(super) async fn begin(
    settings: &Settings,
    node: &NodeHandle,
    address: SocketAddr,
    stop: ShutdownToken,
) -> Result<(), StartError> {
    let (moved, address) = watch::channel(address);
    advertised::follow(settings, node, moved, stop.clone());
    let Some(mdns) = &settings.mdns else { return Ok(()) };
    let failed = |error: std::io::Error| StartError::Told(format!("Error starting mDNS listener: {error}"));
    let host = host_name().unwrap_or_else(|_| settings.node_name.clone());
    let announced = Announced { node: settings.node_name.clone(), host, address: *address.borrow() };
    let mdns = Mdns::listen(mdns, &announced).await.map_err(failed)?;
    tokio::spawn(mdns.run(node.clone(), settings.old_events, address, stop));
    Ok(())
}
