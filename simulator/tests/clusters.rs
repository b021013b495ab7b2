//! Clusters of 2 to 100 nodes in quiet networks: who joins is seen, who dies is noticed in time, events arrive once.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use folkmoot_simulator::alarm;
use folkmoot_simulator::engine::Request;
use folkmoot_simulator::node::name;
use folkmoot_simulator::options::{Layer, Options};
use folkmoot_simulator::world::World;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Runs a test body; ERROR lines and broken invariants fail it.
#[track_caller]
fn quietly(body: impl FnOnce()) {
    let ((), errors) = alarm::listen(body);
    assert_eq!(errors, Vec::<String>::new());
}

/// All joined through the first, all known to all. Gossip alone misses somebody about once in 200 times, in Go too; then
/// the first push/pull helps, which comes within twice its interval of 30 s.
fn cluster(layer: Layer, nodes: usize) -> World {
    let mut world = World::new(Options::quiet(nodes as u64, layer, nodes)).unwrap();
    for number in 1..nodes {
        world.join(number, 0);
    }
    let found = world.run_until(seconds(65), World::is_converged).unwrap();
    assert!(found, "{nodes} nodes do not find one another: {}", views(&world));
    world
}

fn seen_at(world: &World, text: &str) -> Vec<usize> {
    let mut nodes: Vec<usize> =
        world.trace().facts().iter().filter(|fact| fact.text == text).map(|fact| fact.node).collect();
    nodes.sort_unstable();
    nodes
}

/// Longest time for everybody to know of a death: the probe rounds until somebody asks the dead node, the longest
/// suspicion (SuspicionMult 4, at least 1 s per decade of nodes, six times that without confirmations), and gossip.
fn detection_bound(nodes: usize) -> Duration {
    let decades = f64::log10(nodes as f64).max(1.0);
    Duration::from_secs_f64(nodes as f64 * 1.5 + 4.0 * decades * 6.0 + 5.0).min(seconds(90))
}

fn a_death_is_noticed(layer: Layer, nodes: usize) {
    quietly(|| {
        let mut world = cluster(layer, nodes);
        let victim = nodes - 1;
        world.crash(victim);
        let survivors: Vec<usize> = (0..victim).collect();
        let text = format!("member-failed {}", name(victim));
        let noticed = world.run_until(detection_bound(nodes), |world| seen_at(world, &text) == survivors).unwrap();
        assert!(noticed, "{text} only at {:?}", seen_at(&world, &text));
        // Nobody else is blamed.
        let failures = world.trace().facts().iter().filter(|fact| fact.text.starts_with("member-failed")).count();
        assert_eq!(failures, survivors.len());
    });
}

#[test]
fn death_is_noticed_by_2_3_5_and_20_bare_nodes() {
    for nodes in [2, 3, 5, 20] {
        a_death_is_noticed(Layer::Memberlist, nodes);
    }
}

#[test]
fn death_is_noticed_by_2_3_5_and_20_agents() {
    for nodes in [2, 3, 5, 20] {
        a_death_is_noticed(Layer::Serf, nodes);
    }
}

#[test]
fn hundred_bare_nodes_find_one_another_and_notice_a_death() {
    a_death_is_noticed(Layer::Memberlist, 100);
}

#[test]
fn hundred_agents_find_one_another_and_hear_an_event_once() {
    quietly(|| {
        let mut world = cluster(Layer::Serf, 100);
        world.ask(7, Request::Event { name: "deploy".into(), payload: "x".into() }).unwrap();
        let all: Vec<usize> = (0..100).collect();
        assert!(world.run_until(seconds(10), |world| seen_at(world, "event deploy") == all).unwrap());
        world.run(seconds(5)).unwrap();
        assert_eq!(seen_at(&world, "event deploy"), all);
    });
}

