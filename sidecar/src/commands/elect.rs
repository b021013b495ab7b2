//! `elect`: runs a command while this is the leader, and what else can be done with elections. Our own.

use std::ffi::OsString;

use folkmoot_client::{Leader, Term, Text, Wait};
use serde_json::{Map, Value, json};

use super::child::{Child, Ended, GRACE, LOST, NOT_RUN, Signals, code_of_signal, grace, split};
use super::connect::{text, with_connection};
use super::coordination::{
    Format, WAIT, arguments, connect, number, put_value, shown, time_to_live, wait, while_, with_format,
};
use super::definition::{Definition, verb};
use super::failure::Failure;
use super::lock::{not_run, show};
use super::output::Output;
use crate::flags::{FlagDefinition, Parsed};

pub(super) const DEFINITION: Definition = Definition {
    name: "elect",
    line: "Takes part in elections of the cluster, and watches them",
    usage: "VERB [options] ...",
    about: "An election has one leader at a time, whose term has a number that is higher than all before, and a value that the leader says to all.\n\nelect VERB -help tells of each verb. Exit code 0: done. 2: the answer is no. 1: an error; elect campaign has more.",
    flags: Vec::new,
};

pub(super) const VERBS: [Definition; 4] = [
    Definition {
        name: "elect campaign",
        line: "Leads, and runs a command meanwhile",
        usage: "[options] NAME [-- COMMAND ...]",
        about: "Stands for election, and when elected runs a command; then it resigns. Without a command it leads until SIGINT, SIGTERM or SIGHUP comes. If the office is lost, the command gets SIGTERM, and SIGKILL after a time. Signals are passed on to it. It finds the election's name in FOLKMOOT_ELECTION_NAME and the term, a fencing token, in FOLKMOOT_ELECTION_TERM.\n\nExit code: the command's, or 128 and the number of the signal that ended it. 124: the office was lost. 125: not elected. 126, 127: the command cannot be run, or is not there.",
        flags: || {
            with_format(&[
                WAIT,
                FlagDefinition::duration(
                    "ttl",
                    "=DURATION",
                    "Time without a leader when the leader dies; default: 15s.",
                ),
                FlagDefinition::text("value", "=TEXT", "What the leader says to all, an address maybe."),
                FlagDefinition::boolean("prefer", "Come before candidates without this flag."),
                GRACE,
            ])
        },
    },
    Definition {
        name: "elect info",
        line: "Shows who leads and how many wait",
        usage: "[options] NAME",
        about: "Shows who leads, and how many stand for election.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "elect observe",
        line: "Shows who leads, and each change",
        usage: "[options] NAME",
        about: "Prints who leads, then a line for each change, until it is interrupted. As JSON one object in each line.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "elect resign",
        line: "Ends the term of a leader",
        usage: "[options] NAME HOLD",
        about: "Ends the term of a leader, whoever it is: HOLD is the number that elect info shows.",
        flags: || with_connection(&[]),
    },
];

pub(super) async fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let (verb, words) = verb(&VERBS, words)?;
    let flags = verb.parse(words)?;
    match verb.verb() {
        "campaign" => campaign(&flags, out).await,
        "info" => {
            let [name] = arguments(&flags, "one name")?;
            let format = Format::of(&flags)?;
            let line = connect(&flags).await?.election(name.clone()).info().await;
            let line = line.map_err(while_(format!("asking for election '{name}'")))?;
            show(&line, &format!("Election '{name}'"), format, out)
        }
        "observe" => observe(&flags, out).await,
        _ => {
            let [name, hold] = arguments(&flags, "a name and the number of a hold")?;
            let hold = number(&hold, "hold")?;
            let resigned = connect(&flags).await?.election(name.clone()).resign(hold).await;
            resigned.map_err(while_(format!("ending the term of election '{name}'")))
        }
    }
}

