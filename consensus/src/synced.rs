//! The file beside the log that says which write was synced last. It is written after the sync and not synced itself, so
//! it may be behind but never ahead: a log that ends before it has lost what was promised.

use std::io;

use crate::disk::Mark;

/// The mark, and what it says.
pub(crate) struct Synced {
    mark: Box<dyn Mark>,
    sequence: u64,
}

impl Synced {
    /// Two slots, written in turns, so that a torn write leaves the other: number and checksum.
    const SLOT: u64 = 16;

    pub(crate) fn open(mark: Box<dyn Mark>) -> io::Result<Self> {
        let mut sequence = 0;
        for slot in 0..2 {
            let mut bytes = [0; 12];
            if mark.read(slot * Self::SLOT, &mut bytes)? == bytes.len() {
                let (number, _) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
                let number = u64::from_le_bytes(*number);
                if bytes == Self::slot(number) {
                    sequence = sequence.max(number);
                }
            }
        }
        Ok(Self { mark, sequence })
    }

    /// The write that was synced last, as far as is known.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Says that write `sequence` is synced.
    pub(crate) fn write(&mut self, sequence: u64) -> io::Result<()> {
        self.sequence = sequence;
        self.mark.write(sequence % 2 * Self::SLOT, &Self::slot(sequence))
    }

    fn slot(number: u64) -> [u8; 12] {
        let mut slot = [0; 12];
        let number = number.to_le_bytes();
        let checksum = crc32fast::hash(&number).to_le_bytes();
        for (place, byte) in slot.iter_mut().zip(number.into_iter().chain(checksum)) {
            *place = byte;
        }
        slot
    }
}
