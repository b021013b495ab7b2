//! Regular expressions as Go's `regexp` reads them, run by Rust's `regex`.
//!
//! Answers to Go's `regexp/syntax` (RE2) as far as `docs/spec/serf-gossip.md` 6.3 and `docs/spec/rpc.md` 7 need it: query
//! tag filters and member filters. Time is linear in the text, memory is bounded. How an expression is translated is in
//! `pattern/parser.rs` and `pattern/class.rs`.

mod class;
mod parser;

use std::borrow::Cow;
use std::collections::VecDeque;

use regex::{Regex, RegexBuilder};

use crate::Text;
use crate::limits::{
    PATTERN_CACHE_MAX, PATTERN_COMPILED_MAX, PATTERN_DEPTH_MAX, PATTERN_LENGTH_MAX, PATTERN_TABLES_MAX,
};

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
}

/// An expression that Go would refuse, or one beyond our limits; `Display` is Go's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}: `{at}`")]
pub struct PatternError {
    /// Go's words, e.g. `missing closing ]`.
    pub reason: &'static str,
    /// The offending part of the expression.
    pub at: String,
}

impl Pattern {
    /// Matches anywhere in the text (query tag filters).
    ///
    /// # Errors
    /// Go would refuse the expression too, or it is beyond our limits.
    pub fn search(expression: &Text) -> Result<Self, PatternError> {
        let expression = expression.as_str().ok_or_else(|| error("invalid UTF-8", &expression.to_string_lossy()))?;
        Self::compile(expression)
    }

    /// The expression between `^` and `$`, without a group: `a|b` means `^a` or `b$`, as in Go's members filter.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn anchored(expression: &Text) -> Result<Self, PatternError> {
        let inner = expression.as_str().ok_or_else(|| error("invalid UTF-8", &expression.to_string_lossy()))?;
        Self::compile(&format!("^{inner}$"))
    }

    /// Whether it matches. Bytes that are not UTF-8 count as one U+FFFD each, as in Go.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(&as_go_reads(text))
    }

    fn compile(expression: &str) -> Result<Self, PatternError> {
        if expression.len() > PATTERN_LENGTH_MAX {
            return Err(error("expression too large", expression));
        }
        let translated = parser::translate(expression)?;
        RegexBuilder::new(&translated)
            .size_limit(PATTERN_COMPILED_MAX)
            .dfa_size_limit(PATTERN_TABLES_MAX)
            .nest_limit(PATTERN_DEPTH_MAX.saturating_mul(NESTING_FACTOR))
            .build()
            .map(|regex| Self { regex })
            .map_err(|refusal| match refusal {
                regex::Error::CompiledTooBig(_) => error("expression too large", expression),
                // What the translator lets through and Rust does not know: a script of a newer or older Unicode.
                regex::Error::Syntax(_) | _ => error("invalid character class range", expression),
            })
    }
}

/// The expressions used last, compiled.
#[derive(Debug, Clone, Default)]
pub struct PatternCache {
    /// Newest last.
    compiled: VecDeque<(Text, Pattern)>,
}

impl PatternCache {
    /// Whether [`Self::search`] has it at hand.
    pub fn knows(&self, expression: &Text) -> bool {
        self.compiled.iter().any(|(known, _)| known == expression)
    }

    /// As [`Pattern::search`], but compiled once. Refusals are not kept.
    ///
    /// # Errors
    /// As [`Pattern::search`].
    pub fn search(&mut self, expression: &Text) -> Result<Pattern, PatternError> {
        if let Some((_, pattern)) = self.compiled.iter().find(|(known, _)| known == expression) {
            return Ok(pattern.clone());
        }
        let pattern = Pattern::search(expression)?;
        if self.compiled.len() >= PATTERN_CACHE_MAX {
            self.compiled.pop_front();
        }
        self.compiled.push_back((expression.clone(), pattern.clone()));
        Ok(pattern)
    }
}

fn error(reason: &'static str, at: &str) -> PatternError {
    PatternError { reason, at: at.to_string() }
}

/// Text with every byte that is no part of UTF-8 replaced by U+FFFD.
fn as_go_reads(text: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(out)
}

/// Levels of Rust's syntax tree for one level of ours: group, alternation, concatenation, repetition, flags.
const NESTING_FACTOR: u32 = 5;

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
