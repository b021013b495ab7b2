//! What can go wrong, by whose fault. The texts are those the Go client prints.

use std::sync::Arc;

use folkmoot_proto::KeyResponse;

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
    /// [`crate::limits::MAX_OPEN`] calls are open on this connection. Nothing was sent.
    #[error("too many open calls on one connection")]
    TooManyCalls,
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
