//! Every bound of this crate. Where the source is "ours", the reason stands with it. At a limit a command is refused with
//! the [`crate::Refusal`] named there and changes nothing, unless another outcome is written. [`crate::Usage`] holds the
//! count behind every limit of the whole machine, for metrics.

/// Bytes of a key or name; at least one. Ours: a path fits, and a page of keys stays small. Longer ones do not parse
/// ([`crate::TooLong`]).
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes of a value or payload. Ours: etcd's default request is 1.5 MiB; product promise is 1 MiB. As above.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Milliseconds of the longest time to live, ten years. Ours: far beyond use, far below overflow. Does not parse.
pub const TTL_MS_MAX: u64 = 10 * 366 * 24 * 3600 * 1000;

/// Bytes that all stored keys, values, elements, items and capabilities of waiting workers may count together, with [`ENTRY_OVERHEAD`] each. Ours: half of
/// etcd's default quota, because all of it is held in memory. `StorageFull`.
pub const STORED_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes counted for one stored thing beyond its own bytes: about what the maps need. Ours.
pub const ENTRY_OVERHEAD: usize = 128;

/// Registered clients. Ours: a connection each of 64 agents at their 1,024. `TooMany`.
pub const CLIENTS_MAX: usize = 65_536;
/// Replies kept for one client until it acknowledges them. Ours: deeper pipelines gain nothing. `TooManyUnacknowledged`.
pub const REPLIES_PER_CLIENT: usize = 1024;
/// Requests that a client may name as open below those it acknowledges. Ours: as many as it is kept replies of. `TooMany`.
pub const OPEN_PER_CLIENT: usize = REPLIES_PER_CLIENT;
/// Bytes of kept replies of one client; one reply, or the waiting calls that end, may exceed it once. Ours: 16 of the
/// largest values. `TooManyUnacknowledged`.
pub const REPLY_BYTES_PER_CLIENT: usize = 16 * 1024 * 1024;
/// Bytes of kept replies of all clients, from which on a client that is owed [`REPLY_BYTES_SHARE`] is not served. Ours: a
/// quarter of what may be stored. `TooManyUnacknowledged`.
pub const REPLY_BYTES_MAX: usize = STORED_BYTES_MAX / 4;
/// Bytes of kept replies that each client may have however much the others have, so that who acknowledges is served.
/// Ours: all clients together then add at most as much again.
pub const REPLY_BYTES_SHARE: usize = REPLY_BYTES_MAX / CLIENTS_MAX;

/// Sessions alive. Ours: four per client of a full machine's quarter. `TooMany`.
pub const SESSIONS_MAX: usize = 65_536;
/// Calls of one client that wait. Ours: bounds what one client may be owed. `TooMany`.
pub const WAITS_PER_CLIENT: usize = 256;
/// Calls that wait in the whole machine. Ours: four for every client. `TooMany`.
pub const WAITS_MAX: usize = 4 * CLIENTS_MAX;

/// Operations of a transaction: compares, then, else, each. etcd `--max-txn-ops`. `TooLarge`.
pub const TRANSACTION_OPERATIONS_MAX: usize = 128;
/// Keys that one delete by prefix removes; the reply says that there are more. Ours: bounds the work of one entry.
pub const DELETE_PREFIX_MAX: usize = 4096;
/// Entries of one page of a listing; a larger request gets a page of this size. Ours.
pub const PAGE_ENTRIES_MAX: usize = 1000;
/// Bytes after which a page of a listing, a batch of claims or a transaction's gets end. Ours: a page and one more value
/// stay below an RPC object's 4 MiB.
pub const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Keys. Ours: with [`ENTRY_OVERHEAD`] each they take an eighth of the storage. `TooMany`.
pub const KEYS_MAX: usize = 1024 * 1024;

/// Lines in use. Ours: one for each session. `TooMany`.
pub const LINES_MAX: usize = 65_536;
/// Calls waiting in one line. Ours: every client's thread of a large cluster. `TooMany`.
pub const WAITERS_PER_LINE: usize = 4096;
/// Most permits of one semaphore, so that holders of one line are bounded. Ours, as for waiters. `Invalid`.
pub const PERMITS_MAX: u32 = 4096;

