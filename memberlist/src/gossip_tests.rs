//! What goes into packets, how much of it, and to whom (spec 2.4, 2.7, 7.2, 7.3).

use bytes::Bytes;

use crate::test_support::*;
use crate::{Ack, Alive, Config, Io, Keyring, Message, SequenceNumber, Versions};

/// Sizes and destinations of the datagrams sent so far.
fn datagrams(node: &mut crate::Memberlist) -> Vec<(std::net::SocketAddr, Bytes)> {
    let (_, rest) = outputs(node);
    let packet = |io| match io {
        Io::Packet { to, bytes } => Some((to, bytes)),
        Io::Connect { .. } | Io::Write { .. } | Io::Close { .. } => None,
    };
    rest.into_iter().filter_map(packet).collect()
}

fn news(node: &mut crate::Memberlist, host: &TestHost, count: usize) {
    for number in 0..count {
        let newcomer = Alive { node: name(&format!("new-{number:04}")), ..alive("n", 1) };
        node.on_alive(at(0), newcomer, host);
    }
    events(node);
}

#[test]
fn gossip_goes_to_distinct_peers_and_each_gets_its_share() {
    let (mut node, mut host) = node_knowing(&["b", "c", "d", "e"]);
    node.on_alive(at(0), alive("b", 2), &host);
    node.on_gossip_tick(at(0), &mut host);
    let sent = packets(&mut node);
    let mut peers: Vec<_> = sent.iter().map(|(to, _)| *to).collect();
    peers.sort();
    peers.dedup();
    assert_eq!(peers.len(), 3);
    for (_, messages) in sent {
        assert_eq!(messages, [Message::Alive(alive("b", 2))]);
    }
}

#[test]
fn silence_when_there_is_nothing_to_say() {
    let (mut node, mut host) = node_knowing(&["b", "c"]);
    node.on_gossip_tick(at(0), &mut host);
    assert_eq!(packets(&mut node), []);
}

#[test]
fn the_dead_hear_gossip_for_a_while_and_the_left_never() {
    let (mut node, mut host) = node_knowing(&["b", "c"]);
    node.on_dead(at(0), dead("b", 1, "x"), None);
    node.on_dead(at(0), dead("c", 1, "c"), None);
    queued(&mut node);
    let mut heard = |now: u64| {
        host.broadcasts = vec![Bytes::from_static(b"news"); 3];
        node.on_gossip_tick(at(now), &mut host);
        packets(&mut node).iter().map(|(to, _)| *to).collect::<Vec<_>>()
    };
    assert_eq!(heard(30_000), [address("b")]);
    assert_eq!(heard(30_001), []);
}

#[test]
fn our_own_broadcasts_go_before_the_hosts() {
    let (mut node, mut host) = node_knowing(&["b"]);
    host.broadcasts.push(Bytes::from_static(b"user"));
    node.on_alive(at(0), alive("c", 1), &host);
    node.on_gossip_tick(at(0), &mut host);
    let sent = packets(&mut node);
    assert_eq!(sent[0].1, [Message::Alive(alive("c", 1)), Message::User(Bytes::from_static(b"user"))]);
}

#[test]
fn packets_are_full_but_never_over_their_limit() {
    let keyring = Keyring::new(&[], &[7; 16]).unwrap();
    for (config, limit) in [
        (config(), 1400 + 5),
        (Config { keyring, ..config() }, 1400 + 5),
        (Config { label: Bytes::from_static(b"blue"), ..config() }, 1400 + 5),
        (Config { udp_buffer_size: 600, ..config() }, 600 + 5),
    ] {
        let (mut node, mut host) = node_with(config);
        news(&mut node, &host, 200);
        node.on_gossip_tick(at(0), &mut host);
        let sent = datagrams(&mut node);
        assert!(!sent.is_empty());
        for (_, bytes) in sent {
            assert!(bytes.len() <= limit, "{} of {limit}", bytes.len());
            assert!(bytes.len() + 80 > limit, "{} of {limit}", bytes.len());
        }
    }
}

#[test]
fn more_than_127_messages_go_into_several_compounds() {
    let (mut node, mut host) = node_with(Config { udp_buffer_size: 60_000, ..config() });
    news(&mut node, &host, 300);
    node.send_with_piggyback(at(0), address("b"), &Message::Ack(Ack::default()), &mut host);
    let parts: Vec<usize> = packets(&mut node).iter().map(|(_, messages)| messages.len()).collect();
    assert_eq!(parts, [127, 127, 47]);
}

#[test]
fn ack_carries_what_waits_behind_it() {
    let (mut node, mut host) = node_knowing(&["b"]);
    node.on_alive(at(0), alive("c", 1), &host);
    let ack = Message::Ack(Ack { payload: None, sequence: SequenceNumber(1) });
    node.send_with_piggyback(at(0), address("b"), &ack, &mut host);
    assert_eq!(packets(&mut node), [(address("b"), vec![ack, Message::Alive(alive("c", 1))])]);
}

#[test]
fn broadcast_is_sent_four_times_among_three_nodes() {
    let (mut node, mut host) = node_knowing(&["b", "c"]);
    node.on_alive(at(0), alive("b", 2), &host);
    let mut sent = 0;
    for _ in 0..10 {
        node.on_gossip_tick(at(0), &mut host);
        sent += packets(&mut node).len();
    }
    assert_eq!(sent, 4);
}

#[test]
fn checksum_goes_where_go_puts_it() {
    let (mut node, mut host) = node_knowing(&["b", "c"]);
    let old = Versions { protocol_max: 4, ..versions() };
    node.on_alive(at(0), Alive { versions: Some(old), ..alive("o", 1) }, &host);
    let by_address = Alive { node: name(&address("z").ip().to_string()), ..alive("z", 1) };
    node.on_alive(at(0), by_address, &host);
    queued(&mut node);
    events(&mut node);
    let ack = Message::Ack(Ack::default());
    let has_checksum = |node: &mut crate::Memberlist| datagrams(node)[0].1[0] == 12;

    node.send_bare(address("b"), &ack);
    assert!(!has_checksum(&mut node), "an address with an ordinary name");
    node.send_bare(address("z"), &ack);
    assert!(has_checksum(&mut node), "a node named by its address");
    node.send_best_effort(at(0), address("b"), None, b"user");
    assert!(!has_checksum(&mut node));
    node.send_best_effort(at(0), address("b"), Some(&name("b")), b"user");
    assert!(has_checksum(&mut node));
    node.send_best_effort(at(0), address("o"), Some(&name("o")), b"user");
    assert!(!has_checksum(&mut node), "a node that does not understand it");
    host.broadcasts = vec![Bytes::from_static(b"x"); 1];
    node.on_suspect(at(0), suspect("b", 1, "c"));
    queued(&mut node);
    node.on_gossip_tick(at(0), &mut host);
    let (to, bytes) = datagrams(&mut node).remove(0);
    assert_eq!(bytes[0] == 12, to != address("o"), "gossip");
}
