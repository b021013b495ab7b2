//! Coordination for any agent, with a member of its own or without: calls go to whoever leads, once, and again until the
//! deadline where that one is gone, cut off or replaced.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_coordination::{Command, Query, Reply, watch as changes};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::calls::{
    Admin, AdminReply, CallError, Consistency, Failure, Following, may_repeat, read, read_aged, read_reply, write,
    write_proposal, write_query,
};
use crate::frames::Kind;
use crate::group::Group;
use crate::here::{Here, record_of};
use crate::limits::{
    ADMIN_PATIENCE, BACKUP_BYTES_MAX, BACKUP_PATIENCE, COMMAND_BYTES_MAX, NO_GROUP_PATIENCE, QUORUM_PATIENCE,
    REDIRECTS_MAX, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, WATCH_BYTES_MAX,
};
use crate::link::LinkError;
use crate::peer::{NodeId, Peer};
use crate::routes::{Routes, Way};
use crate::serve::{FoundingCall, Serving};
use crate::status::Age;
use crate::transport::Transport;
use crate::watch::{Record, Watch};

/// Coordination, for the agent's clients. Cheap to clone.
pub struct Access<T: Transport> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    here: Option<Arc<Here>>,
    routes: Routes<T>,
    serving: Serving,
}

/// What is asked, until it is answered.
enum Ask {
    Propose(Command, Following),
    Read(Query),
    Admin(Admin),
}

/// The answer.
enum Answer {
    Reply(Reply),
    Aged(Reply, Age),
    Admin(AdminReply),
}

/// Who is asked.
enum Route<T> {
    Here(Arc<Here>),
    There(Way<T>),
}

/// Why one attempt has failed.
enum Miss {
    /// No stream; if one side refuses the other, why.
    Unreached(Option<String>),
    Failed(Failure),
}

/// What has gone wrong with a call so far.
#[derive(Default)]
struct Trouble {
    /// Whether the call changes anything: only then it matters whether an attempt was accepted.
    changes: bool,
    /// An attempt may have been accepted.
    unknown: bool,
    /// As above, of the attempt that is under way.
    asked: bool,
    /// Who was not reached last.
    unreached: Option<NodeId>,
    /// How often one member named another since the last pause.
    redirects: u8,
    /// How often no stream was accepted since a member answered.
    refusals: usize,
    /// Why no stream was accepted last.
    refused: Option<String>,
    /// Since when there is no quorum, or no group.
    no_quorum: Option<Instant>,
    no_group: Option<Instant>,
    /// What to say at the deadline, if nothing was accepted.
    last: Option<CallError>,
}

impl<T: Transport> Access<T> {
    /// Access through this transport, with the agent's own member if it has one. Must be called in a tokio runtime.
    #[must_use]
    pub fn new(transport: Arc<T>, group: Option<Group>) -> Self {
        let here = group.map(|group| Arc::new(Here::new(group)));
        let identity = here.as_ref().map(|here| here.group.identity().clone());
        let serving = Serving::new(here.clone());
        Self { inner: Arc::new(Inner { here, routes: Routes::new(transport, identity), serving }) }
    }

    /// The agent's own member, if it has one.
    #[must_use]
    pub fn group(&self) -> Option<&Group> {
        self.inner.here.as_ref().map(|here| &here.group)
    }

