//! The group itself: what it is, who belongs to it, backup and restore.

use folkmoot_wire::{Blob, Text};

use crate::objects::{objects, words};

words! {
    /// What a member is.
    RaftRole {
        /// In no group yet.
        Outside = "outside",
        /// A member without a vote.
        Learner = "learner",
        /// A voter that follows.
        Follower = "follower",
        /// A voter that asks for votes.
        Candidate = "candidate",
        /// It leads.
        Leader = "leader",
        /// It does nothing any more.
        Stopped = "stopped",
    }

    /// Whether a majority of voters answers.
    RaftQuorum {
        /// There is no group.
        None = "none",
        /// It does.
        Ok = "ok",
        /// It does not: `Missing` says who.
        Lost = "lost",
    }
}

objects! {
    /// Body of `raft-status`: the member of this agent, or the leader where this agent has none.
    RaftStatus {}

    /// A member's view of the group; answer to `raft-status`.
    RaftState {
        /// Entries written to the log since the start.
        "Appended" appended: u64,
        /// Bytes of these.
        "AppendedBytes" appended_bytes: u64,
        /// Last entry in the state.
        "Applied" applied: u64,
        /// Two sets of voters must agree: a change of voters is under way.
        "Changing" changing: bool,
        /// The group, 16 hexadecimal digits; empty: none.
        "Cluster" cluster: Text,
        /// Last entry known to be on a majority.
        "Committed" committed: u64,
        /// Changes up to this revision are forgotten.
        "Compacted" compacted: u64,
        /// The member, 16 hexadecimal digits.
        "ID" id: Text,
        /// Last entry of the log.
        "LastLog" last_log: u64,
        /// Who leads; nil if nobody is known to.
        "Leader" leader: Option<RaftPeer>,
        /// Members without a vote.
        "Learners" learners: Vec<RaftPeer>,
        /// Log time of the last entry, milliseconds.
        "LogTime" log_time: u64,
        /// Voters that do not answer.
        "Missing" missing: Vec<RaftPeer>,
        /// Entries up to here are removed from the log.
        "Purged" purged: u64,
        /// Whether a majority answers.
        "Quorum" quorum: RaftQuorum,
        /// Steps that changed something.
        "Revision" revision: u64,
        /// What the member is.
        "Role" role: RaftRole,
        /// Last entry in the snapshot; 0: none.
        "Snapshot" snapshot: u64,
        /// Why the member has stopped; empty if it has not.
        "Stopped" stopped: Text,
        /// Syncs of the data file since the start.
        "Syncs" syncs: u64,
        /// The current term.
        "Term" term: u64,
        /// How much of each limit is used.
        "Usage" usage: Vec<RaftUsage>,
        /// Members with a vote.
        "Voters" voters: Vec<RaftPeer>,
        /// Wall clock of the last entry, milliseconds since 1970.
        "Wall" wall: u64,
    }

    /// A member.
    RaftPeer {
        /// Where its Raft port is reached.
        "Address" address: Text,
        /// 16 hexadecimal digits.
        "ID" id: Text,
        /// Its name in gossip.
        "Name" name: Text,
    }

    /// How much of a limit is used.
    RaftUsage {
        /// Where it ends; 0: stated elsewhere.
        "Limit" limit: u64,
        /// Of what.
        "Name" name: Text,
        /// How much.
        "Used" used: u64,
    }

    /// Body of `raft-members`.
    RaftMembers {}

    /// Answer to `raft-members`.
    RaftMemberList {
        /// Voters first.
        "Members" members: Vec<RaftMember>,
    }

    /// A member, as the leader sees it.
    RaftMember {
        /// Where its Raft port is reached.
        "Address" address: Text,
        /// Milliseconds since it last answered the leader; nil if it never did.
        "Answered" answered: Option<u64>,
        /// 16 hexadecimal digits.
        "ID" id: Text,
        /// Whether it leads.
        "Leader" leader: bool,
        /// Last entry it is known to have on disk.
        "Match" matching: u64,
        /// Its name in gossip.
        "Name" name: Text,
        /// Whether it has a vote.
        "Voter" voter: bool,
    }

    /// Body of `raft-add`: takes a `-raft` node in, without a vote.
    RaftAdd {
        /// Its name in gossip, or its number.
        "Member" member: Text,
    }

    /// Body of `raft-remove`: takes a member out for good.
    RaftRemove {
        /// As above.
        "Member" member: Text,
    }

    /// Body of `raft-promote`: gives a member a vote.
    RaftPromote {
        /// As above.
        "Member" member: Text,
    }

    /// Body of `raft-demote`: takes its vote.
    RaftDemote {
        /// As above.
        "Member" member: Text,
    }

    /// Body of `raft-transfer`: another member leads.
    RaftTransfer {
        /// As above; empty: whoever is most up to date.
        "Member" member: Text,
    }

    /// Body of `raft-backup`: a stream of the state's bytes.
    RaftBackup {}

    /// Record of `raft-backup`.
    BackupRecord {
        /// The next bytes.
        "Data" data: Blob,
        /// Nothing follows.
        "Last" last: bool,
    }

    /// Body of `raft-restore`: the next bytes of a backup. All of them go over one connection, in order.
    RaftRestore {
        /// The bytes.
        "Data" data: Blob,
        /// Nothing follows: put the backup in place of the state.
        "Last" last: bool,
        /// Where they belong; 0 begins anew.
        "Offset" offset: u64,
        /// The backup may be of another group.
        "OtherGroup" other_group: bool,
    }

    /// Answer to `raft-restore`.
    RaftRestored {
        /// Bytes received so far.
        "Received" received: u64,
        /// After the last ones: the revision that the group goes on from.
        "Revision" revision: u64,
    }
}
