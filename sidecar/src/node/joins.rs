//! A join from the user's words to the answer: names are looked up by a task of their own, the engine joins what was
//! found, and the errors of both come out in the order of the addresses (`docs/spec/rpc.md` 7.7).

use folkmoot_serf::{Completion, JoinTarget, OldEvents, RequestError, SerfState};
use tokio::sync::oneshot;

use super::{Node, Waiter};
use crate::limits::{JOIN_TARGETS, JOINS_AT_ONCE};
use crate::net::addresses;

/// The answer to a join.
type Reply = oneshot::Sender<Result<Completion, RequestError>>;

/// A join whose names have been looked up.
pub(super) struct Resolved {
    targets: Vec<JoinTarget>,
    old_events: OldEvents,
    waiter: JoinWaiter,
}

/// Who waits for a join, and what is known of its errors.
pub(super) struct JoinWaiter {
    slots: Vec<Slot>,
    reply: Reply,
}

/// What became of one address, in the user's order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    /// It could not be looked up.
    Error(String),
    /// It stands for so many targets.
    Targets(usize),
}

impl Node {
    pub(super) fn join(&mut self, list: Vec<String>, old_events: OldEvents, reply: Reply) {
        let replay = old_events == OldEvents::Replay;
        tracing::info!(target: "agent", "joining: [{}] replay: {replay}", list.join(" "));
        if self.parts.serf.state() != SerfState::Alive {
            return refuse(reply, RequestError::NotAlive);
        }
        if self.joins >= JOINS_AT_ONCE {
            return refuse(
                reply,
                RequestError::Other(format!("{JOINS_AT_ONCE} joins are in progress, try again later")),
            );
        }
        self.joins = self.joins.saturating_add(1);
        let (port, done) = (self.parts.gossip_port, self.resolved.0.clone());
        tokio::spawn(async move {
            let (targets, slots) = resolve_all(&list, port).await;
            let resolved = Resolved { targets, old_events, waiter: JoinWaiter { slots, reply } };
            let _ = done.send(resolved).await;
        });
    }

    pub(super) fn join_resolved(&mut self, resolved: Resolved) {
        let Resolved { targets, old_events, waiter } = resolved;
        if targets.is_empty() {
            self.joins = self.joins.saturating_sub(1);
            return waiter.finish(0, Vec::new());
        }
        match self.parts.serf.join(self.parts.clock.now(), targets, old_events) {
            Ok(operation) => {
                self.waiting.insert(operation, Waiter::Join(waiter));
            }
            Err(error) => {
                self.joins = self.joins.saturating_sub(1);
                refuse(waiter.reply, error);
            }
        }
    }
}

impl JoinWaiter {
    /// Answers, with all errors in the order of the addresses.
    pub(super) fn finish(self, contacted: usize, engine_errors: Vec<String>) {
        let errors = in_order(self.slots, engine_errors);
        if contacted > 0 || errors.is_empty() {
            tracing::info!(target: "agent", "joined: {contacted} nodes");
        } else {
            tracing::warn!(target: "agent", "error joining: {}", addresses::errors_text(&errors));
        }
        let _ = self.reply.send(Ok(Completion::Join { contacted, errors }));
    }
}

fn refuse(reply: Reply, error: RequestError) {
    tracing::warn!(target: "agent", "error joining: {error}");
    let _ = reply.send(Err(error));
}

async fn resolve_all(list: &[String], port: u16) -> (Vec<JoinTarget>, Vec<Slot>) {
    let (mut targets, mut slots) = (Vec::new(), Vec::new());
    for address in list {
        let slot = match addresses::resolve_join(address, port).await {
            Ok(found) => {
                let room = JOIN_TARGETS.saturating_sub(targets.len());
                let count = found.len().min(room);
                targets.extend(found.into_iter().take(room));
                Slot::Targets(count)
            }
            Err(error) => Slot::Error(format!("failed to resolve {address}: {error}")),
        };
        slots.push(slot);
    }
    (targets, slots)
}

/// Where no target answered, the engine has one error per target, in order; where some did, fewer.
fn in_order(slots: Vec<Slot>, engine_errors: Vec<String>) -> Vec<String> {
    let mut engine_errors = engine_errors.into_iter();
    let mut errors = Vec::new();
    for slot in slots {
        match slot {
            Slot::Error(error) => errors.push(error),
            Slot::Targets(count) => errors.extend(engine_errors.by_ref().take(count)),
        }
    }
    errors.extend(engine_errors);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_resolver_and_the_engine_come_in_the_order_of_the_addresses() {
        let slots = vec![Slot::Targets(2), Slot::Error("resolve".into()), Slot::Targets(1)];
        let engine = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(in_order(slots, engine), ["a", "b", "resolve", "c"]);
    }

    #[tokio::test]
    async fn every_address_is_a_target_or_an_error() {
        let list = ["127.0.26.1", "/x", "name/[::1]:80"].map(str::to_owned);
        let (targets, slots) = resolve_all(&list, 7946).await;
        assert_eq!(targets.len(), 2);
        let error = Slot::Error("failed to resolve /x: empty node name provided".into());
        assert_eq!(slots, [Slot::Targets(1), error, Slot::Targets(1)]);
    }
}
