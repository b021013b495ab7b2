//! Every row of the decision tables of spec 6, and what Go's `state_test.go` checks of them (spec 16.1).

use std::time::Duration;

use bytes::Bytes;

use crate::test_support::*;
use crate::{
    Alive, Config, Incarnation, Instant, Memberlist, Message, PeerState, Refusal, Timer, Versions, WireAddress, limits,
};

const NOTHING: [Message; 0] = [];
const SILENCE: [&str; 0] = [];

fn suspicion_of(node: &Memberlist, of: &str) -> Option<Instant> {
    node.timers.deadline(&Timer::Suspicion(name(of)))
}

/// `b` declared dead at 1 s, at this incarnation, without broadcasts or events left.
fn node_with_dead_b(incarnation: u32, from: &str) -> (Memberlist, TestHost) {
    let (mut node, host) = node_knowing(&["b", "c"]);
    node.on_dead(at(1000), dead("b", incarnation, from), None);
    queued(&mut node);
    events(&mut node);
    (node, host)
}

// ---- alive (6.1) ----

#[test]
fn alive_of_an_unknown_name_joins_and_is_passed_on() {
    let (mut node, host) = node();
    node.on_alive(at(0), alive("b", 3), &host);
    assert_eq!(belief(&node, "b"), Some((3, PeerState::Alive)));
    assert_eq!(events(&mut node), ["joined b"]);
    assert_eq!(queued(&mut node), [Message::Alive(alive("b", 3))]);
    assert_eq!((node.alive_count(), node.node_count()), (2, 2));
}

#[test]
fn alive_is_idempotent() {
    let (mut node, host) = node_knowing(&["b"]);
    node.on_alive(at(0), alive("b", 1), &host);
    node.on_alive(at(0), alive("b", 0), &host);
    assert_eq!(events(&mut node), SILENCE);
    assert_eq!(queued(&mut node), NOTHING);
}

#[test]
fn alive_at_incarnation_zero_of_an_unknown_name_leaves_no_trace() {
    let (mut node, host) = node();
    node.on_alive(at(0), alive("b", 0), &host);
    assert_eq!(belief(&node, "b"), None);
    assert_eq!(queued(&mut node), NOTHING);
}

#[test]
fn alive_of_ourselves_after_leaving_is_ignored() {
    let (mut node, host) = node_knowing(&["b"]);
    node.leave(at(0));
    queued(&mut node);
    node.on_alive(at(0), alive("own", 9), &host);
    assert_eq!(belief(&node, "own"), Some((1, PeerState::Left)));
    assert_eq!(queued(&mut node), NOTHING);
}

#[test]
fn alive_with_versions_that_cannot_be_is_ignored() {
    let (mut node, host) = node();
    let sane = versions();
    let broken = [
        None,
        Some(Versions { protocol_min: 0, protocol_max: 0, protocol_cur: 0, ..sane }),
        Some(Versions { protocol_min: 4, protocol_max: 3, ..sane }),
        Some(Versions { protocol_cur: 6, ..sane }),
    ];
    for versions in broken {
        node.on_alive(at(0), Alive { versions, ..alive("b", 1) }, &host);
    }
    assert_eq!(belief(&node, "b"), None);
    assert_eq!(node.counters().members_malformed, 4);
}

#[test]
fn alive_with_a_name_meta_or_address_that_cannot_be_is_ignored() {
    let (mut node, host) = node();
    let long = "n".repeat(limits::NAME_BYTES + 1);
    let broken = [
        Alive { node: name(""), ..alive("b", 1) },
        Alive { node: name(&long), ..alive("b", 1) },
        Alive { meta: Some(Bytes::from(vec![0; limits::META_BYTES + 1]).into()), ..alive("b", 1) },
        Alive { address: WireAddress::from_bytes(Bytes::from_static(b"12345")), ..alive("b", 1) },
    ];
    for alive in broken {
        node.on_alive(at(0), alive, &host);
    }
    assert_eq!((node.node_count(), node.counters().members_malformed), (1, 4));
}

#[test]
fn alive_the_host_refuses_is_ignored() {
    let (mut node, mut host) = node_with(Config { ask_host: true, ..config() });
    host.refuse = Some(Refusal("not you".to_owned()));
    node.on_alive(at(0), alive("b", 1), &host);
    assert_eq!(belief(&node, "b"), None);
    host.refuse = None;
    node.on_alive(at(0), alive("b", 1), &host);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Alive)));
}

