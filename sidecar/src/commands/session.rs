//! `session`: lives that other things depend on. Our own.

use std::ffi::OsString;

use folkmoot_client::{SessionInfo, SessionOptions};
use serde_json::{Value, json};

use super::columns::columns;
use super::connect::with_connection;
use super::coordination::{Format, arguments, connect, json_text, number, pretty, time_to_live, while_, with_format};
use super::definition::{Definition, verb};
use super::failure::Failure;
use super::output::Output;
use crate::duration::GoDuration;
use crate::flags::{FlagDefinition, Parsed};

pub(super) const DEFINITION: Definition = Definition {
    name: "session",
    line: "Creates, renews and ends sessions of the cluster",
    usage: "VERB [options] ...",
    about: "A session is a life that keys, locks, offices and claims can depend on: when it ends, they end. It ends when it is not renewed in time, when it is destroyed, and with its node if it has one.\n\nsession VERB -help tells of each verb. Exit code 0: done. 1: an error.",
    flags: Vec::new,
};

pub(super) const VERBS: [Definition; 4] = [
    Definition {
        name: "session create",
        line: "Starts a session",
        usage: "[options]",
        about: "Starts a session and prints its number. Nobody renews it but session renew.",
        flags: || {
            with_format(&[
                FlagDefinition::text("node", "=NAME", "It also ends when gossip says that this node failed or left."),
                FlagDefinition::duration("ttl", "=DURATION", "Time without renewal after which it ends; default: 15s."),
            ])
        },
    },
    Definition {
        name: "session destroy",
        line: "Ends a session",
        usage: "[options] ID",
        about: "Ends a session and what depends on it.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "session list",
        line: "Lists the sessions",
        usage: "[options]",
        about: "Lists the sessions: number, time to live, node.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "session renew",
        line: "Starts the time of a session again",
        usage: "[options] ID",
        about: "Starts the time to live of a session again.",
        flags: || with_connection(&[]),
    },
];

pub(super) async fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let (verb, words) = verb(&VERBS, words)?;
    let flags = verb.parse(words)?;
    match verb.verb() {
        "create" => create(&flags, out).await,
        "destroy" => {
            let id = id(&flags)?;
            let destroyed = connect(&flags).await?.destroy_session(id).await;
            destroyed.map_err(while_(format!("ending session {id}")))
        }
        "list" => list(&flags, out).await,
        _ => {
            let id = id(&flags)?;
            connect(&flags).await?.renew_session(id).await.map_err(while_(format!("renewing session {id}")))
        }
    }
}

fn id(flags: &Parsed) -> Result<u64, Failure> {
    let [id] = arguments(flags, "the number of one session")?;
    number(&id, "session")
}

async fn create(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [] = arguments(flags, "none")?;
    let format = Format::of(flags)?;
    let with_node = flags.text("node").filter(|node| !node.is_empty()).map(Into::into);
    let mut options = SessionOptions { with_node, ..SessionOptions::default() };
    options.ttl = time_to_live(flags, "ttl")?.unwrap_or(options.ttl);
    let session = connect(flags).await?.create_session(&options).await.map_err(while_("starting a session"))?;
    format.print(out, || session.to_string().into_bytes(), || json!({"session": session}))
}

async fn list(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [] = arguments(flags, "none")?;
    let format = Format::of(flags)?;
    let sessions = connect(flags).await?.sessions().await.map_err(while_("listing sessions"))?;
    match format {
        Format::Json => out.line(pretty(&Value::Array(sessions.iter().map(described).collect()))),
        Format::Text if sessions.is_empty() => Ok(()),
        Format::Text => out.line(columns(&sessions.iter().map(row).collect::<Vec<_>>())),
    }
}

fn row(info: &SessionInfo) -> Vec<u8> {
    let ttl = GoDuration::from(std::time::Duration::from_millis(info.ttl));
    [format!("{}|{ttl}|", info.session).as_bytes(), info.with_node.as_bytes()].concat()
}

fn described(info: &SessionInfo) -> Value {
    let node = Some(&info.with_node).filter(|node| !node.is_empty()).map(json_text);
    json!({"session": info.session, "ttl_ms": info.ttl, "node": node, "client": info.client})
}
