//! Streams: each direction, each layer, each refusal with its answer, at once and byte by byte.

use proptest::prelude::*;

use super::*;
use crate::packet::EncryptionVersion;
use crate::{Ack, DecryptError, Keyring, NodeName, NodeState, PeerState, Ping, PushPull, SequenceNumber, Versions};
use crate::{Blob, Text, WireAddress};

fn plain(keyring: &Keyring) -> Layers<'_> {
    Layers {
        label: b"",
        skip_inbound_label_check: false,
        keyring,
        verify_incoming: true,
        verify_outgoing: true,
        encryption_version: EncryptionVersion::Plain,
        compression: false,
    }
}

fn key() -> Keyring {
    Keyring::new(&[], &[1; 16]).unwrap()
}

fn node(name: &str) -> NodeState {
    NodeState {
        address: WireAddress::from_bytes(Bytes::from_static(&[127, 0, 0, 1])),
        name: NodeName(name.into()),
        port: 7946,
        state: PeerState::Suspect,
        versions: Some(Versions {
            protocol_min: 1,
            protocol_max: 5,
            protocol_cur: 2,
            delegate_min: 2,
            delegate_max: 5,
            delegate_cur: 5,
        }),
        ..NodeState::default()
    }
}

fn push_pull(nodes: Vec<NodeState>) -> StreamMessage {
    StreamMessage::PushPull(PushPull { join: true, nodes, user_state: Bytes::from_static(b"state") })
}

/// What a fresh decoder makes of `bytes`, given at once; the end of the stream is the last word.
fn at_once(layers: &Layers<'_>, role: StreamRole, bytes: &[u8]) -> Result<StreamMessage, StreamError> {
    let mut decoder = StreamDecoder::new(role);
    match decoder.push(layers, bytes)? {
        Some(message) => Ok(message),
        None => Err(decoder.finish().unwrap_or(StreamError::Eof)),
    }
}

fn in_pieces(layers: &Layers<'_>, role: StreamRole, bytes: &[u8], size: usize) -> Result<StreamMessage, StreamError> {
    let mut decoder = StreamDecoder::new(role);
    for piece in bytes.chunks(size) {
        if let Some(message) = decoder.push(layers, piece)? {
            return Ok(message);
        }
    }
    Err(decoder.finish().unwrap_or(StreamError::Eof))
}

/// Refused, with this answer, however the bytes arrive.
fn refused(layers: &Layers<'_>, bytes: &[u8], text: &str, answer: Option<&str>) {
    for error in [
        at_once(layers, StreamRole::Acceptor, bytes).unwrap_err(),
        in_pieces(layers, StreamRole::Acceptor, bytes, 1).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.answer().as_deref(), answer, "{error}");
    }
}

#[test]
fn only_what_has_a_place_in_a_direction_is_read() {
    let keyring = Keyring::default();
    let layers = plain(&keyring);
    let messages = [
        (StreamMessage::Ping(Ping::default()), true, false),
        (StreamMessage::Ack(Ack { payload: None, sequence: SequenceNumber(4) }), false, true),
        (push_pull(vec![node("a"), node("b")]), true, true),
        (StreamMessage::User(Bytes::from_static(b"hello")), true, false),
        (StreamMessage::User(Bytes::new()), true, false),
        (StreamMessage::Error(Text::from("boom")), false, true),
    ];
    for (message, accepted, initiated) in messages {
        let bytes = message.encode();
        for (role, wanted) in [(StreamRole::Acceptor, accepted), (StreamRole::Initiator, initiated)] {
            let expected = if wanted { Ok(message.clone()) } else { Err(StreamError::Type { number: bytes[0] }) };
            assert_eq!(at_once(&layers, role, &bytes), expected);
            assert_eq!(in_pieces(&layers, role, &bytes, 1), expected);
        }
    }
    for number in [1, 3, 4, 5, 7, 11, 12, 14, 200] {
        refused(&layers, &[number, 0x80], &format!("received invalid msgType ({number})"), None);
    }
}

