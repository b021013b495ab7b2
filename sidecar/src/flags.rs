//! Command line flags as Go's `flag` package reads them (`docs/spec/agent-cli.md` 1.1, `docs/dependencies.md` 6).
//!
//! Holds the syntax and its error texts. Which flags a command has, and what `-h` prints, is the command's business; how
//! it says so is in `definition.rs`.

mod definition;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::duration::GoDuration;
use crate::go_text::quote;
pub use definition::{FlagDefinition, Offered};

/// The flags a command knows.
///
/// ```
/// use folkmoot::flags::FlagSet;
///
/// let flags = FlagSet::new().boolean("replay").text("rpc-addr").list("tag");
/// let parsed = flags.parse(&["-replay".into(), "--tag=a=1".into(), "-tag".into(), "b=2".into(), "host".into()])?;
/// assert_eq!(parsed.boolean("replay"), Some(true));
/// assert_eq!(parsed.list("tag"), ["a=1", "b=2"]);
/// assert_eq!(parsed.text("rpc-addr"), None);
/// assert_eq!(parsed.arguments(), ["host"]);
/// # Ok::<(), folkmoot::flags::FlagError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct FlagSet {
    known: BTreeMap<&'static str, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    kind: Kind,
    /// The name its values are kept under: its own, except for flags that fill one list together.
    target: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Text,
    Integer,
    Duration,
    List,
}

impl FlagSet {
    /// No flags.
    pub fn new() -> Self {
        Self::default()
    }

    /// `-name` or `-name=true`; a separate word is never its value.
    pub fn boolean(self, name: &'static str) -> Self {
        self.with(name, Kind::Boolean, name)
    }

    /// Any text; the last one counts. Bytes that are not UTF-8 become U+FFFD.
    pub fn text(self, name: &'static str) -> Self {
        self.with(name, Kind::Text, name)
    }

    /// A 64-bit integer in any of Go's notations: `10`, `0x10`, `0o10`, `010`, `0b10`, `1_000`.
    pub fn integer(self, name: &'static str) -> Self {
        self.with(name, Kind::Integer, name)
    }

    /// A duration with a unit.
    pub fn duration(self, name: &'static str) -> Self {
        self.with(name, Kind::Duration, name)
    }

    /// Any text; repeated flags append.
    pub fn list(self, name: &'static str) -> Self {
        self.with(name, Kind::List, name)
    }

    /// As [`FlagSet::list`], but its values are appended to the list of `target`, in command-line order.
    pub fn list_into(self, name: &'static str, target: &'static str) -> Self {
        self.with(name, Kind::List, target)
    }

    fn with(mut self, name: &'static str, kind: Kind, target: &'static str) -> Self {
        self.known.insert(name, Known { kind, target });
        self
    }

    /// Reads flags up to the first word that is not one, a lone `-`, or `--` (which is dropped).
    ///
    /// # Errors
    /// The first fault in command-line order, with Go's text.
    pub fn parse(&self, words: &[OsString]) -> Result<Parsed, FlagError> {
        let mut parsed = Parsed::default();
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            let Some(flag) = Flag::from_word(word) else { break };
            rest = after;
            let Some(flag) = flag? else { break };
            let Some((known_name, known)) = self.known.get_key_value(flag.name.as_str()) else {
                return Err(match flag.name.as_str() {
                    "h" | "help" => FlagError::HelpRequested,
                    _ => FlagError::NotDefined(flag.name),
                });
            };
            let value = match (known.kind, flag.value, rest.split_first()) {
                (_, Some(value), _) => value,
                (Kind::Boolean, None, _) => "true".to_owned(),
                (Kind::Text | Kind::Integer | Kind::Duration | Kind::List, None, Some((value, after))) => {
                    rest = after;
                    value.to_string_lossy().into_owned()
                }
                (Kind::Text | Kind::Integer | Kind::Duration | Kind::List, None, None) => {
                    return Err(FlagError::NeedsArgument((*known_name).to_owned()));
                }
            };
            parsed.set(known, known_name, value)?;
        }
        parsed.arguments = rest.to_vec();
        Ok(parsed)
    }
}

/// What was on the command line. A flag that was not given is `None` (or an empty list).
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    booleans: BTreeMap<&'static str, bool>,
    texts: BTreeMap<&'static str, String>,
    integers: BTreeMap<&'static str, i64>,
    durations: BTreeMap<&'static str, GoDuration>,
    lists: BTreeMap<&'static str, Vec<String>>,
    arguments: Vec<OsString>,
}

