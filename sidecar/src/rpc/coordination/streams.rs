//! `watch` and `election-observe`: tasks between the group's changes and the connection's writer. They ask for the next
//! changes when the client has taken the last ones, so a slow client costs nothing; one that is slower than the group
//! forgets is told so.

use std::sync::Arc;

use folkmoot_coordination::{Event, Key, Query, Reply, Revision, Scope, What as Happened, watch};
use folkmoot_proto::coordination::{AsOf, Code, ElectionObserve, LeaderRecord, Watch, WatchRecord};
use folkmoot_proto::{Encode, ResponseHeader};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answers::{line_state, refused};
use super::changes::{change, record};
use super::coordinator::{Changes, Coordinator, Freshness, Noticed, Seen};
use super::questions::watched;
use super::values::{Failure, name};
use crate::rpc::events::Subscription;
use crate::rpc::limits::{CALL_TIMEOUT, STREAMS};
use crate::rpc::session::Session;
use crate::rpc::writer::{Frame, Outbox, What};

/// Opens a watch.
pub(super) fn watch(
    session: &mut Session,
    seq: u64,
    coordinator: &Arc<dyn Coordinator>,
    body: Watch,
) -> Result<(), Failure> {
    let coordinator = Arc::clone(coordinator);
    let sender = Sender::new(session, seq);
    let opening = async move {
        let after = match body.after {
            Some(after) => Revision(after),
            None => revision(&coordinator).await?,
        };
        let changes = coordinator.watch(watched(&body, after)?, Instant::now() + CALL_TIMEOUT).await?;
        Ok(pass_on(changes, sender))
    };
    open(session, seq, opening)
}

/// Opens a look at who leads.
pub(super) fn observe(
    session: &mut Session,
    seq: u64,
    coordinator: &Arc<dyn Coordinator>,
    body: ElectionObserve,
) -> Result<(), Failure> {
    let coordinator = Arc::clone(coordinator);
    let sender = Sender::new(session, seq);
    let opening = async move {
        let name = name(&body.name)?;
        let (leader, seen) = leader(&coordinator, &name).await?;
        Ok(Observer { coordinator, name, sender }.run(leader, seen))
    };
    open(session, seq, opening)
}

/// Fails unless one more stream may be opened under this number.
fn has_room(session: &mut Session, seq: u64) -> Result<(), Failure> {
    session.streams.retain(|_, stream| !stream.is_over());
    if session.streams.contains_key(&seq) {
        return Err(Failure::invalid(format!("a stream with Seq {seq} is open already")));
    }
    if session.streams.len() >= STREAMS {
        session.count_refusal("streams");
        return Err(Failure::new(Code::TooManyCalls, format!("{STREAMS} streams are open on this connection")));
    }
    Ok(())
}

/// Opens a stream: as long as `opening` takes, others of the connection go on. Its answer comes before its first record.
/// `stop` ends it at any time.
pub(super) fn open<S>(
    session: &mut Session,
    seq: u64,
    opening: impl Future<Output = Result<S, Failure>> + Send + 'static,
) -> Result<(), Failure>
where
    S: Future<Output = ()> + Send + 'static,
{
    has_room(session, seq)?;
    let (subscription, ended) = Subscription::new();
    tokio::spawn(run(seq, opening, ended, session.outbox.clone()));
    session.streams.insert(seq, subscription);
    Ok(())
}

async fn run<S: Future<Output = ()>>(
    seq: u64,
    opening: impl Future<Output = Result<S, Failure>>,
    mut ended: oneshot::Receiver<()>,
    outbox: Outbox,
) {
    let opened = tokio::select! {
        opened = opening => opened,
        _ = &mut ended => Err(Failure::new(Code::Cancelled, "stopped before it was open")),
        () = outbox.closed() => return,
    };
    match opened {
        Ok(stream) => {
            if outbox.send(Frame::new(What::Reply, ResponseHeader::ok(seq).to_bytes())).await.is_ok() {
                until(stream, ended, outbox).await;
            }
        }
        Err(failure) => {
            // Its number is free before its client knows.
            drop(ended);
            let _ = outbox
                .send(Frame::new(What::Reply, ResponseHeader::refused(seq, failure.to_string()).to_bytes()))
                .await;
        }
    }
}

async fn until(stream: impl Future<Output = ()>, ended: oneshot::Receiver<()>, outbox: Outbox) {
    tokio::select! {
        () = stream => {}
        _ = ended => {}
        () = outbox.closed() => {}
    }
}

/// The group's revision: any question tells it.
async fn revision(coordinator: &Arc<dyn Coordinator>) -> Result<Revision, Failure> {
    let query = Query::Session(folkmoot_coordination::session::Query::List {
        after: folkmoot_coordination::SessionId(u64::MAX),
    });
    let (_, seen) = coordinator.query(query, Freshness::Current, Instant::now() + CALL_TIMEOUT).await?;
    Ok(seen.revision)
}

/// Sends records of one stream.
pub(super) struct Sender {
    seq: u64,
    outbox: Outbox,
}

