//! What the commands of coordination have in common: the connection, text or JSON, values that may be any bytes, errors.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use folkmoot_client::limits::LEASE_TTL_SHORTEST;
use folkmoot_client::{Client, Error, Text, Wait};
use serde_json::{Map, Value};

use super::connect::{options, text, with_connection};
use super::failure::Failure;
use super::info::invalid_format;
use super::output::Output;
use crate::duration::GoDuration;
use crate::flags::{FlagDefinition, Parsed};
use crate::limits::COMMAND_CLIENT_TTL;

/// The forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
}

/// The flags of a command, `-format`, and those of the connection.
pub(super) fn with_format(own: &[FlagDefinition]) -> Vec<FlagDefinition> {
    let format = FlagDefinition::text("format", "=text|json", "Form of the output; default: text.");
    let own: Vec<FlagDefinition> = std::iter::once(format).chain(own.iter().copied()).collect();
    with_connection(&own)
}

impl Format {
    pub(super) fn of(flags: &Parsed) -> Result<Self, Failure> {
        match flags.text("format").unwrap_or("text") {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(invalid_format(other)),
        }
    }

    /// Prints one form or the other.
    pub(super) fn print(
        self,
        out: &mut Output,
        text: impl FnOnce() -> Vec<u8>,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        match self {
            Self::Text => out.line(text()),
            Self::Json => out.line(pretty(&json())),
        }
    }
}

/// As it is printed.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// Connects; a connection that is lost is replaced, because calls are applied once all the same.
pub(super) async fn connect(flags: &Parsed) -> Result<Client, Failure> {
    let mut options = options(flags);
    options.client_ttl = COMMAND_CLIENT_TTL;
    Client::connect(&options).await.map_err(Failure::during("Error connecting to Serf agent"))
}

/// For `map_err`: `Error reading key 'a': ` and the client's words.
pub(super) fn while_(action: impl std::fmt::Display) -> impl FnOnce(Error) -> Failure {
    move |error| Failure::message(format!("Error {action}: {error}"))
}

/// Exactly these arguments, or the complaint that says which are wanted.
pub(super) fn arguments<const N: usize>(flags: &Parsed, wanted: &str) -> Result<[Text; N], Failure> {
    let words: Vec<Text> = flags.arguments().iter().map(text).collect();
    <[Text; N]>::try_from(words)
        .map_err(|words| Failure::usage(format!("{} given, where {wanted} must be.", count(words.len(), "argument"))))
}

/// `1 item`, `2 items`.
pub(super) fn count(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// The value that an argument stands for: itself, or with `-` all of stdin.
pub(super) async fn value(argument: &Text) -> Result<Bytes, Failure> {
    if argument.as_bytes() != b"-" {
        return Ok(Bytes::copy_from_slice(argument.as_bytes()));
    }
    read(&mut tokio::io::stdin(), "stdin").await
}

/// All of `source`, at most as much as a value may have (and a little more, so that the agent may complain).
pub(super) async fn read(source: &mut (impl tokio::io::AsyncRead + Unpin), name: &str) -> Result<Bytes, Failure> {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    let read = source.take(crate::limits::COMMAND_INPUT_MAX).read_to_end(&mut bytes).await;
    read.map_err(|error| Failure::message(format!("Error reading {name}: {error}")))?;
    Ok(bytes.into())
}

/// A number that names something.
pub(super) fn number(argument: &Text, what: &str) -> Result<u64, Failure> {
    let number = argument.as_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| Failure::message(format!("Invalid {what}: '{argument}' is no number above 0.")))
}

/// A flag that holds a number which is not below 0.
pub(super) fn unsigned(flags: &Parsed, name: &str) -> Result<Option<u64>, Failure> {
    let negative = || Failure::message(format!("Invalid value for -{name}: it is below 0."));
    flags.integer(name).map(|number| u64::try_from(number).map_err(|_| negative())).transpose()
}

