//! [`Kv`]: keys with values and revisions.

use std::time::Duration;

use bytes::Bytes;
use folkmoot_proto::coordination::{
    AsOf, KvCompare, KvCompareAndSet, KvDelete, KvDeletePrefix, KvEntry, KvFound, KvGet, KvList, KvOperation,
    KvOutcome, KvPage, KvPut, KvTest, KvTransaction, KvVerb,
};
use folkmoot_proto::{Blob, Text};

use super::millis;
use super::session::Session;
use super::watch::{Watch, WatchOptions};
use crate::client::Client;
use crate::error::Error;

/// Keys, all of them or those of a dictionary.
///
/// ```no_run
/// use folkmoot_client::Life;
///
/// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
/// let jobs = client.dict("jobs");
/// jobs.put("a", "n1", Life::Unlimited).await?;
/// if let Some(entry) = jobs.get("a").await? {
///     jobs.compare_and_set("a", Some(entry.modified), "n2", Life::Unlimited).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Kv {
    client: Client,
    prefix: Text,
    stale: bool,
}

/// How long a key lives.
#[derive(Debug, Clone, Copy)]
pub enum Life<'a> {
    /// Until it is deleted.
    Unlimited,
    /// This long after the write; at least a millisecond.
    Ttl(Duration),
    /// As long as the session.
    Session(&'a Session),
    /// As long as the session of this number, somebody else's maybe.
    SessionId(u64),
}

impl Life<'_> {
    fn to_body(self) -> (u64, u64) {
        match self {
            Self::Unlimited => (0, 0),
            Self::Ttl(ttl) => (millis(ttl).max(1), 0),
            Self::Session(session) => (0, session.id()),
            Self::SessionId(session) => (0, session),
        }
    }
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, in a dictionary without the dictionary's.
    pub key: Text,
    /// Its value.
    pub value: Bytes,
    /// Revision of its creation.
    pub created: u64,
    /// Revision of its last write.
    pub modified: u64,
    /// Writes since its creation, which is the first.
    pub version: u64,
    /// The session with which it goes.
    pub session: Option<u64>,
    /// Whether it has a time to live.
    pub expires: bool,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of their names.
    pub entries: Vec<Entry>,
    /// Whether there are more behind the last one.
    pub more: bool,
    /// The state is that of this revision: who watches from here on misses nothing.
    pub revision: u64,
    /// Of a stale read: how old it may be; `None` if the agent never heard of a leader.
    pub age: Option<Duration>,
}

/// What came of a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// It was written, at this revision.
    Written(u64),
    /// It was not: the key as it is, `None` if absent.
    Differs(Option<Entry>),
}

/// One of two lists of operations, in one revision.
#[derive(Debug, Clone, Default)]
pub struct Transaction<'a> {
    /// If all of these hold,
    pub compares: Vec<Compare>,
    /// these are done,
    pub then: Vec<Operation<'a>>,
    /// else these.
    pub otherwise: Vec<Operation<'a>>,
}

/// A condition of a transaction. An absent key has the revisions and the version 0 and no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key is there.
    Exists(Text),
    /// It is not there.
    Absent(Text),
    /// It was last written at this revision.
    Modified(Text, u64),
    /// It was last written after this revision.
    ModifiedAfter(Text, u64),
    /// It was created at this revision.
    Created(Text, u64),
    /// It was written this often since its creation.
    Version(Text, u64),
    /// It has this value.
    Value(Text, Bytes),
}

