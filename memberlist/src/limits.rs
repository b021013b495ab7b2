//! Every bound of this crate: its unit, its source, and what happens at it.

use std::time::Duration;

/// Members known, ourselves included. Ours (Go has none: one peer could fill the memory). A newcomer is ignored and
/// counted in [`crate::Counters::members_refused`].
pub const MEMBERS: usize = 65_536;

/// Bytes of a node name. Ours (Go has none). Whatever carries a longer name is ignored and counted.
pub const NAME_BYTES: usize = 512;

/// Bytes of node meta. Go `MetaMaxSize`, which Go checks at the sender only. An alive or a node entry with more is
/// ignored and counted.
pub const META_BYTES: usize = 512;

/// Bytes of a capability trailer with every field this version knows. Ours; one that is longer once read has fields of
/// later versions, which are skipped. Where there is less room, it says less.
pub const CAPABILITY_BYTES: usize = 56;

/// Bytes of a cluster label. Go `LabelMaxSize`: its length is one byte. Refused at start.
pub const LABEL_BYTES: usize = 255;

/// Smallest datagram limit that can be configured, bytes. Ours: a ping with two long names fits nowhere below.
pub const UDP_BUFFER_BYTES_MIN: usize = 512;

/// Largest datagram limit that can be configured, bytes. Ours: what an IPv4 datagram can hold, less the layers that are
/// not counted (2.4, 2.7).
pub const UDP_BUFFER_BYTES_MAX: usize = 65_000;

/// Messages in one compound that we send. Go agents before memberlist 0.2.4 misread more (2.6). The rest goes into
/// further packets.
pub const COMPOUND_PARTS_SENT: usize = 127;

/// Shortest time between two reminders to one member of how it ended. Ours: a mass restart must not become a storm.
/// Alive messages in between are ignored as stale, as in Go.
pub const REMINDER_INTERVAL: Duration = Duration::from_secs(1);

/// Indirect pings we have passed on and still wait for. Ours (Go has none). A further one is dropped and counted in
/// [`crate::Counters::relays_refused`]; its asker has other relays.
pub const RELAYS: usize = 4_096;

/// Accepted streams whose request is not complete. Go refuses when 128 push/pulls run at once (`maxPushPullRequests`);
/// what a stream wants is known only when it is complete, so ours counts all. A further one is closed and counted in
/// [`crate::Counters::streams_refused`].
pub const INBOUND_STREAMS: usize = 127;

/// The same for one source address. Ours, so that one peer cannot use up all of them. Closed and counted likewise.
pub const INBOUND_STREAMS_PER_SOURCE: usize = 64;

/// Memory that unfinished inbound streams may hold together, bytes. Ours (Go has none: each stream may fill what it
/// likes). The stream that brings more is answered with an error, closed and counted in
/// [`crate::Counters::streams_failed`].
pub const INBOUND_BYTES: usize = 128 * 1024 * 1024;

const _: () = assert!(CAPABILITY_BYTES < META_BYTES);
const _: () = assert!(INBOUND_STREAMS_PER_SOURCE <= INBOUND_STREAMS);
const _: () = assert!(2 * STREAM_MESSAGE_BYTES <= INBOUND_BYTES, "one honest stream fits, however its buffer grows");
const _: () = assert!(NAME_BYTES + META_BYTES < UDP_BUFFER_BYTES_MAX);

// ---- the codec: datagrams ----

/// Bytes of a part of a compound: its length is two bytes. The engine never builds a longer one, being bound by
/// [`UDP_BUFFER_BYTES_MAX`].
pub const COMPOUND_PART_BYTES: usize = 65_535;

/// Compounds and compressions around a message. Ours: Go emits a compound in a compression, one is spare; Go follows any
/// number (fault 21 of spec 14). What is deeper is dropped and counted.
pub const PACKET_NESTING: usize = 3;

/// Commands in a datagram, compounds and compressions included. Ours (Go has none). The rest is dropped and counted.
pub const PACKET_COMMANDS: usize = 512;

/// Compressions in a datagram. Ours: Go sends one, outermost, and each costs a dictionary however little is in it. The
/// rest is dropped and counted.
pub const PACKET_COMPRESSIONS: usize = 4;

/// Bytes to which the compressions of one datagram may expand, together. Ours; Go allows 40 MiB for each. What expands
/// further is dropped and counted.
pub const PACKET_EXPANSION_BYTES: usize = 256 * 1024;

// ---- the codec: streams ----

/// Bytes of an encrypted frame. Go `maxPushStateBytes`. Answered with an error, then closed.
pub const STREAM_FRAME_BYTES: usize = 20 * 1024 * 1024;

/// Bytes of a stream's message, before and after decompression. Go `maxDecompressedBytes` for the latter; Go has no
/// bound for the former. Closed; compressed or decompressed: answered with an error first.
pub const STREAM_MESSAGE_BYTES: usize = 40 * 1024 * 1024;

/// Bytes of the user state of a push/pull. Go `maxPushStateBytes`. Closed.
pub const USER_STATE_BYTES: usize = 20 * 1024 * 1024;

/// Bytes of a user message on a stream. Go `maxUserMsgBytes`. Closed.
pub const USER_MESSAGE_BYTES: usize = 20 * 1024 * 1024;

/// Nodes that the header of a push/pull may announce. Go `maxPushStateNodes`. Closed.
pub const PUSH_PULL_NODES: usize = 1_048_576;

/// Nodes of a push/pull that are kept. Ours: a node of few bytes takes many in memory. Twice what can be known, so that
/// no honest peer meets it; surplus nodes are read, dropped and counted.
pub const PUSH_PULL_NODES_KEPT: usize = 2 * MEMBERS;

/// Bytes of one node of a push/pull. Ours (Go has none); the longest that would be kept takes about 1,200. Closed.
pub const NODE_STATE_BYTES: usize = 64 * 1024;

/// Bytes of any other map on a stream: headers, ping, ack, error. Ours (Go has none). Closed.
pub const STREAM_BODY_BYTES: usize = 64 * 1024;

/// How often it is said of one member that the host refuses it. Ours: Go says it with every message. Further ones are
/// counted.
pub const REFUSAL_INTERVAL: Duration = Duration::from_secs(60);

/// Members of which that is remembered. Ours: a list that somebody can still read. Of others it is not said meanwhile.
pub const REFUSALS_TOLD: usize = 64;

const _: () = assert!(UDP_BUFFER_BYTES_MAX <= COMPOUND_PART_BYTES);
const _: () = assert!(COMPOUND_PARTS_SENT <= PACKET_COMMANDS);
const _: () = assert!(NAME_BYTES + META_BYTES < NODE_STATE_BYTES);
const _: () = assert!(STREAM_FRAME_BYTES <= STREAM_MESSAGE_BYTES);
const _: () = assert!(USER_STATE_BYTES <= STREAM_MESSAGE_BYTES && USER_MESSAGE_BYTES <= STREAM_MESSAGE_BYTES);
const _: () = assert!(PUSH_PULL_NODES_KEPT <= PUSH_PULL_NODES);
