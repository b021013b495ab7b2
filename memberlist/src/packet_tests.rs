//! The layers of a datagram in every combination, the compound table, and the budgets of one datagram.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Nack, SequenceNumber};

const COMPOUND: &str = include_str!("../../vectors/memberlist/tables/compound.json");

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

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

fn nack(sequence: u32) -> Message {
    Message::Nack(Nack { sequence: SequenceNumber(sequence) })
}

fn user(payload: &[u8]) -> Message {
    Message::User(Bytes::copy_from_slice(payload))
}

/// Opens a datagram in the clear.
fn opened(packet: &[u8]) -> Opened {
    open(&plain(&Keyring::default()), packet).unwrap()
}

fn compound_of(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![7, u8::try_from(parts.len()).unwrap()];
    for part in parts {
        out.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
    }
    out.extend(parts.concat());
    out
}

#[test]
fn the_compound_table_is_written_and_read() {
    let table: Value = serde_json::from_str(COMPOUND).unwrap();
    let mut counts = (0, 0);
    for row in table["rows"].as_array().unwrap() {
        if row["kind"] == "encode" {
            let count = usize::try_from(row["parts"].as_u64().unwrap()).unwrap();
            let expected = unhex(row["hex"].as_str().unwrap());
            let parts: Vec<Bytes> = (0..count).map(|at| Bytes::from(vec![8, at.to_le_bytes()[0]])).collect();
            if (1..=limits::COMPOUND_PARTS_SENT).contains(&count) {
                assert_eq!(compound(&parts), expected);
            }
            if count <= 255 {
                let users: Vec<Message> = parts.iter().map(|part| user(&part[1..])).collect();
                assert_eq!(opened(&expected), Opened { messages: users, faults: Faults::default() });
            }
            counts.0 += 1;
        } else {
            let body = unhex(row["body_hex"].as_str().unwrap());
            match (split_compound(&body), row["error"].as_str()) {
                (Ok((parts, lost)), None) => {
                    assert_eq!(lost as u64, row["truncated"].as_u64().unwrap(), "{row}");
                    assert_eq!(parts.len() as u64, row["nparts"].as_u64().unwrap(), "{row}");
                    let first = row["first_parts"].as_array().unwrap();
                    for (part, expected) in parts.iter().zip(first) {
                        assert_eq!(*part, unhex(expected.as_str().unwrap()), "{row}");
                    }
                }
                (Err(error), Some(text)) => assert!(error.to_string().ends_with(text), "{error}"),
                (ours, go) => panic!("{ours:?} {go:?}"),
            }
            counts.1 += 1;
        }
    }
    assert_eq!(counts, (6, 9));
}

#[test]
fn a_bad_part_does_not_harm_its_neighbours() {
    let good = nack(1).encode();
    let packet = compound_of(&[&good, b"", &[11, 0xc1], &[99], &[6, 0x80], &user(b"x").encode(), &good]);
    let result = opened(&packet);
    assert_eq!(result.messages, [nack(1), user(b"x"), nack(1)]);
    assert_eq!(result.faults, Faults { skipped: 4, lost: 0, first: Some(MessageError::Empty) });
}

#[test]
fn parts_behind_the_end_are_lost_and_counted() {
    let mut packet = compound_of(&[&nack(1).encode(), &nack(2).encode(), &nack(3).encode()]);
    packet.truncate(packet.len() - 10);
    let result = opened(&packet);
    assert_eq!(result.messages, [nack(1)]);
    assert_eq!(result.faults.lost, 2);
    assert_eq!(result.faults.first.unwrap().to_string(), "compound request had 2 truncated messages");
}

#[test]
fn packets_that_crashed_old_agents_are_survived() {
    for packet in [&[7, 0x80][..], &[7], &[7, 0], &[7, 1, 0, 0], &[9], &[9, 0x80], &[12], &[12, 0, 0, 0]] {
        assert!(opened(packet).messages.is_empty(), "{packet:02x?}");
    }
    let empty = open(&plain(&Keyring::default()), &[]).unwrap_err();
    assert_eq!(empty, PacketError::Empty);
}

