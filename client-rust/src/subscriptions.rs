//! Events and queries: firing them, and the subscriptions that bring records for a while (`docs/spec/rpc.md` 7.3, 8).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use folkmoot_proto::{
    AgentRequest, EventRecord, EventRequest, MonitorRequest, QueryRequest, Request, RespondRequest, StopRequest,
    StreamRequest, Text,
};
use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};

use crate::client::Client;
use crate::connection::{Connection, Pending, succeeded};
use crate::error::Error;
use crate::limits::{RECORD_QUEUE, SERF_TIMEOUT};
use crate::table::{Progress, Sink, Unanswered, Waiter};

/// Whether receivers may see only the newest user event of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coalesce {
    /// Only the newest, up to three seconds late.
    Newest,
    /// Every one, at once.
    Every,
}

/// One answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryAnswer {
    /// The node has the query. Only if acks were asked for.
    Ack {
        /// The node.
        from: Text,
    },
    /// The node answered.
    Response {
        /// The node.
        from: Text,
        /// Its answer; may be empty.
        payload: Bytes,
    },
}

/// Records that keep coming: events of a stream, or log lines of a monitor.
///
/// At most [`RECORD_QUEUE`] wait for a reader who is slow; what comes then is dropped and counted. Dropping the
/// subscription stops it. It ends with its connection, because nobody can tell what is missed until there is another; a
/// client that reconnects is then asked for a new one.
#[derive(Debug)]
pub struct Subscription<T> {
    connection: Arc<Connection>,
    seq: u64,
    records: mpsc::Receiver<T>,
    progress: Arc<Progress>,
    /// As a stream it has brought the error that it ends with.
    failed: bool,
}

/// The answers to a query, until its deadline.
#[derive(Debug)]
pub struct QueryAnswers {
    answers: Subscription<QueryAnswer>,
}

impl Client {
    /// Fires a user event.
    ///
    /// # Errors
    /// [`Error::Remote`] if name and payload are longer than the cluster allows.
    pub async fn event(&self, name: impl Into<Text>, payload: Option<Bytes>, coalesce: Coalesce) -> Result<(), Error> {
        let request = EventRequest { coalesce: coalesce == Coalesce::Newest, name: name.into(), payload };
        self.call(AgentRequest::Event(request)).await
    }

