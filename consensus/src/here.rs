//! What the member of this agent does for calls, wherever they come from.

use std::sync::Arc;

use folkmoot_coordination::{Command, Query, Reply, Revision, Ticket, watch as changes};
use tokio::sync::watch;

use crate::backup::Backup;
use crate::calls::{Admin, AdminReply, Failure, Following, may_wait};
use crate::group::Group;
use crate::peer::{NodeId, Peer};
use crate::receive::Receiver;
use crate::refused::Refused;
use crate::status::{Age, Quorum, Role, Status};
use crate::types::Tokio;
use crate::watch::{Record, Watch};

/// The member of this agent.
pub(crate) struct Here {
    pub(crate) group: Group,
    pub(crate) receiver: Receiver<Tokio>,
    outlook: watch::Receiver<Outlook>,
}

/// What calls have to know of the status; changes seldom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outlook {
    role: Role,
    leader: Option<Peer>,
    /// Voters that do not answer, if it is too many.
    missing: Option<Vec<Peer>>,
}

impl Here {
    pub(crate) fn new(group: Group) -> Self {
        let mut statuses = group.status_changes();
        let (sender, outlook) = watch::channel(Outlook::of(&statuses.borrow_and_update()));
        let receiver = Receiver::new(Arc::clone(group.member()));
        drop(tokio::spawn(async move {
            while statuses.changed().await.is_ok() {
                let seen = Outlook::of(&statuses.borrow_and_update());
                sender.send_if_modified(|outlook| {
                    let different = *outlook != seen;
                    *outlook = seen;
                    different
                });
                if sender.is_closed() {
                    return;
                }
            }
        }));
        Self { group, receiver, outlook }
    }

    /// Completes when something that calls have to know has changed since `outlook` was taken.
    pub(crate) fn outlook(&self) -> watch::Receiver<Outlook> {
        let mut outlook = self.outlook.clone();
        outlook.mark_unchanged();
        outlook
    }

