//! [`Turns`]: which thread drives the runtime. Whoever blocks on a call does it himself, so that the answer comes to his own
//! thread without a change of threads; the background thread, the keeper, does it while nobody blocks, and while an event loop
//! waits for something.
//!
//! The runtime itself sees to it that one thread drives it and the others wait, and hands it to one of those when the first
//! has its answer. Here is only when the keeper stands aside: from the first call that blocks until none has for [`GRACE`], so
//! that a program that makes one call after the other wakes it once and not for each.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Time after a blocking call in which the keeper leaves the runtime to the next one; it looks this often. Ours: more than a
/// program takes from call to call, and little to what goes on in the background, where the shortest time to live is renewed
/// each tenth of a second.
const GRACE: Duration = Duration::from_millis(1);

/// Of one runtime.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    /// For the keeper that stands aside.
    changed: Condvar,
    /// For the keeper that drives: somebody blocks.
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that block on a call, and so drive the runtime or wait for their turn.
    blocked: usize,
    /// Calls that blocked and are over, and saw the runtime driven.
    driven: u64,
    /// Calls that event loops wait for: nobody but the keeper drives for them.
    delivered: usize,
    keeper: Keeper,
}

#[derive(Debug, Default)]
enum Keeper {
    #[default]
    Drives,
    /// Looks again after [`GRACE`].
    Looks,
    /// Wants to be told when nobody blocks any more.
    Sleeps,
}

/// A thread that blocks, as long as it does.
#[derive(Debug)]
pub(crate) struct Blocked<'a> {
    turns: &'a Turns,
    driven: bool,
}

/// A call that an event loop waits for, as long as it runs.
#[derive(Debug)]
pub(crate) struct Delivered(Arc<Turns>);

impl Turns {
    /// The keeper's life.
    pub(crate) fn keep(&self, runtime: &Runtime) -> ! {
        loop {
            runtime.block_on(self.wanted.notified());
            self.stand_aside();
        }
    }

    /// Waits until nobody has blocked for [`GRACE`], or an event loop waits.
    fn stand_aside(&self) {
        let mut state = self.lock();
        let mut seen = None;
        while state.delivered == 0 && (state.blocked > 0 || seen != Some(state.driven)) {
            // A call that takes long says when it is over; short ones are only counted, which costs them nothing.
            if state.blocked > 0 && seen == Some(state.driven) {
                state.keeper = Keeper::Sleeps;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                seen = Some(state.driven);
                state.keeper = Keeper::Looks;
                (state, _) = self.changed.wait_timeout(state, GRACE).unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.keeper = Keeper::Drives;
    }

    /// The calling thread will block on the runtime.
    pub(crate) fn block(&self) -> Blocked<'_> {
        let mut state = self.lock();
        state.blocked = state.blocked.saturating_add(1);
        let wanted = matches!(state.keeper, Keeper::Drives) && state.delivered == 0;
        drop(state);
        if wanted {
            self.wanted.notify_one();
        }
        Blocked { turns: self, driven: false }
    }

    /// An event loop will wait for a call.
    pub(crate) fn deliver(self: &Arc<Self>) -> Delivered {
        let mut state = self.lock();
        state.delivered = state.delivered.saturating_add(1);
        if !matches!(state.keeper, Keeper::Drives) {
            self.changed.notify_one();
        }
        Delivered(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocked<'_> {
    /// It had to wait, so the runtime was driven meanwhile, by this thread or another.
    pub(crate) fn waited(&mut self) {
        self.driven = true;
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.blocked = state.blocked.saturating_sub(1);
        state.driven = state.driven.wrapping_add(u64::from(self.driven));
        if state.blocked == 0 && matches!(state.keeper, Keeper::Sleeps) {
            self.turns.changed.notify_one();
        }
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.delivered = state.delivered.saturating_sub(1);
    }
}
