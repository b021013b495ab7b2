//! The arguments of a step, read as the types that the client takes.

use std::time::Duration;

use folkmoot_client::{Text, Wait};
use serde_json::Value;

use super::pattern::{Names, substitute};

pub struct Arguments {
    /// What the step goes on with.
    pub on: String,
    with: Value,
}

impl Arguments {
    pub fn of(step: &Value, names: &Names) -> Self {
        let on = step["on"].as_str().unwrap_or_default().to_owned();
        Self { on, with: substitute(step.get("with").unwrap_or(&Value::Null), names) }
    }

    /// One argument; null if it is left out.
    pub fn get(&self, name: &str) -> &Value {
        self.with.get(name).unwrap_or(&Value::Null)
    }

    pub fn string(&self, name: &str) -> String {
        self.get(name).as_str().unwrap_or_default().to_owned()
    }

    pub fn text(&self, name: &str) -> Text {
        self.string(name).into()
    }

    /// Text or nothing.
    pub fn maybe(&self, name: &str) -> Option<String> {
        self.get(name).as_str().map(str::to_owned)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name).as_bool().unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> u64 {
        self.get(name).as_u64().unwrap_or_default()
    }

    pub fn small<T: TryFrom<u64>>(&self, name: &str, otherwise: T) -> T {
        self.get(name).as_u64().and_then(|number| T::try_from(number).ok()).unwrap_or(otherwise)
    }

    pub fn integer(&self, name: &str) -> i64 {
        self.get(name).as_i64().unwrap_or_default()
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        let texts = self.get(name).as_array().into_iter().flatten();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    pub fn span(&self, name: &str) -> Option<Duration> {
        self.get(name).as_u64().map(Duration::from_millis)
    }

    /// How long the call may wait; for ever if nothing is said.
    pub fn wait(&self) -> Wait {
        match self.span("wait_ms") {
            None => Wait::Always,
            Some(Duration::ZERO) => Wait::No,
            Some(span) => Wait::For(span),
        }
    }
}