    /// All living members of the group that gossip shows, and where they are. Others are not asked any more.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        if let Some(here) = &self.inner.here {
            here.group.identity().learn(&peers);
        }
        self.inner.routes.set(peers);
    }

    /// Has a command applied, and returns its final reply: a call that waits is followed until it is served. It is asked
    /// again, elsewhere if need be, until the deadline; a client's request is applied once all the same. Dropping the
    /// future ends the asking, not the call.
    ///
    /// # Errors
    /// [`CallError`] says what is known.
    pub async fn call(&self, command: Command, deadline: Instant) -> Result<Reply, CallError> {
        self.propose(command, Following::ToTheEnd, deadline).await
    }

    /// As [`Access::call`], but `Reply::Waiting` is returned as it is.
    ///
    /// # Errors
    /// [`CallError`] says what is known.
    pub async fn call_once(&self, command: Command, deadline: Instant) -> Result<Reply, CallError> {
        self.propose(command, Following::No, deadline).await
    }

    async fn propose(&self, command: Command, following: Following, deadline: Instant) -> Result<Reply, CallError> {
        match self.until(deadline, &Ask::Propose(command, following)).await? {
            Answer::Reply(reply) | Answer::Aged(reply, _) => Ok(reply),
            Answer::Admin(_) => Err(CallError::Refused("an answer to another question".into())),
        }
    }

    /// Answers a query, and says of which revision the answer is and how old it may be (a linearizable one is not old).
    ///
    /// # Errors
    /// [`CallError`] says why there is no answer; asking again is always safe.
    pub async fn query(
        &self,
        query: Query,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(Reply, Age), CallError> {
        if consistency == Consistency::Stale {
            self.inner.serving.check(false).map_err(CallError::Refused)?;
            return self.query_stale(&query, deadline).await;
        }
        match self.until(deadline, &Ask::Read(query)).await? {
            Answer::Aged(reply, age) => Ok((reply, age)),
            Answer::Reply(_) | Answer::Admin(_) => Err(CallError::Refused("an answer to another question".into())),
        }
    }

    async fn query_stale(&self, query: &Query, deadline: Instant) -> Result<(Reply, Age), CallError> {
        if let Some(here) = &self.inner.here
            && let Ok(answer) = here.read_stale(query)
        {
            return Ok(answer);
        }
        let body = write_query(query, Consistency::Stale);
        let mut trouble = Trouble::default();
        let asking = async {
            let mut pause = RETRY_PAUSE_MIN;
            loop {
                let Some(way) = self.any() else { return Err(CallError::NoGroup) };
                let miss = match self.ask(&way, Kind::Query, &body, &mut trouble).await {
                    Ok(answer) => match read_aged(&answer) {
                        Ok(answer) => return Ok(answer),
                        Err(failure) => Miss::Failed(failure),
                    },
                    Err(miss) => miss,
                };
                trouble.note(&miss, true, self.inner.routes.len())?;
                tokio::time::sleep(pause).await;
                pause = longer(pause);
            }
        };
        match tokio::time::timeout_at(deadline, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(trouble.at_deadline()),
        }
    }

    /// Watches changes after a revision: on this agent's own member, or else on one after another of the others, each
    /// going on where the one before stopped. A reader that is slow holds up nothing.
    ///
    /// # Errors
    /// [`CallError::NoGroup`]: nobody is in sight who could be asked. [`CallError::Refused`]: see [`Access::refuse`].
    pub async fn watch(&self, query: changes::Query) -> Result<Watch, CallError> {
        self.inner.serving.check(false).map_err(CallError::Refused)?;
        if let Some(here) = self.inner.here.as_ref().filter(|here| !here.outside()) {
            return Ok(here.watch(query));
        }
        if self.inner.routes.len() == 0 {
            return Err(CallError::NoGroup);
        }
        // One record waits for the reader; the next one is asked for meanwhile.
        let (records, reader) = mpsc::channel(1);
        drop(tokio::spawn(self.clone().forward_watch(query, records)));
        Ok(Watch::from_channel(reader))
    }

    async fn forward_watch(self, mut query: changes::Query, records: mpsc::Sender<Record>) {
        let mut pause = RETRY_PAUSE_MIN;
        let mut alone_since = None;
        let mut way = None;
        loop {
            let Some(asked) = way.take().or_else(|| self.any()) else {
                // Gossip may show somebody again.
                if alone_since.get_or_insert_with(Instant::now).elapsed() >= NO_GROUP_PATIENCE {
                    return;
                }
                tokio::time::sleep(RETRY_PAUSE_MAX).await;
                continue;
            };
            alone_since = None;
            let body = write_query(&Query::Watch(query.clone()), Consistency::Stale);
            let mut trouble = Trouble::default();
            let answer = tokio::select! {
                answer = self.ask(&asked, Kind::Watch, &body, &mut trouble) => answer,
                () = records.closed() => return,
            };
            let record = answer.ok().and_then(|answer| read_reply(&answer).ok()).and_then(record_of);
            let Some((record, through)) = record else {
                tokio::time::sleep(pause).await;
                pause = longer(pause);
                continue;
            };
            query.after = through;
            if records.send(record).await.is_err() {
                return;
            }
            pause = RETRY_PAUSE_MIN;
            way = Some(asked);
        }
    }

    /// Asks what operators ask: of the leader, but for [`Admin::Status`] of this agent's own member.
    ///
    /// # Errors
    /// [`CallError`] says what is known; a change that may have been made is not asked for again.
    pub async fn admin(&self, request: Admin) -> Result<AdminReply, CallError> {
        let request = match (&self.inner.here, request) {
            (Some(here), Admin::Status) => return Ok(AdminReply::Status(Box::new(here.group.status()))),
            (None, Admin::Status) => Admin::LeaderStatus,
            (_, other) => other,
        };
        let long = matches!(request, Admin::Backup | Admin::Restore { .. });
        let patience = if long { BACKUP_PATIENCE } else { ADMIN_PATIENCE };
        match self.until(Instant::now() + patience, &Ask::Admin(request)).await? {
            Answer::Admin(reply) => Ok(reply),
            Answer::Reply(_) | Answer::Aged(..) => Err(CallError::Refused("an answer to another question".into())),
        }
    }

    /// Asks another member's founding machine.
    ///
    /// # Errors
    /// [`CallError::Deadline`]: no answer; it may have been heard.
    pub async fn found(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, CallError> {
        let way = self.inner.routes.way(to);
        let mut trouble = Trouble::default();
        let asking = self.ask(&way, Kind::Founding, &request, &mut trouble);
        let answer = tokio::time::timeout_at(deadline, asking).await.map_err(|_| CallError::Deadline)?;
        match answer.and_then(|answer| read::<Bytes>(&answer).map_err(Miss::Failed)) {
            Ok(answer) => Ok(answer),
            Err(miss) => Err(miss.error().unwrap_or(CallError::Deadline)),
        }
    }

    /// Refuses every call of this agent's clients and of other agents for this reason, until it is taken back: two groups
    /// have met, and somebody has to say which one counts. Members go on speaking to one another, operators may look how
    /// things are, and watches that run go on.
    pub fn refuse(&self, reason: Option<String>) {
        self.inner.serving.refuse(reason);
    }

    /// Where founding requests of others go. Only the first one counts.
    pub fn serve_founding(&self, calls: mpsc::Sender<FoundingCall>) {
        self.inner.serving.serve_founding(calls);
    }

    /// Serves a stream that another agent has made and the transport has authenticated, until it ends.
    pub async fn serve(&self, stream: T::Stream) {
        self.inner.serving.serve(stream).await;
    }

    /// Asks until the deadline.
    async fn until(&self, deadline: Instant, ask: &Ask) -> Result<Answer, CallError> {
        self.inner.serving.check(ask.only_looks()).map_err(CallError::Refused)?;
        let body = ask.body();
        let most = if matches!(ask, Ask::Admin(_)) { BACKUP_BYTES_MAX } else { COMMAND_BYTES_MAX };
        if body.len() > most {
            return Err(CallError::TooLarge);
        }
        let mut trouble = Trouble::new(ask.changes());
        match tokio::time::timeout_at(deadline, Box::pin(self.persist(ask, &body, &mut trouble))).await {
            Ok(answer) => answer,
            Err(_) => Err(trouble.at_deadline()),
        }
    }

    async fn persist(&self, ask: &Ask, body: &Bytes, trouble: &mut Trouble) -> Result<Answer, CallError> {
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            let Some(route) = self.route(trouble) else { return Err(trouble.last_word(CallError::NoGroup)) };
            let miss = match &route {
                Route::Here(here) => ask.here(here, trouble).await.map_err(Miss::Failed),
                Route::There(way) => {
                    let answer = self.ask(way, ask.kind(), body, trouble).await;
                    answer.and_then(|answer| ask.answer(&answer).map_err(Miss::Failed))
                }
            };
            let miss = match miss {
                Ok(answer) => {
                    if let Route::There(way) = &route {
                        self.inner.routes.learn_leader(&way.peer);
                    }
                    return Ok(answer);
                }
                Err(miss) => miss,
            };
            trouble.note(&miss, ask.may_repeat(), self.inner.routes.len())?;
            if !self.redirected(&route, miss, trouble) {
                self.rest(pause).await;
                pause = longer(pause);
            }
        }
    }

    /// Whom to ask.
    fn route(&self, trouble: &Trouble) -> Option<Route<T>> {
        let Inner { here, routes, .. } = &*self.inner;
        let reachable = |way: &Way<T>| trouble.unreached != Some(way.peer.id);
        if let Some(here) = here {
            if here.leads() {
                return Some(Route::Here(here.clone()));
            }
            if let Some(leader) = here.leader().filter(|leader| trouble.unreached != Some(leader.id)) {
                routes.learn_leader(&leader);
            }
        }
        let way = routes.leader().filter(reachable).or_else(|| routes.next());
        way.map(Route::There).or_else(|| here.clone().map(Route::Here))
    }

    /// Any member but the one that was not reached last.
    fn any(&self) -> Option<Way<T>> {
        self.inner.routes.leader().or_else(|| self.inner.routes.next()).or_else(|| self.inner.routes.next())
    }

    /// Learns from a failed attempt; whether it said whom to ask next.
    fn redirected(&self, route: &Route<T>, miss: Miss, trouble: &mut Trouble) -> bool {
        let routes = &self.inner.routes;
        match (miss, route) {
            (Miss::Failed(Failure::NotLeader(Some(leader))), _) if trouble.unreached != Some(leader.id) => {
                routes.learn_leader(&leader);
                // Once: a leader that does not answer is then waited for.
                trouble.unreached = None;
                trouble.may_redirect()
            }
            (miss, Route::There(way)) => {
                routes.forget_leader(way.peer.id);
                trouble.unreached = matches!(miss, Miss::Unreached(_)).then_some(way.peer.id);
                false
            }
            (Miss::Failed(_) | Miss::Unreached(_), Route::Here(_)) => {
                trouble.unreached = None;
                false
            }
        }
    }

    /// A pause before the next attempt; shorter if the agent's own member learns something.
    async fn rest(&self, pause: Duration) {
        match &self.inner.here {
            Some(here) => {
                let mut outlook = here.outlook();
                drop(tokio::time::timeout(pause, outlook.changed()).await);
            }
            None => tokio::time::sleep(pause).await,
        }
    }

    /// One question to one member.
    async fn ask(&self, way: &Way<T>, kind: Kind, body: &Bytes, trouble: &mut Trouble) -> Result<Bytes, Miss> {
        let asking = async {
            let link = way.lane.link(way.peer.address).await;
            let link = link.map_err(|error| Miss::Unreached(error.refused.then(|| error.reason.to_string())))?;
            trouble.asked = true;
            let (watch, admin) = (kind == Kind::Watch, kind == Kind::Admin);
            let answer_max = usize::from(watch) * WATCH_BYTES_MAX + usize::from(admin) * BACKUP_BYTES_MAX;
            let answer = match link.call(kind, body, answer_max).await {
                Ok(pending) => pending.await,
                Err(error) => Err(error),
            };
            answer.map_err(|error| match error {
                LinkError::Ended(_) => Miss::Failed(Failure::Unknown),
                LinkError::TooLarge => Miss::Failed(Failure::TooLarge),
                LinkError::Busy => Miss::Failed(Failure::Busy),
            })
        };
        let answer = asking.await;
        if answer.is_err() {
            self.inner.routes.forget_leader(way.peer.id);
        }
        answer
    }
}

fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(RETRY_PAUSE_MAX)
}

impl<T: Transport> Clone for Access<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl Ask {
    fn kind(&self) -> Kind {
        match self {
            Self::Propose(..) => Kind::Propose,
            Self::Read(_) => Kind::Query,
            Self::Admin(_) => Kind::Admin,
        }
    }

    fn body(&self) -> Bytes {
        match self {
            Self::Propose(command, following) => write_proposal(command, *following),
            Self::Read(query) => write_query(query, Consistency::Linearizable),
            Self::Admin(request) => write(request),
        }
    }

    fn only_looks(&self) -> bool {
        matches!(self, Self::Admin(request) if request.only_looks())
    }

    fn changes(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::Admin(Admin::Status | Admin::LeaderStatus | Admin::Backup))
    }

    fn may_repeat(&self) -> bool {
        match self {
            Self::Propose(command, _) => may_repeat(command),
            Self::Read(_) => true,
            Self::Admin(request) => matches!(request, Admin::LeaderStatus | Admin::Backup),
        }
    }

    async fn here(&self, here: &Here, trouble: &mut Trouble) -> Result<Answer, Failure> {
        trouble.asked = true;
        match self {
            Self::Propose(command, following) => here.propose(command.clone(), *following).await.map(Answer::Reply),
            Self::Read(query) => here.read(query).await.map(|(reply, age)| Answer::Aged(reply, age)),
            Self::Admin(request) => here.admin(request.clone()).await.map(Answer::Admin),
        }
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, Failure> {
        match self {
            Self::Propose(..) => read_reply(body).map(Answer::Reply),
            Self::Read(_) => read_aged(body).map(|(reply, age)| Answer::Aged(reply, age)),
            Self::Admin(_) => read(body).map(Answer::Admin),
        }
    }
}

