//! [`Election`]: one leader at a time, candidates with values, and the [`Term`] of who is elected.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_proto::coordination::{
    ElectionCampaign, ElectionInfo, ElectionObserve, ElectionProclaim, ElectionRenew, ElectionResign, Held,
    LeaderRecord, Line,
};
use folkmoot_proto::{Blob, Text};
use tokio::time::Instant;

use super::call::{Answered, AsyncUndo};
use super::identity::Identity;
use super::lease::{Lease, Lost};
use super::lock::{held_for, lost_if_not_held, unless_held};
use super::session::Session;
use super::watch::Records;
use super::{Wait, millis};
use crate::client::Client;
use crate::error::Error;
use crate::limits::{LEASE_TTL, LEASE_TTL_SHORTEST};
use crate::table::Sink;

/// An election.
///
/// ```no_run
/// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
/// let term = client.election("scheduler").campaign("n1").await?;
/// println!("leading in term {}", term.token());
/// println!("not any more: {}", term.lost().await);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Election {
    client: Client,
    name: Text,
    ttl: Duration,
    session: u64,
    preferred: bool,
}

/// The office of who is elected. It is renewed in the background until it is dropped, resigned or lost. Dropped, it is given
/// back in the background, if the cluster can be reached; else it ends with its time to live.
#[derive(Debug)]
pub struct Term {
    election: Election,
    identity: Arc<Identity>,
    held: Held,
    lease: Lease,
    resigned: bool,
}

/// Who leads, as it changes: see [`Election::observe`].
#[derive(Debug)]
pub struct Leaders {
    election: Election,
    records: Option<Records<LeaderRecord>>,
    last: Option<Leader>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The number of the hold; `None`: nobody leads.
    pub hold: Option<u64>,
    /// The term: higher than that of every leader before.
    pub token: u64,
    /// What the leader says.
    pub value: Bytes,
    /// At which revision this became so.
    pub revision: u64,
}

impl Client {
    /// An election.
    pub fn election(&self, name: impl Into<Text>) -> Election {
        Election { client: self.clone(), name: name.into(), ttl: LEASE_TTL, session: 0, preferred: false }
    }
}

impl Election {
    /// With another time to live than [`LEASE_TTL`]: the longest time without a leader when the leader dies.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl.max(LEASE_TTL_SHORTEST);
        self
    }

    /// Candidacy and office end with this session as well, and not with the client. That the session is lost only
    /// [`Session::lost`] tells at once; a term learns of it with its next renewal, at a third of its time to live.
    #[must_use]
    pub fn with_session(mut self, session: &Session) -> Self {
        self.session = session.id();
        self
    }

    /// Comes before candidates that are not preferred. A leader in office stays.
    #[must_use]
    pub fn preferred(mut self) -> Self {
        self.preferred = true;
        self
    }

    /// Stands for election, and waits until elected. `value` is what the leader says to all, an address maybe.
    ///
    /// # Errors
    /// [`Error::Refused`] with `too-large` or `too-many`, and what any call may fail with.
    pub async fn campaign(&self, value: impl Into<Bytes>) -> Result<Term, Error> {
        self.clone().run(value.into(), Wait::Always).await
    }

    /// Stands for election until `wait` is over: then `None`.
    ///
    /// # Errors
    /// As [`Election::campaign`].
    pub async fn campaign_within(&self, value: impl Into<Bytes>, wait: Wait) -> Result<Option<Term>, Error> {
        unless_held(self.clone().run(value.into(), wait).await)
    }

    /// Who leads, and who stands for election.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn info(&self) -> Result<Line, Error> {
        Ok(self.client.read(ElectionInfo { name: self.name.clone() }, false).await?.0)
    }

    /// Who leads: as it is, then each change. Goes on by itself when the connection is lost.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn observe(&self) -> Result<Leaders, Error> {
        let mut leaders = Leaders { election: self.clone(), records: None, last: None };
        leaders.open().await?;
        Ok(leaders)
    }

    /// Ends the office of this number, whoever holds it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-held`.
    pub async fn resign(&self, hold: u64) -> Result<(), Error> {
        self.client.write(ElectionResign { hold, name: self.name.clone() }).await.map(drop)
    }

    async fn run(self, value: Bytes, wait: Wait) -> Result<Term, Error> {
        let campaign = ElectionCampaign {
            name: self.name.clone(),
            preferred: self.preferred,
            session: self.session,
            ttl: millis(self.ttl),
            value: Blob(value),
            wait: wait.to_body(),
        };
        let Answered { answer: held, identity, mut asked } =
            self.client.write_waiting(campaign, wait, Undo(self.clone())).await?;
        let ttl = held_for(&self.client, self.session, self.ttl);
        if asked.elapsed() > ttl / 3 {
            // When the election was is not known: only a renewal tells how long the office lasts.
            asked = Instant::now();
            lost_if_not_held(self.renew(&identity, held.hold).await)?;
        }
        let (election, owner, hold) = (self.clone(), Arc::clone(&identity), held.hold);
        let lease = Lease::keep(asked, ttl, move || {
            let (election, owner) = (election.clone(), Arc::clone(&owner));
            async move { election.renew(&owner, hold).await }
        });
        Ok(Term { election: self, identity, held, lease, resigned: false })
    }

    async fn renew(&self, identity: &Arc<Identity>, hold: u64) -> Result<(), Error> {
        let renew = ElectionRenew { hold, name: self.name.clone(), ttl: 0 };
        self.client.write_as(identity, renew).await.map(drop)
    }

    async fn give_back(&self, identity: &Arc<Identity>, hold: u64) -> Result<(), Error> {
        let resign = ElectionResign { hold, name: self.name.clone() };
        self.client.write_as(identity, resign).await.map(drop)
    }
}