/// A step of a transaction.
#[derive(Debug, Clone)]
pub enum Operation<'a> {
    /// Reads a key, after the steps before.
    Get(Text),
    /// Sets a key.
    Put(Text, Bytes, Life<'a>),
    /// Removes a key.
    Delete(Text),
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transacted {
    /// Whether all compares held.
    pub succeeded: bool,
    /// One for each operation that ran.
    pub outcomes: Vec<Outcome>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The key asked for.
    Found(Option<Entry>),
    /// It was set.
    Written,
    /// Whether the key was there.
    Deleted(bool),
}

impl Client {
    /// All keys.
    pub fn kv(&self) -> Kv {
        Kv { client: self.clone(), prefix: Text::default(), stale: false }
    }

    /// The keys of a dictionary: those that begin with its name and a slash, which are left out in what comes back.
    pub fn dict(&self, name: &str) -> Kv {
        Kv { client: self.clone(), prefix: format!("{name}/").into(), stale: false }
    }
}

impl Kv {
    /// The same keys, read from what the agent knows, however old, instead of from the group as it is. Goes on when the
    /// quorum is lost.
    #[must_use]
    pub fn stale(&self) -> Self {
        Self { stale: true, ..self.clone() }
    }

    /// The key as it is.
    ///
    /// # Errors
    /// [`Error::NoQuorum`], [`Error::NoGroup`], [`Error::Unsupported`] and what any call may fail with.
    pub async fn get(&self, key: impl Into<Text>) -> Result<Option<Entry>, Error> {
        Ok(self.get_as_of(key).await?.0)
    }

    /// The same, with the revision of the state that it was read from, and its age if the read is stale.
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub async fn get_as_of(&self, key: impl Into<Text>) -> Result<(Option<Entry>, AsOf), Error> {
        let key = self.inside(key.into());
        let (KvFound { entry }, as_of) = self.client.read(KvGet { key: key.clone() }, self.stale).await?;
        Ok((entry.map(|entry| self.entry(KvEntry { key, ..entry })), as_of))
    }

    /// Sets a key; the revision of the write.
    ///
    /// # Errors
    /// [`Error::Refused`] with `no-session`, `too-large`, `too-many`, `storage-full`.
    pub async fn put(&self, key: impl Into<Text>, value: impl Into<Bytes>, life: Life<'_>) -> Result<u64, Error> {
        let (ttl, session) = life.to_body();
        let put = KvPut { key: self.inside(key.into()), session, ttl, value: Blob(value.into()) };
        Ok(self.client.write(put).await?.revision)
    }

    /// Sets a key if it was last written at `expected`; `None`: if it is absent.
    ///
    /// # Errors
    /// As [`Kv::put`].
    pub async fn compare_and_set(
        &self,
        key: impl Into<Text>,
        expected: Option<u64>,
        value: impl Into<Bytes>,
        life: Life<'_>,
    ) -> Result<Swap, Error> {
        let (ttl, session) = life.to_body();
        let (key, value) = (self.inside(key.into()), Blob(value.into()));
        let set = KvCompareAndSet { expected: expected.unwrap_or(0), key: key.clone(), session, ttl, value };
        let compared = self.client.write(set).await?;
        Ok(match compared.written {
            true => Swap::Written(compared.revision),
            false => Swap::Differs(compared.entry.map(|entry| self.entry(KvEntry { key, ..entry }))),
        })
    }

    /// Removes a key; whether it was there.
    ///
    /// # Errors
    /// As any call.
    pub async fn delete(&self, key: impl Into<Text>) -> Result<bool, Error> {
        Ok(self.client.write(KvDelete { key: self.inside(key.into()) }).await?.keys > 0)
    }

    /// Removes all keys that begin so, some thousand at a time; how many. Keys that are written meanwhile may stay.
    ///
    /// # Errors
    /// As any call; some may be removed then.
    pub async fn delete_prefix(&self, prefix: impl Into<Text>) -> Result<u64, Error> {
        let prefix = self.inside(prefix.into());
        let mut total = 0u64;
        loop {
            let deleted = self.client.write(KvDeletePrefix { prefix: prefix.clone() }).await?;
            total = total.saturating_add(deleted.keys);
            if !deleted.more || deleted.keys == 0 {
                return Ok(total);
            }
        }
    }

    /// A page of the keys that begin so: at most `limit` (0: as many as a page has), behind `after`.
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub async fn list(&self, prefix: impl Into<Text>, after: Option<Text>, limit: u32) -> Result<Page, Error> {
        let after = after.map(|after| self.inside(after)).unwrap_or_default();
        let list = KvList { after, limit, prefix: self.inside(prefix.into()) };
        let (KvPage { entries, more }, as_of) = self.client.read(list, self.stale).await?;
        let entries = entries.into_iter().map(|entry| self.entry(entry)).collect();
        Ok(Page { entries, more, revision: as_of.revision, age: as_of.age.map(Duration::from_millis) })
    }

    /// All keys that begin so, read page by page: not as they were at one moment, if they are written meanwhile.
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub async fn list_all(&self, prefix: impl Into<Text>) -> Result<Vec<Entry>, Error> {
        let (prefix, mut all): (Text, Vec<Entry>) = (prefix.into(), Vec::new());
        loop {
            let page = self.list(prefix.clone(), all.last().map(|entry| entry.key.clone()), 0).await?;
            let more = page.more && !page.entries.is_empty();
            all.extend(page.entries);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Does one of two lists of operations, in one revision.
    ///
    /// ```no_run
    /// use folkmoot_client::{Compare, Life, Operation, Transaction};
    ///
    /// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
    /// let kv = client.kv();
    /// let swap = Transaction {
    ///     compares: vec![Compare::Value("a".into(), "1".into()), Compare::Absent("b".into())],
    ///     then: vec![Operation::Delete("a".into()), Operation::Put("b".into(), "1".into(), Life::Unlimited)],
    ///     otherwise: vec![Operation::Get("a".into())],
    /// };
    /// println!("{}", kv.transaction(&swap).await?.succeeded);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Kv::put`]; nothing is done then.
    pub async fn transaction(&self, transaction: &Transaction<'_>) -> Result<Transacted, Error> {
        let operations = |operations: &[Operation<'_>]| operations.iter().map(|step| self.operation(step)).collect();
        let body = KvTransaction {
            compares: transaction.compares.iter().map(|compare| self.compare(compare)).collect(),
            then: operations(&transaction.then),
            otherwise: operations(&transaction.otherwise),
        };
        let done = self.client.write(body).await?;
        let carried_out = if done.succeeded { &transaction.then } else { &transaction.otherwise };
        let outcomes =
            carried_out.iter().zip(done.outcomes).map(|(step, outcome)| self.outcome(step, outcome)).collect();
        Ok(Transacted { succeeded: done.succeeded, outcomes })
    }

    /// The changes of keys that begin so, from here on or after a revision. Their names are whole, with that of the
    /// dictionary.
    ///
    /// # Errors
    /// As [`Client::watch`].
    pub async fn watch(&self, prefix: impl Into<Text>, after: Option<u64>) -> Result<Watch, Error> {
        let options = WatchOptions { prefix: self.inside(prefix.into()), after, ..WatchOptions::keys() };
        self.client.watch(options).await
    }

    fn inside(&self, key: Text) -> Text {
        if self.prefix.is_empty() {
            return key;
        }
        Text::from_bytes(Bytes::from([self.prefix.as_bytes(), key.as_bytes()].concat()))
    }

    fn outside(&self, key: Text) -> Text {
        match key.as_bytes().strip_prefix(self.prefix.as_bytes()) {
            Some(rest) if !self.prefix.is_empty() => Text::from_bytes(Bytes::copy_from_slice(rest)),
            Some(_) | None => key,
        }
    }

    fn entry(&self, entry: KvEntry) -> Entry {
        let KvEntry { created, expires, key, modified, session, value, version } = entry;
        let session = Some(session).filter(|session| *session != 0);
        Entry { key: self.outside(key), value: value.0, created, modified, version, session, expires: expires != 0 }
    }

    fn compare(&self, compare: &Compare) -> KvCompare {
        let (key, test, number, value) = match compare {
            Compare::Exists(key) => (key, KvTest::Exists, 0, Bytes::new()),
            Compare::Absent(key) => (key, KvTest::Absent, 0, Bytes::new()),
            Compare::Modified(key, revision) => (key, KvTest::Modified, *revision, Bytes::new()),
            Compare::ModifiedAfter(key, revision) => (key, KvTest::ModifiedAfter, *revision, Bytes::new()),
            Compare::Created(key, revision) => (key, KvTest::Created, *revision, Bytes::new()),
            Compare::Version(key, version) => (key, KvTest::Version, *version, Bytes::new()),
            Compare::Value(key, value) => (key, KvTest::Value, 0, value.clone()),
        };
        KvCompare { key: self.inside(key.clone()), number, test, value: Blob(value) }
    }

    fn operation(&self, operation: &Operation<'_>) -> KvOperation {
        let (verb, key, value, life) = match operation {
            Operation::Get(key) => (KvVerb::Get, key, Bytes::new(), Life::Unlimited),
            Operation::Put(key, value, life) => (KvVerb::Put, key, value.clone(), *life),
            Operation::Delete(key) => (KvVerb::Delete, key, Bytes::new(), Life::Unlimited),
        };
        let (ttl, session) = life.to_body();
        KvOperation { verb, key: self.inside(key.clone()), session, ttl, value: Blob(value) }
    }

    fn outcome(&self, step: &Operation<'_>, outcome: KvOutcome) -> Outcome {
        let (Operation::Get(key) | Operation::Put(key, ..) | Operation::Delete(key)) = step;
        match outcome.verb {
            KvVerb::Get => {
                let found = |entry| self.entry(KvEntry { key: self.inside(key.clone()), ..entry });
                Outcome::Found(outcome.entry.map(found))
            }
            KvVerb::Put => Outcome::Written,
            KvVerb::Delete => Outcome::Deleted(outcome.deleted),
        }
    }
}
