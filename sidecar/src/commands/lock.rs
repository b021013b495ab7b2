//! `lock`: runs a command while a lock is held, and what else can be done with locks. Our own.

use std::ffi::OsString;

use folkmoot_client::{Client, Guard, Line, SessionOptions, Text, Wait};
use serde_json::{Value, json};

use super::child::{Child, Ended, GRACE, LOST, NOT_RUN, Signals, code_of_signal, grace, split};
use super::connect::{text, with_connection};
use super::coordination::{
    Format, WAIT, arguments, connect, count, number, pretty, put_value, shown, time_to_live, wait, while_, while_alive,
    with_format,
};
use super::definition::{Definition, verb};
use super::failure::Failure;
use super::output::Output;
use crate::duration::GoDuration;
use crate::flags::{FlagDefinition, Parsed};

pub(super) const DEFINITION: Definition = Definition {
    name: "lock",
    line: "Runs a command while a lock is held",
    usage: "[options] NAME -- COMMAND ...",
    about: "Acquires a lock, runs a command, and gives the lock back. The lock is renewed while the command runs. If it is lost (the agent and the group cannot be reached for the lock's time to live, or somebody took it away), the command gets SIGTERM, and SIGKILL after a time. Signals are passed on to it. It finds the lock's name in FOLKMOOT_LOCK_NAME and its fencing token, which is higher for every holder, in FOLKMOOT_LOCK_TOKEN. If this program itself is killed with SIGKILL, the command goes on.\n\nInstead of a command there are verbs; lock VERB -help tells of each. A lock that is called like a verb is reached with an option before its name.\n\nExit code: the command's, or 128 and the number of the signal that ended it. 124: the lock was lost. 125: it was not acquired. 126, 127: the command cannot be run, or is not there. Verbs: 0 done, 2 the answer is no, 1 an error.",
    flags: || with_connection(&[WAIT, TTL, GRACE]),
};

pub(super) const VERBS: [Definition; 5] = [
    Definition {
        name: "lock acquire",
        line: "Acquires a lock and leaves it held",
        usage: "[options] NAME",
        about: "Acquires a lock that stays held when this program ends, and prints the numbers of its hold, its fencing token and its session. It ends when the session does: with lock renew the session goes on. Exit code 2: it was not acquired in time.",
        flags: || {
            with_format(&[
                WAIT,
                TTL,
                FlagDefinition::integer("session", "=ID", "A session to depend on, instead of one of its own."),
            ])
        },
    },
    Definition {
        name: "lock hold",
        line: "Holds a lock until it is interrupted",
        usage: "[options] NAME",
        about: "Acquires a lock, prints its hold and fencing token, and holds it until SIGINT, SIGTERM or SIGHUP comes (exit code 0) or it is lost (124). Exit code 2: it was not acquired in time.",
        flags: || with_format(&[WAIT, TTL]),
    },
    Definition {
        name: "lock info",
        line: "Shows who holds a lock and who waits",
        usage: "[options] NAME",
        about: "Shows who holds a lock and how many wait for it.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "lock release",
        line: "Gives a lock back",
        usage: "[options] NAME HOLD",
        about: "Gives a lock back, whoever holds it: HOLD is the number that lock acquire, hold and info print.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "lock renew",
        line: "Starts the time of a session with locks again",
        usage: "[options] SESSION",
        about: "Starts the time to live of a session again, with all locks that depend on it: as session renew.",
        flags: || with_connection(&[]),
    },
];

const TTL: FlagDefinition =
    FlagDefinition::duration("ttl", "=DURATION", "Time for which it stays held when its holder dies; default: 15s.");

