//! `join`: makes the agent join a cluster.

use std::ffi::OsString;

use super::connect::{connect, text, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use crate::flags::FlagDefinition;

pub(super) const DEFINITION: Definition = Definition {
    name: "join",
    line: "Makes the agent join a cluster",
    usage: "[options] address ...",
    about: "Makes the agent join the cluster that a member at one of these addresses belongs to.",
    flags: || with_connection(&[FlagDefinition::boolean("replay", "Take user events from before the join too.")]),
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    if flags.arguments().is_empty() {
        return Err(Failure::usage("At least one address to join must be specified."));
    }
    let client = connect(&flags).await?;
    let addresses = flags.arguments().iter().map(text);
    let joined = client.join(addresses, flags.boolean("replay").unwrap_or(false)).await;
    let count = joined.map_err(Failure::during("Error joining the cluster"))?;
    out.line(format!("Successfully joined cluster by contacting {count} nodes."))
}
