//! The Raft library's settings. Its defaults are not ours: `docs/decisions.md` says which of them are unsafe here and why.

use std::time::Duration;

use openraft::{Config, SnapshotPolicy, StepDownPolicy};

use crate::error::OpenError;
use crate::limits::{APPEND_ENTRIES, PURGE_STEP};
use crate::settings::{Settings, Timing};

/// How long a snapshot may be on its way and being taken in. Ours: a gigabyte over a slow line, and its synced writes.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);

pub(crate) fn config(settings: &Settings) -> Result<Config, OpenError> {
    let Timing { election_min, election_max, heartbeat } = settings.timing;
    #[cfg_attr(not(test), expect(unused_mut, reason = "tests turn sharp edges on"))]
    let mut config = Config {
        cluster_name: "folkmoot".to_owned(),
        election_timeout_min: millis(election_min),
        election_timeout_max: millis(election_max),
        heartbeat_interval: millis(heartbeat),
        install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
        max_payload_entries: APPEND_ENTRIES,
        max_append_entries: Some(APPEND_ENTRIES),
        // A follower that is further behind than the log reaches gets a snapshot anyway.
        replication_lag_threshold: settings.snapshot_every.saturating_add(settings.log_kept),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(settings.snapshot_every),
        max_in_snapshot_log_to_keep: settings.log_kept,
        purge_batch_size: PURGE_STEP.min(settings.snapshot_every),
        // A member that comes back is reached again at once.
        backoff: "10ms 20ms 40ms ...200ms".to_owned(),
        // Without it a member that cannot win raises the term, and the leader falls when it comes back.
        enable_pre_vote: Some(true),
        // A leader would fall silent as soon as its lease has run out, and a stall would cost it its office: see `hush.rs`.
        quorum_loss_probe_interval: None,
        // A restarted leader has forgotten what it had applied: it must be elected to learn what is committed.
        enable_leader_restore: Some(false),
        // A follower whose log goes back has lost its disk: it has to return under another id.
        allow_log_reversion: Some(false),
        removed_leader_step_down: StepDownPolicy::After(millis(election_max)),
        ..Config::default()
    };
    #[cfg(test)]
    crate::tests::edges::sharpen(&mut config);
    config.validate().map_err(|error| OpenError::Setting { name: "timing", reason: error.to_string() })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
