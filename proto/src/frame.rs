//! [`FrameReader`]: where one object ends and the next begins in a stream of bytes.
//!
//! Each byte is looked at once, however small the pieces are that the stream arrives in. What the objects mean, and
//! which of them is a header, is for the caller to know (sections 4 and 5).

use bytes::{BufMut, Bytes, BytesMut};
use folkmoot_wire::Scanner;

use crate::DecodeError;
use crate::limits::{MAX_DEPTH, MAX_REQUEST_LENGTH, MAX_RESPONSE_LENGTH, READ_CHUNK};

/// Cuts a stream of bytes into MessagePack objects.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    scanner: Scanner,
    max_length: usize,
}

impl FrameReader {
    /// Refuses objects longer than `max_length` bytes.
    pub fn with_limit(max_length: usize) -> Self {
        Self { buffer: BytesMut::new(), scanner: Scanner::new(MAX_DEPTH, max_length), max_length }
    }

    /// For the agent's side: [`MAX_REQUEST_LENGTH`].
    pub fn for_requests() -> Self {
        Self::with_limit(MAX_REQUEST_LENGTH)
    }

    /// For a client's side: [`MAX_RESPONSE_LENGTH`].
    pub fn for_responses() -> Self {
        Self::with_limit(MAX_RESPONSE_LENGTH)
    }

    /// Changes the limit, bytes, also for an object that has come in part.
    pub fn set_limit(&mut self, max_length: usize) {
        self.max_length = max_length;
        self.scanner = Scanner::new(MAX_DEPTH, max_length);
    }

    /// Where the next bytes of the stream go: at least [`READ_CHUNK`] bytes of space. Call it when [`Self::next`] has
    /// nothing more, so that no more than an object and a chunk are ever kept.
    pub fn space(&mut self) -> impl BufMut + '_ {
        self.buffer.reserve(READ_CHUNK);
        let length = self.buffer.capacity().saturating_sub(self.buffer.len());
        (&mut self.buffer).limit(length)
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole object, or `None` until more bytes have come.
    ///
    /// # Errors
    /// An object is too long, too deep, or contains the byte that MessagePack never uses. The stream cannot be read any
    /// further: every later call repeats the error.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not report errors and go on waiting")]
    pub fn next(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let Some(length) = self.scanner.scan(&self.buffer)? else {
            return Ok(None);
        };
        self.scanner = Scanner::new(MAX_DEPTH, self.max_length);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Bytes taken that belong to no whole object yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the stream stands between two objects: an end of file is in order here and nowhere else.
    pub fn is_at_boundary(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
