//! `version`: ours, and the Serf protocol spoken (`docs/spec/agent-cli.md` 2.8).

use super::Program;
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;

/// Without help, as in Go.
pub(super) const DEFINITION: Definition =
    Definition { name: "version", line: "Shows the version", usage: "", about: "", flags: Vec::new };

/// The Serf whose behaviour this program has.
const SERF_VERSION: &str = "0.10.2";

/// Scripts read this line. The numbers are serf's `ProtocolVersionMax` and `ProtocolVersionMin`.
const PROTOCOL_LINE: &str = "Agent Protocol: 5 (Understands back to: 2)";

pub(super) fn run(program: Program, out: &mut Output) -> Result<(), Failure> {
    out.line(first_line(program))?;
    out.line(PROTOCOL_LINE)
}

/// The commit is known where the build has `FOLKMOOT_COMMIT` in its environment.
fn first_line(program: Program) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match (program, option_env!("FOLKMOOT_COMMIT").filter(|commit| !commit.is_empty())) {
        (Program::Serf, _) => format!("Serf v{SERF_VERSION} (Folkmoot {version})"),
        (Program::Folkmoot, Some(commit)) => format!("Folkmoot v{version} ({commit})"),
        (Program::Folkmoot, None) => format!("Folkmoot v{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn called_as_serf_it_names_the_version_of_serf() {
        let expected = format!("Serf v0.10.2 (Folkmoot {})", env!("CARGO_PKG_VERSION"));
        assert_eq!(first_line(Program::Serf), expected);
    }

    #[test]
    fn called_by_its_own_name_it_names_its_own_version() {
        let expected = format!("Folkmoot v{}", env!("CARGO_PKG_VERSION"));
        assert!(first_line(Program::Folkmoot).starts_with(&expected));
    }
}
