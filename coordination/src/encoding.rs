//! What travels and what is kept, as bytes: a version, then the fields as `codec.rs` writes them. Entries are in logs,
//! commands, queries, replies and changes go between agents. Any bytes are safe to give to `decode`: they are exactly one
//! value, within the limits of its parts, or refused.

use crate::codec;
use crate::command::{Change, Command, Entry, Query, Reply};
use crate::error::RestoreError;

/// Version in front of an encoded [`Entry`].
pub const ENTRY_VERSION: u8 = 2;
/// Version in front of an encoded [`Command`].
pub const COMMAND_VERSION: u8 = 2;
/// Version in front of an encoded [`Query`].
pub const QUERY_VERSION: u8 = 1;
/// Version in front of an encoded [`Reply`].
pub const REPLY_VERSION: u8 = 1;
/// Version in front of an encoded [`Change`].
pub const CHANGE_VERSION: u8 = 1;

macro_rules! encoded {
    ($($name:ident $version:ident),*) => {$(
        impl $name {
            #[doc = concat!("Appends [`", stringify!($version), "`], then the fields.")]
            pub fn encode(&self, out: &mut Vec<u8>) {
                // The codec fails only on types that the machine does not have.
                out.push($version);
                codec::encode(self, out).expect("there is a place for every field");
            }

            #[doc = concat!("Reads what [`", stringify!($name), "::encode`] wrote.")]
            ///
            /// # Errors
            /// The bytes are not exactly one value of this version, or hold a key, value or time beyond its limit.
            pub fn decode(bytes: &[u8]) -> Result<Self, RestoreError> {
                codec::decode(versioned(bytes, $version)?).map_err(RestoreError::Codec)
            }
        }
    )*};
}
encoded!(Entry ENTRY_VERSION, Command COMMAND_VERSION, Query QUERY_VERSION, Reply REPLY_VERSION, Change CHANGE_VERSION);

/// What follows the version, if it is `known`.
pub(crate) fn versioned(bytes: &[u8], known: u8) -> Result<&[u8], RestoreError> {
    match bytes.split_first() {
        None => Err(RestoreError::Empty),
        Some((found, rest)) if *found == known => Ok(rest),
        Some((found, _)) => Err(RestoreError::Version { found: *found, known }),
    }
}
