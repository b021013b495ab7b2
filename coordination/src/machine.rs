//! The machine itself: entries in, replies and changes out; snapshots.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::command::{Cause, Change, Command, Entry, Query, Reply, Request};
use crate::dedup::{Admission, Clients, Registration};
use crate::encoding::versioned;
use crate::error::{Argument, Refusal, RestoreError};
use crate::lease::Deadline;
use crate::limits::{EXPIRIES_PER_ENTRY, REVISION_RAISE_MAX};
use crate::objects::Objects;
use crate::step::{Index, Step};
use crate::types::{LogIndex, Owner, Revision, Ticket, TimeMs, WallMs};
use crate::watch::History;

/// Version in front of a snapshot.
pub const SNAPSHOT_VERSION: u8 = 2;

/// The replicated state machine. Equal logs make equal machines.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    applied: LogIndex,
    revision: Revision,
    time: TimeMs,
    wall: WallMs,
    clients: Clients,
    objects: Objects,
    index: Index,
    history: History,
}

/// How much of each machine-wide limit is used, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named after the limits in `limits.rs` and the objects' files")]
pub struct Usage {
    pub clients: usize,
    pub reply_bytes: usize,
    pub sessions: usize,
    pub waits: usize,
    pub stored_bytes: usize,
    pub keys: usize,
    pub lines: usize,
    pub barriers: usize,
    pub collections: usize,
    pub queues: usize,
    pub work_queues: usize,
    pub work_items: usize,
    pub history_events: usize,
    pub history_bytes: usize,
}

impl Machine {
    /// An empty machine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the entry at `index`: deadlines that its time has reached (at most [`EXPIRIES_PER_ENTRY`]), then its
    /// command. What happened is appended to `changes`, in order.
    pub fn apply(&mut self, index: LogIndex, entry: &Entry, changes: &mut Vec<Change>) -> Reply {
        self.applied = self.applied.max(index);
        self.time = self.time.max(entry.time);
        self.wall = entry.wall;
        for _ in 0..EXPIRIES_PER_ENTRY {
            let Some(deadline) = self.index.leases.pop_due(self.time) else { break };
            self.on_deadline(deadline, changes);
        }
        let reply = match &entry.command {
            Command::Tick => Reply::Done,
            Command::RegisterClient { client, ttl } => {
                let registered = self.clients.register(self.time, *client, *ttl, &mut self.index.leases);
                registered.map_or_else(Reply::Refused, |registration| {
                    if let Registration::New = registration {
                        self.revision = self.revision.next();
                    }
                    Reply::Registered(*client)
                })
            }
            Command::NodeGone { node } => {
                self.end_owner(&Owner::Node(node.clone()), changes);
                Reply::Done
            }
            Command::CallerGone { ticket } => {
                self.step(changes, |objects, step| objects.stop_waiting(step, *ticket, Refusal::Cancelled));
                Reply::Done
            }
            Command::ConnectionGone { session } => {
                drop(self.step(changes, |objects, step| objects.end_session(step, *session, Cause::OwnerEnded)));
                Reply::Done
            }
            Command::RaiseRevision { revision } if revision.0 > REVISION_RAISE_MAX => {
                Reply::Refused(Refusal::Invalid(Argument::Revision))
            }
            Command::RaiseRevision { revision } => {
                self.revision = self.revision.max(*revision);
                self.history.compact(self.revision);
                Reply::Done
            }
            Command::Compact { revision } => {
                self.history.compact((*revision).min(self.revision));
                Reply::Done
            }
            Command::Client(request) => self.request(request, changes),
        };
        self.history.trim();
        reply
    }

    /// Answers a question from the state as it is.
    #[must_use]
    pub fn read(&self, query: &Query) -> Reply {
        let answer = match query {
            Query::Watch(query) => self.history.since(query, self.revision).map(Reply::Changes),
            Query::Kv(_)
            | Query::Session(_)
            | Query::Lock(_)
            | Query::Election(_)
            | Query::Barrier(_)
            | Query::Collection(_)
            | Query::Queue(_)
            | Query::Work(..) => self.objects.read(query),
        };
        answer.unwrap_or_else(Reply::Refused)
    }

    /// Log time of the next deadline: the leader proposes [`Command::Tick`] then, unless another entry comes.
    #[must_use]
    pub fn next_expiry(&self) -> Option<TimeMs> {
        self.index.leases.next()
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// Steps that changed something.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Log time of the last entry.
    #[must_use]
    pub fn time(&self) -> TimeMs {
        self.time
    }

    /// The leader's wall clock in the last entry.
    #[must_use]
    pub fn wall(&self) -> WallMs {
        self.wall
    }

    /// Changes up to this revision are forgotten.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.history.compacted()
    }

