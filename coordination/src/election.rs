//! Elections: a line with one place (`line.rs`), in which candidates say a value and preferred ones come first. The term is
//! the fencing token of the leader's hold. To observe is to watch [`crate::Scope::Election`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Cause, Reply};
use crate::error::{Argument, Refusal};
use crate::limits::ELECTION_VALUE_MAX;
use crate::line::{Entrant, LineId, LineKind, Lines, Rank};
use crate::step::{Caller, Step};
use crate::types::{HoldId, Key, Patience, SessionId, Ttl};

/// What a client asks of elections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Stands for election: [`Reply::Held`] when elected, [`Reply::Waiting`], or `Busy`.
    Campaign {
        /// Of which election.
        name: Key,
        /// What the leader says to all.
        value: Bytes,
        /// Comes before candidates that are not preferred. A leader in office stays.
        preferred: bool,
        /// The session with which office and candidacy end; without one they end with the client.
        session: Option<SessionId>,
        /// Time after which the office ends if it is not renewed.
        ttl: Option<Ttl>,
        /// How long to stay a candidate.
        patience: Patience,
    },
    /// The leader says another value: [`Reply::Done`].
    Proclaim {
        /// Of which election.
        name: Key,
        /// The leader's hold.
        hold: HoldId,
        /// The value.
        value: Bytes,
    },
    /// The leader goes: [`Reply::Done`].
    Resign {
        /// Of which election.
        name: Key,
        /// The leader's hold.
        hold: HoldId,
    },
    /// The leader's time to live starts again: [`Reply::Held`].
    Renew {
        /// Of which election.
        name: Key,
        /// The leader's hold.
        hold: HoldId,
        /// Another time to live from here on.
        ttl: Option<Ttl>,
    },
}

impl Command {
    /// The session that the command names.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self {
            Self::Campaign { session, .. } => *session,
            Self::Proclaim { .. } | Self::Resign { .. } | Self::Renew { .. } => None,
        }
    }
}

pub(crate) fn line(name: &Key) -> LineId {
    LineId { kind: LineKind::Election, name: name.clone() }
}

pub(crate) fn apply(
    lines: &mut Lines,
    step: &mut Step<'_>,
    caller: &Caller,
    command: &Command,
) -> Result<Reply, Refusal> {
    match command {
        Command::Campaign { name, value, preferred, ttl, patience, session: _ } => {
            let value = small(value)?;
            let rank = if *preferred { Rank::Preferred } else { Rank::Ordinary };
            let (ttl, patience) = (*ttl, *patience);
            lines.enter(step, &line(name), Entrant { caller, capacity: 1, permits: 1, ttl, value, rank, patience })
        }
        Command::Proclaim { name, hold, value } => lines.proclaim(step, &line(name), *hold, small(value)?),
        Command::Resign { name, hold } => lines.release(step, &line(name), *hold, Cause::Removed),
        Command::Renew { name, hold, ttl } => lines.renew(step, &line(name), *hold, *ttl),
    }
}

fn small(value: &Bytes) -> Result<Bytes, Refusal> {
    if value.len() > ELECTION_VALUE_MAX {
        return Err(Refusal::TooLarge(Argument::ElectionValue, ELECTION_VALUE_MAX as u64));
    }
    Ok(value.clone())
}