async fn campaign(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let ([name], words) = split(flags.arguments()) else {
        return Err(Failure::usage("One name must be given, and a command only behind --."));
    };
    let (name, format, grace) = (text(name), Format::of(flags)?, grace(flags)?);
    let mut signals = Signals::new();
    let term = tokio::select! {
        term = elected(flags, &name) => term.map_err(not_run)?,
        signal = signals.next() => return Err(Failure::Exit(code_of_signal(signal), String::new())),
    };
    let Some(words) = words else { return lead(term, &name, format, &mut signals, out).await };
    let environment = vec![
        ("FOLKMOOT_ELECTION_NAME", name.to_string_lossy().into_owned()),
        ("FOLKMOOT_ELECTION_TERM", term.token().to_string()),
    ];
    if !term.is_held() {
        return Err(Failure::Exit(LOST, format!("Lost election '{name}' before the command was run.")));
    }
    let child = Child { words, environment, input: None, output: None, grace };
    let ended = child.run(term.lost(), &mut signals).await;
    if !matches!(ended, Ok(Ended::Killed(_))) {
        // The command has ended all the same; at the worst the office ends with its time to live.
        let _ = term.resign().await;
    }
    match ended? {
        Ended::Killed(why) => Err(Failure::Exit(LOST, format!("Lost election '{name}': {why}."))),
        ended @ Ended::Exited(..) => Err(Failure::Exit(ended.code(), String::new())),
    }
}

async fn elected(flags: &Parsed, name: &Text) -> Result<Term, Failure> {
    let (wait, ttl) = (wait(flags)?, time_to_live(flags, "ttl")?);
    let mut election = connect(flags).await?.election(name.clone());
    if let Some(ttl) = ttl {
        election = election.ttl(ttl);
    }
    if flags.boolean("prefer") == Some(true) {
        election = election.preferred();
    }
    let value = flags.text("value").unwrap_or_default().to_owned();
    let term = election.campaign_within(value, wait).await;
    let failed = |error: folkmoot_client::Error| {
        Failure::Exit(NOT_RUN, format!("Error standing for election '{name}': {error}"))
    };
    term.map_err(failed)?.ok_or_else(|| {
        let time = if wait == Wait::No { "" } else { " in time" };
        Failure::Exit(NOT_RUN, format!("Not elected in '{name}'{time}."))
    })
}

/// Leads until a signal comes.
async fn lead(term: Term, name: &Text, format: Format, signals: &mut Signals, out: &mut Output) -> Result<(), Failure> {
    let (hold, token) = (term.hold(), term.token());
    format.print(
        out,
        || format!("Leading in '{name}': hold {hold}, term {token}").into_bytes(),
        || json!({"hold": hold, "term": token}),
    )?;
    tokio::select! {
        lost = term.lost() => return Err(Failure::Exit(LOST, format!("Lost election '{name}': {lost}."))),
        _ = signals.next() => {}
    }
    term.resign().await.map_err(while_(format!("resigning in '{name}'")))
}

async fn observe(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [name] = arguments(flags, "one name")?;
    let format = Format::of(flags)?;
    let failed = || while_(format!("observing election '{name}'"));
    let mut signals = Signals::new();
    let mut leaders = connect(flags).await?.election(name.clone()).observe().await.map_err(failed())?;
    loop {
        let leader = tokio::select! {
            leader = leaders.next() => leader.map_err(failed())?,
            _ = signals.next() => return Ok(()),
        };
        match format {
            Format::Text => out.line(row(&leader))?,
            Format::Json => out.line(described(&leader).to_string())?,
        }
    }
}

fn row(leader: &Leader) -> Vec<u8> {
    match leader.hold {
        Some(hold) => [format!("term {}, hold {hold}: ", leader.token).into_bytes(), shown(&leader.value)].concat(),
        None => b"nobody".to_vec(),
    }
}

fn described(leader: &Leader) -> Value {
    let mut object = Map::new();
    object.insert("hold".to_owned(), json!(leader.hold));
    object.insert("term".to_owned(), json!(leader.hold.map(|_| leader.token)));
    object.insert("revision".to_owned(), json!(leader.revision));
    put_value(&mut object, "value", &leader.value);
    Value::Object(object)
}
