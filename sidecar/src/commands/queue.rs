//! `queue`: queues of work: producers, workers, and what operators look at. Our own.

mod show;
mod worker;

use std::ffi::OsString;
use std::time::Duration;

use folkmoot_client::{Claim, NewItem, Text, WorkQueue};
use serde_json::json;

use super::child::GRACE;
use super::connect::with_connection;
use super::coordination::{
    Format, WAIT, arguments, connect, count, number, span, time_to_live, unsigned, value, wait, while_, while_alive,
    with_format,
};
use super::definition::{Definition, verb};
use super::failure::Failure;
use super::lock::session_of_its_own;
use super::output::Output;
use crate::flags::{FlagDefinition, Parsed};

pub(super) const DEFINITION: Definition = Definition {
    name: "queue",
    line: "Puts and takes items of work queues, and shows them",
    usage: "VERB [options] QUEUE ...",
    about: "A work queue holds items that workers claim under a lease: an item is held by one worker at a time, and goes to another when the first one dies or fails. Claims go by priority, then by age.\n\nqueue VERB -help tells of each verb. Exit code 0: done. 2: the answer is no (nothing to claim). 124: the claim has ended. 1: an error; queue work has more.",
    flags: Vec::new,
};

pub(super) const VERBS: [Definition; 14] = [
    Definition {
        name: "queue cancel",
        line: "Removes an item and those that depend on it",
        usage: "[options] QUEUE ITEM",
        about: "Removes an item, whatever its state, and the items that depend on it.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "queue claim",
        line: "Takes items and leaves them claimed",
        usage: "[options] QUEUE",
        about: "Takes items that stay claimed when this program ends, and prints for each its number, the claim's token and its payload. queue heartbeat keeps the claim alive, queue complete, fail and release end it. Exit code 2: there was none in time.",
        flags: || {
            let most = FlagDefinition::integer("most", "=N", "Take so many if they are there; default: 1.");
            with_format(&[most, LEASE, WAIT, CAN, NODE])
        },
    },
    Definition {
        name: "queue complete",
        line: "Says that a claimed item is done",
        usage: "[options] QUEUE ITEM TOKEN [RESULT]",
        about: "Says that a claimed item is done. RESULT is kept in the history; - is read from stdin. Exit code 124: the claim has ended before.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "queue configure",
        line: "Sets the limits of a queue",
        usage: "[options] QUEUE",
        about: "Sets from how many items on producers are told to go slower, and from how many on puts are refused.",
        flags: || {
            with_connection(&[
                FlagDefinition::integer("soft", "=N", "Items from which on producers are told to go slower. Required."),
                FlagDefinition::integer("hard", "=N", "Items from which on puts are refused. Required."),
            ])
        },
    },
    Definition {
        name: "queue dead",
        line: "Lists items whose attempts have all failed",
        usage: "[options] QUEUE",
        about: "Lists items whose attempts have all failed, with the reason of the last one. queue redrive brings them back.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "queue fail",
        line: "Says that an attempt at a claimed item failed",
        usage: "[options] QUEUE ITEM TOKEN [REASON]",
        about: "Says that an attempt at a claimed item failed, which counts. Exit code 124: the claim has ended before.",
        flags: || with_connection(&[RETRY]),
    },
    Definition {
        name: "queue heartbeat",
        line: "Starts the lease of a claimed item again",
        usage: "[options] QUEUE ITEM TOKEN",
        about: "Starts the lease of a claimed item again. Exit code 124: the claim has ended.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "queue history",
        line: "Lists items that were completed or cancelled",
        usage: "[options] QUEUE",
        about: "Lists items that have left the queue, the latest first: number, state, node of the worker, result.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "queue list",
        line: "Lists the items of a queue",
        usage: "[options] QUEUE",
        about: "Lists the items of a queue: number, state, priority, failed attempts, payload.",
        flags: || {
            with_format(&[FlagDefinition::text(
                "state",
                "=blocked|delayed|ready|claimed|dead",
                "Only those in this state.",
            )])
        },
    },
    Definition {
        name: "queue put",
        line: "Adds an item",
        usage: "[options] QUEUE PAYLOAD",
        about: "Adds an item and prints its number. A PAYLOAD of - is read from stdin.",
        flags: || {
            with_format(&[
                FlagDefinition::integer("priority", "=N", "0 to 100, highest first; default: 0."),
                FlagDefinition::duration("delay", "=DURATION", "Time before it can be claimed."),
                FlagDefinition::text(
                    "dedupe",
                    "=KEY",
                    "While an item with this key is there, another one is not added.",
                ),
                FlagDefinition::list("after", "=ITEM", "It waits until this item is completed. Can be repeated."),
                FlagDefinition::integer("max-attempts", "=N", "Attempts after which it is dead; default: no end."),
                FlagDefinition::list("require", "=WORD", "Its worker has to be capable of this. Can be repeated."),
                FlagDefinition::text("target", "=NODE", "Only workers on this node get it."),
                FlagDefinition::duration("target-within", "=DURATION", "Time after which others may have it as well."),
                FlagDefinition::list("exclude", "=NODE", "Workers on this node do not get it. Can be repeated."),
            ])
        },
    },
    Definition {
        name: "queue redrive",
        line: "Brings dead items back",
        usage: "[options] QUEUE [ITEM]",
        about: "Brings a dead item back with no attempts counted, or all of them, and prints how many.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "queue release",
        line: "Gives a claimed item back",
        usage: "[options] QUEUE ITEM TOKEN",
        about: "Gives a claimed item back as if it had not been claimed. Exit code 124: the claim has ended before.",
        flags: || with_connection(&[]),
    },
    Definition {
        name: "queue stats",
        line: "Shows the numbers of a queue",
        usage: "[options] QUEUE",
        about: "Shows how many items are in which state, the limits, and what has happened so far.",
        flags: || with_format(&[]),
    },
    Definition {
        name: "queue work",
        line: "Runs a command for each item",
        usage: "[options] QUEUE -- COMMAND ...",
        about: "Claims one item after the other and runs a command for it, with the payload on its stdin and in its environment FOLKMOOT_QUEUE, FOLKMOOT_ITEM, FOLKMOOT_ITEM_TOKEN (a fencing token) and FOLKMOOT_ITEM_ATTEMPTS. If the command succeeds the item is completed, with the first 4 KiB of its stdout as result; if it fails the attempt has failed, with its exit code as reason. The claim is kept alive meanwhile; if it ends the command gets SIGTERM, and SIGKILL after a time, and the next item follows.\n\nIt runs until SIGINT, SIGTERM or SIGHUP comes: then the command gets the signal, its item is given back unless it was completed, and the exit code is 0. 2: with -count or -wait, when there are no more items.",
        flags: || {
            let number = FlagDefinition::integer("count", "=N", "End after so many items; default: go on.");
            with_connection(&[number, LEASE, WAIT, CAN, NODE, RETRY, GRACE])
        },
    },
];

