//! Every bound of this crate, with its reason and what happens at it.

/// Entries after which a snapshot is made. Ours: a restart replays at most this many, a fraction of a second.
pub const SNAPSHOT_EVERY: u64 = 100_000;

/// Entries kept behind a snapshot. Ours: a member that was away for less catches up from the log.
pub const LOG_KEPT: u64 = 20_000;

/// Proposals of this member that wait for their outcome. Ours: every client of a full machine with one in flight. More
/// wait for a place.
pub const PROPOSALS_MAX: usize = 65_536;

/// Registered waits for [`folkmoot_coordination::Change::Answered`]. Ours: `WAITS_MAX` of the machine. More are refused.
pub const ANSWERS_MAX: usize = folkmoot_coordination::limits::WAITS_MAX;

/// Changes that wait for one watcher between two of its looks. Ours: then it reads pages from the machine's history again,
/// which loses nothing that is not compacted.
pub const WATCH_QUEUE: usize = 1024;

/// Watchers of one member. Ours: 16 for each of 256 connections. More are refused.
pub const WATCHES_MAX: usize = 4096;
