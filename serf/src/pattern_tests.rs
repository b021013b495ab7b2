//! Tests of [`super`]: where Go and Rust disagree, Go is right.

use super::*;

fn matches(expression: &str, text: &str) -> bool {
    match Pattern::search(&expression.into()) {
        Ok(pattern) => pattern.is_match(text.as_bytes()),
        Err(error) => panic!("{expression}: {error}"),
    }
}

#[track_caller]
fn refused(expression: &str) -> String {
    Pattern::search(&expression.into()).expect_err(expression).to_string()
}

#[test]
fn search_is_not_anchored() {
    assert!(matches("web", "my-web-1"));
    assert!(matches("", "anything"));
    assert!(matches("^$", ""));
    assert!(!matches("^$", "x"));
    assert!(!matches("^web$", "web\n"));
}

#[test]
fn anchored_form_has_no_group() {
    let pattern = Pattern::anchored(&"a|b".into()).unwrap();
    for (text, expected) in [("a", true), ("ax", true), ("b", true), ("xb", true), ("xa", false), ("bx", false)] {
        assert_eq!(pattern.is_match(text.as_bytes()), expected, "{text}");
    }
    let pattern = Pattern::anchored(&"n[0-9]+".into()).unwrap();
    assert!(pattern.is_match(b"n12") && !pattern.is_match(b"n12x") && !pattern.is_match(b"xn12"));
    // A flag set inside reaches the `$` outside.
    assert!(Pattern::anchored(&"(?m)a".into()).unwrap().is_match(b"a\nb"));
}

#[test]
fn perl_classes_know_ascii_only() {
    for (expression, text) in [(r"^\d$", "٣"), (r"^\w$", "é"), (r"^\s$", "\u{a0}"), (r"^\s$", "\x0b"), (r"^[\d]$", "٣")]
    {
        assert!(!matches(expression, text), "{expression} on {text}");
    }
    for (expression, text) in [(r"^\D$", "٣"), (r"^\W$", "é"), (r"^[^\w]$", "é"), (r"a\bé", "aé"), (r"^\s$", "\x0c")]
    {
        assert!(matches(expression, text), "{expression} on {text}");
    }
    assert!(!matches(r"\B", "aéa"));
    assert!(matches(r"(?i)^\w$", "\u{17f}"), "Go folds the long s into \\w");
}

#[test]
fn what_rust_takes_for_class_operators_is_literal() {
    for (expression, text, expected) in [
        ("^[a-z&&[aeiou]]$", "b]", true),
        ("^[a-z&&[aeiou]]$", "b", false),
        ("^[&&]$", "&", true),
        ("^[+--]$", ",", true),
        ("^[a~~b]$", "~", true),
        ("^[a[b]$", "[", true),
        (r"^[\d-z]+$", "5-z", true),
        (r"^[\d-z]$", "a", false),
        ("^[]a]+$", "]a", true),
        ("^[^]a]$", "b", true),
        ("^[a-]+$", "-a", true),
        ("^[-a]+$", "-a", true),
        ("^[[:alpha:]]$", "é", false),
        ("^[[:word:]]$", "_", true),
        ("^[[:^digit:]]$", "é", true),
        ("^[[:alpha]+$", "[:alph", true),
        ("^[^a]$", "\n", true),
        ("^[a b#]+$", "a #b", true),
    ] {
        assert_eq!(matches(expression, text), expected, "{expression} on {text}");
    }
}

#[test]
fn go_takes_what_rust_refuses() {
    for (expression, text) in [
        ("^{$", "{"),
        ("^a{b}$", "a{b}"),
        ("^a{,2}$", "a{,2}"),
        ("^a{01}$", "a{01}"),
        ("^a{1$", "a{1"),
        ("^}$", "}"),
        (r"^\Qa.b\E+$", "a.bb"),
        (r"^\Qa.*", "a.*"),
        (r"^\101$", "A"),
        (r"^\0$", "\0"),
        (r"^\1234$", "S4"),
        (r"^\p{^L}$", "1"),
        (r"^\P{^L}$", "a"),
        (r"^\pL\p{Lu}\p{Greek}$", "aAα"),
        (r"^\p{Any}$", "x"),
        (r"^\p{C}$", "\u{ad}"),
        (r"^\_\-\<\%$", "_-<%"),
        (r"^\x{10FFFF}\x41$", "\u{10ffff}A"),
        ("a(?i)*", "x"),
        ("^(?P<n>a)(?<m>b)$", "ab"),
        ("^(a|)$", ""),
        ("^(|a)b$", "b"),
        ("x(?:)y||", "none"),
        ("^*a", "a"),
        (r"^\[\]$", "[]"),
        ("^(?i:A)b(?-i)C$", "abC"),
        ("(?s)^.$", "\n"),
        ("(?U)^a+$", "aaa"),
        ("^(?i)straße|K$", "\u{212a}"),
        ("^a{2,3}?$", "aaa"),
        ("^(?:a{2}){3}$", "aaaaaa"),
    ] {
        assert!(matches(expression, text), "{expression} on {text}");
    }
    assert!(!matches("^.$", "\n"));
    assert!(!matches(r"[\x{d800}]", "\u{fffd}"));
    assert!(!matches("(?i:a)B", "Ab"));
    assert!(!matches("^(?:(?i)a)A$", "aa"), "a flag ends with its group");
}

