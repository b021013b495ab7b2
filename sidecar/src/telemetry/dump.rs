//! The text of SIGUSR1, line by line as go-metrics prints it (`inmem_signal.go`).

use std::fmt::Write;

use chrono::{DateTime, Local, TimeZone, Timelike};

use super::{Moment, PREFIX, State};

/// All intervals but the newest, which is still running.
pub(super) fn text(state: &State) -> String {
    let mut text = String::new();
    let done = state.intervals.len().saturating_sub(1);
    let gauge_prefix = state.host.as_ref().map_or_else(|| PREFIX.to_owned(), |host| format!("{PREFIX}.{host}"));
    for interval in state.intervals.iter().take(done) {
        let Some(start) = Local.timestamp_opt(interval.start, 0).single() else { continue };
        let start = time(start);
        // Writing into a String cannot fail.
        for (name, value) in &interval.gauges {
            let _ = writeln!(text, "[{start}][G] '{gauge_prefix}.{}': {value:.3}", printable(name));
        }
        for (kind, entries) in [('C', &interval.counters), ('S', &interval.samples)] {
            for (name, (summary, last)) in entries {
                let (name, last) = (printable(name), moment(last));
                let _ = writeln!(text, "[{start}][{kind}] '{PREFIX}.{name}': {summary} LastUpdated: {last}");
            }
        }
    }
    text
}

/// One line stays one line, whatever users call their events.
fn printable(name: &str) -> String {
    name.replace(|letter: char| letter.is_control(), "_")
}

/// Go's `time.Time.String` with its monotonic part.
fn moment(moment: &Moment) -> String {
    let (seconds, nanos) = (moment.since_start.as_secs(), moment.since_start.subsec_nanos());
    format!("{} m=+{seconds}.{nanos:09}", time(moment.wall))
}

/// Go's `2006-01-02 15:04:05.999999999 -0700 MST`. Zones other than UTC are shown as their offset, which is what Go shows
/// for those without a name.
fn time(time: DateTime<Local>) -> String {
    let date = time.format("%Y-%m-%d %H:%M:%S");
    let fraction = format!(".{:09}", time.nanosecond() % 1_000_000_000);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let offset = time.format("%z").to_string();
    let zone = if offset == "+0000" { "UTC" } else { &offset };
    format!("{date}{fraction} {offset} {zone}")
}
