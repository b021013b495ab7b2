//! The one task that owns the engine: its turn loop, and what it does with the engine's outputs.
//!
//! A turn takes one bounded batch of datagrams that already wait, then due deadlines, then everything else: an answer
//! that has arrived beats its deadline, and a flood cannot starve deadlines. Nothing here waits for anybody but in the
//! one `select!`. Questions are answered in `questions.rs`, tags changed in `tags.rs`, joins prepared in `joins.rs`, log lines made in
//! `log_lines.rs`.

mod joins;
mod log_lines;
mod questions;
mod tags;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use folkmoot_serf::memberlist::Keyring;
use folkmoot_serf::{
    Completion, Event, Io, KeyOperation, KeyResponse, OperationId, Output, QueryAnswer, QueryKey, Serf,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::files::{Keeper, Kept, KeptFiles};
use crate::handle::{MembersView, Question};
use crate::limits::{INPUTS_PER_TURN, JOINS_AT_ONCE, PACKETS_PER_TURN, REFUSAL_WARNING_INTERVAL};
use crate::net::streams::{Input, StreamEvent, Streams};
use crate::net::udp::{SendRefused, UdpPort};
use crate::shutdown::ShutdownToken;
use crate::snapshot::Snapshot;
use crate::telemetry::node::NodeMetrics;
use crate::watch::Watch;
use joins::{JoinWaiter, Resolved};
use tags::TagChanges;

/// What a node is made of.
pub struct Parts {
    /// The engine, started.
    pub serf: Serf,
    /// The clock the engine was started with.
    pub clock: Clock,
    /// Gossip datagrams.
    pub udp: UdpPort,
    /// Gossip streams.
    pub streams: Streams,
    /// Questions of other tasks.
    pub mailbox: mpsc::Receiver<Question>,
    /// Port assumed for join addresses without one: our own.
    pub gossip_port: u16,
    /// A gain of the wall clock that counts as a pause of the machine: one probe interval.
    pub pause_tolerance: Duration,
    /// What remembers members and clocks, if anything does.
    pub snapshot: Option<Snapshot>,
    /// Where keys and tags are kept.
    pub files: KeptFiles,
    /// Where the keys in use are told, for what else they protect.
    pub keys: watch::Sender<Keyring>,
    /// When to stop.
    pub stop: ShutdownToken,
    /// What the node reports.
    pub metrics: NodeMetrics,
}

/// Why the node task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    Stopped,
    /// The cluster gave our name to another node.
    NameConflictLost,
}

/// The node task.
pub struct Node {
    parts: Parts,
    watch: Watch,
    members: Option<MembersView>,
    /// Of the list of members, for those who look at it when it changes.
    revision: watch::Sender<u64>,
    /// Joins whose names have been looked up.
    resolved: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
    joins: usize,
    waiting: BTreeMap<OperationId, Waiter>,
    queries: BTreeMap<QueryKey, mpsc::Sender<QueryAnswer>>,
    /// Key operations run one at a time: the first of these is running.
    keys: VecDeque<(KeyOperation, oneshot::Sender<KeyResponse>)>,
    keeper: Keeper,
    tag_changes: TagChanges,
    ending: Option<Ending>,
    lost_datagrams: u64,
    lost_warned: Option<tokio::time::Instant>,
}

/// Who waits for an operation of the engine.
enum Waiter {
    Join(JoinWaiter),
    Leave(oneshot::Sender<Result<(), folkmoot_serf::RequestError>>),
    ForceLeave(oneshot::Sender<Result<(), folkmoot_serf::RequestError>>),
    SetTags(oneshot::Sender<Result<(), folkmoot_serf::RequestError>>),
    Keys,
}

impl Node {
    /// A node that has not begun its first turn.
    pub fn new(parts: Parts) -> Self {
        Self {
            keeper: Keeper::start(parts.files.clone()),
            tag_changes: TagChanges::default(),
            parts,
            watch: Watch::default(),
            members: None,
            revision: watch::Sender::new(0),
            resolved: mpsc::channel(JOINS_AT_ONCE),
            joins: 0,
            waiting: BTreeMap::new(),
            queries: BTreeMap::new(),
            keys: VecDeque::new(),
            ending: None,
            lost_datagrams: 0,
            lost_warned: None,
        }
    }