    /// How much of each limit is used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            clients: self.clients.len(),
            reply_bytes: self.clients.bytes_total(),
            sessions: self.objects.sessions.len(),
            waits: self.index.waits.len(),
            stored_bytes: self.index.stored_bytes,
            keys: self.objects.keys.len(),
            lines: self.objects.lines.len(),
            barriers: self.objects.barriers.len(),
            collections: self.objects.collections.len(),
            queues: self.objects.queues.len(),
            work_queues: self.objects.works.len(),
            work_items: self.objects.works.items(),
            history_events: self.history.len(),
            history_bytes: self.history.bytes(),
        }
    }

    /// Appends the whole state: a version, then the fields (see `codec.rs`). Equal machines write equal bytes. A checksum
    /// is the storage's.
    #[expect(clippy::expect_used, reason = "the codec fails only on types that the machine does not have")]
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        out.push(SNAPSHOT_VERSION);
        codec::encode(self, out).expect("the machine has a place for every field");
    }

    /// Builds a machine from what [`Machine::snapshot`] wrote. Any bytes are safe to give.
    ///
    /// # Errors
    /// The bytes are not exactly one machine of this version, or hold a key, value or time beyond its limit.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let mut machine: Self = codec::decode(versioned(bytes, SNAPSHOT_VERSION)?)?;
        machine.clients.reindex(&mut machine.index.leases);
        machine.objects.reindex(&mut machine.index);
        machine.history.reindex();
        Ok(machine)
    }

    fn request(&mut self, request: &Request, changes: &mut Vec<Change>) -> Reply {
        let ticket = Ticket { client: request.client, request: request.request };
        match self.clients.admit(self.time, ticket, &request.acknowledged, &mut self.index.leases) {
            Admission::Answer(reply) => reply,
            Admission::Apply => {
                let operate =
                    |objects: &mut Objects, step: &mut Step<'_>| objects.operate(step, ticket, &request.operation);
                let reply = self.step(changes, operate).unwrap_or_else(Reply::Refused);
                self.clients.keep(ticket, &reply);
                reply
            }
        }
    }

    fn on_deadline(&mut self, deadline: Deadline, changes: &mut Vec<Change>) {
        match deadline {
            Deadline::Client(client) => {
                self.end_owner(&Owner::Client(client), changes);
                self.clients.forget(client, &mut self.index.leases);
            }
            Deadline::Session(session) => {
                drop(self.step(changes, |objects, step| objects.end_session(step, session, Cause::Expired)));
            }
            Deadline::Key(key) => {
                self.step(changes, |objects, step| objects.keys.remove(step, &key, Cause::Expired));
            }
            Deadline::Hold(line, hold) => {
                drop(self.step(changes, |objects, step| objects.lines.release(step, &line, hold, Cause::Expired)));
            }
            Deadline::Wait(ticket) => {
                self.step(changes, |objects, step| objects.stop_waiting(step, ticket, Refusal::TimedOut));
            }
            Deadline::Item(queue, item) => {
                self.step(changes, |objects, step| objects.works.on_deadline(step, &queue, item));
            }
        }
    }

    /// Ends what depends on an owner: first its waiting calls, which must not be served any more; then its sessions, in a
    /// step each, so that no line grants twice in one; then the rest.
    fn end_owner(&mut self, owner: &Owner, changes: &mut Vec<Change>) {
        self.step(changes, |objects, step| objects.stop_waits_of(step, owner));
        for session in self.index.sessions_of(owner) {
            drop(self.step(changes, |objects, step| objects.end_session(step, session, Cause::OwnerEnded)));
        }
        self.step(changes, |objects, step| objects.release(step, owner));
    }

    fn step<T>(&mut self, changes: &mut Vec<Change>, run: impl FnOnce(&mut Objects, &mut Step<'_>) -> T) -> T {
        let mut step = Step::new(self.time, self.wall, self.revision.next(), &mut self.index);
        let result = run(&mut self.objects, &mut step);
        let (revision, happened) = step.finish();
        if let Some(revision) = revision {
            self.revision = revision;
        }
        for change in happened {
            match &change {
                Change::Event(event) => self.history.record(event.clone()),
                Change::Answered { ticket, reply } => self.clients.settle(*ticket, reply),
            }
            changes.push(change);
        }
        result
    }
}
