//! `kv`: keys with values and revisions. Our own.

mod transaction;

use std::ffi::OsString;

use folkmoot_client::{Entry, Life, Swap};
use serde_json::{Map, Value, json};

use super::connect::with_connection;
use super::coordination::{
    Format, arguments, connect, json_text, number, pretty, put_value, shown, span, unsigned, value, while_, with_format,
};
use super::definition::{Definition, verb};
use super::failure::Failure;
use super::output::Output;
use crate::flags::{FlagDefinition, Parsed};

pub(super) const DEFINITION: Definition = Definition {
    name: "kv",
    line: "Reads and writes keys of the cluster",
    usage: "VERB [options] ...",
    about: "Reads and writes keys that the group of -raft agents keeps. Every write has a revision, which counts over the whole cluster. Reads show the latest state, or fail.\n\nkv VERB -help tells of each verb. Exit code 0: done. 2: the answer is no (no such key, or it has another revision). 1: an error; what is printed begins with Error.",
    flags: Vec::new,
};

pub(super) const VERBS: [Definition; 6] = [
    Definition {
        name: "kv cas",
        line: "Sets a key if it has a revision",
        usage: "[options] KEY VALUE",
        about: "Sets a key if it was last written at a revision, and prints the revision of the write. A VALUE of - is read from stdin. If the key has another revision, this is said, and the exit code is 2.",
        flags: || {
            with_format(&[
                FlagDefinition::integer("revision", "=N", "The revision; 0: if there is no such key. Required."),
                TTL,
                SESSION,
            ])
        },
    },
    Definition {
        name: "kv delete",
        line: "Removes a key, or all keys with a prefix",
        usage: "[options] KEY",
        about: "Removes a key, or with -prefix all keys that begin with KEY. The exit code is 2 if there was none.",
        flags: || with_connection(&[FlagDefinition::boolean("prefix", "Remove all keys that begin so.")]),
    },
    Definition {
        name: "kv get",
        line: "Shows a key",
        usage: "[options] KEY",
        about: "Prints the value of a key as it is, and a line feed. As JSON also its revisions. The exit code is 2 if there is no such key.",
        flags: || with_format(&[STALE]),
    },
    Definition {
        name: "kv list",
        line: "Lists keys",
        usage: "[options] [PREFIX]",
        about: "Lists keys in order, those that begin with PREFIX: name, revision of the last write, value. Values that are not printable are quoted.",
        flags: || {
            with_format(&[
                FlagDefinition::text("after", "=KEY", "Begin behind this key."),
                FlagDefinition::boolean("keys", "Show names only."),
                FlagDefinition::integer("limit", "=N", "Show at most so many; default: all."),
                STALE,
            ])
        },
    },
    Definition {
        name: "kv put",
        line: "Sets a key",
        usage: "[options] KEY VALUE",
        about: "Sets a key and prints the revision of the write. A VALUE of - is read from stdin.",
        flags: || with_format(&[TTL, SESSION]),
    },
    Definition {
        name: "kv txn",
        line: "Does several things in one revision",
        usage: "[options] PATH",
        about: transaction::ABOUT,
        flags: || with_format(&[]),
    },
];

const TTL: FlagDefinition = FlagDefinition::duration("ttl", "=DURATION", "The key goes after this time.");
const SESSION: FlagDefinition = FlagDefinition::integer("session", "=ID", "The key goes with this session.");
const STALE: FlagDefinition =
    FlagDefinition::boolean("stale", "Show what this agent knows, however old; goes on without a quorum.");

pub(super) async fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let (verb, words) = verb(&VERBS, words)?;
    let flags = verb.parse(words)?;
    match verb.verb() {
        "cas" => compare_and_set(&flags, out).await,
        "delete" => delete(&flags, out).await,
        "get" => get(&flags, out).await,
        "list" => list(&flags, out).await,
        "put" => put(&flags, out).await,
        _ => transaction::run(&flags, out).await,
    }
}

async fn get(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [key] = arguments(flags, "one key")?;
    let format = Format::of(flags)?;
    let kv = connect(flags).await?.kv();
    let kv = if flags.boolean("stale") == Some(true) { kv.stale() } else { kv };
    let (entry, as_of) = kv.get_as_of(key.clone()).await.map_err(while_(format!("reading key '{key}'")))?;
    let entry = entry.ok_or_else(|| Failure::no(format!("There is no key '{key}'.")))?;
    format.print(
        out,
        || entry.value.to_vec(),
        || {
            let mut object = described(&entry);
            if as_of.stale {
                object.insert("age_ms".to_owned(), json!(as_of.age));
            }
            Value::Object(object)
        },
    )
}

async fn put(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [key, argument] = arguments(flags, "a key and a value")?;
    let (format, life) = (Format::of(flags)?, life(flags)?);
    let value = value(&argument).await?;
    let kv = connect(flags).await?.kv();
    let revision = kv.put(key.clone(), value, life).await.map_err(while_(format!("setting key '{key}'")))?;
    format.print(out, || revision.to_string().into_bytes(), || json!({"key": json_text(&key), "revision": revision}))
}