/// Bytes of a candidate's value. Ours: an address and some words; not charged to storage, so small. `TooLarge`.
pub const ELECTION_VALUE_MAX: usize = 1024;

/// Barriers and gates in use. Ours. `TooMany`.
pub const BARRIERS_MAX: usize = 65_536;
/// Calls waiting at one barrier; members of one gate. Ours: nodes of a large cluster. `TooMany`; `Invalid`.
pub const BARRIER_MEMBERS_MAX: usize = 65_536;

/// Counters, sets and lists together. Ours. `TooMany`.
pub const COLLECTIONS_MAX: usize = 65_536;
/// Elements of one set or list. Ours: bounds an insertion into the middle of a list. `TooMany`.
pub const ELEMENTS_MAX: usize = 65_536;
/// Elements that one command brings. Ours: an RPC object's worth. `TooLarge`.
pub const ELEMENTS_PER_COMMAND: usize = 4096;

/// Queues and priority queues that hold or await something. Ours. `TooMany`.
pub const QUEUES_MAX: usize = 65_536;
/// Elements of one queue, whatever its users' bound. Ours: the keys' bound. `Full`.
pub const QUEUE_ELEMENTS_MAX: usize = 1024 * 1024;

/// Work queues. Ours. `TooMany`.
pub const WORK_QUEUES_MAX: usize = 4096;
/// The highest hard limit of a queue, and the one it starts with; its soft limit starts at half. Ours: what one scan for
/// statistics may look at. `Full`.
pub const ITEMS_MAX: u64 = 262_144;
/// Calls waiting to claim from one queue. Ours. `TooMany`.
pub const CLAIMERS_MAX: usize = 1024;
/// Different requirements (capabilities, target, exclusions) among the items of one queue: with the waiting calls it
/// bounds the search for a match. Ours. `TooMany`.
pub const REQUIREMENTS_MAX: usize = 256;
/// Capabilities, or excluded nodes, of one item or worker. Ours. `TooLarge`.
pub const NAMES_MAX: usize = 64;
/// Items that one item depends on. Ours. `TooLarge`.
pub const DEPENDENCIES_MAX: usize = 64;
/// Items of one claim; a larger request gets this many. A redrive of all takes as many as [`REDRIVE_MAX`]. Ours.
pub const CLAIM_MAX: u32 = 100;
/// Dead items that one redrive brings back. Ours: bounds the work of one entry.
pub const REDRIVE_MAX: usize = 4096;
/// Bytes of a result or of the reason of a failure. Ours: data belongs under a key. `TooLarge`. Where the storage is full
/// neither is kept, but the item goes on.
pub const RESULT_BYTES_MAX: usize = 4096;
/// Finished items that a queue remembers. Ours. The oldest is forgotten.
pub const FINISHED_MAX: usize = 1024;
/// The highest priority.
pub const PRIORITY_MAX: u8 = 100;

/// Changes remembered for watchers. Ours: with those that come before the oldest go it stays below 65,536, where the room for
/// them would double. The oldest revision is forgotten ("compacted").
pub const HISTORY_EVENTS_MAX: usize = 60_000;
/// Bytes of changes remembered. Ours: history must not outweigh the data. The oldest revision is forgotten.
pub const HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Events of one revision, from which on a step goes on in the next one. Ours: a page of changes holds whole revisions, and
/// has to stay an RPC object.
pub const EVENTS_PER_REVISION: usize = 1000;

/// Deadlines that one entry may reach; more are reached by the next entries, in the same order. Ours: bounds the pause
/// that one entry makes. (The end of an owner is one deadline, whatever depends on it.)
pub const EXPIRIES_PER_ENTRY: usize = 4096;
/// The highest revision that an operator may raise to; the other half of the range is left to grow into.
pub const REVISION_RAISE_MAX: u64 = u64::MAX / 2;

const _: () = assert!(PAGE_BYTES_MAX + VALUE_BYTES_MAX < 4 * 1024 * 1024);
const _: () = assert!(VALUE_BYTES_MAX < REPLY_BYTES_PER_CLIENT && REPLY_BYTES_PER_CLIENT < REPLY_BYTES_MAX);
const _: () = assert!(VALUE_BYTES_MAX < HISTORY_BYTES_MAX && WAITS_PER_CLIENT < REPLIES_PER_CLIENT);
