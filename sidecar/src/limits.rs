//! Bounds of the shell outside RPC, each with its source and what happens at it.

use std::time::Duration;

/// Questions waiting for the node task. Ours: askers wait, none is lost.
pub const MAILBOX_QUESTIONS: usize = 256;

/// Datagrams taken from the socket in one turn. Ours: about a millisecond of work, so that a flood cannot hold up due
/// deadlines; the rest stays in the kernel's buffer for the next turn.
pub const PACKETS_PER_TURN: usize = 256;

/// Stream inputs and questions handled in one turn after the first one. Ours: as above; the rest waits in its queue.
pub const INPUTS_PER_TURN: usize = 64;

/// Bytes of the buffer a datagram is received into. The largest UDP payload is smaller, so nothing is cut.
pub const DATAGRAM_BYTES: usize = 65_536;

/// Kernel receive buffer asked for, in bytes. Go: `udpRecvBufSize`; halved until the system accepts it.
pub const UDP_RECEIVE_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Datagrams kept while the kernel's send buffer is full. Ours; the newest is dropped and counted.
pub const UNSENT_DATAGRAMS: usize = 1024;

/// Attempts to find one port free for TCP and UDP when the port is left to the system. Go: `tryTimes` in memberlist.
pub const PORT_ATTEMPTS: usize = 10;

/// Open gossip streams that peers dialled. Ours (Go has no limit): four times what its push/pull limit lets through;
/// further ones are closed at once and counted.
pub const INBOUND_STREAMS: usize = 512;

/// Of those, from one source address. Ours: room for a host full of agents behind one address.
pub const INBOUND_STREAMS_PER_SOURCE: usize = 64;

/// Open gossip streams in all. Ours; at the limit further dials fail at once, so 512 are left for ours.
pub const OPEN_STREAMS: usize = 1024;
const _: () = assert!(INBOUND_STREAMS < OPEN_STREAMS);

/// Accepted connections the node task has not looked at yet. Ours: the acceptor waits.
pub const ACCEPTED_WAITING: usize = 64;

/// Pieces read from all streams that the node task has not taken yet. Ours: readers wait, so a fast peer is slowed.
pub const STREAM_INPUTS_WAITING: usize = 256;

/// Bytes of one such piece.
pub const STREAM_PIECE_BYTES: usize = 16 * 1024;

/// Pieces waiting to be written to one stream. Ours: an exchange has one or two; a stream at the limit fails.
pub const STREAM_WRITES_WAITING: usize = 64;

/// How long a closed stream may take to get its last bytes out. Go: the LAN profile's `TCPTimeout`; then it is cut off.
pub const STREAM_FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// Pause after a failed `accept`, doubled up to the longest. Go: `net_transport.go`, `tcpListen`.
pub const ACCEPT_BACKOFF_SHORTEST: Duration = Duration::from_millis(5);

/// Longest pause after a failed `accept`.
pub const ACCEPT_BACKOFF_LONGEST: Duration = Duration::from_secs(1);

/// Time between two warnings about refused streams or lost datagrams, so that a flood does not fill the log. Ours.
pub const REFUSAL_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Joins whose names are being looked up or whose peers are being asked. Ours; further ones are refused.
pub const JOINS_AT_ONCE: usize = 64;

/// Addresses one join may bring, and addresses one name may stand for. Ours; the rest is left out.
pub const JOIN_TARGETS: usize = 1024;

/// Time the resolver may take for one name. Ours: the system's own limits add up to less than this.
pub const RESOLVE_LIMIT: Duration = Duration::from_secs(30);

/// Subscriptions at once. Ours: several for each RPC connection there may be; further ones get nothing.
pub const SUBSCRIPTIONS: usize = 8192;

/// Queries of ours whose answers somebody waits for. Ours; further ones are refused.
pub const QUERIES_AT_ONCE: usize = 4096;

/// Operations (leave, force-leave, set-tags) whose end somebody waits for. Ours; further ones are refused.
pub const OPERATIONS_AT_ONCE: usize = 4096;

/// Records, and questions, read from or put into one mDNS packet. Ours: four make an instance; the rest is left out.
pub const MDNS_RECORDS: usize = 256;

/// Instances, and machines, one round of mDNS may find. Ours; the rest is left out.
pub const MDNS_INSTANCES: usize = 1024;

/// Addresses found by mDNS that are remembered. Ours; further ones are not joined.
pub const MDNS_ADDRESSES: usize = 65_536;

