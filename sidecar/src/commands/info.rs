//! `info`: shows the agent's numbers.

use std::collections::BTreeMap;
use std::ffi::OsString;

use folkmoot_client::{StatsResponse, Text};

use super::connect::{connect, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use crate::flags::FlagDefinition;
use crate::go_json::Json;
use crate::go_text::quote;

pub(super) const DEFINITION: Definition = Definition {
    name: "info",
    line: "Shows the agent's numbers",
    usage: "[options]",
    about: "Shows the agent's numbers, its tags and its event handlers.",
    flags: || with_connection(&[FlagDefinition::text("format", "=text|json", "Form of the output; default: text.")]),
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let client = connect(&flags).await?;
    let stats = client.stats().await.map_err(Failure::during("Error querying agent"))?;
    match flags.text("format").unwrap_or("text") {
        "text" => out.line(sections(&stats)),
        "json" => out.line(json(&stats).print()),
        other => Err(invalid_format(other)),
    }
}

/// What members and info say to another format.
pub(super) fn invalid_format(format: &str) -> Failure {
    Failure::message(format!("Encoding error: Invalid output format {}", quote(format.as_bytes())))
}

/// `section:` and lines `TAB key = value`; without the final newline.
fn sections(stats: &StatsResponse) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for (section, values) in &stats.0 {
        lines.push([section.as_bytes(), b":"].concat());
        for (key, value) in values {
            lines.push([b"\t", key.as_bytes(), b" = ", value.as_bytes()].concat());
        }
    }
    lines.join(&b'\n')
}

fn json(stats: &StatsResponse) -> Json<'_> {
    Json::Object(stats.0.iter().map(|(name, values)| (name.as_bytes(), json_section(values))).collect())
}

fn json_section(values: &BTreeMap<Text, Text>) -> Json<'_> {
    Json::Object(values.iter().map(|(key, value)| (key.as_bytes(), Json::Text(value.as_bytes()))).collect())
}
