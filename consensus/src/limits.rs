//! Every bound of this crate, with its reason and what happens at it.

use std::time::Duration;

// Streams between agents.

/// Bytes of a hello behind its header. Ours: five numbers fit in a quarter of it. The stream is refused.
pub const HELLO_BYTES_MAX: usize = 256;

/// How long a hello is waited for, and its answer. Ours: an honest one follows the handshake within a round trip or two.
/// The stream is closed.
pub const HELLO_PATIENCE: Duration = Duration::from_secs(5);

/// How long the making of a stream may take: connection, handshake, hello. Ours: four round trips of 300 ms; short,
/// because a packet that is lost to a partition is sent again by TCP only after seconds. It is made again when needed.
pub const CONNECT_PATIENCE: Duration = Duration::from_millis(1500);

/// How long a failed stream is not tried again. Ours: a member that comes back waits this long at most.
pub const REOPEN_PAUSE: Duration = Duration::from_millis(25);

/// Encoded bytes of one command. Ours: an RPC request's limit. It is refused with `TooLarge`.
pub const COMMAND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a frame's body. Ours: a batch of the log (4 MiB, cut after an entry) with one more command, and half as much
/// for its envelope. The stream is closed.
pub const FRAME_BYTES_MAX: usize = 12 * 1024 * 1024;

/// Bytes of a part of a long body. Ours: a millisecond of a fast network, for which a short message waits.
pub const PART_BYTES: usize = 256 * 1024;

/// Frames that wait to be written to one stream. Ours: several per request in flight are rare. Senders wait, or are told.
pub const OUTBOX_FRAMES: usize = 4096;

/// Bytes that wait to be written to one stream. Ours: four batches of the log. Senders wait, or are told.
pub const OUTBOX_BYTES: usize = 16 * 1024 * 1024;

/// Requests of one stream that wait for answers. Ours: as many calls as one agent's clients may have waiting
/// (1,024 connections, 64 each). The caller is told `Busy`.
pub const REQUESTS_PER_STREAM: usize = 65_536;

/// Members whose addresses are remembered. Ours: the members of a gossip cluster. Further ones are ignored.
pub const PEERS_MAX: usize = 65_536;

/// Appends of one replication stream without an answer. Ours: fills a round trip of 50 ms at one batch a millisecond.
pub const APPENDS_IN_FLIGHT: usize = 64;

/// Appends that wait for Raft on one stream. Ours: the rest waits in the network. The stream is not read meanwhile.
pub const APPENDS_QUEUED: usize = 16;

/// Votes and transfers that one stream has Raft look at together. Ours: an honest member has one. The stream is not read
/// meanwhile.
pub const QUESTIONS_AT_ONCE: usize = 16;

/// How long nothing may move on a stream to another member while answers are due, before it is made again. Ours: several
/// elections would have passed.
pub const MEMBER_PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer of a member that is there may take. Ours: a disk that is busy for long answers late, and asking
/// again does not make it faster.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of one piece of a snapshot on its way. Ours: progress is seen every few milliseconds.
pub const SNAPSHOT_PIECE_BYTES: usize = 1024 * 1024;

/// Pieces of a snapshot on their way. Ours: hides the round trip.
pub const SNAPSHOT_PIECES_IN_FLIGHT: usize = 4;

/// Bytes of a snapshot. Ours: what the machine may store, twice, for its envelope. It is refused.
pub const SNAPSHOT_BYTES_MAX: u64 = 2 * folkmoot_coordination::limits::STORED_BYTES_MAX as u64 + (1 << 30);

/// How long a member may take to install a snapshot it has. Ours: gigabytes on a slow disk.
pub const INSTALL_PATIENCE: Duration = Duration::from_secs(300);

/// How long a served stream may be silent. Ours: whoever waits for an answer asks for a sign of life every second; others
/// make a new stream when they need one. It is closed.
pub const SERVED_SILENCE: Duration = Duration::from_secs(300);

/// Bytes of a watch's answer from another member: one revision, with everything that is remembered in it, in its
/// envelope. The stream is closed.
pub const WATCH_BYTES_MAX: usize = 2 * folkmoot_coordination::limits::HISTORY_BYTES_MAX;

/// Calls of one stream that are served at a time, those that wait included. Ours: as above. Further ones are told `Busy`.
pub const CALLS_PER_STREAM: usize = REQUESTS_PER_STREAM;

/// Bytes of the calls of one stream that are not decided. Ours: sixteen of the largest. Further ones are told `Busy`.
pub const CALL_BYTES_PER_STREAM: usize = 64 * 1024 * 1024;

/// Long requests of one stream that were told `Busy` and whose rest is still coming. Ours: one at a time is taken, and few
/// people make or restore backups. At it the stream is closed.
pub const LONG_REFUSED: usize = 64;

/// How long a refused stream's reason is not said again, and how many reasons are remembered; more are not said. Ours: a
/// log that can be read.
pub const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);
/// See [`COMPLAINT_PAUSE`].
pub const COMPLAINTS_REMEMBERED: usize = 64;

/// Between two measurements of the round trips to other voters. Ours: as long as the stall that the shortest timing bears,
/// so that few of those are missed, and a third of the heartbeats.
pub const ROUND_TRIP_EVERY: Duration = Duration::from_millis(100);

/// How long a sign of life may take that a round trip is measured by. Ours: longer than any that elections can follow; what
/// takes longer counts as no answer.
pub const ROUND_TRIP_PATIENCE: Duration = Duration::from_secs(1);

/// Round trips to a voter of which the median and the worst count. Ours: a quarter of a minute.
pub const ROUND_TRIPS_KEPT: usize = 128;

