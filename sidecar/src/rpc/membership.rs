//! Members, joining and leaving, tags, coordinates (sections 7.4 to 7.10 but stats).

use std::collections::BTreeMap;

use folkmoot_proto::{
    Coordinate, CoordinateRequest, CoordinateResponse, ForceLeaveRequest, JoinRequest, JoinResponse,
    MembersFilteredRequest, ResponseHeader, TagsRequest, Text,
};
use folkmoot_serf::pattern::{Pattern, PatternError};
use folkmoot_serf::{Completion, Member, NodeName, OldEvents, Prune, Tags};
use tracing::{error, info};

use super::members;
use super::session::{Fault, Session};
use super::writer::{Frame, What};
use crate::handle::Question;
use crate::net::addresses::errors_text;

pub(super) async fn members(session: &Session, seq: u64) -> Result<(), Fault> {
    let view = session.node().ask(|reply| Question::Members { reply }).await?;
    Ok(session.answer_with_encoded(seq, view.encoded).await?)
}

pub(super) async fn members_filtered(
    session: &Session,
    seq: u64,
    request: MembersFilteredRequest,
) -> Result<(), Fault> {
    let filter = MemberFilter::new(&request)?;
    let view = session.node().ask(|reply| Question::Members { reply }).await?;
    if filter.takes_all() {
        return Ok(session.answer_with_encoded(seq, view.encoded).await?);
    }
    let matching: Vec<_> = view.members.iter().filter(|member| filter.matches(member)).cloned().collect();
    Ok(session.answer_with_encoded(seq, members::encode_body(&matching)).await?)
}

/// The compiled form of a filter. Everything in it has to match.
struct MemberFilter {
    /// A member without the tag is matched as if it had an empty one.
    tags: BTreeMap<Text, Pattern>,
    status: Option<Pattern>,
    name: Option<Pattern>,
}

impl MemberFilter {
    fn new(request: &MembersFilteredRequest) -> Result<Self, PatternError> {
        let tags = request.tags.iter().map(|(tag, expression)| Ok((tag.clone(), Pattern::anchored(expression)?)));
        let optional = |expression: &Text| (!expression.is_empty()).then(|| Pattern::anchored(expression)).transpose();
        Ok(Self {
            tags: tags.collect::<Result<_, PatternError>>()?,
            status: optional(&request.status)?,
            name: optional(&request.name)?,
        })
    }

    fn takes_all(&self) -> bool {
        self.tags.is_empty() && self.status.is_none() && self.name.is_none()
    }

    fn matches(&self, member: &Member) -> bool {
        let tag = |name| member.tags.0.get(name).map_or(&b""[..], Text::as_bytes);
        self.tags.iter().all(|(name, pattern)| pattern.is_match(tag(name)))
            && self.status.as_ref().is_none_or(|pattern| pattern.is_match(member.status.as_str().as_bytes()))
            && self.name.as_ref().is_none_or(|pattern| pattern.is_match(member.name.0.as_bytes()))
    }
}

pub(super) async fn join(session: &Session, seq: u64, request: JoinRequest) -> Result<(), Fault> {
    let addresses = request.existing.iter().map(|address| address.to_string_lossy().into_owned()).collect();
    let old_events = if request.replay { OldEvents::Replay } else { OldEvents::Ignore };
    let joined = session.node().ask(|reply| Question::Join { addresses, old_events, reply }).await?;
    let (contacted, error) = match joined {
        Err(refused) => (0, Some(refused.to_string())),
        Ok(Completion::Join { contacted, errors }) => {
            (contacted, (contacted == 0 && !errors.is_empty()).then(|| errors_text(&errors)))
        }
        Ok(Completion::Leave | Completion::ForceLeave(_) | Completion::SetTags(_) | Completion::Keys(_)) => (0, None),
    };
    let header = ResponseHeader { error: Text::from(error.unwrap_or_default()), seq };
    let body = JoinResponse { num: i32::try_from(contacted).unwrap_or(i32::MAX) };
    Ok(session.answer_with(&header, &body).await?)
}

pub(super) async fn force_leave(session: &Session, seq: u64, request: ForceLeaveRequest) -> Result<(), Fault> {
    let node = NodeName(request.node);
    let prune = if request.prune { Prune::Erase } else { Prune::Keep };
    let result = session.node().ask(|reply| Question::ForceLeave { node, prune, reply }).await?;
    Ok(session.answer_result(seq, result).await?)
}

/// Leaves, answers, and stops the agent: whether or not the leave went well, and whether or not the client is still
/// there to hear of it.
pub(super) async fn leave(session: &Session, seq: u64) -> Result<(), Fault> {
    info!(target: "agent.ipc", "Graceful leave triggered");
    session.context().settings.coordination.hand_over().await;
    let left = session.node().ask(|reply| Question::Leave { reply }).await;
    let answered = match left {
        Err(stopped) => Err(Fault::from(stopped)),
        Ok(result) => {
            if let Err(refused) = &result {
                error!(target: "agent.ipc", "leave failed: {refused}");
            }
            let error = result.err().map(|refused| refused.to_string()).unwrap_or_default();
            let header = ResponseHeader { error: Text::from(error), seq };
            session.outbox.send_and_flush(Frame::new(What::Reply, header.to_bytes())).await.map_err(Fault::from)
        }
    };
    session.context().settings.shutdown.notify_one();
    answered
}

pub(super) async fn tags(session: &Session, seq: u64, request: TagsRequest) -> Result<(), Fault> {
    let set = Tags(request.tags);
    let delete = request.delete_tags;
    let result = session.node().ask(|reply| Question::SetTags { set, delete, reply }).await?;
    Ok(session.answer_result(seq, result).await?)
}

pub(super) async fn get_coordinate(session: &Session, seq: u64, request: CoordinateRequest) -> Result<(), Fault> {
    let node = NodeName(request.node);
    let known = session.node().ask(|reply| Question::Coordinate { node, reply }).await?;
    let body = CoordinateResponse {
        ok: known.is_some(),
        coord: known.map_or_else(Coordinate::default, |coordinate| Coordinate {
            adjustment: coordinate.adjustment,
            error: coordinate.error,
            height: coordinate.height,
            vec: Some(coordinate.vec),
        }),
    };
    Ok(session.answer_with(&ResponseHeader::ok(seq), &body).await?)
}
