//! Coordination commands: what the group serves. Our own (`docs/rpc.md`).
//!
//! ```text
//!            proto                    coordination                  the group
//!   body ──▶ Write ── operations.rs ──▶ Operation ──▶ calls.rs ──▶ coordinator.rs
//!            Read ─── questions.rs ───▶ Query ─────────▶ │
//!   body ◀── answers.rs ◀──────────── Reply ◀────────────┘
//!   records ◀─ changes.rs ◀────────── Event ◀── streams.rs
//! ```

mod admin;
mod answers;
mod calls;
mod changes;
mod coordinator;
mod group;
mod operations;
mod questions;
mod streams;
mod values;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_coordination::limits::OPEN_PER_CLIENT;
use folkmoot_coordination::{Acknowledged, ClientId, Command, Millis, Patience, Request, RequestId};
use folkmoot_proto::coordination::{
    Caller, ClientRegister, Code, CoordinationCommand, CoordinationRequest, Read, Reading, Write,
};
use folkmoot_proto::{ResponseHeader, Text};
use tokio::time::Instant;

use admin::Ask;
pub(super) use admin::Restore;
use calls::Call;
pub(super) use calls::Calls;
pub use coordinator::{Answering, Changes, Coordinator, Freshness, MemberChange, Noticed, Seen};
pub use group::GroupCoordinator;
pub use values::Failure;

use super::limits::{CALL_TIMEOUT, CALL_TIMEOUT_LONGEST, CLIENT_NUMBERS, ENDLESS, WAITING_CALL_LENGTH};
use super::session::{Fault, Session};
use super::writer::{Frame, Outbox, What};
use crate::random;

/// Serves one request, or starts to. A body that cannot be read is answered with an error; the connection goes on.
pub(super) async fn serve(
    session: &mut Session,
    seq: u64,
    command: CoordinationCommand,
    body: Bytes,
) -> Result<(), Fault> {
    let asked = Asked { seq, command, length: body.len(), outbox: session.outbox.clone() };
    let request = CoordinationRequest::decode(command, &body).map_err(|fault| Failure::invalid(fault.to_string()));
    drop(body);
    let begun = match request {
        Ok(request) => begin(session, &asked, request).await,
        Err(failure) => Err(failure),
    };
    match begun {
        Ok(()) => Ok(()),
        Err(failure) => Ok(session.refuse(seq, &failure.to_string()).await?),
    }
}

/// A request, as its answer needs it.
#[derive(Debug, Clone)]
struct Asked {
    seq: u64,
    command: CoordinationCommand,
    /// Bytes of the body.
    length: usize,
    outbox: Outbox,
}

impl Asked {
    /// Sends the answer. Whether the client is still there does not matter to what was done.
    async fn answer(&self, body: Result<Vec<u8>, Failure>) {
        let frame = match body {
            Ok(body) => Frame::with_body(What::Answer, ResponseHeader::ok(self.seq).to_bytes(), Bytes::from(body)),
            Err(failure) => Frame::new(What::Answer, ResponseHeader::refused(self.seq, failure.to_string()).to_bytes()),
        };
        let _ = self.outbox.send(frame).await;
    }