#[test]
fn graceful_leave_is_a_leave_everywhere_and_no_failure() {
    for (layer, nodes) in [(Layer::Memberlist, 2), (Layer::Memberlist, 5), (Layer::Serf, 2), (Layer::Serf, 20)] {
        quietly(|| {
            let mut world = cluster(layer, nodes);
            world.leave(1);
            let others: Vec<usize> = (0..nodes).filter(|&node| node != 1).collect();
            let text = "member-leave n2";
            let told = |world: &World| {
                seen_at(world, text).into_iter().filter(|&node| node != 1).collect::<Vec<_>>() == others
            };
            assert!(world.run_until(seconds(15), told).unwrap(), "{layer:?} {nodes}: {:?}", seen_at(&world, text));
            world.crash(1);
            world.run(seconds(30)).unwrap();
            assert_eq!(seen_at(&world, "member-failed n2"), Vec::<usize>::new());
        });
    }
}

#[test]
fn short_pause_is_refuted() {
    for layer in [Layer::Memberlist, Layer::Serf] {
        quietly(|| {
            let mut world = cluster(layer, 5);
            world.pause(3);
            let suspected = |world: &World| layer == Layer::Serf || views(world).contains("suspect");
            assert!(world.run_until(seconds(12), suspected).unwrap());
            world.run(seconds(2)).unwrap();
            world.resume(3);
            assert!(world.run_until(seconds(15), World::is_converged).unwrap(), "{}", views(&world));
            world.run(seconds(30)).unwrap();
            assert_eq!(seen_at(&world, "member-failed n4"), Vec::<usize>::new());
        });
    }
}

fn views(world: &World) -> String {
    let views = world.nodes().iter().filter_map(|node| node.engine()).map(|engine| engine.view());
    format!("{:?}", views.collect::<Vec<_>>())
}

#[test]
fn long_pause_is_a_failure_and_a_return() {
    quietly(|| {
        let mut world = cluster(Layer::Serf, 3);
        world.pause(2);
        assert!(world.run_until(seconds(60), |world| seen_at(world, "member-failed n3") == [0, 1]).unwrap());
        world.resume(2);
        assert!(world.run_until(seconds(90), World::is_converged).unwrap(), "{}", views(&world));
    });
}

#[test]
fn restarted_agent_finds_back_by_its_snapshot() {
    quietly(|| {
        let mut world = cluster(Layer::Serf, 3);
        world.crash(2);
        assert!(world.run_until(seconds(60), |world| seen_at(world, "member-failed n3") == [0, 1]).unwrap());
        world.restart(2).unwrap();
        assert!(world.run_until(seconds(30), World::is_converged).unwrap(), "{}", views(&world));
    });
}

#[test]
fn partition_of_five_agents_heals() {
    let mut world = cluster(Layer::Serf, 5);
    world.partition(&[BTreeSet::from([0, 1])]);
    let split = |world: &World| seen_at(world, "member-failed n5") == [0, 1];
    assert!(world.run_until(seconds(90), split).unwrap());
    world.ask(0, Request::Event { name: "left".into(), payload: String::new() }).unwrap();
    world.ask(4, Request::Event { name: "right".into(), payload: String::new() }).unwrap();
    world.run(seconds(10)).unwrap();
    assert_eq!((seen_at(&world, "event left"), seen_at(&world, "event right")), (vec![0, 1], vec![2, 3, 4]));
    world.heal();
    // Only the reconnector brings the parts together: every 30 s, with a chance that grows with the failed members.
    assert!(world.run_until(seconds(600), World::is_converged).unwrap(), "{}", views(&world));
    let everywhere =
        |world: &World| ["event left", "event right"].iter().all(|text| seen_at(world, text) == [0, 1, 2, 3, 4]);
    assert!(world.run_until(seconds(90), everywhere).unwrap());
}

#[test]
fn query_is_confirmed_and_answered_by_all() {
    quietly(|| {
        let mut world = cluster(Layer::Serf, 5);
        world.ask(2, Request::Query { name: "uptime".into() }).unwrap();
        assert!(world.run_until(seconds(10), |world| seen_at(world, "query done") == [2]).unwrap());
        for number in 0..5 {
            assert_eq!(seen_at(&world, &format!("answer {}", name(number))), [2]);
            assert_eq!(seen_at(&world, &format!("ack {}", name(number))), [2]);
        }
    });
}
