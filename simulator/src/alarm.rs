//! An ERROR in the logs of a simulation fails it: engines have nobody but themselves to blame there.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Runs `work` and returns the ERROR lines it caused beside its result.
pub fn listen<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let alarm = Alarm::default();
    let errors = Arc::clone(&alarm.errors);
    let result = tracing::subscriber::with_default(alarm, work);
    let errors = std::mem::take(&mut *errors.lock().unwrap_or_else(PoisonError::into_inner));
    (result, errors)
}

/// Lines in Go's words and at Go's level that only say that the network is bad, which is what a simulation is for.
const EXPECTED: [&str; 4] =
    ["Failed fallback TCP ping", "failed to receive: ", "Push/Pull with ", "Failed push/pull merge: "];

/// Keeps the first ERROR lines.
#[derive(Default)]
struct Alarm {
    errors: Arc<Mutex<Vec<String>>>,
}

impl Subscriber for Alarm {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < ERRORS_MAX && !EXPECTED.iter().any(|expected| line.0.starts_with(expected)) {
            errors.push(line.0);
        }
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

/// The message first, then the fields.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}

/// Lines kept; one is enough to fail.
const ERRORS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_heard_and_bad_networks_are_not_errors() {
        let (result, errors) = listen(|| {
            tracing::warn!("not this");
            tracing::error!(member = "n1", "broken");
            tracing::error!("Push/Pull with n1 failed: EOF");
            7
        });
        assert_eq!((result, errors), (7, vec!["broken member=\"n1\"".to_string()]));
    }
}