#[test]
fn a_checksum_counts_only_outermost_and_only_whole() {
    let content = nack(5).encode();
    let with_crc = add_crc(&content);
    assert_eq!(opened(&with_crc).messages, [nack(5)]);
    let mut damaged = with_crc.clone();
    damaged[7] ^= 1;
    let error = open(&plain(&Keyring::default()), &damaged).unwrap_err();
    assert!(error.to_string().starts_with("got invalid checksum for UDP packet: "), "{error}");
    let number = MessageType::HasCrc.byte();
    let inside = opened(&compound_of(&[&with_crc]));
    assert_eq!(inside.faults.first, Some(MessageError::Unsupported { number }));
    assert_eq!(opened(&with_crc[..4]).faults.first, Some(MessageError::Unsupported { number }));
    let nothing = opened(&[12, 0, 0, 0, 0]);
    assert_eq!(nothing.faults.first, Some(MessageError::Empty), "the checksum of nothing is zero");
}

/// `content` in `depth` compressions.
fn nested(content: &[u8], depth: usize) -> Vec<u8> {
    (0..depth).fold(content.to_vec(), |content, _| compress::compress(&content).to_vec())
}

#[test]
fn nesting_is_followed_one_level_beyond_what_go_sends() {
    let inner = compound_of(&[&nack(1).encode(), &nack(2).encode()]);
    assert_eq!(opened(&nested(&inner, 1)).messages.len(), 2, "as Go sends it");
    assert_eq!(opened(&nested(&inner, 2)).messages.len(), 2, "one level spare");
    let deeper = opened(&nested(&inner, 3));
    assert_eq!((deeper.messages.len(), deeper.faults.first), (0, Some(MessageError::TooDeep)));
    let tower = (0..1000).fold(nack(1).encode().to_vec(), |content, _| compound_of(&[&content]));
    assert_eq!(opened(&tower).faults.first, Some(MessageError::TooDeep));
}

#[test]
fn commands_beyond_the_budget_are_dropped_and_counted() {
    let good = nack(1).encode();
    let inner = compound_of(&vec![&good[..]; 255]);
    let result = opened(&compound_of(&[&inner, &inner, &inner]));
    // The outer compound and the two inner ones that are entered count too; the third is dropped as one command.
    assert_eq!(result.messages.len(), limits::PACKET_COMMANDS - 3);
    assert_eq!(result.faults.skipped, 1 + 1);
    assert_eq!(result.faults.first, Some(MessageError::TooMany));
}

#[test]
fn expansion_beyond_the_budget_is_dropped_and_counted() {
    let half = user(&vec![0; limits::PACKET_EXPANSION_BYTES / 2]).encode();
    let compressed = compress::compress(&half);
    assert_eq!(opened(&compressed).messages.len(), 1);
    let good = nack(1).encode();
    let result = opened(&compound_of(&[&compressed, &compressed, &compressed, &good]));
    assert_eq!(result.messages.len(), 2, "one of the three, and the neighbour that is not compressed");
    assert_eq!(result.faults.skipped, 2);
    let limit = limits::PACKET_EXPANSION_BYTES - half.len();
    assert_eq!(result.faults.first, Some(MessageError::Compress(CompressError::TooLarge(limit))));
    let bomb = compress::compress(&vec![0; 40 * 1024 * 1024]);
    assert!(bomb.len() < 65_000);
    assert_eq!(opened(&bomb).faults.skipped, 1);
}

#[test]
fn compressions_beyond_the_budget_are_dropped_and_counted() {
    let good = nack(1).encode();
    let compressed = compress::compress(&good);
    let mut parts = vec![&compressed[..]; 255];
    parts[254] = &good;
    let result = opened(&compound_of(&parts));
    assert_eq!(result.messages, vec![nack(1); limits::PACKET_COMPRESSIONS + 1], "and the neighbour in the clear");
    assert_eq!(result.faults.skipped, 254 - limits::PACKET_COMPRESSIONS);
    assert_eq!(result.faults.first, Some(MessageError::TooMany));
}

