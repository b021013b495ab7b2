//! Failures as exceptions of `folkmoot.exceptions`, which has the class for each word (`CLASSES`).

use folkmoot_client::{Code, Error, Refusal};
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyType};

use crate::values::Answer;

/// Why a call brought no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client's.
    Client(Error),
    /// The client was closed on this side.
    Closed,
    /// What it was about was ended on this side.
    Cancelled,
    /// What it was to be done with is not held any more, because it was given back.
    GivenBack,
    /// `Pending.wait` was over.
    Waited(f64),
    /// It belongs to the process this one was forked from.
    Fork,
    /// The call ended without an answer: an error in this program.
    Internal,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl Failure {
    /// The word by which its class is found, beside those of the group's refusals.
    fn word(&self) -> &'static str {
        match self {
            Self::Client(error) => word(error),
            Self::Closed => "client-closed",
            Self::Cancelled => "cancelled",
            Self::GivenBack => "not-held",
            Self::Waited(_) => "timeout",
            Self::Fork => "fork",
            Self::Internal => "internal",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Client(error) => error.to_string(),
            Self::Closed => "this client is closed".into(),
            Self::Cancelled => "cancelled: it was ended on this side".into(),
            Self::GivenBack => "not-held: it was given back before".into(),
            Self::Waited(seconds) => {
                format!("timeout: no answer within {seconds} s; whether it was carried out is not known")
            }
            Self::Fork => "made before a fork: it belongs to the parent process; connect again in the child".into(),
            Self::Internal => "internal error: the call ended without an answer".into(),
        }
    }

    /// As an exception.
    pub(crate) fn into_exception(self, py: Python<'_>) -> PyErr {
        self.exception(py).unwrap_or_else(|error| error)
    }

    fn exception(self, py: Python<'_>) -> PyResult<PyErr> {
        let (word, text) = (self.word(), self.text());
        let (command, detail) = match self {
            Self::Client(Error::Keys { command, response, .. }) => (Some(command), Some(response.answer(py)?)),
            Self::Client(
                Error::Remote { command, .. } | Error::Timeout { command } | Error::Unsupported { command },
            ) => (Some(command), None),
            Self::Client(_)
            | Self::Closed
            | Self::Cancelled
            | Self::GivenBack
            | Self::Waited(_)
            | Self::Fork
            | Self::Internal => (None, None),
        };
        let exceptions = PyModule::import(py, "folkmoot.exceptions")?;
        let class = match exceptions.getattr("CLASSES")?.call_method1("get", (word,))?.cast_into::<PyType>() {
            Ok(class) => class,
            Err(_) => exceptions.getattr("FolkmootError")?.cast_into::<PyType>()?,
        };
        Ok(PyErr::from_value(class.call1((text, word, command, detail))?))
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| failure.into_exception(py))
    }
}

/// Every word by which a class may be looked up.
pub(crate) fn words() -> Vec<&'static str> {
    let faults = [
        "auth",
        "cancelled",
        "client-closed",
        "client-expired",
        "closed",
        "connect",
        "fork",
        "internal",
        "keys",
        "lease-lost",
        "no-group",
        "no-quorum",
        "not-held",
        "overloaded",
        "protocol",
        "read",
        "remote",
        "timeout",
        "too-many-calls",
        "unsupported",
    ];
    Code::ALL.iter().map(|code| code.as_str()).chain(faults).collect()
}

fn word(error: &Error) -> &'static str {
    match error {
        Error::Connect(_) => "connect",
        Error::Auth { .. } => "auth",
        Error::Remote { .. } => "remote",
        Error::Keys { .. } => "keys",
        Error::Closed => "closed",
        Error::Protocol { .. } => "protocol",
        Error::Timeout { .. } => "timeout",
        Error::Unsupported { .. } => "unsupported",
        Error::NoGroup { .. } => "no-group",
        Error::NoQuorum { .. } => "no-quorum",
        Error::Unavailable { .. } => "overloaded",
        Error::ClientExpired => "client-expired",
        Error::Refused(Refusal { code, .. }) => code.as_str(),
        Error::LeaseLost(_) => "lease-lost",
        Error::Read { .. } => "read",
        Error::TooManyCalls => "too-many-calls",
    }
}
