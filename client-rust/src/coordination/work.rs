//! [`WorkQueue`]: items with requirements, claimed under a lease by workers that meet them, and the [`Item`] a worker has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_proto::coordination::{
    Code, WorkCancel, WorkClaim, WorkClaimed, WorkComplete, WorkConfigure, WorkEnd, WorkFail, WorkFinished, WorkForget,
    WorkGet, WorkHeartbeat, WorkHistory, WorkInfo, WorkItem, WorkList, WorkNumbers, WorkPage, WorkPressure, WorkPut,
    WorkQueued, WorkRedrive, WorkRelease, WorkState, WorkStats,
};
use folkmoot_proto::{Blob, Text};
use tokio::time::Instant;

use super::call::Answered;
use super::hold::{GiveBack, Held, Owed, Renew, Terms, lost_if_not_held};
use super::identity::Identity;
use super::lease::Lost;
use super::session::Bond;
use super::{Wait, millis};
use crate::client::Client;
use crate::error::{Error, Refusal};
use crate::limits::{LEASE_TTL, LEASE_TTL_SHORTEST};

/// A queue of work.
///
/// ```no_run
/// use folkmoot_client::{Claim, NewItem, Wait};
///
/// # async fn play(_games: &[u8]) -> Result<(), String> { Ok(()) }
/// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
/// let work = client.work_queue("selfplay");
/// work.put(NewItem { priority: 70, requires: ["gpu".into()].into(), ..NewItem::new("100 games") }).await?;
///
/// let claim = Claim { capabilities: ["gpu".into()].into(), ..Claim::default() };
/// for item in work.claim(&claim, Wait::Always).await? {
///     match play(item.payload()).await {
///         Ok(()) => item.complete("").await?,
///         Err(reason) => item.fail(reason, std::time::Duration::ZERO).await?,
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WorkQueue {
    client: Client,
    name: Text,
}

/// An item to put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewItem {
    /// What the worker gets.
    pub payload: Bytes,
    /// 0 to 100, highest first.
    pub priority: u8,
    /// Time before it can be claimed.
    pub delay: Duration,
    /// While an item with this key is in the queue (dead ones too), another put of it makes none.
    pub dedupe: Option<Text>,
    /// Items of this queue that have to be completed before; cancelling one of them cancels this.
    pub depends_on: BTreeSet<u64>,
    /// Attempts after which it is dead; 0: never.
    pub max_attempts: u32,
    /// What its worker has to be capable of.
    pub requires: BTreeSet<Text>,
    /// The node whose workers get it, and the time after which others may have it; `None`: never.
    pub target: Option<(Text, Option<Duration>)>,
    /// Nodes whose workers do not get it.
    pub excluded: BTreeSet<Text>,
}

impl NewItem {
    /// One that any worker may have.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }
}

/// What came of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// The item, or the one with the same dedupe key that was there.
    pub item: u64,
    /// Whether it was there.
    pub duplicate: bool,
    /// Whether the queue's soft limit is reached: a producer should go slower.
    pub pressure: bool,
}

/// A worker that wants items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What it is capable of.
    pub capabilities: BTreeSet<Text>,
    /// Where it runs: when gossip says that this node is gone, its claims end.
    pub node: Option<Text>,
    /// Time without a sign of life after which a claim ends; [`LEASE_TTL`] by default. Signs are given in the background.
    pub lease: Duration,
    /// Items wanted at once.
    pub most: u32,
    /// A session with which the claims end as well.
    pub session: Option<Bond>,
}

impl Default for Claim {
    fn default() -> Self {
        Self { capabilities: BTreeSet::new(), node: None, lease: LEASE_TTL, most: 1, session: None }
    }
}

/// An item that this worker has. Its lease is kept alive in the background until it is completed, failed, released or lost.
/// Dropped, it is released in the background, if the cluster can be reached; else its lease runs out.
#[derive(Debug)]
pub struct Item {
    held: Held<Claimed>,
    item: WorkItem,
}