#[test]
fn plaintext_at_an_encrypted_node_is_taken_only_without_verification() {
    let keyring = Keyring::new(&[], &[1; 16]).unwrap();
    let mut layers = plain(&keyring);
    let packet = nack(1).encode();
    assert_eq!(open(&layers, &packet), Err(PacketError::Decrypt(crate::DecryptError::Version(11))));
    layers.verify_incoming = false;
    assert_eq!(open(&layers, &packet).unwrap().messages, [nack(1)]);
    layers.verify_outgoing = false;
    assert_eq!(seal(&layers, std::slice::from_ref(&packet), Crc::Without, [0; 12]), packet);
    assert_eq!(packet_overhead(&layers), 0);
}

#[test]
fn an_empty_plaintext_is_a_command_without_type() {
    let keyring = Keyring::new(&[], &[1; 16]).unwrap();
    let packet = security::encrypt(EncryptionVersion::Plain, &[1; 16], [0; 12], b"", b"");
    let result = open(&plain(&keyring), &packet).unwrap();
    assert_eq!(result.faults, Faults { skipped: 1, lost: 0, first: Some(MessageError::Empty) });
}

#[test]
fn labels_are_checked_before_anything_else() {
    let keyring = Keyring::default();
    let mut layers = plain(&keyring);
    let text = |layers: &Layers<'_>, packet: &[u8]| open(layers, packet).unwrap_err().to_string();
    assert_eq!(text(&layers, b"\xf4"), "cannot decode label; packet has been truncated");
    assert_eq!(text(&layers, b"\xf4\x04blu"), "cannot decode label; packet has been truncated");
    assert_eq!(text(&layers, b"\xf4\x00"), "label header cannot be empty when present");
    assert_eq!(text(&layers, b"\xf4\x04blue\x0b"), "unacceptable label \"blue\"");
    layers.label = b"red";
    assert_eq!(text(&layers, b"\x0b"), "unacceptable label \"\"");
    layers.skip_inbound_label_check = true;
    assert_eq!(text(&layers, b"\xf4\x03red\x0b"), "unexpected double label header");
    assert_eq!(open(&layers, &nack(1).encode()).unwrap().messages, [nack(1)]);
}

#[test]
#[should_panic(expected = "128 parts in a compound")]
fn more_parts_than_old_agents_read_are_never_sent() {
    let keyring = Keyring::default();
    let _ = seal(&plain(&keyring), &vec![nack(1).encode(); 128], Crc::With, [0; 12]);
}

#[test]
#[should_panic(expected = "an empty command crashes old Go agents")]
fn empty_commands_are_never_sent() {
    let keyring = Keyring::default();
    let _ = seal(&plain(&keyring), &[nack(1).encode(), Bytes::new()], Crc::With, [0; 12]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_set_of_layers_opens_what_it_seals(
        label in prop::sample::select(vec![&b""[..], b"blue", &[b'x'; 255]]),
        key in prop::sample::select(vec![0usize, 16, 24, 32]),
        padded in any::<bool>(),
        compression in any::<bool>(),
        crc in any::<bool>(),
        payloads in prop::collection::vec(prop::collection::vec(0..3u8, 0..200), 1..20),
        nonce in any::<[u8; 12]>(),
    ) {
        let keyring = if key == 0 { Keyring::default() } else { Keyring::new(&[], &vec![5; key]).unwrap() };
        let encryption_version = EncryptionVersion::for_protocol(if padded { 1 } else { 2 });
        let layers = Layers { label, compression, encryption_version, ..plain(&keyring) };
        let messages: Vec<Message> = payloads.iter().map(|payload| user(payload)).collect();
        let parts: Vec<Bytes> = messages.iter().map(Message::encode).collect();
        let crc = if crc { Crc::With } else { Crc::Without };
        let packet = seal(&layers, &parts, crc, nonce);
        prop_assert_eq!(open(&layers, &packet).unwrap(), Opened { messages, faults: Faults::default() });
        let bare: usize = match &parts[..] {
            [part] => part.len(),
            parts => parts.iter().map(|part| part.len() + 2).sum::<usize>() + 2,
        };
        let crc = if crc == Crc::With { 5 } else { 0 };
        prop_assert!(packet.len() <= bare + crc + packet_overhead(&layers));
        let other = Layers { label: b"red", ..layers };
        prop_assert!(open(&other, &packet).is_err());
    }
}
