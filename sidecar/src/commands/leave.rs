//! `leave`: makes the agent leave and stop.

use std::ffi::OsString;

use super::connect::{connect, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;

pub(super) const DEFINITION: Definition = Definition {
    name: "leave",
    line: "Makes the agent leave the cluster and stop",
    usage: "[options]",
    about: "Makes the agent leave the cluster and stop.",
    flags: || with_connection(&[]),
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let client = connect(&flags).await?;
    client.leave().await.map_err(Failure::during("Error leaving"))?;
    out.line("Graceful leave complete")
}
