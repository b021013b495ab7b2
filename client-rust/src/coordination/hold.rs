//! [`Held`]: what this client holds of the cluster's (a lock, an office, an item of work): renewed in the background until it
//! is given back or lost. And [`Owed`]: what has to be given back, if need be by its drop.
//!
//! A grant is owed from the moment its answer is read: whoever has asked for it may be gone by then, or in any moment until
//! it is in his hands.

use std::time::Duration;

use folkmoot_proto::coordination::Code;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::lease::{Lease, Lost, Standing, held_since};
use super::session::Bond;
use crate::client::Client;
use crate::error::{Error, Refusal};

/// What can be given back.
pub(crate) trait GiveBack: Clone + Send + Sync + 'static {
    /// Gives it back to the cluster.
    fn give_back(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What can be held for a while.
pub(crate) trait Renew: GiveBack {
    /// Starts its time to live again.
    fn renew(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Given back in the background when it is dropped, from whatever thread, unless it is settled. If the cluster cannot be
/// reached, its time to live ends it.
#[derive(Debug)]
pub(crate) struct Owed<G: GiveBack> {
    what: G,
    settled: bool,
    runtime: Handle,
}

/// Held, renewed, and given back at the end or by its drop.
#[derive(Debug)]
pub(crate) struct Held<R: Renew> {
    owed: Owed<R>,
    lease: Lease,
    /// Of the session that it ends with.
    session: Option<Standing>,
}

/// For how long something is granted, and under what.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    ttl: Duration,
    session: Option<Standing>,
}

impl<G: GiveBack> Owed<G> {
    /// Of what the cluster has just granted. In a runtime only.
    pub(crate) fn new(what: G) -> Self {
        Self { what, settled: false, runtime: Handle::current() }
    }

    pub(crate) fn what(&self) -> &G {
        &self.what
    }

    /// It is in the hands of somebody else, or over.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }
}

impl<G: GiveBack> Drop for Owed<G> {
    fn drop(&mut self) {
        if !self.settled {
            let what = self.what.clone();
            self.runtime.spawn(async move { what.give_back().await });
        }
    }
}

impl<R: Renew> Owed<R> {
    /// Holds on to it. It was granted after `asked`.
    pub(crate) async fn hold(mut self, asked: Instant, terms: &Terms) -> Result<Held<R>, Error> {
        let since = lost_if_not_held(held_since(asked, terms.ttl, self.what.renew()).await);
        let asked = since.inspect_err(|error| self.settled = matches!(error, Error::LeaseLost(_)))?;
        let renewed = self.what.clone();
        let lease = Lease::keep(asked, terms.ttl, move || {
            let renewed = renewed.clone();
            async move { renewed.renew().await }
        });
        Ok(Held { owed: self, lease, session: terms.session.clone() })
    }
}

impl<R: Renew> Held<R> {
    pub(crate) fn what(&self) -> &R {
        self.owed.what()
    }

    /// Whether it is held, and its session lives, as far as this side knows at this moment.
    pub(crate) fn is_held(&self) -> bool {
        self.lease.standing().is_held() && self.session.as_ref().is_none_or(Standing::is_held)
    }

    /// Returns when it is lost, or its session is.
    pub(crate) fn lost(&self) -> impl Future<Output = Lost> + Send + use<R> {
        let (hold, session) = (self.lease.standing().clone(), self.session.clone());
        async move {
            let Some(session) = session else { return hold.lost().await };
            tokio::select! {
                lost = hold.lost() => lost,
                lost = session.lost() => lost,
            }
        }
    }

    /// Gives it back. If that is not waited for to its end, the drop does it.
    pub(crate) async fn give_back(mut self) -> Result<(), Error> {
        self.lease.stop();
        let outcome = self.owed.what.give_back().await;
        self.owed.settle();
        lost_if_not_held(outcome)
    }

    /// Its holder ends it in another way. It is renewed as long as that takes.
    pub(crate) fn settle(&mut self) {
        self.owed.settle();
    }
}

impl<R: Renew> Drop for Held<R> {
    fn drop(&mut self) {
        if self.lease.standing().has_ended() {
            self.owed.settle();
        }
    }
}

impl Terms {
    /// How long the cluster leaves it to a holder who is silent: without a session it ends with the client as well.
    pub(crate) fn new(client: &Client, ttl: Duration, session: Option<&Bond>) -> Self {
        match session {
            Some(bond) => Self { ttl, session: bond.standing().cloned() },
            None => Self { ttl: ttl.min(client.client_ttl()), session: None },
        }
    }
}

/// `None` if the time for waiting was not enough.
pub(crate) fn unless_held<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(held) => Ok(Some(held)),
        Err(Error::Refused(Refusal { code: Code::Busy | Code::TimedOut, .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a holder is told if he holds no more.
pub(crate) fn lost_if_not_held<T>(outcome: Result<T, Error>) -> Result<T, Error> {
    outcome.map_err(|error| match error.code() {
        Some(Code::NotHeld | Code::StaleLease) => Error::LeaseLost(Lost::Ended),
        Some(_) | None => error,
    })
}
