//! [`OutputTail`]: the last bytes a script wrote. Go: `armon/circbuf`.

use std::collections::VecDeque;

use super::limits::SCRIPT_OUTPUT_BYTES;

/// Keeps the last [`SCRIPT_OUTPUT_BYTES`] and counts the rest.
#[derive(Debug, Default)]
pub(super) struct OutputTail {
    bytes: VecDeque<u8>,
    written: u64,
}

impl OutputTail {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.written = self.written.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let tail = piece.len().saturating_sub(SCRIPT_OUTPUT_BYTES);
        let piece = piece.get(tail..).unwrap_or_default();
        let surplus = self.bytes.len().saturating_add(piece.len()).saturating_sub(SCRIPT_OUTPUT_BYTES);
        self.bytes.drain(..surplus);
        self.bytes.extend(piece);
    }

    /// How many bytes were written in all.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// What is kept, in order.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_however_they_come() {
        let text: Vec<u8> = (0..20_000u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        for piece in [1, 7, SCRIPT_OUTPUT_BYTES, SCRIPT_OUTPUT_BYTES + 1, text.len()] {
            let mut output = OutputTail::default();
            text.chunks(piece).for_each(|piece| output.push(piece));
            assert_eq!(output.written(), 20_000);
            assert_eq!(output.into_bytes(), &text[20_000 - SCRIPT_OUTPUT_BYTES..], "pieces of {piece}");
        }
    }

    #[test]
    fn little_is_kept_whole() {
        let mut output = OutputTail::default();
        output.push(b"ab");
        output.push(b"");
        output.push(b"c");
        assert_eq!(output.into_bytes(), b"abc");
    }
}