#[test]
fn go_refuses_what_rust_takes() {
    for (expression, text) in [
        ("a**", "invalid nested repetition operator: `**`"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("a*?*", "invalid nested repetition operator: `*?*`"),
        ("x{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?R)a", "invalid or unsupported Perl syntax: `(?R`"),
        ("(?-u)a", "invalid or unsupported Perl syntax: `(?-u`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        (r"\u00e9", r"invalid escape sequence: `\u`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\b{start}", "missing"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo1}", r"invalid character class range: `\p{Foo1}`"),
        (r"\p{lu}", r"invalid character class range: `\p{lu}`"),
        (r"\p{Letter", r"invalid character class range: `\p{Letter`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<a b>c)", "invalid named capture: `(?P<a b>`"),
        ("[a", "missing closing ]: `[a`"),
        ("[]", "missing closing ]: `[]`"),
        ("x[^]", "missing closing ]: `[^]`"),
        ("(", "missing closing ): `(`"),
        ("a(b", "missing closing ): `a(b`"),
        (")", "unexpected ): `)`"),
        ("a)b", "unexpected ): `a)b`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("(?i)*?", "missing argument to repetition operator: `*?`"),
        ("[a--b]", "invalid character class range: `a--`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        (r"\xg", r"invalid escape sequence: `\xg`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\é", r"invalid escape sequence: `\é`"),
    ] {
        if text == "missing" {
            // `\b` and then literal braces: no error, and no special boundary either.
            assert!(matches(expression, "a{start}") && !matches(expression, "start"));
            continue;
        }
        assert_eq!(refused(expression), format!("error parsing regexp: {text}"), "{expression}");
    }
}

#[test]
fn angle_escapes_are_plain_characters() {
    assert!(matches(r"\<a\>", "<a>") && !matches(r"\<a\>", "a"));
}

#[test]
fn text_that_is_not_utf8_counts_one_replacement_per_byte() {
    let pattern = Pattern::search(&"^a..b$".into()).unwrap();
    assert!(pattern.is_match(b"a\xff\xfeb"));
    assert!(pattern.is_match(b"a\xe2\x82b"), "a cut sequence is two characters, as in Go");
    assert!(Pattern::search(&"^[^x]$".into()).unwrap().is_match(b"\x80"));
    let expression = Text::from_bytes(bytes::Bytes::from_static(b"a\xff"));
    assert!(Pattern::search(&expression).unwrap_err().to_string().starts_with("error parsing regexp: invalid UTF-8"));
}

#[test]
fn what_is_too_large_is_refused_in_time() {
    assert!(refused(&"a".repeat(PATTERN_LENGTH_MAX + 1)).contains("expression too large"));
    assert!(refused(r"(?:\pL{900}x){1}\pL{999}\pL{999}").contains("expression too large"));
    let deep = |depth: usize| format!("{}a{}", "(".repeat(depth), ")*".repeat(depth));
    assert!(refused(&deep(5_000)).contains("expression nests too deeply"));
    assert!(matches(&deep(PATTERN_DEPTH_MAX as usize / 2), "a"));
    assert!(refused(&format!("a{}", "*(?i)".repeat(200))).contains("expression nests too deeply"));
}

#[test]
fn cache_keeps_the_last_expressions_only() {
    let mut cache = PatternCache::default();
    for number in 0..PATTERN_CACHE_MAX + 5 {
        let expression = Text::from(format!("^n{number}$"));
        assert!(cache.search(&expression).unwrap().is_match(format!("n{number}").as_bytes()));
        assert!(cache.search(&expression).is_ok());
    }
    assert_eq!(cache.compiled.len(), PATTERN_CACHE_MAX);
    assert!(cache.search(&"(".into()).is_err());
    assert_eq!(cache.compiled.len(), PATTERN_CACHE_MAX);
}
