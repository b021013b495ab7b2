//! Commands, queries, replies and changes survive their bytes; any other bytes are refused or are another value, and never
//! more than that.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "the generator looks at some of the replies")]

#[path = "model/random.rs"]
mod random;

use std::fmt::Debug;

use bytes::Bytes;
use folkmoot_coordination::collections::Query as Collection;
use folkmoot_coordination::queue::{QueueId, QueueKind};
use folkmoot_coordination::work_queue::{Query as Work, StateName};
use folkmoot_coordination::{
    Acknowledged, CHANGE_VERSION, COMMAND_VERSION, Change, ClientId, CodecError, Command, Entry, ItemId, LogIndex,
    Machine, QUERY_VERSION, Query, REPLY_VERSION, Reply, Request, RequestId, RestoreError, Revision, Scope, SessionId,
    Ticket, TimeMs, Value, WallMs, kv, lock, session, watch,
};
use random::{Generator, Random, key};

type Encode<T> = fn(&T, &mut Vec<u8>);
type Decode<T> = fn(&[u8]) -> Result<T, RestoreError>;

/// What a few hundred requests say, cause and answer.
struct Lived {
    commands: Vec<Command>,
    replies: Vec<Reply>,
    changes: Vec<Change>,
}

/// What is acknowledged with a request of this number: half of those before, but for some.
fn acknowledged(number: u64) -> Acknowledged {
    let below = number / 2;
    Acknowledged { below: RequestId(below), open: (below / 2..below).step_by(7).map(RequestId).collect() }
}

fn lived(seed: u64) -> Lived {
    let (mut machine, mut generator) = (Machine::new(), Generator::new(seed));
    let (mut commands, mut replies, mut changes) = (vec![], vec![], vec![]);
    for index in 0..300 {
        let command = match index {
            0..3 => Command::RegisterClient { client: ClientId(1 + index), ttl: generator.ttl(1_000_000) },
            50 => Command::NodeGone { node: generator.node() },
            100 => Command::Compact { revision: Revision(20) },
            200 => Command::RaiseRevision { revision: Revision(1 << 40) },
            220 => Command::CallerGone { ticket: Ticket { client: ClientId(1), request: RequestId(219) } },
            230 => Command::ConnectionGone { session: generator.known_session() },
            250 => Command::Tick,
            _ => {
                let (client, request) = (ClientId(1 + index % 3), RequestId(index));
                let operation = generator.operation(request);
                Command::Client(Request { client, request, acknowledged: acknowledged(index), operation })
            }
        };
        let entry = Entry { time: TimeMs(index), wall: WallMs(index), command: command.clone() };
        let reply = machine.apply(LogIndex(index), &entry, &mut changes);
        generator.learn(&reply);
        commands.push(command);
        replies.push(reply);
    }
    replies.extend(queries().iter().map(|query| machine.read(query)));
    Lived { commands, replies, changes }
}

fn queries() -> Vec<Query> {
    let (name, value) = (key("a"), Value::try_from("v").unwrap());
    let collections = [
        Collection::Counter(name.clone()),
        Collection::SetContains(name.clone(), value.clone()),
        Collection::SetElements(name.clone(), Some(value.clone())),
        Collection::ListElement(name.clone(), -3),
        Collection::ListElements(name.clone(), 7),
        Collection::ListFind(name.clone(), value),
    ];
    let works = [
        Work::Stats,
        Work::Item(ItemId(u64::MAX)),
        Work::Items { after: ItemId(3), state: Some(StateName::Ready) },
        Work::Finished,
    ];
    let mut queries = vec![
        Query::Kv(kv::Query::Get(name.clone())),
        Query::Kv(kv::Query::List { prefix: Bytes::new(), after: Some(name.clone()), limit: 1000 }),
        Query::Session(session::Query::Get(SessionId(9))),
        Query::Session(session::Query::List { after: SessionId(0) }),
        Query::Lock(lock::Target::Semaphore(name.clone())),
        Query::Election(name.clone()),
        Query::Barrier(name.clone()),
        Query::Queue(QueueId { kind: QueueKind::Priority, name: name.clone() }),
        Query::Watch(watch::Query { scope: Some(Scope::Lock), prefix: Bytes::from("p"), after: Revision(1 << 41) }),
        Query::Watch(watch::Query { scope: None, prefix: Bytes::new(), after: Revision(0) }),
    ];
    queries.extend(collections.map(Query::Collection));
    queries.extend(works.map(|query| Query::Work(name.clone(), query)));
    queries
}

fn bytes<T>(value: &T, encode: Encode<T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes);
    bytes
}

/// Round trip; every beginning and every continuation refused; damage refused or another value with a round trip.
fn holds<T: Debug + PartialEq>(values: &[T], encode: Encode<T>, decode: Decode<T>, random: &mut Random) {
    assert!(!values.is_empty());
    for value in values {
        let whole = bytes(value, encode);
        assert_eq!(&decode(&whole).unwrap(), value);
        for length in (0..whole.len()).rev().take(64) {
            assert!(decode(&whole[..length]).is_err(), "{length} of {} bytes: {value:?}", whole.len());
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(decode(&longer), Err(RestoreError::Codec(CodecError::Trailing(1))));
        for _ in 0..8 {
            let mut damaged = whole.clone();
            let place = random.below(damaged.len() as u64) as usize;
            damaged[place] = random.next() as u8;
            if let Ok(other) = decode(&damaged) {
                assert_eq!(decode(&bytes(&other, encode)).unwrap(), other);
            }
        }
    }
}

#[test]
fn everything_survives_its_bytes_and_damage_is_refused_or_another_value() {
    let mut random = Random(3);
    for seed in 0..20 {
        let lived = lived(seed);
        holds(&lived.commands, Command::encode, Command::decode, &mut random);
        holds(&lived.replies, Reply::encode, Reply::decode, &mut random);
        holds(&lived.changes, Change::encode, Change::decode, &mut random);
    }
    holds(&queries(), Query::encode, Query::decode, &mut random);
}

#[test]
fn invented_bytes_do_not_panic() {
    let mut random = Random(4);
    let mut accepted = 0;
    for round in 0..20_000u32 {
        let length = 1 + random.below(40);
        let mut invented: Vec<u8> = (0..length).map(|_| (random.next() % 24) as u8).collect();
        invented[0] = if round % 50 == 0 { 2 } else { 1 };
        accepted += usize::from(Command::decode(&invented).is_ok());
        accepted += usize::from(Query::decode(&invented).is_ok());
        accepted += usize::from(Reply::decode(&invented).is_ok());
        accepted += usize::from(Change::decode(&invented).is_ok());
    }
    assert!(accepted > 100, "{accepted} were values");
}

#[test]
fn other_versions_are_refused_by_name() {
    let refused = |known| Err(RestoreError::Version { found: 9, known });
    assert_eq!(Command::decode(&[9, 0]).map(drop), refused(COMMAND_VERSION));
    assert_eq!(Query::decode(&[9, 0]).map(drop), refused(QUERY_VERSION));
    assert_eq!(Reply::decode(&[9, 0]).map(drop), refused(REPLY_VERSION));
    assert_eq!(Change::decode(&[9, 0]).map(drop), refused(CHANGE_VERSION));
    assert_eq!(Command::decode(&[]), Err(RestoreError::Empty));
}
