//! Key operations over the whole cluster, as a client sees them.
//!
//! Answers to `docs/spec/serf-gossip.md` 7.2 (Go `keymanager.go`). One runs at a time, others wait their turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::internal_queries::{INSTALL_KEY, LIST_KEYS, REMOVE_KEY, USE_KEY};
use crate::limits::{KEY_RESPONSE_SHOWN_MAX, KEYS_COUNTED_MAX, PENDING_KEY_OPERATIONS_MAX};
use crate::messages::{KeyRequest, KeyResult, MessageError};
use crate::queries::{Purpose, internal_request};
use crate::responses::Asker;
use crate::{
    Completion, Instant, KeyOperation, KeyResponse, NodeName, OperationId, QueryAnswer, QueryKey, RequestError, Serf,
};

/// Key operations under way.
#[derive(Default)]
pub(crate) struct Keys {
    running: Option<Running>,
    pending: VecDeque<Pending>,
    /// Who asked for changes that are done here but not kept yet.
    pub(crate) unkept: BTreeMap<QueryKey, Asker>,
}

struct Running {
    operation: OperationId,
    /// Unknown while the query is being started.
    query: Option<QueryKey>,
    response: KeyResponse,
    /// Who was alive when it began; empty for a list, where nobody misses anything by not answering.
    asked: BTreeSet<NodeName>,
    answered: BTreeSet<NodeName>,
    /// Who was down when it began.
    down: BTreeSet<NodeName>,
}

struct Pending {
    operation: OperationId,
    change: KeyOperation,
    relay_factor: u8,
}

impl Serf {
    /// Changes keys everywhere; ends with [`Completion::Keys`] as soon as every living member has answered, at the
    /// latest after the default query time.
    pub fn change_keys(&mut self, now: Instant, operation: KeyOperation, relay_factor: u8) -> OperationId {
        let id = self.operations.draw();
        if self.keys.pending.len() >= PENDING_KEY_OPERATIONS_MAX {
            let error = RequestError::TooMany(PENDING_KEY_OPERATIONS_MAX).to_string();
            self.complete(id, Completion::Keys(KeyResponse { error: Some(error), ..KeyResponse::default() }));
            return id;
        }
        self.keys.pending.push_back(Pending { operation: id, change: operation, relay_factor });
        self.advance_keys(now);
        self.absorb(now);
        id
    }

    /// An answer to the running operation's query, or its end.
    pub(crate) fn on_key_answer(&mut self, now: Instant, query: QueryKey, answer: QueryAnswer) {
        let Some(running) = self.keys.running.as_mut() else { return };
        if running.query.is_some_and(|own| own != query) {
            return;
        }
        match answer {
            QueryAnswer::Ack { .. } => {}
            QueryAnswer::Response { from, payload } => {
                running.answered.insert(from.clone());
                count(&mut running.response, from, &payload.unwrap_or_default());
                // While the query is being started, `advance_keys` looks at this itself.
                if running.query.is_some() && running.response.num_resp >= running.response.num_nodes {
                    self.finish_query(now, query);
                }
            }
            QueryAnswer::Done => self.end_keys(now),
        }
    }

    fn advance_keys(&mut self, now: Instant) {
        while self.keys.running.is_none() {
            let Some(Pending { operation, change, relay_factor }) = self.keys.pending.pop_front() else { return };
            let lists = change == KeyOperation::List;
            let (name, key) = match change {
                KeyOperation::Install(key) => (INSTALL_KEY, key),
                KeyOperation::Use(key) => (USE_KEY, key),
                KeyOperation::Remove(key) => (REMOVE_KEY, key),
                KeyOperation::List => (LIST_KEYS, Bytes::new()),
            };
            let mut request = internal_request(name, KeyRequest { key: Some(key) }.encode());
            request.relay_factor = relay_factor;
            let living = || self.memberlist.members().map(|member| member.name.clone()).collect();
            let (asked, down) = if lists { Default::default() } else { (living(), self.failed()) };
            self.keys.running = Some(Running {
                operation,
                query: None,
                response: KeyResponse::default(),
                asked,
                answered: BTreeSet::new(),
                down,
            });
            let asked = self.ask(now, request, Purpose::Keys);
            let num_nodes = self.memberlist.alive_count();
            let Some(running) = self.keys.running.as_mut() else { return };
            match asked {
                Ok(query) => {
                    running.query = Some(query);
                    running.response.num_nodes = num_nodes;
                    if running.response.num_resp >= num_nodes {
                        self.finish_query(now, query);
                    }
                }
                Err(error) => {
                    let response = KeyResponse { error: Some(error.to_string()), ..KeyResponse::default() };
                    self.keys.running = None;
                    self.complete(operation, Completion::Keys(response));
                }
            }
        }
    }

