//! [`Handlers`]: the list of handlers, which reloads and RPC change while the dispatcher reads it. A change takes effect
//! with the next event.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits::HANDLERS;
use super::losses::Losses;
use super::spec::HandlerSpec;

/// The list. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Handlers {
    list: Arc<Mutex<Arc<[Arc<Handler>]>>>,
    losses: Arc<Losses>,
}

/// One handler, and what came of it.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) spec: HandlerSpec,
    pub(super) source: Source,
    pub(super) counters: Counters,
}

/// Since the handler is in the list.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Ended runs, failed ones included.
    pub(super) runs: AtomicU64,
    pub(super) failures: AtomicU64,
    /// Events that were not taken because too many waited.
    pub(super) losses: Losses,
    /// Events taken whose run has not ended.
    pub(super) waiting: AtomicU64,
}

/// Where a handler comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Flags, environment or files: a reload replaces these.
    Configuration,
    /// RPC: stays until it is removed or the agent stops.
    Rpc,
}

/// A handler as RPC lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `HandlerInfo`, which are documented there")]
pub struct HandlerView {
    pub spec: String,
    pub source: Source,
    pub runs: u64,
    pub failures: u64,
    pub dropped: u64,
    pub waiting: u64,
}

/// Why the list was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlersError {
    /// It is there.
    #[error("handler-exists: '{0}' is registered already")]
    Exists(String),
    /// It is not there.
    #[error("no-such-handler: '{0}' is not registered")]
    Unknown(String),
    /// The list is full.
    #[error("too-many-handlers: {HANDLERS} are registered already")]
    TooMany,
}

impl Handlers {
    /// The handlers of the configuration, in its order.
    pub fn configured(specs: Vec<HandlerSpec>) -> Self {
        let handlers = Self::default();
        handlers.replace_configured(specs);
        handlers
    }

    /// Puts `specs` in the place of the handlers of the configuration. One that was there already goes on counting.
    pub fn replace_configured(&self, specs: Vec<HandlerSpec>) {
        let mut list = self.lock();
        let (mut known, added): (Vec<_>, Vec<_>) =
            list.iter().cloned().partition(|handler| handler.source == Source::Configuration);
        let kept = |spec: HandlerSpec| match known.iter().position(|handler| handler.spec == spec) {
            Some(at) => known.remove(at),
            None => Handler::new(spec, Source::Configuration),
        };
        let configured: Vec<_> = specs.into_iter().map(kept).collect();
        *list = configured.into_iter().chain(added).collect();
    }

    /// Adds a handler behind all others.
    ///
    /// # Errors
    /// [`HandlersError::Exists`], [`HandlersError::TooMany`].
    pub fn add(&self, spec: HandlerSpec) -> Result<(), HandlersError> {
        let mut list = self.lock();
        if list.iter().any(|handler| handler.spec == spec) {
            return Err(HandlersError::Exists(spec.as_str().to_owned()));
        }
        if list.len() >= HANDLERS {
            return Err(HandlersError::TooMany);
        }
        *list = list.iter().cloned().chain([Handler::new(spec, Source::Rpc)]).collect();
        Ok(())
    }

    /// Removes every handler written as `text`. One of the configuration returns with the next reload.
    ///
    /// # Errors
    /// [`HandlersError::Unknown`].
    pub fn remove(&self, text: &str) -> Result<(), HandlersError> {
        let mut list = self.lock();
        let left: Vec<_> = list.iter().filter(|handler| handler.spec.as_str() != text).cloned().collect();
        if left.len() == list.len() {
            return Err(HandlersError::Unknown(text.to_owned()));
        }
        *list = left.into();
        Ok(())
    }

    /// All handlers, in the order in which they are run.
    pub fn list(&self) -> Vec<HandlerView> {
        self.snapshot().iter().map(|handler| handler.view()).collect()
    }

    /// The section `event_handlers` of `stats`: `EVENT:NAME` to script; of those with one filter, the last.
    pub fn by_filter(&self) -> BTreeMap<String, String> {
        let handlers = self.snapshot();
        let entries = handlers.iter().flat_map(|handler| {
            handler.spec.filters().iter().map(|filter| {
                let name = String::from_utf8_lossy(filter.name());
                (format!("{}:{name}", filter.event()), handler.spec.action().as_str().to_owned())
            })
        });
        entries.collect()
    }

    /// Events dropped for all handlers: the queue in front of them was full.
    pub fn dropped(&self) -> u64 {
        self.losses.total()
    }

    /// What the queue in front of all handlers lost.
    pub(super) fn losses(&self) -> Arc<Losses> {
        Arc::clone(&self.losses)
    }

    /// The list as it stands.
    pub(super) fn snapshot(&self) -> Arc<[Arc<Handler>]> {
        Arc::clone(&self.lock())
    }

    /// Whoever panicked while holding it has left one list or the other.
    fn lock(&self) -> MutexGuard<'_, Arc<[Arc<Handler>]>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler {
    pub(super) fn new(spec: HandlerSpec, source: Source) -> Arc<Self> {
        Arc::new(Self { spec, source, counters: Counters::default() })
    }

    fn view(&self) -> HandlerView {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HandlerView {
            spec: self.spec.as_str().to_owned(),
            source: self.source,
            runs: number(&self.counters.runs),
            failures: number(&self.counters.failures),
            dropped: self.counters.losses.total(),
            waiting: number(&self.counters.waiting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> HandlerSpec {
        HandlerSpec::parse(text).unwrap()
    }

    fn texts(handlers: &Handlers) -> Vec<String> {
        handlers.list().into_iter().map(|view| view.spec).collect()
    }

    #[test]
    fn a_reload_replaces_what_was_configured_and_keeps_what_was_added() {
        let handlers = Handlers::configured(vec![spec("user=a"), spec("user=b")]);
        handlers.add(spec("user=c")).unwrap();
        let before = handlers.snapshot();
        handlers.replace_configured(vec![spec("user=d"), spec("user=b")]);
        assert_eq!(texts(&handlers), ["user=d", "user=b", "user=c"]);
        assert!(Arc::ptr_eq(&before[1], &handlers.snapshot()[1]), "its counters go on");
    }

    #[test]
    fn the_same_handler_is_added_once_and_removed_by_its_text() {
        let handlers = Handlers::configured(vec![spec("user=a")]);
        assert_eq!(handlers.add(spec("user=a")), Err(HandlersError::Exists("user=a".into())));
        handlers.add(spec("query=a")).unwrap();
        assert_eq!(handlers.remove("a"), Err(HandlersError::Unknown("a".into())));
        handlers.remove("user=a").unwrap();
        assert_eq!(texts(&handlers), ["query=a"]);
    }

    #[test]
    fn the_list_has_an_end() {
        let handlers = Handlers::default();
        for number in 0..HANDLERS {
            handlers.add(spec(&format!("user={number}"))).unwrap();
        }
        assert_eq!(handlers.add(spec("user=one-more")), Err(HandlersError::TooMany));
    }

    #[test]
    fn of_handlers_with_one_filter_stats_show_the_last() {
        let handlers = Handlers::configured(vec![spec("*=star"), spec("plain"), spec("query:load,user:deploy=combo")]);
        let shown = [("*:", "plain"), ("query:load", "combo"), ("user:deploy", "combo")];
        let shown: BTreeMap<_, _> = shown.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(handlers.by_filter(), shown);
    }
}
