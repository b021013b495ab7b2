//! Serf's own queries: reachability, name conflicts, keys. They reach no client.
//!
//! Answers to `docs/spec/serf-gossip.md` section 7 (Go `internal_query.go`). With F1: whatever cannot be read gets a failed
//! answer or none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::limits::UNKEPT_KEY_CHANGES_MAX;
use crate::memberlist::KeyringError;
use crate::messages::{ConflictResponse, KeyRequest, KeyResult, MemberRecord, QueryMessage};
use crate::responses::Asker;
use crate::{Instant, Member, NodeName, Output, QueryKey, Serf, Text};

/// Reachability: the ack is the answer.
const PING: &[u8] = b"_serf_ping";
/// Who has this name?
pub(crate) const CONFLICT: &str = "_serf_conflict";
/// Add a key.
pub(crate) const INSTALL_KEY: &str = "_serf_install-key";
/// Make a key the primary.
pub(crate) const USE_KEY: &str = "_serf_use-key";
/// Remove a key.
pub(crate) const REMOVE_KEY: &str = "_serf_remove-key";
/// Who has which keys?
pub(crate) const LIST_KEYS: &str = "_serf_list-keys";

/// What to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyChange {
    Install,
    Use,
    Remove,
}

impl Serf {
    /// The key change that `query` asked for is in the key file, or why not (in Go's words: the asker is told, the change
    /// stays). Without effect for a query that does not wait for this.
    pub fn keyring_kept(&mut self, now: Instant, query: QueryKey, outcome: Result<(), String>) {
        let Some(asker) = self.keys.unkept.remove(&query) else { return };
        if self.is_shut_down() {
            return;
        }
        let result = match outcome {
            Ok(()) => KeyResult { result: true, ..KeyResult::default() },
            Err(reason) => {
                tracing::error!(target: "serf", "{reason}");
                failed(&reason)
            }
        };
        self.send_key_result(now, query, &asker, &result);
        self.absorb(now);
    }

    pub(crate) fn on_internal_query(&mut self, now: Instant, key: QueryKey, message: &QueryMessage, asker: &Asker) {
        let payload = message.payload.clone().unwrap_or_default();
        let name = message.name.as_bytes();
        if name == PING {
        } else if name == CONFLICT.as_bytes() {
            self.answer_conflict(now, key, asker, payload);
        } else if name == INSTALL_KEY.as_bytes() {
            self.answer_key_change(now, key, asker, KeyChange::Install, &payload);
        } else if name == USE_KEY.as_bytes() {
            self.answer_key_change(now, key, asker, KeyChange::Use, &payload);
        } else if name == REMOVE_KEY.as_bytes() {
            self.answer_key_change(now, key, asker, KeyChange::Remove, &payload);
        } else if name == LIST_KEYS.as_bytes() {
            tracing::info!(target: "serf", "Received list-keys query");
            self.answer_key_list(now, key, asker);
        } else {
            tracing::warn!(target: "serf", "Unhandled internal query '{}'", message.name);
        }
    }

    /// Tells whom we know by the name; about our own name we are not asked (9.2).
    fn answer_conflict(&mut self, now: Instant, key: QueryKey, asker: &Asker, payload: Bytes) {
        let name = NodeName(Text::from_bytes(payload));
        if name == self.core.name {
            return;
        }
        tracing::debug!(target: "serf", "Got conflict resolution query for '{}'", name.0);
        let record = self.core.table.get(&name).map(|entry| member_record(&entry.member));
        let message = self.response(key, 0, Some(ConflictResponse(record).encode()));
        if let Err(error) = self.send_response(now, asker, message) {
            tracing::error!(target: "serf", "Failed to respond to conflict query: {error}");
        }
    }

    fn answer_key_change(&mut self, now: Instant, key: QueryKey, asker: &Asker, change: KeyChange, payload: &[u8]) {
        let query = match change {
            KeyChange::Install => "install-key",
            KeyChange::Use => "use-key",
            KeyChange::Remove => "remove-key",
        };
        tracing::info!(target: "serf", "Received {query} query");
        let refusal = match KeyRequest::decode(payload) {
            Ok(request) => self.change_key(change, &request.key.unwrap_or_default()).err(),
            Err(error) => {
                tracing::error!(target: "serf", "Failed to decode key request: {error}");
                Some(KeyResult::default())
            }
        };
        let kept = self.config.keyring_is_kept;
        if refusal.is_none() {
            self.outputs.push_back(Output::KeyringChanged { waiting: kept.then_some(key) });
            if kept {
                self.keys.unkept.insert(key, asker.clone());
                return;
            }
        }
        let result = refusal.unwrap_or(KeyResult { result: true, ..KeyResult::default() });
        self.send_key_result(now, key, asker, &result);
    }

