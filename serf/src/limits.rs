//! Every bound of the Serf layer: its unit, where the number comes from, and what happens there.

use std::time::Duration;

/// How far ahead of a clock a peer's time may be (logical time). Ours (F2): Go has no bound, and one message with the
/// largest time makes its clocks wrap. Such a message is refused.
pub const LAMPORT_JUMP_MAX: u64 = 1 << 40;

/// Encoded tags (bytes). memberlist `MetaMaxSize`; longer ones are an error for the caller.
pub const TAGS_ENCODED_MAX: usize = 512;

/// Name of a node in a message (bytes). memberlist `limits::NAME_BYTES`: nobody of a longer name can become a member, so
/// intents about it are not kept, its answers are dropped and counted, and as an asker it stays without a name.
pub const NODE_NAME_BYTES_MAX: usize = 512;

/// Node and tag filters of one query (entries). Ours: Go has none; a query with more is refused as undecodable. A tag
/// filter has at least 15 bytes and a gossip packet 1,400, so no honest query has more.
pub const QUERY_FILTERS_MAX: usize = 128;

/// Names in one node filter (entries). Ours, as above: the filter then does not match.
pub const FILTER_NODES_MAX: usize = 65_536;

/// Slots of the event ring in a push/pull (slots). Ours: Go sends 512 (`EventBuffer`), others may configure more. A
/// push/pull with more is refused.
pub const PUSH_PULL_SLOTS_MAX: usize = 8_192;

/// Events in all slots of one push/pull (events). Ours: Go has none. A push/pull with more is refused.
pub const PUSH_PULL_EVENTS_MAX: usize = 65_536;

/// Members, and left members, in one push/pull (names). Ours, twice the members we would keep. A push/pull with more is
/// refused.
pub const PUSH_PULL_MEMBERS_MAX: usize = 131_072;

/// Keys in one key response (keys). Ours: a response of 1,024 bytes has room for fewer than 100. One with more is
/// refused.
pub const KEY_RESPONSE_KEYS_MAX: usize = 4_096;

/// Different keys in the sum of all key responses (keys). Ours: honest nodes have a few. Further ones are not counted.
pub const KEYS_COUNTED_MAX: usize = 4_096;

/// Bytes of a key response that makes no sense which are shown to the user (bytes). Ours: the largest response by default
/// (Go `QueryResponseSizeLimit`). The rest is left out.
pub const KEY_RESPONSE_SHOWN_MAX: usize = 1_024;

/// Tags of one member (tags). Ours: 512 bytes of meta data hold at most 256. The rest is not decoded.
pub const MEMBER_TAGS_MAX: usize = 512;

/// Round trips beyond this are not believed. Go `coordinate/client.go`: the sample is refused.
pub const ROUND_TRIP_MAX: Duration = Duration::from_secs(10);

/// Dimensions of a peer's coordinate (numbers). Ours: everybody uses 8, a ping payload has room for about 150. One with
/// more does not decode.
pub const COORDINATE_DIMENSIONS_MAX: usize = 64;

/// Peers whose last round trips are remembered (names). Ours: as many as members are known. The sample of one more peer
/// is used without a filter.
pub const LATENCY_FILTER_PEERS_MAX: usize = 65_536;

/// Names a coalescer holds between two flushes (names). Ours: Go has none. Events of further names pass straight
/// through.
pub const COALESCED_NAMES_MAX: usize = 65_536;

/// Events of one name and time a coalescer holds (events). Ours: Go has none. Further ones pass straight through.
pub const COALESCED_EVENTS_MAX: usize = 4_096;

/// Names and payloads a coalescer of user events holds (bytes). Ours: Go has none. Further events pass straight through.
pub const COALESCED_BYTES_MAX: usize = 16 << 20;

/// Length of an expression (bytes). Ours: a query has at most 9 KiB. A longer one is refused.
pub const PATTERN_LENGTH_MAX: usize = 16_384;

/// Size of a compiled expression (bytes). Ours: Go bounds the syntax tree instead. A larger one is refused.
pub const PATTERN_COMPILED_MAX: usize = 512 << 10;

/// Tables made while an expression runs (bytes). Ours; beyond it they are dropped and made again.
pub const PATTERN_TABLES_MAX: usize = 512 << 10;

/// Groups and repetitions inside one another in an expression (levels). Ours: the compiler of the `regex` crate recurses;
/// Go allows 1,000. Deeper ones are refused.
pub const PATTERN_DEPTH_MAX: u32 = 100;

