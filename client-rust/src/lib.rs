//! Asynchronous client of the agent's RPC (TCP 7373): Folkmoot's, and HashiCorp Serf's own.
//!
//! ```no_run
//! use folkmoot_client::{Client, ConnectOptions, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect(&ConnectOptions::new("127.0.0.1:7373")).await?;
//! for member in client.members().await? {
//!     println!("{} is {}", member.name, member.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! One connection serves any number of concurrent calls and subscriptions, which are [`futures_core::Stream`]s. Answers to `docs/spec/rpc.md`; the bytes are
//! the business of `folkmoot-proto`.

#![forbid(unsafe_code)]

mod backoff;
mod client;
mod connection;
mod coordination;
mod dial;
mod error;
#[cfg(test)]
mod fake_agent;
pub mod limits;
mod membership;
mod options;
mod probe;
mod subscriptions;
mod table;
#[cfg(test)]
mod unsupported_tests;

pub use client::Client;
pub use coordination::{
    Backup, Barrier, Bond, Change, Changes, Claim, Compare, Counter, Election, Entry, Gate, Group, Guard, Item, Kv,
    Leader, Leaders, Life, Line, List, Lock, Lost, NewItem, Operation, Outcome, Page, Passage, Put, Queue,
    ReadWriteLock, Semaphore, Session, SessionOptions, Set, Swap, Taken, Term, Transacted, Transaction, Wait, Watch,
    WatchOptions, WorkQueue,
};
pub use error::{AddressFault, ConnectError, Error, Refusal};
pub use folkmoot_proto::coordination::{
    AsOf, BarrierState, Cause, Code, Held, LineHold, Owner, QueueState, RaftMember, RaftPeer, RaftQuorum, RaftRole,
    RaftState, RaftUsage, Scope, SessionInfo, What, WorkEnd, WorkInfo, WorkItem, WorkNumbers, WorkState, WorkTotals,
};
pub use folkmoot_proto::{
    Coordinate, EventRecord, HandlerInfo, HandlersResponse, KeyResponse, Member, MemberEventRecord,
    MembersFilteredRequest, QueryEventRecord, QueryRequest, StatsResponse, TagsRequest, Text, UserEventRecord,
};
pub use membership::Prune;
pub use options::{ConnectOptions, Notice, Observer, Reconnect};
pub use subscriptions::{Coalesce, QueryAnswer, QueryAnswers, Subscription};
