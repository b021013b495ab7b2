//! What a member of the group is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{LOG_KEPT, SNAPSHOT_EVERY};
use crate::peer::Peer;

/// What a member is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This member. Its id must be the one that the data directory was made for.
    pub me: Peer,
    /// The data directory; `raft.redb` is made in it.
    pub directory: PathBuf,
    /// How long silence is borne.
    pub timing: Timing,
    /// Entries after which a snapshot is made ([`SNAPSHOT_EVERY`] by default).
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot, for members that come back soon ([`LOG_KEPT`] by default).
    pub log_kept: u64,
}

/// How long silence is borne. A leader is replaced after about `election_max` and a draw between the two; round trips between
/// voters must be short against `election_min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The shortest draw of an election timeout.
    pub election_min: Duration,
    /// The longest draw, and how long a heard leader is trusted.
    pub election_max: Duration,
    /// Between two signs of life of a leader.
    pub heartbeat: Duration,
}

impl Timing {
    /// The shortest timing: a leader that is gone is replaced within 200 ms where round trips take a millisecond or two.
    /// Measured: 161 ms median, 188 ms at most (50/100/15).
    pub const FLOOR: Self = Self {
        election_min: Duration::from_millis(50),
        election_max: Duration::from_millis(100),
        heartbeat: Duration::from_millis(15),
    };

    /// The timing for round trips between voters of this length: the floor, stretched so that the shortest draw is at least
    /// ten round trips.
    #[must_use]
    pub fn for_round_trip(round_trip: Duration) -> Self {
        let election_min = Self::FLOOR.election_min.max(round_trip.saturating_mul(10));
        Self {
            election_min,
            election_max: election_min.saturating_mul(2),
            heartbeat: Self::FLOOR.heartbeat.max(election_min.saturating_mul(3) / 10),
        }
    }
}

impl Default for Timing {
    /// [`Timing::FLOOR`]; without optimisation this program is several times as slow, and so is this.
    fn default() -> Self {
        let Self { election_min, election_max, heartbeat } = Self::FLOOR;
        let slower = if cfg!(debug_assertions) { 4 } else { 1 };
        Self {
            election_min: election_min.saturating_mul(slower),
            election_max: election_max.saturating_mul(slower),
            heartbeat: heartbeat.saturating_mul(slower),
        }
    }
}

impl Settings {
    /// The defaults for this member and directory.
    #[must_use]
    pub fn new(me: Peer, directory: PathBuf) -> Self {
        Self { me, directory, timing: Timing::default(), snapshot_every: SNAPSHOT_EVERY, log_kept: LOG_KEPT }
    }
}
