use tokio::io::DuplexStream;

use super::*;

const A: &[u8] = &[1; 32];
const B: &[u8] = &[2; 16];

fn ring(keys: &[&[u8]]) -> Keyring {
    let keys: Vec<Bytes> = keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
    Keyring::new(&keys, &keys[0]).unwrap()
}

/// The called end, with its preface already read, as the port does.
async fn answered(mut stream: DuplexStream, ring: &Keyring) -> Result<NoiseStream<DuplexStream>, HandshakeError> {
    let mut start = [0; preface::LENGTH];
    stream.read_exact(&mut start).await?;
    preface::accept(Mode::Keyring, start)?;
    match answer(&mut stream, ring).await {
        Ok((transport, key)) => Ok(NoiseStream::new(stream, transport, key)),
        Err(error) => {
            if let Some(refusal) = preface::refusal(Mode::Keyring, &error) {
                stream.write_all(&refusal).await?;
            }
            Err(error)
        }
    }
}

type Ends = (Result<NoiseStream<DuplexStream>, HandshakeError>, Result<NoiseStream<DuplexStream>, HandshakeError>);

async fn meet(key: &[u8], ring: &Keyring) -> Ends {
    let (caller, called) = tokio::io::duplex(1 << 20);
    tokio::join!(call(caller, Bytes::copy_from_slice(key)), answered(called, ring))
}

async fn pair() -> (NoiseStream<DuplexStream>, NoiseStream<DuplexStream>) {
    let (caller, called) = meet(A, &ring(&[A])).await;
    (caller.unwrap(), called.unwrap())
}

#[tokio::test]
async fn any_key_of_the_ring_lets_in_and_no_other() {
    for key in [A, B] {
        let (caller, called) = meet(key, &ring(&[A, B])).await;
        assert_eq!(caller.unwrap().key(), key);
        assert_eq!(called.unwrap().key(), key);
    }
    let (caller, called) = meet(&[3; 32], &ring(&[A, B])).await;
    assert_eq!(called.err(), Some(HandshakeError::Key));
    assert_eq!(caller.err(), Some(HandshakeError::Key));
}

#[tokio::test]
async fn content_of_every_length_arrives_in_both_directions() {
    let (mut one, mut other) = pair().await;
    for length in [0, 1, 15, 16, 17, 65_518, 65_519, 65_520, 200_000] {
        let sent: Vec<u8> = (0..length).map(|index: usize| index.to_le_bytes()[0]).collect();
        sent_and_read(&mut one, &mut other, &sent).await;
        sent_and_read(&mut other, &mut one, &sent).await;
    }
    drop(one);
    assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 0, "an end between messages is an end");
}

async fn sent_and_read(from: &mut NoiseStream<DuplexStream>, to: &mut NoiseStream<DuplexStream>, sent: &[u8]) {
    let mut came = vec![0; sent.len()];
    let writing = async {
        from.write_all(sent).await?;
        from.flush().await
    };
    let (written, read) = tokio::join!(writing, to.read_exact(&mut came));
    written.unwrap();
    read.unwrap();
    assert_eq!(came, sent);
}

#[tokio::test]
async fn keys_are_replaced_on_both_ends_together() {
    let (mut one, mut other) = pair().await;
    one.replace_keys_after(3);
    other.replace_keys_after(3);
    for round in 0..20_u8 {
        one.write_all(&[round]).await.unwrap();
        one.flush().await.unwrap();
        assert_eq!(other.read_u8().await.unwrap(), round);
    }
    let (mut one, mut other) = pair().await;
    one.replace_keys_after(3);
    let mut written = 0;
    let failed = loop {
        one.write_all(&[7]).await.unwrap();
        written += 1;
        if let Err(error) = other.read_u8().await {
            break error;
        }
        assert!(written < 10, "an end that keeps its key goes on reading");
    };
    assert_eq!(failed.kind(), std::io::ErrorKind::InvalidData);
}

