//! Coordination: commands that the group of `-raft` agents serves. Folkmoot's own; `docs/rpc.md` describes them.
//!
//! Each command has a body, named like the command, and an answer. What changes something is a [`Write`] and travels with a
//! [`Caller`], so that it is applied once however often it is sent; what only asks is a [`Read`] and travels with
//! [`Reading`], and its answer with [`AsOf`]. A successful answer always has a body, an error never; only commands that open
//! a stream are answered with a header alone.
//!
//! In bodies, numbers that name something (clients, sessions, holds, items, revisions) are never 0: 0 means none. Spans are
//! milliseconds. `Wait` is how long a call may wait: 0 not at all, below 0 without end.

use folkmoot_wire::{Blob, Text};

use crate::objects::{With, objects};
use crate::{Decode, DecodeError, Encode};

mod barrier;
mod client;
mod code;
mod collections;
mod election;
mod kv;
mod lock;
mod queue;
mod raft;
mod session;
mod watch;
mod work;

pub use barrier::*;
pub use client::*;
pub use code::*;
pub use collections::*;
pub use election::*;
pub use kv::*;
pub use lock::*;
pub use queue::*;
pub use raft::*;
pub use session::*;
pub use watch::*;
pub use work::*;

objects! {
    /// What every [`Write`] carries.
    Caller {
        /// The client is done with all its requests below this number, but for those in `Open`: it has their final answers, or
        /// has given them up, and will not send them again.
        "AcknowledgedBelow" acknowledged_below: u64,
        /// From `client-register`.
        "Client" client: u64,
        /// Requests below `AcknowledgedBelow` that are not acknowledged: calls that wait for long. At most 1,024.
        "Open" open: Vec<u64>,
        /// The client's own number for this request: each is used once. The same again is the same request.
        "Request" request: u64,
        /// Milliseconds after which the agent gives up (the outcome is then unknown); 0: its default. The time that a call
        /// may wait comes on top.
        "Timeout" timeout: u64,
    }

    /// What every [`Read`] carries.
    Reading {
        /// Answered by this agent from what it knows, however old, instead of by the group as it is.
        "Stale" stale: bool,
        /// As in [`Caller`].
        "Timeout" timeout: u64,
    }

    /// What the answer to every [`Read`] carries.
    AsOf {
        /// Of a stale answer: milliseconds since the member that answered last heard of a leader; nil if it never did.
        "Age" age: Option<u64>,
        /// The state is that of this revision: whoever watches from here on misses nothing.
        "Revision" revision: u64,
        /// As asked for.
        "Stale" stale: bool,
    }

    /// The answer where there is nothing to say.
    Done {}

    /// On whose existence something depends: one of them.
    Owner {
        /// A client, until it expires.
        "Client" client: u64,
        /// A node of the gossip cluster, until it is gone.
        "Node" node: Text,
        /// A session, until it ends.
        "Session" session: u64,
    }

    /// An element, where there is one.
    Element {
        /// Nil if there is none.
        "Element" element: Option<Blob>,
    }
}

/// The body of a command: which command it is, and what a success is answered with.
pub trait Call: Encode {
    /// The command.
    const COMMAND: CoordinationCommand;
    /// The body of the answer; of a stream, its records.
    type Answer: Decode;
}

