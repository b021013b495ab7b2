//! Registered clients and the replies they have not acknowledged: a request that arrives again, after a lost answer or a
//! change of leaders, gets the reply of the first time and is not applied again. When a waiting call is served, its kept
//! reply becomes the outcome, so asking again also works then.
//!
//! A client acknowledges only requests that it is done with, each for itself ([`Acknowledged`]); it expires when it is silent
//! for its time to live.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::{Acknowledged, Reply};
use crate::error::{Refusal, Thing};
use crate::lease::{Deadline, Leases};
use crate::limits::{
    CLIENTS_MAX, OPEN_PER_CLIENT, REPLIES_PER_CLIENT, REPLY_BYTES_MAX, REPLY_BYTES_PER_CLIENT, REPLY_BYTES_SHARE,
};
use crate::types::{ClientId, RequestId, Ticket, TimeMs, Ttl};

/// What the machine does with a request.
pub(crate) enum Admission {
    /// Apply it, then [`Clients::keep`] the reply.
    Apply,
    /// Answer this.
    Answer(Reply),
}

/// What a registration found.
pub(crate) enum Registration {
    New,
    /// It was registered: the answer of the first time was lost.
    Again,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Client {
    ttl: Ttl,
    expires: TimeMs,
    acknowledged: Acknowledged,
    replies: BTreeMap<RequestId, Reply>,
}

impl Client {
    /// Notes a sign of life.
    fn live(&mut self, now: TimeMs, id: ClientId, leases: &mut Leases) {
        let expires = now.after(self.ttl.span());
        leases.reset(Some(self.expires), Some(expires), Deadline::Client(id));
        self.expires = expires;
    }

    /// Forgets the replies that are acknowledged; what they weighed.
    fn acknowledge(&mut self, said: &Acknowledged) -> usize {
        if !self.acknowledged.add(said) {
            return 0;
        }
        let mut kept = self.replies.split_off(&self.acknowledged.below);
        kept.extend(self.acknowledged.open.iter().filter_map(|open| self.replies.remove_entry(open)));
        let forgotten = std::mem::replace(&mut self.replies, kept);
        forgotten.values().map(Reply::weight).fold(0, usize::saturating_add)
    }

    fn reply_bytes(&self) -> usize {
        self.replies.values().map(Reply::weight).fold(0, usize::saturating_add)
    }
}

/// All registered clients.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clients {
    clients: BTreeMap<ClientId, Client>,
    /// Weight of each client's kept replies, and of all: follows from the replies, rebuilt by a restore.
    #[serde(skip)]
    bytes: BTreeMap<ClientId, usize>,
    #[serde(skip)]
    bytes_total: usize,
}

impl Clients {
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn bytes_total(&self) -> usize {
        self.bytes_total
    }

    pub(crate) fn register(
        &mut self,
        now: TimeMs,
        client: ClientId,
        ttl: Ttl,
        leases: &mut Leases,
    ) -> Result<Registration, Refusal> {
        if let Some(known) = self.clients.get_mut(&client) {
            known.live(now, client, leases);
            return Ok(Registration::Again);
        }
        if self.clients.len() >= CLIENTS_MAX {
            return Err(Refusal::TooMany(Thing::Clients, CLIENTS_MAX as u64));
        }
        let expires = now.after(ttl.span());
        leases.reset(None, Some(expires), Deadline::Client(client));
        let replies = BTreeMap::new();
        self.clients.insert(client, Client { ttl, expires, acknowledged: Acknowledged::default(), replies });
        Ok(Registration::New)
    }

    /// Notes a sign of life and an acknowledgement, and says what to do with the request.
    pub(crate) fn admit(
        &mut self,
        now: TimeMs,
        ticket: Ticket,
        acknowledged: &Acknowledged,
        leases: &mut Leases,
    ) -> Admission {
        let Some(client) = self.clients.get_mut(&ticket.client) else {
            return Admission::Answer(Reply::Refused(Refusal::ClientExpired));
        };
        client.live(now, ticket.client, leases);
        if acknowledged.open.len() > OPEN_PER_CLIENT {
            return Admission::Answer(Reply::Refused(Refusal::TooMany(Thing::OpenRequests, OPEN_PER_CLIENT as u64)));
        }
        let freed = client.acknowledge(acknowledged);
        self.count(ticket.client, 0, freed);
        let Some(client) = self.clients.get(&ticket.client) else { return Admission::Apply };
        if client.acknowledged.covers(ticket.request) {
            return Admission::Answer(Reply::Refused(Refusal::Stale));
        }
        if let Some(reply) = client.replies.get(&ticket.request) {
            return Admission::Answer(reply.clone());
        }
        let bytes = self.bytes.get(&ticket.client).copied().unwrap_or(0);
        if client.replies.len() >= REPLIES_PER_CLIENT
            || bytes >= REPLY_BYTES_PER_CLIENT
            || (self.bytes_total >= REPLY_BYTES_MAX && bytes >= REPLY_BYTES_SHARE)
        {
            return Admission::Answer(Reply::Refused(Refusal::TooManyUnacknowledged));
        }
        Admission::Apply
    }

    /// Keeps the reply of an applied request.
    pub(crate) fn keep(&mut self, ticket: Ticket, reply: &Reply) {
        let Some(client) = self.clients.get_mut(&ticket.client) else { return };
        let old = client.replies.insert(ticket.request, reply.clone());
        self.count(ticket.client, reply.weight(), old.map_or(0, |reply| reply.weight()));
    }

    /// Replaces the kept reply of a waiting call by its outcome, unless it was acknowledged.
    pub(crate) fn settle(&mut self, ticket: Ticket, reply: &Reply) {
        if self.clients.get(&ticket.client).is_some_and(|client| client.replies.contains_key(&ticket.request)) {
            self.keep(ticket, reply);
        }
    }

    pub(crate) fn forget(&mut self, client: ClientId, leases: &mut Leases) {
        if let Some(removed) = self.clients.remove(&client) {
            leases.reset(Some(removed.expires), None, Deadline::Client(client));
            let freed = self.bytes.remove(&client).unwrap_or(0);
            self.bytes_total = self.bytes_total.saturating_sub(freed);
        }
    }

    /// Rebuilds what follows from the replies.
    pub(crate) fn reindex(&mut self, leases: &mut Leases) {
        for (id, client) in &self.clients {
            leases.reset(None, Some(client.expires), Deadline::Client(*id));
            let bytes = client.reply_bytes();
            if bytes > 0 {
                self.bytes.insert(*id, bytes);
                self.bytes_total = self.bytes_total.saturating_add(bytes);
            }
        }
    }

    fn count(&mut self, client: ClientId, added: usize, freed: usize) {
        let bytes = self.bytes.entry(client).or_default();
        *bytes = bytes.saturating_sub(freed).saturating_add(added);
        if *bytes == 0 {
            self.bytes.remove(&client);
        }
        self.bytes_total = self.bytes_total.saturating_sub(freed).saturating_add(added);
    }
}
