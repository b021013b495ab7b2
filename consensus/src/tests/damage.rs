//! What disks do to a member: every way must end in the whole truth or in a refusal that names the place.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::storage::IOFlushed;
use openraft::{AsyncRuntime, Instant};

use super::disk::{Chance, FaultDisk};
use super::world::{CLUSTER, Sim, World, add, count, count_query, now, simulate, sleep};
use crate::file::DataFile;
use crate::limits::CHUNK_BYTES;
use crate::log::Reader;
use crate::segment;
use crate::types::{Leader, LogEntry, LogId, Payload, Vote};
use crate::writer::{Change, Threads, Writer};
use crate::{ClusterId, NodeId, OpenError, ProposeError, Role};

/// A group of one that has counted to `additions`, and then was killed.
async fn counted(world: &mut World, additions: u64) {
    world.found(1).await;
    let client = world.client().await;
    for request in 1..=additions {
        world.propose(add(client, request)).await;
    }
    world.kill(1).await;
}

fn open(disk: &FaultDisk) -> Result<u64, OpenError> {
    DataFile::open(disk, NodeId(1), Some(CLUSTER)).map(|(file, found, _)| {
        file.close();
        found.last.map_or(0, |last| last.index)
    })
}

/// Any bit may flip in a file at rest: the member starts with all it had, or says what is damaged.
#[test]
fn a_flipped_bit_is_named_and_refused_or_changes_nothing() {
    simulate(
        1,
        async |mut world| {
            counted(&mut world, 30).await;
            let disk = world.disk(1).copy();
            let whole = open(&disk.copy()).unwrap();
            let mut chance = Chance(5);
            let mut refused = 0;
            let log = segment::name(1);
            for _ in 0..300 {
                let broken = disk.copy();
                let mut byte = 0;
                broken.damage(&log, |bytes| {
                    byte = usize::try_from(chance.below(bytes.len() as u64)).unwrap();
                    bytes[byte] ^= 1 << chance.below(8);
                });
                match open(&broken) {
                    Ok(found) => assert_eq!(found, whole, "byte {byte}: entries are gone"),
                    Err(OpenError::Damaged { file, .. }) => {
                        assert_eq!(file.to_str(), Some(log.as_str()));
                        refused += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(refused > 20, "only {refused} of 300 were noticed");
        },
        1,
    );
}

/// A bit that flips while the member runs is found when it is read, and never served.
#[test]
fn a_bit_that_flips_under_a_running_member_is_not_served() {
    simulate(
        2,
        async |mut world| {
            counted(&mut world, 20).await;
            let disk = world.disk(1).clone();
            let (file, found, _) = DataFile::open(&disk, NodeId(1), Some(CLUSTER)).unwrap();
            let last = found.last.unwrap().index;
            let good = file.entries(0, last + 1, usize::MAX).unwrap();
            file.close();
            // The bytes of an entry's command are in the file as they are: flip a bit in each place they are found.
            let crate::types::Payload::Normal(proposal) = &good.last().unwrap().payload else { panic!("no command") };
            let needle = proposal.0.clone();
            let (file, _, _journal) = DataFile::open(&disk, NodeId(1), Some(CLUSTER)).unwrap();
            let mut found = 0;
            disk.damage(&segment::name(1), |bytes| {
                for start in 0..bytes.len() - needle.len() {
                    if bytes[start..].starts_with(&needle) {
                        bytes[start + 3] ^= 4;
                        found += 1;
                    }
                }
            });
            assert!(found > 0);
            let error = file.entries(last, last + 1, usize::MAX).unwrap_err().to_string();
            assert!(error.starts_with(&format!("entry {last} ({}, offset", segment::name(1))), "{error}");
            assert!(error.contains("is damaged: checksum"), "{error}");
        },
        1,
    );
}

/// Power goes at a random moment under load, a hundred times: nothing that was answered is gone.
#[test]
fn a_torn_tail_loses_nothing_that_was_answered() {
    simulate(
        3,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            let mut request = 0;
            for round in 0..40 {
                for _ in 0..3 {
                    request += 1;
                    let reply = world.propose(add(client, request)).await;
                    assert_eq!(count(&reply), i64::try_from(request).unwrap(), "round {round}");
                }
                let member = world.member(1);
                let wait = world.chance.below(800);
                // It is on its way to the disk when power goes.
                let unanswered = async move { member.propose(add(client, request + 1)).await.is_ok() };
                drop(Sim::spawn(unanswered));
                Sim::sleep(Duration::from_micros(wait)).await;
                world.crash(1).await;
                world.open(1).await;
            }
        },
        1,
    );
}

#[test]
fn a_full_disk_stops_the_member_in_plain_words_and_space_brings_it_back() {
    simulate(
        4,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            for request in 1..=5 {
                world.propose(add(client, request)).await;
            }
            let room = world.disk(1).length();
            world.disk(1).limit(Some(room));
            let member = world.member(1);
            let error = loop {
                let value = bytes::Bytes::from(vec![7; CHUNK_BYTES / 2]);
                let put = super::world::put(client, 6, value);
                if let Err(error) = member.propose(put).await {
                    break error;
                }
            };
            assert!(matches!(error, ProposeError::Stopped(_) | ProposeError::Unknown), "{error}");
            let reason = member.clone().failed().await;
            assert!(reason.contains("no storage space") || reason.contains("No space"), "{reason}");
            assert!(reason.starts_with("raft-"), "{reason} names no file");
            assert_eq!(world.status(1).role, Role::Stopped);
            drop(member);
            world.kill(1).await;
            world.disk(1).limit(None);
            world.open(1).await;
            world.leader().await;
            let reply = world.member(1).read(&count_query()).await.unwrap();
            assert_eq!(count(&reply), 5);
        },
        1,
    );
}

/// A sync that fails is the end: nothing is answered after it, although the next sync would succeed.
#[test]
fn nothing_is_written_after_a_failed_sync() {
    simulate(
        5,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            world.disk(1).fail_syncs(true);
            let member = world.member(1);
            assert!(member.propose(add(client, 1)).await.is_err());
            world.disk(1).fail_syncs(false);
            let syncs = world.disk(1).syncs();
            assert!(matches!(
                member.propose(add(client, 2)).await,
                Err(ProposeError::Stopped(_) | ProposeError::Unknown)
            ));
            assert!(member.writer.write(crate::writer::Change::TruncateAfter(None)).await.is_err());
            assert_eq!(world.disk(1).syncs(), syncs);
            let reason = member.clone().failed().await;
            assert!(reason.contains("the cable is loose"), "{reason}");
        },
        1,
    );
}

