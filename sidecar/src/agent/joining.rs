//! Joins the configuration asks for: once at start, and in the background until it works (`docs/spec/agent-cli.md` 3.7).

use folkmoot_serf::{Completion, OldEvents};
use tokio::sync::mpsc;

use super::{Agent, refuse};
use crate::config::resolve::Settings;
use crate::duration::GoDuration;
use crate::handle::{NodeHandle, Question};
use crate::net::addresses::errors_text;

impl Agent {
    /// One attempt at all addresses. `Some`: the exit code, because nobody answered or a signal came.
    pub(super) async fn join_at_start(&mut self) -> Option<u8> {
        if self.settings.start_join.is_empty() {
            return None;
        }
        let replay = self.settings.old_events == OldEvents::Replay;
        self.hub.print(&format!("==> Joining cluster...(replay: {replay})"));
        let joined = tokio::select! {
            joined = join(&self.node, &self.settings.start_join, self.settings.old_events) => joined,
            caught = self.signals.next_but_telemetry() => {
                self.hub.print(&format!("==> Caught signal: {}", caught.as_str()));
                return Some(1);
            }
        };
        match joined {
            Ok(contacted) => {
                self.hub.print(&format!("    Join completed. Synced with {contacted} initial agents"));
                None
            }
            Err(text) => Some(refuse(&self.hub, &text)),
        }
    }
}

/// Joins in the background. The receiver gets something when it has given up, and closes when there is nothing to do.
pub(super) fn retry(node: &NodeHandle, settings: &Settings) -> mpsc::Receiver<()> {
    let (gave_up, receiver) = mpsc::channel(1);
    if !settings.retry_join.is_empty() {
        let (node, settings) = (node.clone(), settings.clone());
        tokio::spawn(async move {
            if !keep_trying(&node, &settings).await {
                let _ = gave_up.send(()).await;
            }
        });
    }
    receiver
}

/// False: all attempts were in vain. `retry_max_attempts` counts those after the first, as in Go.
async fn keep_trying(node: &NodeHandle, settings: &Settings) -> bool {
    let replay = settings.old_events == OldEvents::Replay;
    let mut attempts: u64 = 0;
    loop {
        tracing::info!(target: "agent", "Joining cluster...(replay: {replay})");
        let text = match join(node, &settings.retry_join, settings.old_events).await {
            Ok(contacted) => {
                tracing::info!(target: "agent", "Join completed. Synced with {contacted} initial agents");
                return true;
            }
            Err(text) => text,
        };
        attempts = attempts.saturating_add(1);
        if settings.retry_max_attempts > 0 && attempts > settings.retry_max_attempts {
            tracing::error!(target: "agent", "maximum retry join attempts made, exiting");
            return false;
        }
        let pause = GoDuration::from(settings.retry_interval);
        tracing::warn!(target: "agent", "Join failed: {text}, retrying in {pause}");
        tokio::time::sleep(settings.retry_interval).await;
    }
}

/// How many answered, or Go's text of why nobody did.
async fn join(node: &NodeHandle, addresses: &[String], old_events: OldEvents) -> Result<usize, String> {
    let addresses = addresses.to_vec();
    match node.ask(|reply| Question::Join { addresses, old_events, reply }).await {
        Ok(Ok(Completion::Join { contacted, errors })) if contacted > 0 || errors.is_empty() => Ok(contacted),
        Ok(Ok(Completion::Join { errors, .. })) => Err(errors_text(&errors)),
        Ok(Ok(Completion::Leave | Completion::ForceLeave(_) | Completion::SetTags(_) | Completion::Keys(_))) => {
            Err("the join ended as something else".to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(stopped) => Err(stopped.to_string()),
    }
}
