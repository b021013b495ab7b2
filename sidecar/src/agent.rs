//! `agent`: start-up order, banner, the life until a signal, exit codes (`docs/spec/agent-cli.md` 3.4, 3.6).
//!
//! Answers to Go's `command.go`. Starting is in `start.rs`, joining in `joining.rs`, signals in `signals.rs`.

mod advertised;
mod coordination;
mod discovery;
mod joining;
mod observe;
mod signals;
mod start;
mod temporary;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use folkmoot_serf::Tags;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::config::args::{ArgsError, Raw};
use crate::config::resolve::{self, Settings, SettingsError};
use crate::config::sources;
use crate::flags::FlagError;
use crate::handle::{NodeHandle, NodeStopped, Question};
use crate::handlers::Handlers;
use crate::handlers::limits::HANDLERS_DRAIN_LIMIT;
use crate::limits::{LEADERSHIP_HANDOVER_LIMIT, LOG_FLUSH_LIMIT, RPC_DRAIN_LIMIT};
use crate::logging::{Level, LogHub};
use crate::node::Ending;
use crate::shutdown::ShutdownTrigger;
use crate::telemetry::Telemetry;
use signals::{Caught, Signals};

/// Time a leaving node lingers after its farewell. Go: `LeavePropagateDelay`.
const LEAVE_PROPAGATE_DELAY: Duration = Duration::from_secs(1);

/// Runs the agent until it stops and returns the exit code. Builds its own runtime: call it outside of any. `arguments`
/// are those after `agent`.
///
/// # Errors
/// The words are no command line of this command: nothing was started, and the help is wanted.
pub fn run(arguments: &[OsString]) -> Result<u8, FlagError> {
    let hub = LogHub::stdout(Level::Info);
    let code = match Sources::read(arguments) {
        Ok(sources) => run_with(sources, arguments, &hub),
        Err(StartError::Flag(error)) => return Err(error),
        Err(StartError::Told(text)) => refuse(&hub, &text),
    };
    hub.flush(LOG_FLUSH_LIMIT);
    Ok(code)
}

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Flag(FlagError),
    /// What to tell the operator, after `==> `.
    #[error("{0}")]
    Told(String),
}

impl From<SettingsError> for StartError {
    fn from(error: SettingsError) -> Self {
        Self::Told(error.0)
    }
}

/// What was said about settings: files below environment below flags.
struct Sources {
    raw: Raw,
    unknown_variables: Vec<String>,
}

impl Sources {
    fn read(arguments: &[OsString]) -> Result<Self, StartError> {
        let flags = Raw::from_flags(arguments).map_err(|error| match error {
            ArgsError::Flag(error) => StartError::Flag(error),
            ArgsError::Value(_) => StartError::Told(error.to_string()),
        })?;
        let (raw, unknown_variables) = sources::read(flags).map_err(StartError::Told)?;
        Ok(Self { raw, unknown_variables })
    }
}

fn refuse(hub: &LogHub, text: &str) -> u8 {
    hub.print(&format!("==> {text}"));
    1
}

fn run_with(sources: Sources, arguments: &[OsString], hub: &LogHub) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(hub, &format!("Failed to start the Serf agent: {error}")),
    };
    let code = runtime.block_on(async {
        match Agent::start(sources, arguments.to_vec(), hub).await {
            Ok(mut agent) => {
                let code = agent.live().await;
                agent.stop().await;
                code
            }
            Err(error) => refuse(hub, &error.to_string()),
        }
    });
    // A name that is being looked up must not keep the process.
    runtime.shutdown_background();
    code
}

/// A running agent.
struct Agent {
    hub: LogHub,
    /// The words after `agent`, to be read again at a reload.
    arguments: Vec<OsString>,
    settings: Settings,
    signals: Signals,
    node: NodeHandle,
    node_task: JoinHandle<Ending>,
    node_stop: ShutdownTrigger,
    coordination: coordination::Running,
    handlers: Handlers,
    handlers_task: JoinHandle<()>,
    rpc_task: JoinHandle<()>,
    rpc_stop: watch::Sender<bool>,
    /// An RPC client asked for the end, and has its answer.
    left: Arc<Notify>,
    ended: bool,
    telemetry: Telemetry,
}

