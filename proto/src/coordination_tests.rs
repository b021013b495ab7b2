use std::collections::BTreeSet;

use super::*;
use crate::{Command, FrameReader, Header, Request, limits};

/// One of every command, with every field at its zero.
fn every_request() -> Vec<CoordinationRequest> {
    let decode = |command: &CoordinationCommand| CoordinationRequest::decode(*command, &[0xc0]).unwrap();
    CoordinationCommand::ALL.iter().map(decode).collect()
}

fn objects(bytes: &[u8]) -> Vec<bytes::Bytes> {
    let mut frames = FrameReader::with_limit(limits::MAX_REQUEST_LENGTH);
    bytes::BufMut::put_slice(&mut frames.space(), bytes);
    std::iter::from_fn(|| frames.next().unwrap()).collect()
}

#[test]
fn keys_are_capitalised_and_no_object_has_one_twice() {
    for (command, keys) in keys() {
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "{command}: {keys:?}");
        assert!(
            keys.iter().all(|key| key.starts_with(|first: char| first.is_ascii_uppercase())),
            "{command}: {keys:?}"
        );
    }
}

#[test]
fn every_request_is_read_as_it_was_written() {
    for request in every_request() {
        let command = request.command();
        let bytes = Request::from(request.clone()).to_bytes(7);
        let objects = objects(&bytes);
        let mut header = Header::default();
        header.update(&objects[0]).unwrap();
        assert_eq!(Command::parse(header.command.as_bytes()), Some(Command::Coordination(command)));
        assert_eq!(CoordinationRequest::decode(command, &objects[1]), Ok(request), "{}", command.name());
    }
}

#[test]
fn a_write_is_one_flat_map() {
    let caller = Caller { acknowledged_below: 3, client: 9, open: vec![1], request: 4, timeout: 0 };
    let put = KvPut { key: "k".into(), session: 0, ttl: 5, value: Blob::from(&b"v"[..]) };
    let request = CoordinationRequest::Write(caller, put.into());
    let mut body = Vec::new();
    request.encode(&mut body);
    let mut expected = vec![0x89];
    expected.extend_from_slice(
        b"\xb1AcknowledgedBelow\x03\xa6Client\x09\xa3Key\xa1k\xa4Open\x91\x01\xa7Request\x04\xa7Session\x00",
    );
    expected.extend_from_slice(b"\xa3TTL\x05\xa7Timeout\x00\xa5Value\xc4\x01v");
    assert_eq!(body, expected);
    assert_eq!(CoordinationRequest::decode(CoordinationCommand::KvPut, &body), Ok(request));
}

#[test]
fn unknown_keys_are_skipped_and_absent_ones_are_zero() {
    let body = b"\x83\xa3Key\xa1k\xa3New\x92\x01\x02\xa6Client\x05";
    let read = CoordinationRequest::decode(CoordinationCommand::KvDelete, body).unwrap();
    let caller = Caller { client: 5, ..Caller::default() };
    assert_eq!(read, CoordinationRequest::Write(caller, KvDelete { key: "k".into() }.into()));
}

#[test]
fn arrays_and_wrong_types_are_refused() {
    for body in
        [&b"\x91\xa1k"[..], b"\x81\xa3Key\x81\xa1a\x01", b"\x81\xa6Client\xa1x", b"\x81\xa6Client\xff", b"\xa1k"]
    {
        assert!(CoordinationRequest::decode(CoordinationCommand::KvDelete, body).is_err(), "{body:?}");
    }
}

#[test]
fn a_list_has_a_limited_number_of_elements() {
    let add = |count: u32| {
        let mut body = b"\x81\xa8Elements\xdd".to_vec();
        body.extend_from_slice(&count.to_be_bytes());
        body.extend(std::iter::repeat_n(0xc0, count as usize));
        SetAdd::decode(&body).map(|add| add.elements.len())
    };
    assert_eq!(add(65_536), Ok(65_536));
    let refused = add(65_537).unwrap_err().to_string();
    assert!(refused.contains("more than 65536 elements"), "{refused}");
}

