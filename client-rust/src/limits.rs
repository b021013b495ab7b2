//! Every bound of this crate: unit, source, and what happens there. Sizes of objects are bounded in
//! `folkmoot_proto::limits`.

use std::time::Duration;

/// Time to reach the agent, and again for its answer to handshake and key. As the Go client, which waits for the answer
/// for ever; then [`crate::ConnectError::TimedOut`].
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time the agent's socket may take no byte of a request. As the Go client; then the connection is closed.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Records a subscription keeps for a reader who is slow. As the agent's own queues (`docs/spec/rpc.md` 10); then the
/// newest is dropped and counted, so that the other users of the connection go on.
pub const RECORD_QUEUE: usize = 512;

/// Requests waiting to be written. Ours: a caller waits while it is full.
pub const REQUEST_QUEUE: usize = 64;

/// Calls and subscriptions open at once on one connection. Ours; then [`crate::Error::TooManyCalls`].
pub const MAX_OPEN: usize = 65_536;
