//! Reading: one value from the front of a file (Go's `Decoder`, for configuration files) or a whole text (`Unmarshal`,
//! for keyring and tags files), with Go's complaints (`docs/spec/agent-cli.md` 3.3, 3.10).
//!
//! Our own, because the complaints are shown to operators and `serde_json` has others. Answers to Go's
//! `encoding/json/scanner.go`.

use std::collections::BTreeMap;

use crate::limits::JSON_DEPTH;

/// A value as Go keeps it in an `interface{}`. Of equal keys the last counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Go keeps every number as a 64-bit float.
    Number(f64),
    /// What is not UTF-8 has become U+FFFD.
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

impl Value {
    /// Go's word for it where it does not fit (`cannot unmarshal object into ...`).
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

/// Why a text is refused; `Display` is Go's. The file's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// Nothing but blanks where one value was wanted.
    #[error("EOF")]
    Nothing,
    /// It ends inside the value that was wanted.
    #[error("unexpected EOF")]
    CutOff,
    /// It ends inside the value it should be.
    #[error("unexpected end of JSON input")]
    Incomplete,
    /// A character that cannot stand there.
    #[error("invalid character {} {place}", quote_character(*.character))]
    Character {
        /// The byte.
        character: u8,
        /// Go's words for where it stands.
        place: String,
    },
    /// Lists and objects inside one another beyond what we read.
    #[error("exceeded max depth")]
    TooDeep,
    /// Beyond the range of a 64-bit float.
    #[error("json: cannot unmarshal number {0} into Go value of type float64")]
    Range(String),
}

/// Reads the first value of `text`; what follows it is not looked at.
///
/// # Errors
/// [`JsonError`].
pub(crate) fn read_first(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = Reader::new(text);
    let value = reader.value(0).map_err(|error| match error {
        JsonError::Incomplete if text.iter().all(|byte| is_blank(*byte)) => JsonError::Nothing,
        JsonError::Incomplete => JsonError::CutOff,
        other @ (JsonError::Nothing
        | JsonError::CutOff
        | JsonError::Character { .. }
        | JsonError::TooDeep
        | JsonError::Range(_)) => other,
    })?;
    reader.finished(value)
}

