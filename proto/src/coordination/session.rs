//! Sessions: a life that other things depend on.

use folkmoot_wire::Text;

use crate::objects::objects;

objects! {
    /// Body of `session-create`.
    SessionCreate {
        /// Milliseconds without a renewal after which it ends.
        "TTL" ttl: u64,
        /// It also ends when its client expires.
        "WithClient" with_client: bool,
        /// It also ends when the connection closes on which this was asked.
        "WithConnection" with_connection: bool,
        /// It also ends when gossip says that this node failed or left; empty: no node.
        "WithNode" with_node: Text,
    }

    /// Answer to `session-create`.
    SessionCreated {
        /// Its number.
        "Session" session: u64,
    }

    /// Body of `session-renew`: its time to live starts again.
    SessionRenew {
        /// Which.
        "Session" session: u64,
    }

    /// Answer to `session-renew`.
    SessionRenewed {
        /// Log time at which it ends.
        "Expires" expires: u64,
    }

    /// Body of `session-destroy`: ends it and what is bound to it.
    SessionDestroy {
        /// Which.
        "Session" session: u64,
    }

    /// Body of `session-get`.
    SessionGet {
        /// Which.
        "Session" session: u64,
    }

    /// Body of `session-list`.
    SessionList {
        /// The last session of the page before.
        "After" after: u64,
    }

    /// Answer to `session-list`.
    SessionPage {
        /// In the order of their numbers. Only a page without any is the last.
        "Sessions" sessions: Vec<SessionInfo>,
    }

    /// A session as it is; answer to `session-get`.
    SessionInfo {
        /// Who created it.
        "Client" client: u64,
        /// Log time at which it ends if it is not renewed.
        "Expires" expires: u64,
        /// Its number.
        "Session" session: u64,
        /// Milliseconds.
        "TTL" ttl: u64,
        /// As created.
        "WithClient" with_client: bool,
        /// As created.
        "WithNode" with_node: Text,
    }
}