const LEASE: FlagDefinition =
    FlagDefinition::duration("lease", "=DURATION", "Silence after which a claim ends; default: 15s.");
const CAN: FlagDefinition = FlagDefinition::list("can", "=WORD", "What this worker is capable of. Can be repeated.");
const NODE: FlagDefinition =
    FlagDefinition::text("node", "=NAME", "The node it runs on: claims end when gossip says that it is gone.");
const RETRY: FlagDefinition =
    FlagDefinition::duration("retry-after", "=DURATION", "Time before the next attempt; default: 0s.");

pub(super) async fn run(words: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let (verb, words) = verb(&VERBS, words)?;
    let flags = verb.parse(words)?;
    match verb.verb() {
        "cancel" => {
            let ([queue, item], queue_) = of(&flags, "a queue and an item").await?;
            let item = number(&item, "item")?;
            queue_.cancel(item).await.map_err(while_(format!("cancelling item {item} of queue '{queue}'")))
        }
        "claim" => claim(&flags, out).await,
        "configure" => configure(&flags).await,
        "dead" => show::dead(&flags, out).await,
        "history" => show::history(&flags, out).await,
        "list" => show::list(&flags, out).await,
        "put" => put(&flags, out).await,
        "redrive" => redrive(&flags, out).await,
        "stats" => show::stats(&flags, out).await,
        "work" => worker::run(&flags, out).await,
        ending => end(ending, &flags).await,
    }
}

/// The arguments, the first of which names the queue.
async fn of<const N: usize>(flags: &Parsed, wanted: &str) -> Result<([Text; N], WorkQueue), Failure> {
    let words: [Text; N] = arguments(flags, wanted)?;
    let queue = words.first().cloned().unwrap_or_default();
    Ok((words, connect(flags).await?.work_queue(queue)))
}

async fn put(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [queue, payload] = arguments(flags, "a queue and a payload")?;
    let format = Format::of(flags)?;
    let priority = unsigned(flags, "priority")?.unwrap_or(0);
    let invalid = || Failure::message(format!("Invalid value for -priority: {priority} is above 100."));
    let most = unsigned(flags, "max-attempts")?.unwrap_or(0);
    let texts = |name| flags.list(name).iter().map(|word| Text::from(word.as_str()));
    let target = flags.text("target").filter(|node| !node.is_empty());
    let within = span(flags, "target-within")?;
    if within.is_some() && target.is_none() {
        return Err(Failure::message("-target-within means nothing without -target"));
    }
    let item = NewItem {
        payload: value(&payload).await?,
        priority: u8::try_from(priority).ok().filter(|priority| *priority <= 100).ok_or_else(invalid)?,
        delay: span(flags, "delay")?.unwrap_or_default(),
        dedupe: flags.text("dedupe").filter(|key| !key.is_empty()).map(Text::from),
        depends_on: texts("after").map(|item| number(&item, "item")).collect::<Result<_, _>>()?,
        max_attempts: u32::try_from(most)
            .map_err(|_| Failure::message("Invalid value for -max-attempts: too large."))?,
        requires: texts("require").collect(),
        target: target.map(|node| (node.into(), within)),
        excluded: texts("exclude").collect(),
    };
    let work = connect(flags).await?.work_queue(queue.clone());
    let put = work.put(item).await.map_err(while_(format!("adding an item to queue '{queue}'")))?;
    let note = match (put.duplicate, put.pressure) {
        (true, _) => " (it was there)",
        (false, true) => " (go slower: the soft limit is reached)",
        (false, false) => "",
    };
    format.print(
        out,
        || format!("{}{note}", put.item).into_bytes(),
        || json!({"item": put.item, "duplicate": put.duplicate, "pressure": put.pressure}),
    )
}

