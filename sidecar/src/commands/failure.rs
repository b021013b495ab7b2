//! [`Failure`]: why a command ends with exit code 1, and what is printed then.

use folkmoot_client::Error;

use crate::flags::FlagError;

/// Exit code of commands that were carried out and whose answer is no.
pub(super) const NO: u8 = 2;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// One message on stdout.
    Message(String),
    /// A message, which may be empty, and an exit code of its own.
    Exit(u8, String),
    /// The message, an empty line and the command's help on stdout.
    Usage(String),
    /// The command's help on stdout.
    Help,
    /// The complaint on stderr, the command's help on stdout.
    Flags(FlagError),
    /// Everything is said, or nobody listens.
    Silent,
}

impl Failure {
    pub(super) fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// The answer is no: not there, not equal, held by another, empty.
    pub(super) fn no(text: impl Into<String>) -> Self {
        Self::Exit(NO, text.into())
    }

    /// For `map_err`: the client's error behind what the command was doing.
    pub(super) fn during(action: &str) -> impl FnOnce(Error) -> Self {
        move |error| Self::Message(format!("{action}: {error}"))
    }
}

impl From<FlagError> for Failure {
    fn from(error: FlagError) -> Self {
        Self::Flags(error)
    }
}
