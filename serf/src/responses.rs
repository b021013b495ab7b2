//! Acks and answers we give, and passing on those of others.
//!
//! Answers to `docs/spec/serf-gossip.md` 6.2 step 7, 6.4 and 6.5 (Go `query.go` respond, relayResponse; `delegate.go`
//! NotifyMsg). With F1 (what we relay is bounded in kind, size and rate) and F10 (the asker is never asked to relay).

use std::net::SocketAddr;

use bytes::Bytes;

use crate::limits::{RELAYED_BYTES_MAX, RELAYS_PER_SECOND_MAX};
use crate::messages::{FLAG_ACK, QueryResponseMessage, Relay, RelayHeader, UdpAddress};
use crate::{Instant, MemberStatus, NodeName, QueryKey, RequestError, RespondError, Serf};

/// Who asked a query.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// We ourselves: answers take the short way.
    pub(crate) own: bool,
    /// Where answers go; `None`: the query names no address.
    pub(crate) address: Option<SocketAddr>,
    /// The name; empty from old agents.
    pub(crate) name: NodeName,
    /// How many others shall pass each answer on.
    pub(crate) relay_factor: u8,
}

/// A query that may be answered.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) asker: Asker,
    pub(crate) deadline: Instant,
    pub(crate) answered: bool,
}

/// How much we still do for others in the running second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    second: u64,
    used: u32,
}

impl Budget {
    /// Takes one out of `limit` per second, if there is any left.
    pub(crate) fn spend(&mut self, now: Instant, limit: u32) -> bool {
        let second = now.since_epoch().as_secs();
        if second != self.second {
            *self = Self { second, used: 0 };
        }
        let left = self.used < limit;
        self.used = self.used.saturating_add(u32::from(left));
        left
    }
}

impl Serf {
    /// Answers a query we received, once.
    ///
    /// # Errors
    /// The answer is too long (a shorter one may follow), or it is too late for one. Nothing was sent.
    pub fn respond(&mut self, now: Instant, query: QueryKey, payload: Option<Bytes>) -> Result<(), RequestError> {
        let message = self.response(query, 0, payload);
        let limit = self.config.query_response_size_limit;
        let open = self.queries.open.get(&query).filter(|_| !self.is_shut_down());
        let Some(open) = open else { return Err(RespondError::PastDeadline.into()) };
        if message.encode().len() > limit {
            return Err(RespondError::TooLong(limit).into());
        }
        if open.answered {
            return Err(RespondError::AlreadySent.into());
        }
        if now > open.deadline {
            return Err(RespondError::PastDeadline.into());
        }
        let asker = open.asker.clone();
        self.send_response(now, &asker, message)?;
        if let Some(open) = self.queries.open.get_mut(&query) {
            open.answered = true;
        }
        self.absorb(now);
        Ok(())
    }

    /// Confirms a query.
    pub(crate) fn confirm(&mut self, now: Instant, key: QueryKey, asker: &Asker) {
        let message = self.response(key, FLAG_ACK, None);
        if let Err(error) = self.send_response(now, asker, message) {
            tracing::error!(target: "serf", "failed to send ack: {error}");
        }
    }

    /// An answer of ours.
    pub(crate) fn response(&self, key: QueryKey, flags: u32, payload: Option<Bytes>) -> QueryResponseMessage {
        QueryResponseMessage { ltime: key.ltime, id: key.id, from: self.core.name.clone(), flags, payload }
    }

    /// Sends an answer to whoever asked, directly and by way of as many others as were asked for.
    pub(crate) fn send_response(
        &mut self,
        now: Instant,
        asker: &Asker,
        message: QueryResponseMessage,
    ) -> Result<(), RespondError> {
        if asker.own {
            self.on_query_response(now, message);
            return Ok(());
        }
        let Some(to) = asker.address else { return Err(RespondError::NoAddress) };
        let encoded = message.encode();
        self.memberlist.send_best_effort(now, to, None, &encoded);
        self.relay(now, to, asker, &encoded);
        Ok(())
    }

    /// Asks others to pass an answer on. Go reports an answer that is too long for that as failed although it went out;
    /// here the direct copy counts, and the log tells of the rest.
    fn relay(&mut self, now: Instant, to: SocketAddr, asker: &Asker, response: &Bytes) {
        let wanted = usize::from(asker.relay_factor);
        if wanted == 0 || self.core.table.len() < wanted + 1 {
            return;
        }
        let header = RelayHeader { destination: UdpAddress::new(to), destination_name: asker.name.clone() };
        let wrapped = Relay::encode(&header, response);
        let limit = self.config.query_response_size_limit;
        if wrapped.len() > limit {
            tracing::warn!(target: "serf", "relayed response exceeds limit of {limit} bytes");
            return;
        }
        let table = &self.core.table;
        let relays = self.memberlist.sample_living(wanted, |member| {
            member.versions.protocol_max >= FIRST_PROTOCOL_WITH_RELAYS
                && member.name != asker.name
                && member.socket_address().is_some_and(|address| address != to)
                && table.status(&member.name) == MemberStatus::Alive
        });
        for address in relays.iter().filter_map(|member| member.socket_address()) {
            self.memberlist.send_best_effort(now, address, None, &wrapped);
        }
    }

    /// Passes on an answer for somebody else. The decoder has refused everything that is no answer.
    pub(crate) fn forward(&mut self, now: Instant, relay: &Relay) {
        let Some(to) = relay.header.destination.socket_address().filter(|to| to.port() != 0) else {
            self.counters.relays_refused = self.counters.relays_refused.saturating_add(1);
            return;
        };
        if relay.inner.len() > RELAYED_BYTES_MAX || !self.queries.relay_budget.spend(now, RELAYS_PER_SECOND_MAX) {
            self.counters.relays_refused = self.counters.relays_refused.saturating_add(1);
            return;
        }
        tracing::debug!(target: "serf", "Relaying response to addr: {to}");
        self.counters.relays = self.counters.relays.saturating_add(1);
        let name = Some(&relay.header.destination_name).filter(|name| !name.0.is_empty());
        self.memberlist.send_best_effort(now, to, name, &relay.inner);
    }
}

/// Go asks members that advertise at least this memberlist protocol.
const FIRST_PROTOCOL_WITH_RELAYS: u8 = 5;