    /// Whether this member leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.group.member().raft().is_leader()
    }

    /// Who else leads, as far as this member knows.
    pub(crate) fn leader(&self) -> Option<Peer> {
        let leader = self.outlook.borrow().leader.clone();
        leader.filter(|leader| leader.id != self.id())
    }

    /// What is refused at the bounds of this member.
    pub(crate) fn refused(&self) -> &Refused {
        &self.group.member().refused
    }

    pub(crate) fn id(&self) -> NodeId {
        self.group.identity().me.id
    }

    /// Whether the member is in no group: its state says nothing.
    pub(crate) fn outside(&self) -> bool {
        self.outlook.borrow().role == Role::Outside
    }

    /// Proposes, and follows a call that waits to its end if that is wanted, as long as this member leads.
    pub(crate) async fn propose(&self, command: Command, following: Following) -> Result<Reply, Failure> {
        let ticket = ticket(&command).filter(|_| following == Following::ToTheEnd && may_wait(&command));
        // Before the proposal: nothing that happens after it may be missed.
        let mut outlook = self.outlook();
        let answered = ticket.map(|ticket| self.group.answered(ticket));
        let reply = self.group.propose(command).await.map_err(|error| self.failure(error.into()))?;
        let (Reply::Waiting { .. }, Some(answered)) = (&reply, answered) else { return Ok(reply) };
        let mut answered = std::pin::pin!(answered);
        loop {
            tokio::select! {
                // Without an answer it is known to who asks again.
                reply = &mut answered => return reply.ok_or(Failure::Unknown),
                changed = outlook.changed() => {
                    let lost = outlook.borrow_and_update().missing.is_some();
                    // It stands in line, and may be served without this member: whoever asks again learns of it.
                    if changed.is_err() || lost || !self.leads() {
                        return Err(Failure::Unknown);
                    }
                }
            }
        }
    }

    /// Answers from a state that holds everything answered before.
    pub(crate) async fn read(&self, query: &Query) -> Result<(Reply, Age), Failure> {
        self.group.read_aged(query).await.map_err(|error| self.failure(error.into()))
    }

    /// Answers from what the member has.
    pub(crate) fn read_stale(&self, query: &Query) -> Result<(Reply, Age), Failure> {
        if self.outside() { Err(Failure::Outside) } else { Ok(self.group.read_stale(query)) }
    }

    /// The next changes after a revision, as soon as there are some.
    pub(crate) async fn next_changes(&self, query: changes::Query) -> Result<Record, Failure> {
        if self.outside() {
            return Err(Failure::Outside);
        }
        self.group.watch(query).next().await.ok_or(Failure::Busy)
    }

    pub(crate) fn watch(&self, query: changes::Query) -> Watch {
        self.group.watch(query)
    }

    /// What an operator asks of the leader.
    pub(crate) async fn admin(&self, request: Admin) -> Result<AdminReply, Failure> {
        let group = &self.group;
        let done = match request {
            Admin::Status => return Ok(AdminReply::Status(Box::new(group.status()))),
            Admin::LeaderStatus if self.leads() => return Ok(AdminReply::Status(Box::new(group.status()))),
            Admin::LeaderStatus => return Err(self.failure(Failure::NotLeader(self.leader()))),
            Admin::AddLearner(peer) => group.add_learner(peer).await,
            Admin::Remove(id) => group.remove(id).await,
            Admin::Promote(id) => {
                let voters = group.status().voters.iter().map(|peer| peer.id).chain([id]).collect();
                group.set_voters(voters).await
            }
            Admin::Demote(id) => {
                let voters = group.status().voters.iter().map(|peer| peer.id).filter(|one| *one != id).collect();
                group.set_voters(voters).await
            }
            Admin::SetVoters(voters) => group.set_voters(voters).await,
            Admin::Transfer(to) => group.transfer_leader(to).await,
            Admin::Backup => {
                let file = group.backup().await.map_err(|error| self.failure(error.into()))?;
                return Ok(AdminReply::Backup(file));
            }
            Admin::Restore { file, group: other } => {
                let backup = Backup::decode(&file).map_err(Failure::from)?;
                drop(file);
                group.restore(&backup, other).await.map_err(|error| self.failure(error.into()))?;
                return Ok(AdminReply::Restored(group.status().revision));
            }
        };
        done.map(|()| AdminReply::Done).map_err(|error| self.failure(error.into()))
    }

    /// Says more where no leader is known: whether there can be one at all.
    fn failure(&self, failure: Failure) -> Failure {
        let outlook = self.outlook.borrow();
        match failure {
            Failure::NotLeader(None) if outlook.role == Role::Outside => Failure::Outside,
            Failure::NotLeader(None) => outlook.missing.clone().map_or(Failure::NotLeader(None), Failure::NoQuorum),
            // Nobody told a follower that its leader is gone: no majority is left to elect another one.
            Failure::NotLeader(Some(leader)) => match &outlook.missing {
                Some(missing) if missing.iter().any(|peer| peer.id == leader.id) => Failure::NoQuorum(missing.clone()),
                Some(_) | None => Failure::NotLeader(Some(leader)),
            },
            Failure::NoQuorum(_)
            | Failure::Outside
            | Failure::Unknown
            | Failure::Busy
            | Failure::TooLarge
            | Failure::Refused(_)
            | Failure::Stopped(_) => failure,
        }
    }
}

impl Outlook {
    fn of(status: &Status) -> Self {
        let missing = match &status.quorum {
            Quorum::Lost { missing } => Some(missing.clone()),
            Quorum::None | Quorum::Ok => None,
        };
        Self { role: status.role, leader: status.leader.clone(), missing }
    }
}

fn ticket(command: &Command) -> Option<Ticket> {
    match command {
        Command::Client(request) => Some(Ticket { client: request.client, request: request.request }),
        Command::Tick
        | Command::RegisterClient { .. }
        | Command::NodeGone { .. }
        | Command::CallerGone { .. }
        | Command::ConnectionGone { .. }
        | Command::RaiseRevision { .. }
        | Command::Compact { .. } => None,
    }
}

/// A record of a watch as a reply, and back.
pub(crate) fn reply_of(record: Record) -> Reply {
    match record {
        Record::Page(page) => Reply::Changes(page),
        Record::Compacted(through) => Reply::Refused(folkmoot_coordination::Refusal::Compacted(through)),
    }
}

/// What [`reply_of`] was made from, and the revision to go on from.
#[expect(clippy::wildcard_enum_match_arm, reason = "a watch is answered with changes or compacted")]
pub(crate) fn record_of(reply: Reply) -> Option<(Record, Revision)> {
    match reply {
        Reply::Changes(page) => {
            let through = page.through;
            Some((Record::Page(page), through))
        }
        Reply::Refused(folkmoot_coordination::Refusal::Compacted(through)) => {
            Some((Record::Compacted(through), through))
        }
        _ => None,
    }
}
