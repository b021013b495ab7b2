//! The captured vectors, what is needed to open and to repeat them, and a host without wishes.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::path::PathBuf;

use bytes::Bytes;
use folkmoot_memberlist::{EncryptionVersion, Host, Instant, Keyring, Layers, Member, Refusal, StreamRole};
use serde_json::Value;

/// One captured packet, or one direction of a captured stream.
pub struct Vector {
    pub name: String,
    pub bytes: Vec<u8>,
    pub json: Value,
    pub keyring: Keyring,
    pub label: Vec<u8>,
}

impl Vector {
    /// Every file of `vectors/memberlist`, in name order.
    #[expect(clippy::disallowed_methods, reason = "the vectors are files; the engine itself reads none")]
    pub fn all() -> Vec<Self> {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors/memberlist");
        let mut paths: Vec<PathBuf> = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().map(|path| Self::new(&std::fs::read_to_string(path).unwrap())).collect()
    }

    fn new(text: &str) -> Self {
        let json: Value = serde_json::from_str(text).unwrap();
        let keyring =
            json["key_hex"].as_str().map_or_else(Keyring::default, |key| Keyring::new(&[], &unhex(key)).unwrap());
        Self {
            name: json["name"].as_str().unwrap().to_owned(),
            bytes: unhex(json["hex"].as_str().unwrap()),
            keyring,
            label: json["label"].as_str().unwrap_or_default().as_bytes().to_vec(),
            json,
        }
    }

    /// Whether it is one datagram.
    pub fn is_packet(&self) -> bool {
        self.json["transport"] == "udp"
    }

    /// Who sent this direction of the stream.
    pub fn writer(&self) -> StreamRole {
        if self.json["direction"].as_str().unwrap().starts_with("client") {
            StreamRole::Initiator
        } else {
            StreamRole::Acceptor
        }
    }

    /// Who reads it.
    pub fn reader(&self) -> StreamRole {
        match self.writer() {
            StreamRole::Initiator => StreamRole::Acceptor,
            StreamRole::Acceptor => StreamRole::Initiator,
        }
    }

    /// What the sender was configured with.
    pub fn layers(&self) -> Layers<'_> {
        let decoded = &self.json["decoded"];
        let compressed = decoded["message"]["type_name"] == "compress" || self.layer("compress").is_some();
        let padded = self.layer("encryption_version").is_some_and(|version| version == 0);
        Layers {
            label: &self.label,
            skip_inbound_label_check: false,
            keyring: &self.keyring,
            verify_incoming: true,
            verify_outgoing: true,
            encryption_version: if padded { EncryptionVersion::Padded } else { EncryptionVersion::Plain },
            compression: compressed || self.name == "udp_uncompressed_because_not_smaller",
        }
    }

    /// What the capture says about one layer.
    pub fn layer(&self, key: &str) -> Option<&Value> {
        self.json["decoded"]["layers"].as_array().unwrap().iter().find_map(|layer| layer.get(key))
    }

    /// The captured nonce; zeros if it is not encrypted.
    pub fn nonce(&self) -> [u8; 12] {
        self.layer("nonce").map_or([0; 12], |nonce| unhex(nonce.as_str().unwrap()).try_into().unwrap())
    }
}

/// Bytes from their hexadecimal form.
pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A host that wants nothing and refuses nobody.
pub struct Nobody;

impl Host for Nobody {
    fn meta(&self, _limit: usize) -> Bytes {
        Bytes::new()
    }

    fn broadcasts(&mut self, _now: Instant, _overhead: usize, _limit: usize) -> Vec<Bytes> {
        Vec::new()
    }

    fn local_state(&self, _join: bool) -> Bytes {
        Bytes::new()
    }

    fn ack_payload(&self) -> Bytes {
        Bytes::new()
    }

    fn accept_member(&self, _member: &Member) -> Result<(), Refusal> {
        Ok(())
    }

    fn accept_merge(&self, _peers: &[Member]) -> Result<(), Refusal> {
        Ok(())
    }
}
