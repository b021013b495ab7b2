//! What a command line asks for, before any subcommand looks at its own flags. Answers to `hashicorp/cli`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name the program was called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Its own.
    Folkmoot,
    /// The one it stands in for, by a link.
    Serf,
}

impl Program {
    /// From the first word of the command line.
    pub fn from_path(path: Option<&OsStr>) -> Self {
        match path.map(Path::new).and_then(Path::file_name) {
            Some(name) if name == "serf" => Self::Serf,
            _ => Self::Folkmoot,
        }
    }

    /// As it stands in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folkmoot => "folkmoot",
            Self::Serf => "serf",
        }
    }
}

/// `-v` or `--version` counts wherever it stands, even behind `--`.
pub(super) fn asks_for_version(words: &[OsString]) -> bool {
    words.iter().any(|word| word == "-v" || word == "--version")
}

/// The words in front of the first `--`.
pub(super) fn before_dashes(words: &[OsString]) -> &[OsString] {
    words.split(|word| word == "--").next().unwrap_or_default()
}

/// A command line taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation<'a> {
    /// The first word that is not a flag; empty if there is none.
    pub(super) name: String,
    /// The words after it.
    pub(super) arguments: &'a [OsString],
    /// `-h`, `-help` or `--help` stands anywhere before a `--`.
    pub(super) help: bool,
    /// Flags stand before the name.
    pub(super) misplaced_flags: bool,
}

impl<'a> Invocation<'a> {
    pub(super) fn read(words: &'a [OsString]) -> Self {
        let mut invocation = Self { name: String::new(), arguments: &[], help: false, misplaced_flags: false };
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            match word.to_string_lossy().as_ref() {
                "--" => break,
                "-h" | "-help" | "--help" => invocation.help = true,
                _ if !invocation.name.is_empty() => {}
                // Go's library keeps it for itself and does nothing with it.
                "" | "-version" => {}
                flag if flag.starts_with('-') => invocation.misplaced_flags = true,
                name => {
                    invocation.name = name.to_owned();
                    invocation.arguments = after;
                }
            }
        }
        invocation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_program_is_named_as_it_was_called() {
        for (path, program) in [
            (Some("serf"), Program::Serf),
            (Some("/usr/bin/serf"), Program::Serf),
            (Some("./folkmoot"), Program::Folkmoot),
            (Some("other"), Program::Folkmoot),
            (None, Program::Folkmoot),
        ] {
            assert_eq!(Program::from_path(path.map(OsStr::new)), program);
        }
    }

    #[test]
    fn the_first_word_that_is_no_flag_is_the_command() {
        for (line, name, arguments, help, misplaced_flags) in [
            ("members -detailed x", "members", 2, false, false),
            ("members -h", "members", 1, true, false),
            ("members -name --help", "members", 2, true, false),
            ("members -- -h", "members", 2, false, false),
            ("-h members", "members", 0, true, false),
            ("-rpc-addr=x members", "members", 0, false, true),
            ("-version members", "members", 0, false, false),
            (" members x", "members", 1, false, false),
            ("-- members", "", 0, false, false),
            ("-x", "", 0, false, true),
            ("", "", 0, false, false),
        ] {
            let words = words(line);
            let invocation = Invocation::read(&words);
            let seen = (invocation.name.as_str(), invocation.arguments.len(), invocation.help);
            assert_eq!((seen, invocation.misplaced_flags), ((name, arguments, help), misplaced_flags), "{line}");
        }
    }

    #[test]
    fn the_version_can_be_asked_for_anywhere() {
        for (line, asked) in [("members -v", true), ("-- --version", true), ("-version", false), ("version", false)] {
            assert_eq!(asks_for_version(&words(line)), asked, "{line}");
        }
    }
}
