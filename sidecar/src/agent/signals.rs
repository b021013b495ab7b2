//! The signals an agent reacts to (`docs/spec/agent-cli.md` 3.6).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that changes the agent's course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caught {
    /// SIGINT
    Interrupt,
    /// SIGTERM
    Terminate,
    /// SIGHUP
    Hangup,
    /// SIGUSR1
    Telemetry,
}

impl Caught {
    /// Go's word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminated",
            Self::Hangup => "hangup",
            Self::Telemetry => "user defined signal 1",
        }
    }
}

/// All of them. From the moment this exists none of them ends the process by itself.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    telemetry: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            telemetry: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Caught {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Caught::Interrupt,
            Some(()) = self.terminate.recv() => Caught::Terminate,
            Some(()) = self.hangup.recv() => Caught::Hangup,
            Some(()) = self.telemetry.recv() => Caught::Telemetry,
            else => std::future::pending().await,
        }
    }

    /// The next one that asks for an end, while there is one under way: a look at the telemetry is none.
    pub(super) async fn next_but_telemetry(&mut self) -> Caught {
        loop {
            match self.next().await {
                Caught::Telemetry => {}
                caught @ (Caught::Interrupt | Caught::Terminate | Caught::Hangup) => return caught,
            }
        }
    }
}
