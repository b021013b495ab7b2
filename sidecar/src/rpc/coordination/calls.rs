//! The calls of one connection that are under way. Each is a task of its own, so that answers may overtake one another; how
//! many there are is bounded (`limits.rs`).
//!
//! A call that waits for others is cancelled by `stop` with its number, and by the end of the connection. Calls that do not
//! wait are let run: whether they were applied would otherwise be unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use folkmoot_coordination::{Command, Query, Reply, Request, SessionId, Ticket, session};
use folkmoot_proto::coordination::Code;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::coordinator::{Coordinator, Freshness};
use super::values::Failure;
use crate::rpc::limits::{CALL_TIMEOUT, CALLS, CONNECTION_SESSIONS, WAITING_CALLS};

/// What a connection has under way.
pub(in crate::rpc) struct Calls {
    running: Arc<Semaphore>,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    /// Who has to be told when the connection is gone; known from the first call on.
    coordinator: Option<Arc<dyn Coordinator>>,
}

/// What the tasks share with the connection.
#[derive(Default)]
struct Shared {
    /// Calls that wait, by their number on the connection: dropping the sender cancels them. A cancelled call stays without
    /// one until it has come to its end: it counts, and its number is not free.
    waiting: Mutex<BTreeMap<u64, Option<oneshot::Sender<()>>>>,
    /// Sessions that end with the connection.
    sessions: Mutex<BTreeSet<SessionId>>,
}

/// What a client asked, on its way to the group.
pub(super) struct Call {
    pub coordinator: Arc<dyn Coordinator>,
    pub request: Request,
    pub deadline: Instant,
    /// It creates a session that ends with the connection.
    pub binds_session: bool,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(CALLS)),
            shared: Arc::default(),
            tasks: JoinSet::new(),
            coordinator: None,
        }
    }
}

impl Calls {
    /// Runs what does not wait for others; returns once there is room for it. `kib` is what it counts of the room of all
    /// connections.
    pub(super) async fn run(
        &mut self,
        room: &Arc<Semaphore>,
        kib: u32,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        while self.tasks.try_join_next().is_some() {}
        // Neither is ever closed.
        let (Ok(place), Ok(room)) =
            (Arc::clone(&self.running).acquire_owned().await, Arc::clone(room).acquire_many_owned(kib).await)
        else {
            return;
        };
        self.tasks.spawn(async move {
            task.await;
            drop((place, room));
        });
    }

    /// Runs a call that may wait for others, under its number.
    pub(super) fn wait<F>(
        &mut self,
        seq: u64,
        call: Call,
        answer: impl FnOnce(Result<Reply, Failure>) -> F + Send + 'static,
    ) -> Result<(), Failure>
    where
        F: Future<Output = ()> + Send,
    {
        while self.tasks.try_join_next().is_some() {}
        self.know(&call.coordinator);
        let shared = Arc::clone(&self.shared);
        let mut waiting = shared.waiting();
        match waiting.get(&seq) {
            None => {}
            Some(Some(_)) => return Err(Failure::invalid(format!("a call with Seq {seq} waits already"))),
            Some(None) => {
                let reason = format!("the call with Seq {seq} was cancelled, and is not answered yet");
                return Err(Failure::invalid(reason));
            }
        }
        // Those whose answers a slow client has yet to take are tasks as well.
        if waiting.len() >= WAITING_CALLS || self.tasks.len() >= CALLS + WAITING_CALLS {
            let reason = format!("{WAITING_CALLS} calls wait on this connection already");
            return Err(Failure::new(Code::TooManyCalls, reason));
        }
        let (cancel, cancelled) = oneshot::channel();
        waiting.insert(seq, Some(cancel));
        drop(waiting);
        self.tasks.spawn(async move {
            let reply = call.run(cancelled).await;
            shared.waiting().remove(&seq);
            answer(reply).await;
        });
        Ok(())
    }

    /// Runs a call that does not wait, and notes the session that it binds to the connection or ends.
    pub(super) fn once(&mut self, call: Call) -> impl Future<Output = Result<Reply, Failure>> + use<> {
        self.know(&call.coordinator);
        let shared = Arc::clone(&self.shared);
        async move {
            let Call { coordinator, request, deadline, binds_session } = call;
            if binds_session {
                shared.has_room_for_session(&coordinator, deadline).await?;
            }
            let ends = ended_session(&request);
            let reply = coordinator.call(Command::Client(request), deadline).await;
            match (&reply, ends) {
                (Ok(Reply::Session(session::Reply::Created(session))), _) if binds_session => {
                    shared.sessions().insert(*session);
                }
                (Ok(Reply::Session(session::Reply::Ended)), Some(session)) => {
                    shared.sessions().remove(&session);
                }
                (Ok(_) | Err(_), _) => {}
            }
            reply
        }
    }

