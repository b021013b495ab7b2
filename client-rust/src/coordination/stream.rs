//! [`Records`]: one stream of an agent, until its connection ends or its reader is too slow. And [`Followed`]: one that is
//! opened again then, so that it goes on until its reader has enough.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use folkmoot_proto::coordination::{Call, CoordinationRequest};
use folkmoot_proto::{Command, Request};
use tokio::sync::{mpsc, oneshot};

use super::Wait;
use super::call::judge_opening;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::connection::{Connection, Pending};
use crate::error::Error;
use crate::limits::{ATTEMPT_GRACE, ATTEMPT_TIMEOUT, WATCH_QUEUE};
use crate::table::{Progress, Sink, Waiter};

/// How a stream of these records is told apart in the table of a connection.
type SinkOf<T> = fn(mpsc::Sender<T>) -> Sink;

/// A stream on its way.
type Opening<T> = Pin<Box<dyn Future<Output = Result<Records<T>, Error>> + Send>>;

/// One stream of an agent.
#[derive(Debug)]
pub(crate) struct Records<T> {
    connection: Arc<Connection>,
    seq: u64,
    command: Command,
    records: mpsc::Receiver<T>,
    progress: Arc<Progress>,
}

/// A stream that is opened again whenever it ends for a reason that may pass.
pub(crate) struct Followed<T> {
    state: State<T>,
    backoff: Backoff,
}

enum State<T> {
    Open(Records<T>),
    /// From here it is polled to its end, whoever gives up waiting meanwhile.
    Opening(Opening<T>),
    /// Opened again when it is asked for.
    Closed,
}

impl Client {
    /// Opens a stream.
    pub(crate) async fn open<C, T>(&self, body: C, sink: SinkOf<T>) -> Result<Records<T>, Error>
    where
        C: Call<Answer = T> + Into<CoordinationRequest>,
    {
        let request = Request::Coordination(body.into());
        let mut backoff = Backoff::new();
        let deadline = self.deadline(Wait::No);
        loop {
            let connection = self.connection().await?;
            match Records::open(connection, &request, sink).await {
                Err(error @ (Error::Closed | Error::Unavailable { .. } | Error::Timeout { .. }))
                    if self.reconnects() =>
                {
                    self.pause(&mut backoff, deadline, error).await?;
                }
                opened => return opened,
            }
        }
    }

    /// The same, for whoever opens it again.
    pub(crate) fn reopened<C, T>(&self, body: C, sink: SinkOf<T>) -> Opening<T>
    where
        C: Call<Answer = T> + Into<CoordinationRequest> + Send + 'static,
        T: Send + 'static,
    {
        let client = self.clone();
        Box::pin(async move { client.open(body, sink).await })
    }
}

impl<T> Records<T> {
    pub(crate) async fn open(connection: Arc<Connection>, request: &Request, sink: SinkOf<T>) -> Result<Self, Error> {
        let (queue, records) = mpsc::channel(WATCH_QUEUE);
        let (reply, answer) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let waiter = Waiter::Opening { reply, sink: sink(queue), progress: Arc::clone(&progress) };
        let command = request.command();
        let seq = connection.send(request, waiter).await?;
        // From here on dropping it cleans up, also when the caller gives up waiting.
        let mut opened = Self { connection, seq, command, records, progress };
        let limit = ATTEMPT_TIMEOUT.saturating_add(ATTEMPT_GRACE);
        let reply = Pending::new(command, answer).wait(Some(limit)).await?;
        if !reply.error.is_empty() {
            opened.records.close();
            opened.progress.finished.store(true, Ordering::Release);
            return Err(judge_opening(command, &reply.error));
        }
        Ok(opened)
    }

    /// The next record; `None` once the connection is gone or the reader was too slow.
    ///
    /// # Errors
    /// The agent ended the stream for a reason that will not go away.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<T>, Error>> {
        let record = ready!(self.records.poll_recv(context));
        Poll::Ready(match (record, self.progress.error()) {
            (Some(record), _) => Ok(Some(record)),
            (None, Some(error)) => match judge_opening(self.command, &error) {
                error if error.may_pass() => Ok(None),
                error => Err(error),
            },
            (None, None) => Ok(None),
        })
    }
}

impl<T> Drop for Records<T> {
    fn drop(&mut self) {
        self.connection.table().forget(self.seq);
        if !self.progress.finished.load(Ordering::Acquire) {
            self.connection.stop_unanswered(self.seq);
        }
    }
}

impl<T: Send + 'static> Followed<T> {
    pub(crate) fn new(records: Records<T>) -> Self {
        Self { state: State::Open(records), backoff: Backoff::new() }
    }

    /// The next record, of the stream at hand or of the next one, which `reopen` opens.
    ///
    /// # Errors
    /// Those of opening, and of a stream that has ended for good. It is opened again when it is asked again.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        reopen: impl Fn() -> Opening<T>,
    ) -> Poll<Result<T, Error>> {
        loop {
            let outcome = match &mut self.state {
                State::Closed => {
                    self.state = State::Opening(reopen());
                    continue;
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(records) => {
                        self.state = State::Open(records);
                        continue;
                    }
                    Err(error) => Err(error),
                },
                State::Open(records) => ready!(records.poll(context)),
            };
            match outcome {
                Ok(Some(record)) => {
                    self.backoff = Backoff::new();
                    return Poll::Ready(Ok(record));
                }
                // Lost, or this reader was too slow for it.
                Ok(None) => self.state = State::Opening(after(self.backoff.pause(), reopen())),
                Err(error) => {
                    self.state = State::Closed;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// The stream has told its last; the next one is opened when it is asked for.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
    }
}

impl<T> std::fmt::Debug for Followed<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = matches!(self.state, State::Open(_));
        formatter.debug_struct("Followed").field("open", &open).finish_non_exhaustive()
    }
}

fn after<T: 'static>(pause: Duration, opening: Opening<T>) -> Opening<T> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        opening.await
    })
}
