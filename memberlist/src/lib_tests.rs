//! How an engine starts and how it leaves (spec 11).

use std::time::Duration;

use bytes::Bytes;

use crate::test_support::*;
use crate::{Alive, Config, Memberlist, Message, PeerState, Timer};

#[test]
fn start_announces_ourselves_with_incarnation_one() {
    let mut host = TestHost { meta: Bytes::from_static(b"tags"), ..TestHost::default() };
    let mut node = Memberlist::new(config(), at(0), [1; 32], &mut host).unwrap();
    assert_eq!(events(&mut node), ["joined own"]);
    let expected = Alive { meta: Some(Bytes::from_static(b"tags").into()), ..alive("own", 1) };
    assert_eq!(queued(&mut node), [Message::Alive(expected)]);
    assert_eq!((node.alive_count(), node.local_member().meta.as_ref()), (1, b"tags".as_slice()));
}

#[test]
fn start_with_too_much_meta_is_refused() {
    let mut host = TestHost { meta: Bytes::from(vec![0; 513]), ..TestHost::default() };
    assert!(Memberlist::new(config(), at(0), [1; 32], &mut host).is_err());
}

#[test]
fn loops_begin_at_random_phases_within_their_intervals() {
    let mut phases = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let node = Memberlist::new(config(), at(0), [seed; 32], &mut TestHost::default()).unwrap();
        let probe = node.timers.deadline(&Timer::Probe).unwrap();
        let gossip = node.timers.deadline(&Timer::Gossip).unwrap();
        let push_pull = node.timers.deadline(&Timer::PushPull).unwrap();
        assert!(probe < at(1000) && gossip < at(200) && push_pull >= at(30_000) && push_pull < at(60_000));
        phases.insert(probe);
    }
    assert!(phases.len() > 15);
}

#[test]
fn zero_intervals_switch_the_loops_off() {
    let (probe_interval, gossip_interval, push_pull_interval) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut node, mut host) = node_with(Config { probe_interval, gossip_interval, push_pull_interval, ..config() });
    assert_eq!(node.poll_timeout(), None);
    node.paused(at(5));
    node.handle_timeout(at(1_000_000), &mut host);
    assert_eq!(node.poll_timeout(), None);
}

#[test]
fn leave_says_farewell_once_and_ends_when_it_was_sent() {
    let (mut node, _) = node_knowing(&["b"]);
    let id = node.leave(at(0)).expect("b listens");
    assert_eq!(events(&mut node), ["left own"]);
    assert_eq!(belief(&node, "own"), Some((1, PeerState::Left)));
    assert_eq!(node.leave(at(0)), None);
    assert_eq!(queued(&mut node), [Message::Dead(dead("own", 1, "own"))]);
    node.report_finished_broadcasts();
    assert_eq!(events(&mut node), [format!("finished {}", id.0)]);
}

#[test]
fn leave_waits_for_nobody_when_alone() {
    let (mut node, mut host) = node();
    assert_eq!(node.leave(at(0)), None);
    assert_eq!(node.alive_count(), 0);
    assert_eq!(node.update_meta(at(0), &mut host), None);
}

#[test]
fn node_that_leaves_accepts_its_death() {
    let (mut node, _) = node_knowing(&["b"]);
    node.leave(at(0));
    queued(&mut node);
    node.on_suspect(at(0), suspect("own", 9, "b"));
    node.on_dead(at(0), dead("own", 9, "b"), None);
    assert_eq!(queued(&mut node), []);
    assert_eq!(belief(&node, "own").unwrap().1, PeerState::Left);
}
