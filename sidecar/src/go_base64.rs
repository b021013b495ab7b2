//! Standard base64 with padding, refused where and how Go's `base64.StdEncoding` refuses it: line breaks are passed
//! over, the error names the byte, and leftover bits need not be zero.

/// Not base64; `Display` is Go's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {at}")]
pub struct IllegalBase64 {
    /// Offset of the first byte that does not fit; of a group's start where the text ends inside it.
    pub at: usize,
}

/// Decodes `text`.
///
/// # Errors
/// Something in it does not fit; nothing is returned of the rest.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, IllegalBase64> {
    let mut input = text.iter().copied().enumerate().filter(|&(_, byte)| byte != b'\n' && byte != b'\r');
    let mut decoded = Vec::with_capacity(text.len());
    let mut group: Vec<u8> = Vec::with_capacity(4);
    while let Some((at, byte)) = input.next() {
        if let Some(value) = value(byte) {
            group.push(value);
            if let [a, b, c, d] = *group {
                decoded.extend([a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                group.clear();
            }
            continue;
        }
        // Two characters need two signs of padding, three need one; nothing may follow.
        let padded = match *group {
            [a, b] if byte == b'=' => match input.next() {
                Some((_, b'=')) => vec![a << 2 | b >> 4],
                // Go points behind the sign that has come, but for the line breaks it passed over.
                Some((next, _)) => return Err(IllegalBase64 { at: next.saturating_sub(1) }),
                None => return Err(IllegalBase64 { at: text.len() }),
            },
            [a, b, c] if byte == b'=' => vec![a << 2 | b >> 4, b << 4 | c >> 2],
            _ => return Err(IllegalBase64 { at }),
        };
        decoded.extend(padded);
        return input.next().map_or(Ok(decoded), |(at, _)| Err(IllegalBase64 { at }));
    }
    // Go points as many bytes back from the end as the unfinished group has characters.
    if group.is_empty() { Ok(decoded) } else { Err(IllegalBase64 { at: text.len().saturating_sub(group.len()) }) }
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte.wrapping_sub(b'A')),
        b'a'..=b'z' => Some(byte.wrapping_sub(b'a').wrapping_add(26)),
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0').wrapping_add(52)),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_accepts_is_decoded() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9v\r\nYmFy\n", b"foobar"),
            ("Zg\n==", b"f"),
            // Leftover bits that are not zero.
            ("Zh==", b"f"),
            ("+/+/", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused_at_the_same_byte() {
        for (text, at) in [
            ("zzz", 0),
            ("Z", 0),
            ("Zm9vZ", 4),
            ("Zm9vZm", 4),
            ("Zm9vZg=", 7),
            ("Zm9v!m9v", 4),
            ("=", 0),
            ("Z=", 1),
            ("Zg=a", 2),
            ("Zg==a", 4),
            ("Zm8=Zm8=", 4),
            ("Zm9v====", 4),
            ("ab-_", 2),
        ] {
            assert_eq!(decode(text.as_bytes()), Err(IllegalBase64 { at }), "{text:?}");
        }
    }
}
