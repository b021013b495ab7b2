//! Records of the data file: each carries a checksum over its place and its bytes, checked whenever it is read, because the
//! storage crate checks its own only after a crash. The place is part of it, so that a record found elsewhere does not pass.

use std::io;

/// Bytes of a checksum.
const CHECKSUM: usize = 4;

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

/// The record for `body` at `place`.
pub(crate) fn seal(place: &str, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(CHECKSUM.saturating_add(body.len()));
    record.extend_from_slice(&checksum(place, body).to_le_bytes());
    record.extend_from_slice(body);
    record
}

/// The body of the record at `place`.
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
        let record = seal("entry 7", b"some bytes");
        assert_eq!(unseal("entry 7", &record).unwrap(), b"some bytes");
        assert!(unseal("entry 8", &record).is_err());
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal("entry 7", &flipped).is_err(), "bit {bit}");
        }
        assert!(unseal("entry 7", &record[..3]).is_err());
    }
}
