//! The Raft log as the Raft library wants it: votes and entries in the order in which they come, readable at once, on disk
//! when it is told so.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{AsyncRuntime, LogState, OptionalSend, RaftLogReader};

use crate::file::{DataFile, Found};
use crate::limits::APPEND_BYTES;
use crate::tail::Tail;
use crate::types::{LogEntry, LogId, Types, Vote};
use crate::writer::{Change, Writer};

/// The log of a member.
pub(crate) struct Log<A: AsyncRuntime> {
    reader: Reader,
    writer: Writer<A>,
}

/// Reads the log: what is in memory from there, the rest from disk.
#[derive(Clone)]
pub(crate) struct Reader {
    file: Arc<DataFile>,
    tail: Arc<Mutex<Tail>>,
}

impl Reader {
    pub(crate) fn new(file: Arc<DataFile>, found: &Found) -> Self {
        let tail = Tail::new(found.vote, found.committed, found.purged, found.last);
        Self { file, tail: Arc::new(Mutex::new(tail)) }
    }

    pub(crate) fn tail(&self) -> &Arc<Mutex<Tail>> {
        &self.tail
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Entries from `start` on, before `end`, about `bytes` of them; at least one if there is one.
    pub(crate) fn some(&self, start: u64, end: u64, bytes: usize) -> io::Result<Vec<LogEntry>> {
        let (first, end) = {
            let tail = self.lock();
            let end = end.min(tail.end());
            if start >= tail.first() {
                return Ok(tail.entries(start, end, bytes));
            }
            (tail.first(), end)
        };
        // What leaves memory is on disk by then, so nothing lies between.
        self.file.entries(start, end.min(first), bytes)
    }

    fn all(&self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        let mut entries = Vec::new();
        let mut next = start;
        loop {
            let some = self.some(next, end, APPEND_BYTES)?;
            let Some(last) = some.last() else { return Ok(entries) };
            next = last.log_id.index.saturating_add(1);
            entries.extend(some);
        }
    }
}

impl<A: AsyncRuntime> Log<A> {
    pub(crate) fn new(reader: Reader, writer: Writer<A>) -> Self {
        Self { reader, writer }
    }
}

impl<A: AsyncRuntime> RaftLogReader<Types<A>> for Reader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<LogEntry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        self.all(start, end)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        self.some(start, end, APPEND_BYTES)
    }

    /// In pieces, so that a member that has much to catch up does not hold it all in memory.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<LogEntry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let pieces = stream::unfold((self.clone(), start), move |(reader, next)| async move {
            let some = match reader.some(next, end, APPEND_BYTES) {
                Ok(some) => some,
                Err(error) => return Some((vec![Err(error)], (reader, end))),
            };
            let Some(last) = some.last().map(|entry| entry.log_id.index) else {
                // What the Raft library asks for up to an end has to be there: it would take a gap for the end.
                let gap = next < end && end != u64::MAX;
                let missing = || io::Error::other(format!("entry {next} of the log is missing"));
                return gap.then(|| (vec![Err(missing())], (reader, end)));
            };
            Some((some.into_iter().map(Ok).collect::<Vec<_>>(), (reader, last.saturating_add(1))))
        });
        Box::pin(futures_util::StreamExt::flat_map(pieces, stream::iter))
    }
}

impl<A: AsyncRuntime> RaftLogStorage<Types<A>> for Log<A> {
    type LogReader = Reader;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<A>>> {
        let tail = self.reader.lock();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Reader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        #[cfg(test)]
        if crate::tests::edges::is_on(crate::tests::edges::Edge::EarlyVotes) {
            let (writer, vote) = (self.writer.clone(), *vote);
            drop(A::spawn(async move { drop(writer.write(Change::Vote(vote)).await) }));
            self.reader.lock().vote = Some(vote);
            return Ok(());
        }
        self.writer.write(Change::Vote(*vote)).await?;
        self.reader.lock().vote = Some(*vote);
        Ok(())
    }

    /// Goes to disk with the next entries: waking the writer for it would cost as much as an entry.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.reader.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.reader.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<A>>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().collect();
        self.reader.lock().append(&entries);
        self.writer.append(entries, callback).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.reader.lock().truncate_after(last_log_id);
        self.writer.write(Change::TruncateAfter(last_log_id)).await?;
        self.reader.lock().truncated_on_disk();
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.reader.lock().purge(log_id);
        self.writer.write(Change::Purge(log_id)).await
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}
