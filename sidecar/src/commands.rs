//! The command line: which subcommand, its help, its exit code (`docs/spec/agent-cli.md` 1). One file per subcommand.
//!
//! Answers to Go's `cmd/serf/main.go` and `hashicorp/cli`. Results and errors go to stdout, help that was asked for and
//! complaints about flags to stderr.

mod agent;
mod child;
mod columns;
mod completion;
mod connect;
mod coordination;
mod definition;
mod doctor;
mod elect;
mod event;
mod failure;
mod findings;
mod force_leave;
mod handlers;
mod health;
mod info;
mod interrupt;
mod invocation;
mod join;
mod keygen;
mod keys;
mod kv;
mod leave;
mod lock;
mod man;
mod members;
mod monitor;
mod output;
mod query;
mod queue;
mod raft;
mod reachability;
mod rtt;
mod session;
mod tags;
mod version;
mod watch;

use std::ffi::OsString;

use definition::Definition;
use failure::Failure;
pub use invocation::Program;
use invocation::{Invocation, asks_for_version, before_dashes};
use output::Output;

use crate::flags::FlagError;

/// Runs the command line `words` (without the program's name); the exit code.
pub fn run(program: Program, words: &[OsString]) -> u8 {
    let invocation = Invocation::read(words);
    let subcommand = Subcommand::named(program, &invocation.name);
    // Behind the `--` of our own commands stands a command line of somebody else's.
    let own = subcommand.is_some_and(Subcommand::is_our_own);
    if asks_for_version(if own { before_dashes(words) } else { words }) {
        return finish(String::new, version::run(program, &mut Output::new()));
    }
    let Some(subcommand) = subcommand else {
        complain(&list(program));
        return if invocation.help && invocation.name.is_empty() { 0 } else { UNKNOWN_COMMAND };
    };
    let help = || subcommand.help(program, invocation.arguments);
    if invocation.help {
        complain(&help());
        return 0;
    }
    if invocation.misplaced_flags {
        complain(MISPLACED_FLAGS);
        complain(&help());
        return 1;
    }
    if subcommand == Subcommand::Agent {
        return match agent::run(invocation.arguments) {
            Ok(code) => code,
            Err(failure) => finish(help, Err(failure)),
        };
    }
    finish(help, run_client(program, subcommand, invocation.arguments))
}

/// What the shell says of a command that does not exist; Go's `cli` took it over.
const UNKNOWN_COMMAND: u8 = 127;

const MISPLACED_FLAGS: &str = "Invalid flags before the subcommand. If these flags are for\n\
                               the subcommand, please put them after the subcommand.\n\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subcommand {
    Agent,
    Completion,
    Doctor,
    Elect,
    Event,
    ForceLeave,
    Handlers,
    Health,
    Info,
    Join,
    Keygen,
    Keys,
    Kv,
    Leave,
    Lock,
    Man,
    Members,
    Monitor,
    Query,
    Queue,
    Raft,
    Reachability,
    Rtt,
    Session,
    Tags,
    Version,
    Watch,
}

impl Subcommand {
    /// In the order of the list.
    const ALL: [Self; 27] = [
        Self::Agent,
        Self::Completion,
        Self::Doctor,
        Self::Elect,
        Self::Event,
        Self::ForceLeave,
        Self::Handlers,
        Self::Health,
        Self::Info,
        Self::Join,
        Self::Keygen,
        Self::Keys,
        Self::Kv,
        Self::Leave,
        Self::Lock,
        Self::Man,
        Self::Members,
        Self::Monitor,
        Self::Query,
        Self::Queue,
        Self::Raft,
        Self::Reachability,
        Self::Rtt,
        Self::Session,
        Self::Tags,
        Self::Version,
        Self::Watch,
    ];

