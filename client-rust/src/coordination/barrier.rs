//! [`Barrier`], which is up until it is lifted, and [`Gate`], through which a number of members goes together.

use std::sync::Arc;

use folkmoot_proto::Text;
use folkmoot_proto::coordination::{
    BarrierEnter, BarrierEntered, BarrierInfo, BarrierLeave, BarrierLeft, BarrierLift, BarrierRaise, BarrierState,
    BarrierWait,
};

use super::Wait;
use super::call::Answered;
use super::hold::{GiveBack, Owed, unless_held};
use super::identity::Identity;
use super::session::Bond;
use crate::client::Client;
use crate::error::Error;

/// A barrier.
#[derive(Debug, Clone)]
pub struct Barrier {
    client: Client,
    name: Text,
}

/// A gate: all wait until all are there, and again until all have left.
#[derive(Debug, Clone)]
pub struct Gate {
    client: Client,
    name: Text,
    count: u32,
    session: Option<Bond>,
}

/// Inside a gate. Dropped, it leaves in the background; if its client dies, it has left with the client's time to live.
#[derive(Debug)]
pub struct Passage {
    inside: Owed<Inside>,
}

/// One member of a gate.
#[derive(Debug, Clone)]
struct Inside {
    client: Client,
    identity: Arc<Identity>,
    name: Text,
    hold: u64,
}

impl Client {
    /// A barrier.
    pub fn barrier(&self, name: impl Into<Text>) -> Barrier {
        Barrier { client: self.clone(), name: name.into() }
    }

    /// A gate for `count` members: its first one sets it, all others have to name the same.
    pub fn gate(&self, name: impl Into<Text>, count: u32) -> Gate {
        Gate { client: self.clone(), name: name.into(), count, session: None }
    }
}

impl Barrier {
    /// Puts it up. It stays until it is lifted.
    ///
    /// # Errors
    /// [`Error::Refused`] with `exists` if it is up.
    pub async fn raise(&self) -> Result<(), Error> {
        self.client.write(BarrierRaise { name: self.name.clone() }).await.map(drop)
    }

    /// Takes it away and lets all through.
    ///
    /// # Errors
    /// [`Error::Refused`] with `missing` if it is not up.
    pub async fn lift(&self) -> Result<(), Error> {
        self.client.write(BarrierLift { name: self.name.clone() }).await.map(drop)
    }

    /// Waits until it is away, which may be at once; false if `wait` was over before.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn wait(&self, wait: Wait) -> Result<bool, Error> {
        let body = BarrierWait { name: self.name.clone(), wait: wait.to_body() };
        Ok(unless_held(self.client.write_waiting(body, wait, async |_| Ok(())).await)?.is_some())
    }

    /// As it is.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn info(&self) -> Result<BarrierState, Error> {
        Ok(self.client.read(BarrierInfo { name: self.name.clone() }, false).await?.0)
    }
}

impl Gate {
    /// Who is inside has left when this session ends.
    #[must_use]
    pub fn with_session(mut self, session: impl Into<Bond>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// Enters, and waits until all have; `None` if `wait` was over before, and then it has not entered.
    ///
    /// # Errors
    /// [`Error::Refused`] with `full` if all are there already, `capacity-differs` if others have named another count.
    pub async fn enter(&self, wait: Wait) -> Result<Option<Passage>, Error> {
        let Self { client, name, count, session } = self.clone();
        let session = session.as_ref().map_or(0, Bond::id);
        let body = BarrierEnter { count, name: name.clone(), session, wait: wait.to_body() };
        let asking = client.clone();
        let entered = async move |Answered { answer: BarrierEntered { hold }, identity, .. }: Answered<_>| {
            Ok(Passage { inside: Owed::new(Inside { client, identity, name, hold }) })
        };
        unless_held(asking.write_waiting(body, wait, entered).await)
    }

    /// As it is.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn info(&self) -> Result<BarrierState, Error> {
        Ok(self.client.read(BarrierInfo { name: self.name.clone() }, false).await?.0)
    }
}

impl Passage {
    /// Leaves, and waits until all have; whether all have. It leaves in any case: without an answer, or if that is not waited
    /// for, it goes on in the background.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-held` if it has left already, with its session or client.
    pub async fn leave(mut self, wait: Wait) -> Result<bool, Error> {
        let Inside { client, name, hold, .. } = self.inside.what().clone();
        let body = BarrierLeave { hold, name, wait: wait.to_body() };
        let left = client.write_waiting(body, wait, async |left: Answered<BarrierLeft>| Ok(left.answer)).await;
        if left.as_ref().err().is_none_or(|error| error.code().is_some()) {
            self.inside.settle();
        }
        Ok(unless_held(left)?.is_some_and(|left| left.all))
    }
}

impl GiveBack for Inside {
    async fn give_back(&self) -> Result<(), Error> {
        let leave = BarrierLeave { hold: self.hold, name: self.name.clone(), wait: 0 };
        self.client.write_as(&self.identity, leave).await.map(drop)
    }
}
