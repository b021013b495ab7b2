//! [`Lease`]: something of the cluster's that ends unless it is renewed, and the task that renews it. Locks, offices,
//! sessions and claims of items are held through one; [`Standing`] is what is seen of it.
//!
//! The holder counts from before the renewal was sent, the cluster from when it was applied: the holder always believes
//! that it ends earlier than it does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backoff::Backoff;
use crate::error::Error;
use crate::limits::LEASE_TTL_SHORTEST;

/// Why something is not held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// No renewal was answered within its time to live: the cluster could not be reached, or has no quorum. It counts as
    /// lost on this side; on the cluster's side it ends at about the same time.
    #[error("it could not be renewed in time")]
    NotRenewed,
    /// The cluster says that it has ended: it expired, its owner ended, or somebody took it away.
    #[error("the cluster says that it has ended")]
    Ended,
}

/// Held until it is lost; renewed until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    state: Arc<watch::Sender<State>>,
    standing: Standing,
    task: AbortHandle,
}

/// What is seen of a lease, also by others than its holder. It outlives the lease: what nobody renews is held until its
/// time is over.
#[derive(Debug, Clone)]
pub(crate) struct Standing(watch::Receiver<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// The end, if no renewal succeeds any more.
    deadline: Instant,
    lost: Option<Lost>,
}

impl State {
    /// How it ended, if it has. A time that has passed ends it for good, also if an answer comes in that moment.
    fn lost(&self) -> Option<Lost> {
        self.lost.or_else(|| (Instant::now() >= self.deadline).then_some(Lost::NotRenewed))
    }
}

impl Lease {
    /// Keeps what was asked for at `asked` alive with `renew`, which starts `ttl` again.
    pub(crate) fn keep<F, R>(asked: Instant, ttl: Duration, renew: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Error>> + Send,
    {
        let (state, standing) = watch::channel(State { deadline: asked + ttl, lost: None });
        let state = Arc::new(state);
        let keeper = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let end = keep(&keeper, ttl, renew).await;
            keeper.send_modify(|state| state.lost = Some(end));
        });
        Self { state, standing: Standing(standing), task: task.abort_handle() }
    }

    /// What others may see of it.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Renews it no longer.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }

    /// Its holder ends it: whatever depends on it is lost at once.
    pub(crate) fn end(&self) {
        self.stop();
        self.state.send_modify(|state| state.lost = Some(Lost::Ended));
    }
}

/// From when on something is held that was asked for at `asked`. Nobody knows how long ago it was granted: if it may have been
/// long ago, only a renewal tells.
pub(crate) async fn held_since(
    asked: Instant,
    ttl: Duration,
    renew: impl Future<Output = Result<(), Error>>,
) -> Result<Instant, Error> {
    if asked.elapsed() <= ttl / 3 {
        return Ok(asked);
    }
    let asked = Instant::now();
    renew.await.map(|()| asked)
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Standing {
    /// Whether it is held at this moment, as far as this side knows. Also true to a process that was stopped for a while.
    pub(crate) fn is_held(&self) -> bool {
        self.0.borrow().lost().is_none()
    }

    /// Whether the cluster itself has said that it is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.borrow().lost == Some(Lost::Ended)
    }

    /// Returns when it is lost.
    pub(crate) async fn lost(mut self) -> Lost {
        loop {
            let state = *self.0.borrow_and_update();
            if let Some(lost) = state.lost() {
                return lost;
            }
            let changed = async {
                if self.0.changed().await.is_err() {
                    // Nobody renews it any more: its time runs out.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(state.deadline) => {}
            }
        }
    }
}

/// Renews until that fails for good; says how it ended.
async fn keep<F, R>(state: &watch::Sender<State>, ttl: Duration, renew: F) -> Lost
where
    F: Fn() -> R,
    R: Future<Output = Result<(), Error>>,
{
    let third = ttl.max(LEASE_TTL_SHORTEST) / 3;
    let mut deadline = state.borrow().deadline;
    let mut next = deadline.checked_sub(third.saturating_mul(2)).unwrap_or_else(Instant::now);
    let mut backoff = Backoff::new();
    loop {
        sleep_until(next).await;
        let asked = Instant::now();
        if asked >= deadline {
            return Lost::NotRenewed;
        }
        match timeout_at(deadline, renew()).await {
            Ok(Ok(())) => {
                let in_time = state.send_if_modified(|state| {
                    let in_time = state.lost().is_none();
                    if in_time {
                        state.deadline = asked + ttl;
                    }
                    in_time
                });
                if !in_time {
                    return Lost::NotRenewed;
                }
                deadline = asked + ttl;
                backoff = Backoff::new();
                next = asked + third;
            }
            Ok(Err(error)) if error.ends_a_lease() => return Lost::Ended,
            Ok(Err(_)) => next = deadline.min(Instant::now() + backoff.pause()),
            Err(_) => return Lost::NotRenewed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use folkmoot_proto::coordination::Code;

    use super::*;
    use crate::error::Refusal;

    const TTL: Duration = Duration::from_secs(9);

    fn refused(code: Code) -> Error {
        Error::Refused(Refusal { code, text: String::new() })
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_renewed_at_a_third_and_held_for_ever() {
        let count = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&count);
        let lease = Lease::keep(Instant::now(), TTL, move || {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        sleep_until(Instant::now() + TTL * 10).await;
        assert!(lease.standing().is_held());
        assert!((29..=31).contains(&count.load(Ordering::Relaxed)), "{count:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_it_at_once() {
        let lease = Lease::keep(Instant::now(), TTL, || async { Err(refused(Code::NotHeld)) });
        let started = Instant::now();
        assert_eq!(lease.standing().clone().lost().await, Lost::Ended);
        assert!(started.elapsed() < TTL / 2 && !lease.standing().is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_after_its_time_and_not_before() {
        let started = Instant::now();
        let hanging = Lease::keep(started, TTL, std::future::pending);
        assert_eq!(hanging.standing().clone().lost().await, Lost::NotRenewed);
        assert!((TTL..TTL * 2).contains(&started.elapsed()), "{:?}", started.elapsed());
        let started = Instant::now();
        let failing = Lease::keep(started, TTL, || async { Err(Error::Closed) });
        assert_eq!(failing.standing().clone().lost().await, Lost::NotRenewed);
        assert!((TTL..TTL * 2).contains(&started.elapsed()), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_returns_in_time_keeps_it() {
        let count = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&count);
        let lease = Lease::keep(Instant::now(), TTL, move || {
            let failing = counter.fetch_add(1, Ordering::Relaxed) % 4 != 3;
            async move { if failing { Err(Error::Closed) } else { Ok(()) } }
        });
        sleep_until(Instant::now() + TTL * 5).await;
        assert!(lease.standing().is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_renewed_no_longer_is_held_until_its_time_is_over() {
        let started = Instant::now();
        let lease = Lease::keep(started, TTL, || async { Ok(()) });
        let standing = lease.standing().clone();
        drop(lease);
        assert!(standing.is_held());
        assert_eq!(standing.clone().lost().await, Lost::NotRenewed);
        assert!((TTL..TTL * 2).contains(&started.elapsed()), "{:?}", started.elapsed());
        assert!(!standing.is_held() && !standing.has_ended());
    }
}