    fn definition(self) -> &'static Definition {
        match self {
            Self::Agent => &agent::DEFINITION,
            Self::Completion => &completion::DEFINITION,
            Self::Doctor => &doctor::DEFINITION,
            Self::Elect => &elect::DEFINITION,
            Self::Event => &event::DEFINITION,
            Self::ForceLeave => &force_leave::DEFINITION,
            Self::Handlers => &handlers::DEFINITION,
            Self::Health => &health::DEFINITION,
            Self::Info => &info::DEFINITION,
            Self::Join => &join::DEFINITION,
            Self::Keygen => &keygen::DEFINITION,
            Self::Keys => &keys::DEFINITION,
            Self::Kv => &kv::DEFINITION,
            Self::Leave => &leave::DEFINITION,
            Self::Lock => &lock::DEFINITION,
            Self::Man => &man::DEFINITION,
            Self::Members => &members::DEFINITION,
            Self::Monitor => &monitor::DEFINITION,
            Self::Query => &query::DEFINITION,
            Self::Queue => &queue::DEFINITION,
            Self::Raft => &raft::DEFINITION,
            Self::Reachability => &reachability::DEFINITION,
            Self::Rtt => &rtt::DEFINITION,
            Self::Session => &session::DEFINITION,
            Self::Tags => &tags::DEFINITION,
            Self::Version => &version::DEFINITION,
            Self::Watch => &watch::DEFINITION,
        }
    }

    /// What may stand behind its name to say what is to be done.
    fn verbs(self) -> &'static [Definition] {
        match self {
            Self::Elect => &elect::VERBS,
            Self::Kv => &kv::VERBS,
            Self::Lock => &lock::VERBS,
            Self::Queue => &queue::VERBS,
            Self::Raft => &raft::VERBS,
            Self::Session => &session::VERBS,
            Self::Agent
            | Self::Completion
            | Self::Doctor
            | Self::Event
            | Self::ForceLeave
            | Self::Handlers
            | Self::Health
            | Self::Info
            | Self::Join
            | Self::Keygen
            | Self::Keys
            | Self::Leave
            | Self::Man
            | Self::Members
            | Self::Monitor
            | Self::Query
            | Self::Reachability
            | Self::Rtt
            | Self::Tags
            | Self::Version
            | Self::Watch => &[],
        }
    }

    /// Its definition and those of its verbs.
    fn definitions(self) -> Vec<&'static Definition> {
        std::iter::once(self.definition()).chain(self.verbs()).collect()
    }

    /// The help of the verb that `arguments` begin with, or of the command.
    fn help(self, program: Program, arguments: &[OsString]) -> String {
        match definition::verb(self.verbs(), arguments) {
            Ok((verb, _)) => verb.help(program, &[]),
            Err(_) => self.definition().help(program, self.verbs()),
        }
    }

    fn named(program: Program, name: &str) -> Option<Self> {
        Self::of(program).find(|subcommand| subcommand.definition().name == name)
    }

    /// What the program has: as `serf` it has what `serf` has.
    fn of(program: Program) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |subcommand| program == Program::Folkmoot || !subcommand.is_our_own())
    }

    fn is_our_own(self) -> bool {
        !self.verbs().is_empty()
            || matches!(self, Self::Completion | Self::Doctor | Self::Handlers | Self::Health | Self::Man | Self::Watch)
    }
}

/// The list of subcommands.
fn list(program: Program) -> String {
    let name = program.name();
    let mut text = format!("Usage: {name} [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n");
    for subcommand in Subcommand::of(program) {
        let Definition { name, line, .. } = subcommand.definition();
        text.push_str(&format!("    {name:<15} {line}\n"));
    }
    text.push('\n');
    text
}

