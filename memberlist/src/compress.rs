//! LZW as Go's `compress/lzw` does it (least significant bit first, literal width 8), inside a compress message
//! (spec 2.5). Go: `util.go` (`compressPayload`, `decompressPayload`).

use std::borrow::Cow;

use bytes::Bytes;
use weezl::{BitOrder, LzwStatus};

use crate::error::MessageError;
use crate::messages::{CompressBody, MessageType, decode_body, encode_body};

/// The only algorithm there is.
const LZW: u8 = 0;
/// Go's literal width, bits.
const LITERAL_WIDTH: u8 = 8;
/// Bytes decompressed at a time; what is kept grows with what was really decompressed.
const CHUNK: usize = 16 * 1024;

/// Why something could not be decompressed; `Display` is Go's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// The map around it cannot be read.
    #[error(transparent)]
    Body(Box<MessageError>),
    /// Only LZW exists.
    #[error("cannot decompress unknown algorithm {0}")]
    Algorithm(u8),
    /// It expands beyond the limit, which is named in bytes.
    #[error("decompressed message is larger than limit ({0})")]
    TooLarge(usize),
    /// It ends before its end code.
    #[error("unexpected EOF")]
    Truncated,
    /// It uses a code that was not made.
    #[error("lzw: invalid code")]
    Code,
    /// There is nothing in it.
    #[error("decompressed message is empty")]
    Empty,
}

/// A whole compress message around `content`, type byte included. It may well be longer than `content`.
pub(crate) fn compress(content: &[u8]) -> Bytes {
    encode_body(MessageType::Compress, &CompressBody { algorithm: LZW, data: lzw_encode(content).into() })
}

/// The content of a compress message (`body`: without type byte), if it has no more than `limit` bytes. Never empty.
pub(crate) fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, CompressError> {
    let CompressBody { algorithm, data } =
        decode_body("compress", body).map_err(|error| CompressError::Body(Box::new(error)))?;
    if algorithm != LZW {
        return Err(CompressError::Algorithm(algorithm));
    }
    let content = lzw_decode(data.as_bytes(), limit)?;
    if content.is_empty() { Err(CompressError::Empty) } else { Ok(content) }
}

/// `content` compressed where that is strictly shorter.
pub(crate) fn compress_if_shorter(content: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let compressed = compress(&content);
    if compressed.len() < content.len() { Cow::Owned(compressed.into()) } else { content }
}

#[expect(clippy::expect_used, reason = "with 8 bits every byte is a valid literal")]
fn lzw_encode(content: &[u8]) -> Vec<u8> {
    weezl::encode::Encoder::new(BitOrder::Lsb, LITERAL_WIDTH).encode(content).expect("every byte has a code")
}

fn lzw_decode(mut data: &[u8], limit: usize) -> Result<Vec<u8>, CompressError> {
    let mut decoder = weezl::decode::Decoder::new(BitOrder::Lsb, LITERAL_WIDTH);
    let mut content = Vec::new();
    let mut chunk = [0; CHUNK];
    loop {
        let step = decoder.decode_bytes(data, &mut chunk);
        data = data.get(step.consumed_in..).unwrap_or_default();
        if content.len().saturating_add(step.consumed_out) > limit {
            return Err(CompressError::TooLarge(limit));
        }
        content.extend_from_slice(chunk.get(..step.consumed_out).unwrap_or_default());
        match step.status {
            Ok(LzwStatus::Done) => return Ok(content),
            Ok(LzwStatus::NoProgress) => return Err(CompressError::Truncated),
            Ok(LzwStatus::Ok) if step.consumed_in == 0 && step.consumed_out == 0 => {
                return Err(CompressError::Truncated);
            }
            Ok(LzwStatus::Ok) => {}
            Err(_) => return Err(CompressError::Code),
        }
    }
}

#[cfg(test)]
#[path = "compress_tests.rs"]
mod tests;
