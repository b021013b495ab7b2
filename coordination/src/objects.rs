//! All objects together: which one a request is for, and what ends with whom.

use serde::{Deserialize, Serialize};

use crate::barrier::Barriers;
use crate::collections::Collections;
use crate::command::{Cause, Operation, Query, Reply};
use crate::election;
use crate::error::Refusal;
use crate::kv::Keys;
use crate::line::Lines;
use crate::lock;
use crate::queue::Queues;
use crate::session::{self, Sessions};
use crate::step::{Bond, Caller, Index, Place, Step};
use crate::types::{Owner, SessionId, Ticket};
use crate::work_queue::Works;

/// Every object of the machine.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Objects {
    pub(crate) sessions: Sessions,
    pub(crate) keys: Keys,
    pub(crate) lines: Lines,
    pub(crate) barriers: Barriers,
    pub(crate) collections: Collections,
    pub(crate) queues: Queues,
    pub(crate) works: Works,
}

impl Objects {
    /// Carries out a client's request.
    pub(crate) fn operate(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        operation: &Operation,
    ) -> Result<Reply, Refusal> {
        let owner = self.sessions.owner(ticket.client, operation.session())?;
        let caller = Caller { ticket, owner, node: operation.node() };
        match operation {
            Operation::KeepAlive => Ok(Reply::Done),
            Operation::Cancel { request } => {
                self.stop_waiting(step, Ticket { request: *request, ..ticket }, Refusal::Cancelled);
                Ok(Reply::Done)
            }
            Operation::Kv(command) => self.keys.apply(step, &self.sessions, command).map(Reply::Kv),
            Operation::Session(command) => self.operate_session(step, ticket, command).map(Reply::Session),
            Operation::Lock(command) => match command {
                lock::Command::Acquire(acquire) => lock::acquire(&mut self.lines, step, &caller, acquire),
                lock::Command::Release { target, hold } => lock::release(&mut self.lines, step, target, *hold),
                lock::Command::Renew { target, hold, ttl } => self.lines.renew(step, &target.line(), *hold, *ttl),
            },
            Operation::Election(command) => election::apply(&mut self.lines, step, &caller, command),
            Operation::Barrier(command) => self.barriers.apply(step, &caller, command),
            Operation::Counter(name, command) => self.collections.count(step, name, *command).map(Reply::Collection),
            Operation::Set(name, command) => self.collections.change_set(step, name, command).map(Reply::Collection),
            Operation::List(name, command) => self.collections.change_list(step, name, command).map(Reply::Collection),
            Operation::Queue(command) => self.queues.apply(step, &caller, command),
            Operation::Work(name, command) => self.works.apply(step, &caller, name, command),
        }
    }

    /// Answers a question. Watches are the machine's.
    pub(crate) fn read(&self, query: &Query) -> Result<Reply, Refusal> {
        Ok(match query {
            Query::Kv(query) => Reply::Kv(self.keys.read(query)),
            Query::Session(query) => Reply::Session(self.sessions.read(query)?),
            Query::Lock(target) => Reply::Line(self.lines.state(&target.line())),
            Query::Election(name) => Reply::Line(self.lines.state(&election::line(name))),
            Query::Barrier(name) => Reply::Barrier(self.barriers.state(name)),
            Query::Collection(query) => Reply::Collection(self.collections.read(query)),
            Query::Queue(queue) => Reply::Queue(self.queues.state(queue)),
            Query::Work(name, query) => Reply::Work(self.works.read(name, query)?),
            Query::Watch(_) => Reply::Done,
        })
    }

    /// Ends a session and what is bound to it.
    pub(crate) fn end_session(
        &mut self,
        step: &mut Step<'_>,
        session: SessionId,
        cause: Cause,
    ) -> Result<session::Reply, Refusal> {
        let reply = self.sessions.end(step, session, cause)?;
        self.release(step, &Owner::Session(session));
        Ok(reply)
    }

    /// Answers the calls that wait and depend on an owner that ends.
    pub(crate) fn stop_waits_of(&mut self, step: &mut Step<'_>, owner: &Owner) {
        while let Some(Bond::Wait(ticket)) = step.index.first_bond(owner) {
            self.stop_waiting(step, ticket, Refusal::OwnerEnded);
            step.unbind(owner, Bond::Wait(ticket));
        }
    }

    /// Ends everything that depends on an owner that has ended.
    pub(crate) fn release(&mut self, step: &mut Step<'_>, owner: &Owner) {
        let cause = Cause::OwnerEnded;
        while let Some(bond) = step.index.first_bond(owner) {
            step.turn();
            match &bond {
                Bond::Wait(ticket) => self.stop_waiting(step, *ticket, Refusal::OwnerEnded),
                Bond::Hold(line, hold) => drop(self.lines.release(step, line, *hold, cause)),
                Bond::Gate(name, hold) => self.barriers.drop_member(step, name, *hold, cause),
                Bond::Key(key) => drop(self.keys.remove(step, key, cause)),
                Bond::Item(queue, item) => self.works.on_owner_ended(step, queue, *item),
                Bond::Session(session) => drop(self.sessions.end(step, *session, cause)),
            }
            step.unbind(owner, bond);
        }
    }

    /// Takes a call out of its line and answers it with `refusal`.
    pub(crate) fn stop_waiting(&mut self, step: &mut Step<'_>, ticket: Ticket, refusal: Refusal) {
        let Some(wait) = step.index.waits.get(&ticket).cloned() else { return };
        step.answer(ticket, Reply::Refused(refusal));
        match &wait.place {
            Place::Line(line) => self.lines.leave(step, line, wait.hold),
            Place::Barrier(name) => self.barriers.stop_waiting(name, wait.hold),
            Place::Enter(name) => self.barriers.drop_member(step, name, wait.hold, Cause::Removed),
            Place::Leave(name) => self.barriers.stop_leaving(name, wait.hold),
            Place::Queue(queue) => self.queues.leave(queue, wait.hold),
            Place::Work(name) => self.works.leave(step, name, wait.hold),
        }
    }

    /// Rebuilds what follows from the objects.
    pub(crate) fn reindex(&mut self, index: &mut Index) {
        let waits: Vec<Ticket> = index.waits.keys().copied().collect();
        waits.into_iter().for_each(|ticket| index.index_wait(ticket));
        self.sessions.reindex(index);
        self.keys.reindex(index);
        self.lines.reindex(index);
        self.barriers.reindex(index);
        self.collections.reindex(index);
        self.queues.reindex(index);
        self.works.reindex(index);
    }

    fn operate_session(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        command: &session::Command,
    ) -> Result<session::Reply, Refusal> {
        match command {
            session::Command::Create { ttl, with_client, with_node } => {
                self.sessions.create(step, ticket.client, *ttl, *with_client, with_node.clone())
            }
            session::Command::Renew { session } => self.sessions.renew(step, *session),
            session::Command::Destroy { session } => self.end_session(step, *session, Cause::Removed),
        }
    }
}