impl Term {
    /// The term, which is the fencing token: higher than that of every leader before.
    pub fn token(&self) -> u64 {
        self.held.token
    }

    /// The number of the hold, by which anybody may end the term.
    pub fn hold(&self) -> u64 {
        self.held.hold
    }

    /// Whether the office is held, as far as this side knows at this moment.
    pub fn is_held(&self) -> bool {
        self.lease.is_held()
    }

    /// Returns when the office is lost.
    pub async fn lost(&self) -> Lost {
        self.lease.lost().await
    }

    /// Says something else to all.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the office was lost, [`Error::Refused`] with `too-large`.
    pub async fn proclaim(&self, value: impl Into<Bytes>) -> Result<(), Error> {
        let Election { client, name, .. } = &self.election;
        let proclaim = ElectionProclaim { hold: self.held.hold, name: name.clone(), value: Blob(value.into()) };
        lost_if_not_held(client.write_as(&self.identity, proclaim).await).map(drop)
    }

    /// Gives the office back.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it was lost before.
    pub async fn resign(mut self) -> Result<(), Error> {
        self.lease.stop();
        self.resigned = true;
        lost_if_not_held(self.election.give_back(&self.identity, self.held.hold).await)
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        if self.resigned || !self.lease.is_held() {
            return;
        }
        let (election, identity, hold) = (self.election.clone(), Arc::clone(&self.identity), self.held.hold);
        // Without a runtime there is nobody to say it: it ends with its time to live.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { election.give_back(&identity, hold).await.map(drop) });
        }
    }
}

impl Leaders {
    /// Who leads: at first as it is, then after the next change. Changes that come faster than they are read may be left
    /// out, the last one never.
    ///
    /// # Errors
    /// Those of looking for another agent, for longer than [`crate::Reconnect`] allows; it may be asked again then.
    pub async fn next(&mut self) -> Result<Leader, Error> {
        loop {
            if self.records.is_none() {
                self.open().await?;
            }
            let Some(records) = &mut self.records else { continue };
            let record = match records.next().await {
                Ok(Some(record)) => record,
                ended => {
                    self.records = None;
                    ended?;
                    continue;
                }
            };
            let LeaderRecord { hold, owner: _, revision, token, value } = record;
            let leader = Leader { hold: Some(hold).filter(|hold| *hold != 0), token, value: value.0, revision };
            if self.last.as_ref() != Some(&leader) {
                self.last = Some(leader.clone());
                return Ok(leader);
            }
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        let observe = ElectionObserve { name: self.election.name.clone() };
        self.records = Some(self.election.client.open(observe, Sink::Leaders).await?);
        Ok(())
    }
}

/// Gives back the office of somebody who is gone.
struct Undo(Election);

impl AsyncUndo<Held> for Undo {
    async fn undo(self, answered: Answered<Held>) {
        // If this fails too, it ends with its time to live.
        let _ = self.0.give_back(&answered.identity, answered.answer.hold).await;
    }
}