#[test]
fn words_are_read_as_they_are_written_and_empty_ones_are_the_first() {
    for kind in LockKind::ALL {
        let info = LockInfo { kind: *kind, name: "n".into() };
        let mut bytes = Vec::new();
        info.encode(&mut bytes);
        assert_eq!(LockInfo::decode(&bytes), Ok(info));
    }
    assert_eq!(LockInfo::decode(b"\x81\xa4Kind\xa0").unwrap().kind, LockKind::Lock);
    assert_eq!(LockInfo::decode(b"\x81\xa4Kind\xc0").unwrap().kind, LockKind::Lock);
    let unknown = LockInfo::decode(b"\x81\xa4Kind\xa4mute").unwrap_err();
    assert!(unknown.to_string().contains("unknown word \"mute\""), "{unknown}");
}

#[test]
fn nil_and_empty_are_told_apart_where_that_means_something() {
    for after in [None, Some(Blob::default()), Some(Blob::from(&b"x"[..]))] {
        let question = SetElements { after, name: "s".into() };
        let mut bytes = Vec::new();
        question.encode(&mut bytes);
        assert_eq!(SetElements::decode(&bytes), Ok(question));
    }
}

#[test]
fn nested_answers_are_read_as_they_were_written() {
    let owner = Owner { client: 1, node: Text::default(), session: 0 };
    let hold = LineHold { expires: 9, hold: 2, owner, permits: 1, ttl: 3, token: 4, value: Blob::default() };
    let line = Line { capacity: 1, holds: vec![hold], waiting: vec![5, u64::MAX] };
    let answer = With { common: AsOf { age: Some(12), revision: 7, stale: true }, body: line };
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    assert_eq!(With::decode(&bytes), Ok(answer));
}

#[test]
fn the_word_in_front_of_an_error_is_its_code() {
    assert_eq!(Code::of(&Code::Busy.text("held by another").into()), Code::Busy);
    assert_eq!(Code::of(&"no-quorum: b, c do not answer".into()), Code::NoQuorum);
    assert_eq!(Code::of(&"Unsupported command".into()), Code::Unknown);
    assert_eq!(Code::of(&"".into()), Code::Unknown);
}

#[test]
fn a_body_follows_a_success_only() {
    let get = Command::Coordination(CoordinationCommand::KvGet);
    assert!(get.is_followed_by_body(&"".into()));
    assert!(!get.is_followed_by_body(&"no-group: x".into()));
    assert!(!Command::Coordination(CoordinationCommand::Watch).is_followed_by_body(&"".into()));
}

/// Every field of every body, as the table of `objects!` has it.
fn fields() -> impl Iterator<Item = &'static str> {
    let sources = [
        include_str!("coordination.rs"),
        include_str!("coordination/barrier.rs"),
        include_str!("coordination/client.rs"),
        include_str!("coordination/collections.rs"),
        include_str!("coordination/election.rs"),
        include_str!("coordination/kv.rs"),
        include_str!("coordination/lock.rs"),
        include_str!("coordination/queue.rs"),
        include_str!("coordination/raft.rs"),
        include_str!("coordination/session.rs"),
        include_str!("coordination/watch.rs"),
        include_str!("coordination/work.rs"),
    ];
    let lines = sources.into_iter().flat_map(str::lines);
    lines.filter_map(|line| line.trim_start().strip_prefix('"')?.split_once("\" ")).map(|(field, _)| field)
}

#[test]
fn the_document_names_every_field() {
    let document = include_str!("../../docs/rpc.md");
    assert!(fields().count() > 200);
    let missing: Vec<_> = fields().filter(|field| !document.contains(&format!("`{field}`"))).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_document_names_every_command_and_every_word_of_an_error() {
    let document = include_str!("../../docs/rpc.md");
    let (_, errors) = document.split_once("### Errors").unwrap();
    let commands = CoordinationCommand::ALL.iter().map(|command| command.name());
    let missing: Vec<_> = commands.filter(|name| !document.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [""; 0]);
    let words = Code::ALL.iter().map(|code| code.as_str());
    let missing: Vec<_> = words.filter(|word| !errors.contains(&format!("`{word}`"))).collect();
    assert_eq!(missing, [""; 0]);
}
