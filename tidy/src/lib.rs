//! What the tests that read the repository share: finding files, and telling production code from tests.
//!
//! The rules themselves are in `tests/`: `arrows.rs` (who may depend on whom), `sizes.rs`, `bans.rs`, `documents.rs`.

use std::fs;
use std::path::{Path, PathBuf};

/// Crates without I/O, clock, threads or randomness of their own.
pub const ENGINES: [&str; 5] = ["wire", "proto", "memberlist", "serf", "coordination"];

/// A file of the repository.
#[derive(Debug, Clone)]
pub struct File {
    /// From the root of the repository, with `/` between its parts.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the repository whose name ends in one of `endings`, by path. Build output, virtual environments,
/// recordings and version control are left out.
#[must_use]
pub fn files(endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root(), "", endings, &mut found);
    found.sort_by(|left: &File, right: &File| left.path.cmp(&right.path));
    found
}

fn collect(folder: &Path, prefix: &str, endings: &[&str], found: &mut Vec<File>) {
    const SKIPPED: [&str; 7] = ["target", ".git", ".venv", ".peers", "vectors", "__pycache__", ".pytest_cache"];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(&entry.path(), &format!("{path}/"), endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending))
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(File { path, text });
        }
    }
}

impl File {
    /// The crate's directory.
    #[must_use]
    pub fn crate_name(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// True for files that are tests as a whole.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("_tests.rs")
    }

    /// The part in front of an inline test module.
    #[must_use]
    pub fn production(&self) -> &str {
        if self.is_test() {
            return "";
        }
        let inline = self.text.find("#[cfg(test)]\nmod tests {");
        inline.and_then(|at| self.text.get(..at)).unwrap_or(&self.text)
    }

    /// The inline test module, or all of a file of tests.
    #[must_use]
    pub fn tests(&self) -> &str {
        self.text.get(self.production().len()..).unwrap_or_default()
    }
}

/// The rows of the first table of `document` whose header starts with `header`, cell by cell.
#[must_use]
pub fn table(document: &str, header: &str) -> Vec<Vec<String>> {
    let rows = document.lines().skip_while(|line| !line.starts_with(&format!("| {header} |"))).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}
