//! The texts of section 6: clients compare them literally.

/// Unknown or empty command; the agent closes.
pub const UNSUPPORTED_COMMAND: &str = "Unsupported command";
/// Handshake with a version other than 1.
pub const UNSUPPORTED_VERSION: &str = "Unsupported IPC version";
/// Second handshake.
pub const HANDSHAKE_ALREADY_PERFORMED: &str = "Handshake already performed";
/// Anything before the handshake; the agent closes.
pub const HANDSHAKE_REQUIRED: &str = "Handshake required";
/// Second monitor on a connection.
pub const MONITOR_EXISTS: &str = "Monitor already exists";
/// A stream type that is none.
pub const INVALID_FILTER: &str = "Invalid event filter";
/// A stream on a sequence number that has one.
pub const STREAM_EXISTS: &str = "Stream with given sequence exists";
/// An answer to a query this connection was not given, or that is over.
pub const NO_PENDING_QUERY: &str = "No pending queries matching ID";
/// Any command but handshake and auth before auth, where a key is set. The only error after which no client waits for
/// a body.
pub const AUTHENTICATION_REQUIRED: &str = "Authentication required";
/// Wrong key.
pub const INVALID_AUTH_TOKEN: &str = "Invalid authentication token";
/// Followed by the upper-cased level.
pub const UNKNOWN_LOG_LEVEL: &str = "Unknown log level: ";
/// Changing handlers where the agent was not started for it; our own.
pub const HANDLERS_NOT_ALLOWED: &str = "handlers-not-allowed: the agent was not started with -rpc-handlers, since \
                                        whoever may add handlers can run programs as the agent's user";
/// A handler that is none; our own. Followed by what is wrong with it.
pub const INVALID_HANDLER: &str = "invalid-handler: ";
/// A query under a name of the engine's own.
pub const RESERVED_QUERY: &str = "Queries cannot contain the '_serf_' prefix";
