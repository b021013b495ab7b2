//! The same objects as lists that are searched from the front: no index, no queue of deadlines, no bookkeeping. Slow, and
//! easy to believe. It predicts every reply, every answer to a waiting call, and every revision.

use bytes::Bytes;
use folkmoot_coordination::{
    Argument, ClientId, Command, Entry, HoldId, Key, Millis, Operation, Owner, Patience, Query, Refusal, Reply,
    Request, RequestId, Revision, SessionId, Thing, Ticket, TimeMs, Ttl, Value, collections, kv, line, session,
};

use super::naive_work::WorkQueue;

pub type Outcome = Result<Reply, Refusal>;

pub struct Client {
    id: ClientId,
    ttl: Ttl,
    expires: TimeMs,
    /// By number, whether it has ever said that it is done with it.
    done: Vec<bool>,
    replies: Vec<(RequestId, Reply)>,
}

/// A call that waits, with all that it asked for.
#[derive(Clone)]
pub struct Wait {
    pub ticket: Ticket,
    pub hold: HoldId,
    pub owner: Owner,
    pub node: Option<Key>,
    pub deadline: Option<TimeMs>,
    pub what: Waiting,
}

#[derive(Clone, PartialEq)]
pub enum Waiting {
    Line { id: line::LineId, permits: u32, ttl: Option<Ttl>, value: Bytes, preferred: bool },
    Barrier(Key),
    Enter(Key),
    Leave(Key),
    Queue(folkmoot_coordination::queue::QueueId),
    Work(Key, folkmoot_coordination::work_queue::Claim),
}

pub struct Line {
    id: line::LineId,
    capacity: u32,
    holds: Vec<(HoldId, line::Hold)>,
}

pub struct Gate {
    pub name: Key,
    pub count: u32,
    pub open: bool,
    pub members: Vec<(HoldId, Owner)>,
}

pub type Element = (i64, Revision, Value);

/// Whose deadline it is; of one moment, the first in this order comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Client(ClientId),
    Session(SessionId),
    Key(Key),
    Hold(line::LineId, HoldId),
    Wait(Ticket),
    Item(Key, folkmoot_coordination::ItemId),
}

#[derive(Default)]
pub struct Naive {
    pub revision: Revision,
    pub now: TimeMs,
    /// This step has changed something.
    pub changed: bool,
    pub answers: Vec<(Ticket, Reply)>,
    clients: Vec<Client>,
    pub sessions: Vec<session::Info>,
    pub keys: Vec<(Key, kv::Entry)>,
    pub lines: Vec<Line>,
    pub raised: Vec<Key>,
    pub gates: Vec<Gate>,
    pub counters: Vec<(Key, i64)>,
    pub sets: Vec<(Key, Vec<Value>)>,
    pub lists: Vec<(Key, Vec<Value>)>,
    pub queues: Vec<(folkmoot_coordination::queue::QueueId, Vec<Element>)>,
    pub works: Vec<WorkQueue>,
    pub waits: Vec<Wait>,
}

pub fn after(now: TimeMs, span: u64) -> TimeMs {
    TimeMs(now.0.saturating_add(span))
}

fn ttl_end(now: TimeMs, ttl: Option<Ttl>) -> Option<TimeMs> {
    ttl.map(|ttl| after(now, ttl.into()))
}

impl Naive {
    pub fn apply(&mut self, entry: &Entry) -> Reply {
        self.now = self.now.max(entry.time);
        while let Some((_, due)) = self.dues().into_iter().filter(|(time, _)| *time <= self.now).min() {
            self.on_due(due);
        }
        match &entry.command {
            Command::Tick | Command::Compact { .. } => Reply::Done,
            Command::RegisterClient { client: id, ttl } => {
                if let Some(known) = self.clients.iter_mut().find(|client| client.id == *id) {
                    known.expires = after(self.now, known.ttl.into());
                    return Reply::Registered(*id);
                }
                self.revision.0 += 1;
                let expires = after(self.now, (*ttl).into());
                self.clients.push(Client { id: *id, ttl: *ttl, expires, done: Vec::new(), replies: Vec::new() });
                Reply::Registered(*id)
            }
            Command::NodeGone { node } => {
                self.end_owner(&Owner::Node(node.clone()));
                Reply::Done
            }
            Command::CallerGone { ticket } => {
                self.stop_waiting(*ticket, Refusal::Cancelled);
                self.end_step();
                Reply::Done
            }
            Command::ConnectionGone { session } => {
                drop(self.end_session(*session));
                self.end_step();
                Reply::Done
            }
            Command::RaiseRevision { revision } => {
                self.revision = self.revision.max(*revision);
                Reply::Done
            }
            Command::Client(request) => self.request(request),
        }
    }