#[test]
fn it_is_said_once_in_a_while_that_the_host_refuses_a_member() {
    let (mut node, mut host) = node_with(Config { ask_host: true, ..config() });
    host.refuse = Some(Refusal("not you".to_owned()));
    for second in 0..59 {
        node.on_alive(at(second * 1000), alive("b", 1), &host);
        node.on_alive(at(second * 1000), alive("c", 1), &host);
    }
    assert_eq!(node.refusals, [(name("b"), at(0)), (name("c"), at(0))].into());
    node.on_alive(at(60_000), alive("b", 1), &host);
    assert_eq!(node.refusals, [(name("b"), at(60_000))].into());
    for number in 0..2 * limits::REFUSALS_TOLD {
        node.on_alive(at(61_000), alive(&format!("n{number}"), 1), &host);
    }
    assert_eq!(node.refusals.len(), limits::REFUSALS_TOLD);
    assert_eq!(node.counters().members_unwanted, 119 + 2 * limits::REFUSALS_TOLD as u64);
}

#[test]
fn alive_with_port_zero_means_our_own_bind_port() {
    let (mut node, host) = node();
    node.on_alive(at(0), Alive { port: 0, ..alive("b", 1) }, &host);
    assert_eq!(node.member(&name("b")).unwrap().port, 7946);
    let (mut old, host) = node_with(Config { protocol_version: 1, ..config() });
    old.on_alive(at(0), Alive { port: 9999, ..alive("b", 1) }, &host);
    assert_eq!(old.member(&name("b")).unwrap().port, 7946);
}

#[test]
fn alive_with_new_meta_is_an_update() {
    let (mut node, host) = node_knowing(&["b"]);
    let changed = Alive { meta: Some(Bytes::from_static(b"new").into()), ..alive("b", 2) };
    node.on_alive(at(0), changed.clone(), &host);
    assert_eq!(events(&mut node), ["updated b"]);
    assert_eq!(queued(&mut node), [Message::Alive(changed)]);
    assert_eq!(node.member(&name("b")).unwrap().meta.as_ref(), b"new");
}

#[test]
fn suspect_that_becomes_alive_is_no_event_and_its_timer_is_gone() {
    let (mut node, host) = node_knowing(&["b"]);
    node.on_suspect(at(0), suspect("b", 1, "c"));
    assert!(suspicion_of(&node, "b").is_some());
    node.on_alive(at(10), alive("b", 2), &host);
    assert_eq!(suspicion_of(&node, "b"), None);
    assert_eq!(belief(&node, "b"), Some((2, PeerState::Alive)));
    assert_eq!(events(&mut node), SILENCE);
}

#[test]
fn alive_at_the_same_incarnation_does_not_end_a_suspicion() {
    let (mut node, host) = node_knowing(&["b"]);
    node.on_suspect(at(0), suspect("b", 1, "c"));
    node.on_alive(at(10), alive("b", 1), &host);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Suspect)));
}

#[test]
fn dead_member_returns_with_a_higher_incarnation_and_joins() {
    let (mut node, host) = node_with_dead_b(1, "c");
    node.on_alive(at(2000), alive("b", 1), &host);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Dead)), "replay of an old alive");
    node.on_alive(at(2000), alive("b", 2), &host);
    assert_eq!(events(&mut node), ["joined b"]);
    assert_eq!(belief(&node, "b"), Some((2, PeerState::Alive)));
}

#[test]
fn living_name_from_another_place_is_a_conflict_and_ignored() {
    let (mut node, host) = node_knowing(&["b"]);
    for accused in [false, true] {
        if accused {
            node.on_suspect(at(0), suspect("b", 1, "c"));
            queued(&mut node);
        }
        let thief = Alive { address: alive("x", 1).address, ..alive("b", 9) };
        node.on_alive(at(0), thief, &host);
        assert_eq!(events(&mut node), ["conflict b 127.0.22.98:7946 127.0.22.120:7946"]);
        assert_eq!(belief(&node, "b").unwrap().0, 1);
        assert_eq!(queued(&mut node), NOTHING);
    }
    node.on_alive(at(0), Alive { port: 1, ..alive("b", 9) }, &host);
    assert_eq!(node.counters().name_conflicts, 3);
}