impl Miss {
    /// What to tell the caller, if it were the last word.
    fn error(&self) -> Option<CallError> {
        match self {
            Self::Unreached(reason) => reason.clone().map(CallError::Refused),
            Self::Failed(failure) => match failure {
                Failure::NoQuorum(missing) => Some(CallError::NoQuorum { missing: missing.clone() }),
                Failure::Outside => Some(CallError::NoGroup),
                Failure::Busy => Some(CallError::Busy),
                Failure::TooLarge => Some(CallError::TooLarge),
                Failure::Refused(reason) => Some(CallError::Refused(reason.clone())),
                Failure::Stopped(reason) => Some(CallError::Stopped(reason.clone())),
                Failure::NotLeader(_) | Failure::Unknown => None,
            },
        }
    }
}

impl Trouble {
    fn new(changes: bool) -> Self {
        Self { changes, ..Self::default() }
    }

    /// Takes note of a failed attempt; there were `members` to ask.
    ///
    /// # Errors
    /// It is of no use to go on.
    fn note(&mut self, miss: &Miss, may_repeat: bool, members: usize) -> Result<(), CallError> {
        self.asked = false;
        self.last = miss.error();
        match miss {
            Miss::Unreached(None) => return Ok(()),
            Miss::Unreached(Some(reason)) => {
                self.refusals = self.refusals.saturating_add(1);
                self.refused = Some(reason.clone());
                let everywhere = self.refusals > 2 * members && !self.accepted();
                return if everywhere { Err(CallError::Refused(reason.clone())) } else { Ok(()) };
            }
            Miss::Failed(_) => self.refusals = 0,
        }
        let waited = |since: &mut Option<Instant>| since.get_or_insert_with(Instant::now).elapsed();
        match miss {
            Miss::Failed(Failure::Unknown) if self.changes && !may_repeat => Err(CallError::Deadline),
            Miss::Failed(Failure::Unknown) => {
                self.unknown = true;
                Ok(())
            }
            Miss::Failed(Failure::NoQuorum(missing)) => {
                let given_up = waited(&mut self.no_quorum) >= QUORUM_PATIENCE && !self.accepted();
                if given_up { Err(CallError::NoQuorum { missing: missing.clone() }) } else { Ok(()) }
            }
            Miss::Failed(Failure::Outside) => {
                let given_up = waited(&mut self.no_group) >= NO_GROUP_PATIENCE && !self.accepted();
                let error = || self.refused.clone().map_or(CallError::NoGroup, CallError::Refused);
                if given_up { Err(error()) } else { Ok(()) }
            }
            Miss::Failed(Failure::Refused(reason)) => Err(self.last_word(CallError::Refused(reason.clone()))),
            Miss::Failed(Failure::TooLarge) => Err(self.last_word(CallError::TooLarge)),
            Miss::Failed(Failure::NotLeader(_) | Failure::Busy | Failure::Stopped(_)) | Miss::Unreached(_) => Ok(()),
        }
    }

