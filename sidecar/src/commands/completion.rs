//! `completion`: prints a script that teaches a shell the commands and flags, made from their definitions. Our own.

use std::ffi::OsString;

use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use super::{Program, Subcommand};
use crate::flags::{FlagDefinition, Offered};

pub(super) const DEFINITION: Definition = Definition {
    name: "completion",
    line: "Prints a completion script for a shell",
    usage: "bash|zsh|fish",
    about: "Prints a script that lets the shell complete commands, flags and their values.\n\n\
            bash: folkmoot completion bash > /usr/share/bash-completion/completions/folkmoot\n\n\
            zsh: folkmoot completion zsh > a directory of $fpath, as _folkmoot\n\n\
            fish: folkmoot completion fish > ~/.config/fish/completions/folkmoot.fish",
    flags: Vec::new,
};

pub(super) fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let [shell] = flags.arguments() else {
        return Err(Failure::usage("One shell must be specified: bash, zsh or fish."));
    };
    let script = match shell.to_str() {
        Some("bash") => bash(),
        Some("zsh") => zsh(),
        Some("fish") => fish(),
        Some(_) | None => {
            let shell = shell.to_string_lossy();
            return Err(Failure::usage(format!("Unknown shell '{shell}': bash, zsh and fish are known.")));
        }
    };
    out.raw(script.as_bytes())
}

/// A command, or a verb of one, and what the shell may offer behind it.
struct Place {
    /// `members`, or `kv get`.
    name: &'static str,
    line: &'static str,
    /// Words that may follow: verbs of a command that has them, or the choices of a usage.
    words: Vec<&'static str>,
    flags: Vec<FlagDefinition>,
}

impl Place {
    /// The command, and the verb if there is one.
    fn words_of_name(&self) -> (&'static str, Option<&'static str>) {
        self.name.split_once(' ').map_or((self.name, None), |(command, verb)| (command, Some(verb)))
    }
}

/// All commands, each followed by its verbs.
fn places() -> Vec<Place> {
    let commands = Subcommand::of(Program::Folkmoot);
    let places = commands.flat_map(|command| {
        let (definition, verbs) = (command.definition(), command.verbs());
        let own = if verbs.is_empty() { choices(definition) } else { verbs.iter().map(Definition::verb).collect() };
        let words = std::iter::once(own).chain(verbs.iter().map(choices));
        let places = command.definitions().into_iter().zip(words);
        places.map(|(Definition { name, line, flags, .. }, words)| Place { name, line, words, flags: flags() })
    });
    places.collect()
}

fn commands() -> impl Iterator<Item = &'static Definition> {
    Subcommand::of(Program::Folkmoot).map(Subcommand::definition)
}

/// The words of a usage that are a choice: `bash|zsh|fish`.
fn choices(definition: &Definition) -> Vec<&'static str> {
    if definition.usage.contains('|') { definition.usage.split('|').collect() } else { Vec::new() }
}

/// bash takes `=` for the end of a word, so that `-format=te` comes as three.
fn bash() -> String {
    let (mut words, mut values, mut verbs) = (String::new(), String::new(), String::new());
    for place in places() {
        let Place { name, line: _, words: own, flags } = &place;
        let offered: Vec<String> = flags
            .iter()
            .map(|flag| format!("-{}", flag.name))
            .chain(own.iter().map(|word| (*word).to_owned()))
            .collect();
        words.push_str(&format!("        \"{name}\") words=\"{}\" ;;\n", offered.join(" ")));
        if let (command, Some(verb)) = place.words_of_name() {
            verbs
                .push_str(&format!("        \"{command} {verb}\") [ \"$COMP_CWORD\" -gt 2 ] && place=\"{name}\" ;;\n"));
        }
        for flag in flags {
            let (flag, offered) = (flag.name, flag.offered());
            let reply = match offered {
                Offered::Nothing => continue,
                Offered::Anything => ":".to_owned(),
                Offered::Words(words) => format!("COMPREPLY=($(compgen -W \"{}\" -- \"$word\"))", words.join(" ")),
                Offered::Paths => "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$word\"))".to_owned(),
            };
            values.push_str(&format!("        \"{name} -{flag}\") {reply}; return ;;\n"));
        }
    }
    let names: Vec<&str> = commands().map(|definition| definition.name).collect();
    let names = names.join(" ");
    format!(
        r#"# bash completion for folkmoot; made by `folkmoot completion bash`
_folkmoot() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="" words="" place=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -le 1 ]; then
        COMPREPLY=($(compgen -W "{names}" -- "$word"))
        return
    fi
    if [ "$word" = "=" ]; then
        before="${{COMP_WORDS[COMP_CWORD-1]}}"
        word=""
    elif [ "${{COMP_WORDS[COMP_CWORD-1]}}" = "=" ]; then
        before="${{COMP_WORDS[COMP_CWORD-2]}}"
    else
        before="${{COMP_WORDS[COMP_CWORD-1]}}"
    fi
    place="${{COMP_WORDS[1]}}"
    case "$place ${{COMP_WORDS[2]}}" in
{verbs}    esac
    case "$place ${{before/#--/-}}" in
{values}    esac
    case "$place" in
{words}    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _folkmoot folkmoot
"#
    )
}

