//! From Go's syntax to Rust's. Both are RE2's, but they disagree at the edges: what one takes literally is an operator
//! or an error in the other (`docs/dependencies.md` 6). So everything is read by Go's rules, and every piece is written
//! in a form about which Rust has no second opinion, flags included.
//!
//! Groups are kept on a stack of their own: no expression makes us recurse.

use super::class::{bracketed, escape_class, range};
use super::{PatternError, error};
use crate::limits::PATTERN_DEPTH_MAX;

/// The expression in Rust's syntax.
pub(super) fn translate(expression: &str) -> Result<String, PatternError> {
    Parser::new(expression).run()
}

/// What `(?imsU)` sets.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_newline: bool,
    swap_greed: bool,
}

/// A finished piece that a repetition would apply to.
#[derive(Debug, Default)]
struct Atom {
    text: String,
    /// Largest product of counts inside one another; Go allows 1,000.
    count: u32,
    /// Groups and repetitions inside one another.
    height: u32,
}

/// An open group; the first one is the expression itself.
#[derive(Debug, Default)]
struct Group {
    flags_outside: Flags,
    alternatives: Vec<Atom>,
    atoms: Vec<Atom>,
}

impl Group {
    fn end_alternative(&mut self) {
        let atoms = std::mem::take(&mut self.atoms);
        self.alternatives.push(Atom {
            count: atoms.iter().map(|atom| atom.count).max().unwrap_or(1),
            height: atoms.iter().map(|atom| atom.height).max().unwrap_or(0),
            text: atoms.into_iter().map(|atom| atom.text).collect(),
        });
    }

    fn close(mut self) -> Atom {
        self.end_alternative();
        let texts: Vec<String> = self.alternatives.iter().map(|atom| atom.text.clone()).collect();
        Atom {
            text: format!("(?:{})", texts.join("|")),
            count: self.alternatives.iter().map(|atom| atom.count).max().unwrap_or(1),
            height: self.alternatives.iter().map(|atom| atom.height).max().unwrap_or(0).saturating_add(1),
        }
    }
}

struct Parser<'a> {
    expression: &'a str,
    rest: &'a str,
    flags: Flags,
    /// Groups around the current one.
    outer: Vec<Group>,
    group: Group,
    /// Where the repetition that has just been read starts.
    last_repetition: Option<&'a str>,
}

impl<'a> Parser<'a> {
    fn new(expression: &'a str) -> Self {
        Self {
            expression,
            rest: expression,
            flags: Flags::default(),
            outer: Vec::new(),
            group: Group::default(),
            last_repetition: None,
        }
    }

    fn run(mut self) -> Result<String, PatternError> {
        while let Some(first) = self.rest.chars().next() {
            let start = self.rest;
            let was_repetition = self.step(first)?;
            self.last_repetition = was_repetition.then_some(start);
        }
        if !self.outer.is_empty() {
            return Err(error("missing closing )", self.expression));
        }
        Ok(self.group.close().text)
    }

    /// Reads one piece; says whether it was a repetition.
    fn step(&mut self, first: char) -> Result<bool, PatternError> {
        match first {
            '(' if self.rest.starts_with("(?") => self.perl_group()?,
            '(' => {
                self.advance(first);
                self.open(self.flags)?;
            }
            ')' => self.close()?,
            '|' => {
                self.advance(first);
                self.group.end_alternative();
            }
            '^' => self.plain(first, if self.flags.multi_line { "(?m:^)" } else { "\\A" }),
            '$' => self.plain(first, if self.flags.multi_line { "(?m:$)" } else { "\\z" }),
            '.' => self.plain(first, if self.flags.dot_newline { "(?s:.)" } else { "(?-s:.)" }),
            '[' => {
                let (class, rest) = bracketed(self.rest)?;
                self.rest = rest;
                self.push_class(&class);
            }
            '*' | '+' | '?' => {
                let operator = first.to_string();
                let after = self.rest.strip_prefix(first).unwrap_or_default();
                self.repeat(&operator, 1, after)?;
                return Ok(true);
            }
            '{' => return self.braces(),
            '\\' => self.backslash()?,
            _ => {
                self.advance(first);
                self.push_class(&format!("[{}]", range(u32::from(first), u32::from(first))));
            }
        }
        Ok(false)
    }

    fn advance(&mut self, first: char) {
        self.rest = self.rest.strip_prefix(first).unwrap_or_default();
    }

    fn plain(&mut self, first: char, text: &str) {
        self.advance(first);
        self.push(text.to_string());
    }