/// Round trips to a voter before they count. Ours: voters that are too far from one another to elect find out in seconds.
pub const ROUND_TRIPS_MIN: usize = 8;

/// Round trips to a voter before silence is borne shorter for the first time. Ours: six seconds show a busy machine.
pub const ROUND_TRIPS_FIRST: usize = 64;

/// How long round trips must have been short before silence is borne shorter. Ours: a change costs an election where it
/// meets the leader, and a network that is quick for a while only would cost one each time.
pub const SHORTER_AFTER: Duration = Duration::from_secs(60);

/// How long nobody may answer a leader before that is more than a busy machine. Ours: stalls that are borne at all are
/// shorter. Up to it a leader keeps its office; after it it lets others try.
pub const STALL_MAX: Duration = Duration::from_secs(1);

/// How long a founding machine may take for an answer. Ours: a disk that syncs slowly. The caller asks again.
pub const FOUNDING_PATIENCE: Duration = Duration::from_secs(5);

/// The first pause before a call is tried again, which doubles. Ours: an election is over within a few of them.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest pause before a call is tried again. Ours: what a failover may take longer for it.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_millis(20);

/// How often a call follows members that name one another, before it pauses. Ours: one follows the last change of leaders.
pub const REDIRECTS_MAX: u8 = 3;

/// How long a call goes on while a majority does not answer, before it says so. Ours: several elections.
pub const QUORUM_PATIENCE: Duration = Duration::from_secs(2);

/// How long a call, or a watch, goes on while nobody in sight is in a group, before it says so. Ours: members that have
/// just met found a group in less.
pub const NO_GROUP_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a backup between agents. Ours: a snapshot's, and its envelope. It is refused with `TooLarge`.
pub const BACKUP_BYTES_MAX: usize = SNAPSHOT_BYTES_MAX as usize + (1 << 20);

/// How long a backup, or its return, may take. Ours: gigabytes over a slow line.
pub const BACKUP_PATIENCE: Duration = Duration::from_secs(1800);

/// How long an operator's request is tried. Ours: a change of members takes as long as a snapshot's way.
pub const ADMIN_PATIENCE: Duration = Duration::from_secs(60);

const _: () = assert!(2 * COMMAND_BYTES_MAX < FRAME_BYTES_MAX && FRAME_BYTES_MAX <= OUTBOX_BYTES);

// The group.

/// Entries after which a snapshot is made. Ours: a restart replays at most this many, a fraction of a second.
pub const SNAPSHOT_EVERY: u64 = 100_000;

/// Entries kept behind a snapshot. Ours: a member that was away for less catches up from the log.
pub const LOG_KEPT: u64 = 20_000;

/// Proposals of this member that wait for their outcome. Ours: every client of a full machine with one in flight. Further
/// ones are told `Busy`, and counted.
pub const PROPOSALS_MAX: usize = 65_536;

/// Registered waits for [`folkmoot_coordination::Change::Answered`]. Ours: `WAITS_MAX` of the machine. More are refused.
pub const ANSWERS_MAX: usize = folkmoot_coordination::limits::WAITS_MAX;

/// Watchers of one member. Ours: 16 for each of 256 connections. More are refused.
pub const WATCHES_MAX: usize = 4096;

/// Bytes of the last entries kept in memory, so that followers are served without the disk. What is not on disk yet is
/// kept beyond it. Ours: seconds of a busy group; who is further behind reads the disk.
pub const TAIL_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of entries after which a message to a follower ends, at least one entry. Ours: with one more entry of the largest
/// size it stays below the frames' limit, and on a slow line a heartbeat does not wait long behind it.
pub const APPEND_BYTES: usize = 2 * 1024 * 1024;

/// Entries of one message to a follower. Measured: 4,096 are 3.7 times as fast as 300.
pub const APPEND_ENTRIES: u64 = 4096;

/// Bytes of proposals of this member that are not decided yet. Ours: half a second of a fast disk. More wait for a place.
pub const PROPOSAL_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Writes that wait for the writer of the log. Ours: the Raft library merges entries before; more wait.
pub const WRITES_MAX: usize = 1024;

/// Bytes of entries in one write of the log. Ours: a write then takes some tens of milliseconds.
pub const WRITE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of memory that the writer keeps from one write to the next. Ours: an ordinary write is a thousandth of it.
pub const BATCH_BYTES_KEPT: usize = 256 * 1024;

/// Bytes of a segment of the log; one for a longer write is as long as that. Ours: a busy group fills one in a second, and
/// an idle one does not mind. Whole ones are removed when the log is cut.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes of zeros that are written to a segment at a time before it is used. Ours: a sync of the log beside it waits for
/// them, a millisecond.
pub const ZEROS_BYTES: usize = 1024 * 1024;

/// Bytes of a segment that are read at a time. Ours: what is read to find one entry.
pub const READ_BYTES: usize = 64 * 1024;

/// Bytes of a segment between entries whose places are kept in memory. Ours: 256 places of 24 bytes for a segment, and half
/// of it read in vain for an entry that is looked up.
pub const SIGNPOST_BYTES: u64 = 64 * 1024;

/// Entries beyond those that are kept, after which the log is cut again. Ours: some may be kept for nothing, a quarter of a
/// megabyte.
pub const PURGE_STEP: u64 = 1024;

/// Bytes of a piece of a snapshot's file. Ours: one sync each.
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

/// Bytes of a state that is brought back from a backup. Ours: what the machine may store, with its kept replies and its
/// memory of changes. At it the restore is refused.
pub const RESTORE_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024;