    /// What the call counts of the room for all of them.
    fn kib(&self) -> u32 {
        u32::try_from(self.length / 1024).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// Starts the request, or says at once why not.
async fn begin(session: &mut Session, asked: &Asked, request: CoordinationRequest) -> Result<(), Failure> {
    let Some(coordinator) = session.context().settings.coordinator.clone() else {
        return Err(Failure::new(Code::NoGroup, "this agent takes part in no group and knows of none"));
    };
    match request {
        CoordinationRequest::Write(caller, body) => write(session, asked, coordinator, &caller, body).await,
        CoordinationRequest::Read(reading, body) => read(session, asked, coordinator, &reading, body).await,
        CoordinationRequest::ClientRegister(body) => register(session, asked, coordinator, &body).await,
        CoordinationRequest::Watch(body) => streams::watch(session, asked.seq, &coordinator, body),
        CoordinationRequest::ElectionObserve(body) => streams::observe(session, asked.seq, &coordinator, body),
        CoordinationRequest::RaftBackup(_) => admin::backup(session, asked.seq, &coordinator),
        CoordinationRequest::RaftRestore(piece) => admin::restore(session, asked, coordinator, piece).await,
        CoordinationRequest::RaftStatus(_) => admin::ask(session, asked, coordinator, Ask::Status).await,
        CoordinationRequest::RaftMembers(_) => admin::ask(session, asked, coordinator, Ask::Members).await,
        CoordinationRequest::RaftAdd(body) => {
            change(session, asked, coordinator, &body.member, MemberChange::Add).await
        }
        CoordinationRequest::RaftRemove(body) => {
            change(session, asked, coordinator, &body.member, MemberChange::Remove).await
        }
        CoordinationRequest::RaftPromote(body) => {
            change(session, asked, coordinator, &body.member, MemberChange::Promote).await
        }
        CoordinationRequest::RaftDemote(body) => {
            change(session, asked, coordinator, &body.member, MemberChange::Demote).await
        }
        CoordinationRequest::RaftTransfer(body) if body.member.is_empty() => {
            admin::ask(session, asked, coordinator, Ask::Change(MemberChange::Transfer(None))).await
        }
        CoordinationRequest::RaftTransfer(body) => {
            let to = |member| MemberChange::Transfer(Some(member));
            change(session, asked, coordinator, &body.member, to).await
        }
    }
}

/// A change of the members.
async fn change(
    session: &mut Session,
    asked: &Asked,
    coordinator: Arc<dyn Coordinator>,
    who: &Text,
    change: impl Fn(String) -> MemberChange,
) -> Result<(), Failure> {
    admin::ask(session, asked, coordinator, Ask::Change(change(admin::member(who)?))).await
}

/// A command that is applied once.
async fn write(
    session: &mut Session,
    asked: &Asked,
    coordinator: Arc<dyn Coordinator>,
    caller: &Caller,
    body: Write,
) -> Result<(), Failure> {
    let binds_session = matches!(&body, Write::SessionCreate(create) if create.with_connection);
    let operation = operations::operation(body)?;
    let patience = operations::waits(&operation);
    let request = Request {
        client: ClientId(caller.client),
        request: RequestId(caller.request),
        acknowledged: acknowledged(caller)?,
        operation,
    };
    let asked = asked.clone();
    if let Some(patience) = patience {
        if asked.length > WAITING_CALL_LENGTH {
            let reason =
                format!("a call that may wait has {} bytes, at most {WAITING_CALL_LENGTH} are allowed", asked.length);
            return Err(Failure::new(Code::TooLarge, reason));
        }
        let deadline = deadline(caller.timeout, Some(patience));
        let call = Call { coordinator, request, deadline, binds_session };
        let begun = session.calls.wait(asked.seq, call, move |reply| async move {
            asked.answer(reply.and_then(|reply| answers::answer(asked.command, reply, None))).await;
        });
        if matches!(&begun, Err(failure) if failure.code == Code::TooManyCalls) {
            session.count_refusal("waiting_calls");
        }
        return begun;
    }
    let deadline = deadline(caller.timeout, None);
    let call = session.calls.once(Call { coordinator, request, deadline, binds_session });
    let (room, kib) = (Arc::clone(&session.context().calls), asked.kib());
    let telemetry = session.context().settings.telemetry.clone();
    let task = async move {
        let reply = call.await;
        if matches!(&reply, Err(failure) if binds_session && failure.code == Code::TooManyCalls) {
            telemetry.count("folkmoot.ipc.refused.sessions");
        }
        asked.answer(reply.and_then(|reply| answers::answer(asked.command, reply, None))).await;
    };
    session.calls.run(&room, kib, task).await;
    Ok(())
}

/// What the client says it is done with.
fn acknowledged(caller: &Caller) -> Result<Acknowledged, Failure> {
    let Caller { acknowledged_below, open, .. } = caller;
    if open.len() > OPEN_PER_CLIENT {
        let reason = format!("{} open requests are named, at most {OPEN_PER_CLIENT} are allowed", open.len());
        return Err(Failure::invalid(reason));
    }
    let open = open.iter().copied().map(RequestId).collect();
    Ok(Acknowledged { below: RequestId(*acknowledged_below), open })
}

/// A question.
async fn read(
    session: &mut Session,
    asked: &Asked,
    coordinator: Arc<dyn Coordinator>,
    reading: &Reading,
    body: Read,
) -> Result<(), Failure> {
    let query = questions::query(body)?;
    let freshness = if reading.stale { Freshness::Stale } else { Freshness::Current };
    let deadline = deadline(reading.timeout, None);
    let asked = asked.clone();
    let (room, kib) = (Arc::clone(&session.context().calls), asked.kib());
    let task = async move {
        let found = coordinator.query(query, freshness, deadline).await;
        let body = found
            .and_then(|(reply, seen)| answers::answer(asked.command, reply, Some(streams::as_of(freshness, seen))));
        asked.answer(body).await;
    };
    session.calls.run(&room, kib, task).await;
    Ok(())
}

/// A new client. Its number is drawn, so that no client of another group has it: one that outlives its group may find
/// another where it was. A lost answer leaves a client that expires.
async fn register(
    session: &mut Session,
    asked: &Asked,
    coordinator: Arc<dyn Coordinator>,
    body: &ClientRegister,
) -> Result<(), Failure> {
    let drawn = random::number().map_err(|error| Failure::new(Code::Refused, format!("no randomness: {error}")))?;
    let client = ClientId(1 + drawn % CLIENT_NUMBERS);
    let command = Command::RegisterClient { client, ttl: values::ttl(body.ttl)? };
    let deadline = deadline(body.timeout, None);
    let asked = asked.clone();
    let (room, kib) = (Arc::clone(&session.context().calls), asked.kib());
    let task = async move {
        let reply = coordinator.call(command, deadline).await;
        asked.answer(reply.and_then(|reply| answers::answer(asked.command, reply, None))).await;
    };
    session.calls.run(&room, kib, task).await;
    Ok(())
}

/// When a call is given up.
fn deadline(timeout_ms: u64, patience: Option<Patience>) -> Instant {
    let timeout = match timeout_ms {
        0 => CALL_TIMEOUT,
        millis => Duration::from_millis(millis).min(CALL_TIMEOUT_LONGEST),
    };
    let waiting = match patience {
        None | Some(Patience::None) => Duration::ZERO,
        Some(Patience::Within(Millis(millis))) => Duration::from_millis(millis).min(ENDLESS),
        Some(Patience::Unlimited) => ENDLESS,
    };
    Instant::now() + timeout + waiting
}