#[test]
fn a_stream_that_ends_early_says_how() {
    let keyring = key();
    let open = Keyring::default();
    let clear = plain(&open);
    let encrypted = plain(&keyring);
    let labelled = Layers { label: b"blue", ..clear };
    let compressed = compress::compress(&push_pull(vec![node("a")]).encode());
    assert_eq!(StreamDecoder::new(StreamRole::Acceptor).finish(), None, "nothing came");
    refused(&labelled, b"\xf4\x04bl", "cannot decode label; stream has been truncated", None);
    refused(&encrypted, &[10, 0, 0, 0, 50, 1], "EOF", None);
    refused(&clear, &compressed[..20], "unexpected EOF", Some("unexpected EOF"));
    refused(&clear, &push_pull(vec![node("a")]).encode()[..40], "unexpected EOF", None);
    let mut decoder = StreamDecoder::new(StreamRole::Acceptor);
    assert_eq!(decoder.push(&labelled, b"\xf4\x04blue"), Ok(None));
    assert_eq!(decoder.finish(), None, "a label alone is nothing");
}

#[test]
fn bytes_behind_the_message_are_ignored() {
    let keyring = Keyring::default();
    let layers = plain(&keyring);
    let message = push_pull(vec![]);
    let mut decoder = StreamDecoder::new(StreamRole::Acceptor);
    let bytes = [&message.encode()[..], b"more"].concat();
    assert_eq!(decoder.push(&layers, &bytes), Ok(Some(message)));
    assert_eq!(decoder.push(&layers, b"and more"), Ok(None));
    assert_eq!(decoder.finish(), None);
}

#[test]
fn encryption_policy_is_answered_in_gos_words() {
    let keyring = key();
    let open = Keyring::default();
    let clear = plain(&open);
    let encrypted = plain(&keyring);
    let message = push_pull(vec![node("a")]);
    let text = "remote state is encrypted and encryption is not configured";
    refused(&clear, &seal_stream(&encrypted, StreamRole::Initiator, &message, [0; 12]), text, Some(text));
    let text = "encryption is configured but remote state is not encrypted";
    refused(&encrypted, &message.encode(), text, Some(text));
    let text = "no installed keys could decrypt the message";
    let other = Keyring::new(&[], &[2; 32]).unwrap();
    let sealed = seal_stream(&plain(&other), StreamRole::Initiator, &message, [0; 12]);
    refused(&encrypted, &sealed, text, Some(text));
    refused(
        &encrypted,
        &[10, 0, 0, 0, 1, 9],
        "unsupported encryption version 9",
        Some("unsupported encryption version 9"),
    );
    let text = "remote node state is larger than limit (20971521)";
    refused(&encrypted, &[10, 1, 0x40, 0, 1], text, Some(text));
    let lax = Layers { verify_incoming: false, ..encrypted };
    assert_eq!(at_once(&lax, StreamRole::Acceptor, &message.encode()), Ok(message.clone()));
    assert_eq!(
        at_once(&lax, StreamRole::Acceptor, &sealed),
        Err(StreamError::Decrypt(DecryptError::NoKey)),
        "an encrypted frame must still open"
    );
}

#[test]
fn empty_frames_and_compressions_are_survived() {
    let keyring = key();
    let encrypted = plain(&keyring);
    let header = [10, 0, 0, 0, 29];
    let frame = security::encrypt(EncryptionVersion::Plain, &[1; 16], [0; 12], b"", &header);
    let text = "decrypted message is empty";
    refused(&encrypted, &[&header[..], &frame].concat(), text, Some(text));
    let open = Keyring::default();
    let clear = plain(&open);
    let text = "decompressed message is empty";
    refused(&clear, b"\x09\x82\xa4Algo\x00\xa3Buf\xa3\x00\x03\x02", text, Some(text));
    let text = "cannot decompress unknown algorithm 7";
    refused(&clear, b"\x09\x82\xa4Algo\x07\xa3Buf\xa0", text, Some(text));
}