    fn push(&mut self, text: String) {
        self.group.atoms.push(Atom { text, count: 1, height: 0 });
    }

    /// Pushes a class or character, which the case flag applies to.
    fn push_class(&mut self, class: &str) {
        self.push(if self.flags.ignore_case { format!("(?i:{class})") } else { class.to_string() });
    }

    fn open(&mut self, flags_inside: Flags) -> Result<(), PatternError> {
        if self.outer.len() >= PATTERN_DEPTH_MAX as usize {
            return Err(error("expression nests too deeply", self.expression));
        }
        let inner = Group { flags_outside: self.flags, ..Group::default() };
        self.outer.push(std::mem::replace(&mut self.group, inner));
        self.flags = flags_inside;
        Ok(())
    }

    fn close(&mut self) -> Result<(), PatternError> {
        let outside = self.outer.pop().ok_or_else(|| error("unexpected )", self.expression))?;
        self.advance(')');
        let closed = std::mem::replace(&mut self.group, outside);
        self.flags = closed.flags_outside;
        self.group.atoms.push(closed.close());
        Ok(())
    }

    /// `(?flags)`, `(?flags:`, `(?P<name>`, `(?<name>`.
    fn perl_group(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        let inner = start.strip_prefix("(?").unwrap_or_default();
        if let Some(named) = inner.strip_prefix("P<").or_else(|| inner.strip_prefix('<')) {
            let (name, after) = named.split_once('>').ok_or_else(|| error("invalid named capture", start))?;
            let valid = |char: char| char.is_ascii_alphanumeric() || char == '_';
            if name.is_empty() || !name.chars().all(valid) {
                return Err(error("invalid named capture", between(start, after)));
            }
            self.rest = after;
            return self.open(self.flags);
        }
        let mut flags = self.flags;
        let mut chars = inner.chars();
        let (mut on, mut saw_flag) = (true, false);
        for char in chars.by_ref() {
            match char {
                'i' => flags.ignore_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_newline = on,
                'U' => flags.swap_greed = on,
                '-' if on => (on, saw_flag) = (false, false),
                ':' | ')' if on || saw_flag => {
                    self.rest = chars.as_str();
                    if char == ')' {
                        self.flags = flags;
                        return Ok(());
                    }
                    return self.open(flags);
                }
                _ => break,
            }
            saw_flag |= char != '-';
        }
        Err(error("invalid or unsupported Perl syntax", between(start, chars.as_str())))
    }

    /// `{2}`, `{2,}`, `{2,3}`; anything else is a plain brace.
    fn braces(&mut self) -> Result<bool, PatternError> {
        let start = self.rest;
        let Some((least, most, after)) = counts(start) else {
            self.advance('{');
            self.push_class("[\\{]");
            return Ok(false);
        };
        let too_large = |count: u32| count > COUNT_MAX;
        if too_large(least) || most.is_some_and(|most| too_large(most) || least > most) {
            return Err(error("invalid repeat count", between(start, after)));
        }
        let operator = match most {
            Some(most) => format!("{{{least},{most}}}"),
            None => format!("{{{least},}}"),
        };
        self.repeat(&operator, most.unwrap_or(least).max(1), after)?;
        Ok(true)
    }

    /// Applies a repetition to the last piece. `count`: how many copies of it that makes at most, as Go reckons.
    fn repeat(&mut self, operator: &str, count: u32, after: &'a str) -> Result<(), PatternError> {
        let start = self.rest;
        let (after, lazy) = after.strip_prefix('?').map_or((after, false), |after| (after, true));
        if let Some(last) = self.last_repetition {
            return Err(error("invalid nested repetition operator", between(last, after)));
        }
        let missing = || error("missing argument to repetition operator", between(start, after));
        let atom = self.group.atoms.pop().ok_or_else(missing)?;
        let product = atom.count.saturating_mul(count);
        if count >= 2 && product > COUNT_MAX {
            return Err(error("invalid repeat count", between(start, after)));
        }
        if atom.height >= PATTERN_DEPTH_MAX {
            return Err(error("expression nests too deeply", self.expression));
        }
        let lazy = if lazy == self.flags.swap_greed { "" } else { "?" };
        self.group.atoms.push(Atom {
            text: format!("(?:{}){operator}{lazy}", atom.text),
            count: product,
            height: atom.height.saturating_add(1),
        });
        self.rest = after;
        Ok(())
    }