    /// Whether one member may be asked at once because another one named it: a few times, then after a pause.
    fn may_redirect(&mut self) -> bool {
        self.redirects = if self.redirects < REDIRECTS_MAX { self.redirects + 1 } else { 0 };
        self.redirects > 0
    }

    fn accepted(&self) -> bool {
        self.changes && self.unknown
    }

    /// What to say where it is of no use to go on: not that nothing was done, if an attempt may have been accepted.
    fn last_word(&self, error: CallError) -> CallError {
        if self.accepted() { CallError::Deadline } else { error }
    }

    fn at_deadline(self) -> CallError {
        let unknown = self.accepted() || (self.changes && self.asked);
        if unknown { CallError::Deadline } else { self.last.unwrap_or(CallError::Deadline) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_after_an_attempt_that_may_have_been_accepted_leaves_the_outcome_unknown() {
        let refusals = || [Failure::Refused("two groups".into()), Failure::TooLarge];
        for refusal in refusals() {
            let mut changing = Trouble::new(true);
            assert_eq!(changing.note(&Miss::Failed(Failure::Unknown), true, 3), Ok(()));
            assert_eq!(changing.note(&Miss::Failed(refusal), true, 3), Err(CallError::Deadline));
            assert_eq!(changing.last_word(CallError::NoGroup), CallError::Deadline);
        }
        for refusal in refusals() {
            let mut changing = Trouble::new(true);
            let said = changing.note(&Miss::Failed(refusal), true, 3);
            assert!(matches!(said, Err(CallError::Refused(_) | CallError::TooLarge)), "{said:?}");
            assert_eq!(changing.last_word(CallError::NoGroup), CallError::NoGroup);
        }
    }
}