/// What the caller sends, and a stream that plays it back to a new called end.
async fn recorded() -> (Vec<u8>, Vec<u8>) {
    let (caller, mut wire) = tokio::io::duplex(1 << 20);
    let (called, mut far) = tokio::io::duplex(1 << 20);
    let between = async {
        let mut first = [0; preface::LENGTH + 2 + MESSAGE];
        wire.read_exact(&mut first).await.unwrap();
        far.write_all(&first).await.unwrap();
        let mut reply = [0; preface::LENGTH + 2 + MESSAGE];
        far.read_exact(&mut reply).await.unwrap();
        wire.write_all(&reply).await.unwrap();
        let mut rest = [0; 2 + PROOF];
        wire.read_exact(&mut rest).await.unwrap();
        far.write_all(&rest).await.unwrap();
        (first.to_vec(), rest.to_vec())
    };
    let ring = ring(&[A]);
    let (caller, called, said) = tokio::join!(call(caller, Bytes::from_static(A)), answered(called, &ring), between);
    assert!(caller.is_ok() && called.is_ok());
    said
}

#[tokio::test]
async fn a_recorded_handshake_proves_nothing() {
    let (first, rest) = recorded().await;
    let (mut replayer, called) = tokio::io::duplex(1 << 20);
    replayer.write_all(&first).await.unwrap();
    replayer.write_all(&rest).await.unwrap();
    assert_eq!(answered(called, &ring(&[A])).await.err(), Some(HandshakeError::Unproven));
}

#[tokio::test]
async fn a_changed_or_cut_message_is_never_taken() {
    for place in 0..2 + 4 + TAG_AND_LENGTH {
        let (one, mut wire) = tokio::io::duplex(1 << 20);
        let (other, mut far) = tokio::io::duplex(1 << 20);
        let ring = ring(&[A]);
        let handshake = async {
            pass(&mut wire, &mut far, preface::LENGTH + 2 + MESSAGE).await;
            pass(&mut far, &mut wire, preface::LENGTH + 2 + MESSAGE).await;
            pass(&mut wire, &mut far, 2 + PROOF).await;
        };
        let (one, other, ()) = tokio::join!(call(one, Bytes::from_static(A)), answered(other, &ring), handshake);
        let (mut one, mut other) = (one.unwrap(), other.unwrap());
        one.write_all(b"text").await.unwrap();
        let mut message = [0; 2 + 4 + 16];
        wire.read_exact(&mut message).await.unwrap();
        if let Some(byte) = message.get_mut(place) {
            *byte ^= 0x40;
        }
        let cut = if place < message.len() { message.len() } else { message.len() - 1 };
        far.write_all(&message[..cut]).await.unwrap();
        drop(far);
        assert!(other.read_u8().await.is_err(), "byte {place}");
    }
}

/// Behind the four bytes of text and the length in front; one more place stands for a message that is cut.
const TAG_AND_LENGTH: usize = 17;

async fn pass(from: &mut DuplexStream, to: &mut DuplexStream, length: usize) {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await.unwrap();
    to.write_all(&bytes).await.unwrap();
}

#[tokio::test]
async fn garbage_in_the_place_of_a_handshake_is_refused() {
    for garbage in
        [&b"FMN\x01\xff\xffxxxxxxxxxxxx"[..], b"FMN\x01\x00\x00", b"FMN\x01\x00\x10xxxxxxxxxxxxxxxx", b"GET / HT"]
    {
        let (mut stranger, called) = tokio::io::duplex(1 << 20);
        stranger.write_all(garbage).await.unwrap();
        let error = answered(called, &ring(&[A])).await.err().unwrap();
        assert!(matches!(error, HandshakeError::Protocol(_)), "{error:?}");
    }
    let (mut stranger, called) = tokio::io::duplex(1 << 20);
    stranger.write_all(b"FMN\x01\x00\x30").await.unwrap();
    stranger.write_all(&[9; MESSAGE]).await.unwrap();
    assert_eq!(answered(called, &ring(&[A])).await.err(), Some(HandshakeError::Key));
}
