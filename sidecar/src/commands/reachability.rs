//! `reachability`: whether every member answers a ping (`docs/spec/agent-cli.md` 2.6).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use folkmoot_client::{QueryAnswer, QueryAnswers, QueryRequest, Text};

use super::connect::{connect, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::output::Output;
use super::query;
use crate::flags::FlagDefinition;

pub(super) const DEFINITION: Definition = Definition {
    name: "reachability",
    line: "Tests whether every member can be reached",
    usage: "[options]",
    about: "Pings every member through the cluster and compares those who answer with the list of members.",
    flags: || with_connection(&[FlagDefinition::boolean("verbose", "Show every answer, and the times.")]),
};

/// The query every agent answers by itself.
const PING: &str = "_serf_ping";

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let verbose = flags.boolean("verbose") == Some(true);
    let client = connect(&flags).await?;
    let interrupt = Interrupt::new();
    let members = client.members().await.map_err(Failure::during("Error getting members"))?;
    let live: BTreeSet<Text> =
        members.iter().filter(|member| member.status == "alive").map(|member| member.name.clone()).collect();
    out.line(format!("Total members: {}, live members: {}", members.len(), live.len()))?;
    let ping = QueryRequest { name: PING.into(), request_ack: true, ..Default::default() };
    let mut answers = client.query(ping).await.map_err(Failure::during("Error sending query"))?;
    out.line("Starting reachability test...")?;
    let result = gather(&mut answers, interrupt, if verbose { Detail::Acks } else { Detail::None }, out).await?;
    if verbose {
        let (total, last) = (result.total.as_secs_f64(), result.last.as_secs_f64());
        out.line(format!("Query time: {total:.2} sec, time to last response: {last:.2} sec"))?;
    }
    judge(&result, &live, out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    None,
    Acks,
}

struct Gathered {
    acks: usize,
    from: BTreeSet<Text>,
    duplicates: bool,
    total: Duration,
    last: Duration,
}

async fn gather(
    answers: &mut QueryAnswers,
    mut interrupt: Interrupt,
    detail: Detail,
    out: &mut Output,
) -> Result<Gathered, Failure> {
    let start = Instant::now();
    let mut gathered =
        Gathered { acks: 0, from: BTreeSet::new(), duplicates: false, total: Duration::ZERO, last: Duration::ZERO };
    loop {
        let answer = match query::next(answers, &mut interrupt).await {
            Ok(Some(answer)) => answer,
            Ok(None) => break,
            Err(_) => return Err(Failure::message("Test interrupted")),
        };
        let QueryAnswer::Ack { from } = answer else { continue };
        gathered.acks = gathered.acks.saturating_add(1);
        gathered.last = start.elapsed();
        if detail == Detail::Acks {
            out.line([b"\tAck from '", from.as_bytes(), b"'"].concat())?;
        }
        if gathered.from.contains(&from) {
            gathered.duplicates = true;
            out.line([b"Duplicate response from '", from.as_bytes(), b"'"].concat())?;
        }
        gathered.from.insert(from);
    }
    gathered.total = start.elapsed();
    Ok(gathered)
}

const DUPLICATES_HINT: &str = "Two members answered under one name: make sure that names are unique.";

const MORE_HINT: &str = "These members are alive and answer, but this agent does not take them for alive. Gossip from
them may be lost on its way here.

Things to look at:
* Can the agents reach one another on the gossip port, by UDP and by TCP?
* Do all of them have the same encryption keys?
* Is a machine so busy that its agent answers late?";

const LESS_HINT: &str = "These members are taken for alive, but their answers did not arrive. They may have failed a
moment ago, or packets from or to them are lost.

Things to look at:
* Can the agents reach one another on the gossip port, by UDP and by TCP?
* Do all of them have the same encryption keys?
* Is a machine so busy that its agent answers late?";

fn judge(result: &Gathered, live: &BTreeSet<Text>, out: &mut Output) -> Result<(), Failure> {
    if result.duplicates {
        out.line(DUPLICATES_HINT)?;
    }
    let (headline, names, hint) = match result.acks.cmp(&live.len()) {
        std::cmp::Ordering::Equal => {
            out.line("Successfully contacted all live nodes")?;
            return if result.duplicates { Err(Failure::Silent) } else { Ok(()) };
        }
        std::cmp::Ordering::Greater => (
            "Received more acks than live nodes! Acks from non-live nodes:",
            result.from.difference(live).collect::<Vec<_>>(),
            MORE_HINT,
        ),
        std::cmp::Ordering::Less => (
            "Received less acks than live nodes! Missing acks from:",
            live.difference(&result.from).collect::<Vec<_>>(),
            LESS_HINT,
        ),
    };
    out.line(headline)?;
    for name in names {
        out.line([b"\t", name.as_bytes()].concat())?;
    }
    Err(Failure::message(hint))
}
