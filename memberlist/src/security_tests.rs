//! AES-GCM against the table made with Go's `encryptPayload`.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const TABLE: &str = include_str!("../../vectors/memberlist/tables/encrypt.json");
const VERSIONS: [EncryptionVersion; 2] = [EncryptionVersion::Padded, EncryptionVersion::Plain];

fn unhex(row: &Value, key: &str) -> Vec<u8> {
    let text = row[key].as_str().unwrap();
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn ring(keys: &[&[u8]]) -> Keyring {
    let keys: Vec<Bytes> = keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
    Keyring::new(&keys, keys.first().map_or(&[], |key| &key[..])).unwrap()
}

#[test]
fn every_row_of_the_table_is_written_and_read() {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let rows = table["rows"].as_array().unwrap();
    for row in rows {
        let version = VERSIONS[usize::try_from(row["version"].as_u64().unwrap()).unwrap()];
        let (key, associated) = (unhex(row, "key_hex"), unhex(row, "aad_hex"));
        let (plaintext, sealed) = (unhex(row, "plaintext_hex"), unhex(row, "hex"));
        let nonce = unhex(row, "nonce_hex").try_into().unwrap();
        assert_eq!(encrypt(version, &key, nonce, &plaintext, &associated), sealed);
        assert_eq!(encrypted_length(version, plaintext.len()), sealed.len());
        assert!(sealed.len() <= plaintext.len() + overhead(version));
        assert_eq!(decrypt(&ring(&[&key]), &sealed, &associated).unwrap(), plaintext);
        let error = decrypt(&ring(&[&key]), &sealed, b"other").unwrap_err();
        assert_eq!(error, DecryptError::NoKey);
    }
    assert_eq!(rows.len(), 32);
}

#[test]
fn any_key_of_the_ring_decrypts() {
    let (old, new, other) = ([1; 16], [2; 32], [3; 24]);
    for version in VERSIONS {
        let sealed = encrypt(version, &old, [0; 12], b"hello", b"");
        assert_eq!(decrypt(&ring(&[&new, &other, &old]), &sealed, b"").unwrap(), b"hello"[..]);
        assert_eq!(decrypt(&ring(&[&new, &other]), &sealed, b""), Err(DecryptError::NoKey));
        assert_eq!(decrypt(&Keyring::default(), &sealed, b""), Err(DecryptError::NoKey));
    }
}

#[test]
fn what_cannot_be_encrypted_is_refused_in_gos_words() {
    let ring = ring(&[&[1; 16]]);
    let text = |message: &[u8]| decrypt(&ring, message, b"").unwrap_err().to_string();
    assert_eq!(text(b""), "cannot decrypt empty payload");
    assert_eq!(text(&[2; 100]), "unsupported encryption version 2");
    assert_eq!(text(&[1; 28]), "payload is too small to decrypt: 28");
    assert_eq!(text(&[1; 29]), "no installed keys could decrypt the message");
    assert_eq!(text(&[0; 44]), "payload is too small to decrypt: 44");
    assert_eq!(text(&[0; 45]), "no installed keys could decrypt the message");
}

/// Seals `padded` as if it were correctly padded.
fn forged(padded: &[u8]) -> Vec<u8> {
    let mut sealed = encrypt(EncryptionVersion::Plain, &[1; 16], [0; 12], padded, b"");
    sealed[0] = 0;
    sealed
}

#[test]
fn padding_is_checked_to_the_last_byte() {
    let ring = ring(&[&[1; 16]]);
    let mut block = [4; 16];
    assert_eq!(decrypt(&ring, &forged(&block), b"").unwrap(), [4; 12][..]);
    block[12] = 5;
    assert_eq!(decrypt(&ring, &forged(&block), b""), Err(DecryptError::Padding));
    assert_eq!(decrypt(&ring, &forged(&[16; 16]), b"").unwrap(), b""[..]);
    for last in [0, 17, 32, 255] {
        assert_eq!(decrypt(&ring, &forged(&[last; 32]), b""), Err(DecryptError::Padding), "{last}");
        assert_eq!(decrypt(&ring, &forged(&[last; 16]), b""), Err(DecryptError::Padding), "{last}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_flipped_bit_is_noticed(plaintext in prop::collection::vec(any::<u8>(), 0..80), bit in any::<prop::sample::Index>()) {
        for version in VERSIONS {
            let mut sealed = encrypt(version, &[7; 32], [9; 12], &plaintext, b"blue");
            prop_assert_eq!(decrypt(&ring(&[&[7; 32]]), &sealed, b"blue").unwrap(), &plaintext[..]);
            let bit = bit.index(sealed.len() * 8);
            // Bit 0 of the version byte turns one version into the other: the same plaintext then fails as padding.
            sealed[bit / 8] ^= 1 << (bit % 8);
            let opened = decrypt(&ring(&[&[7; 32]]), &sealed, b"blue");
            prop_assert!(opened.is_err() || bit == 0);
        }
    }
}