#[test]
fn our_own_name_from_another_place_is_a_conflict_too() {
    let (mut node, host) = node();
    node.on_alive(at(0), Alive { address: alive("x", 1).address, ..alive("own", 9) }, &host);
    assert_eq!(events(&mut node), ["conflict own 127.0.22.1:7946 127.0.22.120:7946"]);
    assert_eq!(belief(&node, "own"), Some((1, PeerState::Alive)));
}

#[test]
fn left_name_moves_at_once_even_at_a_lower_incarnation() {
    let (mut node, host) = node_with_dead_b(5, "b");
    let moved = Alive { address: alive("x", 1).address, ..alive("b", 1) };
    node.on_alive(at(1000), moved, &host);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Alive)));
    assert_eq!(node.member(&name("b")).unwrap().socket_address(), Some(address("x")));
    assert_eq!(events(&mut node), ["joined b"]);
}

#[test]
fn dead_name_moves_after_the_reclaim_time_and_not_before() {
    let (mut node, host) = node_with_dead_b(5, "c");
    let moved = || Alive { address: alive("x", 1).address, ..alive("b", 1) };
    node.on_alive(at(2000), moved(), &host);
    assert_eq!(belief(&node, "b"), Some((5, PeerState::Dead)));
    assert_eq!(events(&mut node).len(), 1, "a conflict");
    node.on_alive(at(2001), moved(), &host);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Alive)));
    assert_eq!(events(&mut node), ["joined b"]);
}

#[test]
fn dead_name_never_moves_where_reclaiming_is_off() {
    let (mut node, host) = node_with(Config { dead_node_reclaim_time: Duration::ZERO, ..config() });
    node.on_alive(at(0), alive("b", 1), &host);
    node.on_dead(at(0), dead("b", 1, "c"), None);
    node.on_alive(at(1_000_000), Alive { address: alive("x", 1).address, ..alive("b", 7) }, &host);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Dead)));
}

#[test]
fn same_address_in_another_form_is_no_conflict_and_keeps_the_stored_form() {
    let (mut node, host) = node_knowing(&["b"]);
    let mapped = WireAddress::from_ip_mapped(address("b").ip());
    node.on_alive(at(0), Alive { address: mapped.clone(), ..alive("b", 1) }, &host);
    node.on_alive(at(0), Alive { address: mapped.clone(), ..alive("own", 1) }, &host);
    assert_eq!(events(&mut node).len(), 1, "only the foreign address of our own name");
    assert_eq!(node.member(&name("b")).unwrap().address.as_bytes().len(), 4);
    node.on_alive(at(0), Alive { address: mapped.clone(), ..alive("b", 2) }, &host);
    assert_eq!(node.member(&name("b")).unwrap().address, mapped, "the bytes of the accepted alive");
    assert_eq!(events(&mut node), SILENCE);
}

#[test]
fn members_beyond_the_limit_are_refused_and_counted() {
    let (mut node, host) = node();
    for number in 1..=limits::MEMBERS {
        let newcomer = Alive { node: name(&format!("n{number}")), ..alive("b", 1) };
        node.on_alive(at(0), newcomer, &host);
    }
    assert_eq!((node.node_count(), node.counters().members_refused), (limits::MEMBERS, 1));
}

// ---- alive of ourselves, refute (6.4) ----

#[test]
fn our_own_alive_heard_again_is_ignored() {
    let (mut node, host) = node();
    node.on_alive(at(0), alive("own", 1), &host);
    node.on_alive(at(0), alive("own", 0), &host);
    assert_eq!(queued(&mut node), NOTHING);
    assert_eq!(node.health_score(), 0);
}

#[test]
fn our_own_name_with_another_meta_is_refuted_with_our_own() {
    let (mut node, host) = node();
    node.on_alive(at(0), Alive { meta: Some(Bytes::from_static(b"old").into()), ..alive("own", 7) }, &host);
    assert_eq!(queued(&mut node), [Message::Alive(alive("own", 8))]);
    assert_eq!(node.local_member().meta.as_ref(), b"");
    assert_eq!((node.health_score(), node.counters().refutations), (1, 1));
    assert_eq!(events(&mut node), SILENCE);
}

#[test]
fn restarted_node_outbids_its_former_life() {
    let (mut node, host) = node();
    node.on_alive(at(0), alive("own", 5), &host);
    assert_eq!(belief(&node, "own"), Some((6, PeerState::Alive)));
    assert_eq!(queued(&mut node), [Message::Alive(alive("own", 6))]);
}

