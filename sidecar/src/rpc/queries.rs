//! Asking and answering: `query`, `respond` (sections 8.4 and 8.5).

use std::sync::Arc;
use std::time::Duration;

use folkmoot_proto::{Encode, QueryRecord, QueryRecordType, QueryRequest, RespondRequest, ResponseHeader, Text, texts};
use folkmoot_serf::{NodeName, QueryAnswer};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tracing::error;

use super::limits::{QUERIES, QUERY_ANSWERS};
use super::session::{Fault, Session};
use super::writer::{Closed, Frame, Outbox, What};
use crate::handle::Question;

pub(super) async fn query(session: &Session, seq: u64, request: QueryRequest) -> Result<(), Fault> {
    if is_reserved(&request) {
        return Ok(session.refuse(seq, texts::RESERVED_QUERY).await?);
    }
    let Ok(permit) = Arc::clone(&session.queries).try_acquire_owned() else {
        session.count_refusal("queries");
        return Ok(session.refuse(seq, &format!("too-many-queries: {QUERIES} are running on this connection")).await?);
    };
    let (sender, answers) = mpsc::channel(QUERY_ANSWERS);
    let request = to_engine(request);
    let started = session.node().ask(|reply| Question::Query { request, answers: sender, reply }).await?;
    if let Err(refused) = started {
        return Ok(session.refuse(seq, &refused.to_string()).await?);
    }
    session.answer(seq, None).await?;
    tokio::spawn(pass_on(answers, seq, session.outbox.clone(), permit));
    Ok(())
}

/// Names with Serf's prefix are the engine's own, but for the ping, which carries nothing (`nil`, not empty).
fn is_reserved(request: &QueryRequest) -> bool {
    request.name.as_bytes().starts_with(b"_serf_") && (request.name != *"_serf_ping" || request.payload.is_some())
}

fn to_engine(request: QueryRequest) -> folkmoot_serf::QueryRequest {
    folkmoot_serf::QueryRequest {
        name: request.name,
        payload: request.payload,
        filter_nodes: request.filter_nodes.into_iter().map(NodeName).collect(),
        filter_tags: request.filter_tags,
        request_ack: request.request_ack,
        relay_factor: request.relay_factor,
        // Negative is over at once, as in Go.
        timeout: (request.timeout != 0).then(|| Duration::from_nanos(u64::try_from(request.timeout).unwrap_or(0))),
        finish_early: false,
    }
}

/// Sends the client one record for each answer, the last of which is `done`. A client that has gone ends it; so does
/// an agent that stops, without a `done` that would not be true.
async fn pass_on(mut answers: mpsc::Receiver<QueryAnswer>, seq: u64, outbox: Outbox, _permit: OwnedSemaphorePermit) {
    loop {
        let answer = tokio::select! {
            answer = answers.recv() => answer,
            () = outbox.closed() => {
                let peer = outbox.peer();
                error!(target: "agent.ipc", "Failed to stream query end to ipc.client: {peer}: {Closed}");
                return;
            }
        };
        let Some(answer) = answer else { return };
        let is_last = answer == QueryAnswer::Done;
        let sent = outbox.send(record(seq, answer)).await;
        if is_last || sent.is_err() {
            return;
        }
    }
}

fn record(seq: u64, answer: QueryAnswer) -> Frame {
    let (what, record) = match answer {
        QueryAnswer::Ack { from } => {
            (What::Ack, QueryRecord { from: from.0, payload: None, r#type: QueryRecordType::Ack })
        }
        QueryAnswer::Response { from, payload } => {
            (What::Response, QueryRecord { from: from.0, payload, r#type: QueryRecordType::Response })
        }
        QueryAnswer::Done => {
            (What::QueryEnd, QueryRecord { from: Text::default(), payload: None, r#type: QueryRecordType::Done })
        }
    };
    let mut out = ResponseHeader::ok(seq).to_bytes();
    record.encode(&mut out);
    Frame::new(what, out)
}

pub(super) async fn respond(session: &Session, seq: u64, request: RespondRequest) -> Result<(), Fault> {
    let Some(query) = session.pending.get(Instant::now(), request.id) else {
        return Ok(session.refuse(seq, texts::NO_PENDING_QUERY).await?);
    };
    let payload = request.payload;
    let result = session.node().ask(|reply| Question::Respond { query, payload, reply }).await?;
    Ok(session.answer_result(seq, result).await?)
}
