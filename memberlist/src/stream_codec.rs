//! One message on one TCP stream, read as its bytes arrive, and written whole (spec 2.8, 4.3). Outermost first: label
//! (only from the side that dialled), encrypted frame, compression, message.
//!
//! Not here: the message inside those layers (`stream_body.rs`), and when to dial, answer and close (`streams.rs`).
//! Go: `net.go` (`handleConn`, `readStream`, `decryptRemoteState`, `rawSendMsgStream`).

use std::borrow::Cow;

use bytes::Bytes;
use folkmoot_wire::Scanner;

use crate::error::{CompressError, LabelError, MessageError, StreamError};
use crate::label::LabelHeader;
use crate::messages::{MessageType, StreamMessage};
use crate::packet::{Layers, NONCE_LENGTH};
use crate::stream_body::BodyReader;
use crate::{compress, label, limits, security};

/// Type byte and length of an encrypted frame.
const FRAME_HEADER_LENGTH: usize = 5;

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamRole {
    /// We dialled. What we read carries no label header, what we write does.
    Initiator,
    /// We accepted.
    Acceptor,
}

/// Reads one message from a stream. Holds no more bytes than the limits of its stage allow, and does not look at a byte
/// much more than once however small the pieces are in which they arrive.
pub struct StreamDecoder {
    role: StreamRole,
    /// Bytes that belong to the stage.
    buffer: Vec<u8>,
    stage: Stage,
    dropped_nodes: usize,
}

enum Stage {
    /// Before everything, on an accepted stream.
    Label,
    /// Before the type byte.
    Start,
    /// Within an encrypted frame, type byte included.
    Frame,
    /// Within a compress message that came in the clear, type byte excluded.
    Compressed(Scanner),
    /// Within a message that came in the clear.
    Body(BodyReader),
    /// A message or an error was returned.
    Done,
}

/// What a stage came to.
enum Step {
    /// More bytes are needed.
    Wait,
    /// The next stage has begun.
    Next,
    /// All is read.
    Message(StreamMessage),
}

