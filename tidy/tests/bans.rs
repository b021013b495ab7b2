//! Words and calls that must not appear, where, and what to do instead.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

use folkmoot_tidy::{ENGINES, File, files};

/// A ban: the text, and what to do instead.
type Ban = (&'static str, &'static str);

/// In every source file.
const EVERYWHERE: &[Ban] = &[
    (concat!("to", "do!("), "finish it"),
    (concat!("unimple", "mented!("), "finish it"),
    (concat!("FIX", "ME"), "mend it or write it into docs/known-bugs.md"),
    (concat!("XX", "X:"), "mend it"),
    (concat!("for ", "now"), "comments describe the code, not its history"),
    (concat!("no ", "longer "), "comments describe the code, not its history"),
    (concat!("#[ig", "nore"), "a test runs or does not exist"),
    (concat!("pytest.mark.", "skip"), "a test runs or does not exist"),
    (concat!("/wo", "rk/"), "no paths of one machine"),
    (concat!("/ro", "ot/"), "no paths of one machine"),
    (concat!("/ho", "me/"), "no paths of one machine"),
];

/// In tests: they wait for conditions.
const IN_TESTS: &[Ban] = &[
    (concat!("thread::", "sleep("), "wait for a condition with a deadline (support/wait.rs)"),
    (concat!("tokio::time::", "sleep("), "wait for a condition with a deadline, or pause the clock"),
    (concat!("time.", "sleep("), "wait for a condition with a deadline"),
];

/// In engines' production code, beside what their `clippy.toml` bans by type.
const IN_ENGINES: &[Ban] = &[
    ("std::time::Instant", "take `now` as an argument"),
    ("SystemTime", "engines know no wall clock"),
    ("println!(", "engines report events; the sidecar prints"),
    ("eprint!(", "engines report events; the sidecar prints"),
    ("HashMap", "iteration order is behaviour: BTreeMap"),
    ("HashSet", "iteration order is behaviour: BTreeSet"),
    ("std::fs", "I/O belongs to the sidecar"),
    ("std::thread", "engines have no threads"),
    ("Mutex", "engines have one owner and no locks"),
    ("async fn", "engines are state machines"),
    ("UdpSocket", "I/O belongs to the sidecar"),
    ("TcpStream", "I/O belongs to the sidecar"),
];

#[test]
fn nothing_unfinished_or_private_is_anywhere() {
    let found = files(&[".rs", ".py", ".toml", "Makefile"])
        .iter()
        .flat_map(|file| hits(file, &file.text, EVERYWHERE))
        .collect();
    report(found);
}

#[test]
fn no_test_sleeps() {
    report(files(&[".rs", ".py"]).iter().flat_map(|file| hits(file, file.tests(), IN_TESTS)).collect());
}

#[test]
fn engines_are_pure() {
    let engines = files(&[".rs"]).into_iter().filter(|file| ENGINES.contains(&file.crate_name()) && !file.is_test());
    let code = |text: &str| {
        let lines = text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line });
        lines.collect::<Vec<_>>().join("\n")
    };
    report(engines.flat_map(|file| hits(&file, &code(file.production()), IN_ENGINES)).collect());
}

#[test]
fn no_invisible_characters() {
    let invisible = |character: char| {
        (character.is_control() && !matches!(character, '\n' | '\t'))
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let sources = files(&[".rs", ".py", ".toml", ".md", "Makefile"]);
    let found = sources.iter().flat_map(|file| {
        let lines = file.text.lines().enumerate().filter(move |(_, line)| line.contains(invisible));
        lines.map(|(number, _)| format!("{}:{}", file.path, number + 1))
    });
    report(found.collect());
}

/// Every file of a crate is part of it: some `mod` names it.
#[test]
fn no_file_is_dead() {
    let sources = files(&[".rs"]);
    let roots = ["lib", "main", "mod", "build"];
    let dead = sources.iter().filter(|file| {
        let stem = file.path.rsplit('/').next().unwrap().trim_end_matches(".rs");
        let own_program = ["/tests/", "/benches/", "/bin/"]
            .iter()
            .any(|folder| file.path.split_once(folder).is_some_and(|(_, rest)| !rest.contains('/')));
        let folder = file.path.split('/').next().unwrap();
        let declared = sources.iter().any(|other| {
            other.crate_name() == folder
                && (other.text.contains(&format!("mod {stem};")) || other.text.contains(&format!("{stem}.rs\"")))
        });
        !roots.contains(&stem) && !own_program && !declared
    });
    report(dead.map(|file| format!("{} is not part of any crate", file.path)).collect());
}

fn hits(file: &File, text: &str, bans: &[Ban]) -> Vec<String> {
    let before = file.text.len() - text.len();
    let offset = if file.text.ends_with(text) { file.text[..before].lines().count() } else { 0 };
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (banned, instead) in bans.iter().filter(|(banned, _)| line.contains(banned)) {
            found.push(format!("{}:{} `{banned}`: {instead}", file.path, offset + number + 1));
        }
    }
    found
}

fn report(found: Vec<String>) {
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
}
