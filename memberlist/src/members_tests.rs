//! Tests of the member table.

use super::*;

fn member(name: &str) -> Arc<Member> {
    Arc::new(Member {
        name: NodeName(name.into()),
        address: WireAddress::from_ip(IpAddr::from([127, 0, 22, 1])),
        port: 7946,
        meta: Bytes::new(),
        versions: Versions {
            protocol_min: 1,
            protocol_max: 5,
            protocol_cur: 2,
            delegate_min: 2,
            delegate_max: 5,
            delegate_cur: 5,
        },
    })
}

fn at(seconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(seconds))
}

/// `own` and `names`, all alive.
fn table(names: &[&str], random: &mut Random) -> Members {
    let mut members = Members::new(NodeName("own".into()));
    for name in ["own"].iter().chain(names) {
        members.insert(at(0), member(name), random);
        members.set_liveness(&NodeName((*name).into()), Liveness::Alive);
    }
    members
}

#[test]
fn every_living_peer_is_probed_once_per_pass() {
    let mut random = Random::new([1; 32]);
    let mut members = table(&["a", "b", "c", "d", "e"], &mut random);
    members.set_liveness(&NodeName("c".into()), Liveness::Dead { since: at(0) });
    for _pass in 0..20 {
        let mut probed: Vec<_> = (0..4)
            .map(|_| members.next_probe(at(1), Duration::from_secs(30), &mut random).unwrap().to_string())
            .collect();
        probed.sort();
        assert_eq!(probed, ["a", "b", "d", "e"]);
    }
}

#[test]
fn nobody_to_probe_when_alone() {
    let mut random = Random::new([1; 32]);
    let mut members = table(&[], &mut random);
    for _ in 0..5 {
        assert_eq!(members.next_probe(at(1), Duration::ZERO, &mut random), None);
    }
    assert!(!members.has_living_peers());
}

#[test]
fn ended_members_are_forgotten_at_the_end_of_a_pass_and_not_before_their_time() {
    let mut random = Random::new([1; 32]);
    let mut members = table(&["dead", "left", "alive"], &mut random);
    members.set_liveness(&NodeName("dead".into()), Liveness::Dead { since: at(10) });
    members.set_liveness(&NodeName("left".into()), Liveness::Left { since: at(20) });
    let mut passes = |now: u64| {
        for _ in 0..10 {
            members.next_probe(at(now), Duration::from_secs(30), &mut random);
        }
        (members.len(), members.get(&NodeName("left".into())).is_some())
    };
    assert_eq!(passes(40), (4, true), "30 s are not more than 30 s");
    assert_eq!(passes(41), (3, true));
    assert_eq!(passes(51), (2, false));
    assert_eq!(members.living(), 2);
}

#[test]
fn living_count_follows_every_change() {
    let mut random = Random::new([1; 32]);
    let mut members = table(&["a", "b"], &mut random);
    let name = NodeName("a".into());
    assert_eq!(members.living(), 3);
    members.set_liveness(&name, Liveness::Dead { since: at(1) });
    members.set_liveness(&name, Liveness::Left { since: at(1) });
    assert_eq!(members.living(), 2);
    members.set_liveness(&name, Liveness::Alive);
    assert_eq!(members.living(), 3);
    assert_eq!(members.set_liveness(&NodeName("unknown".into()), Liveness::Alive), None);
    assert_eq!(members.living_by_name().map(|member| member.name.to_string()).collect::<Vec<_>>(), ["a", "b", "own"]);
}

#[test]
fn samples_never_hold_ourselves_and_find_the_only_eligible_one() {
    let mut random = Random::new([1; 32]);
    let members = table(&["a", "b"], &mut random);
    for _ in 0..100 {
        let chosen = members.sample(5, &mut random, |_| true);
        assert_eq!(chosen.len(), 2);
        let only = members.sample(1, &mut random, |record| record.member.name.0 == "b");
        assert_eq!(only[0].name.0, "b");
    }
}

#[test]
fn addresses_keep_their_bytes_and_compare_by_place() {
    let short = WireAddress::from_ip(IpAddr::from([10, 11, 0, 2]));
    let mapped = WireAddress::from_ip_mapped(IpAddr::from([10, 11, 0, 2]));
    assert_eq!((short.as_bytes().len(), mapped.as_bytes().len()), (4, 16));
    assert_eq!(short.ip(), mapped.ip());
    assert_ne!(short, mapped);
    assert!(short.is_same_place(&mapped));
    let v6 = WireAddress::from_ip(IpAddr::from([0xfd11, 0, 0, 0, 0, 0, 0, 1]));
    assert_eq!(v6.as_bytes().len(), 16);
    assert!(!v6.is_same_place(&mapped));
    let broken = WireAddress::from_bytes(Bytes::from_static(b"abc"));
    assert_eq!(broken.ip(), None);
    assert!(broken.is_same_place(&broken.clone()));
    assert!(!broken.is_same_place(&short));
}

#[test]
fn versions_outside_their_ranges_are_not_sane() {
    let sane = member("a").versions;
    assert!(sane.is_sane());
    assert!(!Versions { protocol_min: 0, ..sane }.is_sane());
    assert!(!Versions { protocol_max: 0, ..sane }.is_sane());
    assert!(!Versions { protocol_min: 3, ..sane }.is_sane());
    assert!(!Versions { protocol_cur: 6, ..sane }.is_sane());
    assert!(!Versions { delegate_cur: 6, ..sane }.is_sane());
    assert!(Versions { delegate_min: 0, delegate_max: 0, delegate_cur: 0, ..sane }.is_sane());
}
