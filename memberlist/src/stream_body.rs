//! The message of a stream behind its layers: a map, then node maps, then raw bytes, as its type wants (spec 4.3).
//! Lengths are checked when they are read; memory is taken as bytes arrive.
//!
//! Go: `net.go` (`readRemoteState`, `readUserMsg`).

use bytes::Bytes;
use folkmoot_wire::limits::MAX_DEPTH;
use folkmoot_wire::{DecodeError, Scanner};
use serde::Deserialize;

use crate::error::{MessageError, StreamError};
use crate::limits;
use crate::messages::{ErrorBody, MessageType, NodeState, PushPull, PushPullHeader, StreamMessage, UserHeader};
use crate::stream_codec::StreamRole;

/// Reads one message from bytes in the clear.
pub(crate) struct BodyReader {
    scanner: Scanner,
    /// Bytes read so far; [`limits::STREAM_MESSAGE_BYTES`] at most.
    taken: usize,
    awaited: Awaited,
    dropped_nodes: usize,
}

/// What has to arrive next.
enum Awaited {
    Ping,
    Ack,
    Error,
    UserHeader,
    UserPayload { length: usize },
    PushPullHeader,
    Nodes { join: bool, left: usize, nodes: Vec<NodeState>, user_state_length: i64 },
    UserState { join: bool, nodes: Vec<NodeState>, length: usize },
}

impl BodyReader {
    /// A reader for the message of this type, unless it has no place in this direction.
    pub(crate) fn new(role: StreamRole, number: u8) -> Result<Self, StreamError> {
        let awaited = match (MessageType::from_byte(number), role) {
            (Some(MessageType::Ping), StreamRole::Acceptor) => Awaited::Ping,
            (Some(MessageType::User), StreamRole::Acceptor) => Awaited::UserHeader,
            (Some(MessageType::Ack), StreamRole::Initiator) => Awaited::Ack,
            (Some(MessageType::Error), StreamRole::Initiator) => Awaited::Error,
            (Some(MessageType::PushPull), _) => Awaited::PushPullHeader,
            _ => return Err(StreamError::Type { number }),
        };
        Ok(Self { scanner: scanner(limits::STREAM_BODY_BYTES), taken: 0, awaited, dropped_nodes: 0 })
    }

    /// Node entries dropped so far.
    pub(crate) fn dropped_nodes(&self) -> usize {
        self.dropped_nodes
    }

    /// Memory the nodes take that were read so far, bytes.
    pub(crate) fn held(&self) -> usize {
        let (Awaited::Nodes { nodes, .. } | Awaited::UserState { nodes, .. }) = &self.awaited else { return 0 };
        // The texts of a node came from as many bytes of the message.
        nodes.capacity().saturating_mul(size_of::<NodeState>()).saturating_add(self.taken)
    }

    /// Takes what can be read from the front of `buffer`.
    pub(crate) fn push(&mut self, buffer: &mut Vec<u8>) -> Result<Option<StreamMessage>, StreamError> {
        let mut at = 0;
        let message = self.read(buffer, &mut at)?;
        self.taken = self.taken.saturating_add(at);
        if at > 0 {
            buffer.drain(..at);
        }
        Ok(message)
    }

    /// Reads a message that is in `body` in full.
    pub(crate) fn read_whole(&mut self, body: &[u8]) -> Result<Option<StreamMessage>, StreamError> {
        self.read(body, &mut 0)
    }