    /// Asks the cluster.
    ///
    /// ```no_run
    /// use folkmoot_client::{QueryAnswer, QueryRequest};
    ///
    /// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
    /// let mut answers = client.query(QueryRequest { name: "load".into(), ..Default::default() }).await?;
    /// while let Some(answer) = answers.next().await? {
    ///     if let QueryAnswer::Response { from, payload } = answer {
    ///         println!("{from}: {payload:?}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Remote`] if the query is too long or its name reserved.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryAnswers, Error> {
        let answers = self.subscribe(AgentRequest::Query(request), Sink::Answers).await?;
        Ok(QueryAnswers { answers })
    }

    /// Answers a query that a stream of this client brought.
    ///
    /// # Errors
    /// [`Error::Remote`] if the query is over, was answered already, or the answer is too long.
    pub async fn respond(&self, id: u64, payload: Option<Bytes>) -> Result<(), Error> {
        self.call(AgentRequest::Respond(RespondRequest { id, payload })).await
    }

    /// Subscribes to events. `filter` is a comma-separated list of `member-join`, `member-leave`, `member-failed`,
    /// `member-update`, `member-reap`, `user`, `user:NAME`, `query`, `query:NAME`, `*`.
    ///
    /// Go agents begin with the events a moment after they have agreed: what happens elsewhere in that moment may be
    /// missed. Once a later call on this connection is answered, the stream runs.
    ///
    /// ```no_run
    /// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
    /// let mut events = client.stream("member-join,user:deploy").await?;
    /// while let Some(event) = events.next().await? {
    ///     println!("{event:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Remote`] if the filter is invalid.
    pub async fn stream(&self, filter: impl Into<Text>) -> Result<Subscription<EventRecord>, Error> {
        self.subscribe(AgentRequest::Stream(StreamRequest { r#type: filter.into() }), Sink::Events).await
    }

    /// Subscribes to the agent's log, from `log_level` up: the last lines first, then new ones. One per connection.
    ///
    /// # Errors
    /// [`Error::Remote`] if there is no such level, or this connection has a monitor already.
    pub async fn monitor(&self, log_level: impl Into<Text>) -> Result<Subscription<Text>, Error> {
        self.subscribe(AgentRequest::Monitor(MonitorRequest { log_level: log_level.into() }), Sink::Logs).await
    }

    async fn subscribe<T>(
        &self,
        request: AgentRequest,
        sink: impl Fn(mpsc::Sender<T>) -> Sink,
    ) -> Result<Subscription<T>, Error> {
        let request = Request::from(request);
        let command = request.command();
        loop {
            let (queue, records) = mpsc::channel(RECORD_QUEUE);
            let (reply, answer) = oneshot::channel();
            let progress = Arc::new(Progress::default());
            let waiter = Waiter::Opening { reply, sink: sink(queue), progress: Arc::clone(&progress) };
            let connection = self.connection().await?;
            let seq = connection.send(&request, waiter).await?;
            // From here on dropping it cleans up, also when the caller gives up waiting.
            let subscription = Subscription { connection, seq, records, progress, failed: false };
            match Pending::new(command, answer).wait(Some(self.time_for(command))).await {
                Err(Unanswered::Unread) if self.reconnects() => {}
                replied => {
                    let refused = succeeded(command, &replied?.error);
                    refused.inspect_err(|_| subscription.progress.finished.store(true, Ordering::Release))?;
                    return Ok(subscription);
                }
            }
        }
    }
}

impl<T> Subscription<T> {
    /// The next record; waits for it. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// [`Error::Closed`] and its like once the connection is gone and what came before is read. `Ok(None)` is reserved
    /// for subscriptions that end by themselves.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<T>, Error>> {
        Poll::Ready(match ready!(self.records.poll_recv(context)) {
            Some(record) => Ok(Some(record)),
            None if self.progress.finished.load(Ordering::Acquire) => Ok(None),
            None => Err(self.connection.table().ended().unwrap_or(Error::Closed)),
        })
    }

    /// How many records were dropped because they were not read in time.
    pub fn dropped(&self) -> u64 {
        self.progress.dropped.load(Ordering::Relaxed)
    }

    /// Stops it and waits until the agent has taken note, at most [`SERF_TIMEOUT`].
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Timeout`] and their like.
    pub async fn stop(self) -> Result<(), Error> {
        self.progress.finished.store(true, Ordering::Release);
        let request = Request::from(AgentRequest::Stop(StopRequest { stop: self.seq }));
        let reply = self.connection.start(&request).await?.wait(Some(SERF_TIMEOUT)).await?;
        succeeded(request.command(), &reply.error)
    }
}

/// As [`Subscription::next`]; an error ends it.
impl<T> Stream for Subscription<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let record = ready!(self.poll(context));
        self.failed = record.is_err();
        Poll::Ready(record.transpose())
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.connection.table().forget(self.seq);
        if !self.progress.finished.load(Ordering::Acquire) {
            self.connection.stop_unanswered(self.seq);
        }
    }
}

impl QueryAnswers {
    /// The next answer, or `None` at the deadline.
    ///
    /// # Errors
    /// [`Error::Closed`] and its like once the connection is gone.
    pub async fn next(&mut self) -> Result<Option<QueryAnswer>, Error> {
        self.answers.next().await
    }

    /// How many answers were dropped because they were not read in time.
    pub fn dropped(&self) -> u64 {
        self.answers.dropped()
    }
}

/// As [`QueryAnswers::next`]; an error ends it.
impl Stream for QueryAnswers {
    type Item = Result<QueryAnswer, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.answers).poll_next(context)
    }
}

impl Drop for QueryAnswers {
    /// A query cannot be stopped.
    fn drop(&mut self) {
        self.answers.progress.finished.store(true, Ordering::Release);
    }
}
