//! Elections: one leader, and candidates with values.

use folkmoot_wire::{Blob, Text};

use super::Owner;
use crate::objects::objects;

objects! {
    /// Body of `election-campaign`: answered with [`super::Held`] once elected; its token is the term.
    ElectionCampaign {
        /// Of which election.
        "Name" name: Text,
        /// Comes before candidates that are not preferred.
        "Preferred" preferred: bool,
        /// The session with which office and candidacy end; 0: they end with the client.
        "Session" session: u64,
        /// Milliseconds after the election at which the office ends if it is not renewed; 0: never.
        "TTL" ttl: u64,
        /// What the leader says to all.
        "Value" value: Blob,
        /// How long to stay a candidate.
        "Wait" wait: i64,
    }

    /// Body of `election-proclaim`: the leader says something else.
    ElectionProclaim {
        /// The leader's hold.
        "Hold" hold: u64,
        /// Of which election.
        "Name" name: Text,
        /// What it says.
        "Value" value: Blob,
    }

    /// Body of `election-resign`: the leader goes.
    ElectionResign {
        /// The leader's hold.
        "Hold" hold: u64,
        /// Of which election.
        "Name" name: Text,
    }

    /// Body of `election-renew`: the office's time to live starts again.
    ElectionRenew {
        /// The leader's hold.
        "Hold" hold: u64,
        /// Of which election.
        "Name" name: Text,
        /// Another time to live from here on, milliseconds; 0: the same.
        "TTL" ttl: u64,
    }

    /// Body of `election-info`.
    ElectionInfo {
        /// Of which election.
        "Name" name: Text,
    }

    /// Body of `election-observe`: a record with the leader as it is, and one for each change.
    ElectionObserve {
        /// Of which election.
        "Name" name: Text,
    }

    /// Record of `election-observe`. Changes that came faster than they were read may be left out, the last one never.
    LeaderRecord {
        /// The leader's hold; 0: there is no leader.
        "Hold" hold: u64,
        /// With whose end the office ends; nil where only the value changed or nobody leads.
        "Owner" owner: Option<Owner>,
        /// At which revision this became so.
        "Revision" revision: u64,
        /// The term.
        "Token" token: u64,
        /// What the leader says.
        "Value" value: Blob,
    }
}
