//! The recent past: events by revision, so that a watcher can go on where it stopped. What is older than the ring holds is
//! compacted, and a watcher that asks for it is told so; it never misses a change in silence.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::command::{Event, Scope};
use crate::error::Refusal;
use crate::limits::{HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use crate::types::Revision;

/// Which changes a watcher wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Of which kind of object; `None` is all.
    pub scope: Option<Scope>,
    /// With keys or names that start so.
    pub prefix: bytes::Bytes,
    /// After this revision.
    pub after: Revision,
}

/// A page of changes: all events of each revision in it, in order. It has at most [`PAGE_ENTRIES_MAX`] events and
/// [`PAGE_BYTES_MAX`], or those of one revision: [`crate::limits::EVENTS_PER_REVISION`] and a little more, or a transaction's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Those that match.
    pub events: Vec<Event>,
    /// Everything up to here has been looked at: ask on from it.
    pub through: Revision,
}

impl Query {
    /// Whether an event is asked for (wherever it stands).
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.scope.is_none_or(|scope| scope == event.scope) && event.key.as_bytes().starts_with(&self.prefix)
    }
}

/// The ring of remembered events.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    events: VecDeque<Event>,
    /// Events up to here are forgotten.
    compacted: Revision,
    /// Follows from the events; rebuilt by a restore.
    #[serde(skip)]
    bytes: usize,
}

impl History {
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Appends an event; the revision never falls.
    pub(crate) fn record(&mut self, event: Event) {
        self.bytes = self.bytes.saturating_add(event.weight());
        self.events.push_back(event);
    }

    /// Forgets whole revisions from the oldest on until the limits are kept. A single revision larger than the limits is
    /// forgotten too.
    pub(crate) fn trim(&mut self) {
        while self.events.len() > HISTORY_EVENTS_MAX || self.bytes > HISTORY_BYTES_MAX {
            let Some(oldest) = self.events.front().map(|event| event.revision) else { return };
            self.compact(oldest);
        }
    }

    /// Forgets everything up to `through`.
    pub(crate) fn compact(&mut self, through: Revision) {
        while let Some(event) = self.events.pop_front_if(|event| event.revision <= through) {
            self.bytes = self.bytes.saturating_sub(event.weight());
        }
        self.compacted = self.compacted.max(through);
    }

    /// The page after `query.after`; `current` is the machine's revision.
    pub(crate) fn since(&self, query: &Query, current: Revision) -> Result<Page, Refusal> {
        if query.after < self.compacted {
            return Err(Refusal::Compacted(self.compacted));
        }
        let start = self.events.partition_point(|event| event.revision <= query.after);
        let mut page = Page { events: Vec::new(), through: query.after.max(current) };
        let mut bytes = 0usize;
        let mut last = query.after;
        let mut events = self.events.range(start..).peekable();
        while let Some(revision) = events.peek().map(|event| event.revision) {
            let mut of_revision = Vec::new();
            while let Some(event) = events.next_if(|event| event.revision == revision) {
                if query.matches(event) {
                    bytes = bytes.saturating_add(event.weight());
                    of_revision.push(event.clone());
                }
            }
            let count = page.events.len().saturating_add(of_revision.len());
            let full = count > PAGE_ENTRIES_MAX || bytes > PAGE_BYTES_MAX;
            if full && !page.events.is_empty() && !of_revision.is_empty() {
                page.through = last;
                break;
            }
            last = revision;
            page.events.append(&mut of_revision);
        }
        Ok(page)
    }

    pub(crate) fn reindex(&mut self) {
        self.bytes = self.events.iter().map(Event::weight).fold(0, usize::saturating_add);
    }
}
