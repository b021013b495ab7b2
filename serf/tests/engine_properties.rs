//! What holds for any sequence of messages (`docs/spec/serf-gossip.md` section 20).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use folkmoot_serf::messages::{JoinIntent, LeaveIntent, QueryMessage, UserEventMessage};
use folkmoot_serf::{Event, LamportTime, MemberStatus, Prune};
use proptest::collection::vec;
use proptest::prelude::*;
use world::{World, address, dead, name, quiet_pair};

/// Something that reaches node 1.
#[derive(Debug, Clone)]
enum Step {
    Leave { node: u8, ltime: u64, prune: bool },
    Join { node: u8, ltime: u64 },
    Event { ltime: u64, name: u8, payload: u8 },
    Query { ltime: u64, id: u32 },
    Death { node: u8, farewell: bool },
    ForceLeave { node: u8, prune: bool },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let ltime = prop_oneof![8 => 0_u64..60, 1 => Just(u64::MAX), 1 => 500_u64..1_200];
    prop_oneof![
        4 => (1_u8..5, ltime.clone(), any::<bool>()).prop_map(|(node, ltime, prune)| Step::Leave { node, ltime, prune }),
        4 => (1_u8..5, ltime.clone()).prop_map(|(node, ltime)| Step::Join { node, ltime }),
        3 => (ltime.clone(), 0_u8..3, 0_u8..3).prop_map(|(ltime, name, payload)| Step::Event { ltime, name, payload }),
        2 => (ltime, 0_u32..3).prop_map(|(ltime, id)| Step::Query { ltime, id }),
        2 => (2_u8..3, any::<bool>()).prop_map(|(node, farewell)| Step::Death { node, farewell }),
        1 => (1_u8..5, any::<bool>()).prop_map(|(node, prune)| Step::ForceLeave { node, prune }),
        2 => (0_u64..20).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn take(world: &mut World, step: &Step) {
    let node = |number: &u8| format!("n{number}");
    match step {
        Step::Leave { node: number, ltime, prune } => {
            let intent = LeaveIntent { ltime: LamportTime(*ltime), node: name(&node(number)), prune: *prune };
            world.inject(1, &intent.encode());
        }
        Step::Join { node: number, ltime } => {
            let intent = JoinIntent { ltime: LamportTime(*ltime), node: name(&node(number)) };
            world.inject(1, &intent.encode());
        }
        Step::Event { ltime, name, payload } => world.inject(1, &event(*ltime, *name, *payload)),
        Step::Query { ltime, id } => {
            let query = QueryMessage {
                ltime: LamportTime(*ltime),
                id: *id,
                address: Some(Bytes::from_static(&[10, 0, 0, 250])),
                port: 7946,
                timeout_ns: 1_000_000_000,
                ..QueryMessage::default()
            };
            world.inject(1, &query.encode());
        }
        Step::Death { node: number, farewell } => {
            let by = if *farewell { node(number) } else { "n9".to_string() };
            let message = dead(&node(number), &by);
            world.with(1, |serf, now| serf.handle_packet(now, address(9), &message)).unwrap();
        }
        Step::ForceLeave { node: number, prune } => {
            let prune = if *prune { Prune::Erase } else { Prune::Keep };
            world.with(1, |serf, now| serf.force_leave(now, &name(&node(number)), prune));
        }
        Step::Wait { seconds } => world.run(Duration::from_secs(*seconds)),
    }
}

fn event(ltime: u64, name: u8, payload: u8) -> Bytes {
    let payload = Some(Bytes::from(vec![payload]));
    UserEventMessage { ltime: LamportTime(ltime), name: format!("e{name}").into(), payload, coalesce: false }.encode()
}

fn statuses(world: &World) -> BTreeMap<String, MemberStatus> {
    world.serf(1).members().map(|member| (member.name.0.to_string(), member.status)).collect()
}

/// Whether one message or a pause may change a status so. Pauses may hold several changes.
fn may_follow(before: MemberStatus, after: MemberStatus) -> bool {
    use MemberStatus::{Alive, Failed, Leaving, Left, None};
    match (before, after) {
        (None, Alive | Leaving) | (Alive, Leaving | Failed | Left) | (Leaving, Alive | Left | None) => true,
        (Left, Alive | None) | (Failed, Alive | Left | None) => true,
        (before, after) => before == after,
    }
}

type Told = BTreeSet<(u64, String, Option<Bytes>)>;

fn told(world: &World) -> (Told, usize) {
    let events = world.node(1).events.iter().filter_map(|event| match event {
        Event::User(event) => Some((event.ltime.0, event.name.to_string(), event.payload.clone())),
        Event::Members(_) | Event::Query(_) => None,
    });
    let all: Vec<_> = events.collect();
    (all.iter().cloned().collect(), all.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn clocks_statuses_lists_and_ourselves_stay_sane(steps in vec(step(), 1..60)) {
        let mut world = quiet_pair();
        for step in &steps {
            let (stats, before) = (world.serf(1).stats(), statuses(&world));
            let revision = world.serf(1).members_revision();
            take(&mut world, step);
            let (after_stats, after) = (world.serf(1).stats(), statuses(&world));
            prop_assert!(after_stats.member_time >= stats.member_time);
            prop_assert!(after_stats.event_time >= stats.event_time);
            prop_assert!(after_stats.query_time >= stats.query_time);
            if let Step::Leave { ltime, .. } | Step::Join { ltime, .. } = step {
                prop_assert!(*ltime == u64::MAX || after_stats.member_time > *ltime);
            }
            for name in before.keys().chain(after.keys()) {
                let status = |table: &BTreeMap<String, MemberStatus>| {
                    table.get(name).copied().unwrap_or(MemberStatus::None)
                };
                // A leave intent with prune takes a failed member through left to erased at once.
                prop_assert!(may_follow(status(&before), status(&after)), "{name}: {before:?} {step:?} {after:?}");
            }
            prop_assert_eq!(after.get("n1"), Some(&MemberStatus::Alive), "we are always alive to ourselves");
            let count = |status| after.values().filter(|known| **known == status).count();
            prop_assert_eq!(after_stats.failed, count(MemberStatus::Failed));
            prop_assert_eq!(after_stats.left, count(MemberStatus::Left));
            prop_assert!(before == after || world.serf(1).members_revision() > revision);
        }
    }

    #[test]
    fn events_in_any_order_and_number_are_told_once(
        events in vec((1_u64..400, 0_u8..4, 0_u8..3), 1..40),
        order in vec(any::<prop::sample::Index>(), 0..120),
    ) {
        let mut straight = quiet_pair();
        for (ltime, name, payload) in &events {
            straight.inject(1, &event(*ltime, *name, *payload));
        }
        let mut mixed = quiet_pair();
        for index in &order {
            let (ltime, name, payload) = index.get(&events);
            mixed.inject(1, &event(*ltime, *name, *payload));
        }
        for (ltime, name, payload) in events.iter().rev() {
            mixed.inject(1, &event(*ltime, *name, *payload));
        }
        let ((one, one_count), (two, two_count)) = (told(&straight), told(&mixed));
        prop_assert_eq!(one_count, one.len(), "each once");
        prop_assert_eq!(two_count, two.len(), "each once");
        prop_assert_eq!(one, two);
    }

    #[test]
    fn whatever_was_said_of_living_nodes_everybody_ends_alive_and_quiet(steps in vec(step(), 1..15), seed in 1_u8..4) {
        let mut world = World::cluster(3);
        for step in &steps {
            // Intents, events and queries of strangers reach one node; only real deaths are left out.
            match step {
                Step::Leave { ltime, prune, node } => {
                    let intent = LeaveIntent { ltime: LamportTime(*ltime), node: name(&format!("n{node}")), prune: *prune };
                    world.inject(seed, &intent.encode());
                }
                Step::Join { .. } | Step::Event { .. } | Step::Query { .. } | Step::ForceLeave { .. } => {
                    take(&mut world, step);
                }
                Step::Wait { seconds } => world.run(Duration::from_secs(*seconds)),
                Step::Death { .. } => {}
            }
        }
        world.run(Duration::from_secs(60));
        let clocks: BTreeSet<u64> = (1..=3).map(|at| world.serf(at).stats().member_time).collect();
        prop_assert_eq!(clocks.len(), 1, "clocks agree");
        for at in 1..=3 {
            for of in ["n1", "n2", "n3"] {
                prop_assert_eq!(world.status(at, of), MemberStatus::Alive, "{} at {}", of, at);
            }
            let stats = world.serf(at).stats();
            prop_assert_eq!((stats.intent_queue, stats.event_queue, stats.query_queue), (0, 0, 0));
        }
    }
}