    fn backslash(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        let mut chars = start.chars();
        let kind = chars.by_ref().nth(1);
        let after = chars.as_str();
        match kind {
            Some('A') => self.push("\\A".to_string()),
            Some('z') => self.push("\\z".to_string()),
            Some('b') => self.push("(?-u:\\b)".to_string()),
            Some('B') => self.push("(?-u:\\B)".to_string()),
            Some('Q') => {
                let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
                for char in literal.chars() {
                    self.push_class(&format!("[{}]", range(u32::from(char), u32::from(char))));
                }
                self.rest = after;
                return Ok(());
            }
            _ => {
                if let Some((class, rest)) = escape_class(start)? {
                    self.push_class(&class);
                    self.rest = rest;
                } else {
                    let (char, rest) = escaped(start)?;
                    self.push_class(&format!("[{}]", range(char, char)));
                    self.rest = rest;
                }
                return Ok(());
            }
        }
        self.rest = after;
        Ok(())
    }
}

/// The character that an escape stands for; `text` starts with its backslash. Returns what follows.
pub(super) fn escaped(text: &str) -> Result<(u32, &str), PatternError> {
    let mut chars = text.chars();
    let Some(kind) = chars.by_ref().nth(1) else {
        return Err(error("trailing backslash at end of expression", ""));
    };
    let rest = chars.as_str();
    let octal = |char: char| char.is_digit(8);
    match kind {
        // A single digit but zero would be a back reference.
        '0'..='7' if kind == '0' || rest.starts_with(octal) => {
            let digits = rest.chars().take(2).take_while(|&char| octal(char)).count();
            let digits_end = digits.saturating_add(2);
            let number = text.get(1..digits_end).and_then(|digits| u32::from_str_radix(digits, 8).ok());
            let after = text.get(digits_end..).unwrap_or_default();
            return number.map(|number| (number, after)).ok_or_else(|| error("invalid escape sequence", text));
        }
        'x' => return hexadecimal(text, rest),
        'a' => return Ok((0x07, rest)),
        'f' => return Ok((0x0c, rest)),
        'n' => return Ok((0x0a, rest)),
        'r' => return Ok((0x0d, rest)),
        't' => return Ok((0x09, rest)),
        'v' => return Ok((0x0b, rest)),
        _ if kind.is_ascii() && !kind.is_ascii_alphanumeric() => return Ok((u32::from(kind), rest)),
        _ => {}
    }
    Err(error("invalid escape sequence", between(text, rest)))
}

/// `\xff` or `\x{10ffff}`; `rest` follows the `x`. The error shows what was read until it went wrong.
fn hexadecimal<'a>(text: &'a str, rest: &'a str) -> Result<(u32, &'a str), PatternError> {
    let mut chars = rest.chars();
    let mut number = 0_u32;
    let mut digits = 0_usize;
    let braced = rest.starts_with('{');
    if braced {
        chars.next();
    }
    while braced || digits < 2 {
        let Some(char) = chars.next() else { break };
        if braced && char == '}' && digits > 0 {
            return Ok((number, chars.as_str()));
        }
        let Some(digit) = char.to_digit(16) else { break };
        number = number.saturating_mul(16).saturating_add(digit);
        if number > u32::from(char::MAX) {
            break;
        }
        digits = digits.saturating_add(1);
    }
    if !braced && digits == 2 {
        return Ok((number, chars.as_str()));
    }
    Err(error("invalid escape sequence", between(text, chars.as_str())))
}

/// The counts of a repetition in braces and what follows it. A number too large to read counts as the largest.
fn counts(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (least, rest) = number(text.strip_prefix('{')?)?;
    if let Some(after) = rest.strip_prefix('}') {
        return Some((least, Some(least), after));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(after) = rest.strip_prefix('}') {
        return Some((least, None, after));
    }
    let (most, rest) = number(rest)?;
    Some((least, Some(most), rest.strip_prefix('}')?))
}

/// Digits without a leading zero.
fn number(text: &str) -> Option<(u32, &str)> {
    let rest = text.trim_start_matches(|char: char| char.is_ascii_digit());
    let digits = between(text, rest);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

/// What was read between two positions of one text, the second a tail of the first.
pub(super) fn between<'a>(start: &'a str, end: &str) -> &'a str {
    start.get(..start.len().saturating_sub(end.len())).unwrap_or_default()
}

/// Go `regexp/syntax`: largest count of a repetition, also of several inside one another.
const COUNT_MAX: u32 = 1_000;
