//! JSON as Go's `json.MarshalIndent` prints it: fields in the order given, two blanks per level, HTML characters escaped
//! (`docs/spec/agent-cli.md` 1.4).
//!
//! Our own, because `serde_json` keeps neither the order of fields of a value nor Go's escapes.

use std::fmt::Write as _;

/// A value to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json<'a> {
    Null,
    Number(u64),
    /// Bytes that are not UTF-8 print as U+FFFD.
    Text(&'a [u8]),
    List(Vec<Json<'a>>),
    /// In the order they are printed.
    Object(Vec<(&'a [u8], Json<'a>)>),
}

impl Json<'_> {
    /// The text, without a final newline.
    pub(crate) fn print(&self) -> String {
        let mut out = String::new();
        self.print_at(0, &mut out);
        out
    }

    /// Recursion goes as deep as the values of this program do: three levels.
    fn print_at(&self, depth: usize, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Number(number) => out.push_str(&number.to_string()),
            Json::Text(bytes) => push_text(bytes, out),
            Json::List(values) => print_each(values, depth, ['[', ']'], out, |value, out| {
                value.print_at(depth.saturating_add(1), out);
            }),
            Json::Object(fields) => print_each(fields, depth, ['{', '}'], out, |(name, value), out| {
                push_text(name, out);
                out.push_str(": ");
                value.print_at(depth.saturating_add(1), out);
            }),
        }
    }
}

fn print_each<T>(items: &[T], depth: usize, ends: [char; 2], out: &mut String, print: impl Fn(&T, &mut String)) {
    let [opening, closing] = ends;
    out.push(opening);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&INDENT.repeat(depth.saturating_add(1)));
        print(item, out);
    }
    if !items.is_empty() {
        out.push('\n');
        out.push_str(&INDENT.repeat(depth));
    }
    out.push(closing);
}

const INDENT: &str = "  ";

fn push_text(bytes: &[u8], out: &mut String) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|character| push_character(character, out));
        chunk.invalid().iter().for_each(|_| out.push_str("\\ufffd"));
    }
    out.push('"');
}

fn push_character(character: char, out: &mut String) {
    match character {
        '"' | '\\' => out.extend(['\\', character]),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        }
        _ => out.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_indented_by_two_blanks() {
        let value = Json::Object(vec![
            (b"z", Json::List(vec![Json::Text(b"x"), Json::Number(7)])),
            (b"a", Json::Object(vec![(b"n", Json::Null)])),
            (b"e", Json::Object(vec![])),
            (b"l", Json::List(vec![])),
        ]);
        let expected = r#"{
  "z": [
    "x",
    7
  ],
  "a": {
    "n": null
  },
  "e": {},
  "l": []
}"#;
        assert_eq!(value.print(), expected);
    }

    #[test]
    fn text_is_escaped_as_in_go() {
        let text = Json::Text(b"\xff<a>&\x01\x08\x0c\n\r\t\"\\\x7f\xe2\x80\xa8\xc3\xa9").print();
        assert_eq!(text, "\"\\ufffd\\u003ca\\u003e\\u0026\\u0001\\b\\f\\n\\r\\t\\\"\\\\\u{7f}\\u2028é\"");
    }
}