/// One claim of an item.
#[derive(Debug, Clone)]
struct Claimed {
    queue: WorkQueue,
    identity: Arc<Identity>,
    item: u64,
    token: u64,
}

impl Client {
    /// A queue of work.
    pub fn work_queue(&self, name: impl Into<Text>) -> WorkQueue {
        WorkQueue { client: self.clone(), name: name.into() }
    }
}

impl WorkQueue {
    /// Adds an item.
    ///
    /// # Errors
    /// [`Error::Refused`] with `full` at the hard limit, `unknown-dependency`, `invalid`, `too-large`, `too-many`,
    /// `storage-full`.
    pub async fn put(&self, item: NewItem) -> Result<Put, Error> {
        let (target, within) = item.target.map_or((Text::default(), None), |(node, within)| (node, within));
        let body = WorkPut {
            dedupe: item.dedupe.unwrap_or_default(),
            delay: millis(item.delay),
            depends_on: item.depends_on.into_iter().collect(),
            excluded: item.excluded.into_iter().collect(),
            max_attempts: item.max_attempts,
            name: self.name.clone(),
            payload: Blob(item.payload),
            priority: item.priority.into(),
            requires: item.requires.into_iter().collect(),
            target,
            target_within: within.map(millis),
        };
        let WorkQueued { duplicate, item, pressure } = self.client.write(body).await?;
        Ok(Put { item, duplicate, pressure: pressure == WorkPressure::Soft })
    }

