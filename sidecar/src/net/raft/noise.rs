//! Noise `NNpsk0` with a key of the gossip ring: who has none cannot take part, and what was recorded cannot be read
//! with a key that leaks later.
//!
//! The pre-shared key is derived from the gossip key, so that the two uses never meet in one cipher. The called end tries
//! the keys of its ring in order; the calling end uses its primary key. Messages carry their length in front, two bytes,
//! big-endian. The calling end's proof, an empty message after the two of the pattern, lets the called end tell a caller
//! from a recording of one.

use bytes::Bytes;
use folkmoot_serf::memberlist::Keyring;
use hkdf::Hkdf;
use sha2::Sha256;
use snow::{Builder, HandshakeState, TransportState};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::HandshakeError;
use super::noise_stream::NoiseStream;
use super::preface::{self, Mode};

/// Pattern, curve, cipher and hash. AES because every machine that runs a cluster has it in hardware.
const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// What the key is derived for; another use or version has other words.
const INFO: &[u8] = b"folkmoot raft transport Noise_NNpsk0_25519_AESGCM_SHA256 v1";

/// Bytes of either message of the pattern without a payload: an ephemeral key and a tag.
const MESSAGE: usize = 48;
/// Bytes of an empty message after them: a tag.
const PROOF: usize = 16;

/// A key as Noise takes it.
type Psk = [u8; 32];

fn derive(gossip_key: &[u8]) -> Psk {
    let mut psk = [0; 32];
    // 32 bytes are one block of the hash, far below what HKDF can give.
    let _ = Hkdf::<Sha256>::new(None, gossip_key).expand(INFO, &mut psk);
    psk
}

fn builder(psk: &Psk) -> Result<Builder<'_>, HandshakeError> {
    let pattern = PATTERN.parse().map_err(internal)?;
    let prologue: &'static [u8] = b"FMN\x01";
    Builder::new(pattern).psk(0, psk).map_err(internal)?.prologue(prologue).map_err(internal)
}

/// Nothing that comes from outside leads here.
fn internal(error: snow::Error) -> HandshakeError {
    HandshakeError::Gone(format!("Noise cannot be set up: {error}"))
}

/// The calling end's handshake, with `key` of the ring.
///
/// # Errors
/// The other end has not got the key, wants something else, or does not go on.
pub(super) async fn call<S>(mut stream: S, key: Bytes) -> Result<NoiseStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut state = builder(&derive(&key))?.build_initiator().map_err(internal)?;
    let mut first = Mode::Keyring.preface().to_vec();
    first.extend_from_slice(&framed(&write(&mut state)?));
    stream.write_all(&first).await?;
    stream.flush().await?;
    let mut answer = [0; preface::LENGTH];
    stream.read_exact(&mut answer).await?;
    preface::answered(Mode::Keyring, answer)?;
    let message = read::<_, MESSAGE>(&mut stream).await?;
    state.read_message(&message, &mut []).map_err(|_| HandshakeError::Key)?;
    let mut transport = state.into_transport_mode().map_err(internal)?;
    let mut proof = [0; PROOF];
    transport.write_message(&[], &mut proof).map_err(internal)?;
    stream.write_all(&framed(&proof)).await?;
    stream.flush().await?;
    Ok(NoiseStream::new(stream, transport, key))
}

/// The called end's handshake, behind the preface.
///
/// What comes of it makes a [`NoiseStream`] of `stream`.
///
/// # Errors
/// The caller has no key of `ring`, cannot prove that it has, or does not go on.
pub(super) async fn answer<S>(stream: &mut S, ring: &Keyring) -> Result<(TransportState, Bytes), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let message = read::<_, MESSAGE>(stream).await?;
    let (mut state, key) = recognise(&message, ring)?;
    let mut reply = Mode::Keyring.preface().to_vec();
    reply.extend_from_slice(&framed(&write(&mut state)?));
    stream.write_all(&reply).await?;
    stream.flush().await?;
    let proof = read::<_, PROOF>(stream).await.map_err(|error| match error {
        // Whoever replays a recording cannot go on from here.
        HandshakeError::Protocol(_) => HandshakeError::Unproven,
        other @ (HandshakeError::Mode { .. }
        | HandshakeError::Key
        | HandshakeError::Certificate(_)
        | HandshakeError::Unproven
        | HandshakeError::Slow
        | HandshakeError::Busy
        | HandshakeError::Gone(_)) => other,
    })?;
    let mut transport = state.into_transport_mode().map_err(internal)?;
    transport.read_message(&proof, &mut []).map_err(|_| HandshakeError::Unproven)?;
    Ok((transport, key))
}

/// The key the caller used. A wrong one shows before anything expensive is computed.
fn recognise(message: &[u8], ring: &Keyring) -> Result<(HandshakeState, Bytes), HandshakeError> {
    for key in ring.keys() {
        let mut state = builder(&derive(key))?.build_responder().map_err(internal)?;
        if state.read_message(message, &mut []).is_ok() {
            return Ok((state, key.clone()));
        }
    }
    Err(HandshakeError::Key)
}

fn write(state: &mut HandshakeState) -> Result<[u8; MESSAGE], HandshakeError> {
    let mut message = [0; MESSAGE];
    state.write_message(&[], &mut message).map_err(internal)?;
    Ok(message)
}

/// For the messages of the handshake, which are shorter than 256 bytes.
fn framed<const LENGTH: usize>(message: &[u8; LENGTH]) -> Vec<u8> {
    const { assert!(LENGTH < 256) };
    let mut frame = vec![0, LENGTH as u8];
    frame.extend_from_slice(message);
    frame
}

/// A message that has to have exactly `LENGTH` bytes.
async fn read<S: AsyncRead + Unpin, const LENGTH: usize>(stream: &mut S) -> Result<[u8; LENGTH], HandshakeError> {
    let length = stream.read_u16().await?;
    if usize::from(length) != LENGTH {
        return Err(HandshakeError::Protocol(format!("its handshake has {length} bytes where {LENGTH} belong")));
    }
    let mut message = [0; LENGTH];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
#[path = "noise_tests.rs"]
mod tests;