#[test]
fn compression_is_neither_nested_nor_unbounded() {
    let keyring = Keyring::default();
    let layers = plain(&keyring);
    let twice = compress::compress(&compress::compress(&push_pull(vec![]).encode()));
    refused(&layers, &twice, "received invalid msgType (9)", None);
    let bomb = compress::compress(&vec![8; 40 * 1024 * 1024 + 1]);
    let error = at_once(&layers, StreamRole::Acceptor, &bomb).unwrap_err();
    assert_eq!(error.answer().unwrap(), "decompressed message is larger than limit (41943040)");
    let large = StreamMessage::User(Bytes::from(vec![8; 20 * 1024 * 1024]));
    let sealed = seal_stream(&Layers { compression: true, ..layers }, StreamRole::Initiator, &large, [0; 12]);
    assert_eq!(in_pieces(&layers, StreamRole::Acceptor, &sealed, 1000), Ok(large));
}

/// A header as Go writes it.
fn push_pull_header(nodes: i64, user_state_length: i64) -> Vec<u8> {
    let header = crate::messages::PushPullHeader { join: false, nodes, user_state_length };
    crate::messages::encode_body(MessageType::PushPull, &header).to_vec()
}

#[test]
fn lengths_in_headers_are_checked_when_they_are_read() {
    let keyring = Keyring::default();
    let layers = plain(&keyring);
    for count in [-1, 1_048_577, 10_000_000, i64::MAX, i64::MIN] {
        refused(
            &layers,
            &push_pull_header(count, 0),
            &format!("number of nodes in header ({count}) exceeds limit"),
            None,
        );
    }
    for length in [-1, 20 * 1024 * 1024 + 1, i64::MAX] {
        refused(&layers, &push_pull_header(0, length), &format!("user state length ({length}) exceeds limit"), None);
        let header = crate::messages::UserHeader { length };
        let bytes = crate::messages::encode_body(MessageType::User, &header);
        refused(&layers, &bytes, &format!("user message length ({length}) exceeds limit"), None);
    }
    for bytes in [push_pull_header(1_048_576, 0), push_pull_header(0, 20 * 1024 * 1024)] {
        refused(&layers, &bytes, "unexpected EOF", None);
    }
}

#[test]
fn maps_are_bounded_in_length_and_depth() {
    let keyring = Keyring::default();
    let layers = plain(&keyring);
    let text =
        format!("failed to decode ping: msgpack decode error at byte 0: value is longer than {} bytes", 64 * 1024);
    refused(&layers, &[0, 0xdb, 0xff, 0xff, 0xff, 0xff], &text, None);
    let text = format!(
        "failed to decode node state: msgpack decode error at byte 0: value is longer than {} bytes",
        64 * 1024
    );
    refused(&layers, &[&push_pull_header(1, 0)[..], &[0xdf, 0xff, 0xff, 0xff, 0xff]].concat(), &text, None);
    let error = at_once(&layers, StreamRole::Acceptor, &[&[0][..], &[0x91; 1000]].concat()).unwrap_err();
    assert!(error.to_string().contains("nested deeper than 64 levels"), "{error}");
}

