//! Records on disk: each carries a checksum over its place and its bytes, checked whenever it is read. The place is part of
//! it, so that a record found elsewhere does not pass.

use std::io;

use crate::peer::NodeId;

/// Bytes of a checksum.
pub(crate) const CHECKSUM: usize = 4;

/// Bytes before the body of a record of the log: its length, and its checksum.
pub(crate) const HEAD: usize = 8;

/// A segment of a member's log, as the checksums of its records know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) member: NodeId,
    pub(crate) segment: u64,
}

impl Place {
    /// What stands before `body` at `offset`.
    pub(crate) fn head(self, offset: u64, body: &[u8]) -> Option<[u8; HEAD]> {
        let length = u32::try_from(body.len()).ok()?.to_le_bytes();
        let checksum = self.checksum(offset, body).to_le_bytes();
        let mut head = [0; HEAD];
        for (place, byte) in head.iter_mut().zip(length.into_iter().chain(checksum)) {
            *place = byte;
        }
        Some(head)
    }

    /// Whether `body` at `offset` is what `head` was written for.
    pub(crate) fn check(self, head: [u8; HEAD], offset: u64, body: &[u8]) -> Result<(), String> {
        let (_, found) = parts(head);
        let expected = self.checksum(offset, body);
        if found == expected {
            Ok(())
        } else {
            Err(format!("checksum {found:08x} stands there, {expected:08x} is right"))
        }
    }

    fn checksum(self, offset: u64, body: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.member.0.to_le_bytes());
        hasher.update(&self.segment.to_le_bytes());
        hasher.update(&offset.to_le_bytes());
        hasher.update(body);
        hasher.finalize()
    }
}

/// Bytes of the body behind `head`.
pub(crate) fn length(head: [u8; HEAD]) -> usize {
    usize::try_from(parts(head).0).unwrap_or(usize::MAX)
}

fn parts(head: [u8; HEAD]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = head;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// What was read is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} is damaged: {reason}")]
pub(crate) struct Damaged {
    /// Which record.
    pub(crate) place: String,
    /// How it was noticed.
    pub(crate) reason: String,
}

impl Damaged {
    pub(crate) fn new(place: impl Into<String>, reason: impl ToString) -> Self {
        Self { place: place.into(), reason: reason.to_string() }
    }
}

impl From<Damaged> for io::Error {
    fn from(damaged: Damaged) -> Self {
        Self::new(io::ErrorKind::InvalidData, damaged)
    }
}

/// The checksum of `body` at `place`, where no log is.
pub(crate) fn seal(place: &str, body: &[u8]) -> [u8; CHECKSUM] {
    checksum(place, body).to_le_bytes()
}

/// The body of the record at `place`, which begins with its checksum.
pub(crate) fn unseal<'a>(place: &str, record: &'a [u8]) -> Result<&'a [u8], Damaged> {
    let Some((found, body)) = record.split_first_chunk::<CHECKSUM>() else {
        return Err(Damaged::new(place, format!("{} bytes are no record", record.len())));
    };
    let (found, expected) = (u32::from_le_bytes(*found), checksum(place, body));
    if found == expected {
        Ok(body)
    } else {
        Err(Damaged::new(place, format!("checksum {found:08x} stands there, {expected:08x} is right")))
    }
}

fn checksum(place: &str, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(place.as_bytes());
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_other_place_is_noticed() {
        let record = [seal("entry 7", b"some bytes").as_slice(), b"some bytes"].concat();
        assert_eq!(unseal("entry 7", &record).unwrap(), b"some bytes");
        assert!(unseal("entry 8", &record).is_err());
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal("entry 7", &flipped).is_err(), "bit {bit}");
        }
        assert!(unseal("entry 7", &record[..3]).is_err());
    }

    #[test]
    fn a_record_of_the_log_passes_only_where_it_was_written() {
        let here = Place { member: NodeId(1), segment: 2 };
        let head = here.head(64, b"body").unwrap();
        assert_eq!((length(head), here.check(head, 64, b"body")), (4, Ok(())));
        assert!(here.check(head, 65, b"body").is_err());
        assert!(here.check(head, 64, b"bodz").is_err());
        assert!(Place { member: NodeId(2), ..here }.check(head, 64, b"body").is_err());
        assert!(Place { segment: 3, ..here }.check(head, 64, b"body").is_err());
    }
}
