//! Where one value ends in a stream of bytes. Allocates nothing but one counter per open container.

use crate::DecodeError;
use crate::head::Head;

/// Finds the end of one value while its bytes arrive. Work done once is not done again.
#[derive(Debug, Clone)]
pub struct Scanner {
    /// Offset of the first value not yet passed.
    at: usize,
    /// Values still to come in each open container, outermost first; at most `max_depth` of them.
    open: Vec<usize>,
    max_depth: usize,
    max_length: usize,
}

impl Scanner {
    /// A scanner for one value that may nest `max_depth` containers and take `max_length` bytes.
    #[must_use]
    pub fn new(max_depth: usize, max_length: usize) -> Self {
        Self { at: 0, open: Vec::new(), max_depth, max_length }
    }

    /// Goes on with `bytes`, which start with the value and hold what the previous call was given and more. Returns the
    /// value's length, or `None` while it is incomplete. After its end was found, scan another value with another scanner.
    ///
    /// # Errors
    /// The value is too deep, too long, or contains the reserved byte `c1`. A length that cannot fit any more is refused
    /// as soon as it is read.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        loop {
            let Some((head, head_length)) = bytes.get(self.at..).and_then(Head::read) else {
                return if bytes.len() >= self.max_length { Err(self.too_long()) } else { Ok(None) };
            };
            if head == Head::Reserved {
                return Err(DecodeError::new(self.at, "reserved byte c1"));
            }
            let end = self.at.saturating_add(head_length).saturating_add(head.content());
            let children = head.children();
            if end.saturating_add(children) > self.max_length {
                return Err(self.too_long());
            }
            if matches!(head, Head::Array(_) | Head::Map(_)) && self.open.len() >= self.max_depth {
                return Err(DecodeError::new(self.at, format!("nested deeper than {} levels", self.max_depth)));
            }
            if end > bytes.len() {
                return Ok(None);
            }
            self.at = end;
            if children > 0 {
                self.open.push(children);
            } else if self.close() {
                return Ok(Some(self.at));
            }
        }
    }

    /// Counts a finished value in its container, and the container in its own when that was the last. True: all is done.
    fn close(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left = left.saturating_sub(1);
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }

    fn too_long(&self) -> DecodeError {
        DecodeError::new(self.at, format!("value is longer than {} bytes", self.max_length))
    }
}

