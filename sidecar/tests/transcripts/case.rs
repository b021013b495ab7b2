//! One recorded conversation, as `vectors/rpc/README.md` describes it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::{Kind, Value};

/// A case of a transcript file.
#[derive(Debug)]
pub struct Case {
    pub id: String,
    /// What is not fixed, in words.
    pub varies: Vec<String>,
    pub steps: Vec<Step>,
}

/// What happened next.
#[derive(Debug)]
pub enum Step {
    Send {
        bytes: Vec<u8>,
        /// One byte per TCP segment.
        bytewise: bool,
    },
    /// Objects that came.
    Expect(Vec<Value>),
    /// The agent closed the connection.
    Closed,
    /// Nothing came for this long, and the connection was not closed.
    Quiet(Duration),
    /// Something outside this connection; the keys beside the text hold data.
    Note { text: String, data: Json },
}

/// The third number of every address of the recordings; the others are 127, 0 and the host.
pub const RECORDED_NET: u8 = 13;

/// Reads a transcript file; for a Go agent what 0.9.4 said where that differs. Addresses are moved to 127.0.`net`.*, a
/// number of two digits as the recorded one, so that no length changes.
pub fn load(file: &str, kind: Kind, net: u8) -> Vec<Case> {
    assert!((10..100).contains(&net), "{net} has not two digits");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/rpc").join(file);
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let forms = |net: u8| {
        let words = format!("127.0.{net}.");
        [hex(&[127, 0, net]), hex(words.as_bytes()), words]
    };
    for (recorded, moved) in forms(RECORDED_NET).iter().zip(forms(net)) {
        text = text.replace(recorded, &moved);
    }
    let json: Json = serde_json::from_str(&text).unwrap();
    json["cases"].as_array().unwrap().iter().map(|case| parse(case, kind)).collect()
}

fn parse(case: &Json, kind: Kind) -> Case {
    let older = &case["transcript_0.9.4"];
    let transcript = if kind == Kind::Go && older.is_array() { older } else { &case["transcript"] };
    let words =
        |json: &Json| json.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect();
    let mut steps = Vec::new();
    for entry in transcript.as_array().unwrap() {
        step(entry, &mut steps);
    }
    join_split_objects(&mut steps);
    Case { id: case["id"].as_str().unwrap().to_owned(), varies: words(&case["varies"]), steps }
}

fn step(entry: &Json, steps: &mut Vec<Step>) {
    let text = |key: &str| entry[key].as_str();
    if let Some(hex) = text("c2s") {
        let bytewise = text("note").is_some_and(|note| note.contains("one byte per"));
        steps.push(Step::Send { bytes: unhex(hex), bytewise });
    } else if let Some(hex) = text("s2c") {
        steps.push(Step::Expect(objects(&unhex(hex))));
    } else if let Some(note) = text("note") {
        steps.push(Step::Note { text: note.to_owned(), data: entry.clone() });
    } else {
        let event = text("event").unwrap();
        match event {
            "connection closed by agent" => steps.push(Step::Closed),
            "client closed" => {}
            _ => {
                let seconds = event.rsplit(' ').next().unwrap().trim_end_matches('s').parse().unwrap();
                steps.push(Step::Quiet(Duration::from_secs_f64(seconds)));
            }
        }
    }
}

/// Consecutive receipts are one expectation: where reads paused is not part of the contract.
fn join_split_objects(steps: &mut Vec<Step>) {
    let mut joined: Vec<Step> = Vec::new();
    for step in steps.drain(..) {
        match (joined.last_mut(), step) {
            (Some(Step::Expect(earlier)), Step::Expect(later)) => earlier.extend(later),
            (_, step) => joined.push(step),
        }
    }
    *steps = joined;
}

fn objects(mut bytes: &[u8]) -> Vec<Value> {
    let mut objects = Vec::new();
    while !bytes.is_empty() {
        let (value, length) = Value::read(bytes).unwrap();
        objects.push(value);
        bytes = &bytes[length..];
    }
    objects
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// An object of a note's data, in the notation of the files (`$bin`, `$str`, `$f64`).
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Int(i128::from(number.as_i64().unwrap())),
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        Json::Object(entries) => {
            if let Some(hex) = json["$bin"].as_str() {
                return Value::Bin(unhex(hex));
            }
            Value::Map(entries.iter().map(|(key, value)| (Value::text(key), from_json(value))).collect())
        }
    }
}