pub(super) async fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let Ok((verb, words)) = verb(&VERBS, words) else {
        return run_command(&DEFINITION.parse(words)?).await;
    };
    let flags = verb.parse(words)?;
    match verb.verb() {
        "acquire" => acquire(&flags, out).await,
        "hold" => hold(&flags, out).await,
        "info" => info(&flags, out).await,
        "release" => {
            let [name, hold] = arguments(&flags, "a name and the number of a hold")?;
            let hold = number(&hold, "hold")?;
            let released = connect(&flags).await?.release_lock(name.clone(), hold).await;
            released.map_err(while_(format!("releasing lock '{name}'")))
        }
        _ => {
            let [session] = arguments(&flags, "the number of a session")?;
            let session = number(&session, "session")?;
            let renewed = connect(&flags).await?.renew_session(session).await;
            renewed.map_err(while_(format!("renewing session {session}")))
        }
    }
}

/// `lock NAME -- COMMAND`
async fn run_command(flags: &Parsed) -> Result<(), Failure> {
    let ([name], Some(words)) = split(flags.arguments()) else {
        return Err(Failure::usage("One name, then -- and a command must be given."));
    };
    let (name, grace) = (text(name), grace(flags)?);
    let mut signals = Signals::new();
    let guard = tokio::select! {
        guard = guard(flags, &name) => guard.map_err(not_run)?,
        signal = signals.next() => return Err(Failure::Exit(code_of_signal(signal), String::new())),
    };
    let environment = vec![
        ("FOLKMOOT_LOCK_NAME", name.to_string_lossy().into_owned()),
        ("FOLKMOOT_LOCK_TOKEN", guard.token().to_string()),
    ];
    if !guard.is_held() {
        return Err(Failure::Exit(LOST, format!("Lost lock '{name}' before the command was run.")));
    }
    let child = Child { words, environment, input: None, output: None, grace };
    let ended = child.run(guard.lost(), &mut signals).await;
    let lost = matches!(ended, Ok(Ended::Killed(_)));
    if !lost {
        // The command has ended all the same; at the worst the lock ends with its time to live.
        let _ = guard.release().await;
    }
    match ended? {
        Ended::Killed(why) => Err(Failure::Exit(LOST, format!("Lost lock '{name}': {why}."))),
        ended @ Ended::Exited(..) => Err(Failure::Exit(ended.code(), String::new())),
    }
}

/// What was not acquired was not used: the command's own codes must not be mistaken for it.
pub(super) fn not_run(failure: Failure) -> Failure {
    match failure {
        Failure::Message(text) | Failure::Exit(_, text) => Failure::Exit(NOT_RUN, text),
        failure @ (Failure::Usage(_) | Failure::Help | Failure::Flags(_) | Failure::Silent) => failure,
    }
}

async fn guard(flags: &Parsed, name: &Text) -> Result<Guard, Failure> {
    let wait = wait(flags)?;
    let lock = connect(flags).await?.lock(name.clone());
    let lock = match time_to_live(flags, "ttl")? {
        Some(ttl) => lock.ttl(ttl),
        None => lock,
    };
    let guard = lock.acquire_within(wait).await.map_err(while_(format!("acquiring lock '{name}'")))?;
    guard.ok_or_else(|| busy(name, wait))
}

fn busy(name: &Text, wait: Wait) -> Failure {
    Failure::no(match wait {
        Wait::For(span) => format!("Lock '{name}' was held by another for {}.", GoDuration::from(span)),
        Wait::No | Wait::Always => format!("Lock '{name}' is held by another."),
    })
}

async fn hold(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [name] = arguments(flags, "one name")?;
    let format = Format::of(flags)?;
    let mut signals = Signals::new();
    let guard = tokio::select! {
        guard = guard(flags, &name) => guard?,
        signal = signals.next() => return Err(Failure::Exit(code_of_signal(signal), String::new())),
    };
    let (hold, token) = (guard.hold(), guard.token());
    format.print(
        out,
        || format!("Holding lock '{name}': hold {hold}, token {token}").into_bytes(),
        || json!({"hold": hold, "token": token}),
    )?;
    tokio::select! {
        lost = guard.lost() => return Err(Failure::Exit(LOST, format!("Lost lock '{name}': {lost}."))),
        _ = signals.next() => {}
    }
    guard.release().await.map_err(while_(format!("releasing lock '{name}'")))
}

