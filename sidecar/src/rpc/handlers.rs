//! Event handlers at run time: `handlers-add`, `handlers-list`, `handlers-remove`. Our own (`docs/rpc.md`).

use folkmoot_proto::{HandlerInfo, HandlerRequest, HandlersResponse, ResponseHeader, Text, texts};
use tracing::info;

use super::session::{Fault, Session};
use crate::handlers::{HandlerSpec, HandlerView, Handlers, Source};

pub(super) async fn list(session: &Session, seq: u64) -> Result<(), Fault> {
    let registered = &session.context().settings.handlers;
    let handlers = registered.list().into_iter().map(info_of).collect();
    Ok(session
        .answer_with(&ResponseHeader::ok(seq), &HandlersResponse { dropped: registered.dropped(), handlers })
        .await?)
}

pub(super) async fn add(session: &Session, seq: u64, request: &HandlerRequest) -> Result<(), Fault> {
    change(session, seq, request, "Adding", |handlers, text| {
        let spec = HandlerSpec::parse(text).map_err(|error| format!("{}{error}", texts::INVALID_HANDLER))?;
        handlers.add(spec).map_err(|error| error.to_string())
    })
    .await
}

pub(super) async fn remove(session: &Session, seq: u64, request: &HandlerRequest) -> Result<(), Fault> {
    change(session, seq, request, "Removing", |handlers, text| handlers.remove(text).map_err(|error| error.to_string()))
        .await
}

/// Where it is allowed, changes the list and leaves a trace of who did.
async fn change(
    session: &Session,
    seq: u64,
    request: &HandlerRequest,
    doing: &str,
    change: impl FnOnce(&Handlers, &str) -> Result<(), String>,
) -> Result<(), Fault> {
    let settings = &session.context().settings;
    if !settings.handlers_change {
        return Ok(session.refuse(seq, texts::HANDLERS_NOT_ALLOWED).await?);
    }
    let Some(text) = request.handler.as_str() else {
        return Ok(session.refuse(seq, &format!("{}it is not UTF-8", texts::INVALID_HANDLER)).await?);
    };
    match change(&settings.handlers, text) {
        Ok(()) => {
            info!(target: "agent.ipc", "{doing} event handler '{text}' for ipc.client: {}", session.outbox.peer());
            Ok(session.answer(seq, None).await?)
        }
        Err(refused) => Ok(session.refuse(seq, &refused).await?),
    }
}

fn info_of(view: HandlerView) -> HandlerInfo {
    HandlerInfo {
        dropped: view.dropped,
        failures: view.failures,
        handler: Text::from(view.spec),
        runs: view.runs,
        source: Text::from(match view.source {
            Source::Configuration => "config",
            Source::Rpc => "rpc",
        }),
        waiting: view.waiting,
    }
}