    /// Changes the ring, or tells why not.
    fn change_key(&mut self, change: KeyChange, key: &[u8]) -> Result<(), KeyResult> {
        if self.memberlist.keyring().is_empty() {
            tracing::error!(target: "serf", "No keyring to modify (encryption not enabled)");
            return Err(failed("No keyring to modify (encryption not enabled)"));
        }
        if self.keys.unkept.len() >= UNKEPT_KEY_CHANGES_MAX {
            let text = format!("too-many-key-changes: {UNKEPT_KEY_CHANGES_MAX} wait for the keyring file");
            tracing::error!(target: "serf", "{text}");
            return Err(failed(&text));
        }
        let keyring = self.memberlist.keyring_mut();
        let (outcome, what) = match change {
            KeyChange::Install => (keyring.install(key), "install key"),
            KeyChange::Use => (keyring.use_key(key), "change primary key"),
            KeyChange::Remove => (keyring.remove(key), "remove key"),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(
                error @ (KeyringError::KeySize
                | KeyringError::EmptyPrimary
                | KeyringError::NotInstalled
                | KeyringError::RemovePrimary
                | KeyringError::EmptyRing),
            ) => {
                tracing::error!(target: "serf", "Failed to {what}: {error}");
                Err(failed(&error.to_string()))
            }
        }
    }

    /// Lists as many keys as fit into an answer (7.1, Go `keyListResponseWithCorrectSize`).
    fn answer_key_list(&mut self, now: Instant, key: QueryKey, asker: &Asker) {
        let keys: Vec<Text> =
            self.memberlist.keyring().keys().iter().map(|key| Text::from(STANDARD.encode(key))).collect();
        let Some(primary_key) = keys.first().cloned() else {
            tracing::error!(target: "serf", "Keyring is empty (encryption not enabled)");
            self.send_key_result(now, key, asker, &failed("Keyring is empty (encryption not enabled)"));
            return;
        };
        let total = keys.len();
        let limit = self.config.query_response_size_limit;
        let mut result = KeyResult { result: true, message: Text::default(), keys: Some(keys), primary_key };
        let mut shown = (limit / KEY_BYTES_MIN).min(total);
        while self.response(key, 0, Some(result.encode())).encode().len() > limit {
            result.message = format!("truncated key list response, showing first {shown} of {total} keys").into();
            if let Some(keys) = result.keys.as_mut() {
                keys.truncate(shown);
            }
            if self.response(key, 0, Some(result.encode())).encode().len() <= limit {
                tracing::warn!(target: "serf", "{}", result.message);
                break;
            }
            let Some(fewer) = shown.checked_sub(1) else {
                tracing::error!(target: "serf", "Failed to truncate response so that it fits into message");
                return;
            };
            shown = fewer;
        }
        self.send_key_result(now, key, asker, &result);
    }

    fn send_key_result(&mut self, now: Instant, key: QueryKey, asker: &Asker, result: &KeyResult) {
        let message = self.response(key, 0, Some(result.encode()));
        if let Err(error) = self.send_response(now, asker, message) {
            tracing::error!(target: "serf", "Failed to respond to key query: {error}");
        }
    }
}

/// The shortest a listed key can be: base64 of 16 bytes and its header (Go `minEncodedKeyLength`), bytes.
const KEY_BYTES_MIN: usize = 25;

fn failed(message: &str) -> KeyResult {
    KeyResult { result: false, message: message.into(), ..KeyResult::default() }
}

fn member_record(member: &Member) -> MemberRecord {
    MemberRecord {
        name: member.name.clone(),
        address: Some(Bytes::copy_from_slice(member.address.as_bytes())),
        port: member.port,
        tags: member.tags.0.clone(),
        status: member.status.number(),
        protocol_min: member.versions.protocol_min,
        protocol_max: member.versions.protocol_max,
        protocol_cur: member.versions.protocol_cur,
        delegate_min: member.versions.delegate_min,
        delegate_max: member.versions.delegate_max,
        delegate_cur: member.versions.delegate_cur,
    }
}
