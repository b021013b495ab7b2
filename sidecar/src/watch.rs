//! Fan-out of events to whoever subscribed (RPC streams, event handlers), in order, without waiting for any of them.
//!
//! What happens to a slow subscriber is [`Subscriber::deliver`]'s business. Go: `ipc_event_stream.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use folkmoot_serf::Event;

use crate::handle::{Delivered, Subscriber, SubscriptionId};
use crate::limits::SUBSCRIPTIONS;

/// All subscribers, in the order they came.
#[derive(Debug, Default)]
pub struct Watch {
    subscribers: BTreeMap<SubscriptionId, Subscriber>,
    next: u64,
}

impl Watch {
    /// Adds a subscriber. At the limit it is not added (and its queue closes); its id means nothing then.
    pub fn subscribe(&mut self, subscriber: Subscriber) -> SubscriptionId {
        let id = SubscriptionId(self.next);
        self.next = self.next.saturating_add(1);
        if self.subscribers.len() >= SUBSCRIPTIONS {
            self.subscribers.retain(|_, subscriber| !subscriber.queue.is_closed());
        }
        if self.subscribers.len() < SUBSCRIPTIONS {
            self.subscribers.insert(id, subscriber);
        }
        id
    }

    /// Removes a subscriber; its queue closes.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        self.subscribers.remove(&id);
    }

    /// Hands `event` to every subscriber that wants it; forgets those that have gone.
    pub fn publish(&mut self, event: Event, answer_by: Option<tokio::time::Instant>) {
        let delivered = Delivered { event: Arc::new(event), answer_by };
        self.subscribers.retain(|_, subscriber| subscriber.deliver(&delivered));
    }
}

#[cfg(test)]
mod tests {
    use folkmoot_serf::{LamportTime, UserEvent};
    use tokio::sync::mpsc;

    use super::*;
    use crate::event_filter::EventFilters;
    use crate::handle::Owner;

    fn event(name: &str) -> Event {
        Event::User(UserEvent { ltime: LamportTime(1), name: name.into(), payload: None, coalesce: false })
    }

    fn subscriber(capacity: usize) -> (Subscriber, mpsc::Receiver<Delivered>) {
        let (queue, events) = mpsc::channel(capacity);
        let filter = EventFilters::parse(b"*").unwrap();
        (Subscriber { filter, queue, owner: Owner::RpcClient("127.0.0.1:1".into()) }, events)
    }

    #[test]
    fn every_subscriber_gets_every_event_in_order() {
        let mut watch = Watch::default();
        let (one, mut events_of_one) = subscriber(8);
        let (two, mut events_of_two) = subscriber(8);
        watch.subscribe(one);
        let id = watch.subscribe(two);
        watch.publish(event("a"), None);
        watch.unsubscribe(id);
        watch.publish(event("b"), None);
        assert_eq!(*events_of_one.try_recv().unwrap().event, event("a"));
        assert_eq!(*events_of_one.try_recv().unwrap().event, event("b"));
        assert_eq!(*events_of_two.try_recv().unwrap().event, event("a"));
        assert!(events_of_two.try_recv().is_err());
    }

    #[test]
    fn a_full_subscriber_loses_the_new_event_and_one_that_left_is_forgotten() {
        let mut watch = Watch::default();
        let (slow, mut slow_events) = subscriber(1);
        let (gone, gone_events) = subscriber(1);
        watch.subscribe(slow);
        watch.subscribe(gone);
        drop(gone_events);
        watch.publish(event("a"), None);
        watch.publish(event("b"), None);
        assert_eq!(watch.subscribers.len(), 1);
        assert_eq!(*slow_events.try_recv().unwrap().event, event("a"));
        assert!(slow_events.try_recv().is_err());
    }
}
