//! [`Watch`]: every change once and in order, over lost connections and slow readers, or the word that some are forgotten.
//! And [`Records`]: one stream of an agent, until its connection ends or its reader is too slow.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use folkmoot_proto::coordination::{
    Call, CoordinationRequest, KvList, KvPage, Scope, Watch as WatchRequest, WatchChange, WatchRecord,
};
use folkmoot_proto::{Command, Request, Text};
use tokio::sync::{mpsc, oneshot};

use super::call::judge_opening;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::connection::{Connection, Pending};
use crate::error::Error;
use crate::limits::{ATTEMPT_GRACE, ATTEMPT_TIMEOUT, WATCH_QUEUE};
use crate::table::{Progress, Sink, Waiter};

/// One change. Which fields mean something, `what` says.
pub use folkmoot_proto::coordination::WatchChange as Change;

/// What is to be watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Keys or names that begin so.
    pub prefix: Text,
    /// Of which kind of object; [`Scope::Any`]: of all.
    pub scope: Scope,
    /// Changes after this revision; `None`: from here on.
    pub after: Option<u64>,
}

impl WatchOptions {
    /// All keys, from here on.
    pub fn keys() -> Self {
        Self { scope: Scope::Key, ..Self::default() }
    }
}

/// Changes as they come. It goes on by itself where it was when the connection is lost.
///
/// ```no_run
/// use folkmoot_client::{Changes, WatchOptions};
///
/// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
/// let page = client.kv().list("config/", None, 0).await?;
/// let mut watch = client.kv().watch("config/", Some(page.revision)).await?;
/// loop {
///     match watch.next().await? {
///         Changes::These(changes) => println!("{} changes", changes.len()),
///         Changes::Compacted { .. } => break, // Too much has happened: read everything again.
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    client: Client,
    prefix: Text,
    scope: Scope,
    /// Everything up to here was handed out.
    after: u64,
    records: Option<Records<WatchRecord>>,
    backoff: Backoff,
}

/// What a watch brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// In order; changes of one revision come together.
    These(Vec<WatchChange>),
    /// Changes up to a revision are forgotten: read the state again. The watch goes on from there.
    Compacted {
        /// The revision.
        through: u64,
    },
}

impl Client {
    /// Watches.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn watch(&self, options: WatchOptions) -> Result<Watch, Error> {
        let WatchOptions { prefix, scope, after } = options;
        let after = match after {
            Some(after) => after,
            None => self.revision().await?,
        };
        let backoff = Backoff::new();
        let mut watch = Watch { client: self.clone(), prefix, scope, after, records: None, backoff };
        watch.open().await?;
        Ok(watch)
    }

    /// The revision of the group's state as it is.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn revision(&self) -> Result<u64, Error> {
        let question = KvList { limit: 1, ..KvList::default() };
        Ok(self.read::<_, KvPage>(question, false).await?.1.revision)
    }

    /// Opens a stream.
    pub(crate) async fn open<C, T>(&self, body: C, sink: fn(mpsc::Sender<T>) -> Sink) -> Result<Records<T>, Error>
    where
        C: Call<Answer = T> + Into<CoordinationRequest>,
    {
        let request = Request::Coordination(body.into());
        let mut backoff = Backoff::new();
        let deadline = self.deadline(super::Wait::No);
        loop {
            let opened = match self.connection().await {
                Ok(connection) => Records::open(connection, &request, sink).await,
                Err(error) => return Err(error),
            };
            match opened {
                Err(error @ (Error::Closed | Error::Unavailable { .. } | Error::Timeout { .. }))
                    if self.reconnects() =>
                {
                    self.pause(&mut backoff, deadline, error).await?;
                }
                opened => return opened,
            }
        }
    }
}

impl Watch {
    /// The next changes; waits for them. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// Those of looking for another agent, for longer than [`crate::Reconnect`] allows; it may be asked again then.
    pub async fn next(&mut self) -> Result<Changes, Error> {
        loop {
            if self.records.is_none() {
                self.open().await?;
            }
            let Some(records) = &mut self.records else { continue };
            let record = records.next().await.inspect_err(|_| self.records = None)?;
            let Some(WatchRecord { changes, compacted, through }) = record else {
                // Lost, or this reader was too slow for it: go on from what was read.
                self.records = None;
                tokio::time::sleep(self.backoff.pause()).await;
                continue;
            };
            self.backoff = Backoff::new();
            self.after = self.after.max(through);
            if compacted {
                self.records = None;
                return Ok(Changes::Compacted { through });
            }
            if !changes.is_empty() {
                return Ok(Changes::These(changes));
            }
        }
    }

    /// Everything up to this revision was handed out: a later watch may go on from here.
    pub fn through(&self) -> u64 {
        self.after
    }

    async fn open(&mut self) -> Result<(), Error> {
        let request = WatchRequest { after: Some(self.after), prefix: self.prefix.clone(), scope: self.scope };
        self.records = Some(self.client.open(request, Sink::Changes).await?);
        Ok(())
    }
}

/// One stream of an agent.
#[derive(Debug)]
pub(crate) struct Records<T> {
    connection: Arc<Connection>,
    seq: u64,
    command: Command,
    records: mpsc::Receiver<T>,
    progress: Arc<Progress>,
}

impl<T> Records<T> {
    pub(crate) async fn open(
        connection: Arc<Connection>,
        request: &Request,
        sink: fn(mpsc::Sender<T>) -> Sink,
    ) -> Result<Self, Error> {
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
    pub(crate) async fn next(&mut self) -> Result<Option<T>, Error> {
        let record = self.records.recv().await;
        match (record, self.progress.error()) {
            (Some(record), _) => Ok(Some(record)),
            (None, Some(error)) => {
                let error = judge_opening(self.command, &error);
                if error.may_pass() { Ok(None) } else { Err(error) }
            }
            (None, None) => Ok(None),
        }
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
