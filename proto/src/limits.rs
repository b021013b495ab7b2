//! Every bound of this crate: unit, source, and what happens there.

/// Longest request object, bytes. Ours (Go has none): topics carry 1 MiB, Serf's own requests a few KiB. Longer ones
/// are an error of the [`crate::FrameReader`], and the server closes.
pub const MAX_REQUEST_LENGTH: usize = 4 << 20;

/// Longest response object a client reads, bytes. Ours: 65,536 members with full tags are about 50 MiB. Longer ones
/// are an error of the [`crate::FrameReader`], and the client closes.
pub const MAX_RESPONSE_LENGTH: usize = 256 << 20;

/// Deepest nesting of arrays and maps in any object. Ours: the deepest of Serf's is 4. Deeper ones are an error of the
/// [`crate::FrameReader`], and its owner closes.
pub const MAX_DEPTH: usize = 64;

/// Elements of one list in a coordination body. Ours: as many changes as the group remembers, the longest list that is ever
/// sent. More are an error of `decode`.
pub const MAX_ELEMENTS: usize = 65_536;

/// Unused buffer space a [`crate::FrameReader`] keeps at hand for the next read, bytes. Ours: most requests fit.
pub const READ_CHUNK: usize = 4 << 10;

const _: () = assert!(READ_CHUNK <= MAX_REQUEST_LENGTH && MAX_REQUEST_LENGTH <= MAX_RESPONSE_LENGTH);
