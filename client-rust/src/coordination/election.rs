//! [`Election`]: one leader at a time, candidates with values, and the [`Term`] of who is elected.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use folkmoot_proto::coordination::{
    ElectionCampaign, ElectionInfo, ElectionObserve, ElectionProclaim, ElectionRenew, ElectionResign, Held,
    LeaderRecord, Line,
};
use folkmoot_proto::{Blob, Text};
use futures_core::Stream;

use super::call::Answered;
use super::hold::{self, GiveBack, Owed, Renew, Terms, lost_if_not_held, unless_held};
use super::identity::Identity;
use super::lease::Lost;
use super::session::Bond;
use super::stream::Followed;
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
    session: Option<Bond>,
    preferred: bool,
}

/// The office of who is elected. It is renewed in the background until it is dropped, resigned or lost. Dropped, it is given
/// back in the background, if the cluster can be reached; else it ends with its time to live.
#[derive(Debug)]
pub struct Term {
    held: hold::Held<Office>,
    token: u64,
}

/// One hold of an election.
#[derive(Debug, Clone)]
struct Office {
    client: Client,
    identity: Arc<Identity>,
    name: Text,
    hold: u64,
}

/// Who leads, as it changes: see [`Election::observe`].
#[derive(Debug)]
pub struct Leaders {
    election: Election,
    records: Followed<LeaderRecord>,
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
        Election { client: self.clone(), name: name.into(), ttl: LEASE_TTL, session: None, preferred: false }
    }
}

impl Election {
    /// With another time to live than [`LEASE_TTL`]: the longest time without a leader when the leader dies.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl.max(LEASE_TTL_SHORTEST);
        self
    }

    /// Candidacy and office end with this session as well, and not with the client.
    #[must_use]
    pub fn with_session(mut self, session: impl Into<Bond>) -> Self {
        self.session = Some(session.into());
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
        let records = Followed::new(self.client.open(self.observed(), Sink::Leaders).await?);
        Ok(Leaders { election: self.clone(), records, last: None })
    }

    /// Ends the office of this number, whoever holds it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-held`.
    pub async fn resign(&self, hold: u64) -> Result<(), Error> {
        self.client.write(ElectionResign { hold, name: self.name.clone() }).await.map(drop)
    }

    fn observed(&self) -> ElectionObserve {
        ElectionObserve { name: self.name.clone() }
    }

    async fn run(self, value: Bytes, wait: Wait) -> Result<Term, Error> {
        let Self { client, name, ttl, session, preferred } = self;
        let campaign = ElectionCampaign {
            name: name.clone(),
            preferred,
            session: session.as_ref().map_or(0, Bond::id),
            ttl: millis(ttl),
            value: Blob(value),
            wait: wait.to_body(),
        };
        let (terms, asking) = (Terms::new(&client, ttl, session.as_ref()), client.clone());
        let elected = async move |Answered { answer, identity, asked }: Answered<Held>| {
            let Held { hold, token, .. } = answer;
            let held = Owed::new(Office { client, identity, name, hold }).hold(asked, &terms).await?;
            Ok(Term { held, token })
        };
        asking.write_waiting(campaign, wait, elected).await
    }
}

impl GiveBack for Office {
    async fn give_back(&self) -> Result<(), Error> {
        let resign = ElectionResign { hold: self.hold, name: self.name.clone() };
        self.client.write_as(&self.identity, resign).await.map(drop)
    }
}

impl Renew for Office {
    async fn renew(&self) -> Result<(), Error> {
        let renew = ElectionRenew { hold: self.hold, name: self.name.clone(), ttl: 0 };
        self.client.write_as(&self.identity, renew).await.map(drop)
    }
}

impl Term {
    /// The term, which is the fencing token: higher than that of every leader before.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The number of the hold, by which anybody may end the term.
    pub fn hold(&self) -> u64 {
        self.held.what().hold
    }

    /// Whether the office is held, as far as this side knows at this moment: it and the session that it ends with are
    /// renewed.
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }

    /// Returns when the office is lost, or its session is.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        self.held.lost()
    }

    /// Says something else to all.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the office was lost, [`Error::Refused`] with `too-large`.
    pub async fn proclaim(&self, value: impl Into<Bytes>) -> Result<(), Error> {
        let Office { client, identity, name, hold } = self.held.what();
        let proclaim = ElectionProclaim { hold: *hold, name: name.clone(), value: Blob(value.into()) };
        lost_if_not_held(client.write_as(identity, proclaim).await).map(drop)
    }

    /// Gives the office back. If that is not waited for to its end, it goes on in the background.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it was lost before.
    pub async fn resign(self) -> Result<(), Error> {
        self.held.give_back().await
    }
}

impl Leaders {
    /// Who leads: at first as it is, then after the next change. Changes that come faster than they are read may be left
    /// out, the last one never. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// Those of looking for another agent, for longer than [`crate::Reconnect`] allows; it may be asked again then.
    pub async fn next(&mut self) -> Result<Leader, Error> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Leader, Error>> {
        loop {
            let Self { election, records, last } = self;
            let reopened = || election.client.reopened(election.observed(), Sink::Leaders);
            let record = ready!(records.poll(context, reopened))?;
            let LeaderRecord { hold, owner: _, revision, token, value } = record;
            let leader = Leader { hold: Some(hold).filter(|hold| *hold != 0), token, value: value.0, revision };
            if last.as_ref() != Some(&leader) {
                *last = Some(leader.clone());
                return Poll::Ready(Ok(leader));
            }
        }
    }
}

/// As [`Leaders::next`]; it does not end.
impl Stream for Leaders {
    type Item = Result<Leader, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context).map(Some)
    }
}
