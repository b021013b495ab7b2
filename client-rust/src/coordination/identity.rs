//! [`Identity`]: who this client is for the cluster, and the numbers of its requests.
//!
//! The cluster keeps the reply of every request until its client acknowledges it, so that a request that is sent again is
//! answered again and not applied again. All numbers below the oldest open one are acknowledged: those that have their final
//! reply, and those that are given up and will not be sent again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use folkmoot_proto::coordination::Caller;
use tokio::time::Instant;

use super::millis;
use crate::limits::NUMBERS_OPEN;

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

    /// The next number; open until it is dropped.
    pub(crate) fn open(self: &Arc<Self>) -> Number {
        let mut numbers = self.lock();
        let number = numbers.next;
        numbers.next = number.saturating_add(1);
        numbers.open.insert(number);
        drop(numbers);
        Number { identity: Arc::clone(self), number }
    }

    /// Whether new requests may be made in its name: the cluster knows it, and does not keep too many replies for it.
    pub(crate) fn is_usable(&self) -> bool {
        let numbers = self.lock();
        let oldest = numbers.open.first().copied().unwrap_or(numbers.next);
        !self.expired() && numbers.next.saturating_sub(oldest) < NUMBERS_OPEN
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

/// The number of a request, and whose it is. Dropping it says that its final reply is here, or that nobody will ask again.
#[derive(Debug)]
pub(crate) struct Number {
    identity: Arc<Identity>,
    number: u64,
}

impl Number {
    /// As it stands in a request that the agent may take `timeout` for.
    pub(crate) fn caller(&self, timeout: Duration) -> Caller {
        let acknowledged_below = self.identity.lock().open.first().copied().unwrap_or(self.number);
        Caller { acknowledged_below, client: self.identity.id, request: self.number, timeout: millis(timeout).max(1) }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
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
    fn one_call_that_waits_long_makes_room_for_another_identity() {
        let identity = Identity::new(7, Instant::now());
        let waiting = identity.open();
        for _ in 1..NUMBERS_OPEN {
            assert!(identity.is_usable());
            drop(identity.open());
        }
        assert!(!identity.is_usable());
        drop(waiting);
        assert!(identity.is_usable());
        identity.expire();
        assert!(!identity.is_usable());
    }
}
