//! The way of a coordination call: as often as it takes until there is a final answer, with one number, so that it is
//! applied once.
//!
//! A write that was sent and not answered is sent again with the same number, over the next connection if need be. What is
//! final is answered at once; what an agent cannot serve at the moment is asked again until the time is up.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use folkmoot_proto::coordination::{
    AsOf, Call, ClientCancel, ClientKeepAlive, ClientRegister, ClientRegistered, Code, CoordinationRequest, Read,
    Reading, Write,
};
use folkmoot_proto::{Command, Decode, Request, Text, With, texts};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::identity::{Identity, Number, Place};
use super::{Wait, millis};
use crate::backoff::Backoff;
use crate::client::{Client, Shared};
use crate::connection::{Connection, decode_body};
use crate::error::{Error, Refusal};
use crate::limits::{ATTEMPT_GRACE, ATTEMPT_TIMEOUT, COORDINATION_TIMEOUT};
use crate::options::Reconnect;
use crate::table::Unanswered;

/// The final answer to a write.
#[derive(Debug)]
pub(crate) struct Answered<A> {
    pub(crate) answer: A,
    /// Whose request it was: what depends on it lives as long as somebody has this.
    pub(crate) identity: Arc<Identity>,
    /// Before the first attempt with the number that was answered: what was granted was granted after this, and an attempt
    /// that is answered from the kept reply does not grant it again.
    pub(crate) asked: Instant,
}

/// What came of one attempt that brought no final answer.
enum Fault {
    /// Asking again will not help.
    Final(Error),
    /// Ask again. `reached`: the request may have been applied.
    Again { error: Error, reached: bool },
    /// The cluster does not know the client.
    Expired,
}

impl Client {
    /// A write that is answered at once.
    pub(crate) async fn write<W: Call + Into<Write>>(&self, body: W) -> Result<W::Answer, Error> {
        let deadline = self.deadline(Wait::No);
        let number = self.number(Wait::No, deadline).await?;
        Ok(self.persist::<W>(number, body.into(), Wait::No, deadline, &AtomicBool::new(false)).await?.answer)
    }

    /// A write in the name of `identity`, as everything that is about what it holds.
    pub(crate) async fn write_as<W: Call + Into<Write>>(
        &self,
        identity: &Arc<Identity>,
        body: W,
    ) -> Result<W::Answer, Error> {
        if identity.expired() {
            // Who knows a hold's number may do with it what he likes: another client of ours as well.
            return self.write(body).await;
        }
        let (number, deadline) = (identity.open(), self.deadline(Wait::No));
        Ok(self.persist::<W>(number, body.into(), Wait::No, deadline, &AtomicBool::new(false)).await?.answer)
    }