/// Compiled expressions kept for the next query (expressions). Ours; the oldest is dropped.
pub const PATTERN_CACHE_MAX: usize = 64;

/// Expressions of query filters compiled per second (expressions). Ours: one takes up to some milliseconds, and one packet
/// brings [`QUERY_FILTERS_MAX`] of them. Beyond it a query does not match and is counted.
pub const PATTERNS_PER_SECOND_MAX: u32 = 256;

/// Members taken from one snapshot (names). Ours, as many as members are known. Further `alive` lines are skipped with
/// a warning.
pub const SNAPSHOT_MEMBERS_MAX: usize = 65_536;

/// Warnings kept from one snapshot (lines). Ours: a file of garbage must not fill the log. Further ones are counted.
pub const SNAPSHOT_WARNINGS_MAX: usize = 64;

const _: () = assert!(PUSH_PULL_MEMBERS_MAX >= SNAPSHOT_MEMBERS_MAX);

/// Members in the table (names). Ours, as many as memberlist keeps alive: at the limit the member gone longest is reaped
/// early, and without one the newcomer is refused and counted.
pub const MEMBERS_MAX: usize = 65_536;

/// Intents kept for names that are not members (names). Ours: Go has none. A new name is refused and counted.
pub const RECENT_INTENTS_MAX: usize = 65_536;

/// Events, or query ids, of one logical time (entries). Ours: one peer can otherwise fill one time for ever. The
/// newcomer is refused and counted.
pub const ENTRIES_PER_SLOT_MAX: usize = 4_096;

/// Names and payloads of all buffered events (bytes). Ours, half of what a push/pull may carry (Go `maxPushStateBytes`):
/// the oldest times are forgotten, and events of those times are refused from then on.
pub const EVENT_RING_BYTES_MAX: usize = 10 << 20;

/// Largest limit a user event may be configured with (bytes). Go `UserEventSizeLimit`: start-up fails above.
pub const USER_EVENT_LIMIT_MAX: usize = 9_216;

/// Queries of ours that wait for answers (queries). Ours; further ones are an error for the caller.
pub const RUNNING_QUERIES_MAX: usize = 4_096;

/// Nodes whose answers one query collects (names). Ours, as many as members are known; further ones are dropped and
/// counted.
pub const ANSWERS_PER_QUERY_MAX: usize = MEMBERS_MAX;

/// Queries of others that may still be answered (queries). Ours: a peer chooses how long they live. The oldest is
/// forgotten.
pub const OPEN_QUERIES_MAX: usize = 4_096;

/// A response we pass on for others (bytes). Ours, Go's ceiling of any Serf payload; larger ones are dropped and counted.
pub const RELAYED_BYTES_MAX: usize = 9_216;

/// Responses we pass on for others per second (messages). Ours: an open relay multiplies nothing, but hides its user.
/// Further ones are dropped and counted.
pub const RELAYS_PER_SECOND_MAX: u32 = 512;

/// Joins waiting behind the running one (joins). Ours; further ones are an error for the caller.
pub const PENDING_JOINS_MAX: usize = 64;

/// Targets of one join (addresses). Ours; the rest is reported as failed.
pub const JOIN_TARGETS_MAX: usize = 4_096;

/// Key operations waiting behind the running one (operations). Ours; further ones fail at once.
pub const PENDING_KEY_OPERATIONS_MAX: usize = 64;

/// Key changes the shell has not kept yet (queries). Ours; what further queries ask for is refused and not done.
pub const UNKEPT_KEY_CHANGES_MAX: usize = 64;

/// Operations that wait for a broadcast (operations). Ours, four per RPC connection; of further ones nobody waits for
/// the end.
pub const OPERATIONS_MAX: usize = 4_096;

/// Characters of a node name under strict validation (bytes). memberlist `ValidateNodeName`; longer ones are refused.
pub const NODE_NAME_MAX: usize = 128;

const _: () = assert!(NODE_NAME_BYTES_MAX == crate::memberlist::limits::NAME_BYTES);
const _: () = assert!(QUERY_FILTERS_MAX <= PATTERNS_PER_SECOND_MAX as usize);

/// Sizes and times kept between two looks of the shell at them (samples). Ours: a turn rarely has more; the newest is
/// dropped, the counters have it.
pub const SAMPLES: usize = 1_024;

const _: () = assert!(EVENT_RING_BYTES_MAX * 2 <= 20 << 20);
const _: () = assert!(PUSH_PULL_MEMBERS_MAX >= MEMBERS_MAX);
const _: () = assert!(LATENCY_FILTER_PEERS_MAX >= MEMBERS_MAX);
