//! Character classes: `[a-z]`, `\d`, `\pL`, `[[:alpha:]]`, read as Go does, written as Rust wants them.

use std::fmt::Write as _;

use super::parser::{between, escaped};
use super::{PatternError, error};

/// What one class item matches, in the syntax that stands between Rust's brackets.
type Item = String;

/// A bracketed class; `text` starts with its `[`. Returns the class in Rust's syntax and what follows.
pub(super) fn bracketed(text: &str) -> Result<(String, &str), PatternError> {
    let mut rest = text.strip_prefix('[').unwrap_or(text);
    let mut out = String::from("[");
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        let (item, after) = class_item(rest, text)?;
        out.push_str(&item);
        rest = after;
    }
    out.push(']');
    Ok((out, rest.strip_prefix(']').unwrap_or(rest)))
}

/// A class outside of brackets, if one stands at the front: `\d`, `\pL`.
pub(super) fn escape_class(text: &str) -> Result<Option<(Item, &str)>, PatternError> {
    if text.starts_with("\\p") || text.starts_with("\\P") {
        return unicode(text).map(Some);
    }
    let known = PERL.iter().find(|(name, _)| text.starts_with(name));
    Ok(known.map(|(name, class)| ((*class).to_string(), text.strip_prefix(name).unwrap_or(text))))
}

fn class_item<'a>(text: &'a str, whole: &str) -> Result<(Item, &'a str), PatternError> {
    if let Some(inner) = text.strip_prefix("[:")
        && let Some((name, after)) = inner.split_once(":]")
    {
        let plain = name.strip_prefix('^').unwrap_or(name);
        if !POSIX.contains(&plain) {
            return Err(error("invalid character class range", between(text, after)));
        }
        return Ok((format!("[:{name}:]"), after));
    }
    if let Some(found) = escape_class(text)? {
        return Ok(found);
    }
    let (low, mut rest) = class_char(text, whole)?;
    let mut high = low;
    // [a-] means a or -.
    if let Some(after) = rest.strip_prefix('-')
        && !after.is_empty()
        && !after.starts_with(']')
    {
        (high, rest) = class_char(after, whole)?;
        if high < low {
            return Err(error("invalid character class range", between(text, rest)));
        }
    }
    Ok((range(low, high), rest))
}

fn class_char<'a>(text: &'a str, whole: &str) -> Result<(u32, &'a str), PatternError> {
    if text.starts_with('\\') {
        return escaped(text);
    }
    let mut chars = text.chars();
    let char = chars.next().ok_or_else(|| error("missing closing ]", whole))?;
    Ok((u32::from(char), chars.as_str()))
}

/// A range of code points without the surrogates, which no text holds.
pub(super) fn range(low: u32, high: u32) -> Item {
    let mut out = String::new();
    for (low, high) in [(low, high.min(0xd7ff)), (low.max(0xe000), high)] {
        if low <= high {
            let _ = write!(out, "\\x{{{low:x}}}-\\x{{{high:x}}}");
        }
    }
    if out.is_empty() { NOTHING.to_string() } else { out }
}

/// `\pN`, `\p{Name}`, `\p{^Name}` and their negations `\P`.
fn unicode(text: &str) -> Result<(Item, &str), PatternError> {
    let mut chars = text.chars();
    let negated = chars.by_ref().nth(1) == Some('P');
    let after = chars.as_str();
    let (name, rest) = match after.strip_prefix('{') {
        Some(inner) => inner.split_once('}').ok_or_else(|| error("invalid character class range", text))?,
        None => {
            chars.next();
            (between(after, chars.as_str()), chars.as_str())
        }
    };
    let (negated, name) = name.strip_prefix('^').map_or((negated, name), |plain| (!negated, plain));
    let class = match name {
        "Any" => "\\x{0}-\\x{10ffff}".to_string(),
        // Go counts neither unassigned code points nor, in effect, surrogates.
        "C" => "\\p{Cc}\\p{Cf}\\p{Co}".to_string(),
        "Cs" => NOTHING.to_string(),
        name if CATEGORIES.contains(&name) => format!("\\p{{{name}}}"),
        name if is_script(name) => format!("\\p{{Script={name}}}"),
        _ => return Err(error("invalid character class range", between(text, rest))),
    };
    let sign = if negated { "^" } else { "" };
    Ok((format!("[{sign}{class}]"), rest))
}

/// Whether it looks like a name in Go's `unicode.Scripts`, such as `Greek` or `Old_Persian`.
fn is_script(name: &str) -> bool {
    name.len() > 2
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|char| char.is_ascii_alphabetic() || char == '_')
}

/// A class that matches no character.
const NOTHING: &str = "[^\\x{0}-\\x{10ffff}]";

/// Go's Perl classes know ASCII only; `\s` leaves out the vertical tab.
const PERL: [(&str, &str); 6] = [
    ("\\d", "[0-9]"),
    ("\\D", "[^0-9]"),
    ("\\s", "[\\t\\n\\x0C\\r ]"),
    ("\\S", "[^\\t\\n\\x0C\\r ]"),
    ("\\w", "[0-9A-Za-z_]"),
    ("\\W", "[^0-9A-Za-z_]"),
];

/// Both languages mean the same by these: ASCII.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Go's `unicode.Categories`.
const CATEGORIES: [&str; 35] = [
    "Cc", "Cf", "Co", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd",
    "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Any",
];
