//! LZW against the table made with Go's `compress/lzw`.

use serde_json::Value;

use super::*;
use crate::limits;

const TABLE: &str = include_str!("../../vectors/memberlist/tables/lzw.json");

fn table() -> Value {
    serde_json::from_str(TABLE).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn go_streams_are_read_and_equal_streams_are_written_up_to_the_first_table_reset() {
    let table = table();
    let rows = table["rows"].as_array().unwrap();
    for row in rows {
        let name = row["name"].as_str().unwrap();
        let content = row["input_hex"].as_str().map_or_else(|| vec![0x61; 20_000], unhex);
        let lzw = unhex(row["lzw_hex"].as_str().unwrap());
        assert_eq!(content.len(), usize::try_from(row["input_len"].as_u64().unwrap()).unwrap());
        assert_eq!(lzw_decode(&lzw, content.len()).unwrap(), content, "{name}");
        let ours = lzw_encode(&content);
        assert_eq!(lzw_decode(&ours, content.len()).unwrap(), content, "{name}");
        if !name.contains("table_reset") {
            assert_eq!(ours, lzw, "{name}");
        }
        if let Some(message) = row["compress_message_hex"].as_str() {
            assert_eq!(compress(&content), unhex(message), "{name}");
        }
    }
    assert_eq!(rows.len(), 12);
}

#[test]
fn odd_streams_are_taken_and_refused_as_go_does() {
    let table = table();
    let rows = table["decoder_tolerance"].as_array().unwrap();
    for row in rows {
        let ours = lzw_decode(&unhex(row["lzw_hex"].as_str().unwrap()), 100);
        match row["out_hex"].as_str() {
            Some(content) => assert_eq!(ours, Ok(unhex(content)), "{}", row["name"]),
            None => assert_eq!(ours.unwrap_err().to_string(), row["go_error"].as_str().unwrap(), "{}", row["name"]),
        }
    }
    assert_eq!(rows.len(), 8);
}

#[test]
fn expansion_stops_at_the_limit() {
    let bomb = lzw_encode(&vec![0; 50 * 1024 * 1024]);
    assert!(bomb.len() < 60_000, "{} bytes", bomb.len());
    assert_eq!(lzw_decode(&bomb, 1000), Err(CompressError::TooLarge(1000)));
    let error = lzw_decode(&bomb, limits::STREAM_MESSAGE_BYTES).unwrap_err().to_string();
    assert_eq!(error, "decompressed message is larger than limit (41943040)");
    let content = vec![7; 1000];
    assert_eq!(lzw_decode(&lzw_encode(&content), 1000), Ok(content.clone()), "the limit itself is allowed");
    assert_eq!(lzw_decode(&lzw_encode(&content), 999), Err(CompressError::TooLarge(999)));
}

#[test]
fn a_full_table_is_decoded_on_at_its_width() {
    let content: Vec<u8> =
        (0..300_000u32).map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    assert_eq!(lzw_decode(&lzw_encode(&content), content.len()), Ok(content));
}

#[test]
fn messages_that_mean_nothing_are_refused() {
    let text = |body: &[u8]| decompress(body, 100).unwrap_err().to_string();
    assert_eq!(text(b"\x82\xa4Algo\x01\xa3Buf\xa0"), "cannot decompress unknown algorithm 1");
    assert_eq!(text(b"\x82\xa4Algo\x00\xa3Buf\xa0"), "unexpected EOF");
    assert_eq!(text(b"\x82\xa4Algo\x00\xa3Buf\xa3\x00\x03\x02"), "decompressed message is empty");
    assert_eq!(text(b"\x82\xa4Algo\x00\xa3Buf\xa2\xff\xff"), "lzw: invalid code");
    assert!(text(b"\xc1").contains("reserved byte c1"));
}

#[test]
fn what_does_not_get_shorter_stays_as_it_is() {
    let short = Cow::Borrowed(&b"\x0b\x81\xa5SeqNo\x01"[..]);
    assert_eq!(compress_if_shorter(short.clone()), short);
    let long = vec![8; 200];
    let compressed = compress_if_shorter(Cow::Borrowed(&long)).into_owned();
    assert_eq!(compressed[0], 9);
    assert_eq!(decompress(&compressed[1..], 200), Ok(long));
}

#[test]
fn only_strictly_shorter_counts() {
    let mut as_long = 0;
    for length in 1..100 {
        let content = vec![8; length];
        let compressed = compress(&content);
        let chosen = compress_if_shorter(Cow::Borrowed(&content));
        assert_eq!(chosen.len(), content.len().min(compressed.len()));
        if compressed.len() == content.len() {
            assert_eq!(*chosen, *content);
            as_long += 1;
        }
    }
    assert!(as_long > 0, "no content happened to be as long as its compression");
}