    /// Cancels the call that waits under this number; there need be none. It is still answered.
    pub fn cancel(&self, seq: u64) {
        if let Some(cancel) = self.shared.waiting().get_mut(&seq) {
            drop(cancel.take());
        }
    }

    /// Cancels what waits, lets everything else come to its end, and ends the sessions of the connection.
    pub async fn finish(mut self) {
        self.shared.waiting().values_mut().for_each(|cancel| drop(cancel.take()));
        while self.tasks.join_next().await.is_some() {}
        let Some(coordinator) = self.coordinator else { return };
        let sessions = std::mem::take(&mut *self.shared.sessions());
        let mut ends = JoinSet::new();
        for session in sessions {
            ends.spawn(coordinator.call(Command::ConnectionGone { session }, Instant::now() + CALL_TIMEOUT));
        }
        // What cannot be ended ends with its time to live.
        while ends.join_next().await.is_some() {}
    }

    fn know(&mut self, coordinator: &Arc<dyn Coordinator>) {
        self.coordinator.get_or_insert_with(|| Arc::clone(coordinator));
    }
}

impl Call {
    /// The outcome, of waiting too.
    async fn run(self, cancelled: oneshot::Receiver<()>) -> Result<Reply, Failure> {
        let command = Command::Client(self.request.clone());
        tokio::select! {
            reply = self.coordinator.call(command, self.deadline) => reply,
            _ = cancelled => self.give_up().await,
        }
    }

    /// Cancels the call. It may not have been applied yet, so it is sent again first: what cancels it has to come after it.
    async fn give_up(self) -> Result<Reply, Failure> {
        let Self { coordinator, request, .. } = self;
        let deadline = Instant::now() + CALL_TIMEOUT;
        let ticket = Ticket { client: request.client, request: request.request };
        let reply = coordinator.call_once(Command::Client(request.clone()), deadline).await?;
        if !matches!(reply, Reply::Waiting { .. }) {
            return Ok(reply);
        }
        coordinator.call_once(Command::CallerGone { ticket }, deadline).await?;
        coordinator.call_once(Command::Client(request), deadline).await
    }
}

/// The session that a request ends.
fn ended_session(request: &Request) -> Option<SessionId> {
    match &request.operation {
        folkmoot_coordination::Operation::Session(session::Command::Destroy { session }) => Some(*session),
        folkmoot_coordination::Operation::Session(_)
        | folkmoot_coordination::Operation::KeepAlive
        | folkmoot_coordination::Operation::Cancel { .. }
        | folkmoot_coordination::Operation::Kv(_)
        | folkmoot_coordination::Operation::Lock(_)
        | folkmoot_coordination::Operation::Election(_)
        | folkmoot_coordination::Operation::Barrier(_)
        | folkmoot_coordination::Operation::Counter(..)
        | folkmoot_coordination::Operation::Set(..)
        | folkmoot_coordination::Operation::List(..)
        | folkmoot_coordination::Operation::Queue(_)
        | folkmoot_coordination::Operation::Work(..) => None,
    }
}

/// A task that panicked here leaves nothing half done: go on.
impl Shared {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Option<oneshot::Sender<()>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails unless one more session may end with the connection. Those that have expired do not count: the group is asked
    /// which of them live, but only here.
    async fn has_room_for_session(&self, coordinator: &Arc<dyn Coordinator>, deadline: Instant) -> Result<(), Failure> {
        if self.sessions().len() < CONNECTION_SESSIONS {
            return Ok(());
        }
        let mut unseen = self.sessions().clone();
        while let Some(SessionId(first)) = unseen.first().copied() {
            let question = Query::Session(session::Query::List { after: SessionId(first.saturating_sub(1)) });
            let (reply, _) = coordinator.query(question, Freshness::Current, deadline).await?;
            let Reply::Session(session::Reply::Sessions(page)) = reply else { break };
            let living: BTreeSet<SessionId> = page.iter().map(|info| info.session).collect();
            let last = living.last().copied().unwrap_or(SessionId(u64::MAX));
            let behind = unseen.split_off(&SessionId(last.0.saturating_add(1)));
            self.sessions().retain(|session| !unseen.contains(session) || living.contains(session));
            unseen = if living.is_empty() { BTreeSet::new() } else { behind };
        }
        if self.sessions().len() < CONNECTION_SESSIONS {
            return Ok(());
        }
        let reason = format!("{CONNECTION_SESSIONS} sessions end with this connection already");
        Err(Failure::new(Code::TooManyCalls, reason))
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeSet<SessionId>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
