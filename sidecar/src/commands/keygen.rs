//! `keygen`: makes an encryption key.

use std::fs::File;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::definition::Definition;
use super::failure::Failure;
use super::output::Output;

pub(super) const DEFINITION: Definition = Definition {
    name: "keygen",
    line: "Makes a new encryption key",
    usage: "",
    about: "Makes a new encryption key, in the form that -encrypt and the key ring take.",
    flags: Vec::new,
};

/// Length of a key, bytes: AES-256.
const KEY_LENGTH: usize = 32;

pub(super) fn run(out: &mut Output) -> Result<(), Failure> {
    let mut key = [0; KEY_LENGTH];
    let filled = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut key));
    filled.map_err(|error| Failure::message(format!("Error reading random data: {error}")))?;
    out.line(STANDARD.encode(key))
}