    /// A write that may wait. `take` makes of the grant what the caller is given, and gives it back when it is dropped: the
    /// caller may be gone by then. If he stops waiting before, the call is cancelled.
    pub(crate) async fn write_waiting<W, T, F>(
        &self,
        body: W,
        wait: Wait,
        take: impl FnOnce(Answered<W::Answer>) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        W: Call + Into<Write>,
        W::Answer: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
        T: Send + 'static,
    {
        let deadline = self.deadline(wait);
        let number = self.number(wait, deadline).await?;
        let (client, write) = (self.clone(), body.into());
        let (give, given) = oneshot::channel();
        let (stay, gone) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let (identity, request) = (Arc::clone(number.identity()), number.number());
            let given_up = AtomicBool::new(false);
            let mut call = Box::pin(client.persist::<W>(number, write, wait, deadline, &given_up));
            let outcome = tokio::select! {
                outcome = &mut call => outcome,
                _ = gone => {
                    given_up.store(true, Ordering::Release);
                    client.cancel(&identity, request, call).await
                }
            };
            let taken = match outcome {
                Ok(answered) => take(answered).await,
                Err(error) => Err(error),
            };
            let _ = give.send(taken);
        });
        let outcome = given.await.unwrap_or(Err(Error::Closed));
        drop(stay);
        outcome
    }

    /// Ends a call that waits. It may not have arrived yet, so this is said until the call is over.
    async fn cancel<A>(
        &self,
        identity: &Arc<Identity>,
        request: u64,
        mut call: Pin<Box<impl Future<Output = Result<Answered<A>, Error>>>>,
    ) -> Result<Answered<A>, Error> {
        let deadline = Instant::now() + COORDINATION_TIMEOUT;
        let mut backoff = Backoff::new();
        while Instant::now() < deadline {
            let next = Instant::now() + backoff.pause();
            let said = async {
                let number = identity.open();
                let cancel = ClientCancel { call: request }.into();
                let _ = self
                    .persist::<ClientCancel>(number, cancel, Wait::No, Some(deadline), &AtomicBool::new(true))
                    .await;
                sleep_until(next).await;
            };
            tokio::select! {
                outcome = &mut call => return outcome,
                () = said => {}
            }
        }
        Err(Error::Timeout { command: "client-cancel" })
    }

    /// A question.
    pub(crate) async fn read<R, A>(&self, body: R, stale: bool) -> Result<(A, AsOf), Error>
    where
        R: Call<Answer = With<AsOf, A>> + Into<Read>,
        With<AsOf, A>: Decode,
    {
        let read: Read = body.into();
        let request =
            |timeout| CoordinationRequest::Read(Reading { stale, timeout: millis(timeout).max(1) }, read.clone());
        let With { common, body } = self.ask::<R::Answer>(request, Wait::No).await?;
        Ok((body, common))
    }

    /// A question that is asked of the agent, or of who leads.
    pub(crate) async fn question<C>(&self, body: C) -> Result<C::Answer, Error>
    where
        C: Call + Into<CoordinationRequest> + Clone,
    {
        self.ask(|_| body.clone().into(), Wait::No).await
    }

    /// A change without a number; it is not repeated once it may have been carried out.
    pub(crate) async fn other<C>(&self, body: C) -> Result<C::Answer, Error>
    where
        C: Call + Into<CoordinationRequest> + Clone,
    {
        let deadline = self.deadline(Wait::No);
        let mut backoff = Backoff::new();
        loop {
            match self.attempt(&Request::Coordination(body.clone().into()), deadline, Wait::No).await {
                Ok((answer, _)) => return Ok(answer),
                Err(Fault::Again { error, reached: false }) => self.pause(&mut backoff, deadline, error).await?,
                Err(Fault::Again { error, .. } | Fault::Final(error)) => return Err(error),
                Err(Fault::Expired) => return Err(Error::ClientExpired),
            }
        }
    }

    /// One attempt over a connection that others do not use.
    pub(crate) async fn once_over<C: Call + Into<CoordinationRequest>>(
        &self,
        connection: &Connection,
        body: C,
        limit: Duration,
    ) -> Result<C::Answer, Error> {
        let request = Request::Coordination(body.into());
        let reply = connection.start(&request).await?.wait(Some(limit)).await?;
        if reply.error.is_empty() { decode_body(&reply) } else { Err(judge_opening(request.command(), &reply.error)) }
    }

    /// Asks until there is an answer; for what changes nothing.
    async fn ask<A: Decode>(&self, request: impl Fn(Duration) -> CoordinationRequest, wait: Wait) -> Result<A, Error> {
        let deadline = self.deadline(wait);
        let mut backoff = Backoff::new();
        loop {
            let request = Request::Coordination(request(self.share(deadline)));
            match self.attempt(&request, deadline, wait).await {
                Ok((answer, _)) => return Ok(answer),
                Err(Fault::Again { error, .. }) => self.pause(&mut backoff, deadline, error).await?,
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Expired) => return Err(Error::ClientExpired),
            }
        }
    }

    /// Sends a write until it has its final answer, or the deadline is over. Once the caller has `given_up` it is not made anew.
    async fn persist<W: Call>(
        &self,
        mut number: Number,
        write: Write,
        wait: Wait,
        deadline: Option<Instant>,
        given_up: &AtomicBool,
    ) -> Result<Answered<W::Answer>, Error> {
        let mut backoff = Backoff::new();
        let mut reached_before = false;
        let mut begun = Instant::now();
        loop {
            let caller = number.caller(self.share(deadline));
            let request = Request::Coordination(CoordinationRequest::Write(caller, write.clone()));
            match self.attempt(&request, deadline, wait).await {
                Ok((answer, asked)) => {
                    number.identity().hear(asked);
                    return Ok(Answered { answer, identity: Arc::clone(number.identity()), asked: begun });
                }
                // An agent cancels what waits on a connection that is lost: that was not what the caller wanted.
                Err(Fault::Final(Error::Refused(Refusal { code: Code::Cancelled, .. })))
                    if reached_before && !given_up.load(Ordering::Acquire) =>
                {
                    number = self.number_at(number.into_place(), deadline).await?;
                    (begun, reached_before) = (Instant::now(), false);
                }
                // Of what was sent before, this says nothing.
                Err(
                    Fault::Final(Error::NoQuorum { .. } | Error::NoGroup { .. })
                    | Fault::Again { error: Error::Unavailable { .. }, reached: false },
                ) if reached_before => {
                    let unknown = Error::Timeout { command: request.command().name() };
                    self.pause(&mut backoff, deadline, unknown).await?;
                }
                Err(Fault::Final(error)) if reached_before && is_of_one_attempt(&error) => {
                    return Err(Error::Timeout { command: request.command().name() });
                }
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Again { error, reached }) => {
                    reached_before |= reached;
                    let unknown = reached && matches!(error, Error::Unavailable { .. });
                    let error = if unknown { Error::Timeout { command: request.command().name() } } else { error };
                    self.pause(&mut backoff, deadline, error).await?;
                }
                Err(Fault::Expired) => {
                    number.identity().expire();
                    // What was sent once and found no client was not applied: it may be made in another name.
                    if reached_before || given_up.load(Ordering::Acquire) {
                        return Err(Error::ClientExpired);
                    }
                    number = self.number_at(number.into_place(), deadline).await?;
                    begun = Instant::now();
                }
            }
        }
    }

    /// One attempt.
    async fn attempt<A: Decode>(
        &self,
        request: &Request,
        deadline: Option<Instant>,
        wait: Wait,
    ) -> Result<(A, Instant), Fault> {
        let lost = |error: Error, reached| match (&error, self.options().reconnect) {
            (Error::Closed | Error::Timeout { .. }, Reconnect::Within(_)) => Fault::Again { error, reached },
            (_, Reconnect::Never | Reconnect::Within(_)) => Fault::Final(error),
        };
        let (connection, asked, reply) = loop {
            let connection = self.connection().await.map_err(Fault::Final)?;
            let asked = Instant::now();
            let mut pending = connection.start(request).await.map_err(|error| lost(error, false))?;
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(asked));
            let limit = wait
                .span()
                .map(|wait| wait.saturating_add(self.share(deadline)).min(left).saturating_add(ATTEMPT_GRACE));
            match pending.wait(limit).await {
                Ok(reply) => break (connection, asked, reply),
                // Somebody else was told that the agent does not know his command.
                Err(Unanswered::Unread) if self.reconnects() => {}
                Err(Unanswered::Unread) => return Err(lost(Error::Closed, false)),
                Err(Unanswered::Lost(error)) => {
                    if matches!(error, Error::Timeout { .. }) && connection.table().heard() < Some(asked) {
                        // Nothing at all was heard for that long: nobody is there.
                        connection.table().end(&Error::Closed);
                    }
                    return Err(lost(error, true));
                }
            }
        };
        let command = request.command();
        if reply.error.is_empty() {
            return decode_body(&reply).map(|answer| (answer, asked)).map_err(Fault::Final);
        }
        let fault = judge(command, &reply.error);
        if matches!(fault, Fault::Again { .. }) && Code::of(&reply.error) == Code::Stopping {
            connection.table().end(&Error::Closed);
        }
        Err(fault)
    }

    /// When a call has to be over.
    pub(crate) fn deadline(&self, wait: Wait) -> Option<Instant> {
        let limit = self.call_timeout().unwrap_or(COORDINATION_TIMEOUT);
        wait.span().and_then(|wait| Instant::now().checked_add(wait.saturating_add(limit)))
    }

    /// How long the cluster remembers this client when it is silent.
    pub(crate) fn client_ttl(&self) -> Duration {
        self.options().client_ttl.max(Duration::from_secs(1))
    }

    /// What the agent may take for one attempt.
    fn share(&self, deadline: Option<Instant>) -> Duration {
        let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        left.min(self.call_timeout().unwrap_or(ATTEMPT_TIMEOUT)).min(ATTEMPT_TIMEOUT)
    }

    /// Waits before the next attempt, or fails because there is no time for one.
    pub(crate) async fn pause(
        &self,
        backoff: &mut Backoff,
        deadline: Option<Instant>,
        error: Error,
    ) -> Result<(), Error> {
        let next = Instant::now() + backoff.pause();
        if deadline.is_some_and(|deadline| next >= deadline) {
            return Err(error);
        }
        sleep_until(next).await;
        Ok(())
    }

    /// A number for a request, once there is a place for it.
    async fn number(&self, wait: Wait, deadline: Option<Instant>) -> Result<Number, Error> {
        let place = in_time(deadline, self.identities().place(wait)).await;
        self.number_at(place.ok_or_else(|| unavailable("no place among the calls of this client"))?, deadline).await
    }

    /// A number for a request that has this place, of a client that is registered for it if there is none.
    async fn number_at(&self, place: Place, deadline: Option<Instant>) -> Result<Number, Error> {
        let current = in_time(deadline, self.identities().current.lock()).await;
        let mut current = current.ok_or_else(|| unavailable("this client is not registered yet"))?;
        if let Some(identity) = current.as_ref().filter(|identity| !identity.expired()) {
            return Ok(identity.open_at(place));
        }
        let asked = Instant::now();
        let ttl = self.client_ttl();
        let mut backoff = Backoff::new();
        let client = loop {
            let timeout = millis(self.share(deadline)).max(1);
            let register = CoordinationRequest::ClientRegister(ClientRegister { ttl: millis(ttl), timeout });
            match self.attempt::<ClientRegistered>(&Request::Coordination(register), deadline, Wait::No).await {
                Ok((ClientRegistered { client }, _)) => break client,
                // A client that nobody uses expires.
                Err(Fault::Again { error, .. }) => self.pause(&mut backoff, deadline, error).await?,
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Expired) => return Err(Error::ClientExpired),
            }
        };
        let identity = Identity::new(client, asked);
        tokio::spawn(keep_alive(self.downgrade(), Arc::downgrade(&identity), ttl / 3));
        let number = identity.open_at(place);
        *current = Some(identity);
        Ok(number)
    }
}

