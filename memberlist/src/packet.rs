//! The layers of a datagram, outermost first: label, encryption, checksum, compression, compound (spec 2).
//!
//! Not here: what the layers do inside (`label.rs`, `security.rs`, `compress.rs`), and what the messages mean.
//! Go: `net.go` (`ingestPacket`, `handleCommand`, `rawSendMsgPacket`), `util.go` (`makeCompoundMessage`).

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{CompressError, LabelError, MessageError, PacketError};
use crate::keyring::Keyring;
use crate::label::LabelHeader;
use crate::messages::{Message, MessageType};
use crate::{compress, label, limits, security};

/// Bytes of a random AES-GCM nonce.
pub const NONCE_LENGTH: usize = 12;

/// What a datagram or stream is wrapped in, by configuration.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// Cluster label; empty: none.
    pub label: &'a [u8],
    /// A label on the wire is an error; ours is assumed.
    pub skip_inbound_label_check: bool,
    /// Encryption is on while this has keys.
    pub keyring: &'a Keyring,
    /// Whether plaintext is refused while there are keys.
    pub verify_incoming: bool,
    /// Whether we encrypt while there are keys.
    pub verify_outgoing: bool,
    /// How we encrypt.
    pub encryption_version: EncryptionVersion,
    /// Whether we compress.
    pub compression: bool,
}

impl Layers<'_> {
    /// Whether what we send is encrypted.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.verify_outgoing && !self.keyring.is_empty()
    }
}

/// How plaintext is laid out before AES-GCM. Receivers take both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionVersion {
    /// Protocol 1: padded to 16 bytes (PKCS7).
    Padded,
    /// Protocol 2 and above: as it is.
    Plain,
}

impl EncryptionVersion {
    /// What a node speaking this memberlist protocol uses.
    #[must_use]
    pub fn for_protocol(protocol: u8) -> Self {
        if protocol <= 1 { Self::Padded } else { Self::Plain }
    }
}

/// Whether a datagram gets a checksum: Go adds it when it knows the destination as a node with protocol max >= 5 (2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crc {
    /// Add it.
    With,
    /// Leave it away.
    Without,
}

/// A datagram without its layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// What could be read, in order.
    pub messages: Vec<Message>,
    /// What could not.
    pub faults: Faults,
}

/// Parts of a datagram that were dropped while their neighbours count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Parts that could not be read, or that were too deep or too many.
    pub skipped: usize,
    /// Parts of a compound that ran past its end.
    pub lost: usize,
    /// The first reason, for the log. `None`: all was well.
    pub first: Option<MessageError>,
}

impl Faults {
    fn skip(&mut self, count: usize, reason: MessageError) {
        self.skipped = self.skipped.saturating_add(count);
        self.first.get_or_insert(reason);
    }

    fn lose(&mut self, count: usize) {
        if count > 0 {
            self.lost = self.lost.saturating_add(count);
            self.first.get_or_insert(MessageError::CompoundParts { lost: count });
        }
    }
}

/// Takes the layers off a datagram.
///
/// # Errors
/// A layer does not open: all of it is dropped. Parts that cannot be read are no error but counted.
pub fn open(layers: &Layers<'_>, packet: &[u8]) -> Result<Opened, PacketError> {
    if packet.is_empty() {
        return Err(PacketError::Empty);
    }
    let (label, body) = match LabelHeader::read(packet)? {
        LabelHeader::None => (&[][..], packet),
        LabelHeader::Incomplete => return Err(LabelError::Truncated("packet").into()),
        LabelHeader::Label { label, rest } => (label, rest),
    };
    label::check(layers, label)?;
    let decrypted;
    let body = if layers.keyring.is_empty() {
        body
    } else {
        match security::decrypt(layers.keyring, body, layers.label) {
            Ok(plaintext) => {
                decrypted = plaintext;
                &decrypted
            }
            Err(error) if layers.verify_incoming => return Err(error.into()),
            Err(_) => body,
        }
    };
    let command = check_crc(body)?;
    let mut reader = Reader::default();
    reader.command(command, 0);
    Ok(reader.opened)
}

/// Wraps one part bare, several as a compound.
///
/// # Panics
/// Unless there are 1 to 127 parts, none of them empty, and, if there are several, none longer than 65,535 bytes.
#[must_use]
pub fn seal(layers: &Layers<'_>, parts: &[Bytes], crc: Crc, nonce: [u8; NONCE_LENGTH]) -> Bytes {
    let content = match parts {
        [part] => {
            assert!(!part.is_empty(), "an empty command crashes old Go agents");
            Cow::Borrowed(&part[..])
        }
        _ => Cow::Owned(compound(parts)),
    };
    let content = if layers.compression { compress::compress_if_shorter(content) } else { content };
    let content = match crc {
        Crc::With => Cow::Owned(add_crc(&content)),
        Crc::Without => content,
    };
    let content = match layers.keyring.primary() {
        Some(key) if layers.encrypts() => {
            Cow::Owned(security::encrypt(layers.encryption_version, key, nonce, &content, layers.label))
        }
        Some(_) | None => content,
    };
    Bytes::from(label::add(layers.label, content).into_owned())
}

