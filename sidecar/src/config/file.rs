//! Configuration files and directories: JSON with Go's types, rules and complaints (`docs/spec/agent-cli.md` 3.3).
//!
//! Answers to Go's `ReadConfigPaths` and `DecodeConfig`, and to the decoder the newest Serf uses for maps (its words are
//! not those of 0.9.4).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::args::Raw;
use super::keys::{KEYS, Kind, Place};
use crate::duration::{DurationError, GoDuration};
use crate::go_json::{Value, read_first};
use crate::limits::CONFIG_FILE_BYTES;
use crate::net::go_errors;

/// Why a file cannot be used: what to tell the operator, after `==> `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("Error reading '{path}': {reason}")]
    Reading {
        /// As named, or found in a directory that was named.
        path: String,
        /// Go's text.
        reason: String,
    },
    /// What it says cannot be understood.
    #[error("Error decoding '{path}': {reason}")]
    Decoding {
        /// As above.
        path: String,
        /// Go's text; may have several lines.
        reason: String,
    },
}

/// Reads files, and of directories all entries ending in `.json` in the order of their names, and lays each over the
/// ones before.
///
/// # Errors
/// [`FileError`] for the first that cannot be used.
pub fn read_paths(paths: &[String]) -> Result<Raw, FileError> {
    let mut raw = Raw::default();
    for path in paths {
        let reading = |error| FileError::Reading { path: path.clone(), reason: failed("open", path, &error) };
        let file = File::open(path).map_err(reading)?;
        if !file.metadata().map_err(reading)?.is_dir() {
            raw = raw.overlay(read(path, file)?);
            continue;
        }
        for entry in entries(path).map_err(reading)? {
            let file = File::open(&entry)
                .map_err(|error| FileError::Reading { path: entry.clone(), reason: failed("open", &entry, &error) })?;
            raw = raw.overlay(read(&entry, file)?);
        }
    }
    Ok(raw)
}

/// The files of a directory that count, in byte order of their names. Links to directories are tried, as in Go.
fn entries(directory: &str) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") && !entry.file_type()?.is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| Path::new(directory).join(name).to_string_lossy().into_owned()).collect())
}

fn read(path: &str, file: File) -> Result<Raw, FileError> {
    let decoding = |reason| FileError::Decoding { path: path.to_owned(), reason };
    let mut text = Vec::new();
    let limit = CONFIG_FILE_BYTES.saturating_add(1);
    file.take(limit).read_to_end(&mut text).map_err(|error| decoding(failed("read", path, &error)))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > CONFIG_FILE_BYTES {
        return Err(decoding(format!("it is longer than {CONFIG_FILE_BYTES} bytes")));
    }
    decode(&text).map_err(decoding)
}

/// Go's text of a failed file operation.
fn failed(operation: &str, path: &str, error: &std::io::Error) -> String {
    format!("{operation} {path}: {}", go_errors::cause(error))
}

/// The settings in the text of a file, or Go's complaint.
fn decode(text: &[u8]) -> Result<Raw, String> {
    let fields = match read_first(text).map_err(|error| error.to_string())? {
        Value::Null => return Ok(Raw::default()),
        Value::Object(fields) => fields,
        other @ (Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_)) => {
            return Err(no_map("", &other));
        }
    };
    let mut decoder = Decoder::default();
    decoder.object("", fields);
    if !decoder.faults.is_empty() {
        return Err(format!("decoding failed due to the following error(s):\n\n{}", decoder.faults.join("\n")));
    }
    for (place, text) in decoder.durations {
        *place(&mut decoder.raw) = Some(text.parse().map_err(|error: DurationError| error.to_string())?);
    }
    Ok(decoder.raw)
}

#[derive(Default)]
struct Decoder {
    raw: Raw,
    /// What does not fit, in the order of Go's complaints.
    faults: Vec<String>,
    /// Durations are read after everything else fits, as in Go.
    durations: Vec<(Place<Option<GoDuration>>, String)>,
}

