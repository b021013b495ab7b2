//! `kv txn`: a transaction written as JSON.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use folkmoot_client::{Compare, Life, Operation, Outcome, Text, Transaction};
use serde::Deserialize;
use serde_json::json;

use super::super::coordination::{Format, arguments, connect, pretty, read, while_};
use super::super::failure::Failure;
use super::super::output::Output;
use super::described;
use crate::duration::GoDuration;
use crate::flags::Parsed;

pub(super) const ABOUT: &str = "Does several things in one revision, or others if a condition does not hold. PATH is a \
    file, or - for stdin, that holds JSON:\n\n\
    {\"compares\": [{\"key\": \"a\", \"test\": \"value\", \"value\": \"1\"}], \"then\": [{\"do\": \"put\", \"key\": \"a\", \
    \"value\": \"2\"}], \"else\": [{\"do\": \"get\", \"key\": \"a\"}]}\n\n\
    Tests: exists, absent, value, and with a number: modified, modified-after, created, version. To do: get, put (with ttl, \
    as in 30s, or session), delete. A value of any bytes is written as value_base64. The exit code is 0 if all compares \
    held, 2 if not (and else was done).";

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    #[serde(default)]
    compares: Vec<PlannedCompare>,
    #[serde(default)]
    then: Vec<PlannedOperation>,
    #[serde(default, rename = "else")]
    otherwise: Vec<PlannedOperation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedCompare {
    key: String,
    test: String,
    number: Option<u64>,
    value: Option<String>,
    value_base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedOperation {
    #[serde(rename = "do")]
    verb: String,
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
    ttl: Option<String>,
    session: Option<u64>,
}

pub(super) async fn run(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let [path] = arguments(flags, "one path")?;
    let format = Format::of(flags)?;
    let text = match path.as_str() {
        Some("-") => read(&mut tokio::io::stdin(), "stdin").await?,
        _ => {
            let opened = tokio::fs::File::open(path.to_string_lossy().as_ref()).await;
            let mut file = opened.map_err(|error| Failure::message(format!("Error opening '{path}': {error}")))?;
            read(&mut file, &format!("'{path}'")).await?
        }
    };
    let transaction =
        planned(&text).map_err(|fault| Failure::message(format!("Invalid transaction in '{path}': {fault}")))?;
    let kv = connect(flags).await?.kv();
    let done = kv.transaction(&transaction).await.map_err(while_("doing the transaction"))?;
    let outcomes = done.outcomes.iter().map(|outcome| match outcome {
        Outcome::Found(entry) => json!({"do": "get", "entry": entry.as_ref().map(described)}),
        Outcome::Written => json!({"do": "put"}),
        Outcome::Deleted(deleted) => json!({"do": "delete", "deleted": deleted}),
    });
    let report = match format {
        Format::Json => pretty(&json!({"succeeded": done.succeeded, "outcomes": outcomes.collect::<Vec<_>>()})),
        Format::Text => {
            let first = if done.succeeded { "succeeded" } else { "the compares did not hold" };
            let lines = done.outcomes.iter().map(|outcome| match outcome {
                Outcome::Found(Some(entry)) => format!("\n{}  {}", entry.modified, entry.value.escape_ascii()),
                Outcome::Found(None) => "\nno such key".to_owned(),
                Outcome::Written => "\nwritten".to_owned(),
                Outcome::Deleted(true) => "\ndeleted".to_owned(),
                Outcome::Deleted(false) => "\nnothing to delete".to_owned(),
            });
            format!("{first}{}", lines.collect::<String>())
        }
    };
    if done.succeeded { out.line(report) } else { Err(Failure::no(report)) }
}

fn planned(text: &[u8]) -> Result<Transaction<'static>, String> {
    let plan: Plan = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Ok(Transaction {
        compares: plan.compares.into_iter().map(compare).collect::<Result<_, _>>()?,
        then: plan.then.into_iter().map(operation).collect::<Result<_, _>>()?,
        otherwise: plan.otherwise.into_iter().map(operation).collect::<Result<_, _>>()?,
    })
}

