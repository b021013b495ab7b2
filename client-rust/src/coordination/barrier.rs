//! [`Barrier`], which is up until it is lifted, and [`Gate`], through which a number of members goes together.

use std::sync::Arc;

use folkmoot_proto::Text;
use folkmoot_proto::coordination::{
    BarrierEnter, BarrierEntered, BarrierInfo, BarrierLeave, BarrierLift, BarrierRaise, BarrierState, BarrierWait,
};

use super::Wait;
use super::call::{Answered, AsyncUndo, Nothing};
use super::identity::Identity;
use super::lock::unless_held;
use super::session::Session;
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
    session: u64,
}

/// Inside a gate. Dropped, it leaves in the background; if its client dies, it has left with the client's time to live.
#[derive(Debug)]
pub struct Passage {
    gate: Gate,
    identity: Arc<Identity>,
    hold: u64,
    left: bool,
}

impl Client {
    /// A barrier.
    pub fn barrier(&self, name: impl Into<Text>) -> Barrier {
        Barrier { client: self.clone(), name: name.into() }
    }

    /// A gate for `count` members: its first one sets it, all others have to name the same.
    pub fn gate(&self, name: impl Into<Text>, count: u32) -> Gate {
        Gate { client: self.clone(), name: name.into(), count, session: 0 }
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
        Ok(unless_held(self.client.write_waiting(body, wait, Nothing).await)?.is_some())
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
    pub fn with_session(mut self, session: &Session) -> Self {
        self.session = session.id();
        self
    }

    /// Enters, and waits until all have; `None` if `wait` was over before, and then it has not entered.
    ///
    /// # Errors
    /// [`Error::Refused`] with `full` if all are there already, `capacity-differs` if others have named another count.
    pub async fn enter(&self, wait: Wait) -> Result<Option<Passage>, Error> {
        let Self { client, name, count, session } = self;
        let body = BarrierEnter { count: *count, name: name.clone(), session: *session, wait: wait.to_body() };
        let entered = unless_held(client.write_waiting(body, wait, Undo(self.clone())).await)?;
        Ok(entered.map(|Answered { answer: BarrierEntered { hold }, identity, .. }| Passage {
            gate: self.clone(),
            identity,
            hold,
            left: false,
        }))
    }

    /// As it is.
    ///
    /// # Errors
    /// As any coordination call.
    pub async fn info(&self) -> Result<BarrierState, Error> {
        Ok(self.client.read(BarrierInfo { name: self.name.clone() }, false).await?.0)
    }

    async fn leave_now(&self, identity: &Arc<Identity>, hold: u64) -> Result<(), Error> {
        let leave = BarrierLeave { hold, name: self.name.clone(), wait: 0 };
        self.client.write_as(identity, leave).await.map(drop)
    }
}

impl Passage {
    /// Leaves, and waits until all have; whether all have. It has left in any case.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-held` if it has left already, with its session or client.
    pub async fn leave(mut self, wait: Wait) -> Result<bool, Error> {
        self.left = true;
        let body = BarrierLeave { hold: self.hold, name: self.gate.name.clone(), wait: wait.to_body() };
        let left = unless_held(self.gate.client.write_waiting(body, wait, Nothing).await)?;
        Ok(left.is_some_and(|left| left.answer.all))
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let (gate, identity, hold) = (self.gate.clone(), Arc::clone(&self.identity), self.hold);
        // Without a runtime there is nobody to say it: it has left with its client.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { gate.leave_now(&identity, hold).await });
        }
    }
}

/// Leaves for somebody who is gone.
struct Undo(Gate);

impl AsyncUndo<BarrierEntered> for Undo {
    async fn undo(self, answered: Answered<BarrierEntered>) {
        // If this fails too, it has left with its client.
        let _ = self.0.leave_now(&answered.identity, answered.answer.hold).await;
    }
}
