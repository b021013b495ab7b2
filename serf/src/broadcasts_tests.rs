use super::*;
use crate::memberlist as gossip;

fn config() -> Config {
    let address = std::net::SocketAddr::from(([10, 0, 0, 1], 7946));
    Config::agent(gossip::Config::lan(NodeName("n1".into()), address))
}

fn node(text: &str) -> NodeName {
    NodeName(text.into())
}

#[test]
fn queue_limit_is_gos() {
    let mut config = config();
    assert_eq!(queue_limit(&config, 100), 4_096);
    config.min_queue_depth = 1_024;
    assert_eq!(queue_limit(&config, 100), 1_024);
    config.min_queue_depth = 16;
    assert_eq!(queue_limit(&config, 100), 200);
    assert_eq!(queue_limit(&config, 101), 202);
}

#[test]
fn order_is_own_leave_then_intents_then_queries_then_events() {
    let mut broadcasts = Broadcasts::new(4);
    broadcasts.queue_event(Bytes::from_static(b"a long event"));
    broadcasts.queue_query(Bytes::from_static(b"a query"));
    broadcasts.queue_intent(&node("x"), Bytes::from_static(b"an intent, longer"));
    broadcasts.queue_farewell(Bytes::from_static(b"bye"));
    let taken = broadcasts.take(3, 1_000, 10);
    assert_eq!(taken, ["bye", "an intent, longer", "a query", "a long event"].map(Bytes::from));
}

#[test]
fn one_packet_never_carries_more_than_its_limit() {
    let mut broadcasts = Broadcasts::new(4);
    for number in 0..50_u8 {
        broadcasts.queue_intent(&node(&number.to_string()), Bytes::from(vec![number; 40]));
        broadcasts.queue_event(Bytes::from(vec![number; 90]));
        broadcasts.queue_query(Bytes::from(vec![number; 70]));
    }
    for limit in [0, 3, 43, 100, 1_398, 9_000] {
        let used: usize = broadcasts.take(3, limit, 10).iter().map(|message| message.len() + 3).sum();
        assert!(used <= limit, "{used} > {limit}");
    }
}

#[test]
fn newer_intent_about_a_node_replaces_the_older_and_ends_its_wait() {
    let mut broadcasts = Broadcasts::new(4);
    let first = broadcasts.queue_intent(&node("x"), Bytes::from_static(b"first"));
    broadcasts.queue_intent(&node("y"), Bytes::from_static(b"other"));
    broadcasts.queue_intent(&node("x"), Bytes::from_static(b"second"));
    assert_eq!(broadcasts.depth(Kind::Intent), 2);
    assert_eq!(broadcasts.drain_finished(), [first]);
}

#[test]
fn intent_about_a_stranger_replaces_nothing() {
    let mut broadcasts = Broadcasts::new(4);
    broadcasts.queue_intent(&node("x"), Bytes::from_static(b"prune x"));
    broadcasts.queue_intent_about_stranger(Bytes::from_static(b"x left earlier"));
    assert_eq!(broadcasts.depth(Kind::Intent), 2);
    assert_eq!(broadcasts.drain_finished(), []);
}

#[test]
fn queue_is_cut_to_its_limit_at_once_and_counts() {
    let mut config = config();
    config.max_queue_depth = 10;
    let mut broadcasts = Broadcasts::new(4);
    for number in 0..25_u8 {
        broadcasts.queue_event(Bytes::from(vec![number]));
        broadcasts.prune(&config, 1);
    }
    assert_eq!(broadcasts.depth(Kind::Event), 10);
    assert_eq!(broadcasts.dropped(), 15);
    broadcasts.check(&config, 1);
    assert_eq!(broadcasts.overflow, [0; 3], "told once");
}

#[test]
fn messages_leave_after_as_many_transmissions_as_the_living_need() {
    let mut broadcasts = Broadcasts::new(4);
    let id = broadcasts.queue_farewell(Bytes::from_static(b"bye"));
    for _ in 0..4 {
        assert_eq!(broadcasts.drain_finished(), []);
        assert_eq!(broadcasts.take(3, 1_000, 9).len(), 1);
    }
    assert_eq!(broadcasts.drain_finished(), [id]);
}