fn compare(planned: PlannedCompare) -> Result<Compare, String> {
    let PlannedCompare { key, test, number, value, value_base64 } = planned;
    let (wanted, with_value) = (number, value.is_some() || value_base64.is_some());
    let name: Text = key.as_str().into();
    let numbered = || wanted.ok_or_else(|| format!("the test '{test}' of key '{key}' needs a number"));
    let (compare, takes_number, takes_value) = match test.as_str() {
        "exists" => (Compare::Exists(name), false, false),
        "absent" => (Compare::Absent(name), false, false),
        "modified" => (Compare::Modified(name, numbered()?), true, false),
        "modified-after" => (Compare::ModifiedAfter(name, numbered()?), true, false),
        "created" => (Compare::Created(name, numbered()?), true, false),
        "version" => (Compare::Version(name, numbered()?), true, false),
        "value" => (Compare::Value(name, bytes(&key, value, value_base64)?), false, true),
        other => return Err(format!("unknown test '{other}' of key '{key}'")),
    };
    if (wanted.is_some() && !takes_number) || (with_value && !takes_value) {
        return Err(format!("the test '{test}' of key '{key}' takes no such argument"));
    }
    Ok(compare)
}

fn operation(planned: PlannedOperation) -> Result<Operation<'static>, String> {
    let PlannedOperation { verb, key, value, value_base64, ttl, session } = planned;
    let plain = value.is_none() && value_base64.is_none() && ttl.is_none() && session.is_none();
    match verb.as_str() {
        "get" if plain => Ok(Operation::Get(key.as_str().into())),
        "delete" if plain => Ok(Operation::Delete(key.as_str().into())),
        "put" => {
            let life = match (ttl, session) {
                (Some(_), Some(_)) => return Err(format!("key '{key}' has a ttl and a session")),
                (Some(ttl), None) => Life::Ttl(positive(&ttl)?),
                (None, Some(session)) => Life::SessionId(session),
                (None, None) => Life::Unlimited,
            };
            Ok(Operation::Put(key.as_str().into(), bytes(&key, value, value_base64)?, life))
        }
        "get" | "delete" => Err(format!("'{verb}' of key '{key}' takes nothing but a key")),
        other => Err(format!("cannot do '{other}' with key '{key}'")),
    }
}

fn positive(ttl: &str) -> Result<Duration, String> {
    let span: GoDuration = ttl.parse().map_err(|error| format!("{error}"))?;
    span.to_unsigned().filter(|span| !span.is_zero()).ok_or_else(|| format!("a ttl of '{ttl}' is not above 0s"))
}

fn bytes(key: &str, value: Option<String>, base64: Option<String>) -> Result<Bytes, String> {
    match (value, base64) {
        (Some(value), None) => Ok(value.into()),
        (None, Some(text)) => {
            let decoded = STANDARD.decode(&text).map_err(|error| format!("value_base64 of key '{key}': {error}"))?;
            Ok(decoded.into())
        }
        (None, None) => Err(format!("key '{key}' has no value")),
        (Some(_), Some(_)) => Err(format!("key '{key}' has a value and a value_base64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_help_is_read() {
        let example = ABOUT.split("\n\n").nth(1).unwrap();
        let Transaction { compares, then, otherwise } = planned(example.as_bytes()).unwrap();
        assert_eq!(compares, [Compare::Value("a".into(), "1".into())]);
        assert!(
            matches!(then.as_slice(), [Operation::Put(key, value, Life::Unlimited)] if *key == "a" && value == "2")
        );
        assert!(matches!(otherwise.as_slice(), [Operation::Get(key)] if *key == "a"));
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_reason() {
        for (text, reason) in [
            ("7", "invalid type: integer"),
            (r#"{"compare": []}"#, "unknown field `compare`"),
            (r#"{"compares": [{"key": "a", "test": "is"}]}"#, "unknown test 'is' of key 'a'"),
            (r#"{"compares": [{"key": "a", "test": "version"}]}"#, "needs a number"),
            (r#"{"compares": [{"key": "a", "test": "exists", "number": 1}]}"#, "takes no such argument"),
            (r#"{"then": [{"do": "put", "key": "a"}]}"#, "key 'a' has no value"),
            (r#"{"then": [{"do": "get", "key": "a", "value": "x"}]}"#, "takes nothing but a key"),
            (r#"{"then": [{"do": "put", "key": "a", "value": "x", "ttl": "0s"}]}"#, "not above 0s"),
            (r#"{"then": [{"do": "put", "key": "a", "value_base64": "?"}]}"#, "value_base64 of key 'a'"),
            (r#"{"else": [{"do": "sing", "key": "a"}]}"#, "cannot do 'sing' with key 'a'"),
        ] {
            let fault = planned(text.as_bytes()).err().unwrap();
            assert!(fault.contains(reason), "{text}: {fault}");
        }
    }
}