impl Decoder {
    /// Takes the keys below `prefix` (empty, or a group and its dot) out of `fields`; what is left over is a fault. Goes
    /// as deep as the table of keys does: two levels.
    fn object(&mut self, prefix: &str, mut fields: BTreeMap<String, Value>) {
        if prefix.is_empty() {
            // Go keeps five internal fields under this name by accident.
            fields.remove("-");
        }
        for key in KEYS.iter().filter(|key| !key.name.is_empty()) {
            let Some(name) = key.name.strip_prefix(prefix) else { continue };
            match name.split_once('.') {
                Some((group, _)) => match take(&mut fields, group) {
                    None | Some(Value::Null) => {}
                    Some(Value::Object(inner)) => self.object(&format!("{group}."), inner),
                    Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_))) => {
                        self.faults.push(no_map(group, &other));
                    }
                },
                None => {
                    if let Some(value) = take(&mut fields, name) {
                        self.value(&key.kind, key.name, value);
                    }
                }
            }
        }
        if !fields.is_empty() {
            let keys: Vec<String> = fields.into_keys().collect();
            self.faults.push(format!("'{}' has invalid keys: {}", prefix.trim_end_matches('.'), keys.join(", ")));
        }
    }

    /// Keeps `value`; null says nothing.
    fn value(&mut self, kind: &Kind, name: &str, value: Value) {
        let raw = &mut self.raw;
        match (kind, value) {
            (_, Value::Null) => {}
            (Kind::Text(place), Value::Text(text)) => *place(raw) = Some(text),
            (Kind::Secret(place), Value::Text(text)) => *place(raw) = Some(super::args::Secret(text)),
            (Kind::Truth(place) | Kind::Choice(place), Value::Bool(value)) => *place(raw) = Some(value),
            (Kind::Negated(place), Value::Bool(value)) => *place(raw) = Some(!value),
            (Kind::Integer(place) | Kind::Positive(place), Value::Number(number)) => {
                // Cut, as in Go; what an integer cannot hold becomes the nearest it can.
                *place(raw) = Some(number as i64);
            }
            (Kind::Duration(place), Value::Text(text)) => {
                if !text.is_empty() {
                    self.durations.push((*place, text));
                }
            }
            (Kind::List(place), Value::List(values)) => {
                let named = values.into_iter().enumerate().map(|(at, value)| (format!("{name}[{at}]"), value));
                let texts: Vec<String> = named.filter_map(|(name, value)| self.text(&name, value)).collect();
                *place(&mut self.raw) = texts;
            }
            (Kind::List(_), other) => {
                self.faults.push(format!("'{name}' source data must be an array or slice, got {}", kind_name(&other)));
            }
            (Kind::Tags(place), Value::Object(fields)) => {
                let named = fields.into_iter().map(|(tag, value)| (format!("{name}[{tag}]"), tag, value));
                let tags: BTreeMap<String, String> =
                    named.filter_map(|(name, tag, value)| Some((tag, self.text(&name, value)?))).collect();
                *place(&mut self.raw) = tags;
            }
            (Kind::Tags(_), other) => self.unfit(name, "map[string]string", &other),
            (Kind::Text(_) | Kind::Secret(_) | Kind::Duration(_), other) => self.unfit(name, "string", &other),
            (Kind::Truth(_) | Kind::Choice(_) | Kind::Negated(_), other) => self.unfit(name, "bool", &other),
            (Kind::Integer(_) | Kind::Positive(_), other) => self.unfit(name, "int", &other),
        }
    }

    /// A text inside a list or map; null is an empty one.
    fn text(&mut self, name: &str, value: Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text),
            Value::Null => Some(String::new()),
            other @ (Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_)) => {
                self.unfit(name, "string", &other);
                None
            }
        }
    }

    fn unfit(&mut self, name: &str, expected: &str, value: &Value) {
        let found = type_name(value);
        self.faults.push(format!("'{name}' expected type '{expected}', got unconvertible type '{found}'"));
    }
}

/// The value of a key: matched exactly, else without regard to case.
fn take(fields: &mut BTreeMap<String, Value>, name: &str) -> Option<Value> {
    let alike = || fields.keys().find(|key| key.to_lowercase() == name.to_lowercase()).cloned();
    let key = if fields.contains_key(name) { name.to_owned() } else { alike()? };
    fields.remove(&key)
}

fn no_map(name: &str, value: &Value) -> String {
    format!("'{name}' expected a map or struct, got {:?}", kind_name(value))
}

/// Go's type of what a JSON value is read into.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::Text(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Go's kind of that type.
fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "slice",
        Value::Object(_) => "map",
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => type_name(value),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