impl Parsed {
    /// A boolean flag.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.booleans.get(name).copied()
    }

    /// A text flag.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// An integer flag.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.integers.get(name).copied()
    }

    /// A duration flag.
    pub fn duration(&self, name: &str) -> Option<GoDuration> {
        self.durations.get(name).copied()
    }

    /// The values of a list flag in command-line order.
    pub fn list(&self, name: &str) -> &[String] {
        self.lists.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The words after the flags, byte for byte.
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    fn set(&mut self, known: &Known, name: &str, value: String) -> Result<(), FlagError> {
        let invalid =
            |value: &str, fault| FlagError::InvalidValue { name: name.to_owned(), value: value.into(), fault };
        match known.kind {
            Kind::Boolean => {
                let boolean = parse_boolean(&value)
                    .ok_or_else(|| FlagError::InvalidBoolean { name: name.to_owned(), value: value.clone() })?;
                self.booleans.insert(known.target, boolean);
            }
            Kind::Integer => {
                let integer = parse_integer(&value).map_err(|fault| invalid(&value, fault))?;
                self.integers.insert(known.target, integer);
            }
            Kind::Duration => {
                let duration = value.parse().map_err(|_| invalid(&value, ValueFault::Parse))?;
                self.durations.insert(known.target, duration);
            }
            Kind::Text => {
                self.texts.insert(known.target, value);
            }
            Kind::List => self.lists.entry(known.target).or_default().push(value),
        }
        Ok(())
    }
}

/// Why a command line was refused. The texts are Go's; all are the user's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// `-h` or `-help` among the flags of a command that does not define them.
    #[error("flag: help requested")]
    HelpRequested,
    /// An unknown flag.
    #[error("flag provided but not defined: -{0}")]
    NotDefined(String),
    /// The last word is a flag that needs a value.
    #[error("flag needs an argument: -{0}")]
    NeedsArgument(String),
    /// Three dashes, or no name before `=`.
    #[error("bad flag syntax: {0}")]
    BadSyntax(String),
    /// Not one of Go's words for true and false.
    #[error("invalid boolean value {} for -{name}: parse error", quote(value.as_bytes()))]
    InvalidBoolean {
        /// Without dashes.
        name: String,
        /// As given.
        value: String,
    },
    /// Not an integer or a duration.
    #[error("invalid value {} for flag -{name}: {fault}", quote(value.as_bytes()))]
    InvalidValue {
        /// Without dashes.
        name: String,
        /// As given.
        value: String,
        /// What is wrong with it.
        fault: ValueFault,
    },
}

/// What is wrong with the value of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// It cannot be read.
    #[error("parse error")]
    Parse,
    /// It is an integer beyond 64 bits.
    #[error("value out of range")]
    Range,
}

/// A word that is a flag, taken apart.
struct Flag {
    name: String,
    value: Option<String>,
}

impl Flag {
    /// `None`: the word is an argument. `Some(Ok(None))`: it is `--`.
    fn from_word(word: &OsString) -> Option<Result<Option<Self>, FlagError>> {
        if word.len() < 2 || !word.as_bytes().starts_with(b"-") {
            return None;
        }
        let text = word.to_string_lossy();
        let body = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
        Some(match body {
            "" => Ok(None),
            _ if body.starts_with(['-', '=']) => Err(FlagError::BadSyntax(text.into_owned())),
            _ => Ok(Some(match body.split_once('=') {
                Some((name, value)) => Self { name: name.to_owned(), value: Some(value.to_owned()) },
                None => Self { name: body.to_owned(), value: None },
            })),
        })
    }
}

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseInt` with base 0 and 64 bits.
pub(crate) fn parse_integer(text: &str) -> Result<i64, ValueFault> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let (radix, digits) = split_radix(unsigned);
    if !underscores_separate_digits(unsigned) {
        return Err(ValueFault::Parse);
    }
    let digits: String = digits.chars().filter(|character| *character != '_').collect();
    if digits.is_empty() || !digits.chars().all(|character| character.is_digit(radix)) {
        return Err(ValueFault::Parse);
    }
    let magnitude = i128::from_str_radix(&digits, radix).map_err(|_| ValueFault::Range)?;
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| ValueFault::Range)
}

/// The radix a prefix asks for, and the digits after it. A lone `0` is decimal.
fn split_radix(text: &str) -> (u32, &str) {
    for (lower, upper, radix) in [("0x", "0X", 16), ("0o", "0O", 8), ("0b", "0B", 2)] {
        if let Some(digits) = text.strip_prefix(lower).or_else(|| text.strip_prefix(upper)) {
            return (radix, digits);
        }
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => (8, digits),
        _ => (10, text),
    }
}

/// Go allows one underscore between digits, and one after a prefix of two characters.
fn underscores_separate_digits(text: &str) -> bool {
    let (radix, digits) = split_radix(text);
    let prefixed = radix == 16 || radix == 2 || text.starts_with("0o") || text.starts_with("0O");
    let checked = if prefixed { digits.strip_prefix('_').unwrap_or(digits) } else { text };
    !checked.starts_with('_') && !checked.ends_with('_') && !checked.contains("__")
}

#[cfg(test)]
#[path = "flags_tests.rs"]
mod tests;
