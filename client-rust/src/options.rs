//! [`ConnectOptions`]: which agents, with which key, how long to wait, and what happens when a connection is lost.

use std::sync::Arc;
use std::time::Duration;

use folkmoot_proto::Text;

use crate::limits::{CLIENT_TTL, DIAL_TIMEOUT, RECONNECT_PATIENCE};

/// How to reach an agent.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Where: `host:port`, or `unix://PATH`. More than one is for clients that may use any agent of the cluster: the first
    /// that answers is used, and when it goes away the next one.
    pub addresses: Vec<String>,
    /// The agents' `rpc_auth`; empty: do not authenticate.
    pub auth_key: Text,
    /// Time to reach an agent, and again for its greeting; [`DIAL_TIMEOUT`] by default.
    pub dial_timeout: Duration,
    /// Time to wait for the reply to each call. `None`, the default: [`crate::limits::CLUSTER_TIMEOUT`] for a join, a leave and
    /// the keys of the gossip, [`crate::limits::SERF_TIMEOUT`] for Serf's other commands, and for coordination
    /// [`crate::limits::COORDINATION_TIMEOUT`]; [`Duration::MAX`] waits as long as the connection lives. Calls that wait for
    /// something (a lock, an item) have this time on top of their own.
    pub call_timeout: Option<Duration>,
    /// What happens when the connection is lost.
    pub reconnect: Reconnect,
    /// Silence after which the cluster forgets this client and what it holds; [`CLIENT_TTL`] by default, a second at least.
    /// The client speaks at a third of it.
    pub client_ttl: Duration,
    /// Who is told what nobody asked for; nobody by default.
    pub observer: Option<Observer>,
}

/// What a client tells its [`Observer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The connection is lost; an agent is looked for.
    Disconnected {
        /// Of the agent it was to.
        address: String,
        /// Why.
        reason: String,
    },
    /// An agent was found.
    Reconnected {
        /// Its address.
        address: String,
    },
}

/// Is told what nobody asked for, for a log. Called from the client's tasks: it must not wait for anything.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Notice) + Send + Sync>);

impl Observer {
    /// Of a function.
    pub fn new(observe: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(crate) fn tell(&self, notice: Notice) {
        (self.0)(notice);
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Observer")
    }
}

/// What a client does when its connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// Nothing: every later call fails with [`crate::Error::Closed`].
    Never,
    /// The next call connects again, to any of the addresses, and tries so for this long.
    Within(Duration),
}

impl ConnectOptions {
    /// An agent without key. [`ConnectOptions::or`] adds others.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            addresses: vec![address.into()],
            auth_key: Text::default(),
            dial_timeout: DIAL_TIMEOUT,
            call_timeout: None,
            reconnect: Reconnect::Within(RECONNECT_PATIENCE),
            client_ttl: CLIENT_TTL,
            observer: None,
        }
    }

    /// Another agent of the same cluster.
    #[must_use]
    pub fn or(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// One of the addresses, for people.
    pub(crate) fn address(&self, index: usize) -> String {
        self.addresses.get(index).cloned().unwrap_or_default()
    }

    /// With a key.
    #[must_use]
    pub fn auth_key(mut self, key: impl Into<Text>) -> Self {
        self.auth_key = key.into();
        self
    }

    /// With another time for each call.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = Some(timeout);
        self
    }

    /// With somebody who is told what nobody asked for.
    #[must_use]
    pub fn observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// With another behaviour when the connection is lost.
    #[must_use]
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }
}

impl std::fmt::Debug for ConnectOptions {
    /// Without the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ConnectOptions")
            .field("addresses", &self.addresses)
            .field("dial_timeout", &self.dial_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("reconnect", &self.reconnect)
            .field("client_ttl", &self.client_ttl)
            .field("observer", &self.observer)
            .finish_non_exhaustive()
    }
}
