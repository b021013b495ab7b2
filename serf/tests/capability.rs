//! What nodes say behind their tags: told to all, shown to nobody, never in the way of tags; and clusters that keep apart.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use std::time::Duration;

use folkmoot_serf::{
    Capability, ClusterNameHash, Completion, Config, Event, MemberEventKind, MemberStatus, RaftCapability, Tags, Text,
    VoterPreference,
};
use world::{World, config, kinds, name};

const SECOND: Duration = Duration::from_secs(1);

fn raft(node: u64, cluster: Option<u64>) -> Capability {
    let preference = VoterPreference::Auto;
    let raft = RaftCapability { node, port: 4321, address: None, cluster, expect: Some(3), preference };
    Capability { cluster_name: None, raft: Some(raft) }
}

fn seen(world: &World, at: u8, of: &str) -> Option<Capability> {
    let wanted = name(of);
    world.serf(at).members().find(|member| member.name == wanted).and_then(|member| member.capability)
}

fn of_cluster(number: u8, cluster: Option<&str>) -> Config {
    let mut config = config(&format!("n{number}"), number);
    config.capability = Some(Capability::default());
    config.cluster_name = cluster.map(str::to_owned);
    config
}

fn tags(length: usize) -> Tags {
    Tags([(Text::from("k"), Text::from("x".repeat(length).as_str()))].into())
}

#[test]
fn everybody_learns_a_change_and_serfs_clients_hear_nothing_of_it() {
    let mut world = World::cluster(3);
    assert_eq!(seen(&world, 1, "n2"), None);
    let deliveries: Vec<usize> = [1, 2, 3].iter().map(|at| world.node(*at).deliveries.len()).collect();
    world.with(2, |serf, now| serf.set_capability(now, Some(raft(7, None)))).unwrap();
    world.until("all know", |world| [1, 2, 3].iter().all(|at| seen(world, *at, "n2") == Some(raft(7, None))));
    world.run(SECOND * 10);
    for (at, before) in [1, 2, 3].into_iter().zip(deliveries) {
        assert_eq!(world.node(at).deliveries.len(), before, "n{at}");
        assert!(world.member_events(at, "n2").contains(&MemberEventKind::Update), "our own consumers hear of it");
    }
    world.with(2, |serf, now| serf.set_capability(now, None)).unwrap();
    world.until("all know", |world| [1, 2, 3].iter().all(|at| seen(world, *at, "n2").is_none()));
}

#[test]
fn a_change_of_tags_is_told_with_and_without_a_capability() {
    let mut world = World::cluster_of(2, |config| config.capability = Some(Capability::default()));
    world.with(2, |serf, now| serf.set_tags(now, tags(3))).unwrap();
    world.until("the tags arrive", |world| world.serf(1).members().any(|member| member.tags == tags(3)));
    world.run(SECOND * 5);
    let updates = |world: &World| {
        let all = kinds(&world.node(1).deliveries, "n2");
        all.into_iter().filter(|kind| *kind == MemberEventKind::Update).count()
    };
    assert_eq!(updates(&world), 1);
    assert_eq!(seen(&world, 1, "n2"), Some(Capability::default()));
    let both = |world: &mut World| {
        world.with(2, |serf, now| {
            serf.set_tags(now, tags(4)).unwrap();
            serf.set_capability(now, Some(raft(7, None))).unwrap();
        });
    };
    both(&mut world);
    world.until("both arrive", |world| {
        seen(world, 1, "n2") == Some(raft(7, None)) && world.serf(1).members().any(|member| member.tags == tags(4))
    });
    world.run(SECOND * 5);
    assert_eq!(updates(&world), 2);
}

