//! Who serves which command: one exhaustive match.

use folkmoot_proto::AgentRequest;

use super::session::{Fault, Session};
use super::{events, handlers, keys, membership, queries, stats};

/// Serves one request and sends its reply.
pub(super) async fn serve(session: &mut Session, seq: u64, request: AgentRequest) -> Result<(), Fault> {
    match request {
        AgentRequest::Members => membership::members(session, seq).await,
        AgentRequest::MembersFiltered(request) => membership::members_filtered(session, seq, request).await,
        AgentRequest::Join(request) => membership::join(session, seq, request).await,
        AgentRequest::ForceLeave(request) => membership::force_leave(session, seq, request).await,
        AgentRequest::Leave => membership::leave(session, seq).await,
        AgentRequest::Tags(request) => membership::tags(session, seq, request).await,
        AgentRequest::GetCoordinate(request) => membership::get_coordinate(session, seq, request).await,
        AgentRequest::Stats => stats::stats(session, seq).await,
        AgentRequest::Event(request) => events::event(session, seq, request).await,
        AgentRequest::Stream(request) => events::stream(session, seq, request).await,
        AgentRequest::Monitor(request) => events::monitor(session, seq, request).await,
        AgentRequest::Stop(request) => events::stop(session, seq, &request).await,
        AgentRequest::Query(request) => queries::query(session, seq, request).await,
        AgentRequest::Respond(request) => queries::respond(session, seq, request).await,
        AgentRequest::InstallKey(request) => keys::change(session, seq, keys::Change::Install, &request).await,
        AgentRequest::UseKey(request) => keys::change(session, seq, keys::Change::Use, &request).await,
        AgentRequest::RemoveKey(request) => keys::change(session, seq, keys::Change::Remove, &request).await,
        AgentRequest::ListKeys => keys::list(session, seq).await,
        AgentRequest::HandlersAdd(request) => handlers::add(session, seq, &request).await,
        AgentRequest::HandlersList => handlers::list(session, seq).await,
        AgentRequest::HandlersRemove(request) => handlers::remove(session, seq, &request).await,
    }
}
