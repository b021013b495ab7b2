//! The cluster label in front of datagrams and dialled streams (spec 2.2): `f4 | length | label`. Go: `label.go`.

use std::borrow::Cow;

use crate::messages::MessageType;
use crate::packet::Layers;

/// What is wrong with a label. The input is dropped, or the stream closed, without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The header ends too early.
    #[error("cannot decode label; {0} has been truncated")]
    Truncated(&'static str),
    /// A header must name a label.
    #[error("label header cannot be empty when present")]
    Empty,
    /// There is a label although we were told to expect none.
    #[error("unexpected double label header")]
    Double,
    /// Somebody else's cluster, or a cluster without label.
    #[error("unacceptable label {:?}", String::from_utf8_lossy(.0))]
    Mismatch(Vec<u8>),
}

/// What stands at the front of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LabelHeader<'a> {
    /// No header.
    None,
    /// The start of a header.
    Incomplete,
    /// A header and what follows it.
    Label { label: &'a [u8], rest: &'a [u8] },
}

impl<'a> LabelHeader<'a> {
    pub(crate) fn read(input: &'a [u8]) -> Result<Self, LabelError> {
        let Some((&first, header)) = input.split_first() else {
            return Ok(Self::Incomplete);
        };
        if first != MessageType::HasLabel.byte() {
            return Ok(Self::None);
        }
        let Some((&length, body)) = header.split_first() else {
            return Ok(Self::Incomplete);
        };
        if length == 0 {
            return Err(LabelError::Empty);
        }
        Ok(match body.split_at_checked(usize::from(length)) {
            Some((label, rest)) => Self::Label { label, rest },
            None => Self::Incomplete,
        })
    }
}

/// Whether input with this label (empty: none) is for us. Go's log texts.
pub(crate) fn check(layers: &Layers<'_>, label: &[u8]) -> Result<(), LabelError> {
    if layers.skip_inbound_label_check {
        return if label.is_empty() { Ok(()) } else { Err(LabelError::Double) };
    }
    if label == layers.label { Ok(()) } else { Err(LabelError::Mismatch(label.to_vec())) }
}

/// Puts the label in front; nothing if it is empty.
///
/// # Panics
/// The label is longer than 255 bytes, which is refused at start.
#[expect(clippy::expect_used, reason = "the configuration is checked when the engine is made")]
pub(crate) fn add<'a>(label: &[u8], content: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    if label.is_empty() {
        return content;
    }
    let length = u8::try_from(label.len()).expect("a label has at most 255 bytes");
    let mut out = Vec::with_capacity(overhead(label).saturating_add(content.len()));
    out.extend_from_slice(&[MessageType::HasLabel.byte(), length]);
    out.extend_from_slice(label);
    out.extend_from_slice(&content);
    Cow::Owned(out)
}

/// Bytes that [`add`] adds.
pub(crate) fn overhead(label: &[u8]) -> usize {
    if label.is_empty() { 0 } else { label.len().saturating_add(2) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::EncryptionVersion;
    use crate::{Keyring, limits};

    #[test]
    fn a_header_is_read_only_whole() {
        let packet = b"\xf4\x04blue\x0b";
        for cut in 0..6 {
            assert_eq!(LabelHeader::read(&packet[..cut]), Ok(LabelHeader::Incomplete), "{cut}");
        }
        assert_eq!(LabelHeader::read(packet), Ok(LabelHeader::Label { label: b"blue", rest: b"\x0b" }));
        assert_eq!(LabelHeader::read(b"\xf4\x00x"), Err(LabelError::Empty));
        assert_eq!(LabelHeader::read(b"\x00"), Ok(LabelHeader::None));
    }

    #[test]
    fn overhead_is_what_is_added() {
        for label in [&b""[..], b"a", &[b'x'; limits::LABEL_BYTES]] {
            let added = add(label, Cow::Borrowed(&[0x0b]));
            assert_eq!(added.len(), 1 + overhead(label));
        }
        assert_eq!(*add(b"blue", Cow::Borrowed(b"x")), *b"\xf4\x04bluex");
    }

    #[test]
    fn a_label_must_be_ours_and_may_be_forbidden() {
        let keyring = Keyring::default();
        let mut layers = Layers {
            label: b"blue",
            skip_inbound_label_check: false,
            keyring: &keyring,
            verify_incoming: true,
            verify_outgoing: true,
            encryption_version: EncryptionVersion::Plain,
            compression: false,
        };
        assert_eq!(check(&layers, b"blue"), Ok(()));
        assert_eq!(check(&layers, b"").unwrap_err().to_string(), "unacceptable label \"\"");
        assert_eq!(check(&layers, b"red").unwrap_err().to_string(), "unacceptable label \"red\"");
        layers.skip_inbound_label_check = true;
        assert_eq!(check(&layers, b""), Ok(()));
        assert_eq!(check(&layers, b"blue"), Err(LabelError::Double));
        layers.skip_inbound_label_check = false;
        layers.label = b"";
        assert_eq!(check(&layers, b""), Ok(()));
        assert!(check(&layers, b"blue").is_err());
    }
}
