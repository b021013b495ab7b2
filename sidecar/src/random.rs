//! Randomness of the operating system.

use std::io::Read;

/// Any number.
///
/// # Errors
/// The system gives none.
pub fn number() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}