    /// What this step is numbered with.
    pub fn draw(&mut self) -> Revision {
        self.changed = true;
        Revision(self.revision.0 + 1)
    }

    fn end_step(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.revision.0 += 1;
        }
    }

    fn request(&mut self, request: &Request) -> Reply {
        let now = self.now;
        let Some(client) = self.clients.iter_mut().find(|client| client.id == request.client) else {
            return Reply::Refused(Refusal::ClientExpired);
        };
        client.expires = after(now, client.ttl.into());
        let said = &request.acknowledged;
        let below = usize::try_from(said.below.0).unwrap();
        client.done.resize(client.done.len().max(below), false);
        for (number, done) in (0..).map(RequestId).zip(&mut client.done[..below]) {
            *done |= !said.open.contains(&number);
        }
        let done = |number: &RequestId| client.done.get(usize::try_from(number.0).unwrap()) == Some(&true);
        client.replies.retain(|(number, _)| !done(number));
        if done(&request.request) {
            return Reply::Refused(Refusal::Stale);
        }
        if let Some((_, reply)) = client.replies.iter().find(|(number, _)| *number == request.request) {
            return reply.clone();
        }
        let ticket = Ticket { client: request.client, request: request.request };
        let reply = self.operate(ticket, &request.operation).unwrap_or_else(Reply::Refused);
        self.end_step();
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == request.client) {
            client.replies.push((request.request, reply.clone()));
        }
        reply
    }

    pub fn answer(&mut self, ticket: Ticket, reply: Reply) {
        self.draw();
        self.waits.retain(|wait| wait.ticket != ticket);
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == ticket.client)
            && let Some((_, kept)) = client.replies.iter_mut().find(|(number, _)| *number == ticket.request)
        {
            *kept = reply.clone();
        }
        self.answers.push((ticket, reply));
    }

    pub fn wait(
        &mut self,
        ticket: Ticket,
        owner: Owner,
        node: Option<Key>,
        patience: Patience,
        refusal: Refusal,
        what: Waiting,
    ) -> Outcome {
        let deadline = match patience {
            Patience::None => return Err(refusal),
            Patience::Within(Millis(span)) => Some(after(self.now, span)),
            Patience::Unlimited => None,
        };
        let hold = HoldId(self.draw().0);
        self.waits.push(Wait { ticket, hold, owner, node, deadline, what });
        Ok(Reply::Waiting { ticket, hold })
    }

    fn dues(&self) -> Vec<(TimeMs, Due)> {
        let mut dues = Vec::new();
        dues.extend(self.clients.iter().map(|client| (client.expires, Due::Client(client.id))));
        dues.extend(self.sessions.iter().map(|session| (session.expires, Due::Session(session.session))));
        for (key, entry) in &self.keys {
            dues.extend(entry.expires.map(|time| (time, Due::Key(key.clone()))));
        }
        for line in &self.lines {
            for (hold, held) in &line.holds {
                dues.extend(held.expires.map(|time| (time, Due::Hold(line.id.clone(), *hold))));
            }
        }
        for wait in &self.waits {
            dues.extend(wait.deadline.map(|time| (time, Due::Wait(wait.ticket))));
        }
        for queue in &self.works {
            for item in &queue.items {
                dues.extend(item.deadline().map(|time| (time, Due::Item(queue.name.clone(), item.id))));
            }
        }
        dues
    }

    fn on_due(&mut self, due: Due) {
        match due {
            Due::Client(id) => {
                self.end_owner(&Owner::Client(id));
                self.clients.retain(|client| client.id != id);
            }
            Due::Session(session) => drop(self.end_session(session)),
            Due::Key(key) => drop(self.delete(&key)),
            Due::Hold(id, hold) => drop(self.release(&id, hold)),
            Due::Wait(ticket) => self.stop_waiting(ticket, Refusal::TimedOut),
            Due::Item(queue, item) => self.item_due(&queue, item),
        }
        self.end_step();
    }

    fn depends(wait: &Wait, owner: &Owner) -> bool {
        wait.owner == *owner
            || Owner::Client(wait.ticket.client) == *owner
            || wait.node.clone().map(Owner::Node).as_ref() == Some(owner)
    }

    fn end_owner(&mut self, owner: &Owner) {
        self.stop_waits(owner);
        self.end_step();
        let ends = |info: &session::Info| {
            (info.with_client && Owner::Client(info.client) == *owner)
                || info.with_node.clone().map(Owner::Node).as_ref() == Some(owner)
        };
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|info| ends(info)).map(|info| info.session).collect();
        for session in sessions {
            drop(self.end_session(session));
            self.end_step();
        }
        self.release_all(owner);
        self.end_step();
    }

    fn stop_waits(&mut self, owner: &Owner) {
        let mut tickets: Vec<Ticket> =
            self.waits.iter().filter(|wait| Self::depends(wait, owner)).map(|wait| wait.ticket).collect();
        tickets.sort();
        for ticket in tickets {
            self.stop_waiting(ticket, Refusal::OwnerEnded);
        }
    }

    fn end_session(&mut self, id: SessionId) -> Outcome {
        let place = self.sessions.iter().position(|info| info.session == id).ok_or(Refusal::NoSession)?;
        self.sessions.remove(place);
        self.draw();
        self.release_all(&Owner::Session(id));
        Ok(Reply::Session(session::Reply::Ended))
    }

    fn release_all(&mut self, owner: &Owner) {
        self.stop_waits(owner);
        let mut holds = Vec::new();
        for line in &self.lines {
            let held = line.holds.iter().filter(|(_, hold)| hold.owner == *owner);
            holds.extend(held.map(|(hold, _)| (line.id.clone(), *hold)));
        }
        holds.sort();
        for (id, hold) in holds {
            drop(self.release(&id, hold));
        }
        let mut members = Vec::new();
        for gate in &self.gates {
            let of_owner = gate.members.iter().filter(|(_, member)| member == owner);
            members.extend(of_owner.map(|(hold, _)| (gate.name.clone(), *hold)));
        }
        members.sort();
        for (name, hold) in members {
            self.drop_member(&name, hold);
        }
        let bound = |entry: &kv::Entry| entry.session.map(Owner::Session).as_ref() == Some(owner);
        let before = self.keys.len();
        self.keys.retain(|(_, entry)| !bound(entry));
        self.changed |= self.keys.len() < before;
        self.lose_items(owner);
    }

    pub fn stop_waiting(&mut self, ticket: Ticket, refusal: Refusal) {
        let Some(wait) = self.waits.iter().find(|wait| wait.ticket == ticket).cloned() else { return };
        self.answer(ticket, Reply::Refused(refusal));
        match wait.what {
            Waiting::Line { id, .. } => self.serve_line(&id),
            Waiting::Enter(name) => self.drop_member(&name, wait.hold),
            Waiting::Barrier(_) | Waiting::Leave(_) | Waiting::Queue(_) => {}
            Waiting::Work(name, _) => self.forget_unused(&name),
        }
    }

    pub fn session(&self, id: SessionId) -> Result<(), Refusal> {
        let known = self.sessions.iter().any(|info| info.session == id);
        if known { Ok(()) } else { Err(Refusal::NoSession) }
    }

    pub fn owner(&self, ticket: Ticket, session: Option<SessionId>) -> Result<Owner, Refusal> {
        match session {
            None => Ok(Owner::Client(ticket.client)),
            Some(session) => self.session(session).map(|()| Owner::Session(session)),
        }
    }

    fn operate(&mut self, ticket: Ticket, operation: &Operation) -> Outcome {
        match operation {
            Operation::KeepAlive => Ok(Reply::Done),
            Operation::Cancel { request } => {
                self.stop_waiting(Ticket { request: *request, ..ticket }, Refusal::Cancelled);
                Ok(Reply::Done)
            }
            Operation::Kv(command) => self.kv(command).map(Reply::Kv),
            Operation::Session(command) => self.sessions(ticket, command),
            Operation::Lock(command) => self.lock(ticket, command),
            Operation::Election(command) => self.election(ticket, command),
            Operation::Barrier(command) => self.barrier(ticket, command),
            Operation::Counter(name, command) => self.counter(name, *command).map(Reply::Collection),
            Operation::Set(name, command) => self.set(name, command).map(Reply::Collection),
            Operation::List(name, command) => self.list(name, command).map(Reply::Collection),
            Operation::Queue(command) => self.queue(ticket, command),
            Operation::Work(name, command) => self.work(ticket, name, command),
        }
    }

    fn sessions(&mut self, ticket: Ticket, command: &session::Command) -> Outcome {
        match command {
            session::Command::Create { ttl, with_client, with_node } => {
                let session = SessionId(self.draw().0);
                let expires = after(self.now, (*ttl).into());
                let (with_client, with_node) = (*with_client, with_node.clone());
                let client = ticket.client;
                self.sessions.push(session::Info { session, client, ttl: *ttl, expires, with_client, with_node });
                Ok(Reply::Session(session::Reply::Created(session)))
            }
            session::Command::Renew { session } => {
                let now = self.now;
                let found = self.sessions.iter_mut().find(|info| info.session == *session);
                let info = found.ok_or(Refusal::NoSession)?;
                info.expires = after(now, info.ttl.into());
                Ok(Reply::Session(session::Reply::Renewed { expires: info.expires }))
            }
            session::Command::Destroy { session } => self.end_session(*session),
        }
    }

    pub fn free(&self, id: &line::LineId, capacity: u32) -> u32 {
        let line = self.lines.iter().find(|line| line.id == *id);
        capacity - line.map_or(0, |line| line.holds.iter().map(|(_, hold)| hold.permits).sum())
    }

    fn grant(
        &mut self,
        id: &line::LineId,
        capacity: u32,
        hold: HoldId,
        wanted: (u32, Owner, Option<Ttl>, Bytes),
    ) -> Reply {
        let (permits, owner, ttl, value) = wanted;
        let token = self.draw();
        let expires = ttl_end(self.now, ttl);
        if !self.lines.iter().any(|line| line.id == *id) {
            self.lines.push(Line { id: id.clone(), capacity, holds: Vec::new() });
        }
        let line = self.lines.iter_mut().find(|line| line.id == *id).unwrap();
        line.holds.push((hold, line::Hold { token, permits, owner, ttl, expires, value }));
        Reply::Held { hold, token, expires }
    }

    /// Those who wait for a line, next first.
    fn in_line(&self, wanted: &line::LineId) -> Vec<Wait> {
        let is_preferred = |wait: &&Wait| matches!(&wait.what, Waiting::Line { preferred: true, .. });
        let waits = |wait: &&Wait| matches!(&wait.what, Waiting::Line { id, .. } if id == wanted);
        let first = self.waits.iter().filter(waits).filter(is_preferred);
        let then = self.waits.iter().filter(waits).filter(|wait| !is_preferred(wait));
        first.chain(then).cloned().collect()
    }

    pub fn acquire(
        &mut self,
        ticket: Ticket,
        owner: Owner,
        capacity: u32,
        patience: Patience,
        what: Waiting,
    ) -> Outcome {
        let Waiting::Line { id, permits, ttl, value, .. } = what.clone() else { unreachable!() };
        if permits == 0 || permits > capacity {
            return Err(Refusal::Invalid(Argument::Permits));
        }
        if let Some(line) = self.lines.iter().find(|line| line.id == id)
            && line.capacity != capacity
        {
            return Err(Refusal::CapacityDiffers(line.capacity.into()));
        }
        if self.in_line(&id).is_empty() && self.free(&id, capacity) >= permits {
            let hold = HoldId(self.draw().0);
            return Ok(self.grant(&id, capacity, hold, (permits, owner, ttl, value)));
        }
        self.wait(ticket, owner, None, patience, Refusal::Busy, what)
    }

    pub fn hold(&mut self, id: &line::LineId, hold: HoldId) -> Result<&mut line::Hold, Refusal> {
        let line = self.lines.iter_mut().find(|line| line.id == *id).ok_or(Refusal::NotHeld)?;
        line.holds.iter_mut().find(|(one, _)| *one == hold).map(|(_, hold)| hold).ok_or(Refusal::NotHeld)
    }

    pub fn renew(&mut self, id: &line::LineId, hold: HoldId, ttl: Option<Ttl>) -> Outcome {
        let now = self.now;
        let held = self.hold(id, hold)?;
        held.ttl = ttl.or(held.ttl);
        held.expires = ttl_end(now, held.ttl);
        Ok(Reply::Held { hold, token: held.token, expires: held.expires })
    }

    pub fn release(&mut self, id: &line::LineId, hold: HoldId) -> Outcome {
        self.hold(id, hold)?;
        self.draw();
        let line = self.lines.iter_mut().find(|line| line.id == *id).unwrap();
        line.holds.retain(|(one, _)| *one != hold);
        self.serve_line(id);
        Ok(Reply::Done)
    }

    fn serve_line(&mut self, id: &line::LineId) {
        let Some(capacity) = self.lines.iter().find(|line| line.id == *id).map(|line| line.capacity) else { return };
        while let Some(next) = self.in_line(id).first().cloned() {
            let Waiting::Line { permits, ttl, value, .. } = next.what else { unreachable!() };
            if permits > self.free(id, capacity) {
                break;
            }
            let reply = self.grant(id, capacity, next.hold, (permits, next.owner, ttl, value));
            self.answer(next.ticket, reply);
        }
        self.lines.retain(|line| !line.holds.is_empty());
    }

    pub fn is_registered(&self, id: ClientId) -> bool {
        self.clients.iter().any(|client| client.id == id)
    }

    /// Whether the machine shows the same state everywhere.
    pub fn compare(&self, read: impl Fn(&Query) -> Reply) {
        let list = kv::Query::List { prefix: Bytes::new(), after: None, limit: 1000 };
        let mut entries = self.keys.clone();
        entries.sort_by(|left, right| left.0.cmp(&right.0));
        assert_eq!(read(&Query::Kv(list)), Reply::Kv(kv::Reply::Page { entries, more: false }));
        let sessions = read(&Query::Session(session::Query::List { after: SessionId(0) }));
        assert_eq!(sessions, Reply::Session(session::Reply::Sessions(self.sessions.clone())));
        for line in &self.lines {
            let query = match line.id.kind {
                line::LineKind::Lock => Query::Lock(folkmoot_coordination::lock::Target::Lock(line.id.name.clone())),
                line::LineKind::Semaphore => {
                    Query::Lock(folkmoot_coordination::lock::Target::Semaphore(line.id.name.clone()))
                }
                line::LineKind::ReadWrite => {
                    Query::Lock(folkmoot_coordination::lock::Target::ReadWrite(line.id.name.clone()))
                }
                line::LineKind::Election => Query::Election(line.id.name.clone()),
            };
            let mut holds = line.holds.clone();
            holds.sort_by_key(|(hold, _)| *hold);
            let waiting = self.in_line(&line.id).iter().map(|wait| wait.hold).collect();
            assert_eq!(read(&query), Reply::Line(line::State { capacity: line.capacity, holds, waiting }));
        }
        for (name, elements) in &self.sets {
            let mut elements = elements.clone();
            elements.sort();
            let length = elements.len() as u64;
            let reply = read(&Query::Collection(collections::Query::SetElements(name.clone(), None)));
            assert_eq!(reply, Reply::Collection(collections::Reply::Elements { elements, length }));
        }
        for (name, elements) in &self.lists {
            let (elements, length) = (elements.clone(), elements.len() as u64);
            let reply = read(&Query::Collection(collections::Query::ListElements(name.clone(), 0)));
            assert_eq!(reply, Reply::Collection(collections::Reply::Elements { elements, length }));
        }
        self.compare_works(read);
    }
}

pub fn missing(thing: Thing) -> Refusal {
    Refusal::Missing(thing)
}
