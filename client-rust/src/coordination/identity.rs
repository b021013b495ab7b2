//! [`Identity`]: who this client is for the cluster, and the numbers of its requests.
//!
//! The cluster keeps the reply of every request until its client acknowledges it, so that a request that is sent again is
//! answered again and not applied again. Acknowledged are those that have their final reply, and those that are given up and
//! will not be sent again: as a rule all below the oldest open one. Where that one waits for long, every so often a request
//! names those that are open and acknowledges all others.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use folkmoot_proto::coordination::Caller;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Wait, millis};
use crate::limits::{ACKNOWLEDGE_EVERY, CALLS_OPEN, HELD_BACK, OPEN_NAMED, WAITS_OPEN};

/// In whose name a client asks, and how many requests it has open.
#[derive(Debug)]
pub(crate) struct Identities {
    /// Held while a new identity is registered.
    pub(crate) current: tokio::sync::Mutex<Option<Arc<Identity>>>,
    calls: Arc<Semaphore>,
    waits: Arc<Semaphore>,
}

impl Default for Identities {
    fn default() -> Self {
        Self {
            current: tokio::sync::Mutex::default(),
            calls: Arc::new(Semaphore::new(CALLS_OPEN)),
            waits: Arc::new(Semaphore::new(WAITS_OPEN)),
        }
    }
}

/// A place among the open requests.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "given back by its drop")] Option<OwnedSemaphorePermit>);

impl Identities {
    /// Waits for a place. Those that wait for others have places of their own, so that they hold up nothing else.
    pub(crate) async fn place(&self, wait: Wait) -> Place {
        let places = if wait == Wait::No { &self.calls } else { &self.waits };
        // They are never closed.
        Place(Arc::clone(places).acquire_owned().await.ok())
    }
}

/// A registered client. It is kept alive as long as somebody has it: requests that are open, guards of what it holds.
#[derive(Debug)]
pub(crate) struct Identity {
    id: u64,
    numbers: Mutex<Numbers>,
    expired: AtomicBool,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    open: BTreeSet<u64>,
    /// When the last request was sent that was answered: until when at least the cluster knows us, less the time to live.
    heard: Instant,
}

impl Identity {
    /// Of the id that the cluster gave when asked at `asked`.
    pub(crate) fn new(id: u64, asked: Instant) -> Arc<Self> {
        let numbers = Mutex::new(Numbers { next: 1, open: BTreeSet::new(), heard: asked });
        Arc::new(Self { id, numbers, expired: AtomicBool::new(false) })
    }

    /// The next number, for what keeps and gives back what is held: that takes nobody's place, and waits for none.
    pub(crate) fn open(self: &Arc<Self>) -> Number {
        self.open_at(Place(None))
    }

    /// The next number; open, and its place taken, until it is dropped.
    pub(crate) fn open_at(self: &Arc<Self>, place: Place) -> Number {
        let mut numbers = self.lock();
        let number = numbers.next;
        numbers.next = number.saturating_add(1);
        numbers.open.insert(number);
        drop(numbers);
        Number { identity: Arc::clone(self), number, place: Some(place) }
    }

    /// The cluster does not know it any more.
    pub(crate) fn expire(&self) {
        self.expired.store(true, Ordering::Release);
    }

    pub(crate) fn expired(&self) -> bool {
        self.expired.load(Ordering::Acquire)
    }

    /// A request sent at `asked` was answered.
    pub(crate) fn hear(&self, asked: Instant) {
        let mut numbers = self.lock();
        numbers.heard = numbers.heard.max(asked);
    }