async fn compare_and_set(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [key, argument] = arguments(flags, "a key and a value")?;
    let (format, life) = (Format::of(flags)?, life(flags)?);
    let revision = unsigned(flags, "revision")?.ok_or_else(|| Failure::usage("-revision must be given."))?;
    let expected = Some(revision).filter(|revision| *revision > 0);
    let value = value(&argument).await?;
    let kv = connect(flags).await?.kv();
    let swap = kv.compare_and_set(key.clone(), expected, value, life).await;
    match swap.map_err(while_(format!("setting key '{key}'")))? {
        Swap::Written(revision) => format.print(
            out,
            || revision.to_string().into_bytes(),
            || json!({"key": json_text(&key), "revision": revision, "written": true}),
        ),
        Swap::Differs(entry) => {
            let now = entry.as_ref().map(|entry| entry.modified);
            Err(Failure::no(match (format, now) {
                (Format::Json, _) => {
                    let entry = entry.as_ref().map(described);
                    pretty(&json!({"key": json_text(&key), "written": false, "entry": entry}))
                }
                (Format::Text, Some(now)) => format!("Key '{key}' has revision {now}, not {revision}."),
                (Format::Text, None) => format!("There is no key '{key}'."),
            }))
        }
    }
}

async fn delete(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [key] = arguments(flags, "one key")?;
    let kv = connect(flags).await?.kv();
    let prefix = flags.boolean("prefix") == Some(true);
    let removed =
        if prefix { kv.delete_prefix(key.clone()).await } else { kv.delete(key.clone()).await.map(u64::from) };
    match removed.map_err(while_(format!("removing key '{key}'")))? {
        0 if prefix => Err(Failure::no(format!("No key begins with '{key}'."))),
        0 => Err(Failure::no(format!("There is no key '{key}'."))),
        removed if prefix => out.line(super::coordination::count(removed, "key")),
        _ => Ok(()),
    }
}

async fn list(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let prefix = match flags.arguments() {
        [] => folkmoot_client::Text::default(),
        _ => arguments::<1>(flags, "at most one prefix")?.into_iter().next().unwrap_or_default(),
    };
    let format = Format::of(flags)?;
    let mut left = unsigned(flags, "limit")?.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
    let mut after = flags.text("after").map(folkmoot_client::Text::from);
    let kv = connect(flags).await?.kv();
    let kv = if flags.boolean("stale") == Some(true) { kv.stale() } else { kv };
    let (mut entries, mut revision) = (Vec::new(), 0);
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(0);
        let page = kv.list(prefix.clone(), after.take(), limit).await;
        let page = page.map_err(while_(format!("listing keys '{prefix}'")))?;
        left = left.saturating_sub(page.entries.len() as u64);
        after = page.entries.last().map(|entry| entry.key.clone());
        revision = page.revision;
        entries.extend(page.entries);
        if !page.more || after.is_none() {
            break;
        }
    }
    let names = flags.boolean("keys") == Some(true);
    match format {
        Format::Json if names => {
            out.line(pretty(&json!(entries.iter().map(|entry| json_text(&entry.key)).collect::<Vec<_>>())))
        }
        Format::Json => {
            let entries: Vec<_> = entries.iter().map(described).collect();
            out.line(pretty(&json!({"revision": revision, "entries": entries})))
        }
        Format::Text => entries.iter().try_for_each(|entry| {
            let name = shown(entry.key.as_bytes());
            let rest = format!("  {}  ", entry.modified);
            out.line(if names { name } else { [name, rest.into_bytes(), shown(&entry.value)].concat() })
        }),
    }
}

/// As the flags say.
fn life(flags: &Parsed) -> Result<Life<'static>, Failure> {
    let session = unsigned(flags, "session")?;
    match (span(flags, "ttl")?, session) {
        (Some(_), Some(_)) => Err(Failure::message("Only one of -ttl and -session allowed")),
        (Some(ttl), None) if ttl.is_zero() => Err(Failure::message("Invalid value for -ttl: it has to be above 0s.")),
        (Some(ttl), None) => Ok(Life::Ttl(ttl)),
        (None, Some(session)) => Ok(Life::SessionId(number(&session.to_string().into(), "session")?)),
        (None, None) => Ok(Life::Unlimited),
    }
}

/// A key for JSON.
fn described(entry: &Entry) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("key".to_owned(), json_text(&entry.key));
    put_value(&mut object, "value", &entry.value);
    object.insert("created".to_owned(), json!(entry.created));
    object.insert("revision".to_owned(), json!(entry.modified));
    object.insert("version".to_owned(), json!(entry.version));
    object.insert("session".to_owned(), json!(entry.session));
    object.insert("expires".to_owned(), json!(entry.expires));
    object
}