impl Sender {
    pub(super) fn new(session: &Session, seq: u64) -> Self {
        Self { seq, outbox: session.outbox.clone() }
    }

    /// False once the client is gone.
    pub(super) async fn send(&self, record: &impl Encode) -> bool {
        self.frame(ResponseHeader::ok(self.seq).with_body(record)).await
    }

    /// The last word of a stream that cannot go on: a header with the error.
    async fn fail(&self, failure: &Failure) {
        self.frame(ResponseHeader::refused(self.seq, failure.to_string()).to_bytes()).await;
    }

    async fn frame(&self, bytes: Vec<u8>) -> bool {
        self.outbox.send(Frame::new(What::Event, bytes)).await.is_ok()
    }
}

async fn pass_on(mut changes: Box<dyn Changes>, sender: Sender) {
    while let Some(noticed) = changes.next().await {
        let (record, last) = match noticed {
            Noticed::Page(page) => (record(page), false),
            Noticed::Compacted(Revision(through)) => {
                (WatchRecord { changes: Vec::new(), compacted: true, through }, true)
            }
        };
        if !sender.send(&record).await || last {
            return;
        }
    }
    sender.fail(&gone()).await;
}

fn gone() -> Failure {
    Failure::new(Code::NoGroup, "the group that was watched is out of reach")
}

/// Who leads, as the group is.
async fn leader(coordinator: &Arc<dyn Coordinator>, name: &Key) -> Result<(LeaderRecord, Seen), Failure> {
    let deadline = Instant::now() + CALL_TIMEOUT;
    let (reply, seen) = coordinator.query(Query::Election(name.clone()), Freshness::Current, deadline).await?;
    let state = match reply {
        Reply::Line(state) => line_state(state),
        Reply::Refused(refusal) => return Err(refused(&refusal)),
        Reply::Done
        | Reply::Registered(_)
        | Reply::Waiting { .. }
        | Reply::Held { .. }
        | Reply::Entered { .. }
        | Reply::Left
        | Reply::Element(_)
        | Reply::Kv(_)
        | Reply::Session(_)
        | Reply::Barrier(_)
        | Reply::Collection(_)
        | Reply::Queue(_)
        | Reply::Work(_)
        | Reply::Changes(_) => return Err(Failure::new(Code::Refused, "the answer is none to election-info")),
    };
    let record = state.holds.into_iter().next().map_or_else(LeaderRecord::default, |hold| LeaderRecord {
        hold: hold.hold,
        owner: Some(hold.owner),
        revision: 0,
        token: hold.token,
        value: hold.value,
    });
    Ok((LeaderRecord { revision: seen.revision.0, ..record }, seen))
}

/// Follows one election.
struct Observer {
    coordinator: Arc<dyn Coordinator>,
    name: Key,
    sender: Sender,
}

impl Observer {
    async fn run(self, mut current: LeaderRecord, mut seen: Seen) {
        loop {
            if !self.sender.send(&current).await {
                return;
            }
            match self.follow(seen.revision).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => return self.sender.fail(&failure).await,
            }
            // What came between is forgotten: the state as it is counts.
            match leader(&self.coordinator, &self.name).await {
                Ok((leader, then)) => (current, seen) = (leader, then),
                Err(failure) => return self.sender.fail(&failure).await,
            }
        }
    }

    /// Passes changes on; true if some are forgotten, false once the client is gone.
    async fn follow(&self, after: Revision) -> Result<bool, Failure> {
        let prefix = bytes::Bytes::copy_from_slice(self.name.as_bytes());
        let query = watch::Query { scope: Some(Scope::Election), prefix, after };
        let mut changes = self.coordinator.watch(query, Instant::now() + CALL_TIMEOUT).await?;
        loop {
            let page = match changes.next().await.ok_or_else(gone)? {
                Noticed::Page(page) => page,
                Noticed::Compacted(_) => return Ok(true),
            };
            for event in page.events.into_iter().filter(|event| event.key == self.name) {
                if let Some(record) = leadership(event)
                    && !self.sender.send(&record).await
                {
                    return Ok(false);
                }
            }
        }
    }
}

/// Who leads after this change, if it says so.
fn leadership(event: Event) -> Option<LeaderRecord> {
    let leads = match &event.what {
        Happened::Granted { .. } | Happened::Proclaimed { .. } => true,
        Happened::Released { .. } => false,
        Happened::Put { .. }
        | Happened::Started
        | Happened::Ended(_)
        | Happened::Opened
        | Happened::Closed
        | Happened::Count(_)
        | Happened::Length(_)
        | Happened::Item { .. } => return None,
    };
    let told = change(event);
    let none = LeaderRecord { revision: told.revision, ..LeaderRecord::default() };
    Some(if leads {
        LeaderRecord { hold: told.hold, owner: told.owner, token: told.token, value: told.value, ..none }
    } else {
        none
    })
}

/// What a question is answered with besides the answer.
pub(super) fn as_of(freshness: Freshness, seen: Seen) -> AsOf {
    AsOf { age: seen.age_ms, revision: seen.revision.0, stale: freshness == Freshness::Stale }
}
