//! Refused handshakes: all counted, each address and reason logged once in a while.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::HandshakeError;
use crate::limits::{RAFT_COMPLAINT_INTERVAL, RAFT_COMPLAINTS};
use crate::telemetry::Telemetry;

/// What was told lately.
#[derive(Debug)]
pub(super) struct Complaints {
    telemetry: Telemetry,
    told: Mutex<BTreeMap<(IpAddr, &'static str), Instant>>,
}

impl Complaints {
    pub(super) fn new(telemetry: Telemetry) -> Self {
        Self { telemetry, told: Mutex::default() }
    }

    /// A caller was refused.
    pub(super) fn answered(&self, from: SocketAddr, error: &HandshakeError) {
        self.telemetry.count(&format!("folkmoot.raft.refused.{}", error.name()));
        if self.is_news(from.ip(), error) {
            tracing::warn!(target: "raft", "refused a connection to the Raft port from {from}: {error}");
        } else {
            tracing::debug!(target: "raft", "refused a connection to the Raft port from {from}: {error}");
        }
    }

    /// A call of ours was refused, or we refused the other end.
    pub(super) fn called(&self, to: SocketAddr, error: &HandshakeError) {
        self.telemetry.count(&format!("folkmoot.raft.failed.{}", error.name()));
        if self.is_news(to.ip(), error) {
            tracing::warn!(target: "raft", "no connection to the Raft port of {to}: {error}");
        } else {
            tracing::debug!(target: "raft", "no connection to the Raft port of {to}: {error}");
        }
    }

    /// False for what was told of this address lately, and for ends that only went away: restarts and port scans do.
    fn is_news(&self, of: IpAddr, error: &HandshakeError) -> bool {
        if matches!(error, HandshakeError::Gone(_)) {
            return false;
        }
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, when| now.duration_since(*when) < RAFT_COMPLAINT_INTERVAL);
        let subject = (of, error.name());
        if told.contains_key(&subject) || told.len() >= RAFT_COMPLAINTS {
            return false;
        }
        told.insert(subject, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_is_complained_of_once_per_reason_and_interval() {
        let complaints = Complaints::new(Telemetry::in_memory());
        let ip = IpAddr::from([127, 0, 34, 1]);
        assert!(complaints.is_news(ip, &HandshakeError::Key));
        assert!(!complaints.is_news(ip, &HandshakeError::Key));
        assert!(complaints.is_news(ip, &HandshakeError::Slow));
        assert!(complaints.is_news(IpAddr::from([127, 0, 34, 2]), &HandshakeError::Key));
        assert!(!complaints.is_news(ip, &HandshakeError::Gone("reset".to_owned())));
        tokio::time::advance(RAFT_COMPLAINT_INTERVAL).await;
        assert!(complaints.is_news(ip, &HandshakeError::Key));
    }

    #[test]
    fn a_crowd_of_strangers_fills_neither_memory_nor_log() {
        let complaints = Complaints::new(Telemetry::in_memory());
        let news = (0..u16::MAX).filter(|number| {
            let [high, low] = number.to_be_bytes();
            complaints.is_news(IpAddr::from([10, 0, high, low]), &HandshakeError::Key)
        });
        assert_eq!(news.count(), RAFT_COMPLAINTS);
    }
}
