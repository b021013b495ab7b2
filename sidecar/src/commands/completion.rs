//! `completion`: prints a script that teaches a shell the commands and flags, made from their definitions. Our own.

use std::ffi::OsString;

use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use super::{Program, Subcommand};
use crate::flags::Offered;

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

fn definitions() -> impl Iterator<Item = &'static Definition> {
    Subcommand::of(Program::Folkmoot).map(Subcommand::definition)
}

/// The words of a usage that are a choice: `bash|zsh|fish`.
fn choices(definition: &Definition) -> Vec<&'static str> {
    if definition.usage.contains('|') { definition.usage.split('|').collect() } else { Vec::new() }
}

/// bash takes `=` for the end of a word, so that `-format=te` comes as three.
fn bash() -> String {
    let (mut flags, mut values) = (String::new(), String::new());
    for definition in definitions() {
        let name = definition.name;
        let own = (definition.flags)();
        let mut words: Vec<String> = own.iter().map(|flag| format!("-{}", flag.name)).collect();
        words.extend(choices(definition).into_iter().map(str::to_owned));
        flags.push_str(&format!("        {name}) words=\"{}\" ;;\n", words.join(" ")));
        for flag in own {
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
    let names: Vec<&str> = definitions().map(|definition| definition.name).collect();
    let names = names.join(" ");
    format!(
        r#"# bash completion for folkmoot; made by `folkmoot completion bash`
_folkmoot() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="" words=""
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
    case "${{COMP_WORDS[1]}} ${{before/#--/-}}" in
{values}    esac
    case "${{COMP_WORDS[1]}}" in
{flags}    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _folkmoot folkmoot
"#
    )
}

fn zsh() -> String {
    let (mut names, mut commands) = (String::new(), String::new());
    for definition in definitions() {
        let name = definition.name;
        names.push_str(&format!("        '{name}:{}'\n", zsh_text(definition.line)));
        let mut specs = String::new();
        for flag in (definition.flags)() {
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
        let choices = choices(definition);
        if !choices.is_empty() {
            specs.push_str(&format!(" \\\n                '1:what:({})'", choices.join(" ")));
        }
        commands.push_str(&format!("        {name})\n            _arguments{specs}\n            ;;\n"));
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
    case "$name" in
{commands}    esac
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
    let names: Vec<&str> = definitions().map(|definition| definition.name).collect();
    let mut text = format!(
        "# fish completion for folkmoot; made by `folkmoot completion fish`\n\
         set -l commands {}\ncomplete -c folkmoot -f\n",
        names.join(" ")
    );
    for definition in definitions() {
        let (name, line) = (definition.name, fish_text(definition.line));
        let first = "not __fish_seen_subcommand_from $commands";
        text.push_str(&format!("complete -c folkmoot -n \"{first}\" -a {name} -d '{line}'\n"));
        let this = format!("complete -c folkmoot -n '__fish_seen_subcommand_from {name}'");
        let choices = choices(definition);
        if !choices.is_empty() {
            text.push_str(&format!("{this} -a '{}'\n", choices.join(" ")));
        }
        for flag in (definition.flags)() {
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
