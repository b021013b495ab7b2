//! `tags`: changes the agent's tags.

use std::ffi::OsString;

use folkmoot_client::TagsRequest;

use super::connect::{connect, parse_tags, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use crate::flags::FlagDefinition;

pub(super) const DEFINITION: Definition = Definition {
    name: "tags",
    line: "Changes the tags of the agent",
    usage: "[options] ...",
    about: "Changes the tags of the agent.",
    flags: || {
        with_connection(&[
            FlagDefinition::list("set", " KEY=VALUE", "Set a tag. Can be repeated."),
            FlagDefinition::list("delete", " KEY", "Remove a tag, if it is there. Can be repeated."),
        ])
    },
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    if flags.list("set").is_empty() && flags.list("delete").is_empty() {
        return Err(Failure::Help);
    }
    let client = connect(&flags).await?;
    let change = TagsRequest {
        delete_tags: flags.list("delete").iter().map(|key| key.as_str().into()).collect(),
        tags: parse_tags(flags.list("set").iter().map(String::as_str))?,
    };
    client.tags(change).await.map_err(Failure::during("Error setting tags"))?;
    out.line("Successfully updated agent tags")
}
