use chrono::TimeZone;

use super::*;

fn at(seconds: i64) -> DateTime<Local> {
    Local.timestamp_opt(1_795_000_000 + seconds, 500_000_000).unwrap()
}

/// Without what depends on zone and uptime.
fn dumped(telemetry: &Telemetry) -> Vec<String> {
    let text = dump::text(&telemetry.lock());
    text.lines()
        .map(|line| {
            let (_, rest) = line.split_once("][").unwrap();
            rest.split_once(" LastUpdated: ").map_or(rest, |(head, _)| head).to_owned()
        })
        .collect()
}

#[test]
fn finished_intervals_are_dumped_in_go_metrics_format_and_the_running_one_is_not() {
    let telemetry = Telemetry::in_memory();
    let mut state = telemetry.lock();
    state.gauge(at(0), "memberlist.health.score", 0.0);
    state.add(at(1), "serf.queries", Summary::of(1.0));
    state.add(at(2), "memberlist.udp.sent", Summary::of(100.0));
    state.add(at(3), "memberlist.udp.sent", Summary::of(200.0));
    state.sample(at(4), "serf.queue.Event", 3.0);
    drop(state);
    assert!(dumped(&telemetry).is_empty());
    telemetry.lock().add(at(10), "serf.queries", Summary::of(1.0));
    assert_eq!(
        dumped(&telemetry),
        [
            "G] 'serf-agent.memberlist.health.score': 0.000",
            "C] 'serf-agent.memberlist.udp.sent': Count: 2 Min: 100.000 Mean: 150.000 Max: 200.000 Stddev: 70.711 Sum: \
             300.000",
            "C] 'serf-agent.serf.queries': Count: 1 Sum: 1.000",
            "S] 'serf-agent.serf.queue.Event': Count: 1 Sum: 3.000",
        ]
    );
}

#[test]
fn times_are_printed_as_gos() {
    let telemetry = Telemetry::in_memory();
    telemetry.lock().add(at(0), "x", Summary::of(1.0));
    telemetry.lock().interval(at(10));
    let text = dump::text(&telemetry.lock());
    let form = regex::Regex::new(
        r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d0 [+-]\d{4} \S+\]\[C\] 'serf-agent\.x': Count: 1 Sum: 1\.000 LastUpdated: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.5 [+-]\d{4} \S+ m=\+\d+\.\d{9}\n$",
    );
    assert!(form.unwrap().is_match(&text), "{text}");
}

#[test]
fn a_minute_is_kept_and_a_clock_set_back_goes_on_in_the_newest_interval() {
    let telemetry = Telemetry::in_memory();
    let mut state = telemetry.lock();
    for second in 0..200 {
        state.add(at(second), "x", Summary::of(1.0));
    }
    state.add(at(0), "x", Summary::of(1.0));
    assert_eq!(state.intervals.len(), INTERVALS);
    assert_eq!(state.intervals.back().map(|interval| interval.counters["x"].0.sum()), Some(11.0));
}

#[test]
fn names_and_waiting_samples_are_bounded_and_what_is_dropped_counts() {
    let telemetry = Telemetry::with_sinks("h".into());
    for number in 0..METRIC_NAMES + 5 {
        telemetry.lock().add(at(0), &format!("n{number}"), Summary::of(1.0));
    }
    assert_eq!(telemetry.dropped(), 5);
    for _ in 0..METRIC_SAMPLES_WAITING + 3 {
        telemetry.lock().sample(at(0), "s", 1.0);
    }
    assert_eq!(telemetry.dropped(), 8);
    assert_eq!(telemetry.take_lines().len(), METRIC_NAMES + METRIC_SAMPLES_WAITING);
    assert!(telemetry.take_lines().is_empty());
}

#[test]
fn only_the_first_names_of_users_are_kept() {
    let mut names = UserNames::default();
    for number in 0..METRIC_USER_NAMES {
        assert_eq!(names.metric("serf.events", &number.to_string()), format!("serf.events.{number}"));
    }
    assert_eq!(names.metric("serf.events", "late"), "serf.events._others");
    assert_eq!(names.metric("serf.events", "0"), "serf.events.0");
}

#[test]
fn a_name_cannot_forge_a_line() {
    let telemetry = Telemetry::with_sinks("h".into());
    telemetry.count("serf.events.a b:c|g\nx");
    assert_eq!(telemetry.take_lines(), ["serf-agent.serf.events.a_b_c_g_x:1.000000|c\n"]);
}
