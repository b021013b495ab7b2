use super::*;

fn flags() -> FlagSet {
    FlagSet::new()
        .boolean("replay")
        .text("node")
        .integer("n")
        .duration("timeout")
        .list("tag")
        .list("config-file")
        .list_into("config-dir", "config-file")
}

fn parse(words: &[&str]) -> Result<Parsed, FlagError> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    flags().parse(&words)
}

fn error(words: &[&str]) -> String {
    parse(words).expect_err("must be refused").to_string()
}

#[test]
fn one_dash_and_two_are_the_same() {
    for words in [&["-node", "a"][..], &["-node=a"], &["--node", "a"], &["--node=a"]] {
        assert_eq!(parse(words).unwrap().text("node"), Some("a"), "{words:?}");
    }
}

#[test]
fn a_value_may_be_empty_hold_equal_signs_or_look_like_a_flag() {
    assert_eq!(parse(&["-node="]).unwrap().text("node"), Some(""));
    assert_eq!(parse(&["-node=a=b"]).unwrap().text("node"), Some("a=b"));
    assert_eq!(parse(&["-node", "-replay"]).unwrap().text("node"), Some("-replay"));
    assert_eq!(parse(&["-node", "--", "x"]).unwrap().text("node"), Some("--"));
}

#[test]
fn a_boolean_takes_no_separate_value() {
    let parsed = parse(&["-replay", "false", "-node=a"]).unwrap();
    assert_eq!(parsed.boolean("replay"), Some(true));
    assert_eq!(parsed.arguments(), ["false", "-node=a"]);
    assert_eq!(parsed.text("node"), None);
}

#[test]
fn booleans_take_twelve_words() {
    for word in ["1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(parse(&[&format!("-replay={word}")]).unwrap().boolean("replay"), Some(true));
    }
    for word in ["0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(parse(&[&format!("-replay={word}")]).unwrap().boolean("replay"), Some(false));
    }
    for word in ["maybe", "", "yes", "tRUE"] {
        let expected = format!("invalid boolean value \"{word}\" for -replay: parse error");
        assert_eq!(error(&[&format!("-replay={word}")]), expected);
    }
}

#[test]
fn integers_take_all_notations() {
    for (text, number) in [
        ("10", 10),
        ("-10", -10),
        ("+10", 10),
        ("010", 8),
        ("0o10", 8),
        ("0x10", 16),
        ("0X_1f", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("0_7", 7),
        ("0", 0),
        ("-0x8000000000000000", i64::MIN),
        ("9223372036854775807", i64::MAX),
    ] {
        assert_eq!(parse(&[&format!("-n={text}")]).unwrap().integer("n"), Some(number), "{text}");
    }
}

#[test]
fn what_is_no_integer_is_refused() {
    for text in ["abc", "", "-", "1.5", "08", "0x", "0xg", "0b2", "_1", "1_", "1__0", "0x_", "0x__1", "--1", "1 ", "5s"]
    {
        assert_eq!(error(&["-n", text]), format!("invalid value \"{text}\" for flag -n: parse error"));
    }
    for text in ["9223372036854775808", "-9223372036854775809", &"9".repeat(60)] {
        assert_eq!(error(&["-n", text]), format!("invalid value \"{text}\" for flag -n: value out of range"));
    }
}

#[test]
fn durations_are_those_of_go() {
    let parsed = parse(&["-timeout", "1m30s"]).unwrap();
    assert_eq!(parsed.duration("timeout").unwrap().to_string(), "1m30s");
    assert_eq!(error(&["-timeout=5"]), "invalid value \"5\" for flag -timeout: parse error");
}

#[test]
fn parsing_stops_at_the_first_argument() {
    assert_eq!(parse(&["a", "-node=x"]).unwrap().arguments(), ["a", "-node=x"]);
    assert_eq!(parse(&["-", "-node=x"]).unwrap().arguments(), ["-", "-node=x"]);
    assert_eq!(parse(&["--", "-node=x"]).unwrap().arguments(), ["-node=x"]);
    assert_eq!(parse(&["", "-node=x"]).unwrap().arguments(), ["", "-node=x"]);
    assert!(parse(&[]).unwrap().arguments().is_empty());
}

#[test]
fn the_last_of_repeated_flags_wins_and_lists_append() {
    let parsed = parse(&["-node=a", "-tag", "x=1", "-node=b", "-tag=y", "-replay", "-replay=false"]).unwrap();
    assert_eq!(parsed.text("node"), Some("b"));
    assert_eq!(parsed.list("tag"), ["x=1", "y"]);
    assert_eq!(parsed.boolean("replay"), Some(false));
    assert!(parsed.list("config-file").is_empty());
}

#[test]
fn two_flags_can_fill_one_list_in_order() {
    let parsed = parse(&["-config-dir=d", "-config-file=f", "-config-dir", "e"]).unwrap();
    assert_eq!(parsed.list("config-file"), ["d", "f", "e"]);
}

#[test]
fn faults_have_the_texts_of_go() {
    assert_eq!(error(&["-nope"]), "flag provided but not defined: -nope");
    assert_eq!(error(&["--nope=1"]), "flag provided but not defined: -nope");
    assert_eq!(error(&["-node"]), "flag needs an argument: -node");
    assert_eq!(error(&["---x"]), "bad flag syntax: ---x");
    assert_eq!(error(&["--=x"]), "bad flag syntax: --=x");
    assert_eq!(error(&["-=x"]), "bad flag syntax: -=x");
    assert_eq!(error(&["-n", "a\"b"]), "invalid value \"a\\\"b\" for flag -n: parse error");
    for help in ["-h", "-help", "--help", "-help=x"] {
        assert_eq!(error(&[help]), "flag: help requested");
    }
}

#[test]
fn the_first_fault_is_reported() {
    assert_eq!(error(&["-nope", "-n=x"]), "flag provided but not defined: -nope");
    assert_eq!(error(&["-n=x", "-nope"]), "invalid value \"x\" for flag -n: parse error");
}

#[test]
fn arguments_keep_bytes_that_are_not_text() {
    use std::os::unix::ffi::OsStringExt;
    let raw = OsString::from_vec(b"v\xff1".to_vec());
    let parsed = flags().parse(&["-replay".into(), "name".into(), raw.clone()]).unwrap();
    assert_eq!(parsed.arguments(), [OsString::from("name"), raw]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_left_is_a_tail_of_what_was_given(
        words in proptest::collection::vec("(--?(node|n|tag|replay|timeout|x)?(=[a-z0-9_]{0,4})?|[a-z0-9-]{0,4})", 0..8),
    ) {
        let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        if let Ok(parsed) = flags().parse(&words) {
            proptest::prop_assert!(words.ends_with(parsed.arguments()));
        }
    }
}
