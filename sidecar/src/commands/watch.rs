//! `watch`: shows changes as they come, or runs a command for each. Our own.

use std::ffi::OsString;

use folkmoot_client::{Change, Changes, Scope, WatchOptions, What};
use serde_json::{Map, Value, json};

use super::child::{Child, Ended, Signals, split};
use super::connect::text;
use super::coordination::{Format, connect, json_text, put_value, shown, unsigned, while_, with_format};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use crate::flags::FlagDefinition;
use crate::limits::COMMAND_GRACE;

pub(super) const DEFINITION: Definition = Definition {
    name: "watch",
    line: "Shows changes of the cluster's keys and objects as they come",
    usage: "[options] [PREFIX] [-- COMMAND ...]",
    about: "Shows changes of keys that begin with PREFIX, or of other objects, until it is interrupted: every one, once, in order. It goes on where it was when the connection is lost. As JSON one object in each line.\n\nWith a command, that is run for each change, one after the other, with the change as JSON on its stdin, the key in FOLKMOOT_WATCH_KEY (U+FFFD in place of what no variable can hold) and the revision in FOLKMOOT_WATCH_REVISION. If it fails the watch ends with its exit code.\n\nWhere changes are forgotten before they were read, this is said (as JSON: compacted), and the state has to be read again; with a command the exit code is then 2.",
    flags: || {
        with_format(&[
            FlagDefinition::integer("after", "=REVISION", "Show changes after this revision; default: from here on."),
            FlagDefinition::text(
                "scope",
                "=KIND",
                "Changes of these objects: key (the default), session, lock, semaphore, read-write-lock, election, barrier, counter, set, list, queue, priority-queue, work-queue, or any.",
            ),
        ])
    },
};

pub(super) async fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(words)?;
    let format = Format::of(&flags)?;
    let (arguments, command) = split(flags.arguments());
    let prefix = match arguments {
        [] => folkmoot_client::Text::default(),
        [prefix] => text(prefix),
        _ => return Err(Failure::usage("At most one prefix can be given, and a command only behind --.")),
    };
    let scope = match flags.text("scope").unwrap_or("key") {
        "any" => Scope::Any,
        word => Scope::parse(word.as_bytes())
            .filter(|scope| *scope != Scope::Any)
            .ok_or_else(|| Failure::message(format!("Invalid value for -scope: '{word}' is no kind of object.")))?,
    };
    let options = WatchOptions { prefix: prefix.clone(), scope, after: unsigned(&flags, "after")? };
    let failed = || while_(format!("watching '{prefix}'"));
    let mut signals = Signals::new();
    let mut watch = connect(&flags).await?.watch(options).await.map_err(failed())?;
    loop {
        let changes = tokio::select! {
            changes = watch.next() => changes.map_err(failed())?,
            _ = signals.next() => return Ok(()),
        };
        match changes {
            Changes::These(changes) => {
                for change in changes {
                    match command {
                        Some(words) => run_for(&change, words, &mut signals).await?,
                        None => show(&change, format, out)?,
                    }
                    if signals.came() {
                        return Ok(());
                    }
                }
            }
            Changes::Compacted { through } => {
                let forgotten = format!("Changes up to revision {through} are forgotten: read the state again.");
                match (command, format) {
                    (Some(_), _) => return Err(Failure::no(forgotten)),
                    (None, Format::Text) => out.line(forgotten)?,
                    (None, Format::Json) => out.line(json!({"compacted": true, "through": through}).to_string())?,
                }
            }
        }
    }
}

async fn run_for(change: &Change, words: &[OsString], signals: &mut Signals) -> Result<(), Failure> {
    let environment = vec![
        // A variable ends where a NUL stands, and who wrote the key may have put one there.
        ("FOLKMOOT_WATCH_KEY", change.key.to_string_lossy().replace('\0', "\u{fffd}")),
        ("FOLKMOOT_WATCH_REVISION", change.revision.to_string()),
    ];
    let input = Some(format!("{}\n", described(change)).into());
    // Nothing is held that could be lost.
    let child = Child { words, environment, input, output: None, grace: COMMAND_GRACE };
    match child.run(std::future::pending(), signals).await? {
        Ended::Exited(status, _) if status.success() || signals.came() => Ok(()),
        ended @ (Ended::Exited(..) | Ended::Killed(_)) => {
            let (code, revision) = (ended.code(), change.revision);
            let text = format!("The command failed with exit code {code} at revision {revision}.");
            Err(Failure::Exit(code, text))
        }
    }
}

fn show(change: &Change, format: Format, out: &mut Output) -> Result<(), Failure> {
    if format == Format::Json {
        return out.line(described(change).to_string());
    }
    let head = format!("{}  {} ", change.revision, change.scope.as_str()).into_bytes();
    let mut line = [head, shown(change.key.as_bytes()), format!("  {}", change.what.as_str()).into_bytes()].concat();
    let value = || [&b"  "[..], &shown(change.value.as_bytes())].concat();
    line.extend(match change.what {
        What::Put => value(),
        What::Granted | What::Proclaimed if !change.value.is_empty() => {
            [format!("  token {}", change.token).into_bytes(), value()].concat()
        }
        What::Granted | What::Proclaimed => format!("  token {}", change.token).into_bytes(),
        What::Released => format!("  token {}  {}", change.token, change.cause.as_str()).into_bytes(),
        What::Ended => format!("  {}", change.cause.as_str()).into_bytes(),
        What::Count => format!("  {}", change.count).into_bytes(),
        What::Length => format!("  {}", change.length).into_bytes(),
        What::Item => format!("  {}  {}", change.item, change.state.as_str()).into_bytes(),
        What::Started | What::Opened | What::Closed => Vec::new(),
    });
    out.line(line)
}

/// A change as JSON: what it has beside `revision`, `wall_ms`, `scope`, `key` and `what` depends on `what`.
fn described(change: &Change) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("revision", json!(change.revision));
    put("wall_ms", json!(change.wall));
    put("scope", json!(change.scope.as_str()));
    put("key", json_text(&change.key));
    put("what", json!(change.what.as_str()));
    match change.what {
        What::Put => drop(put("version", json!(change.version))),
        What::Ended => drop(put("cause", json!(change.cause.as_str()))),
        What::Granted | What::Proclaimed | What::Released => {
            put("hold", json!(change.hold));
            put("token", json!(change.token));
        }
        What::Count => drop(put("count", json!(change.count))),
        What::Length => drop(put("length", json!(change.length))),
        What::Item => {
            put("item", json!(change.item));
            put("state", json!(change.state.as_str()));
        }
        What::Started | What::Opened | What::Closed => {}
    }
    if change.what == What::Released {
        put("cause", json!(change.cause.as_str()));
    }
    if matches!(change.what, What::Put | What::Granted | What::Proclaimed) {
        put_value(&mut object, "value", change.value.as_bytes());
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_what_belongs_to_it() {
        let mut change = Change { revision: 7, key: "a".into(), scope: Scope::Key, ..Change::default() };
        change.value = folkmoot_proto::Blob::from(&b"x"[..]);
        change.version = 2;
        let put = described(&change);
        assert_eq!(
            (put["what"].as_str(), put["value"].as_str(), put["version"].as_u64()),
            (Some("put"), Some("x"), Some(2))
        );
        assert!(put.get("hold").is_none());
        change.what = What::Released;
        let released = described(&change);
        assert!(released.get("value").is_none() && released["token"] == 0 && released["cause"] == "");
    }
}