#[test]
fn accusations_of_ourselves_are_refuted_above_their_incarnation() {
    let (mut node, _) = node();
    node.on_suspect(at(0), suspect("own", 1, "b"));
    assert_eq!(queued(&mut node), [Message::Alive(alive("own", 2))]);
    node.on_dead(at(0), dead("own", 40, "b"), None);
    assert_eq!(queued(&mut node), [Message::Alive(alive("own", 41))]);
    node.on_suspect(at(0), suspect("own", 40, "b"));
    assert_eq!(queued(&mut node), NOTHING, "an old accusation needs no answer");
    assert_eq!(belief(&node, "own"), Some((41, PeerState::Alive)));
    assert_eq!(node.health_score(), 2);
    assert_eq!(events(&mut node), SILENCE);
}

#[test]
fn highest_incarnation_is_never_wrapped() {
    let (mut node, host) = node();
    node.on_suspect(at(0), suspect("own", u32::MAX, "b"));
    node.on_dead(at(0), dead("own", u32::MAX, "b"), None);
    node.on_alive(at(0), alive("own", u32::MAX), &host);
    assert_eq!(belief(&node, "own"), Some((1, PeerState::Alive)));
    assert_eq!((queued(&mut node), node.counters().incarnations_exhausted), (NOTHING.to_vec(), 3));
    node.on_suspect(at(0), suspect("own", u32::MAX - 1, "b"));
    assert_eq!(belief(&node, "own"), Some((u32::MAX, PeerState::Alive)));
    queued(&mut node);
    let mut host = host;
    assert_eq!(node.update_meta(at(0), &mut host), None);
    assert_eq!(belief(&node, "own"), Some((u32::MAX, PeerState::Alive)));
}

#[test]
fn meta_update_without_a_higher_incarnation_is_not_waited_for() {
    let (mut node, mut host) = node_knowing(&["b"]);
    node.on_suspect(at(0), suspect("own", u32::MAX - 1, "b"));
    host.meta = Bytes::from_static(b"role");
    assert_eq!(node.update_meta(at(0), &mut host), None);
    assert_eq!(node.local_member().meta, Bytes::new(), "what nobody is told does not hold for us either");
    assert_eq!(node.counters().incarnations_exhausted, 1);
}

#[test]
fn meta_update_raises_our_incarnation_and_ends_when_sent_often_enough() {
    let (mut node, mut host) = node_knowing(&["b"]);
    host.meta = Bytes::from_static(b"role");
    let id = node.update_meta(at(0), &mut host).expect("b listens");
    assert_eq!(events(&mut node), ["updated own"]);
    let expected = Alive { meta: Some(Bytes::from_static(b"role").into()), ..alive("own", 2) };
    assert_eq!(queued(&mut node), [Message::Alive(expected)]);
    node.report_finished_broadcasts();
    assert_eq!(events(&mut node), [format!("finished {}", id.0)]);
}

#[test]
fn meta_update_is_not_waited_for_when_alone_and_refused_when_too_long() {
    let (mut node, mut host) = node();
    host.meta = Bytes::from_static(b"role");
    assert_eq!(node.update_meta(at(0), &mut host), None);
    assert_eq!(queued(&mut node).len(), 1);
    host.meta = Bytes::from(vec![0; 513]);
    assert_eq!(node.update_meta(at(0), &mut host), None);
    assert_eq!(node.local_member().meta.as_ref(), b"role");
}

// ---- suspect (6.2) ----

#[test]
fn suspicion_of_an_unknown_name_is_ignored() {
    let (mut node, _) = node();
    node.on_suspect(at(0), suspect("b", 1, "c"));
    assert_eq!((belief(&node, "b"), queued(&mut node)), (None, NOTHING.to_vec()));
}

#[test]
fn first_suspicion_starts_a_timer_and_is_passed_on() {
    let (mut node, _) = node_knowing(&["b"]);
    node.on_suspect(at(100), suspect("b", 1, "c"));
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Suspect)));
    assert_eq!(queued(&mut node), [Message::Suspect(suspect("b", 1, "c"))]);
    assert_eq!(suspicion_of(&node, "b"), Some(at(4100)), "two nodes: nobody can confirm");
    assert_eq!(node.alive_count(), 2, "a suspect is a member");
    assert_eq!(events(&mut node), SILENCE);
}

