//! What can be wrong with input from a peer. Nothing of the engine's state has changed when one of these is returned.
//!
//! Not here: [`crate::KeyringError`] (`keyring.rs`), configuration and join errors, and the errors of one layer, which
//! stand beside it: [`LabelError`], [`DecryptError`], [`CompressError`].

use folkmoot_wire::DecodeError;

pub use crate::compress::CompressError;
pub use crate::label::LabelError;
pub use crate::security::DecryptError;

/// Why one message could not be read. In a datagram its neighbours still count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// No type byte. Fatal to old Go agents, so nobody means it well.
    #[error("missing message type byte")]
    Empty,
    /// The number is unknown, or this message has no place here.
    #[error("msg type ({number}) not supported")]
    Unsupported {
        /// The type byte.
        number: u8,
    },
    /// The body is not what it should be.
    #[error("failed to decode {what}: {source}")]
    Body {
        /// Which message.
        what: &'static str,
        /// Where and why.
        source: DecodeError,
    },
    /// A compressed message cannot be decompressed.
    #[error("failed to decompress payload: {0}")]
    Compress(#[source] CompressError),
    /// A compound without a count.
    #[error("failed to decode compound request: missing compound length byte")]
    CompoundCount,
    /// A compound that ends within its lengths: none of it is read.
    #[error("failed to decode compound request: truncated len slice")]
    CompoundLengths,
    /// A compound that ends within its parts: those in front are read.
    #[error("compound request had {lost} truncated messages")]
    CompoundParts {
        /// How many are lost.
        lost: usize,
    },
    /// Beyond [`crate::limits::PACKET_NESTING`].
    #[error("compounds and compressions nest too deep")]
    TooDeep,
    /// Beyond [`crate::limits::PACKET_COMMANDS`] or [`crate::limits::PACKET_COMPRESSIONS`].
    #[error("too many messages in one packet")]
    TooMany,
}

/// Why a datagram was dropped whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Nothing in it.
    #[error("missing message type byte")]
    Empty,
    /// Not our cluster's label.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// Not encrypted with a key of ours.
    #[error("decrypt packet failed: {0}")]
    Decrypt(#[from] DecryptError),
    /// Damaged on the way.
    #[error("got invalid checksum for UDP packet: {computed:x}, {expected:x}")]
    Checksum {
        /// Of what arrived.
        computed: u32,
        /// Of what was sent.
        expected: u32,
    },
}

/// Why a stream could not be read. It is to be closed; [`StreamError::answer`] says whether something is to be said
/// first. `Display` is Go's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer closed its side within an encrypted frame.
    #[error("EOF")]
    Eof,
    /// The peer closed its side within a message.
    #[error("unexpected EOF")]
    Truncated,
    /// Not our cluster's label.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// We have no keys, the peer has.
    #[error("remote state is encrypted and encryption is not configured")]
    EncryptionNotConfigured,
    /// We have keys, the peer has none.
    #[error("encryption is configured but remote state is not encrypted")]
    NotEncrypted,
    /// Beyond [`crate::limits::STREAM_FRAME_BYTES`].
    #[error("remote node state is larger than limit ({length})")]
    FrameTooLarge {
        /// Bytes announced.
        length: u32,
    },
    /// Not encrypted with a key of ours.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// An encrypted frame around nothing. (Go panics; fault 15 of spec 14.)
    #[error("decrypted message is empty")]
    EmptyFrame,
    /// The compressed content cannot be decompressed.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// The message has no place here.
    #[error("received invalid msgType ({number})")]
    Type {
        /// The type byte.
        number: u8,
    },
    /// A map of the message cannot be read.
    #[error(transparent)]
    Body(#[from] MessageError),
    /// Beyond [`crate::limits::PUSH_PULL_NODES`], or negative.
    #[error("number of nodes in header ({count}) exceeds limit")]
    TooManyNodes {
        /// As announced.
        count: i64,
    },
    /// Beyond [`crate::limits::USER_STATE_BYTES`], or negative.
    #[error("user state length ({length}) exceeds limit")]
    UserStateTooLong {
        /// As announced.
        length: i64,
    },
    /// Beyond [`crate::limits::USER_MESSAGE_BYTES`], or negative.
    #[error("user message length ({length}) exceeds limit")]
    UserMessageTooLong {
        /// As announced.
        length: i64,
    },
    /// Beyond [`crate::limits::INBOUND_BYTES`].
    #[error("too many unfinished streams: {bytes} bytes are waiting")]
    Overload {
        /// Held by all of them.
        bytes: usize,
    },
    /// Beyond [`crate::limits::STREAM_MESSAGE_BYTES`].
    #[error("message is larger than limit ({limit})")]
    TooLong {
        /// The limit, bytes.
        limit: usize,
    },
}

impl StreamError {
    /// What an acceptor answers before it closes, as [`crate::StreamMessage::Error`], wrapped like any answer. `None`: it
    /// closes in silence, as Go does once the type of the message is known, and when a label does not fit.
    #[must_use]
    pub fn answer(&self) -> Option<String> {
        match self {
            Self::EncryptionNotConfigured
            | Self::NotEncrypted
            | Self::FrameTooLarge { .. }
            | Self::Decrypt(_)
            | Self::EmptyFrame
            | Self::Overload { .. }
            | Self::Compress(_) => Some(self.to_string()),
            Self::Eof
            | Self::Truncated
            | Self::Label(_)
            | Self::Type { .. }
            | Self::Body(_)
            | Self::TooManyNodes { .. }
            | Self::UserStateTooLong { .. }
            | Self::UserMessageTooLong { .. }
            | Self::TooLong { .. } => None,
        }
    }
}