    /// Takes items, and waits for the first; none if there was none in time. If the caller gives up waiting, what was
    /// claimed meanwhile goes back.
    ///
    /// # Errors
    /// [`Error::Refused`] with `no-session`, `too-many`, and what any call may fail with.
    pub async fn claim(&self, claim: &Claim, wait: Wait) -> Result<Vec<Item>, Error> {
        let lease = claim.lease.max(LEASE_TTL_SHORTEST);
        let terms = Terms::new(&self.client, lease, claim.session.as_ref());
        let kept = async move |asked: Instant, claimed: Vec<(Owed<Claimed>, WorkItem)>| {
            let mut kept = Vec::with_capacity(claimed.len());
            for (owed, item) in claimed {
                match owed.hold(asked, &terms).await {
                    Ok(held) => kept.push(Item { held, item }),
                    Err(Error::LeaseLost(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(kept)
        };
        self.take(claim, wait, kept).await
    }

    /// Takes items that nobody keeps alive unless told to, for programs that do not stay. The claim should name a session:
    /// without one it ends with this client.
    ///
    /// # Errors
    /// As [`WorkQueue::claim`].
    pub async fn claim_detached(&self, claim: &Claim, wait: Wait) -> Result<Vec<WorkItem>, Error> {
        let claimed = self.take(claim, wait, async |_, claimed| Ok(claimed)).await?;
        let detached = claimed.into_iter().map(|(mut owed, item)| {
            owed.settle();
            item
        });
        Ok(detached.collect())
    }

    /// Claims, and makes of it what `kept` says; what that does not keep goes back.
    async fn take<T, F>(
        &self,
        claim: &Claim,
        wait: Wait,
        kept: impl FnOnce(Instant, Vec<(Owed<Claimed>, WorkItem)>) -> F + Send + 'static,
    ) -> Result<Vec<T>, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<Vec<T>, Error>> + Send,
    {
        let body = WorkClaim {
            capabilities: claim.capabilities.iter().cloned().collect(),
            lease: millis(claim.lease.max(LEASE_TTL_SHORTEST)),
            most: claim.most.max(1),
            name: self.name.clone(),
            node: claim.node.clone().unwrap_or_default(),
            session: claim.session.as_ref().map_or(0, Bond::id),
            wait: wait.to_body(),
        };
        let queue = self.clone();
        let claimed = move |Answered { answer: WorkClaimed { items }, identity, asked }: Answered<_>| {
            let owed = |item: WorkItem| {
                let (queue, identity) = (queue.clone(), Arc::clone(&identity));
                (Owed::new(Claimed { queue, identity, item: item.item, token: item.token }), item)
            };
            kept(asked, items.into_iter().map(owed).collect())
        };
        match self.client.write_waiting(body, wait, claimed).await {
            Err(Error::Refused(Refusal { code: Code::Empty | Code::TimedOut, .. })) => Ok(Vec::new()),
            outcome => outcome,
        }
    }

    /// Starts the lease of a claimed item again, whoever claimed it.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the claim has ended.
    pub async fn heartbeat(&self, item: u64, token: u64) -> Result<(), Error> {
        let body = WorkHeartbeat { item, lease: 0, name: self.name.clone(), token };
        lost_if_not_held(self.client.write(body).await).map(drop)
    }

    /// A claimed item is done, whoever claimed it; `result` is kept in the history.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the claim has ended, [`Error::Refused`] with `too-large`.
    pub async fn complete(&self, item: u64, token: u64, result: impl Into<Bytes>) -> Result<(), Error> {
        let body = WorkComplete { item, name: self.name.clone(), result: Blob(result.into()), token };
        lost_if_not_held(self.client.write(body).await).map(drop)
    }

    /// The attempt at a claimed item failed and counts, whoever claimed it.
    ///
    /// # Errors
    /// As [`WorkQueue::complete`].
    pub async fn fail(
        &self,
        item: u64,
        token: u64,
        reason: impl Into<Bytes>,
        retry_after: Duration,
    ) -> Result<(), Error> {
        let (reason, retry_after) = (Blob(reason.into()), millis(retry_after));
        let body = WorkFail { item, name: self.name.clone(), reason, retry_after, token };
        lost_if_not_held(self.client.write(body).await).map(drop)
    }

    /// A claimed item goes back as if it had not been claimed, whoever claimed it.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the claim has ended.
    pub async fn release(&self, item: u64, token: u64, delay: Duration) -> Result<(), Error> {
        let body = WorkRelease { delay: millis(delay), item, name: self.name.clone(), token };
        lost_if_not_held(self.client.write(body).await).map(drop)
    }

    /// Removes an item, whatever its state, and those that depend on it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `missing`.
    pub async fn cancel(&self, item: u64) -> Result<(), Error> {
        self.client.write(WorkCancel { item, name: self.name.clone() }).await.map(drop)
    }

    /// Brings a dead item back with no attempts counted; `None`: all of them, some thousand at a time. How many are back.
    ///
    /// # Errors
    /// [`Error::Refused`] with `missing`.
    pub async fn redrive(&self, item: Option<u64>) -> Result<u64, Error> {
        Ok(self.client.write(WorkRedrive { item: item.unwrap_or(0), name: self.name.clone() }).await?.items)
    }

    /// Sets the limits: from `soft` items on producers are told to go slower, at `hard` puts are refused.
    ///
    /// # Errors
    /// [`Error::Refused`] with `invalid`.
    pub async fn configure(&self, soft: u64, hard: u64) -> Result<(), Error> {
        self.client.write(WorkConfigure { hard, name: self.name.clone(), soft }).await.map(drop)
    }

    /// Forgets a queue without items and waiting calls, with its history.
    ///
    /// # Errors
    /// [`Error::Refused`] with `busy`.
    pub async fn forget(&self) -> Result<(), Error> {
        self.client.write(WorkForget { name: self.name.clone() }).await.map(drop)
    }

    /// Its numbers.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn stats(&self) -> Result<WorkNumbers, Error> {
        Ok(self.client.read(WorkStats { name: self.name.clone() }, false).await?.0)
    }

    /// An item as it is.
    ///
    /// # Errors
    /// [`Error::Refused`] with `missing`.
    pub async fn get(&self, item: u64) -> Result<WorkInfo, Error> {
        Ok(self.client.read(WorkGet { item, name: self.name.clone() }, false).await?.0)
    }

    /// A page of items behind `after` (0: from the first), of one state or any.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn list(&self, after: u64, state: WorkState) -> Result<Vec<WorkInfo>, Error> {
        let (WorkPage { items }, _) =
            self.client.read(WorkList { after, name: self.name.clone(), state }, false).await?;
        Ok(items)
    }

    /// All dead items, read page by page.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn dead(&self) -> Result<Vec<WorkInfo>, Error> {
        let mut all: Vec<WorkInfo> = Vec::new();
        loop {
            let page = self.list(all.last().map_or(0, |info| info.item), WorkState::Dead).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// Items that have left the queue, the latest first.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn history(&self) -> Result<Vec<WorkEnd>, Error> {
        let (WorkFinished { items }, _) = self.client.read(WorkHistory { name: self.name.clone() }, false).await?;
        Ok(items)
    }
}

impl GiveBack for Claimed {
    async fn give_back(&self) -> Result<(), Error> {
        let WorkQueue { client, name } = &self.queue;
        let body = WorkRelease { delay: 0, item: self.item, name: name.clone(), token: self.token };
        client.write_as(&self.identity, body).await.map(drop)
    }
}

impl Renew for Claimed {
    async fn renew(&self) -> Result<(), Error> {
        let WorkQueue { client, name } = &self.queue;
        let body = WorkHeartbeat { item: self.item, lease: 0, name: name.clone(), token: self.token };
        client.write_as(&self.identity, body).await.map(drop)
    }
}

impl Item {
    /// Its number in the queue.
    pub fn id(&self) -> u64 {
        self.item.item
    }

    /// The claim's token: higher than that of every claim before. Whoever writes somewhere else on the strength of this
    /// claim passes it on, and the other place refuses lower ones.
    pub fn token(&self) -> u64 {
        self.item.token
    }

    /// What to do.
    pub fn payload(&self) -> &Bytes {
        &self.item.payload.0
    }

    /// Its priority.
    pub fn priority(&self) -> u8 {
        u8::try_from(self.item.priority).unwrap_or(u8::MAX)
    }

    /// Attempts that failed before.
    pub fn attempts(&self) -> u32 {
        self.item.attempts
    }

    /// Whether it is this worker's, as far as this side knows at this moment: it and the session that it ends with are
    /// renewed.
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }

    /// Returns when the claim has ended, or its session has.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        self.held.lost()
    }