/// What `work` comes to before the deadline.
async fn in_time<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

fn unavailable(text: &str) -> Error {
    Error::Unavailable { text: format!("overloaded: {text}") }
}

/// Whether it says only that this attempt came to nothing, and nothing of those before.
fn is_of_one_attempt(error: &Error) -> bool {
    match error {
        Error::Connect(_)
        | Error::Auth { .. }
        | Error::Unsupported { .. }
        | Error::Remote { .. }
        | Error::TooManyCalls
        | Error::Refused(Refusal { code: Code::Refused, .. }) => true,
        Error::Refused(_)
        | Error::Keys { .. }
        | Error::Closed
        | Error::Protocol { .. }
        | Error::Timeout { .. }
        | Error::NoGroup { .. }
        | Error::NoQuorum { .. }
        | Error::Unavailable { .. }
        | Error::ClientExpired
        | Error::LeaseLost(_)
        | Error::Read { .. } => false,
    }
}

/// Says that the client is there, when it was silent for `pause`, as long as somebody has it. (Boxed, because it makes calls
/// and is started by one.)
fn keep_alive(
    client: Weak<Shared>,
    identity: Weak<Identity>,
    pause: Duration,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let mut next = Instant::now() + pause;
        loop {
            sleep_until(next).await;
            let Some(identity) = identity.upgrade().filter(|identity| !identity.expired()) else { return };
            let Some(client) = Client::upgrade(&client) else { return };
            next = identity.heard() + pause;
            if next > Instant::now() {
                continue;
            }
            next = Instant::now() + pause;
            // If it fails, the next one or the next request will tell.
            let _ = client.write_as(&identity, ClientKeepAlive {}).await;
        }
    })
}