#[test]
fn old_suspicion_is_ignored_and_a_newer_one_raises_the_incarnation() {
    let (mut node, host) = node_knowing(&["b"]);
    node.on_alive(at(0), alive("b", 10), &host);
    queued(&mut node);
    node.on_suspect(at(0), suspect("b", 9, "c"));
    assert_eq!(belief(&node, "b"), Some((10, PeerState::Alive)));
    node.on_suspect(at(0), suspect("b", 12, "c"));
    assert_eq!(belief(&node, "b"), Some((12, PeerState::Suspect)));
}

#[test]
fn confirmations_shorten_the_timer_and_each_is_passed_on_once() {
    let (mut node, _) = node_knowing(&["b", "c", "d", "e"]);
    node.on_suspect(at(0), suspect("b", 1, "c"));
    assert_eq!(suspicion_of(&node, "b"), Some(at(24_000)));
    queued(&mut node);
    node.on_suspect(at(500), suspect("b", 1, "c"));
    assert_eq!(queued(&mut node), NOTHING, "the first accuser again");
    node.on_suspect(at(1000), suspect("b", 1, "d"));
    assert_eq!(queued(&mut node), [Message::Suspect(suspect("b", 1, "d"))]);
    assert_eq!(suspicion_of(&node, "b"), Some(at(11_381)));
    node.on_suspect(at(9000), suspect("b", 1, "e"));
    assert_eq!(suspicion_of(&node, "b"), Some(at(4000)), "in the past: at once");
    queued(&mut node);
    node.on_suspect(at(9000), suspect("b", 1, "f"));
    assert_eq!(queued(&mut node), NOTHING, "enough is enough");
}

#[test]
fn confirmation_at_a_higher_incarnation_changes_no_incarnation() {
    let (mut node, _) = node_knowing(&["b", "c", "d", "e"]);
    node.on_suspect(at(0), suspect("b", 1, "c"));
    node.on_suspect(at(0), suspect("b", 6, "d"));
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Suspect)));
}

#[test]
fn suspicion_of_the_dead_is_ignored() {
    let (mut node, _) = node_with_dead_b(1, "c");
    node.on_suspect(at(2000), suspect("b", 9, "c"));
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Dead)));
    assert_eq!(queued(&mut node), NOTHING);
}

#[test]
fn unrefuted_suspect_is_declared_dead_by_us_once() {
    let (mut node, mut host) = node_knowing(&["b"]);
    node.on_suspect(at(0), suspect("b", 1, "c"));
    queued(&mut node);
    node.on_suspicion_timeout(at(4000), name("b"));
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Dead)));
    assert_eq!(queued(&mut node), [Message::Dead(dead("b", 1, "own"))]);
    assert_eq!(events(&mut node), ["failed b"]);
    node.on_suspicion_timeout(at(4000), name("b"));
    node.on_suspicion_timeout(at(4000), name("unknown"));
    assert_eq!(events(&mut node), SILENCE);
    assert_eq!(suspicion_of(&node, "b"), None);
    node.handle_timeout(at(0), &mut host);
}

#[test]
fn nobody_is_declared_dead_right_after_a_pause() {
    let (mut node, mut host) = node_knowing(&["b"]);
    node.on_suspect(at(0), suspect("b", 1, "c"));
    node.paused(at(3900));
    assert_eq!(node.health_score(), 1);
    assert_eq!(node.timers.deadline(&Timer::Probe), Some(at(3900)));
    node.on_suspicion_timeout(at(4000), name("b"));
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Suspect)));
    assert_eq!(suspicion_of(&node, "b"), Some(at(5900)), "one probe at our doubled interval");
    node.on_alive(at(4500), alive("b", 2), &host);
    assert_eq!(belief(&node, "b"), Some((2, PeerState::Alive)));
    host.meta = Bytes::new();
}

#[test]
fn deadlines_missed_by_more_than_a_probe_interval_count_as_a_pause() {
    for (late, health) in [(900, 0), (5_000, 1)] {
        let (mut node, mut host) = node_knowing(&["b"]);
        node.on_suspect(at(0), suspect("b", 1, "c"));
        node.timers.cancel(&Timer::Probe);
        node.timers.cancel(&Timer::Gossip);
        node.handle_timeout(at(4_000 + late), &mut host);
        assert_eq!(node.health_score(), health);
        let expected = if health == 0 { PeerState::Dead } else { PeerState::Suspect };
        assert_eq!(belief(&node, "b"), Some((1, expected)));
    }
}

