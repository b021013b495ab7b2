//! Who waits for what the state machine says: callers whose calls wait in a line.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use folkmoot_coordination::{Reply, Ticket};
use tokio::sync::oneshot;

use crate::limits::ANSWERS_MAX;

/// Callers by their tickets.
#[derive(Default)]
pub(crate) struct Hub {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    by_ticket: BTreeMap<(Ticket, u64), oneshot::Sender<Reply>>,
    last: u64,
}

/// Takes the caller off the list when it goes away.
struct Place {
    hub: Arc<Hub>,
    key: (Ticket, u64),
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.lock().by_ticket.remove(&self.key);
    }
}

impl Hub {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody more is put on the list.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().by_ticket.len() >= ANSWERS_MAX
    }

    /// Puts a caller on the list, at once. It is answered with the outcome, or with `None` if that cannot be known here any
    /// more (or [`ANSWERS_MAX`] wait already): the same request, sent again, is answered with it then.
    pub(crate) fn answered(self: &Arc<Self>, ticket: Ticket) -> impl Future<Output = Option<Reply>> + Send + use<> {
        let (answer, wait) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.last = waiting.last.saturating_add(1);
        let key = (ticket, waiting.last);
        let place = (waiting.by_ticket.len() < ANSWERS_MAX).then(|| {
            waiting.by_ticket.insert(key, answer);
            Place { hub: Arc::clone(self), key }
        });
        async move {
            let reply = wait.await.ok();
            drop(place);
            reply
        }
    }

    /// A call has ended.
    pub(crate) fn answer(&self, ticket: Ticket, reply: &Reply) {
        let mut waiting = self.lock();
        while let Some((key, _)) = waiting.by_ticket.range((ticket, 0)..=(ticket, u64::MAX)).next() {
            let key = *key;
            if let Some(answer) = waiting.by_ticket.remove(&key) {
                // Who has gone does not want it.
                drop(answer.send(reply.clone()));
            }
        }
    }

    /// A snapshot has replaced the state, with the ends of some calls in it: everybody has to ask again.
    pub(crate) fn forget(&self) {
        let all = std::mem::take(&mut self.lock().by_ticket);
        drop(all);
    }
}

#[cfg(test)]
mod tests {
    use folkmoot_coordination::{ClientId, RequestId};

    use super::*;

    fn ticket(number: u64) -> Ticket {
        Ticket { client: ClientId(1), request: RequestId(number) }
    }

    #[tokio::test]
    async fn callers_beyond_their_number_are_told_to_ask_again() {
        let hub = Arc::new(Hub::default());
        let mut waiting: Vec<_> = (0..ANSWERS_MAX as u64).map(|number| hub.answered(ticket(number))).collect();
        assert!(hub.is_full());
        assert_eq!(hub.answered(ticket(u64::MAX)).await, None);
        let last = waiting.pop().unwrap();
        hub.answer(ticket(ANSWERS_MAX as u64 - 1), &Reply::Done);
        assert_eq!(last.await, Some(Reply::Done));
        assert!(!hub.is_full());
        drop(waiting);
        assert!(hub.lock().by_ticket.is_empty(), "who goes away leaves the list");
    }
}
