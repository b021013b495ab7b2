//! Two nodes with one name.
//!
//! Answers to `docs/spec/serf-gossip.md` section 9 (Go `serf.go` handleNodeConflict, resolveNodeConflict). With F5: one
//! vote at a time, and a vote nobody took part in does not stop both sides.
//!
//! # When nobody votes
//! With two agents only, neither has anybody else to ask: in Go both stop. Here the one that joined later yields: that is
//! the side that itself turned to the other (a join or re-join of ours within [`crate::joins::RECENT_JOIN`] before the conflict). A node that
//! was turned to stays. Where both turned to each other at once, the lower address stays, which both sides can tell. A
//! node that did neither (two running clusters were connected by a third party) stays and keeps saying so in its log:
//! stopping needs proof.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::internal_queries::CONFLICT;
use crate::memberlist::Member;
use crate::messages::{ConflictResponse, MessageError};
use crate::queries::{Purpose, internal_request};
use crate::{Instant, Output, QueryAnswer, QueryKey, Serf, SerfState, WireAddress};

/// The vote about our name.
pub(crate) struct Vote {
    /// `None` while its query is being started.
    query: Option<QueryKey>,
    responses: usize,
    matching: usize,
    /// Whether we had turned to a cluster shortly before.
    initiated: bool,
    /// Where the other side is.
    claimed: Option<SocketAddr>,
}

impl Serf {
    pub(crate) fn on_name_conflict(&mut self, now: Instant, known: &Member, claimed: &Member) {
        if known.name != self.core.name {
            tracing::warn!(
                target: "serf",
                "Name conflict for '{}' both {} and {} are claiming",
                known.name.0,
                place(known),
                place(claimed)
            );
            return;
        }
        if self.vote.is_some() || self.core.state != SerfState::Alive {
            return;
        }
        let enabled = self.config.enable_name_conflict_resolution;
        tracing::error!(
            target: "serf",
            "Node name conflicts with another node at {}. Names must be unique! (Resolution enabled: {enabled})",
            place(claimed)
        );
        if !enabled {
            return;
        }
        let (initiated, claimed) = (self.joins.have_initiated(now), claimed.socket_address());
        self.vote = Some(Vote { query: None, responses: 0, matching: 0, initiated, claimed });
        let payload = Bytes::copy_from_slice(self.core.name.0.as_bytes());
        match self.ask(now, internal_request(CONFLICT, payload), Purpose::Conflict) {
            Ok(query) => {
                if let Some(vote) = self.vote.as_mut() {
                    vote.query = Some(query);
                }
            }
            Err(error) => {
                tracing::error!(target: "serf", "Failed to start name resolution query: {error}");
                self.vote = None;
            }
        }
    }

    /// One vote, or the end of voting.
    pub(crate) fn on_vote(&mut self, now: Instant, query: QueryKey, answer: QueryAnswer) {
        let own = self.memberlist.local_member();
        let Some(vote) = self.vote.as_mut().filter(|vote| vote.query.is_none_or(|own| own == query)) else { return };
        match answer {
            QueryAnswer::Ack { .. } => {}
            QueryAnswer::Response { payload, .. } => match ConflictResponse::decode(&payload.unwrap_or_default()) {
                Ok(ConflictResponse(record)) => {
                    vote.responses = vote.responses.saturating_add(1);
                    let supports = record.is_some_and(|record| {
                        let address = WireAddress::from_bytes(record.address.unwrap_or_default());
                        address.ip().is_some() && address.ip() == own.address.ip() && record.port == own.port
                    });
                    vote.matching = vote.matching.saturating_add(usize::from(supports));
                }
                Err(error @ MessageError::Body { .. }) => {
                    tracing::error!(target: "serf", "Failed to decode conflict query response: {error}");
                }
                Err(error @ (MessageError::Empty | MessageError::UnknownType(_) | MessageError::RelayedType(_))) => {
                    tracing::error!(target: "serf", "Invalid conflict query response type: {error}");
                }
            },
            QueryAnswer::Done => self.end_vote(now),
        }
    }

    fn end_vote(&mut self, now: Instant) {
        let Some(Vote { responses, matching, initiated, claimed, .. }) = self.vote.take() else { return };
        let majority = (responses / 2).saturating_add(1);
        if matching >= majority {
            tracing::info!(target: "serf", "majority in name conflict resolution [{matching} / {responses}]");
            return;
        }
        let own = self.memberlist.local_member().socket_address();
        let newcomer = initiated && (!self.joins.were_approached(now) || claimed < own);
        if responses == 0 && !newcomer {
            tracing::warn!(target: "serf", "nobody voted in name conflict resolution, staying: we were here first");
            return;
        }
        if self.core.state == SerfState::Alive {
            tracing::warn!(target: "serf", "minority in name conflict resolution, quiting [{matching} / {responses}]");
            self.outputs.push_back(Output::NameConflictLost { matching, responses });
            self.shutdown();
        }
    }
}

/// Address and port as Go's log lines show them.
fn place(member: &Member) -> String {
    let address = member.address.ip().map_or_else(|| "<nil>".to_string(), |ip| ip.to_string());
    format!("{address}:{}", member.port)
}
