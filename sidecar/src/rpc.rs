//! The RPC server of TCP 7373, or of a unix socket (`docs/spec/rpc.md`, whose section numbers are meant in this module). Answers to Go's
//! `ipc.go`, `ipc_event_stream.go`, `ipc_log_stream.go` and `ipc_query_response_stream.go`.
//!
//! `socket` is where clients come in; `listener` accepts; `connection` reads requests one after the other and decides, by stage, what may be served;
//! `dispatch` knows who serves which; `writer` is the only one that writes to a connection.

mod connection;
pub mod coordination;
mod dispatch;
mod events;
mod handlers;
mod keys;
pub mod limits;
mod listener;
pub mod members;
mod membership;
mod pending;
mod queries;
mod session;
pub mod socket;
mod stage;
mod stats;
mod writer;

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, watch};

use crate::coordination::Coordination;
use crate::handle::NodeHandle;
use crate::handlers::Handlers;
use crate::logging::LogHub;
use crate::net::open_files;
use crate::telemetry::Telemetry;
pub use socket::RpcListener;

/// How the server is set up.
#[derive(Clone)]
pub struct RpcSettings {
    /// What clients have to show; `None` or empty: nothing.
    pub auth_key: Option<String>,
    /// Notified once the reply to a `leave` has been written, or could not be: the agent has to stop then.
    pub shutdown: Arc<Notify>,
    /// Where connections and requests are counted.
    pub telemetry: Telemetry,
    /// The event handlers, to be listed.
    pub handlers: Handlers,
    /// Calls to the group, and its member here.
    pub coordination: Coordination,
    /// Whether clients may add and remove handlers, which makes them the agent's user.
    pub handlers_change: bool,
    /// Who answers coordination commands; `None` where there is no group and none can be found.
    pub coordinator: Option<Arc<dyn coordination::Coordinator>>,
}

/// Serves until `stop` is true, then closes every connection once what it owes its client is written.
pub async fn serve(
    listener: RpcListener,
    node: NodeHandle,
    logs: LogHub,
    settings: RpcSettings,
    stop: watch::Receiver<bool>,
) {
    let files = open_files::limit().map_or(usize::MAX, |files| files / limits::CONNECTIONS_FILES_SHARE);
    let connections = limits::CONNECTIONS.min(files);
    let context = Context {
        node,
        logs,
        settings,
        stall: limits::STALL,
        greeting: limits::GREETING,
        large: Arc::new(Semaphore::new(limits::LARGE_REQUESTS)),
        calls: Arc::new(Semaphore::new(limits::CALL_KIB)),
        backups: Arc::new(Semaphore::new(1)),
        restores: Arc::new(Semaphore::new(1)),
        connections,
    };
    listener::run(listener, Arc::new(context), stop).await;
}

/// What all connections share.
struct Context {
    node: NodeHandle,
    logs: LogHub,
    settings: RpcSettings,
    /// [`limits::STALL`], but for tests.
    stall: std::time::Duration,
    /// [`limits::GREETING`], but for tests.
    greeting: std::time::Duration,
    /// [`limits::LARGE_REQUESTS`], but for tests: a permit for each.
    large: Arc<Semaphore>,
    /// [`limits::CALL_KIB`]: a permit for each KiB of a coordination call that is under way.
    calls: Arc<Semaphore>,
    /// One permit: only one backup at a time is being restored.
    restores: Arc<Semaphore>,
    /// One backup is made at a time, and held until it is sent.
    backups: Arc<Semaphore>,
    /// [`limits::CONNECTIONS`] or what the files allow, but for tests.
    connections: usize,
}

impl Context {
    /// The key clients have to show, if any.
    fn auth_key(&self) -> Option<&str> {
        self.settings.auth_key.as_deref().filter(|key| !key.is_empty())
    }
}

#[cfg(test)]
#[path = "rpc_tests.rs"]
mod tests;