#[test]
fn tags_at_their_limit_push_the_capability_out_and_give_it_back() {
    let mut world = World::cluster_of(2, |config| config.capability = Some(raft(7, Some(9))));
    assert_eq!(seen(&world, 1, "n2"), Some(raft(7, Some(9))));
    let without_details = raft(7, None).raft.map(|raft| RaftCapability { expect: None, ..raft });
    let steps = [
        (505, None),
        (498, Some(Capability::default())),
        (486, Some(Capability { raft: without_details, cluster_name: None })),
        (473, Some(raft(7, Some(9)))),
    ];
    for (length, expected) in steps {
        world.with(2, |serf, now| serf.set_tags(now, tags(length))).unwrap();
        world.until("the tags arrive", |world| world.serf(1).members().any(|member| member.tags == tags(length)));
        assert_eq!(seen(&world, 1, "n2"), expected, "{length} bytes of tag");
    }
    assert!(world.with(2, |serf, now| serf.set_tags(now, tags(506))).is_err());
}

#[test]
fn saying_the_same_again_says_nothing() {
    let mut world = World::cluster(2);
    world.with(2, |serf, now| serf.set_capability(now, Some(raft(7, None)))).unwrap();
    world.run(SECOND * 5);
    let before = world.serf(2).gossip_counters().alive_messages;
    world.with(2, |serf, now| serf.set_capability(now, Some(raft(7, None)))).unwrap();
    assert_eq!(world.serf(2).gossip_counters().alive_messages, before);
}

#[test]
fn nodes_of_another_cluster_are_refused_in_plain_words() {
    let mut world = World::new();
    world.start(1, of_cluster(1, Some("berlin")));
    world.start(2, of_cluster(2, Some("paris")));
    let operation = world.join(2, 1);
    let Some(Completion::Join { contacted: 0, errors }) = world.completion(2, operation) else { panic!("it joined") };
    let reason = "'n1' belongs to another cluster than ours (-cluster=paris)";
    assert!(errors.iter().any(|error| error.contains(reason)), "{errors:?}");
    world.run(SECOND * 5);
    assert_eq!((world.status(1, "n2"), world.status(2, "n1")), (MemberStatus::None, MemberStatus::None));
}

#[test]
fn nodes_of_the_same_cluster_of_none_and_of_go_are_taken_in() {
    let mut world = World::new();
    world.start(1, of_cluster(1, Some("berlin")));
    world.start(2, of_cluster(2, Some("berlin")));
    world.start(3, of_cluster(3, None));
    world.start(4, config("n4", 4));
    for newcomer in [2, 3, 4] {
        world.join(newcomer, 1);
    }
    world.until("all are there", |world| {
        ["n1", "n2", "n3", "n4"].iter().all(|of| (1..=4).all(|at| world.status(at, of) == MemberStatus::Alive))
    });
    let named = Some(Capability { cluster_name: Some(ClusterNameHash::of("berlin")), raft: None });
    assert_eq!((seen(&world, 4, "n1"), seen(&world, 4, "n2"), seen(&world, 4, "n4")), (named, named, None));
}

/// A Go agent knows both clusters and passes everything on; they still do not see one another.
#[test]
fn a_relay_between_two_clusters_brings_nobody_together() {
    let mut world = World::new();
    world.start(1, of_cluster(1, Some("berlin")));
    world.start(2, of_cluster(2, Some("paris")));
    world.start(3, config("n3", 3));
    world.join(1, 3);
    world
        .with(3, |serf, now| {
            let target = folkmoot_serf::JoinTarget { name: None, address: world::address(2) };
            serf.join(now, vec![target], folkmoot_serf::OldEvents::Replay)
        })
        .unwrap();
    world.run(SECOND * 90);
    assert_eq!((world.status(1, "n2"), world.status(2, "n1")), (MemberStatus::None, MemberStatus::None));
    let heard = |at: u8, of: &str| world.node(at).events.iter().any(|event| tells_of(event, of));
    assert!(!heard(1, "n2") && !heard(2, "n1"));
    assert_eq!(world.status(1, "n3"), MemberStatus::Alive);
}

fn tells_of(event: &Event, of: &str) -> bool {
    matches!(event, Event::Members(event) if event.members.iter().any(|member| member.name == name(of)))
}
