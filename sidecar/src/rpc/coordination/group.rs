//! The group behind the commands: calls go through `folkmoot_consensus::Access` to whoever leads, from any agent.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use folkmoot_consensus::{
    Access, Admin, AdminReply, Backup, CallError, Consistency, NodeId, OtherGroup, Peer, Record, Status, Watch,
};
use folkmoot_coordination::{Command, Query, Reply, Revision, watch};
use folkmoot_proto::coordination::Code;
use folkmoot_serf::Member;
use tokio::time::Instant;

use super::coordinator::{Answering, Changes, Coordinator, Freshness, MemberChange, Noticed, Seen};
use super::values::Failure;
use crate::handle::{NodeHandle, Question};
use crate::net::raft::RaftTransport;

/// The group, as this agent reaches it. Cheap to clone.
#[derive(Clone)]
pub struct GroupCoordinator {
    access: Access<RaftTransport>,
    /// Knows the nodes that could be members.
    node: NodeHandle,
}

impl GroupCoordinator {
    /// Through this access; `node` says where the nodes of the cluster are.
    pub fn new(access: Access<RaftTransport>, node: NodeHandle) -> Self {
        Self { access, node }
    }

    async fn status_by(&self, request: Admin) -> Result<Status, Failure> {
        match self.access.admin(request).await.map_err(failed)? {
            AdminReply::Status(status) => Ok(*status),
            AdminReply::Done | AdminReply::Backup(_) | AdminReply::Restored(_) => Err(another_question()),
        }
    }

    /// Makes a change, whose refusal is that it is not possible.
    async fn make(&self, change: MemberChange) -> Result<(), Failure> {
        let request = match change {
            MemberChange::Add(name) => Admin::AddLearner(self.candidate(&name).await?),
            MemberChange::Remove(name) => Admin::Remove(self.member(&name).await?),
            MemberChange::Promote(name) => Admin::Promote(self.member(&name).await?),
            MemberChange::Demote(name) => Admin::Demote(self.member(&name).await?),
            MemberChange::Transfer(None) => Admin::Transfer(None),
            MemberChange::Transfer(Some(name)) => Admin::Transfer(Some(self.member(&name).await?)),
        };
        self.access.admin(request).await.map(drop).map_err(not_made)
    }

    /// The member of that name or number.
    async fn member(&self, name: &str) -> Result<NodeId, Failure> {
        let status = self.status_by(Admin::LeaderStatus).await?;
        let mut members = status.voters.iter().chain(&status.learners);
        let found = members.find(|peer| is_called(peer, name)).map(|peer| peer.id);
        found.ok_or_else(|| Failure::new(Code::NotPossible, format!("no member of the group is called '{name}'")))
    }

    /// The node of that name or number that could become a member.
    async fn candidate(&self, name: &str) -> Result<Peer, Failure> {
        let view = self.node.ask(|reply| Question::Members { reply }).await;
        let view = view.map_err(|_| Failure::new(Code::Stopping, "the agent stops"))?;
        let mut peers = view.members.iter().filter_map(|member| peer_of(member));
        let found = peers.find(|peer| is_called(peer, name));
        found.ok_or_else(|| Failure::new(Code::NotPossible, format!("no node with -raft is called '{name}'")))
    }

    async fn back_up(&self) -> Result<Bytes, Failure> {
        match self.access.admin(Admin::Backup).await.map_err(not_made)? {
            AdminReply::Backup(file) => Ok(file),
            AdminReply::Done | AdminReply::Status(_) | AdminReply::Restored(_) => Err(another_question()),
        }
    }

    async fn bring_back(&self, file: Bytes, other_group: bool) -> Result<Revision, Failure> {
        // A damaged file is not sent to anybody.
        Backup::decode(&file).map_err(|error| Failure::new(Code::NotPossible, error.to_string()))?;
        let group = if other_group { OtherGroup::Allowed } else { OtherGroup::Refused };
        match self.access.admin(Admin::Restore { file, group }).await.map_err(not_made)? {
            AdminReply::Restored(revision) => Ok(revision),
            AdminReply::Done | AdminReply::Status(_) | AdminReply::Backup(_) => Err(another_question()),
        }
    }
}

fn another_question() -> Failure {
    Failure::new(Code::Refused, "an answer to another question")
}

/// Why a change was not made: its refusal is that it is not possible.
fn not_made(error: CallError) -> Failure {
    match error {
        CallError::Refused(reason) => Failure::new(Code::NotPossible, reason),
        CallError::NoGroup
        | CallError::NoQuorum { .. }
        | CallError::Deadline
        | CallError::TooLarge
        | CallError::Busy
        | CallError::Stopped(_) => failed(error),
    }
}

fn is_called(peer: &Peer, name: &str) -> bool {
    peer.name == name || peer.id.to_string() == name
}

/// The member that a node of the cluster is or could be.
fn peer_of(member: &Member) -> Option<Peer> {
    let raft = member.capability?.raft?;
    let address = raft.address.or_else(|| member.address.ip())?;
    let name = member.name.to_string();
    Some(Peer { id: NodeId(raft.node), name, address: SocketAddr::new(address, raft.port) })
}

