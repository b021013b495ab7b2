//! Keys with values and revisions: put, delete, compare-and-set, transactions, listing by prefix. A key may live for a time
//! or as long as a session.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Cause, Scope, What};
use crate::error::{Argument, Refusal, Thing};
use crate::lease::Deadline;
use crate::limits::{DELETE_PREFIX_MAX, KEYS_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, TRANSACTION_OPERATIONS_MAX};
use crate::session::Sessions;
use crate::step::{Bond, Index, Step, cost};
use crate::types::{Key, Owner, Revision, SessionId, TimeMs, Ttl, Value};

/// What a client asks of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets a key: [`Reply::Written`].
    Put(Put),
    /// Sets a key if its revision is `expected` (`None`: if it is absent): [`Reply::Written`] or [`Reply::Unchanged`].
    CompareAndSet {
        /// The revision that the key must have.
        expected: Option<Revision>,
        /// What to set.
        put: Put,
    },
    /// Removes a key: [`Reply::Deleted`].
    Delete {
        /// Which.
        key: Key,
    },
    /// Removes up to [`DELETE_PREFIX_MAX`] keys, in order: [`Reply::Deleted`]. Watchers see many in several revisions.
    DeletePrefix {
        /// What they start with.
        prefix: Bytes,
    },
    /// Runs `then` if all of `compares` hold, else `otherwise`, in one revision: [`Reply::Transaction`].
    Transaction {
        /// Conditions.
        compares: Vec<Compare>,
        /// If all hold.
        then: Vec<Operation>,
        /// If one does not.
        otherwise: Vec<Operation>,
    },
}

/// A write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Where.
    pub key: Key,
    /// What.
    pub value: Value,
    /// For how long.
    pub life: Life,
}

/// How long a key lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// Until it is deleted.
    Unlimited,
    /// This long after this write.
    Ttl(Ttl),
    /// As long as the session.
    Session(SessionId),
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// Of which key.
    pub key: Key,
    /// What must hold of it.
    pub test: Test,
}

/// What a [`Compare`] asks. An absent key has the revisions and the version 0 and no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// The key is there.
    Exists,
    /// The key is not there.
    Absent,
    /// It was last written at this revision.
    Modified(Revision),
    /// It was last written after this revision.
    ModifiedAfter(Revision),
    /// It was created at this revision.
    Created(Revision),
    /// It was written this often since its creation.
    Version(u64),
    /// It has this value.
    Value(Value),
}

/// A step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Reads a key, after the operations before: [`Outcome::Found`].
    Get(Key),
    /// Sets a key: [`Outcome::Written`].
    Put(Put),
    /// Removes a key: [`Outcome::Deleted`].
    Delete(Key),
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its value.
    pub value: Value,
    /// Revision of its creation.
    pub created: Revision,
    /// Revision of its last write.
    pub modified: Revision,
    /// Writes since its creation, which is the first.
    pub version: u64,
    /// Log time at which it goes.
    pub expires: Option<TimeMs>,
    /// The session with which it goes.
    pub session: Option<SessionId>,
}

/// Answers to [`Command`] and [`Query`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// At this revision.
    Written(Revision),
    /// The comparison failed: the key as it is.
    Unchanged(Option<Entry>),
    /// How many keys were there to remove.
    Deleted {
        /// Removed.
        keys: u64,
        /// More keys have the prefix.
        more: bool,
    },
    /// Which branch ran and what each operation did.
    Transaction {
        /// All compares held.
        succeeded: bool,
        /// In the order of the operations.
        outcomes: Vec<Outcome>,
    },
    /// The key asked for.
    Found(Option<Entry>),
    /// A page of keys.
    Page {
        /// In order.
        entries: Vec<(Key, Entry)>,
        /// There are more behind the last one.
        more: bool,
    },
}

/// What an [`Operation`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The key asked for.
    Found(Option<Entry>),
    /// Written at the transaction's revision.
    Written,
    /// Whether the key was there.
    Deleted(bool),
}

/// Questions about keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// One key: [`Reply::Found`].
    Get(Key),
    /// A page: [`Reply::Page`].
    List {
        /// What the keys start with.
        prefix: Bytes,
        /// The last key of the page before.
        after: Option<Key>,
        /// Entries wanted; at most [`PAGE_ENTRIES_MAX`] come.
        limit: u32,
    },
}

impl Reply {
    /// Bytes of payload inside.
    pub(crate) fn payload(&self) -> usize {
        match self {
            Self::Unchanged(Some(entry)) | Self::Found(Some(entry)) => entry.value.size(),
            Self::Transaction { outcomes, .. } => {
                let size = |outcome: &Outcome| match outcome {
                    Outcome::Found(Some(entry)) => entry.value.size().saturating_add(64),
                    Outcome::Found(None) | Outcome::Written | Outcome::Deleted(_) => 1,
                };
                outcomes.iter().map(size).fold(0, usize::saturating_add)
            }
            Self::Written(_) | Self::Unchanged(None) | Self::Deleted { .. } | Self::Found(None) | Self::Page { .. } => {
                0
            }
        }
    }
}

