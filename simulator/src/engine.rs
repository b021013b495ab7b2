//! One face for both engines, so that a world need not care which one its nodes run.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use folkmoot_serf::memberlist::{self, Host, Memberlist, PeerState, Refusal};
use folkmoot_serf::{
    Completion, Config, Event, Instant, Io, JoinTarget, NodeName, OldEvents, Output, Prune, QueryAnswer, QueryKey,
    QueryRequest, Record, Serf, StreamId, StreamInput, Tags, Text,
};

/// What an engine wants done or known.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Of the network.
    Io(Io),
    /// A fact in words, and of a user event its time and payload.
    Fact(String, Option<(u64, Vec<u8>)>),
    /// A query arrived that wants an answer.
    Query(QueryKey, String),
    /// A snapshot line.
    Record(Record),
}

/// The engine of one node.
#[expect(clippy::large_enum_variant, reason = "one per node, never moved")]
pub enum Engine {
    /// Gossip alone.
    Memberlist {
        /// The engine.
        memberlist: Memberlist,
        /// What answers its questions.
        host: Silent,
    },
    /// The whole.
    Serf(Serf),
}

impl Engine {
    /// Starts Serf.
    pub fn serf(config: Config, now: Instant, seed: [u8; 32]) -> Result<Self, String> {
        Serf::new(config, now, seed).map(Self::Serf).map_err(|error| error.to_string())
    }

    /// Starts memberlist under a host that has nothing to say.
    pub fn memberlist(config: memberlist::Config, now: Instant, seed: [u8; 32]) -> Result<Self, String> {
        let mut host = Silent;
        let memberlist = Memberlist::new(config, now, seed, &mut host).map_err(|error| error.to_string())?;
        Ok(Self::Memberlist { memberlist, host })
    }

    /// A datagram. One that does not open is dropped, as in life.
    pub fn handle_packet(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) {
        let result = match self {
            Self::Memberlist { memberlist, host } => memberlist.handle_packet(now, from, packet, host),
            Self::Serf(serf) => serf.handle_packet(now, from, packet),
        };
        if let Err(error) = result {
            // Every packet here comes from an engine of ours.
            tracing::error!("packet of our own refused: {error}");
        }
    }

    /// News of a stream.
    pub fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput<'_>) {
        match self {
            Self::Memberlist { memberlist, host } => memberlist.handle_stream(now, stream, input, host),
            Self::Serf(serf) => serf.handle_stream(now, stream, input),
        }
    }

    /// What is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Memberlist { memberlist, host } => memberlist.handle_timeout(now, host),
            Self::Serf(serf) => serf.handle_timeout(now),
        }
    }

    /// When something will be due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Memberlist { memberlist, .. } => memberlist.poll_timeout().map(|(at, _)| at),
            Self::Serf(serf) => serf.poll_timeout().map(|(at, _)| at),
        }
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Wish> {
        match self {
            Self::Memberlist { memberlist, .. } => loop {
                match memberlist.poll_output()? {
                    memberlist::Output::Io(io) => return Some(Wish::Io(io)),
                    memberlist::Output::Event(event) => {
                        if let Some(text) = memberlist_fact(&event) {
                            return Some(Wish::Fact(text, None));
                        }
                    }
                }
            },
            Self::Serf(serf) => loop {
                if let Some(wish) = serf_wish(serf.poll_output()?) {
                    return Some(wish);
                }
            },
        }
    }

    /// A name for an accepted connection.
    pub fn accept_id(&mut self) -> StreamId {
        match self {
            Self::Memberlist { memberlist, .. } => memberlist.accept_id(),
            Self::Serf(serf) => serf.accept_id(),
        }
    }

    /// The process did not run for a while.
    pub fn paused(&mut self, now: Instant) {
        match self {
            Self::Memberlist { memberlist, .. } => memberlist.paused(now),
            Self::Serf(serf) => serf.paused(now),
        }
    }

    /// Joins through one address.
    pub fn join(&mut self, now: Instant, address: SocketAddr) {
        let target = JoinTarget { name: None, address };
        match self {
            Self::Memberlist { memberlist, host } => {
                memberlist.join(now, &target, host);
            }
            Self::Serf(serf) => {
                // Refused only while leaving; the trace then shows that nothing happened.
                let _ = serf.join(now, vec![target], OldEvents::Replay);
            }
        }
    }

    /// Leaves.
    pub fn leave(&mut self, now: Instant) {
        match self {
            Self::Memberlist { memberlist, .. } => {
                memberlist.leave(now);
            }
            Self::Serf(serf) => {
                let _ = serf.leave(now);
            }
        }
    }

    /// Whom the node knows, and in which state.
    pub fn view(&self) -> BTreeMap<String, &'static str> {
        match self {
            Self::Memberlist { memberlist, .. } => memberlist
                .states()
                .map(|state| {
                    let status = match state.state {
                        PeerState::Alive => "alive",
                        PeerState::Suspect => "suspect",
                        PeerState::Dead => "failed",
                        PeerState::Left => "left",
                        PeerState::Unknown(_) => "unknown",
                    };
                    (state.name.0.to_string(), status)
                })
                .collect(),
            Self::Serf(serf) => {
                serf.members().map(|member| (member.name.0.to_string(), member.status.as_str())).collect()
            }
        }
    }

    /// Serf, if that is what it is.
    pub fn as_serf(&self) -> Option<&Serf> {
        match self {
            Self::Memberlist { .. } => None,
            Self::Serf(serf) => Some(serf),
        }
    }

    /// Asks Serf to do something; memberlist knows none of it.
    pub fn ask(&mut self, now: Instant, request: Request) -> Result<(), String> {
        let Self::Serf(serf) = self else { return Err("memberlist alone cannot do that".to_string()) };
        match request {
            Request::Event { name, payload } => {
                let payload = Some(Bytes::from(payload.into_bytes()));
                serf.user_event(now, Text::from(name), payload, false).map_err(|error| error.to_string())
            }
            Request::Query { name } => {
                let request = QueryRequest { name: Text::from(name), request_ack: true, ..QueryRequest::default() };
                serf.query(now, request).map(drop).map_err(|error| error.to_string())
            }
            Request::ForceLeave { name } => {
                serf.force_leave(now, &NodeName(Text::from(name)), Prune::Keep);
                Ok(())
            }
            Request::Tag { name, value } => {
                let tags = Tags(BTreeMap::from([(Text::from(name), Text::from(value))]));
                serf.set_tags(now, tags).map(drop).map_err(|error| error.to_string())
            }
        }
    }

    /// Answers a query with the node's name.
    pub fn answer(&mut self, now: Instant, query: QueryKey, name: &str) {
        if let Self::Serf(serf) = self {
            // A late answer is refused, which is right.
            let _ = serf.respond(now, query, Some(Bytes::copy_from_slice(name.as_bytes())));
        }
    }
}

