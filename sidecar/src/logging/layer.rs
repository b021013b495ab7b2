//! From `tracing` events to log lines: the target names the component, fields follow the message as `name=value`.
//!
//! Events of libraries are left out: Serf's users know the components of Serf only.

use std::fmt;
use std::fmt::Write;

use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::{Level, LogHub};

/// Feeds a [`LogHub`]; made by [`LogHub::layer`].
pub struct LogLayer {
    hub: LogHub,
}

impl LogLayer {
    pub(super) fn new(hub: LogHub) -> Self {
        Self { hub }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        component(metadata.target()).is_some() && self.hub.wants(level(metadata))
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // The level can change at any time, so what is ours has to be asked about every time.
        if component(metadata.target()).is_some() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if !self.wants(event.metadata()) {
            return;
        }
        let Some(component) = component(event.metadata().target()) else { return };
        let mut text = Text::default();
        event.record(&mut text);
        text.message.push_str(&text.fields);
        self.hub.log(level(event.metadata()), component, &text.message);
    }
}

/// `folkmoot_serf::intents` and the explicit `serf` are both `serf`; `None`: not ours.
fn component(target: &str) -> Option<&str> {
    let (root, _) = target.split_once("::").unwrap_or((target, ""));
    match root {
        "folkmoot_serf" | "serf" => Some("serf"),
        "folkmoot_memberlist" | "memberlist" => Some("memberlist"),
        "folkmoot" | "agent" => Some("agent"),
        // Ours, and only where there is something to say: with `-raft`, or when a call is forwarded.
        "folkmoot_consensus" | "raft" => Some("raft"),
        _ if root.starts_with("agent.") => Some(root),
        _ => None,
    }
}

fn level(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::TRACE => Level::Trace,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::INFO => Level::Info,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::ERROR => Level::Err,
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a String cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
