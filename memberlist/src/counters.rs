//! What has happened so far, for the shell's metrics. Every bound and every kind of refusal has its number here.

/// Counters since the start; the names are those of `ARCHITECTURE.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams given to the shell.
    pub packets_sent: u64,
    /// Datagrams received.
    pub packets_received: u64,
    /// Datagrams refused whole.
    pub packets_refused: u64,
    /// Parts of datagrams that could not be read, or that name what cannot be.
    pub messages_skipped: u64,
    /// Parts of compounds that ran past their end.
    pub messages_lost: u64,
    /// Streams accepted.
    pub streams_accepted: u64,
    /// Streams dialled.
    pub streams_dialled: u64,
    /// Streams closed on arrival: too many were open.
    pub streams_refused: u64,
    /// Streams that failed, ran out of time or could not be read.
    pub streams_failed: u64,
    /// Alive messages sent out or passed on.
    pub alive_messages: u64,
    /// Suspect messages sent out or passed on.
    pub suspect_messages: u64,
    /// Dead messages sent out or passed on.
    pub dead_messages: u64,
    /// Alive messages and node entries ignored: name, meta, address or versions cannot be.
    pub members_malformed: u64,
    /// Alive messages of members that the host does not want.
    pub members_unwanted: u64,
    /// Newcomers ignored: the table was full.
    pub members_refused: u64,
    /// Claims to a name that is taken.
    pub name_conflicts: u64,
    /// Accusations of ourselves that were refuted.
    pub refutations: u64,
    /// Accusations of ourselves that cannot be refuted: the incarnation is the highest there is.
    pub incarnations_exhausted: u64,
    /// Probes that ended without any answer.
    pub probes_failed: u64,
    /// Probes that began while our own health was in doubt (Go `degraded.probe`).
    pub degraded_probes: u64,
    /// Suspicions that ended in death with fewer confirmations than hoped for (Go `degraded.timeout`).
    pub degraded_timeouts: u64,
    /// Indirect pings not passed on: too many were waiting.
    pub relays_refused: u64,
    /// Push/pulls whose states were not merged: versions clash, or the host refused.
    pub merges_refused: u64,
}

/// One more. A counter stops at its end.
pub(crate) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

/// `more` of them at once.
pub(crate) fn add(counter: &mut u64, more: usize) {
    *counter = counter.saturating_add(more as u64);
}
