//! Every bound of this crate.

/// Containers inside one another that [`crate::decode`] follows. Ours: Go's old decoder has no limit, its new one stops at
/// 1,024; the deepest real message (Serf's push/pull) has 4. Deeper input is refused.
pub const MAX_DEPTH: usize = 64;
