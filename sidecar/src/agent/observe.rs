//! What lets others see the agent at work: syslog and telemetry, from start to SIGUSR1.

use std::path::PathBuf;
use std::time::Duration;

use super::{Agent, StartError};
use crate::config::resolve::{Settings, host_name};
use crate::handle::Question;
use crate::logging::LogHub;
use crate::logging::syslog::{SOCKETS, Syslog};
use crate::telemetry::{Telemetry, sinks};

/// Time the node gets to report before it is shown without. Ours: far above a turn.
const REPORT_LIMIT: Duration = Duration::from_secs(1);

/// Opens syslog if it is wanted, and the sinks if there are any; metrics go to memory always.
pub(super) fn begin(settings: &Settings, hub: &LogHub) -> Result<Telemetry, StartError> {
    if let Some(facility) = &settings.syslog_facility {
        let sockets: Vec<PathBuf> = SOCKETS.iter().map(PathBuf::from).collect();
        let syslog = Syslog::open(facility, &sockets)
            .map_err(|error| StartError::Told(format!("Syslog setup failed: {error}")))?;
        hub.set_syslog(syslog);
    }
    if settings.sinks.is_empty() {
        return Ok(Telemetry::in_memory());
    }
    let telemetry = Telemetry::with_sinks(host_name().unwrap_or_else(|_| settings.node_name.clone()));
    sinks::start(telemetry.clone(), settings.sinks.clone());
    Ok(telemetry)
}

impl Agent {
    /// SIGUSR1. A node that is busy is shown as it reported last; a stderr nobody reads holds nobody up.
    pub(super) async fn dump_telemetry(&self) {
        let report = self.node.ask(|reply| Question::ReportMetrics { reply });
        let _ = tokio::time::timeout(REPORT_LIMIT, report).await;
        let text = self.telemetry.dump();
        tokio::task::spawn_blocking(move || {
            use std::io::Write;
            let _ = std::io::stderr().write_all(text.as_bytes());
        });
    }
}
