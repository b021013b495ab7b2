//! What `doctor` and `health` found, and how it is shown.

use crate::go_json::Json;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Checked, and well.
    Well,
    /// Could not be checked, or worth knowing.
    Note,
    /// Something has to be changed.
    Wrong,
}

/// One result.
#[derive(Debug)]
pub(super) struct Finding {
    level: Level,
    /// What was checked: one word.
    check: &'static str,
    /// What was seen.
    seen: String,
    /// What to change; empty: nothing.
    change: String,
}

/// All results, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn well(&mut self, check: &'static str, seen: impl Into<String>) {
        self.add(Level::Well, check, seen, "");
    }

    pub(super) fn note(&mut self, check: &'static str, seen: impl Into<String>, change: impl Into<String>) {
        self.add(Level::Note, check, seen, change);
    }

    pub(super) fn wrong(&mut self, check: &'static str, seen: impl Into<String>, change: impl Into<String>) {
        self.add(Level::Wrong, check, seen, change);
    }

    fn add(&mut self, level: Level, check: &'static str, seen: impl Into<String>, change: impl Into<String>) {
        self.0.push(Finding { level, check, seen: seen.into(), change: change.into() });
    }

    /// How many need a change.
    pub(super) fn count_wrong(&self) -> usize {
        self.0.iter().filter(|finding| finding.level == Level::Wrong).count()
    }

    /// A line for each, with the change below it, and a last one for all.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Finding { level, check, seen, change } in &self.0 {
            text.push_str(&format!("{:<5}  {check}: {seen}\n", level.word()));
            if !change.is_empty() {
                text.push_str(&format!("       -> {change}\n"));
            }
        }
        match self.count_wrong() {
            0 => text.push_str("All is well."),
            1 => text.push_str("1 thing has to be changed."),
            wrong => text.push_str(&format!("{wrong} things have to be changed.")),
        }
        text
    }

    pub(super) fn json(&self) -> String {
        let text = |text: &'static str| Json::Text(text.as_bytes());
        let finding = |finding: &Finding| {
            let Finding { level, check, .. } = finding;
            (text(check), text(level.word()))
        };
        let list = self.0.iter().map(|each| {
            let (check, level) = finding(each);
            Json::Object(vec![
                (b"check", check),
                (b"level", level),
                (b"seen", Json::Text(each.seen.as_bytes())),
                (b"change", Json::Text(each.change.as_bytes())),
            ])
        });
        let wrong = u64::try_from(self.count_wrong()).unwrap_or(u64::MAX);
        let list = list.collect();
        Json::Object(vec![(b"wrong", Json::Number(wrong)), (b"findings", Json::List(list))]).print()
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Note => "note",
            Self::Wrong => "WRONG",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_lines_with_their_change_and_a_sum() {
        let mut findings = Findings::default();
        findings.well("disk", "writable");
        assert_eq!(findings.text(), "ok     disk: writable\nAll is well.");
        findings.wrong("udp", "no answer", "open it");
        let expected = "ok     disk: writable\nWRONG  udp: no answer\n       -> open it\n1 thing has to be changed.";
        assert_eq!(findings.text(), expected);
        assert!(findings.json().contains("\"level\": \"WRONG\"") && findings.json().contains("\"wrong\": 1"));
    }
}
