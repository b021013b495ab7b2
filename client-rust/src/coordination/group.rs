//! [`Group`]: the Raft group itself: what it is, who belongs to it, backup and restore.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use folkmoot_proto::coordination::{
    BackupRecord, RaftAdd, RaftBackup, RaftDemote, RaftMember, RaftMemberList, RaftMembers, RaftPromote, RaftRemove,
    RaftRestore, RaftState, RaftStatus, RaftTransfer,
};
use folkmoot_proto::{Blob, Request, Text};
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::stream::Records;
use crate::client::Client;
use crate::error::Error;
use crate::limits::{RESTORE_CHUNK, RESTORE_TIMEOUT};
use crate::table::Sink;

/// The group of agents that keeps everything.
#[derive(Debug, Clone)]
pub struct Group {
    client: Client,
}

/// A backup as it comes, over a connection of its own.
#[derive(Debug)]
pub struct Backup {
    records: Records<BackupRecord>,
    ended: bool,
}

impl Client {
    /// The group of agents.
    pub fn group(&self) -> Group {
        Group { client: self.clone() }
    }
}

impl Group {
    /// The view of the member that this agent is, or the leader's where it is none.
    ///
    /// # Errors
    /// [`Error::NoGroup`], and what any coordination call may fail with.
    pub async fn status(&self) -> Result<RaftState, Error> {
        self.client.question(RaftStatus {}).await
    }

    /// The members, as the leader sees them; voters first.
    ///
    /// # Errors
    /// As [`Group::status`], and [`Error::NoQuorum`].
    pub async fn members(&self) -> Result<Vec<RaftMember>, Error> {
        let RaftMemberList { members } = self.client.question(RaftMembers {}).await?;
        Ok(members)
    }

    /// Takes a `-raft` node in, without a vote. `member` is its name in gossip or its number, here and below.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-possible`.
    pub async fn add(&self, member: impl Into<Text>) -> Result<(), Error> {
        self.client.other(RaftAdd { member: member.into() }).await.map(drop)
    }

    /// Takes a member out for good.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-possible` if the quorum would be lost.
    pub async fn remove(&self, member: impl Into<Text>) -> Result<(), Error> {
        self.client.other(RaftRemove { member: member.into() }).await.map(drop)
    }

    /// Gives a member a vote.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-possible`.
    pub async fn promote(&self, member: impl Into<Text>) -> Result<(), Error> {
        self.client.other(RaftPromote { member: member.into() }).await.map(drop)
    }

    /// Takes a member's vote.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-possible` if the quorum would be lost.
    pub async fn demote(&self, member: impl Into<Text>) -> Result<(), Error> {
        self.client.other(RaftDemote { member: member.into() }).await.map(drop)
    }

    /// Makes another member lead; `None`: whichever is most up to date.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-possible`.
    pub async fn transfer(&self, member: Option<Text>) -> Result<(), Error> {
        self.client.other(RaftTransfer { member: member.unwrap_or_default() }).await.map(drop)
    }

    /// A backup of the whole state.
    ///
    /// # Errors
    /// As [`Group::members`].
    pub async fn backup(&self) -> Result<Backup, Error> {
        // Its reader may be as slow as a disk: only a connection of its own may wait for him.
        let connection = self.client.connection_apart().await?;
        let request = Request::Coordination(RaftBackup {}.into());
        Ok(Backup { records: Records::open(connection, &request, Sink::Backup).await?, ended: false })
    }

    /// Puts a backup in place of the state; the revision that the group goes on from. Watchers are told to read everything
    /// again. `other_group` allows a backup of another group.
    ///
    /// # Errors
    /// [`Error::Refused`] with `not-possible` if it is no backup, damaged, or another group's; [`Error::Read`] if it
    /// cannot be read. Nothing is changed then.
    pub async fn restore(&self, backup: &mut (impl AsyncRead + Unpin), other_group: bool) -> Result<u64, Error> {
        let connection = self.client.connection_apart().await?;
        let mut offset = 0u64;
        loop {
            let mut data = Vec::with_capacity(RESTORE_CHUNK);
            let read = backup.take(RESTORE_CHUNK as u64).read_to_end(&mut data).await;
            let length = read.map_err(|error| Error::Read { reason: error.to_string().into() })?;
            let last = length < RESTORE_CHUNK;
            let body = RaftRestore { data: Blob::from(data), last, offset, other_group };
            let restored = self.client.once_over(&connection, body, RESTORE_TIMEOUT).await?;
            if last {
                return Ok(restored.revision);
            }
            offset = offset.saturating_add(length as u64);
        }
    }
}

impl Backup {
    /// The next bytes; `None` after the last ones.
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection is lost before: what was read is no backup.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let record = ready!(self.records.poll(context)).and_then(|record| record.ok_or(Error::Closed));
        Poll::Ready(record.map(|BackupRecord { data, last }| {
            self.ended = last;
            (!last || !data.is_empty()).then_some(data.0)
        }))
    }
}

/// As [`Backup::next`]; an error ends it.
impl Stream for Backup {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.poll(context));
        self.ended |= piece.is_err();
        Poll::Ready(piece.transpose())
    }
}
