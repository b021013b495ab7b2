//! Events and what streams them: `event`, `stream`, `monitor`, `stop` (sections 7.3, 8.1 to 8.3).
//!
//! A stream or monitor is a task between a bounded queue and the connection's writer. The queue is filled by somebody
//! who never waits; the task waits for the client.

use std::sync::Arc;

use folkmoot_proto::{
    Encode, EventRecord, EventRequest, LogRecord, MonitorRequest, QueryEventRecord, ResponseHeader, StopRequest,
    StreamRequest, Text, UserEventRecord, texts,
};
use folkmoot_serf::Event;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::limits::{MONITOR_QUEUE, STREAM_QUEUE, STREAMS};
use super::members;
use super::pending::PendingQueries;
use super::session::{Fault, Session};
use super::writer::{Frame, Outbox, What};
use crate::event_filter::EventFilters;
use crate::handle::{Delivered, NodeHandle, Owner, Question, Subscriber, SubscriptionId};
use crate::logging::{Level, LogLine, LogSubscription};

/// A running stream or monitor. Dropping it ends the task behind it, which still sends what is queued.
pub(super) struct Subscription {
    end: oneshot::Sender<()>,
}

impl Subscription {
    /// A subscription, and what tells its task that it was dropped.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (end, ended) = oneshot::channel();
        (Self { end }, ended)
    }

    /// Whether the task behind it has ended by itself.
    pub fn is_over(&self) -> bool {
        self.end.is_closed()
    }
}

pub(super) async fn event(session: &Session, seq: u64, request: EventRequest) -> Result<(), Fault> {
    let EventRequest { coalesce, name, payload } = request;
    let result = session.node().ask(|reply| Question::UserEvent { name, payload, coalesce, reply }).await?;
    Ok(session.answer_result(seq, result).await?)
}

pub(super) async fn stream(session: &mut Session, seq: u64, request: StreamRequest) -> Result<(), Fault> {
    let filter = match EventFilters::parse(request.r#type.as_bytes()) {
        Ok(filter) => filter,
        Err(invalid) => return Ok(session.refuse(seq, &invalid.to_string()).await?),
    };
    if session.streams.get(&seq).is_some_and(|stream| !stream.is_over()) {
        return Ok(session.refuse(seq, texts::STREAM_EXISTS).await?);
    }
    if session.streams.len() >= STREAMS {
        session.count_refusal("streams");
        return Ok(session.refuse(seq, &format!("too-many-streams: {STREAMS} are open on this connection")).await?);
    }
    let (queue, events) = mpsc::channel(STREAM_QUEUE);
    let subscriber = Subscriber { filter, queue, owner: Owner::RpcClient(session.outbox.peer().to_string()) };
    let id = session.node().ask(|reply| Question::Subscribe { subscriber, reply }).await?;
    let task = EventTask {
        events,
        seq,
        outbox: session.outbox.clone(),
        pending: Arc::clone(&session.pending),
        _guard: Unsubscribe { node: session.node().clone(), id },
    };
    // The reply comes before the first record, whatever waits already.
    session.answer(seq, None).await?;
    let (subscription, ended) = Subscription::new();
    tokio::spawn(task.run(ended));
    session.streams.insert(seq, subscription);
    Ok(())
}

pub(super) async fn monitor(session: &mut Session, seq: u64, request: MonitorRequest) -> Result<(), Fault> {
    let Some(level) = request.log_level.as_str().and_then(Level::parse) else {
        let level = request.log_level.to_string_lossy().to_uppercase();
        return Ok(session.refuse(seq, &format!("{}{level}", texts::UNKNOWN_LOG_LEVEL)).await?);
    };
    if session.monitor.is_some() {
        return Ok(session.refuse(seq, texts::MONITOR_EXISTS).await?);
    }
    let (queue, lines) = mpsc::channel(MONITOR_QUEUE);
    let label = session.outbox.peer().to_string();
    let (backlog, subscription) = session.context().logs.subscribe(level, queue, label);
    let task = MonitorTask { backlog, lines, seq, outbox: session.outbox.clone(), subscription };
    session.answer(seq, None).await?;
    let (subscription, ended) = Subscription::new();
    tokio::spawn(task.run(ended));
    session.monitor = Some((seq, subscription));
    Ok(())
}

/// Ends the monitor, the stream, or both, of that number, and cancels the coordination call that waits under it; there need
/// be none.
pub(super) async fn stop(session: &mut Session, seq: u64, request: &StopRequest) -> Result<(), Fault> {
    session.monitor.take_if(|(monitor, _)| *monitor == request.stop);
    session.streams.remove(&request.stop);
    session.calls.cancel(request.stop);
    Ok(session.answer(seq, None).await?)
}

/// Takes a subscription back when its stream ends. Should the node's mailbox be full, it finds out by the closed queue.
struct Unsubscribe {
    node: NodeHandle,
    id: SubscriptionId,
}

impl Drop for Unsubscribe {
    fn drop(&mut self) {
        self.node.tell(Question::Unsubscribe { id: self.id });
    }
}

struct EventTask {
    events: mpsc::Receiver<Delivered>,
    seq: u64,
    outbox: Outbox,
    pending: Arc<PendingQueries>,
    _guard: Unsubscribe,
}

impl EventTask {
    async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        loop {
            let delivered = tokio::select! {
                delivered = self.events.recv() => delivered,
                _ = &mut ended, if !self.events.is_closed() => {
                    self.events.close();
                    continue;
                }
            };
            let Some(delivered) = delivered else { return };
            let record = encode(self.seq, &delivered, &self.pending);
            if self.outbox.send(Frame::new(What::Event, record)).await.is_err() {
                return;
            }
        }
    }
}

/// Header and record.
fn encode(seq: u64, delivered: &Delivered, pending: &PendingQueries) -> Vec<u8> {
    let mut out = ResponseHeader::ok(seq).to_bytes();
    match &*delivered.event {
        Event::Members(event) => members::encode_event(event, &mut out),
        Event::User(event) => EventRecord::User(UserEventRecord {
            coalesce: event.coalesce,
            ltime: event.ltime.0,
            name: event.name.clone(),
            payload: event.payload.clone(),
        })
        .encode(&mut out),
        Event::Query(event) => {
            let now = Instant::now();
            let id = pending.register(now, event.key, delivered.answer_by.unwrap_or(now));
            EventRecord::Query(QueryEventRecord {
                id,
                ltime: event.key.ltime.0,
                name: event.name.clone(),
                payload: event.payload.clone(),
            })
            .encode(&mut out);
        }
    }
    out
}

struct MonitorTask {
    backlog: Vec<Arc<LogLine>>,
    lines: mpsc::Receiver<Arc<LogLine>>,
    seq: u64,
    outbox: Outbox,
    subscription: LogSubscription,
}

impl MonitorTask {
    async fn run(self, mut ended: oneshot::Receiver<()>) {
        let Self { backlog, mut lines, seq, outbox, subscription } = self;
        let mut subscription = Some(subscription);
        for line in backlog {
            if outbox.send(record(seq, &line)).await.is_err() {
                return;
            }
        }
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                _ = &mut ended, if subscription.is_some() => {
                    subscription = None;
                    lines.close();
                    continue;
                }
            };
            let Some(line) = line else { return };
            if outbox.send(record(seq, &line)).await.is_err() {
                return;
            }
        }
    }
}

fn record(seq: u64, line: &LogLine) -> Frame {
    let record = LogRecord { log: Text::from(line.text.as_str()) };
    Frame::new(What::Log, ResponseHeader::ok(seq).with_body(&record))
}
