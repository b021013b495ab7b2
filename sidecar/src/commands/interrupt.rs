//! [`Interrupt`]: SIGINT, for the commands that run until it comes.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// From its creation on SIGINT does not end the process: it is remembered until somebody waits for it.
#[derive(Debug)]
pub(super) struct Interrupt {
    signal: Option<Signal>,
}

impl Interrupt {
    /// Where the system refuses a handler the signal ends the process by itself, as it does without this type.
    pub(super) fn new() -> Self {
        Self { signal: signal(SignalKind::interrupt()).ok() }
    }

    /// Returns when the signal has come since the last time.
    pub(super) async fn wait(&mut self) {
        let received = match &mut self.signal {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if received.is_none() {
            pending().await
        }
    }
}