/// Bytes of an mDNS packet. RFC 6762 section 17; what is longer is cut and so left out.
pub const MDNS_PACKET_BYTES: usize = 9_000;

/// Time RPC connections get to write their last answers. Ours; then they are closed.
pub const RPC_DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Time stdout gets to take the last lines. Ours; then the process ends without them.
pub const LOG_FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Lists and objects inside one another in a JSON file. Ours (Go: 10,000): a configuration needs three; deeper ones are
/// refused with Go's text.
pub const JSON_DEPTH: usize = 64;

/// Bytes of a configuration, keyring or tags file. Ours (Go has none): far more than any that makes sense; larger ones
/// are refused.
pub const CONFIG_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Changes of keyring and tags waiting to be written. Ours: every key change the engine lets wait, and the tags, which
/// are written one at a time; so none is refused.
pub const FILES_WAITING: usize = 65;
const _: () = assert!(FILES_WAITING > folkmoot_serf::limits::UNKEPT_KEY_CHANGES_MAX);

/// Longest time between an event and its line in the snapshot file. Go: `flushInterval`, but only if another line
/// follows; ours has a timer.
pub const SNAPSHOT_FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// Members whose lines wait for the disk. Ours: twice what a snapshot holds, for those that came and went meanwhile;
/// the newest is lost and counted.
pub const SNAPSHOT_MEMBERS_WAITING: usize = 2 * folkmoot_serf::limits::SNAPSHOT_MEMBERS_MAX;

/// Time the disk may take for a write before the log says that it is stuck. Ours.
pub const SNAPSHOT_STALL_TOLERANCE: Duration = Duration::from_secs(5);

/// Pause between attempts to append after one failed. Ours: an append is cheap; Go waits for its compaction.
pub const SNAPSHOT_APPEND_RETRY: Duration = Duration::from_secs(1);

/// Pause between attempts to compact after one failed. Go: `snapshotErrorRecoveryInterval`.
pub const SNAPSHOT_COMPACTION_RETRY: Duration = Duration::from_secs(30);

/// Time the disk gets at the end to take the last lines. Ours (Go: no limit); then the process ends without them.
pub const SNAPSHOT_CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of a line of a snapshot. Ours: far beyond any name; a longer line is skipped with a warning.
pub const SNAPSHOT_LINE_BYTES: u64 = 64 * 1024;

/// Characters shown of a warning about such a line. Ours; the rest is left out.
pub const SNAPSHOT_WARNING_CHARACTERS: usize = 256;

/// Attempts to open a snapshot that is being replaced at that moment. Ours; then it counts as in use.
pub const SNAPSHOT_OPEN_ATTEMPTS: usize = 8;

/// Different metrics of one kind within one interval. Ours: several times what there is; further ones are dropped and
/// counted.
pub const METRIC_NAMES: usize = 1024;

/// Names of user events, and of queries, that get metrics of their own. Ours (Go has no limit); the rest is `_others`.
pub const METRIC_USER_NAMES: usize = 128;

/// Samples waiting for statsd and statsite, which are emptied once a second. Ours; the newest is dropped and counted.
pub const METRIC_SAMPLES_WAITING: usize = 4096;

/// Bytes of one datagram to statsd. Go: `statsdMaxLen` in go-metrics.
pub const STATSD_DATAGRAM_BYTES: usize = 1400;

/// Batches of a second each that wait for statsite. Ours; the newest is dropped.
pub const STATSITE_BATCHES_WAITING: usize = 8;

/// Datagrams `doctor` sends to a member that does not answer. Ours: one may be lost; then it is called silent.
pub const DOCTOR_PING_ATTEMPTS: u32 = 3;

/// Time for the answer to each. Ours: more than a round trip around the world.
pub const DOCTOR_PING_WAIT: Duration = Duration::from_millis(700);

/// Time for a connection, and again for the answer over it. Ours; then the member is called silent.
pub const DOCTOR_STREAM_WAIT: Duration = Duration::from_secs(3);

/// Members `doctor` pings at the same time. Ours; the others wait.
pub const DOCTOR_PINGS: usize = 64;

/// Time that `health` gives the agent for all its answers, where no flag says otherwise. Ours: a busy agent answers in
/// milliseconds, and container engines give a check 30 s.
pub const HEALTH_LIMIT: Duration = Duration::from_secs(5);

