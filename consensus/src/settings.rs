//! What a member of the group is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{LOG_KEPT, SNAPSHOT_EVERY};
use crate::peer::Peer;

/// What a member is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This member. Its id must be the one that the data directory was made for.
    pub me: Peer,
    /// The data directory; the log and snapshots lie in it.
    pub directory: PathBuf,
    /// How long silence is borne until the round trips to other voters are measured, in this life or in an earlier one
    /// ([`Timing::START`] by default).
    pub timing: Timing,
    /// Entries after which a snapshot is made ([`SNAPSHOT_EVERY`] by default).
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot, for members that come back soon ([`LOG_KEPT`] by default).
    pub log_kept: u64,
}

/// How long silence is borne. A leader is replaced after about `election_max` and a draw between the two; round trips between
/// voters must be short against `election_min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The shortest draw of an election timeout.
    pub election_min: Duration,
    /// The longest draw, and how long a heard leader is trusted.
    pub election_max: Duration,
    /// Between two signs of life of a leader, and how long each may take.
    pub heartbeat: Duration,
}

impl Timing {
    /// The shortest timing: a leader that is gone is replaced within 200 ms where round trips take a millisecond or two.
    /// Measured: 161 ms median, 188 ms at most (50/100/15).
    pub const FLOOR: Self = Self {
        election_min: Duration::from_millis(50),
        election_max: Duration::from_millis(100),
        heartbeat: Duration::from_millis(30),
    };

    /// Where nothing is known: right for round trips of 20 ms and stalls of 0.4 s. Ours: a busy machine is not taken for a
    /// dead one, and a first election is over in a second.
    pub const START: Self = Self::LEVEL[2];

    /// The longest timing is that of level 4: 0.8 to 1.6 s, where a sign of life may take 240 ms, halfway round the earth and
    /// back. Ours: a longer one would outlast the calls that wait for the next leader (10 s).
    pub const LEVELS: u32 = 5;

    /// Each twice the one before. The heartbeats of the first three suit followers at any level, so that a leader need not
    /// change with them: the floor bears 150 ms of silence. The others are for distances, at which a heartbeat has to be
    /// longer than a round trip.
    const LEVEL: [Self; 5] = {
        const fn level(election_min: u64, heartbeat: u64) -> Timing {
            Timing {
                election_min: Duration::from_millis(election_min),
                election_max: Duration::from_millis(2 * election_min),
                heartbeat: Duration::from_millis(heartbeat),
            }
        }
        [Self::FLOOR, level(100, 30), level(200, 30), level(400, 60), level(800, 240)]
    };

    /// The timing of a level, the highest one above [`Timing::LEVELS`] - 1.
    #[must_use]
    pub fn at(level: u32) -> Self {
        let [.., highest] = Self::LEVEL;
        Self::LEVEL.get(level as usize).copied().unwrap_or(highest)
    }

    /// The lowest level for these round trips between voters: the shortest draw is at least ten usual ones, and the worst one
    /// is over before a heard leader is given up.
    #[must_use]
    pub fn level_for(usual: Duration, worst: Duration) -> u32 {
        let enough = |level: &u32| {
            let Self { election_min, election_max, .. } = Self::at(*level);
            election_min >= usual.saturating_mul(10) && election_max >= worst
        };
        (0..Self::LEVELS).find(enough).unwrap_or(Self::LEVELS - 1)
    }

    /// The timing for round trips between voters of this length.
    #[must_use]
    pub fn for_round_trip(round_trip: Duration) -> Self {
        Self::at(Self::level_for(round_trip, round_trip))
    }
}

impl Settings {
    /// The defaults for this member and directory.
    #[must_use]
    pub fn new(me: Peer, directory: PathBuf) -> Self {
        Self { me, directory, timing: Timing::START, snapshot_every: SNAPSHOT_EVERY, log_kept: LOG_KEPT }
    }
}
