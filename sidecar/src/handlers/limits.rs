//! Bounds of the event handlers, each with its source and what happens at it.

use std::time::Duration;

/// Events waiting for the handlers, and for each script or webhook of its own. Ours: Go held 3,139 before it blocked, so
/// no burst is lost that Go takes; the newest is dropped, counted and logged.
pub const HANDLER_EVENTS: usize = 4096;

/// Handlers registered at once. Ours; further ones are refused over RPC (a configuration may have more).
pub const HANDLERS: usize = 256;

/// Scripts and webhooks with events of their own to work off. Ours: twice the handlers, for those that were removed
/// while they ran; at the limit the event is dropped, counted and logged.
pub const HANDLER_LANES: usize = 512;

/// Scripts running at once. Ours: further ones wait for their turn.
pub const SCRIPTS_AT_ONCE: usize = 64;

/// Bytes kept of what a script writes, the last ones. Go: `maxBufSize`.
pub const SCRIPT_OUTPUT_BYTES: usize = 8 * 1024;

/// Bytes taken from a script's output at once. Ours.
pub const SCRIPT_PIECE_BYTES: usize = 4 * 1024;

/// From here on a script is called slow, and others do not wait for it. Go: `warnSlow`.
pub const SCRIPT_SLOW: Duration = Duration::from_secs(1);

/// How long a script may run where nothing else is configured; then it is killed. Ours (Go: for ever): a script that Go
/// runs for an hour blocks the agent for as long.
pub const SCRIPT_TIME_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Time handlers get at the end for events that wait, such as our own leaving. Ours; then the agent ends without them,
/// and scripts that run go on.
pub const HANDLERS_DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Attempts to deliver one event to a webhook. Ours; then the event is given up, with an ERR.
pub const WEBHOOK_ATTEMPTS: u32 = 6;

/// Pause after the first failed attempt; doubled after each. Ours: 15.5 s in all.
pub const WEBHOOK_FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Time for one attempt, connection included. Ours; then it has failed.
pub const WEBHOOK_ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of a webhook's answer to a query. Ours: what is kept of a script's; a longer one is no answer.
pub const WEBHOOK_ANSWER_BYTES: usize = SCRIPT_OUTPUT_BYTES;
