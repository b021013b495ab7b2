//! Messages to feed to one engine, and what it sends back.

#![allow(clippy::panic, reason = "a helper that fails is a failed test")]

use bytes::Bytes;
use folkmoot_serf::messages::{
    FLAG_ACK, JoinIntent, LeaveIntent, Message, QueryMessage, QueryResponseMessage, UserEventMessage,
};
use folkmoot_serf::{LamportTime, MemberStatus};

use super::{World, address, dead, name, quiet_pair};

pub fn leave(node: &str, ltime: u64) -> Bytes {
    LeaveIntent { ltime: LamportTime(ltime), node: name(node), prune: false }.encode()
}

pub fn prune(node: &str, ltime: u64) -> Bytes {
    LeaveIntent { ltime: LamportTime(ltime), node: name(node), prune: true }.encode()
}

pub fn join(node: &str, ltime: u64) -> Bytes {
    JoinIntent { ltime: LamportTime(ltime), node: name(node) }.encode()
}

pub fn user_event(ltime: u64, event: &str, payload: Option<&str>) -> UserEventMessage {
    let payload = payload.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    UserEventMessage { ltime: LamportTime(ltime), name: event.into(), payload, coalesce: false }
}

/// A query of a stranger at 10.0.0.250.
pub fn query(ltime: u64, id: u32, query: &str) -> QueryMessage {
    QueryMessage {
        ltime: LamportTime(ltime),
        id,
        address: Some(Bytes::from_static(&[10, 0, 0, 250])),
        port: 7946,
        source_node: name("stranger"),
        flags: FLAG_ACK,
        timeout_ns: 5_000_000_000,
        name: query.into(),
        ..QueryMessage::default()
    }
}

pub fn intents(world: &World) -> usize {
    world.serf(1).stats().intent_queue
}

/// What node 1 has sent to the stranger.
pub fn answers(world: &World) -> Vec<QueryResponseMessage> {
    let sent = world.node(1).sent.iter().filter(|(to, _)| *to == address(250));
    sent.map(|(_, bytes)| match Message::decode(&bytes[1..]) {
        Ok(Message::QueryResponse(message)) => message,
        other => panic!("not a response: {other:?}"),
    })
    .collect()
}

pub fn memberlist_says(world: &mut World, message: &[u8]) {
    world.with(1, |serf, now| serf.handle_packet(now, address(9), message)).unwrap();
}

pub fn failed_pair() -> World {
    let mut world = quiet_pair();
    memberlist_says(&mut world, &dead("n2", "n9"));
    assert_eq!(world.status(1, "n2"), MemberStatus::Failed);
    world
}