/// What only Serf can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Fire a user event.
    Event {
        /// Its name.
        name: String,
        /// Its payload.
        payload: String,
    },
    /// Ask a query; every node answers with its name.
    Query {
        /// Its name.
        name: String,
    },
    /// Declare a member gone.
    ForceLeave {
        /// Whom.
        name: String,
    },
    /// Replace the tags by one.
    Tag {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// A host without data and without objections.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Host for Silent {
    fn meta(&self, _limit: usize) -> Bytes {
        Bytes::new()
    }
    fn broadcasts(&mut self, _now: Instant, _overhead: usize, _limit: usize) -> Vec<Bytes> {
        Vec::new()
    }
    fn local_state(&self, _join: bool) -> Bytes {
        Bytes::new()
    }
    fn ack_payload(&self) -> Bytes {
        Bytes::new()
    }
    fn accept_member(&self, _member: &memberlist::Member) -> Result<(), Refusal> {
        Ok(())
    }
    fn accept_merge(&self, _peers: &[memberlist::Member]) -> Result<(), Refusal> {
        Ok(())
    }
}

fn memberlist_fact(event: &memberlist::Event) -> Option<String> {
    match event {
        memberlist::Event::Joined(member) => Some(format!("member-join {}", member.name.0)),
        memberlist::Event::Updated(member) => Some(format!("member-update {}", member.name.0)),
        memberlist::Event::Failed(member) => Some(format!("member-failed {}", member.name.0)),
        memberlist::Event::Left(member) => Some(format!("member-leave {}", member.name.0)),
        memberlist::Event::NameConflict { known, .. } => Some(format!("conflict {}", known.name.0)),
        memberlist::Event::JoinFinished { result, .. } => {
            Some(if result.is_ok() { "joined".to_string() } else { "join failed".to_string() })
        }
        memberlist::Event::UserMessage(_)
        | memberlist::Event::RemoteState { .. }
        | memberlist::Event::PingCompleted { .. }
        | memberlist::Event::BroadcastFinished { .. } => None,
    }
}

/// The uncoalesced facts; what is coalesced for clients says nothing about the cluster.
fn serf_wish(output: Output) -> Option<Wish> {
    let fact = |text: String| Some(Wish::Fact(text, None));
    match output {
        Output::Io(io) => Some(Wish::Io(io)),
        Output::Record(record) => Some(Wish::Record(record)),
        Output::Event(Event::Members(event)) => {
            let names: Vec<String> = event.members.iter().map(|member| member.name.0.to_string()).collect();
            fact(format!("{} {}", event.kind.as_str(), names.join(" ")))
        }
        Output::Event(Event::User(event)) => {
            let payload = event.payload.map(|payload| payload.to_vec()).unwrap_or_default();
            Some(Wish::Fact(format!("event {}", event.name), Some((event.ltime.0, payload))))
        }
        Output::Event(Event::Query(query)) => Some(Wish::Query(query.key, query.name.to_string())),
        Output::Answer { answer: QueryAnswer::Ack { from }, .. } => fact(format!("ack {}", from.0)),
        Output::Answer { answer: QueryAnswer::Response { from, .. }, .. } => fact(format!("answer {}", from.0)),
        Output::Answer { answer: QueryAnswer::Done, .. } => fact("query done".to_string()),
        Output::Completed { completion: Completion::Join { contacted, .. }, .. } => {
            fact(if contacted > 0 { "joined".to_string() } else { "join failed".to_string() })
        }
        Output::Completed { completion: Completion::Leave, .. } => fact("left".to_string()),
        Output::NameConflictLost { .. } => fact("name lost".to_string()),
        Output::Completed {
            completion: Completion::ForceLeave(_) | Completion::SetTags(_) | Completion::Keys(_),
            ..
        }
        | Output::KeyringChanged { .. }
        | Output::Delivery(_) => None,
    }
}
