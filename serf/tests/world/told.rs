//! What the nodes of a cluster were told, in the words of tests.

#![allow(clippy::panic, reason = "a helper that fails is a failed test")]

use bytes::Bytes;
use folkmoot_serf::{Completion, Event, KeyResponse, MemberStatus, QueryAnswer, QueryKey, Tags, Text};

use super::{World, address};

pub fn tags(pairs: &[(&str, &str)]) -> Tags {
    Tags(pairs.iter().map(|(key, value)| (Text::from(*key), Text::from(*value))).collect())
}

pub fn answers(world: &World, at: u8, query: QueryKey) -> Vec<QueryAnswer> {
    let answers = world.node(at).answers.iter();
    answers.filter(|(key, _)| *key == query).map(|(_, answer)| answer.clone()).collect()
}

pub fn responders(world: &World, at: u8, query: QueryKey) -> Vec<String> {
    let mut names: Vec<String> = answers(world, at, query)
        .into_iter()
        .filter_map(|answer| match answer {
            QueryAnswer::Response { from, .. } => Some(from.0.to_string()),
            QueryAnswer::Ack { .. } | QueryAnswer::Done => None,
        })
        .collect();
    names.sort();
    names
}

pub fn ackers(world: &World, at: u8, query: QueryKey) -> Vec<String> {
    let mut names: Vec<String> = answers(world, at, query)
        .into_iter()
        .filter_map(|answer| match answer {
            QueryAnswer::Ack { from } => Some(from.0.to_string()),
            QueryAnswer::Response { .. } | QueryAnswer::Done => None,
        })
        .collect();
    names.sort();
    names
}

/// Every node that was told of the query answers it with its own name.
pub fn answer_everywhere(world: &mut World, numbers: &[u8], query: QueryKey) {
    for number in numbers {
        let told = world.node(*number).events.iter().any(|event| matches!(event, Event::Query(q) if q.key == query));
        if told {
            let payload = Bytes::from(format!("from n{number}"));
            world.with(*number, |serf, now| serf.respond(now, query, Some(payload))).unwrap();
        }
    }
}

pub fn query_events(world: &World, at: u8, query: QueryKey) -> usize {
    world.node(at).events.iter().filter(|event| matches!(event, Event::Query(q) if q.key == query)).count()
}

pub fn keys(world: &World, at: u8, operation: folkmoot_serf::OperationId) -> KeyResponse {
    match world.completion(at, operation) {
        Some(Completion::Keys(response)) => response.clone(),
        other => panic!("no key response: {other:?}"),
    }
}

pub fn all_agree_on(world: &World, of: &str, status: MemberStatus) -> bool {
    let mut numbers = (1..=9).filter(|number| world.nodes.contains_key(&address(*number)));
    numbers.all(|number| format!("n{number}") == of || world.status(number, of) == status)
}
