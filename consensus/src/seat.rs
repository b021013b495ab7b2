//! The Raft library at work, in a place where it can be exchanged. It takes its timing at its start only: another timing
//! means that it stops, and starts again on the same log and the same state. So nobody else keeps it; it is asked for here
//! each time.

use futures_util::future::BoxFuture;
use openraft::AsyncRuntime;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::error::OpenError;
use crate::settings::Timing;
use crate::types::Raft;

/// Starts the library on the log and the state of this member, when what ran before has let go of them.
pub(crate) type Start<A> = Box<dyn Fn(Timing) -> BoxFuture<'static, Result<Raft<A>, OpenError>> + Send + Sync>;

/// Where the library runs.
pub(crate) struct Seat<A: AsyncRuntime> {
    held: watch::Sender<Held<A>>,
    start: Start<A>,
    /// One exchange at a time.
    turn: tokio::sync::Mutex<()>,
}

/// Who sits there.
pub(crate) struct Held<A: AsyncRuntime> {
    pub(crate) raft: Raft<A>,
    pub(crate) timing: Timing,
    /// Grows with each exchange.
    number: u64,
    phase: Phase,
    /// Why it could not be started again.
    failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// It stops, and another one takes its place.
    Changing,
    /// It stops, or has stopped, for good.
    Ended,
}

impl<A: AsyncRuntime> Clone for Held<A> {
    fn clone(&self) -> Self {
        let Self { timing, number, phase, .. } = *self;
        Self { raft: self.raft.clone(), timing, number, phase, failure: self.failure.clone() }
    }
}

impl<A: AsyncRuntime> Seat<A> {
    /// Starts the library for the first time.
    ///
    /// # Errors
    /// The data cannot be used.
    pub(crate) async fn new(timing: Timing, start: Start<A>) -> Result<Self, OpenError> {
        let raft = start(timing).await?;
        let (held, _) = watch::channel(Held { raft, timing, number: 0, phase: Phase::Running, failure: None });
        Ok(Self { held, start, turn: tokio::sync::Mutex::new(()) })
    }

    /// What runs, for one use.
    pub(crate) fn raft(&self) -> Raft<A> {
        self.held.borrow().raft.clone()
    }

    /// What runs, and what tells it from its successors.
    pub(crate) fn held(&self) -> Held<A> {
        self.held.borrow().clone()
    }

    pub(crate) fn timing(&self) -> Timing {
        self.held.borrow().timing
    }

    /// Whether what does not answer any more will not be followed by another.
    pub(crate) fn has_ended(&self) -> bool {
        self.held.borrow().phase == Phase::Ended
    }

    /// Why it could not be started again, if that is how it has ended.
    pub(crate) fn failure(&self) -> Option<String> {
        self.held.borrow().failure.clone()
    }

    /// Nothing follows what runs now.
    pub(crate) async fn end(&self) {
        let _turn = self.turn.lock().await;
        self.held.send_modify(|held| held.phase = Phase::Ended);
    }

    /// What runs in the place of `before`, which does not answer any more; `None` if it has stopped for good, also by
    /// itself.
    pub(crate) async fn after(&self, before: &Held<A>) -> Option<Held<A>> {
        let mut held = self.held.subscribe();
        let settled = held.wait_for(|held| held.number != before.number || held.phase != Phase::Changing).await.ok()?;
        (settled.number != before.number && settled.phase != Phase::Ended).then(|| settled.clone())
    }

    /// Stops what runs and starts it again with another timing. Whoever asks it meanwhile is told that it does not lead.
    ///
    /// # Errors
    /// It has ended, or the data cannot be used any more: then it has ended too.
    pub(crate) async fn exchange(&self, timing: Timing) -> Result<(), OpenError> {
        let _turn = self.turn.lock().await;
        let before = self.held();
        // What has failed by itself stays as it is, for those who look for the reason.
        let failed = before.raft.metrics().borrow_watched().running_state.is_err();
        if before.phase != Phase::Running || failed || before.timing == timing {
            return Ok(());
        }
        self.held.send_modify(|held| held.phase = Phase::Changing);
        if let Err(error) = before.raft.shutdown().await {
            tracing::warn!(%error, "the Raft task ended badly");
        }
        match (self.start)(timing).await {
            Ok(raft) => {
                let number = before.number.saturating_add(1);
                self.held.send_replace(Held { raft, timing, number, phase: Phase::Running, failure: None });
                Ok(())
            }
            Err(error) => {
                self.held.send_modify(|held| {
                    held.phase = Phase::Ended;
                    held.failure = Some(error.to_string());
                });
                Err(error)
            }
        }
    }
}