impl Agent {
    /// Joins, then waits for a reason to end. Returns the exit code.
    async fn live(&mut self) -> u8 {
        if let Some(code) = self.join_at_start().await {
            return code;
        }
        self.hub.print("\n==> Log data will now stream in as it occurs:\n");
        self.hub.release();
        let mut gave_up = joining::retry(&self.node, &self.settings);
        loop {
            tokio::select! {
                caught = self.signals.next() => {
                    if caught == Caught::Telemetry {
                        self.dump_telemetry().await;
                        continue;
                    }
                    self.hub.print(&format!("==> Caught signal: {}", caught.as_str()));
                    match caught {
                        Caught::Hangup => self.reload().await,
                        Caught::Interrupt if self.settings.skip_leave_on_interrupt => return 1,
                        Caught::Terminate if !self.settings.leave_on_terminate => return 1,
                        Caught::Interrupt | Caught::Terminate => return self.leave().await,
                        Caught::Telemetry => {}
                    }
                }
                () = self.left.notified() => return 0,
                Some(()) = gave_up.recv() => return 1,
                reason = self.coordination.failed() => return refuse(&self.hub, &format!("Coordination failed: {reason}")),
                ending = &mut self.node_task => {
                    self.ended = true;
                    return u8::from(ending.is_err());
                }
            }
        }
    }

    /// The graceful way out: leadership first, then gossip. Twice the broadcast timeout and the lingering is what the latter
    /// can take (F12; Go allows 3 s).
    async fn leave(&mut self) -> u8 {
        self.hub.print("==> Gracefully shutting down agent...");
        let limit = self.settings.broadcast_timeout.saturating_mul(2).saturating_add(LEAVE_PROPAGATE_DELAY);
        let leaving = async {
            self.coordination.hand_over().await;
            self.node.ask(|reply| Question::Leave { reply }).await
        };
        tokio::select! {
            result = leaving => match result {
                Ok(Ok(())) => 0,
                Ok(Err(error)) => refuse(&self.hub, &format!("Error: {error}")),
                Err(NodeStopped) => 1,
            },
            _ = self.signals.next_but_telemetry() => 1,
            () = self.left.notified() => 0,
            () = tokio::time::sleep(limit.saturating_add(LEADERSHIP_HANDOVER_LIMIT)) => 1,
        }
    }

    /// Reads flags, environment and files again and applies what Serf applies: log level, event handlers, tags (those set by RPC are
    /// replaced, except where a tags file keeps them) and what signals do; and reads certificates again.
    async fn reload(&mut self) {
        self.hub.print("==> Reloading configuration...");
        let hub = self.hub.clone();
        let reread = Sources::read(&self.arguments)
            .and_then(|sources| Ok(resolve::reload(&sources.raw, &mut |line| hub.print(&format!("==> {line}")))?));
        let reread = match reread {
            Ok(reread) => reread,
            Err(error) => {
                refuse(&self.hub, &error.to_string());
                refuse(&self.hub, "Failed to reload configs");
                return;
            }
        };
        match reread.log_level {
            Ok(level) => self.hub.set_minimum(level),
            Err(error) => drop(refuse(&self.hub, &error.0)),
        }
        self.handlers.replace_configured(reread.event_handlers);
        self.settings.leave_on_terminate = reread.leave_on_terminate;
        self.settings.skip_leave_on_interrupt = reread.skip_leave_on_interrupt;
        if self.settings.tags_file.is_none() {
            self.replace_tags(reread.tags).await;
        }
        if let Err(error) = self.coordination.reload() {
            refuse(&self.hub, &format!("Failed to reload certificates: {error}"));
        }
    }

    async fn replace_tags(&mut self, set: Tags) {
        let Ok(stats) = self.node.ask(|reply| Question::Stats { reply }).await else { return };
        if stats.tags == set {
            return;
        }
        let delete = stats.tags.0.into_keys().collect();
        if let Ok(Err(error)) = self.node.ask(|reply| Question::SetTags { set, delete, reply }).await {
            refuse(&self.hub, &format!("Failed to update tags: {error}"));
        }
    }

    /// Ends the part in the group, then gossip, then the handlers of what was left to tell, then RPC once it has written what
    /// it owes.
    async fn stop(mut self) {
        self.coordination.stop().await;
        self.node_stop.trigger();
        if !self.ended {
            let _ = (&mut self.node_task).await;
        }
        // Our own leaving is an event too.
        let _ = tokio::time::timeout(HANDLERS_DRAIN_LIMIT, &mut self.handlers_task).await;
        let _ = self.rpc_stop.send(true);
        let _ = tokio::time::timeout(RPC_DRAIN_LIMIT, &mut self.rpc_task).await;
    }
}
