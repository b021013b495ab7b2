//! What can go wrong, by whose fault. The texts are those the Go client prints.

use std::sync::Arc;

use folkmoot_proto::KeyResponse;
use folkmoot_proto::coordination::Code;

use crate::coordination::lease::Lost;

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The agent could not be reached. Nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The agent wants a key, or another one. Nothing was done.
    #[error("{text}")]
    Auth {
        /// The agent's words.
        text: String,
    },
    /// The agent refused the command or failed at it. The connection goes on.
    #[error("{text}")]
    Remote {
        /// Name of the command.
        command: &'static str,
        /// The agent's words.
        text: String,
    },
    /// A key operation did not succeed everywhere. Some nodes may have carried it out.
    #[error("{text}")]
    Keys {
        /// Name of the command.
        command: &'static str,
        /// The agent's words.
        text: String,
        /// What each node said.
        response: Box<KeyResponse>,
    },
    /// The connection is gone: the agent closed it, or the network did. Whether the command was carried out is not
    /// known. Connect again.
    #[error("client closed")]
    Closed,
    /// The agent sent something that is not this protocol. The connection is closed.
    #[error("protocol error: {reason}")]
    Protocol {
        /// What was wrong.
        reason: Arc<str>,
    },
    /// The agent did not answer in the time the options give, or took no request for
    /// [`crate::limits::WRITE_TIMEOUT`]. Whether the command was carried out is not known.
    #[error("timeout waiting for {command}")]
    Timeout {
        /// Name of the command.
        command: &'static str,
    },
    /// The agent does not know the command: it is HashiCorp's, or older. Nothing was done. It closes the connection.
    #[error("unsupported: this agent has no coordination (it does not know the command {command})")]
    Unsupported {
        /// Name of the command.
        command: &'static str,
    },
    /// The agent knows of no member that takes part in a Raft group. Nothing was done.
    #[error("{text}")]
    NoGroup {
        /// The agent's words.
        text: String,
    },
    /// The group has lost its quorum, and nothing was done. Reads that may be stale go on.
    #[error("{text}")]
    NoQuorum {
        /// The agent's words, which name the voters that are missing.
        text: String,
    },
    /// The agent cannot serve the call at this time. Where too much is under way in it (`overloaded`, `too-many-calls`)
    /// nothing was done; where it stops (`stopping`), whether a change of members was made is not known. Of a write whose
    /// outcome is not known [`Error::Timeout`] tells.
    #[error("{text}")]
    Unavailable {
        /// The agent's words.
        text: String,
    },
    /// The cluster did not hear of this client for its time to live and has forgotten it, with the replies it kept. Whether
    /// the request was applied is not known. The next call registers again; what was held is lost.
    #[error("client-expired: the cluster has forgotten this client, and with it whether the request was applied")]
    ClientExpired,
    /// The request was applied and the answer is no, or it cannot be carried out; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was held is not held any more; what was to be done with it was not done.
    #[error("lease-lost: {0}")]
    LeaseLost(#[from] Lost),
    /// What was to be sent could not be read. Nothing was changed.
    #[error("cannot read: {reason}")]
    Read {
        /// The system's words.
        reason: Arc<str>,
    },
    /// [`crate::limits::MAX_OPEN`] calls are open on this connection. Nothing was sent.
    #[error("too many open calls on one connection")]
    TooManyCalls,
}

/// Why the cluster refused a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// To branch on.
    pub code: Code,
    /// For people: the code's word, then what it was about, with its limit.
    pub text: String,
}

impl Error {
    /// Whether a renewal that failed so will never succeed.
    pub(crate) fn ends_a_lease(&self) -> bool {
        match self {
            Self::ClientExpired | Self::LeaseLost(_) | Self::Unsupported { .. } => true,
            Self::Refused(Refusal { code, .. }) => {
                matches!(code, Code::NotHeld | Code::NoSession | Code::StaleLease | Code::Missing)
            }
            Self::Connect(_)
            | Self::Auth { .. }
            | Self::Remote { .. }
            | Self::Keys { .. }
            | Self::Closed
            | Self::Protocol { .. }
            | Self::Timeout { .. }
            | Self::Read { .. }
            | Self::NoGroup { .. }
            | Self::NoQuorum { .. }
            | Self::Unavailable { .. }
            | Self::TooManyCalls => false,
        }
    }

    /// Whether a stream that ended so may be opened again.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Closed | Self::Timeout { .. } | Self::Unavailable { .. } | Self::NoQuorum { .. })
    }

    /// The reason, if the cluster refused the request.
    pub fn code(&self) -> Option<Code> {
        if let Self::Refused(refusal) = self { Some(refusal.code) } else { None }
    }
}

/// Why the agent could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The address is empty.
    #[error("dial tcp: missing address")]
    MissingAddress,
    /// The address is not `host:port`.
    #[error("dial tcp: address {address}: {fault}")]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// The port is not a number.
    #[error("dial tcp: address tcp/{port}: unknown port")]
    UnknownPort {
        /// As given.
        port: String,
    },
    /// The port is beyond 65,535.
    #[error("dial tcp: address {port}: invalid port")]
    InvalidPort {
        /// As given.
        port: String,
    },
    /// The host name leads nowhere.
    #[error("dial tcp: lookup {host}: no such host")]
    Lookup {
        /// As given.
        host: String,
    },
    /// Nobody answers there.
    #[error("dial tcp {address}: connect: {reason}")]
    Refused {
        /// Address and port.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// Nobody answered within [`crate::ConnectOptions::dial_timeout`], or somebody did who said nothing: an agent that
    /// is stopped.
    #[error("dial tcp {address}: i/o timeout")]
    TimedOut {
        /// As given.
        address: String,
    },
    /// Somebody answers there, but not as an agent does: another port, or an agent that is about to stop.
    #[error("handshake with {address}: {reason}; is it an agent's RPC address?")]
    Handshake {
        /// As given.
        address: String,
        /// What was wrong.
        reason: Arc<str>,
    },
    /// Nobody answers at a unix socket, or we may not ask.
    #[error("dial unix {path}: connect: {reason}")]
    Unix {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// No `:port`.
    #[error("missing port in address")]
    MissingPort,
    /// An IPv6 address without brackets.
    #[error("too many colons in address")]
    TooManyColons,
    /// `[` without `]`.
    #[error("missing ']' in address")]
    MissingBracket,
    /// `[` in the middle.
    #[error("unexpected '[' in address")]
    UnexpectedOpening,
    /// `]` in the middle.
    #[error("unexpected ']' in address")]
    UnexpectedClosing,
}
