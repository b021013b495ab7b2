//! Backups and what brings them back.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::world::{CLUSTER, add, count, count_query, put, simulate};
use crate::backup::{Backup, OtherGroup};
use crate::{BackupError, ClusterId};

#[test]
fn a_backup_brings_the_state_back_on_every_member_and_revisions_go_on() {
    simulate(
        1,
        async |mut world| {
            world.adjust = |settings| {
                settings.snapshot_every = 30;
                settings.log_kept = 5;
            };
            world.found(3).await;
            let client = world.client().await;
            for request in 1..=10 {
                world.propose(add(client, request)).await;
            }
            // More than one piece.
            for request in 11..=14 {
                world.propose(put(client, request, Bytes::from(vec![3; 700_000]))).await;
            }
            let leader = world.leader().await;
            let file = world.member(leader).backup().await.unwrap();
            let backup = Backup::decode(&file).unwrap();
            assert_eq!((backup.header.cluster, backup.header.revision), (CLUSTER, world.status(leader).revision));
            for request in 15..=60 {
                world.propose(add(client, request)).await;
            }
            let before = world.status(leader).revision;
            let leader = world.leader().await;
            world.member(leader).restore(&backup, OtherGroup::Refused).await.unwrap();
            let reply = world.member(leader).read(&count_query()).await.unwrap();
            assert_eq!(count(&reply), 10);
            assert!(world.status(leader).revision > before);
            world.settle().await;
            // The restore is in log and snapshots as everything else is.
            for number in world.numbers() {
                world.crash(number).await;
            }
            for number in world.numbers() {
                world.open(number).await;
            }
            world.settle().await;
            let states: BTreeSet<_> = world.numbers().into_iter().map(|number| world.state(number)).collect();
            assert_eq!(states.len(), 1);
            // The client is that of the backup: its requests since are not known, and happen.
            let reply = world.propose(add(client, 15)).await;
            assert_eq!(count(&reply), 11);
        },
        3,
    );
}

#[test]
fn a_backup_of_another_group_needs_a_word_and_a_damaged_one_is_refused() {
    let file = simulate(
        2,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            world.propose(add(client, 1)).await;
            world.member(1).backup().await.unwrap()
        },
        1,
    );
    for byte in 0..file.len() {
        let mut damaged = file.to_vec();
        damaged[byte] ^= 0x10;
        assert!(Backup::decode(&damaged.into()).is_err(), "byte {byte}");
    }
    for length in [0, 7, 20, file.len() - 1] {
        assert!(Backup::decode(&file.slice(..length)).is_err(), "{length} bytes");
    }
    simulate(
        3,
        async |mut world| {
            world.found(1).await;
            let mut backup = Backup::decode(&file).unwrap();
            backup.header.cluster = ClusterId(5);
            let refused = world.member(1).restore(&backup, OtherGroup::Refused).await;
            assert!(matches!(refused, Err(BackupError::OtherGroup { found: ClusterId(5), expected: CLUSTER })));
            world.member(1).restore(&backup, OtherGroup::Allowed).await.unwrap();
            assert_eq!(count(&world.member(1).read(&count_query()).await.unwrap()), 1);
        },
        1,
    );
}

/// Two restores at once do not mix: one of them, or none, is what the group has then.
#[test]
fn restores_at_once_do_not_mix() {
    simulate(
        4,
        async |mut world| {
            world.found(3).await;
            let client = world.client().await;
            world.propose(add(client, 1)).await;
            let leader = world.leader().await;
            let one = Backup::decode(&world.member(leader).backup().await.unwrap()).unwrap();
            world.propose(add(client, 2)).await;
            let two = Backup::decode(&world.member(leader).backup().await.unwrap()).unwrap();
            let member = world.member(leader);
            let (first, second) = futures_util::future::join(
                member.restore(&one, OtherGroup::Refused),
                member.restore(&two, OtherGroup::Refused),
            )
            .await;
            let counted = count(&member.read(&count_query()).await.unwrap());
            match (first, second) {
                (Ok(()), Ok(())) => assert!((1..=2).contains(&counted)),
                (Ok(()), Err(BackupError::Interrupted)) => assert_eq!(counted, 1),
                (Err(BackupError::Interrupted), Ok(())) => assert_eq!(counted, 2),
                other => panic!("{other:?}"),
            }
            world.settle().await;
        },
        3,
    );
}
