//! The trailer, there and back, and everything that is none.

use proptest::prelude::*;

use super::*;

fn full() -> Capability {
    Capability {
        cluster_name: Some(ClusterNameHash::of("berlin")),
        raft: Some(RaftCapability {
            node: 0x0102_0304_0506_0708,
            port: 4321,
            address: Some(IpAddr::from([10, 1, 2, 3])),
            cluster: Some(0x1112_1314_1516_1718),
            expect: Some(3),
            preference: VoterPreference::Prefer,
        }),
    }
}

/// A trailer of these fields with a right check.
fn trailer(version: u8, flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut out = vec![0xfc, b'M', version, flags, u8::try_from(fields.len()).unwrap()];
    out.extend_from_slice(fields);
    let sum = check(&out);
    out.extend_from_slice(&sum);
    out
}

const RAFT_FIELD: [u8; 12] = [1, 10, 0, 0, 0, 0, 0, 0, 0, 9, 0x10, 0xe1];

fn nine() -> Option<Capability> {
    let raft = RaftCapability {
        node: 9,
        port: 4321,
        address: None,
        cluster: None,
        expect: None,
        preference: VoterPreference::Auto,
    };
    Some(Capability { cluster_name: None, raft: Some(raft) })
}

#[test]
fn the_bytes_are_these() {
    let encoded = full().encode();
    let mut expected = vec![0xfc, b'M', 1, 2, 37];
    expected.extend_from_slice(&[1, 10, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0xe1]);
    expected.extend_from_slice(&[2, 4, 10, 1, 2, 3]);
    expected.extend_from_slice(&[3, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]);
    expected.extend_from_slice(&[4, 1, 3]);
    expected.extend_from_slice(&[5, 4]);
    expected.extend_from_slice(&crc32fast::hash(b"berlin").to_be_bytes());
    let sum = check(&expected);
    expected.extend_from_slice(&sum);
    assert_eq!(encoded, expected);
    assert_eq!(encoded.len(), 44);
    assert_eq!(Capability::default().encode().len(), 7);
}

#[test]
fn fields_flags_and_bytes_of_later_days_are_ignored() {
    let known = trailer(1, 0, &RAFT_FIELD);
    assert_eq!(Capability::decode(&known), nine());
    let with_field = trailer(1, 0, &[RAFT_FIELD.as_slice(), &[200, 3, 1, 2, 3]].concat());
    assert_eq!(Capability::decode(&with_field), nine());
    assert_eq!(Capability::decode(&trailer(1, 0b1111_1100, &RAFT_FIELD)), nine());
    assert_eq!(Capability::decode(&[known.as_slice(), b"more"].concat()), nine());
}

#[test]
fn another_version_is_no_capability() {
    assert_eq!(Capability::decode(&trailer(2, 0, &RAFT_FIELD)), None);
    assert_eq!(Capability::decode(&trailer(0, 0, &RAFT_FIELD)), None);
}

#[test]
fn damaged_fields_are_no_capability() {
    let twice = [RAFT_FIELD, RAFT_FIELD].concat();
    let backwards = [[3, 8, 0, 0, 0, 0, 0, 0, 0, 1].as_slice(), &RAFT_FIELD].concat();
    let cases: [&[u8]; 8] = [
        &twice,
        &backwards,
        &[1, 9, 0, 0, 0, 0, 0, 0, 0, 9, 0x10],
        &[1, 10, 0, 0],
        &[1],
        &[2, 5, 1, 2, 3, 4, 5],
        &[3, 0],
        &[0, 0],
    ];
    for fields in cases {
        assert_eq!(Capability::decode(&trailer(1, 0, fields)), None, "{fields:?}");
    }
    let mut wrong_check = full().encode();
    *wrong_check.last_mut().unwrap() ^= 1;
    assert_eq!(Capability::decode(&wrong_check), None);
}

#[test]
fn a_port_of_zero_is_no_raft() {
    let fields = [1, 10, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0];
    assert_eq!(Capability::decode(&trailer(1, 0, &fields)), Some(Capability::default()));
}

#[test]
fn little_room_takes_the_details_then_coordination_then_everything() {
    let whole = full().encode().len();
    assert_eq!(full().encode_within(whole), (full().encode(), Kept::All));
    let (bytes, kept) = full().encode_within(whole - 1);
    assert_eq!(kept, Kept::WithoutDetails);
    let raft = Capability::decode(&bytes).unwrap().raft.unwrap();
    assert_eq!((raft.port, raft.address, raft.cluster), (4321, full().raft.unwrap().address, None));
    let (smaller, kept) = full().encode_within(bytes.len() - 1);
    assert_eq!(kept, Kept::WithoutRaft);
    let expected = Capability { raft: None, ..full() };
    assert_eq!(Capability::decode(&smaller), Some(expected));
    assert_eq!(full().encode_within(smaller.len() - 1), (Vec::new(), Kept::Nothing));
    assert_eq!(full().encode_within(0).1, Kept::Nothing);
}

fn any_capability() -> impl Strategy<Value = Capability> {
    let address = proptest::option::of(any::<IpAddr>());
    let preference =
        prop_oneof![Just(VoterPreference::Auto), Just(VoterPreference::Never), Just(VoterPreference::Prefer)];
    let cluster = proptest::option::of(any::<u64>());
    let expect = proptest::option::of(1..=u8::MAX);
    let raft = (any::<u64>(), 1..=u16::MAX, address, cluster, expect, preference).prop_map(
        |(node, port, address, cluster, expect, preference)| RaftCapability {
            node,
            port,
            address,
            cluster,
            expect,
            preference,
        },
    );
    (proptest::option::of(any::<u32>().prop_map(ClusterNameHash)), proptest::option::of(raft))
        .prop_map(|(cluster_name, raft)| Capability { cluster_name, raft })
}

proptest! {
    #[test]
    fn what_is_written_is_read(capability in any_capability(), behind in any::<Vec<u8>>()) {
        let mut bytes = capability.encode();
        prop_assert!(bytes.len() <= CAPABILITY_BYTES);
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(Capability::decode(&bytes), Some(capability));
    }

    #[test]
    fn room_is_never_exceeded_and_more_room_says_more(capability in any_capability(), room in 0..80_usize) {
        let (bytes, kept) = capability.encode_within(room);
        prop_assert!(bytes.len() <= room);
        prop_assert!(capability.encode_within(room + 1).1 <= kept);
        prop_assert_eq!(Capability::decode(&bytes).is_some(), kept != Kept::Nothing);
    }

    #[test]
    fn a_flipped_bit_is_no_capability(capability in any_capability(), at in any::<prop::sample::Index>()) {
        let mut bytes = capability.encode();
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Capability::decode(&bytes), None);
    }

    #[test]
    fn anything_can_be_looked_at(bytes in any::<Vec<u8>>(), flags in any::<u8>()) {
        let _ = Capability::decode(&bytes);
        let fields: Vec<u8> = bytes.into_iter().take(255).collect();
        if let Some(capability) = Capability::decode(&trailer(1, flags, &fields)) {
            prop_assert!(Capability::decode(&capability.encode()) == Some(capability));
        }
    }
}
