use super::*;

fn voter(number: u64) -> Peer {
    Peer { id: NodeId(number), name: format!("n{number}"), address: ([127, 0, 31, 1], 4321).into() }
}

/// Two voters that answer after these many milliseconds each, `times` times; the levels that were changed to.
fn after(tempo: &mut Tempo, times: usize, millis: [u64; 2]) -> Vec<u32> {
    let voters = [voter(2), voter(3)];
    let mut changes = Vec::new();
    for _ in 0..times {
        let answers = voters.iter().zip(millis).map(|(peer, millis)| (peer.id, Duration::from_millis(millis)));
        tempo.measured(&voters, answers);
        changes.extend(tempo.next(Place::Follows));
    }
    changes
}

const MINUTE: usize = 600;

fn at_the_floor() -> Tempo {
    Tempo::new(Timing::FLOOR, true)
}

#[test]
fn near_voters_keep_the_floor() {
    let mut tempo = at_the_floor();
    assert_eq!(after(&mut tempo, 4 * MINUTE, [1, 5]), []);
    assert_eq!(tempo.usual(), Some(Duration::from_millis(5)));
}

#[test]
fn what_is_measured_first_counts_after_seconds_and_once() {
    let mut tempo = Tempo::new(Timing::START, false);
    assert_eq!(after(&mut tempo, ROUND_TRIPS_FIRST - 1, [1, 1]), []);
    assert_eq!(after(&mut tempo, 1, [1, 1]), [0]);
    assert_eq!(after(&mut tempo, 2 * MINUTE, [1, 1]), []);

    let mut right = Tempo::new(Timing::START, false);
    assert_eq!(after(&mut right, 2 * MINUTE, [1, 9]), [2], "to be kept for the next start");
}

#[test]
fn the_slowest_voter_decides_within_seconds() {
    let mut tempo = at_the_floor();
    assert_eq!(after(&mut tempo, ROUND_TRIPS_MIN - 1, [1, 80]), []);
    assert_eq!(after(&mut tempo, 1, [1, 80]), [4]);
    assert!(Timing::at(4).election_min >= Duration::from_millis(800));
    assert_eq!(after(&mut tempo, 4 * MINUTE, [1, 80]), [], "it stays");
}

#[test]
fn a_stall_is_no_distance_but_is_borne() {
    let mut tempo = at_the_floor();
    assert_eq!(after(&mut tempo, ROUND_TRIPS_KEPT, [1, 1]), []);
    assert_eq!(after(&mut tempo, 1, [99, 99]), [], "it is borne already");
    assert_eq!(after(&mut tempo, 1, [150, 1]), [2], "with a reserve");
    assert!(Timing::at(2).election_max >= Duration::from_millis(2 * 150));
    assert_eq!(tempo.usual(), Some(Duration::from_millis(1)));
}

#[test]
fn shorter_comes_after_a_minute_and_with_a_reserve() {
    let mut tempo = at_the_floor();
    assert_eq!(after(&mut tempo, ROUND_TRIPS_MIN, [1, 10]), [2]);
    // Ten of these are below 100 ms, but not with the reserve.
    assert_eq!(after(&mut tempo, 4 * MINUTE, [1, 9]), []);
    assert_eq!(after(&mut tempo, MINUTE, [1, 1]), []);
    assert_eq!(after(&mut tempo, MINUTE, [1, 1]), [0]);
}

#[test]
fn it_ends_somewhere_and_forgets_who_does_not_vote() {
    let mut tempo = at_the_floor();
    assert_eq!(after(&mut tempo, ROUND_TRIPS_KEPT, [1, 900]), [Timing::LEVELS - 1]);
    tempo.measured(&[voter(2)], std::iter::empty());
    assert_eq!((tempo.usual(), tempo.worst()), (Some(Duration::from_millis(1)), Duration::from_millis(1)));
    tempo.measured(&[], std::iter::empty());
    assert_eq!(tempo.next(Place::Follows), None, "alone there is nothing to measure");
}

/// The levels that one is moved to by these many milliseconds from one other voter.
fn moved(tempo: &mut Tempo, place: Place, times: usize, millis: u64) -> Vec<u32> {
    let mut changes = Vec::new();
    for _ in 0..times {
        tempo.measured(&[voter(2)], std::iter::once((NodeId(2), Duration::from_millis(millis))));
        changes.extend(tempo.next(place));
    }
    changes
}

#[test]
fn a_leader_keeps_its_timing_and_catches_up_when_it_does_not_lead() {
    for place in [Place::Leads, Place::Leaderless] {
        let mut tempo = Tempo::new(Timing::START, false);
        assert_eq!(moved(&mut tempo, place, 2 * MINUTE, 1), [], "not to a shorter one");
        assert_eq!(moved(&mut tempo, Place::Follows, 1, 1), [0]);

        assert_eq!(moved(&mut tempo, place, 1, 900), [], "not for a stall");
        assert_eq!(moved(&mut tempo, Place::Follows, 1, 1), [Timing::LEVELS - 1]);
    }
}

#[test]
fn a_distance_that_heartbeats_do_not_reach_moves_everybody() {
    for place in [Place::Leads, Place::Leaderless] {
        let mut tempo = at_the_floor();
        assert_eq!(moved(&mut tempo, place, ROUND_TRIPS_MIN - 1, 100), []);
        assert_eq!(moved(&mut tempo, place, 1, 100), [4]);
        assert_eq!(moved(&mut tempo, place, MINUTE, 100), []);
    }
}

#[test]
fn heartbeats_of_each_level_are_longer_than_its_round_trips_and_suit_the_floor() {
    for level in 0..Timing::LEVELS {
        let Timing { election_min, heartbeat, .. } = Timing::at(level);
        assert!(heartbeat > election_min / 10, "of level {level}");
    }
    assert!((0..3).all(|level| Timing::at(level).heartbeat * 3 < Timing::FLOOR.election_max));
    assert_eq!(Timing::at(Timing::LEVELS), Timing::at(Timing::LEVELS - 1));
}
