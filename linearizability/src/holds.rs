//! Locks by token. A holder believes to hold from the answer that says so until it gives the hold back or knows that it
//! may have ended. No two beliefs overlap, and later grants have higher tokens.

use std::fmt::Write as _;

/// What one holder knows of one hold. Stamps are those of [`crate::Recorder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub client: u64,
    /// The fencing token.
    pub token: u64,
    /// When it asked.
    pub asked: u64,
    /// When it learned that it holds.
    pub granted: u64,
    /// When it stopped to rely on it: it asked for the release, or its session may have ended. `None`: it never did.
    pub given_up: Option<u64>,
}

impl Hold {
    fn until(&self) -> u64 {
        self.given_up.unwrap_or(u64::MAX)
    }
}

/// Judges the holds of one lock (or one work item).
///
/// # Errors
/// Says which holds contradict one another.
pub fn check(holds: &[Hold]) -> Result<(), String> {
    let mut text = String::new();
    // One that was given up before it was learned of was never relied on.
    let mut relied_on: Vec<&Hold> = holds.iter().filter(|hold| hold.granted < hold.until()).collect();
    relied_on.sort_by_key(|hold| hold.granted);
    let mut longest: Option<&Hold> = None;
    for hold in relied_on {
        if let Some(before) = longest.filter(|before| before.until() > hold.granted) {
            _ = writeln!(text, "held by two at once: {before:?} and {hold:?}");
        }
        if longest.is_none_or(|before| before.until() < hold.until()) {
            longest = Some(hold);
        }
    }
    let mut holds: Vec<&Hold> = holds.iter().collect();
    holds.sort_by_key(|hold| (hold.token, hold.granted));
    for pair in holds.windows(2) {
        if pair[0].token == pair[1].token {
            _ = writeln!(text, "one token for two holds: {:?} and {:?}", pair[0], pair[1]);
        }
    }
    let mut earliest: Option<&Hold> = None;
    for hold in holds.iter().rev() {
        if let Some(after) = earliest.filter(|after| after.granted < hold.asked) {
            _ = writeln!(text, "a later grant with a lower token: {after:?}, then {hold:?}");
        }
        if earliest.is_none_or(|after| hold.granted < after.granted) {
            earliest = Some(hold);
        }
    }
    if text.is_empty() { Ok(()) } else { Err(text) }
}
