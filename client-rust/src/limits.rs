//! Every bound of this crate: unit, source, and what happens there. Sizes of objects are bounded in
//! `folkmoot_proto::limits`.

use std::time::Duration;

/// Time to reach the agent, and again for its answer to handshake and key. As the Go client, which waits for the answer
/// for ever; then [`crate::ConnectError::TimedOut`].
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time the agent's socket may take no byte of a request. As the Go client; then the connection is closed.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the agent's last answers, once it takes no request any more. Ours: they are here already, or the socket says at
/// once that there are none; then the connection is closed.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// Silence after which the kernel asks whether the other machine is there. Ours: as [`SILENCE`].
pub const KEEPALIVE_AFTER: Duration = SILENCE;

/// Time between such questions.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// How many of them may be lost; then the connection is over: half a minute after the machine went.
pub const KEEPALIVE_PROBES: u32 = 3;

/// Time that what was sent may stay unconfirmed by the other machine; then the connection is over. Ours: as above.
pub const UNCONFIRMED: Duration = Duration::from_secs(30);

/// Silence on a connection with open streams and no call under way, after which the agent is asked whether it is there.
/// Ours: below what firewalls forget.
pub const SILENCE: Duration = Duration::from_secs(15);

/// Time for its answer; then the connection is closed. Ours, as for its greeting.
pub const PROBE_ANSWER: Duration = DIAL_TIMEOUT;

/// Records a subscription keeps for a reader who is slow. As the agent's own queues (`docs/spec/rpc.md` 10); then the
/// newest is dropped and counted, so that the other users of the connection go on. A watch drops nothing: it asks again
/// from where its reader is.
pub const RECORD_QUEUE: usize = 512;

/// Requests waiting to be written. Ours: a caller waits while it is full.
pub const REQUEST_QUEUE: usize = 64;

/// Bytes from which on waiting requests are not gathered into one write. Ours: what a socket takes at once.
pub const WRITE_BATCH: usize = 64 << 10;

/// Calls and subscriptions open at once on one connection. Ours; then [`crate::Error::TooManyCalls`].
pub const MAX_OPEN: usize = 65_536;

/// Time for which a call looks for an agent after the connection was lost. Ours: an agent's restart, a leader's
/// replacement.
pub const RECONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The longest such time; a longer one counts as this. Ours: a century is for ever, and clocks can add it.
pub const RECONNECT_LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The first pause between attempts to connect, and between attempts of a call that an agent could not serve. Ours.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(20);

/// The longest of these pauses. Ours.
pub const BACKOFF_LONGEST: Duration = Duration::from_secs(1);

/// Time for the answer to one of Serf's commands that an agent answers by itself; then [`crate::Error::Timeout`]. Ours: as
/// [`COORDINATION_TIMEOUT`], far beyond what an agent takes that is not stopped.
pub const SERF_TIMEOUT: Duration = Duration::from_secs(30);

/// The same of those that ask the whole cluster: join, leave, and changes of keys. Ours: minutes, in a big cluster whose
/// members do not all answer.
pub const CLUSTER_TIMEOUT: Duration = Duration::from_secs(300);

/// Time for the answer to a coordination call, with all its attempts; then [`crate::Error::Timeout`]. Ours: several
/// elections of a leader.
pub const COORDINATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Time an agent may take for one attempt of a coordination call; then it is asked again, maybe another. Ours.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time on top of it after which the agent counts as silent; if nothing else was heard of it either, the connection is
/// closed. Ours.
pub const ATTEMPT_GRACE: Duration = Duration::from_secs(2);

/// Silence after which the cluster forgets a client. Ours: longer than [`COORDINATION_TIMEOUT`], so that a request sent
/// for the first time that finds its client forgotten was not applied before.
pub const CLIENT_TTL: Duration = Duration::from_secs(45);

/// Time to live of locks, offices and leases that name none. Ours: as Consul's sessions.
pub const LEASE_TTL: Duration = Duration::from_secs(15);

/// The shortest time to live that is kept alive. Ours: a third of it has to bear a change of leaders.
pub const LEASE_TTL_SHORTEST: Duration = Duration::from_millis(300);

/// Writes of a client that are under way at once; the next ones wait for a place. Ours: as many as an agent reads from one
/// connection.
pub const CALLS_OPEN: usize = 256;

/// Calls of a client that wait for others (for a lock, an item) at once; the next ones wait for a place. The cluster's bound.
pub const WAITS_OPEN: usize = 256;

/// Request numbers from the oldest open one on, from which it counts as one that holds back the acknowledgement of others.
/// Ours: the cluster keeps 1,024 replies for a client, and those that are under way are among them.
pub const HELD_BACK: u64 = 256;

/// Where some hold it back, requests whose number is a multiple of this name them and acknowledge all others. Ours: seldom
/// enough to cost nothing.
pub const ACKNOWLEDGE_EVERY: u64 = 64;

/// Open requests that are named at once; the next one then holds back the acknowledgement of those behind it. The cluster
/// takes 1,024. Ours: all that may be under way.
pub const OPEN_NAMED: usize = CALLS_OPEN + WAITS_OPEN;

/// Changes a [`crate::Watch`] holds for its reader before it stops reading. As [`RECORD_QUEUE`].
pub const WATCH_QUEUE: usize = RECORD_QUEUE;

/// Bytes of a backup that go out at once. Ours: below the 4 MiB of a request.
pub const RESTORE_CHUNK: usize = 1 << 20;

/// Time for the answer to each of them; the last one is answered when the group has taken the backup over. Ours: a gigabyte
/// on a slow disk.
pub const RESTORE_TIMEOUT: Duration = Duration::from_secs(120);

const _: () = assert!(HELD_BACK + ACKNOWLEDGE_EVERY + OPEN_NAMED as u64 <= 1024);
const _: () = assert!(CLIENT_TTL.as_secs() > COORDINATION_TIMEOUT.as_secs());
