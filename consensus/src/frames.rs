//! Where one message ends in a stream, and to which request it belongs. Pure: bytes in, frames out.
//!
//! ```text
//! length: u32, big-endian, of what follows │ kind: u8 │ id: u64, big-endian │ body
//! ```
//! The id is the asking side's number of a request, and stands on its answer. A body longer than [`FRAME_BYTES_MAX`] travels as
//! parts of [`PART_BYTES`] with the same id before the frame that holds its end, so that short messages pass long ones.
//! Nothing is allocated from a declared length: memory grows with the bytes that came.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::{FRAME_BYTES_MAX, PART_BYTES};

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    // Between members of a group: `raft_frames.rs`.
    Append = 1,
    Vote = 2,
    PreVote = 3,
    Snapshot = 4,
    Transfer = 5,
    // Calls of agents: `calls.rs`.
    Propose = 16,
    Query = 17,
    Watch = 18,
    Admin = 19,
    Founding = 20,
    // Both.
    /// The answer to the request with this id.
    Answer = 32,
    /// A part of the body of a later frame with this id.
    Part = 33,
    /// Nobody waits for the answer to this id any more.
    Forget = 34,
    /// Are you there?
    Ping = 35,
    /// Yes.
    Pong = 36,
}

const KINDS: [Kind; 15] = [
    Kind::Append,
    Kind::Vote,
    Kind::PreVote,
    Kind::Snapshot,
    Kind::Transfer,
    Kind::Propose,
    Kind::Query,
    Kind::Watch,
    Kind::Admin,
    Kind::Founding,
    Kind::Answer,
    Kind::Part,
    Kind::Forget,
    Kind::Ping,
    Kind::Pong,
];

/// One message, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) body: Bytes,
}

/// Why bytes are not frames. The stream is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes, at most {FRAME_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("a frame of {0} bytes, too few for a kind and a number")]
    TooShort(usize),
    #[error("a frame of the unknown kind {0}")]
    UnknownKind(u8),
}

const LENGTH: usize = 4;
const HEADER: usize = 9;

/// Takes the next whole frame out of what was read; `None` if more must be read first.
///
/// # Errors
/// The bytes are not frames. The same is said as soon as the first bytes of a frame show it.
pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some((length, rest)) = buffer.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length < HEADER {
        return Err(FrameError::TooShort(length));
    }
    if length - HEADER > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let Some(first) = rest.first() else { return Ok(None) };
    let kind = KINDS.into_iter().find(|kind| *kind as u8 == *first).ok_or(FrameError::UnknownKind(*first))?;
    if rest.len() < length {
        return Ok(None);
    }
    buffer.advance(LENGTH);
    let mut frame = buffer.split_to(length).freeze();
    frame.advance(1);
    let id = frame.get_u64();
    Ok(Some(Frame { kind, id, body: frame }))
}

/// A frame as bytes; `None` if `body` writes more than [`FRAME_BYTES_MAX`].
pub(crate) fn written(kind: Kind, id: u64, body: impl FnOnce(&mut Vec<u8>)) -> Option<Bytes> {
    let mut bytes = vec![0; LENGTH];
    bytes.push(kind as u8);
    bytes.extend(id.to_be_bytes());
    body(&mut bytes);
    let length = bytes.len() - LENGTH;
    if length - HEADER > FRAME_BYTES_MAX {
        return None;
    }
    let declared = u32::try_from(length).ok()?.to_be_bytes();
    bytes.get_mut(..LENGTH)?.copy_from_slice(&declared);
    Some(Bytes::from(bytes))
}

/// A message of any length: its parts, then the frame with its end.
pub(crate) fn pieces(kind: Kind, id: u64, body: &Bytes) -> impl Iterator<Item = Bytes> + Send + use<> {
    let parts = body.len().saturating_sub(1) / PART_BYTES;
    let mut rest = body.clone();
    (0..=parts).filter_map(move |part| {
        let (kind, piece) =
            if part < parts { (Kind::Part, rest.split_to(PART_BYTES)) } else { (kind, std::mem::take(&mut rest)) };
        written(kind, id, |out| out.extend_from_slice(&piece))
    })
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