/// Where the first value in `bytes` ends: `Ok(None)` while it is incomplete. A caller whose bytes arrive in many small
/// pieces keeps a [`Scanner`] instead.
///
/// Bounded: values nested deeper than `max_depth` or longer than `max_length` bytes are refused, and the work done is
/// proportional to `bytes`.
///
/// # Errors
/// As [`Scanner::scan`].
pub fn value_length(bytes: &[u8], max_depth: usize, max_length: usize) -> Result<Option<usize>, DecodeError> {
    Scanner::new(max_depth, max_length).scan(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        value_length(bytes, 4, 100)
    }

    #[test]
    fn each_kind_of_value_has_its_length() {
        let values: &[(&[u8], usize)] = &[
            (&[0x05], 1),
            (&[0xff], 1),
            (&[0xc0], 1),
            (&[0xc3], 1),
            (&[0xcb, 0, 0, 0, 0, 0, 0, 0, 0], 9),
            (&[0xca, 0, 0, 0, 0], 5),
            (&[0xd3, 0, 0, 0, 0, 0, 0, 0, 0], 9),
            (&[0xa2, b'h', b'i'], 3),
            (&[0xd9, 1, b'h'], 3),
            (&[0xc4, 0], 2),
            (&[0xd4, 1, 2], 3),
            (&[0xd5, 1, 2, 3], 4),
            (&[0xd6, 1, 2, 3, 4, 5], 6),
            (&[0xd7, 1, 2, 3, 4, 5, 6, 7, 8, 9], 10),
            (&[0xd8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17], 18),
            (&[0xc7, 2, 9, 1, 2], 5),
            (&[0xc9, 0, 0, 0, 1, 9, 1], 7),
            (&[0xcc, 1], 2),
            (&[0xcd, 1, 2], 3),
            (&[0xce, 1, 2, 3, 4], 5),
            (&[0xcf, 1, 2, 3, 4, 5, 6, 7, 8], 9),
            (&[0xd0, 1], 2),
            (&[0xd1, 1, 2], 3),
            (&[0xd2, 1, 2, 3, 4], 5),
            (&[0xda, 0, 1, b'h'], 4),
            (&[0xdb, 0, 0, 0, 1, b'h'], 6),
            (&[0xc5, 0, 1, 7], 4),
            (&[0xc6, 0, 0, 0, 1, 7], 6),
            (&[0xdc, 0, 1, 7], 4),
            (&[0xdd, 0, 0, 0, 1, 7], 6),
            (&[0xde, 0, 1, 1, 2], 5),
            (&[0xc8, 0, 0, 9], 4),
            (&[0x90], 1),
            (&[0x92, 1, 0x91, 2], 4),
            (&[0x82, 1, 2, 3, 0x80], 5),
            (&[0xdf, 0, 0, 0, 1, 1, 2], 7),
        ];
        for (bytes, expected) in values {
            assert_eq!(length(bytes), Ok(Some(*expected)), "{bytes:02x?}");
            let mut longer = bytes.to_vec();
            longer.push(0xc1);
            assert_eq!(length(&longer), Ok(Some(*expected)), "what follows is not looked at: {bytes:02x?}");
            for cut in 0..bytes.len() {
                assert_eq!(length(&bytes[..cut]), Ok(None), "{bytes:02x?} cut at {cut}");
            }
        }
    }

    #[test]
    fn too_deep_is_refused_before_it_is_complete() {
        assert_eq!(length(&[0x91, 0x91, 0x91, 0x91, 0x01]), Ok(Some(5)));
        assert_eq!(length(&[0x91, 0x91, 0x91, 0x90]), Ok(Some(4)));
        assert!(length(&[0x91, 0x91, 0x91, 0x91, 0x80]).is_err());
        let error = length(&[0x91, 0x91, 0x91, 0x91, 0x91]).unwrap_err();
        assert_eq!(error, DecodeError::new(4, "nested deeper than 4 levels"));
    }

    #[test]
    fn declared_lengths_that_cannot_fit_are_refused_at_once() {
        for head in [&[0xdb, 0xff, 0xff, 0xff, 0xff][..], &[0xdd, 0xff, 0xff, 0xff, 0xff], &[0xdf, 0, 0, 0, 50]] {
            assert_eq!(length(head).unwrap_err(), DecodeError::new(0, "value is longer than 100 bytes"), "{head:02x?}");
        }
        assert_eq!(length(&[0xda, 0, 97]), Ok(None));
        assert!(length(&[0xda, 0, 98]).is_err());
    }

    #[test]
    fn a_value_that_fills_the_limit_without_ending_is_refused() {
        assert!(value_length(&[0x93, 1], 4, 2).is_err());
        assert!(value_length(&[0xcd, 1], 4, 2).is_err());
        assert_eq!(value_length(&[0xcc, 1], 4, 2), Ok(Some(2)));
    }

    #[test]
    fn reserved_byte_is_refused_anywhere() {
        assert_eq!(length(&[0xc1]).unwrap_err(), DecodeError::new(0, "reserved byte c1"));
        assert_eq!(length(&[0x92, 0, 0xc1]).unwrap_err().at, 2);
    }

    #[test]
    fn one_byte_at_a_time_is_as_all_at_once() {
        let value = [0x82, 0xa1, b'a', 0x93, 1, 0xc4, 1, 7, 0xc0, 0xa1, b'b', 0xd2, 0, 0, 1, 0];
        let mut scanner = Scanner::new(4, 100);
        for end in 0..value.len() {
            assert_eq!(scanner.scan(&value[..end]), Ok(None));
        }
        assert_eq!(scanner.scan(&value), Ok(Some(value.len())));
    }
}
