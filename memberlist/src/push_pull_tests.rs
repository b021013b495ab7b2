//! Merging: who is learned, who is suspected, and whose state is refused (spec 6.7, 10; Go `TestMemberList_MergeState`,
//! `TestVerifyProtocol`).

use bytes::Bytes;

use crate::test_support::*;
use crate::{Config, Io, Memberlist, Message, NodeState, PeerState, PushPull, Refusal, StreamInput, Timer, Versions};

fn entry(node: &str, incarnation: u32, state: PeerState) -> NodeState {
    let alive = alive(node, incarnation);
    NodeState {
        address: alive.address,
        incarnation: alive.incarnation,
        meta: None,
        name: alive.node,
        port: alive.port,
        state,
        versions: alive.versions,
    }
}

fn merge(node: &mut Memberlist, host: &mut TestHost, nodes: Vec<NodeState>) -> Result<(), String> {
    node.merge(at(0), PushPull { join: true, nodes, user_state: Bytes::new() }, true, host)
        .map_err(|error| error.to_string())
}

#[test]
fn merge_learns_the_living_and_suspects_the_accused() {
    let (mut node, mut host) = node_knowing(&["a", "b", "c", "l"]);
    node.on_suspect(at(0), suspect("a", 1, "x"));
    queued(&mut node);
    let theirs = vec![
        entry("a", 2, PeerState::Alive),
        entry("b", 1, PeerState::Suspect),
        entry("c", 1, PeerState::Dead),
        entry("d", 1, PeerState::Alive),
        entry("l", 1, PeerState::Left),
        entry("unknown", 1, PeerState::Dead),
        entry("gone", 1, PeerState::Left),
        entry("strange", 1, PeerState::Unknown(9)),
    ];
    merge(&mut node, &mut host, theirs).unwrap();
    let beliefs = [
        ("a", Some((2, PeerState::Alive))),
        ("b", Some((1, PeerState::Suspect))),
        ("c", Some((1, PeerState::Suspect))),
        ("d", Some((1, PeerState::Alive))),
        ("l", Some((1, PeerState::Left))),
        ("unknown", None),
        ("gone", None),
        ("strange", None),
    ];
    for (name, expected) in beliefs {
        assert_eq!(belief(&node, name), expected, "{name}");
    }
    assert_eq!(events(&mut node), ["joined d", "left l"]);
    assert!(queued(&mut node).contains(&Message::Suspect(suspect("c", 1, "own"))), "the suspicion is ours");
}

#[test]
fn second_merge_of_the_same_state_changes_nothing() {
    let (mut node, mut host) = node_knowing(&["a", "b", "c", "l"]);
    let theirs = vec![entry("a", 5, PeerState::Alive), entry("b", 1, PeerState::Dead), entry("l", 1, PeerState::Left)];
    merge(&mut node, &mut host, theirs.clone()).unwrap();
    let before: Vec<NodeState> = node.states().collect();
    queued(&mut node);
    events(&mut node);
    merge(&mut node, &mut host, theirs).unwrap();
    assert_eq!(node.states().collect::<Vec<_>>(), before);
    assert_eq!((queued(&mut node).len(), events(&mut node).len()), (0, 0));
}

#[test]
fn peer_that_holds_us_for_dead_or_left_is_refuted() {
    for state in [PeerState::Suspect, PeerState::Dead, PeerState::Left] {
        let (mut node, mut host) = node();
        merge(&mut node, &mut host, vec![entry("own", 3, state)]).unwrap();
        assert_eq!(belief(&node, "own"), Some((4, PeerState::Alive)));
        assert_eq!(queued(&mut node), [Message::Alive(alive("own", 4))]);
    }
}

#[test]
fn user_state_is_handed_on_after_the_members_unless_empty() {
    let (mut node, mut host) = node();
    let theirs = PushPull {
        join: false,
        nodes: vec![entry("b", 1, PeerState::Alive)],
        user_state: Bytes::from_static(b"clocks"),
    };
    node.merge(at(0), theirs, false, &mut host).unwrap();
    assert_eq!(events(&mut node), ["joined b", "state clocks false"]);
}

#[test]
fn states_whose_versions_exclude_one_another_are_not_merged() {
    let (mut node, mut host) = node();
    let sane = versions();
    let foreign = |versions: Versions| NodeState { versions: Some(versions), ..entry("b", 1, PeerState::Alive) };
    let too_new = foreign(Versions { protocol_min: 3, protocol_cur: 4, ..sane });
    let too_old = foreign(Versions { protocol_max: 1, protocol_cur: 1, ..sane });
    let too_new_delegate = foreign(Versions { delegate_min: 6, delegate_max: 7, delegate_cur: 6, ..sane });
    let cases = [
        (too_new, "Node 'own' protocol version (2) is incompatible: [3, 5]"),
        (too_old, "Node 'own' protocol version (2) is incompatible: [1, 1]"),
        (too_new_delegate, "Node 'b' delegate protocol version (6) is incompatible: [6, 5]"),
    ];
    for (theirs, reason) in cases {
        assert_eq!(merge(&mut node, &mut host, vec![theirs]), Err(reason.to_owned()));
    }
    assert_eq!((node.node_count(), node.counters().merges_refused), (1, 3));
}

