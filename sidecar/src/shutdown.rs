//! Telling many tasks, once, that they have to stop.

use tokio::sync::watch;

/// Whoever holds this decides when to stop; dropping it says so too.
#[derive(Debug)]
pub struct ShutdownTrigger {
    sender: watch::Sender<bool>,
}

impl ShutdownTrigger {
    /// Tells everybody; calling it again changes nothing.
    pub fn trigger(&self) {
        let _ = self.sender.send_replace(true);
    }
}

/// Whoever holds this has to stop when told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShutdownToken {
    receiver: watch::Receiver<bool>,
}

impl ShutdownToken {
    /// Returns as soon as stopping was requested. Cancel-safe.
    pub async fn requested(&mut self) {
        let _ = self.receiver.wait_for(|stop| *stop).await;
    }

    /// Whether stopping was requested.
    pub fn is_requested(&self) -> bool {
        *self.receiver.borrow() || self.receiver.has_changed().is_err()
    }
}

/// A trigger and the token that hears it.
pub fn shutdown_pair() -> (ShutdownTrigger, ShutdownToken) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger { sender }, ShutdownToken { receiver })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_the_trigger() {
        let (trigger, token) = shutdown_pair();
        let mut other = token.clone();
        assert!(!token.is_requested());
        trigger.trigger();
        other.requested().await;
        assert!(token.is_requested());
    }

    #[tokio::test]
    async fn a_dropped_trigger_means_stop() {
        let (trigger, mut token) = shutdown_pair();
        drop(trigger);
        token.requested().await;
        assert!(token.is_requested());
    }
}
