//! `query`: asks the cluster (`docs/spec/agent-cli.md` 2.2).

use std::collections::BTreeMap;
use std::ffi::OsString;

use bytes::Bytes;
use folkmoot_client::{QueryAnswer, QueryAnswers, QueryRequest, Text};

use super::connect::{bytes, connect, parse_tags, payload, text, with_connection};
use super::definition::Definition;
use super::event::name_and_payload;
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::output::Output;
use crate::flags::{FlagDefinition, Parsed};
use crate::go_json::Json;

pub(super) const DEFINITION: Definition = Definition {
    name: "query",
    line: "Asks the cluster and shows the answers",
    usage: "[options] name [payload]",
    about: "Asks the members of the cluster and shows their answers until the time is up.",
    flags: || {
        with_connection(&[
            FlagDefinition::text("format", "=text|json", "Form of the output; default: text."),
            FlagDefinition::boolean("no-ack", "Do not ask members to confirm that they got the query."),
            FlagDefinition::list("node", "=NAME", "Ask this member only. Can be repeated."),
            FlagDefinition::integer("relay-factor", "=0", "How many other members pass each answer on as well."),
            FlagDefinition::list("tag", " KEY=REGEXP", "Ask members with such a tag only. Can be repeated."),
            FlagDefinition::duration(
                "timeout",
                "=DURATION",
                "Time to wait for answers, as 500ms or 15s; the default depends on the size of the cluster.",
            ),
        ])
    },
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let (name, request) = read_request(&flags)?;
    let client = connect(&flags).await?;
    let format = match flags.text("format").unwrap_or("text") {
        "text" => Format::Text,
        "json" => Format::Json,
        other => return Err(Failure::message(format!("Invalid format: {other}"))),
    };
    let mut interrupt = Interrupt::new();
    let acks_wanted = request.request_ack;
    let mut answers = client.query(request).await.map_err(Failure::during("Error sending query"))?;
    match format {
        Format::Text => {
            out.line([b"Query '", bytes(name), b"' dispatched"].concat())?;
            let totals = show_as_they_come(&mut answers, &mut interrupt, out).await?;
            if acks_wanted {
                out.line(format!("Total Acks: {}", totals.acks))?;
            }
            out.line(format!("Total Responses: {}", totals.responses))
        }
        Format::Json => out.line(gather(&mut answers, &mut interrupt).await?.print()),
    }
}

enum Format {
    Text,
    Json,
}

/// The name as given, and the whole request. The order of the checks is Go's.
fn read_request(flags: &Parsed) -> Result<(&OsString, QueryRequest), Failure> {
    let filter_tags = parse_tags(flags.list("tag").iter().map(String::as_str))?;
    let (name, payload) = name_and_payload(flags.arguments(), "A query name must be specified.")?;
    let relay_factor = u8::try_from(flags.integer("relay-factor").unwrap_or_default());
    let relay_factor = relay_factor.map_err(|_| Failure::message("Relay factor must be between 0 and 255"))?;
    let request = QueryRequest {
        filter_nodes: flags.list("node").iter().map(|node| node.as_str().into()).collect(),
        filter_tags,
        name: text(name),
        payload: payload.map(self::payload),
        relay_factor,
        request_ack: flags.boolean("no-ack") != Some(true),
        timeout: flags.duration("timeout").unwrap_or_default().nanoseconds(),
    };
    Ok((name, request))
}

#[derive(Default)]
struct Totals {
    acks: u64,
    responses: u64,
}

async fn show_as_they_come(
    answers: &mut QueryAnswers,
    interrupt: &mut Interrupt,
    out: &mut Output,
) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    while let Some(answer) = next(answers, interrupt).await? {
        match answer {
            QueryAnswer::Ack { from } => {
                totals.acks = totals.acks.saturating_add(1);
                out.line([b"Ack from '", from.as_bytes(), b"'"].concat())?;
            }
            QueryAnswer::Response { from, payload } => {
                totals.responses = totals.responses.saturating_add(1);
                let payload = payload.strip_suffix(b"\n").unwrap_or(&payload);
                out.line([b"Response from '", from.as_bytes(), b"': ", payload].concat())?;
            }
        }
    }
    Ok(totals)
}

/// What came, once all has come.
#[derive(Default)]
struct Gathered {
    acks: Vec<Text>,
    responses: BTreeMap<Text, Bytes>,
}

async fn gather(answers: &mut QueryAnswers, interrupt: &mut Interrupt) -> Result<Gathered, Failure> {
    let mut gathered = Gathered::default();
    while let Some(answer) = next(answers, interrupt).await? {
        match answer {
            QueryAnswer::Ack { from } => gathered.acks.push(from),
            QueryAnswer::Response { from, payload } => {
                gathered.responses.insert(from, payload);
            }
        }
    }
    Ok(gathered)
}

impl Gathered {
    /// `null` instead of an empty list of acks.
    fn print(&self) -> String {
        let acks: Vec<Json<'_>> = self.acks.iter().map(|from| Json::Text(from.as_bytes())).collect();
        let acks = if acks.is_empty() { Json::Null } else { Json::List(acks) };
        let responses = self.responses.iter().map(|(from, payload)| (from.as_bytes(), Json::Text(payload)));
        Json::Object(vec![(b"Acks", acks), (b"Responses", Json::Object(responses.collect()))]).print()
    }
}

/// The next answer. An interrupt ends the command at once, without totals; a lost connection ends the answers, as in
/// Go.
pub(super) async fn next(
    answers: &mut QueryAnswers,
    interrupt: &mut Interrupt,
) -> Result<Option<QueryAnswer>, Failure> {
    tokio::select! {
        answer = answers.next() => Ok(answer.unwrap_or_default()),
        () = interrupt.wait() => Err(Failure::Silent),
    }
}
