//! Keys with values and revisions.

use folkmoot_wire::{Blob, Text};

use crate::objects::{objects, words};

words! {
    /// What a [`KvCompare`] asks of its key. An absent key has the revisions and the version 0 and no value.
    KvTest {
        /// It is there.
        Exists = "exists",
        /// It is not there.
        Absent = "absent",
        /// It was last written at revision `Number`.
        Modified = "modified",
        /// It was last written after revision `Number`.
        ModifiedAfter = "modified-after",
        /// It was created at revision `Number`.
        Created = "created",
        /// It was written `Number` times since its creation.
        Version = "version",
        /// It has this `Value`.
        Value = "value",
    }

    /// What a [`KvOperation`] does.
    KvVerb {
        /// Reads the key, after the operations before.
        Get = "get",
        /// Sets the key.
        Put = "put",
        /// Removes the key.
        Delete = "delete",
    }
}

objects! {
    /// Body of `kv-put`: sets a key.
    KvPut {
        /// Which.
        "Key" key: Text,
        /// It goes with this session; 0: with none.
        "Session" session: u64,
        /// Milliseconds after which it goes; 0: never. Not together with a session.
        "TTL" ttl: u64,
        /// To what.
        "Value" value: Blob,
    }

    /// Answer to `kv-put`.
    KvWritten {
        /// Of the write.
        "Revision" revision: u64,
    }

    /// Body of `kv-compare-and-set`: sets a key if it was last written at a revision.
    KvCompareAndSet {
        /// The revision; 0: if the key is absent.
        "Expected" expected: u64,
        /// Which key.
        "Key" key: Text,
        /// As in [`KvPut`].
        "Session" session: u64,
        /// As in [`KvPut`].
        "TTL" ttl: u64,
        /// To what.
        "Value" value: Blob,
    }

    /// Answer to `kv-compare-and-set`.
    KvCompared {
        /// If it was not written: the key as it is, nil if absent.
        "Entry" entry: Option<KvEntry>,
        /// Of the write.
        "Revision" revision: u64,
        /// Whether it was written.
        "Written" written: bool,
    }

    /// Body of `kv-delete`: removes a key.
    KvDelete {
        /// Which.
        "Key" key: Text,
    }

    /// Body of `kv-delete-prefix`: removes keys, in order, as many as one command may.
    KvDeletePrefix {
        /// What they start with; empty: all.
        "Prefix" prefix: Text,
    }

    /// Answer to both.
    KvDeleted {
        /// How many were removed.
        "Keys" keys: u64,
        /// Whether more have the prefix: ask again.
        "More" more: bool,
    }

    /// Body of `kv-transaction`: one of two lists of operations, in one revision.
    KvTransaction {
        /// If all of these hold,
        "Compares" compares: Vec<KvCompare>,
        /// else these.
        "Else" otherwise: Vec<KvOperation>,
        /// do these,
        "Then" then: Vec<KvOperation>,
    }

    /// A condition of a transaction.
    KvCompare {
        /// Of which key.
        "Key" key: Text,
        /// A revision or version, where the test has one.
        "Number" number: u64,
        /// What is asked.
        "Test" test: KvTest,
        /// Of the test for a value.
        "Value" value: Blob,
    }

    /// An operation of a transaction.
    KvOperation {
        /// What.
        "Do" verb: KvVerb,
        /// With which key.
        "Key" key: Text,
        /// Of a put, as in [`KvPut`].
        "Session" session: u64,
        /// Of a put, as in [`KvPut`].
        "TTL" ttl: u64,
        /// Of a put.
        "Value" value: Blob,
    }

    /// Answer to `kv-transaction`.
    KvTransacted {
        /// One for each operation that ran.
        "Outcomes" outcomes: Vec<KvOutcome>,
        /// Whether all compares held.
        "Succeeded" succeeded: bool,
    }

    /// What an operation did.
    KvOutcome {
        /// Of a delete: whether the key was there.
        "Deleted" deleted: bool,
        /// What it was.
        "Do" verb: KvVerb,
        /// Of a get: the key, nil if absent.
        "Entry" entry: Option<KvEntry>,
    }

    /// Body of `kv-get`.
    KvGet {
        /// Which key.
        "Key" key: Text,
    }

    /// Answer to `kv-get`.
    KvFound {
        /// Nil if absent.
        "Entry" entry: Option<KvEntry>,
    }

    /// Body of `kv-list`: a page of keys, in order.
    KvList {
        /// The last key of the page before; empty: from the first on.
        "After" after: Text,
        /// Keys wanted; 0: as many as a page has.
        "Limit" limit: u32,
        /// What they start with; empty: all.
        "Prefix" prefix: Text,
    }

    /// Answer to `kv-list`.
    KvPage {
        /// In order.
        "Entries" entries: Vec<KvEntry>,
        /// Whether there are more behind the last one.
        "More" more: bool,
    }

    /// A key as it is stored.
    KvEntry {
        /// Revision of its creation.
        "Created" created: u64,
        /// Log time at which it goes; 0: never.
        "Expires" expires: u64,
        /// Its name; empty where the question named it.
        "Key" key: Text,
        /// Revision of its last write.
        "Modified" modified: u64,
        /// The session with which it goes; 0: none.
        "Session" session: u64,
        /// Its value.
        "Value" value: Blob,
        /// Writes since its creation, which is the first.
        "Version" version: u64,
    }
}