/// The table of all commands. `CoordinationCommand`, `Write`, `Read` and the rest are made from it.
macro_rules! commands {
    (
        writes { $($write:ident = $write_name:literal -> $write_answer:ty,)* }
        reads { $($read:ident = $read_name:literal -> $read_answer:ty,)* }
        streams { $($stream:ident = $stream_name:literal -> $record:ty,)* }
        others { $($other:ident = $other_name:literal -> $other_answer:ty,)* }
    ) => {
        /// Every command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each is the command of that name")]
        pub enum CoordinationCommand { $($write,)* $($read,)* $($stream,)* $($other,)* }

        impl CoordinationCommand {
            /// Every one.
            pub const ALL: &'static [Self] =
                &[$(Self::$write,)* $(Self::$read,)* $(Self::$stream,)* $(Self::$other,)*];

            /// Its name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$write => $write_name,)*
                    $(Self::$read => $read_name,)*
                    $(Self::$stream => $stream_name,)*
                    $(Self::$other => $other_name,)*
                }
            }

            /// Whether a success is answered with a header alone, which records follow.
            pub fn opens_stream(self) -> bool {
                match self {
                    $(Self::$stream => true,)*
                    $(Self::$write)|* $(| Self::$read)* $(| Self::$other)* => false,
                }
            }
        }

        /// What changes something.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is the body of the command of that name")]
        pub enum Write { $($write($write),)* }

        /// What only asks.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is the body of the command of that name")]
        pub enum Read { $($read($read),)* }

        /// What a client asks of the group.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the others are each the body of the command of that name")]
        pub enum CoordinationRequest {
            /// Applied once.
            Write(Caller, Write),
            /// Changes nothing.
            Read(Reading, Read),
            $($stream($stream),)*
            $($other($other),)*
        }

        impl CoordinationRequest {
            /// The command it is a request for.
            pub fn command(&self) -> CoordinationCommand {
                match self {
                    $(Self::Write(_, Write::$write(_)) => CoordinationCommand::$write,)*
                    $(Self::Read(_, Read::$read(_)) => CoordinationCommand::$read,)*
                    $(Self::$stream(_) => CoordinationCommand::$stream,)*
                    $(Self::$other(_) => CoordinationCommand::$other,)*
                }
            }

            /// The request for `command` with this body.
            ///
            /// # Errors
            /// The body cannot be read.
            pub fn decode(command: CoordinationCommand, body: &[u8]) -> Result<Self, DecodeError> {
                Ok(match command {
                    $(CoordinationCommand::$write => {
                        let With { common, body } = With::decode(body)?;
                        Self::Write(common, Write::$write(body))
                    })*
                    $(CoordinationCommand::$read => {
                        let With { common, body } = With::decode(body)?;
                        Self::Read(common, Read::$read(body))
                    })*
                    $(CoordinationCommand::$stream => Self::$stream(Decode::decode(body)?),)*
                    $(CoordinationCommand::$other => Self::$other(Decode::decode(body)?),)*
                })
            }
        }

        impl Encode for CoordinationRequest {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::Write(caller, Write::$write(body)) => {
                        crate::fields::write(&crate::objects::Merged(caller, body), out);
                    })*
                    $(Self::Read(reading, Read::$read(body)) => {
                        crate::fields::write(&crate::objects::Merged(reading, body), out);
                    })*
                    $(Self::$stream(body) => body.encode(out),)*
                    $(Self::$other(body) => body.encode(out),)*
                }
            }
        }

        $(
            impl Call for $write {
                const COMMAND: CoordinationCommand = CoordinationCommand::$write;
                type Answer = $write_answer;
            }

            impl From<$write> for Write {
                fn from(body: $write) -> Self {
                    Self::$write(body)
                }
            }
        )*
        $(
            impl Call for $read {
                const COMMAND: CoordinationCommand = CoordinationCommand::$read;
                type Answer = With<AsOf, $read_answer>;
            }

            impl From<$read> for Read {
                fn from(body: $read) -> Self {
                    Self::$read(body)
                }
            }
        )*
        $(
            impl Call for $stream {
                const COMMAND: CoordinationCommand = CoordinationCommand::$stream;
                type Answer = $record;
            }

            impl From<$stream> for CoordinationRequest {
                fn from(body: $stream) -> Self {
                    Self::$stream(body)
                }
            }
        )*
        $(
            impl Call for $other {
                const COMMAND: CoordinationCommand = CoordinationCommand::$other;
                type Answer = $other_answer;
            }

            impl From<$other> for CoordinationRequest {
                fn from(body: $other) -> Self {
                    Self::$other(body)
                }
            }
        )*

        /// The keys of every body and answer; those of writes, reads and their answers with what is common to them.
        #[cfg(test)]
        fn keys() -> Vec<(&'static str, Vec<&'static str>)> {
            use crate::fields::Fields;
            fn both<A: Fields, B: Fields>() -> Vec<&'static str> {
                A::ORDER.iter().chain(B::ORDER).copied().collect()
            }
            vec![
                $(($write_name, both::<Caller, $write>()), ($write_name, <$write_answer>::ORDER.to_vec()),)*
                $(($read_name, both::<Reading, $read>()), ($read_name, both::<AsOf, $read_answer>()),)*
                $(($stream_name, $stream::ORDER.to_vec()), ($stream_name, <$record>::ORDER.to_vec()),)*
                $(($other_name, $other::ORDER.to_vec()), ($other_name, <$other_answer>::ORDER.to_vec()),)*
            ]
        }
    };
}

