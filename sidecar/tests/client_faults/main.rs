//! The client where something goes wrong: agents that are killed, stopped or replaced, connections that are cut in the middle of
//! an answer or go silent, readers that are slow. Each has its documented outcome, and nothing hangs or is left behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers panic to fail the test"
)]

#[path = "../support/mod.rs"]
mod support;

mod cuts;
mod group;
mod relay;

use std::time::Duration;

use folkmoot_client::{Client, ConnectOptions};
use support::{Agent, Kind};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent under test, without a group.
fn agent(arguments: &[&str]) -> Agent {
    Agent::start(Kind::under_test(), "alpha", arguments)
}

/// A group of one that serves.
async fn group_of_one() -> Agent {
    let agent = Agent::start(Kind::Folkmoot, "alpha", &["-dev"]);
    serving(&agent).await;
    agent
}

/// Waits until an agent's group serves.
async fn serving(agent: &Agent) {
    let patient = ConnectOptions { call_timeout: Some(PATIENCE), ..options(&[agent]) };
    let client = Client::connect(&patient).await.unwrap();
    // The client itself asks again until its time is up.
    client.revision().await.unwrap();
}

/// One client for any of these agents.
fn options(agents: &[&Agent]) -> ConnectOptions {
    let mut addresses = agents.iter().map(|agent| agent.rpc_address().to_string());
    let first = ConnectOptions::new(addresses.next().unwrap());
    addresses.fold(first, ConnectOptions::or)
}