#[test]
fn neighbouring_versions_merge() {
    let (mut node, mut host) = node();
    for (number, protocol_cur) in [1, 3, 4, 5].into_iter().enumerate() {
        let versions = Versions { protocol_cur, ..versions() };
        let theirs = NodeState { versions: Some(versions), ..entry(&format!("b{number}"), 1, PeerState::Alive) };
        merge(&mut node, &mut host, vec![theirs]).unwrap();
    }
    assert_eq!(node.alive_count(), 5);
}

#[test]
fn dead_or_malformed_entries_fail_no_exchange() {
    let (mut node, mut host) = node();
    let narrow = Versions { protocol_min: 5, protocol_cur: 5, ..versions() };
    let theirs = vec![
        NodeState { versions: None, ..entry("b", 1, PeerState::Alive) },
        NodeState { versions: Some(Versions { protocol_cur: 9, ..versions() }), ..entry("c", 1, PeerState::Alive) },
        NodeState { versions: Some(narrow), ..entry("d", 1, PeerState::Dead) },
        NodeState { versions: None, ..entry("e", 1, PeerState::Left) },
        entry("f", 1, PeerState::Alive),
    ];
    assert_eq!(merge(&mut node, &mut host, theirs), Ok(()));
    assert_eq!((belief(&node, "b"), belief(&node, "c")), (None, None));
    assert_eq!(belief(&node, "f"), Some((1, PeerState::Alive)));
}

#[test]
fn host_may_refuse_to_join_but_is_not_asked_otherwise() {
    let (mut node, mut host) = node_with(Config { ask_host: true, ..config() });
    host.refuse = Some(Refusal("Custom merge canceled".to_owned()));
    let theirs = vec![entry("b", 1, PeerState::Alive)];
    assert_eq!(merge(&mut node, &mut host, theirs), Err("Custom merge canceled".to_owned()));
    assert_eq!(node.node_count(), 1);
    let (mut node, mut host) = crate::test_support::node();
    host.refuse = Some(Refusal("nobody asks".to_owned()));
    assert_eq!(merge(&mut node, &mut host, vec![entry("b", 1, PeerState::Alive)]), Ok(()));
}

#[test]
fn anti_entropy_goes_to_a_living_peer_and_is_silent_about_failure() {
    let (mut node, mut host) = node_knowing(&["b", "s", "d"]);
    node.on_suspect(at(0), suspect("s", 1, "x"));
    node.on_dead(at(0), dead("d", 1, "x"), None);
    events(&mut node);
    for _ in 0..20 {
        node.on_push_pull_tick(at(0));
        let (_, rest) = outputs(&mut node);
        let [Io::Connect { stream, to }] = rest.as_slice() else { panic!("{rest:?}") };
        assert_eq!(*to, address("b"));
        node.handle_stream(at(0), *stream, StreamInput::Failed { reason: "refused" }, &mut host);
        assert_eq!(events(&mut node).len(), 0);
    }
    assert_eq!(node.timers.deadline(&Timer::PushPull), Some(at(30_000)));
}

/// A push/pull tick whose dial fails.
fn fail_exchange(node: &mut Memberlist, host: &mut TestHost, seconds: u64) {
    node.on_push_pull_tick(at(seconds * 1000));
    let (_, rest) = outputs(node);
    let Some(Io::Connect { stream, .. }) = rest.last() else { panic!("a dial: {rest:?}") };
    let reason = "connect: connection refused";
    node.handle_stream(at(seconds * 1000 + 1), *stream, StreamInput::Failed { reason }, host);
}

#[test]
fn living_member_that_tcp_misses_twice_is_told_to_be_out_of_its_reach() {
    let (mut node, mut host) = node();
    node.on_alive(at(0), alive("b", 1), &host);
    let told = |node: &Memberlist| node.members.get(&crate::NodeName("b".into())).unwrap().one_way_told;
    fail_exchange(&mut node, &mut host, 30);
    assert!(!told(&node), "it may have crashed a moment ago");
    fail_exchange(&mut node, &mut host, 60);
    assert!(told(&node));
}

#[test]
fn moved_node_announces_itself_at_its_new_address_with_a_higher_incarnation() {
    let (mut node, mut host) = node();
    node.on_alive(at(0), alive("b", 1), &host);
    let _ = outputs(&mut node);
    let before = node.incarnation;
    let address = crate::WireAddress::from_ip("10.9.8.7".parse().unwrap());
    node.update_address(at(1), address.clone(), 4242, &mut host);
    assert!(node.incarnation > before);
    let own = node.members.get(&node.config.name).unwrap().member.clone();
    assert_eq!((&own.address, own.port), (&address, 4242));
    let (_, rest) = outputs(&mut node);
    assert!(rest.is_empty(), "{rest:?}");
    assert!(!node.queue.is_empty(), "the others are told");
}
