//! [`Output`]: stdout that may be closed at any time.

use std::io::{Stdout, Write, stdout};

use super::failure::Failure;

/// Where results go. Bytes, because names and payloads are.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Stdout,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { stdout: stdout() }
    }

    /// Prints one line.
    ///
    /// # Errors
    /// Nobody reads stdout any more (`| head`): the command ends.
    pub(super) fn line(&mut self, line: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.raw(&[line.as_ref(), b"\n"].concat())
    }

    /// Prints bytes.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.stdout.write_all(bytes).and_then(|()| self.stdout.flush());
        written.map_err(|_| Failure::Silent)
    }
}
