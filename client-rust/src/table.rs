//! Who waits for what on a connection: sequence number to waiter. No I/O; the connection's task feeds it objects.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use folkmoot_proto::coordination::{BackupRecord, LeaderRecord, WatchRecord};
use folkmoot_proto::{
    Command, Decode, EventRecord, LogRecord, QueryRecord, QueryRecordType, ResponseHeader, Text, texts,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::error::Error;
use crate::limits::MAX_OPEN;
use crate::subscriptions::QueryAnswer;

/// What a call is answered with: the error text (empty on success), and the body if the command has one.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) error: Text,
    pub(crate) body: Option<Bytes>,
}

/// Why a request has no answer.
#[derive(Debug, Clone)]
pub(crate) enum Unanswered {
    /// The agent closed the connection without reading it: nothing was done, and it may be sent again.
    Unread,
    /// It may have been carried out.
    Lost(Error),
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Unread => Self::Closed,
            Unanswered::Lost(error) => error,
        }
    }
}

/// Where the records of a subscription go.
#[derive(Debug)]
pub(crate) enum Sink {
    Events(mpsc::Sender<EventRecord>),
    Logs(mpsc::Sender<Text>),
    Answers(mpsc::Sender<QueryAnswer>),
    /// Whoever cannot take a record in time is cut off, and asks again from where he is.
    Changes(mpsc::Sender<WatchRecord>),
    /// As above.
    Leaders(mpsc::Sender<LeaderRecord>),
    /// The whole connection waits for its reader.
    Backup(mpsc::Sender<BackupRecord>),
}

/// What a subscription and its waiter both see.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Records lost because the queue was full.
    pub(crate) dropped: AtomicU64,
    /// Ended in good order.
    pub(crate) finished: AtomicBool,
    /// Why the agent ended it.
    error: Mutex<Option<Text>>,
}

impl Progress {
    /// Why the agent ended it, if it did.
    pub(crate) fn error(&self) -> Option<Text> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Somebody who waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// One reply.
    Call { command: Command, reply: oneshot::Sender<Result<Reply, Unanswered>> },
    /// One reply, then, if it is a success, records.
    Opening { reply: oneshot::Sender<Result<Reply, Unanswered>>, sink: Sink, progress: Arc<Progress> },
    /// Records.
    Open { sink: Sink, progress: Arc<Progress> },
}

impl Waiter {
    /// Whether a header with this error text has a body behind it.
    fn expects_body(&self, error: &Text) -> bool {
        match self {
            Self::Call { command, .. } => command.is_followed_by_body(error),
            Self::Opening { .. } => false,
            Self::Open { .. } => error.is_empty(),
        }
    }
}

/// What the next object on the wire is.
#[derive(Debug, Default)]
pub(crate) enum Expected {
    #[default]
    Header,
    Body(ResponseHeader),
}

/// Shared between the users of a connection and its task.
#[derive(Debug, Default)]
pub(crate) struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The last number given out. The first is 1, as the Go client's; 0 stays free, because an object that is taken
    /// for a header by mistake reads as 0.
    last: u64,
    waiters: BTreeMap<u64, Waiter>,
    /// Subscriptions that nobody has any more, and of which the agent was not told yet.
    stops: Vec<u64>,
    /// Why the connection is gone.
    ended: Option<Error>,
    /// When the last object came.
    heard: Option<Instant>,
    /// A record that its reader has no room for yet.
    held: Option<(mpsc::Sender<BackupRecord>, BackupRecord)>,
}

impl Table {
    /// Gives `waiter` a number of its own.
    ///
    /// # Errors
    /// The connection is gone, or too much is open.
    pub(crate) fn register(&self, waiter: Waiter) -> Result<u64, Error> {
        let mut inner = self.lock();
        if let Some(error) = &inner.ended {
            return Err(error.clone());
        }
        if inner.waiters.len() >= MAX_OPEN {
            return Err(Error::TooManyCalls);
        }
        let seq = inner.number();
        inner.waiters.insert(seq, waiter);
        Ok(seq)
    }

    /// Nobody has the subscription `seq` any more: the agent is to be told.
    pub(crate) fn stop_later(&self, seq: u64) {
        let mut inner = self.lock();
        if inner.ended.is_none() {
            inner.stops.push(seq);
        }
    }

    /// Subscriptions to be ended, each behind the number of the request that does it, for which nobody waits.
    pub(crate) fn take_stops(&self) -> Vec<(u64, u64)> {
        let mut inner = self.lock();
        std::mem::take(&mut inner.stops).into_iter().map(|stop| (inner.number(), stop)).collect()
    }

    /// Nobody waits for `seq` any more.
    pub(crate) fn forget(&self, seq: u64) {
        self.lock().waiters.remove(&seq);
    }

    /// Why the connection is gone, if it is.
    pub(crate) fn ended(&self) -> Option<Error> {
        self.lock().ended.clone()
    }

    /// Whether streams are open and nothing waits for an answer, but for `except`.
    pub(crate) fn only_streams(&self, except: Option<u64>) -> bool {
        let inner = self.lock();
        let streams = inner.waiters.values().filter(|waiter| matches!(waiter, Waiter::Open { .. })).count();
        let asked = except.is_some_and(|seq| inner.waiters.contains_key(&seq));
        streams > 0 && inner.waiters.len() == streams.saturating_add(usize::from(asked))
    }

    /// When the agent was last heard; it never was before the first object.
    pub(crate) fn heard(&self) -> Option<Instant> {
        self.lock().heard
    }

    /// The record for which the connection has to wait.
    pub(crate) fn take_held(&self) -> Option<(mpsc::Sender<BackupRecord>, BackupRecord)> {
        self.lock().held.take()
    }