/// A flag that holds a span of time.
pub(super) fn span(flags: &Parsed, name: &str) -> Result<Option<Duration>, Failure> {
    let negative = || Failure::message(format!("Invalid value for -{name}: it is below 0."));
    flags.duration(name).map(|span| span.to_unsigned().ok_or_else(negative)).transpose()
}

/// A flag that holds the time for which something stays held when its holder is silent.
pub(super) fn time_to_live(flags: &Parsed, name: &str) -> Result<Option<Duration>, Failure> {
    let span = span(flags, name)?;
    if span.is_some_and(|span| span < LEASE_TTL_SHORTEST) {
        let least = GoDuration::from(LEASE_TTL_SHORTEST);
        return Err(Failure::message(format!("Invalid value for -{name}: it has to be at least {least}.")));
    }
    Ok(span)
}

/// How long to wait: without the flag as long as it takes, with 0 not at all.
pub(super) fn wait(flags: &Parsed) -> Result<Wait, Failure> {
    Ok(match span(flags, "wait")? {
        None => Wait::Always,
        Some(Duration::ZERO) => Wait::No,
        Some(span) => Wait::For(span),
    })
}

pub(super) const WAIT: FlagDefinition = FlagDefinition::duration(
    "wait",
    "=DURATION",
    "Time to wait for it; 0s: do not wait. Default: as long as it takes.",
);

/// Text for JSON; what is not UTF-8 is replaced.
pub(super) fn json_text(text: &Text) -> Value {
    Value::String(text.to_string_lossy().into_owned())
}

/// Adds a value: as `NAME`, with `encoding` `base64` if it is not UTF-8.
pub(super) fn put_value(object: &mut Map<String, Value>, name: &str, value: &[u8]) {
    let (text, encoding) = match std::str::from_utf8(value) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (STANDARD.encode(value), "base64"),
    };
    object.insert(name.to_owned(), Value::String(text));
    object.insert("encoding".to_owned(), Value::String(encoding.to_owned()));
}

/// A value on one line: as it is if it is printable text, else quoted as Go quotes.
pub(super) fn shown(value: &[u8]) -> Vec<u8> {
    let printable = std::str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control));
    if printable { value.to_vec() } else { crate::go_text::quote(value).into_bytes() }
}

/// Waits for `call`, which depends on a session, and renews the session meanwhile and once when it has succeeded. `ttl` is
/// the session's; `None`: others renew it.
pub(super) async fn while_alive<T, E>(
    client: &Client,
    session: u64,
    ttl: Option<Duration>,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let Some(ttl) = ttl else { return call.await };
    let pause = (ttl / 3).max(SHORTEST_PAUSE);
    let mut call = std::pin::pin!(call);
    let outcome = loop {
        let renewed = async {
            tokio::time::sleep(pause).await;
            // If it fails, the next one or the call will tell.
            let _ = client.renew_session(session).await;
        };
        tokio::select! {
            outcome = &mut call => break outcome,
            () = renewed => {}
        }
    };
    if outcome.is_ok() {
        let _ = client.renew_session(session).await;
    }
    outcome
}

/// Between two renewals of a session at least; a third of the shortest time to live of one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_where_they_can_be() {
        for (value, text, encoding) in [(&b"a\n"[..], "a\n", "utf-8"), (b"\xff", "/w==", "base64")] {
            let mut object = Map::new();
            put_value(&mut object, "value", value);
            assert_eq!((object["value"].as_str(), object["encoding"].as_str()), (Some(text), Some(encoding)));
        }
        assert_eq!(shown("é x".as_bytes()), "é x".as_bytes());
        assert_eq!(shown(b"a\nb"), b"\"a\\nb\"");
        assert_eq!(shown(b"\xff"), b"\"\\xff\"");
    }

    #[test]
    fn numbers_that_name_something_are_above_0() {
        assert_eq!(number(&"7".into(), "item").unwrap(), 7);
        for text in ["0", "-1", "x", ""] {
            let Err(Failure::Message(message)) = number(&text.into(), "item") else { panic!("{text} must be refused") };
            assert_eq!(message, format!("Invalid item: '{text}' is no number above 0."));
        }
    }
}