/// Bytes that label and encryption add to a datagram of ours. The checksum is not counted, as Go does not (2.4).
#[must_use]
pub fn packet_overhead(layers: &Layers<'_>) -> usize {
    let encryption = if layers.encrypts() { security::overhead(layers.encryption_version) } else { 0 };
    label::overhead(layers.label).saturating_add(encryption)
}

/// Reads commands, within the budget of one datagram.
#[derive(Default)]
struct Reader {
    opened: Opened,
    /// Commands read, wrappers included.
    commands: usize,
    /// Compressions among them.
    compressions: usize,
    /// Bytes that came out of compressions.
    expanded: usize,
}

impl Reader {
    fn command(&mut self, command: &[u8], depth: usize) {
        if self.commands >= limits::PACKET_COMMANDS {
            return self.opened.faults.skip(1, MessageError::TooMany);
        }
        self.commands = self.commands.saturating_add(1);
        let (kind, body) = match command.split_first() {
            Some((&number, body)) => (MessageType::from_byte(number), body),
            None => return self.opened.faults.skip(1, MessageError::Empty),
        };
        let wraps = matches!(kind, Some(MessageType::Compound | MessageType::Compress));
        if wraps && depth >= limits::PACKET_NESTING {
            return self.opened.faults.skip(1, MessageError::TooDeep);
        }
        let deeper = depth.saturating_add(1);
        if kind == Some(MessageType::Compound) {
            self.compound(body, deeper);
        } else if kind == Some(MessageType::Compress) {
            self.compressed(body, deeper);
        } else {
            match Message::decode(command) {
                Ok(message) => self.opened.messages.push(message),
                Err(error) => self.opened.faults.skip(1, error),
            }
        }
    }

    fn compound(&mut self, body: &[u8], depth: usize) {
        match split_compound(body) {
            Ok((parts, lost)) => {
                for part in parts {
                    self.command(part, depth);
                }
                self.opened.faults.lose(lost);
            }
            Err(error) => self.opened.faults.skip(1, error),
        }
    }

    fn compressed(&mut self, body: &[u8], depth: usize) {
        if self.compressions >= limits::PACKET_COMPRESSIONS {
            return self.opened.faults.skip(1, MessageError::TooMany);
        }
        self.compressions = self.compressions.saturating_add(1);
        let budget = limits::PACKET_EXPANSION_BYTES.saturating_sub(self.expanded);
        match compress::decompress(body, budget) {
            Ok(content) => {
                self.expanded = self.expanded.saturating_add(content.len());
                self.command(&content, depth);
            }
            Err(error) => {
                // What was expanded before the error was work, too: nothing more is decompressed.
                if matches!(error, CompressError::TooLarge(_) | CompressError::Truncated | CompressError::Code) {
                    self.expanded = limits::PACKET_EXPANSION_BYTES;
                }
                self.opened.faults.skip(1, MessageError::Compress(error));
            }
        }
    }
}

/// Checks and takes off the checksum, if there is one. A packet too short for one is left as it is: an unknown command.
fn check_crc(body: &[u8]) -> Result<&[u8], PacketError> {
    let Some((&[kind, a, b, c, d], content)) = body.split_first_chunk() else {
        return Ok(body);
    };
    if kind != MessageType::HasCrc.byte() {
        return Ok(body);
    }
    let expected = u32::from_be_bytes([a, b, c, d]);
    let computed = crc32fast::hash(content);
    if computed == expected { Ok(content) } else { Err(PacketError::Checksum { computed, expected }) }
}

fn add_crc(content: &[u8]) -> Vec<u8> {
    let mut out = vec![MessageType::HasCrc.byte()];
    out.extend_from_slice(&crc32fast::hash(content).to_be_bytes());
    out.extend_from_slice(content);
    out
}

/// The parts of a compound (`body`: without type byte), and how many are lost because it ends too early.
fn split_compound(body: &[u8]) -> Result<(Vec<&[u8]>, usize), MessageError> {
    let (&count, rest) = body.split_first().ok_or(MessageError::CompoundCount)?;
    let count = usize::from(count);
    let (lengths, mut rest) = rest.split_at_checked(count.saturating_mul(2)).ok_or(MessageError::CompoundLengths)?;
    let mut parts = Vec::with_capacity(count);
    for length in lengths.chunks_exact(2) {
        let length = length.iter().fold(0, |value, &byte| value << 8 | usize::from(byte));
        let Some((part, behind)) = rest.split_at_checked(length) else {
            break;
        };
        parts.push(part);
        rest = behind;
    }
    let lost = count.saturating_sub(parts.len());
    Ok((parts, lost))
}

#[expect(clippy::expect_used, reason = "checked just before, or bounded by the size of a datagram")]
fn compound(parts: &[Bytes]) -> Vec<u8> {
    assert!((1..=limits::COMPOUND_PARTS_SENT).contains(&parts.len()), "{} parts in a compound", parts.len());
    let mut out = vec![MessageType::Compound.byte(), u8::try_from(parts.len()).expect("at most 127")];
    for part in parts {
        assert!(!part.is_empty(), "an empty command crashes old Go agents");
        let length = u16::try_from(part.len()).expect("a part fits a datagram");
        out.extend_from_slice(&length.to_be_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
