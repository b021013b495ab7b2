//! Sessions: a life that other things depend on. A session ends on its time to live, on destroy, with its client or node
//! if it was made so, or when the leader proposes it; everything bound to it goes with it. Whoever knows a session's id may
//! use, renew and destroy it: ids are names, not secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::{Cause, Scope, What};
use crate::error::{Refusal, Thing};
use crate::lease::{Deadline, Leases};
use crate::limits::SESSIONS_MAX;
use crate::step::{Bond, Index, Step};
use crate::types::{ClientId, Key, Owner, SessionId, TimeMs, Ttl};

/// What a client asks of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Starts a session: [`Reply::Created`].
    Create {
        /// Silence after which it ends.
        ttl: Ttl,
        /// It also ends when this client expires. (That a connection closed is told by
        /// [`crate::Command::ConnectionGone`].)
        with_client: bool,
        /// It also ends when gossip says that this node failed or left.
        with_node: Option<Key>,
    },
    /// Starts the time to live again: [`Reply::Renewed`].
    Renew {
        /// Which.
        session: SessionId,
    },
    /// Ends it: [`Reply::Ended`].
    Destroy {
        /// Which.
        session: SessionId,
    },
}

/// Answers to [`Command`] and [`Query`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Its id.
    Created(SessionId),
    /// When it ends if it is not renewed again.
    Renewed {
        /// Log time.
        expires: TimeMs,
    },
    /// It has ended, and what was bound to it is released.
    Ended,
    /// What a query found.
    Sessions(Vec<Info>),
}

/// Questions about sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// One session.
    Get(SessionId),
    /// A page of sessions after this id: at most [`crate::limits::PAGE_ENTRIES_MAX`].
    List {
        /// The last one of the page before; 0 for the first.
        after: SessionId,
    },
}

/// A session as queries show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its id.
    pub session: SessionId,
    /// Who created it.
    pub client: ClientId,
    /// Its time to live.
    pub ttl: Ttl,
    /// When it ends if it is not renewed.
    pub expires: TimeMs,
    /// Ends when its client expires.
    pub with_client: bool,
    /// Ends with this node.
    pub with_node: Option<Key>,
}

/// All sessions.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sessions {
    sessions: BTreeMap<SessionId, Info>,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Fails unless the session lives.
    pub(crate) fn check(&self, session: SessionId) -> Result<(), Refusal> {
        if self.sessions.contains_key(&session) { Ok(()) } else { Err(Refusal::NoSession) }
    }

    /// The owner that a request of `client` names.
    pub(crate) fn owner(&self, client: ClientId, session: Option<SessionId>) -> Result<Owner, Refusal> {
        match session {
            None => Ok(Owner::Client(client)),
            Some(session) => self.check(session).map(|()| Owner::Session(session)),
        }
    }

    pub(crate) fn create(
        &mut self,
        step: &mut Step<'_>,
        client: ClientId,
        ttl: Ttl,
        with_client: bool,
        with_node: Option<Key>,
    ) -> Result<Reply, Refusal> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Refusal::TooMany(Thing::Sessions, SESSIONS_MAX as u64));
        }
        let session = SessionId(step.draw().0);
        let expires = step.now.after(ttl.span());
        let info = Info { session, client, ttl, expires, with_client, with_node };
        index(&info, step.index);
        self.sessions.insert(session, info);
        step.event(Scope::Session, &Key::of_number(session.0), What::Started);
        Ok(Reply::Created(session))
    }

    pub(crate) fn renew(&mut self, step: &mut Step<'_>, session: SessionId) -> Result<Reply, Refusal> {
        let info = self.sessions.get_mut(&session).ok_or(Refusal::NoSession)?;
        let expires = step.now.after(info.ttl.span());
        step.index.leases.reset(Some(info.expires), Some(expires), Deadline::Session(session));
        info.expires = expires;
        Ok(Reply::Renewed { expires })
    }

    /// Forgets the session. What was bound to it is the caller's to release, in the same step.
    pub(crate) fn end(&mut self, step: &mut Step<'_>, session: SessionId, cause: Cause) -> Result<Reply, Refusal> {
        let info = self.sessions.remove(&session).ok_or(Refusal::NoSession)?;
        step.index.leases.reset(Some(info.expires), None, Deadline::Session(session));
        for owner in owners(&info) {
            step.unbind(&owner, Bond::Session(session));
        }
        step.event(Scope::Session, &Key::of_number(session.0), What::Ended(cause));
        Ok(Reply::Ended)
    }

    pub(crate) fn read(&self, query: &Query) -> Result<Reply, Refusal> {
        match query {
            Query::Get(session) => {
                let info = self.sessions.get(session).ok_or(Refusal::NoSession)?;
                Ok(Reply::Sessions(vec![info.clone()]))
            }
            Query::List { after } => {
                let from = (std::ops::Bound::Excluded(*after), std::ops::Bound::Unbounded);
                let page = self.sessions.range(from).take(crate::limits::PAGE_ENTRIES_MAX);
                Ok(Reply::Sessions(page.map(|(_, info)| info.clone()).collect()))
            }
        }
    }

    pub(crate) fn reindex(&self, index_: &mut Index) {
        for info in self.sessions.values() {
            index(info, index_);
        }
    }
}

fn owners(info: &Info) -> impl Iterator<Item = Owner> {
    let client = info.with_client.then_some(Owner::Client(info.client));
    client.into_iter().chain(info.with_node.clone().map(Owner::Node))
}

fn index(info: &Info, index: &mut Index) {
    let leases: &mut Leases = &mut index.leases;
    leases.reset(None, Some(info.expires), Deadline::Session(info.session));
    for owner in owners(info) {
        index.bonds.insert((owner, Bond::Session(info.session)));
    }
}
