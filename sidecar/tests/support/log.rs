//! Log lines without what differs from run to run, so that two runs of one scenario can be compared.

use std::collections::BTreeSet;

/// `[LEVEL] component: text` with names, addresses, numbers and times replaced; `None` for lines that are no log lines.
pub fn shape(line: &str, names: &[&str]) -> Option<String> {
    let start = line.find('[')?;
    let level = line.get(start + 1..)?.split(']').next()?;
    if !matches!(level, "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERR") {
        return None;
    }
    let mut text = line.get(start..)?.to_owned();
    for name in names {
        text = text.replace(name, "NODE");
    }
    Some(collapse(&text))
}

/// Shapes of every line, of the levels in `levels`.
pub fn shapes<'a>(lines: impl IntoIterator<Item = &'a String>, names: &[&str], levels: &[&str]) -> BTreeSet<String> {
    lines
        .into_iter()
        .flat_map(|line| split(line))
        .filter_map(|line| shape(line, names))
        .filter(|shape| levels.iter().any(|level| shape.starts_with(&format!("[{level}]"))))
        .collect()
}

/// The Go agent's writers do not wait for one another: two log lines may share a line of output. Each begins with four
/// blanks.
fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split("    ").filter(|part| part.contains('['))
}

/// Every run of digits, with the dots, colons and units between them, becomes one `#`.
fn collapse(text: &str) -> String {
    let mut out = String::new();
    let mut in_number = false;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let joins = matches!(character, '.' | ':') && in_number && rest.peek().is_some_and(char::is_ascii_digit);
        if character.is_ascii_digit() || joins {
            if !in_number {
                out.push('#');
            }
            in_number = true;
            continue;
        }
        let was_number = std::mem::replace(&mut in_number, false);
        let unit = was_number && matches!(character, 'µ' | 'm' | 'n') && rest.next_if_eq(&'s').is_some();
        let seconds = was_number && character == 's' && !rest.peek().is_some_and(|next| next.is_alphabetic());
        if !unit && !seconds {
            out.push(character);
        }
    }
    out
}
