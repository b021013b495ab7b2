//! Barriers, which are up until they are lifted, and gates, through which a number of members goes together.

use folkmoot_wire::Text;

use crate::objects::objects;

objects! {
    /// Body of `barrier-raise`: puts the barrier up.
    BarrierRaise {
        /// Which.
        "Name" name: Text,
    }

    /// Body of `barrier-lift`: takes it away and lets all through.
    BarrierLift {
        /// Which.
        "Name" name: Text,
    }

    /// Body of `barrier-wait`: answered when the barrier is away.
    BarrierWait {
        /// Which.
        "Name" name: Text,
        /// How long.
        "Wait" wait: i64,
    }

    /// Body of `barrier-enter`: goes through a gate, with all others.
    BarrierEnter {
        /// How many go together; its first member sets it, all others have to name the same.
        "Count" count: u32,
        /// Which.
        "Name" name: Text,
        /// The session with which the membership ends; 0: it ends with the client.
        "Session" session: u64,
        /// How long to wait for the others.
        "Wait" wait: i64,
    }

    /// Answer to `barrier-enter`.
    BarrierEntered {
        /// By which the gate is left.
        "Hold" hold: u64,
    }

    /// Body of `barrier-leave`: leaves a gate.
    BarrierLeave {
        /// From `barrier-enter`.
        "Hold" hold: u64,
        /// Which.
        "Name" name: Text,
        /// How long to wait for the others to leave.
        "Wait" wait: i64,
    }

    /// Answer to `barrier-leave`.
    BarrierLeft {
        /// Whether all have left.
        "All" all: bool,
    }

    /// Body of `barrier-info`.
    BarrierInfo {
        /// Which.
        "Name" name: Text,
    }

    /// The barrier and the gate of one name; answer to `barrier-info`.
    BarrierState {
        /// Members the gate waits for; 0 if it is not in use.
        "Count" count: u32,
        /// Members inside.
        "Members" members: u32,
        /// All have entered, and not all have left.
        "Open" open: bool,
        /// The barrier is up.
        "Raised" raised: bool,
        /// Calls that wait at the barrier.
        "Waiting" waiting: u32,
    }
}
