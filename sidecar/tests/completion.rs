//! Shell completions and the manual page: every command and flag is in them, bash can use its script, and the other
//! shells' scripts and the roff are well-formed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use support::{Directory, Kind};

fn stdout(arguments: &[&str]) -> String {
    let output = Kind::Folkmoot.command(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the help of `kind` lists: commands, and the flags of each.
fn commands_and_flags(kind: Kind) -> BTreeMap<String, Vec<String>> {
    let help = |arguments: &[&str]| {
        let output = kind.command(arguments).output().unwrap();
        // Go's writes one or the other.
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let list = help(&["--help"]);
    let names = list.lines().filter_map(|line| line.strip_prefix("    ")?.split_whitespace().next());
    let verbs = |name: &str| -> Vec<String> {
        let help = help(&[name, "--help"]);
        let verbs = help.split("\nVerbs:\n\n").nth(1).unwrap_or_default();
        let verbs = verbs.lines().take_while(|line| !line.is_empty());
        verbs.filter_map(|line| Some(format!("{name} {}", line.split_whitespace().next()?))).collect()
    };
    let names = names.flat_map(|name| std::iter::once(name.to_owned()).chain(verbs(name)));
    names
        .map(|name| {
            let words: Vec<&str> = name.split(' ').chain(["--help"]).collect();
            let help = help(&words);
            let flags = help.lines().filter_map(|line| {
                let flag = line.strip_prefix("  -")?;
                // A dash alone begins an item of a list, or stands for stdin.
                Some(flag.split([' ', '=']).next().filter(|flag| flag.starts_with(char::is_alphabetic))?.to_owned())
            });
            (name.clone(), flags.collect())
        })
        .collect()
}

#[test]
fn every_command_and_flag_is_in_all_of_them() {
    let ours = commands_and_flags(Kind::Folkmoot);
    assert!(ours.len() > 15 && ours["agent"].contains(&"snapshot".to_owned()), "{ours:?}");
    assert!(ours["kv put"].contains(&"ttl".to_owned()) && ours["lock"].contains(&"wait".to_owned()), "{ours:?}");
    let (bash, zsh, fish, man) = (
        stdout(&["completion", "bash"]),
        stdout(&["completion", "zsh"]),
        stdout(&["completion", "fish"]),
        stdout(&["man"]),
    );
    for (command, flags) in &ours {
        let line = bash.lines().find(|line| line.starts_with(&format!("        \"{command}\") words=")));
        let line = line.unwrap_or_else(|| panic!("bash lacks {command}"));
        let zsh_part = zsh.split(&format!("\n        '{command}')\n")).nth(1).unwrap().split(";;").next().unwrap();
        let man_part = man.split(&format!("\n.SS {command}\n")).nth(1).unwrap().split("\n.S").next().unwrap();
        let (fish_command, seen) = match command.split_once(' ') {
            Some((command, verb)) => {
                let offer = fish.lines().find(|line| line.contains(&format!("from {command}' -a '")));
                let offered = offer.is_some_and(|line| line.split([' ', '\'']).any(|word| word == verb));
                assert!(offered, "fish lacks {command} {verb}");
                (command, format!("; and __fish_seen_subcommand_from {verb}"))
            }
            None => {
                assert!(fish.contains(&format!(" -a {command} -d ")), "fish lacks {command}");
                (command.as_str(), String::new())
            }
        };
        for flag in flags {
            assert!(line.split([' ', '"']).any(|word| word == format!("-{flag}")), "bash: {command} -{flag}");
            assert!(zsh_part.contains(&format!("'*-{flag}=[")) || zsh_part.contains(&format!("'*-{flag}[")), "{flag}");
            let condition = format!("__fish_seen_subcommand_from {fish_command}{seen}");
            let fish_start = format!("complete -c folkmoot -n '{condition}' -o {flag} ");
            assert!(fish.lines().any(|line| line.starts_with(&fish_start)), "fish: {command} -{flag}");
            let head = format!("\n.B \"\\-{}", flag.replace('-', "\\-"));
            assert!(man_part.contains(&head), "man: {command} -{flag}");
        }
    }
}

/// The definitions lack nothing that Serf has.
#[test]
fn every_command_and_flag_of_the_go_agent_is_defined() {
    let (go, ours) = (commands_and_flags(Kind::Go), commands_and_flags(Kind::Folkmoot));
    assert!(go.len() > 10 && go["agent"].len() > 15, "{go:?}");
    for (command, flags) in go {
        for flag in flags {
            assert!(ours[&command].contains(&flag), "{command} -{flag}");
        }
    }
}

/// What bash offers for the words of a command line, the last of which is being written.
fn offered(words: &[&str]) -> Vec<String> {
    let directory = Directory::fresh();
    let script = directory.file("folkmoot.bash");
    std::fs::write(&script, stdout(&["completion", "bash"])).unwrap();
    let program = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _folkmoot; printf '%s\\n' \
                   \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", program, "bash"]).arg(&script).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(offered(&["folkmoot", "mem"]), ["members"]);
    assert_eq!(offered(&["folkmoot", "members", "-det"]), ["-detailed"]);
    assert_eq!(offered(&["folkmoot", "agent", "-snap"]), ["-snapshot"]);
    assert!(offered(&["folkmoot", "event", ""]).contains(&"-coalesce".to_owned()));
    // bash splits words at `=`.
    assert_eq!(offered(&["folkmoot", "members", "-format", "=", "js"]), ["json"]);
    assert_eq!(offered(&["folkmoot", "members", "-format", "="]), ["text", "json"]);
    assert_eq!(offered(&["folkmoot", "members", "--format", "te"]), ["text"]);
    assert_eq!(offered(&["folkmoot", "agent", "-profile", "w"]), ["wan"]);
    assert_eq!(offered(&["folkmoot", "agent", "-node", "-"]), [""; 0]);
    assert_eq!(offered(&["folkmoot", "agent", "-config-file", "Cargo.to"]), ["Cargo.toml"]);
    assert_eq!(offered(&["folkmoot", "completion", "f"]), ["fish"]);
    assert_eq!(offered(&["folkmoot", "kv", "g"]), ["get"]);
    assert_eq!(offered(&["folkmoot", "kv", "get", "-st"]), ["-stale"]);
    assert_eq!(offered(&["folkmoot", "kv", "get", "-format", "=", "js"]), ["json"]);
    assert_eq!(offered(&["folkmoot", "lock", "-w"]), ["-wait"]);
    assert_eq!(offered(&["folkmoot", "lock", "inf"]), ["info"]);
    assert_eq!(offered(&["folkmoot", "nonsense", "-"]), [""; 0]);
}

#[test]
fn the_bash_script_is_well_formed() {
    let directory = Directory::fresh();
    let script = directory.file("folkmoot.bash");
    std::fs::write(&script, stdout(&["completion", "bash"])).unwrap();
    let output = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// Single quotes are closed, brackets of `_arguments` too.
#[test]
fn the_zsh_and_fish_scripts_quote_what_they_say() {
    let zsh = stdout(&["completion", "zsh"]);
    assert!(zsh.starts_with("#compdef folkmoot\n"));
    for line in zsh.lines().filter(|line| line.trim_start().starts_with('\'')) {
        let bare = line.replace("'\\''", "").replace("\\[", "").replace("\\]", "");
        assert_eq!(bare.matches('\'').count(), 2, "{line}");
        assert!(bare.matches('[').count() == bare.matches(']').count() && bare.matches('[').count() <= 1, "{line}");
    }
    for (open, close) in [("case ", "esac"), ("if ((", "fi"), ("{", "}")] {
        let ends = |word: &str| zsh.lines().filter(|line| line.trim() == word).count();
        assert!(zsh.contains(open) && ends(close) >= 1, "{close}");
    }
    for line in stdout(&["completion", "fish"]).lines() {
        let bare = line.replace("\\'", "").replace("\\\\", "");
        assert_eq!(bare.matches('\'').count() % 2, 0, "{line}");
        assert!(
            ["#", "set -l commands ", "complete -c folkmoot "].iter().any(|start| line.starts_with(start)),
            "{line}"
        );
    }
}

#[test]
fn the_manual_page_has_the_parts_of_one_and_no_stray_request() {
    let man = stdout(&["man"]);
    assert!(man.starts_with(".TH FOLKMOOT 1 "));
    let parts: Vec<&str> = man.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
    let expected = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "ENVIRONMENT", "EXIT STATUS", "SEE ALSO"];
    assert_eq!(parts, expected);
    let requests = [".TH ", ".SH ", ".SS ", ".PP", ".TP", ".B ", ".BR "];
    for line in man.lines().filter(|line| line.starts_with(['.', '\''])) {
        assert!(requests.iter().any(|request| line.starts_with(request)), "{line}");
        assert_eq!(line.replace("\\(dq", "").matches('"').count() % 2, 0, "{line}");
    }
    for part in man.split('\\').skip(1) {
        assert!(part.starts_with(['-', 'e', '&', '(']), "unknown escape: \\{part}");
    }
}

#[test]
fn a_shell_nobody_knows_is_refused_and_serf_has_neither_command() {
    let output = Kind::Folkmoot.command(&["completion", "tcsh"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && text.starts_with("Unknown shell 'tcsh'"), "{output:?}");
    let directory = Directory::fresh();
    let serf = directory.file("serf");
    std::os::unix::fs::symlink(Kind::Folkmoot.program(), &serf).unwrap();
    for command in ["completion", "man"] {
        let output = Command::new(&serf).args([command, "bash"]).output().unwrap();
        assert_eq!(output.status.code(), Some(127), "{output:?}");
    }
}