    /// Runs until told to stop, or until the name is lost. Peers see a failure unless a leave came first.
    pub async fn run(mut self) -> Ending {
        loop {
            self.take_datagrams();
            self.note_pause();
            let now = self.parts.clock.now();
            if self.parts.serf.poll_timeout().is_some_and(|(due, _)| due <= now) {
                self.parts.serf.handle_timeout(now);
            }
            for refused in self.parts.udp.send_queued() {
                self.report(&refused);
            }
            self.perform_all();
            if let Some(ending) = self.ending {
                self.finish().await;
                return ending;
            }
            self.wait().await;
        }
    }

    /// Waits for the next thing to do and does it, with what came in meanwhile.
    async fn wait(&mut self) {
        let wake = self.parts.serf.poll_timeout().map(|(due, _)| self.parts.clock.to_tokio(due));
        let sleep = async {
            match wake {
                Some(wake) => tokio::time::sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.parts.stop.requested() => self.ending = Some(Ending::Stopped),
            Some(question) = self.parts.mailbox.recv() => self.answer(question),
            Some(resolved) = self.resolved.1.recv() => self.join_resolved(resolved),
            event = self.parts.streams.next() => self.feed(event),
            kept = self.keeper.next() => self.kept(kept),
            () = self.parts.udp.ready() => {}
            () = self.parts.metrics.due() => self.parts.metrics.report(&self.parts.serf),
            () = sleep => {}
        }
        for _ in 0..INPUTS_PER_TURN {
            let question = self.parts.mailbox.try_recv().ok();
            let event = self.parts.streams.try_next();
            if question.is_none() && event.is_none() {
                break;
            }
            if let Some(question) = question {
                self.answer(question);
            }
            if let Some(event) = event {
                self.feed(event);
            }
        }
    }

    fn take_datagrams(&mut self) {
        for _ in 0..PACKETS_PER_TURN {
            let Some((from, packet)) = self.parts.udp.receive() else { return };
            let now = self.parts.clock.now();
            self.parts.metrics.received_datagram(packet.len());
            if let Err(error) = self.parts.serf.handle_packet(now, from, packet) {
                tracing::debug!(target: "memberlist", "{error} from={from}");
            }
        }
    }

    fn note_pause(&mut self) {
        if let Some(pause) = self.parts.clock.take_pause(self.parts.pause_tolerance) {
            let seconds = pause.as_secs();
            tracing::warn!(
                target: "agent",
                "the machine was suspended, or its clock was set, by {seconds} s: others may have given us up meanwhile"
            );
            self.parts.serf.paused(self.parts.clock.now());
        }
    }

    fn feed(&mut self, event: StreamEvent) {
        let now = self.parts.clock.now();
        match event {
            StreamEvent::Accepted(accepted) => {
                let id = self.parts.serf.accept_id();
                let from = accepted.from();
                self.parts.streams.adopt(id, accepted);
                self.parts.serf.handle_stream(now, id, folkmoot_serf::StreamInput::Accepted { from });
            }
            StreamEvent::Input(id, input) => self.parts.serf.handle_stream(now, id, input.as_engine_input()),
        }
    }

    /// Carries out everything the engine wants, in order, without waiting.
    fn perform_all(&mut self) {
        let revision = self.parts.serf.members_revision();
        self.revision.send_if_modified(|told| std::mem::replace(told, revision) != revision);
        self.parts.metrics.measured(self.parts.serf.take_samples());
        while let Some(output) = self.parts.serf.poll_output() {
            match output {
                Output::Io(io) => self.perform(io),
                // Serf's clients get what is coalesced; the engine has logged this.
                Output::Event(event) => self.parts.metrics.happened(&event),
                Output::Delivery(event) => self.deliver(event),
                Output::Answer { query, answer } => self.hand_on(query, answer),
                Output::Completed { operation, completion } => self.complete(operation, completion),
                Output::NameConflictLost { .. } => {
                    let name = self.parts.serf.local_member().name.clone();
                    log_lines::name_conflict_lost(&name);
                    self.ending = Some(Ending::NameConflictLost);
                }
                Output::KeyringChanged { waiting } => self.keyring_changed(waiting),
                Output::Record(record) => {
                    if let Some(snapshot) = &self.parts.snapshot {
                        snapshot.record(record);
                    }
                }
            }
        }
    }

    fn keyring_changed(&mut self, waiting: Option<QueryKey>) {
        tracing::info!(target: "agent", "the gossip keys were changed");
        self.parts.keys.send_replace(self.parts.serf.keyring().clone());
        let Some(query) = waiting else { return };
        if let Err(reason) = self.keeper.keep_keyring(query, self.parts.serf.keyring()) {
            self.parts.serf.keyring_kept(self.parts.clock.now(), query, Err(reason));
        }
    }

    /// A file was written, or could not be.
    fn kept(&mut self, kept: Kept) {
        match kept {
            Kept::Keyring(query, result) => self.parts.serf.keyring_kept(self.parts.clock.now(), query, result),
            Kept::Tags(result) => self.tags_kept(result),
        }
    }

    fn perform(&mut self, io: Io) {
        let failed = match io {
            Io::Packet { to, bytes } => {
                self.parts.metrics.sent_datagram(bytes.len());
                if let Err(refused) = self.parts.udp.send(to, bytes) {
                    self.report(&refused);
                }
                return self.note_lost_datagrams();
            }
            Io::Connect { stream, to } => self.parts.streams.connect(stream, to).map_err(|reason| (stream, reason)),
            Io::Write { stream, bytes } => {
                self.parts.metrics.sent_on_stream(bytes.len());
                self.parts.streams.write(stream, bytes).map_err(|reason| (stream, reason))
            }
            Io::Close { stream } => return self.parts.streams.close(stream),
        };
        if let Err((stream, reason)) = failed {
            self.feed(StreamEvent::Input(stream, Input::Failed(reason)));
        }
    }

    fn report(&mut self, refused: &SendRefused) {
        let cause = crate::net::go_errors::cause(&refused.error);
        tracing::debug!(target: "memberlist", "failed to send to {}: {cause}", refused.to);
        self.parts.serf.packet_failed(self.parts.clock.now(), refused.to);
    }

    fn note_lost_datagrams(&mut self) {
        let lost = self.parts.udp.take_dropped();
        if lost == 0 {
            return;
        }
        self.lost_datagrams = self.lost_datagrams.saturating_add(lost);
        let now = tokio::time::Instant::now();
        if self.lost_warned.is_none_or(|warned| now.duration_since(warned) >= REFUSAL_WARNING_INTERVAL) {
            self.lost_warned = Some(now);
            let lost = self.lost_datagrams;
            tracing::warn!(target: "memberlist", "the system takes no more datagrams: {lost} of ours are lost so far");
        }
    }

    fn deliver(&mut self, event: Event) {
        log_lines::delivery(&event);
        let answer_by = match &event {
            Event::Query(query) => Some(self.parts.clock.to_tokio(query.deadline)),
            Event::Members(_) | Event::User(_) => None,
        };
        self.watch.publish(event, answer_by);
    }

    fn hand_on(&mut self, query: QueryKey, answer: QueryAnswer) {
        let done = answer == QueryAnswer::Done;
        if let Some(asker) = self.queries.get(&query)
            && asker.try_send(answer).is_err()
            && asker.is_closed()
        {
            self.queries.remove(&query);
        }
        if done {
            self.queries.remove(&query);
        }
    }

    fn complete(&mut self, operation: OperationId, completion: Completion) {
        let Some(waiter) = self.waiting.remove(&operation) else { return };
        match (waiter, completion) {
            (Waiter::Join(waiter), Completion::Join { contacted, errors }) => {
                self.joins = self.joins.saturating_sub(1);
                waiter.finish(contacted, errors);
            }
            (Waiter::Leave(reply), Completion::Leave) => {
                let _ = reply.send(Ok(()));
            }
            (Waiter::ForceLeave(reply), Completion::ForceLeave(result)) => {
                let _ = reply.send(questions::force_left(result));
            }
            (Waiter::SetTags(reply), Completion::SetTags(result)) => {
                let _ = reply.send(result.map_err(questions::refused));
            }
            (Waiter::Keys, Completion::Keys(response)) => self.keys_changed(response),
            (
                Waiter::Join(_) | Waiter::Leave(_) | Waiter::ForceLeave(_) | Waiter::SetTags(_) | Waiter::Keys,
                Completion::Join { .. }
                | Completion::Leave
                | Completion::ForceLeave(_)
                | Completion::SetTags(_)
                | Completion::Keys(_),
            ) => unreachable!("an operation ends as what it began"),
        }
    }

    /// The end: whoever waits hears of it because the channels close.
    async fn finish(&mut self) {
        tracing::info!(target: "agent", "requesting serf shutdown");
        self.parts.serf.shutdown();
        self.perform_all();
        if let Some(snapshot) = self.parts.snapshot.take() {
            snapshot.close().await;
        }
        tracing::info!(target: "agent", "shutdown complete");
    }
}