/// A member that believed more to be committed than it has would start with a hole.
#[test]
fn what_is_committed_is_noted_with_entries_and_never_ahead_of_its_own() {
    simulate(
        8,
        async |_| {
            let disk = FaultDisk::default();
            let (file, found, journal) = DataFile::open(&disk, NodeId(1), Some(CLUSTER)).unwrap();
            let reader = Reader::new(file, &found);
            let tail = reader.tail().clone();
            let writer = Writer::<Sim>::start(tail.clone(), journal, Threads::Simulated).unwrap();
            let leader = Leader { term: 1, node_id: NodeId(1) };
            let id = |index| LogId { leader_id: leader, index };
            let noted = async |committed: u64, entries: std::ops::Range<u64>| {
                tail.lock().unwrap().committed = Some(id(committed));
                let entries = entries.map(|index| LogEntry { log_id: id(index), payload: Payload::Blank }).collect();
                writer.append(entries, IOFlushed::noop()).await.unwrap();
                // Goes to disk behind them.
                writer.write(Change::Vote(Vote::new_committed(1, NodeId(1)))).await.unwrap();
                let (_, found, _) = DataFile::open(&disk.copy(), NodeId(1), Some(CLUSTER)).unwrap();
                found.committed.map(|noted| noted.index)
            };
            assert_eq!(noted(2, 0..2).await, None);
            assert_eq!(noted(2, 2..4).await, Some(2));
            assert_eq!(noted(5, 4..5).await, Some(2));
            assert_eq!(noted(5, 5..6).await, Some(5));
            writer.write(Change::TruncateAfter(Some(id(3)))).await.unwrap();
            assert_eq!(noted(6, 4..6).await, Some(5));
            writer.close().await;
        },
        1,
    );
}

#[test]
fn files_of_others_are_refused() {
    simulate(
        6,
        async |mut world| {
            counted(&mut world, 3).await;
            let disk = world.disk(1);
            let other_member = DataFile::open(disk, NodeId(2), Some(CLUSTER)).err().unwrap();
            assert!(matches!(other_member, OpenError::OtherMember { found: NodeId(1), .. }), "{other_member}");
            let other_group = DataFile::open(disk, NodeId(1), Some(ClusterId(8))).err().unwrap();
            assert!(matches!(other_group, OpenError::OtherGroup { found: CLUSTER, .. }), "{other_group}");
        },
        1,
    );
}

/// An older copy of the file, or none, beside a mark that says more: a vote or an answered entry may be missing.
#[test]
fn a_file_that_went_back_is_refused() {
    simulate(
        7,
        async |mut world| {
            counted(&mut world, 3).await;
            let older = world.disk(1).copy();
            world.open(1).await;
            world.leader().await;
            world.kill(1).await;
            world.disk(1).put_files_of(&older);
            let error = open(world.disk(1)).unwrap_err();
            assert!(error.to_string().contains("was synced"), "{error}");
            world.disk(1).lose(&segment::name(1));
            assert!(matches!(open(world.disk(1)), Err(OpenError::Damaged { .. })));
        },
        1,
    );
}

/// Snapshots and purging, and a member that was away for long: it gets the snapshot, and all are equal.
#[test]
fn a_member_that_was_away_gets_a_snapshot_and_the_log_stays_short() {
    simulate(
        8,
        async |mut world| {
            world.adjust = |settings| {
                settings.snapshot_every = 50;
                settings.log_kept = 10;
            };
            world.found(3).await;
            let client = world.client().await;
            world.kill(3).await;
            for request in 1..=200 {
                world.propose(add(client, request)).await;
            }
            let started = now();
            while world.status(1).purged.0 < 100 {
                sleep(5).await;
                assert!(started.elapsed() < Duration::from_secs(20), "{:?}", world.status(1));
            }
            world.open(3).await;
            world.settle().await;
            assert!(world.status(3).snapshot.0 >= 100);
            // All of it comes back from the disk, too.
            for number in world.numbers() {
                world.crash(number).await;
            }
            for number in world.numbers() {
                world.open(number).await;
            }
            world.settle().await;
            let leader = world.leader().await;
            assert_eq!(count(&world.member(leader).read(&count_query()).await.unwrap()), 200);
            let states: BTreeSet<_> = world.numbers().into_iter().map(|number| world.state(number)).collect();
            assert_eq!(states.len(), 1);
        },
        3,
    );
}
