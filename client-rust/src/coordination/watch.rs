//! [`Watch`]: every change once and in order, over lost connections and slow readers, or the word that some are forgotten.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use folkmoot_proto::Text;
use folkmoot_proto::coordination::{KvList, KvPage, Scope, Watch as WatchRequest, WatchChange, WatchRecord};
use futures_core::Stream;

use super::stream::Followed;
use crate::client::Client;
use crate::error::Error;
use crate::table::Sink;

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
    records: Followed<WatchRecord>,
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
        let request = WatchRequest { after: Some(after), prefix: prefix.clone(), scope };
        let records = Followed::new(self.open(request, Sink::Changes).await?);
        Ok(Watch { client: self.clone(), prefix, scope, after, records })
    }

    /// The revision of the group's state as it is.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn revision(&self) -> Result<u64, Error> {
        let question = KvList { limit: 1, ..KvList::default() };
        Ok(self.read::<_, KvPage>(question, false).await?.1.revision)
    }
}

impl Watch {
    /// The next changes; waits for them. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// Those of looking for another agent, for longer than [`crate::Reconnect`] allows; it may be asked again then.
    pub async fn next(&mut self) -> Result<Changes, Error> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Everything up to this revision was handed out: a later watch may go on from here.
    pub fn through(&self) -> u64 {
        self.after
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Changes, Error>> {
        loop {
            let Self { client, prefix, scope, after, records } = self;
            let reopened = || {
                let request = WatchRequest { after: Some(*after), prefix: prefix.clone(), scope: *scope };
                client.reopened(request, Sink::Changes)
            };
            let WatchRecord { changes, compacted, through } = ready!(records.poll(context, reopened))?;
            *after = (*after).max(through);
            if compacted {
                records.close();
                return Poll::Ready(Ok(Changes::Compacted { through }));
            }
            if !changes.is_empty() {
                return Poll::Ready(Ok(Changes::These(changes)));
            }
        }
    }
}

/// As [`Watch::next`]; it does not end.
impl Stream for Watch {
    type Item = Result<Changes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context).map(Some)
    }
}
