//! `agent`: hands over to the agent itself.

use std::ffi::OsString;

use super::definition::Definition;
use super::failure::Failure;
use crate::config::args::flag_definitions;

pub(super) const DEFINITION: Definition = Definition {
    name: "agent",
    line: "Runs an agent",
    usage: "[options]",
    about: "Runs an agent until it is interrupted or told to leave. The agent is one node of a cluster. Configuration \
            files are read first, over them the environment (FOLKMOOT_NODE for -node, and so on; lists are separated \
            by commas, event handlers by newlines), over that the flags. SIGHUP reads files again and applies log \
            level, event handlers, tags and what signals do.",
    flags: flag_definitions,
};

/// The exit code of the agent, once it has stopped.
pub(super) fn run(arguments: &[OsString]) -> Result<u8, Failure> {
    Ok(crate::agent::run(arguments)?)
}