// ---- dead (6.3) ----

#[test]
fn death_of_an_unknown_name_is_ignored() {
    let (mut node, _) = node();
    node.on_dead(at(0), dead("b", 1, "c"), None);
    assert_eq!((belief(&node, "b"), queued(&mut node)), (None, NOTHING.to_vec()));
}

#[test]
fn old_death_is_ignored() {
    let (mut node, host) = node_knowing(&["b"]);
    node.on_alive(at(0), alive("b", 10), &host);
    queued(&mut node);
    node.on_dead(at(0), dead("b", 9, "c"), None);
    assert_eq!(belief(&node, "b"), Some((10, PeerState::Alive)));
    assert_eq!(queued(&mut node), NOTHING);
}

#[test]
fn death_is_told_once_and_passed_on_and_drops_the_timer() {
    let (mut node, _) = node_knowing(&["b"]);
    node.on_suspect(at(0), suspect("b", 1, "c"));
    queued(&mut node);
    node.on_dead(at(10), dead("b", 1, "c"), None);
    node.on_dead(at(20), dead("b", 1, "d"), None);
    assert_eq!(events(&mut node), ["failed b"]);
    assert_eq!(queued(&mut node), [Message::Dead(dead("b", 1, "c"))]);
    assert_eq!(suspicion_of(&node, "b"), None);
    assert_eq!((node.alive_count(), node.node_count()), (1, 2));
}

#[test]
fn farewell_is_left_and_not_failed() {
    let (mut node, _) = node_knowing(&["b"]);
    node.on_dead(at(0), dead("b", 1, "b"), None);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Left)));
    assert_eq!(events(&mut node), ["left b"]);
}

#[test]
fn dead_never_becomes_left() {
    let (mut node, _) = node_with_dead_b(1, "c");
    node.on_dead(at(2000), dead("b", 1, "b"), None);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Dead)));
    assert_eq!(events(&mut node), SILENCE);
}

#[test]
fn newer_death_of_the_dead_outranks_an_older_life() {
    let (mut node, host) = node_with_dead_b(1, "c");
    node.on_dead(at(2000), dead("b", 5, "c"), None);
    node.on_alive(at(2000), alive("b", 4), &host);
    assert_eq!(belief(&node, "b"), Some((5, PeerState::Dead)));
    assert_eq!(queued(&mut node), NOTHING);
    node.on_alive(at(2000), alive("b", 6), &host);
    assert_eq!(belief(&node, "b"), Some((6, PeerState::Alive)));
}

#[test]
fn accusers_with_names_too_long_are_ignored() {
    let (mut node, _) = node_knowing(&["b"]);
    let long = "n".repeat(limits::NAME_BYTES + 1);
    node.on_suspect(at(0), suspect("b", 1, &long));
    node.on_dead(at(0), dead("b", 1, &long), None);
    assert_eq!(belief(&node, "b"), Some((1, PeerState::Alive)));
    assert_eq!(node.counters().messages_skipped, 2);
}

// ---- reminders (spec 14, row 23) ----

#[test]
fn ended_member_that_speaks_with_an_old_incarnation_is_told_so_once_a_second() {
    let (mut node, host) = node_with_dead_b(100, "c");
    node.on_alive(at(2000), alive("b", 1), &host);
    node.on_alive(at(2500), alive("b", 1), &host);
    assert_eq!(packets(&mut node), [(address("b"), vec![Message::Dead(dead("b", 100, "own"))])]);
    node.on_alive(at(3000), alive("b", 1), &host);
    assert_eq!(packets(&mut node).len(), 1);
    assert_eq!(belief(&node, "b"), Some((100, PeerState::Dead)));
}

#[test]
fn left_member_is_reminded_of_its_own_farewell() {
    let (mut node, host) = node_with_dead_b(7, "b");
    node.on_alive(at(2000), alive("b", 1), &host);
    assert_eq!(packets(&mut node), [(address("b"), vec![Message::Dead(dead("b", 7, "b"))])]);
}

#[test]
fn late_rumours_at_the_same_incarnation_remind_nobody() {
    let (mut node, host) = node_with_dead_b(7, "c");
    node.on_alive(at(2000), alive("b", 7), &host);
    assert_eq!(packets(&mut node), []);
    assert_eq!(belief(&node, "b"), Some((7, PeerState::Dead)));
    assert_eq!(node.incarnation, Incarnation(1));
}
