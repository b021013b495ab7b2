//! What goes into the engine and what comes out of it, apart from packets and time.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Instant, JoinError, Member, NodeName, Refusal};

/// One output. They must be carried out in the order they were polled.
#[derive(Debug, Clone)]
pub enum Output {
    /// Something for the shell to do.
    Io(Io),
    /// Something that became true.
    Event(Event),
}

/// Something for the shell to do. Failures of `Connect` and `Write` come back as [`StreamInput::Failed`].
#[derive(Clone, PartialEq, Eq)]
pub enum Io {
    /// Send one datagram from the gossip socket. An error the operating system reports at once for it comes back
    /// through [`crate::Memberlist::packet_failed`].
    Packet {
        /// Destination.
        to: SocketAddr,
        /// Whole payload.
        bytes: Bytes,
    },
    /// Dial a TCP connection. The engine keeps the time limit itself and closes the stream when it has run out.
    Connect {
        /// Its name from here on.
        stream: StreamId,
        /// Peer.
        to: SocketAddr,
    },
    /// Write bytes to a stream.
    Write {
        /// Which.
        stream: StreamId,
        /// What.
        bytes: Bytes,
    },
    /// Flush what was written, then close the stream in both directions. Nothing more is heard of it.
    Close {
        /// Which.
        stream: StreamId,
    },
}

/// Prints lengths, never bytes.
impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet { to, bytes } => write!(f, "Packet({} bytes to {to})", bytes.len()),
            Self::Connect { stream, to } => write!(f, "Connect({stream:?} to {to})"),
            Self::Write { stream, bytes } => write!(f, "Write({} bytes to {stream:?})", bytes.len()),
            Self::Close { stream } => write!(f, "Close({stream:?})"),
        }
    }
}

/// A TCP stream. Ids of dialled streams are drawn by the engine; ids of accepted ones by [`crate::Memberlist::accept_id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A queued broadcast whose end somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BroadcastId(pub u64);

/// What happened on a stream.
#[derive(Clone, PartialEq, Eq)]
pub enum StreamInput<'a> {
    /// A peer connected to us. Its address says nothing about who it is.
    Accepted {
        /// Source of the connection.
        from: SocketAddr,
    },
    /// Our dial succeeded.
    Connected,
    /// Bytes arrived.
    Bytes(&'a [u8]),
    /// The peer closed its sending side.
    Finished,
    /// The dial, a read or a write failed; the stream is gone.
    Failed {
        /// In Go's words, for example `dial tcp 127.0.0.1:7946: connect: connection refused`.
        reason: &'a str,
    },
}

/// Prints lengths, never bytes.
impl fmt::Debug for StreamInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { from } => write!(f, "Accepted({from})"),
            Self::Connected => f.write_str("Connected"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Finished => f.write_str("Finished"),
            Self::Failed { reason } => write!(f, "Failed({reason})"),
        }
    }
}

/// Facts, in the order they became true.
#[derive(Clone)]
pub enum Event {
    /// A member appeared or came back.
    Joined(Arc<Member>),
    /// The meta data of a living member changed.
    Updated(Arc<Member>),
    /// A member was declared dead by somebody else.
    Failed(Arc<Member>),
    /// A member said farewell itself.
    Left(Arc<Member>),
    /// Somebody claims a name that is taken. The claim was ignored.
    NameConflict {
        /// The member we keep.
        known: Arc<Member>,
        /// The claim, as a member record.
        claimed: Arc<Member>,
    },
    /// A user message arrived by packet or stream: never empty.
    UserMessage(Bytes),
    /// A push/pull brought the peer's user state: never empty.
    RemoteState {
        /// As sent.
        state: Bytes,
        /// Whether the exchange was a join.
        join: bool,
    },
    /// A direct probe was answered in time.
    PingCompleted {
        /// Who answered.
        member: Arc<Member>,
        /// From just before the send to the arrival.
        round_trip: Duration,
        /// What the other side put into the ack.
        payload: Bytes,
    },
    /// A [`crate::Memberlist::join`] ended.
    JoinFinished {
        /// Which.
        stream: StreamId,
        /// Done, or why not.
        result: Result<(), JoinError>,
    },
    /// A broadcast has been sent as often as it will be, or has been replaced by a newer one.
    BroadcastFinished {
        /// Which.
        id: BroadcastId,
    },
}

/// Prints lengths, never payloads.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(member) => write!(f, "Joined({member:?})"),
            Self::Updated(member) => write!(f, "Updated({member:?})"),
            Self::Failed(member) => write!(f, "Failed({member:?})"),
            Self::Left(member) => write!(f, "Left({member:?})"),
            Self::NameConflict { known, claimed } => write!(f, "NameConflict({known:?}, claimed by {claimed:?})"),
            Self::UserMessage(payload) => write!(f, "UserMessage({} bytes)", payload.len()),
            Self::RemoteState { state, join } => write!(f, "RemoteState({} bytes, join: {join})", state.len()),
            Self::PingCompleted { member, round_trip, payload } => {
                write!(f, "PingCompleted({member:?} in {round_trip:?}, {} bytes)", payload.len())
            }
            Self::JoinFinished { stream, result } => write!(f, "JoinFinished({stream:?}: {result:?})"),
            Self::BroadcastFinished { id } => write!(f, "BroadcastFinished({id:?})"),
        }
    }
}

/// Questions the engine needs answered at once, without I/O.
pub trait Host {
    /// Our node meta, at most `limit` bytes.
    fn meta(&self, limit: usize) -> Bytes;
    /// User messages to gossip: each costs its length plus `overhead`, all together at most `limit`.
    fn broadcasts(&mut self, now: Instant, overhead: usize, limit: usize) -> Vec<Bytes>;
    /// Our user state for a push/pull.
    fn local_state(&self, join: bool) -> Bytes;
    /// What to put into the ack of a direct UDP ping; empty is sent as nil.
    fn ack_payload(&self) -> Bytes;
    /// Whether an alive message may be processed.
    fn accept_member(&self, member: &Member) -> Result<(), Refusal>;
    /// Whether the states of a joining push/pull may be merged.
    fn accept_merge(&self, peers: &[Member]) -> Result<(), Refusal>;
}

/// Whom to join: a name is only needed where the caller knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinTarget {
    /// The name before the `/` in `name/host:port`.
    pub name: Option<NodeName>,
    /// Where it listens.
    pub address: SocketAddr,
}