fn zsh() -> String {
    let (mut names, mut verbs, mut cases) = (String::new(), String::new(), String::new());
    for place in places() {
        let Place { name, line, words, flags } = &place;
        match place.words_of_name() {
            (_, None) => names.push_str(&format!("        '{name}:{}'\n", zsh_text(line))),
            (command, Some(verb)) => verbs.push_str(&format!("        '{command} {verb}') name=$command ;;\n")),
        }
        let mut specs = String::new();
        for flag in flags {
            let (flag_name, text) = (flag.name, zsh_text(flag.text));
            let value = match flag.offered() {
                Offered::Nothing => {
                    specs.push_str(&format!(" \\\n                '*-{flag_name}[{text}]'"));
                    continue;
                }
                Offered::Anything => ":value: ".to_owned(),
                Offered::Words(words) => format!(":value:({})", words.join(" ")),
                Offered::Paths => ":file:_files".to_owned(),
            };
            specs.push_str(&format!(" \\\n                '*-{flag_name}=[{text}]{value}'"));
        }
        if !words.is_empty() {
            specs.push_str(&format!(" \\\n                '1:what:({})'", words.join(" ")));
        }
        cases.push_str(&format!("        '{name}')\n            _arguments{specs}\n            ;;\n"));
    }
    format!(
        r#"#compdef folkmoot
# zsh completion for folkmoot; made by `folkmoot completion zsh`
_folkmoot() {{
    local -a commands
    commands=(
{names}    )
    if (( CURRENT == 2 )); then
        _describe 'command' commands
        return
    fi
    local name="$words[2]"
    shift words
    (( CURRENT-- ))
    if (( CURRENT > 2 )); then
        local command="$name $words[2]"
        case "$command" in
{verbs}        esac
        if [[ "$name" == *' '* ]]; then
            shift words
            (( CURRENT-- ))
        fi
    fi
    case "$name" in
{cases}    esac
}}
compdef _folkmoot folkmoot
"#
    )
}

/// Inside single quotes and the brackets of `_arguments`.
fn zsh_text(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    escaped.replace('\'', "'\\''")
}

fn fish() -> String {
    let names: Vec<&str> = commands().map(|definition| definition.name).collect();
    let mut text = format!(
        "# fish completion for folkmoot; made by `folkmoot completion fish`\n\
         set -l commands {}\ncomplete -c folkmoot -f\n",
        names.join(" ")
    );
    for place in places() {
        let line = fish_text(place.line);
        let this = match place.words_of_name() {
            (command, None) => {
                let first = "not __fish_seen_subcommand_from $commands";
                text.push_str(&format!("complete -c folkmoot -n \"{first}\" -a {command} -d '{line}'\n"));
                format!("complete -c folkmoot -n '__fish_seen_subcommand_from {command}'")
            }
            (command, Some(verb)) => {
                let seen = format!("__fish_seen_subcommand_from {command}");
                format!("complete -c folkmoot -n '{seen}; and __fish_seen_subcommand_from {verb}'")
            }
        };
        if !place.words.is_empty() {
            text.push_str(&format!("{this} -a '{}'\n", place.words.join(" ")));
        }
        for flag in &place.flags {
            let value = match flag.offered() {
                Offered::Nothing => String::new(),
                Offered::Anything => " -x".to_owned(),
                Offered::Words(words) => format!(" -x -a '{}'", words.join(" ")),
                Offered::Paths => " -r -F".to_owned(),
            };
            text.push_str(&format!("{this} -o {}{value} -d '{}'\n", flag.name, fish_text(flag.text)));
        }
    }
    text
}

/// Inside single quotes.
fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
