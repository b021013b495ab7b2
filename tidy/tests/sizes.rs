//! How long files and functions may be, and how much code a crate may hold.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;

use folkmoot_tidy::{File, files, root};

/// Lines of one file, tests included.
const FILE_LINES_MAX: usize = 600;
/// Lines of one function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Code lines of a crate, without comments, blank lines and tests. A line `* **Budget of \`NAME\`: N lines.** reason` in
/// `docs/decisions.md` replaces a number.
const BUDGETS: [(&str, usize); 9] = [
    ("wire", 800),
    ("proto", 1_200),
    ("memberlist", 5_000),
    ("serf", 4_500),
    ("coordination", 3_000),
    ("client-rust", 2_000),
    ("sidecar", 6_000),
    ("simulator", 4_000),
    ("linearizability", 800),
];

#[test]
fn no_file_is_too_long() {
    let long = files(&[".rs", ".py"]).into_iter().map(|file| (file.text.lines().count(), file.path));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > FILE_LINES_MAX).collect();
    assert!(long.is_empty(), "files over {FILE_LINES_MAX} lines: {long:#?}");
}

#[test]
fn no_function_is_too_long() {
    let long: Vec<_> = files(&[".rs"]).iter().flat_map(long_functions).collect();
    assert!(long.is_empty(), "functions over {FUNCTION_LINES_MAX} lines:\n{}", long.join("\n"));
}

/// A function ends at the first line that closes a brace at the indentation of its `fn`.
fn long_functions(file: &File) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| opens_function(line)) {
        let indentation = line.len() - line.trim_start().len();
        let closes = |line: &&str| line.starts_with('}') || line.trim_start() == "}" || line.trim_end().ends_with(';');
        let end = lines[start..].iter().position(|line| {
            line.len() - line.trim_start().len() == indentation && closes(line) && !opens_function(line)
        });
        let length = end.map_or(0, |end| end + 1);
        if length > FUNCTION_LINES_MAX {
            long.push(format!("{}:{} {length} lines: {}", file.path, start + 1, line.trim()));
        }
    }
    long
}

fn opens_function(line: &str) -> bool {
    let mut rest = line.trim_start();
    for word in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.starts_with("fn ") && !line.trim_end().ends_with('}')
}

#[test]
fn crates_stay_within_their_budget() {
    let decisions = fs::read_to_string(root().join("docs/decisions.md")).unwrap();
    let mut over = Vec::new();
    for (name, budget) in BUDGETS {
        let budget = decided(&decisions, name).unwrap_or(budget);
        let sources = files(&[".rs"]);
        let own = sources.iter().filter(|file| file.path.starts_with(&format!("{name}/src/")));
        let lines: usize = own.map(|file| code_lines(file.production())).sum();
        println!("{name}: {lines} of {budget} code lines");
        if lines > budget {
            over.push(format!("{name}: {lines} code lines, budget {budget}"));
        }
    }
    assert!(over.is_empty(), "shrink, or decide in docs/decisions.md:\n{}", over.join("\n"));
}

fn decided(decisions: &str, name: &str) -> Option<usize> {
    let after = decisions.split_once(&format!("**Budget of `{name}`: "))?.1;
    after.split(' ').next()?.replace(',', "").parse().ok()
}

fn code_lines(text: &str) -> usize {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}
