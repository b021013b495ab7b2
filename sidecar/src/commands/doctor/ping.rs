//! One gossip ping by UDP, and one by TCP, to one member: what a member's prober would send it.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use folkmoot_serf::NodeName;
use folkmoot_serf::memberlist::{
    Ack, Crc, EncryptionVersion, Keyring, Layers, Message, NONCE_LENGTH, Ping, SequenceNumber, StreamDecoder,
    StreamMessage, StreamRole, open, seal, seal_stream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::limits::{DOCTOR_PING_ATTEMPTS, DOCTOR_PING_WAIT, DOCTOR_STREAM_WAIT};
use crate::net::go_errors;

/// What came of a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The ack.
    Acknowledged,
    /// The TCP connection stood, but no ack came: another name, another key, or not a member.
    ConnectedOnly,
    /// Nothing came; the reason if there is one.
    Silent(String),
}

/// The layers of a gossip packet with these keys.
fn layers(keyring: &Keyring) -> Layers<'_> {
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

fn ping(name: &NodeName, sequence: u32) -> Ping {
    Ping { node: name.clone(), sequence: SequenceNumber(sequence), ..Ping::default() }
}

/// Asks `name` at `to` by UDP, several times because datagrams are lost. An empty name means whoever is there.
pub(super) async fn udp(to: SocketAddr, name: &NodeName, keyring: &Keyring) -> Answer {
    match udp_exchange(to, name, keyring).await {
        Ok(true) => Answer::Acknowledged,
        Ok(false) => Answer::Silent("no answer".to_owned()),
        Err(error) => Answer::Silent(go_errors::cause(&error)),
    }
}

async fn udp_exchange(to: SocketAddr, name: &NodeName, keyring: &Keyring) -> io::Result<bool> {
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(from).await?;
    // Only what comes from there is received, and a closed port is reported.
    socket.connect(to).await?;
    let layers = layers(keyring);
    for sequence in 1..=DOCTOR_PING_ATTEMPTS {
        let part = Message::Ping(ping(name, sequence)).encode();
        socket.send(&seal(&layers, &[part], Crc::Without, nonce()?)).await?;
        let answered = timeout(DOCTOR_PING_WAIT, async {
            let mut packet = vec![0; 65_536];
            loop {
                let length = socket.recv(&mut packet).await?;
                let opened = open(&layers, packet.get(..length).unwrap_or_default());
                let acknowledged = |message: &Message| matches!(message, Message::Ack(Ack { sequence, .. }) if (1..=DOCTOR_PING_ATTEMPTS).contains(&sequence.0));
                if opened.is_ok_and(|opened| opened.messages.iter().any(acknowledged)) {
                    return Ok::<(), io::Error>(());
                }
            }
        });
        match answered.await {
            Ok(answered) => return answered.map(|()| true),
            Err(_) => continue,
        }
    }
    Ok(false)
}

/// Asks `name` at `to` by TCP.
pub(super) async fn tcp(to: SocketAddr, name: &NodeName, keyring: &Keyring) -> Answer {
    let mut stream = match timeout(DOCTOR_STREAM_WAIT, TcpStream::connect(to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Answer::Silent(go_errors::cause(&error)),
        Err(_) => return Answer::Silent("no answer".to_owned()),
    };
    match timeout(DOCTOR_STREAM_WAIT, tcp_exchange(&mut stream, name, keyring)).await {
        Ok(Ok(true)) => Answer::Acknowledged,
        Ok(Ok(false) | Err(_)) | Err(_) => Answer::ConnectedOnly,
    }
}

async fn tcp_exchange(stream: &mut TcpStream, name: &NodeName, keyring: &Keyring) -> io::Result<bool> {
    let layers = layers(keyring);
    let message = StreamMessage::Ping(ping(name, 1));
    stream.write_all(&seal_stream(&layers, StreamRole::Initiator, &message, nonce()?)).await?;
    let mut decoder = StreamDecoder::new(StreamRole::Initiator);
    let mut bytes = [0; 4096];
    loop {
        let length = stream.read(&mut bytes).await?;
        if length == 0 {
            return Ok(false);
        }
        match decoder.push(&layers, bytes.get(..length).unwrap_or_default()) {
            Ok(None) => {}
            Ok(Some(StreamMessage::Ack(ack))) => return Ok(ack.sequence == SequenceNumber(1)),
            Ok(Some(_)) | Err(_) => return Ok(false),
        }
    }
}

fn nonce() -> io::Result<[u8; NONCE_LENGTH]> {
    let mut nonce = [0; NONCE_LENGTH];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    Ok(nonce)
}
