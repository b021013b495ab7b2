//! Metrics under Serf's names (`docs/spec/agent-cli.md` 3.11): gathered in intervals, shown on SIGUSR1, sent to statsd
//! and statsite.
//!
//! Answers to go-metrics, which Go's agent uses. `summary.rs` is the arithmetic, `dump.rs` the text of SIGUSR1,
//! `sinks.rs` the way out, `node.rs` what the node task reports. Nobody who reports ever waits for a sink: what cannot be
//! kept is dropped and counted. Names of users' events and queries are bounded ([`UserNames`]).

mod dump;
pub mod group;
pub mod node;
pub mod sinks;
mod summary;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Local};

pub use summary::Summary;

use crate::limits::{METRIC_NAMES, METRIC_SAMPLES_WAITING, METRIC_USER_NAMES};

/// In front of every name.
const PREFIX: &str = "serf-agent";

/// Length of an interval. Go: `NewInmemSink(10*time.Second, time.Minute)`.
const INTERVAL: Duration = Duration::from_secs(10);

/// Intervals kept: a minute.
const INTERVALS: usize = 6;

/// Where all metrics go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Telemetry {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// What gauges have after the prefix.
    host: Option<String>,
    started: Instant,
    intervals: VecDeque<Interval>,
    /// What sinks have not got yet; `None` without sinks.
    waiting: Option<Waiting>,
    dropped: u64,
}

/// One interval; names stand without their prefix.
#[derive(Debug)]
struct Interval {
    /// In seconds since 1970, a multiple of the length.
    start: i64,
    gauges: BTreeMap<String, f64>,
    counters: BTreeMap<String, (Summary, Moment)>,
    samples: BTreeMap<String, (Summary, Moment)>,
}

/// When something was last reported.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: DateTime<Local>,
    since_start: Duration,
}

/// What sinks have not got yet, by name.
#[derive(Debug, Default)]
struct Waiting {
    gauges: BTreeMap<String, f64>,
    counters: BTreeMap<String, f64>,
    samples: Vec<(String, f64)>,
}

impl Telemetry {
    /// For sinks, whose gauges carry the name of the machine.
    pub fn with_sinks(host: String) -> Self {
        Self::new(Some(host), Some(Waiting::default()))
    }

    /// For SIGUSR1 only.
    pub fn in_memory() -> Self {
        Self::new(None, None)
    }