impl Coordinator for GroupCoordinator {
    fn call(&self, command: Command, deadline: Instant) -> Answering<Reply> {
        let access = self.access.clone();
        Box::pin(async move { access.call(command, deadline).await.map_err(failed) })
    }

    fn call_once(&self, command: Command, deadline: Instant) -> Answering<Reply> {
        let access = self.access.clone();
        Box::pin(async move { access.call_once(command, deadline).await.map_err(failed) })
    }

    fn query(&self, query: Query, freshness: Freshness, deadline: Instant) -> Answering<(Reply, Seen)> {
        let access = self.access.clone();
        Box::pin(async move {
            let consistency = match freshness {
                Freshness::Current => Consistency::Linearizable,
                Freshness::Stale => Consistency::Stale,
            };
            let (reply, age) = access.query(query, consistency, deadline).await.map_err(failed)?;
            let since = age.since_leader.filter(|_| freshness == Freshness::Stale);
            let age_ms = since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
            Ok((reply, Seen { revision: age.revision, age_ms }))
        })
    }

    fn watch(&self, query: watch::Query, deadline: Instant) -> Answering<Box<dyn Changes>> {
        let access = self.access.clone();
        Box::pin(async move {
            let opened = tokio::time::timeout_at(deadline, access.watch(query)).await;
            let watch = opened.unwrap_or(Err(CallError::Deadline)).map_err(failed)?;
            Ok(Box::new(watch) as Box<dyn Changes>)
        })
    }

    fn status(&self, deadline: Instant) -> Answering<Status> {
        let group = self.clone();
        Box::pin(async move { by(deadline, group.status_by(Admin::Status)).await })
    }

    fn leader_status(&self, deadline: Instant) -> Answering<Status> {
        let group = self.clone();
        Box::pin(async move { by(deadline, group.status_by(Admin::LeaderStatus)).await })
    }

    fn change(&self, change: MemberChange, deadline: Instant) -> Answering<()> {
        let group = self.clone();
        Box::pin(async move { by(deadline, group.make(change)).await })
    }

    fn backup(&self, deadline: Instant) -> Answering<Bytes> {
        let group = self.clone();
        Box::pin(async move { by(deadline, group.back_up()).await })
    }

    fn restore(&self, backup: Bytes, other_group: bool, deadline: Instant) -> Answering<Revision> {
        let group = self.clone();
        Box::pin(async move { by(deadline, group.bring_back(backup, other_group)).await })
    }
}

impl Changes for Watch {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Noticed>> + Send + '_>> {
        Box::pin(async move {
            Some(match Watch::next(self).await? {
                Record::Page(page) => Noticed::Page(page),
                Record::Compacted(revision) => Noticed::Compacted(revision),
            })
        })
    }
}

/// What is not answered by then has an unknown outcome.
async fn by<T>(deadline: Instant, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(failed(CallError::Deadline)))
}

/// Why a call was not answered, as clients are told.
fn failed(error: CallError) -> Failure {
    match error {
        CallError::NoGroup => {
            Failure::new(Code::NoGroup, "nobody in sight takes part in coordination, or no group has been founded")
        }
        CallError::NoQuorum { missing } => too_few(&missing),
        CallError::Deadline => Failure::new(Code::Timeout, "no answer in time; whether it was done is unknown"),
        CallError::Refused(reason) => Failure::new(Code::Refused, reason),
        CallError::TooLarge => Failure::new(Code::TooLarge, "the request is larger than agents pass on"),
        CallError::Busy => Failure::new(Code::Overloaded, "too many calls are under way"),
        CallError::Stopped(reason) => Failure::new(Code::Stopping, format!("the member has stopped: {reason}")),
    }
}

fn too_few(missing: &[Peer]) -> Failure {
    let names: Vec<&str> = missing.iter().map(|peer| peer.name.as_str()).collect();
    Failure::new(Code::NoQuorum, format!("too few voters answer; missing {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, id: u64) -> Peer {
        Peer { id: NodeId(id), name: name.to_owned(), address: SocketAddr::from(([127, 0, 35, 1], 7947)) }
    }

    #[test]
    fn a_call_that_was_not_answered_says_what_is_known_of_it() {
        let told = |error| failed(error).to_string();
        let missing = vec![peer("b", 2), peer("c", 3)];
        assert_eq!(told(CallError::NoQuorum { missing }), "no-quorum: too few voters answer; missing b, c");
        assert_eq!(told(CallError::Refused("another cluster".into())), "refused: another cluster");
        let codes = [
            (CallError::NoGroup, Code::NoGroup),
            (CallError::Deadline, Code::Timeout),
            (CallError::TooLarge, Code::TooLarge),
            (CallError::Busy, Code::Overloaded),
            (CallError::Stopped("disk".into()), Code::Stopping),
        ];
        for (error, code) in codes {
            assert_eq!(failed(error).code, code);
        }
    }

    #[test]
    fn members_are_called_by_name_or_number() {
        let one = peer("beta", 0xab);
        assert!(is_called(&one, "beta") && is_called(&one, "00000000000000ab"));
        assert!(!is_called(&one, "bet") && !is_called(&one, "ab") && !is_called(&one, ""));
    }
}
