//! Every bound of the RPC server: unit, source, and what happens there.

use std::time::Duration;

/// Connections served at once, but no more than [`CONNECTIONS_FILES_SHARE`] allows. Ours (Go has none); further ones are
/// closed as soon as they are accepted.
pub const CONNECTIONS: usize = 1024;

/// Of the files the process may open, one in so many may be a connection. Ours: gossip, handlers and snapshot need
/// files too, and clients shall not take them all. (Go raises the soft limit of files at its start.)
pub const CONNECTIONS_FILES_SHARE: usize = 2;

/// Requests longer than [`GREETING_LENGTH`] that are being read or served at once, on all connections. Ours: 128 MiB, where
/// a thousand honest connections would add up to gigabytes; the connection that begins the next one is closed.
pub const LARGE_REQUESTS: usize = 32;

/// How long a client may take until it is let in: handshake and, where there is one, the key. Ours (Go waits for ever);
/// the connection is closed, or strangers could hold all of them.
pub const GREETING: Duration = Duration::from_secs(60);

/// Longest request object from a client that has not been let in yet, bytes. Ours: a handshake takes 30, and an
/// unknown client shall not make the agent keep megabytes. The connection is closed.
pub const GREETING_LENGTH: usize = 64 << 10;

/// Events waiting for one stream. Go: `ipc_event_stream.go` (512); the newest is dropped and logged.
pub const STREAM_QUEUE: usize = 512;

/// Log lines waiting for one monitor. Go: `ipc_log_stream.go` (512); the newest is dropped and logged.
pub const MONITOR_QUEUE: usize = 512;

/// Streams on one connection. Ours (Go has none); the next one is refused.
pub const STREAMS: usize = 256;

/// Queries one connection has running. Ours (Go has none); the next one is refused.
pub const QUERIES: usize = 256;

/// Answers of a query that wait for the socket. Ours: an ack and a response of each member there can be (65,536) and
/// the end. More are lost for the asker.
pub const QUERY_ANSWERS: usize = 2 * 65_536 + 1;

/// Coordination calls of one connection that are under way and do not wait for anybody. Ours: deeper pipelines gain
/// nothing. Nothing more is read from the connection until one is answered.
pub const CALLS: usize = 256;

/// Coordination calls of one connection that wait for others (for a lock, an item). The group's own bound for a client; the
/// next one is refused.
pub const WAITING_CALLS: usize = folkmoot_coordination::limits::WAITS_PER_CLIENT;

/// Numbers that are drawn for clients: 1 to this. Ours: whatever reads JSON reads them exactly, and the chance that two groups with
/// as many clients as they may have share one is one in two million.
pub const CLIENT_NUMBERS: u64 = (1 << 53) - 1;

/// Body of a call that may wait, bytes. Ours: a worker with as many capabilities as allowed, of the longest names. Larger
/// ones are refused, because they would be kept for as long as they wait.
pub const WAITING_CALL_LENGTH: usize = (folkmoot_coordination::limits::NAMES_MAX + 16) * 1024;

/// Bytes of the bodies of all coordination calls that are under way and do not wait, on all connections, in KiB. Ours: as
/// many as may be read at once. Connections with a call that has no room are not read until there is some.
pub const CALL_KIB: usize = LARGE_REQUESTS * folkmoot_proto::limits::MAX_REQUEST_LENGTH / 1024;

/// How long a coordination call may take where its client says nothing; the time that it may wait for others comes on top.
/// Ours: far beyond a change of leaders. It fails then, with the outcome unknown.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that a client can ask for instead. Ours; more counts as this.
pub const CALL_TIMEOUT_LONGEST: Duration = Duration::from_secs(600);

/// How long a call may wait that waits without end. Ours: what clocks can add.
pub const ENDLESS: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Sessions that end with one connection. Ours: bounds what a connection leaves to be done; the next one is refused.
pub const CONNECTION_SESSIONS: usize = 1024;

/// How long a change of the members may take. As the group's own limit, because a new member is sent a snapshot first. It
/// fails then, with the outcome unknown.
pub const CHANGE_TIMEOUT: Duration = folkmoot_consensus::limits::ADMIN_PATIENCE;

/// How long a backup, or its return, may take. As the group's own limit.
pub const BACKUP_TIMEOUT: Duration = folkmoot_consensus::limits::BACKUP_PATIENCE;

/// Bytes of a backup in one record. Ours: large enough that headers do not count.
pub const BACKUP_PIECE: usize = 1 << 20;

/// Bytes of a backup that is being restored, on one connection of the agent at a time. Ours: all that may be stored, twice
/// over. The restore is refused.
pub const RESTORE_BYTES: usize = 2 * folkmoot_coordination::limits::STORED_BYTES_MAX;

/// Queries a connection may still answer. Ours (Go has none, but each ends at its deadline); the one with the lowest
/// number is forgotten.
pub const PENDING_QUERIES: usize = 4096;

/// Responses and records waiting for the writer of one connection. Ours: just enough to keep it busy, because what
/// waits here was encoded already; senders wait.
pub const WRITER_QUEUE: usize = 8;

/// How much of a client's own words the log repeats, bytes. Ours (Go repeats all); the rest is cut off.
pub const LOGGED_LENGTH: usize = 1024;

/// How long a client may take nothing at all of what it is sent. Ours (Go waits for ever); the connection is closed
/// and logged.
pub const STALL: Duration = Duration::from_secs(30);

/// How long a request that is being served may still take once the agent stops. Ours; its connection is closed.
pub const GRACE: Duration = Duration::from_secs(1);

/// How long clients may take for the last replies once the agent stops. Ours; their connections are closed.
pub const DRAIN: Duration = Duration::from_secs(2);

/// Waiting time after a failed accept: doubles up to the longest. Ours (Go tries again at once and spins).
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(5);
/// See [`ACCEPT_BACKOFF`].
pub const ACCEPT_BACKOFF_LONGEST: Duration = Duration::from_secs(1);

/// Connections that wait to be accepted on a unix socket. As for TCP (`net/sockets.rs`); further ones are refused by the
/// kernel.
pub const UNIX_BACKLOG: i32 = 4096;

/// Keep-alive period of the connections. Go: the default of its listener.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

// One call always fits, and permits are counted in 32 bits.
const _: () = assert!(CALL_KIB > folkmoot_proto::limits::MAX_REQUEST_LENGTH / 1024 && CALL_KIB < 1 << 29);
const _: () = assert!(GREETING_LENGTH <= folkmoot_proto::limits::MAX_REQUEST_LENGTH);