    fn new(host: Option<String>, waiting: Option<Waiting>) -> Self {
        let state = State { host, started: Instant::now(), intervals: VecDeque::new(), waiting, dropped: 0 };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Something happened once.
    pub fn count(&self, name: &str) {
        self.add(name, Summary::of(1.0));
    }

    /// Things happened that `summary` sums up.
    pub fn add(&self, name: &str, summary: Summary) {
        self.lock().add(Local::now(), name, summary);
    }

    /// Something stands at `value`.
    pub fn gauge(&self, name: &str, value: f64) {
        self.lock().gauge(Local::now(), name, value);
    }

    /// Something was measured.
    pub fn sample(&self, name: &str, value: f64) {
        self.lock().sample(Local::now(), name, value);
    }

    /// Something took `duration`: a sample in milliseconds.
    pub fn time(&self, name: &str, duration: Duration) {
        self.sample(name, duration.as_secs_f64() * 1000.0);
    }

    /// The text of SIGUSR1: all intervals but the one that is still running, as in Go.
    pub fn dump(&self) -> String {
        let mut state = self.lock();
        state.interval(Local::now());
        dump::text(&state)
    }

    /// What a counter has come to in the intervals kept.
    #[cfg(test)]
    pub(crate) fn total(&self, name: &str) -> f64 {
        let state = self.lock();
        state.intervals.iter().filter_map(|interval| interval.counters.get(name)).map(|(sum, _)| sum.sum()).sum()
    }

    /// Values that were dropped because a bound was reached.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// What sinks have not got yet, as lines with their newline.
    fn take_lines(&self) -> Vec<String> {
        let mut state = self.lock();
        let host = state.host.clone();
        let Some(waiting) = state.waiting.as_mut().map(std::mem::take) else { return Vec::new() };
        drop(state);
        let gauge_prefix = host.map_or_else(|| PREFIX.to_owned(), |host| format!("{PREFIX}.{host}"));
        let gauges = waiting.gauges.iter().map(|(name, value)| line(&gauge_prefix, name, *value, "g"));
        let counters = waiting.counters.iter().map(|(name, value)| line(PREFIX, name, *value, "c"));
        let samples = waiting.samples.iter().map(|(name, value)| line(PREFIX, name, *value, "ms"));
        gauges.chain(counters).chain(samples).collect()
    }

    /// A reporter that panicked leaves nothing half done that matters: go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Go: `flattenKey` of the sinks turns blanks and colons to underscores.
fn line(prefix: &str, name: &str, value: f64, kind: &str) -> String {
    let name = format!("{prefix}.{name}").replace([':', ' ', '\n', '\r', '|'], "_");
    format!("{name}:{value:.6}|{kind}\n")
}

impl State {
    fn add(&mut self, now: DateTime<Local>, name: &str, summary: Summary) {
        let moment = self.moment(now);
        let kept = keep(&mut self.interval(now).counters, name, summary, moment);
        let mut dropped = !kept;
        if let Some(waiting) = &mut self.waiting {
            let room = waiting.counters.len() < METRIC_NAMES;
            match waiting.counters.get_mut(name) {
                Some(sum) => *sum += summary.sum(),
                None if room => drop(waiting.counters.insert(name.to_owned(), summary.sum())),
                None => dropped = true,
            }
        }
        self.dropped = self.dropped.saturating_add(u64::from(dropped));
    }

    fn gauge(&mut self, now: DateTime<Local>, name: &str, value: f64) {
        let interval = self.interval(now);
        let mut dropped = !set(&mut interval.gauges, name, value);
        if let Some(waiting) = &mut self.waiting {
            dropped |= !set(&mut waiting.gauges, name, value);
        }
        self.dropped = self.dropped.saturating_add(u64::from(dropped));
    }

    fn sample(&mut self, now: DateTime<Local>, name: &str, value: f64) {
        let moment = self.moment(now);
        let kept = keep(&mut self.interval(now).samples, name, Summary::of(value), moment);
        let mut dropped = !kept;
        if let Some(waiting) = &mut self.waiting {
            if waiting.samples.len() < METRIC_SAMPLES_WAITING {
                waiting.samples.push((name.to_owned(), value));
            } else {
                dropped = true;
            }
        }
        self.dropped = self.dropped.saturating_add(u64::from(dropped));
    }

    fn moment(&self, wall: DateTime<Local>) -> Moment {
        Moment { wall, since_start: self.started.elapsed() }
    }

    /// The interval of `now`. A clock that was set back goes on in the newest one.
    fn interval(&mut self, now: DateTime<Local>) -> &mut Interval {
        let length = i64::try_from(INTERVAL.as_secs()).unwrap_or(i64::MAX);
        let start = now.timestamp().saturating_sub(now.timestamp().rem_euclid(length));
        if self.intervals.back().is_none_or(|newest| newest.start < start) {
            if self.intervals.len() >= INTERVALS {
                self.intervals.pop_front();
            }
            let (gauges, counters, samples) = Default::default();
            self.intervals.push_back(Interval { start, gauges, counters, samples });
        }
        let newest = self.intervals.len().saturating_sub(1);
        #[expect(clippy::indexing_slicing, reason = "there is at least the one just made")]
        &mut self.intervals[newest]
    }
}

/// False: there are too many names.
fn keep(map: &mut BTreeMap<String, (Summary, Moment)>, name: &str, summary: Summary, moment: Moment) -> bool {
    if let Some((known, last)) = map.get_mut(name) {
        known.merge(&summary);
        *last = moment;
        return true;
    }
    let room = map.len() < METRIC_NAMES;
    if room {
        map.insert(name.to_owned(), (summary, moment));
    }
    room
}

/// False: there are too many names.
fn set(map: &mut BTreeMap<String, f64>, name: &str, value: f64) -> bool {
    let room = map.len() < METRIC_NAMES;
    match map.get_mut(name) {
        Some(known) => *known = value,
        None if room => drop(map.insert(name.to_owned(), value)),
        None => return false,
    }
    true
}

/// Names of users' events or queries, of which there may be any number: the first ones seen keep their names, all later
/// ones are `_others`.
#[derive(Debug, Default)]
pub struct UserNames(BTreeSet<String>);

impl UserNames {
    /// `prefix.NAME`, or `prefix._others`.
    pub fn metric(&mut self, prefix: &str, name: &str) -> String {
        if self.0.len() < METRIC_USER_NAMES && !self.0.contains(name) {
            self.0.insert(name.to_owned());
        }
        let name = if self.0.contains(name) { name } else { "_others" };
        format!("{prefix}.{name}")
    }
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
