//! AES-GCM around a datagram or a stream's content (spec 2.3): `version | nonce | ciphertext | tag`. Go: `security.go`.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AesGcm, Nonce};
use bytes::Bytes;

use crate::keyring::Keyring;
use crate::packet::{EncryptionVersion, NONCE_LENGTH};

/// Bytes of the authentication tag.
const TAG_LENGTH: usize = 16;
/// Bytes in front of the ciphertext.
const HEADER_LENGTH: usize = 1 + NONCE_LENGTH;
/// What version 0 pads to.
const BLOCK: usize = 16;

/// Why something could not be decrypted; `Display` is Go's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// Nothing in it.
    #[error("cannot decrypt empty payload")]
    Empty,
    /// Only versions 0 and 1 exist. Plaintext at an encrypted node often ends here.
    #[error("unsupported encryption version {0}")]
    Version(u8),
    /// Shorter than the encryption of nothing.
    #[error("payload is too small to decrypt: {0}")]
    TooSmall(usize),
    /// No key authenticates it.
    #[error("no installed keys could decrypt the message")]
    NoKey,
    /// Authentic, but the padding of version 0 is not 1 to 16 times its own length. (Go does not check; fault 16.)
    #[error("invalid padding")]
    Padding,
}

/// Bytes that [`encrypt`] adds at most; Go's budgets count the padding of version 0 in full.
pub(crate) fn overhead(version: EncryptionVersion) -> usize {
    match version {
        EncryptionVersion::Plain => HEADER_LENGTH + TAG_LENGTH,
        EncryptionVersion::Padded => HEADER_LENGTH + TAG_LENGTH + BLOCK,
    }
}

/// Bytes that `length` bytes of plaintext take when encrypted.
pub(crate) fn encrypted_length(version: EncryptionVersion, length: usize) -> usize {
    let padded = match version {
        EncryptionVersion::Plain => length,
        EncryptionVersion::Padded => length.saturating_add(padding(length)),
    };
    padded.saturating_add(HEADER_LENGTH + TAG_LENGTH)
}

/// Encrypts with `key`, authenticating `associated` too.
#[expect(clippy::expect_used, reason = "only lengths beyond 64 GiB fail, and rings hold only keys of the three sizes")]
pub(crate) fn encrypt(
    version: EncryptionVersion,
    key: &[u8],
    nonce: [u8; NONCE_LENGTH],
    plaintext: &[u8],
    associated: &[u8],
) -> Vec<u8> {
    let padded;
    let content = match version {
        EncryptionVersion::Plain => plaintext,
        EncryptionVersion::Padded => {
            padded = pad(plaintext);
            &padded
        }
    };
    let payload = Payload { msg: content, aad: associated };
    let sealed = with_cipher(key, |cipher| cipher.seal(nonce, payload)).flatten().expect("key and length are right");
    let mut out = Vec::with_capacity(HEADER_LENGTH.saturating_add(sealed.len()));
    out.push(match version {
        EncryptionVersion::Padded => 0,
        EncryptionVersion::Plain => 1,
    });
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    out
}

/// Decrypts with the first key of the ring that authenticates the message, whichever version it has.
pub(crate) fn decrypt(keyring: &Keyring, message: &[u8], associated: &[u8]) -> Result<Bytes, DecryptError> {
    let version = match message.first() {
        None => return Err(DecryptError::Empty),
        Some(0) => EncryptionVersion::Padded,
        Some(1) => EncryptionVersion::Plain,
        Some(&other) => return Err(DecryptError::Version(other)),
    };
    let too_small = || DecryptError::TooSmall(message.len());
    if message.len() < encrypted_length(version, 0) {
        return Err(too_small());
    }
    let (nonce, sealed) = message.get(1..).and_then(<[u8]>::split_first_chunk::<NONCE_LENGTH>).ok_or_else(too_small)?;
    let payload = || Payload { msg: sealed, aad: associated };
    let plaintext = keyring
        .keys()
        .iter()
        .find_map(|key| with_cipher(key, |cipher| cipher.open(*nonce, payload())).flatten())
        .ok_or(DecryptError::NoKey)?;
    match version {
        EncryptionVersion::Plain => Ok(Bytes::from(plaintext)),
        EncryptionVersion::Padded => unpad(plaintext).map(Bytes::from),
    }
}

/// The two operations, whichever the key size.
trait Cipher {
    fn seal(&self, nonce: [u8; NONCE_LENGTH], payload: Payload<'_, '_>) -> Option<Vec<u8>>;
    fn open(&self, nonce: [u8; NONCE_LENGTH], payload: Payload<'_, '_>) -> Option<Vec<u8>>;
}

impl<A> Cipher for AesGcm<A, U12>
where
    Self: Aead<NonceSize = U12>,
{
    fn seal(&self, nonce: [u8; NONCE_LENGTH], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
        self.encrypt(&Nonce::from(nonce), payload).ok()
    }

    fn open(&self, nonce: [u8; NONCE_LENGTH], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
        self.decrypt(&Nonce::from(nonce), payload).ok()
    }
}

/// Does `work` with the cipher for `key`. `None`: the key has no AES size.
fn with_cipher<T>(key: &[u8], work: impl FnOnce(&dyn Cipher) -> T) -> Option<T> {
    Some(match key.len() {
        16 => work(&AesGcm::<Aes128, U12>::new_from_slice(key).ok()?),
        24 => work(&AesGcm::<Aes192, U12>::new_from_slice(key).ok()?),
        32 => work(&AesGcm::<Aes256, U12>::new_from_slice(key).ok()?),
        _ => return None,
    })
}

/// PKCS7 adds 1 to 16 bytes.
fn padding(length: usize) -> usize {
    BLOCK.saturating_sub(length % BLOCK)
}

fn pad(plaintext: &[u8]) -> Vec<u8> {
    let added = padding(plaintext.len());
    let mut padded = plaintext.to_vec();
    padded.resize(plaintext.len().saturating_add(added), u8::try_from(added).unwrap_or_default());
    padded
}

fn unpad(mut padded: Vec<u8>) -> Result<Vec<u8>, DecryptError> {
    let &last = padded.last().ok_or(DecryptError::Padding)?;
    let added = usize::from(last);
    if !(1..=BLOCK).contains(&added) {
        return Err(DecryptError::Padding);
    }
    let kept = padded.len().checked_sub(added).ok_or(DecryptError::Padding)?;
    if padded.get(kept..).unwrap_or_default().iter().any(|&byte| byte != last) {
        return Err(DecryptError::Padding);
    }
    padded.truncate(kept);
    Ok(padded)
}

#[cfg(test)]
#[path = "security_tests.rs"]
mod tests;
