//! What the node task reports: the engines' counters as differences, sizes and times as they are, gauges and queue depths
//! as they stand (`docs/spec/serf-gossip.md` 16, `docs/spec/memberlist.md` 13).

use std::collections::BTreeMap;
use std::time::Duration;

use folkmoot_serf::memberlist::Counters as GossipCounters;
use folkmoot_serf::{Counters, Event, MemberStatus, Sample, Serf};
use tokio::time::{Interval, MissedTickBehavior};

use super::{Summary, Telemetry, UserNames};

/// Time between two reports. Ours (Go reports at once): the intervals shown are ten times as long.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Reports between two looks at gauges and queues. Go: `QueueCheckInterval`, 30 s.
const REPORTS_PER_LOOK: u32 = 30;

/// The node task's side of the telemetry.
#[derive(Debug)]
pub struct NodeMetrics {
    telemetry: Telemetry,
    interval: Option<Interval>,
    reports: u32,
    /// Bytes per datagram or write, since the last report.
    sizes: BTreeMap<&'static str, Summary>,
    gossip: GossipCounters,
    serf: Counters,
    events: UserNames,
    queries: UserNames,
}

impl NodeMetrics {
    /// Nothing reported yet.
    pub fn new(telemetry: Telemetry) -> Self {
        Self {
            telemetry,
            interval: None,
            reports: 0,
            sizes: BTreeMap::new(),
            gossip: GossipCounters::default(),
            serf: Counters::default(),
            events: UserNames::default(),
            queries: UserNames::default(),
        }
    }