#[test]
fn nodes_that_cannot_be_members_are_dropped_alone() {
    let keyring = Keyring::default();
    let layers = plain(&keyring);
    let long_meta = NodeState { meta: Some(Blob::from(vec![0; 513])), ..node("long meta") };
    let full_meta = NodeState { meta: Some(Blob::from(vec![0; 512])), ..node("full meta") };
    let long_name = node(&"x".repeat(513));
    let sent = push_pull(vec![node("a"), long_meta, node(""), full_meta.clone(), long_name, node("b")]);
    let mut decoder = StreamDecoder::new(StreamRole::Initiator);
    let read = decoder.push(&layers, &sent.encode()).unwrap().unwrap();
    assert_eq!(read, push_pull(vec![node("a"), full_meta, node("b")]));
    assert_eq!(decoder.dropped_nodes(), 3);
    let sealed = seal_stream(&Layers { compression: true, ..layers }, StreamRole::Acceptor, &sent, [0; 12]);
    let mut decoder = StreamDecoder::new(StreamRole::Initiator);
    assert_eq!(decoder.push(&layers, &sealed).unwrap().unwrap(), read);
    assert_eq!(decoder.dropped_nodes(), 3);
}

#[test]
fn more_nodes_than_can_be_kept_are_counted_not_stored() {
    let keyring = Keyring::default();
    let layers = plain(&keyring);
    let count = limits::PUSH_PULL_NODES_KEPT + 10;
    let mut bytes = push_pull_header(i64::try_from(count).unwrap(), 0);
    for _ in 0..count {
        bytes.extend_from_slice(b"\x81\xa4Name\xa1x");
    }
    let mut decoder = StreamDecoder::new(StreamRole::Acceptor);
    let Some(StreamMessage::PushPull(read)) = decoder.push(&layers, &bytes).unwrap() else { panic!("no push/pull") };
    assert_eq!((read.nodes.len(), decoder.dropped_nodes()), (limits::PUSH_PULL_NODES_KEPT, 10));
}

#[test]
fn a_label_must_fit_on_accept_and_is_authenticated_in_both_directions() {
    let keyring = key();
    let layers = Layers { label: b"blue", ..plain(&keyring) };
    let message = push_pull(vec![node("a")]);
    let request = seal_stream(&layers, StreamRole::Initiator, &message, [3; 12]);
    assert!(request.starts_with(b"\xf4\x04blue\x0a"));
    assert_eq!(at_once(&layers, StreamRole::Acceptor, &request), Ok(message.clone()));
    let answer = seal_stream(&layers, StreamRole::Acceptor, &message, [3; 12]);
    assert_eq!(answer[0], 10, "no label header on the way back");
    assert_eq!(at_once(&layers, StreamRole::Initiator, &answer), Ok(message));
    let red = Layers { label: b"red", ..layers };
    refused(&red, &request, "unacceptable label \"blue\"", None);
    assert_eq!(at_once(&red, StreamRole::Initiator, &answer), Err(StreamError::Decrypt(DecryptError::NoKey)));
    refused(&layers, &answer, "unacceptable label \"\"", None);
    let skipping = Layers { skip_inbound_label_check: true, ..layers };
    refused(&skipping, &request, "unexpected double label header", None);
    assert!(at_once(&skipping, StreamRole::Acceptor, &answer).is_ok(), "our label is assumed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_set_of_layers_reads_what_it_writes_in_any_pieces(
        label in prop::sample::select(vec![&b""[..], b"blue"]),
        key in prop::sample::select(vec![0usize, 16, 24, 32]),
        padded in any::<bool>(),
        compression in any::<bool>(),
        names in prop::collection::vec("[a-z]{1,40}", 0..10),
        size in 1..200usize,
    ) {
        let keyring = if key == 0 { Keyring::default() } else { Keyring::new(&[], &vec![5; key]).unwrap() };
        let encryption_version = EncryptionVersion::for_protocol(if padded { 1 } else { 2 });
        let layers = Layers { label, compression, encryption_version, ..plain(&keyring) };
        let message = push_pull(names.iter().map(|name| node(name)).collect());
        for (writer, reader) in [
            (StreamRole::Initiator, StreamRole::Acceptor),
            (StreamRole::Acceptor, StreamRole::Initiator),
        ] {
            let bytes = seal_stream(&layers, writer, &message, [8; 12]);
            prop_assert_eq!(in_pieces(&layers, reader, &bytes, size), Ok(message.clone()));
        }
    }
}
