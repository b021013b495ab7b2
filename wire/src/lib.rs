//! MessagePack as the Go agent writes and reads it, under serde.
//!
//! Go speaks two dialects. Gossip writes the *old* specification: text and bytes are one family (`raw`), signed and
//! unsigned integers alike are written in their shortest unsigned form. RPC writes the *new* one: `str8` for text,
//! `bin` for bytes. Both sort struct keys by name. Reading is lenient and the same for both (`docs/spec/memberlist.md`
//! 3.2, `docs/spec/serf-gossip.md` 1, `docs/spec/rpc.md` 3).
//!
//! A message is a struct whose fields stand in the ascending order of their keys, since that is how they are written;
//! another order is an [`EncodeError`]. `serde(default)` gives absent keys their zero. Where Go declares the fields in
//! another order, the struct's name for reading lists Go's, so that arrays are read as Go reads them. Strings of Go's are
//! [`Text`], byte slices [`Blob`] or, where nil and empty differ, `Option<Blob>`.
//!
//! ```
//! use folkmoot_wire::{Blob, Dialect, Text, decode, to_vec};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
//! #[serde(default, rename(deserialize = "LTime,Name,Payload"))]
//! struct UserEvent {
//!     #[serde(rename = "LTime")]
//!     lamport_time: u64,
//!     #[serde(rename = "Name")]
//!     name: Text,
//!     #[serde(rename = "Payload")]
//!     payload: Option<Blob>,
//! }
//!
//! let event = UserEvent { lamport_time: 7, name: "deploy".into(), payload: None };
//! let bytes = to_vec(Dialect::Gossip, &event)?;
//! assert_eq!(bytes, b"\x83\xa5LTime\x07\xa4Name\xa6deploy\xa7Payload\xc0");
//! assert_eq!(decode::<UserEvent>(&bytes)?, event);
//! assert_eq!(decode::<UserEvent>(b"\x92\x07\xa6deploy")?, event);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Peers choose many of the numbers here, and releases keep overflow checks on: a sum that overflows would be a crash.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod access;
mod blob;
mod deserialize;
mod error;
mod frame;
mod head;
pub mod limits;
mod serialize;
mod text;

pub use blob::Blob;
pub use error::{DecodeError, EncodeError};
pub use frame::{Scanner, value_length};
pub use text::Text;

/// How text and bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Port 7946: the old raw family only (`a0..bf`, `da`, `db`), never `str8`, `bin` or ext.
    Gossip,
    /// Port 7373: `str8` and `bin`.
    Rpc,
}

/// Appends `value` to `out`.
///
/// # Errors
/// A struct's fields do not stand in ascending order of their keys, a length exceeds 32 bits, or a type has no place in
/// MessagePack (128-bit integers). What was appended before the error stays.
pub fn encode<T: serde::Serialize + ?Sized>(dialect: Dialect, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    value.serialize(&mut serialize::Encoder::new(dialect, out))
}

/// Encodes `value` alone.
///
/// # Errors
/// As [`encode`].
pub fn to_vec<T: serde::Serialize + ?Sized>(dialect: Dialect, value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    encode(dialect, value, &mut out)?;
    Ok(out)
}

/// Reads one value from the front of `bytes`; what follows it is ignored.
///
/// # Errors
/// As [`decode_prefix`].
pub fn decode<'de, T: serde::Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    decode_prefix(bytes).map(|(value, _)| value)
}

/// Reads one value from the front of `bytes` and says how many bytes it took.
///
/// # Errors
/// The input ends too early, nests deeper than [`limits::MAX_DEPTH`], holds the reserved byte `c1`, or is not what the
/// target accepts.
pub fn decode_prefix<'de, T: serde::Deserialize<'de>>(bytes: &'de [u8]) -> Result<(T, usize), DecodeError> {
    let mut decoder = deserialize::Decoder::new(bytes);
    let value = T::deserialize(&mut decoder).map_err(|error| error.located(0))?;
    Ok((value, decoder.offset()))
}