/// A worker, as the flags say.
fn worker_of(flags: &Parsed) -> Result<Claim, Failure> {
    let most = unsigned(flags, "most")?.unwrap_or(1);
    if most == 0 {
        return Err(Failure::message("Invalid value for -most: it has to be above 0."));
    }
    let default = Claim::default();
    Ok(Claim {
        capabilities: flags.list("can").iter().map(|word| Text::from(word.as_str())).collect(),
        node: flags.text("node").filter(|node| !node.is_empty()).map(Text::from),
        lease: time_to_live(flags, "lease")?.unwrap_or(default.lease),
        most: u32::try_from(most).unwrap_or(u32::MAX),
        session: None,
    })
}

async fn claim(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [queue] = arguments(flags, "one queue")?;
    let (format, wait, mut claim) = (Format::of(flags)?, wait(flags)?, worker_of(flags)?);
    let client = connect(flags).await?;
    // It has to outlast the lease, which alone is to say when the claim ends.
    let life = claim.lease.saturating_mul(2).max(Duration::from_secs(60));
    let session = session_of_its_own(&client, Some(life)).await?;
    claim.session = Some(session.into());
    let mut interrupt = super::child::Signals::new();
    let work = client.work_queue(queue.clone());
    let items = tokio::select! {
        items = while_alive(&client, session, Some(life), work.claim_detached(&claim, wait)) => items,
        signal = interrupt.next() => {
            // At the worst it ends with its time to live.
            let _ = client.destroy_session(session).await;
            return Err(Failure::Exit(super::child::code_of_signal(signal), String::new()));
        }
    };
    if !items.as_ref().is_ok_and(|items| !items.is_empty()) {
        // At the worst it ends with its time to live.
        let _ = client.destroy_session(session).await;
    }
    let items = items.map_err(while_(format!("claiming from queue '{queue}'")))?;
    if items.is_empty() {
        return Err(Failure::no(format!("Nothing to claim in queue '{queue}'.")));
    }
    show::claimed(&items, session, format, out)
}

async fn configure(flags: &Parsed) -> Result<(), Failure> {
    let [queue] = arguments(flags, "one queue")?;
    let (Some(soft), Some(hard)) = (unsigned(flags, "soft")?, unsigned(flags, "hard")?) else {
        return Err(Failure::usage("-soft and -hard must be given."));
    };
    let configured = connect(flags).await?.work_queue(queue.clone()).configure(soft, hard).await;
    configured.map_err(while_(format!("configuring queue '{queue}'")))
}

async fn redrive(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let (queue, item) = match flags.arguments().len() {
        2 => {
            let [queue, item] = arguments(flags, "a queue and an item")?;
            (queue, Some(number(&item, "item")?))
        }
        _ => {
            let [queue] = arguments(flags, "a queue, and maybe an item,")?;
            (queue, None)
        }
    };
    let redriven = connect(flags).await?.work_queue(queue.clone()).redrive(item).await;
    let redriven = redriven.map_err(while_(format!("redriving items of queue '{queue}'")))?;
    out.line(count(redriven, "item"))
}

/// What ends or prolongs a claim.
async fn end(verb: &str, flags: &Parsed) -> Result<(), Failure> {
    let wanted = "a queue, an item and a token";
    let ([queue, item, token], last) = match flags.arguments().len() {
        4 if matches!(verb, "complete" | "fail") => {
            let [queue, item, token, last] = arguments(flags, wanted)?;
            ([queue, item, token], Some(value(&last).await?))
        }
        _ => (arguments(flags, wanted)?, None),
    };
    let (item, token) = (number(&item, "item")?, number(&token, "token")?);
    let last = last.unwrap_or_default();
    let retry = span(flags, RETRY.name)?.unwrap_or_default();
    let work = connect(flags).await?.work_queue(queue.clone());
    let ended = match verb {
        "complete" => work.complete(item, token, last).await,
        "fail" => work.fail(item, token, last, retry).await,
        "release" => work.release(item, token, Duration::ZERO).await,
        _ => work.heartbeat(item, token).await,
    };
    ended.map_err(|error| {
        if matches!(error, folkmoot_client::Error::LeaseLost(_)) {
            let text = format!("The claim of item {item} of queue '{queue}' with token {token} has ended.");
            return Failure::Exit(super::child::LOST, text);
        }
        while_(format!("at {verb} of item {item} of queue '{queue}'"))(error)
    })
}