    /// The connection is gone: tells everybody.
    pub(crate) fn end(&self, error: &Error) {
        let mut inner = self.lock();
        inner.ended.get_or_insert_with(|| error.clone());
        tell(std::mem::take(&mut inner.waiters), &Unanswered::Lost(error.clone()));
    }

    /// Takes one object off the wire; says what the next one is.
    ///
    /// # Errors
    /// It cannot be read, so nothing behind it can.
    pub(crate) fn take(&self, expected: Expected, object: &[u8]) -> Result<Expected, Error> {
        match expected {
            Expected::Header => self.take_header(ResponseHeader::decode(object).map_err(protocol_error)?),
            Expected::Body(header) => {
                self.take_body(header, object)?;
                Ok(Expected::Header)
            }
        }
    }

    /// A header nobody waits for is dropped. Its body, if it has one, is read as a header without a number and dropped
    /// in turn, as the Go client does: records of a stopped stream may still be on their way.
    fn take_header(&self, header: ResponseHeader) -> Result<Expected, Error> {
        let mut inner = self.lock();
        inner.heard = Some(Instant::now());
        if header.error == *texts::UNSUPPORTED_COMMAND {
            inner.close_behind(header.seq);
        }
        let Entry::Occupied(place) = inner.waiters.entry(header.seq) else { return Ok(Expected::Header) };
        if place.get().expects_body(&header.error) {
            return Ok(Expected::Body(header));
        }
        match place.remove() {
            Waiter::Call { reply, .. } => {
                let _ = reply.send(Ok(Reply { error: header.error, body: None }));
            }
            Waiter::Opening { reply, sink, progress } => {
                if header.error.is_empty() {
                    inner.waiters.insert(header.seq, Waiter::Open { sink, progress });
                }
                let _ = reply.send(Ok(Reply { error: header.error, body: None }));
            }
            Waiter::Open { progress, .. } => {
                progress.finished.store(true, Ordering::Release);
                *progress.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(header.error);
            }
        }
        Ok(Expected::Header)
    }

    fn take_body(&self, header: ResponseHeader, object: &[u8]) -> Result<(), Error> {
        let mut inner = self.lock();
        let Inner { waiters, held, .. } = &mut *inner;
        let Entry::Occupied(place) = waiters.entry(header.seq) else { return Ok(()) };
        if let Waiter::Open { sink, progress } = place.get() {
            if let Sink::Backup(queue) = sink {
                let record = BackupRecord::decode(object).map_err(protocol_error)?;
                if record.last {
                    progress.finished.store(true, Ordering::Release);
                }
                if let Err(mpsc::error::TrySendError::Full(record)) = queue.try_send(record) {
                    *held = Some((queue.clone(), record));
                }
            }
            if !deliver(sink, progress, object)? {
                place.remove();
            }
        } else if let Waiter::Call { reply, .. } | Waiter::Opening { reply, .. } = place.remove() {
            let body = Some(Bytes::copy_from_slice(object));
            let _ = reply.send(Ok(Reply { error: header.error, body }));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    /// An agent that does not know a command reads nothing behind it, and closes the connection. Who is answered so may ask
    /// for something else at once: that must not be sent here any more. What came before may still be answered.
    fn close_behind(&mut self, seq: u64) {
        self.ended.get_or_insert(Error::Closed);
        tell(self.waiters.split_off(&seq.saturating_add(1)), &Unanswered::Unread);
    }
}

/// Tells those who wait for an answer that there will be none. Streams end.
fn tell(waiters: BTreeMap<u64, Waiter>, why: &Unanswered) {
    for waiter in waiters.into_values() {
        match waiter {
            Waiter::Call { reply, .. } | Waiter::Opening { reply, .. } => {
                let _ = reply.send(Err(why.clone()));
            }
            Waiter::Open { .. } => {}
        }
    }
}

/// Hands a record on; false when it was the last.
fn deliver(sink: &Sink, progress: &Progress, object: &[u8]) -> Result<bool, Error> {
    match sink {
        Sink::Events(queue) => offer(queue, progress, EventRecord::decode(object).map_err(protocol_error)?),
        Sink::Changes(queue) => {
            let record = WatchRecord::decode(object).map_err(protocol_error)?;
            return Ok(queue.try_send(record).is_ok());
        }
        Sink::Leaders(queue) => {
            let record = LeaderRecord::decode(object).map_err(protocol_error)?;
            return Ok(queue.try_send(record).is_ok());
        }
        // Delivered where the connection can wait.
        Sink::Backup(_) => {}
        Sink::Logs(queue) => offer(queue, progress, LogRecord::decode(object).map_err(protocol_error)?.log),
        Sink::Answers(queue) => {
            let QueryRecord { from, payload, r#type } = QueryRecord::decode(object).map_err(protocol_error)?;
            match r#type {
                QueryRecordType::Done => {
                    progress.finished.store(true, Ordering::Release);
                    return Ok(false);
                }
                // Go agents may send zero records before the last one (`docs/spec/rpc.md` 8.4).
                QueryRecordType::Ack | QueryRecordType::Response if from.is_empty() => {}
                QueryRecordType::Ack => offer(queue, progress, QueryAnswer::Ack { from }),
                QueryRecordType::Response => {
                    offer(queue, progress, QueryAnswer::Response { from, payload: payload.unwrap_or_default() });
                }
            }
        }
    }
    Ok(true)
}

fn offer<T>(queue: &mpsc::Sender<T>, progress: &Progress, record: T) {
    if let Err(mpsc::error::TrySendError::Full(_)) = queue.try_send(record) {
        progress.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn protocol_error(error: folkmoot_proto::DecodeError) -> Error {
    Error::Protocol { reason: error.to_string().into() }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
