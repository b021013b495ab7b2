//! Why a coordination command failed: the word in front of the error's text.

use folkmoot_wire::Text;

use crate::objects::words;

words! {
    /// The stable word in front of `: ` in an error's text. `docs/rpc.md` says what each means for the caller.
    Code {
        /// A word that this program does not know, or none.
        Unknown = "unknown",

        // The agent's.
        /// Nobody offers coordination here.
        NoGroup = "no-group",
        /// Not enough voters answer; nothing was changed.
        NoQuorum = "no-quorum",
        /// No answer in time; whether a write was applied is unknown: send it again with the same numbers.
        Timeout = "timeout",
        /// The agent or the group does not serve this caller.
        Refused = "refused",
        /// Too much is under way: nothing was done.
        Overloaded = "overloaded",
        /// The agent stops.
        Stopping = "stopping",
        /// The body or a value in it is not what the command takes.
        InvalidRequest = "invalid-request",
        /// Too many calls or streams on this connection.
        TooManyCalls = "too-many-calls",
        /// A change of members that is not possible.
        NotPossible = "not-possible",

        // The state machine's.
        /// The client is not registered, or has expired.
        ClientExpired = "client-expired",
        /// The client has acknowledged this request.
        StaleRequest = "stale-request",
        /// The client has too many answers that it has not acknowledged.
        TooManyUnacknowledged = "too-many-unacknowledged",
        /// The session has ended.
        NoSession = "no-session",
        /// Held by another, and the caller does not wait.
        Busy = "busy",
        /// Nothing to take, and the caller does not wait.
        Empty = "empty",
        /// At its bound.
        Full = "full",
        /// The caller does not hold this.
        NotHeld = "not-held",
        /// The claim of the item has ended.
        StaleLease = "stale-lease",
        /// There is no such thing.
        Missing = "missing",
        /// There is one already.
        Exists = "exists",
        /// Outside the list.
        OutOfRange = "out-of-range",
        /// A counter would leave its 64 bits.
        Overflow = "overflow",
        /// In use with another capacity or count.
        CapacityDiffers = "capacity-differs",
        /// A number is out of range.
        Invalid = "invalid",
        /// An item depends on one that is not known.
        UnknownDependency = "unknown-dependency",
        /// The call has waited for as long as it may.
        TimedOut = "timed-out",
        /// The waiting call was cancelled.
        Cancelled = "cancelled",
        /// The session, client or node on which the waiting call depended has ended.
        OwnerEnded = "owner-ended",
        /// What was waited for was removed.
        Removed = "removed",
        /// A limit on how many.
        TooMany = "too-many",
        /// A limit on how large.
        TooLarge = "too-large",
        /// All memory for stored data is used.
        StorageFull = "storage-full",
        /// The changes asked for are forgotten.
        Compacted = "compacted",
    }
}

impl Code {
    /// The word in front of an error's text.
    pub fn of(error: &Text) -> Self {
        let word = error.as_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
        Self::parse(word).unwrap_or_default()
    }

    /// The error's text.
    pub fn text(self, reason: impl std::fmt::Display) -> String {
        format!("{self}: {reason}")
    }
}