    fn end_keys(&mut self, now: Instant) {
        let Some(running) = self.keys.running.take() else { return };
        let Running { operation, mut response, asked, answered, down, .. } = running;
        name_missing(&mut response, asked.difference(&answered), NO_ANSWER);
        name_missing(&mut response, down.difference(&answered), NOT_ASKED);
        let (nodes, answered, failed) = (response.num_nodes, response.num_resp, response.num_err);
        response.error = if failed != 0 {
            Some(format!("{failed}/{nodes} nodes reported failure"))
        } else if answered != nodes {
            Some(format!("{answered}/{nodes} nodes reported success"))
        } else {
            None
        };
        self.complete(operation, Completion::Keys(response));
        self.advance_keys(now);
    }
}

/// Go only counts those who did not answer, and forgets those who were down: they come back without the change, and then
/// cannot take part.
fn name_missing<'a>(response: &mut KeyResponse, names: impl Iterator<Item = &'a NodeName>, message: &str) {
    for name in names {
        tracing::warn!(target: "serf", "key change has not reached '{}': {message}", name.0);
        response.messages.entry(name.clone()).or_insert_with(|| message.to_owned());
    }
}

/// Of a change: a living member was silent.
const NO_ANSWER: &str = "no-answer: it may lack this change";
/// Of a change: a member was down.
const NOT_ASKED: &str = "not-asked: it is down and comes back without this change";

/// Adds one node's answer.
fn count(response: &mut KeyResponse, from: NodeName, payload: &[u8]) {
    response.num_resp = response.num_resp.saturating_add(1);
    match KeyResult::decode(payload) {
        Ok(result) => {
            if !result.result {
                response.num_err = response.num_err.saturating_add(1);
            }
            if !result.result || !result.message.is_empty() {
                if result.result {
                    tracing::warn!(target: "serf", "{}", result.message);
                }
                response.messages.insert(from, result.message.to_string());
            }
            for key in result.keys.unwrap_or_default() {
                if response.keys.len() < KEYS_COUNTED_MAX || response.keys.contains_key(&key) {
                    count_one(response.keys.entry(key).or_default());
                }
            }
            if response.primary_keys.len() < KEYS_COUNTED_MAX {
                count_one(response.primary_keys.entry(result.primary_key).or_default());
            }
        }
        Err(MessageError::Body { .. }) => {
            response.num_err = response.num_err.saturating_add(1);
            response.messages.insert(from, format!("Failed to decode key query response: {}", go_bytes(payload)));
        }
        Err(MessageError::Empty | MessageError::UnknownType(_) | MessageError::RelayedType(_)) => {
            response.num_err = response.num_err.saturating_add(1);
            response.messages.insert(from, format!("Invalid key query response type: {}", go_bytes(payload)));
        }
    }
}

fn count_one(count: &mut usize) {
    *count = count.saturating_add(1);
}

/// Bytes as Go's `%v` shows them: `[8 192]`.
fn go_bytes(bytes: &[u8]) -> String {
    let shown = bytes.get(..KEY_RESPONSE_SHOWN_MAX).unwrap_or(bytes);
    let numbers: Vec<String> = shown.iter().map(u8::to_string).collect();
    format!("[{}]", numbers.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(payloads: &[&[u8]]) -> KeyResponse {
        let mut response = KeyResponse::default();
        for (number, payload) in payloads.iter().enumerate() {
            count(&mut response, NodeName(number.to_string().as_str().into()), payload);
        }
        response
    }

    #[test]
    fn answers_that_make_no_sense_are_shown_as_go_shows_bytes() {
        let response = counted(&[b"\x08\xc1", b"\x05\x00", b""]);
        let messages: Vec<&str> = response.messages.values().map(String::as_str).collect();
        let expected = [
            "Failed to decode key query response: [8 193]",
            "Invalid key query response type: [5 0]",
            "Invalid key query response type: []",
        ];
        assert_eq!(messages, expected);
        assert_eq!((response.num_resp, response.num_err), (3, 3));
        let long = counted(&[&[9; 60_000]]);
        assert!(long.messages.values().all(|message| message.len() < 3 * KEY_RESPONSE_SHOWN_MAX));
    }

    #[test]
    fn made_up_keys_are_counted_up_to_a_limit() {
        let list = |keys: std::ops::Range<usize>| {
            let keys = keys.map(|key| key.to_string().as_str().into()).collect();
            KeyResult { keys: Some(keys), result: true, ..KeyResult::default() }.encode()
        };
        let response = counted(&[&list(0..4_000), &list(2_000..6_000), &list(0..10)]);
        assert_eq!(response.keys.len(), KEYS_COUNTED_MAX);
        assert_eq!(response.keys.get(&"5".into()), Some(&2), "known ones are still counted");
    }
}