    pub(crate) fn heard(&self) -> Instant {
        self.lock().heard
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    /// What the request `number`, which is open, acknowledges: all below the first of these but the others.
    fn acknowledged(&self, number: u64) -> (u64, Vec<u64>) {
        let oldest = self.open.first().copied().unwrap_or(number);
        if number.saturating_sub(oldest) < HELD_BACK || !number.is_multiple_of(ACKNOWLEDGE_EVERY) {
            return (oldest, Vec::new());
        }
        let mut below = self.open.range(..=number).copied();
        let named = below.by_ref().take(OPEN_NAMED).filter(|open| *open < number).collect();
        (below.next().unwrap_or(number), named)
    }
}

/// The number of a request, and whose it is. Dropping it says that its final reply is here, or that nobody will ask again.
#[derive(Debug)]
pub(crate) struct Number {
    identity: Arc<Identity>,
    number: u64,
    place: Option<Place>,
}

impl Number {
    /// As it stands in a request that the agent may take `timeout` for.
    pub(crate) fn caller(&self, timeout: Duration) -> Caller {
        let (acknowledged_below, open) = self.identity.lock().acknowledged(self.number);
        let timeout = millis(timeout).max(1);
        Caller { acknowledged_below, client: self.identity.id, open, request: self.number, timeout }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Gives it up for another number, which is to have its place.
    pub(crate) fn into_place(mut self) -> Place {
        self.place.take().unwrap_or(Place(None))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.identity.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(number: &Number) -> u64 {
        number.caller(Duration::ZERO).acknowledged_below
    }

    #[test]
    fn only_what_is_below_the_oldest_open_request_is_acknowledged() {
        let identity = Identity::new(7, Instant::now());
        let (first, second, third) = (identity.open(), identity.open(), identity.open());
        let caller = second.caller(Duration::from_secs(2));
        assert_eq!((caller.client, caller.request, caller.acknowledged_below, caller.timeout), (7, 2, 1, 2000));
        drop(second);
        assert_eq!(below(&third), 1);
        drop(first);
        assert_eq!(below(&third), 3);
        drop(third);
        assert_eq!(below(&identity.open()), 4);
    }

    #[test]
    fn calls_that_wait_for_long_are_named_and_all_others_acknowledged() {
        let identity = Identity::new(7, Instant::now());
        let (answered, first, other) = (identity.open(), identity.open(), identity.open());
        let second = identity.open();
        drop((answered, other));
        let mut unacknowledged = 0;
        for number in 5..10_000 {
            let next = identity.open();
            let caller = next.caller(Duration::ZERO);
            unacknowledged += 1;
            if caller.open.is_empty() {
                assert_eq!(caller.acknowledged_below, 2);
            } else {
                assert_eq!((caller.acknowledged_below, caller.open), (number, vec![2, 4]));
                unacknowledged = 0;
            }
            assert!(unacknowledged < HELD_BACK + ACKNOWLEDGE_EVERY, "{number}");
        }
        drop(first);
        assert_eq!(below(&identity.open()), 4);
        drop(second);
        assert_eq!(below(&identity.open()), 10_001);
    }

    #[test]
    fn of_very_many_open_requests_the_oldest_are_named_and_the_next_holds_back_the_rest() {
        let identity = Identity::new(7, Instant::now());
        let open: Vec<Number> = (0..OPEN_NAMED + 100).map(|_| identity.open()).collect();
        let named = |number: &Number| {
            let Caller { acknowledged_below, open, .. } = number.caller(Duration::ZERO);
            (acknowledged_below, open.len(), open.last().copied())
        };
        let many = OPEN_NAMED as u64;
        let last = open.iter().rev().find(|number| number.number().is_multiple_of(ACKNOWLEDGE_EVERY)).unwrap();
        assert_eq!(named(last), (many + 1, OPEN_NAMED, Some(many)));
        assert!(open.iter().all(|number| !identity.lock().acknowledged(number.number()).1.contains(&number.number())));
    }

    #[tokio::test]
    async fn open_requests_are_bounded_and_those_that_wait_hold_up_no_others() {
        let identities = Identities::default();
        let mut waiting = Vec::new();
        for _ in 0..WAITS_OPEN {
            waiting.push(identities.place(Wait::Always).await);
        }
        let mut one_more = Box::pin(identities.place(Wait::For(Duration::from_secs(1))));
        let full = std::future::poll_fn(|context| std::task::Poll::Ready(one_more.as_mut().poll(context).is_pending()));
        assert!(full.await);
        drop(identities.place(Wait::No).await);
        waiting.pop();
        drop(one_more.await);
    }
}
