//! Carries out what the founding machine wants: the record on disk, questions to others, and the group itself.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_consensus::founding::{self, Answer, Founding, Note, Output, Record, Request, Rule};
use folkmoot_consensus::{Access, ClusterId, DataDirectory, FoundError, FoundingCall, Group, NodeId, Peer};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::offer;
use super::view::View;
use crate::config::coordination::RaftSettings;
use crate::limits::{FOUNDING_QUESTIONS, FOUNDING_REQUESTS};
use crate::net::raft::RaftTransport;
use crate::random;

/// How long a member has to answer. Ours: it writes one small file before it does.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// This member's part in founding.
pub(super) struct Founder {
    began: Instant,
    machine: Founding,
    /// Away while it is written.
    directory: Option<DataDirectory>,
    group: Group,
    access: Access<RaftTransport>,
    questions: mpsc::Receiver<FoundingCall>,
    waiting: BTreeMap<u64, oneshot::Sender<Bytes>>,
    asked: u64,
    answers: JoinSet<(NodeId, ClusterId, Option<Answer>)>,
    /// A number for the next proposal; drawn anew once it is used.
    fresh: Option<ClusterId>,
    /// It was in a group when it started.
    restarted: bool,
    /// The group of this member, once its Raft knows of it.
    cluster: Option<ClusterId>,
    notes: Vec<Note>,
}

impl Founder {
    /// A member with what its directory says it has bound itself to. Questions of others are taken from here on.
    pub(super) fn start(
        began: Instant,
        me: &Peer,
        settings: &RaftSettings,
        alone: bool,
        directory: DataDirectory,
        group: Group,
        access: Access<RaftTransport>,
    ) -> Self {
        let rule = Rule { expect: offer::expect(settings), alone };
        let (asking, questions) = mpsc::channel(FOUNDING_QUESTIONS);
        access.serve_founding(asking);
        Self {
            began,
            restarted: directory.record().cluster().is_some(),
            machine: Founding::new(Duration::ZERO, me.clone(), rule, directory.record().clone()),
            directory: Some(directory),
            group,
            access,
            questions,
            waiting: BTreeMap::new(),
            asked: 0,
            answers: JoinSet::new(),
            fresh: None,
            cluster: None,
            notes: Vec::new(),
        }
    }

    /// The group of this member, if it has one.
    pub(super) fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// What there is to tell since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Looks at gossip, then does whatever is to be done.
    pub(super) async fn turn(&mut self, view: &View) {
        if self.fresh.is_none() {
            self.fresh = random::number().ok().map(ClusterId);
        }
        if let Some(fresh) = self.fresh {
            self.machine.look(self.now(), &view.seen(), fresh);
        }
        while let Some(output) = self.machine.poll() {
            self.perform(output).await;
        }
    }

    /// Waits for a question or an answer and takes it in; a turn has to follow. Cancel-safe.
    pub(super) async fn heard(&mut self) {
        tokio::select! {
            Some(call) = self.questions.recv() => self.take_question(call),
            Some(answered) = self.answers.join_next() => {
                if let Ok((from, cluster, answer)) = answered {
                    self.machine.answered(self.now(), from, cluster, answer);
                }
            }
            else => std::future::pending().await,
        }
    }

    fn take_question(&mut self, FoundingCall { from, request, reply }: FoundingCall) {
        // What cannot be read is not answered: the reply is dropped, and its asker sees a failed call.
        let Ok(request) = founding::decode::<Request>(&request) else { return };
        self.asked = self.asked.saturating_add(1);
        self.waiting.insert(self.asked, reply);
        self.machine.asked(from, self.asked, request);
    }

    async fn perform(&mut self, output: Output) {
        match output {
            Output::Keep(record) => self.keep(record).await,
            Output::Ask { to, request } => self.ask(to, &request),
            Output::Reply { question, answer } => {
                if let (Some(reply), Ok(bytes)) = (self.waiting.remove(&question), founding::encode(&answer)) {
                    let _ = reply.send(bytes.into());
                }
            }
            Output::Found(proposal) => {
                let names: Vec<&str> = proposal.voters.iter().map(|voter| voter.name.as_str()).collect();
                let (cluster, names) = (proposal.cluster, names.join(", "));
                if self.restarted {
                    tracing::info!(target: "raft", "this node belongs to group {cluster}, which it founded with {names}");
                } else {
                    tracing::info!(target: "raft", "group {cluster} was founded by {names}");
                }
                let founded = self.group.found(proposal.cluster, proposal.voters).await;
                self.entered(proposal.cluster, founded);
            }
            Output::Join(cluster) => {
                tracing::info!(target: "raft", "this node belongs to group {cluster}");
                let joined = self.group.join(cluster).await;
                self.entered(cluster, joined);
            }
            Output::Tell(note) => self.notes.push(note),
        }
    }

    fn entered(&mut self, cluster: ClusterId, result: Result<(), FoundError>) {
        match result {
            Ok(()) => self.cluster = Some(cluster),
            // It was, in an earlier life.
            Err(FoundError::AlreadyFounded(known)) if known == cluster => self.cluster = Some(cluster),
            Err(error) => tracing::error!(target: "raft", "cannot be a member of group {cluster}: {error}"),
        }
    }

    /// Writes the record in a thread that may block, and waits for it: nothing else may be said before it is durable.
    async fn keep(&mut self, record: Record) {
        if record.cluster().is_some() || matches!(record, Record::Promised(_)) {
            self.fresh = None;
        }
        let Some(mut directory) = self.directory.take() else {
            return self.machine.kept(self.now(), Err("the data directory is lost".to_owned()));
        };
        let written = tokio::task::spawn_blocking(move || {
            let result = directory.keep(record);
            (directory, result)
        });
        let result = match written.await {
            Ok((directory, result)) => {
                self.directory = Some(directory);
                result.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        self.machine.kept(self.now(), result);
    }

    fn ask(&mut self, to: Peer, request: &Request) {
        let Ok(bytes) = founding::encode(request) else { return };
        // It is asked again by itself.
        if self.answers.len() >= FOUNDING_REQUESTS {
            return;
        }
        let (access, cluster) = (self.access.clone(), request.cluster());
        self.answers.spawn(async move {
            let answer = access.found(&to, bytes.into(), Instant::now() + ANSWER_LIMIT).await;
            let answer = answer.ok().and_then(|bytes| founding::decode(&bytes).ok());
            (to.id, cluster, answer)
        });
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}