    fn read(&mut self, buffer: &[u8], at: &mut usize) -> Result<Option<StreamMessage>, StreamError> {
        loop {
            let rest = buffer.get(*at..).unwrap_or_default();
            match &mut self.awaited {
                Awaited::Ping => return Ok(self.map("ping", rest, at)?.map(StreamMessage::Ping)),
                Awaited::Ack => return Ok(self.map("ack", rest, at)?.map(StreamMessage::Ack)),
                Awaited::Error => {
                    let body: Option<ErrorBody> = self.map("error", rest, at)?;
                    return Ok(body.map(|body| StreamMessage::Error(body.error)));
                }
                Awaited::UserHeader => {
                    let Some(header) = self.map::<UserHeader>("user message header", rest, at)? else {
                        return Ok(None);
                    };
                    let length = bounded(header.length, limits::USER_MESSAGE_BYTES)
                        .ok_or(StreamError::UserMessageTooLong { length: header.length })?;
                    self.awaited = Awaited::UserPayload { length };
                }
                Awaited::UserPayload { length } => {
                    return Ok(take(rest, *length, at).map(StreamMessage::User));
                }
                Awaited::PushPullHeader => {
                    let Some(header) = self.map::<PushPullHeader>("push/pull header", rest, at)? else {
                        return Ok(None);
                    };
                    let left = bounded(header.nodes, limits::PUSH_PULL_NODES)
                        .ok_or(StreamError::TooManyNodes { count: header.nodes })?;
                    self.scanner = scanner(limits::NODE_STATE_BYTES);
                    self.awaited = Awaited::Nodes {
                        join: header.join,
                        left,
                        nodes: Vec::new(),
                        user_state_length: header.user_state_length,
                    };
                }
                Awaited::Nodes { left: 0, join, nodes, user_state_length } => {
                    let length = bounded(*user_state_length, limits::USER_STATE_BYTES)
                        .ok_or(StreamError::UserStateTooLong { length: *user_state_length })?;
                    self.awaited = Awaited::UserState { join: *join, nodes: std::mem::take(nodes), length };
                    self.check_taken(*at, length)?;
                }
                Awaited::Nodes { .. } => {
                    if !self.node(rest, at)? {
                        return Ok(None);
                    }
                }
                Awaited::UserState { join, nodes, length } => {
                    let (join, nodes) = (*join, nodes);
                    return Ok(take(rest, *length, at).map(|user_state| {
                        StreamMessage::PushPull(PushPull { join, nodes: std::mem::take(nodes), user_state })
                    }));
                }
            }
        }
    }

    /// Reads one node of a push/pull; false while it is incomplete.
    fn node(&mut self, rest: &[u8], at: &mut usize) -> Result<bool, StreamError> {
        let Some(node) = self.map::<NodeState>("node state", rest, at)? else {
            return Ok(false);
        };
        self.scanner = scanner(limits::NODE_STATE_BYTES);
        if let Awaited::Nodes { left, nodes, .. } = &mut self.awaited {
            *left = left.saturating_sub(1);
            if keeps(&node) && nodes.len() < limits::PUSH_PULL_NODES_KEPT {
                nodes.push(node);
            } else {
                self.dropped_nodes = self.dropped_nodes.saturating_add(1);
            }
        }
        self.check_taken(*at, 0)?;
        Ok(true)
    }

    /// Whether the message stays within its bound with `more` bytes behind the `at` just read.
    fn check_taken(&self, at: usize, more: usize) -> Result<(), StreamError> {
        let limit = limits::STREAM_MESSAGE_BYTES;
        let taken = self.taken.saturating_add(at).saturating_add(more);
        if taken > limit { Err(StreamError::TooLong { limit }) } else { Ok(()) }
    }

    /// Reads a map that the scanner has seen to its end.
    fn map<T: for<'de> Deserialize<'de>>(
        &mut self,
        what: &'static str,
        rest: &[u8],
        at: &mut usize,
    ) -> Result<Option<T>, MessageError> {
        let body = |source: DecodeError| MessageError::Body { what, source };
        let Some(length) = self.scanner.scan(rest).map_err(body)? else {
            return Ok(None);
        };
        let value = folkmoot_wire::decode(rest.get(..length).unwrap_or_default()).map_err(body)?;
        *at = at.saturating_add(length);
        Ok(Some(value))
    }
}

fn scanner(max_length: usize) -> Scanner {
    Scanner::new(MAX_DEPTH, max_length)
}

/// A count or length from the wire, if it is not negative and within `limit`.
fn bounded(number: i64, limit: usize) -> Option<usize> {
    usize::try_from(number).ok().filter(|&number| number <= limit)
}

fn take(rest: &[u8], length: usize, at: &mut usize) -> Option<Bytes> {
    let bytes = rest.get(..length)?;
    *at = at.saturating_add(length);
    Some(Bytes::copy_from_slice(bytes))
}

/// Whether a node entry can be a member at all.
fn keeps(node: &NodeState) -> bool {
    let meta = node.meta.as_ref().map_or(0, folkmoot_wire::Blob::len);
    !node.name.0.is_empty() && node.name.0.len() <= limits::NAME_BYTES && meta <= limits::META_BYTES
}