/// All keys.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    entries: BTreeMap<Key, Entry>,
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn apply(
        &mut self,
        step: &mut Step<'_>,
        sessions: &Sessions,
        command: &Command,
    ) -> Result<Reply, Refusal> {
        match command {
            Command::Put(put) => {
                self.may_write(step, sessions, [put])?;
                self.put(step, put);
                Ok(Reply::Written(step.revision))
            }
            Command::CompareAndSet { expected, put } => {
                let current = self.entries.get(&put.key);
                if current.map(|entry| entry.modified) != *expected {
                    return Ok(Reply::Unchanged(current.cloned()));
                }
                self.may_write(step, sessions, [put])?;
                self.put(step, put);
                Ok(Reply::Written(step.revision))
            }
            Command::Delete { key } => {
                Ok(Reply::Deleted { keys: self.remove(step, key, Cause::Removed).into(), more: false })
            }
            Command::DeletePrefix { prefix } => {
                let mut keys: Vec<Key> =
                    self.from(prefix, None).take(DELETE_PREFIX_MAX + 1).map(|(key, _)| key.clone()).collect();
                let more = keys.len() > DELETE_PREFIX_MAX;
                keys.truncate(DELETE_PREFIX_MAX);
                for key in &keys {
                    step.turn();
                    self.remove(step, key, Cause::Removed);
                }
                Ok(Reply::Deleted { keys: keys.len() as u64, more })
            }
            Command::Transaction { compares, then, otherwise } => {
                if [compares.len(), then.len(), otherwise.len()].iter().any(|len| *len > TRANSACTION_OPERATIONS_MAX) {
                    return Err(Refusal::TooLarge(Argument::Transaction, TRANSACTION_OPERATIONS_MAX as u64));
                }
                let succeeded = compares.iter().all(|compare| self.holds(compare));
                let operations = if succeeded { then } else { otherwise };
                self.transact(step, sessions, operations).map(|outcomes| Reply::Transaction { succeeded, outcomes })
            }
        }
    }

    pub(crate) fn read(&self, query: &Query) -> Reply {
        match query {
            Query::Get(key) => Reply::Found(self.entries.get(key).cloned()),
            Query::List { prefix, after, limit } => {
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX).min(PAGE_ENTRIES_MAX);
                let mut entries = Vec::new();
                let mut bytes = 0usize;
                for (key, entry) in self.from(prefix, after.as_ref()) {
                    if entries.len() >= limit || bytes >= PAGE_BYTES_MAX {
                        return Reply::Page { entries, more: true };
                    }
                    bytes = bytes.saturating_add(cost(key, entry.value.size()));
                    entries.push((key.clone(), entry.clone()));
                }
                Reply::Page { entries, more: false }
            }
        }
    }

    /// Removes a key for the reason given; says whether it was there.
    pub(crate) fn remove(&mut self, step: &mut Step<'_>, key: &Key, cause: Cause) -> bool {
        let Some(entry) = self.entries.remove(key) else { return false };
        step.stored(0, cost(key, entry.value.size()));
        step.index.leases.reset(entry.expires, None, Deadline::Key(key.clone()));
        if let Some(session) = entry.session {
            step.unbind(&Owner::Session(session), Bond::Key(key.clone()));
        }
        step.event(Scope::Key, key, What::Ended(cause));
        true
    }

    pub(crate) fn reindex(&self, index: &mut Index) {
        for (key, entry) in &self.entries {
            index.stored_bytes = index.stored_bytes.saturating_add(cost(key, entry.value.size()));
            index.leases.reset(None, entry.expires, Deadline::Key(key.clone()));
            if let Some(session) = entry.session {
                index.bonds.insert((Owner::Session(session), Bond::Key(key.clone())));
            }
        }
    }

    fn from<'a>(&'a self, prefix: &'a Bytes, after: Option<&'a Key>) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        let start = match after {
            Some(after) if after.as_bytes() >= &prefix[..] => Bound::Excluded(after.as_bytes()),
            Some(_) | None => Bound::Included(&prefix[..]),
        };
        let range = self.entries.range::<[u8], _>((start, Bound::Unbounded));
        range.take_while(|(key, _)| key.as_bytes().starts_with(prefix))
    }

    fn holds(&self, compare: &Compare) -> bool {
        let entry = self.entries.get(&compare.key);
        match &compare.test {
            Test::Exists => entry.is_some(),
            Test::Absent => entry.is_none(),
            Test::Modified(revision) => entry.map_or(Revision(0), |entry| entry.modified) == *revision,
            Test::ModifiedAfter(revision) => entry.is_some_and(|entry| entry.modified > *revision),
            Test::Created(revision) => entry.map_or(Revision(0), |entry| entry.created) == *revision,
            Test::Version(version) => entry.map_or(0, |entry| entry.version) == *version,
            Test::Value(value) => entry.is_some_and(|entry| entry.value == *value),
        }
    }

    /// Fails unless all of these writes can be made. What deletes of the same transaction free is not counted on.
    fn may_write<'a>(
        &self,
        step: &Step<'_>,
        sessions: &Sessions,
        puts: impl IntoIterator<Item = &'a Put>,
    ) -> Result<(), Refusal> {
        let (mut fresh, mut bytes, mut freed) = (BTreeMap::new(), 0usize, 0usize);
        for put in puts {
            if let Life::Session(session) = put.life {
                sessions.check(session)?;
            }
            bytes = bytes.saturating_add(cost(&put.key, put.value.size()));
            match self.entries.get(&put.key) {
                Some(entry) => {
                    let counted = fresh.insert(&put.key, false).is_some();
                    let old = if counted { 0 } else { cost(&put.key, entry.value.size()) };
                    freed = freed.saturating_add(old);
                }
                None => drop(fresh.insert(&put.key, true)),
            }
        }
        let added = fresh.values().filter(|fresh| **fresh).count();
        if added > 0 && self.entries.len().saturating_add(added) > KEYS_MAX {
            return Err(Refusal::TooMany(Thing::Keys, KEYS_MAX as u64));
        }
        step.room(bytes, freed)
    }

    fn put(&mut self, step: &mut Step<'_>, put: &Put) {
        let revision = step.draw();
        let old = self.entries.get(&put.key);
        let (expires, session) = match put.life {
            Life::Unlimited => (None, None),
            Life::Ttl(ttl) => (Some(step.now.after(ttl.span())), None),
            Life::Session(session) => (None, Some(session)),
        };
        step.stored(cost(&put.key, put.value.size()), old.map_or(0, |old| cost(&put.key, old.value.size())));
        step.index.leases.reset(old.and_then(|old| old.expires), expires, Deadline::Key(put.key.clone()));
        if let Some(session) = old.and_then(|old| old.session) {
            step.unbind(&Owner::Session(session), Bond::Key(put.key.clone()));
        }
        if let Some(session) = session {
            step.bind(&Owner::Session(session), Bond::Key(put.key.clone()));
        }
        let entry = Entry {
            value: put.value.clone(),
            created: old.map_or(revision, |old| old.created),
            modified: revision,
            version: old.map_or(0, |old| old.version).saturating_add(1),
            expires,
            session,
        };
        step.event(Scope::Key, &put.key, What::Put { value: put.value.clone(), version: entry.version });
        self.entries.insert(put.key.clone(), entry);
    }

    /// Bytes of values that a transaction's reply carries (a get also sees what was put before it, as often as it asks) and
    /// that its changes carry.
    fn carried<'a>(&self, operations: &'a [Operation]) -> usize {
        let mut written: BTreeMap<&'a Key, usize> = BTreeMap::new();
        let size = |operation: &'a Operation| match operation {
            Operation::Get(key) => {
                let stored = || self.entries.get(key).map_or(0, |entry| entry.value.size());
                written.get(key).copied().unwrap_or_else(stored)
            }
            Operation::Put(put) => {
                written.insert(&put.key, put.value.size());
                put.value.size()
            }
            Operation::Delete(key) => {
                written.insert(key, 0);
                0
            }
        };
        operations.iter().map(size).fold(0, usize::saturating_add)
    }

    fn transact(
        &mut self,
        step: &mut Step<'_>,
        sessions: &Sessions,
        operations: &[Operation],
    ) -> Result<Vec<Outcome>, Refusal> {
        let puts = operations.iter().filter_map(|operation| match operation {
            Operation::Put(put) => Some(put),
            Operation::Get(_) | Operation::Delete(_) => None,
        });
        self.may_write(step, sessions, puts)?;
        if self.carried(operations) > PAGE_BYTES_MAX {
            return Err(Refusal::TooLarge(Argument::Transaction, PAGE_BYTES_MAX as u64));
        }
        Ok(operations
            .iter()
            .map(|operation| match operation {
                Operation::Get(key) => Outcome::Found(self.entries.get(key).cloned()),
                Operation::Put(put) => {
                    self.put(step, put);
                    Outcome::Written
                }
                Operation::Delete(key) => Outcome::Deleted(self.remove(step, key, Cause::Removed)),
            })
            .collect())
    }
}
