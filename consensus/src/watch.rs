//! Watches: pages of the machine's history, as they come. A watcher that is slow holds nothing up; it reads on from where
//! it was, and is told if that is forgotten.

use std::sync::Arc;
use std::time::Duration;

use folkmoot_coordination::watch::{Page, Query as WatchQuery};
use folkmoot_coordination::{Query, Refusal, Reply, Revision};
use openraft::async_runtime::Select2;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{AsyncRuntime, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::limits::WATCHES_MAX;
use crate::store::State;

/// What a watcher gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Changes, in order, and how far has been looked. Without a change one comes now and then, so that who resumes
    /// from it does not fall behind what is remembered.
    Page(Page),
    /// Changes up to here are forgotten, and some of them may not have been delivered: read the state again. The next
    /// record goes on behind it.
    Compacted(Revision),
}

/// A running watch. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    records: mpsc::Receiver<Record>,
}

impl Watch {
    /// The next record; `None` when the member has stopped (or [`WATCHES_MAX`] watch already): go on elsewhere.
    pub async fn next(&mut self) -> Option<Record> {
        self.records.recv().await
    }

    pub(crate) fn from_channel(records: mpsc::Receiver<Record>) -> Self {
        Self { records }
    }
}

/// The longest silence. Ours: far below the time in which a busy group forgets.
const SILENCE: Duration = Duration::from_secs(5);
/// Revisions without a match after which one is told how far has been looked. Ours: a sixteenth of what is remembered.
const UNSEEN: u64 = 4096;

/// Watchers of a member.
#[derive(Clone)]
pub(crate) struct Watches {
    places: Arc<Semaphore>,
}

impl Watches {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(WATCHES_MAX)) }
    }

    /// Starts a watch, at once: what is applied after this call is seen.
    ///
    /// # Errors
    /// [`WATCHES_MAX`] watch already; this one has ended before it began.
    pub(crate) fn start<A: AsyncRuntime>(&self, state: Arc<State<A>>, query: WatchQuery) -> Result<Watch, Watch> {
        // One page waits for the reader; the next is read when that is taken.
        let (records, reader) = mpsc::channel(1);
        let watch = Watch::from_channel(reader);
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Err(watch) };
        drop(A::spawn(run(state, query, records, place)));
        Ok(watch)
    }
}

async fn run<A: AsyncRuntime>(
    state: Arc<State<A>>,
    mut query: WatchQuery,
    records: mpsc::Sender<Record>,
    _place: OwnedSemaphorePermit,
) {
    let mut progress = state.progress();
    let mut told = query.after;
    let mut told_at = A::Instant::now();
    loop {
        drop(progress.borrow_and_update());
        if state.is_closed() {
            return;
        }
        let (reply, revision) = {
            let applied = state.read();
            (applied.replica.machine.read(&Query::Watch(query.clone())), applied.replica.machine.revision())
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "a watch is answered with changes or compacted")]
        let record = match reply {
            Reply::Changes(page) => {
                query.after = page.through;
                let unseen = page.through.0.saturating_sub(told.0);
                let due = !page.events.is_empty() || unseen >= UNSEEN || (told_at.elapsed() >= SILENCE);
                due.then_some(Record::Page(page))
            }
            Reply::Refused(Refusal::Compacted(through)) => {
                query.after = through;
                Some(Record::Compacted(through))
            }
            _ => return,
        };
        if let Some(record) = record {
            told = query.after;
            told_at = A::Instant::now();
            if records.send(record).await.is_err() {
                return;
            }
        }
        if query.after < revision {
            continue;
        }
        let wait = SILENCE.saturating_sub(told_at.elapsed()).max(Duration::from_millis(1));
        let happened = A::select2(records.closed(), A::timeout(wait, progress.changed())).await;
        match happened {
            Select2::First(()) | Select2::Second(Ok(Err(_))) => return,
            Select2::Second(Ok(Ok(())) | Err(_)) => {}
        }
    }
}