/// What an error's text means where the caller decides whether to try again.
pub(crate) fn judge_opening(command: Command, error: &Text) -> Error {
    match judge(command, error) {
        Fault::Final(error) | Fault::Again { error, .. } => error,
        Fault::Expired => Error::ClientExpired,
    }
}

/// What an error's text means for the call.
fn judge(command: Command, error: &Text) -> Fault {
    let text = error.to_string_lossy().into_owned();
    let command = command.name();
    match error.as_str() {
        Some(texts::AUTHENTICATION_REQUIRED | texts::INVALID_AUTH_TOKEN) => return Fault::Final(Error::Auth { text }),
        Some(texts::UNSUPPORTED_COMMAND) => return Fault::Final(Error::Unsupported { command }),
        Some(_) | None => {}
    }
    match Code::of(error) {
        Code::Unknown => Fault::Final(Error::Remote { command, text }),
        Code::NoGroup => Fault::Final(Error::NoGroup { text }),
        Code::NoQuorum => Fault::Final(Error::NoQuorum { text }),
        Code::Timeout => Fault::Again { error: Error::Timeout { command }, reached: true },
        Code::Overloaded | Code::TooManyCalls | Code::TooManyUnacknowledged => {
            Fault::Again { error: Error::Unavailable { text }, reached: false }
        }
        Code::Stopping => Fault::Again { error: Error::Unavailable { text }, reached: true },
        Code::ClientExpired => Fault::Expired,
        code @ (Code::Refused
        | Code::InvalidRequest
        | Code::NotPossible
        | Code::StaleRequest
        | Code::NoSession
        | Code::Busy
        | Code::Empty
        | Code::Full
        | Code::NotHeld
        | Code::StaleLease
        | Code::Missing
        | Code::Exists
        | Code::OutOfRange
        | Code::Overflow
        | Code::CapacityDiffers
        | Code::Invalid
        | Code::UnknownDependency
        | Code::TimedOut
        | Code::Cancelled
        | Code::OwnerEnded
        | Code::Removed
        | Code::TooMany
        | Code::TooLarge
        | Code::StorageFull
        | Code::Compacted) => Fault::Final(Error::Refused(Refusal { code, text })),
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
