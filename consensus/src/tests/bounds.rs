//! What happens at bounds: whoever is beyond one is told so, it is counted, and nobody else is held up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_coordination::watch::Query as WatchQuery;
use folkmoot_coordination::{Command, Revision};

use super::hostile::Victim;
use super::world::{put, simulate, sleep};
use crate::Record;
use crate::calls::Failure;
use crate::frames::{self, Kind};
use crate::limits::{CALL_BYTES_PER_STREAM, FOUNDING_BYTES_MAX, WATCHES_MAX};
use crate::watch::Watches;

fn everything() -> WatchQuery {
    WatchQuery { scope: None, prefix: Bytes::new(), after: Revision(0) }
}

/// A reader that takes nothing keeps one record waiting; what is forgotten meanwhile it is told of, and reads on behind it.
#[test]
fn a_slow_watch_reader_holds_nothing_up_and_is_told_what_it_has_missed() {
    simulate(
        31,
        async |mut world| {
            world.found(1).await;
            let client = world.client().await;
            let watches = Watches::new();
            let member = world.member(1);
            world.propose(put(client, 1, Bytes::from_static(b"1"))).await;
            let mut slow = watches.start(Arc::clone(&member.state), everything()).unwrap();
            let mut quick = watches.start(Arc::clone(&member.state), everything()).unwrap();
            for request in 2..=100 {
                world.propose(put(client, request, Bytes::from(request.to_string()))).await;
                let Some(Record::Page(page)) = quick.next().await else { panic!("nothing is forgotten yet") };
                assert!(page.through <= world.status(1).revision);
            }
            let through = world.status(1).revision;
            world.propose(Command::Compact { revision: through }).await;
            world.propose(put(client, 101, Bytes::from_static(b"101"))).await;
            sleep(100).await;

            // What was put aside for it before (one page, and one in hand), then that it is too late for the rest.
            assert!(matches!(slow.next().await, Some(Record::Page(_))));
            assert!(matches!(slow.next().await, Some(Record::Page(_))));
            assert_eq!(slow.next().await, Some(Record::Compacted(through)));
            let Some(Record::Page(page)) = slow.next().await else { panic!("it does not read on") };
            assert_eq!(page.events.len(), 1);
            assert!(page.events[0].revision > through);
        },
        1,
    );
}

#[tokio::test]
async fn watches_beyond_their_number_end_at_once_and_are_counted() {
    let victim = Victim::founded().await;
    let mut watches: Vec<_> = (0..WATCHES_MAX).map(|_| victim.group.watch(everything())).collect();
    assert_eq!(victim.group.watch(everything()).next().await, None);
    assert_eq!(victim.group.status().refused.watches, 1);
    assert!(watches[0].next().await.is_some());
    drop(watches);
    victim.still_works().await;
}

/// They wait for a founding machine that does not answer, on a clock that stands still while anything else happens.
#[tokio::test]
async fn calls_beyond_their_bytes_are_told_busy_and_counted() {
    let victim = Victim::founded().await;
    let (machine, mut asked) = tokio::sync::mpsc::channel(2048);
    let mut talk = victim.calls_with(Some(machine)).await;
    tokio::time::pause();
    let most = CALL_BYTES_PER_STREAM / FOUNDING_BYTES_MAX;
    let call = |id| frames::written(Kind::Founding, id, |out| out.resize(out.len() + FOUNDING_BYTES_MAX, 0)).unwrap();
    for id in 0..=u64::try_from(most).unwrap() {
        talk.send(&call(id)).await;
    }
    let answer = talk.answer().await;
    let said: Result<Bytes, Failure> = folkmoot_coordination::codec::decode(&answer.body).unwrap();
    assert_eq!((answer.id, said), (u64::try_from(most).unwrap(), Err(Failure::Busy)));
    assert_eq!(victim.group.status().refused.calls, 1);
    tokio::time::resume();
    assert!(tokio::time::timeout(Duration::from_secs(60), asked.recv()).await.unwrap().is_some());
}