/// Commands that talk to an agent need a runtime; one thread is enough for one connection.
fn run_client(program: Program, subcommand: Subcommand, arguments: &[OsString]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::message(format!("Error starting: {error}")))?;
    runtime.block_on(async {
        let out = &mut Output::new();
        match subcommand {
            Subcommand::Agent => Ok(()),
            Subcommand::Completion => completion::run(arguments, out),
            Subcommand::Doctor => doctor::run(arguments, out).await,
            Subcommand::Elect => elect::run(arguments, out).await,
            Subcommand::Event => event::run(arguments, out).await,
            Subcommand::ForceLeave => force_leave::run(arguments).await,
            Subcommand::Handlers => handlers::run(arguments, out).await,
            Subcommand::Health => health::run(arguments, out).await,
            Subcommand::Info => info::run(arguments, out).await,
            Subcommand::Join => join::run(arguments, out).await,
            Subcommand::Keygen => keygen::run(out),
            Subcommand::Keys => keys::run(arguments, out).await,
            Subcommand::Kv => kv::run(arguments, out).await,
            Subcommand::Leave => leave::run(arguments, out).await,
            Subcommand::Lock => lock::run(arguments, out).await,
            Subcommand::Man => man::run(arguments, out),
            Subcommand::Members => members::run(arguments, out).await,
            Subcommand::Monitor => monitor::run(arguments, out).await,
            Subcommand::Query => query::run(arguments, out).await,
            Subcommand::Queue => queue::run(arguments, out).await,
            Subcommand::Raft => raft::run(arguments, out).await,
            Subcommand::Reachability => reachability::run(arguments, out).await,
            Subcommand::Rtt => rtt::run(arguments, out).await,
            Subcommand::Session => session::run(arguments, out).await,
            Subcommand::Tags => tags::run(arguments, out).await,
            Subcommand::Version => version::run(program, out),
            Subcommand::Watch => watch::run(arguments, out).await,
        }
    })
}

/// Says what went wrong; the exit code.
fn finish(help: impl Fn() -> String, outcome: Result<(), Failure>) -> u8 {
    let Err(failure) = outcome else { return 0 };
    let mut code = 1;
    let text = match failure {
        Failure::Message(text) => text + "\n",
        Failure::Exit(exit, text) => {
            code = exit;
            if text.is_empty() { text } else { text + "\n" }
        }
        Failure::Usage(text) => format!("{text}\n\n{}", help()),
        Failure::Help | Failure::Flags(FlagError::HelpRequested) => help(),
        Failure::Flags(error) => {
            complain(&format!("{error}\n"));
            help()
        }
        Failure::Silent => return 1,
    };
    // If nobody reads stdout there is nobody left to tell.
    let _ = Output::new().raw(text.as_bytes());
    code
}

fn complain(text: &str) {
    use std::io::Write;
    // As above, for stderr.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_names_every_command() {
        let names: Vec<_> = Subcommand::ALL.iter().map(|subcommand| subcommand.definition().name).collect();
        assert!(names.is_sorted());
        let list = list(Program::Serf);
        assert!(list.starts_with("Usage: serf [--version]"));
        for subcommand in Subcommand::ALL {
            let name = subcommand.definition().name;
            assert_eq!(list.contains(&format!("\n    {name} ")), !subcommand.is_our_own());
            assert_eq!(Subcommand::named(Program::Serf, name).is_some(), !subcommand.is_our_own());
            assert_eq!(Subcommand::named(Program::Folkmoot, name), Some(subcommand));
        }
    }

    #[test]
    fn every_help_but_that_of_version_says_how_the_command_is_used() {
        for subcommand in Subcommand::ALL {
            let definition = subcommand.definition();
            let help = subcommand.help(Program::Folkmoot, &[]);
            let usage = format!("Usage: folkmoot {}", definition.name);
            assert!(if subcommand == Subcommand::Version { help == "\n" } else { help.starts_with(&usage) }, "{help}");
            assert!(!help.contains('{') && help.lines().all(|line| line.len() <= 90), "{help}");
            for flag in (definition.flags)() {
                assert!(!flag.text.is_empty() && help.contains(&format!("\n  -{}", flag.name)), "{}", flag.name);
            }
        }
    }
}
