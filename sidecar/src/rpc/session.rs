//! What a connection holds once its client is let in: its streams, its monitor, its queries, and the way back to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use folkmoot_proto::{Encode, ResponseHeader};
use folkmoot_serf::pattern::PatternError;
use tokio::sync::Semaphore;

use super::Context;
use super::coordination::{Calls, Restore};
use super::events::Subscription;
use super::limits::QUERIES;
use super::pending::PendingQueries;
use super::writer::{Closed, Frame, Outbox, What};
use crate::handle::{NodeHandle, NodeStopped};

/// One client's state. Dropping it ends its streams and its monitor.
pub(super) struct Session {
    context: Arc<Context>,
    pub outbox: Outbox,
    /// By the sequence number of the request that opened them.
    pub streams: BTreeMap<u64, Subscription>,
    /// With the sequence number of the request that opened it.
    pub monitor: Option<(u64, Subscription)>,
    /// Queries this client has been shown and may answer.
    pub pending: Arc<PendingQueries>,
    /// One permit for each further query this client may have running.
    pub queries: Arc<Semaphore>,
    /// Coordination calls that are under way.
    pub calls: Calls,
    /// The backup that this client is sending.
    pub restore: Option<Restore>,
}

/// Why a request ends its connection without a response of its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The client or the agent is going; reported where it matters.
    #[error("use of closed network connection")]
    Gone,
    /// The body is not one.
    #[error("decode failed: {0}")]
    Body(String),
    /// Of `members-filtered`.
    #[error("Failed to compile regex: {0}")]
    Pattern(#[from] PatternError),
    /// Has been answered.
    #[error("{}", folkmoot_proto::texts::HANDSHAKE_REQUIRED)]
    HandshakeRequired,
    /// Has been answered.
    #[error("command '{0}' not recognized")]
    UnknownCommand(String),
}

impl From<NodeStopped> for Fault {
    fn from(NodeStopped: NodeStopped) -> Self {
        Self::Gone
    }
}

impl Session {
    pub fn new(context: Arc<Context>, outbox: Outbox) -> Self {
        Self {
            context,
            outbox,
            streams: BTreeMap::new(),
            monitor: None,
            pending: Arc::default(),
            queries: Arc::new(Semaphore::new(QUERIES)),
            calls: Calls::default(),
            restore: None,
        }
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    pub fn node(&self) -> &NodeHandle {
        &self.context.node
    }

    pub fn auth_key(&self) -> Option<&str> {
        self.context.auth_key()
    }

    /// Returns once the connection is closed for writing.
    pub async fn closed(&self) {
        self.outbox.closed().await;
    }

    /// Counts what is refused because there is too much of it.
    pub fn count_refusal(&self, of: &str) {
        self.context().settings.telemetry.count(&format!("folkmoot.ipc.refused.{of}"));
    }

    /// A header alone: success, or the text of a refusal.
    pub async fn answer(&self, seq: u64, refusal: Option<&str>) -> Result<(), Closed> {
        match refusal {
            None => self.outbox.send(Frame::new(What::Reply, ResponseHeader::ok(seq).to_bytes())).await,
            Some(text) => self.refuse(seq, text).await,
        }
    }

    /// A header alone with the text of a refusal.
    pub async fn refuse(&self, seq: u64, text: &str) -> Result<(), Closed> {
        self.outbox.send(Frame::new(What::Reply, ResponseHeader::refused(seq, text).to_bytes())).await
    }

    /// A header alone: success, or the text of an error.
    pub async fn answer_result<E: std::fmt::Display>(&self, seq: u64, result: Result<(), E>) -> Result<(), Closed> {
        match result {
            Ok(()) => self.answer(seq, None).await,
            Err(error) => self.refuse(seq, &error.to_string()).await,
        }
    }

    /// A header and a body.
    pub async fn answer_with(&self, header: &ResponseHeader, body: &impl Encode) -> Result<(), Closed> {
        self.outbox.send(Frame::new(What::Reply, header.with_body(body))).await
    }

    /// A header and a body that is encoded already.
    pub async fn answer_with_encoded(&self, seq: u64, body: Bytes) -> Result<(), Closed> {
        self.outbox.send(Frame::with_body(What::Reply, ResponseHeader::ok(seq).to_bytes(), body)).await
    }
}
