//! [`Definition`]: what a subcommand is called, what it is for and which flags it has. Its flag set, its help, the shell
//! completions and the manual page are made from it. A verb of a subcommand (`kv get`) has a definition of its own, whose
//! name holds both words.

use std::ffi::OsString;

use super::Program;
use super::failure::Failure;
use crate::flags::{FlagDefinition, FlagError, FlagSet, Parsed};

/// A subcommand, or a verb of one.
pub(super) struct Definition {
    pub(super) name: &'static str,
    /// What it does, for the list of commands.
    pub(super) line: &'static str,
    /// What follows the name.
    pub(super) usage: &'static str,
    /// What it is for: paragraphs with an empty line between them. Empty: it has no help, as in Go.
    pub(super) about: &'static str,
    pub(super) flags: fn() -> Vec<FlagDefinition>,
}

/// Where the text about a flag begins, and where lines of the help end, in columns.
const TEXT_COLUMN: usize = 28;
const WIDTH: usize = 84;

impl Definition {
    /// Reads the words after the subcommand's name.
    pub(super) fn parse(&self, words: &[OsString]) -> Result<Parsed, FlagError> {
        FlagSet::of(&(self.flags)()).parse(words)
    }

    /// The last word of its name: the verb of `kv get`.
    pub(super) fn verb(&self) -> &'static str {
        self.name.rsplit(' ').next().unwrap_or_default()
    }

    /// The help, with one final newline. A command with verbs lists them.
    pub(super) fn help(&self, program: Program, verbs: &[Definition]) -> String {
        if self.about.is_empty() {
            return "\n".to_owned();
        }
        let mut text = format!("Usage: {}\n", self.synopsis(program));
        for paragraph in self.about.split("\n\n") {
            text.push('\n');
            for line in wrapped(paragraph, WIDTH.saturating_sub(2)) {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if !verbs.is_empty() {
            text.push_str("\nVerbs:\n\n");
        }
        for verb in verbs {
            text.push_str(&format!("  {:<12} {}\n", verb.verb(), verb.line));
        }
        let flags = (self.flags)();
        if !flags.is_empty() {
            text.push_str("\nOptions:\n\n");
        }
        for flag in flags {
            let mut head = format!("  -{}{}", flag.name, flag.value);
            if head.len() >= TEXT_COLUMN {
                text.push_str(&format!("{head}\n"));
                head.clear();
            }
            for line in wrapped(flag.text, WIDTH.saturating_sub(TEXT_COLUMN)) {
                text.push_str(&format!("{head:TEXT_COLUMN$}{line}\n"));
                head.clear();
            }
        }
        text
    }

    /// `folkmoot event [options] name [payload]`
    pub(super) fn synopsis(&self, program: Program) -> String {
        format!("{} {} {}", program.name(), self.name, self.usage).trim_end().to_owned()
    }
}

/// The verb that `arguments` begin with, and what follows it.
///
/// # Errors
/// There is none, or another word.
pub(super) fn verb<'a>(
    verbs: &'static [Definition],
    arguments: &'a [OsString],
) -> Result<(&'static Definition, &'a [OsString]), Failure> {
    let (word, rest) = arguments.split_first().ok_or(Failure::Help)?;
    let found = verbs.iter().find(|verb| word == verb.verb());
    let unknown = || Failure::usage(format!("'{}' is no verb; a verb has to come first.", word.to_string_lossy()));
    Ok((found.ok_or_else(unknown)?, rest))
}

/// `text` in lines of at most `width` characters, but for words that are longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len().saturating_add(word.len()) < width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_lists_its_verbs() {
        let nothing = Vec::<FlagDefinition>::new;
        let verb = |name, line| Definition { name, line, usage: "KEY", about: "X.", flags: nothing };
        let verbs = [verb("kv get", "Shows a key"), verb("kv put", "Sets a key")];
        let command = Definition { name: "kv", line: "Keys", usage: "VERB", about: "Keys.", flags: nothing };
        let expected = "Usage: folkmoot kv VERB\n\n  Keys.\n\nVerbs:\n\n  get          Shows a key\n  \
                        put          Sets a key\n";
        assert_eq!(command.help(Program::Folkmoot, &verbs), expected);
        assert!(verbs[0].help(Program::Folkmoot, &[]).starts_with("Usage: folkmoot kv get KEY\n"));
    }

    #[test]
    fn help_is_made_of_the_definition() {
        let definition = Definition {
            name: "event",
            line: "Sends",
            usage: "[options] name",
            about: "Sends it.\n\nTwice.",
            flags: || {
                let long = "Words that go on until the line is full and then on the next line below.";
                vec![
                    FlagDefinition::boolean("now", long),
                    FlagDefinition::text("a-very-long-flag-name", "=VALUE", "X."),
                ]
            },
        };
        let expected = "Usage: serf event [options] name\n\n  Sends it.\n\n  Twice.\n\nOptions:\n\n  \
                        -now                      Words that go on until the line is full and then on the\n                            \
                        next line below.\n  -a-very-long-flag-name=VALUE\n                            X.\n";
        assert_eq!(definition.help(Program::Serf, &[]), expected);
    }
}
