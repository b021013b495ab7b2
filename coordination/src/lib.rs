//! The replicated state machine: key-value, sessions, locks, elections, barriers, counters, sets, lists, queues, work
//! queues and watches. It knows nothing of Raft, gossip, sockets, disks or clocks: everything that decides anything stands
//! in the log, so machines that apply the same entries are equal byte for byte.
//!
//! ```text
//!            Entry { time, wall, command }                          Query
//!                      │                                              │
//!   ┌──────────────────▼──────────────────────────────────────────────▼────┐
//!   │ Machine                                                              │
//!   │  1 deadlines that `time` has reached  (lease.rs)      ─ a step each  │
//!   │  2 known request? kept reply          (dedup.rs)                     │
//!   │  3 the command                        ─ a step                       │
//!   │       step.rs ── revision, events, answers, who depends on whom      │
//!   │       ├─ kv  session  lock  election  barrier  collections  queue    │
//!   │       │                └─ line.rs ─┘                     work_queue  │
//!   │  4 events are remembered              (watch.rs)                     │
//!   └───────┬───────────────────────┬───────────────────────────┬──────────┘
//!           ▼                       ▼                           ▼
//!         Reply     Change { Event | Answered }     next_expiry, snapshot
//! ```
//!
//! * **Time** is in the entries, and never goes back. Nothing ends between entries; the leader proposes
//!   [`Command::Tick`] at [`Machine::next_expiry`], so an idle machine costs nothing.
//! * **Revisions** count steps that changed something. A step is one command, one deadline or one ended session. The
//!   revision of a grant is its fencing token: it outlives the deletion of its object, and after a restored backup
//!   [`Command::RaiseRevision`] continues above all that were seen.
//! * **Once**: clients are registered, their requests numbered, replies kept until acknowledged (`dedup.rs`).
//! * **Waiting** calls are answered [`Reply::Waiting`]; [`Change::Answered`] follows with the same ticket, and the same
//!   request sent again gets the outcome.
//! * **Ownership**: what a client makes depends on a session it names, or on the client itself, and ends with it.
//!
//! ```
//! use folkmoot_coordination::{ClientId, Command, Entry, LogIndex, Machine, Reply, TimeMs, Ttl, WallMs};
//!
//! let mut machine = Machine::new();
//! let mut changes = Vec::new();
//! let command = Command::RegisterClient { client: ClientId(7), ttl: Ttl::try_from(60_000)? };
//! let entry = Entry { time: TimeMs(5), wall: WallMs(1_700_000_000_000), command };
//! assert!(matches!(machine.apply(LogIndex(1), &entry, &mut changes), Reply::Registered(_)));
//! assert_eq!(machine.next_expiry(), Some(TimeMs(60_005)));
//!
//! let mut bytes = Vec::new();
//! machine.snapshot(&mut bytes);
//! assert_eq!(Machine::restore(&bytes)?, machine);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod barrier;
pub mod codec;
pub mod collections;
mod command;
mod dedup;
pub mod election;
mod encoding;
mod error;
pub mod kv;
mod lease;
pub mod limits;
pub mod line;
pub mod lock;
mod machine;
mod objects;
pub mod queue;
pub mod session;
mod step;
mod types;
pub mod watch;
pub mod work_queue;

pub use command::{Acknowledged, Cause, Change, Command, Entry, Event, Operation, Query, Reply, Request, Scope, What};
pub use encoding::{CHANGE_VERSION, COMMAND_VERSION, ENTRY_VERSION, QUERY_VERSION, REPLY_VERSION};
pub use error::{Argument, CodecError, Refusal, RestoreError, Thing};
pub use machine::{Machine, SNAPSHOT_VERSION, Usage};
pub use types::{
    ClientId, HoldId, ItemId, Key, LogIndex, Millis, Owner, Patience, RequestId, Revision, SessionId, Ticket, TimeMs,
    TooLong, Ttl, Value, WallMs,
};