    /// Waits until a report is due. Cancel-safe.
    pub async fn due(&mut self) {
        let interval = self.interval.get_or_insert_with(|| {
            let mut interval = tokio::time::interval(REPORT_INTERVAL);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        interval.tick().await;
    }

    /// A datagram came.
    pub fn received_datagram(&mut self, bytes: usize) {
        self.size("memberlist.udp.received", bytes);
    }

    /// A datagram goes out.
    pub fn sent_datagram(&mut self, bytes: usize) {
        self.size("memberlist.udp.sent", bytes);
    }

    /// Bytes go out on a stream.
    pub fn sent_on_stream(&mut self, bytes: usize) {
        self.size("memberlist.tcp.sent", bytes);
    }

    /// The engine measured something.
    pub fn measured(&self, samples: Vec<Sample>) {
        for sample in samples {
            match sample {
                Sample::MessageReceived(bytes) => self.telemetry.sample("serf.msgs.received", bytes as f64),
                Sample::MessageSent(bytes) => self.telemetry.sample("serf.msgs.sent", bytes as f64),
                Sample::Probe(time) => self.telemetry.time("memberlist.probeNode", time),
                Sample::CoordinateMoved(time) => self.telemetry.time("serf.coordinate.adjustment-ms", time),
            }
        }
    }

    /// Something happened that is counted by its name.
    pub fn happened(&mut self, event: &Event) {
        let name = match event {
            Event::User(event) => self.events.metric("serf.events", &event.name.to_string()),
            Event::Query(query) => self.queries.metric("serf.queries", &query.name.to_string()),
            Event::Members(_) => return,
        };
        self.telemetry.count(&name);
    }

    /// Reports all that happened since the last time.
    pub fn report(&mut self, serf: &Serf) {
        for (name, summary) in std::mem::take(&mut self.sizes) {
            self.telemetry.add(name, summary);
        }
        let (gossip, serf_counters) = (serf.gossip_counters(), serf.counters());
        for (name, before, after) in gossip_changes(&self.gossip, gossip) {
            self.add(name, before, after);
        }
        for (name, before, after) in serf_changes(&self.serf, serf_counters) {
            self.add(name, before, after);
        }
        self.gossip.clone_from(gossip);
        self.serf.clone_from(serf_counters);
        if self.reports.is_multiple_of(REPORTS_PER_LOOK) {
            self.look(serf);
        }
        self.reports = self.reports.wrapping_add(1);
    }

    /// Gauges and depths.
    fn look(&self, serf: &Serf) {
        let stats = serf.stats();
        self.telemetry.gauge("memberlist.health.score", f64::from(stats.health_score));
        for (name, depth) in
            [("Intent", stats.intent_queue), ("Event", stats.event_queue), ("Query", stats.query_queue)]
        {
            self.telemetry.sample(&format!("serf.queue.{name}"), depth as f64);
        }
        let mut instances = [("alive", 0_u32), ("dead", 0), ("left", 0)];
        for member in serf.members() {
            let place = match member.status {
                MemberStatus::None | MemberStatus::Alive | MemberStatus::Leaving => 0,
                MemberStatus::Failed => 1,
                MemberStatus::Left => 2,
            };
            if let Some((_, count)) = instances.get_mut(place) {
                *count = count.saturating_add(1);
            }
        }
        for (state, count) in instances {
            self.telemetry.gauge(&format!("memberlist.node.instances.{state}"), f64::from(count));
        }
    }

    fn add(&self, name: &str, before: u64, after: u64) {
        if let Some(summary) = Summary::of_times(after.saturating_sub(before)) {
            self.telemetry.add(name, summary);
        }
    }

    fn size(&mut self, name: &'static str, bytes: usize) {
        // A datagram or write is far below 2^53 bytes: exact.
        let size = Summary::of(bytes as f64);
        self.sizes.entry(name).and_modify(|summary| summary.merge(&size)).or_insert(size);
    }
}

/// A counter: its name, what it was, what it is.
type Change = (&'static str, u64, u64);

/// Go's names first; those under `folkmoot` are ours.
fn gossip_changes(before: &GossipCounters, after: &GossipCounters) -> [Change; 21] {
    let of = |name, read: fn(&GossipCounters) -> u64| (name, read(before), read(after));
    [
        of("memberlist.tcp.accept", |counters| counters.streams_accepted),
        of("memberlist.tcp.connect", |counters| counters.streams_dialled),
        of("memberlist.msg.alive", |counters| counters.alive_messages),
        of("memberlist.msg.suspect", |counters| counters.suspect_messages),
        of("memberlist.msg.dead", |counters| counters.dead_messages),
        of("memberlist.degraded.probe", |counters| counters.degraded_probes),
        of("memberlist.degraded.timeout", |counters| counters.degraded_timeouts),
        of("folkmoot.packets.refused", |counters| counters.packets_refused),
        of("folkmoot.messages.skipped", |counters| counters.messages_skipped),
        of("folkmoot.messages.lost", |counters| counters.messages_lost),
        of("folkmoot.streams.refused", |counters| counters.streams_refused),
        of("folkmoot.streams.failed", |counters| counters.streams_failed),
        of("folkmoot.members.malformed", |counters| counters.members_malformed),
        of("folkmoot.members.refused", |counters| counters.members_refused),
        of("folkmoot.members.unwanted", |counters| counters.members_unwanted),
        of("folkmoot.name.conflicts", |counters| counters.name_conflicts),
        of("folkmoot.refutations", |counters| counters.refutations),
        of("folkmoot.incarnations.exhausted", |counters| counters.incarnations_exhausted),
        of("folkmoot.probes.failed", |counters| counters.probes_failed),
        of("folkmoot.indirect_pings.refused", |counters| counters.relays_refused),
        of("folkmoot.merges.refused", |counters| counters.merges_refused),
    ]
}

fn serf_changes(before: &Counters, after: &Counters) -> [Change; 23] {
    let of = |name, read: fn(&Counters) -> u64| (name, read(before), read(after));
    [
        of("serf.member.join", |counters| counters.member_join),
        of("serf.member.left", |counters| counters.member_left),
        of("serf.member.failed", |counters| counters.member_failed),
        of("serf.member.update", |counters| counters.member_update),
        of("serf.member.flap", |counters| counters.member_flap),
        of("serf.events", |counters| counters.events),
        of("serf.queries", |counters| counters.queries),
        of("serf.query_acks", |counters| counters.query_acks),
        of("serf.query_duplicate_acks", |counters| counters.query_duplicate_acks),
        of("serf.query_responses", |counters| counters.query_responses),
        of("serf.query_duplicate_responses", |counters| counters.query_duplicate_responses),
        of("serf.coordinate.rejected", |counters| counters.coordinates_rejected),
        of("folkmoot.relays.sent", |counters| counters.relays),
        of("folkmoot.relays.refused", |counters| counters.relays_refused),
        of("folkmoot.serf_messages.refused", |counters| counters.messages_refused),
        of("folkmoot.serf_messages.never_gossiped", |counters| counters.messages_never_gossiped),
        of("folkmoot.times.refused", |counters| counters.times_refused),
        of("folkmoot.serf_members.refused", |counters| counters.members_refused),
        of("folkmoot.events.refused", |counters| counters.events_refused),
        of("folkmoot.queries.refused", |counters| counters.queries_refused),
        of("folkmoot.queries.forgotten", |counters| counters.queries_forgotten),
        of("folkmoot.answers.refused", |counters| counters.answers_refused),
        of("folkmoot.answers.stray", |counters| counters.answers_stray),
    ]
}
