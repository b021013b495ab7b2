//! `rtt`: estimates the round trip time between two members (`docs/spec/agent-cli.md` 2.5).

use std::ffi::OsString;

use folkmoot_client::{Client, Coordinate, Text};

use super::connect::{connect, text, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;
use crate::go_text::quote;

pub(super) const DEFINITION: Definition = Definition {
    name: "rtt",
    line: "Estimates the round trip time between two members",
    usage: "[options] node1 [node2]",
    about: "Estimates the round trip time between two members from their network coordinates. Without a second name it is that of the agent.",
    flags: || with_connection(&[]),
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let (one, other) = match flags.arguments() {
        [one] => (text(one), None),
        [one, other] => (text(one), Some(text(other))),
        _ => return Err(Failure::usage("One or two node names must be specified")),
    };
    let client = connect(&flags).await?;
    let other = match other {
        Some(other) => other,
        None => own_name(&client).await?,
    };
    let from = coordinate(&client, &one).await?;
    let to = coordinate(&client, &other).await?;
    let milliseconds = format!(" rtt: {:.3} ms", distance(&from, &to) * 1000.0);
    out.line([b"Estimated ", one.as_bytes(), b" <-> ", other.as_bytes(), milliseconds.as_bytes()].concat())
}

async fn own_name(client: &Client) -> Result<Text, Failure> {
    let stats = client.stats().await.map_err(Failure::during("Error querying agent"))?;
    let agent = stats.0.get(&Text::from("agent"));
    Ok(agent.and_then(|agent| agent.get(&Text::from("name"))).cloned().unwrap_or_default())
}

async fn coordinate(client: &Client, node: &Text) -> Result<Coordinate, Failure> {
    let found = client.coordinate(node.clone()).await.map_err(Failure::during("Error getting coordinates"))?;
    found.ok_or_else(|| Failure::message(format!("Could not find a coordinate for node {}", quote(node.as_bytes()))))
}

/// Seconds. The adjustments count only if the sum stays positive.
fn distance(one: &Coordinate, other: &Coordinate) -> f64 {
    let pairs = one.vec.iter().flatten().zip(other.vec.iter().flatten());
    let euclidean = pairs.map(|(one, other)| (one - other) * (one - other)).sum::<f64>().sqrt();
    let raw = euclidean + one.height + other.height;
    let adjusted = raw + one.adjustment + other.adjustment;
    if adjusted > 0.0 { adjusted } else { raw }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, height: f64, adjustment: f64) -> Coordinate {
        Coordinate { vec: Some(vec![x, 0.0]), height, adjustment, error: 0.0 }
    }

    #[test]
    fn distance_adds_heights_and_adjustments() {
        assert_eq!(distance(&at(0.0, 1.0, 0.25), &at(3.0, 2.0, 0.5)), 6.75);
    }

    #[test]
    fn adjustments_below_nothing_do_not_count() {
        assert_eq!(distance(&at(0.0, 1.0, -5.0), &at(3.0, 2.0, -5.0)), 6.0);
    }
}
