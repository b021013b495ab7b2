//! What can go wrong: our own mistake when writing, the peer's when reading.

use std::fmt::Display;

/// A value could not be written. Only a programming error of ours can cause it.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode: {0}")]
pub struct EncodeError(pub String);

impl serde::ser::Error for EncodeError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Input that is not what the target type accepts. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("msgpack decode error at byte {at}: {reason}")]
pub struct DecodeError {
    /// Offset of the offending value in the input.
    pub at: usize,
    /// What was wrong, in words.
    pub reason: String,
}

impl DecodeError {
    /// What serde's own visitors report: they know the reason but not the place.
    const NOWHERE: usize = usize::MAX;

    pub(crate) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    pub(crate) fn truncated(at: usize) -> Self {
        Self::new(at, "unexpected end of input")
    }

    /// Gives an error that has no place the place of the value being read.
    pub(crate) fn located(mut self, at: usize) -> Self {
        if self.at == Self::NOWHERE {
            self.at = at;
        }
        self
    }
}

impl serde::de::Error for DecodeError {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Self::NOWHERE, message.to_string())
    }
}
