//! Names of DNS: labels, and how packets shorten them by pointing back (RFC 1035 4.1.4). Pure and bounded.

use std::fmt;

/// Bytes of one label, and of a whole name. RFC 1035 2.3.4.
const LABEL_BYTES: usize = 63;
const NAME_BYTES: usize = 255;

/// Two high bits: this is a pointer.
const POINTER: u8 = 0xc0;
/// Places a pointer can point to.
const POINTABLE: usize = 0x4000;

/// Labels; compared as DNS does, without regard to case.
#[derive(Clone)]
pub struct Name(Vec<Vec<u8>>);

impl Name {
    /// Reads `a.b.c.`; empty labels are left out, as a final dot is.
    pub fn of(text: &str) -> Self {
        Self(text.split('.').filter(|label| !label.is_empty()).map(|label| label.as_bytes().to_vec()).collect())
    }

    /// Whether a packet can carry it.
    pub fn is_valid(&self) -> bool {
        let length = self.0.iter().fold(1_usize, |sum, label| sum.saturating_add(label.len()).saturating_add(1));
        !self.0.is_empty() && length <= NAME_BYTES && self.0.iter().all(|label| label.len() <= LABEL_BYTES)
    }

    /// Whether this name is below `parent`.
    pub fn is_below(&self, parent: &Self) -> bool {
        let Some(above) = self.0.len().checked_sub(parent.0.len()) else { return false };
        above > 0 && self.0.get(above..).is_some_and(|labels| same(labels, &parent.0))
    }
}

fn same(left: &[Vec<u8>], right: &[Vec<u8>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.eq_ignore_ascii_case(right))
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            write!(formatter, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

/// A packet under way, and where names stand in it.
#[derive(Debug, Default)]
pub(super) struct NameWriter {
    pub(super) bytes: Vec<u8>,
    known: Vec<(Vec<Vec<u8>>, u16)>,
}

impl NameWriter {
    /// Big-endian.
    pub(super) fn number(&mut self, number: u16) {
        self.bytes.extend(number.to_be_bytes());
    }

    /// As short as it can be.
    pub(super) fn name(&mut self, name: &Name) {
        for start in 0..name.0.len() {
            let rest = name.0.get(start..).unwrap_or_default();
            if let Some((_, place)) = self.known.iter().find(|(labels, _)| labels == rest) {
                return self.number(u16::from(POINTER) << 8 | place);
            }
            self.label(rest);
        }
        self.bytes.push(0);
    }

    /// Without pointers, for the data of SRV records (RFC 2782); others may point to it.
    pub(super) fn whole_name(&mut self, name: &Name) {
        for start in 0..name.0.len() {
            self.label(name.0.get(start..).unwrap_or_default());
        }
        self.bytes.push(0);
    }

    /// The first of `labels`; remembers where all of them begin.
    fn label(&mut self, labels: &[Vec<u8>]) {
        let Some(first) = labels.first() else { return };
        if self.bytes.len() < POINTABLE
            && let Ok(place) = u16::try_from(self.bytes.len())
            && !self.known.iter().any(|(known, _)| known == labels)
        {
            self.known.push((labels.to_vec(), place));
        }
        let length = first.len().min(LABEL_BYTES);
        self.bytes.push(u8::try_from(length).unwrap_or(0));
        self.bytes.extend(first.get(..length).unwrap_or_default());
    }

    /// Writes, at `place`, how many bytes followed the number there.
    pub(super) fn close_length(&mut self, place: usize) {
        let length = self.bytes.len().saturating_sub(place).saturating_sub(2);
        let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        for (offset, byte) in length.into_iter().enumerate() {
            if let Some(slot) = self.bytes.get_mut(place.saturating_add(offset)) {
                *slot = byte;
            }
        }
    }
}

/// Reads a packet from its beginning.
#[derive(Debug)]
pub(super) struct NameReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> NameReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Goes to `position`, which has to be inside the packet or at its end.
    pub(super) fn seek(&mut self, position: usize) -> Option<()> {
        (position <= self.bytes.len()).then(|| self.position = position)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.position.checked_add(N)?;
        let array = self.bytes.get(self.position..end)?.try_into().ok()?;
        self.position = end;
        Some(array)
    }

    /// Big-endian.
    pub(super) fn number(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A name. Pointers lead backwards only, and the whole is bounded, so this ends.
    pub(super) fn name(&mut self) -> Option<Name> {
        let (mut labels, mut length) = (Vec::new(), 1_usize);
        let (mut position, mut after) = (self.position, None);
        loop {
            let first = *self.bytes.get(position)?;
            let next = position.checked_add(1)?;
            match first {
                0 => {
                    self.position = after.unwrap_or(next);
                    return Some(Name(labels));
                }
                _ if first & POINTER == POINTER => {
                    let low = *self.bytes.get(next)?;
                    let target = usize::from(u16::from_be_bytes([first & !POINTER, low]));
                    after = after.or(next.checked_add(1));
                    if target >= position {
                        return None;
                    }
                    position = target;
                }
                _ if first & POINTER != 0 => return None,
                _ => {
                    let end = next.checked_add(usize::from(first))?;
                    labels.push(self.bytes.get(next..end)?.to_vec());
                    length = length.checked_add(usize::from(first))?.checked_add(1)?;
                    if length > NAME_BYTES {
                        return None;
                    }
                    position = end;
                }
            }
        }
    }
}