/// Reads `text`, which has to be one value.
///
/// # Errors
/// [`JsonError`].
pub(crate) fn read_whole(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    match reader.skip_blanks() {
        Some(character) => Err(unfit(character, "after top-level value")),
        None => reader.finished(value),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// The first number beyond range: told only if nothing else is wrong, because Go checks the form first.
    out_of_range: Option<String>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { rest: text, out_of_range: None }
    }

    fn finished(self, value: Value) -> Result<Value, JsonError> {
        self.out_of_range.map_or(Ok(value), |number| Err(JsonError::Range(number)))
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Result<u8, JsonError> {
        let (first, rest) = self.rest.split_first().ok_or(JsonError::Incomplete)?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next byte that is no blank; it stays.
    fn skip_blanks(&mut self) -> Option<u8> {
        while self.peek().is_some_and(is_blank) {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        self.peek()
    }

    /// As [`Reader::next`], behind blanks.
    fn next_token(&mut self) -> Result<u8, JsonError> {
        self.skip_blanks();
        self.next()
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        match self.next_token()? {
            b'{' if depth < JSON_DEPTH => self.object(depth),
            b'[' if depth < JSON_DEPTH => self.list(depth),
            b'{' | b'[' => Err(JsonError::TooDeep),
            b'"' => Ok(Value::Text(self.text()?)),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            digit @ (b'-' | b'0'..=b'9') => self.number(digit),
            other => Err(unfit(other, "looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut fields = BTreeMap::new();
        if self.skip_blanks() == Some(b'}') {
            self.next()?;
            return Ok(Value::Object(fields));
        }
        loop {
            match self.next_token()? {
                b'"' => {}
                other => return Err(unfit(other, "looking for beginning of object key string")),
            }
            let key = self.text()?;
            match self.next_token()? {
                b':' => {}
                other => return Err(unfit(other, "after object key")),
            }
            fields.insert(key, self.value(depth.saturating_add(1))?);
            match self.next_token()? {
                b',' => {}
                b'}' => return Ok(Value::Object(fields)),
                other => return Err(unfit(other, "after object key:value pair")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut values = Vec::new();
        if self.skip_blanks() == Some(b']') {
            self.next()?;
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth.saturating_add(1))?);
            match self.next_token()? {
                b',' => {}
                b']' => return Ok(Value::List(values)),
                other => return Err(unfit(other, "after array element")),
            }
        }
    }

    /// The word whose first letter has been read.
    fn literal(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        for expected in word.bytes().skip(1) {
            let found = self.next()?;
            if found != expected {
                let place = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(JsonError::Character { character: found, place });
            }
        }
        Ok(value)
    }

    fn number(&mut self, first: u8) -> Result<Value, JsonError> {
        let mut digits = String::from(char::from(first));
        let leading = if first == b'-' { self.digit("in numeric literal", &mut digits)? } else { first };
        if leading != b'0' {
            self.digits(&mut digits);
        }
        if self.take(b".", &mut digits) {
            self.digit("after decimal point in numeric literal", &mut digits)?;
            self.digits(&mut digits);
        }
        if self.take(b"eE", &mut digits) {
            self.take(b"+-", &mut digits);
            self.digit("in exponent of numeric literal", &mut digits)?;
            self.digits(&mut digits);
        }
        let number: f64 = digits.parse().unwrap_or(f64::INFINITY);
        if !number.is_finite() {
            self.out_of_range.get_or_insert(digits);
        }
        Ok(Value::Number(number))
    }

    /// One digit that has to be there.
    fn digit(&mut self, place: &str, digits: &mut String) -> Result<u8, JsonError> {
        let digit = self.next()?;
        if !digit.is_ascii_digit() {
            return Err(unfit(digit, place));
        }
        digits.push(char::from(digit));
        Ok(digit)
    }

    fn digits(&mut self, digits: &mut String) {
        while self.take(b"0123456789", digits) {}
    }

    /// Takes the next byte if it is one of `wanted`.
    fn take(&mut self, wanted: &[u8], taken: &mut String) -> bool {
        match self.rest.split_first() {
            Some((byte, rest)) if wanted.contains(byte) => {
                taken.push(char::from(*byte));
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    /// A text whose opening quote has been read.
    fn text(&mut self) -> Result<String, JsonError> {
        let mut bytes = Vec::new();
        let mut text = String::new();
        loop {
            match self.next()? {
                b'"' => {
                    push_lossy(&mut text, &bytes);
                    return Ok(text);
                }
                b'\\' => {
                    push_lossy(&mut text, &bytes);
                    bytes.clear();
                    let escaped = self.escape()?;
                    text.push(escaped);
                }
                control @ 0..=0x1f => return Err(unfit(control, "in string literal")),
                byte => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        Ok(match self.next()? {
            plain @ (b'"' | b'\\' | b'/') => char::from(plain),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.code_unit()?;
                self.character(first)?
            }
            other => return Err(unfit(other, "in string escape code")),
        })
    }

    /// The character that begins with this UTF-16 code unit; a half without its other becomes U+FFFD.
    fn character(&mut self, first: u16) -> Result<char, JsonError> {
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.rest;
        if let Some(rest) = self.rest.strip_prefix(b"\\u") {
            self.rest = rest;
            let second = self.code_unit()?;
            if let Some(Ok(character)) = char::decode_utf16([first, second]).next() {
                return Ok(character);
            }
        }
        self.rest = before;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    /// Four hexadecimal digits.
    fn code_unit(&mut self) -> Result<u16, JsonError> {
        let mut unit: u16 = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            let digit = char::from(byte).to_digit(16);
            let digit = digit.ok_or_else(|| unfit(byte, "in \\u hexadecimal character escape"))?;
            unit = unit << 4 | u16::try_from(digit).unwrap_or_default();
        }
        Ok(unit)
    }
}

/// Go replaces each byte that is not UTF-8 by itself.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| text.push(char::REPLACEMENT_CHARACTER));
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn unfit(character: u8, place: &str) -> JsonError {
    JsonError::Character { character, place: place.to_owned() }
}

/// In single quotes, escaped as Go's `quoteChar` does.
fn quote_character(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let quoted = crate::go_text::quote(char::from(byte).to_string().as_bytes());
            format!("'{}'", quoted.trim_matches('"'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(read: fn(&[u8]) -> Result<Value, JsonError>, text: &[u8]) -> String {
        read(text).map_or_else(|error| error.to_string(), |value| format!("read {value:?}"))
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = br#" {"a":[1,-0.5e+2,true,false,null],"b":{"c":"x\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dz\udc00"},"b2":[],"b3":{}} "#;
        let Ok(Value::Object(fields)) = read_whole(text) else { panic!("not read") };
        let list = [Value::Number(1.0), Value::Number(-50.0), Value::Bool(true), Value::Bool(false), Value::Null];
        assert_eq!(fields["a"], Value::List(list.to_vec()));
        let Value::Object(inner) = &fields["b"] else { panic!("not an object") };
        assert_eq!(inner["c"], Value::Text("x\"\\/\u{8}\u{c}\n\r\té\u{1f600}\u{fffd}z\u{fffd}".into()));
        assert_eq!((&fields["b2"], &fields["b3"]), (&Value::List(vec![]), &Value::Object(BTreeMap::new())));
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_bad_utf8_is_replaced() {
        assert_eq!(
            read_whole(b"{\"a\":1,\"a\":\"\xff\xc3\"}"),
            Ok(Value::Object([("a".to_owned(), Value::Text("\u{fffd}\u{fffd}".into()))].into()))
        );
    }

    #[test]
    fn only_the_first_value_of_a_file_is_looked_at() {
        assert_eq!(read_first(b"{} nonsense"), Ok(Value::Object(BTreeMap::new())));
        assert_eq!(fault(read_whole, b"{} n"), "invalid character 'n' after top-level value");
        for (text, expected) in [("", "EOF"), (" \n", "EOF"), ("{\"a\"", "unexpected EOF"), ("\"", "unexpected EOF")] {
            assert_eq!(fault(read_first, text.as_bytes()), expected);
        }
        assert_eq!(fault(read_whole, b""), "unexpected end of JSON input");
        assert_eq!(fault(read_whole, b"[1,"), "unexpected end of JSON input");
    }

    #[test]
    fn complaints_are_those_of_go() {
        for (text, expected) in [
            (&b"x"[..], "invalid character 'x' looking for beginning of value"),
            (b"\xef\xbb\xbf{}", "invalid character '\u{ef}' looking for beginning of value"),
            (b"'a'", r"invalid character '\'' looking for beginning of value"),
            (b"[1,]", "invalid character ']' looking for beginning of value"),
            (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
            (b"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            (b"{\"a\" 1}", "invalid character '1' after object key"),
            (b"{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"),
            (b"[1 2]", "invalid character '2' after array element"),
            (b"[01]", "invalid character '1' after array element"),
            (b"[-x]", "invalid character 'x' in numeric literal"),
            (b"[1.x]", "invalid character 'x' after decimal point in numeric literal"),
            (b"[1ex]", "invalid character 'x' in exponent of numeric literal"),
            (b"[nul]", "invalid character ']' in literal null (expecting 'l')"),
            (b"\"a\nb\"", "invalid character '\\n' in string literal"),
            (br#""\x""#, "invalid character 'x' in string escape code"),
            (br#""\u00g""#, r"invalid character 'g' in \u hexadecimal character escape"),
            (b"[1e999]", "json: cannot unmarshal number 1e999 into Go value of type float64"),
        ] {
            assert_eq!(fault(read_first, text), expected);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(read_whole(&nested(JSON_DEPTH)).is_ok());
        assert_eq!(read_whole(&nested(JSON_DEPTH + 1)), Err(JsonError::TooDeep));
        assert_eq!(read_whole(&vec![b'['; 1_000_000]), Err(JsonError::TooDeep));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = read_first(&text);
        }

        #[test]
        fn printed_texts_come_back(text in "\\PC*[\\x00-\\x20<>&\"\\\\]*") {
            let printed = crate::go_json::Json::Text(text.as_bytes()).print();
            proptest::prop_assert_eq!(read_whole(printed.as_bytes()), Ok(Value::Text(text)));
        }
    }
}
