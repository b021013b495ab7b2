//! Recorded objects against received ones: key sets, types and values, except for what a case says varies.

use std::collections::BTreeMap;

use super::case::Case;
use crate::support::{Value, log};

/// A header and, where it had one, its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub sequence: i128,
    pub error: String,
    pub body: Option<Value>,
}

/// What is free in one case.
#[derive(Debug, Default)]
pub struct Freedom {
    lamport_times: bool,
    floats: bool,
    log_lines: bool,
    /// Messages of one Seq may come in another order.
    order: bool,
    status: bool,
    /// The numbers of a query, where two streams share it.
    ids: bool,
    /// Only keys and types count.
    shape_only: bool,
}

impl Freedom {
    pub fn of(case: &Case, file: &str) -> Self {
        let says = |word: &str| case.varies.iter().any(|varies| varies.contains(word));
        Self {
            lamport_times: says("LTime"),
            floats: says("floats"),
            log_lines: says("Log line") || case.id.starts_with("monitor-and"),
            order: says("order of acks") || says("interleaving") || case.id == "stream-seq-reused-by-other-command",
            status: says("Status right after"),
            ids: says("which stream is first"),
            shape_only: file.starts_with("19-"),
        }
    }
}

/// Objects as messages: an object with the keys `Error` and `Seq`, and those alone, is a header.
pub fn messages(objects: &[Value]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for object in objects {
        if is_header(object) {
            let sequence = object.get("Seq").as_int();
            messages.push(Message { sequence, error: object.get("Error").as_text(), body: None });
        } else {
            let last = messages.last_mut().unwrap_or_else(|| panic!("a body without a header: {object:?}"));
            assert!(last.body.is_none(), "two bodies: {:?} and {object:?}", last.body);
            last.body = Some(object.clone());
        }
    }
    messages
}

fn is_header(object: &Value) -> bool {
    matches!(object, Value::Map(entries) if entries.len() == 2
        && *object.get("Error") != Value::Nil && *object.get("Seq") != Value::Nil)
}

/// Compares whole conversations, message by message within each Seq.
pub fn conversations(expected: &[Message], received: &[Message], freedom: &Freedom) -> Result<(), String> {
    let (expected, received) = (by_sequence(expected, freedom), by_sequence(received, freedom));
    if !expected.keys().eq(received.keys()) {
        return Err(format!("expected answers to {:?}, received to {:?}", expected.keys(), received.keys()));
    }
    for (sequence, expected) in &expected {
        let received = &received[sequence];
        if expected.len() != received.len() {
            return Err(format!("Seq {sequence}: expected {expected:#?}, received {received:#?}"));
        }
        for (expected, received) in expected.iter().zip(received) {
            one(expected, received, freedom).map_err(|why| format!("Seq {sequence}: {why}"))?;
        }
    }
    Ok(())
}

fn by_sequence(messages: &[Message], freedom: &Freedom) -> BTreeMap<i128, Vec<Message>> {
    let mut by_sequence = BTreeMap::<i128, Vec<Message>>::new();
    for message in messages {
        by_sequence.entry(message.sequence).or_default().push(message.clone());
    }
    if freedom.order {
        let key = |message: &Message| (message.body.is_some(), format!("{:?}", message.body.as_ref().map(strip_times)));
        by_sequence.values_mut().for_each(|messages| messages.sort_by_key(key));
    }
    by_sequence
}

fn strip_times(body: &Value) -> Vec<(String, String)> {
    let Value::Map(entries) = body else { return Vec::new() };
    let kept = entries.iter().filter(|(key, _)| *key != Value::text("LTime"));
    kept.map(|(key, value)| (format!("{key:?}"), format!("{value:?}"))).collect()
}

fn one(expected: &Message, received: &Message, freedom: &Freedom) -> Result<(), String> {
    if expected.error != received.error {
        return Err(format!("expected error {:?}, received {:?}", expected.error, received.error));
    }
    match (&expected.body, &received.body) {
        (None, None) => Ok(()),
        (Some(expected), Some(received)) => value(expected, received, "", freedom),
        (expected, received) => Err(format!("expected body {expected:?}, received {received:?}")),
    }
}

fn value(expected: &Value, received: &Value, path: &str, freedom: &Freedom) -> Result<(), String> {
    let differ = || Err(format!("{path}: expected {expected:?}, received {received:?}"));
    let key = path.rsplit('.').next().unwrap_or_default();
    match (expected, received) {
        (Value::Map(left), Value::Map(_)) if freedom.shape_only && matches!(key, "Tags" | "serf" | "runtime") => {
            left.iter().try_for_each(|(key, left)| match received.get(&key.as_text()) {
                Value::Nil => Ok(()),
                right => value(left, right, &format!("{path}.{}", key.as_text()), freedom),
            })
        }
        (Value::Map(left), Value::Map(right)) => maps(left, right, path, freedom),
        (Value::Array(left), Value::Array(right)) => arrays(left, right, path, freedom),
        (Value::Int(left), Value::Int(right)) => {
            let free = freedom.shape_only || (key == "LTime" && freedom.lamport_times) || (key == "ID" && freedom.ids);
            if left == right || free { Ok(()) } else { differ() }
        }
        (Value::Float(left), Value::Float(right)) => {
            if left.to_bits() == right.to_bits() || freedom.floats || freedom.shape_only { Ok(()) } else { differ() }
        }
        (Value::Str(left), Value::Str(right)) => {
            let free = freedom.shape_only
                || (key == "Status" && freedom.status)
                || path.starts_with(".runtime.")
                || (path.starts_with(".serf.") && key != "encrypted");
            let same_line = key == "Log" && freedom.log_lines && same_shape(left, right);
            if left == right || free || same_line { Ok(()) } else { differ() }
        }
        (Value::Bin(_), Value::Bin(_)) if freedom.shape_only => Ok(()),
        (left, right) if left == right => Ok(()),
        _ => differ(),
    }
}

fn maps(left: &[(Value, Value)], right: &[(Value, Value)], path: &str, freedom: &Freedom) -> Result<(), String> {
    let keys = |entries: &[(Value, Value)]| {
        let mut keys: Vec<Value> = entries.iter().map(|(key, _)| key.clone()).collect();
        keys.sort_by_key(|key| format!("{key:?}"));
        keys
    };
    if keys(left) != keys(right) {
        return Err(format!("{path}: expected keys {:?}, received {:?}", keys(left), keys(right)));
    }
    for (key, expected) in left {
        let received = right.iter().find(|(other, _)| other == key).map(|(_, value)| value).unwrap();
        value(expected, received, &format!("{path}.{}", key.as_text()), freedom)?;
    }
    Ok(())
}

fn arrays(left: &[Value], right: &[Value], path: &str, freedom: &Freedom) -> Result<(), String> {
    if left.len() != right.len() {
        return Err(format!("{path}: expected {left:?}, received {right:?}"));
    }
    let mut pairs = (left.to_vec(), right.to_vec());
    if path.ends_with(".Members") {
        pairs.0.sort_by_key(|member| member.get("Name").as_text());
        pairs.1.sort_by_key(|member| member.get("Name").as_text());
    }
    for (expected, received) in pairs.0.iter().zip(&pairs.1) {
        value(expected, received, path, freedom)?;
    }
    Ok(())
}

fn same_shape(left: &[u8], right: &[u8]) -> bool {
    let shape = |line: &[u8]| log::shape(&String::from_utf8_lossy(line), &[]);
    shape(left).is_some() && shape(left) == shape(right)
}