impl StreamDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(role: StreamRole) -> Self {
        let stage = match role {
            StreamRole::Initiator => Stage::Start,
            StreamRole::Acceptor => Stage::Label,
        };
        Self { role, buffer: Vec::new(), stage, dropped_nodes: 0 }
    }

    /// Takes the next bytes. `Ok(None)`: more are needed. After `Ok(Some(_))` or an error, further bytes are ignored
    /// and the answer is `Ok(None)`.
    ///
    /// # Errors
    /// The stream cannot be read; close it after [`StreamError::answer`].
    pub fn push(&mut self, layers: &Layers<'_>, bytes: &[u8]) -> Result<Option<StreamMessage>, StreamError> {
        if matches!(self.stage, Stage::Done) {
            return Ok(None);
        }
        self.buffer.extend_from_slice(bytes);
        loop {
            match self.step(layers) {
                Ok(Step::Next) => {}
                Ok(Step::Wait) => return Ok(None),
                Ok(Step::Message(message)) => {
                    self.end();
                    return Ok(Some(message));
                }
                Err(error) => {
                    self.end();
                    return Err(error);
                }
            }
        }
    }

    /// The peer closed its side: why that is an error. `None`: nothing had come, but for a label, or the message or an
    /// error was already returned.
    pub fn finish(&mut self) -> Option<StreamError> {
        let error = match &self.stage {
            Stage::Label | Stage::Start if self.buffer.is_empty() => return None,
            Stage::Label => LabelError::Truncated("stream").into(),
            Stage::Start | Stage::Frame => StreamError::Eof,
            Stage::Compressed(_) => CompressError::Truncated.into(),
            Stage::Body(_) => StreamError::Truncated,
            Stage::Done => return None,
        };
        self.end();
        Some(error)
    }

    /// Node entries of the push/pull that were dropped: nameless, name or meta too long, or too many.
    #[must_use]
    pub fn dropped_nodes(&self) -> usize {
        self.dropped_nodes
    }

    /// Memory the stream takes while it is unfinished, bytes: what is buffered, and the nodes already read.
    pub(crate) fn held(&self) -> usize {
        let nodes = match &self.stage {
            Stage::Body(reader) => reader.held(),
            Stage::Label | Stage::Start | Stage::Frame | Stage::Compressed(_) | Stage::Done => 0,
        };
        self.buffer.capacity().saturating_add(nodes)
    }

    fn end(&mut self) {
        if let Stage::Body(reader) = &self.stage {
            self.dropped_nodes = reader.dropped_nodes();
        }
        self.stage = Stage::Done;
        self.buffer = Vec::new();
    }

    fn step(&mut self, layers: &Layers<'_>) -> Result<Step, StreamError> {
        match &mut self.stage {
            Stage::Label => self.label(layers),
            Stage::Start => self.start(layers),
            Stage::Frame => self.frame(layers),
            Stage::Compressed(scanner) => {
                let scanned =
                    scanner.scan(&self.buffer).map_err(|source| MessageError::Body { what: "compress", source });
                let Some(length) = scanned.map_err(|error| CompressError::Body(Box::new(error)))? else {
                    return Ok(Step::Wait);
                };
                self.buffer.truncate(length);
                let map = std::mem::take(&mut self.buffer);
                self.decompressed(&map).map(Step::Message)
            }
            Stage::Body(reader) => {
                let message = reader.push(&mut self.buffer)?;
                Ok(message.map_or(Step::Wait, Step::Message))
            }
            Stage::Done => Ok(Step::Wait),
        }
    }

    fn label(&mut self, layers: &Layers<'_>) -> Result<Step, StreamError> {
        match LabelHeader::read(&self.buffer)? {
            LabelHeader::Incomplete => return Ok(Step::Wait),
            LabelHeader::None => label::check(layers, &[])?,
            LabelHeader::Label { label, rest } => {
                label::check(layers, label)?;
                let header = self.buffer.len().saturating_sub(rest.len());
                self.buffer.drain(..header);
            }
        }
        self.stage = Stage::Start;
        Ok(Step::Next)
    }

    fn start(&mut self, layers: &Layers<'_>) -> Result<Step, StreamError> {
        let Some(&number) = self.buffer.first() else {
            return Ok(Step::Wait);
        };
        let kind = MessageType::from_byte(number);
        if kind == Some(MessageType::Encrypt) {
            if layers.keyring.is_empty() {
                return Err(StreamError::EncryptionNotConfigured);
            }
            self.stage = Stage::Frame;
            return Ok(Step::Next);
        }
        if layers.verify_incoming && !layers.keyring.is_empty() {
            return Err(StreamError::NotEncrypted);
        }
        self.buffer.drain(..1);
        self.stage = if kind == Some(MessageType::Compress) {
            Stage::Compressed(Scanner::new(folkmoot_wire::limits::MAX_DEPTH, limits::STREAM_MESSAGE_BYTES))
        } else {
            Stage::Body(BodyReader::new(self.role, number)?)
        };
        Ok(Step::Next)
    }

    fn frame(&mut self, layers: &Layers<'_>) -> Result<Step, StreamError> {
        let Some((&[kind, a, b, c, d], content)) = self.buffer.split_first_chunk::<FRAME_HEADER_LENGTH>() else {
            return Ok(Step::Wait);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        if wanted > limits::STREAM_FRAME_BYTES {
            return Err(StreamError::FrameTooLarge { length });
        }
        let Some(sealed) = content.get(..wanted) else {
            return Ok(Step::Wait);
        };
        let associated = [&[kind, a, b, c, d], layers.label].concat();
        let plaintext = security::decrypt(layers.keyring, sealed, &associated)?;
        self.buffer = Vec::new();
        let (&number, body) = plaintext.split_first().ok_or(StreamError::EmptyFrame)?;
        if MessageType::from_byte(number) == Some(MessageType::Compress) {
            return self.decompressed(body).map(Step::Message);
        }
        self.whole(number, body).map(Step::Message)
    }

    /// Reads a message that is here in full, from a whole compress map.
    fn decompressed(&mut self, map: &[u8]) -> Result<StreamMessage, StreamError> {
        let content = compress::decompress(map, limits::STREAM_MESSAGE_BYTES)?;
        let (&number, body) = content.split_first().ok_or(CompressError::Empty)?;
        self.whole(number, body)
    }

    /// Reads a message that is here in full.
    fn whole(&mut self, number: u8, body: &[u8]) -> Result<StreamMessage, StreamError> {
        let mut reader = BodyReader::new(self.role, number)?;
        let message = reader.read_whole(body)?;
        self.dropped_nodes = reader.dropped_nodes();
        message.ok_or(StreamError::Truncated)
    }
}

/// Prints how much is buffered, not what: payloads are never logged.
impl std::fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDecoder")
            .field("role", &self.role)
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

/// All bytes of one direction of a stream.
#[must_use]
pub fn seal_stream(layers: &Layers<'_>, role: StreamRole, message: &StreamMessage, nonce: [u8; NONCE_LENGTH]) -> Bytes {
    let content = message.encode();
    // Unlike in a datagram, also where it makes it longer: so does Go (2.5).
    let content = if layers.compression { compress::compress(&content) } else { content };
    let content = match layers.keyring.primary() {
        Some(key) if layers.encrypts() => Cow::Owned(encrypted_frame(layers, key, nonce, &content)),
        Some(_) | None => Cow::Borrowed(&content[..]),
    };
    match role {
        StreamRole::Initiator => Bytes::from(label::add(layers.label, content).into_owned()),
        StreamRole::Acceptor => Bytes::from(content.into_owned()),
    }
}

fn encrypted_frame(layers: &Layers<'_>, key: &[u8], nonce: [u8; NONCE_LENGTH], content: &[u8]) -> Vec<u8> {
    let length = security::encrypted_length(layers.encryption_version, content.len());
    let mut out = vec![MessageType::Encrypt.byte()];
    // A message of more than 4 GiB cannot be sent; one of more than 20 MiB is refused by every receiver anyway.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    let associated = [&out[..], layers.label].concat();
    out.extend_from_slice(&security::encrypt(layers.encryption_version, key, nonce, content, &associated));
    out
}

#[cfg(test)]
#[path = "stream_codec_tests.rs"]
mod tests;