commands! {
    writes {
        ClientKeepAlive = "client-keep-alive" -> Done,
        ClientCancel = "client-cancel" -> Done,
        KvPut = "kv-put" -> KvWritten,
        KvCompareAndSet = "kv-compare-and-set" -> KvCompared,
        KvDelete = "kv-delete" -> KvDeleted,
        KvDeletePrefix = "kv-delete-prefix" -> KvDeleted,
        KvTransaction = "kv-transaction" -> KvTransacted,
        SessionCreate = "session-create" -> SessionCreated,
        SessionRenew = "session-renew" -> SessionRenewed,
        SessionDestroy = "session-destroy" -> Done,
        LockAcquire = "lock-acquire" -> Held,
        LockRelease = "lock-release" -> Done,
        LockRenew = "lock-renew" -> Held,
        ElectionCampaign = "election-campaign" -> Held,
        ElectionProclaim = "election-proclaim" -> Done,
        ElectionResign = "election-resign" -> Done,
        ElectionRenew = "election-renew" -> Held,
        BarrierRaise = "barrier-raise" -> Done,
        BarrierLift = "barrier-lift" -> Done,
        BarrierWait = "barrier-wait" -> Done,
        BarrierEnter = "barrier-enter" -> BarrierEntered,
        BarrierLeave = "barrier-leave" -> BarrierLeft,
        CounterSet = "counter-set" -> Count,
        CounterAdd = "counter-add" -> Count,
        CounterDelete = "counter-delete" -> Changed,
        SetReset = "set-reset" -> Changed,
        SetAdd = "set-add" -> Changed,
        SetRemove = "set-remove" -> Changed,
        SetDiscard = "set-discard" -> Changed,
        SetPop = "set-pop" -> Element,
        ListReset = "list-reset" -> Changed,
        ListSet = "list-set" -> Changed,
        ListExtend = "list-extend" -> Changed,
        ListInsert = "list-insert" -> Changed,
        ListRemove = "list-remove" -> Changed,
        ListPop = "list-pop" -> Element,
        ListSort = "list-sort" -> Changed,
        QueuePut = "queue-put" -> Done,
        QueueGet = "queue-get" -> Element,
        WorkPut = "work-put" -> WorkQueued,
        WorkClaim = "work-claim" -> WorkClaimed,
        WorkHeartbeat = "work-heartbeat" -> WorkExtended,
        WorkComplete = "work-complete" -> Done,
        WorkFail = "work-fail" -> Done,
        WorkRelease = "work-release" -> Done,
        WorkCancel = "work-cancel" -> Done,
        WorkRedrive = "work-redrive" -> WorkRedriven,
        WorkConfigure = "work-configure" -> Done,
        WorkForget = "work-forget" -> Done,
    }
    reads {
        KvGet = "kv-get" -> KvFound,
        KvList = "kv-list" -> KvPage,
        SessionGet = "session-get" -> SessionInfo,
        SessionList = "session-list" -> SessionPage,
        LockInfo = "lock-info" -> Line,
        ElectionInfo = "election-info" -> Line,
        BarrierInfo = "barrier-info" -> BarrierState,
        CounterGet = "counter-get" -> Count,
        SetContains = "set-contains" -> Contains,
        SetElements = "set-elements" -> Elements,
        ListGet = "list-get" -> Element,
        ListElements = "list-elements" -> Elements,
        ListFind = "list-find" -> Position,
        QueueInfo = "queue-info" -> QueueState,
        WorkStats = "work-stats" -> WorkNumbers,
        WorkGet = "work-get" -> WorkInfo,
        WorkList = "work-list" -> WorkPage,
        WorkHistory = "work-history" -> WorkFinished,
    }
    streams {
        Watch = "watch" -> WatchRecord,
        ElectionObserve = "election-observe" -> LeaderRecord,
        RaftBackup = "raft-backup" -> BackupRecord,
    }
    others {
        ClientRegister = "client-register" -> ClientRegistered,
        RaftStatus = "raft-status" -> RaftState,
        RaftMembers = "raft-members" -> RaftMemberList,
        RaftAdd = "raft-add" -> Done,
        RaftRemove = "raft-remove" -> Done,
        RaftPromote = "raft-promote" -> Done,
        RaftDemote = "raft-demote" -> Done,
        RaftTransfer = "raft-transfer" -> Done,
        RaftRestore = "raft-restore" -> RaftRestored,
    }
}

#[cfg(test)]
#[path = "coordination_tests.rs"]
mod tests;
