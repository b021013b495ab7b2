//! Text as Go prints it: quoting with `%q` and byte slices with `%#v`.

use std::fmt::Write as _;

/// Quotes as Go's `%q`: printable characters stay, others are escaped, bytes that are not UTF-8 become `\x..`.
pub fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|character| push_escaped(&mut quoted, character));
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn push_escaped(quoted: &mut String, character: char) {
    let _ = match character {
        '"' | '\\' => write!(quoted, "\\{character}"),
        '\u{7}' => write!(quoted, "\\a"),
        '\u{8}' => write!(quoted, "\\b"),
        '\u{c}' => write!(quoted, "\\f"),
        '\n' => write!(quoted, "\\n"),
        '\r' => write!(quoted, "\\r"),
        '\t' => write!(quoted, "\\t"),
        '\u{b}' => write!(quoted, "\\v"),
        ' '..='~' => write!(quoted, "{character}"),
        '\0'..='\u{1f}' | '\u{7f}' => write!(quoted, "\\x{:02x}", u32::from(character)),
        _ if is_printable(character) => write!(quoted, "{character}"),
        '\u{80}'..='\u{ffff}' => write!(quoted, "\\u{:04x}", u32::from(character)),
        _ => write!(quoted, "\\U{:08x}", u32::from(character)),
    };
}

/// Whether a character outside ASCII shows as itself. The standard library knows, in the shape of its own escaping;
/// the letter in front keeps it from escaping combining marks, which Go prints.
fn is_printable(character: char) -> bool {
    let shown: String = ['a', character].iter().collect();
    shown.escape_debug().eq(shown.chars())
}

/// A byte slice as Go's `%#v` writes it behind its type: `{0x76, 0x31}`.
pub fn byte_list(bytes: &[u8]) -> String {
    let listed: Vec<String> = bytes.iter().map(|byte| format!("{byte:#x}")).collect();
    format!("{{{}}}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_escapes_what_go_escapes() {
        for (bytes, quoted) in [
            (&b"plain"[..], r#""plain""#),
            (b"no\"such", r#""no\"such""#),
            (b"\\ \n\t\x07\x01\x7f", r#""\\ \n\t\a\x01\x7f""#),
            ("é\u{301}\u{1f600}".as_bytes(), "\"é\u{301}\u{1f600}\""),
            ("\u{a0}\u{200b}\u{e0001}".as_bytes(), r#""\u00a0\u200b\U000e0001""#),
            (b"\xff\xc3a", r#""\xff\xc3a""#),
        ] {
            assert_eq!(quote(bytes), quoted);
        }
    }

    #[test]
    fn byte_lists_are_in_hexadecimal() {
        assert_eq!(byte_list(b"v1"), "{0x76, 0x31}");
        assert_eq!(byte_list(b"\0"), "{0x0}");
        assert_eq!(byte_list(b""), "{}");
    }
}