    /// The item is done; `result` is kept in the history.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the claim has ended before, [`Error::Refused`] with `too-large`.
    pub async fn complete(mut self, result: impl Into<Bytes>) -> Result<(), Error> {
        self.held.settle();
        let Claimed { queue: WorkQueue { client, name }, identity, item, token } = self.held.what();
        let body = WorkComplete { item: *item, name: name.clone(), result: Blob(result.into()), token: *token };
        lost_if_not_held(client.write_as(identity, body).await).map(drop)
    }

    /// The attempt failed and counts; the next one may begin `retry_after` from here on.
    ///
    /// # Errors
    /// As [`Item::complete`].
    pub async fn fail(mut self, reason: impl Into<Bytes>, retry_after: Duration) -> Result<(), Error> {
        self.held.settle();
        let Claimed { queue: WorkQueue { client, name }, identity, item, token } = self.held.what();
        let (reason, retry_after) = (Blob(reason.into()), millis(retry_after));
        let body = WorkFail { item: *item, name: name.clone(), reason, retry_after, token: *token };
        lost_if_not_held(client.write_as(identity, body).await).map(drop)
    }

    /// It goes back as if it had not been claimed. If that is not waited for to its end, it goes on in the background.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the claim has ended before.
    pub async fn release(self) -> Result<(), Error> {
        self.held.give_back().await
    }
}