async fn acquire(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [name] = arguments(flags, "one name")?;
    let (format, wait, ttl) = (Format::of(flags)?, wait(flags)?, time_to_live(flags, "ttl")?);
    let given = flags.integer("session").map(|number| number.to_string().into());
    let given = given.map(|text| number(&text, "session")).transpose()?;
    let client = connect(flags).await?;
    let session = match given {
        Some(session) => session,
        None => session_of_its_own(&client, ttl).await?,
    };
    let mut signals = Signals::new();
    let call = client.acquire_detached(name.clone(), session, None, wait);
    let own = given.is_none().then(|| ttl.unwrap_or(SessionOptions::default().ttl));
    let held = tokio::select! {
        held = while_alive(&client, session, own, call) => held,
        signal = signals.next() => {
            if given.is_none() {
                // At the worst it ends with its time to live.
                let _ = client.destroy_session(session).await;
            }
            return Err(Failure::Exit(code_of_signal(signal), String::new()));
        }
    };
    let held = match held {
        Ok(held) => held,
        Err(error) => {
            if given.is_none() {
                let _ = client.destroy_session(session).await;
            }
            use folkmoot_client::Code::{Busy, TimedOut};
            return Err(match error.code() {
                Some(Busy | TimedOut) => busy(&name, wait),
                Some(_) | None => while_(format!("acquiring lock '{name}'"))(error),
            });
        }
    };
    format.print(
        out,
        || format!("hold {}, token {}, session {session}", held.hold, held.token).into_bytes(),
        || json!({"hold": held.hold, "token": held.token, "session": session}),
    )
}

/// A session for a program that does not stay.
pub(super) async fn session_of_its_own(client: &Client, ttl: Option<std::time::Duration>) -> Result<u64, Failure> {
    let mut options = SessionOptions::default();
    options.ttl = ttl.unwrap_or(options.ttl);
    client.create_session(&options).await.map_err(while_("starting a session"))
}

async fn info(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [name] = arguments(flags, "one name")?;
    let format = Format::of(flags)?;
    let line = connect(flags).await?.lock(name.clone()).info().await;
    let line = line.map_err(while_(format!("asking for lock '{name}'")))?;
    show(&line, &format!("Lock '{name}'"), format, out)
}

/// Who holds and who waits, also for elections.
pub(super) fn show(line: &Line, what: &str, format: Format, out: &mut Output) -> Result<(), Failure> {
    if format == Format::Json {
        return out.line(pretty(&described(line)));
    }
    match line.holds.first() {
        None => out.line(format!("{what}: nobody"))?,
        Some(hold) => {
            let owner = &hold.owner;
            let owner = match (owner.session, owner.client) {
                (0, 0) => format!("node {}", owner.node),
                (0, client) => format!("client {client}"),
                (session, _) => format!("session {session}"),
            };
            let value = match hold.value.as_bytes() {
                [] => Vec::new(),
                value => [&b", value "[..], &shown(value)].concat(),
            };
            let held = format!("{what}: hold {}, token {}, {owner}", hold.hold, hold.token);
            out.line([held.into_bytes(), value].concat())?;
        }
    }
    if line.waiting.is_empty() { Ok(()) } else { out.line(format!("{} waiting", count(line.waiting.len(), "call"))) }
}

fn described(line: &Line) -> Value {
    let holds = line.holds.iter().map(|hold| {
        let owner = &hold.owner;
        let named = |number: u64| Some(number).filter(|number| *number != 0);
        let mut object = serde_json::Map::new();
        object.insert("hold".to_owned(), json!(hold.hold));
        object.insert("token".to_owned(), json!(hold.token));
        object.insert("ttl_ms".to_owned(), json!(named(hold.ttl)));
        object.insert("session".to_owned(), json!(named(owner.session)));
        object.insert("client".to_owned(), json!(named(owner.client)));
        put_value(&mut object, "value", hold.value.as_bytes());
        Value::Object(object)
    });
    json!({"holds": holds.collect::<Vec<_>>(), "waiting": line.waiting})
}
