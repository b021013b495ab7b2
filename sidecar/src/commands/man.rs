//! `man`: prints the manual page, made from the definitions of commands and flags. Our own.

use std::ffi::OsString;

use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use super::{Program, Subcommand};

pub(super) const DEFINITION: Definition = Definition {
    name: "man",
    line: "Prints the manual page",
    usage: "",
    about: "Prints the manual page as roff.\n\nRead it: folkmoot man | man -l -\n\n\
            Keep it: folkmoot man > /usr/share/man/man1/folkmoot.1",
    flags: Vec::new,
};

pub(super) fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    if !flags.arguments().is_empty() {
        return Err(Failure::usage("No arguments are taken."));
    }
    out.raw(page().as_bytes())
}

const DESCRIPTION: &str = "Folkmoot is an agent for cluster membership, failure detection, events and queries by gossip. It \
    takes the place of HashiCorp Serf's agent: command line, configuration files, RPC, gossip and exit codes are the same. \
    Called by the name serf it answers by that name.";

const ENVIRONMENT: [(&str, &str); 3] = [
    ("SERF_RPC_ADDR", "RPC address that commands use when there is no -rpc-addr."),
    ("SERF_RPC_AUTH", "RPC key that commands use when there is no -rpc-auth."),
    (
        "FOLKMOOT_NAME",
        "Setting of the agent, for every flag and every configuration key: FOLKMOOT_NODE for -node, FOLKMOOT_RPC_AUTH for \
         rpc_auth. Flags win over it, and it wins over files. What is empty says nothing.",
    ),
];

fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(".TH FOLKMOOT 1 \"\" \"Folkmoot {version}\" \"User Commands\"\n");
    page.push_str(".SH NAME\nfolkmoot \\- cluster membership, events and queries by gossip\n");
    page.push_str(".SH SYNOPSIS\n.B folkmoot\n[\\-\\-version] [\\-\\-help] command [arguments]\n");
    page.push_str(&format!(".SH DESCRIPTION\n{}\n.SH COMMANDS\n", roff(DESCRIPTION)));
    for definition in Subcommand::of(Program::Folkmoot).flat_map(Subcommand::definitions) {
        let synopsis = definition.synopsis(Program::Folkmoot);
        page.push_str(&format!(".SS {}\n{}.\n.PP\n.B {}\n", definition.name, roff(definition.line), roff(&synopsis)));
        for paragraph in definition.about.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            page.push_str(&format!(".PP\n{}\n", roff(paragraph)));
        }
        for flag in (definition.flags)() {
            let head = roff(&format!("-{}{}", flag.name, flag.value));
            page.push_str(&format!(".TP\n.B \"{}\"\n{}\n", head.replace('"', "\\(dq"), roff(flag.text)));
        }
    }
    page.push_str(".SH ENVIRONMENT\n");
    for (name, text) in ENVIRONMENT {
        page.push_str(&format!(".TP\n.B {}\n{}\n", roff(name), roff(text)));
    }
    page.push_str(
        ".SH EXIT STATUS\n0 when the command did what it was asked, 1 when not, 127 for an unknown command. Commands whose \
         help names other codes: 2 when the answer is no (no such key, held by another, empty).\n",
    );
    page.push_str(".SH SEE ALSO\n.BR serf (1)\n");
    page
}

/// Text that roff prints as it is: no escapes, no requests at the start of a line, hyphens that can be copied.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    match escaped.chars().next() {
        Some('.' | '\'') => format!("\\&{escaped}"),
        Some(_) | None => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_taken_for_a_request() {
        assert_eq!(roff(".so -x"), "\\&.so \\-x");
        assert_eq!(roff("'a\\b"), "\\&'a\\eb");
    }
}