/// Silence after which the group forgets a command that was run as a client. Ours: longer than one attempt of a call; many
/// commands may be run in that time, each a client of its own.
pub const COMMAND_CLIENT_TTL: Duration = Duration::from_secs(15);

/// Bytes that a command reads as a value or a transaction; what is longer is cut there, and refused by the agent, because
/// a value has at most 1 MiB. Ours: a transaction of some values.
pub const COMMAND_INPUT_MAX: u64 = 4 << 20;

/// Time between SIGTERM and SIGKILL for a command whose lock, office or item is lost, unless the flag says otherwise. Ours:
/// below the time to live of a lock.
pub const COMMAND_GRACE: Duration = Duration::from_secs(5);

/// Connections of other agents to the Raft port. Ours: one or two for each agent that takes part or forwards; further
/// ones are refused and counted.
pub const RAFT_CONNECTIONS: usize = 1024;

/// Of those, from one address. Ours: room for a site of agents behind one address.
pub const RAFT_CONNECTIONS_PER_SOURCE: usize = 256;

/// The Raft port may use one file in this many of those the process may open. Ours: RPC has half.
pub const RAFT_FILES_SHARE: usize = 4;

/// Handshakes on the Raft port at once. Ours: each holds a socket for at most [`RAFT_HANDSHAKE_LIMIT`]; further callers
/// are refused and counted.
pub const RAFT_HANDSHAKES: usize = 512;

/// Of those, from one address. Ours: strangers at one address leave room for others.
pub const RAFT_HANDSHAKES_PER_SOURCE: usize = 64;

/// Time a connection to a Raft port and its handshake may take. Ours: TLS around the world takes a fifth; then it is
/// refused and counted.
pub const RAFT_HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// Time, and bytes, a refused caller gets to take its answer. Ours; then it is cut off.
pub const RAFT_DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// See [`RAFT_DRAIN_LIMIT`].
pub const RAFT_DRAIN_BYTES: u64 = 64 * 1024;

/// Keys of the ring a call tries, the primary first. Ours: a rotation has two.
pub const RAFT_KEYS_TRIED: usize = 4;

/// Time without a word after which the kernel asks whether a Raft connection's other end is there, and between its
/// questions. Ours.
pub const RAFT_PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Time sent bytes may stay without the other end's word before the kernel gives a Raft connection up. Ours: Raft itself
/// notices much sooner; this frees the socket.
pub const RAFT_PEER_SILENCE: Duration = Duration::from_secs(20);

/// Noise messages under one key, in each direction. Ours: at most 64 GiB, below what AES-GCM allows for full messages
/// (2^24.5 in RFC 8446, section 5.5); then both ends go on with the next key.
pub const RAFT_MESSAGES_PER_KEY: u64 = 1 << 20;

/// Bytes asked of the socket at once for a Noise stream. Ours: a message of Noise.
pub const RAFT_READ_BYTES: usize = 64 * 1024;

/// Time before a refused address is complained of again for the same reason. Ours.
pub const RAFT_COMPLAINT_INTERVAL: Duration = Duration::from_secs(600);

/// Addresses and reasons remembered for that. Ours; beyond it refusals are counted only.
pub const RAFT_COMPLAINTS: usize = 1024;

/// Bytes of a file of certificates or of a key. Ours: far more than any that makes sense; larger ones are refused.
pub const TLS_FILE_BYTES: u64 = 1024 * 1024;

/// Members of the group with a vote at most. Ours: each write waits for a majority of them, and four failures are more
/// than anybody bears.
pub const RAFT_VOTERS: usize = 9;
const _: () = assert!(RAFT_VOTERS % 2 == 1);

/// Time the others get to take leadership over when this agent stops. Ours: several elections; then they elect one by
/// themselves.
pub const LEADERSHIP_HANDOVER_LIMIT: Duration = Duration::from_secs(2);

/// Time the group's member gets to close its file when the agent stops. Ours: what was acknowledged is on disk already;
/// then the process ends without it.
pub const GROUP_CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Questions of others about founding a group that wait for this node (questions). Ours: as many as may found one, twice.
/// Further ones are refused and asked again.
pub const FOUNDING_QUESTIONS: usize = 64;

/// Questions about founding a group that this node has asked and waits for (requests). Ours, as above; further ones are
/// asked a second later.
pub const FOUNDING_REQUESTS: usize = 64;
