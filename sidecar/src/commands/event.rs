//! `event`: fires a user event.

use std::ffi::OsString;

use folkmoot_client::Coalesce;

use super::connect::{bytes, connect, payload, text, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use crate::flags::FlagDefinition;

pub(super) const DEFINITION: Definition = Definition {
    name: "event",
    line: "Sends a user event to the cluster",
    usage: "[options] name [payload]",
    about: "Sends a user event to every member of the cluster.",
    flags: || {
        with_connection(&[FlagDefinition::boolean(
            "coalesce",
            "Whether members may be shown only the newest of several events of this name.",
        )])
    },
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let (name, payload) = name_and_payload(flags.arguments(), "An event name must be specified.")?;
    let coalesce = flags.boolean("coalesce").unwrap_or(true);
    let client = connect(&flags).await?;
    let mode = if coalesce { Coalesce::Newest } else { Coalesce::Every };
    client.event(text(name), payload.map(self::payload), mode).await.map_err(Failure::during("Error sending event"))?;
    let coalescing = format!("' dispatched! Coalescing enabled: {coalesce}");
    out.line([b"Event '", bytes(name), coalescing.as_bytes()].concat())
}

/// What event and query take.
pub(super) fn name_and_payload<'a>(
    arguments: &'a [OsString],
    missing: &str,
) -> Result<(&'a OsString, Option<&'a OsString>), Failure> {
    match arguments {
        [] => Err(Failure::usage(missing)),
        [name] => Ok((name, None)),
        [name, payload] => Ok((name, Some(payload))),
        _ => Err(Failure::usage("Too many command line arguments. Only a name and payload must be specified.")),
    }
}
