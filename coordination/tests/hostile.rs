//! Damaged and invented bytes: they are refused or make a machine that works, never more.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "the generator looks at some of the replies")]

#[path = "model/random.rs"]
mod random;

use folkmoot_coordination::{
    Acknowledged, ClientId, CodecError, Command, ENTRY_VERSION, Entry, LogIndex, Machine, Request, RequestId,
    RestoreError, SNAPSHOT_VERSION, TimeMs, WallMs,
};
use random::Generator;

/// What is acknowledged with a request of this number: half of those before, but for some.
fn acknowledged(number: u64) -> Acknowledged {
    let below = number / 2;
    Acknowledged { below: RequestId(below), open: (below / 2..below).step_by(7).map(RequestId).collect() }
}

/// A machine with something of everything, and entries that made it.
fn lived(seed: u64) -> (Machine, Vec<Entry>) {
    let mut machine = Machine::new();
    let mut entries = Vec::new();
    let mut generator = Generator::new(seed);
    for index in 0..600 {
        let command = if index < 3 {
            Command::RegisterClient { client: ClientId(1 + index), ttl: generator.ttl(1_000_000) }
        } else {
            let (client, request) = (ClientId(1 + index % 3), RequestId(index));
            let operation = generator.operation(request);
            Command::Client(Request { client, request, acknowledged: acknowledged(index), operation })
        };
        let entry = Entry { time: TimeMs(index), wall: WallMs(index), command };
        let reply = machine.apply(LogIndex(index), &entry, &mut Vec::new());
        generator.learn(&reply);
        entries.push(entry);
    }
    (machine, entries)
}

fn snapshot(machine: &Machine) -> Vec<u8> {
    let mut bytes = Vec::new();
    machine.snapshot(&mut bytes);
    bytes
}

fn damage(random: &mut random::Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let place = random.below(bytes.len() as u64) as usize;
        match random.below(5) {
            0 => bytes.truncate(place.max(1)),
            1 => bytes[place] = 0xff,
            2 => bytes.insert(place, random.next() as u8),
            3 => drop(bytes.remove(place)),
            _ => bytes[place] ^= 1 << random.below(8),
        }
        if bytes.is_empty() {
            return;
        }
    }
}

#[test]
fn a_damaged_snapshot_is_refused_or_makes_a_machine_that_works() {
    let (machine, entries) = lived(7);
    let whole = snapshot(&machine);
    let mut random = random::Random(1);
    let mut restored = 0;
    for _ in 0..800 {
        let mut bytes = whole.clone();
        damage(&mut random, &mut bytes);
        let Ok(mut machine) = Machine::restore(&bytes) else { continue };
        restored += 1;
        for entry in entries.iter().rev().step_by(3) {
            let time = TimeMs(entry.time.0.saturating_mul(2));
            machine.apply(LogIndex(1), &Entry { time, ..entry.clone() }, &mut Vec::new());
        }
        machine.apply(
            LogIndex(2),
            &Entry { time: TimeMs(u64::MAX), wall: WallMs(0), command: Command::Tick },
            &mut Vec::new(),
        );
        let again = snapshot(&machine);
        assert_eq!(snapshot(&Machine::restore(&again).unwrap()), again);
    }
    assert!(restored > 50, "{restored} of the damaged snapshots could be read");
}

#[test]
fn every_beginning_of_a_snapshot_is_refused() {
    let (machine, _) = lived(8);
    let whole = snapshot(&machine);
    for length in 0..whole.len().min(4_000) {
        assert!(Machine::restore(&whole[..length]).is_err(), "{length} bytes");
    }
    let mut longer = whole;
    longer.push(0);
    assert_eq!(Machine::restore(&longer), Err(RestoreError::Codec(CodecError::Trailing(1))));
}

#[test]
fn entries_survive_their_bytes_and_damaged_ones_do_not_panic() {
    let (_, entries) = lived(9);
    let mut random = random::Random(2);
    for entry in &entries {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(&Entry::decode(&bytes).unwrap(), entry);
        damage(&mut random, &mut bytes);
        if let Ok(other) = Entry::decode(&bytes) {
            let mut again = Vec::new();
            other.encode(&mut again);
            assert_eq!(Entry::decode(&again).unwrap(), other);
        }
    }
}

#[test]
fn a_declared_length_is_not_believed() {
    // applied, revision, time, wall, then a map of clients of 2^63 entries.
    let mut bytes = vec![SNAPSHOT_VERSION, 0, 0, 0, 0];
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(Machine::restore(&bytes), Err(RestoreError::Codec(CodecError::Truncated)));
}

#[test]
fn numbers_have_one_form() {
    let tick = |time: &[u8]| {
        let mut bytes = vec![ENTRY_VERSION];
        bytes.extend(time);
        bytes.extend([0, 0]);
        Entry::decode(&bytes)
    };
    assert_eq!(tick(&[0x85, 0x01]).unwrap().time, TimeMs(133));
    assert!(tick(&[0x85, 0x00]).is_err(), "longer than it must be");
    assert!(tick(&[0xff; 9]).is_err());
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(tick(&most).unwrap().time, TimeMs(u64::MAX));
    let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert!(tick(&beyond).is_err());
}

#[test]
fn other_versions_are_refused_by_name() {
    let error = Machine::restore(&[SNAPSHOT_VERSION + 1]).unwrap_err();
    assert_eq!(error.to_string(), "version 3 of the encoding, this program reads 2");
    assert_eq!(Machine::restore(&[]), Err(RestoreError::Empty));
    assert_eq!(Entry::decode(&[0]), Err(RestoreError::Version { found: 0, known: ENTRY_VERSION }));
}
