//! `force-leave`: makes the cluster take a member for one that left.

use std::ffi::OsString;

use folkmoot_client::Prune;

use super::connect::{connect, text, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use crate::flags::FlagDefinition;

pub(super) const DEFINITION: Definition = Definition {
    name: "force-leave",
    line: "Makes the cluster take a member for one that left",
    usage: "[options] name",
    about: "Makes the cluster take a member for one that left, so that nobody tries to reach it any more. Meant for failed members that will not come back; one that is alive joins again.",
    flags: || with_connection(&[FlagDefinition::boolean("prune", "Erase the member from the list as well.")]),
};

pub(super) async fn run(arguments: &[OsString]) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let [node] = flags.arguments() else {
        return Err(Failure::usage("A node name must be specified to force leave."));
    };
    let prune = if flags.boolean("prune") == Some(true) { Prune::Erase } else { Prune::Keep };
    let client = connect(&flags).await?;
    client.force_leave(text(node), prune).await.map_err(Failure::during("Error force leaving"))
}
