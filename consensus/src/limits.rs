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

/// Bytes of pages of the data file kept in memory. Ours: the tail of the log is kept anyway; this is for members that catch up.
pub const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of the last entries kept in memory, so that followers are served without the disk. What is not on disk yet is
/// kept beyond it. Ours.
pub const TAIL_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of entries after which a message to a follower ends, at least one entry. Ours: with one more entry of the largest
/// size it stays below the frames' limit, and on a slow line a heartbeat does not wait long behind it.
pub const APPEND_BYTES: usize = 2 * 1024 * 1024;

/// Entries of one message to a follower. Measured: 4,096 are 3.7 times as fast as 300.
pub const APPEND_ENTRIES: u64 = 4096;

/// Bytes of proposals of this member that are not decided yet. Ours: half a second of a fast disk. More wait for a place.
pub const PROPOSAL_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Writes that wait for the writer of the data file. Ours: the Raft library merges entries before; more wait.
pub const WRITES_MAX: usize = 1024;

/// Bytes of entries in one transaction of the data file. Ours: a transaction then takes some tens of milliseconds.
pub const TRANSACTION_BYTES: usize = 16 * 1024 * 1024;

/// Purged entries that one transaction deletes. Ours: a millisecond or two, so that purging never holds writes up.
pub const PURGE_STEP: u64 = 1024;

/// Bytes of a piece of a snapshot in the data file. Ours: one synced write each.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// Bytes of entries after which a snapshot is made, whatever their number. Ours: bounds disk use and the time of a restart.
pub const SNAPSHOT_EVERY_BYTES: u64 = 512 * 1024 * 1024;

/// Entries applied under one lock of the state. Ours: readers wait at most for these, a fraction of a millisecond.
pub const APPLY_BATCH: usize = 256;

/// Entries that a member may be behind and still count as one that answers when voters are changed. Ours: caught up within
/// a heartbeat or two.
pub const PROMOTION_LAG: u64 = 1024;

/// Members that found a group together. Ours: more voters than this would make every write slow; members beyond it are
/// taken in afterwards. A proposal with more is refused.
pub const FOUNDERS_MAX: usize = 31;

/// Bytes of the identity file. Ours: [`FOUNDERS_MAX`] names of 512 bytes are a quarter of it. A longer file is damaged.
pub const IDENTITY_BYTES_MAX: usize = 64 << 10;

/// Bytes of a request or an answer about founding: a proposal with [`FOUNDERS_MAX`] names of 512 bytes is a quarter of it.
pub const FOUNDING_BYTES_MAX: usize = 64 << 10;
