//! Accepts connections, as many as are allowed, and waits for them at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info};

use super::limits::{ACCEPT_BACKOFF, ACCEPT_BACKOFF_LONGEST};
use super::socket::{Accepted, RpcListener};
use super::{Context, connection};
use crate::net::go_errors::cause;

/// Serves until `stop` is true and every connection has ended.
pub(super) async fn run(listener: RpcListener, context: Arc<Context>, mut stop: watch::Receiver<bool>) {
    let stopping = stop.clone();
    let mut connections = JoinSet::new();
    let mut backoff = ACCEPT_BACKOFF;
    let mut full = false;
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(Accepted { peer, .. }) if connections.len() >= context.connections => {
                context.settings.telemetry.count("folkmoot.ipc.refused.connections");
                if !full {
                    let limit = context.connections;
                    error!(target: "agent.ipc", "Failed to accept client: {peer}: {limit} clients are connected");
                }
                full = true;
            }
            Ok(accepted) => {
                full = false;
                backoff = ACCEPT_BACKOFF;
                context.settings.telemetry.count("agent.ipc.accept");
                info!(target: "agent.ipc", "Accepted client: {}", accepted.peer);
                connections.spawn(connection::serve(accepted, Arc::clone(&context), stopping.clone()));
            }
            Err(failure) => {
                error!(target: "agent.ipc", "Failed to accept client: {}", cause(&failure));
                if pause(&mut backoff, &mut stop).await {
                    break;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits before the next try; true if the server has to stop.
async fn pause(backoff: &mut Duration, stop: &mut watch::Receiver<bool>) -> bool {
    let waited = *backoff;
    *backoff = waited.saturating_mul(2).min(ACCEPT_BACKOFF_LONGEST);
    tokio::time::timeout(waited, stop.wait_for(|stop| *stop)).await.is_ok()
}
