//! The table of calls, `vectors/calls.json`: each call with its arguments and what it is answered with, by an agent of either
//! kind where the commands are Serf's. The Rust client runs it here, the Python clients in `client-python/tests`.
//!
//! How a story is told: `table.rs`. What answers are compared with: `pattern.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "test helpers panic to fail the test"
)]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod held;
mod objects;
mod pattern;
mod serf;
mod table;

use support::{Agent, Kind};
use table::{Answer, Story, stories, tell};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serfs_calls_are_answered_alike_by_both_agents() {
    for story in stories("any") {
        let go = told(&story, Kind::Go).await;
        let ours = told(&story, Kind::Folkmoot).await;
        assert_eq!(go, ours, "{}: the answers have different shapes", story.name);
    }
}

/// What an agent of its own answers, with everything left out in which two agents may differ.
async fn told(story: &Story, kind: Kind) -> Vec<Answer> {
    let agent = Agent::start(kind, "alpha", &[]);
    tell(story, &agent).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_coordination_are_answered_as_the_table_says() {
    let agent = Agent::start(Kind::Folkmoot, "alpha", &["-dev"]);
    for story in stories("folkmoot") {
        tell(&story, &agent).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_coordination_says_so() {
    for story in stories("go") {
        told(&story, Kind::Go).await;
    }
}

#[test]
fn every_story_is_of_a_kind_that_is_told() {
    let known: usize = ["any", "folkmoot", "go"].iter().map(|agent| stories(agent).len()).sum();
    let all = table::read();
    assert_eq!(known, all.len());
    assert!(all.iter().all(|story| !story.steps.is_empty()));
}
